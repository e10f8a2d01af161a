//! `/proc/drbd` as a live file: `$DRBD_RUN_DIR/proc/drbd`, a FUSE file system with one file.
//!
//! Every read from the start of the file asks the resources how they are and renders the answer;
//! the following reads of the same opener continue that text.

use std::collections::HashMap;
use std::ffi::{CString, OsStr};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use drbd_core::ResourceStatus;
use drbd_core::config::WriteOrdering;
use drbd_core::progress::ProgressFigures;
use drbd_core::status::{AlSuspended, VolumeStatus};
use drbd_proc::{
    ActivityLog, BitCount, Congestion, Counters, Device, Io, KibPerSecond, Mark, Position,
    Progress, Snapshot, WireProtocol, render,
};
use drbd_types::ByteCount;
use fuser::{
    BackgroundSession, Config, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry,
    ReplyOpen, Session, SessionACL,
};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::control::object::Registry;
use crate::fuse::{self, FILE};
use crate::runtime::port::Command;

/// Its name.
const NAME: &str = "drbd";
/// How long a resource may take to answer: a stuck one is left out rather than blocking readers.
const PATIENCE: Duration = Duration::from_secs(2);
/// Threads that read requests: one reader must not wait for another.
const THREADS: usize = 2;

/// The era in which the file is written.
pub use drbd_proc::Era;

/// The mounted file system; dropping it takes it away.
pub struct ProcFs {
    directory: PathBuf,
    session: Option<BackgroundSession>,
}

/// What the file is made from.
pub struct Source {
    /// The engine's resources.
    pub registry: Arc<Registry>,
    /// In which form.
    pub era: Era,
    /// The module parameter.
    pub minor_count: u32,
}

impl ProcFs {
    /// Mounts it in the run directory, over what a killed engine may have left there.
    pub fn mount(run_dir: &Path, source: Source) -> io::Result<Self> {
        let directory = run_dir.join("proc");
        while unmount(&directory, UnmountFlags::DETACH).is_ok() {}
        fs::create_dir_all(&directory)?;
        let fuse = OwnedFd::from(File::options().read(true).write(true).open("/dev/fuse")?);
        let options = format!(
            "fd={},rootmode=40755,user_id=0,group_id=0,allow_other",
            fuse.as_raw_fd()
        );
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        let options = CString::new(options)?;
        mount(
            "drbd",
            &directory,
            "fuse.drbd-proc",
            flags,
            options.as_c_str(),
        )?;
        let mut this = Self {
            directory,
            session: None,
        };
        let file_system = FileSystem {
            source,
            texts: Mutex::default(),
            next: AtomicU64::new(1),
        };
        let mut config = Config::default();
        config.n_threads = Some(THREADS);
        config.clone_fd = true;
        let session = Session::from_fd(file_system, fuse, SessionACL::All, config)?;
        this.session = Some(session.spawn()?);
        Ok(this)
    }
}

impl Drop for ProcFs {
    fn drop(&mut self) {
        // Readers that still have the file open keep the detached mount until they close it.
        let _ = unmount(&self.directory, UnmountFlags::DETACH);
        drop(self.session.take());
        let _ = fs::remove_dir(&self.directory);
    }
}

struct FileSystem {
    source: Source,
    /// The text that each opener is reading.
    texts: Mutex<HashMap<u64, Arc<str>>>,
    next: AtomicU64,
}

impl FileSystem {
    fn text(&self, handle: u64, offset: u64) -> Arc<str> {
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(text), 1..) = (texts.get(&handle), offset) {
            return Arc::clone(text);
        }
        drop(texts);
        let text: Arc<str> = self.source.render().into();
        texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        texts.insert(handle, Arc::clone(&text));
        text
    }
}

impl Source {
    fn render(&self) -> String {
        let (sender, receiver) = channel();
        let mut asked = 0;
        for object in self.registry.all() {
            let sender = sender.clone();
            let answer = Box::new(move |status| {
                // The reader may have run out of patience.
                let _ = sender.send(status);
            });
            if object.port.send(Command::Status(answer)).is_ok() {
                asked += 1;
            }
        }
        let answers = (0..asked).map_while(|_| receiver.recv_timeout(PATIENCE).ok());
        let mut devices: Vec<Device> = answers.flat_map(|status| devices(&status)).collect();
        devices.sort_by_key(|device| device.minor);
        let snapshot = Snapshot {
            devices,
            minor_count: self.minor_count,
            ..Snapshot::default()
        };
        render(&snapshot, self.era)
    }
}

/// The devices of a resource as `/proc/drbd` shows them.
fn devices(status: &ResourceStatus) -> Vec<Device> {
    let suspended = status.volumes.iter().any(|v| v.state.suspended());
    let io = match suspended {
        true => Io::Suspended,
        false => Io::Running,
    };
    status.volumes.iter().map(|v| device(v, io)).collect()
}

fn device(volume: &VolumeStatus, io: Io) -> Device {
    let counters = &volume.counters;
    Device {
        state: volume.state,
        protocol: volume.protocol.map(|p| WireProtocol(p as u32)),
        io,
        congestion: Congestion::None,
        activity_log: match volume.al_suspended {
            AlSuspended::Yes => ActivityLog::Suspended,
            AlSuspended::No => ActivityLog::Kept,
        },
        counters: Counters {
            sent: counters.net_send,
            received: counters.net_receive,
            disk_written: counters.disk_write,
            disk_read: counters.disk_read,
            al_writes: counters.al_transactions,
            bm_writes: counters.bitmap_writes,
            local_pending: narrow(counters.local),
            peer_pending: narrow(counters.pending),
            unacked: narrow(counters.unacked),
            app_pending: narrow(counters.application),
            epochs: narrow(counters.epochs),
            write_ordering: match volume.ordering {
                WriteOrdering::None => drbd_proc::WriteOrdering::None,
                WriteOrdering::Drain => drbd_proc::WriteOrdering::Drain,
                WriteOrdering::Flush => drbd_proc::WriteOrdering::Flush,
            },
            out_of_sync: BitCount(volume.out_of_sync.0 / 4096),
        },
        progress: volume.progress.as_ref().map(|p| progress(p, volume)),
        ..Device::unconfigured(volume.minor)
    }
}

fn progress(figures: &ProgressFigures, volume: &VolumeStatus) -> Progress {
    let time = |at: drbd_core::time::Instant| Duration::from_nanos(at.as_nanos());
    let now = time(figures.now);
    Progress {
        total: BitCount(figures.total),
        left: BitCount(figures.left),
        marks: figures.marks.map(|mark| Mark {
            at: time(mark.at),
            left: BitCount(mark.left),
        }),
        newest: figures.newest,
        now,
        // The time without pauses is all that counts.
        started: now.saturating_sub(figures.elapsed),
        paused: Duration::ZERO,
        want: KibPerSecond(figures.want.unwrap_or_default()),
        position: Position {
            bit: BitCount(figures.total.saturating_sub(figures.left)),
            bits: BitCount(volume.size.bits()),
            stop: None,
        },
    }
}

fn narrow(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// As in `/proc`: no size, no age.
fn attributes(inode: INodeNo) -> Option<FileAttr> {
    let (kind, perm) = match inode {
        INodeNo::ROOT => (FileType::Directory, 0o555),
        FILE => (FileType::RegularFile, 0o444),
        _ => return None,
    };
    Some(fuse::attributes(inode, kind, perm, ByteCount(0)))
}

const VALID: Duration = Duration::from_secs(60);

impl Filesystem for FileSystem {
    fn lookup(&self, _: &fuser::Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match attributes(FILE) {
            Some(attributes) if parent == INodeNo::ROOT && name == NAME => {
                reply.entry(&VALID, &attributes, Generation(0));
            }
            _ => reply.error(fuser::Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &fuser::Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match attributes(inode) {
            Some(attributes) => reply.attr(&VALID, &attributes),
            None => reply.error(fuser::Errno::ENOENT),
        }
    }

    fn open(&self, _: &fuser::Request, inode: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        if inode != FILE {
            return reply.error(fuser::Errno::EISDIR);
        }
        // The size is unknown before the text is: no page cache, or reads would end at zero.
        let handle = self.next.fetch_add(1, Ordering::Relaxed);
        reply.opened(FileHandle(handle), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &fuser::Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        length: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let text = self.text(handle.0, offset);
        let start = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(text.len());
        let end = start.saturating_add(length as usize).min(text.len());
        reply.data(&text.as_bytes()[start..end]);
    }

    fn release(
        &self,
        _: &fuser::Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        texts.remove(&handle.0);
        drop(texts);
        reply.ok();
    }

    fn readdir(
        &self,
        _: &fuser::Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let entries = [
            (INodeNo::ROOT, FileType::Directory, "."),
            (INodeNo::ROOT, FileType::Directory, ".."),
            (FILE, FileType::RegularFile, NAME),
        ];
        let skip = usize::try_from(offset).unwrap_or(usize::MAX);
        for (index, (inode, kind, name)) in entries.into_iter().enumerate().skip(skip) {
            if reply.add(inode, index as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_without_resources_shows_the_header_alone_and_leaves_no_mount_behind() {
        let dir = tempfile::tempdir().unwrap();
        let source = || Source {
            registry: Arc::default(),
            era: Era::V84,
            minor_count: 32,
        };
        let first = ProcFs::mount(dir.path(), source()).unwrap();
        let path = dir.path().join("proc/drbd");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("version: 8.4.11 (api:1/proto:86-101)\n"));
        assert_eq!(text.lines().count(), 2);
        // A killed engine leaves its mount; the next one takes its place.
        std::mem::forget(first);
        let second = ProcFs::mount(dir.path(), source()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        drop(second);
        assert!(!path.exists());
    }
}
