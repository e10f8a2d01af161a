//! The kernel's ublk driver: makes a disk and hands its requests over through io_uring. All contact
//! with crate libublk is in this file, because its interface still changes.
//!
//! One thread owns the one queue of a device. It fetches requests, reads the data of writes out of
//! the request straight into a pool buffer (`UBLK_F_USER_COPY`, Linux 6.5) and submits them to the
//! sink. A completion comes from any thread: the data of a read is put into the request there and
//! then, so that no buffer waits in a queue; the result goes on a list, and an eventfd wakes the
//! queue thread, which commits all results on the list at once.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use drbd_types::units::SECTOR_BYTES;
use drbd_types::{ByteCount, Minor, Sector};
use io_uring::{IoUring, cqueue, opcode, types};
use libublk::ctrl::{UblkCtrl, UblkCtrlBuilder};
use libublk::io::{BufDescList, UblkDev, UblkIOCtx, UblkQueue};
use libublk::{BufDesc, UblkError, UblkFlags, UblkIORes, UblkUringData, sys};
use rustix::io::Errno;

use super::names::number_in_sysfs;
use super::tags::{Committable, Expected, Results, Tags};
use super::{
    DeviceNumber, Discard, Fua, Geometry, LogicalBlock, Operation, Request, RequestId, RequestSink,
    Unmap,
};
use crate::buffer::{Buffer, MAX_LENGTH, Pool};

/// Requests in flight of a device.
const DEPTH: u16 = 128;

/// Entries of a ring for commands to the driver, of which there is one at a time.
const CONTROL_DEPTH: u32 = 4;

/// Marks our devices in the driver's own record, together with the minor ("DRBD").
const MARK: u64 = 0x4452_4244;

/// The driver's side of a device, for any thread. libublk keeps the ring for its commands per thread
/// and makes it only in the thread that made the device; in all others it would panic.
struct Control(UblkCtrl);

/// A disk that the driver made.
pub struct Device {
    control: Control,
    number: DeviceNumber,
    thread: JoinHandle<()>,
}

/// What the queue thread and the completing threads share.
pub struct Queue {
    minor: Minor,
    pool: Pool,
    sink: Arc<dyn RequestSink>,
    tags: Tags,
    results: Results,
    /// `/dev/ublkcN`, through which the data of requests is read and written.
    data: OnceLock<OwnedFd>,
    /// The front end is going: every request fails.
    dead: AtomicBool,
}

/// Whether the driver is there and new enough.
pub fn is_usable() -> bool {
    Path::new("/dev/ublk-control").exists()
        && UblkCtrl::get_features().is_some_and(|f| f & u64::from(sys::UBLK_F_USER_COPY) != 0)
}

/// Removes devices of this minor whose server died. The kernel has already failed their requests
/// and taken their disk away.
pub fn clear_remains(minor: Minor) -> io::Result<()> {
    let Ok(entries) = fs::read_dir("/sys/class/ublk-char") else {
        return Ok(());
    };
    for entry in entries {
        let name = entry?.file_name();
        let id = name.to_str().and_then(|name| name.strip_prefix("ublkc"));
        let Some(id) = id.and_then(|id| id.parse::<i32>().ok()) else {
            continue;
        };
        // Without its record it is no device of libublk's, which would complain.
        let record = Path::new(&UblkCtrl::run_dir()).join(format!("{id:04}.json"));
        if !record.exists() {
            continue;
        }
        let control = Control(UblkCtrl::new_simple(id).map_err(io_error)?);
        let info = control.0.dev_info();
        let dead = u32::from(info.state) == sys::UBLK_S_DEV_DEAD;
        if info.ublksrv_flags == mark(minor) && dead {
            control.run(UblkCtrl::del_dev_async)?;
        }
    }
    Ok(())
}

fn mark(minor: Minor) -> u64 {
    MARK << 32 | u64::from(minor.0)
}

impl Control {
    fn run<T>(&self, command: impl FnOnce(&UblkCtrl) -> Result<T, UblkError>) -> io::Result<T> {
        prepare_control_ring()
            .and_then(|()| command(&self.0))
            .map_err(io_error)
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // libublk deletes a device that was not deleted. Without a ring it panics, so this is the
        // best that can be done.
        let _ = prepare_control_ring();
    }
}

fn prepare_control_ring() -> Result<(), UblkError> {
    libublk::ublk_init_ctrl_task_ring(|ring| {
        if ring.is_none() {
            *ring = Some(IoUring::builder().build(CONTROL_DEPTH)?);
        }
        Ok(())
    })
}

impl Device {
    /// Makes the disk, served through `queue`.
    pub fn start(minor: Minor, geometry: Geometry, queue: Arc<Queue>) -> io::Result<Self> {
        let control = UblkCtrlBuilder::default()
            .name("drbd")
            .nr_queues(1)
            .depth(DEPTH)
            .io_buf_bytes(MAX_LENGTH as u32)
            .ctrl_flags(sys::UBLK_F_USER_COPY.into())
            .ctrl_target_flags(mark(minor))
            .dev_flags(UblkFlags::UBLK_DEV_F_ADD_DEV | UblkFlags::UBLK_DEV_F_DEL_DEV_ASYNC)
            .build()
            .map_err(io_error)?;
        let control = Control(control);
        let device = UblkDev::new(
            control.0.get_name(),
            |device| {
                device.tgt.dev_size = geometry.bytes().0;
                device.tgt.params = parameters(geometry);
                // Room for a commit of every request and one poll: the ring is never full.
                device.tgt.sq_depth = 2 * DEPTH;
                device.tgt.cq_depth = 4 * DEPTH;
                let data = char_device(device)?;
                queue.data.get_or_init(|| data);
                Ok(())
            },
            &control.0,
        );
        let device = Arc::new(device.map_err(io_error)?);
        let (ready, told) = channel();
        let thread = std::thread::Builder::new()
            .name(format!("drbd{minor}-ublk"))
            .spawn({
                let device = Arc::clone(&device);
                move || serve(&device, &queue, &ready)
            })?;
        // START_DEV waits for the queue, so a queue that failed must be known before.
        let thread_id = (told.recv()).map_err(|_| io::Error::other("no queue"))??;
        let started = control
            .run(|control| {
                control.set_thread_affinity(0, thread_id);
                control.configure_queue(&device, 0, thread_id)?;
                control.start_dev(&device)
            })
            .and_then(|_| {
                let disk = format!("ublkb{}", device.dev_info.dev_id);
                number_in_sysfs(OsStr::new(&disk))
            });
        match started {
            Ok(number) => Ok(Self {
                control,
                number,
                thread,
            }),
            Err(e) => {
                control.run(UblkCtrl::stop_dev)?;
                control.run(UblkCtrl::del_dev_async)?;
                Err(e)
            }
        }
    }

    /// The number of the disk.
    pub fn number(&self) -> DeviceNumber {
        self.number
    }

    /// Tells the driver another size (Linux 6.16).
    pub fn update_size(&self, size: ByteCount) -> io::Result<()> {
        self.control
            .run(|control| control.update_size(size.0))
            .map(drop)
    }

    /// Takes the disk away from whoever has it open.
    pub fn remove(self) -> io::Result<()> {
        // The driver waits for the requests in flight, which complete as ever, then ends the queue.
        self.control.run(UblkCtrl::stop_dev)?;
        (self.thread.join()).map_err(|_| io::Error::other("the queue thread panicked"))?;
        // Without waiting: somebody may still hold the disk that is no more.
        self.control.run(UblkCtrl::del_dev_async).map(drop)
    }
}

/// A handle of our own to the device through which data moves; its requests end with the device.
fn char_device(device: &UblkDev) -> Result<OwnedFd, UblkError> {
    // SAFETY: libublk keeps this descriptor open as long as the device, which is borrowed here.
    let fd = unsafe { BorrowedFd::borrow_raw(device.tgt.fds[0]) };
    Ok(fd.try_clone_to_owned()?)
}

fn parameters(geometry: Geometry) -> sys::ublk_params {
    let mut parameters = sys::ublk_params {
        types: sys::UBLK_PARAM_TYPE_BASIC,
        basic: sys::ublk_param_basic {
            attrs: sys::UBLK_ATTR_VOLATILE_CACHE | sys::UBLK_ATTR_FUA,
            logical_bs_shift: match geometry.features.block {
                LogicalBlock::Bytes512 => 9,
                LogicalBlock::Bytes4096 => 12,
            },
            physical_bs_shift: 12,
            io_opt_shift: 12,
            io_min_shift: 12,
            max_sectors: (MAX_LENGTH as u64 / SECTOR_BYTES) as u32,
            dev_sectors: geometry.size.0,
            ..Default::default()
        },
        ..Default::default()
    };
    if let Discard::Supported { largest } = geometry.features.discard {
        let sectors = largest / SECTOR_BYTES as u32;
        parameters.types |= sys::UBLK_PARAM_TYPE_DISCARD;
        parameters.discard = sys::ublk_param_discard {
            discard_granularity: 4096,
            max_discard_sectors: sectors,
            max_write_zeroes_sectors: sectors,
            max_discard_segments: 1,
            ..Default::default()
        };
    }
    parameters
}

/// The queue thread: until the driver ends the queue.
fn serve(device: &UblkDev, shared: &Queue, ready: &Sender<io::Result<i32>>) {
    let thread_id = UblkCtrl::init_queue_thread();
    let queue = UblkQueue::new(0, device)
        .and_then(|queue| queue.submit_fetch_commands_unified(BufDescList::Slices(None)))
        .and_then(|queue| shared.await_completions(&queue).map(|()| queue));
    let (queue, outcome) = match queue {
        Ok(queue) => (Some(queue), Ok(thread_id)),
        Err(e) => (None, Err(io_error(e))),
    };
    // The one who waits for this ends only after it arrived.
    let _ = ready.send(outcome);
    let Some(queue) = queue else {
        return;
    };
    let mut done = Vec::with_capacity(DEPTH.into());
    loop {
        let handle = |user_data: u64, event: &cqueue::Entry, _| {
            let tag = UblkIOCtx::user_data_to_tag(user_data) as u16;
            if user_data & UblkUringData::Target as u64 != 0 {
                shared.commit(&queue, &mut done);
            } else if event.result() == sys::UBLK_IO_RES_OK.cast_signed() {
                shared.take(tag, queue.get_iod(tag));
            }
        };
        match queue.flush_and_wake_io_tasks(handle, 1) {
            Ok(_) => {}
            // A signal, a stopped and continued process, a shortage that passes.
            Err(UblkError::IOError(e)) if is_transient(&e) => {}
            Err(_) => break,
        }
    }
}

fn is_transient(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::INTR | Errno::AGAIN | Errno::BUSY))
}

impl Queue {
    /// A queue that hands requests to the sink.
    pub fn new(minor: Minor, pool: Pool, sink: Arc<dyn RequestSink>) -> io::Result<Self> {
        Ok(Self {
            minor,
            pool,
            sink,
            tags: Tags::new(DEPTH),
            results: Results::new(DEPTH)?,
            data: OnceLock::new(),
            dead: AtomicBool::new(false),
        })
    }

    /// A request has arrived.
    fn take(&self, tag: u16, request: &sys::ublksrv_io_desc) {
        let bytes = u64::from(request.nr_sectors) * SECTOR_BYTES;
        let Ok(length) = u32::try_from(bytes) else {
            return self.finish(tag, -Errno::INVAL.raw_os_error());
        };
        let operation = match self.operation(tag, request.op_flags, length) {
            Ok(operation) => operation,
            Err(e) => return self.finish(tag, -e.raw_os_error()),
        };
        let expected = match operation {
            Operation::Read { .. } => Expected::Data(length),
            _ => Expected::Done(length),
        };
        let Some(id) = self.tags.begin(tag, expected) else {
            return self.finish(tag, -Errno::INVAL.raw_os_error());
        };
        // After the beginning: either this sees the flag or `fail_everything` sees the request.
        if self.dead.load(Ordering::SeqCst) {
            return self.complete(id, Err(Errno::IO));
        }
        let sector = match operation {
            // The driver leaves a position there that means nothing.
            Operation::Flush => Sector(0),
            _ => Sector(request.start_sector),
        };
        self.sink.submit(
            self.minor,
            Request {
                id,
                sector,
                operation,
            },
        );
    }

    fn operation(&self, tag: u16, op_flags: u32, length: u32) -> Result<Operation, Errno> {
        let transfer = length as usize <= MAX_LENGTH;
        match op_flags & 0xff {
            sys::UBLK_IO_OP_READ if transfer => Ok(Operation::Read { length }),
            sys::UBLK_IO_OP_WRITE if transfer => Ok(Operation::Write {
                data: self.fetch(tag, length as usize)?,
                fua: match op_flags & sys::UBLK_IO_F_FUA {
                    0 => Fua::Deferred,
                    _ => Fua::Forced,
                },
            }),
            sys::UBLK_IO_OP_FLUSH => Ok(Operation::Flush),
            sys::UBLK_IO_OP_DISCARD => Ok(Operation::Discard { length }),
            sys::UBLK_IO_OP_WRITE_ZEROES => Ok(Operation::WriteZeroes {
                length,
                unmap: match op_flags & sys::UBLK_IO_F_NOUNMAP {
                    0 => Unmap::Allowed,
                    _ => Unmap::Forbidden,
                },
            }),
            _ => Err(Errno::OPNOTSUPP),
        }
    }

    /// The data of a write. Waits for memory, which is the back pressure; completions go on
    /// meanwhile except that they are not committed, and they hold no memory.
    fn fetch(&self, tag: u16, length: usize) -> Result<Buffer, Errno> {
        let mut buffer = self.pool.allocate_waiting(length).ok_or(Errno::NOMEM)?;
        let mut rest = buffer.unique_mut().ok_or(Errno::IO)?;
        let mut offset = data_offset(tag);
        while !rest.is_empty() {
            let count = rustix::io::pread(self.data()?, &mut *rest, offset)?;
            if count == 0 {
                return Err(Errno::IO);
            }
            rest = &mut rest[count..];
            offset += count as u64;
        }
        Ok(buffer)
    }

    fn store(&self, tag: u16, mut data: &[u8]) -> Result<(), Errno> {
        let mut offset = data_offset(tag);
        while !data.is_empty() {
            let count = rustix::io::pwrite(self.data()?, data, offset)?;
            if count == 0 {
                return Err(Errno::IO);
            }
            data = &data[count..];
            offset += count as u64;
        }
        Ok(())
    }

    fn data(&self) -> Result<&OwnedFd, Errno> {
        self.data.get().ok_or(Errno::NODEV)
    }

    /// Ends a request; one that is not in flight is ignored.
    pub fn complete(&self, id: RequestId, result: Result<Option<Buffer>, Errno>) {
        let Some((tag, expected)) = self.tags.claim(id) else {
            return;
        };
        let outcome = result.and_then(|data| match (expected, data) {
            (Expected::Data(length), Some(data)) if data.len() == length as usize => {
                self.store(tag, &data).map(|()| length)
            }
            (Expected::Data(_), _) => Err(Errno::IO),
            (Expected::Done(length), _) => Ok(length),
        });
        // The kernel wants the bytes transferred; no length exceeds `i32::MAX`, the largest being a
        // discard of 128 MiB.
        self.finish(
            tag,
            outcome.map_or_else(|e| -e.raw_os_error(), u32::cast_signed),
        );
    }

    /// From now on every request, also those in flight, fails with `EIO`.
    pub fn fail_everything(&self) {
        self.dead.store(true, Ordering::SeqCst);
        for id in self.tags.in_flight() {
            self.complete(id, Err(Errno::IO));
        }
    }

    fn finish(&self, tag: u16, result: i32) {
        self.results.push(Committable { tag, result });
    }

    /// Commits what is on the list; `done` is the memory of the list to come.
    fn commit(&self, queue: &UblkQueue<'_>, done: &mut Vec<Committable>) {
        self.results.take(done);
        for Committable { tag, result } in done.drain(..) {
            let result = Ok(UblkIORes::Result(result));
            let committed = queue.complete_io_cmd_unified(tag, BufDesc::Slice(&[]), result);
            debug_assert!(
                committed.is_ok(),
                "an empty slice suits user copy: {committed:?}"
            );
        }
        let waiting = self.await_completions(queue);
        debug_assert!(
            waiting.is_ok(),
            "the ring takes one more entry: {waiting:?}"
        );
    }

    /// Asks the ring of the queue to report once that the eventfd is readable.
    fn await_completions(&self, queue: &UblkQueue<'_>) -> Result<(), UblkError> {
        let poll = opcode::PollAdd::new(types::Fd(self.results.wake_fd()), libc::POLLIN as u32)
            .build()
            .user_data(UblkIOCtx::build_user_data(0, 0, 0, true));
        queue.ublk_submit_sqe_sync(poll)
    }
}

/// Where the data of a request is in the character device.
fn data_offset(tag: u16) -> u64 {
    UblkIOCtx::ublk_user_copy_pos(0, tag, 0)
}

fn io_error(error: UblkError) -> io::Error {
    match error {
        UblkError::IOError(e) => e,
        UblkError::OtherError(code) | UblkError::UringIOError(code) if code < 0 => {
            io::Error::from_raw_os_error(-code)
        }
        other => io::Error::other(other.to_string()),
    }
}
