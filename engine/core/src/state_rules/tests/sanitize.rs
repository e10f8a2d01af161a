//! Implicit adjustments (spec 60 section 1.6).

use super::*;

fn clean(old: State, wanted: State) -> State {
    sanitize(old, wanted, &POLICY).0
}

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
