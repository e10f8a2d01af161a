//! Location arithmetic: from device size and placement to the position of every part
//! (spec 40 section 2). Everything that stems from outside is computed checked.

use drbd_types::{ByteCount, Sector, SectorCount};

/// Bytes of a superblock, of an activity-log block and of a bitmap page.
pub const BLOCK_BYTES: u64 = 4096;
/// Sectors of such a block.
pub const BLOCK_SECTORS: u64 = 8;
/// Size of an indexed slot, and of the fixed internal area of 0.7: 128 MiB.
pub const SLOT_SECTORS: u64 = 262_144;
/// Sectors that one sector of bitmap describes (16 MiB).
pub const SECTORS_PER_BITMAP_SECTOR: u64 = 32_768;
/// No meta-data device may be smaller (68 KiB).
pub const SMALLEST_DEVICE: ByteCount = ByteCount(69_632);
/// A flexible bitmap may not exceed this many bytes (1 PiB of storage).
const LARGEST_BITMAP: u64 = 1 << 35;

/// Where the meta-data of a volume lies, as the fifth argument of `drbdmeta` names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Placement {
    /// At the end of the data device, 128 MiB: "internal" of 0.7.
    FixedInternal,
    /// At the end of the data device, as long as needed: "internal" since 8.0.
    FlexInternal,
    /// A whole device for itself.
    FlexExternal,
    /// Slot N of 128 MiB on a shared device.
    Indexed(u8),
}

impl Placement {
    /// Whether data and meta-data share a device.
    pub const fn is_internal(self) -> bool {
        matches!(self, Self::FixedInternal | Self::FlexInternal)
    }

    /// The number that kernel and drbdsetup use for it (`meta_dev_idx`).
    pub const fn kernel_index(self) -> i32 {
        match self {
            Self::FixedInternal => -1,
            Self::FlexExternal => -2,
            Self::FlexInternal => -3,
            Self::Indexed(n) => n as i32,
        }
    }

    /// The placement an 8.x kernel understands by an index: there `-1` is flexible as well.
    pub const fn from_kernel_index(index: i32) -> Option<Self> {
        match index {
            -1 | -3 => Some(Self::FlexInternal),
            -2 => Some(Self::FlexExternal),
            0..=255 => Some(Self::Indexed(index as u8)),
            _ => None,
        }
    }
}

/// The shape of the activity log: a ring of blocks spread over stripes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Striping {
    stripes: u32,
    stripe_blocks: u32,
}

impl Striping {
    /// One stripe of 32 KiB: the default, and the only shape before 8.4.3.
    pub const DEFAULT: Self = Self {
        stripes: 1,
        stripe_blocks: 8,
    };
    /// The smallest ring.
    pub const MIN_BLOCKS: u64 = 8;
    /// The largest ring that the kernel accepts (16 GiB).
    pub const MAX_BLOCKS: u64 = 4_194_304;

    /// `stripes` stripes of `stripe_blocks` 4 KiB blocks; `None` outside of what kernels accept.
    pub fn new(stripes: u32, stripe_blocks: u32) -> Option<Self> {
        let blocks = u64::from(stripes).checked_mul(u64::from(stripe_blocks))?;
        (Self::MIN_BLOCKS..=Self::MAX_BLOCKS)
            .contains(&blocks)
            .then_some(Self {
                stripes,
                stripe_blocks,
            })
    }

    /// The shape that the two superblock fields stand for: 0 and 0 are the default.
    pub fn from_fields(stripes: u32, stripe_blocks: u32) -> Option<Self> {
        match (stripes, stripe_blocks) {
            (0, 0) => Some(Self::DEFAULT),
            _ => Self::new(stripes, stripe_blocks),
        }
    }

    /// Number of stripes.
    pub const fn stripes(self) -> u32 {
        self.stripes
    }

    /// 4 KiB blocks in a stripe.
    pub const fn stripe_blocks(self) -> u32 {
        self.stripe_blocks
    }

    /// 4 KiB blocks in the whole ring.
    pub const fn blocks(self) -> u32 {
        self.stripes * self.stripe_blocks
    }

    /// Sectors of the whole ring.
    pub const fn sectors(self) -> SectorCount {
        SectorCount(self.blocks() as u64 * BLOCK_SECTORS)
    }

    /// The on-disk block of transaction `tr`: consecutive transactions go round-robin over the
    /// stripes (spec 40 section 6.1).
    pub const fn block_of(self, tr: u32) -> u32 {
        let r = tr % self.blocks();
        (r % self.stripes) * self.stripe_blocks + r / self.stripes
    }

    /// Slots that an activity log of this shape may have at most.
    pub const fn max_slots(self) -> u16 {
        // The ring must hold one full rotation of the context beside the block being written.
        let by_context = (self.blocks() as u64 - 1) * crate::activity_log::CONTEXT_SLOTS as u64;
        if self.blocks() <= 72 && by_context < crate::activity_log::MAX_SLOTS as u64 {
            by_context as u16
        } else {
            crate::activity_log::MAX_SLOTS
        }
    }
}

impl Default for Striping {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Why no layout exists.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LayoutError {
    /// The superblock itself would lie outside.
    #[error(
        "Device too small: the meta data block belongs at byte offset {expected}, the device has {size} bytes"
    )]
    SuperblockOutside {
        /// Byte position of the superblock; negative before the start.
        expected: i64,
        /// Size of the device.
        size: ByteCount,
    },
    /// The flexible bitmap would exceed what the format can describe.
    #[error("Bitmap for that device got too large.")]
    BitmapTooLarge,
    /// Activity log or bitmap would start before the first byte.
    #[error("Device too small: activity log or bitmap would begin before the start of the device")]
    BeforeStart,
    /// Activity log and bitmap do not fit into the area that the superblock claims.
    #[error(
        "meta data offsets don't make sense: al_offset={al_offset}, bm_offset={bm_offset}, md_size_sect={md_size_sect}"
    )]
    Offsets {
        /// As in the superblock.
        al_offset: i32,
        /// As in the superblock.
        bm_offset: i32,
        /// As in the superblock.
        md_size_sect: u32,
    },
}

/// The location fields of a superblock together with the place of the superblock itself.
/// Computed for a device that is too small, activity log and bitmap can lie before byte 0:
/// [`Layout::areas`] refuses that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// The placement it was computed for.
    pub placement: Placement,
    /// Position of the superblock.
    pub superblock: Sector,
    /// Sectors from the superblock to the activity log.
    pub al_offset: i32,
    /// Sectors of the activity log.
    pub al_sectors: u64,
    /// Sectors from the superblock to the bitmap.
    pub bm_offset: i32,
    /// Sectors of the whole meta-data area, superblock included.
    pub md_size_sect: u32,
}

/// The parts of a meta-data area, all of it inside the device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Areas {
    /// Position of the 4 KiB superblock.
    pub superblock: Sector,
    /// First sector of the activity log.
    pub activity_log: Sector,
    /// Length of the activity log.
    pub activity_log_len: SectorCount,
    /// First sector of the bitmap.
    pub bitmap: Sector,
    /// Room for the bitmap.
    pub bitmap_len: SectorCount,
    /// The largest volume that this meta-data allows; with external meta-data the data device
    /// may be smaller ([`Areas::usable`]).
    pub capacity: SectorCount,
}

impl Areas {
    /// Sectors of user data on a data device of this size.
    pub fn usable(&self, data_device: ByteCount) -> SectorCount {
        SectorCount((data_device.0 / 512).min(self.capacity.0))
    }
}

/// Sectors of a flexible bitmap for a device of `size`, one peer: always a multiple of 8.
/// `bytes_per_bit` is 4096 on every valid device.
pub fn bitmap_sectors(size: ByteCount, bytes_per_bit: u32, peers: u32) -> Result<u64, LayoutError> {
    let sectors = size.0 / 512;
    // Quirk of the genuine tool: another granularity divides the sector count itself.
    let divisor = match bytes_per_bit {
        0 => return Err(LayoutError::BitmapTooLarge),
        4096 => BLOCK_SECTORS,
        other => u64::from(other),
    };
    let bits = sectors.div_ceil(divisor).next_multiple_of(64);
    let bytes = (bits / 8)
        .checked_mul(u64::from(peers.max(1)))
        .and_then(|b| b.checked_next_multiple_of(BLOCK_BYTES))
        .ok_or(LayoutError::BitmapTooLarge)?;
    if bits / 8 > LARGEST_BITMAP {
        return Err(LayoutError::BitmapTooLarge);
    }
    Ok(bytes / 512)
}

/// Byte position of the superblock on a device of this size; may lie outside (spec 40 section 2).
pub fn superblock_byte(size: ByteCount, placement: Placement) -> i64 {
    // Sizes come from the kernel and stay far below 2^63.
    let size = i64::try_from(size.0).unwrap_or(i64::MAX);
    let block = BLOCK_BYTES as i64;
    match placement {
        Placement::FixedInternal => size / block * block - (SLOT_SECTORS * 512) as i64,
        Placement::FlexInternal => (size - block).div_euclid(block) * block,
        Placement::FlexExternal => 0,
        Placement::Indexed(n) => i64::from(n) * (SLOT_SECTORS * 512) as i64,
    }
}

impl Layout {
    /// Where everything belongs on a device of `size` bytes.
    pub fn compute(
        size: ByteCount,
        placement: Placement,
        striping: Striping,
    ) -> Result<Self, LayoutError> {
        Self::compute_raw(size, placement, striping.sectors().0, 4096, 1)
    }

    /// As [`Layout::compute`], for superblock fields that may be odd: a log of any size, another
    /// granularity, the bitmaps of several peers.
    pub fn compute_raw(
        size: ByteCount,
        placement: Placement,
        al_sectors: u64,
        bytes_per_bit: u32,
        peers: u32,
    ) -> Result<Self, LayoutError> {
        let expected = superblock_byte(size, placement);
        let outside = LayoutError::SuperblockOutside { expected, size };
        let at = u64::try_from(expected).map_err(|_| outside)?;
        if at.checked_add(BLOCK_BYTES).is_none_or(|end| end > size.0) {
            return Err(outside);
        }
        let al = i64::try_from(al_sectors).map_err(|_| LayoutError::BitmapTooLarge)?;
        let narrow = |v: i64| i32::try_from(v).map_err(|_| LayoutError::BitmapTooLarge);
        let (al_offset, bm_offset, md_size_sect) = match placement {
            Placement::FlexInternal => {
                let bm = bitmap_sectors(size, bytes_per_bit, peers)? as i64;
                let md = bm + BLOCK_SECTORS as i64 + al;
                (narrow(-al)?, narrow(-(md - 8))?, md as u64)
            }
            Placement::FlexExternal => (8, narrow(8 + al)?, size.0 / 512),
            Placement::FixedInternal | Placement::Indexed(_) => (8, narrow(8 + al)?, SLOT_SECTORS),
        };
        Ok(Self {
            placement,
            superblock: Sector(at / 512),
            al_offset,
            al_sectors,
            bm_offset,
            // The field has 32 bits: a flexible device of 2 TiB wraps to 0, as in the genuine.
            md_size_sect: md_size_sect as u32,
        })
    }

    /// The parts with their absolute positions, or why they do not fit.
    pub fn areas(&self) -> Result<Areas, LayoutError> {
        let offsets = LayoutError::Offsets {
            al_offset: self.al_offset,
            bm_offset: self.bm_offset,
            md_size_sect: self.md_size_sect,
        };
        let at = |offset: i32| {
            self.superblock
                .0
                .checked_add_signed(i64::from(offset))
                .map(Sector)
                .ok_or(LayoutError::BeforeStart)
        };
        let md = i64::from(self.md_size_sect);
        let (al, bm) = (i64::from(self.al_offset), i64::from(self.bm_offset));
        let al_len = i64::try_from(self.al_sectors).map_err(|_| offsets)?;
        let bitmap_len = if al < 0 {
            if -al != al_len || bm > al {
                return Err(offsets);
            }
            al - bm
        } else {
            if al != BLOCK_SECTORS as i64 || bm < al + al_len {
                return Err(offsets);
            }
            md - bm
        };
        if bitmap_len < 0 || bm % BLOCK_SECTORS as i64 != 0 {
            return Err(offsets);
        }
        Ok(Areas {
            superblock: self.superblock,
            activity_log: at(self.al_offset)?,
            activity_log_len: SectorCount(self.al_sectors),
            bitmap: at(self.bm_offset)?,
            bitmap_len: SectorCount(bitmap_len as u64),
            capacity: self.capacity().ok_or(LayoutError::BeforeStart)?,
        })
    }

    /// Sectors of user data that this meta-data allows; `None` where they would end before the
    /// start of the device.
    pub fn capacity(&self) -> Option<SectorCount> {
        match self.placement {
            Placement::FixedInternal => Some(SectorCount(self.superblock.0)),
            Placement::FlexInternal => self
                .superblock
                .0
                .checked_add_signed(i64::from(self.bm_offset.min(self.al_offset)))
                .map(SectorCount),
            Placement::FlexExternal | Placement::Indexed(_) => {
                let bitmap = i64::from(self.md_size_sect) - i64::from(self.bm_offset);
                u64::try_from(bitmap)
                    .ok()
                    .map(|b| SectorCount(b * SECTORS_PER_BITMAP_SECTOR))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Spec 40 section 2, "worked numbers, flexible internal":
    /// size, superblock byte, md_size_sect, bm_offset, bitmap bytes, usable sectors.
    const FLEX_INTERNAL: &[(u64, u64, u32, i32, u64, u64)] = &[
        (69_632, 65_536, 80, -72, 4096, 56),
        (1 << 20, 1_044_480, 80, -72, 4096, 1968),
        (64 << 20, 67_104_768, 80, -72, 4096, 130_992),
        ((64 << 20) + 3584, 67_104_768, 80, -72, 4096, 130_992),
        (128 << 20, 134_213_632, 80, -72, 4096, 262_064),
        ((128 << 20) + 4096, 134_217_728, 88, -80, 8192, 262_064),
        (200 << 20, 209_711_104, 88, -80, 8192, 409_512),
        (300 << 20, 314_568_704, 96, -88, 12_288, 614_304),
        (1 << 30, 1_073_737_728, 136, -128, 32_768, 2_097_016),
        (10 << 30, 10_737_414_144, 712, -704, 327_680, 20_970_808),
        (
            1 << 40,
            1_099_511_623_680,
            65_608,
            -65_600,
            33_554_432,
            2_147_418_040,
        ),
        (
            16 << 40,
            17_592_186_040_320,
            1_048_648,
            -1_048_640,
            536_870_912,
            34_358_689_720,
        ),
    ];

    fn compute(size: u64, placement: Placement) -> Layout {
        Layout::compute(ByteCount(size), placement, Striping::DEFAULT).unwrap()
    }

    #[test]
    fn flexible_internal_lies_where_the_spec_table_says() {
        for &(size, superblock, md_size, bm_offset, bitmap_bytes, usable) in FLEX_INTERNAL {
            let layout = compute(size, Placement::FlexInternal);
            assert_eq!(layout.superblock.0 * 512, superblock, "{size}");
            assert_eq!(layout.md_size_sect, md_size, "{size}");
            assert_eq!(
                (layout.al_offset, layout.bm_offset),
                (-64, bm_offset),
                "{size}"
            );
            let areas = layout.areas().unwrap();
            assert_eq!(areas.bitmap_len.0 * 512, bitmap_bytes, "{size}");
            assert_eq!(areas.capacity.0, usable, "{size}");
        }
    }

    #[test]
    fn striping_four_by_sixteen_moves_log_and_bitmap() {
        let striping = Striping::new(4, 16).unwrap();
        let layout =
            Layout::compute(ByteCount(64 << 20), Placement::FlexInternal, striping).unwrap();
        let areas = layout.areas().unwrap();
        assert_eq!(layout.md_size_sect, 528);
        assert_eq!(areas.activity_log.0 * 512, 66_842_624);
        assert_eq!(areas.bitmap.0 * 512, 66_838_528);
    }

    #[test]
    fn fixed_internal_of_0_7_lies_128_mib_before_the_end() {
        let areas = compute(300 << 20, Placement::FixedInternal)
            .areas()
            .unwrap();
        assert_eq!(areas.superblock.0 * 512, 180_355_072);
        assert_eq!(areas.activity_log.0 * 512, 180_359_168);
        assert_eq!(areas.bitmap.0 * 512, 180_391_936);
        assert_eq!(areas.capacity.0, areas.superblock.0);
    }

    #[test]
    fn external_capacities_follow_from_the_room_for_the_bitmap() {
        for (size, capacity) in [
            (1u64 << 20, 64_749_568u64),
            (64 << 20, 4_292_608_000),
            (128 << 20, 8_587_575_296),
        ] {
            let layout = compute(size, Placement::FlexExternal);
            assert_eq!(layout.capacity().unwrap().0, capacity);
        }
        let slot = compute(256 << 20, Placement::Indexed(1));
        assert_eq!(slot.superblock.0, 262_144);
        assert_eq!(slot.capacity().unwrap().0, 8_587_575_296);
    }

    #[test]
    fn external_data_devices_smaller_than_the_bitmap_limit_the_volume() {
        let areas = compute(128 << 20, Placement::Indexed(0)).areas().unwrap();
        assert_eq!(areas.usable(ByteCount(10 << 20)).0, 20_480);
    }

    #[test]
    fn a_log_larger_than_the_device_is_refused() {
        let striping = Striping::new(1, 96).unwrap();
        let layout = Layout::compute(ByteCount(80_384), Placement::FlexInternal, striping).unwrap();
        assert_eq!(layout.areas(), Err(LayoutError::BeforeStart));
    }

    #[test]
    fn transactions_go_round_robin_over_the_stripes() {
        // Spec 40 section 17 (e): stripe 0 carries tr 0,2,4,..., stripe 1 carries tr 1,3,5,...
        let striping = Striping::new(2, 8).unwrap();
        let mut on_disk = [0; 16];
        for tr in 0..16u32 {
            on_disk[striping.block_of(tr) as usize] = tr;
        }
        assert_eq!(
            on_disk,
            [0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15]
        );
        assert_eq!(Striping::DEFAULT.max_slots(), 6433);
    }

    #[test]
    fn both_bitmap_size_formulas_of_the_spec_agree() {
        for mib in 1..2000u64 {
            let size = mib << 20;
            let older = size.div_ceil(16 << 20).next_multiple_of(8);
            assert_eq!(bitmap_sectors(ByteCount(size), 4096, 1).unwrap(), older);
        }
    }

    /// From nothing to beyond every device, with a preference for the edges of units.
    fn any_size() -> impl Strategy<Value = u64> {
        let near = (0u32..64, -5000i64..5000)
            .prop_map(|(bits, off)| (1u64 << bits).saturating_add_signed(off));
        let of_pages = (0u64..1 << 34).prop_map(|pages| pages * 4096);
        prop_oneof![near, of_pages, any::<u64>()]
    }

    fn any_striping() -> impl Strategy<Value = Striping> {
        let shape = prop_oneof![
            Just((1, 8)),
            (1u32..64, 1u32..256),
            (1u32..4096, 1u32..1024)
        ];
        shape.prop_filter_map("within the kernel's limits", |(s, b)| Striping::new(s, b))
    }

    proptest! {
        #[test]
        fn every_part_lies_on_the_device_beside_the_others(
            size in any_size(), index in -3i32..256, striping in any_striping(),
        ) {
            let Some(placement) = Placement::from_kernel_index(index) else { return Ok(()) };
            for placement in [placement, Placement::FixedInternal] {
                let Ok(layout) = Layout::compute(ByteCount(size), placement, striping) else { continue };
                let Ok(areas) = layout.areas() else { continue };
                let sectors = size / 512;
                let superblock = areas.superblock.0..areas.superblock.0 + 8;
                prop_assert!(superblock.end <= sectors);
                let log = areas.activity_log.0;
                let log = log..log + areas.activity_log_len.0;
                // External areas may claim more than there is: the kernel then refuses them.
                let bitmap = areas.bitmap.0..areas.bitmap.0 + areas.bitmap_len.0;
                let mut parts = [superblock, log, bitmap];
                parts.sort_by_key(|part| part.start);
                prop_assert!(parts.windows(2).all(|two| two[0].end <= two[1].start));
                prop_assert!(parts.iter().all(|part| part.start.is_multiple_of(8)));
                if placement == Placement::FlexInternal {
                    prop_assert!(parts[2].end <= sectors);
                }
                if placement.is_internal() {
                    prop_assert!(areas.capacity.0 <= parts[0].start);
                } else {
                    // A bit for each 4 KiB of the largest volume.
                    let bits = areas.bitmap_len.0 * 4096;
                    prop_assert_eq!(areas.capacity.0, bits * 8);
                }
                if placement == Placement::FlexInternal {
                    prop_assert!(areas.capacity.bits() <= areas.bitmap_len.0 * 4096);
                }
            }
        }
    }
}
