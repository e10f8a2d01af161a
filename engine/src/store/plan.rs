//! Meta-data operations as aligned writes. Pure: who carries them out sees to order and flushing.

use drbd_core::activity_log::AlTransaction;
use drbd_core::effect::{MetaIo, SuperblockUpdate};
use drbd_core::input::BitmapChunk;
use drbd_types::SectorCount;
use drbdmeta::activity_log::{self, SlotUpdate};
use drbdmeta::bitmap;
use drbdmeta::layout::BLOCK_BYTES;
use drbdmeta::superblock::MagicKind;

use super::{Store, bytes_of};
use crate::buffer::{Buffer, MAX_LENGTH, Pool};

/// One write to the meta-data device. Those of one operation may be carried out side by side.
#[derive(Debug)]
pub struct MetaWrite {
    /// Byte position.
    pub offset: u64,
    /// What to write.
    pub data: Buffer,
}

impl Store {
    /// The writes that an operation consists of; `None` while the pool has no memory for them, in
    /// which case nothing was changed and the call can be repeated.
    pub fn plan(&mut self, io: &MetaIo, pool: &Pool) -> Option<Vec<MetaWrite>> {
        match io {
            MetaIo::Superblock(update) => self.superblock_write(update, pool),
            MetaIo::ActivityLog(transaction) => self.transaction_write(transaction, pool),
            MetaIo::InitialiseActivityLog => self.ring_writes(pool),
            MetaIo::Bitmap(chunks) => self.bitmap_writes(chunks, pool),
        }
    }

    /// Number of the next activity-log transaction, for the next attach of the same minor.
    pub fn next_transaction(&self) -> u32 {
        self.next_transaction
    }

    fn superblock_write(
        &mut self,
        update: &SuperblockUpdate,
        pool: &Pool,
    ) -> Option<Vec<MetaWrite>> {
        let mut superblock = self.superblock;
        superblock.uuids = update.uuids;
        superblock.flags = update.flags;
        superblock.effective_size = update.last_agreed;
        superblock.al_nr_extents = update.al_extents;
        superblock.la_peer_max_bio_size = update.peer_max_bio;
        let data = filled(pool, &superblock.encode(MagicKind::InUse))?;
        self.superblock = superblock;
        Some(vec![MetaWrite {
            offset: bytes_of(self.at).0,
            data,
        }])
    }

    fn transaction_write(&mut self, from: &AlTransaction, pool: &Pool) -> Option<Vec<MetaWrite>> {
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
        Some(vec![write])
    }

    fn ring_writes(&mut self, pool: &Pool) -> Option<Vec<MetaWrite>> {
        let blocks = self.superblock.striping().unwrap_or_default().blocks();
        let slots = u16::try_from(self.superblock.al_nr_extents).unwrap_or(activity_log::MAX_SLOTS);
        let ring =
            activity_log::fresh_ring(self.next_transaction, blocks, slots, |_| activity_log::FREE);
        let writes = ring
            .map(|(number, block)| self.ring_write(number, &block, pool))
            .collect::<Option<Vec<_>>>()?;
        self.next_transaction = self.next_transaction.wrapping_add(blocks);
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
    fn bitmap_writes(&self, chunks: &[BitmapChunk], pool: &Pool) -> Option<Vec<MetaWrite>> {
        let start = bytes_of(self.areas.bitmap).0;
        let room = bytes_len(self.areas.bitmap_len);
        let mut writes = Vec::new();
        let mut rest = chunks;
        while let Some(first) = rest.first() {
            let most = MAX_LENGTH / BLOCK_BYTES as usize;
            let run = rest
                .iter()
                .zip(first.page..)
                .take(most)
                .take_while(|(chunk, page)| chunk.page == *page)
                .count();
            let (now, later) = rest.split_at(run);
            rest = later;
            let from = u64::from(first.page) * BLOCK_BYTES;
            // The last page of a bitmap may be cut by the end of its area.
            let length = (run as u64 * BLOCK_BYTES).min(room.saturating_sub(from));
            if length == 0 {
                continue;
            }
            let mut data = pool.allocate(length as usize)?;
            let bytes = data.unique_mut()?;
            bytes.fill(0);
            for (chunk, page) in now.iter().zip(bytes.chunks_mut(BLOCK_BYTES as usize)) {
                bitmap::store_words(chunk.words.iter().copied(), page);
            }
            writes.push(MetaWrite {
                offset: start + from,
                data,
            });
        }
        Some(writes)
    }
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
    use drbd_types::{BitNr, ByteCount, MdFlags, UuidSet};
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

    fn block(write: &MetaWrite) -> ValidBlock<'_> {
        ValidBlock::parse(write.data.first_chunk().unwrap()).unwrap()
    }

    #[test]
    fn transactions_follow_the_fresh_ring_round_and_round() {
        let (mut store, layout, pool) = store();
        let log = layout.superblock.0 * 512 - 32_768;
        let ring = store.plan(&MetaIo::InitialiseActivityLog, &pool).unwrap();
        let places: Vec<u64> = ring.iter().map(|write| write.offset - log).collect();
        assert_eq!(places, (0..8).map(|n| n * 4096).collect::<Vec<u64>>());
        // Spec 40 section 6.1: transaction 8 of the captured ring, in block 0 again.
        let transaction = MetaIo::ActivityLog(AlTransaction {
            updates: vec![(66, AlExtent(3))],
            context_start: 0,
            context: vec![None; 67],
            slots: 67,
        });
        let write = store.plan(&transaction, &pool).unwrap().remove(0);
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
        let write = store
            .plan(&MetaIo::Superblock(update), &pool)
            .unwrap()
            .remove(0);
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
        let chunk = |page: u64| BitmapChunk {
            page: page as u32,
            first_bit: BitNr(page * 32_768),
            words: vec![page + 1; 512],
        };
        let chunks: Vec<_> = [0, 1, 2, 5, pages].into_iter().map(chunk).collect();
        let writes = store.plan(&MetaIo::Bitmap(chunks), &pool).unwrap();
        let shape = |write: &MetaWrite| (write.offset - start, write.data.len());
        let shapes: Vec<_> = writes.iter().map(shape).collect();
        assert_eq!(shapes, [(0, 3 * 4096), (5 * 4096, 4096)]);
        assert_eq!(writes[0].data[4096..4104], 2u64.to_le_bytes());
    }

    #[test]
    fn without_memory_nothing_is_changed_and_the_plan_can_be_made_again() {
        let (mut store, _, pool) = store();
        let none = Pool::new(ByteCount(0));
        assert!(store.plan(&MetaIo::InitialiseActivityLog, &none).is_none());
        assert_eq!(store.next_transaction(), 0);
        assert!(store.plan(&MetaIo::InitialiseActivityLog, &pool).is_some());
    }
}
