//! The structures of the parameter exchange (spec 50 sections 6.3 to 6.6).

use drbd_types::{SectorCount, UuidFlags, UuidSet};

use crate::fields::{flag_fields, newtype_fields, wire_struct};
use crate::units::{AlgName, ByteLen};

/// P_PROTOCOL and P_PROTOCOL_UPDATE. Numbers stay as received, because a difference of any kind
/// has its own log line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProtocolParams {
    /// The fixed part.
    pub codes: ProtocolCodes,
    /// data-integrity-alg; not transmitted at version 86.
    pub integrity_alg: AlgName,
}

wire_struct! {
    /// The fixed part of P_PROTOCOL.
    pub struct ProtocolCodes {
        /// Replication protocol: 1 A, 2 B, 3 C.
        pub protocol: u32,
        /// after-sb-0pri.
        pub after_sb_0p: AfterSb,
        /// after-sb-1pri.
        pub after_sb_1p: AfterSb,
        /// after-sb-2pri.
        pub after_sb_2p: AfterSb,
        /// Options of this connect command.
        pub conn_flags: ConnFlags,
        /// allow-two-primaries: 0 or 1.
        pub two_primaries: u32,
    }
}

/// The number of a split-brain policy (spec 50 section 4.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct AfterSb(pub u32);

impl AfterSb {
    /// discard-local.
    pub const DISCARD_LOCAL: Self = Self(5);
    /// discard-remote.
    pub const DISCARD_REMOTE: Self = Self(6);

    /// The same policy seen from the other node: local and remote change places.
    pub const fn mirrored(self) -> Self {
        match self {
            Self::DISCARD_LOCAL => Self::DISCARD_REMOTE,
            Self::DISCARD_REMOTE => Self::DISCARD_LOCAL,
            other => other,
        }
    }
}
newtype_fields!(AfterSb(u32));

bitflags::bitflags! {
    /// conn_flags of P_PROTOCOL.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
    pub struct ConnFlags: u32 {
        /// `--discard-my-data`.
        const DISCARD_MY_DATA = 1;
        /// `--tentative`, since version 92.
        const DRY_RUN = 2;
    }
}

/// P_SYNC_PARAM and P_SYNC_PARAM89. Each version transmits a prefix of these fields.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SyncParam {
    /// Fixed resync rate, KiB/s.
    pub rate: u32,
    /// verify-alg; transmitted since 88.
    pub verify_alg: AlgName,
    /// csums-alg; transmitted since 89.
    pub csums_alg: AlgName,
    /// The rate controller; transmitted since 95, `None` if the packet had no room for it.
    pub controller: Option<SyncController>,
}

wire_struct! {
    /// The dynamic resync rate controller.
    pub struct SyncController {
        /// c-plan-ahead, 0.1 s.
        pub plan_ahead: u32,
        /// c-delay-target, 0.1 s.
        pub delay_target: u32,
        /// c-fill-target, sectors.
        pub fill_target: u32,
        /// c-max-rate, KiB/s.
        pub max_rate: u32,
    }
}

impl SyncController {
    /// What a node without a disk sends.
    pub const DEFAULT: Self = Self {
        plan_ahead: 20,
        delay_target: 10,
        fill_target: 100,
        max_rate: 102_400,
    };
}

wire_struct! {
    /// P_UUIDS.
    pub struct ReportUuids {
        /// The four generation identifiers.
        pub uuids: UuidSet,
        /// How many bits are set in the sender's bitmap.
        pub bits_set: u64,
        /// What else the UUID comparison needs.
        pub flags: UuidFlags,
    }
}

/// P_SIZES.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReportSizes {
    /// Usable size of the backing disk, 0 without one.
    pub disk: SectorCount,
    /// Size that the user asked for, 0 for none.
    pub user: SectorCount,
    /// Size of the device now; 0 asks for an answer after a resize.
    pub current: SectorCount,
    /// Largest single request.
    pub max_bio: ByteLen,
    /// How to deal with the change of size.
    pub flags: SizesFlags,
    /// Queue limits; transmitted if WRITE_SAME was agreed.
    pub limits: Option<QueueLimits>,
}

bitflags::bitflags! {
    /// dds_flags of P_SIZES; honoured since version 93.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
    pub struct SizesFlags: u16 {
        /// Forced.
        const FORCED = 1;
        /// The new space needs no resync.
        const NO_RESYNC = 2;
    }
}
flag_fields!(ConnFlags(u32), SizesFlags(u16));

wire_struct! {
    /// The fixed part of P_SIZES as it stands on the wire.
    pub(crate) struct SizesHead {
        /// See [`ReportSizes::disk`].
        pub disk: SectorCount,
        /// See [`ReportSizes::user`].
        pub user: SectorCount,
        /// See [`ReportSizes::current`].
        pub current: SectorCount,
        /// See [`ReportSizes::max_bio`].
        pub max_bio: ByteLen,
        /// queue_order_type: always 0.
        pub queue_order: u16,
        /// See [`ReportSizes::flags`].
        pub flags: SizesFlags,
    }
}

wire_struct! {
    /// Properties of the sender's backing queue. The last three are 0 or 1.
    pub struct QueueLimits {
        /// Bytes.
        pub physical_block_size: u32,
        /// Bytes.
        pub logical_block_size: u32,
        /// Bytes.
        pub alignment_offset: u32,
        /// Bytes.
        pub io_min: u32,
        /// Bytes.
        pub io_opt: u32,
        /// Discards are passed on.
        pub discard_enabled: u8,
        /// Discarded blocks read as zeroes.
        pub discard_zeroes_data: u8,
        /// WRITE SAME works.
        pub write_same_capable: u8,
    }
    pad 1
}

impl QueueLimits {
    /// A queue of 512-byte blocks without special abilities.
    pub const PLAIN: Self = Self {
        physical_block_size: 512,
        logical_block_size: 512,
        alignment_offset: 0,
        io_min: 512,
        io_opt: 0,
        discard_enabled: 0,
        discard_zeroes_data: 0,
        write_same_capable: 0,
    };
}
