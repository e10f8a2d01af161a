//! The rules of the state tuple (spec 60 section 1), as pure functions.
//!
//! * [`sanitize`]: what a wanted state drags along by itself (1.6).
//! * [`validity`]: which states and which transitions are refused (1.4, 1.5, 1.7).
//! * [`peer_view`]: a state or request as the other node sees it (1.8).
//! * [`describe`]: the log texts of changes and refusals (1.3).
//!
//! A change runs through them in this order: the request is applied to the old state, sanitized,
//! checked, and only then becomes the state of the volume. The rules look at nothing but the
//! two states and the [`Policy`].

mod describe;
mod peer_view;
mod sanitize;
mod validity;

use drbd_types::{ConnState, DiskState, MdFlags, Role, State, Uuid};
use drbd_wire::ProtocolVersion;

pub use crate::input::HeldOpen;
pub use describe::{describe_change, describe_state, describe_suspension};
pub use peer_view::{mirrored, peer_state_view};
pub use sanitize::{Warning, sanitize};
pub use validity::{is_valid, is_valid_soft_transition, is_valid_transition};

/// Everything that the rules look at beside the states themselves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Fencing policy of the attached disk; [`Fencing::DontCare`] without a disk.
    pub fencing: Fencing,
    /// What happens to I/O when no usable data is left.
    pub on_no_data: OnNoData,
    /// The network configuration, while there is one.
    pub net: Option<NetPolicy>,
    /// Whether the block device is open.
    pub held: HeldOpen,
    /// Whether another volume of the connection has a Primary peer.
    pub other_volumes: OtherVolumes,
    /// Whether the first states are being exchanged on a new connection (STATE_SENT).
    pub handshake: HandshakeState,
    /// Generation of the data this node last had access to.
    pub exposed_uuid: Uuid,
    /// Current generation of the attached disk, or of the one being attached.
    pub current_uuid: Uuid,
    /// Result of an attach that waits for the handshake: disk and peer disk.
    pub postponed: Option<(DiskState, DiskState)>,
}

impl Policy {
    /// The policy of a volume without disk, network and users.
    pub const NOTHING_CONFIGURED: Self = Self {
        fencing: Fencing::DontCare,
        on_no_data: OnNoData::IoError,
        net: None,
        held: HeldOpen::Free,
        other_volumes: OtherVolumes::NoPeerPrimary,
        handshake: HandshakeState::Settled,
        exposed_uuid: Uuid::EMPTY,
        current_uuid: Uuid::EMPTY,
        postponed: None,
    };
}

/// The part of the policy that exists only with a network configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NetPolicy {
    /// allow-two-primaries.
    pub two_primaries: TwoPrimaries,
    /// Whether a verify algorithm is configured.
    pub verify: VerifyAlg,
    /// Protocol version agreed on the connection; before there is one, what it assumes.
    pub agreed_version: ProtocolVersion,
}

/// fencing, in ascending order of strictness.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Fencing {
    /// No fencing.
    DontCare,
    /// A Primary that loses its peer calls the handler.
    ResourceOnly,
    /// And holds back I/O until the handler succeeded.
    ResourceAndStonith,
}

/// on-no-data-accessible.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnNoData {
    /// Requests fail.
    IoError,
    /// Requests wait.
    SuspendIo,
}

/// allow-two-primaries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TwoPrimaries {
    /// One Primary at a time.
    Refused,
    /// Both nodes may be Primary.
    Allowed,
}

/// Whether online verify has an algorithm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VerifyAlg {
    /// verify-alg is empty.
    Missing,
    /// verify-alg names one.
    Configured,
}

/// The peers of the other volumes of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OtherVolumes {
    /// None of them is Primary.
    NoPeerPrimary,
    /// At least one of them is Primary.
    PeerPrimary,
}

/// Whether the handshake of a new connection holds back other state changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HandshakeState {
    /// No.
    Settled,
    /// The own state was sent, the peer's is being waited for (STATE_SENT).
    StateSent,
}

/// Whether the data was Primary when the node went down without demotion.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CrashedPrimary {
    /// It was not, or the peers have compared notes since.
    No,
    /// It was: the extents of the activity log may differ from the peer's.
    Yes,
}

impl From<bool> for CrashedPrimary {
    fn from(crashed: bool) -> Self {
        if crashed { Self::Yes } else { Self::No }
    }
}

/// Whether a write is sent to the peer as data (section 1.9).
pub const fn replicates(state: &State) -> bool {
    let conn = state.conn.code();
    matches!(state.pdsk, DiskState::UpToDate)
        || state.pdsk.code() >= DiskState::Inconsistent.code()
            && conn >= ConnState::WfBitMapT.code()
            && conn < ConnState::Ahead.code()
}

/// Whether only a notice of the write goes to the peer (section 1.9).
pub const fn sends_out_of_sync(state: &State) -> bool {
    matches!(state.conn, ConnState::Ahead | ConnState::WfBitMapS)
}

/// Whether the peer has to agree before the change may happen (section 1.8).
pub fn is_cluster_wide(old: State, new: State) -> bool {
    use ConnState::{
        Connected, Disconnecting, StartingSyncS, StartingSyncT, VerifyS, WfReportParams,
    };
    let enters_conn = |conn| new.conn == conn && old.conn != conn;
    let both_connected = old.conn >= Connected && new.conn >= Connected;
    let while_connected = new.role == Role::Primary && old.role != Role::Primary
        || enters_conn(StartingSyncT)
        || enters_conn(StartingSyncS)
        || new.disk == DiskState::Failed && old.disk != DiskState::Failed;
    both_connected && while_connected
        || old.conn >= Connected && new.conn == Disconnecting
        || old.conn == Connected && matches!(new.conn, VerifyS | WfReportParams)
}

/// The flags of the superblock in this state (section 1.3 step 5.7); asked for only while there
/// is a disk.
pub fn md_flags(state: &State, old: MdFlags, crashed: CrashedPrimary) -> MdFlags {
    let derived = MdFlags::CONSISTENT
        | MdFlags::PRIMARY_IND
        | MdFlags::CONNECTED_IND
        | MdFlags::WAS_UP_TO_DATE
        | MdFlags::PEER_OUT_DATED
        | MdFlags::CRASHED_PRIMARY
        | MdFlags::AL_CLEAN;
    let peer_uses_this_disk = state.pdsk < DiskState::Inconsistent && state.peer == Role::Primary;
    let peer_outdated = (DiskState::Inconsistent..=DiskState::Outdated).contains(&state.pdsk);
    let mut flags = old - derived;
    flags.set(MdFlags::CRASHED_PRIMARY, crashed == CrashedPrimary::Yes);
    flags.set(
        MdFlags::PRIMARY_IND,
        state.role == Role::Primary || peer_uses_this_disk,
    );
    flags.set(
        MdFlags::CONNECTED_IND,
        state.conn > ConnState::WfReportParams,
    );
    flags.set(MdFlags::CONSISTENT, state.disk > DiskState::Inconsistent);
    flags.set(MdFlags::WAS_UP_TO_DATE, state.disk > DiskState::Outdated);
    flags.set(MdFlags::PEER_OUT_DATED, peer_outdated);
    flags
}

#[cfg(test)]
mod tests;
