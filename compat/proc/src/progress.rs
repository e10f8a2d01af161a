//! The progress lines of a resync or verify (spec 70 section 1.7, spec 60 section 7.7).
//!
//! All arithmetic is that of the driver, in integers.

use crate::layout::{Layout, Overshoot, Speed, Verify};
use crate::snapshot::{BitCount, Details, MARKS, Mark, Progress};
use drbd_types::ConnState;
use std::fmt::{self, Write};
use std::time::Duration;

/// KiB that a bit stands for.
const KIB_PER_BIT: u64 = 4;
/// Above this many bits (4 GiB) amounts are shown in MiB.
const MIB_FROM_BITS: u64 = 1 << 20;

/// What the progress lines are about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Resync,
    Verify,
}

impl Kind {
    pub(crate) const fn of(conn: ConnState) -> Option<Self> {
        match conn {
            ConnState::SyncSource | ConnState::SyncTarget => Some(Self::Resync),
            ConnState::VerifyS | ConnState::VerifyT => Some(Self::Verify),
            _ => None,
        }
    }
}

/// Appends the progress block of a device in this connection state, if it has one.
pub(crate) fn write(
    out: &mut String,
    layout: &Layout,
    conn: ConnState,
    details: Details,
    progress: &Progress,
) -> fmt::Result {
    match (Kind::of(conn), layout.verify) {
        (None, _) | (Some(Kind::Verify), Verify::Unknown) => Ok(()),
        (Some(Kind::Verify), Verify::Percent) => percent_line(out, progress),
        (Some(kind), _) => {
            let shown = Shown::new(layout.overshoot, progress);
            bar_line(out, layout, kind, &shown)?;
            match layout.speed {
                Speed::OneWindow => one_window_line(out, progress, shown.left),
                Speed::Marks { stalled_after } => {
                    speed_line(out, conn, details, progress, shown.left, stalled_after)?;
                    if details >= Details::More {
                        position_line(out, kind, progress)?;
                    }
                    Ok(())
                }
            }
        }
    }
}

/// Amounts as they are shown.
struct Shown {
    left: u64,
    total: u64,
    /// 0 to 1000 done.
    permille: u64,
}

impl Shown {
    fn new(overshoot: Overshoot, progress: &Progress) -> Self {
        let (left, total) = (progress.left.0, progress.total.0);
        if left > total {
            return match overshoot {
                // With nothing to do at all everything is done.
                Overshoot::Clamped => Self {
                    left: total,
                    total,
                    permille: if total == 0 { 1000 } else { 0 },
                },
                Overshoot::Shown => Self {
                    left,
                    total,
                    permille: 0,
                },
            };
        }
        // 64-bit bit counts above 2^32 are scaled down more, so that the product fits.
        let shift = if total > u64::from(u32::MAX) { 16 } else { 10 };
        let permille_left = (left >> shift).saturating_mul(1000) / ((total >> shift) + 1);
        Self {
            left,
            total,
            permille: 1000 - permille_left.min(1000),
        }
    }
}

fn bar_line(out: &mut String, layout: &Layout, kind: Kind, shown: &Shown) -> fmt::Result {
    let done = usize::try_from(shown.permille / 50).unwrap_or(20).min(20);
    let label = match kind {
        Kind::Resync => "sync'ed:",
        Kind::Verify => "verified:",
    };
    write!(
        out,
        "\t[{}>{}] {label}{:>3}.{}% ",
        "=".repeat(done.saturating_sub(1)),
        ".".repeat(20 - done),
        shown.permille / 10,
        shown.permille % 10,
    )?;
    if shown.total > MIB_FROM_BITS {
        let mib = |bits: u64| match layout.speed {
            Speed::OneWindow => bits.saturating_mul(KIB_PER_BIT) >> 10,
            Speed::Marks { .. } => (bits >> 10) * KIB_PER_BIT,
        };
        writeln!(out, "({}/{})M", mib(shown.left), mib(shown.total))
    } else {
        let kib = |bits: u64| bits.saturating_mul(KIB_PER_BIT);
        writeln!(out, "({}/{})K", kib(shown.left), kib(shown.total))
    }
}

/// Average speed since a mark.
struct Window {
    seconds: u64,
    bits: u64,
}

impl Window {
    fn since(mark: Mark, now: Duration, left: u64) -> Self {
        Self {
            seconds: now.saturating_sub(mark.at).as_secs(),
            bits: mark.left.0.saturating_sub(left),
        }
    }

    /// The seconds to divide by.
    fn divisor(&self) -> u64 {
        self.seconds.max(1)
    }

    fn kib_per_second(&self) -> u64 {
        (self.bits / self.divisor()).saturating_mul(KIB_PER_BIT)
    }

    /// Seconds until nothing is left at this speed.
    fn finish(&self, left: u64) -> u64 {
        self.divisor().saturating_mul(left / (self.bits / 100 + 1)) / 100
    }
}

fn mark(progress: &Progress, ahead: usize) -> Mark {
    progress.marks[(progress.newest % MARKS + ahead) % MARKS]
}

fn average(progress: &Progress, left: u64) -> u64 {
    let whole = Mark {
        at: progress.started.saturating_add(progress.paused),
        left: progress.total,
    };
    Window::since(whole, progress.now, left).kib_per_second()
}

fn speed_line(
    out: &mut String,
    conn: ConnState,
    details: Details,
    progress: &Progress,
    left: u64,
    stalled_after: u64,
) -> fmt::Result {
    let window = Window::since(mark(progress, 2), progress.now, left);
    write!(
        out,
        "\tfinish: {} speed: {} (",
        HoursMinutesSeconds(window.finish(left)),
        Grouped(window.kib_per_second()),
    )?;
    if details >= Details::More {
        let short = Window::since(mark(progress, 7), progress.now, left);
        write!(out, "{} -- ", Grouped(short.kib_per_second()))?;
    }
    write!(out, "{})", Grouped(average(progress, left)))?;
    if matches!(conn, ConnState::SyncTarget | ConnState::VerifyS) {
        write!(out, " want: {}", Grouped(progress.want.0))?;
    }
    out.write_str(" K/sec")?;
    if window.seconds > stalled_after {
        out.write_str(" (stalled)")?;
    }
    writeln!(out)
}

/// 0.7 to 8.2: the oldest of the marks stands for the single one of these series.
fn one_window_line(out: &mut String, progress: &Progress, left: u64) -> fmt::Result {
    let newest = mark(progress, 0);
    if progress.now.saturating_sub(newest.at).as_secs() > 20 {
        return writeln!(out, "\tstalled");
    }
    let window = Window::since(mark(progress, 2), progress.now, left);
    writeln!(
        out,
        "\tfinish: {} speed: {} ({}) K/sec",
        HoursMinutesSeconds(window.finish(left)),
        GroupedOnce(window.kib_per_second()),
        GroupedOnce(average(progress, left)),
    )
}

fn position_line(out: &mut String, kind: Kind, progress: &Progress) -> fmt::Result {
    let position = &progress.position;
    let (bit, bits) = match kind {
        Kind::Resync => (position.bit.0, position.bits.0),
        Kind::Verify => (
            position.bits.0.saturating_sub(progress.left.0),
            position.bits.0,
        ),
    };
    let percent = bit / (bits / 100 + 1);
    let sectors = |bits: u64| bits.saturating_mul(drbd_types::units::BIT_SECTORS);
    write!(
        out,
        "\t{percent:>3}% sector pos: {}/{}",
        sectors(bit),
        sectors(bits)
    )?;
    match position.stop {
        Some(stop) if kind == Kind::Verify && stop.0 != 0 && stop.0 != u64::MAX => {
            writeln!(out, " stop sector: {stop}")
        }
        _ => writeln!(out),
    }
}

/// A verify before 8.3.10.
fn percent_line(out: &mut String, progress: &Progress) -> fmt::Result {
    let BitCount(total) = progress.total;
    let done = total.saturating_sub(progress.left.0);
    writeln!(
        out,
        "\t{:>3}%      {done}/{total}",
        done / (total / 100 + 1)
    )
}

struct HoursMinutesSeconds(u64);

impl fmt::Display for HoursMinutesSeconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = self.0;
        write!(f, "{}:{:02}:{:02}", s / 3600, s % 3600 / 60, s % 60)
    }
}

/// Thousands separated by commas. From 10^9 on the driver has no further comma.
struct Grouped(u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.0;
        let (millions, thousands, ones) = (n / 1_000_000, n / 1000 % 1000, n % 1000);
        if millions > 0 {
            write!(f, "{millions},{thousands:03},{ones:03}")
        } else if thousands > 0 {
            write!(f, "{thousands},{ones:03}")
        } else {
            write!(f, "{ones}")
        }
    }
}

/// As before 8.3.10: one comma, and none in 1000 itself.
struct GroupedOnce(u64);

impl fmt::Display for GroupedOnce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.0;
        if n > 1000 {
            write!(f, "{},{:03}", n / 1000, n % 1000)
        } else {
            write!(f, "{n}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped_as_each_series_does() {
        let grouped =
            [0, 999, 1000, 1968, 409_600, 1_000_000, 1_234_567_890].map(|n| Grouped(n).to_string());
        assert_eq!(
            grouped,
            [
                "0",
                "999",
                "1,000",
                "1,968",
                "409,600",
                "1,000,000",
                "1234,567,890"
            ]
        );
        let once = [999, 1000, 1001, 1_234_567].map(|n| GroupedOnce(n).to_string());
        assert_eq!(once, ["999", "1000", "1,001", "1234,567"]);
    }
}
