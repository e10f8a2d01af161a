//! Ten thousand lives, and the proof that this would notice a mistake.

use std::sync::atomic::{AtomicU64, Ordering};

use drbd_core::planted::Bug;
use drbd_sim::schedule::{Failure, run};

/// Lives of a test run; `SIM_SCHEDULES` asks for another number, `SIM_SEED` for another beginning.
const SCHEDULES: u64 = 10_000;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|value| value.parse().ok())
        .unwrap_or(default)
}

#[test]
fn no_acknowledged_write_is_lost_and_both_nodes_agree_in_ten_thousand_lives() {
    let first = setting("SIM_SEED", 1);
    let last = first + setting("SIM_SCHEDULES", SCHEDULES);
    let next = AtomicU64::new(first);
    let acknowledged = AtomicU64::new(0);
    let work = || {
        let mut failures = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= last {
                return failures;
            }
            match run(seed, None).result {
                Ok(summary) => {
                    acknowledged.fetch_add(summary.acknowledged, Ordering::Relaxed);
                }
                Err(failure) => failures.push((seed, failure)),
            }
        }
    };
    let failures: Vec<(u64, Failure)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("a life panicked"))
            .collect()
    });
    assert!(
        failures.is_empty(),
        "repeat with `drbd-sim --story --seed N`: {failures:#?}"
    );
    let acknowledged = acknowledged.load(Ordering::Relaxed);
    assert!(
        acknowledged > 10 * (last - first),
        "only {acknowledged} writes were acknowledged: nothing was tested"
    );
}

fn found_within(bug: Bug, lives: u64) -> bool {
    (1..=lives).any(|seed| matches!(run(seed, Some(bug)).result, Err(Failure::Correctness(_))))
}

#[test]
fn bits_that_are_not_set_when_the_connection_is_lost_are_noticed() {
    assert!(found_within(Bug::ForgetBitsOnConnectionLoss, 500));
}

#[test]
fn an_activity_log_that_is_not_written_is_noticed() {
    assert!(found_within(Bug::IgnoreActivityLog, 500));
}

#[test]
fn meta_data_that_is_ahead_of_a_lost_write_cache_is_noticed() {
    assert!(found_within(Bug::MetaDataBeforeData, 500));
}

#[test]
fn a_resync_whose_bits_are_in_memory_only_is_noticed() {
    assert!(found_within(Bug::ResyncBeforeBits, 500));
}

#[test]
fn the_same_seed_lives_the_same_life() {
    assert_eq!(run(7, None).story, run(7, None).story);
}
