use super::*;

fn enter_one(log: &mut ActivityLog, extent: u32) -> Enter {
    log.enter(AlExtent(extent), AlExtent(extent))
}

/// Enters cold extents and commits them.
fn heat(log: &mut ActivityLog, extents: core::ops::Range<u32>) {
    for extent in extents {
        if enter_one(log, extent) == Enter::Full {
            log.begin_transaction();
            log.commit();
            assert_eq!(enter_one(log, extent), Enter::Prepared);
        }
    }
    log.begin_transaction();
    log.commit();
}

#[test]
fn ranges_span_the_extents_that_they_touch() {
    let span = |sector, length| AlExtent::spanned(Sector(sector), SectorCount(length));
    assert_eq!(span(0, 8), (AlExtent(0), AlExtent(0)));
    assert_eq!(span(8191, 1), (AlExtent(0), AlExtent(0)));
    assert_eq!(span(8191, 2), (AlExtent(0), AlExtent(1)));
    assert_eq!(span(8192, 262_144), (AlExtent(1), AlExtent(32)), "128 MiB");
    assert_eq!(AlExtent(3).first_sector(), Sector(3 * 8192));
}

#[test]
fn a_cold_extent_is_hot_only_after_its_transaction() {
    let mut log = ActivityLog::new(67);
    assert!(!log.enter_hot(AlExtent(5)));
    assert_eq!(enter_one(&mut log, 5), Enter::Prepared);
    assert!(!log.enter_hot(AlExtent(5)), "not on disk yet");
    let transaction = log.begin_transaction().expect("there is a change");
    assert_eq!(transaction.updates, [(0, AlExtent(5))]);
    assert_eq!(transaction.context, alloc::vec![None; 67]);
    assert_eq!((transaction.context_start, transaction.slots), (0, 67));
    assert!(log.transaction_running());
    assert!(!log.enter_hot(AlExtent(5)), "being written");
    assert_eq!(enter_one(&mut log, 6), Enter::Full, "the next transaction");
    log.commit();
    assert!(log.enter_hot(AlExtent(5)));
    assert!(log.begin_transaction().is_none(), "nothing changed");
    log.commit();
    assert_eq!(log.hot_extents().collect::<Vec<_>>(), [AlExtent(5)]);
}

#[test]
fn hot_extents_stay_available_while_a_transaction_is_written() {
    let mut log = ActivityLog::new(67);
    heat(&mut log, 1..2);
    assert_eq!(enter_one(&mut log, 2), Enter::Prepared);
    log.begin_transaction();
    assert!(log.enter_hot(AlExtent(1)));
}

#[test]
fn references_keep_an_extent_from_being_evicted() {
    let mut log = ActivityLog::new(67);
    heat(&mut log, 0..67);
    for extent in 1..67 {
        log.leave(AlExtent(extent));
    }
    assert!(log.is_referenced(AlExtent(0)) && !log.is_referenced(AlExtent(1)));
    assert!(log.enter_hot(AlExtent(1)));
    log.leave(AlExtent(1));
    assert_eq!(enter_one(&mut log, 100), Enter::Prepared);
    assert_eq!(
        log.evicted(),
        [AlExtent(2)],
        "1 was used after 2, 0 is in use"
    );
    let transaction = log.begin_transaction().expect("there is a change");
    assert_eq!(transaction.updates, [(2, AlExtent(100))]);
    assert_eq!(
        transaction.context[2],
        Some(AlExtent(2)),
        "the context shows the slots before the updates"
    );
    log.commit();
    assert!(log.evicted().is_empty());
    assert!(!log.enter_hot(AlExtent(2)));
}

#[test]
fn free_slots_are_used_before_any_extent_is_evicted() {
    let mut log = ActivityLog::new(67);
    heat(&mut log, 0..3);
    for extent in 0..3 {
        log.leave(AlExtent(extent));
    }
    assert_eq!(enter_one(&mut log, 10), Enter::Prepared);
    assert!(log.evicted().is_empty());
}

#[test]
fn a_request_gets_all_of_its_extents_or_none() {
    let mut log = ActivityLog::new(67);
    heat(&mut log, 0..60);
    assert_eq!(log.enter(AlExtent(100), AlExtent(107)), Enter::Full);
    assert!(!log.is_referenced(AlExtent(100)));
    assert_eq!(log.enter(AlExtent(100), AlExtent(106)), Enter::Prepared);
    let transaction = log.begin_transaction().expect("there are changes");
    assert_eq!(transaction.updates.len(), 7);
}

#[test]
fn entering_does_not_evict_the_extents_of_the_same_request() {
    let mut log = ActivityLog::new(67);
    heat(&mut log, 0..67);
    for extent in 0..67 {
        log.leave(AlExtent(extent));
    }
    // Extent 0 is the least recently used one, and wanted.
    assert_eq!(log.enter(AlExtent(0), AlExtent(0)), Enter::Prepared);
    log.leave(AlExtent(0));
    for extent in 1..67 {
        assert!(log.enter_hot(AlExtent(extent)));
        log.leave(AlExtent(extent));
    }
    assert_eq!(log.enter(AlExtent(66), AlExtent(67)), Enter::Prepared);
    assert_eq!(log.evicted(), [AlExtent(0)]);
    assert!(log.is_referenced(AlExtent(66)) && log.is_referenced(AlExtent(67)));
}

#[test]
fn a_transaction_carries_at_most_64_changes() {
    let mut log = ActivityLog::new(1237);
    for extent in 0..64 {
        assert_eq!(enter_one(&mut log, extent), Enter::Prepared);
    }
    assert_eq!(enter_one(&mut log, 64), Enter::Full);
    let transaction = log.begin_transaction().expect("there are changes");
    assert_eq!(transaction.updates.len(), MAX_CHANGES);
    log.commit();
    assert_eq!(enter_one(&mut log, 64), Enter::Prepared);
}

#[test]
fn a_starving_write_closes_the_fast_path_until_it_got_its_slots() {
    let mut log = ActivityLog::new(67);
    heat(&mut log, 0..67);
    assert_eq!(enter_one(&mut log, 99), Enter::Full, "everything is in use");
    assert!(!log.enter_hot(AlExtent(1)));
    log.leave(AlExtent(1));
    assert!(
        !log.enter_hot(AlExtent(1)),
        "the slot is for the cold write"
    );
    assert_eq!(enter_one(&mut log, 99), Enter::Prepared);
    assert!(log.enter_hot(AlExtent(2)));
}

#[test]
fn the_context_rotates_through_all_slots() {
    let mut log = ActivityLog::new(2000);
    let mut seen: Vec<(u16, usize)> = Vec::new();
    for extent in 0..4 {
        assert_eq!(enter_one(&mut log, extent), Enter::Prepared);
        let transaction = log.begin_transaction().expect("there is a change");
        seen.push((transaction.context_start, transaction.context.len()));
        log.commit();
    }
    assert_eq!(seen, [(0, 919), (919, 919), (1838, 162), (0, 919)]);
}

#[test]
fn the_number_of_slots_changes_only_while_nothing_is_in_progress() {
    let mut log = ActivityLog::new(67);
    heat(&mut log, 0..1);
    assert_eq!(log.resize(127), Resized::InUse);
    log.leave(AlExtent(0));
    assert_eq!(log.resize(1), Resized::Done);
    assert_eq!(log.slots(), 67, "the smallest log");
    assert_eq!(log.hot_extents().count(), 0);
    assert_eq!(ActivityLog::new(u32::MAX).slots(), 65_534);
}

#[test]
fn leaving_an_extent_that_is_not_in_the_log_does_nothing() {
    let mut log = ActivityLog::new(67);
    log.leave(AlExtent(7));
    heat(&mut log, 0..1);
    log.clear();
    log.leave(AlExtent(0));
    assert_eq!(log.hot_extents().count(), 0);
}

mod model {
    use alloc::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Op {
        Hot(u32),
        Enter(u32, u32),
        Leave(usize),
        Write,
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            (0..100u32).prop_map(Op::Hot),
            (0..100u32, 0..33u32).prop_map(|(first, more)| Op::Enter(first, first + more)),
            any::<usize>().prop_map(Op::Leave),
            Just(Op::Write),
        ]
    }

    proptest! {
        /// The disk, replayed from the transactions, always names every extent that is referenced
        /// and not waiting for a transaction; references never get lost; slots are unique.
        #[test]
        fn what_may_be_written_is_always_on_disk(ops in prop::collection::vec(op(), 1..100)) {
            let mut log = ActivityLog::new(67);
            let mut disk: Vec<Option<AlExtent>> = alloc::vec![None; 67];
            let mut durable: BTreeMap<AlExtent, u32> = BTreeMap::new();
            let mut waiting: Vec<AlExtent> = Vec::new();
            for op in ops {
                match op {
                    Op::Hot(extent) => {
                        if log.enter_hot(AlExtent(extent)) {
                            *durable.entry(AlExtent(extent)).or_default() += 1;
                        }
                    }
                    Op::Enter(first, last) => {
                        if log.enter(AlExtent(first), AlExtent(last)) == Enter::Prepared {
                            waiting.extend((first..=last).map(AlExtent));
                        }
                    }
                    Op::Leave(n) => {
                        if let Some((&extent, _)) = durable.iter().nth(n % durable.len().max(1)) {
                            log.leave(extent);
                            let left = durable[&extent] - 1;
                            if left == 0 {
                                durable.remove(&extent);
                            } else {
                                durable.insert(extent, left);
                            }
                        }
                    }
                    Op::Write => {
                        if let Some(transaction) = log.begin_transaction() {
                            for (n, &content) in transaction.context.iter().enumerate() {
                                let slot = usize::from(transaction.context_start) + n;
                                prop_assert_eq!(disk[slot], content, "context is what was there");
                            }
                            for &(slot, extent) in &transaction.updates {
                                disk[usize::from(slot)] = Some(extent);
                            }
                        }
                        log.commit();
                        for extent in waiting.drain(..) {
                            *durable.entry(extent).or_default() += 1;
                        }
                    }
                }
                let mut on_disk: Vec<AlExtent> = disk.iter().copied().flatten().collect();
                on_disk.sort_unstable();
                prop_assert!(on_disk.is_sorted_by(|a, b| a < b), "one slot for each extent");
                for extent in durable.keys() {
                    prop_assert!(log.is_referenced(*extent));
                    prop_assert!(on_disk.binary_search(extent).is_ok());
                }
            }
        }
    }
}
