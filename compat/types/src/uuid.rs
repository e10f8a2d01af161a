//! Data generation UUIDs (spec 60 section 2).

use core::fmt;

/// The value of a current UUID on freshly created meta-data.
pub const JUST_CREATED: Uuid = Uuid(4);
/// What a resync adds to the bitmap UUID to make its sync UUID.
pub const NEW_BM_OFFSET: u64 = 0x0001_0000_0000_0000;

/// One generation identifier; 0 is an empty slot. Bit 0 says "the node was Primary" and is not
/// part of the identity.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Uuid(pub u64);

impl Uuid {
    /// The empty slot.
    pub const EMPTY: Self = Self(0);

    /// Whether both name the same generation: bit 0 of both sides is ignored.
    pub const fn same_generation(self, other: Self) -> bool {
        self.0 & !1 == other.0 & !1
    }

    /// Whether the slot is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Bit 0: the node was Primary.
    pub const fn primary_bit(self) -> bool {
        self.0 & 1 != 0
    }

    /// The same generation with bit 0 set as the role demands.
    pub const fn with_role(self, role: crate::Role) -> Self {
        match role {
            crate::Role::Primary => Self(self.0 | 1),
            crate::Role::Unknown | crate::Role::Secondary => Self(self.0 & !1),
        }
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", self.0)
    }
}

/// The four slots of one node.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct UuidSet {
    /// The generation of the data on this node.
    pub current: Uuid,
    /// The generation since which the bitmap counts changes; empty when there is no such record.
    pub bitmap: Uuid,
    /// Older generations, youngest first.
    pub history: [Uuid; 2],
}

impl UuidSet {
    /// A set as `create-md` writes it.
    pub const JUST_CREATED: Self = Self {
        current: JUST_CREATED,
        bitmap: Uuid::EMPTY,
        history: [Uuid::EMPTY; 2],
    };
}

impl fmt::Display for UuidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}:{}:{}",
            self.current, self.bitmap, self.history[0], self.history[1]
        )
    }
}

bitflags::bitflags! {
    /// Flags beside the UUIDs in ReportUUIDs (spec 50 section 6.5).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
    pub struct UuidFlags: u64 {
        /// The sender wants its data discarded.
        const DISCARD_MY_DATA = 1;
        /// The sender was Primary when it crashed.
        const CRASHED_PRIMARY = 2;
        /// The sender's disk will be Inconsistent after negotiation.
        const INCONSISTENT = 4;
        /// Both are just created: skip the initial sync.
        const SKIP_INITIAL_SYNC = 8;
    }
}
