//! The generation of a volume's data as `get-gi` and `show-gi` print it, of drbdmeta and of
//! drbdsetup alike (spec 30 section 2.6).

use core::fmt;

use crate::{MdFlags, UuidSet};

/// The identifiers, and what was noted beside them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GenerationIds {
    /// Current, bitmap and history.
    pub uuids: UuidSet,
    /// State of the data.
    pub flags: MdFlags,
}

impl GenerationIds {
    /// The flag columns behind the UUIDs, in their order.
    pub const COLUMNS: [MdFlags; 7] = [
        MdFlags::CONSISTENT,
        MdFlags::WAS_UP_TO_DATE,
        MdFlags::PRIMARY_IND,
        MdFlags::CONNECTED_IND,
        MdFlags::FULL_SYNC,
        MdFlags::PEER_OUT_DATED,
        MdFlags::CRASHED_PRIMARY,
    ];

    /// The drawing of `show-gi`, with the flags in words.
    pub const fn table(&self) -> Table<'_> {
        Table(self)
    }
}

/// The line of `get-gi`.
impl fmt::Display for GenerationIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uuids.fmt(f)?;
        Self::COLUMNS.iter().try_for_each(|flag| {
            f.write_str(if self.flags.contains(*flag) {
                ":1"
            } else {
                ":0"
            })
        })
    }
}

/// See [`GenerationIds::table`].
#[derive(Clone, Copy, Debug)]
pub struct Table<'a>(&'a GenerationIds);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let either = |flag, set, clear| match self.0.flags.contains(flag) {
            true => set,
            false => clear,
        };
        let crashed = either(MdFlags::CRASHED_PRIMARY, " crashed", "");
        let role = either(MdFlags::PRIMARY_IND, "Primary", "Secondary");
        let connection = either(MdFlags::CONNECTED_IND, "Connected", "StandAlone");
        let data = either(MdFlags::WAS_UP_TO_DATE, "UpToDate", "Outdated");
        let disk = either(MdFlags::CONSISTENT, data, "Inconsistent");
        let full_sync = either(MdFlags::FULL_SYNC, ", need full sync", "");
        let peer = either(MdFlags::PEER_OUT_DATED, ", peer Outdated", "");
        let log = either(MdFlags::AL_CLEAN, "clean", "need apply-al");
        write!(
            f,
            "
       +--<  Current data generation UUID  >-
       |               +--<  Bitmap's base data generation UUID  >-
       |               |                 +--<  younger history UUID  >-
       |               |                 |         +-<  older history  >-
       V               V                 V         V
{}
                                                                    ^ ^ ^ ^ ^ ^ ^
                                      -<  Data consistency flag  >--+ | | | | | |
                             -<  Data was/is currently up-to-date  >--+ | | | | |
                                  -<  Node was/is currently primary  >--+ | | | |
                                  -<  Node was/is currently connected  >--+ | | |
         -<  Node was in the progress of setting all bits in the bitmap  >--+ | |
                        -<  The peer's disk was out-dated or inconsistent  >--+ |
      -<  This node was a crashed primary, and has not seen its peer since   >--+

flags:{crashed} {role}, {connection}, {disk}{full_sync}{peer}
meta-data: {log}
",
            self.0
        )
    }
}
