//! Page-aligned, pooled, reference counted payload buffers: the only place where request data lives.
//!
//! A front end copies a write into a [`Buffer`] once; the disk, the network and the replication
//! core then share it by handle. Memory comes from a [`Pool`] with a hard limit, in size classes
//! of a power of two from 4 KiB to 1 MiB, and goes back to it when the last handle is dropped.
//! In the steady state neither taking nor giving back a buffer calls the allocator: a chunk keeps
//! its reference count beside its memory, and both stay on the pool's free list.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use drbd_types::ByteCount;

/// Alignment of every buffer, in bytes: what O_DIRECT needs on any disk in use.
pub const ALIGNMENT: usize = 4096;

/// The longest buffer a pool hands out, in bytes: the largest request that the block layer is told to send.
pub const MAX_LENGTH: usize = 1 << 20;

/// Number of size classes: 4 KiB, 8 KiB ... 1 MiB.
const CLASSES: usize = (MAX_LENGTH / ALIGNMENT).trailing_zeros() as usize + 1;

/// A bounded supply of [`Buffer`]s; a clone is another handle to the same supply.
#[derive(Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

/// A share of a piece of pool memory; a clone shares the same bytes.
pub struct Buffer {
    chunk: NonNull<Chunk>,
    offset: usize,
    length: usize,
}

struct Shared {
    limit: u64,
    state: Mutex<State>,
    /// Signalled when memory comes back while somebody waits for it.
    returned: Condvar,
}

#[derive(Default)]
struct State {
    free: [Vec<Idle>; CLASSES],
    /// Bytes of all chunks, in use or idle; never above the limit.
    reserved: u64,
    /// Bytes of the chunks that buffers hold.
    in_use: u64,
    waiters: usize,
}

/// A chunk that no buffer refers to: exclusively owned by the free list that holds it.
struct Idle(NonNull<Chunk>);

/// One allocation of a class and its reference count.
struct Chunk {
    memory: NonNull<u8>,
    class: usize,
    references: AtomicUsize,
    /// Set while buffers refer to the chunk, so that the pool outlives them; `None` on the free list.
    pool: Option<Arc<Shared>>,
}

impl Pool {
    /// A pool that never holds more than `limit` bytes, idle memory included.
    pub fn new(limit: ByteCount) -> Self {
        Self {
            shared: Arc::new(Shared {
                limit: limit.0,
                state: Mutex::default(),
                returned: Condvar::new(),
            }),
        }
    }

    /// A buffer of `length` bytes whose content is unspecified (but initialised); `None` when the
    /// limit is reached or `length` is above [`MAX_LENGTH`].
    pub fn allocate(&self, length: usize) -> Option<Buffer> {
        let class = class_of(length)?;
        let idle = self.shared.take(&mut self.shared.lock(), class)?;
        Some(self.hand_out(idle, length))
    }

    /// The same, but waits until memory is given back; `None` only if the pool can never supply it.
    ///
    /// For threads of a front end, where waiting is the back pressure that the block layer
    /// understands; not for a thread that others need to give memory back.
    pub fn allocate_waiting(&self, length: usize) -> Option<Buffer> {
        let class = class_of(length)?;
        if class_bytes(class) > self.shared.limit {
            return None;
        }
        let mut state = self.shared.lock();
        let idle = loop {
            if let Some(idle) = self.shared.take(&mut state, class) {
                break idle;
            }
            state.waiters += 1;
            state = (self.shared.returned.wait(state)).unwrap_or_else(PoisonError::into_inner);
            state.waiters -= 1;
        };
        drop(state);
        Some(self.hand_out(idle, length))
    }

    /// Makes sure that `count` buffers of `length` bytes are on the free list, so that the first
    /// requests need no allocator either. Returns how many there are; fewer when the limit is reached.
    pub fn prepare(&self, length: usize, count: usize) -> usize {
        let Some(class) = class_of(length) else {
            return 0;
        };
        let mut state = self.shared.lock();
        while state.free[class].len() < count {
            match self.shared.grow(&mut state, class) {
                Some(idle) => state.free[class].push(idle),
                None => break,
            }
        }
        state.free[class].len()
    }

    /// Bytes that buffers hold now, counted in whole size classes.
    pub fn in_use(&self) -> ByteCount {
        ByteCount(self.shared.lock().in_use)
    }

    /// The most bytes this pool will ever hold.
    pub fn limit(&self) -> ByteCount {
        ByteCount(self.shared.limit)
    }

    fn hand_out(&self, idle: Idle, length: usize) -> Buffer {
        let mut chunk = ManuallyDrop::new(idle).0;
        // SAFETY: the chunk was on a free list (or is new), so nobody else refers to it.
        let fields = unsafe { chunk.as_mut() };
        fields.pool = Some(Arc::clone(&self.shared));
        *fields.references.get_mut() = 1;
        Buffer {
            chunk,
            offset: 0,
            length,
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere cannot leave the lists inconsistent: every change is one push or pop
        // with the counters beside it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An idle or a new chunk, now counted as in use.
    fn take(&self, state: &mut State, class: usize) -> Option<Idle> {
        let idle = match state.free[class].pop() {
            Some(idle) => idle,
            None => self.grow(state, class)?,
        };
        state.in_use += class_bytes(class);
        Some(idle)
    }

    /// A new chunk within the limit, at the price of idle chunks of other classes if need be.
    fn grow(&self, state: &mut State, class: usize) -> Option<Idle> {
        let bytes = class_bytes(class);
        if state.in_use.saturating_add(bytes) > self.limit {
            return None;
        }
        while state.reserved + bytes > self.limit {
            let largest = state.free.iter().rposition(|list| !list.is_empty())?;
            drop(state.free[largest].pop());
            state.reserved -= class_bytes(largest);
        }
        let idle = Idle::new(class)?;
        state.reserved += bytes;
        Some(idle)
    }

    fn put_back(&self, class: usize, idle: Idle) {
        let mut state = self.lock();
        state.in_use -= class_bytes(class);
        state.free[class].push(idle);
        let waiters = state.waiters;
        drop(state);
        if waiters > 0 {
            // All of them: a small chunk may not be what the first in line waits for.
            self.returned.notify_all();
        }
    }
}

impl Idle {
    fn new(class: usize) -> Option<Self> {
        let layout = layout_of(class);
        // SAFETY: the layout has a size of at least 4096.
        let memory = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        Some(Self(NonNull::from(Box::leak(Box::new(Chunk {
            memory,
            class,
            references: AtomicUsize::new(0),
            pool: None,
        })))))
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        // SAFETY: an idle chunk is owned by this value alone and came from `Box::leak`.
        let chunk = unsafe { Box::from_raw(self.0.as_ptr()) };
        // SAFETY: allocated in `Idle::new` with this very layout and not freed since.
        unsafe { dealloc(chunk.memory.as_ptr(), layout_of(chunk.class)) };
    }
}

impl Buffer {
    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether the buffer has no bytes.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The bytes for writing, if no other handle shares the memory.
    pub fn unique_mut(&mut self) -> Option<&mut [u8]> {
        // Acquire: what the dropped handles' threads did to the bytes happened before.
        if self.chunk().references.load(Ordering::Acquire) != 1 {
            return None;
        }
        let start = self.start();
        // SAFETY: the range is inside the chunk (kept by `slice`), its bytes are initialised since
        // `alloc_zeroed`, and this handle, borrowed mutably, is the only one.
        Some(unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), self.length) })
    }

    /// Another handle to `length` bytes from `offset` of this view; `None` if they are not all in it.
    pub fn slice(&self, offset: usize, length: usize) -> Option<Self> {
        if offset.checked_add(length)? > self.length {
            return None;
        }
        let mut view = self.clone();
        view.offset += offset;
        view.length = length;
        Some(view)
    }

    /// The address of the first byte, for the kernel to read from while a handle is kept.
    pub fn start(&self) -> NonNull<u8> {
        // SAFETY: the offset is inside the chunk's memory (kept by `slice`).
        unsafe { self.chunk().memory.add(self.offset) }
    }

    fn chunk(&self) -> &Chunk {
        // SAFETY: a chunk lives as long as a handle counts as a reference, and its fields other than
        // the count do not change while one does.
        unsafe { self.chunk.as_ref() }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the range is inside the chunk, its bytes are initialised, and they are written
        // only through `unique_mut`, which a second handle or this borrow rules out.
        unsafe { std::slice::from_raw_parts(self.start().as_ptr(), self.length) }
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        // Relaxed: the existing handle keeps the chunk alive, as in `Arc`.
        let before = self.chunk().references.fetch_add(1, Ordering::Relaxed);
        assert!(
            before < usize::MAX / 2,
            "a leak of handles must not wrap the count"
        );
        Self { ..*self }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.chunk().references.fetch_sub(1, Ordering::Release) != 1 {
            return;
        }
        // Pairs with the Release of the other handles: their accesses are over.
        fence(Ordering::Acquire);
        // SAFETY: the count is zero, so this is the only reference to the chunk.
        let fields = unsafe { self.chunk.as_mut() };
        let class = fields.class;
        let pool = fields.pool.take();
        let idle = Idle(self.chunk);
        if let Some(pool) = pool {
            pool.put_back(class, idle);
        }
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} bytes)", self.length)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Pool({} of {} bytes in use)",
            self.in_use(),
            self.limit()
        )
    }
}

// SAFETY: the bytes of a chunk are shared like those of an `Arc<[u8]>`: reads through `&Buffer`,
// writes only through the sole handle; the count is atomic.
unsafe impl Send for Buffer {}
// SAFETY: as above; `&Buffer` gives only reads and clones.
unsafe impl Sync for Buffer {}
// SAFETY: an idle chunk is owned like a `Box`.
unsafe impl Send for Idle {}

fn class_of(length: usize) -> Option<usize> {
    if length > MAX_LENGTH {
        return None;
    }
    let bytes = length.max(ALIGNMENT).next_power_of_two();
    Some((bytes / ALIGNMENT).trailing_zeros() as usize)
}

fn class_bytes(class: usize) -> u64 {
    (ALIGNMENT as u64) << class
}

fn layout_of(class: usize) -> Layout {
    Layout::from_size_align(ALIGNMENT << class, ALIGNMENT)
        .expect("classes are at most 1 MiB and the alignment is a power of two")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1024;

    fn pool(bytes: u64) -> Pool {
        Pool::new(ByteCount(bytes))
    }

    #[test]
    fn buffers_are_page_aligned_and_rounded_up_to_a_class() {
        let pool = pool(16 << 20);
        for length in [0, 1, 512, 4096, 4097, 65536, 700 * KIB, MAX_LENGTH] {
            let buffer = pool.allocate(length).unwrap();
            assert_eq!(buffer.len(), length);
            assert_eq!(buffer.start().as_ptr() as usize % ALIGNMENT, 0);
        }
        let _five = pool.allocate(5 * KIB).unwrap();
        assert_eq!(pool.in_use(), ByteCount(8192));
        assert!(pool.allocate(MAX_LENGTH + 1).is_none());
    }

    #[test]
    fn the_last_handle_gives_the_memory_back_and_the_next_request_gets_it() {
        let pool = pool(1 << 20);
        let first = pool.allocate(4096).unwrap();
        let address = first.start();
        let view = first.slice(512, 1024).unwrap();
        drop(first);
        assert_eq!(
            pool.in_use(),
            ByteCount(4096),
            "a view keeps the memory alive"
        );
        drop(view);
        assert_eq!(pool.in_use(), ByteCount(0));
        assert_eq!(pool.allocate(100).unwrap().start(), address);
    }

    #[test]
    fn the_limit_holds_and_idle_memory_of_another_class_does_not_count_against_it() {
        let pool = pool(64 * 1024);
        let small: Vec<_> = (0..16).map(|_| pool.allocate(4096).unwrap()).collect();
        assert!(pool.allocate(1).is_none());
        drop(small);
        let large = pool.allocate(64 * KIB).unwrap();
        assert!(pool.allocate(1).is_none());
        drop(large);
        assert!(pool.allocate(128 * KIB).is_none());
        assert!(
            pool.allocate_waiting(128 * KIB).is_none(),
            "must not wait forever"
        );
    }

    #[test]
    fn bytes_are_writable_only_while_nobody_shares_them() {
        let pool = pool(1 << 20);
        let mut buffer = pool.allocate(4096).unwrap();
        buffer.unique_mut().unwrap().fill(7);
        let view = buffer.slice(4000, 96).unwrap();
        assert!(buffer.unique_mut().is_none());
        assert!(view.iter().all(|b| *b == 7));
        drop(view);
        buffer.unique_mut().unwrap()[0] = 8;
        assert_eq!(buffer[..2], [8, 7]);
        assert!(buffer.slice(4000, 97).is_none());
        assert!(buffer.slice(usize::MAX, 2).is_none());
    }

    #[test]
    fn a_waiting_thread_gets_the_memory_that_another_one_drops() {
        let pool = pool(4096);
        let held = pool.allocate(4096).unwrap();
        let address = held.start().as_ptr() as usize;
        let waiter = std::thread::spawn({
            let pool = pool.clone();
            move || pool.allocate_waiting(1).unwrap().start().as_ptr() as usize
        });
        while pool.shared.lock().waiters == 0 {
            std::thread::yield_now();
        }
        drop(held);
        assert_eq!(waiter.join().unwrap(), address);
    }

    #[test]
    fn prepared_buffers_are_idle_and_bounded_by_the_limit() {
        let pool = pool(64 * 1024);
        assert_eq!(pool.prepare(4096, 8), 8);
        assert_eq!(pool.in_use(), ByteCount(0));
        assert_eq!(pool.shared.lock().reserved, 8 * 4096);
    }

    #[test]
    fn many_threads_share_and_drop_without_losing_a_byte() {
        let pool = pool(1 << 20);
        std::thread::scope(|scope| {
            for seed in 0..4_usize {
                let pool = pool.clone();
                scope.spawn(move || {
                    for round in 0..2000_usize {
                        let Some(mut buffer) = pool.allocate(4096 << ((seed + round) % 3)) else {
                            continue;
                        };
                        buffer.unique_mut().unwrap().fill(seed as u8);
                        let other = buffer.clone();
                        std::thread::scope(|inner| {
                            if round % 100 == 0 {
                                inner.spawn(|| drop(other));
                            }
                        });
                        assert!(buffer.iter().all(|b| *b == seed as u8));
                    }
                });
            }
        });
        assert_eq!(pool.in_use(), ByteCount(0));
    }
}
