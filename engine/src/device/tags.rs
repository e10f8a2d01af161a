//! Request slots of a driver that numbers them ("tags"), completed by any thread, committed by one.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::event::{EventfdFlags, eventfd};

use super::RequestId;

/// The requests in flight, one a tag.
pub struct Tags {
    slots: Box<[Slot]>,
    /// Numbers the requests, so that a late completion does not hit a later request of its tag.
    sequence: AtomicU64,
}

#[derive(Default)]
struct Slot {
    /// The id of the request in flight, 0 for none. Whoever swaps it for 0 completes the request.
    id: AtomicU64,
    /// The request's [`Expected`], packed.
    expected: AtomicU64,
}

/// What the completion of a request must bring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expected {
    /// This many bytes of data.
    Data(u32),
    /// Success alone; the length of the request in bytes.
    Done(u32),
}

/// Results on their way to the thread that commits them.
pub struct Results {
    list: Mutex<Vec<Committable>>,
    wake: OwnedFd,
}

/// A result to commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Committable {
    /// Whose.
    pub tag: u16,
    /// Bytes, or a negative errno.
    pub result: i32,
}

impl Tags {
    /// Nothing in flight.
    pub fn new(depth: u16) -> Self {
        Self {
            slots: (0..depth).map(|_| Slot::default()).collect(),
            sequence: AtomicU64::new(1),
        }
    }

    /// A request came under this tag. `None` for a tag beyond the depth.
    pub fn begin(&self, tag: u16, expected: Expected) -> Option<RequestId> {
        let slot = self.slots.get(usize::from(tag))?;
        slot.expected.store(expected.pack(), Ordering::Relaxed);
        let id = self.sequence.fetch_add(1, Ordering::Relaxed) << 16 | u64::from(tag);
        slot.id.store(id, Ordering::SeqCst);
        Some(RequestId(id))
    }

    /// Makes the caller the one who completes this request; `None` if it is not in flight (any more).
    pub fn claim(&self, id: RequestId) -> Option<(u16, Expected)> {
        let tag = id.0 as u16;
        let slot = self.slots.get(usize::from(tag))?;
        // If the exchange succeeds, this is what `begin` stored before it gave out the id.
        let expected = Expected::unpack(slot.expected.load(Ordering::Relaxed));
        let claimed = (slot.id).compare_exchange(id.0, 0, Ordering::SeqCst, Ordering::SeqCst);
        (id.0 != 0 && claimed.is_ok()).then_some((tag, expected))
    }

    /// The requests that are in flight now.
    pub fn in_flight(&self) -> impl Iterator<Item = RequestId> {
        let ids = self.slots.iter().map(|s| s.id.load(Ordering::SeqCst));
        ids.filter(|id| *id != 0).map(RequestId)
    }
}

impl Expected {
    fn pack(self) -> u64 {
        match self {
            Self::Data(length) => u64::from(length) | 1 << 32,
            Self::Done(length) => u64::from(length),
        }
    }

    fn unpack(word: u64) -> Self {
        let length = word as u32;
        match word >> 32 {
            0 => Self::Done(length),
            _ => Self::Data(length),
        }
    }
}

impl Results {
    /// An empty list with room for `depth` results.
    pub fn new(depth: u16) -> io::Result<Self> {
        Ok(Self {
            list: Mutex::new(Vec::with_capacity(depth.into())),
            wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        })
    }

    /// Puts a result on the list and sees to it that the committing thread looks.
    pub fn push(&self, result: Committable) {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.push(result);
        let first = list.len() == 1;
        drop(list);
        if first {
            // Fails only if the counter is about to overflow: then it is readable anyhow.
            let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
        }
    }

    /// Exchanges the list for an empty one.
    pub fn take(&self, empty: &mut Vec<Committable>) {
        // Before the exchange: whoever fills the list afterwards writes anew. Nothing to read is fine.
        let _ = rustix::io::read(&self.wake, &mut [0_u8; 8]);
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut *list, empty);
    }

    /// Readable while there may be something on the list.
    pub fn wake_fd(&self) -> RawFd {
        self.wake.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_claimed_once_and_a_late_claim_misses_the_next_one_of_its_tag() {
        let tags = Tags::new(4);
        let first = tags.begin(3, Expected::Data(4096)).unwrap();
        assert_eq!(tags.claim(first), Some((3, Expected::Data(4096))));
        assert_eq!(tags.claim(first), None);
        let second = tags.begin(3, Expected::Done(512)).unwrap();
        assert_eq!(tags.claim(first), None);
        assert_eq!(tags.in_flight().collect::<Vec<_>>(), [second]);
        assert_eq!(tags.claim(second), Some((3, Expected::Done(512))));
        assert_eq!(tags.begin(4, Expected::Done(0)), None);
        for nonsense in [0, 9, u64::MAX] {
            assert_eq!(tags.claim(RequestId(nonsense)), None);
        }
    }

    #[test]
    fn of_many_threads_exactly_one_completes_a_request() {
        let tags = Tags::new(1);
        for _ in 0..200 {
            let id = tags.begin(0, Expected::Done(1)).unwrap();
            let claims = std::thread::scope(|scope| {
                let threads = [(); 4].map(|()| scope.spawn(|| tags.claim(id).is_some()));
                threads.map(|t| t.join().unwrap())
            });
            assert_eq!(claims.iter().filter(|claimed| **claimed).count(), 1);
        }
    }

    #[test]
    fn the_committing_thread_is_woken_once_for_all_results_on_the_list() {
        let results = Results::new(8).unwrap();
        let readable = || {
            let mut count = [0_u8; 8];
            rustix::io::read(&results.wake, &mut count).map(|_| u64::from_ne_bytes(count))
        };
        for tag in 0..3 {
            results.push(Committable { tag, result: 0 });
        }
        assert_eq!(readable(), Ok(1));
        let mut list = Vec::new();
        results.take(&mut list);
        assert_eq!(list.iter().map(|r| r.tag).collect::<Vec<_>>(), [0, 1, 2]);
        assert!(readable().is_err());
        results.push(Committable { tag: 7, result: -5 });
        assert_eq!(readable(), Ok(1));
    }
}
