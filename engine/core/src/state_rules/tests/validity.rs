//! Refusals (spec 60 sections 1.4, 1.5 and 1.7).

use drbd_types::StateOutcome as O;

use super::*;

#[test]
fn each_rule_of_validity_has_its_code() {
    use ConnState as C;
    use DiskState as D;
    let fenced = Policy {
        fencing: Fencing::ResourceOnly,
        ..POLICY
    };
    let busy = Policy {
        held: HeldOpen::Busy,
        ..POLICY
    };
    let other = Policy {
        other_volumes: OtherVolumes::PeerPrimary,
        ..POLICY
    };
    let no_alg = Policy {
        net: Some(NetPolicy {
            verify: VerifyAlg::Missing,
            ..NET
        }),
        ..POLICY
    };
    let old_peer = Policy {
        net: Some(NetPolicy {
            agreed_version: ProtocolVersion(87),
            ..NET
        }),
        ..POLICY
    };
    let alone = State {
        role: Role::Primary,
        ..ALONE
    };
    let verify = State {
        conn: C::VerifyS,
        ..CONNECTED
    };
    let with = |change: fn(&mut State), base: State| {
        let mut state = base;
        change(&mut state);
        state
    };
    let cases = [
        (
            with(|s| s.peer = Role::Primary, PRIMARY),
            &POLICY,
            O::TwoPrimaries,
        ),
        (PRIMARY, &other, O::OtherVolumePeerPrimary),
        (CONNECTED, &busy, O::DeviceInUse),
        (
            with(|s| s.disk = D::Consistent, alone),
            &POLICY,
            O::NoUpToDateDisk,
        ),
        (alone, &fenced, O::PrimaryNop),
        (with(|s| s.pdsk = D::Outdated, alone), &fenced, O::Success),
        (
            with(
                |s| (s.disk, s.pdsk) = (D::Inconsistent, D::Inconsistent),
                PRIMARY,
            ),
            &POLICY,
            O::NoUpToDateDisk,
        ),
        (
            with(
                |s| (s.conn, s.disk) = (C::SyncTarget, D::Diskless),
                CONNECTED,
            ),
            &POLICY,
            O::NoLocalDisk,
        ),
        (
            with(
                |s| (s.conn, s.pdsk) = (C::SyncSource, D::Diskless),
                CONNECTED,
            ),
            &POLICY,
            O::NoRemoteDisk,
        ),
        (
            with(
                |s| (s.conn, s.disk, s.pdsk) = (C::SyncSource, D::Inconsistent, D::Inconsistent),
                CONNECTED,
            ),
            &POLICY,
            O::NoUpToDateDisk,
        ),
        (
            with(|s| s.disk = D::Outdated, CONNECTED),
            &POLICY,
            O::ConnectedOutdates,
        ),
        (verify, &no_alg, O::NoVerifyAlg),
        (verify, &old_peer, O::NotSupported),
        (
            with(
                |s| (s.disk, s.pdsk) = (D::Consistent, D::Consistent),
                PRIMARY,
            ),
            &POLICY,
            O::NoUpToDateDisk,
        ),
        (
            with(
                |s| (s.conn, s.pdsk) = (C::StartingSyncT, D::DUnknown),
                CONNECTED,
            ),
            &POLICY,
            O::NeedConnection,
        ),
        (
            with(|s| s.pdsk = D::DUnknown, CONNECTED),
            &POLICY,
            O::ConnectedOutdates,
        ),
        (CONNECTED, &POLICY, O::Success),
        (PRIMARY, &POLICY, O::Success),
    ];
    for (state, policy, outcome) in cases {
        assert_eq!(
            is_valid(state, policy),
            outcome,
            "{}",
            describe_state(state)
        );
    }
}

#[test]
fn two_primaries_are_fine_where_they_are_allowed() {
    let both = State {
        peer: Role::Primary,
        ..PRIMARY
    };
    let allowed = Policy {
        net: Some(NetPolicy {
            two_primaries: TwoPrimaries::Allowed,
            ..NET
        }),
        ..POLICY
    };
    assert_eq!(is_valid(both, &allowed), O::Success);
}

#[test]
fn impossible_transitions_are_refused_even_to_the_environment() {
    use ConnState as C;
    let conn = |conn| State { conn, ..ALONE };
    for (old, new, outcome) in [
        (C::Connected, C::Connected, O::NothingToDo),
        (C::StandAlone, C::Disconnecting, O::AlreadyStandalone),
        (C::StandAlone, C::WfConnection, O::NeedConnection),
        (C::StandAlone, C::Unconnected, O::Success),
        (C::WfConnection, C::Connected, O::NeedConnection),
        (C::WfReportParams, C::Connected, O::Success),
        (C::BrokenPipe, C::WfConnection, O::InTransientState),
        (C::BrokenPipe, C::Unconnected, O::Success),
        (C::TearDown, C::Disconnecting, O::Success),
        (C::Disconnecting, C::Unconnected, O::InTransientState),
        (C::Disconnecting, C::StandAlone, O::Success),
        (C::Connected, C::BrokenPipe, O::Success),
    ] {
        assert_eq!(
            is_valid_transition(conn(old), conn(new)),
            outcome,
            "{old} -> {new}"
        );
    }
    let failed = State {
        disk: DiskState::Failed,
        ..State::INITIAL
    };
    assert_eq!(is_valid_transition(State::INITIAL, failed), O::IsDiskless);
}

#[test]
fn requests_are_refused_by_the_last_rule_that_they_break() {
    use ConnState as C;
    use DiskState as D;
    let soft = |old: State, new: State| is_valid_soft_transition(old, new, &POLICY);
    let conn = |base: State, conn| State { conn, ..base };
    let resync = State {
        conn: C::SyncSource,
        pdsk: D::Inconsistent,
        ..CONNECTED
    };
    for (old, new, outcome) in [
        (resync, conn(resync, C::StartingSyncT), O::ResyncRunning),
        (
            conn(ALONE, C::StandAlone),
            conn(ALONE, C::Disconnecting),
            O::AlreadyStandalone,
        ),
        (
            State::INITIAL,
            State {
                disk: D::Inconsistent,
                ..State::INITIAL
            },
            O::IsDiskless,
        ),
        (
            conn(ALONE, C::StandAlone),
            conn(ALONE, C::WfConnection),
            O::NoNetConfig,
        ),
        (
            State {
                disk: D::Inconsistent,
                ..ALONE
            },
            State {
                disk: D::Outdated,
                ..ALONE
            },
            O::LowerThanOutdated,
        ),
        (
            conn(ALONE, C::Unconnected),
            conn(ALONE, C::Disconnecting),
            O::InTransientState,
        ),
        (
            State {
                disk: D::Outdated,
                conn: C::WfBitMapT,
                ..CONNECTED
            },
            State {
                disk: D::Outdated,
                conn: C::WfBitMapT,
                ..PRIMARY
            },
            O::InTransientState,
        ),
        (ALONE, conn(ALONE, C::VerifyS), O::NeedConnection),
        (resync, conn(resync, C::VerifyS), O::ResyncRunning),
        (ALONE, conn(ALONE, C::StartingSyncT), O::NeedConnection),
        (ALONE, conn(ALONE, C::SyncTarget), O::NeedConnection),
        (
            ALONE,
            State {
                conn: C::Disconnecting,
                pdsk: D::Outdated,
                ..ALONE
            },
            O::OutdateWithoutConnection,
        ),
        (CONNECTED, PRIMARY, O::Success),
        (CONNECTED, conn(CONNECTED, C::VerifyS), O::Success),
    ] {
        let (from, to) = (describe_state(old), describe_state(new));
        assert_eq!(soft(old, new), outcome, "{from} -> {to}");
    }
}

#[test]
fn a_running_handshake_lets_only_itself_through() {
    use ConnState as C;
    let policy = Policy {
        handshake: HandshakeState::StateSent,
        ..POLICY
    };
    let soft = |old: State, new: State| is_valid_soft_transition(old, new, &policy);
    let conn = |conn| State { conn, ..ALONE };
    assert_eq!(
        soft(conn(C::WfConnection), conn(C::WfReportParams)),
        O::Success
    );
    assert_eq!(
        soft(conn(C::WfReportParams), conn(C::WfBitMapS)),
        O::Success
    );
    let promoted = State {
        role: Role::Primary,
        ..conn(C::WfReportParams)
    };
    assert_eq!(soft(conn(C::WfReportParams), promoted), O::InTransientState);
}
