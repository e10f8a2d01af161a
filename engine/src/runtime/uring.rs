//! A safe face on io_uring: operations own the memory that the kernel works on until they end.
//!
//! This file and `buffer.rs` hold all `unsafe` of the runtime. The invariant: a [`Flight`] in the
//! table keeps the descriptor and the memory of one submitted operation; it leaves the table only
//! when the kernel has reported the operation's end, or is leaked when the kernel can no longer
//! be asked.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use io_uring::types::{CancelBuilder, Fd, FsyncFlags, SubmitArgs, Timespec};
use io_uring::{IoUring, opcode, squeue};

use super::message::Message;
use crate::buffer::Buffer;
use crate::device::Unmap;

/// Operations that can wait for submission at once; more are queued in memory.
const ENTRIES: u32 = 1024;
/// `user_data` of the operation that cancels all others.
const CANCEL: u64 = u64::MAX;

/// One ring, used by the thread that made it. `T` is what the caller wants to know again when an
/// operation ends.
pub struct Uring<T> {
    ring: IoUring,
    flights: Vec<Option<Flight<T>>>,
    free: Vec<u32>,
    /// Entries that did not fit into the submission queue.
    backlog: VecDeque<squeue::Entry>,
}

struct Flight<T> {
    tag: T,
    _file: Arc<OwnedFd>,
    memory: Memory,
}

/// What an operation worked on, handed back when it ends.
#[derive(Debug)]
pub enum Memory {
    /// Nothing: flush, poll.
    None,
    /// A buffer that was read into or written from.
    Buffer(Buffer),
    /// A message that was sent, perhaps in part.
    Sending(Box<Sending>),
}

/// The end of an operation.
#[derive(Debug)]
pub struct Done<T> {
    /// As given.
    pub tag: T,
    /// Bytes, or the error.
    pub result: io::Result<u32>,
    /// As given.
    pub memory: Memory,
}

/// Whether a write is on stable storage when it ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sync {
    /// It may stay in a volatile cache.
    Cached,
    /// Data (and what is needed to find it) is stable.
    Data,
}

/// A message together with the structures through which the kernel reads it.
#[derive(Debug)]
pub struct Sending {
    message: Message,
    iovecs: Vec<libc::iovec>,
    header: libc::msghdr,
}

// SAFETY: the pointers in `iovecs` and `header` are only meaningful while the operation is in
// flight, and refer to memory that this value owns; between operations nobody reads them.
unsafe impl Send for Sending {}

impl Sending {
    /// An empty message.
    pub fn new() -> Box<Self> {
        Box::new(Self {
            message: Message::default(),
            iovecs: Vec::new(),
            // SAFETY: msghdr is plain data for which all zeroes is the empty message.
            header: unsafe { mem::zeroed() },
        })
    }

    /// The message, to be filled or advanced.
    pub fn message(&mut self) -> &mut Message {
        &mut self.message
    }

    /// Points the kernel structures at what is left to send.
    fn prepare(&mut self) -> *const libc::msghdr {
        self.iovecs.clear();
        self.iovecs
            .extend(self.message.unsent().map(|bytes| libc::iovec {
                iov_base: bytes.as_ptr().cast_mut().cast(),
                iov_len: bytes.len(),
            }));
        self.header.msg_iov = self.iovecs.as_mut_ptr();
        self.header.msg_iovlen = self.iovecs.len() as _;
        &raw const self.header
    }
}

impl<T> Uring<T> {
    /// A ring for the calling thread.
    pub fn new() -> io::Result<Self> {
        // Completions are delivered when this thread asks, not by interrupting it (Linux 6.1).
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .dontfork()
            .build(ENTRIES)
            .or_else(|_| IoUring::builder().dontfork().build(ENTRIES))?;
        Ok(Self {
            ring,
            flights: Vec::new(),
            free: Vec::new(),
            backlog: VecDeque::new(),
        })
    }

    /// How many operations have not ended.
    pub fn in_flight(&self) -> usize {
        self.flights.len() - self.free.len()
    }

    /// Reads from a file into the whole of a fresh buffer.
    pub fn read(&mut self, file: &Arc<OwnedFd>, offset: u64, mut buffer: Buffer, tag: T) {
        let bytes = writable(&mut buffer);
        let entry = opcode::Read::new(fd(file), bytes.as_mut_ptr(), length(bytes))
            .offset(offset)
            .build();
        self.launch(entry, file, Memory::Buffer(buffer), tag);
    }

    /// Writes a buffer to a file.
    pub fn write(&mut self, file: &Arc<OwnedFd>, offset: u64, data: Buffer, sync: Sync, tag: T) {
        let flags = match sync {
            Sync::Cached => 0,
            Sync::Data => libc::RWF_DSYNC,
        };
        let entry = opcode::Write::new(fd(file), data.as_ptr(), length(&data))
            .offset(offset)
            .rw_flags(flags)
            .build();
        self.launch(entry, file, Memory::Buffer(data), tag);
    }

    /// Flushes a file's data and the caches below it.
    pub fn flush(&mut self, file: &Arc<OwnedFd>, tag: T) {
        let entry = opcode::Fsync::new(fd(file))
            .flags(FsyncFlags::DATASYNC)
            .build();
        self.launch(entry, file, Memory::None, tag);
    }

    /// Zeroes a range, or gives it back so that it reads as zeroes.
    pub fn zero(&mut self, file: &Arc<OwnedFd>, range: Range<u64>, unmap: Unmap, tag: T) {
        let mode = libc::FALLOC_FL_KEEP_SIZE
            | match unmap {
                Unmap::Allowed => libc::FALLOC_FL_PUNCH_HOLE,
                Unmap::Forbidden => libc::FALLOC_FL_ZERO_RANGE,
            };
        let entry = opcode::Fallocate::new(fd(file), range.end - range.start)
            .offset(range.start)
            .mode(mode)
            .build();
        self.launch(entry, file, Memory::None, tag);
    }

    /// Receives some bytes into a part of a buffer that nobody shares.
    pub fn receive(
        &mut self,
        socket: &Arc<OwnedFd>,
        mut buffer: Buffer,
        range: Range<usize>,
        amount: Amount,
        tag: T,
    ) {
        let flags = match amount {
            Amount::Some => 0,
            Amount::All => libc::MSG_WAITALL,
        };
        let bytes = &mut writable(&mut buffer)[range];
        let entry = opcode::Recv::new(fd(socket), bytes.as_mut_ptr(), length(bytes))
            .flags(flags)
            .build();
        self.launch(entry, socket, Memory::Buffer(buffer), tag);
    }

    /// Sends what is left of a message; the result tells how much of it went.
    pub fn send(&mut self, socket: &Arc<OwnedFd>, mut sending: Box<Sending>, tag: T) {
        let header = sending.prepare();
        let entry = opcode::SendMsg::new(fd(socket), header)
            .flags(libc::MSG_NOSIGNAL as u32)
            .build();
        self.launch(entry, socket, Memory::Sending(sending), tag);
    }

    /// Ends once the descriptor is readable.
    pub fn poll_readable(&mut self, file: &Arc<OwnedFd>, tag: T) {
        let entry = opcode::PollAdd::new(fd(file), libc::POLLIN as u32).build();
        self.launch(entry, file, Memory::None, tag);
    }

    /// Hands everything to the kernel; waits for at least one end, at most so long. With zero it
    /// only submits and collects.
    pub fn submit_and_wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.refill()?;
        let want =
            usize::from(timeout != Some(Duration::ZERO) && self.ring.completion().is_empty());
        let result = match timeout {
            Some(limit) if want > 0 => {
                let limit = Timespec::from(limit);
                let args = SubmitArgs::new().timespec(&limit);
                self.ring.submitter().submit_with_args(want, &args)
            }
            _ => self.ring.submit_and_wait(want),
        };
        match result {
            Ok(_) => Ok(()),
            Err(e) if transient(&e) => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// The next operation that ended.
    pub fn next_done(&mut self) -> Option<Done<T>> {
        loop {
            let entry = self.ring.completion().next()?;
            let index = entry.user_data();
            if index == CANCEL {
                continue;
            }
            // The kernel reports each of our numbers once; anything else is ignored.
            let slot = usize::try_from(index).ok()?;
            let Some(flight) = self.flights.get_mut(slot).and_then(Option::take) else {
                continue;
            };
            self.free.push(slot as u32);
            return Some(Done {
                tag: flight.tag,
                result: match entry.result() {
                    error if error < 0 => Err(io::Error::from_raw_os_error(-error)),
                    bytes => Ok(bytes as u32),
                },
                memory: flight.memory,
            });
        }
    }

    fn launch(&mut self, entry: squeue::Entry, file: &Arc<OwnedFd>, memory: Memory, tag: T) {
        let flight = Flight {
            tag,
            _file: Arc::clone(file),
            memory,
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.flights[slot as usize] = Some(flight);
                slot
            }
            None => {
                self.flights.push(Some(flight));
                (self.flights.len() - 1) as u32
            }
        };
        let entry = entry.user_data(u64::from(slot));
        if !self.backlog.is_empty() || !self.push(&entry) {
            self.backlog.push_back(entry);
        }
    }

    /// Puts an entry into the submission queue, if there is room.
    fn push(&mut self, entry: &squeue::Entry) -> bool {
        // SAFETY: the entry's descriptor and memory are owned by its flight, which stays in the
        // table until the operation has ended (`next_done`) or is leaked (`Drop`); moving the
        // flight does not move them, as all of them live on the heap.
        unsafe { self.ring.submission().push(entry) }.is_ok()
    }

    /// Moves the backlog into the submission queue, submitting on the way.
    fn refill(&mut self) -> io::Result<()> {
        while let Some(entry) = self.backlog.pop_front() {
            if self.push(&entry) {
                continue;
            }
            self.backlog.push_front(entry);
            match self.ring.submit() {
                Ok(_) => {}
                // The completion queue is full: the caller drains it and comes back.
                Err(e) if transient(&e) => return Ok(()),
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn cancel_everything(&mut self) -> io::Result<()> {
        self.refill()?;
        let entry = opcode::AsyncCancel2::new(CancelBuilder::any().all())
            .build()
            .user_data(CANCEL);
        if !self.push(&entry) {
            self.ring.submit()?;
            self.push(&entry);
        }
        while self.in_flight() > 0 {
            self.submit_and_wait(Some(Duration::from_millis(100)))?;
            while self.next_done().is_some() {}
        }
        Ok(())
    }
}

impl<T> Drop for Uring<T> {
    fn drop(&mut self) {
        if self.cancel_everything().is_err() {
            // The kernel may still use the memory: never give it back.
            mem::forget(mem::take(&mut self.flights));
        }
    }
}

/// How much a receive waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Amount {
    /// Whatever is there first.
    Some,
    /// The whole range, unless the stream ends.
    All,
}

fn fd(file: &Arc<OwnedFd>) -> Fd {
    Fd(file.as_raw_fd())
}

fn length(bytes: &[u8]) -> u32 {
    // Buffers have at most 1 MiB.
    bytes.len() as u32
}

fn writable(buffer: &mut Buffer) -> &mut [u8] {
    buffer
        .unique_mut()
        .expect("the runtime reads only into buffers that it has just taken from the pool")
}

fn transient(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::Pool;
    use drbd_types::ByteCount;
    use std::os::unix::net::UnixStream;

    fn wait<T>(ring: &mut Uring<T>) -> Done<T> {
        loop {
            if let Some(done) = ring.next_done() {
                return done;
            }
            ring.submit_and_wait(None).unwrap();
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let pool = Pool::new(ByteCount(1 << 20));
        let file: Arc<OwnedFd> = Arc::new(tempfile::tempfile().unwrap().into());
        let mut ring = Uring::new().unwrap();
        let mut data = pool.allocate(8192).unwrap();
        data.unique_mut().unwrap().fill(0x5a);
        ring.write(&file, 4096, data, Sync::Data, 1);
        let done = wait(&mut ring);
        assert_eq!((done.tag, done.result.unwrap()), (1, 8192));
        ring.flush(&file, 2);
        assert_eq!(wait(&mut ring).result.unwrap(), 0);
        ring.read(&file, 8192, pool.allocate(4096).unwrap(), 3);
        let done = wait(&mut ring);
        let Memory::Buffer(read) = done.memory else {
            panic!("a read returns its buffer");
        };
        assert_eq!(done.result.unwrap(), 4096);
        assert!(read.iter().all(|b| *b == 0x5a));
        assert_eq!(ring.in_flight(), 0);
    }

    #[test]
    fn a_message_arrives_as_one_piece_of_head_and_payload() {
        let pool = Pool::new(ByteCount(1 << 20));
        let (a, b) = UnixStream::pair().unwrap();
        let (a, b) = (Arc::new(OwnedFd::from(a)), Arc::new(OwnedFd::from(b)));
        let mut ring = Uring::new().unwrap();
        let mut payload = pool.allocate(4096).unwrap();
        payload.unique_mut().unwrap().fill(7);
        let mut sending = Sending::new();
        let encode = |head: &mut Vec<u8>| {
            head.extend_from_slice(b"head");
            Ok::<(), ()>(())
        };
        sending.message().push(encode, Some(payload)).unwrap();
        ring.send(&a, sending, "send");
        assert_eq!(wait(&mut ring).result.unwrap(), 4100);
        let into = pool.allocate(4100).unwrap();
        ring.receive(&b, into, 0..4100, Amount::All, "receive");
        let done = wait(&mut ring);
        let Memory::Buffer(got) = done.memory else {
            panic!("a receive returns its buffer");
        };
        assert_eq!(&got[..4], b"head");
        assert!(got[4..].iter().all(|b| *b == 7));
    }

    #[test]
    fn a_ring_with_a_pending_receive_can_be_dropped() {
        let pool = Pool::new(ByteCount(1 << 20));
        let (a, _b) = UnixStream::pair().unwrap();
        let mut ring = Uring::new().unwrap();
        let buffer = pool.allocate(4096).unwrap();
        ring.receive(&Arc::new(a.into()), buffer, 0..4096, Amount::Some, ());
        ring.submit_and_wait(Some(Duration::ZERO)).unwrap();
        drop(ring);
        assert_eq!(pool.in_use(), ByteCount(0));
    }

    #[test]
    fn more_operations_than_queue_entries_all_end() {
        let pool = Pool::new(ByteCount(64 << 20));
        let file: Arc<OwnedFd> = Arc::new(tempfile::tempfile().unwrap().into());
        let mut ring = Uring::new().unwrap();
        let count = 3 * ENTRIES as usize;
        for n in 0..count {
            let data = pool.allocate(512).unwrap();
            ring.write(&file, n as u64 * 512, data, Sync::Cached, n);
        }
        let mut seen = vec![false; count];
        for _ in 0..count {
            seen[wait(&mut ring).tag] = true;
        }
        assert!(seen.iter().all(|s| *s));
    }
}
