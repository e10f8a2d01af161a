use drbd_types::UuidFlags;
use drbd_wire::{Agreed, Features, ProtocolVersion};

use super::*;
use crate::input::TieBreaker;
use crate::state_rules::CrashedPrimary;

const fn set(current: u64, bitmap: u64, h1: u64, h2: u64) -> UuidSet {
    UuidSet {
        current: Uuid(current),
        bitmap: Uuid(bitmap),
        history: [Uuid(h1), Uuid(h2)],
    }
}

const CONTEXT: Context = Context {
    crashed_primary: CrashedPrimary::No,
    role: Role::Secondary,
    peer_role: Role::Secondary,
    agreed: Agreed {
        version: ProtocolVersion(101),
        features: Features::all(),
    },
    tie: TieBreaker::Here,
};

const fn at_version(version: u32) -> Context {
    Context {
        agreed: Agreed {
            version: ProtocolVersion(version),
            features: Features::empty(),
        },
        ..CONTEXT
    }
}

fn compare_sets(me: UuidSet, peer: UuidSet, context: &Context) -> Comparison {
    let report = PeerReport {
        uuids: peer,
        bits: 0,
        flags: UuidFlags::empty(),
    };
    compare(&me, &report, context)
}

fn verdict(me: UuidSet, peer: UuidSet, context: &Context) -> (i64, u8) {
    let comparison = compare_sets(me, peer, context);
    (comparison.relation.code(), comparison.rule)
}

// --- rotation: the UUIDs that the kernel logged in the scenarios of section 11

/// S1: forced Primary, first full sync.
#[test]
fn the_first_full_sync_leaves_both_nodes_with_the_captured_sets() {
    let mut source = UuidSet::JUST_CREATED;
    let lost = source.new_current(Uuid(0xD1CD_7AF1_69D9_7360), Role::Primary);
    assert_eq!(lost, None);
    assert_eq!(source, set(0xD1CD_7AF1_69D9_7361, 4, 0, 0));
    let known_to_target = source;

    let sync = source.start_sync_source(Uuid(0xD1BB_73E9_5CA7_3FE4));
    assert_eq!(sync, Uuid(0xD1BB_73E9_5CA7_3FE4), "random: the old B was 4");
    assert_eq!(
        source,
        set(0xD1CD_7AF1_69D9_7361, 0xD1BB_73E9_5CA7_3FE4, 4, 0)
    );
    let mut target = UuidSet::JUST_CREATED;
    let exposed = target.start_sync_target(sync, Role::Secondary);
    assert_eq!(exposed, Uuid(0xD1BB_73E9_5CA7_3FE4));
    assert_eq!(target, set(0xD1BB_73E9_5CA7_3FE4, 0, 0, 0));

    source.finish_sync_source();
    let exposed = target.finish_sync_target(&known_to_target, Role::Secondary);
    assert_eq!(exposed, Uuid(0xD1CD_7AF1_69D9_7360));
    assert_eq!(
        source,
        set(0xD1CD_7AF1_69D9_7361, 0, 0xD1BB_73E9_5CA7_3FE4, 4)
    );
    assert_eq!(
        target,
        set(0xD1CD_7AF1_69D9_7360, 0, 0xD1BB_73E9_5CA7_3FE4, 4)
    );
}

/// S4: the peer was away while a Primary wrote.
#[test]
fn a_bitmap_resync_derives_its_uuid_and_leaves_the_captured_sets() {
    let mut source = set(0xD1CD_7AF1_69D9_7361, 0, 0xD1BB_73E9_5CA7_3FE4, 4);
    let mut target = set(0xD1CD_7AF1_69D9_7360, 0, 0xD1BB_73E9_5CA7_3FE4, 4);
    source.new_current(Uuid(0xC832_7BD9_725F_4EF1), Role::Primary);
    assert_eq!(
        verdict(target, source, &CONTEXT),
        (-1, 50),
        "node 1 in the capture"
    );
    assert_eq!(
        verdict(source, target, &CONTEXT),
        (1, 70),
        "node 0 in the capture"
    );
    let known_to_target = source;
    let sync = source.start_sync_source(Uuid(1));
    assert_eq!(
        source,
        set(
            0xC832_7BD9_725F_4EF1,
            0xD1CE_7AF1_69D9_7361,
            0xD1CD_7AF1_69D9_7361,
            0xD1BB_73E9_5CA7_3FE4
        )
    );
    target.start_sync_target(sync, Role::Secondary);
    assert_eq!(
        target,
        set(0xD1CE_7AF1_69D9_7360, 0, 0xD1BB_73E9_5CA7_3FE4, 4)
    );
    target.finish_sync_target(&known_to_target, Role::Secondary);
    source.finish_sync_source();
    assert_eq!(
        target,
        set(
            0xC832_7BD9_725F_4EF0,
            0,
            0xD1CE_7AF1_69D9_7360,
            0xD1CD_7AF1_69D9_7361
        )
    );
    assert_eq!(
        source,
        set(
            0xC832_7BD9_725F_4EF1,
            0,
            0xD1CE_7AF1_69D9_7361,
            0xD1CD_7AF1_69D9_7361
        )
    );
}

#[test]
fn a_new_generation_tells_which_bitmap_uuid_it_overwrote() {
    let mut uuids = set(0x10, 0x20, 0x30, 0x40);
    assert_eq!(
        uuids.new_current(Uuid(0x51), Role::Secondary),
        Some(Uuid(0x20))
    );
    assert_eq!(uuids, set(0x50, 0x10, 0x30, 0x40));
}

/// new-current-uuid: `rotate_set(B, 0), new_current`.
#[test]
fn rotating_an_empty_bitmap_uuid_leaves_the_history_alone() {
    let mut uuids = set(0x10, 0, 0x30, 0x40);
    uuids.rotate_bitmap(Uuid::EMPTY);
    assert_eq!(uuids, set(0x10, 0, 0x30, 0x40));
    let mut uuids = set(0x10, 0x20, 0x30, 0x40);
    uuids.rotate_bitmap(Uuid::EMPTY);
    assert_eq!(uuids, set(0x10, 0, 0x20, 0x30));
}

// --- comparison: section 2.7, rule by rule

const A: u64 = 0xA0;
const B: u64 = 0xB0;
const C: u64 = 0xC0;
const D: u64 = 0xD0;
const E: u64 = 0xE0;
const F: u64 = 0xF0;
const X: u64 = 0x1100;
const Y: u64 = 0x1200;
const Z: u64 = 0x1300;

#[test]
fn every_rule_of_the_table_gives_its_number_and_result() {
    let derived = |old: u64| old + NEW_BM_OFFSET;
    for (rule, result, me, peer) in [
        (10, 0, set(4, 0, 0, 0), set(4, A, B, C)),
        (20, -2, set(4, 0, 0, 0), set(A, 0, 0, 0)),
        (20, -2, set(0, 0, 0, 0), set(A, 0, 0, 0)),
        (30, 2, set(A, 0, 0, 0), set(4, 0, 0, 0)),
        (30, 2, set(A, 0, 0, 0), set(0, 0, 0, 0)),
        (34, 1, set(A, B, C, D), set(A, 0, B, C)),
        (36, 1, set(A, B, C, D), set(A, 0, C, D)),
        (35, -1, set(A, 0, B, C), set(A, B, C, D)),
        (37, -1, set(A, 0, C, D), set(A, B, C, D)),
        (40, 0, set(A, 0, B, C), set(A, 0, D, E)),
        (40, 0, set(A, F, B, C), set(A, X, D, E)),
        (50, -1, set(A, 0, B, C), set(D, A, B, C)),
        (51, -1, set(A, 0, B, C), set(D, derived(A), A, B)),
        (60, -2, set(A, 0, B, C), set(D, E, A, F)),
        (60, -2, set(A, 0, B, C), set(D, E, F, A)),
        (70, 1, set(D, A, B, C), set(A, 0, B, C)),
        (71, 1, set(D, derived(A), A, B), set(A, 0, B, C)),
        (80, 2, set(D, E, A, F), set(A, 0, B, C)),
        (80, 2, set(D, E, F, A), set(A, 0, B, C)),
        (90, 100, set(A, B, C, D), set(E, B, C, D)),
        (100, -100, set(A, 0, B, C), set(E, 0, C, F)),
        (100, -100, set(A, 0, B, 0), set(E, 0, C, 0)),
        (100, -1000, set(A, 0, B, C), set(E, 0, X, Y)),
        (100, -1000, set(A, 0, B, C), set(E, Z, X, Y)),
    ] {
        assert_eq!(
            verdict(me, peer, &CONTEXT),
            (result, rule),
            "{me} against {peer}"
        );
    }
}

/// S25 of section 11: `set-gi 1111111111111110:0:2222...` and `AAAA...:0:BBBB...:CCCC...`.
#[test]
fn two_full_disjoint_histories_are_unrelated_data() {
    let me = set(
        0x1111_1111_1111_1110,
        0,
        0x2222_2222_2222_2222,
        0x3333_3333_3333_3333,
    );
    let peer = set(
        0xAAAA_AAAA_AAAA_AAAA,
        0,
        0xBBBB_BBBB_BBBB_BBBB,
        0xCCCC_CCCC_CCCC_CCCC,
    );
    assert_eq!(verdict(me, peer, &CONTEXT), (-1000, 100));
}

#[test]
fn bit_0_never_decides() {
    let me = set(A | 1, 0, B, C);
    let peer = set(D, A, B | 1, C);
    assert_eq!(verdict(me, peer, &CONTEXT), (-1, 50));
    assert_eq!(verdict(set(5, 0, 0, 0), set(4, 0, 0, 0), &CONTEXT), (0, 10));
    assert_eq!(
        verdict(set(A, 1, B, C), set(A, 0, B, C), &CONTEXT),
        (0, 40),
        "a bitmap UUID of which only bit 0 is set is empty"
    );
}

#[test]
fn a_missed_end_of_resync_is_corrected_on_the_side_that_missed_it() {
    let comparison = compare_sets(set(A, B, C, D), set(A, 0, B, C), &CONTEXT);
    assert_eq!(
        comparison.correction,
        Some(Correction::Own(set(A, 0, B, C)))
    );
    assert_eq!(
        comparison.notes,
        ["was SyncSource, missed the resync finished event, corrected myself:"]
    );
    let comparison = compare_sets(set(A, 0, B, C), set(A, B, C, D), &CONTEXT);
    assert_eq!(
        comparison.correction,
        Some(Correction::Peer(set(A, 0, B, C)))
    );
    assert_eq!(
        comparison.notes,
        ["was SyncTarget, peer missed the resync finished event, corrected peer:"]
    );
}

#[test]
fn a_lost_sync_uuid_is_taken_back() {
    let started = set(D, A + NEW_BM_OFFSET, A, B);
    let before = set(A, 0, B, C);
    let comparison = compare_sets(before, started, &CONTEXT);
    assert_eq!(
        comparison.correction,
        Some(Correction::Peer(set(D, A, B, B)))
    );
    assert_eq!(comparison.notes, ["Lost last syncUUID packet, corrected:"]);
    let comparison = compare_sets(started, before, &CONTEXT);
    assert_eq!(
        comparison.correction,
        Some(Correction::Own(set(D, A, B, B)))
    );
    assert_eq!(
        comparison.notes,
        ["Last syncUUID did not get through, corrected:"]
    );
}

#[test]
fn before_protocol_96_a_lost_sync_uuid_is_recognised_by_the_histories() {
    let derived = set(D, A + NEW_BM_OFFSET, A, E);
    let shifted = set(D, F, A, B);
    let before = set(A, 0, B, C);
    assert_eq!(verdict(before, derived, &at_version(95)), (-2, 60));
    assert_eq!(verdict(before, shifted, &at_version(95)), (-1, 51));
    assert_eq!(verdict(shifted, before, &at_version(95)), (1, 71));
    assert_eq!(verdict(before, shifted, &at_version(96)), (-2, 60));
}

#[test]
fn before_protocol_91_corrections_are_refused() {
    let old = at_version(90);
    let shifted = set(D, F, A, B);
    let before = set(A, 0, B, C);
    for (me, peer, rule) in [
        (set(A, B, C, D), set(A, 0, B, C), 30),
        (set(A, 0, B, C), set(A, B, C, D), 30),
        (set(A, B, C, D), set(A, 0, C, D), 30),
        (before, shifted, 51),
        (shifted, before, 71),
    ] {
        let comparison = compare_sets(me, peer, &old);
        assert_eq!((comparison.relation.code(), comparison.rule), (-1091, rule));
        assert_eq!(comparison.correction, None);
    }
}

#[test]
fn a_crashed_primary_is_the_source_while_nobody_is_primary() {
    let same = set(A, 0, B, C);
    for (own, peer_flags, tie, result) in [
        (CrashedPrimary::Yes, UuidFlags::empty(), TieBreaker::Here, 1),
        (
            CrashedPrimary::No,
            UuidFlags::CRASHED_PRIMARY,
            TieBreaker::Here,
            -1,
        ),
        (
            CrashedPrimary::Yes,
            UuidFlags::CRASHED_PRIMARY,
            TieBreaker::Here,
            -1,
        ),
        (
            CrashedPrimary::Yes,
            UuidFlags::CRASHED_PRIMARY,
            TieBreaker::There,
            1,
        ),
        (CrashedPrimary::No, UuidFlags::empty(), TieBreaker::There, 0),
    ] {
        let context = Context {
            crashed_primary: own,
            tie,
            ..CONTEXT
        };
        let peer = PeerReport {
            uuids: same,
            bits: 0,
            flags: peer_flags,
        };
        let comparison = compare(&same, &peer, &context);
        assert_eq!((comparison.relation.code(), comparison.rule), (result, 40));
    }
}

#[test]
fn after_a_crash_a_primary_that_is_there_decides() {
    let same = set(A, 0, B, C);
    let crashed = PeerReport {
        uuids: same,
        bits: 0,
        flags: UuidFlags::CRASHED_PRIMARY,
    };
    let roles = |role, peer_role, context: Context| {
        let context = Context {
            role,
            peer_role,
            ..context
        };
        let comparison = compare(&same, &crashed, &context);
        assert_eq!(comparison.rule, 41);
        comparison.relation.code()
    };
    let (primary, secondary) = (Role::Primary, Role::Secondary);
    assert_eq!(roles(primary, secondary, CONTEXT), 1);
    assert_eq!(roles(secondary, primary, CONTEXT), -1);
    assert_eq!(roles(primary, primary, CONTEXT), -100);
    assert_eq!(roles(secondary, primary, at_version(101)), -66661);
}

mod symmetry {
    use proptest::prelude::*;

    use super::*;

    fn uuid() -> impl Strategy<Value = u64> {
        // Few values, so that equal ones meet; bit 0 and derived values among them.
        prop_oneof![
            Just(0),
            Just(4),
            (1u64..5, 0u64..2, 0u64..2)
                .prop_map(|(n, offset, bit)| n * 0x10 + offset * NEW_BM_OFFSET + bit),
        ]
    }

    fn uuids() -> impl Strategy<Value = UuidSet> {
        (uuid(), uuid(), uuid(), uuid()).prop_map(|(c, b, h1, h2)| set(c, b, h1, h2))
    }

    proptest! {
        /// Both nodes evaluate the table independently: one becomes source exactly if the other
        /// becomes target. (Two nodes without any generation both want to be target; rules 51 and
        /// 71 come before other rules on one side only.)
        #[test]
        fn both_nodes_come_to_mirrored_results(a in uuids(), b in uuids()) {
            let here = compare_sets(a, b, &CONTEXT);
            let there = compare_sets(b, a, &Context { tie: TieBreaker::There, ..CONTEXT });
            let blank = |set: UuidSet| set.current.same_generation(Uuid::EMPTY);
            prop_assume!(!blank(a) && !blank(b));
            let (mine, theirs) = (here.relation.code(), there.relation.code());
            let ordered = |comparison: &Comparison| (50..90).contains(&comparison.rule);
            if !ordered(&here) && !ordered(&there) {
                let mirrored = if mine.abs() >= 100 { mine } else { -mine };
                prop_assert_eq!(theirs, mirrored);
            }
        }
    }
}
