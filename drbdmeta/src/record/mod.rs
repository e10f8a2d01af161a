//! A superblock of any format in one shape: what the command works on.
//!
//! [`Record`] holds the fields that the formats share in common units (sectors), and the part in
//! which they differ as [`Generation`]. [`validate`] has the rules by which the command accepts a
//! block at its place; [`convert`] turns one format into another. The engine, which only ever
//! attaches v08, uses [`crate::superblock::Superblock`] instead; both share the byte codec.

pub mod convert;
mod v07;
mod v09;
pub mod validate;

use drbd_types::{MdFlags, Sector, SectorCount, UuidSet};

pub use v09::{NodeFlags, Peer, PeerFlags, V09};

use crate::layout::{Layout, Placement};
use crate::superblock::{
    Block, DEFAULT_AL_EXTENTS, MAGIC_V06, MAGIC_V07, MAGIC_V08, MAGIC_V09, MAGIC_V84_UNCLEAN,
    MagicKind, SUPERBLOCK_BYTES, Superblock,
};

/// More than any field can describe: such a log is not valid, and arithmetic on it stays in range.
const SENSELESS_AL_SECTORS: u64 = 1 << 40;

/// The formats that `drbdmeta` names on its command line.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Format {
    /// DRBD 0.6: a small plain file.
    V06,
    /// DRBD 0.7.
    V07,
    /// DRBD 8.0 to 8.4.
    V08,
    /// DRBD 9.
    V09,
}

impl Format {
    /// All of them, oldest first.
    pub const ALL: [Self; 4] = [Self::V06, Self::V07, Self::V08, Self::V09];

    /// The name on the command line and in dumps.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V06 => "v06",
            Self::V07 => "v07",
            Self::V08 => "v08",
            Self::V09 => "v09",
        }
    }

    /// The numbers by which a superblock is recognised.
    pub const fn magics(self) -> &'static [u32] {
        match self {
            Self::V06 => &[MAGIC_V06],
            Self::V07 => &[MAGIC_V07],
            Self::V08 => &[MAGIC_V08, MAGIC_V84_UNCLEAN],
            Self::V09 => &[MAGIC_V09],
        }
    }

    /// Bytes of a superblock on disk.
    pub const fn superblock_bytes(self) -> usize {
        match self {
            Self::V06 => 24,
            Self::V07 | Self::V08 | Self::V09 => SUPERBLOCK_BYTES,
        }
    }

    /// The format of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|f| f.name() == name)
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The generation counts of 0.6 and 0.7 (spec 40 section 4.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GenerationCounts {
    /// Bits 0 to 3 as in v08.
    pub flags: MdFlags,
    /// Human, timeout, connected and arbitrary count.
    pub counts: [u32; 4],
}

/// What identifies the data.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Generation {
    /// v06 and v07.
    Counts(GenerationCounts),
    /// v08; the flags are those of the superblock.
    Uuids {
        /// The four slots.
        uuids: UuidSet,
        /// State of the data.
        flags: MdFlags,
    },
    /// v09.
    Nodes(Box<V09>),
}

/// A superblock of any format.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// The format that it was read from, or is to be written in.
    pub format: Format,
    /// Last agreed size.
    pub effective_size: SectorCount,
    /// What identifies the data.
    pub generation: Generation,
    /// Which v08 magic; always clean for the others.
    pub magic: MagicKind,
    /// Random identity of the device (v08 and v09).
    pub device_uuid: u64,
    /// Sectors of the whole area.
    pub md_size_sect: u32,
    /// Sectors from superblock to activity log.
    pub al_offset: i32,
    /// Slots of the activity log.
    pub al_nr_extents: u32,
    /// Sectors from superblock to bitmap.
    pub bm_offset: i32,
    /// Bytes that a bit stands for.
    pub bm_bytes_per_bit: u32,
    /// Last request size of the peer; 0 is unknown.
    pub la_peer_max_bio_size: u32,
    /// Stripes of the activity log, as on disk.
    pub al_stripes: u32,
    /// Blocks in a stripe, as on disk.
    pub al_stripe_size_4k: u32,
}

impl Record {
    /// Reads a block as `format`; `None` when the magic is another one.
    pub fn parse(format: Format, block: &Block) -> Option<Self> {
        match format {
            Format::V06 => v07::parse_v06(block),
            Format::V07 => v07::parse(block),
            Format::V08 => Superblock::parse(block).ok().map(Self::from),
            Format::V09 => v09::parse(block),
        }
        .map(Self::with_default_striping)
    }

    /// 0 and 0, as before 8.4.3, become the numbers that they stand for, and are written so.
    fn with_default_striping(mut self) -> Self {
        if (self.al_stripes, self.al_stripe_size_4k) == (0, 0) {
            (self.al_stripes, self.al_stripe_size_4k) = (1, 8);
        }
        self
    }

    /// The 4096 bytes on disk; of a v06 file only the first 24 count. The command writes v08
    /// always with the clean magic: it is no driver.
    pub fn encode(&self) -> Block {
        match &self.generation {
            Generation::Counts(gc) if self.format == Format::V06 => v07::encode_v06(gc),
            Generation::Counts(gc) => v07::encode(self, gc),
            Generation::Uuids { uuids, flags } => {
                self.superblock(*uuids, *flags).encode(self.magic)
            }
            Generation::Nodes(nodes) => v09::encode(self, nodes),
        }
    }

    /// What `create-md` starts from, for a layout (spec 40 section 17).
    pub fn fresh(format: Format, layout: &Layout, stripes: u32, stripe_blocks: u32) -> Self {
        let generation = match format {
            Format::V06 | Format::V07 => Generation::Counts(GenerationCounts {
                flags: MdFlags::empty(),
                counts: [1; 4],
            }),
            Format::V08 | Format::V09 => Generation::Uuids {
                uuids: UuidSet::JUST_CREATED,
                flags: MdFlags::AL_CLEAN,
            },
        };
        Self {
            format,
            effective_size: SectorCount(0),
            generation,
            magic: MagicKind::Clean,
            device_uuid: 0,
            md_size_sect: layout.md_size_sect,
            al_offset: layout.al_offset,
            al_nr_extents: DEFAULT_AL_EXTENTS,
            bm_offset: layout.bm_offset,
            bm_bytes_per_bit: 4096,
            la_peer_max_bio_size: 0,
            al_stripes: stripes,
            al_stripe_size_4k: stripe_blocks,
        }
    }

    /// What `create-md` would write into a v06 file.
    pub fn fresh_v06() -> Self {
        let nowhere = Layout {
            placement: Placement::FlexExternal,
            superblock: Sector(0),
            al_offset: 0,
            al_sectors: 0,
            bm_offset: 0,
            md_size_sect: 0,
        };
        Self::fresh(Format::V06, &nowhere, 1, 8)
    }

    fn superblock(&self, uuids: UuidSet, flags: MdFlags) -> Superblock {
        Superblock {
            magic: self.magic,
            effective_size: self.effective_size,
            uuids,
            device_uuid: self.device_uuid,
            flags,
            md_size_sect: self.md_size_sect,
            al_offset: self.al_offset,
            al_nr_extents: self.al_nr_extents,
            bm_offset: self.bm_offset,
            bm_bytes_per_bit: self.bm_bytes_per_bit,
            la_peer_max_bio_size: self.la_peer_max_bio_size,
            al_stripes: self.al_stripes,
            al_stripe_size_4k: self.al_stripe_size_4k,
        }
    }

    /// Sectors of the activity log that the fields stand for: 0 and 0 are the default, v07 has
    /// no such fields.
    pub fn al_sectors(&self) -> u64 {
        match (self.al_stripes, self.al_stripe_size_4k) {
            _ if self.format <= Format::V07 => 64,
            (stripes, blocks) => (u64::from(stripes) * u64::from(blocks))
                .saturating_mul(8)
                .min(SENSELESS_AL_SECTORS),
        }
    }

    /// Peers whose bitmaps the area holds.
    pub fn max_peers(&self) -> u32 {
        match &self.generation {
            Generation::Nodes(nodes) => nodes.max_peers(),
            _ => 1,
        }
    }

    /// The flags of the v08 superblock; empty for other formats, whose own flag words the
    /// genuine tool does not consult in their place.
    pub fn flags(&self) -> MdFlags {
        match &self.generation {
            Generation::Uuids { flags, .. } => *flags,
            _ => MdFlags::empty(),
        }
    }

    /// Whether `dump-md` must not trust the bitmap before `apply-al` has run.
    pub fn is_unclean(&self) -> bool {
        let al_clean = match &self.generation {
            Generation::Counts(_) => false,
            Generation::Uuids { flags, .. } => flags.contains(MdFlags::AL_CLEAN),
            Generation::Nodes(nodes) => nodes.flags.contains(NodeFlags::AL_CLEAN),
        };
        !al_clean || self.magic == MagicKind::InUse
    }

    /// Takes over the location fields of a layout.
    pub fn place(&mut self, layout: &Layout) {
        self.md_size_sect = layout.md_size_sect;
        self.al_offset = layout.al_offset;
        self.bm_offset = layout.bm_offset;
    }

    /// Byte position of the activity log for a superblock at byte `at`. Wraps as the genuine
    /// tool computes it: a position before byte 0 is caught when something is written there.
    pub fn al_at(&self, at: u64) -> u64 {
        at.wrapping_add_signed(i64::from(self.al_offset) * 512)
    }

    /// Byte position of the bitmap, likewise.
    pub fn bm_at(&self, at: u64) -> u64 {
        at.wrapping_add_signed(i64::from(self.bm_offset) * 512)
    }

    /// Sectors of user data that this meta-data allows, as the genuine tool computes it: where
    /// the arithmetic would fall below 0 it wraps, and so clips nothing.
    pub fn usable_sectors(&self, placement: Placement, at: u64) -> u64 {
        match placement {
            Placement::FixedInternal => at / 512,
            Placement::FlexInternal => {
                let lowest = self.bm_offset.min(self.al_offset);
                (at / 512).wrapping_add_signed(i64::from(lowest))
            }
            Placement::FlexExternal | Placement::Indexed(_) => {
                let bitmap = i64::from(self.md_size_sect) - i64::from(self.bm_offset);
                (bitmap as u64).wrapping_mul(crate::layout::SECTORS_PER_BITMAP_SECTOR)
            }
        }
    }

    /// Bytes of bitmap that belong to the agreed size, in whole pages, all peers together.
    pub fn bitmap_bytes(&self) -> u64 {
        let one = crate::bitmap::bytes_used(self.effective_size).0;
        one.saturating_mul(u64::from(self.max_peers()))
            .checked_next_multiple_of(4096)
            .unwrap_or(u64::MAX / 4096 * 4096)
    }
}

impl From<Superblock> for Record {
    fn from(sb: Superblock) -> Self {
        Self {
            format: Format::V08,
            effective_size: sb.effective_size,
            generation: Generation::Uuids {
                uuids: sb.uuids,
                flags: sb.flags,
            },
            magic: sb.magic,
            device_uuid: sb.device_uuid,
            md_size_sect: sb.md_size_sect,
            al_offset: sb.al_offset,
            al_nr_extents: sb.al_nr_extents,
            bm_offset: sb.bm_offset,
            bm_bytes_per_bit: sb.bm_bytes_per_bit,
            la_peer_max_bio_size: sb.la_peer_max_bio_size,
            al_stripes: sb.al_stripes,
            al_stripe_size_4k: sb.al_stripe_size_4k,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_block_with_a_magic_reads_and_writes_back(
            head in prop::collection::vec(any::<u8>(), 2000),
            kind in prop::sample::select(vec![
                (Format::V06, 20, MAGIC_V06),
                (Format::V07, 28, MAGIC_V07),
                (Format::V08, 60, MAGIC_V08),
                (Format::V08, 60, MAGIC_V84_UNCLEAN),
                (Format::V09, 60, MAGIC_V09),
            ]),
            size: u64,
        ) {
            let (format, at, magic) = kind;
            let mut block = [0; SUPERBLOCK_BYTES];
            block[..head.len()].copy_from_slice(&head);
            block[at..at + 4].copy_from_slice(&magic.to_be_bytes());
            let mut record = Record::parse(format, &block).unwrap();
            if format == Format::V07 {
                // On disk in KiB.
                record.effective_size.0 &= !1;
            }
            prop_assert_eq!(Record::parse(format, &record.encode()).unwrap(), record.clone());
            for placement in [
                Placement::FixedInternal,
                Placement::FlexInternal,
                Placement::FlexExternal,
                Placement::Indexed(9),
            ] {
                let _ = validate::judge(&record, placement, drbd_types::ByteCount(size));
                let _ = record.usable_sectors(placement, size);
            }
        }
    }
}
