//! The disk of one volume: data operations side by side, meta-data operations one after the other.

use std::collections::VecDeque;
use std::sync::Arc;

use drbd_core::effect::{DiskIo, MetaIo, MetaOrder};
use drbd_core::input::{DiskError, DiskOp, Durability, MetaOp};
use drbd_types::{Sector, VolumeNr};

use super::driver::{Ring, Tag};
use super::uring::{Memory, Sync};
use crate::buffer::{Buffer, MAX_LENGTH, Pool};
use crate::device::{Frontend, Unmap};
use crate::store::{MetaJob, MetaWrite, Store};

/// What the thread keeps for a volume.
#[derive(Default)]
pub struct Volume {
    /// The attached disk.
    pub store: Option<Store>,
    /// Who serves the block device.
    pub frontend: Option<Arc<dyn Frontend>>,
    /// Reads that wait for memory.
    pub starved: VecDeque<(DiskOp, DiskIo<Buffer>)>,
    /// Meta-data operations that wait for their turn.
    queue: VecDeque<Queued>,
    running: Option<Running>,
    /// Number of the next activity-log transaction while no disk is attached.
    transaction: u32,
}

/// A meta-data operation that waits for its turn, or for the turn of its next batch.
struct Queued {
    op: MetaOp,
    order: MetaOrder,
    job: MetaJob,
    begun: Begun,
}

/// Whether some of an operation is written already, and not flushed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begun {
    No,
    Yes,
}

/// A meta-data operation in progress.
struct Running {
    op: MetaOp,
    /// Writes that have not ended.
    left: usize,
    phase: Phase,
    result: Result<(), DiskError>,
}

impl Running {
    const fn new(op: MetaOp, left: usize, phase: Phase) -> Self {
        Self {
            op,
            left,
            phase,
            result: Ok(()),
        }
    }
}

/// How a meta-data operation becomes durable.
enum Phase {
    /// The data that it speaks of is being flushed; then it begins.
    DataFlush(MetaJob),
    /// A batch is being written; the next one follows.
    Batch(MetaJob),
    /// The one write is durable by itself, or the flush is running: nothing follows.
    Last,
    /// A flush follows the writes.
    FlushFollows,
}

/// What a data operation must yield.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expect {
    /// This many bytes read.
    Read(u32),
    /// This many bytes written.
    Written(u32),
    /// Success.
    Done,
}

/// A range on its way to reading as zeroes. Which of the kernel's ways a device or file system knows
/// shows only when it is tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Zeroing {
    /// First byte that is not zeroed yet.
    start: u64,
    end: u64,
    way: Way,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// As asked for.
    Asked(Unmap),
    /// With the space given back instead of kept, or the other way round.
    TheOther(Unmap),
    /// By writing zeroes.
    Write,
}

impl Zeroing {
    fn new(sector: Sector, size: u32, way: Way) -> Result<Self, DiskError> {
        let start = at(sector)?;
        let end = start.checked_add(u64::from(size)).ok_or(DiskError::Io)?;
        Ok(Self { start, end, way })
    }

    /// What follows a step with this result: another step, or the end.
    pub fn after(self, result: &std::io::Result<u32>) -> Result<Option<Self>, DiskError> {
        let unsupported = |e: &std::io::Error| {
            matches!(
                e.raw_os_error(),
                Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::ENOTTY | libc::EINVAL)
            )
        };
        let next = match (self.way, result) {
            (Way::Write, Ok(written @ 1..)) => Self {
                start: self.start.saturating_add(u64::from(*written)),
                ..self
            },
            (Way::Write, _) => return Err(DiskError::Io),
            (_, Ok(_)) => return Ok(None),
            (way, Err(error)) if unsupported(error) => Self {
                way: match way {
                    Way::Asked(Unmap::Allowed) => Way::TheOther(Unmap::Forbidden),
                    Way::Asked(Unmap::Forbidden) => Way::TheOther(Unmap::Allowed),
                    Way::TheOther(_) | Way::Write => Way::Write,
                },
                ..self
            },
            _ => return Err(DiskError::Io),
        };
        Ok((next.start < next.end).then_some(next))
    }
}

/// A meta-data operation that ended.
pub type MetaEnd = (MetaOp, Result<(), DiskError>);

impl Volume {
    /// Number of the next activity-log transaction.
    pub fn next_transaction(&self) -> u32 {
        (self.store.as_ref()).map_or(self.transaction, Store::next_transaction)
    }

    /// Closes the disk. Operations of the core that were not started end with an error.
    pub fn close(&mut self) -> Vec<MetaEnd> {
        self.transaction = self.next_transaction();
        self.store = None;
        // What the running one still had to do must not reach the next disk.
        if let Some(running) = &mut self.running
            && !matches!(running.phase, Phase::Last)
        {
            running.result = Err(DiskError::Io);
        }
        let abandoned = self.queue.drain(..);
        abandoned
            .map(|queued| (queued.op, Err(DiskError::Io)))
            .collect()
    }

    /// Starts a data operation; an error if there is no disk. A read without memory waits.
    pub fn start(
        &mut self,
        ring: &mut Ring,
        pool: &Pool,
        volume: VolumeNr,
        op: DiskOp,
        io: DiskIo<Buffer>,
    ) -> Result<(), DiskError> {
        let store = self.store.as_ref().ok_or(DiskError::Io)?;
        let tag = |expect| Tag::Disk(volume, op, expect);
        let file = &store.data;
        match io {
            DiskIo::Read { sector, size } => match pool.allocate(size as usize) {
                Some(buffer) => ring.read(file, at(sector)?, buffer, tag(Expect::Read(size))),
                None => self.starved.push_back((op, DiskIo::Read { sector, size })),
            },
            DiskIo::Write {
                sector,
                data,
                durability,
            } => {
                let sync = match durability {
                    Durability::Cached => Sync::Cached,
                    Durability::Fua => Sync::Data,
                };
                let expect = Expect::Written(data.len() as u32);
                ring.write(file, at(sector)?, data, sync, tag(expect));
            }
            DiskIo::Flush => ring.flush(file, tag(Expect::Done)),
            DiskIo::Discard { sector, size } => {
                let way = Way::Asked(Unmap::Allowed);
                self.zero(ring, pool, volume, op, Zeroing::new(sector, size, way)?)?;
            }
            DiskIo::WriteZeroes { sector, size } => {
                let way = Way::Asked(Unmap::Forbidden);
                self.zero(ring, pool, volume, op, Zeroing::new(sector, size, way)?)?;
            }
        }
        Ok(())
    }

    /// Starts the next step of making a range read as zeroes.
    pub fn zero(
        &mut self,
        ring: &mut Ring,
        pool: &Pool,
        volume: VolumeNr,
        op: DiskOp,
        step: Zeroing,
    ) -> Result<(), DiskError> {
        let store = self.store.as_ref().ok_or(DiskError::Io)?;
        let tag = Tag::Zero(volume, op, step);
        let unmap = match step.way {
            Way::Asked(unmap) => unmap,
            Way::TheOther(unmap) => unmap,
            Way::Write => {
                let length = (step.end - step.start).min(MAX_LENGTH as u64) as usize;
                let mut zeroes = pool.allocate(length).ok_or(DiskError::Io)?;
                zeroes.unique_mut().ok_or(DiskError::Io)?.fill(0);
                ring.write(&store.data, step.start, zeroes, Sync::Cached, tag);
                return Ok(());
            }
        };
        ring.zero(&store.data, step.start..step.end, unmap, tag);
        Ok(())
    }

    /// Queues a meta-data operation.
    pub fn meta(&mut self, op: MetaOp, order: MetaOrder, io: MetaIo) {
        let job = MetaJob::new(io);
        let begun = Begun::No;
        self.queue.push_back(Queued {
            op,
            order,
            job,
            begun,
        });
    }

    /// Starts the next meta-data operation if none is running; tells of one that failed at once.
    pub fn next_meta(&mut self, ring: &mut Ring, pool: &Pool, volume: VolumeNr) -> Option<MetaEnd> {
        if self.running.is_some() {
            return None;
        }
        let mut next = self.queue.pop_front()?;
        let op = next.op;
        let Some(store) = &mut self.store else {
            return Some((op, Err(DiskError::Io)));
        };
        if next.order == MetaOrder::AfterDataFlush {
            ring.flush(&store.data, Tag::Meta(volume, Expect::Done));
            self.running = Some(Running::new(op, 1, Phase::DataFlush(next.job)));
            return None;
        }
        let Some(writes) = store.plan(&mut next.job, pool) else {
            // Without memory it is tried again when the thread next looks.
            self.queue.push_front(next);
            return None;
        };
        let left = writes.len();
        let (phase, sync) = match (next.job.is_planned(), next.begun, left) {
            (true, Begun::No, 0) => return Some((op, Ok(()))),
            (true, Begun::No, 1) => (Phase::Last, Sync::Data),
            (true, ..) => (Phase::FlushFollows, Sync::Cached),
            (false, ..) => (Phase::Batch(next.job), Sync::Cached),
        };
        for MetaWrite { offset, data } in writes {
            let tag = Tag::Meta(volume, Expect::Written(data.len() as u32));
            ring.write(&store.meta, offset, data, sync, tag);
        }
        self.running = Some(Running::new(op, left, phase));
        if left == 0 {
            // All that was left lies outside of the area.
            return self.advance(ring, volume);
        }
        None
    }

    /// Whether a meta-data operation could not start for lack of memory.
    pub fn is_waiting_for_memory(&self) -> bool {
        self.running.is_none() && !self.queue.is_empty()
    }

    /// A write or flush of the running meta-data operation ended.
    pub fn meta_step(
        &mut self,
        ring: &mut Ring,
        volume: VolumeNr,
        result: Result<(), DiskError>,
    ) -> Option<MetaEnd> {
        let running = self.running.as_mut()?;
        running.left -= 1;
        running.result = running.result.and(result);
        match running.left {
            0 => self.advance(ring, volume),
            _ => None,
        }
    }

    /// What follows when all writes of a step have ended.
    fn advance(&mut self, ring: &mut Ring, volume: VolumeNr) -> Option<MetaEnd> {
        let Running {
            op, phase, result, ..
        } = self.running.take()?;
        let resume = |job, begun| Queued {
            op,
            order: MetaOrder::AtOnce,
            job,
            begun,
        };
        match (phase, result, &self.store) {
            // A disk that knows no flush has nothing to lose.
            (Phase::DataFlush(job), Ok(()) | Err(DiskError::Unsupported), _) => {
                self.queue.push_front(resume(job, Begun::No));
                None
            }
            (Phase::Batch(job), Ok(()), _) => {
                self.queue.push_front(resume(job, Begun::Yes));
                None
            }
            (Phase::FlushFollows, Ok(()), Some(store)) => {
                ring.flush(&store.meta, Tag::Meta(volume, Expect::Done));
                self.running = Some(Running::new(op, 1, Phase::Last));
                None
            }
            _ => Some((op, result)),
        }
    }
}

/// The result of a data operation as the core wants it.
pub fn outcome(
    expect: Expect,
    result: std::io::Result<u32>,
    memory: Memory,
) -> Result<Option<Buffer>, DiskError> {
    match (expect, result, memory) {
        (Expect::Read(want), Ok(got), Memory::Buffer(data)) if want == got => Ok(Some(data)),
        (Expect::Written(want), Ok(got), _) if want == got => Ok(None),
        (Expect::Done, Ok(_), _) => Ok(None),
        (_, Err(e), _) if matches!(e.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOTTY)) => {
            Err(DiskError::Unsupported)
        }
        // A short transfer ends at the end of the device, or at a bad block.
        _ => Err(DiskError::Io),
    }
}

/// Byte position of a sector.
fn at(sector: Sector) -> Result<u64, DiskError> {
    sector.0.checked_mul(512).ok_or(DiskError::Io)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    fn zeroing(way: Way) -> Zeroing {
        Zeroing::new(Sector(8), 3 << 20, way).unwrap()
    }

    fn errno(code: i32) -> io::Result<u32> {
        Err(io::Error::from_raw_os_error(code))
    }

    #[test]
    fn a_range_that_no_call_can_zero_is_written_with_zeroes_to_its_end() {
        let mut step = zeroing(Way::Asked(Unmap::Forbidden));
        step = step.after(&errno(libc::EOPNOTSUPP)).unwrap().unwrap();
        assert_eq!(step.way, Way::TheOther(Unmap::Allowed));
        step = step.after(&errno(libc::EOPNOTSUPP)).unwrap().unwrap();
        assert_eq!((step.way, step.start), (Way::Write, 4096));
        for written in 1..3 {
            step = step.after(&Ok(1 << 20)).unwrap().unwrap();
            assert_eq!(step.start, 4096 + (written << 20));
        }
        assert_eq!(step.after(&Ok(1 << 20)), Ok(None));
    }

    #[test]
    fn an_error_of_the_disk_is_not_tried_again() {
        let step = zeroing(Way::Asked(Unmap::Allowed));
        assert_eq!(step.after(&Ok(0)), Ok(None));
        assert_eq!(step.after(&errno(libc::EIO)), Err(DiskError::Io));
        assert_eq!(zeroing(Way::Write).after(&Ok(0)), Err(DiskError::Io));
    }

    #[test]
    fn short_transfers_are_errors() {
        let none = || Memory::None;
        assert_eq!(
            outcome(Expect::Written(4096), Ok(512), none()).map(drop),
            Err(DiskError::Io)
        );
        assert!(outcome(Expect::Written(4096), Ok(4096), none()).is_ok());
        assert!(outcome(Expect::Done, Ok(0), none()).is_ok());
    }
}
