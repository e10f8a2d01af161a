//! Conformance scenarios of spec 60 section 11: first connection, failover, interruptions.

mod common;

use common::{addressed, invalidate, invalidate_remote, new_current_uuid};
use drbd_core::effect::{Outcome, Refusal};
use drbd_core::input::{Admin, ClearBitmap, Force};
use drbd_sim::pair::{Pair, conn_is, primary, up_to_date};
use drbd_sim::setup::Setup;
use drbd_sim::world::VOLUME;
use drbd_types::{ConnState, StateOutcome};

#[test]
fn s1_first_attach_connect_and_initial_full_sync() {
    let mut pair = Pair::new(Setup::default());
    pair.up(0);
    assert_eq!(
        pair.state(0),
        "cs:StandAlone ro:Secondary/Unknown ds:Inconsistent/DUnknown r---"
    );
    assert_eq!(pair.out_of_sync(0), 32728);
    assert_eq!(pair.flags(0), "0:0:0:0:0:0:0");
    pair.expect_uuids(
        0,
        "0000000000000004:0000000000000000:0000000000000000:0000000000000000",
    );
    pair.up(1);
    pair.connect(0);
    pair.connect(1);
    assert_eq!(
        pair.state(0),
        "cs:Connected ro:Secondary/Secondary ds:Inconsistent/Inconsistent r---"
    );
    assert_eq!(pair.flags(0), "0:0:0:1:0:1:0");
    pair.expect_log(
        "0: disk( Diskless -> Attaching )
         r0: Method to ensure write ordering: flush
         0: drbd_bm_resize called with capacity == 65456
         0: resync bitmap: bits=8182 words=128 pages=1
         0: size = 32 MB (32728 KB)
         0: Writing the whole bitmap, size changed
         0: 32 MB (8182 bits) marked out-of-sync by on disk bit-map.
         0: Suspended AL updates
         0: disk( Attaching -> Inconsistent )
         0: attached to UUIDs 0000000000000004:0000000000000000:0000000000000000:0000000000000000
         r0: conn( StandAlone -> Unconnected )
         r0: conn( Unconnected -> WFConnection )
         r0: conn( WFConnection -> WFReportParams )
         0: drbd_sync_handshake:
         0: self 0000000000000004:0000000000000000:0000000000000000:0000000000000000 bits:8182 flags:0
         0: peer 0000000000000004:0000000000000000:0000000000000000:0000000000000000 bits:8182 flags:0
         0: uuid_compare()=0 by rule 10
         0: No resync, but 8182 bits in bitmap!
         0: peer( Unknown -> Secondary ) conn( WFReportParams -> Connected ) pdsk( DUnknown -> Inconsistent )
         0: Resumed AL updates",
    );
    pair.forget_log();
    pair.force_primary(0);
    pair.until("full sync", up_to_date);
    pair.drive();
    pair.expect_log(
        "1: peer( Secondary -> Primary ) pdsk( Inconsistent -> UpToDate )
         0: role( Secondary -> Primary ) disk( Inconsistent -> UpToDate )
         0: Forced to consider local data as UpToDate!
         0: new current UUID $A1:0000000000000004:0000000000000000:0000000000000000
         1: drbd_sync_handshake:
         1: uuid_compare()=-2 by rule 20
         1: Becoming sync target due to disk states.
         1: Writing the whole bitmap, full sync required after drbd_sync_handshake.
         1: conn( Connected -> WFBitMapT )
         0: drbd_sync_handshake:
         0: uuid_compare()=2 by rule 30
         0: Becoming sync source due to disk states.
         0: Writing the whole bitmap, full sync required after drbd_sync_handshake.
         0: conn( Connected -> WFBitMapS )
         0: send bitmap stats [Bytes(packets)]: plain 0(0), RLE 20(1), total 20; compression: 98.2%
         1: receive bitmap stats...
         1: send bitmap stats...
         0: receive bitmap stats...
         1: conn( WFBitMapT -> WFSyncUUID )
         r0: helper command: <helper> before-resync-source minor-0
         r0: helper command: <helper> before-resync-source minor-0 exit code 0 (0x0)
         0: conn( WFBitMapS -> SyncSource )
         0: Began resync as SyncSource (will sync 32728 KB [8182 bits set]).
         0: updated sync UUID $A1:$B?:0000000000000004:0000000000000000
         1: updated sync uuid $B?:0000000000000000:0000000000000000:0000000000000000
         r1: helper command: <helper> before-resync-target minor-1
         r1: helper command: <helper> before-resync-target minor-1 exit code 0 (0x0)
         1: conn( WFSyncUUID -> SyncTarget )
         1: Began resync as SyncTarget (will sync 32728 KB [8182 bits set]).
         1: Resync done (total ... sec; paused 0 sec; ... K/sec)
         1: updated UUIDs $A0:0000000000000000:$B?:0000000000000004
         1: conn( SyncTarget -> Connected ) disk( Inconsistent -> UpToDate )
         r1: helper command: <helper> after-resync-target minor-1
         r1: helper command: <helper> after-resync-target minor-1 exit code 0 (0x0)
         0: Resync done (total ... sec; paused 0 sec; ... K/sec)
         0: updated UUIDs $A1:0000000000000000:$B?:0000000000000004
         0: conn( SyncSource -> Connected ) pdsk( Inconsistent -> UpToDate )",
    );
    pair.expect_uuids(0, "$A1:0000000000000000:$B?:0000000000000004");
    pair.expect_uuids(1, "$A0:0000000000000000:$B?:0000000000000004");
    assert_eq!(pair.flags(0), "1:1:1:1:0:0:0");
    assert_eq!(pair.flags(1), "1:1:0:1:0:0:0");
}

#[test]
fn s2_the_initial_sync_is_skipped() {
    let mut pair = Pair::start_both(Setup::default());
    pair.forget_log();
    pair.done(0, new_current_uuid(ClearBitmap::Clear));
    pair.expect_log(
        "0: Preparing to skip initial sync
         0: new current UUID $A0:0000000000000004:0000000000000000:0000000000000000
         0: 0 KB (0 bits) marked out-of-sync by on disk bit-map.
         0: cleared bitmap UUID $A0:0000000000000000:0000000000000000:0000000000000000
         0: disk( Inconsistent -> UpToDate ) pdsk( Inconsistent -> UpToDate )
         1: Accepted new current UUID, preparing to skip initial sync
         1: 0 KB (0 bits) marked out-of-sync by on disk bit-map.
         1: disk( Inconsistent -> UpToDate ) pdsk( Inconsistent -> UpToDate )
         1: receiver updated UUIDs to $A0:0000000000000000:0000000000000000:0000000000000000",
    );
}

#[test]
fn s3_planned_failover_and_a_second_primary_is_refused() {
    let mut pair = Pair::synced(Setup::default());
    pair.promote(0);
    pair.expect_uuids(0, "$A1:0000000000000000:0000000000000000:0000000000000000");
    pair.forget_log();
    pair.demote(0);
    pair.expect_log(
        "0: role( Primary -> Secondary )
         1: peer( Primary -> Secondary )",
    );
    pair.expect_uuids(0, "$A0:0000000000000000:0000000000000000:0000000000000000");
    pair.forget_log();
    pair.promote(1);
    let log = pair.log();
    let at = |text: &str| log.iter().position(|line| line == text);
    let (told, done) = (
        at("0: peer( Secondary -> Primary )"),
        at("1: role( Secondary -> Primary )"),
    );
    assert!(told.is_some() && told < done, "{log:#?}");
    pair.expect_uuids(1, "$A1:0000000000000000:0000000000000000:0000000000000000");
    let refused = pair.ask(0, primary(Force::No));
    assert_eq!(refused, Outcome::State(StateOutcome::TwoPrimaries));
    pair.expect_log("0: State change failed: Multiple primaries not allowed by config");
}

#[test]
fn s4_the_peer_disconnects_the_primary_writes_and_they_reconnect() {
    let mut pair = Pair::synced(Setup::default());
    pair.promote(0);
    pair.expect_uuids(0, "$A1:0000000000000000:...");
    pair.forget_log();
    pair.disconnect(1);
    pair.write(0, 0, 100);
    pair.expect_log(
        "r0: peer( Secondary -> Unknown ) conn( Connected -> TearDown ) pdsk( UpToDate -> DUnknown )
         r1: peer( Primary -> Unknown ) conn( Connected -> Disconnecting ) pdsk( UpToDate -> DUnknown )
         0: new current UUID $B1:$A1:...
         r1: conn( Disconnecting -> StandAlone )
         r0: conn( TearDown -> Unconnected )
         r0: conn( Unconnected -> WFConnection )",
    );
    assert_eq!(
        pair.state(0),
        "cs:WFConnection ro:Primary/Unknown ds:UpToDate/DUnknown r---"
    );
    assert_eq!(
        pair.state(1),
        "cs:StandAlone ro:Secondary/Unknown ds:UpToDate/DUnknown r---"
    );
    assert_eq!((pair.out_of_sync(0), pair.out_of_sync(1)), (400, 0));
    assert_eq!(pair.flags(0), "1:1:1:0:0:0:0");
    pair.forget_log();
    pair.connect(1);
    pair.until("resync", up_to_date);
    pair.drive();
    pair.expect_log(
        "1: self $A0:0000000000000000:... bits:0 flags:0
         1: peer $B1:$A1:... bits:100 flags:0
         1: uuid_compare()=-1 by rule 50
         1: peer( Unknown -> Primary ) conn( WFReportParams -> WFBitMapT ) disk( UpToDate -> Outdated ) pdsk( DUnknown -> UpToDate )
         0: uuid_compare()=1 by rule 70
         0: peer( Unknown -> Secondary ) conn( WFReportParams -> WFBitMapS ) pdsk( DUnknown -> Consistent )
         1: conn( WFBitMapT -> WFSyncUUID )
         0: conn( WFBitMapS -> SyncSource ) pdsk( Consistent -> Inconsistent )
         0: updated sync UUID $B1:$A+1:$A1:...
         1: updated sync uuid $A+0:0000000000000000:...
         1: conn( WFSyncUUID -> SyncTarget ) disk( Outdated -> Inconsistent )
         1: updated UUIDs $B0:0000000000000000:$A+0:$A1
         0: updated UUIDs $B1:0000000000000000:$A+1:$A1",
    );
    for block in [0, 99] {
        let sector = block * 8;
        let [a, b] = [0, 1].map(|node| pair.world.nodes[node].disk.sector(sector));
        assert!(a == b && a != 0);
    }
}

#[test]
fn s5_the_primary_disconnects() {
    let mut pair = Pair::synced(Setup::default());
    pair.promote(0);
    pair.expect_uuids(0, "$A1:...");
    pair.write(0, 0, 4);
    assert_eq!(pair.status(0).counters.net_send.kib(), 16);
    pair.forget_log();
    pair.disconnect(0);
    pair.expect_log(
        "r0: peer( Secondary -> Unknown ) conn( Connected -> Disconnecting ) pdsk( UpToDate -> DUnknown )
         0: new current UUID $B1:$A1:...
         r0: conn( Disconnecting -> StandAlone )
         r1: peer( Primary -> Unknown ) conn( Connected -> TearDown ) pdsk( UpToDate -> DUnknown )
         r1: conn( TearDown -> Unconnected )
         r1: conn( Unconnected -> WFConnection )",
    );
    pair.connect(0);
    pair.until("connected", up_to_date);
    pair.expect_log(
        "1: uuid_compare()=-1 by rule 50
         0: uuid_compare()=1 by rule 70
         0: updated UUIDs $B1:0000000000000000:...",
    );
    assert_eq!(
        pair.status(0).counters.net_send.0,
        0,
        "counts from connect on"
    );
}

#[test]
fn s6_a_crashed_primary_is_the_source_of_its_hot_extents() {
    let mut pair = Pair::synced(Setup::default());
    pair.promote(0);
    pair.expect_uuids(0, "$A1:0000000000000000:...");
    pair.write(0, 3, 2);
    let copy = pair.world.nodes[0].disk.clone();
    pair.world.crash(0);
    pair.drive();
    pair.world.nodes[0].disk = copy;
    pair.forget_log();
    pair.up(0);
    pair.expect_log(
        "0: 4096 KB (1024 bits) marked out-of-sync by on disk bit-map.
         0: disk( Attaching -> UpToDate )",
    );
    pair.expect_uuids(0, "$A0:0000000000000000:...");
    assert_eq!(pair.flags(0), "1:1:0:0:0:0:1");
    pair.forget_log();
    pair.connect(0);
    pair.until("resync", up_to_date);
    pair.drive();
    pair.expect_log(
        "1: self $A0:0000000000000000:... bits:0 flags:0
         1: peer $A0:0000000000000000:... bits:1024 flags:2
         1: uuid_compare()=-1 by rule 40
         0: uuid_compare()=1 by rule 40
         0: updated sync UUID $A0:$S?:0000000000000000:0000000000000000",
    );
    pair.expect_log("1: updated UUIDs $A0:0000000000000000:$S?:0000000000000000");
    assert_eq!(pair.flags(1), "1:1:0:1:0:0:0");
}

#[test]
fn s9_invalidate_and_invalidate_remote() {
    for (request, target) in [(invalidate(), 0), (invalidate_remote(), 1)] {
        let mut pair = Pair::synced(Setup::default());
        pair.expect_uuids(0, "$A0:0000000000000000:...");
        pair.done(0, request);
        pair.until("full sync", up_to_date);
        pair.drive();
        let text = "S: conn( Connected -> StartingSyncS ) pdsk( UpToDate -> Consistent )
             T: conn( Connected -> StartingSyncT ) disk( UpToDate -> Outdated )
             T: 32 MB (8182 bits) marked out-of-sync by on disk bit-map.
             T: conn( StartingSyncT -> WFSyncUUID )
             S: conn( StartingSyncS -> SyncSource ) pdsk( Consistent -> Inconsistent )
             S: Began resync as SyncSource (will sync 32728 KB [8182 bits set]).
             S: updated sync UUID $A0:$B?:0000000000000000:0000000000000000
             T: updated sync uuid $B0:0000000000000000:0000000000000000:0000000000000000
             T: conn( WFSyncUUID -> SyncTarget ) disk( Outdated -> Inconsistent )
             T: updated UUIDs $A0:0000000000000000:$B0:0000000000000000
             S: updated UUIDs $A0:0000000000000000:$B?:0000000000000000";
        pair.expect_log(&addressed(text, target));
        pair.expect_silence_about("bitmap stats");
    }
}

#[test]
fn s20_unrelated_data_is_refused_by_both() {
    let mut pair = Pair::synced(Setup::default());
    for node in 0..2 {
        pair.world.crash(node);
    }
    for (node, digit) in [(0, 1), (1, 10)] {
        let uuids = pair.world.nodes[node].disk.uuids_mut();
        uuids.current.0 = 0x1111_1111_1111_1110 * digit;
        uuids.history = [2, 3].map(|n| drbd_types::Uuid(0x1111_1111_1111_1110 * (digit + n - 1)));
    }
    pair.forget_log();
    for node in 0..2 {
        pair.up(node);
        pair.connect(node);
    }
    pair.until("refused", conn_is(1, ConnState::StandAlone));
    pair.until("refused", conn_is(0, ConnState::StandAlone));
    for node in 0..2 {
        pair.expect_log(
            &"N: uuid_compare()=-1000 by rule 100
              N: Unrelated data, aborting!
              rN: conn( WFReportParams -> Disconnecting )
              rN: error receiving ReportState, e: -5 l: 0!
              rN: conn( Disconnecting -> StandAlone )"
                .replace('N', &node.to_string()),
        );
    }
}

#[test]
fn s28_forced_disconnect() {
    let mut pair = Pair::synced(Setup::default());
    pair.promote(0);
    pair.forget_log();
    pair.disconnect_force(0);
    pair.expect_log(
        "r0: peer( Secondary -> Unknown ) conn( Connected -> Disconnecting ) pdsk( UpToDate -> DUnknown )
         0: new current UUID ...
         r1: sock was shut down by peer
         r1: peer( Primary -> Unknown ) conn( Connected -> BrokenPipe ) pdsk( UpToDate -> DUnknown )
         r1: short read (expected size 16)
         r1: conn( BrokenPipe -> Unconnected )
         r1: conn( Unconnected -> WFConnection )",
    );
}

#[test]
fn s29_an_interrupted_resync_goes_on_with_what_is_left() {
    let mut pair = Pair::start_both(common::slow_resync());
    pair.force_primary(0);
    pair.until("resync", conn_is(1, ConnState::SyncTarget));
    pair.drive();
    pair.expect_uuids(0, "$C1:$S?:0000000000000004:0000000000000000");
    pair.forget_log();
    pair.disconnect_force(1);
    pair.expect_log(
        "r1: peer( Primary -> Unknown ) conn( SyncTarget -> Disconnecting ) pdsk( UpToDate -> DUnknown )
         r0: peer( Secondary -> Unknown ) conn( SyncSource -> BrokenPipe )",
    );
    assert_eq!(
        pair.state(0),
        "cs:WFConnection ro:Primary/Unknown ds:UpToDate/Inconsistent r---"
    );
    pair.expect_uuids(0, "$C1:$S?:0000000000000004:0000000000000000");
    pair.expect_uuids(1, "$S0:0000000000000000:0000000000000000:0000000000000000");
    assert_eq!(pair.flags(0), "1:1:1:0:0:1:0");
    assert_eq!(pair.flags(1), "0:0:0:0:0:0:0");
    let left = pair.out_of_sync(0);
    assert!(left > 0 && left < 32728, "{left}");
    pair.forget_log();
    pair.connect(1);
    pair.until("resync", conn_is(1, ConnState::SyncTarget));
    pair.expect_log(
        "0: uuid_compare()=1 by rule 70
         1: uuid_compare()=-1 by rule 50
         1: Becoming sync target due to disk states.
         0: Becoming sync source due to disk states.
         0: peer( Unknown -> Secondary ) conn( WFReportParams -> WFBitMapS )
         0: updated sync UUID $C1:$S+?:$S?:0000000000000004
         1: updated sync uuid $S+0:0000000000000000:0000000000000000:0000000000000000",
    );
    pair.forget_log();
    pair.disconnect(0);
    pair.demote(0);
    pair.connect(0);
    pair.until("resync", conn_is(1, ConnState::SyncTarget));
    pair.expect_log("0: updated sync UUID $C0:$S++?:$S+?:$S?");
}

#[test]
fn s32_new_current_uuid_needs_a_node_that_stands_alone() {
    let mut pair = Pair::synced(Setup::default());
    pair.disconnect(0);
    pair.expect_uuids(0, "$A0:0000000000000000:0000000000000000:0000000000000000");
    pair.done(0, new_current_uuid(ClearBitmap::Keep));
    pair.expect_uuids(0, "$B0:$A0:0000000000000000:0000000000000000");
    pair.done(0, new_current_uuid(ClearBitmap::Clear));
    pair.expect_uuids(0, "$C0:$B0:$A0:0000000000000000");
    let refused = pair.ask(1, new_current_uuid(ClearBitmap::Keep));
    assert_eq!(refused, Outcome::Refused(Refusal::Connected));
}

#[test]
fn s32_a_silent_peer_is_noticed_by_the_missing_ping_answer() {
    let mut pair = Pair::synced(Setup::default());
    pair.promote(0);
    pair.forget_log();
    pair.world.set_weather(drbd_sim::net::Weather::Partition);
    pair.pass(std::time::Duration::from_secs(12));
    pair.expect_log(
        "r0: PingAck did not arrive in time.
         r0: peer( Secondary -> Unknown ) conn( Connected -> NetworkFailure ) pdsk( UpToDate -> DUnknown )
         0: new current UUID ...
         r0: conn( NetworkFailure -> Unconnected )",
    );
}

#[test]
fn s32_a_smaller_disk_does_not_cut_off_consistent_data() {
    let mut pair = Pair::synced(Setup::default());
    for node in 0..2 {
        pair.disconnect(node);
    }
    pair.detach(0);
    pair.world.nodes[0]
        .disk
        .shrink(drbd_types::SectorCount(60_000));
    pair.world.crash(0);
    pair.world.boot(0);
    let refused = pair.attach(0);
    assert_eq!(refused, Outcome::Refused(Refusal::ImplicitShrink));
    let ticket = pair.world.attach(0);
    let info = pair.world.reply(0, ticket).map(|reply| reply.info.clone());
    assert_eq!(
        info,
        Some(vec![
            "To-be-attached device has last effective > current size, and is consistent".into(),
            "(65456 > 60000 sectors). Refusing to attach.".into(),
        ])
    );
    pair.world.nodes[0].setup.disk.size = drbd_types::SectorCount(40_960);
    pair.forget_log();
    assert_eq!(pair.attach(0), Outcome::Done);
    pair.expect_log("0: truncating a consistent device during attach (40960 < 65456)");
}

#[test]
fn a_command_for_a_volume_that_is_not_there_is_refused() {
    let mut pair = Pair::synced(Setup::default());
    let volume = drbd_types::VolumeNr(7);
    let refused = pair.ask(0, Admin::Outdate { volume });
    assert_eq!(refused, Outcome::Refused(Refusal::MinorUnknown));
    assert_ne!(volume, VOLUME);
}
