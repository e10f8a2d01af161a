//! Meta-data operations as aligned writes. Pure: who carries them out sees to order and flushing.

use std::iter::Peekable;

use drbd_core::BitmapChunk;
use drbd_core::activity_log::AlTransaction;
use drbd_core::effect::{MetaIo, SuperblockUpdate};
use drbd_types::SectorCount;
use drbdmeta::activity_log::{self, SlotUpdate};
use drbdmeta::bitmap;
use drbdmeta::layout::BLOCK_BYTES;
use drbdmeta::superblock::{Block, MagicKind};

use super::{Store, bytes_of};
use crate::buffer::{Buffer, MAX_LENGTH, Pool};

/// The bytes of one batch: more than a disk needs to be busy, little beside a pool.
const BATCH: usize = 8 << 20;

/// One write to the meta-data device. Those of one batch may be carried out side by side.
#[derive(Debug)]
pub struct MetaWrite {
    /// Byte position.
    pub offset: u64,
    /// What to write.
    pub data: Buffer,
}

/// A meta-data operation as far as it is not planned yet. A whole bitmap or ring can be larger
/// than all memory for buffers: it goes to the disk in batches.
pub struct MetaJob(Rest);

enum Rest {
    Superblock(SuperblockUpdate),
    Transaction(AlTransaction),
    /// The ring is made when its first batch is planned.
    FreshRing,
    Ring(Box<RingBlocks>),
    Bitmap(std::vec::IntoIter<BitmapChunk>),
    Nothing,
}

/// Transactions with their numbers, in the order to write them.
type RingBlocks = Peekable<Box<dyn Iterator<Item = (u32, Block)> + Send>>;

impl MetaJob {
    /// All of an operation.
    pub fn new(io: MetaIo) -> Self {
        Self(match io {
            MetaIo::Superblock(update) => Rest::Superblock(update),
            MetaIo::ActivityLog(transaction) => Rest::Transaction(transaction),
            MetaIo::InitialiseActivityLog => Rest::FreshRing,
            MetaIo::Bitmap(chunks) => Rest::Bitmap(chunks.into_iter()),
        })
    }

    /// Whether every write has been planned.
    pub const fn is_planned(&self) -> bool {
        matches!(self.0, Rest::Nothing)
    }
}

impl Store {
    /// The next batch of writes of an operation; `None` while the pool has no memory for any, in
    /// which case the call can be repeated.
    pub fn plan(&mut self, job: &mut MetaJob, pool: &Pool) -> Option<Vec<MetaWrite>> {
        if let Rest::FreshRing = job.0 {
            job.0 = Rest::Ring(Box::new(self.fresh_ring()));
        }
        let (writes, left) = match &mut job.0 {
            Rest::Superblock(update) => (vec![self.superblock_write(update, pool)?], false),
            Rest::Transaction(transaction) => {
                (vec![self.transaction_write(transaction, pool)?], false)
            }
            Rest::Ring(blocks) => {
                let writes = self.ring_writes(blocks, pool)?;
                (writes, blocks.peek().is_some())
            }
            Rest::Bitmap(chunks) => {
                let writes = self.bitmap_writes(chunks, pool)?;
                (writes, !chunks.as_slice().is_empty())
            }
            Rest::FreshRing | Rest::Nothing => (Vec::new(), false),
        };
        if !left {
            job.0 = Rest::Nothing;
        }
        Some(writes)
    }

    /// Number of the next activity-log transaction, for the next attach of the same minor.
    pub fn next_transaction(&self) -> u32 {
        self.next_transaction
    }

    fn superblock_write(&mut self, update: &SuperblockUpdate, pool: &Pool) -> Option<MetaWrite> {
        let mut superblock = self.superblock;
        superblock.uuids = update.uuids;
        superblock.flags = update.flags;
        superblock.effective_size = update.last_agreed;
        superblock.al_nr_extents = update.al_extents;
        superblock.la_peer_max_bio_size = update.peer_max_bio;
        let data = filled(pool, &superblock.encode(MagicKind::InUse))?;
        self.superblock = superblock;
        Some(MetaWrite {
            offset: bytes_of(self.at).0,
            data,
        })
    }

    fn transaction_write(&mut self, from: &AlTransaction, pool: &Pool) -> Option<MetaWrite> {
        let updates: Vec<SlotUpdate> = from
            .updates
            .iter()
            .map(|(slot, extent)| SlotUpdate {
                slot: *slot,
                extent: extent.0,
            })
            .collect();
        let context: Vec<u32> = from
            .context
            .iter()
            .map(|extent| extent.map_or(activity_log::FREE, |extent| extent.0))
            .collect();
        let block = activity_log::Transaction {
            tr_number: self.next_transaction,
            updates: &updates,
            slots: from.slots,
            context_start: from.context_start,
            context: &context,
        }
        .encode();
        let write = self.ring_write(self.next_transaction, &block, pool)?;
        self.next_transaction = self.next_transaction.wrapping_add(1);
        Some(write)
    }

    /// Counts the transactions of the whole ring, which are written one batch after the other.
    fn fresh_ring(&mut self) -> RingBlocks {
        let blocks = self.superblock.striping().unwrap_or_default().blocks();
        let slots = u16::try_from(self.superblock.al_nr_extents).unwrap_or(activity_log::MAX_SLOTS);
        let first = self.next_transaction;
        self.next_transaction = first.wrapping_add(blocks);
        let free = |_| activity_log::FREE;
        let blocks: Box<dyn Iterator<Item = _> + Send> =
            Box::new(activity_log::fresh_ring(first, blocks, slots, free));
        blocks.peekable()
    }

    fn ring_writes(&self, blocks: &mut RingBlocks, pool: &Pool) -> Option<Vec<MetaWrite>> {
        let mut writes = Vec::new();
        while let Some((number, block)) = blocks.peek()
            && writes.len() < BATCH / BLOCK_BYTES as usize
        {
            match self.ring_write(*number, block, pool) {
                Some(write) => writes.push(write),
                None if writes.is_empty() => return None,
                None => break,
            }
            blocks.next();
        }
        Some(writes)
    }

    fn ring_write(&self, number: u32, block: &[u8], pool: &Pool) -> Option<MetaWrite> {
        let striping = self.superblock.striping().unwrap_or_default();
        let block_nr = u64::from(striping.block_of(number));
        Some(MetaWrite {
            offset: bytes_of(self.areas.activity_log).0 + block_nr * BLOCK_BYTES,
            data: filled(pool, block)?,
        })
    }

    /// Neighbouring pages go into one write.
    fn bitmap_writes(
        &self,
        chunks: &mut std::vec::IntoIter<BitmapChunk>,
        pool: &Pool,
    ) -> Option<Vec<MetaWrite>> {
        let start = bytes_of(self.areas.bitmap).0;
        let room = bytes_len(self.areas.bitmap_len);
        let mut writes = Vec::new();
        let mut planned = 0;
        while planned < BATCH
            && let Some(run) = leading_run(chunks.as_slice())
        {
            let from = u64::from(run[0].page()) * BLOCK_BYTES;
            // The last page of a bitmap may be cut by the end of its area.
            let length = (run.len() as u64 * BLOCK_BYTES).min(room.saturating_sub(from)) as usize;
            if length > 0 {
                let Some(data) = pool.allocate(length).and_then(|buffer| pages(buffer, run)) else {
                    break;
                };
                planned += length;
                let offset = start + from;
                writes.push(MetaWrite { offset, data });
            }
            let run = run.len();
            chunks.by_ref().take(run).for_each(drop);
        }
        let starved = writes.is_empty() && !chunks.as_slice().is_empty();
        (!starved).then_some(writes)
    }
}

/// The first chunks of neighbouring pages, as many as one buffer holds.
fn leading_run(chunks: &[BitmapChunk]) -> Option<&[BitmapChunk]> {
    let first = chunks.first()?.page();
    let run = chunks
        .iter()
        .zip(first..)
        .take(MAX_LENGTH / BLOCK_BYTES as usize)
        .take_while(|(chunk, page)| chunk.page() == *page)
        .count();
    Some(&chunks[..run])
}

fn pages(mut buffer: Buffer, run: &[BitmapChunk]) -> Option<Buffer> {
    let bytes = buffer.unique_mut()?;
    bytes.fill(0);
    for (chunk, page) in run.iter().zip(bytes.chunks_mut(BLOCK_BYTES as usize)) {
        bitmap::store_words(chunk.words().iter().copied(), page);
    }
    Some(buffer)
}

fn filled(pool: &Pool, bytes: &[u8]) -> Option<Buffer> {
    let mut buffer = pool.allocate(bytes.len())?;
    buffer.unique_mut()?.copy_from_slice(bytes);
    Some(buffer)
}

fn bytes_len(length: SectorCount) -> u64 {
    length.0.saturating_mul(512)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Devices, attach};
    use drbd_core::activity_log::AlExtent;
    use drbd_types::{ByteCount, MdFlags, UuidSet};
    use drbdmeta::activity_log::ValidBlock;
    use drbdmeta::layout::{Layout, Placement, Striping};
    use drbdmeta::superblock::Superblock;
    use std::os::unix::fs::FileExt;

    const SIZE: ByteCount = ByteCount(1 << 30);

    fn store() -> (Store, Layout, Pool) {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(SIZE.0).unwrap();
        let layout = Layout::compute(SIZE, Placement::FlexInternal, Striping::DEFAULT).unwrap();
        let block = Superblock::fresh(&layout, Striping::DEFAULT).encode(MagicKind::Clean);
        let at = layout.superblock.0 * 512;
        file.as_file().write_all_at(&block, at).unwrap();
        let devices = Devices {
            data: file.path().into(),
            meta: file.path().into(),
            placement: Placement::FlexInternal,
        };
        let (store, _) = attach(&devices, 0).unwrap();
        (store, layout, Pool::new(ByteCount(16 << 20)))
    }

    /// All writes of an operation that fits into one batch.
    fn plan(store: &mut Store, io: MetaIo, pool: &Pool) -> Vec<MetaWrite> {
        let mut job = MetaJob::new(io);
        let writes = store.plan(&mut job, pool).unwrap();
        assert!(job.is_planned());
        writes
    }

    fn block(write: &MetaWrite) -> ValidBlock<'_> {
        ValidBlock::parse(write.data.first_chunk().unwrap()).unwrap()
    }

    #[test]
    fn transactions_follow_the_fresh_ring_round_and_round() {
        let (mut store, layout, pool) = store();
        let log = layout.superblock.0 * 512 - 32_768;
        let ring = plan(&mut store, MetaIo::InitialiseActivityLog, &pool);
        let places: Vec<u64> = ring.iter().map(|write| write.offset - log).collect();
        assert_eq!(places, (0..8).map(|n| n * 4096).collect::<Vec<u64>>());
        // Spec 40 section 6.1: transaction 8 of the captured ring, in block 0 again.
        let transaction = MetaIo::ActivityLog(AlTransaction {
            updates: vec![(66, AlExtent(3))],
            context_start: 0,
            context: vec![None; 67],
            slots: 67,
        });
        let write = plan(&mut store, transaction, &pool).remove(0);
        assert_eq!(write.offset, log);
        assert_eq!(
            (block(&write).tr_number(), block(&write).crc32c()),
            (8, 0x156f_3cfa)
        );
        assert_eq!(store.next_transaction(), 9);
    }

    #[test]
    fn a_superblock_is_marked_as_in_use_and_keeps_what_the_core_does_not_own() {
        let (mut store, layout, pool) = store();
        let update = SuperblockUpdate {
            uuids: UuidSet::JUST_CREATED,
            flags: MdFlags::CONSISTENT,
            last_agreed: SectorCount(1000),
            al_extents: 67,
            peer_max_bio: 1 << 20,
        };
        let write = plan(&mut store, MetaIo::Superblock(update), &pool).remove(0);
        assert_eq!(write.offset, layout.superblock.0 * 512);
        let written = Superblock::parse(write.data.first_chunk().unwrap()).unwrap();
        assert_eq!(written.magic, MagicKind::InUse);
        assert!(written.needs_apply_al());
        assert_eq!(written.effective_size, SectorCount(1000));
        assert_eq!(written.bm_offset, layout.bm_offset);
        assert_eq!(written.al_nr_extents, 67);
    }

    #[test]
    fn neighbouring_bitmap_pages_become_one_write_that_stays_in_its_area() {
        let (mut store, layout, pool) = store();
        let area = layout.areas().unwrap();
        let start = area.bitmap.0 * 512;
        let pages = area.bitmap_len.0 / 8;
        let chunk = |page: u64| BitmapChunk::of_words(page as u32, &[page + 1; 512]);
        let chunks: Vec<_> = [0, 1, 2, 5, pages].into_iter().map(chunk).collect();
        let writes = plan(&mut store, MetaIo::Bitmap(chunks), &pool);
        let shape = |write: &MetaWrite| (write.offset - start, write.data.len());
        let shapes: Vec<_> = writes.iter().map(shape).collect();
        assert_eq!(shapes, [(0, 3 * 4096), (5 * 4096, 4096)]);
        assert_eq!(writes[0].data[4096..4104], 2u64.to_le_bytes());
    }

    #[test]
    fn an_operation_larger_than_all_memory_is_planned_in_batches() {
        let (mut store, layout, _) = store();
        // Room for two writes of neighbouring pages.
        let pool = Pool::new(ByteCount(2 << 20));
        let none = Pool::new(ByteCount(0));
        let pages = 5 * 256 + 7;
        store.areas.bitmap_len = SectorCount(pages * 8);
        let chunks = (0..pages as u32).map(|page| BitmapChunk::of_words(page, &[1; 512]));
        let mut job = MetaJob::new(MetaIo::Bitmap(chunks.collect()));
        let mut end = layout.areas().unwrap().bitmap.0 * 512;
        let mut batches = 0;
        while !job.is_planned() {
            assert!(store.plan(&mut job, &none).is_none());
            for write in store.plan(&mut job, &pool).unwrap() {
                assert_eq!(write.offset, end);
                end += write.data.len() as u64;
            }
            batches += 1;
        }
        assert_eq!(end, (layout.areas().unwrap().bitmap.0 + pages * 8) * 512);
        assert_eq!(batches, 3);
    }

    #[test]
    fn a_ring_larger_than_all_memory_is_planned_in_batches() {
        let (mut store, ..) = store();
        let pool = Pool::new(ByteCount(1 << 20));
        let striping = Striping::new(4, 256).unwrap();
        (
            store.superblock.al_stripes,
            store.superblock.al_stripe_size_4k,
        ) = (4, 256);
        let mut job = MetaJob::new(MetaIo::InitialiseActivityLog);
        let mut numbers = Vec::new();
        while !job.is_planned() {
            let batch = store.plan(&mut job, &pool).unwrap();
            assert!(batch.len() <= 256);
            numbers.extend(batch.iter().map(|write| block(write).tr_number()));
        }
        assert_eq!(numbers, (0..striping.blocks()).collect::<Vec<u32>>());
        assert_eq!(store.next_transaction(), striping.blocks());
    }

    #[test]
    fn without_memory_nothing_is_lost_and_the_plan_can_be_made_again() {
        let (mut store, _, pool) = store();
        let none = Pool::new(ByteCount(0));
        let mut job = MetaJob::new(MetaIo::InitialiseActivityLog);
        assert!(store.plan(&mut job, &none).is_none());
        assert_eq!(store.plan(&mut job, &pool).unwrap().len(), 8);
        assert!(job.is_planned());
    }
}
