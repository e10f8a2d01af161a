use super::*;

const fn never(_: AlExtent) -> bool {
    false
}

const fn always(_: AlExtent) -> bool {
    true
}

fn blocks(extents: &ResyncExtents, extent: u32) -> bool {
    extents.blocks_writes(AlExtent(extent * AL_EXTENTS))
}

#[test]
fn an_extent_is_four_activity_log_extents_and_4096_bits() {
    assert_eq!(ResyncExtent::of(BitNr(4095)), ResyncExtent(0));
    assert_eq!(ResyncExtent::of(BitNr(4096)), ResyncExtent(1));
    assert_eq!(ResyncExtent::around(AlExtent(7)), ResyncExtent(1));
    assert_eq!(
        ResyncExtent(1).range(),
        (Sector(32_768), SectorCount(32_768))
    );
}

#[test]
fn a_held_extent_keeps_writes_out_of_all_its_parts_until_its_last_holder_is_done() {
    let mut extents = ResyncExtents::default();
    assert_eq!(extents.try_lock(ResyncExtent(1), never), TryLock::Locked);
    assert_eq!(
        extents.try_lock(ResyncExtent(1), always),
        TryLock::Locked,
        "it is held"
    );
    let blocked: Vec<u32> = (0..12)
        .filter(|&n| extents.blocks_writes(AlExtent(n)))
        .collect();
    assert_eq!(blocked, [4, 5, 6, 7]);
    extents.unlock(ResyncExtent(1));
    assert!(blocks(&extents, 1) && !extents.is_idle());
    extents.unlock(ResyncExtent(1));
    assert!(!blocks(&extents, 1) && extents.is_idle());
    extents.unlock(ResyncExtent(1));
}

#[test]
fn an_extent_that_is_written_to_is_half_locked_so_that_it_becomes_free() {
    let mut extents = ResyncExtents::default();
    let written = |extent| extent == AlExtent(7);
    assert_eq!(extents.try_lock(ResyncExtent(1), written), TryLock::Busy);
    assert!(blocks(&extents, 1), "no new writes");
    assert_eq!(extents.try_lock(ResyncExtent(1), never), TryLock::Locked);
    extents.unlock(ResyncExtent(1));
    assert!(!blocks(&extents, 1));
}

#[test]
fn only_one_extent_is_half_locked_at_a_time() {
    let mut extents = ResyncExtents::default();
    assert_eq!(extents.try_lock(ResyncExtent(1), always), TryLock::Busy);
    assert_eq!(extents.try_lock(ResyncExtent(2), always), TryLock::Busy);
    assert!(!blocks(&extents, 1) && blocks(&extents, 2));
}

#[test]
fn a_throttled_resync_finishes_what_was_half_locked_and_starts_nothing() {
    let mut extents = ResyncExtents::default();
    assert_eq!(
        extents.try_lock_throttled(ResyncExtent(1), never),
        TryLock::Busy
    );
    assert!(!blocks(&extents, 1));
    assert_eq!(extents.try_lock(ResyncExtent(1), always), TryLock::Busy);
    assert_eq!(
        extents.try_lock_throttled(ResyncExtent(1), never),
        TryLock::Locked
    );
    extents.unlock(ResyncExtent(1));
    assert_eq!(extents.try_lock(ResyncExtent(1), always), TryLock::Busy);
    assert_eq!(
        extents.try_lock_throttled(ResyncExtent(1), always),
        TryLock::Busy
    );
    assert!(!blocks(&extents, 1), "released instead");
}

#[test]
fn a_request_of_the_peer_waits_with_the_door_closed() {
    let mut extents = ResyncExtents::default();
    assert_eq!(extents.lock(ResyncExtent(1), always), TryLock::Busy);
    assert_eq!(extents.try_lock(ResyncExtent(2), never), TryLock::Locked);
    assert!(blocks(&extents, 1), "not forgotten for another extent");
    assert!(!extents.has_priority(ResyncExtent(1)));
    extents.want_writes(AlExtent(7), AlExtent(8));
    assert!(extents.has_priority(ResyncExtent(1)));
    extents.step_aside(ResyncExtent(1));
    assert!(!blocks(&extents, 1));
    assert_eq!(extents.lock(ResyncExtent(1), never), TryLock::Locked);
    extents.unlock(ResyncExtent(1));
    assert!(!blocks(&extents, 1));
}

#[test]
fn a_waiting_request_of_the_peer_keeps_writes_out_when_another_holder_is_done() {
    let mut extents = ResyncExtents::default();
    assert_eq!(extents.lock(ResyncExtent(1), always), TryLock::Busy);
    assert_eq!(extents.try_lock(ResyncExtent(1), never), TryLock::Locked);
    extents.unlock(ResyncExtent(1));
    assert!(blocks(&extents, 1));
    assert_eq!(extents.lock(ResyncExtent(1), never), TryLock::Locked);
    extents.unlock(ResyncExtent(1));
    assert!(!blocks(&extents, 1));
}

#[test]
fn the_number_of_held_extents_is_bounded() {
    let count = |lock: fn(&mut ResyncExtents, ResyncExtent) -> TryLock| {
        let mut extents = ResyncExtents::default();
        (0..100)
            .filter(|&n| lock(&mut extents, ResyncExtent(n)) == TryLock::Locked)
            .count()
    };
    assert_eq!(count(|extents, extent| extents.try_lock(extent, never)), 59);
    assert_eq!(count(|extents, extent| extents.lock(extent, never)), 31);
    let mut waiting = ResyncExtents::default();
    for n in 0..100 {
        assert_eq!(waiting.lock(ResyncExtent(n), always), TryLock::Busy);
    }
    assert!(waiting.entries.len() <= SLOTS);
}
