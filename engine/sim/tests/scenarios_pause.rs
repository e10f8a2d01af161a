//! Conformance scenario S15 of spec 60 section 11: pausing and resuming a resync.

mod common;

use drbd_core::effect::{Outcome, Refusal};
use drbd_core::input::Admin;
use drbd_sim::pair::{Pair, conn_is, up_to_date};
use drbd_sim::world::VOLUME;
use drbd_types::ConnState;

fn pause() -> Admin {
    Admin::PauseSync { volume: VOLUME }
}

fn resume() -> Admin {
    Admin::ResumeSync { volume: VOLUME }
}

fn flags(pair: &Pair) -> [String; 2] {
    [0, 1].map(|node| {
        let state = pair.state(node);
        let (_, flags) = state.rsplit_once(' ').unwrap_or_default();
        flags.to_owned()
    })
}

#[test]
fn s15_a_resync_is_paused_by_either_node_and_goes_on_when_both_agree() {
    let mut pair = Pair::start_both(common::slow_resync());
    pair.force_primary(0);
    pair.until("resync", conn_is(1, ConnState::SyncTarget));
    pair.drive();
    let left = pair.out_of_sync(1);
    assert!(
        left < 32728 && left > 20_000,
        "2000 K/sec for two seconds: {left}"
    );
    pair.forget_log();
    pair.done(1, pause());
    pair.expect_log(
        "1: conn( SyncTarget -> PausedSyncT ) user_isp( 0 -> 1 )
         1: Resync suspended
         0: conn( SyncSource -> PausedSyncS ) peer_isp( 0 -> 1 )
         0: Resync suspended",
    );
    assert_eq!(flags(&pair), ["r-p-", "r--u"]);
    let paused_at = pair.out_of_sync(1);
    assert_eq!(
        pair.ask(1, pause()),
        Outcome::Refused(Refusal::PauseAlreadySet)
    );
    pair.done(0, pause());
    assert_eq!(flags(&pair), ["r-pu", "r-pu"]);
    pair.done(1, resume());
    assert_eq!(flags(&pair), ["r--u", "r-p-"]);
    assert_eq!(
        pair.ask(1, resume()),
        Outcome::Refused(Refusal::PauseByPeer)
    );
    assert_eq!(pair.out_of_sync(1), paused_at, "nothing moves while paused");
    pair.forget_log();
    pair.done(0, resume());
    pair.expect_log(
        "0: conn( PausedSyncS -> SyncSource ) user_isp( 1 -> 0 )
         0: Syncer continues.
         1: conn( PausedSyncT -> SyncTarget ) peer_isp( 1 -> 0 )
         1: Syncer continues.",
    );
    pair.until("resync", up_to_date);
}
