//! Epochs: the writer's transfer log and the receiver's count (spec 60 section 8.5).

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use drbd_wire::{BarrierAck, BarrierId};

use crate::slab::Key;
use crate::time::Instant;

/// All writes that were sent and whose epoch has no BarrierAck yet.
pub(crate) struct TransferLog {
    current: Epoch,
    closed: VecDeque<Epoch>,
    spare: Vec<Vec<Key>>,
}

struct Epoch {
    number: u32,
    requests: Vec<Key>,
    closed_at: Option<Instant>,
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
            },
            closed: VecDeque::new(),
            spare: Vec::new(),
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
            closed_at: None,
        };
        let mut done = core::mem::replace(&mut self.current, next);
        done.closed_at = Some(now);
        self.closed.push_back(done);
        Some(barrier_id(number))
    }

    /// Takes the oldest closed epoch if the acknowledgement fits it.
    pub(crate) fn acknowledge(&mut self, ack: BarrierAck) -> Result<Vec<Key>, BadBarrierAck> {
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
        Ok(self
            .closed
            .pop_front()
            .map(|epoch| epoch.requests)
            .unwrap_or_default())
    }

    /// Gives the memory of an acknowledged epoch back for reuse.
    pub(crate) fn recycle(&mut self, mut requests: Vec<Key>) {
        if self.spare.len() < 64 {
            requests.clear();
            self.spare.push(requests);
        }
    }

    /// Every write in the log, oldest first.
    pub(crate) fn all(&self) -> Vec<Key> {
        let closed = self
            .closed
            .iter()
            .flat_map(|epoch| epoch.requests.iter().copied());
        closed
            .chain(self.current.requests.iter().copied())
            .collect()
    }

    /// Forgets everything; the numbers go on.
    pub(crate) fn clear(&mut self) -> Vec<Key> {
        let all = self.all();
        self.closed.clear();
        self.current.requests.clear();
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
        assert_eq!(log.acknowledge(ack(1, 1)), Ok(alloc::vec![Key(1)]));
        assert_eq!(log.acknowledge(ack(2, 2)), Ok(alloc::vec![Key(2), Key(3)]));
    }
}
