//! How fast a resync may go (spec 60 sections 7.4 and 7.5).
//!
//! * [`ResyncRate`] says ten times a second how many blocks the target asks for: at a fixed rate,
//!   or so that a wanted amount of data is always on its way.
//! * [`Throttle`] says whether the resync should give way to the application.
//!
//! Integer arithmetic as in the kernel, so that both ends of a mixed pair behave alike; divisions
//! truncate toward zero.

use alloc::collections::VecDeque;

use drbd_types::SectorCount;
use drbd_types::units::{BIT_BYTES, BIT_SECTORS};

use crate::progress::Marks;
use crate::time::Instant;

/// KiB of a block.
const BLOCK_KIB: u32 = (BIT_BYTES / 1024) as u32;
/// Turns in a second.
const TURNS: u32 = 10;
/// Sectors in a KiB.
const KIB_SECTORS: i64 = 2;
/// More slots of the plan are never used (c-plan-ahead is at most 30 s).
const MAX_PLAN: u32 = 300;
/// So many sectors of other I/O make a disk look busy.
const BUSY_SECTORS: u64 = 64;

/// What one turn looks at: options of the disk, and what happened since the last turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RateInputs {
    /// resync-rate, in KiB/s.
    pub resync_rate: u32,
    /// c-plan-ahead, in 0.1 s; zero selects the fixed rate.
    pub plan_ahead: u32,
    /// c-delay-target, in 0.1 s.
    pub delay_target: u32,
    /// c-fill-target, in sectors; zero selects the delay target.
    pub fill_target: u32,
    /// c-max-rate, in KiB/s.
    pub max_rate: u32,
    /// max-buffers.
    pub max_buffers: u32,
    /// What arrived since the last turn.
    pub arrived: SectorCount,
    /// What was asked for and has not arrived.
    pub in_flight: SectorCount,
}

/// The controller of one resync; a new run starts with `default()`.
#[derive(Clone, Debug, Default)]
pub struct ResyncRate {
    /// Corrections planned for the coming turns, the next one first.
    plan: VecDeque<i64>,
    /// Their sum.
    planned: i64,
    want: u64,
}

impl ResyncRate {
    /// How many blocks of 4 KiB to ask for now.
    pub fn turn(&mut self, inputs: &RateInputs) -> u64 {
        let blocks = if inputs.plan_ahead == 0 {
            self.want = u64::from(inputs.resync_rate);
            i64::from(inputs.resync_rate / TURNS / BLOCK_KIB)
        } else {
            let blocks = self.controlled(inputs) / BIT_SECTORS as i64;
            self.want = blocks.unsigned_abs() * u64::from(TURNS * BLOCK_KIB);
            blocks
        };
        let in_flight_blocks = signed(inputs.in_flight.0 / BIT_SECTORS);
        let room = i64::from(inputs.max_buffers / 2) - in_flight_blocks;
        blocks.min(room).max(0).unsigned_abs()
    }

    /// The rate aimed at, in KiB/s, as `/proc/drbd` shows it.
    pub const fn want(&self) -> u64 {
        self.want
    }

    /// The sectors to ask for so that the right amount stays in flight.
    fn controlled(&mut self, inputs: &RateInputs) -> i64 {
        let steps = i64::from(inputs.plan_ahead.min(MAX_PLAN));
        let (arrived, in_flight) = (signed(inputs.arrived.0), signed(inputs.in_flight.0));
        self.adjust_plan(steps as usize);
        let want = if in_flight + arrived == 0 {
            per_turn(inputs.resync_rate) * steps
        } else if inputs.fill_target != 0 {
            i64::from(inputs.fill_target)
        } else {
            arrived * i64::from(inputs.delay_target)
        };
        let correction = want - in_flight - self.planned;
        let per_step = correction / steps;
        for step in &mut self.plan {
            *step += per_step;
        }
        self.planned += per_step * steps;
        let now = self.plan.pop_front().unwrap_or(0);
        self.plan.push_back(0);
        self.planned -= now;
        (arrived + now).clamp(0, per_turn(inputs.max_rate))
    }

    /// A changed c-plan-ahead starts with an empty plan.
    fn adjust_plan(&mut self, steps: usize) {
        if self.plan.len() != steps {
            self.plan = core::iter::repeat_n(0, steps).collect();
            self.planned = 0;
        }
    }
}

/// Sectors in a turn at this rate.
fn per_turn(kib_per_second: u32) -> i64 {
    i64::from(kib_per_second) * KIB_SECTORS / i64::from(TURNS)
}

/// Sector counts in flight are far below 2^40; the limit keeps hostile numbers from overflowing.
fn signed(sectors: u64) -> i64 {
    sectors.min(1 << 40) as i64
}

/// Whether application requests wait for the activity log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogQueue {
    /// None does.
    Empty,
    /// At least one does.
    Waiting,
}

/// Whether the resync gives way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// Full speed.
    Free,
    /// The application is busy and the resync is above c-min-rate.
    Throttled,
}

/// What the throttle looks at.
#[derive(Clone, Copy, Debug)]
pub struct ThrottleInputs<'a> {
    /// c-min-rate, in KiB/s; zero never throttles.
    pub min_rate: u32,
    /// Application requests that wait for the activity log.
    pub queue: LogQueue,
    /// Sectors that the backing disk read and wrote, without those of resync and bitmap.
    pub disk_sectors: u64,
    /// Progress of the resync.
    pub marks: &'a Marks,
    /// Bits left.
    pub left: u64,
    /// Now.
    pub now: Instant,
}

/// c-min-rate throttling of one volume.
#[derive(Clone, Copy, Debug, Default)]
pub struct Throttle {
    /// The disk's counter when the node last looked busy.
    seen_sectors: u64,
}

impl Throttle {
    /// Decides for the next resync request.
    pub fn evaluate(&mut self, inputs: &ThrottleInputs<'_>) -> Pace {
        let busy_disk = inputs.disk_sectors.saturating_sub(self.seen_sectors) > BUSY_SECTORS;
        if inputs.min_rate == 0 || inputs.queue == LogQueue::Empty && !busy_disk {
            return Pace::Free;
        }
        self.seen_sectors = inputs.disk_sectors;
        let speed = inputs.marks.recent_speed(inputs.now, inputs.left);
        if speed > u64::from(inputs.min_rate) {
            Pace::Throttled
        } else {
            Pace::Free
        }
    }
}

#[cfg(test)]
mod tests;
