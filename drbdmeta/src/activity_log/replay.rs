//! Replay of an 8.4 ring (spec 40 section 6.2).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{FREE, MAX_SLOTS, ValidBlock};
use crate::layout::Striping;
use crate::superblock::Block;

/// What a ring says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Replay {
    /// Only "initialized" blocks: nothing was ever logged.
    Clean,
    /// Update transactions: these extents were active.
    Hot(BTreeSet<u32>),
}

/// A ring from which nothing can be learnt.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReplayError {
    /// Not one valid block (ENODATA).
    #[error("No usable activity log found. Do you need to create-md?")]
    NoUsableLog,
    /// Some blocks are damaged and no valid one is an update (EINVAL).
    #[error("No valid AL update transaction found.")]
    NoUpdate,
}

/// Remarks on the way, in the words of the genuine tool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Remark {
    /// Blocks with a wrong magic or checksum.
    Corrupt(usize),
    /// A context slot beyond all limits.
    ContextSlot {
        /// Transaction.
        tr: u32,
        /// Slot.
        slot: u32,
    },
    /// An updated slot beyond all limits.
    UpdateSlot {
        /// Transaction.
        tr: u32,
        /// Slot.
        slot: u32,
    },
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Corrupt(n) => write!(f, "{n} corrupt AL transactions found"),
            Self::ContextSlot { tr, slot } => {
                write!(f, "slot number out of range: tr:{tr} slot:{slot}")
            }
            Self::UpdateSlot { tr, slot } => {
                write!(f, "update slot number out of range: tr:{tr} slot:{slot}")
            }
        }
    }
}

/// Replays the `ring`, the bytes of the activity-log area from its first sector on. A ring shorter
/// than `striping` says counts its missing blocks as corrupt. What is odd about it is told on the
/// way: a hostile ring gives millions of remarks.
pub fn replay(
    ring: &[u8],
    striping: Striping,
    mut tell: impl FnMut(Remark),
) -> Result<Replay, ReplayError> {
    let (blocks, _) = ring.as_chunks::<4096>();
    let in_order: Vec<Option<ValidBlock<'_>>> = (0..striping.blocks())
        .map(|tr| blocks.get(striping.block_of(tr) as usize))
        .map(|block: Option<&Block>| ValidBlock::parse(block?).ok())
        .collect();
    let corrupt = in_order.iter().filter(|b| b.is_none()).count();
    if corrupt == in_order.len() {
        return Err(ReplayError::NoUsableLog);
    }
    if corrupt > 0 {
        tell(Remark::Corrupt(corrupt));
    }
    let mut updates: Vec<ValidBlock<'_>> = in_order
        .iter()
        .flatten()
        .copied()
        .filter(ValidBlock::is_update)
        .collect();
    let Some(first) = updates.first() else {
        // A crash inside the very first transaction damages block 0 only.
        let only_first_damaged = corrupt == 1 && in_order[0].is_none();
        return match corrupt == 0 || only_first_damaged {
            true => Ok(Replay::Clean),
            false => Err(ReplayError::NoUpdate),
        };
    };
    // The counter wraps: order by the signed distance from one of them.
    let base = first.tr_number();
    updates.sort_by_key(|b| b.tr_number().wrapping_sub(base) as i32);
    let mut slots = BTreeMap::new();
    for block in updates {
        apply(block, &mut slots, &mut tell);
    }
    let active = slots.into_values().filter(|&extent| extent != FREE);
    Ok(Replay::Hot(active.collect()))
}

/// Context first, then updates: the context is the state before the transaction.
fn apply(block: ValidBlock<'_>, slots: &mut BTreeMap<u32, u32>, tell: &mut impl FnMut(Remark)) {
    let tr = block.tr_number();
    let limit = u32::from(MAX_SLOTS);
    for (slot, extent) in block.context() {
        if extent == FREE && slot >= u32::from(block.context_size()) {
            continue;
        }
        if slot >= limit {
            tell(Remark::ContextSlot { tr, slot });
        } else {
            slots.insert(slot, extent);
        }
    }
    for (i, update) in block.updates().enumerate() {
        if i >= usize::from(block.n_updates()) && update.slot == 0xffff {
            continue;
        }
        let slot = u32::from(update.slot);
        if slot >= limit {
            tell(Remark::UpdateSlot { tr, slot });
        } else {
            slots.insert(slot, update.extent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{SlotUpdate, Transaction, fresh_ring, initialized_block};
    use super::*;
    use proptest::prelude::*;

    const RING: usize = 8 * 4096;

    fn put(ring: &mut [u8], striping: Striping, tr: u32, block: &Block) {
        let at = striping.block_of(tr) as usize * 4096;
        ring[at..at + 4096].copy_from_slice(block);
    }

    fn replayed(ring: &[u8]) -> (Result<Replay, ReplayError>, Vec<Remark>) {
        let mut remarks = Vec::new();
        let result = replay(ring, Striping::DEFAULT, |remark| remarks.push(remark));
        (result, remarks)
    }

    /// The captured ring of spec 40 section 6.1, built from its table.
    fn captured_ring() -> Vec<u8> {
        let mut ring = vec![0; RING];
        for (tr, block) in fresh_ring(0, 8, 67, |_| FREE) {
            put(&mut ring, Striping::DEFAULT, tr, &block);
        }
        let mut context = [FREE; 67];
        for (tr, (slot, extent)) in (8..).zip([(66, 3), (65, 5), (64, 1), (63, 8), (62, 9)]) {
            let block = Transaction {
                tr_number: tr,
                updates: &[SlotUpdate { slot, extent }],
                slots: 67,
                context_start: 0,
                context: &context,
            }
            .encode();
            put(&mut ring, Striping::DEFAULT, tr, &block);
            context[usize::from(slot)] = extent;
        }
        ring
    }

    #[test]
    fn the_captured_ring_yields_the_extents_that_were_written() {
        let hot = Replay::Hot([1, 3, 5, 8, 9].into());
        assert_eq!(replayed(&captured_ring()), (Ok(hot), vec![]));
    }

    #[test]
    fn a_torn_newest_block_still_leaves_the_older_ones() {
        let mut ring = captured_ring();
        ring[4 * 4096 + 2000] ^= 1;
        // tr 12 is lost, its own extent never got a write: nothing was allowed to start.
        let hot = Replay::Hot([1, 3, 5, 8].into());
        assert_eq!(replayed(&ring), (Ok(hot), vec![Remark::Corrupt(1)]));
    }

    #[test]
    fn initialized_rings_are_clean_and_empty_ones_unusable() {
        let mut ring = initialized_block().repeat(8);
        assert_eq!(replayed(&ring), (Ok(Replay::Clean), vec![]));
        ring[5] ^= 1;
        assert_eq!(replayed(&ring).0, Ok(Replay::Clean));
        ring[4096 + 5] ^= 1;
        assert_eq!(replayed(&ring).0, Err(ReplayError::NoUpdate));
        assert_eq!(replayed(&[0; RING]).0, Err(ReplayError::NoUsableLog));
    }

    #[test]
    fn the_transaction_counter_may_wrap() {
        let mut ring = vec![0; RING];
        let mut context = [FREE; 67];
        for (i, extent) in (0..8u32).zip(10..) {
            let tr_number = (u32::MAX - 3).wrapping_add(i);
            let block = Transaction {
                tr_number,
                updates: &[SlotUpdate { slot: 5, extent }],
                slots: 67,
                context_start: 0,
                context: &context,
            }
            .encode();
            put(&mut ring, Striping::DEFAULT, tr_number, &block);
            context[5] = extent;
        }
        assert_eq!(replayed(&ring).0, Ok(Replay::Hot([17].into())));
    }

    proptest! {
        #[test]
        fn every_extent_active_in_a_window_of_the_ring_is_found(
            slots in 1u16..3000, moves in prop::collection::vec((any::<u16>(), 0u32..5000), 1..60),
        ) {
            // A plain model: the table of slots after each transaction.
            let striping = Striping::new(2, 4).unwrap();
            let mut ring = initialized_block().repeat(8);
            let mut table = vec![FREE; usize::from(slots)];
            let mut cursor = 0;
            for (tr, (slot, extent)) in (0..).zip(&moves) {
                let slot = slot % slots;
                let (next, count) = super::super::context_window(slots, cursor);
                let start = usize::from(cursor);
                let block = Transaction {
                    tr_number: tr,
                    updates: &[SlotUpdate { slot, extent: *extent }],
                    slots,
                    context_start: cursor,
                    context: &table[start..start + count],
                }.encode();
                put(&mut ring, striping, tr, &block);
                table[usize::from(slot)] = *extent;
                cursor = next;
            }
            let Ok(Replay::Hot(hot)) = replay(&ring, striping, |_| ()) else {
                return Err(TestCaseError::fail("an update was written"));
            };
            let active: BTreeSet<u32> = table.into_iter().filter(|&e| e != FREE).collect();
            prop_assert_eq!(hot, active);
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..9000)) {
            let _ = replayed(&bytes);
        }
    }
}
