//! Progress of a resync or verify: eight marks of what was left when (spec 60 section 7.7).

use crate::time::{Duration, Instant};

/// Marks that are kept.
pub const MARKS: usize = 8;
/// A new mark is set when the newest one is this old.
const MARK_DISTANCE: Duration = Duration::from_secs(3);
/// KiB of a bit.
const BIT_KIB: u64 = 4;

/// What was left at an instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Mark {
    /// When.
    pub at: Instant,
    /// Bits left then.
    pub left: u64,
}

/// The ring of marks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Marks {
    ring: [Mark; MARKS],
    newest: usize,
}

impl Marks {
    /// At the start all marks say the same.
    pub const fn new(now: Instant, total: u64) -> Self {
        Self {
            ring: [Mark {
                at: now,
                left: total,
            }; MARKS],
            newest: 0,
        }
    }

    /// Bits were cleared; to be called only while the resync is not paused.
    pub fn advance(&mut self, now: Instant, left: u64) {
        let newest = self.ring[self.newest];
        if left != newest.left && now.since(newest.at) >= MARK_DISTANCE {
            self.newest = (self.newest + 1) % MARKS;
            self.ring[self.newest] = Mark { at: now, left };
        }
    }

    /// Speed since the mark before the newest, in KiB/s: what c-min-rate is compared with.
    pub fn recent_speed(&self, now: Instant, left: u64) -> u64 {
        let mark = self.ring[(self.newest + MARKS - 1) % MARKS];
        let seconds = now.since(mark.at).as_secs().max(1);
        (mark.left.saturating_sub(left) / seconds).saturating_mul(BIT_KIB)
    }

    /// Everything that the progress lines of `/proc/drbd` are made of.
    pub const fn figures(
        &self,
        now: Instant,
        left: u64,
        total: u64,
        elapsed: Duration,
        want: Option<u64>,
    ) -> ProgressFigures {
        ProgressFigures {
            total,
            left,
            marks: self.ring,
            newest: self.newest,
            now,
            elapsed,
            want,
        }
    }
}

/// Progress at one moment; `/proc/drbd` is rendered from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProgressFigures {
    /// Bits to do at the start.
    pub total: u64,
    /// Resync: set bits without the failed ones; verify: bits not looked at.
    pub left: u64,
    /// Earlier values of `left`, a ring.
    pub marks: [Mark; MARKS],
    /// Index of the newest mark.
    pub newest: usize,
    /// Now.
    pub now: Instant,
    /// Time since the start without pauses.
    pub elapsed: Duration,
    /// The rate aimed at in KiB/s, on the side that asks for blocks.
    pub want: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn a_mark_is_set_after_three_seconds_and_only_if_something_was_cleared() {
        let mut marks = Marks::new(at(0), 1000);
        marks.advance(at(2_999), 900);
        assert_eq!(marks, Marks::new(at(0), 1000));
        marks.advance(at(3_000), 1000);
        assert_eq!(marks, Marks::new(at(0), 1000));
        marks.advance(at(3_001), 899);
        let figures = marks.figures(at(3_001), 899, 1000, Duration::from_secs(3), None);
        assert_eq!(figures.newest, 1);
        assert_eq!(
            figures.marks[1],
            Mark {
                at: at(3_001),
                left: 899
            }
        );
    }

    #[test]
    fn the_ring_keeps_the_eight_newest_marks() {
        let mut marks = Marks::new(at(0), 1000);
        for turn in 1..=20 {
            marks.advance(at(turn * 3_000), 1000 - turn);
        }
        let figures = marks.figures(at(60_000), 980, 1000, Duration::from_secs(60), None);
        let mut left: alloc::vec::Vec<u64> = figures.marks.iter().map(|mark| mark.left).collect();
        left.sort_unstable();
        assert_eq!(left, (980..988).collect::<alloc::vec::Vec<u64>>());
        assert_eq!(figures.marks[figures.newest].left, 980);
    }

    /// Spec 60 section 7.5: i = newest + 7, dt = max(1, whole seconds), speed = db / dt * 4.
    #[test]
    fn the_recent_speed_is_measured_from_the_mark_before_the_newest() {
        let mut marks = Marks::new(at(0), 10_000);
        assert_eq!(marks.recent_speed(at(500), 9_000), 4_000);
        marks.advance(at(3_000), 9_000);
        marks.advance(at(6_000), 7_000);
        assert_eq!(marks.recent_speed(at(8_900), 6_000), (3_000 / 5) * 4);
        assert_eq!(
            marks.recent_speed(at(8_900), 9_500),
            0,
            "bits were set meanwhile"
        );
    }
}
