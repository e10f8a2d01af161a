//! Meta-data of every format in the memory of a test, as drivers leave it behind, and what a
//! driver that attaches it would take for out of sync.

use std::fmt;

use drbd_types::{BitNr, ByteCount, MdFlags, SectorCount, Uuid};
use proptest::prelude::*;

use super::testing::Image;
use crate::activity_log::replay::{self, Replay};
use crate::activity_log::{FREE, SlotUpdate, Transaction, fresh_ring, old};
use crate::bitmap;
use crate::check;
use crate::layout::{Layout, Placement, Striping, superblock_byte};
use crate::record::{Format, Generation, GenerationCounts, NodeFlags, PeerFlags, Record, validate};
use crate::superblock::{MAGIC_V07, MAGIC_V09, MagicKind, SUPERBLOCK_BYTES};

/// Slots of every activity log here.
const SLOTS: u16 = 67;
/// Bits that scenes play with: a page of bitmap, 128 MiB.
const BITS: u64 = 32_768;

/// What a driver left.
#[derive(Clone, Debug)]
pub struct Scene {
    pub format: Format,
    pub placement: Placement,
    pub size: u64,
    pub striping: Striping,
    /// As in the superblock of v08 and v07; v09 gets what corresponds.
    pub flags: MdFlags,
    pub magic: MagicKind,
    /// Bits that are set.
    pub dirty: Vec<u16>,
    /// Slot and extent of each transaction of the log.
    pub hot: Vec<(u16, u8)>,
    /// Whether a size was ever agreed.
    pub agreed: bool,
}

/// Sizes, placements and stripings in which a format occurs.
fn shapes(format: Format) -> Vec<(u64, Placement, Striping)> {
    const MIB: u64 = 1 << 20;
    let wide = Striping::new(3, 5).expect("15 blocks");
    let mut shapes = vec![
        (2 * MIB, Placement::FlexInternal, Striping::DEFAULT),
        (130 * MIB + 1536, Placement::FlexInternal, Striping::DEFAULT),
        (2 * MIB, Placement::FlexExternal, Striping::DEFAULT),
        (130 * MIB, Placement::Indexed(0), Striping::DEFAULT),
        (260 * MIB, Placement::Indexed(1), Striping::DEFAULT),
    ];
    if format == Format::V07 {
        shapes.push((140 * MIB, Placement::FixedInternal, Striping::DEFAULT));
        shapes.push((300 * MIB, Placement::FixedInternal, Striping::DEFAULT));
    } else {
        shapes.push((2 * MIB, Placement::FlexInternal, wide));
        shapes.push((4 * MIB, Placement::FlexExternal, wide));
    }
    shapes
}

/// Any state that a driver of this format can leave.
pub fn any_scene(format: Format) -> impl Strategy<Value = Scene> {
    (
        prop::sample::select(shapes(format)),
        0u32..0x80,
        any::<bool>(),
        prop::collection::vec(0u16..BITS as u16, 0..12),
        prop::collection::vec((0..SLOTS, 0u8..40), 0..12),
        prop::bool::weighted(0.9),
    )
        .prop_map(
            move |((size, placement, striping), flags, clean, dirty, hot, agreed)| Scene {
                format,
                placement,
                size,
                striping,
                flags: MdFlags::from_bits_retain(flags & flags_of(format)),
                magic: match clean || format != Format::V08 {
                    true => MagicKind::Clean,
                    false => MagicKind::InUse,
                },
                dirty,
                hot,
                agreed,
            },
        )
}

const fn flags_of(format: Format) -> u32 {
    match format {
        Format::V06 | Format::V07 => 0xf,
        Format::V08 | Format::V09 => 0xff,
    }
}

impl Scene {
    /// The fifth word of the command line.
    pub fn index(&self) -> String {
        match (self.format, self.placement) {
            (Format::V07, Placement::FlexInternal) => "flex-internal".to_owned(),
            (_, Placement::FixedInternal | Placement::FlexInternal) => "internal".to_owned(),
            (_, Placement::FlexExternal) => "flex-external".to_owned(),
            (_, Placement::Indexed(n)) => n.to_string(),
        }
    }

    /// Byte position of the superblock.
    pub fn at(&self) -> u64 {
        superblock_byte(ByteCount(self.size), self.placement)
            .try_into()
            .expect("inside of the device")
    }

    pub fn record(&self) -> Record {
        let layout = Layout::compute(ByteCount(self.size), self.placement, self.striping)
            .expect("a shape that fits");
        let (stripes, blocks) = (self.striping.stripes(), self.striping.stripe_blocks());
        let mut record = Record::fresh(self.format, &layout, stripes, blocks);
        record.magic = self.magic;
        record.al_nr_extents = SLOTS.into();
        if self.agreed {
            // v07 counts KiB.
            let usable = record.usable_sectors(self.placement, self.at()) & !1;
            record.effective_size = SectorCount(usable.min(BITS * 8));
        }
        record.generation = self.generation(record.generation);
        record
    }

    fn generation(&self, fresh: Generation) -> Generation {
        match fresh {
            Generation::Counts(_) => Generation::Counts(GenerationCounts {
                flags: self.flags,
                counts: [2, 3, 4, 5],
            }),
            Generation::Uuids { mut uuids, .. } if self.format == Format::V08 => {
                uuids.current = Uuid(0x1111_0000_1111_0000);
                uuids.bitmap = Uuid(0x2222_0000_2222_0000);
                uuids.history = [Uuid(3), Uuid(4)];
                Generation::Uuids {
                    uuids,
                    flags: self.flags,
                }
            }
            _ => self.nodes(),
        }
    }

    fn nodes(&self) -> Generation {
        let mut block = [0; SUPERBLOCK_BYTES];
        block[60..64].copy_from_slice(&MAGIC_V09.to_be_bytes());
        let blank = Record::parse(Format::V09, &block).expect("the magic is right");
        let Generation::Nodes(mut nodes) = blank.generation else {
            unreachable!("a v09 block")
        };
        nodes.current_uuid = Uuid(0x1111_0000_1111_0000);
        nodes.bm_max_peers = 1;
        nodes.flags = NodeFlags::from_bits_truncate(self.flags.bits());
        nodes.history[0] = Uuid(3);
        nodes.history[31] = Uuid(4);
        nodes.peers[0].bitmap_uuid = Uuid(0x2222_0000_2222_0000);
        nodes.peers[31].bitmap_dagtag = 31;
        if self.flags.contains(MdFlags::FULL_SYNC) {
            nodes.peers[0].flags = PeerFlags::FULL_SYNC;
        }
        Generation::Nodes(nodes)
    }

    /// The disk; bytes of the user around the meta-data included.
    pub fn image(&self) -> Image {
        let record = self.record();
        let at = self.at();
        let mut image = Image::new(self.size);
        for place in user_places(&record, self.placement, at) {
            image.write(place, b"user");
        }
        let mut bits = vec![0u8; record.bitmap_bytes() as usize];
        for bit in self.dirty.iter().map(|&bit| usize::from(bit)) {
            if bit / 8 < bits.len() {
                bits[bit / 8] |= 1 << (bit % 8);
            }
        }
        image.write(record.bm_at(at), &bits);
        match self.format {
            Format::V06 | Format::V07 => self.put_old_log(&mut image, record.al_at(at)),
            Format::V08 | Format::V09 => self.put_ring(&mut image, record.al_at(at)),
        }
        image.write(at, &record.encode());
        image
    }

    fn put_ring(&self, image: &mut Image, log: u64) {
        let mut put = |tr: u32, block: &[u8]| {
            image.write(log + u64::from(self.striping.block_of(tr)) * 4096, block);
        };
        let blocks = self.striping.blocks();
        for (tr, block) in fresh_ring(0, blocks, SLOTS, |_| FREE) {
            put(tr, &block);
        }
        let mut context = [FREE; SLOTS as usize];
        for (tr, &(slot, extent)) in (blocks..).zip(&self.hot) {
            let extent = extent.into();
            let block = Transaction {
                tr_number: tr,
                updates: &[SlotUpdate { slot, extent }],
                slots: SLOTS,
                context_start: 0,
                context: &context,
            }
            .encode();
            put(tr, &block);
            context[usize::from(slot)] = extent;
        }
    }

    /// Of the log of 0.7 three sectors are in use for 67 slots.
    fn put_old_log(&self, image: &mut Image, log: u64) {
        for (tr, &(slot, extent)) in (0u32..).zip(&self.hot) {
            let sector = old_sector(tr, slot.into(), extent.into());
            let used = old::used_sectors(SLOTS.into());
            image.write(log + u64::from(tr % used) * 512, &sector);
        }
    }
}

/// A sector of the log of 0.7 to 8.3 with one change and no context (spec 40 section 6.3).
pub fn old_sector(tr: u32, slot: u32, extent: u32) -> [u8; 512] {
    let mut sector = [0xff; 512];
    for (at, word) in [
        (0, old::MAGIC),
        (4, tr),
        (8, slot),
        (12, extent),
        // 61 times all ones, and the change.
        (504, u32::MAX ^ extent),
        (508, 0),
    ] {
        sector[at..at + 4].copy_from_slice(&word.to_be_bytes());
    }
    sector
}

/// Byte positions next to the meta-data that belong to somebody else.
pub fn user_places(record: &Record, placement: Placement, at: u64) -> Vec<u64> {
    let lowest = at.min(record.al_at(at)).min(record.bm_at(at));
    let before = (lowest > 0).then(|| lowest - 4);
    let behind = match placement {
        Placement::Indexed(0) => Some(128 << 20),
        _ => None,
    };
    before.into_iter().chain(behind).collect()
}

/// What a driver makes of meta-data.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reading {
    pub record: Record,
    pub dirty: Dirty,
}

/// What the next connection resyncs.
#[derive(Clone, PartialEq, Eq)]
pub enum Dirty {
    Everything,
    /// As bitmap bytes, nothing behind the end of the volume.
    Bits(Vec<u8>),
}

impl fmt::Debug for Dirty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("Everything"),
            Self::Bits(bytes) => {
                let set = bytes.iter().enumerate().filter(|(_, byte)| **byte != 0);
                f.write_str("bytes ")?;
                f.debug_map().entries(set.take(8)).finish()?;
                write!(f, ", {} bits in all", bitmap::count_ones(bytes))
            }
        }
    }
}

impl Dirty {
    pub fn contains(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Everything, _) => true,
            (Self::Bits(_), Self::Everything) => false,
            (Self::Bits(ours), Self::Bits(theirs)) => {
                let byte = |i: usize| ours.get(i).copied().unwrap_or(0);
                theirs.iter().enumerate().all(|(i, &t)| t & !byte(i) == 0)
            }
        }
    }
}

/// Reads the meta-data of this format and placement, if it is valid.
pub fn read(image: &Image, format: Format, placement: Placement) -> Option<Reading> {
    let at = u64::try_from(superblock_byte(image.size(), placement)).ok()?;
    let record = Record::parse(format, &image.block(at))?;
    if !validate::judge(&record, placement, image.size()).valid {
        return None;
    }
    let (full_sync, primary) = match &record.generation {
        Generation::Counts(gc) => (gc.flags.contains(MdFlags::FULL_SYNC), is_primary(gc.flags)),
        Generation::Uuids { flags, .. } => (flags.contains(MdFlags::FULL_SYNC), is_primary(*flags)),
        Generation::Nodes(nodes) => (
            nodes.peers[0].flags.contains(PeerFlags::FULL_SYNC),
            nodes.flags.contains(NodeFlags::PRIMARY_IND),
        ),
    };
    if full_sync {
        let dirty = Dirty::Everything;
        return Some(Reading { record, dirty });
    }
    let length = record.bitmap_bytes();
    let mut bits = image.read(record.bm_at(at), length as usize);
    if primary {
        let log = image.read(record.al_at(at), record.al_sectors() as usize * 512);
        for extent in hot_extents(&record, &log) {
            if let Some(range) = bitmap::extent_bytes(extent, ByteCount(length)) {
                bits[range.start as usize..range.end as usize].fill(0xff);
            }
        }
    }
    let end = BitNr(record.effective_size.bits());
    bitmap::clear_from(&mut bits, ByteCount(0), end);
    let dirty = Dirty::Bits(bits);
    Some(Reading { record, dirty })
}

fn is_primary(flags: MdFlags) -> bool {
    flags.contains(MdFlags::PRIMARY_IND)
}

fn hot_extents(record: &Record, log: &[u8]) -> Vec<u32> {
    let striping = Striping::from_fields(record.al_stripes, record.al_stripe_size_4k);
    let hot = if check::is_modern(record, log) || record.format == Format::V09 {
        match replay::replay(log, striping.expect("validated"), |_| ()) {
            Ok(Replay::Hot(hot)) => Some(hot),
            Ok(Replay::Clean) | Err(_) => None,
        }
    } else {
        old::replay(log, record.al_nr_extents).hot
    };
    hot.into_iter().flatten().collect()
}

/// A crashed Primary.
pub fn sample(format: Format) -> Scene {
    Scene {
        format,
        placement: Placement::FlexInternal,
        size: 2 << 20,
        striping: Striping::DEFAULT,
        flags: MdFlags::CONSISTENT | MdFlags::PRIMARY_IND,
        magic: match format {
            Format::V08 => MagicKind::InUse,
            _ => MagicKind::Clean,
        },
        dirty: vec![1, 7],
        hot: vec![(1, 0)],
        agreed: true,
    }
}

#[test]
fn a_v07_scene_carries_the_bytes_of_the_spec() {
    let scene = Scene {
        placement: Placement::FixedInternal,
        size: 300 << 20,
        dirty: vec![9],
        hot: vec![(1, 2)],
        ..sample(Format::V07)
    };
    let image = scene.image();
    // Spec 40 sections 2 and 3.2: position, flags, counters, magic, size in KiB, offsets.
    let block = image.block(180_355_072);
    let words: Vec<u32> = block[8..48]
        .chunks_exact(4)
        .map(|w| u32::from_be_bytes([w[0], w[1], w[2], w[3]]))
        .collect();
    assert_eq!(words, [3, 2, 3, 4, 5, MAGIC_V07, 131_072, 8, 67, 72]);
    assert_eq!(image.read(180_391_936, 2), [0, 2]);
    let reading = read(&image, Format::V07, Placement::FixedInternal).expect("valid");
    let Dirty::Bits(bits) = reading.dirty else {
        panic!("no full sync was asked for")
    };
    // Bit 9, and the 1024 bits of extent 2.
    assert_eq!(bitmap::count_ones(&bits), 1025);
}
