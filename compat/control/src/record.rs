//! Sets of state and counters that the engine reports (spec 30 section 4.3), one table each.

use crate::schema::{HELPER_MAX, Nest};
use crate::tlv::{AttrFlags, Attrs, Malformed, Writer};
use crate::value::Payload;
use drbd_types::{ConnState, DiskState, MdFlags, Role, SectorCount, State, Uuid, UuidSet};

/// A set with fixed attributes. What a received set lacks has its default, as in the genuine
/// client: older engines report less.
pub(crate) trait Record: Sized {
    /// Which set.
    const NEST: Nest;
    /// Appends the attributes, without the frame of the set.
    fn write(&self, writer: &mut Writer<'_>);
    /// Reads the attributes.
    fn parse(list: &[u8]) -> Result<Self, Malformed>;
}

/// Appends one attribute.
fn put<T: Payload>(writer: &mut Writer<'_>, number: u16, flags: AttrFlags, value: &T) {
    let mut payload = Vec::new();
    value.write(&mut payload);
    writer.put(number, flags, &payload);
}

/// An attribute that is always sent, or only when there is a value.
trait Field: Sized {
    fn put(&self, writer: &mut Writer<'_>, number: u16, flags: AttrFlags);
    fn take(payload: &[u8]) -> Option<Self>;
}

impl<T: Payload> Field for Option<T> {
    fn put(&self, writer: &mut Writer<'_>, number: u16, flags: AttrFlags) {
        if let Some(value) = self {
            put(writer, number, flags, value);
        }
    }
    fn take(payload: &[u8]) -> Option<Self> {
        T::parse(payload).map(Some)
    }
}

/// Marks a payload type as one that is always sent.
macro_rules! always_sent {
    ($($ty:ty),*) => {$(
        impl Field for $ty {
            fn put(&self, writer: &mut Writer<'_>, number: u16, flags: AttrFlags) {
                put(writer, number, flags, self);
            }
            fn take(payload: &[u8]) -> Option<Self> {
                <$ty>::parse(payload)
            }
        }
    )*};
}
always_sent!(
    bool,
    u32,
    u64,
    SectorCount,
    Uuid,
    Role,
    DiskState,
    ConnState,
    String,
    MdFlags
);
always_sent!(
    SibReason,
    TimeoutType,
    WriteOrdering,
    NoticeKind,
    Word,
    History
);

macro_rules! mandatory {
    (M) => {
        AttrFlags::MANDATORY
    };
    () => {
        AttrFlags::empty()
    };
}

macro_rules! records {
    ($(
        $(#[$outer:meta])*
        $name:ident { $($(#[$doc:meta])* $number:literal $([$m:ident])? $field:ident: $ty:ty = $default:expr,)* }
    )*) => {$(
        $(#[$outer])*
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub struct $name { $($(#[$doc])* pub $field: $ty,)* }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl Record for $name {
            const NEST: Nest = Nest::$name;

            fn write(&self, writer: &mut Writer<'_>) {
                $(self.$field.put(writer, $number, mandatory!($($m)?));)*
            }

            fn parse(list: &[u8]) -> Result<Self, Malformed> {
                let mut record = Self::default();
                for attr in Attrs::new(list) {
                    let attr = attr?;
                    match attr.number {
                        $($number => {
                            record.$field = <$ty as Field>::take(attr.payload)
                                .ok_or(Malformed { offset: 0 })?;
                        })*
                        _ => {}
                    }
                }
                Ok(record)
            }
        }
    )*};
}

records! {
    /// The state of a device. The fields stand in the order in which the kernel sends them.
    StateInfo {
        /// Why it is sent.
        1 [M] reason: SibReason = SibReason::GET_STATUS,
        /// The state now.
        2 state: Word = Word::from(State::INITIAL),
        /// The data generation that readers have been shown.
        4 [M] exposed_uuid: Uuid = Uuid::EMPTY,
        /// Size of the device.
        3 [M] capacity: Option<SectorCount> = None,
        /// Sent over the network, in sectors.
        15 send_count: Option<SectorCount> = None,
        /// Received over the network, in sectors.
        16 recv_count: Option<SectorCount> = None,
        /// Read from the disk.
        17 read_count: Option<SectorCount> = None,
        /// Written to the disk.
        18 write_count: Option<SectorCount> = None,
        /// Activity-log transactions.
        19 al_writes: Option<u64> = None,
        /// Bitmap writes.
        20 bm_writes: Option<u64> = None,
        /// Application requests in progress.
        21 ap_bio_count: Option<u32> = None,
        /// Application requests that wait for the peer.
        22 ap_pending_count: Option<u32> = None,
        /// Resync requests that wait for the peer.
        23 rs_pending_count: Option<u32> = None,
        /// Generations of the disk; present when there is one.
        7 [M] uuids: Option<UuidSet> = None,
        /// Meta-data flags; present when there is a disk.
        8 [M] disk_flags: Option<MdFlags> = None,
        /// Bits of the bitmap; present when there is a disk.
        9 [M] bits_total: Option<u64> = None,
        /// Set bits; present when there is a disk.
        10 [M] bits_oos: Option<u64> = None,
        /// Bits to do when the resync or verify began; present while one runs.
        11 [M] bits_rs_total: Option<u64> = None,
        /// Bits of blocks that could not be synced; present while a resync or verify runs.
        12 [M] bits_rs_failed: Option<u64> = None,
        /// The state before, of a state change.
        5 [M] prev_state: Option<Word> = None,
        /// The state after, of a state change.
        6 [M] new_state: Option<Word> = None,
        /// Wait status of a helper that returned.
        14 [M] helper_exit_code: Option<u32> = None,
        /// The helper that is called or has returned.
        13 [M] helper: Option<String> = None,
    }

    /// The answer to GET_TIMEOUT_TYPE.
    TimeoutParms {
        /// Which timeout counts.
        1 timeout_type: TimeoutType = TimeoutType::DEFAULT,
    }

    /// State of a resource.
    ResourceInfo {
        /// Own role.
        1 role: Role = Role::Unknown,
        /// I/O suspended by the administrator.
        2 susp: bool = false,
        /// I/O suspended: no data.
        3 susp_nod: bool = false,
        /// I/O suspended: fencing.
        4 susp_fen: bool = false,
    }

    /// State of a device.
    DeviceInfo {
        /// The disk.
        1 disk: DiskState = DiskState::Diskless,
    }

    /// State of a connection.
    ConnectionInfo {
        /// At most [`ConnState::Connected`].
        1 connection: ConnState = ConnState::StandAlone,
        /// The highest role that the peer has.
        2 role: Role = Role::Unknown,
    }

    /// State of a device of a peer.
    PeerDeviceInfo {
        /// At least [`ConnState::WfReportParams`], which stands for "off".
        1 replication: ConnState = ConnState::WfReportParams,
        /// The peer's disk.
        2 disk: DiskState = DiskState::DUnknown,
        /// Resync paused here; 0 or 1, as the next two.
        3 paused_user: u32 = 0,
        /// Resync paused there.
        4 paused_peer: u32 = 0,
        /// Resync waits for another one.
        5 paused_dependency: u32 = 0,
    }

    /// Counters of a resource.
    ResourceStatistics {
        /// How writes are kept in order.
        1 write_ordering: WriteOrdering = WriteOrdering::NONE,
    }

    /// Counters of a device.
    DeviceStatistics {
        /// Size.
        1 size: SectorCount = SectorCount(0),
        /// Read from the disk.
        2 read: SectorCount = SectorCount(0),
        /// Written to the disk.
        3 written: SectorCount = SectorCount(0),
        /// Activity-log transactions.
        4 al_writes: u64 = 0,
        /// Bitmap writes.
        5 bm_writes: u64 = 0,
        /// Application requests in progress.
        6 upper_pending: u32 = 0,
        /// Requests to the disk in progress.
        7 lower_pending: u32 = 0,
        /// Application requests are held back.
        8 upper_blocked: bool = false,
        /// The disk is congested.
        9 lower_blocked: bool = false,
        /// The activity log is not kept: everything is marked already.
        10 al_suspended: bool = false,
        /// The data generation that readers have been shown.
        11 exposed_uuid: Uuid = Uuid::EMPTY,
        /// The data generation of the disk.
        12 current_uuid: Uuid = Uuid::EMPTY,
        /// Meta-data flags.
        13 disk_flags: MdFlags = MdFlags::empty(),
        /// Older generations; empty without disk.
        14 history: History = History::default(),
    }

    /// Counters of a connection.
    ConnectionStatistics {
        /// The send queue is congested.
        1 congested: bool = false,
    }

    /// Counters of a device of a peer.
    PeerDeviceStatistics {
        /// Received over the network.
        1 received: SectorCount = SectorCount(0),
        /// Sent over the network.
        2 sent: SectorCount = SectorCount(0),
        /// Requests that wait for the peer.
        3 pending: u32 = 0,
        /// Requests of the peer that wait for us.
        4 unacked: u32 = 0,
        /// Known to differ.
        5 out_of_sync: SectorCount = SectorCount(0),
        /// Could not be synced.
        6 resync_failed: SectorCount = SectorCount(0),
        /// The generation since which differences are recorded.
        7 bitmap_uuid: Uuid = Uuid::EMPTY,
        /// 1 connected, 2 outdated, 8 full sync.
        9 flags: u32 = 0,
    }

    /// What kind of notice a message is.
    NotificationHeader {
        /// What happened.
        1 kind: NoticeKind = NoticeKind::EXISTS,
    }

    /// A helper program.
    Helper {
        /// Its name.
        1 name: String = String::new(),
        /// Its wait status.
        2 status: u32 = 0,
    }
}

impl Helper {
    /// A helper; names beyond the limit of the attribute are cut.
    pub fn new(name: &str, status: u32) -> Self {
        let name = name.chars().scan(0, |used, c| {
            *used += c.len_utf8();
            (*used <= HELPER_MAX).then_some(c)
        });
        Self {
            name: name.collect(),
            status,
        }
    }
}

macro_rules! numbers {
    ($($(#[$outer:meta])* $name:ident { $($(#[$doc:meta])* $value:ident = $code:literal;)* })*) => {$(
        $(#[$outer])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
        pub struct $name(pub u32);

        impl $name {
            $($(#[$doc])* pub const $value: Self = Self($code);)*
        }

        impl Payload for $name {
            fn write(&self, out: &mut Vec<u8>) {
                self.0.write(out);
            }
            fn parse(payload: &[u8]) -> Option<Self> {
                u32::parse(payload).map(Self)
            }
        }
    )*};
}

numbers! {
    /// Why a state info is sent; newer engines may know more reasons.
    SibReason {
        /// It was asked for.
        GET_STATUS = 1;
        /// The state changed.
        STATE_CHANGE = 2;
        /// A helper is about to be called.
        HELPER_PRE = 3;
        /// A helper has returned.
        HELPER_POST = 4;
        /// The resync went on a bit.
        SYNC_PROGRESS = 5;
    }

    /// Which start-up timeout counts.
    TimeoutType {
        /// `wfc-timeout`.
        DEFAULT = 0;
        /// `degr-wfc-timeout`: the node was Primary alone.
        DEGRADED = 1;
        /// `outdated-wfc-timeout`: the peer is known to be outdated.
        PEER_OUTDATED = 2;
    }

    /// How writes are kept in order.
    WriteOrdering {
        /// Not at all.
        NONE = 0;
        /// Waiting for them.
        DRAIN = 1;
        /// Flushing the disk's cache.
        FLUSH = 2;
        /// With barriers.
        BARRIER = 3;
    }

    /// What a notice tells, and whether more of the same moment follows.
    NoticeKind {
        /// It is there (an answer, not a change).
        EXISTS = 0;
        /// It was created.
        CREATE = 1;
        /// It changed.
        CHANGE = 2;
        /// It was removed.
        DESTROY = 3;
        /// A helper is called.
        CALL = 4;
        /// A helper has returned.
        RESPONSE = 5;
        /// The flag for "the next message belongs to the same transaction".
        CONTINUES = 0x8000;
    }

    /// A packed state as received: an engine of the future may use codes that
    /// [`State::unpack`] refuses.
    Word {}
}

impl NoticeKind {
    /// The same, followed by more.
    #[must_use]
    pub const fn continued(self) -> Self {
        Self(self.0 | Self::CONTINUES.0)
    }

    /// Without the flag.
    #[must_use]
    pub const fn base(self) -> Self {
        Self(self.0 & !Self::CONTINUES.0)
    }

    /// Whether more follows.
    pub const fn continues(self) -> bool {
        self.0 & Self::CONTINUES.0 != 0
    }
}

impl From<State> for Word {
    fn from(state: State) -> Self {
        Self(state.pack())
    }
}

impl Word {
    /// The state, if every field holds a known code.
    pub fn state(self) -> Option<State> {
        State::unpack(self.0)
    }
}

/// History UUIDs, youngest first: none without a disk, otherwise padded to 32 bytes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct History(pub Vec<Uuid>);

impl Payload for History {
    fn write(&self, out: &mut Vec<u8>) {
        if self.0.is_empty() {
            return;
        }
        let end = out.len() + 32;
        for uuid in self.0.iter().take(4) {
            uuid.write(out);
        }
        out.resize(end, 0);
    }

    fn parse(payload: &[u8]) -> Option<Self> {
        let uuids = payload.chunks_exact(8).take(32).filter_map(Uuid::parse);
        Some(Self(uuids.collect()))
    }
}
