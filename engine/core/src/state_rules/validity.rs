//! Which states and which transitions are refused (spec 60 sections 1.4, 1.5 and 1.7).

use drbd_types::{ConnState, DiskState, Role, State, StateOutcome};
use drbd_wire::ProtocolVersion;

use super::{Fencing, HandshakeState, HeldOpen, OtherVolumes, Policy, TwoPrimaries, VerifyAlg};

/// The oldest protocol with online verify.
const VERIFY_SINCE: ProtocolVersion = ProtocolVersion(88);

/// Whether a state may exist (1.4): the first rule that is broken, or `Success`.
pub fn is_valid(state: State, policy: &Policy) -> StateOutcome {
    use StateOutcome as O;
    let State {
        role,
        peer,
        conn,
        disk,
        pdsk,
        ..
    } = state;
    let primary = role == Role::Primary;
    let one_primary = policy
        .net
        .is_some_and(|net| net.two_primaries == TwoPrimaries::Refused);
    let verify = matches!(conn, ConnState::VerifyS | ConnState::VerifyT);
    let verify_alg = policy
        .net
        .is_some_and(|net| net.verify == VerifyAlg::Configured);
    let version = policy
        .net
        .map_or(ProtocolVersion::BEFORE_AGREEMENT, |net| net.agreed_version);
    let resync_source = matches!(
        conn,
        ConnState::Connected
            | ConnState::WfBitMapS
            | ConnState::SyncSource
            | ConnState::PausedSyncS
    );
    let nobody_up_to_date = disk < DiskState::UpToDate && pdsk < DiskState::UpToDate;
    let starting = matches!(conn, ConnState::StartingSyncS | ConnState::StartingSyncT);
    let rules = [
        (
            one_primary && primary && peer == Role::Primary,
            O::TwoPrimaries,
        ),
        (
            one_primary && primary && policy.other_volumes == OtherVolumes::PeerPrimary,
            O::OtherVolumePeerPrimary,
        ),
        (
            role == Role::Secondary && policy.held == HeldOpen::Busy,
            O::DeviceInUse,
        ),
        (
            primary && conn < ConnState::Connected && disk < DiskState::UpToDate,
            O::NoUpToDateDisk,
        ),
        (
            policy.fencing >= Fencing::ResourceOnly
                && primary
                && conn < ConnState::Connected
                && pdsk >= DiskState::DUnknown,
            O::PrimaryNop,
        ),
        (
            primary && disk <= DiskState::Inconsistent && pdsk <= DiskState::Inconsistent,
            O::NoUpToDateDisk,
        ),
        (
            conn > ConnState::Connected && disk < DiskState::Inconsistent,
            O::NoLocalDisk,
        ),
        (
            conn > ConnState::Connected && pdsk < DiskState::Inconsistent,
            O::NoRemoteDisk,
        ),
        (
            conn > ConnState::Connected && nobody_up_to_date,
            O::NoUpToDateDisk,
        ),
        (
            resync_source && disk == DiskState::Outdated,
            O::ConnectedOutdates,
        ),
        (verify && !verify_alg, O::NoVerifyAlg),
        (verify && version < VERIFY_SINCE, O::NotSupported),
        (primary && nobody_up_to_date, O::NoUpToDateDisk),
        (starting && pdsk == DiskState::DUnknown, O::NeedConnection),
        (
            conn >= ConnState::Connected && pdsk == DiskState::DUnknown,
            O::ConnectedOutdates,
        ),
    ];
    first_broken(&rules)
}

/// Whether the connection may go from one state to the other at all (1.5), even if the
/// environment says it did.
pub fn is_valid_transition(old: State, new: State) -> StateOutcome {
    if new.disk == DiskState::Failed && old.disk == DiskState::Diskless {
        return StateOutcome::IsDiskless;
    }
    connection_transition(old.conn, new.conn)
}

fn connection_transition(old: ConnState, new: ConnState) -> StateOutcome {
    use ConnState as C;
    use StateOutcome as O;
    if old == new {
        return O::NothingToDo;
    }
    let lost = (C::Timeout..=C::TearDown).contains(&old);
    let rules = [
        (
            old == C::StandAlone && new == C::Disconnecting,
            O::AlreadyStandalone,
        ),
        (
            old == C::StandAlone && new != C::Unconnected,
            O::NeedConnection,
        ),
        (
            old < C::WfReportParams && new >= C::Connected,
            O::NeedConnection,
        ),
        (
            lost && !matches!(new, C::Unconnected | C::Disconnecting),
            O::InTransientState,
        ),
        (
            old == C::Disconnecting && new != C::StandAlone,
            O::InTransientState,
        ),
    ];
    first_broken(&rules)
}

/// Whether somebody may ask for this transition (1.7): the *last* rule that is broken, or
/// `Success`.
pub fn is_valid_soft_transition(old: State, new: State, policy: &Policy) -> StateOutcome {
    use ConnState as C;
    use StateOutcome as O;
    let to_starting_sync = matches!(new.conn, C::StartingSyncS | C::StartingSyncT);
    let to_verify = matches!(new.conn, C::VerifyS | C::VerifyT);
    let to_sync = matches!(new.conn, C::SyncSource | C::SyncTarget);
    let disconnects = new.conn == C::Disconnecting;
    let establishes = old.conn == C::WfConnection && new.conn == C::WfReportParams
        || old.conn == C::WfReportParams && new.conn >= C::Connected;
    let promoted_to_target = old.role == Role::Secondary
        && new.role == Role::Primary
        && new.pdsk == DiskState::UpToDate
        && !matches!(new.disk, DiskState::UpToDate | DiskState::Diskless)
        && (new.conn <= C::WfSyncUuid || new.conn != old.conn);
    let rules = [
        (
            to_starting_sync && old.conn > C::Connected,
            O::ResyncRunning,
        ),
        (
            disconnects && old.conn == C::StandAlone,
            O::AlreadyStandalone,
        ),
        (
            new.disk > DiskState::Attaching && old.disk == DiskState::Diskless,
            O::IsDiskless,
        ),
        (
            new.conn == C::WfConnection && old.conn < C::Unconnected,
            O::NoNetConfig,
        ),
        (
            new.disk == DiskState::Outdated
                && old.disk < DiskState::Outdated
                && old.disk != DiskState::Attaching,
            O::LowerThanOutdated,
        ),
        (
            disconnects && old.conn == C::Unconnected,
            O::InTransientState,
        ),
        (
            policy.handshake == HandshakeState::StateSent && !establishes,
            O::InTransientState,
        ),
        (promoted_to_target, O::InTransientState),
        (to_verify && old.conn < C::Connected, O::NeedConnection),
        (
            to_verify && new.conn != old.conn && old.conn > C::Connected,
            O::ResyncRunning,
        ),
        (
            to_starting_sync && old.conn < C::Connected,
            O::NeedConnection,
        ),
        (to_sync && old.conn < C::WfReportParams, O::NeedConnection),
        (
            disconnects
                && new.pdsk == DiskState::Outdated
                && old.conn < C::Connected
                && old.pdsk > DiskState::Outdated,
            O::OutdateWithoutConnection,
        ),
    ];
    rules
        .iter()
        .rev()
        .find(|(broken, _)| *broken)
        .map_or(O::Success, |&(_, outcome)| outcome)
}

fn first_broken(rules: &[(bool, StateOutcome)]) -> StateOutcome {
    rules
        .iter()
        .find(|(broken, _)| *broken)
        .map_or(StateOutcome::Success, |&(_, outcome)| outcome)
}
