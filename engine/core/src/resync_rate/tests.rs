use super::*;
use crate::time::Duration;

/// The defaults of 8.4 (spec 60 section 7.4).
const DEFAULTS: RateInputs = RateInputs {
    resync_rate: 250,
    plan_ahead: 20,
    delay_target: 10,
    fill_target: 100,
    max_rate: 102_400,
    max_buffers: 2048,
    arrived: SectorCount(0),
    in_flight: SectorCount(0),
};

#[test]
fn the_fixed_rate_is_a_tenth_of_a_second_of_blocks() {
    let mut rate = ResyncRate::default();
    let fixed = |resync_rate| RateInputs {
        plan_ahead: 0,
        resync_rate,
        ..DEFAULTS
    };
    assert_eq!(rate.turn(&fixed(4096)), 102, "4096 KiB/s * 0.1 s / 4 KiB");
    assert_eq!(rate.want(), 4096);
    assert_eq!(rate.turn(&fixed(250)), 6);
    assert_eq!(rate.turn(&fixed(0)), 0);
}

/// The formula of section 7.4 by hand: (250 * 2 / 10) * 20 = 1000 sectors wanted, 1000 / 20 = 50
/// sectors a turn, 6 blocks, 240 KiB/s.
#[test]
fn the_start_of_a_resync_spreads_the_wanted_amount_over_the_plan() {
    let mut rate = ResyncRate::default();
    assert_eq!(rate.turn(&DEFAULTS), 6);
    assert_eq!(rate.want(), 240);
    // 48 in flight, nothing arrived: (100 - 48 - 950) / 20 = -44 (truncated), 50 - 44 = 6 sectors.
    let second = RateInputs {
        in_flight: SectorCount(48),
        ..DEFAULTS
    };
    assert_eq!(rate.turn(&second), 0);
    // 48 arrived: planned is 950 - 880 - 6 = 64; (100 - 0 - 64) / 20 = 1; 48 + 6 + 1 = 55 sectors.
    let third = RateInputs {
        arrived: SectorCount(48),
        ..DEFAULTS
    };
    assert_eq!(rate.turn(&third), 6);
}

#[test]
fn without_fill_target_the_delay_target_decides() {
    let mut rate = ResyncRate::default();
    let inputs = RateInputs {
        fill_target: 0,
        arrived: SectorCount(800),
        in_flight: SectorCount(1600),
        ..DEFAULTS
    };
    // (800 * 10 - 1600) / 20 = 320; 800 + 320 = 1120 sectors, 140 blocks.
    assert_eq!(rate.turn(&inputs), 140);
    assert_eq!(rate.want(), 5600);
}

#[test]
fn neither_the_maximum_rate_nor_the_buffers_are_exceeded() {
    let flood = RateInputs {
        arrived: SectorCount(u64::MAX),
        ..DEFAULTS
    };
    let mut rate = ResyncRate::default();
    assert_eq!(rate.turn(&flood), 1024, "half of max-buffers");
    assert_eq!(rate.want(), 102_400, "c-max-rate");
    let full = RateInputs {
        in_flight: SectorCount(1024 * 8),
        ..flood
    };
    assert_eq!(rate.turn(&full), 0);
    let overfull = RateInputs {
        in_flight: SectorCount(u64::MAX),
        ..flood
    };
    assert_eq!(rate.turn(&overfull), 0);
}

#[test]
fn a_steady_link_settles_with_the_fill_target_in_flight() {
    let mut rate = ResyncRate::default();
    let (mut in_flight, mut settled) = (0u64, alloc::vec::Vec::new());
    for turn in 0..400 {
        // A link that delivers all that was asked for within one turn, up to 800 sectors.
        let arrived = in_flight.min(800);
        in_flight -= arrived;
        let inputs = RateInputs {
            arrived: SectorCount(arrived),
            in_flight: SectorCount(in_flight),
            ..DEFAULTS
        };
        in_flight += rate.turn(&inputs) * BIT_SECTORS;
        if turn >= 300 {
            settled.push(in_flight);
        }
    }
    assert!(settled.iter().all(|&sectors| sectors > 0), "{settled:?}");
}

#[test]
fn a_changed_plan_length_starts_with_an_empty_plan() {
    let mut rate = ResyncRate::default();
    rate.turn(&DEFAULTS);
    let shorter = RateInputs {
        plan_ahead: 10,
        ..DEFAULTS
    };
    assert_eq!(rate.turn(&shorter), 6, "as at the start: 500 / 10 sectors");
    let endless = RateInputs {
        plan_ahead: u32::MAX,
        ..DEFAULTS
    };
    rate.turn(&endless);
    assert_eq!(rate.plan.len(), MAX_PLAN as usize);
}

fn throttle_inputs(marks: &Marks) -> ThrottleInputs<'_> {
    ThrottleInputs {
        min_rate: 250,
        queue: LogQueue::Empty,
        disk_sectors: 1000,
        marks,
        left: 10_000 - 1000,
        now: Instant::from_nanos(0) + Duration::from_secs(2),
    }
}

#[test]
fn the_resync_gives_way_to_a_busy_disk_only_above_the_minimum_rate() {
    // 1000 bits in 2 s: 2000 KiB/s.
    let marks = Marks::new(Instant::from_nanos(0), 10_000);
    let busy = throttle_inputs(&marks);
    let evaluate = |inputs| Throttle::default().evaluate(&inputs);
    assert_eq!(evaluate(busy), Pace::Throttled);
    let slow = ThrottleInputs {
        min_rate: 2000,
        ..busy
    };
    assert_eq!(evaluate(slow), Pace::Free);
    let off = ThrottleInputs {
        min_rate: 0,
        ..busy
    };
    assert_eq!(evaluate(off), Pace::Free);
    let idle = ThrottleInputs {
        disk_sectors: 64,
        ..busy
    };
    assert_eq!(evaluate(idle), Pace::Free);
    let waiting = ThrottleInputs {
        queue: LogQueue::Waiting,
        ..idle
    };
    assert_eq!(evaluate(waiting), Pace::Throttled);
}

#[test]
fn other_io_is_counted_since_the_disk_last_looked_busy() {
    let marks = Marks::new(Instant::from_nanos(0), 10_000);
    let mut throttle = Throttle::default();
    let at = |disk_sectors| ThrottleInputs {
        disk_sectors,
        ..throttle_inputs(&marks)
    };
    assert_eq!(throttle.evaluate(&at(1000)), Pace::Throttled);
    assert_eq!(throttle.evaluate(&at(1040)), Pace::Free);
    assert_eq!(throttle.evaluate(&at(1064)), Pace::Free);
    assert_eq!(throttle.evaluate(&at(1065)), Pace::Throttled);
}
