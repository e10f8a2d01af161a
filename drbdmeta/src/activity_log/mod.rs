//! The activity log: which 4 MiB extents may hold writes in flight (spec 40 section 6).
//!
//! * this module: the 4096-byte transaction of 8.4 and its checksum,
//! * [`replay`]: from the bytes of a whole ring to the set of hot extents,
//! * [`old`]: the 512-byte transactions of 0.7 to 8.3.
//!
//! A writer (the engine) keeps its transaction counter in memory, starting at 0 when the minor is
//! created, fills a [`Transaction`], writes it to block [`crate::layout::Striping::block_of`] of
//! the ring with flush and FUA, and only then submits writes to the new extents.

pub mod old;
pub mod replay;

use zerocopy::byteorder::big_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::superblock::Block;

/// Magic of an 8.4 block.
pub const MAGIC: u32 = 0x69cb_65a2;
/// Updates that one transaction can carry.
pub const MAX_UPDATES: usize = 64;
/// Context slots in one transaction.
pub const CONTEXT_SLOTS: usize = 919;
/// More slots no log has.
pub const MAX_SLOTS: u16 = 65_534;
/// Extent number of a free slot.
pub const FREE: u32 = 0xffff_ffff;
/// Sectors of a block.
pub const BLOCK_SECTORS: u64 = 8;

const TYPE_UPDATE: u16 = 0;
const TYPE_INITIALIZED: u16 = 0xffff;
const UNUSED_SLOT: u16 = 0xffff;

/// A block as `create-md` and `apply-al` write it all over the ring.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy)]
#[repr(C)]
struct Raw {
    magic: U32,
    tr_number: U32,
    crc32c: U32,
    transaction_type: U16,
    n_updates: U16,
    context_size: U16,
    context_start: U16,
    reserved: [u8; 16],
    update_slot: [U16; MAX_UPDATES],
    update_extent: [U32; MAX_UPDATES],
    context: [U32; CONTEXT_SLOTS],
}

/// Why a block carries no transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BlockError {
    /// Another magic at byte 0.
    #[error("magic 0x{found:08x} at byte 0 (expected 0x{MAGIC:08x})")]
    Magic {
        /// As on disk.
        found: u32,
    },
    /// The checksum at byte 8 does not fit the content.
    #[error("crc32c 0x{found:08x} at byte 8 (computed 0x{computed:08x})")]
    Checksum {
        /// As on disk.
        found: u32,
        /// Over the block with the field zeroed.
        computed: u32,
    },
}

/// One change: `slot` now holds `extent`, or is [`FREE`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SlotUpdate {
    /// Number of the slot.
    pub slot: u16,
    /// The 4 MiB extent that it holds from now on.
    pub extent: u32,
}

/// What one block is to say. The slices keep the writer free of allocations.
#[derive(Clone, Copy, Debug)]
pub struct Transaction<'a> {
    /// Counter of transactions, wraps at 32 bits.
    pub tr_number: u32,
    /// The changes; at most [`MAX_UPDATES`].
    pub updates: &'a [SlotUpdate],
    /// Slots that the log has.
    pub slots: u16,
    /// Slot number of `context[0]`.
    pub context_start: u16,
    /// What the slots from there held *before* the updates; at most [`CONTEXT_SLOTS`], and not
    /// beyond the last slot.
    pub context: &'a [u32],
}

impl Transaction<'_> {
    /// The 4096 bytes. Excess entries would corrupt a later replay, therefore the limits are
    /// asserted: the caller splits its work into transactions.
    pub fn encode(&self) -> Block {
        assert!(
            self.updates.len() <= MAX_UPDATES,
            "64 updates a transaction"
        );
        assert!(self.context.len() <= CONTEXT_SLOTS, "919 context slots");
        let mut raw = Raw {
            magic: MAGIC.into(),
            tr_number: self.tr_number.into(),
            crc32c: 0.into(),
            transaction_type: TYPE_UPDATE.into(),
            // At most 64, see the assertion.
            n_updates: (self.updates.len() as u16).into(),
            context_size: self.slots.into(),
            context_start: self.context_start.into(),
            reserved: [0; 16],
            update_slot: [UNUSED_SLOT.into(); MAX_UPDATES],
            update_extent: [FREE.into(); MAX_UPDATES],
            context: [FREE.into(); CONTEXT_SLOTS],
        };
        for (i, update) in self.updates.iter().enumerate() {
            raw.update_slot[i] = update.slot.into();
            raw.update_extent[i] = update.extent.into();
        }
        for (to, &extent) in raw.context.iter_mut().zip(self.context) {
            *to = extent.into();
        }
        seal(raw)
    }
}

/// The block that marks a ring as initialized and empty.
pub fn initialized_block() -> Block {
    let mut raw: Raw = zerocopy::transmute!([0u8; 4096]);
    raw.magic = MAGIC.into();
    raw.transaction_type = TYPE_INITIALIZED.into();
    seal(raw)
}

/// A valid update transaction from which a replay learns nothing: it keeps a ring usable while its
/// other blocks are replaced.
pub fn silent_block() -> Block {
    Transaction {
        tr_number: 0,
        updates: &[],
        slots: 0,
        context_start: 0,
        context: &[],
    }
    .encode()
}

/// The next [`context_start`](Transaction::context_start) and how many slots to log from the
/// cursor on: the rotation through a log with more than 919 slots.
pub const fn context_window(slots: u16, cursor: u16) -> (u16, usize) {
    let rest = slots.saturating_sub(cursor) as usize;
    let count = if rest < CONTEXT_SLOTS {
        rest
    } else {
        CONTEXT_SLOTS
    };
    let next = cursor as usize + CONTEXT_SLOTS;
    let next = if next >= slots as usize {
        0
    } else {
        next as u16
    };
    (next, count)
}

/// What a driver writes into a ring of `blocks` blocks at the first attach, and after the size
/// changed or the meta-data moved: transactions without updates, in the order to write them.
/// `first` is the current counter; afterwards the counter has advanced by `blocks`.
pub fn fresh_ring(
    first: u32,
    blocks: u32,
    slots: u16,
    context_of: impl Fn(u16) -> u32,
) -> impl Iterator<Item = (u32, Block)> {
    let mut cursor = 0;
    (0..blocks).map(move |i| {
        let tr_number = first.wrapping_add(i);
        let (next, count) = context_window(slots, cursor);
        let context: Vec<u32> = (0..count).map(|s| context_of(cursor + s as u16)).collect();
        let block = Transaction {
            tr_number,
            updates: &[],
            slots,
            context_start: cursor,
            context: &context,
        }
        .encode();
        cursor = next;
        (tr_number, block)
    })
}

fn seal(mut raw: Raw) -> Block {
    let block = zerocopy::transmute_ref!(&raw);
    raw.crc32c = checksum(block).into();
    zerocopy::transmute!(raw)
}

/// crc32c of a block whose checksum field counts as zero, as the Linux kernel computes it with
/// seed 0: no inversion before or behind.
fn checksum(block: &Block) -> u32 {
    const FIELD: usize = core::mem::offset_of!(Raw, crc32c);
    let (before, behind) = (&block[..FIELD], &block[FIELD + 4..]);
    // The crate inverts on the way in and on the way out; both are undone here.
    let parts = [before, &[0; 4], behind];
    !parts.into_iter().fold(!0, crc32c::crc32c_append)
}

/// A valid block, as read from disk.
#[derive(Clone, Copy)]
pub struct ValidBlock<'a>(&'a Raw);

impl<'a> ValidBlock<'a> {
    /// Checks magic and checksum.
    pub fn parse(block: &'a Block) -> Result<Self, BlockError> {
        let raw: &Raw = zerocopy::transmute_ref!(block);
        if raw.magic.get() != MAGIC {
            return Err(BlockError::Magic {
                found: raw.magic.get(),
            });
        }
        let found = raw.crc32c.get();
        let computed = checksum(block);
        if found != computed {
            return Err(BlockError::Checksum { found, computed });
        }
        Ok(Self(raw))
    }

    /// Whether it is an update transaction (and not "initialized" or of an unknown type).
    pub fn is_update(&self) -> bool {
        self.transaction_type() == TYPE_UPDATE
    }

    /// Whether it is what `create-md` writes.
    pub fn is_initialized(&self) -> bool {
        self.transaction_type() == TYPE_INITIALIZED
    }

    /// The type field.
    pub fn transaction_type(&self) -> u16 {
        self.0.transaction_type.get()
    }

    /// The transaction counter.
    pub fn tr_number(&self) -> u32 {
        self.0.tr_number.get()
    }

    /// The checksum, which is right.
    pub fn crc32c(&self) -> u32 {
        self.0.crc32c.get()
    }

    /// The number of slots that the writer had.
    pub fn context_size(&self) -> u16 {
        self.0.context_size.get()
    }

    /// Slot number of the first context entry.
    pub fn context_start(&self) -> u16 {
        self.0.context_start.get()
    }

    /// The number of updates that the block claims to carry.
    pub fn n_updates(&self) -> u16 {
        self.0.n_updates.get()
    }

    /// All 919 context entries with their slot numbers, free and unused ones included.
    pub fn context(&self) -> impl Iterator<Item = (u32, u32)> + use<'a> {
        let start = u32::from(self.context_start());
        (start..).zip(self.0.context.iter().map(|e| e.get()))
    }

    /// All 64 update entries, unused ones included.
    pub fn updates(&self) -> impl Iterator<Item = SlotUpdate> + use<'a> {
        let extents = self.0.update_extent.iter();
        self.0
            .update_slot
            .iter()
            .zip(extents)
            .map(|(slot, extent)| SlotUpdate {
                slot: slot.get(),
                extent: extent.get(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_flavour_is_the_one_of_the_spec() {
        assert_eq!(
            initialized_block()[..16],
            [
                0x69, 0xcb, 0x65, 0xa2, 0, 0, 0, 0, 0x70, 0x9c, 0xc6, 0x51, 0xff, 0xff, 0, 0
            ]
        );
        let ring: Vec<_> = fresh_ring(0, 2, 67, |_| FREE).collect();
        assert_eq!(ValidBlock::parse(&ring[0].1).unwrap().crc32c(), 0x3ef8_578b);
        assert_eq!(ValidBlock::parse(&ring[1].1).unwrap().crc32c(), 0x9b28_9ff1);
    }

    #[test]
    fn transactions_have_the_bytes_that_the_kernel_wrote() {
        // Spec 40 section 6.1, the captured table: checksum pins every byte of the block.
        let mut context = [FREE; 67];
        let writes = [
            (66, 3, 0x156f_3cfa),
            (65, 5, 0x6a37_784c),
            (64, 1, 0xe095_0b50),
        ];
        for (tr, (slot, extent, crc)) in (8..).zip(writes) {
            let block = Transaction {
                tr_number: tr,
                updates: &[SlotUpdate { slot, extent }],
                slots: 67,
                context_start: 0,
                context: &context,
            }
            .encode();
            let read = ValidBlock::parse(&block).unwrap();
            assert_eq!(read.crc32c(), crc);
            assert_eq!(read.updates().next(), Some(SlotUpdate { slot, extent }));
            context[usize::from(slot)] = extent;
        }
    }

    #[test]
    fn the_context_cursor_rotates_through_large_logs() {
        assert_eq!(context_window(67, 0), (0, 67));
        assert_eq!(context_window(919, 0), (0, 919));
        assert_eq!(context_window(2000, 0), (919, 919));
        assert_eq!(context_window(2000, 1838), (0, 162));
    }

    #[test]
    fn a_flipped_bit_anywhere_invalidates_a_block() {
        let block = initialized_block();
        for byte in (0..4096).step_by(61) {
            let mut bad = block;
            bad[byte] ^= 0x10;
            assert!(ValidBlock::parse(&bad).is_err(), "byte {byte}");
        }
    }
}
