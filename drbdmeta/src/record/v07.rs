//! The blocks of 0.6 and 0.7 as bytes (spec 40 sections 3.1 and 3.2).

use drbd_types::{MdFlags, SectorCount};
use zerocopy::byteorder::big_endian::{I32, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Format, Generation, GenerationCounts, Record};
use crate::superblock::{Block, MAGIC_V06, MAGIC_V07, MagicKind};

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy)]
#[repr(C)]
struct RawV07 {
    la_kb: U64,
    flags: U32,
    counts: [U32; 4],
    magic: U32,
    md_size_kb: U32,
    al_offset: I32,
    al_nr_extents: U32,
    bm_offset: I32,
    reserved: [u8; 4048],
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy)]
#[repr(C)]
struct RawV06 {
    flags: U32,
    counts: [U32; 4],
    magic: U32,
    unused: [u8; 4072],
}

fn generation(flags: U32, counts: [U32; 4]) -> Generation {
    Generation::Counts(GenerationCounts {
        flags: MdFlags::from_bits_retain(flags.get()),
        counts: counts.map(U32::get),
    })
}

pub(super) fn parse(block: &Block) -> Option<Record> {
    let raw: RawV07 = zerocopy::transmute!(*block);
    (raw.magic.get() == MAGIC_V07).then(|| Record {
        format: Format::V07,
        effective_size: SectorCount(raw.la_kb.get().wrapping_mul(2)),
        generation: generation(raw.flags, raw.counts),
        magic: MagicKind::Clean,
        device_uuid: 0,
        md_size_sect: raw.md_size_kb.get().wrapping_mul(2),
        al_offset: raw.al_offset.get(),
        al_nr_extents: raw.al_nr_extents.get(),
        bm_offset: raw.bm_offset.get(),
        bm_bytes_per_bit: 4096,
        la_peer_max_bio_size: 0,
        al_stripes: 1,
        al_stripe_size_4k: 8,
    })
}

pub(super) fn encode(record: &Record, gc: &GenerationCounts) -> Block {
    let raw = RawV07 {
        la_kb: (record.effective_size.0 / 2).into(),
        flags: gc.flags.bits().into(),
        counts: gc.counts.map(U32::new),
        magic: MAGIC_V07.into(),
        md_size_kb: (record.md_size_sect / 2).into(),
        al_offset: record.al_offset.into(),
        al_nr_extents: record.al_nr_extents.into(),
        bm_offset: record.bm_offset.into(),
        reserved: [0; 4048],
    };
    zerocopy::transmute!(raw)
}

pub(super) fn parse_v06(block: &Block) -> Option<Record> {
    let raw: RawV06 = zerocopy::transmute!(*block);
    (raw.magic.get() == MAGIC_V06).then(|| Record {
        format: Format::V06,
        effective_size: SectorCount(0),
        generation: generation(raw.flags, raw.counts),
        magic: MagicKind::Clean,
        device_uuid: 0,
        md_size_sect: 0,
        al_offset: 0,
        al_nr_extents: 0,
        bm_offset: 0,
        bm_bytes_per_bit: 4096,
        la_peer_max_bio_size: 0,
        al_stripes: 1,
        al_stripe_size_4k: 8,
    })
}

pub(super) fn encode_v06(gc: &GenerationCounts) -> Block {
    let raw = RawV06 {
        flags: gc.flags.bits().into(),
        counts: gc.counts.map(U32::new),
        magic: MAGIC_V06.into(),
        unused: [0; 4072],
    };
    zerocopy::transmute!(raw)
}
