//! Conformance scenarios of spec 60 section 11: fencing, outdate, graceful disconnect under
//! fencing.

mod common;

use drbd_core::effect::Outcome;
use drbd_core::input::{Admin, Force};
use drbd_core::state_rules::Fencing;
use drbd_sim::pair::{Pair, primary, up_to_date};
use drbd_sim::setup::Setup;
use drbd_sim::world::VOLUME;
use drbd_types::StateOutcome;

fn with_fencing(fencing: Fencing) -> Setup {
    let mut setup = Setup::default();
    setup.disk.fencing = fencing;
    setup
}

/// A Primary with this policy whose peer has just died, and the exit status of its helper.
fn widowed(fencing: Fencing, exit: u8) -> Pair {
    let mut pair = Pair::synced(with_fencing(fencing));
    pair.world.nodes[0].helper_exits.insert("fence-peer", exit);
    pair.promote(0);
    pair.expect_uuids(0, "$A1:0000000000000000:...");
    pair.forget_log();
    pair.world.crash(1);
    pair.drive();
    pair
}

#[test]
fn s17_resource_only_shows_what_the_helper_found() {
    let cases = [
        (3, "Inconsistent", "peer is inconsistent or worse"),
        (4, "Outdated", "peer was fenced"),
        (5, "Outdated", "peer is unreachable, assumed to be dead"),
        (7, "Outdated", "peer was stonithed"),
        (6, "DUnknown", "peer is active"),
        (0, "DUnknown", ""),
    ];
    for (exit, pdsk, text) in cases {
        let mut pair = widowed(Fencing::ResourceOnly, exit);
        assert_eq!(
            pair.state(0),
            format!("cs:WFConnection ro:Primary/Unknown ds:UpToDate/{pdsk} r---"),
            "exit {exit}"
        );
        pair.expect_log(
            "0: new current UUID $B1:$A1:...
             r0: helper command: <helper> fence-peer r0",
        );
        let outdated = if pdsk == "DUnknown" { 0 } else { 1 };
        assert_eq!(pair.flags(0), format!("1:1:1:0:0:{outdated}:0"));
        if text.is_empty() {
            pair.expect_log("r0: fence-peer helper broken, returned 0");
        } else {
            if exit == 7 {
                pair.expect_log("r0: fence-peer() = 7 && fencing != Stonith !!!");
            }
            pair.expect_log(&format!("r0: fence-peer helper returned {exit} ({text})"));
        }
        if outdated == 1 {
            pair.expect_log(&format!("r0: pdsk( DUnknown -> {pdsk} )"));
            pair.forget_log();
            pair.world.start(1);
            pair.until("resync", up_to_date);
            pair.drive();
            pair.expect_log("r0: helper command: <helper> unfence-peer r0");
        }
    }
}

#[test]
fn s17_stonith_freezes_until_the_peer_is_fenced() {
    let mut pair = widowed(Fencing::ResourceAndStonith, 7);
    pair.expect_log(
        "r0: peer( Secondary -> Unknown ) conn( Connected -> BrokenPipe ) pdsk( UpToDate -> DUnknown ) susp( 0 -> 1 )
         r0: helper command: <helper> fence-peer r0
         r0: pdsk( DUnknown -> Outdated )
         0: new current UUID $B1:$A1:...
         r0: susp( 1 -> 0 )",
    );
}

#[test]
fn s17_stonith_with_a_broken_helper_stays_frozen_and_reconnects_without_resync() {
    let mut pair = Pair::synced(with_fencing(Fencing::ResourceAndStonith));
    pair.world.nodes[0].helper_exits.insert("fence-peer", 1);
    pair.promote(0);
    pair.expect_uuids(0, "$A1:0000000000000000:...");
    pair.forget_log();
    pair.world.reset_connection();
    pair.until("the helper", |world| {
        world.story.iter().any(|line| line.text.contains("broken"))
    });
    pair.expect_log("r0: fence-peer helper broken, returned 1");
    pair.expect_uuids(0, "$A1:0000000000000000:...");
    pair.until("connected", up_to_date);
    pair.drive();
    pair.expect_log("r0: susp( 1 -> 0 )");
    pair.expect_silence_about("unfence");
    pair.expect_silence_about("Began resync");
    pair.expect_uuids(0, "$A1:0000000000000000:...");
}

#[test]
fn s17_frozen_writes_are_sent_again_when_the_peer_is_back() {
    let mut pair = Pair::synced(with_fencing(Fencing::ResourceAndStonith));
    pair.world.nodes[0].helper_exits.insert("fence-peer", 1);
    pair.promote(0);
    let id = pair.begin_write(0, 7);
    pair.world.reset_connection();
    pair.drive();
    pair.until("connected", up_to_date);
    pair.drive();
    assert!(
        matches!(pair.completed(id), Some(Ok(_))),
        "{}",
        pair.story()
    );
    let [a, b] = [0, 1].map(|node| pair.world.nodes[node].disk.sector(56));
    assert!(a == b && a != 0, "{}", pair.story());
}

/// An unconnected node after attach under fencing is only Consistent.
fn alone(exit: u8) -> Pair {
    let mut pair = Pair::synced(with_fencing(Fencing::ResourceOnly));
    for node in 0..2 {
        pair.world.crash(node);
    }
    pair.world.nodes[0].helper_exits.insert("fence-peer", exit);
    pair.up(0);
    pair.connect(0);
    pair.forget_log();
    assert_eq!(
        pair.state(0),
        "cs:WFConnection ro:Secondary/Unknown ds:Consistent/DUnknown r---"
    );
    pair
}

#[test]
fn s17_promotion_of_a_consistent_node_fences_first() {
    let mut pair = alone(4);
    pair.promote(0);
    pair.expect_log(
        "r0: helper command: <helper> fence-peer r0
         r0: pdsk( DUnknown -> Outdated )
         0: role( Secondary -> Primary ) disk( Consistent -> UpToDate )
         0: new current UUID ...",
    );
}

#[test]
fn s17_promotion_gives_up_after_four_useless_helper_calls() {
    let mut pair = alone(5);
    let refused = pair.ask(0, primary(Force::No));
    assert_eq!(refused, Outcome::State(StateOutcome::NoUpToDateDisk));
    let calls = pair
        .log()
        .iter()
        .filter(|line| line.ends_with("fence-peer r0"))
        .count();
    assert_eq!(calls, 4, "{}", pair.story());
}

#[test]
fn s17_promotion_against_an_active_peer_outdates_this_node() {
    let mut pair = alone(6);
    let refused = pair.ask(0, primary(Force::No));
    assert_eq!(refused, Outcome::State(StateOutcome::NoUpToDateDisk));
    pair.expect_log("r0: disk( Consistent -> Outdated )");
}

#[test]
fn s18_a_primary_under_fencing_disconnects_and_the_peer_outdates_itself() {
    let mut pair = Pair::synced(with_fencing(Fencing::ResourceOnly));
    pair.promote(0);
    pair.forget_log();
    pair.disconnect(0);
    pair.expect_log(
        "r1: peer( Primary -> Unknown ) conn( Connected -> TearDown ) disk( UpToDate -> Outdated ) pdsk( UpToDate -> DUnknown )
         r0: peer( Secondary -> Unknown ) conn( Connected -> Disconnecting ) pdsk( UpToDate -> Outdated )
         0: new current UUID ...",
    );
    assert_eq!(pair.flags(1), "1:0:0:0:0:0:0");
}

#[test]
fn s18_a_secondary_under_fencing_outdates_itself_to_leave() {
    let mut pair = Pair::synced(with_fencing(Fencing::ResourceOnly));
    pair.promote(0);
    pair.forget_log();
    pair.disconnect(1);
    pair.expect_log(
        "r0: State change failed: Refusing to be Primary while peer is not outdated
         r0:  mask = 0x1f0 val = 0x70
         r0:  old_conn:WFReportParams wanted_conn:TearDown
         r1: Requested state change failed by peer: Refusing to be Primary while peer is not outdated (-7)
         r1: peer( Primary -> Unknown ) conn( Connected -> Disconnecting ) disk( UpToDate -> Outdated ) pdsk( UpToDate -> DUnknown )
         r0: peer( Secondary -> Unknown ) conn( Connected -> TearDown ) pdsk( UpToDate -> Outdated )",
    );
}

fn outdate() -> Admin {
    Admin::Outdate { volume: VOLUME }
}

#[test]
fn s19_outdate_works_only_without_a_connection() {
    let mut pair = Pair::synced(Setup::default());
    pair.done(1, outdate());
    assert_eq!(
        pair.state(1),
        "cs:Connected ro:Secondary/Secondary ds:UpToDate/UpToDate r---"
    );
    pair.expect_uuids(1, "$A0:0000000000000000:...");
    pair.disconnect(1);
    pair.done(1, outdate());
    assert_eq!(
        pair.state(1),
        "cs:StandAlone ro:Secondary/Unknown ds:Outdated/DUnknown r---"
    );
    assert!(pair.flags(1).starts_with("1:0:"));
    let refused = pair.ask(1, primary(Force::No));
    assert_eq!(refused, Outcome::State(StateOutcome::NoUpToDateDisk));
    pair.force_primary(1);
    assert_eq!(
        pair.state(1),
        "cs:StandAlone ro:Primary/Unknown ds:UpToDate/DUnknown r---"
    );
    pair.expect_uuids(1, "$B1:$A0:...");
}
