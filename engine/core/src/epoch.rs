//! Epochs: the writer's transfer log and the receiver's count (spec 60 section 8.5).

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use drbd_types::VolumeNr;
use drbd_wire::{BarrierAck, BarrierId};

use crate::input::IoId;
use crate::slab::Key;
use crate::time::Instant;

/// All writes that were sent and whose epoch has no BarrierAck yet.
pub(crate) struct TransferLog {
    current: Epoch,
    closed: VecDeque<Epoch>,
    spare: Vec<Vec<Key>>,
    past: Past,
}

#[derive(Default)]
struct Epoch {
    number: u32,
    requests: Vec<Key>,
    closed_at: Option<Instant>,
    /// Flushes of a node without a disk: done when the peer has declared this epoch stable.
    flushes: Vec<Flush>,
}

/// A flush of the application that waits for the peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Flush {
    pub(crate) volume: VolumeNr,
    pub(crate) id: IoId,
}

/// What is known of the writes before those in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Past {
    /// The peer has declared them stable.
    Stable,
    /// The connection was lost before that.
    Unknown,
}

/// Whether the peer has everything on stable storage.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stability {
    /// It has.
    Reached,
    /// The flush is done when its epoch is stable.
    Awaited,
    /// Nobody can tell before the next epoch is stable.
    Unknown,
}

/// What was in the log or an epoch.
#[derive(PartialEq, Eq, Default, Debug)]
pub(crate) struct Logged {
    pub(crate) requests: Vec<Key>,
    pub(crate) flushes: Vec<Flush>,
}

/// Why a BarrierAck cannot be right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BadBarrierAck {
    NoEpoch,
    Number { expected: u32 },
    Count { expected: u32 },
}

impl TransferLog {
    pub(crate) const fn new() -> Self {
        Self {
            current: Epoch {
                number: 1,
                requests: Vec::new(),
                closed_at: None,
                flushes: Vec::new(),
            },
            closed: VecDeque::new(),
            spare: Vec::new(),
            past: Past::Stable,
        }
    }

    pub(crate) const fn current(&self) -> u32 {
        self.current.number
    }

    /// Epochs that the peer knows of and has not acknowledged, the open one included.
    pub(crate) fn epochs(&self) -> u64 {
        self.closed.len() as u64 + 1
    }

    /// Adds a write that is being sent; returns how many the open epoch holds now.
    pub(crate) fn add(&mut self, request: Key) -> u32 {
        self.current.requests.push(request);
        self.current.requests.len() as u32
    }

    /// Ends the open epoch. The barrier has to be sent at once, before any later write.
    pub(crate) fn close(&mut self, now: Instant) -> Option<BarrierId> {
        if self.current.requests.is_empty() {
            return None;
        }
        let number = self.current.number;
        let next = Epoch {
            number: number.wrapping_add(1),
            requests: self.spare.pop().unwrap_or_default(),
            ..Epoch::default()
        };
        let mut done = core::mem::replace(&mut self.current, next);
        done.closed_at = Some(now);
        self.closed.push_back(done);
        Some(barrier_id(number))
    }

    /// A flush of a node without a disk, all epochs being closed: the peer flushes its whole disk
    /// for each epoch, and only for one that has writes.
    pub(crate) fn await_stability(&mut self, flush: Flush) -> Stability {
        match (self.closed.back_mut(), self.past) {
            (Some(newest), _) => {
                newest.flushes.push(flush);
                Stability::Awaited
            }
            (None, Past::Stable) => Stability::Reached,
            (None, Past::Unknown) => Stability::Unknown,
        }
    }

    /// Takes the oldest closed epoch if the acknowledgement fits it.
    pub(crate) fn acknowledge(&mut self, ack: BarrierAck) -> Result<Logged, BadBarrierAck> {
        let Some(oldest) = self.closed.front() else {
            return Err(BadBarrierAck::NoEpoch);
        };
        if barrier_id(oldest.number) != ack.barrier {
            return Err(BadBarrierAck::Number {
                expected: oldest.number,
            });
        }
        if oldest.requests.len() as u64 != u64::from(ack.set_size) {
            return Err(BadBarrierAck::Count {
                expected: oldest.requests.len() as u32,
            });
        }
        self.past = Past::Stable;
        let stable = self.closed.pop_front().unwrap_or_default();
        Ok(Logged {
            requests: stable.requests,
            flushes: stable.flushes,
        })
    }

    /// Gives the memory of an acknowledged epoch back for reuse.
    pub(crate) fn recycle(&mut self, mut requests: Vec<Key>) {
        if self.spare.len() < 64 {
            requests.clear();
            self.spare.push(requests);
        }
    }

    /// Every write in the log.
    pub(crate) fn requests(&self) -> impl Iterator<Item = Key> {
        let closed = self.closed.iter().flat_map(|epoch| &epoch.requests);
        closed.chain(&self.current.requests).copied()
    }

    /// Forgets everything, oldest first; the numbers go on.
    pub(crate) fn clear(&mut self) -> Logged {
        if !self.is_empty() {
            self.past = Past::Unknown;
        }
        let mut all = Logged::default();
        for epoch in self.closed.drain(..) {
            all.requests.extend(epoch.requests);
            all.flushes.extend(epoch.flushes);
        }
        all.requests.append(&mut self.current.requests);
        self.current.number = self.current.number.wrapping_add(1);
        all
    }

    /// The oldest write in the log.
    pub(crate) fn oldest(&self) -> Option<Key> {
        let epoch = self.closed.front().unwrap_or(&self.current);
        epoch.requests.first().copied()
    }

    /// Whether every write was declared stable.
    pub(crate) fn is_empty(&self) -> bool {
        self.closed.is_empty() && self.current.requests.is_empty()
    }

    /// When the oldest unanswered barrier was sent.
    pub(crate) fn oldest_barrier(&self) -> Option<Instant> {
        self.closed.front()?.closed_at
    }
}

/// The number is opaque to the peer; the kernel sends its counter in host byte order.
const fn barrier_id(number: u32) -> BarrierId {
    BarrierId(number.to_le_bytes())
}

/// The receiver's view of the epoch that is coming in.
#[derive(Default)]
pub(crate) struct IncomingEpoch {
    /// Writes since the last barrier.
    pub(crate) writes: u32,
    /// Of these, not yet on disk.
    pub(crate) active: u32,
    /// Flushes of backing devices that the barrier waits for.
    pub(crate) flushes: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Instant = Instant::from_nanos(0);

    fn ack(number: u32, set_size: u32) -> BarrierAck {
        BarrierAck {
            barrier: barrier_id(number),
            set_size,
        }
    }

    #[test]
    fn an_epoch_without_writes_has_no_barrier() {
        let mut log = TransferLog::new();
        assert_eq!(log.close(T), None);
        log.add(Key(1));
        assert_eq!(log.close(T), Some(BarrierId([1, 0, 0, 0])));
        assert_eq!(log.close(T), None);
    }

    #[test]
    fn a_barrier_ack_must_name_the_oldest_epoch_and_its_number_of_writes() {
        let mut log = TransferLog::new();
        assert_eq!(log.acknowledge(ack(1, 0)), Err(BadBarrierAck::NoEpoch));
        log.add(Key(1));
        log.close(T);
        log.add(Key(2));
        log.add(Key(3));
        log.close(T);
        assert_eq!(
            log.acknowledge(ack(2, 2)),
            Err(BadBarrierAck::Number { expected: 1 })
        );
        assert_eq!(
            log.acknowledge(ack(1, 2)),
            Err(BadBarrierAck::Count { expected: 1 })
        );
        let epoch = |keys: &[Key]| {
            Ok(Logged {
                requests: keys.to_vec(),
                flushes: Vec::new(),
            })
        };
        assert_eq!(log.acknowledge(ack(1, 1)), epoch(&[Key(1)]));
        assert_eq!(log.acknowledge(ack(2, 2)), epoch(&[Key(2), Key(3)]));
    }

    #[test]
    fn a_flush_waits_for_the_newest_epoch_and_what_a_lost_connection_left_open_is_not_stable() {
        let flush = Flush {
            volume: VolumeNr(0),
            id: IoId(7),
        };
        let mut log = TransferLog::new();
        assert_eq!(log.await_stability(flush), Stability::Reached);
        for key in [1, 2] {
            log.add(Key(key));
            log.close(T);
        }
        assert_eq!(log.await_stability(flush), Stability::Awaited);
        assert_eq!(log.acknowledge(ack(1, 1)).unwrap().flushes, []);
        assert_eq!(log.acknowledge(ack(2, 1)).unwrap().flushes, [flush]);

        log.add(Key(3));
        log.close(T);
        assert_eq!(log.await_stability(flush), Stability::Awaited);
        assert_eq!(log.clear().flushes, [flush]);
        assert_eq!(log.await_stability(flush), Stability::Unknown);
        log.add(Key(4));
        log.close(T);
        assert_eq!(log.await_stability(flush), Stability::Awaited);
        assert_eq!(log.acknowledge(ack(5, 1)).unwrap().flushes, [flush]);
        assert_eq!(log.await_stability(flush), Stability::Reached);
    }
}
