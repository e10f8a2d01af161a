//! The thin edge: a meta-data device or file, opened with the right claim, read and written at
//! byte positions, flushed.
//!
//! Who may hold a device at the same time is settled here for the engine and for the command:
//!
//! | | block device | plain file |
//! |---|---|---|
//! | [`Claim::Attach`] (engine) | `O_EXCL`, shared `flock` | exclusive `flock` |
//! | [`Claim::Modify`] (command that writes) | `O_EXCL`, exclusive `flock` | exclusive `flock` |
//! | [`Claim::Inspect`] (command that reads) | `O_EXCL` | - |
//! | [`Claim::Slot`] (both: indexed meta-data, a slot of a shared device) | record lock of the slot | same |
//! | [`Claim::Shared`] (`--force`, or reading a slot) | - | - |
//!
//! The shared `flock` of the engine lets udev probe the device (it takes a shared one as well) but
//! is seen by a writing command even when `--force` made it give up `O_EXCL`.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use drbd_types::ByteCount;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::fs::{FlockOperation, OFlags, SeekFrom, flock};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use crate::layout::SLOT_SECTORS;

/// udev holds its shared lock for the length of a probe: wait that long before refusing.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// What the opener is going to do: see the table of the module.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Claim {
    /// Serve a volume from it, until closed.
    Attach,
    /// Change meta-data.
    Modify,
    /// Look at meta-data.
    Inspect,
    /// Serve a volume from one slot of indexed meta-data, or change it: the device is shared with
    /// the owners of other slots.
    Slot(u8),
    /// Share the device with anybody.
    Shared,
}

/// Whether the page cache is bypassed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Caching {
    /// `O_DIRECT`: positions, lengths and buffers must be multiples of the logical block size.
    /// [`PageBuffer`] is aligned for every device.
    Direct,
    /// Through the page cache.
    Cached,
}

/// Why a device was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The system refused.
    #[error("open({path}) failed: {}", errno_text(.error))]
    Open {
        /// As given.
        path: String,
        /// What the system said.
        error: io::Error,
    },
    /// Somebody (the engine, another command) holds the advisory lock.
    #[error("{path} is in use by another process")]
    Locked {
        /// As given.
        path: String,
    },
    /// Neither a block device nor a regular file.
    #[error("'{path}' is not a block device!")]
    Kind {
        /// As given.
        path: String,
    },
}

impl OpenError {
    /// Whether the system does not know a flag: some file systems refuse `O_DIRECT`.
    pub fn is_invalid_argument(&self) -> bool {
        matches!(self, Self::Open { error, .. } if error.kind() == io::ErrorKind::InvalidInput)
    }
}

/// What kind of thing carries the meta-data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A block special file.
    BlockDevice,
    /// A regular file.
    RegularFile,
}

/// An open meta-data device.
#[derive(Debug)]
pub struct MetaDevice {
    file: File,
    size: ByteCount,
    kind: Kind,
}

impl MetaDevice {
    /// Opens for reading and writing under a claim.
    pub fn open(path: &Path, claim: Claim, caching: Caching) -> Result<Self, OpenError> {
        let name = || path.display().to_string();
        let failed = |error| OpenError::Open {
            path: name(),
            error,
        };
        let mut flags = OFlags::empty();
        if !matches!(claim, Claim::Shared | Claim::Slot(_)) {
            flags |= OFlags::EXCL;
        }
        if caching == Caching::Direct {
            flags |= OFlags::DIRECT;
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            // All flags of open(2) are non-negative.
            .custom_flags(flags.bits().cast_signed())
            .open(path)
            .map_err(failed)?;
        let file_type = file.metadata().map_err(failed)?.file_type();
        let kind = if file_type.is_block_device() {
            Kind::BlockDevice
        } else if file_type.is_file() {
            Kind::RegularFile
        } else {
            return Err(OpenError::Kind { path: name() });
        };
        // Works for block devices as well, and is correct while a file grows.
        let size = rustix::fs::seek(&file, SeekFrom::End(0)).map_err(|e| failed(e.into()))?;
        let device = Self {
            file,
            size: ByteCount(size),
            kind,
        };
        match device.lock(claim) {
            Ok(()) => Ok(device),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(OpenError::Locked { path: name() })
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Takes the advisory lock of a claim; a command may add it to a device that it opened
    /// [`Claim::Shared`] because `O_EXCL` was refused and `--force` given.
    pub fn lock(&self, claim: Claim) -> io::Result<()> {
        let (now, patient) = match (claim, self.kind) {
            (Claim::Inspect | Claim::Shared, _) => return Ok(()),
            (Claim::Slot(number), _) => return self.lock_slot(number),
            (Claim::Attach, Kind::BlockDevice) => (
                FlockOperation::NonBlockingLockShared,
                FlockOperation::LockShared,
            ),
            (Claim::Attach, Kind::RegularFile) | (Claim::Modify, _) => (
                FlockOperation::NonBlockingLockExclusive,
                FlockOperation::LockExclusive,
            ),
        };
        match flock(&self.file, now) {
            Err(rustix::io::Errno::WOULDBLOCK) => self.lock_patiently(patient),
            other => other.map_err(io::Error::from),
        }
    }

    /// A record lock of the open file description, so that it ends with the last descriptor and
    /// keeps out other minors of the same process, too.
    fn lock_slot(&self, number: u8) -> io::Result<()> {
        let length = SLOT_SECTORS * 512;
        let outside = |_| io::Error::from(io::ErrorKind::InvalidInput);
        let range = libc::flock {
            l_type: libc::F_WRLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: (u64::from(number) * length).try_into().map_err(outside)?,
            l_len: length.try_into().map_err(outside)?,
            // The kernel wants it so: the lock belongs to no process.
            l_pid: 0,
        };
        match fcntl(&self.file, FcntlArg::F_OFD_SETLK(&range)) {
            Err(Errno::EACCES | Errno::EAGAIN) => Err(io::ErrorKind::WouldBlock.into()),
            Err(error) => Err(error.into()),
            Ok(_) => Ok(()),
        }
    }

    /// Waits for the lock on a thread of its own, so that the wait can be given up. A thread left
    /// behind releases what it may get later by closing its descriptor.
    fn lock_patiently(&self, operation: FlockOperation) -> io::Result<()> {
        let file = self.file.try_clone()?;
        let (sender, receiver) = mpsc::sync_channel(0);
        std::thread::Builder::new().spawn(move || {
            let result = flock(&file, operation);
            if sender.send(result).is_err() {
                // Nobody waits any more. The lock belongs to the open file description, which the
                // opener may still hold: give it back explicitly; failing means it is gone anyway.
                let _ = flock(&file, FlockOperation::Unlock);
            }
        })?;
        match receiver.recv_timeout(LOCK_PATIENCE) {
            Ok(result) => result.map_err(io::Error::from),
            Err(_) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Size in bytes when it was opened.
    pub const fn size(&self) -> ByteCount {
        self.size
    }

    /// Block device or file.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Bytes of a logical block: 512 for a file.
    pub fn logical_block(&self) -> io::Result<u32> {
        match self.kind {
            Kind::BlockDevice => Ok(rustix::fs::ioctl_blksszget(&self.file)?),
            Kind::RegularFile => Ok(512),
        }
    }

    /// Fills `buffer` from byte `at`; fewer bytes are an error.
    pub fn read_at(&self, at: ByteCount, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, at.0)
    }

    /// Fills as much of `buffer` as there is before the end, and tells how much.
    pub fn read_up_to(&self, at: ByteCount, buffer: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            let position = at.0.saturating_add(done as u64);
            match self.file.read_at(&mut buffer[done..], position) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    /// Writes all of `bytes` at byte `at`.
    pub fn write_at(&self, at: ByteCount, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, at.0)
    }

    /// Zeroes a range the way the device can do it fastest.
    pub fn zero_out(&self, at: ByteCount, length: ByteCount) -> io::Result<()> {
        use rustix::fs::FallocateFlags;
        let flags = FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE;
        Ok(rustix::fs::fallocate(&self.file, flags, at.0, length.0)?)
    }

    /// Everything written is durable afterwards, the device's own cache included.
    pub fn flush(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// The descriptor, with claim and lock, for an owner with its own I/O.
    pub fn into_file(self) -> File {
        self.file
    }
}

/// What the command needs of a device; the crash tests put a recorder in its place.
pub trait Medium: Sync {
    /// Size in bytes.
    fn size(&self) -> ByteCount;
    /// Block device or file.
    fn kind(&self) -> Kind;
    /// The number that traces show.
    fn descriptor(&self) -> i32;
    /// See [`MetaDevice::logical_block`].
    fn logical_block(&self) -> io::Result<u32> {
        Ok(512)
    }
    /// See [`MetaDevice::lock`].
    fn lock(&self, claim: Claim) -> io::Result<()>;
    /// See [`MetaDevice::read_up_to`].
    fn read_up_to(&self, at: ByteCount, buffer: &mut [u8]) -> io::Result<usize>;
    /// See [`MetaDevice::write_at`].
    fn write_at(&self, at: ByteCount, bytes: &[u8]) -> io::Result<()>;
    /// See [`MetaDevice::zero_out`].
    fn zero_out(&self, at: ByteCount, length: ByteCount) -> io::Result<()>;
    /// See [`MetaDevice::flush`].
    fn flush(&self) -> io::Result<()>;
}

impl Medium for MetaDevice {
    fn size(&self) -> ByteCount {
        self.size
    }
    fn kind(&self) -> Kind {
        self.kind
    }
    fn descriptor(&self) -> i32 {
        self.file.as_raw_fd()
    }
    fn logical_block(&self) -> io::Result<u32> {
        Self::logical_block(self)
    }
    fn lock(&self, claim: Claim) -> io::Result<()> {
        Self::lock(self, claim)
    }
    fn read_up_to(&self, at: ByteCount, buffer: &mut [u8]) -> io::Result<usize> {
        Self::read_up_to(self, at, buffer)
    }
    fn write_at(&self, at: ByteCount, bytes: &[u8]) -> io::Result<()> {
        Self::write_at(self, at, bytes)
    }
    fn zero_out(&self, at: ByteCount, length: ByteCount) -> io::Result<()> {
        Self::zero_out(self, at, length)
    }
    fn flush(&self) -> io::Result<()> {
        Self::flush(self)
    }
}

/// One page, aligned for direct I/O.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Clone, Copy)]
#[repr(C, align(4096))]
struct Page([u8; 4096]);

/// A zeroed buffer of whole 4 KiB pages, aligned for direct I/O.
pub struct PageBuffer(Vec<Page>);

impl PageBuffer {
    /// A buffer of at least `bytes` bytes.
    pub fn new(bytes: usize) -> Self {
        Self(vec![Page::new_zeroed(); bytes.div_ceil(4096)])
    }
}

impl std::ops::Deref for PageBuffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl std::ops::DerefMut for PageBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.0.as_mut_bytes()
    }
}

/// `strerror` without the "(os error N)" that the standard library appends.
pub fn errno_text(error: &io::Error) -> String {
    let text = error.to_string();
    match error.raw_os_error() {
        Some(code) => text.replace(&format!(" (os error {code})"), ""),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(size: u64) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(size).unwrap();
        file
    }

    #[test]
    fn a_file_held_by_the_engine_cannot_be_modified_but_inspected() {
        let file = file(1 << 20);
        let open = |claim| MetaDevice::open(file.path(), claim, Caching::Cached);
        let engine = open(Claim::Attach).unwrap();
        assert_eq!(engine.size(), ByteCount(1 << 20));
        assert!(matches!(open(Claim::Modify), Err(OpenError::Locked { .. })));
        assert!(matches!(open(Claim::Attach), Err(OpenError::Locked { .. })));
        assert!(open(Claim::Inspect).is_ok());
        drop(engine);
        assert!(open(Claim::Modify).is_ok());
    }

    #[test]
    fn a_slot_has_one_owner_while_the_others_are_free() {
        let file = file(1 << 20);
        let open = |claim| MetaDevice::open(file.path(), claim, Caching::Cached);
        let first = open(Claim::Slot(0)).unwrap();
        assert!(matches!(
            open(Claim::Slot(0)),
            Err(OpenError::Locked { .. })
        ));
        assert!(open(Claim::Slot(1)).is_ok());
        assert!(open(Claim::Slot(255)).is_ok());
        assert!(open(Claim::Shared).is_ok());
        let kept = first.into_file();
        assert!(open(Claim::Slot(0)).is_err());
        drop(kept);
        assert!(open(Claim::Slot(0)).is_ok());
    }

    #[test]
    fn a_lock_given_back_in_time_is_waited_for() {
        let file = file(1 << 20);
        let first = MetaDevice::open(file.path(), Claim::Modify, Caching::Cached).unwrap();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| {
                MetaDevice::open(file.path(), Claim::Modify, Caching::Cached).map(|d| d.size())
            });
            drop(first);
            assert_eq!(second.join().unwrap().unwrap(), ByteCount(1 << 20));
        });
    }

    #[test]
    fn directories_and_character_devices_are_refused() {
        let open = |path: &str| MetaDevice::open(Path::new(path), Claim::Modify, Caching::Cached);
        assert!(matches!(open("/dev/null"), Err(OpenError::Kind { .. })));
        assert_eq!(
            open("/nonexistent").unwrap_err().to_string(),
            "open(/nonexistent) failed: No such file or directory"
        );
    }

    #[test]
    fn what_is_written_is_read_and_zeroing_keeps_the_size() {
        let file = file(1 << 20);
        let device = MetaDevice::open(file.path(), Claim::Modify, Caching::Cached).unwrap();
        let mut page = PageBuffer::new(4096);
        page.fill(7);
        device.write_at(ByteCount(8192), &page).unwrap();
        device.flush().unwrap();
        let mut back = PageBuffer::new(4096);
        device.read_at(ByteCount(8192), &mut back).unwrap();
        assert_eq!(page[..], back[..]);
        assert_eq!(
            device
                .read_up_to(ByteCount((1 << 20) - 10), &mut back)
                .unwrap(),
            10
        );
        assert!(
            device
                .read_at(ByteCount((1 << 20) - 10), &mut back)
                .is_err()
        );
    }
}
