//! Quantities that must never be mistaken for one another (spec 60 section 0).

use core::fmt;

/// Bytes in a sector: every "sector" in DRBD is 512 bytes, whatever the disk says.
pub const SECTOR_BYTES: u64 = 512;
/// Bytes that one bitmap bit stands for (4 KiB).
pub const BIT_BYTES: u64 = 4096;
/// Sectors that one bitmap bit stands for.
pub const BIT_SECTORS: u64 = BIT_BYTES / SECTOR_BYTES;
/// Sectors of an activity-log extent (4 MiB).
pub const AL_EXTENT_SECTORS: u64 = 8192;
/// Sectors of a resync extent (16 MiB, four activity-log extents, 4096 bits).
pub const RESYNC_EXTENT_SECTORS: u64 = 32768;

/// A position on a volume, in sectors of 512 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Sector(pub u64);

/// A length, in sectors of 512 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct SectorCount(pub u64);

/// A length in bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct ByteCount(pub u64);

/// The number of a bit in the out-of-sync bitmap; bit n stands for bytes 4096 n to 4096 n + 4095.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct BitNr(pub u64);

/// A device minor number: the N of `/dev/drbdN`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Minor(pub u32);

/// The number of a volume inside its resource.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct VolumeNr(pub u16);

impl Sector {
    /// The sector `length` behind this one, or `None` past the largest number.
    pub const fn checked_add(self, length: SectorCount) -> Option<Self> {
        match self.0.checked_add(length.0) {
            Some(n) => Some(Self(n)),
            None => None,
        }
    }

    /// The bit that covers this sector.
    pub const fn bit(self) -> BitNr {
        BitNr(self.0 / BIT_SECTORS)
    }
}

impl SectorCount {
    /// The same length in bytes; `None` where that exceeds 64 bits.
    pub const fn checked_bytes(self) -> Option<ByteCount> {
        match self.0.checked_mul(SECTOR_BYTES) {
            Some(n) => Some(ByteCount(n)),
            None => None,
        }
    }

    /// The same length in KiB, rounded down, as `/proc/drbd` shows sizes.
    pub const fn kib(self) -> u64 {
        self.0 / 2
    }

    /// How many bitmap bits a volume of this size has: the last one may be partial.
    pub const fn bits(self) -> u64 {
        self.0.div_ceil(BIT_SECTORS)
    }
}

impl ByteCount {
    /// The length in sectors, or `None` if it is not a multiple of 512.
    pub const fn sectors(self) -> Option<SectorCount> {
        if self.0.is_multiple_of(SECTOR_BYTES) {
            Some(SectorCount(self.0 / SECTOR_BYTES))
        } else {
            None
        }
    }
}

impl BitNr {
    /// The first sector that this bit covers; `None` past the largest sector number.
    pub const fn first_sector(self) -> Option<Sector> {
        match self.0.checked_mul(BIT_SECTORS) {
            Some(n) => Some(Sector(n)),
            None => None,
        }
    }
}

macro_rules! display_number {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}
display_number!(Sector, SectorCount, ByteCount, BitNr, Minor, VolumeNr);
