use alloc::vec::Vec;

use drbd_types::{StateMask, StateOutcome as O};

use super::*;

const NET: NetPolicy = NetPolicy {
    two_primaries: TwoPrimaries::Refused,
    verify: VerifyAlg::Configured,
    agreed_version: ProtocolVersion(101),
};
const POLICY: Policy = Policy {
    net: Some(NET),
    ..Policy::NOTHING_CONFIGURED
};
const CONNECTED: State = State {
    role: Role::Secondary,
    peer: Role::Secondary,
    conn: ConnState::Connected,
    disk: DiskState::UpToDate,
    pdsk: DiskState::UpToDate,
    ..State::INITIAL
};
const PRIMARY: State = State {
    role: Role::Primary,
    ..CONNECTED
};
const ALONE: State = State {
    peer: Role::Unknown,
    conn: ConnState::WfConnection,
    pdsk: DiskState::DUnknown,
    ..CONNECTED
};

fn clean(old: State, wanted: State) -> State {
    sanitize(old, wanted, &POLICY).0
}

// --- sanitize (section 1.6)

#[test]
fn a_lost_peer_is_unknown_unless_its_disk_is_known_to_be_worse() {
    let lost = |pdsk| {
        let wanted = State {
            conn: ConnState::BrokenPipe,
            pdsk,
            peer_isp: true,
            ..PRIMARY
        };
        clean(PRIMARY, wanted)
    };
    for pdsk in [
        DiskState::Diskless,
        DiskState::Failed,
        DiskState::Consistent,
        DiskState::UpToDate,
    ] {
        let new = lost(pdsk);
        assert_eq!((new.peer, new.pdsk), (Role::Unknown, DiskState::DUnknown));
        assert!(!new.peer_isp);
    }
    assert_eq!(lost(DiskState::Outdated).pdsk, DiskState::Outdated);
    assert_eq!(lost(DiskState::Inconsistent).pdsk, DiskState::Inconsistent);
}

#[test]
fn an_unconfigured_volume_does_not_wait_for_a_dependency() {
    let wanted = State {
        aftr_isp: true,
        ..State::INITIAL
    };
    assert_eq!(clean(State::INITIAL, wanted), State::INITIAL);
}

#[test]
fn resync_and_verify_end_when_a_disk_goes_away() {
    for (conn, warning) in [
        (ConnState::SyncSource, Warning::ResyncAborted),
        (ConnState::VerifyT, Warning::VerifyAborted),
    ] {
        let wanted = State {
            conn,
            disk: DiskState::Failed,
            ..CONNECTED
        };
        let (new, warned) = sanitize(CONNECTED, wanted, &POLICY);
        assert_eq!(new.conn, ConnState::Connected);
        assert_eq!(warned, Some(warning));
    }
    assert_eq!(Warning::VerifyAborted.text(), "Online-verify aborted.");
    assert_eq!(Warning::ResyncAborted.text(), "Resync aborted.");
}

#[test]
fn an_attach_without_peer_takes_its_postponed_result_only_for_the_same_data() {
    let old = State {
        disk: DiskState::Negotiating,
        ..CONNECTED
    };
    let wanted = State {
        conn: ConnState::BrokenPipe,
        ..old
    };
    let same = Policy {
        exposed_uuid: Uuid(0x11),
        current_uuid: Uuid(0x10),
        postponed: Some((DiskState::UpToDate, DiskState::Outdated)),
        ..POLICY
    };
    let (new, warning) = sanitize(old, wanted, &same);
    assert_eq!(
        (new.disk, new.pdsk),
        (DiskState::UpToDate, DiskState::Outdated)
    );
    assert_eq!(warning, None);
    let other = Policy {
        current_uuid: Uuid(0x20),
        ..same
    };
    let (new, warning) = sanitize(old, wanted, &other);
    assert_eq!(
        (new.disk, new.pdsk),
        (DiskState::Diskless, DiskState::DUnknown)
    );
    assert_eq!(
        warning.map(Warning::text),
        Some("Connection lost while negotiating, no data!")
    );
}

/// Scenarios S1, S4, S9 and S21: the disk states that go with each step of a resync.
#[test]
fn disks_show_what_the_connection_state_implies() {
    use ConnState as C;
    use DiskState as D;
    for (conn, disk, pdsk) in [
        (C::WfBitMapT, D::Outdated, D::UpToDate),
        (C::WfSyncUuid, D::Outdated, D::UpToDate),
        (C::StartingSyncT, D::Outdated, D::UpToDate),
        (C::Behind, D::Outdated, D::UpToDate),
        (C::SyncTarget, D::Inconsistent, D::UpToDate),
        (C::WfBitMapS, D::UpToDate, D::Consistent),
        (C::StartingSyncS, D::UpToDate, D::Consistent),
        (C::Ahead, D::UpToDate, D::Consistent),
        (C::SyncSource, D::UpToDate, D::Inconsistent),
        (C::VerifyS, D::UpToDate, D::UpToDate),
    ] {
        let new = clean(CONNECTED, State { conn, ..CONNECTED });
        assert_eq!((new.disk, new.pdsk), (disk, pdsk), "{conn}");
    }
    let wanted = State {
        disk: D::Outdated,
        ..CONNECTED
    };
    assert_eq!(
        clean(CONNECTED, wanted).disk,
        D::UpToDate,
        "while connected"
    );
}

#[test]
fn raising_a_disk_state_is_worth_a_warning_and_lowering_is_not() {
    let wanted = State {
        conn: ConnState::WfBitMapS,
        disk: DiskState::Inconsistent,
        ..CONNECTED
    };
    let (new, warning) = sanitize(CONNECTED, wanted, &POLICY);
    assert_eq!(new.disk, DiskState::UpToDate);
    assert_eq!(warning.map(Warning::text), Some("Implicitly upgraded disk"));
    let wanted = State {
        conn: ConnState::SyncTarget,
        ..CONNECTED
    };
    assert_eq!(sanitize(CONNECTED, wanted, &POLICY).1, None);
}

#[test]
fn io_is_frozen_on_entering_danger_and_not_again_while_in_it() {
    let policy = Policy {
        fencing: Fencing::ResourceAndStonith,
        on_no_data: OnNoData::SuspendIo,
        ..POLICY
    };
    let lost = State {
        conn: ConnState::BrokenPipe,
        ..PRIMARY
    };
    let frozen = sanitize(PRIMARY, lost, &policy).0;
    assert!(frozen.susp_fen && !frozen.susp_nod);
    let thawed = State {
        susp_fen: false,
        ..frozen
    };
    let next = State {
        conn: ConnState::Unconnected,
        ..thawed
    };
    assert!(!sanitize(thawed, next, &policy).0.susp_fen);
    let failed = State {
        disk: DiskState::Failed,
        ..thawed
    };
    assert!(sanitize(thawed, failed, &policy).0.susp_nod);
}

#[test]
fn any_pause_flag_selects_the_paused_form_of_a_resync() {
    let running = State {
        conn: ConnState::SyncSource,
        pdsk: DiskState::Inconsistent,
        ..CONNECTED
    };
    let pauses: [fn(&mut State); 3] = [
        |s| s.aftr_isp = true,
        |s| s.peer_isp = true,
        |s| s.user_isp = true,
    ];
    for pause in pauses {
        let mut wanted = running;
        pause(&mut wanted);
        let paused = clean(running, wanted);
        assert_eq!(paused.conn, ConnState::PausedSyncS);
        let resumed = State {
            aftr_isp: false,
            peer_isp: false,
            user_isp: false,
            ..paused
        };
        assert_eq!(clean(paused, resumed), running);
    }
}

fn all_states() -> impl Iterator<Item = State> {
    let conns = ConnState::ALL.iter();
    conns.flat_map(|&conn| {
        DiskState::ALL.iter().flat_map(move |&disk| {
            DiskState::ALL.iter().flat_map(move |&pdsk| {
                [Role::Primary, Role::Secondary].map(move |role| State {
                    role,
                    conn,
                    disk,
                    pdsk,
                    ..CONNECTED
                })
            })
        })
    })
}

/// The pause flags come last and may change the connection state after the disks were clamped;
/// every other result is final.
#[test]
fn sanitizing_twice_changes_nothing_more() {
    let paused = [ConnState::PausedSyncS, ConnState::PausedSyncT];
    for wanted in all_states().filter(|state| !paused.contains(&state.conn)) {
        let once = clean(CONNECTED, wanted);
        assert_eq!(clean(once, once), once, "{wanted:?}");
    }
}

// --- validity (sections 1.4, 1.5, 1.7)

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

// --- cluster wide, predicates, flags

#[test]
fn the_peer_is_asked_exactly_where_both_have_to_agree() {
    use ConnState as C;
    let conn = |conn| State { conn, ..CONNECTED };
    let failed = State {
        disk: DiskState::Failed,
        ..CONNECTED
    };
    for (old, new) in [
        (CONNECTED, PRIMARY),
        (CONNECTED, conn(C::StartingSyncS)),
        (CONNECTED, conn(C::StartingSyncT)),
        (CONNECTED, failed),
        (CONNECTED, conn(C::Disconnecting)),
        (CONNECTED, conn(C::VerifyS)),
        (CONNECTED, conn(C::WfReportParams)),
    ] {
        assert!(is_cluster_wide(old, new), "{new:?}");
    }
    let alone_primary = State {
        role: Role::Primary,
        ..ALONE
    };
    for (old, new) in [
        (PRIMARY, CONNECTED),
        (ALONE, alone_primary),
        (
            ALONE,
            State {
                conn: C::Disconnecting,
                ..ALONE
            },
        ),
        (CONNECTED, conn(C::BrokenPipe)),
        (CONNECTED, conn(C::VerifyT)),
        (
            CONNECTED,
            State {
                user_isp: true,
                ..CONNECTED
            },
        ),
    ] {
        assert!(!is_cluster_wide(old, new), "{new:?}");
    }
}

/// The captured requests of spec 50 section 8.4, and what the peer makes of them.
#[test]
fn a_request_is_turned_into_the_view_of_the_peer() {
    for (mask, value, peer_mask, peer_value) in [
        (0x3, 0x1, 0xc, 0x4),
        (0x1e03, 0x1001, 0x1_e00c, 0x1_0004),
        (0x1e00, 0x400, 0x1_e000, 0x4000),
        (0x1f0, 0xc0, 0x1f0, 0xb0),
        (0x1f0, 0xb0, 0x1f0, 0xc0),
        (0x1f0, 0x120, 0x1f0, 0x130),
        (0x1f0, 0x10, 0x1f0, 0x70),
        (0x1ff0, 0xa10, 0x1_e1f0, 0xa070),
        (0x1_e1f0, 0xa010, 0x1ff0, 0xa70),
    ] {
        let request = StateMask::unpack(mask, value).expect("captured requests are well formed");
        assert_eq!(
            mirrored(request).pack(),
            (peer_mask, peer_value),
            "{mask:#x} {value:#x}"
        );
    }
}

#[test]
fn a_state_is_turned_into_the_view_of_the_peer() {
    let state = State {
        role: Role::Primary,
        conn: ConnState::StartingSyncT,
        disk: DiskState::Inconsistent,
        user_isp: true,
        ..CONNECTED
    };
    let seen = peer_state_view(&state);
    assert_eq!((seen.role, seen.peer), (Role::Secondary, Role::Primary));
    assert_eq!(seen.conn, ConnState::StartingSyncS);
    assert_eq!(seen.pdsk, DiskState::Inconsistent);
    assert!(seen.peer_isp);
}

#[test]
fn writes_are_mirrored_noticed_or_kept_depending_on_connection_and_peer_disk() {
    use ConnState as C;
    use DiskState as D;
    let state = |conn, pdsk| State {
        conn,
        pdsk,
        ..CONNECTED
    };
    for (conn, pdsk, data, notice) in [
        (C::Connected, D::UpToDate, true, false),
        (C::Connected, D::Inconsistent, false, false),
        (C::WfBitMapS, D::Consistent, false, true),
        (C::SyncSource, D::Inconsistent, true, false),
        (C::PausedSyncS, D::Inconsistent, true, false),
        (C::SyncSource, D::Diskless, false, false),
        (C::Ahead, D::Consistent, false, true),
        (C::WfConnection, D::DUnknown, false, false),
    ] {
        let state = state(conn, pdsk);
        assert_eq!(replicates(&state), data, "{conn} {pdsk}");
        assert_eq!(sends_out_of_sync(&state), notice, "{conn} {pdsk}");
    }
}

/// Flags as `get-gi` showed them in scenarios S1, S4 and S18.
#[test]
fn superblock_flags_follow_the_state_and_leave_the_others_alone() {
    let flags = |state: State| {
        md_flags(
            &state,
            MdFlags::FULL_SYNC | MdFlags::AL_CLEAN,
            CrashedPrimary::No,
        )
    };
    let good = MdFlags::CONSISTENT | MdFlags::WAS_UP_TO_DATE | MdFlags::FULL_SYNC;
    assert_eq!(
        flags(PRIMARY),
        good | MdFlags::PRIMARY_IND | MdFlags::CONNECTED_IND
    );
    assert_eq!(flags(CONNECTED), good | MdFlags::CONNECTED_IND);
    assert_eq!(flags(ALONE), good);
    let diskless_primary_peer = State {
        peer: Role::Primary,
        pdsk: DiskState::Diskless,
        ..CONNECTED
    };
    assert!(flags(diskless_primary_peer).contains(MdFlags::PRIMARY_IND));
    let outdated = State {
        disk: DiskState::Outdated,
        ..ALONE
    };
    assert_eq!(flags(outdated), MdFlags::CONSISTENT | MdFlags::FULL_SYNC);
    let peer_outdated = State {
        pdsk: DiskState::Outdated,
        ..ALONE
    };
    assert!(flags(peer_outdated).contains(MdFlags::PEER_OUT_DATED));
    let crashed = md_flags(&ALONE, MdFlags::empty(), CrashedPrimary::Yes);
    assert!(crashed.contains(MdFlags::CRASHED_PRIMARY));
}

// --- texts

/// Lines of scenarios S4, S15 and S17.
#[test]
fn changes_are_described_as_the_kernel_logs_them() {
    let old = State {
        role: Role::Primary,
        ..CONNECTED
    };
    let new = State {
        peer: Role::Unknown,
        conn: ConnState::TearDown,
        pdsk: DiskState::DUnknown,
        ..old
    };
    assert_eq!(
        describe_change(old, new),
        "peer( Secondary -> Unknown ) conn( Connected -> TearDown ) pdsk( UpToDate -> DUnknown ) "
    );
    let running = State {
        conn: ConnState::SyncTarget,
        ..CONNECTED
    };
    let paused = State {
        conn: ConnState::PausedSyncT,
        user_isp: true,
        ..CONNECTED
    };
    assert_eq!(
        describe_change(running, paused),
        "conn( SyncTarget -> PausedSyncT ) user_isp( 0 -> 1 ) "
    );
    let frozen = State {
        susp_fen: true,
        ..CONNECTED
    };
    assert_eq!(describe_change(CONNECTED, frozen), "");
    assert_eq!(describe_suspension(CONNECTED, frozen), "susp( 0 -> 1 ) ");
    let both = State {
        susp: true,
        ..frozen
    };
    assert_eq!(
        describe_suspension(frozen, both),
        "",
        "it was suspended before"
    );
}

#[test]
fn a_refusal_shows_the_state_with_its_flags() {
    assert_eq!(
        describe_state(PRIMARY),
        "{ cs:Connected ro:Primary/Secondary ds:UpToDate/UpToDate r----- }"
    );
    let frozen = State {
        aftr_isp: true,
        peer_isp: true,
        user_isp: true,
        susp_fen: true,
        susp_nod: true,
        ..PRIMARY
    };
    assert_eq!(
        describe_state(frozen),
        "{ cs:Connected ro:Primary/Secondary ds:UpToDate/UpToDate sapuFN }"
    );
}

#[test]
fn fencing_policies_are_ordered_by_strictness() {
    let mut policies: Vec<Fencing> = [
        Fencing::ResourceAndStonith,
        Fencing::DontCare,
        Fencing::ResourceOnly,
    ]
    .into();
    policies.sort();
    assert_eq!(
        policies,
        [
            Fencing::DontCare,
            Fencing::ResourceOnly,
            Fencing::ResourceAndStonith
        ]
    );
}
