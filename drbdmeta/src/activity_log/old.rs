//! The activity log of 0.7 to 8.3: 512-byte transactions (spec 40 section 6.3).

use std::collections::{BTreeMap, BTreeSet};

use zerocopy::byteorder::big_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::FREE;

/// Magic of a sector.
pub const MAGIC: u32 = 0x8374_0267;
/// Context entries in a sector.
pub const CONTEXT_ENTRIES: u32 = 61;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy)]
#[repr(C)]
struct RawEntry {
    slot: U32,
    extent: U32,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy)]
#[repr(C)]
struct Raw {
    magic: U32,
    tr_number: U32,
    entries: [RawEntry; 62],
    xor_sum: U32,
    padding: U32,
}

/// One sector, right or wrong.
#[derive(Clone)]
pub struct Sector(Raw);

impl Sector {
    /// Takes the bytes apart.
    pub fn read(bytes: &[u8; 512]) -> Self {
        Self(zerocopy::transmute!(*bytes))
    }

    /// Whether magic and checksum are right.
    pub fn is_valid(&self) -> bool {
        let xor = self.entries().fold(0, |sum, (_, extent)| sum ^ extent);
        self.magic() == MAGIC && self.xor_sum() == xor
    }

    /// The magic as on disk.
    pub fn magic(&self) -> u32 {
        self.0.magic.get()
    }

    /// The transaction counter.
    pub fn tr_number(&self) -> u32 {
        self.0.tr_number.get()
    }

    /// The checksum as on disk.
    pub fn xor_sum(&self) -> u32 {
        self.0.xor_sum.get()
    }

    /// (slot, extent): entry 0 is the change, the other 61 are context.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = (u32, u32)> + '_ {
        self.0
            .entries
            .iter()
            .map(|e| (e.slot.get(), e.extent.get()))
    }
}

/// The sectors that a log with this many slots uses.
pub const fn used_sectors(al_nr_extents: u32) -> u32 {
    1 + al_nr_extents.div_ceil(CONTEXT_ENTRIES)
}

/// What the log says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The extents that were active; `None` when no sector is valid.
    pub hot: Option<BTreeSet<u32>>,
    /// Sectors without a valid transaction: normal in a log that never wrapped around.
    pub invalid: u32,
}

/// Replays the log, given the bytes of its area: no damaged superblock can make it longer.
pub fn replay(log: &[u8], al_nr_extents: u32) -> Outcome {
    let (sectors, _) = log.as_chunks::<512>();
    let used = sectors.iter().take(used_sectors(al_nr_extents) as usize);
    let mut valid: Vec<Sector> = used
        .clone()
        .map(Sector::read)
        .filter(Sector::is_valid)
        .collect();
    // Fewer than 2^32: `take` bounds it.
    let invalid = (used.len() - valid.len()) as u32;
    let Some(first) = valid.first() else {
        return Outcome { hot: None, invalid };
    };
    let base = first.tr_number();
    valid.sort_by_key(|s| s.tr_number().wrapping_sub(base) as i32);
    let mut slots = BTreeMap::new();
    for sector in &valid {
        // Backwards, so that the change overrides the older context of its own slot.
        for (slot, extent) in sector.entries().rev().filter(|&(_, extent)| extent != FREE) {
            slots.insert(slot, extent);
        }
    }
    Outcome {
        hot: Some(slots.into_values().collect()),
        invalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The example sector of spec 40 section 6.3 (accepted by 8.3.16).
    fn example() -> [u8; 512] {
        let mut raw = Raw {
            magic: MAGIC.into(),
            tr_number: 2.into(),
            entries: [RawEntry {
                slot: FREE.into(),
                extent: FREE.into(),
            }; 62],
            xor_sum: 0xffff_fff0.into(),
            padding: 0.into(),
        };
        let known = [
            (124, 9),
            (122, FREE),
            (123, FREE),
            (124, FREE),
            (125, 5),
            (126, 3),
        ];
        for (to, (slot, extent)) in raw.entries.iter_mut().zip(known) {
            (to.slot, to.extent) = (slot.into(), extent.into());
        }
        zerocopy::transmute!(raw)
    }

    #[test]
    fn the_example_sector_of_the_spec_yields_its_extents() {
        let mut log = vec![0; 64 * 512];
        log[0x400..0x600].copy_from_slice(&example());
        let outcome = replay(&log, 127);
        assert_eq!(outcome.hot, Some([3, 5, 9].into()));
        assert_eq!(outcome.invalid, 3);
    }

    #[test]
    fn a_wrong_checksum_is_no_transaction() {
        let mut sector = example();
        sector[20] ^= 1;
        assert!(!Sector::read(&sector).is_valid());
        assert_eq!(replay(&sector, 127).hot, None);
    }

    #[test]
    fn more_slots_than_the_log_can_hold_do_not_make_it_longer() {
        let log = vec![0; 64 * 512];
        for slots in [3844, u32::MAX] {
            assert_eq!(replay(&log, slots).invalid, 64);
        }
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..3000), nr: u32) {
            let _ = replay(&bytes, nr);
        }
    }
}
