//! The fuse+loop front end: a loop device over the one file of a FUSE file system served here.
//!
//! The file system is mounted and detached from the tree at once, so that no mount shows up
//! anywhere and none is left behind by a crash: it lives as long as somebody holds its file. While
//! the device is closed that is only the engine, by a path handle. [`Frontend::open`] puts a loop
//! device over the file and renames a node with its number to `/dev/drbdN`; [`Frontend::close`]
//! takes the loop device away, for which the kernel itself decides whether it is in use.

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use drbd_types::{Minor, SectorCount};
use fuser::{BackgroundSession, Config, Session, SessionACL};
use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::fuse_fs::{FileSystem, Served};
use super::loopdev::{self, Detached, Label};
use super::names::Names;
use super::{
    Access, DeviceError, DeviceNumber, DevicePaths, Features, Frontend, Geometry, RequestId,
    RequestSink, holders,
};
use crate::buffer::{Buffer, Pool};

/// Threads that take requests from the kernel.
const THREADS: usize = 4;

struct FuseLoop {
    names: Names,
    label: Label,
    served: Arc<Served>,
    state: Mutex<State>,
}

struct State {
    /// The loop device while the front end is open.
    attached: Option<DeviceNumber>,
    /// What keeps the file system alive; `None` after the front end was stopped.
    mounted: Option<Mounted>,
}

struct Mounted {
    /// The file, as a path handle: it keeps the file system alive but counts as no open.
    file: OwnedFd,
    session: BackgroundSession,
}

/// Starts the front end: serves the file and makes the closed node and the links.
pub fn start(
    minor: Minor,
    geometry: Geometry,
    paths: DevicePaths,
    pool: Pool,
    sink: Arc<dyn RequestSink>,
) -> Result<Box<dyn Frontend>, DeviceError> {
    let name = format!("drbd{minor}");
    let label = label(&name, &paths.run_dir)
        .map_err(|e| DeviceError::setup(paths.run_dir.display().to_string(), e))?;
    let names = Names::publish(minor, &paths)
        .map_err(|e| DeviceError::setup(paths.node(minor).display().to_string(), e))?;
    let served = Arc::new(Served::new(minor, name.clone(), geometry, pool, sink));
    let directory = paths.run_dir.join("fuse").join(minor.to_string());
    let mounted = clear_remains(label, &name, &names)
        .and_then(|()| serve(&directory, &name, Arc::clone(&served)))
        .map_err(|e| {
            // The first error is the one to report.
            let _ = names.withdraw();
            DeviceError::setup(format!("serve {}", directory.display()), e)
        })?;
    Ok(Box::new(FuseLoop {
        names,
        label,
        served,
        state: Mutex::new(State {
            attached: None,
            mounted: Some(mounted),
        }),
    }))
}

/// What marks a loop device as ours: the run directory itself, not its path, which nodes in mount
/// namespaces of their own share while they see each other's loop devices.
fn label(name: &str, run_dir: &Path) -> io::Result<Label> {
    let directory = fs::metadata(run_dir)?;
    let (device, inode) = (directory.dev(), directory.ino());
    Ok(Label::new(&format!("{name}@{device:x}:{inode:x}")))
}

/// Takes away loop devices that an engine on the same run directory left behind when it crashed.
/// Those still in use (a mounted file system, which gets `EIO`) go when they are released.
fn clear_remains(label: Label, file_name: &str, names: &Names) -> io::Result<()> {
    let open = |number| names.open(number, OFlags::RDWR);
    for device in loopdev::find(label, file_name, open)? {
        loopdev::detach_when_unused(device.as_fd())?;
    }
    Ok(())
}

/// Mounts the file system at the directory, opens its file and detaches the mount again.
fn serve(directory: &Path, name: &str, served: Arc<Served>) -> io::Result<Mounted> {
    fs::create_dir_all(directory)?;
    // What an engine left that died between the next two system calls of this kind.
    while unmount(directory, UnmountFlags::DETACH).is_ok() {}
    let fuse = OwnedFd::from(File::options().read(true).write(true).open("/dev/fuse")?);
    let options = format!(
        "fd={},rootmode=40000,user_id=0,group_id=0",
        fuse.as_raw_fd()
    );
    let options = CString::new(options)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("drbd", directory, "fuse.drbd", flags, options.as_c_str())?;
    let mounted = serve_mounted(directory, name, fuse, served);
    unmount(directory, UnmountFlags::DETACH)?;
    fs::remove_dir(directory)?;
    mounted
}

fn serve_mounted(
    directory: &Path,
    name: &str,
    fuse: OwnedFd,
    served: Arc<Served>,
) -> io::Result<Mounted> {
    let mut config = Config::default();
    config.n_threads = Some(THREADS);
    config.clone_fd = true;
    // Nobody but root can reach the file; the loop driver's own threads must.
    let session = Session::from_fd(FileSystem(served), fuse, SessionACL::All, config)?.spawn()?;
    let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::open(directory.join(name), flags, Mode::empty())?;
    Ok(Mounted { file, session })
}

impl FuseLoop {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn attach(&self, mounted: &Mounted, access: Access) -> io::Result<DeviceNumber> {
        self.served.set_clean();
        let backing = reopen(&mounted.file)?;
        let (number, device) =
            loopdev::attach(backing.as_fd(), self.label, self.served.block(), |number| {
                self.names.open(number, OFlags::RDWR)
            })?;
        let finish = || {
            loopdev::set_access(device.as_fd(), access)?;
            self.names.set_number(number)
        };
        finish().inspect_err(|_| {
            // The first error is the one to report.
            let _ = loopdev::detach_when_unused(device.as_fd());
        })?;
        Ok(number)
    }

    /// Takes the loop device away, or fails with `EBUSY`.
    fn detach(&self, state: &mut State) -> io::Result<()> {
        let Some(number) = state.attached else {
            return Ok(());
        };
        // The exclusive open finds whoever claims the device and keeps new claims away; the kernel
        // then counts the plain openers.
        let device = self.names.open(number, OFlags::RDONLY | OFlags::EXCL)?;
        if loopdev::detach(device.as_fd())? == Detached::HeldOpen {
            return Err(Errno::BUSY.into());
        }
        state.attached = None;
        drop(device);
        self.names.set_closed()
    }
}

impl Frontend for FuseLoop {
    fn complete(&self, id: RequestId, result: Result<Option<Buffer>, Errno>) {
        self.served.complete(id, result);
    }

    fn open(&self, access: Access) -> io::Result<()> {
        let mut state = self.lock();
        let Some(mounted) = &state.mounted else {
            return Err(Errno::NODEV.into());
        };
        if let Some(number) = state.attached {
            let device = self.names.open(number, OFlags::RDONLY)?;
            return loopdev::set_access(device.as_fd(), access);
        }
        state.attached = Some(self.attach(mounted, access)?);
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.detach(&mut self.lock())
    }

    fn is_held_open(&self) -> io::Result<bool> {
        let state = self.lock();
        let Some(number) = state.attached else {
            return Ok(false);
        };
        let exclusive = || self.names.open(number, OFlags::RDONLY | OFlags::EXCL);
        Ok(holders::find(number, exclusive)?.is_some())
    }

    fn resize(&self, size: SectorCount) -> io::Result<()> {
        let state = self.lock();
        let bytes = size.checked_bytes().ok_or(Errno::FBIG)?;
        self.served.set_size(bytes.0);
        let Some(mounted) = &state.mounted else {
            return Err(Errno::NODEV.into());
        };
        // Makes the kernel ask for the attributes now.
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC;
        rustix::fs::statx(&mounted.file, c"", flags, StatxFlags::SIZE)?;
        if let Some(number) = state.attached {
            let device = self.names.open(number, OFlags::RDWR)?;
            loopdev::update_size(device.as_fd())?;
        }
        Ok(())
    }

    fn set_features(&self, features: Features) {
        self.served.set_features(features);
    }

    fn set_links(&self, links: Vec<PathBuf>) -> io::Result<()> {
        self.names.set_links(links)
    }

    fn device_number(&self) -> Option<DeviceNumber> {
        self.lock().attached
    }

    fn stop(&self) -> io::Result<()> {
        let mut state = self.lock();
        self.detach(&mut state)?;
        let Some(mounted) = state.mounted.take() else {
            return Ok(());
        };
        self.served.fail_everything();
        self.names.withdraw()?;
        let Mounted { file, session } = mounted;
        // The last reference to the file system: its threads end.
        drop(file);
        session.join()
    }
}

impl Drop for FuseLoop {
    fn drop(&mut self) {
        if self.stop().is_ok() {
            return;
        }
        // Held open. The holders get EIO from now on, and the kernel removes the device when the
        // last of them leaves. Nobody is left to tell errors to.
        self.served.fail_everything();
        let attached = self.lock().attached.take();
        if let Some(device) = attached.and_then(|n| self.names.open(n, OFlags::RDWR).ok()) {
            let _ = loopdev::detach_when_unused(device.as_fd());
        }
        let _ = self.names.withdraw();
    }
}

/// The file behind a path handle, opened for reading and writing.
fn reopen(handle: &OwnedFd) -> io::Result<File> {
    let path = format!("/proc/self/fd/{}", handle.as_raw_fd());
    File::options().read(true).write(true).open(path)
}
