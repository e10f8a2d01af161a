//! The v08 superblock: 8.0 to 8.3, and 8.4 in its clean and its unclean variant
//! (spec 40 section 3.3).

use drbd_types::{ByteCount, MdFlags, Sector, SectorCount, Uuid, UuidSet};
use zerocopy::byteorder::big_endian::{I32, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::layout::{Areas, Layout, Placement, Striping};

/// Bytes of a superblock of every format but v06.
pub const SUPERBLOCK_BYTES: usize = 4096;
/// A superblock as it lies on disk.
pub type Block = [u8; SUPERBLOCK_BYTES];

/// Magic of a 0.6 file, at byte 20.
pub const MAGIC_V06: u32 = 0x8374_0269;
/// Magic of a 0.7 superblock, at byte 28.
pub const MAGIC_V07: u32 = 0x8374_026a;
/// Magic of 8.0-8.3, and of 8.4 after `create-md` or `apply-al`, at byte 60.
pub const MAGIC_V08: u32 = 0x8374_026b;
/// Magic of 8.4 while attached, and ever after until `apply-al`.
pub const MAGIC_V84_UNCLEAN: u32 = 0x8374_026c;
/// Magic of DRBD 9.
pub const MAGIC_V09: u32 = 0x8374_026d;
/// What a fresh superblock carries in `al_nr_extents`.
pub const DEFAULT_AL_EXTENTS: u32 = 257;
/// The only granularity there is: one bit for 4096 bytes.
pub const BYTES_PER_BIT: u32 = 4096;

/// The bytes, field by field; every integer is big endian.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy)]
#[repr(C)]
struct Raw {
    la_size_sect: U64,
    uuid: [U64; 4],
    device_uuid: U64,
    reserved_u64: U64,
    flags: U32,
    magic: U32,
    md_size_sect: U32,
    al_offset: I32,
    al_nr_extents: U32,
    bm_offset: I32,
    bm_bytes_per_bit: U32,
    la_peer_max_bio_size: U32,
    al_stripes: U32,
    al_stripe_size_4k: U32,
    reserved: [u8; 4000],
}

/// Which of the two v08 magics a block carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum MagicKind {
    /// `0x8374026b`: never attached by 8.4 since the last `apply-al` (or written by 8.0-8.3).
    Clean,
    /// `0x8374026c`: every superblock that an 8.4 driver writes.
    InUse,
}

impl MagicKind {
    /// The number on disk.
    pub const fn magic(self) -> u32 {
        match self {
            Self::Clean => MAGIC_V08,
            Self::InUse => MAGIC_V84_UNCLEAN,
        }
    }
}

/// Why 4096 bytes are no v08 superblock.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// A 0.7 superblock; `create-md` converts it.
    #[error("Found old (0.7) meta data magic. Did you \"drbdadm create-md\"?")]
    OldFormat,
    /// A DRBD 9 superblock; `create-md` converts it.
    #[error("Found DRBD 9 meta data. Convert it with \"drbdadm create-md\" first.")]
    NewerFormat,
    /// Nothing of DRBD's.
    #[error("Meta data magic not found. Did you \"drbdadm create-md\"?")]
    NoMagic,
}

/// Why a v08 superblock cannot be attached (spec 40 section 7.3, rules 5 to 7).
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unusable {
    /// Another granularity.
    #[error("unexpected bm_bytes_per_bit: {found} (expected {BYTES_PER_BIT})")]
    BytesPerBit {
        /// As on disk.
        found: u32,
    },
    /// Half a striping, or one outside of all limits.
    #[error(
        "invalid activity log striping: al_stripes={stripes}, al_stripe_size_4k={stripe_blocks}"
    )]
    Striping {
        /// As on disk.
        stripes: u32,
        /// As on disk.
        stripe_blocks: u32,
    },
    /// Offsets that contradict each other, the placement or the size of the device.
    #[error(
        "meta data offsets don't make sense: idx={index} al_s={stripes}, al_sz4k={stripe_blocks}, \
         al_offset={al_offset}, bm_offset={bm_offset}, md_size_sect={md_size_sect}, \
         la_size={la_size}, md_capacity={md_capacity}"
    )]
    Offsets {
        /// The kernel's index number.
        index: i32,
        /// The striping in effect.
        stripes: u32,
        /// The striping in effect.
        stripe_blocks: u32,
        /// As on disk.
        al_offset: i32,
        /// As on disk.
        bm_offset: i32,
        /// As on disk.
        md_size_sect: u32,
        /// As on disk.
        la_size: u64,
        /// Sectors of the meta-data device.
        md_capacity: u64,
    },
}

/// A v08 superblock, typed. Reserved bytes are not kept: 8.4 kernels zero them on every write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Superblock {
    /// Which magic the block carried; [`Superblock::encode`] takes the one to write.
    pub magic: MagicKind,
    /// Last agreed size of the volume; 0 before the first agreement.
    pub effective_size: SectorCount,
    /// The four generation UUIDs.
    pub uuids: UuidSet,
    /// Random identity of the device; 0 when never set.
    pub device_uuid: u64,
    /// State of the data. Unknown bits are kept.
    pub flags: MdFlags,
    /// Sectors of the whole meta-data area.
    pub md_size_sect: u32,
    /// Sectors from the superblock to the activity log.
    pub al_offset: i32,
    /// Activity-log slots that the driver uses.
    pub al_nr_extents: u32,
    /// Sectors from the superblock to the bitmap.
    pub bm_offset: i32,
    /// Bytes that one bit stands for.
    pub bm_bytes_per_bit: u32,
    /// Last known maximum request size of the peer in bytes; 0 is unknown.
    pub la_peer_max_bio_size: u32,
    /// Stripes of the activity log; 0 together with `al_stripe_size_4k` 0 is the default.
    pub al_stripes: u32,
    /// 4 KiB blocks in a stripe.
    pub al_stripe_size_4k: u32,
}

impl Superblock {
    /// Reads 4096 bytes. Only the magic decides; [`Superblock::areas`] checks the rest.
    pub fn parse(block: &Block) -> Result<Self, Error> {
        let raw: Raw = zerocopy::transmute!(*block);
        let magic = match raw.magic.get() {
            MAGIC_V08 => MagicKind::Clean,
            MAGIC_V84_UNCLEAN => MagicKind::InUse,
            MAGIC_V09 => return Err(Error::NewerFormat),
            _ if block[28..32] == MAGIC_V07.to_be_bytes() => return Err(Error::OldFormat),
            _ => return Err(Error::NoMagic),
        };
        let [current, bitmap, younger, older] = raw.uuid.map(|u| Uuid(u.get()));
        Ok(Self {
            magic,
            effective_size: SectorCount(raw.la_size_sect.get()),
            uuids: UuidSet {
                current,
                bitmap,
                history: [younger, older],
            },
            device_uuid: raw.device_uuid.get(),
            flags: MdFlags::from_bits_retain(raw.flags.get()),
            md_size_sect: raw.md_size_sect.get(),
            al_offset: raw.al_offset.get(),
            al_nr_extents: raw.al_nr_extents.get(),
            bm_offset: raw.bm_offset.get(),
            bm_bytes_per_bit: raw.bm_bytes_per_bit.get(),
            la_peer_max_bio_size: raw.la_peer_max_bio_size.get(),
            al_stripes: raw.al_stripes.get(),
            al_stripe_size_4k: raw.al_stripe_size_4k.get(),
        })
    }

    /// The 4096 bytes, with the given magic: a driver always writes [`MagicKind::InUse`].
    pub fn encode(&self, magic: MagicKind) -> Block {
        let raw = Raw {
            la_size_sect: self.effective_size.0.into(),
            uuid: [
                self.uuids.current.0.into(),
                self.uuids.bitmap.0.into(),
                self.uuids.history[0].0.into(),
                self.uuids.history[1].0.into(),
            ],
            device_uuid: self.device_uuid.into(),
            reserved_u64: 0.into(),
            flags: self.flags.bits().into(),
            magic: magic.magic().into(),
            md_size_sect: self.md_size_sect.into(),
            al_offset: self.al_offset.into(),
            al_nr_extents: self.al_nr_extents.into(),
            bm_offset: self.bm_offset.into(),
            bm_bytes_per_bit: self.bm_bytes_per_bit.into(),
            la_peer_max_bio_size: self.la_peer_max_bio_size.into(),
            al_stripes: self.al_stripes.into(),
            al_stripe_size_4k: self.al_stripe_size_4k.into(),
            reserved: [0; 4000],
        };
        zerocopy::transmute!(raw)
    }

    /// A superblock as `create-md` writes it for `layout` (spec 40 section 17).
    pub fn fresh(layout: &Layout, striping: Striping) -> Self {
        Self {
            magic: MagicKind::Clean,
            effective_size: SectorCount(0),
            uuids: UuidSet::JUST_CREATED,
            device_uuid: 0,
            flags: MdFlags::AL_CLEAN,
            md_size_sect: layout.md_size_sect,
            al_offset: layout.al_offset,
            al_nr_extents: DEFAULT_AL_EXTENTS,
            bm_offset: layout.bm_offset,
            bm_bytes_per_bit: BYTES_PER_BIT,
            la_peer_max_bio_size: 0,
            al_stripes: striping.stripes(),
            al_stripe_size_4k: striping.stripe_blocks(),
        }
    }

    /// Whether an 8.4 driver must refuse the block until `apply-al` has run: error 165.
    pub const fn needs_apply_al(&self) -> bool {
        matches!(self.magic, MagicKind::InUse) || !self.flags.contains(MdFlags::AL_CLEAN)
    }

    /// The shape of the activity log; `None` when the two fields make no sense.
    pub fn striping(&self) -> Option<Striping> {
        Striping::from_fields(self.al_stripes, self.al_stripe_size_4k)
    }

    /// The rules of spec 40 section 7.3 for granularity, striping and offsets, in the kernel's
    /// order. `superblock` is where the block was found on a device of `device` bytes.
    pub fn areas(
        &self,
        placement: Placement,
        superblock: Sector,
        device: ByteCount,
    ) -> Result<Areas, Unusable> {
        if self.bm_bytes_per_bit != BYTES_PER_BIT {
            return Err(Unusable::BytesPerBit {
                found: self.bm_bytes_per_bit,
            });
        }
        let striping = self.striping().ok_or(Unusable::Striping {
            stripes: self.al_stripes,
            stripe_blocks: self.al_stripe_size_4k,
        })?;
        self.checked_areas(placement, superblock, device, striping)
            .ok_or(Unusable::Offsets {
                index: placement.kernel_index(),
                stripes: striping.stripes(),
                stripe_blocks: striping.stripe_blocks(),
                al_offset: self.al_offset,
                bm_offset: self.bm_offset,
                md_size_sect: self.md_size_sect,
                la_size: self.effective_size.0,
                md_capacity: device.0 / 512,
            })
    }

    fn checked_areas(
        &self,
        placement: Placement,
        superblock: Sector,
        device: ByteCount,
        striping: Striping,
    ) -> Option<Areas> {
        if let Placement::Indexed(_) = placement {
            let fields = (self.md_size_sect, self.al_offset, self.bm_offset);
            if fields != (262_144, 8, 72) || striping != Striping::DEFAULT {
                return None;
            }
        }
        let layout = Layout {
            placement,
            superblock,
            al_offset: self.al_offset,
            al_sectors: striping.sectors().0,
            bm_offset: self.bm_offset,
            md_size_sect: self.md_size_sect,
        };
        let areas = layout.areas().ok()?;
        // External: bm_offset alone tells where the log ends, so both must agree.
        let log_end_matches =
            self.al_offset < 0 || i64::from(self.bm_offset) - 8 == layout.al_sectors as i64;
        let first = superblock.0.min(areas.activity_log.0).min(areas.bitmap.0);
        let end = first.checked_add(u64::from(self.md_size_sect))?;
        let needed_bitmap = self.effective_size.0.checked_add(7)? / 8 / 8 / 512;
        let fits = end <= device.0 / 512 && areas.bitmap_len.0 >= needed_bitmap;
        (log_end_matches && fits).then_some(areas)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The superblock of the crash image in spec 40 section 6.1, 512 MiB device.
    pub(crate) fn captured() -> Block {
        let mut block = [0; SUPERBLOCK_BYTES];
        block[..16].copy_from_slice(&[
            0x00, 0x00, 0x00, 0x00, 0x00, 0x0f, 0xff, 0x98, 0x38, 0x79, 0xbf, 0xda, 0x9e, 0xae,
            0x55, 0x1e,
        ]);
        block[0x38..0x60].copy_from_slice(&[
            0x00, 0x00, 0x00, 0x17, 0x83, 0x74, 0x02, 0x6c, 0x00, 0x00, 0x00, 0x68, 0xff, 0xff,
            0xff, 0xc0, 0x00, 0x00, 0x00, 0x43, 0xff, 0xff, 0xff, 0xa0, 0x00, 0x00, 0x10, 0x00,
            0x00, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x08,
        ]);
        block
    }

    #[test]
    fn a_superblock_written_by_the_kernel_reads_field_by_field() {
        let sb = Superblock::parse(&captured()).unwrap();
        assert_eq!(sb.magic, MagicKind::InUse);
        assert_eq!(sb.effective_size, SectorCount(1_048_472));
        assert_eq!(sb.uuids.current, Uuid(0x3879_BFDA_9EAE_551E));
        assert_eq!(sb.flags.bits(), 0x17);
        assert_eq!(
            (sb.md_size_sect, sb.al_offset, sb.bm_offset),
            (104, -64, -96)
        );
        assert_eq!(sb.al_nr_extents, 67);
        assert_eq!(sb.la_peer_max_bio_size, 1 << 20);
        assert!(sb.needs_apply_al());
        assert_eq!(sb.encode(MagicKind::InUse), captured());
        let at = Sector((536_870_912 - 4096) / 512);
        let areas = sb
            .areas(Placement::FlexInternal, at, ByteCount(512 << 20))
            .unwrap();
        assert_eq!(areas.bitmap_len, SectorCount(32));
        assert_eq!(areas.capacity, SectorCount(1_048_472));
    }

    #[test]
    fn a_fresh_internal_superblock_has_the_bytes_of_create_md() {
        // Spec 40 section 17 (a).
        let layout = Layout::compute(
            ByteCount(64 << 20),
            Placement::FlexInternal,
            Striping::DEFAULT,
        )
        .unwrap();
        let block = Superblock::fresh(&layout, Striping::DEFAULT).encode(MagicKind::Clean);
        let mut expected = [0u8; SUPERBLOCK_BYTES];
        expected[15] = 4;
        expected[0x38..0x60].copy_from_slice(&[
            0, 0, 0, 0x80, 0x83, 0x74, 0x02, 0x6b, 0, 0, 0, 0x50, 0xff, 0xff, 0xff, 0xc0, 0, 0, 1,
            1, 0xff, 0xff, 0xff, 0xb8, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 8,
        ]);
        assert_eq!(block, expected);
    }

    #[test]
    fn other_formats_are_named() {
        let mut block = [0; SUPERBLOCK_BYTES];
        assert_eq!(Superblock::parse(&block), Err(Error::NoMagic));
        block[28..32].copy_from_slice(&MAGIC_V07.to_be_bytes());
        assert_eq!(Superblock::parse(&block), Err(Error::OldFormat));
        block[60..64].copy_from_slice(&MAGIC_V09.to_be_bytes());
        assert_eq!(Superblock::parse(&block), Err(Error::NewerFormat));
    }

    #[test]
    fn contradicting_fields_are_refused_as_the_kernel_does() {
        let at = Sector((536_870_912 - 4096) / 512);
        let size = ByteCount(512 << 20);
        let good = Superblock::parse(&captured()).unwrap();
        let mut bad = good;
        bad.bm_bytes_per_bit = 8192;
        assert!(matches!(
            bad.areas(Placement::FlexInternal, at, size),
            Err(Unusable::BytesPerBit { found: 8192 })
        ));
        for (stripes, blocks) in [(0, 8), (1, 0), (1, 7), (1, 4_194_305)] {
            let mut bad = good;
            (bad.al_stripes, bad.al_stripe_size_4k) = (stripes, blocks);
            assert!(matches!(
                bad.areas(Placement::FlexInternal, at, size),
                Err(Unusable::Striping { .. })
            ));
        }
        let spoil: [fn(&mut Superblock); 5] = [
            |sb| sb.al_offset = -72,
            |sb| sb.bm_offset = -60,
            |sb| sb.bm_offset = i32::MIN,
            |sb| sb.md_size_sect = u32::MAX,
            |sb| sb.effective_size = SectorCount(u64::MAX),
        ];
        for spoil in spoil {
            let mut bad = good;
            spoil(&mut bad);
            assert!(matches!(
                bad.areas(Placement::FlexInternal, at, size),
                Err(Unusable::Offsets { .. })
            ));
        }
        assert!(matches!(
            good.areas(Placement::Indexed(0), at, size),
            Err(Unusable::Offsets { .. })
        ));
    }
}
