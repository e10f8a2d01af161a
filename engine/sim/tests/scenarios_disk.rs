//! Conformance scenarios of spec 60 section 11: detach, disk errors, data that is gone.

mod common;

use common::addressed;
use drbd_core::config::OnIoError;
use drbd_core::effect::{IoError, Outcome};
use drbd_core::input::{Admin, Force, IoId};
use drbd_core::state_rules::OnNoData;
use drbd_sim::disk::MetaDataArea;
use drbd_sim::pair::{Pair, conn_is, up_to_date};
use drbd_sim::setup::Setup;
use drbd_sim::world::VOLUME;
use drbd_types::{ConnState, StateOutcome};

/// Block 1024: the sectors of the scenarios with the device-mapper error target.
const BAD_BLOCK: u64 = 1024;
const BAD_SECTORS: std::ops::Range<u64> = 8192..8200;

fn with_policy(policy: OnIoError) -> Setup {
    let mut setup = Setup::default();
    setup.disk.on_io_error = policy;
    setup
}

fn succeeds(pair: &mut Pair, id: IoId) {
    let result = pair.completed(id);
    assert!(
        matches!(result, Some(Ok(_))),
        "{result:?}\n{}",
        pair.story()
    );
}

#[test]
fn s10_a_diskless_primary_works_with_the_peers_disk() {
    let mut pair = Pair::synced(Setup::default());
    pair.promote(0);
    pair.expect_uuids(0, "$A1:0000000000000000:...");
    pair.forget_log();
    pair.detach(0);
    pair.expect_log(
        "1: pdsk( UpToDate -> Failed )
         1: new current UUID $B0:$A0:...
         0: disk( UpToDate -> Failed )
         0: disk( Failed -> Diskless )
         1: pdsk( Failed -> Diskless )",
    );
    pair.expect_log("0: receiver updated UUIDs to effective data uuid: $B0");
    pair.write(0, 0, 10);
    let reads: Vec<IoId> = (0..10).map(|block| pair.begin_read(0, block)).collect();
    pair.drive();
    for id in reads {
        succeeds(&mut pair, id);
    }
    assert_eq!(
        pair.state(0),
        "cs:Connected ro:Primary/Secondary ds:Diskless/UpToDate r---"
    );
    assert_eq!((pair.out_of_sync(0), pair.out_of_sync(1)), (0, 40));
    assert_eq!(pair.status(1).counters.al_transactions, 1 + 8);
    assert_eq!(pair.flags(1), "1:1:1:1:0:0:0");
    pair.expect_uuids(1, "$B0:$A0:...");
    pair.forget_log();
    assert_eq!(pair.attach(0), Outcome::Done);
    pair.until("resync", up_to_date);
    pair.drive();
    pair.expect_log(
        "0: disk( Diskless -> Attaching )
         0: disk( Attaching -> Negotiating )
         0: attached to UUIDs $A1:...
         1: real peer disk state = Consistent
         1: self $B0:$A0:... flags:0
         1: peer $A1:0000000000000000:... bits:0 flags:2
         1: uuid_compare()=1 by rule 70
         1: conn( Connected -> WFBitMapS ) pdsk( Diskless -> Consistent )
         0: uuid_compare()=-1 by rule 50
         0: Implicitly upgraded disk
         0: conn( Connected -> WFBitMapT ) disk( Negotiating -> Inconsistent )
         0: Began resync as SyncTarget (will sync 40 KB [10 bits set]).
         0: updated UUIDs $B1:0000000000000000:$A+1:$A0",
    );
    for block in 0..10 {
        let [a, b] = [0, 1].map(|node| pair.world.nodes[node].disk.sector(block * 8));
        assert_eq!(a, b);
    }
}

#[test]
fn s11_a_read_error_on_the_primary_detaches_and_the_peer_answers() {
    let mut pair = Pair::synced(Setup::default());
    pair.promote(0);
    pair.write(0, BAD_BLOCK, 1);
    pair.expect_uuids(0, "$A1:...");
    pair.forget_log();
    pair.world.nodes[0].faults.unreadable.extend(BAD_SECTORS);
    let id = pair.begin_read(0, BAD_BLOCK);
    pair.drive();
    succeeds(&mut pair, id);
    pair.expect_log(
        "0: local READ IO error sector 8192+8 on sim
         0: disk( UpToDate -> Failed )
         0: Local IO failed in __req_mod. Detaching...
         0: 4 KB (1 bits) marked out-of-sync by on disk bit-map.
         0: disk( Failed -> Diskless )
         1: pdsk( UpToDate -> Failed )
         1: new current UUID $B0:$A0:...
         1: pdsk( Failed -> Diskless )",
    );
    pair.expect_log("0: receiver updated UUIDs to effective data uuid: $B0");
    pair.world.nodes[0].faults.unreadable.clear();
    pair.forget_log();
    assert_eq!(pair.attach(0), Outcome::Done);
    pair.until("resync", up_to_date);
    pair.expect_log(
        "0: uuid_compare()=-1 by rule 50
         0: Began resync as SyncTarget (will sync 4096 KB [1024 bits set]).
         1: uuid_compare()=1 by rule 70",
    );
}

#[test]
fn s11_a_write_error_on_the_primary_detaches_and_the_write_succeeds() {
    let mut pair = Pair::synced(Setup::default());
    pair.promote(0);
    pair.expect_uuids(0, "$A1:...");
    pair.forget_log();
    pair.world.nodes[0].faults.unwritable.extend(BAD_SECTORS);
    let id = pair.begin_write(0, BAD_BLOCK);
    pair.drive();
    succeeds(&mut pair, id);
    pair.expect_log(
        "0: local WRITE IO error sector 8192+8 on sim
         0: disk( UpToDate -> Failed )
         0: Local IO failed in __req_mod. Detaching...
         0: disk( Failed -> Diskless )
         1: pdsk( UpToDate -> Failed )
         1: new current UUID $B0:$A0:...
         1: pdsk( Failed -> Diskless )",
    );
}

#[test]
fn s11_the_handler_is_called_before_the_peer_is_told() {
    let mut pair = Pair::synced(with_policy(OnIoError::CallLocalIoError));
    pair.promote(0);
    pair.forget_log();
    pair.world.nodes[0].faults.unreadable.extend(BAD_SECTORS);
    let id = pair.begin_read(0, BAD_BLOCK);
    pair.drive();
    succeeds(&mut pair, id);
    let log = pair.log();
    let at = |text: &str| log.iter().position(|line| line == text);
    let called = at("r0: helper command: <helper> local-io-error minor-0");
    let told = at("1: pdsk( UpToDate -> Failed )");
    let detaching = at("0: Local IO failed in __req_mod. Detaching...");
    assert!(
        detaching.is_some() && detaching < called && called < told,
        "{log:#?}"
    );
}

#[test]
fn s11_a_write_error_on_the_secondary() {
    let mut pair = Pair::synced(Setup::default());
    pair.promote(0);
    pair.expect_uuids(0, "$A1:...");
    pair.forget_log();
    pair.world.nodes[1].faults.unwritable.extend(BAD_SECTORS);
    let id = pair.begin_write(0, BAD_BLOCK);
    pair.drive();
    succeeds(&mut pair, id);
    pair.expect_log(
        "1: write: error=10 s=8192s
         1: disk( UpToDate -> Failed )
         1: Local IO failed in drbd_endio_write_sec_final. Detaching...
         1: disk( Failed -> Diskless )
         0: pdsk( UpToDate -> Failed )",
    );
    pair.expect_log("0: pdsk( Failed -> Diskless )");
    pair.expect_log("0: new current UUID $B1:$A1:...");
    assert_eq!(pair.out_of_sync(0), 4);
}

#[test]
fn s12_pass_on_keeps_the_disk_as_inconsistent() {
    for write in [false, true] {
        let mut pair = Pair::synced(with_policy(OnIoError::PassOn));
        pair.promote(0);
        pair.forget_log();
        let id = if write {
            pair.world.nodes[0].faults.unwritable.extend(BAD_SECTORS);
            pair.begin_write(0, BAD_BLOCK)
        } else {
            pair.world.nodes[0].faults.unreadable.extend(BAD_SECTORS);
            pair.begin_read(0, BAD_BLOCK)
        };
        pair.drive();
        succeeds(&mut pair, id);
        pair.expect_log(
            "0: Local IO failed in __req_mod.
             1: pdsk( UpToDate -> Inconsistent )",
        );
        pair.expect_log("0: disk( UpToDate -> Inconsistent )");
        assert_eq!(
            pair.state(0),
            "cs:Connected ro:Primary/Secondary ds:Inconsistent/UpToDate r---"
        );
        assert_eq!(pair.out_of_sync(0), 4);
    }
}

#[test]
fn s12_a_meta_data_error_detaches_under_pass_on_too() {
    let mut pair = Pair::synced(with_policy(OnIoError::PassOn));
    pair.promote(0);
    pair.forget_log();
    pair.world.nodes[0].faults.meta_data = MetaDataArea::Unwritable;
    let id = pair.begin_write(0, BAD_BLOCK);
    pair.drive();
    succeeds(&mut pair, id);
    pair.expect_log(
        "0: Local IO failed in __al_write_transaction. Detaching...
         0: disk( Failed -> Diskless )",
    );
}

#[test]
fn s13_an_unconnected_primary_that_loses_its_disk_fails_requests() {
    let mut pair = Pair::synced(Setup::default());
    pair.promote(0);
    pair.disconnect(1);
    pair.forget_log();
    pair.world.nodes[0].faults.unreadable.extend(BAD_SECTORS);
    let id = pair.begin_read(0, BAD_BLOCK);
    pair.drive();
    assert_eq!(pair.completed(id), Some(Err(IoError::Io)));
    pair.expect_log(
        "0: local READ IO error sector 8192+8 on sim
         0: disk( UpToDate -> Failed )
         0: Local IO failed in __req_mod. Detaching...",
    );
    pair.expect_log("0: IO ERROR: neither local nor remote data, sector 8192+8");
    pair.expect_log("0: disk( Failed -> Diskless )");
    pair.forget_log();
    assert_eq!(
        pair.state(0),
        "cs:WFConnection ro:Primary/Unknown ds:Diskless/DUnknown r---"
    );
}

#[test]
fn s13_pri_on_incon_degr_is_called() {
    let mut pair = Pair::synced(Setup::default());
    pair.promote(0);
    pair.disconnect(1);
    pair.forget_log();
    pair.done(
        0,
        Admin::Detach {
            volume: VOLUME,
            force: Force::Yes,
        },
    );
    pair.expect_log(
        "0: disk( UpToDate -> Failed )
         r0: helper command: <helper> pri-on-incon-degr minor-0",
    );
    pair.expect_log("0: disk( Failed -> Diskless )");
}

#[test]
fn s13_the_last_good_peer_of_a_diskless_primary_may_not_leave() {
    let mut pair = Pair::synced(Setup::default());
    pair.promote(0);
    pair.detach(0);
    pair.forget_log();
    let refused = pair.ask(1, Admin::Disconnect { force: Force::No });
    assert_eq!(refused, Outcome::State(StateOutcome::CwFailedByPeer));
    pair.expect_log("r1: Requested state change failed by peer: Need access to UpToDate data (-2)");
    assert_eq!(
        pair.state(1),
        "cs:Connected ro:Secondary/Primary ds:UpToDate/Diskless r---"
    );
}

#[test]
fn s22_suspend_io_holds_writes_back_until_resume_io() {
    let mut pair = Pair::synced(Setup::default());
    pair.promote(0);
    pair.forget_log();
    pair.done(0, Admin::SuspendIo { volume: VOLUME });
    pair.expect_log("r0: susp( 0 -> 1 )");
    assert_eq!(
        pair.state(0),
        "cs:Connected ro:Primary/Secondary ds:UpToDate/UpToDate s---"
    );
    let id = pair.begin_write(0, 0);
    pair.drive();
    assert_eq!(pair.completed(id), None);
    pair.done(0, Admin::ResumeIo { volume: VOLUME });
    pair.expect_log("r0: susp( 1 -> 0 )");
    succeeds(&mut pair, id);
}

#[test]
fn writes_held_back_over_a_lost_connection_reach_the_peer() {
    let mut pair = Pair::synced(Setup::default());
    pair.promote(0);
    let written = pair.begin_write(0, 5);
    pair.done(0, Admin::SuspendIo { volume: VOLUME });
    pair.disconnect_force(1);
    pair.connect(1);
    pair.until("connected", conn_is(0, ConnState::Connected));
    pair.drive();
    pair.done(0, Admin::ResumeIo { volume: VOLUME });
    succeeds(&mut pair, written);
    let [a, b] = [0, 1].map(|node| pair.world.nodes[node].disk.sector(40));
    assert!(a == b && a != 0, "{a} {b}\n{}", pair.story());
    assert_eq!(pair.out_of_sync(0), 0);
}

#[test]
fn s23_a_primary_without_any_data_freezes_until_the_peer_is_back() {
    let mut setup = Setup::default();
    setup.resource.on_no_data = OnNoData::SuspendIo;
    let mut pair = Pair::synced(setup);
    pair.promote(0);
    pair.detach(0);
    pair.forget_log();
    pair.disconnect_force(1);
    pair.expect_log(
        "r1: peer( Primary -> Unknown ) conn( Connected -> Disconnecting ) pdsk( Diskless -> DUnknown )
         r0: sock was shut down by peer
         r0: peer( Secondary -> Unknown ) conn( Connected -> BrokenPipe ) pdsk( UpToDate -> DUnknown ) susp( 0 -> 1 )
         r0: short read (expected size 16)
         r0: helper command: <helper> pri-on-incon-degr minor-0
         r0: Not fencing peer, I'm not even Consistent myself.",
    );
    assert_eq!(
        pair.state(0),
        "cs:WFConnection ro:Primary/Unknown ds:Diskless/DUnknown s---"
    );
    let id = pair.begin_write(0, 0);
    pair.drive();
    assert_eq!(pair.completed(id), None);
    pair.forget_log();
    pair.connect(1);
    pair.until("connected", conn_is(0, ConnState::Connected));
    pair.drive();
    pair.expect_log(
        "0: peer( Unknown -> Secondary ) conn( WFReportParams -> Connected ) pdsk( DUnknown -> UpToDate )
         r0: susp( 1 -> 0 )",
    );
    succeeds(&mut pair, id);
    assert_eq!(pair.out_of_sync(1), 4);
}

#[test]
fn s30_detaching_the_sync_target_ends_the_resync() {
    let mut pair = Pair::start_both(common::slow_resync());
    pair.force_primary(0);
    pair.until("resync", conn_is(1, ConnState::SyncTarget));
    pair.drive();
    pair.forget_log();
    pair.detach(1);
    let text = "S: Resync aborted.
        S: conn( SyncSource -> Connected ) pdsk( Inconsistent -> Failed )
        T: Resync aborted.
        T: conn( SyncTarget -> Connected ) disk( Inconsistent -> Failed )
        T: ... marked out-of-sync by on disk bit-map.
        T: disk( Failed -> Diskless )
        S: pdsk( Failed -> Diskless )";
    pair.expect_log(&addressed(text, 1));
    pair.forget_log();
    pair.done(0, common::invalidate());
    assert_eq!(pair.log(), Vec::<String>::new());
}
