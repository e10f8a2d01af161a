use drbd_types::Uuid;
use drbd_wire::{Agreed, Features, ProtocolVersion};

use super::*;
use crate::input::TieBreaker;
use crate::split_brain::{AfterSb0Pri, AfterSb1Pri, AfterSb2Pri};
use crate::state_rules::CrashedPrimary;

const fn set(current: u64, bitmap: u64, h1: u64, h2: u64) -> UuidSet {
    UuidSet {
        current: Uuid(current),
        bitmap: Uuid(bitmap),
        history: [Uuid(h1), Uuid(h2)],
    }
}

const SAME: UuidSet = set(0xA0, 0, 0xB0, 0xC0);

/// Two equal, idle nodes.
const EQUAL: Inputs = Inputs {
    uuids: SAME,
    bits_told: 0,
    bits_set: 0,
    peer: PeerReport {
        uuids: SAME,
        bits: 0,
        flags: UuidFlags::empty(),
    },
    context: Context {
        crashed_primary: CrashedPrimary::No,
        role: Role::Secondary,
        peer_role: Role::Secondary,
        agreed: Agreed {
            version: ProtocolVersion(101),
            features: Features::all(),
        },
        tie: TieBreaker::Here,
    },
    disk: DiskState::UpToDate,
    postponed_disk: None,
    peer_disk: DiskState::UpToDate,
    policies: Policies {
        without_primary: AfterSb0Pri::Disconnect,
        with_one: AfterSb1Pri::Disconnect,
        with_two: AfterSb2Pri::Disconnect,
    },
    always_asbp: AlwaysAsbp::No,
    rr_conflict: RrConflict::Disconnect,
    once: ConnectOnce::empty(),
    peer_once: ConnectOnce::empty(),
};

/// Scenario S7, node 0: split brain with a common base, 3 changes against 5.
const SPLIT: Inputs = Inputs {
    uuids: set(0xA0, 0x11, 0xB0, 0xC0),
    bits_told: 3,
    bits_set: 3,
    peer: PeerReport {
        uuids: set(0xD0, 0x10, 0xB0, 0xC0),
        bits: 5,
        flags: UuidFlags::empty(),
    },
    ..EQUAL
};

fn log(decision: &Decision) -> Vec<&str> {
    let texts = decision.steps.iter().filter_map(|step| match step {
        Step::Log(_, text) => Some(text.as_str()),
        Step::Helper(_) => None,
    });
    texts.collect()
}

/// What follows the three lines of the dump and the result of the comparison.
fn story(decision: &Decision) -> Vec<&str> {
    let steps = decision.steps.iter().map(|step| match step {
        Step::Log(_, text) => text.as_str(),
        Step::Helper(event) => event,
    });
    let after = steps.skip_while(|text| !text.starts_with("uuid_compare()"));
    after.skip(1).collect()
}

/// Scenario S1 after the connect.
#[test]
fn two_new_nodes_connect_without_resync_and_say_so() {
    let new = PeerReport {
        uuids: UuidSet::JUST_CREATED,
        bits: 8182,
        flags: UuidFlags::empty(),
    };
    let decision = decide(&Inputs {
        uuids: UuidSet::JUST_CREATED,
        bits_told: 8182,
        bits_set: 8182,
        peer: new,
        disk: DiskState::Inconsistent,
        peer_disk: DiskState::Inconsistent,
        ..EQUAL
    });
    assert_eq!(
        log(&decision),
        [
            "drbd_sync_handshake:",
            "self 0000000000000004:0000000000000000:0000000000000000:0000000000000000 bits:8182 flags:0",
            "peer 0000000000000004:0000000000000000:0000000000000000:0000000000000000 bits:8182 flags:0",
            "uuid_compare()=0 by rule 10",
            "No resync, but 8182 bits in bitmap!",
        ]
    );
    assert_eq!(decision.verdict, Verdict::Connected);
}

/// Scenario S1, `primary --force`: both nodes.
#[test]
fn the_first_sync_is_a_full_one_from_the_forced_primary() {
    let primary = set(0xD1CD_7AF1_69D9_7361, 4, 0, 0);
    let source = Inputs {
        uuids: primary,
        peer: PeerReport {
            uuids: UuidSet::JUST_CREATED,
            bits: 8182,
            flags: UuidFlags::empty(),
        },
        context: Context {
            role: Role::Primary,
            ..EQUAL.context
        },
        peer_disk: DiskState::Inconsistent,
        ..EQUAL
    };
    let decision = decide(&source);
    assert_eq!(log(&decision)[3], "uuid_compare()=2 by rule 30");
    assert_eq!(
        story(&decision),
        [
            "Becoming sync source due to disk states.",
            "Writing the whole bitmap, full sync required after drbd_sync_handshake.",
        ]
    );
    assert_eq!(decision.verdict, Verdict::BecomeSource(SyncExtent::Full));
    let decision = decide(&Inputs {
        uuids: UuidSet::JUST_CREATED,
        peer: PeerReport {
            uuids: primary,
            ..source.peer
        },
        context: Context {
            peer_role: Role::Primary,
            ..EQUAL.context
        },
        disk: DiskState::Inconsistent,
        peer_disk: DiskState::UpToDate,
        ..EQUAL
    });
    assert_eq!(log(&decision)[3], "uuid_compare()=-2 by rule 20");
    assert_eq!(
        story(&decision)[0],
        "Becoming sync target due to disk states."
    );
    assert_eq!(decision.verdict, Verdict::BecomeTarget(SyncExtent::Full));
}

#[test]
fn better_disks_override_a_split_brain() {
    let worse = Inputs {
        disk: DiskState::Inconsistent,
        ..SPLIT
    };
    let decision = decide(&worse);
    assert_eq!(
        story(&decision),
        ["Becoming sync target due to disk states."]
    );
    assert_eq!(decision.verdict, Verdict::BecomeTarget(SyncExtent::Bitmap));
    let ambiguous = Inputs {
        uuids: set(0xA0, 0, 0xB0, 0xC0),
        ..worse
    };
    assert_eq!(
        decide(&ambiguous).verdict,
        Verdict::BecomeTarget(SyncExtent::Full)
    );
}

#[test]
fn an_unresolved_split_brain_calls_both_handlers_and_disconnects() {
    let decision = decide(&SPLIT);
    assert_eq!(log(&decision)[3], "uuid_compare()=100 by rule 90");
    assert_eq!(
        story(&decision),
        [
            "initial-split-brain",
            "Split-Brain detected but unresolved, dropping connection!",
            "split-brain",
        ]
    );
    assert_eq!(decision.verdict, Verdict::Abort(Abort::Disconnect));
    let alert = decision.steps.iter().find(|step| {
        matches!(step, Step::Log(Level::Alert, text) if text.starts_with("Split-Brain detected"))
    });
    assert!(alert.is_some(), "at level alert");
}

#[test]
fn a_policy_resolves_a_split_brain_with_a_common_base() {
    let policies = Policies {
        without_primary: AfterSb0Pri::DiscardYoungerPrimary,
        ..SPLIT.policies
    };
    let decision = decide(&Inputs { policies, ..SPLIT });
    assert_eq!(
        story(&decision),
        [
            "initial-split-brain",
            "Split-Brain detected, 0 primaries, automatically solved. Sync from this node",
        ]
    );
    assert_eq!(decision.verdict, Verdict::BecomeSource(SyncExtent::Bitmap));
}

#[test]
fn an_ambiguous_split_brain_needs_always_asbp_and_a_full_sync() {
    let ambiguous = Inputs {
        uuids: set(0xA0, 0, 0xB0, 0xC0),
        policies: Policies {
            without_primary: AfterSb0Pri::DiscardLeastChanges,
            ..SPLIT.policies
        },
        ..SPLIT
    };
    let refused = decide(&ambiguous);
    assert_eq!(log(&refused)[3], "uuid_compare()=-100 by rule 100");
    assert_eq!(refused.verdict, Verdict::Abort(Abort::Disconnect));
    let decision = decide(&Inputs {
        always_asbp: AlwaysAsbp::Yes,
        ..ambiguous
    });
    assert_eq!(
        story(&decision)[1..],
        [
            "Split-Brain detected, 0 primaries, automatically solved. Sync from peer node",
            "Doing a full sync, since UUIDs where ambiguous.",
            "Writing the whole bitmap, full sync required after drbd_sync_handshake.",
        ]
    );
    assert_eq!(decision.verdict, Verdict::BecomeTarget(SyncExtent::Full));
}

/// Scenario S7, `--discard-my-data` on one node, seen from both.
#[test]
fn data_offered_for_sacrifice_on_exactly_one_node_is_taken() {
    let target = Inputs {
        once: ConnectOnce::DISCARD_MY_DATA,
        ..SPLIT
    };
    let decision = decide(&target);
    assert_eq!(
        story(&decision)[1],
        "Split-Brain detected, manually solved. Sync from peer node"
    );
    assert_eq!(decision.verdict, Verdict::BecomeTarget(SyncExtent::Bitmap));
    let source = Inputs {
        peer: PeerReport {
            flags: UuidFlags::DISCARD_MY_DATA,
            ..SPLIT.peer
        },
        ..SPLIT
    };
    let decision = decide(&source);
    assert!(log(&decision)[2].ends_with("bits:5 flags:1"));
    assert_eq!(
        story(&decision)[1],
        "Split-Brain detected, manually solved. Sync from this node"
    );
    let both = Inputs {
        once: ConnectOnce::DISCARD_MY_DATA,
        ..source
    };
    assert_eq!(decide(&both).verdict, Verdict::Abort(Abort::Disconnect));
}

/// Scenario S7, call-pri-lost-after-sb on a Primary that loses.
#[test]
fn a_primary_that_lost_is_demoted_or_drops_the_connection() {
    let losing = Inputs {
        context: Context {
            role: Role::Primary,
            ..SPLIT.context
        },
        policies: Policies {
            without_primary: AfterSb0Pri::DiscardLeastChanges,
            with_one: AfterSb1Pri::CallPriLost,
            ..SPLIT.policies
        },
        ..SPLIT
    };
    let question = decide(&losing);
    assert_eq!(question.verdict, Verdict::Demote);
    assert_eq!(story(&question), ["initial-split-brain"]);

    let refused = decide_after_demotion(&losing, Demotion::Refused);
    let steps: Vec<Step> = [
        Step::Helper("pri-lost-after-sb"),
        Step::Log(
            Level::Alert,
            "Split-Brain detected but unresolved, dropping connection!".into(),
        ),
        Step::Helper("split-brain"),
    ]
    .into();
    assert_eq!(refused.steps, steps);
    assert_eq!(refused.verdict, Verdict::Abort(Abort::Disconnect));

    let done = decide_after_demotion(&losing, Demotion::Succeeded);
    assert_eq!(
        log(&done),
        [
            "Successfully gave up primary role.",
            "Split-Brain detected, 1 primaries, automatically solved. Sync from peer node",
        ]
    );
    assert_eq!(done.verdict, Verdict::BecomeTarget(SyncExtent::Bitmap));
}

#[test]
fn a_primary_becomes_target_only_violently() {
    let conflict = Inputs {
        uuids: set(0xA1, 0, 0xB0, 0xC0),
        peer: PeerReport {
            uuids: set(0xD0, 0xA0, 0xB0, 0xC0),
            ..EQUAL.peer
        },
        context: Context {
            role: Role::Primary,
            ..EQUAL.context
        },
        ..EQUAL
    };
    let with = |rr_conflict| {
        decide(&Inputs {
            rr_conflict,
            ..conflict
        })
    };
    let refusal = "I shall become SyncTarget, but I am primary!";
    assert_eq!(story(&with(RrConflict::Disconnect)), [refusal]);
    assert_eq!(story(&with(RrConflict::CallPriLost)), ["pri-lost", refusal]);
    let violently = with(RrConflict::Violently);
    assert_eq!(
        story(&violently),
        ["Becoming SyncTarget, violating the stable-dataassumption"]
    );
    assert_eq!(violently.verdict, Verdict::BecomeTarget(SyncExtent::Bitmap));
    let diskless = Inputs {
        disk: DiskState::Negotiating,
        postponed_disk: Some(DiskState::UpToDate),
        ..conflict
    };
    assert_eq!(
        decide(&diskless).verdict,
        Verdict::BecomeTarget(SyncExtent::Bitmap),
        "an attaching Primary has worked on the peer's data all the time"
    );
}

#[test]
fn an_inconsistent_node_does_not_become_source() {
    let decision = decide(&Inputs {
        uuids: set(0xD0, 0xA0, 0xB0, 0xC0),
        disk: DiskState::Inconsistent,
        peer_disk: DiskState::Inconsistent,
        ..EQUAL
    });
    assert_eq!(
        story(&decision),
        ["I shall become SyncSource, but I am inconsistent!"]
    );
}

#[test]
fn a_dry_run_on_either_side_only_tells_what_would_happen() {
    let target = Inputs {
        uuids: SAME,
        peer: PeerReport {
            uuids: set(0xD0, 0xA0, 0xB0, 0xC0),
            ..EQUAL.peer
        },
        ..EQUAL
    };
    let own = decide(&Inputs {
        once: ConnectOnce::TENTATIVE,
        ..target
    });
    assert_eq!(
        story(&own),
        ["dry-run connect: Would become SyncTarget, doing a bit-map based resync."]
    );
    assert_eq!(own.verdict, Verdict::Abort(Abort::Disconnect));
    let peers = decide(&Inputs {
        peer_once: ConnectOnce::TENTATIVE,
        ..EQUAL
    });
    assert_eq!(
        story(&peers),
        ["dry-run connect: No resync, would become Connected immediately."]
    );
    assert_eq!(peers.verdict, Verdict::Abort(Abort::Retry));
}

#[test]
fn a_failed_handshake_of_an_attach_costs_the_disk_and_not_the_connection() {
    let unrelated = Inputs {
        uuids: set(1 << 8, 0, 2 << 8, 3 << 8),
        peer: PeerReport {
            uuids: set(4 << 8, 0, 5 << 8, 6 << 8),
            ..EQUAL.peer
        },
        ..EQUAL
    };
    let decision = decide(&unrelated);
    assert_eq!(story(&decision), ["Unrelated data, aborting!"]);
    assert_eq!(decision.verdict, Verdict::Abort(Abort::Disconnect));
    let own = decide(&Inputs {
        disk: DiskState::Negotiating,
        postponed_disk: Some(DiskState::UpToDate),
        ..unrelated
    });
    assert_eq!(own.verdict, Verdict::Abort(Abort::FailOwnDisk));
    let peers = decide(&Inputs {
        peer_disk: DiskState::Negotiating,
        ..unrelated
    });
    assert_eq!(peers.verdict, Verdict::Abort(Abort::PeerDiskless));
    assert_eq!(
        story(&peers)[1],
        "Disk attach process on the peer node was aborted."
    );
}

#[test]
fn a_peer_that_attaches_is_judged_by_its_uuid_flags() {
    let attaching = |flags| real_peer_disk(DiskState::Negotiating, flags);
    assert_eq!(attaching(UuidFlags::INCONSISTENT), DiskState::Inconsistent);
    assert_eq!(attaching(UuidFlags::empty()), DiskState::Consistent);
    let settled = real_peer_disk(DiskState::Outdated, UuidFlags::INCONSISTENT);
    assert_eq!(settled, DiskState::Outdated);
}

#[test]
fn what_the_agreed_protocol_cannot_resolve_is_named() {
    let missed = Inputs {
        uuids: set(0xA0, 0xB0, 0xC0, 0xD0),
        peer: PeerReport {
            uuids: set(0xA0, 0, 0xB0, 0xC0),
            ..EQUAL.peer
        },
        context: Context {
            agreed: Agreed {
                version: ProtocolVersion(90),
                features: Features::empty(),
            },
            ..EQUAL.context
        },
        ..EQUAL
    };
    let decision = decide(&missed);
    assert_eq!(log(&decision)[3], "uuid_compare()=-1091 by rule 30");
    assert_eq!(
        story(&decision),
        ["To resolve this both sides have to support at least protocol 91"]
    );
    let crashed = Inputs {
        context: Context {
            crashed_primary: CrashedPrimary::Yes,
            role: Role::Primary,
            ..missed.context
        },
        ..EQUAL
    };
    let decision = decide(&crashed);
    assert_eq!(
        story(&decision),
        ["To resolve this both sides have to support at least protocol 101 and feature flags 0x4"]
    );
}

#[test]
fn a_corrected_set_is_dumped_and_handed_over() {
    let decision = decide(&Inputs {
        uuids: set(0xA0, 0xB0, 0xC0, 0xD0),
        bits_told: 7,
        bits_set: 7,
        peer: PeerReport {
            uuids: set(0xA0, 0, 0xB0, 0xC0),
            ..EQUAL.peer
        },
        ..EQUAL
    });
    assert_eq!(
        log(&decision)[3..],
        [
            "was SyncSource, missed the resync finished event, corrected myself:",
            "self 00000000000000A0:0000000000000000:00000000000000B0:00000000000000C0 bits:7 flags:0",
            "uuid_compare()=1 by rule 34",
        ]
    );
    assert_eq!(
        decision.correction,
        Some(Correction::Own(set(0xA0, 0, 0xB0, 0xC0)))
    );
}
