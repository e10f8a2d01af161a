//! What a wanted state drags along by itself (spec 60 section 1.6).

use core::ops::RangeInclusive;

use drbd_types::{ConnState, DiskState, Role, State};

use super::{Fencing, OnNoData, Policy};

/// An implicit adjustment that is worth a line in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Warning {
    /// A disk went away under a verify.
    VerifyAborted,
    /// A disk went away under a resync.
    ResyncAborted,
    /// The disk being attached turned out to hold other data than the device exposes.
    NegotiationLost,
    /// The connection state implies better data here.
    DiskUpgraded,
    /// The connection state implies better data on the peer.
    PeerDiskUpgraded,
}

impl Warning {
    /// The log line.
    pub const fn text(self) -> &'static str {
        match self {
            Self::VerifyAborted => "Online-verify aborted.",
            Self::ResyncAborted => "Resync aborted.",
            Self::NegotiationLost => "Connection lost while negotiating, no data!",
            Self::DiskUpgraded => "Implicitly upgraded disk",
            Self::PeerDiskUpgraded => "Implicitly upgraded pdsk",
        }
    }
}

/// The state that results when `wanted` is asked for, and the most recent warning.
pub fn sanitize(old: State, wanted: State, policy: &Policy) -> (State, Option<Warning>) {
    let mut new = wanted;
    let mut warning = None;
    forget_unreachable_peer(&mut new);
    abort_without_disks(&mut new, &mut warning);
    end_negotiation(&mut new, policy, &mut warning);
    trust_connected_disks(&mut new);
    clamp_disks(&mut new, &mut warning);
    suspend(old, &mut new, policy);
    apply_pause(&mut new);
    (new, warning)
}

/// Steps 1 and 2: only a known Inconsistent or Outdated peer disk is remembered.
fn forget_unreachable_peer(new: &mut State) {
    if new.conn < ConnState::Connected {
        new.peer_isp = false;
        new.peer = Role::Unknown;
        if new.pdsk > DiskState::DUnknown || new.pdsk < DiskState::Inconsistent {
            new.pdsk = DiskState::DUnknown;
        }
    }
    let unconfigured = new.conn == ConnState::StandAlone
        && new.disk == DiskState::Diskless
        && new.role == Role::Secondary;
    if unconfigured {
        new.aftr_isp = false;
    }
}

/// Step 3: resync and verify need both disks.
fn abort_without_disks(new: &mut State, warning: &mut Option<Warning>) {
    let disk_missing = new.disk <= DiskState::Failed || new.pdsk <= DiskState::Failed;
    if new.conn > ConnState::Connected && disk_missing {
        let verify = matches!(new.conn, ConnState::VerifyS | ConnState::VerifyT);
        *warning = Some(if verify {
            Warning::VerifyAborted
        } else {
            Warning::ResyncAborted
        });
        new.conn = ConnState::Connected;
    }
}

/// Step 4: an attach that waited for the peer is decided without it.
fn end_negotiation(new: &mut State, policy: &Policy, warning: &mut Option<Warning>) {
    if new.conn >= ConnState::Connected || new.disk != DiskState::Negotiating {
        return;
    }
    match policy.postponed {
        Some((disk, pdsk)) if policy.exposed_uuid.same_generation(policy.current_uuid) => {
            (new.disk, new.pdsk) = (disk, pdsk);
        }
        _ => {
            (new.disk, new.pdsk) = (DiskState::Diskless, DiskState::DUnknown);
            *warning = Some(Warning::NegotiationLost);
        }
    }
}

/// Step 5: whoever is connected and not in a resync is UpToDate.
fn trust_connected_disks(new: &mut State) {
    if (ConnState::Connected..ConnState::Ahead).contains(&new.conn) {
        for disk in [&mut new.disk, &mut new.pdsk] {
            if matches!(disk, DiskState::Consistent | DiskState::Outdated) {
                *disk = DiskState::UpToDate;
            }
        }
    }
}

/// Step 6: each connection state allows a window of disk states. Raising is logged, lowering is
/// the normal course of a resync.
fn clamp_disks(new: &mut State, warning: &mut Option<Warning>) {
    let (disks, peer_disks) = window(new.conn);
    if new.disk < *disks.start() {
        *warning = Some(Warning::DiskUpgraded);
    }
    if new.pdsk < *peer_disks.start() {
        *warning = Some(Warning::PeerDiskUpgraded);
    }
    new.disk = new.disk.clamp(*disks.start(), *disks.end());
    new.pdsk = new.pdsk.clamp(*peer_disks.start(), *peer_disks.end());
}

/// Own and peer disk states that go with a connection state.
fn window(conn: ConnState) -> (RangeInclusive<DiskState>, RangeInclusive<DiskState>) {
    use ConnState as C;
    use DiskState::{Consistent, DUnknown, Diskless, Inconsistent, Outdated, UpToDate};
    match conn {
        C::WfBitMapT | C::PausedSyncT | C::StartingSyncT | C::WfSyncUuid | C::Behind => {
            (Inconsistent..=Outdated, UpToDate..=UpToDate)
        }
        C::VerifyS | C::VerifyT => (UpToDate..=UpToDate, UpToDate..=UpToDate),
        C::Connected => (Diskless..=UpToDate, Diskless..=UpToDate),
        C::WfBitMapS | C::PausedSyncS | C::StartingSyncS | C::Ahead => {
            (UpToDate..=UpToDate, Inconsistent..=Consistent)
        }
        C::SyncTarget => (Inconsistent..=Inconsistent, UpToDate..=UpToDate),
        C::SyncSource => (UpToDate..=UpToDate, Inconsistent..=Inconsistent),
        C::StandAlone
        | C::Disconnecting
        | C::Unconnected
        | C::Timeout
        | C::BrokenPipe
        | C::NetworkFailure
        | C::ProtocolError
        | C::TearDown
        | C::WfConnection
        | C::WfReportParams => (Diskless..=UpToDate, Inconsistent..=DUnknown),
    }
}

/// Steps 7 and 8: I/O is held back on *entering* the dangerous condition; lifting it is somebody's
/// decision, never a side effect.
fn suspend(old: State, new: &mut State, policy: &Policy) {
    let alone = |s: &State| {
        s.role == Role::Primary && s.conn < ConnState::Connected && s.pdsk > DiskState::Outdated
    };
    let without_data = |s: &State| {
        s.role == Role::Primary && s.disk < DiskState::UpToDate && s.pdsk < DiskState::UpToDate
    };
    if policy.fencing == Fencing::ResourceAndStonith && alone(new) && !alone(&old) {
        new.susp_fen = true;
    }
    if policy.on_no_data == OnNoData::SuspendIo && without_data(new) && !without_data(&old) {
        new.susp_nod = true;
    }
}

/// Step 9: the pause flags decide between the active and the paused form of a resync.
fn apply_pause(new: &mut State) {
    let paused = new.aftr_isp || new.peer_isp || new.user_isp;
    new.conn = match (new.conn, paused) {
        (ConnState::SyncSource, true) => ConnState::PausedSyncS,
        (ConnState::SyncTarget, true) => ConnState::PausedSyncT,
        (ConnState::PausedSyncS, false) => ConnState::SyncSource,
        (ConnState::PausedSyncT, false) => ConnState::SyncTarget,
        (conn, _) => conn,
    };
}
