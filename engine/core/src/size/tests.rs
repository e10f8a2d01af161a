use alloc::string::ToString;

use super::*;

const fn inputs(own: u64, peer: u64, last_agreed: u64, user: u64) -> SizeInputs {
    SizeInputs {
        own: SectorCount(own),
        peer: SectorCount(peer),
        last_agreed: SectorCount(last_agreed),
        user: SectorCount(user),
    }
}

#[test]
fn the_effective_size_follows_the_steps_of_the_table() {
    for (inputs, size) in [
        (inputs(1000, 800, 500, 0), 800),
        (inputs(1000, 0, 500, 0), 500),
        (inputs(400, 0, 500, 0), 400),
        (inputs(0, 300, 500, 0), 300),
        (inputs(0, 0, 500, 0), 500),
        (inputs(1000, 0, 0, 0), 1000),
        (inputs(0, 800, 0, 0), 800),
        (inputs(0, 0, 0, 0), 0),
        (inputs(1000, 800, 500, 700), 700),
        (inputs(1000, 800, 500, 900), 800),
    ] {
        assert_eq!(effective(&inputs), SectorCount(size), "{inputs:?}");
    }
}

#[test]
fn an_unconnected_node_grows_only_when_the_administrator_vouches_for_the_peer() {
    let grown = inputs(2000, 0, 1000, 0);
    assert_eq!(effective(&grown), SectorCount(1000));
    assert_eq!(
        effective(&grown.assuming_peer_has_space()),
        SectorCount(2000)
    );
}

#[test]
fn a_size_that_cannot_be_had_is_complained_about_in_kib() {
    assert_eq!(
        complaint(&inputs(1000, 800, 0, 900)).as_deref(),
        Some("Requested disk size is too big (450 > 400)")
    );
    assert_eq!(
        complaint(&inputs(0, 0, 0, 0)).as_deref(),
        Some("Both nodes diskless!")
    );
    assert_eq!(complaint(&inputs(1000, 800, 0, 800)), None);
}

#[test]
fn no_volume_outgrows_the_activity_log() {
    let huge = inputs(1 << 51, 1 << 51, 0, 0);
    assert_eq!(effective(&huge), LARGEST);
    assert_eq!(effective(&inputs(1 << 51, 0, 0, 1 << 51)), LARGEST);
}

#[test]
fn the_smaller_of_two_requested_sizes_counts() {
    let pair = |own, peer| user_size_of_pair(SectorCount(own), SectorCount(peer)).0;
    assert_eq!(
        [pair(0, 0), pair(7, 0), pair(0, 7), pair(7, 5)],
        [0, 7, 7, 5]
    );
}

#[test]
fn sizes_differ_considerably_beyond_an_eighth() {
    let differ = |a, b| considerably_different(SectorCount(a), SectorCount(b));
    assert!(!differ(8000, 7112));
    assert!(differ(8000, 6999));
    assert!(!differ(0, 8000), "one is not known");
}

#[test]
fn data_is_cut_off_only_together_with_the_peer() {
    let alone = State {
        disk: DiskState::UpToDate,
        conn: ConnState::WfReportParams,
        ..State::INITIAL
    };
    let cut = |state: State| truncates_data(&state, SectorCount(100), SectorCount(90));
    assert!(cut(alone));
    let connected = State {
        conn: ConnState::Connected,
        pdsk: DiskState::UpToDate,
        ..alone
    };
    assert!(!cut(connected));
    assert!(cut(State {
        pdsk: DiskState::Diskless,
        ..connected
    }));
    assert!(!cut(State {
        disk: DiskState::Inconsistent,
        ..alone
    }));
    assert!(!truncates_data(&alone, SectorCount(100), SectorCount(100)));
}

#[test]
fn a_diskless_node_takes_the_size_of_its_peer_unless_it_would_shrink_under_a_user() {
    let peer = |current, user, disk| ReportedSizes {
        disk: SectorCount(disk),
        user: SectorCount(user),
        current: SectorCount(current),
    };
    let decide = |role, own, peer| without_disk(role, SectorCount(own), &peer);
    let adopt = |size| DisklessSize::Adopt(SectorCount(size));
    assert_eq!(
        decide(Role::Secondary, 0, peer(0, 0, 0)),
        DisklessSize::Keep
    );
    assert_eq!(decide(Role::Secondary, 0, peer(100, 90, 200)), adopt(100));
    assert_eq!(decide(Role::Secondary, 0, peer(0, 90, 200)), adopt(90));
    assert_eq!(decide(Role::Secondary, 0, peer(0, 0, 200)), adopt(200));
    assert_eq!(
        decide(Role::Primary, 100, peer(100, 0, 200)),
        DisklessSize::Keep
    );
    assert_eq!(decide(Role::Primary, 80, peer(100, 0, 200)), adopt(100));
    assert_eq!(
        decide(Role::Primary, 120, peer(100, 0, 200)),
        DisklessSize::TooSmall(SectorCount(100))
    );
    assert_eq!(decide(Role::Secondary, 120, peer(100, 0, 200)), adopt(100));
    assert_eq!(
        decide(Role::Secondary, 120, peer(100, 0, 0)),
        DisklessSize::IgnorePeer(SectorCount(100))
    );
}

/// Log lines of section 11: `size = 32 MB (32728 KB)`, `4096 KB (1024 bits)`, `0 KB (0 bits)`.
#[test]
fn sizes_are_printed_with_at_most_four_digits() {
    for (kib, text) in [
        (0, "0 KB"),
        (4096, "4096 KB"),
        (9_999, "9999 KB"),
        (10_000, "10 MB"),
        (32_728, "32 MB"),
        (10 << 20, "10 GB"),
        (1 << 53, "8192 PB"),
    ] {
        assert_eq!(human_kib(kib).to_string(), text, "{kib}");
    }
}
