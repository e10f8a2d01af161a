use alloc::vec::Vec;

use drbd_types::StateMask;

use super::*;

mod sanitize;
mod validity;

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
