//! The FUSE side of the fuse+loop front end: a file system with one file, whose reads and writes
//! become requests.
//!
//! Each FUSE reply object waits in a slab under the id of its request until the runtime completes
//! it. The data of a write is copied once, out of the FUSE read buffer into a pool buffer.

use std::ffi::{OsStr, OsString};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use drbd_types::units::SECTOR_BYTES;
use drbd_types::{ByteCount, Minor, Sector};
use fuser::{
    FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen,
    ReplyStatfs, ReplyWrite, WriteFlags,
};
use rustix::io::Errno;

use super::pending::Pending;
use super::{
    Discard, Features, Fua, Geometry, LogicalBlock, Operation, Request, RequestId, RequestSink,
    Unmap,
};
use crate::buffer::{Buffer, MAX_LENGTH, Pool};
use crate::fuse::{self, FILE};

/// Attributes change only through `resize`, which asks for them explicitly.
const ATTRIBUTES_VALID: Duration = Duration::from_secs(365 * 86_400);

/// Asynchronous requests in flight: above what the loop device's queue (128) can submit.
const MAX_BACKGROUND: u16 = 256;

/// What the FUSE threads and the front end share.
pub struct Served {
    minor: Minor,
    name: OsString,
    size: AtomicU64,
    features: Mutex<Features>,
    pool: Pool,
    sink: Arc<dyn RequestSink>,
    waiting: Pending<Waiting>,
    /// Whether anything was written since the device was opened.
    dirty: AtomicBool,
    /// The front end is gone; whoever still holds the loop device gets `EIO`.
    dead: AtomicBool,
}

/// The file system handed to fuser.
pub struct FileSystem(pub Arc<Served>);

/// A reply that the kernel waits for.
enum Waiting {
    Read { reply: ReplyData, length: usize },
    Write { reply: ReplyWrite, length: u32 },
    Empty(ReplyEmpty),
    Part(Arc<Whole>),
}

/// A request of the kernel that became several of ours; the reply goes out when the last part drops it.
struct Whole {
    reply: Option<ReplyEmpty>,
    /// The first error, 0 for none.
    error: AtomicI32,
}

impl Served {
    /// A file of this geometry, called `name`.
    pub fn new(
        minor: Minor,
        name: String,
        geometry: Geometry,
        pool: Pool,
        sink: Arc<dyn RequestSink>,
    ) -> Self {
        Self {
            minor,
            name: name.into(),
            size: AtomicU64::new(geometry.bytes().0),
            features: Mutex::new(geometry.features),
            pool,
            sink,
            waiting: Pending::default(),
            dirty: AtomicBool::new(false),
            dead: AtomicBool::new(false),
        }
    }

    /// Replies to the kernel.
    pub fn complete(&self, id: RequestId, result: Result<Option<Buffer>, Errno>) {
        if let Some(waiting) = self.waiting.remove(id) {
            waiting.answer(result);
        }
    }

    /// Changes the size that the next `getattr` answers.
    pub fn set_size(&self, bytes: u64) {
        self.size.store(bytes, Ordering::Release);
    }

    /// What the device does from its next opening on.
    pub fn set_features(&self, features: Features) {
        *self.features.lock().unwrap_or_else(PoisonError::into_inner) = features;
    }

    /// The addressing unit for the loop device.
    pub fn block(&self) -> LogicalBlock {
        self.features().block
    }

    fn features(&self) -> Features {
        *self.features.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets that anything was written: the device is about to be opened.
    pub fn set_clean(&self) {
        self.dirty.store(false, Ordering::Release);
    }

    /// From now on every request, also those in flight, fails with `EIO`.
    pub fn fail_everything(&self) {
        self.dead.store(true, Ordering::SeqCst);
        for waiting in self.waiting.drain() {
            waiting.answer(Err(Errno::IO));
        }
    }

    fn submit(&self, offset: u64, operation: Operation, waiting: Waiting) {
        let id = self.waiting.insert(waiting);
        // After the insertion: either this sees the flag or `fail_everything` sees the request.
        if self.dead.load(Ordering::SeqCst) {
            return self.complete(id, Err(Errno::IO));
        }
        let sector = Sector(offset / SECTOR_BYTES);
        self.sink.submit(
            self.minor,
            Request {
                id,
                sector,
                operation,
            },
        );
    }

    /// Whether the range consists of sectors of the device; the loop device sees to its blocks.
    fn check(&self, offset: u64, length: u64) -> Result<(), Errno> {
        let end = offset.checked_add(length).ok_or(Errno::INVAL)?;
        let aligned = offset.is_multiple_of(SECTOR_BYTES) && length.is_multiple_of(SECTOR_BYTES);
        if !aligned || length == 0 {
            return Err(Errno::INVAL);
        }
        if end > self.size.load(Ordering::Acquire) {
            return Err(Errno::IO);
        }
        Ok(())
    }

    fn check_transfer(&self, offset: u64, length: usize) -> Result<u32, Errno> {
        self.check(offset, length as u64)?;
        if length > MAX_LENGTH {
            return Err(Errno::INVAL);
        }
        u32::try_from(length).map_err(|_| Errno::INVAL)
    }

    /// A pool buffer with a copy of the data; waits for memory, which is the back pressure.
    fn copy(&self, data: &[u8]) -> Result<Buffer, Errno> {
        let mut buffer = (self.pool.allocate_waiting(data.len())).ok_or(Errno::NOMEM)?;
        let bytes = buffer.unique_mut().ok_or(Errno::IO)?;
        bytes.copy_from_slice(data);
        Ok(buffer)
    }

    /// What a `fallocate` of the loop driver means. It sends discards as it sends zeroing that may
    /// unmap: as a hole, which reads as zeroes afterwards. So a hole is never a mere discard.
    fn zeroing(&self, mode: i32) -> Result<(Unmap, u64), Errno> {
        let Discard::Supported { largest } = self.features().discard else {
            return Err(Errno::OPNOTSUPP);
        };
        let unmap = match mode & !libc::FALLOC_FL_KEEP_SIZE {
            libc::FALLOC_FL_PUNCH_HOLE => Unmap::Allowed,
            libc::FALLOC_FL_ZERO_RANGE => Unmap::Forbidden,
            _ => return Err(Errno::OPNOTSUPP),
        };
        let largest = u64::from(largest) / 4096 * 4096;
        Ok((unmap, largest.max(4096)))
    }

    fn attributes(&self, inode: INodeNo) -> Option<FileAttr> {
        let (kind, perm, size) = match inode {
            INodeNo::ROOT => (FileType::Directory, 0o700, 0),
            FILE => (
                FileType::RegularFile,
                0o600,
                self.size.load(Ordering::Acquire),
            ),
            _ => return None,
        };
        Some(fuse::attributes(inode, kind, perm, ByteCount(size)))
    }
}

impl Waiting {
    fn answer(self, result: Result<Option<Buffer>, Errno>) {
        match (self, result) {
            (Self::Read { reply, length }, Ok(Some(data))) if data.len() == length => {
                reply.data(&data);
            }
            (Self::Read { reply, .. }, Ok(_)) => reply.error(fuser::Errno::EIO),
            (Self::Read { reply, .. }, Err(e)) => reply.error(errno(e)),
            (Self::Write { reply, length }, Ok(_)) => reply.written(length),
            (Self::Write { reply, .. }, Err(e)) => reply.error(errno(e)),
            (Self::Empty(reply), Ok(_)) => reply.ok(),
            (Self::Empty(reply), Err(e)) => reply.error(errno(e)),
            (Self::Part(whole), Ok(_)) => drop(whole),
            (Self::Part(whole), Err(e)) => whole.failed(e),
        }
    }
}

impl Whole {
    fn failed(&self, error: Errno) {
        let code = error.raw_os_error();
        // Only the first error is reported, so losing this race is right.
        let _ = (self.error).compare_exchange(0, code, Ordering::AcqRel, Ordering::Acquire);
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        let Some(reply) = self.reply.take() else {
            return;
        };
        match *self.error.get_mut() {
            0 => reply.ok(),
            code => reply.error(fuser::Errno::from_i32(code)),
        }
    }
}

impl Filesystem for FileSystem {
    fn init(&mut self, _: &fuser::Request, config: &mut KernelConfig) -> std::io::Result<()> {
        // The refused limits are the kernel's nearest ones, and older kernels lack the flag: both
        // cost speed only.
        let _ = config.set_max_write(MAX_LENGTH as u32);
        let _ = config.set_max_background(MAX_BACKGROUND);
        let _ = config.add_capabilities(InitFlags::FUSE_ASYNC_DIO);
        Ok(())
    }

    fn lookup(&self, _: &fuser::Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.0.attributes(FILE) {
            Some(attributes) if parent == INodeNo::ROOT && name == self.0.name => {
                reply.entry(&ATTRIBUTES_VALID, &attributes, Generation(0));
            }
            _ => reply.error(fuser::Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &fuser::Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.0.attributes(inode) {
            Some(attributes) => reply.attr(&ATTRIBUTES_VALID, &attributes),
            None => reply.error(fuser::Errno::ENOENT),
        }
    }

    fn open(&self, _: &fuser::Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        // Without the page cache on the file, and with writes side by side: proven by data
        // verification in tests/device_fuse.rs.
        let flags = FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_PARALLEL_DIRECT_WRITES;
        reply.opened(FileHandle(0), flags);
    }

    fn statfs(&self, _: &fuser::Request, _: INodeNo, reply: ReplyStatfs) {
        // The loop driver takes the block size as the granularity of discards.
        reply.statfs(0, 0, 0, 0, 0, 4096, 255, 4096);
    }

    fn flush(
        &self,
        _: &fuser::Request,
        _: INodeNo,
        _: FileHandle,
        _: LockOwner,
        reply: ReplyEmpty,
    ) {
        // After this answer the kernel asks no more: else a dying engine would wait for itself to
        // answer the flush that closing the file sends.
        reply.error(fuser::Errno::ENOSYS);
    }

    fn read(
        &self,
        _: &fuser::Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.0.check_transfer(offset, length as usize) {
            Ok(length) => {
                let waiting = Waiting::Read {
                    reply,
                    length: length as usize,
                };
                self.0.submit(offset, Operation::Read { length }, waiting);
            }
            Err(e) => reply.error(errno(e)),
        }
    }

    fn write(
        &self,
        _: &fuser::Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let checked = self.0.check_transfer(offset, data.len());
        match checked.and_then(|length| Ok((length, self.0.copy(data)?))) {
            Ok((length, data)) => {
                self.0.dirty.store(true, Ordering::Release);
                let fua = Fua::Deferred;
                let waiting = Waiting::Write { reply, length };
                (self.0).submit(offset, Operation::Write { data, fua }, waiting);
            }
            Err(e) => reply.error(errno(e)),
        }
    }

    fn fsync(&self, _: &fuser::Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        // Setting up the loop device flushes too, at a time when the resource may not answer yet.
        if !self.0.dirty.load(Ordering::Acquire) {
            return reply.ok();
        }
        (self.0).submit(0, Operation::Flush, Waiting::Empty(reply));
    }

    fn fallocate(
        &self,
        _: &fuser::Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let checked = self.0.check(offset, length);
        let (unmap, largest) = match checked.and_then(|()| self.0.zeroing(mode)) {
            Ok(zeroing) => zeroing,
            Err(e) => return reply.error(errno(e)),
        };
        self.0.dirty.store(true, Ordering::Release);
        let whole = Arc::new(Whole {
            reply: Some(reply),
            error: AtomicI32::new(0),
        });
        let (mut at, end) = (offset, offset + length);
        while at < end {
            let part = largest.min(end - at);
            let operation = Operation::WriteZeroes {
                // `largest` came from a u32.
                length: part as u32,
                unmap,
            };
            (self.0).submit(at, operation, Waiting::Part(Arc::clone(&whole)));
            at += part;
        }
    }
}

fn errno(error: Errno) -> fuser::Errno {
    fuser::Errno::from_i32(error.raw_os_error())
}
