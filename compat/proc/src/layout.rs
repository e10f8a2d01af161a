//! What differs between the series, one row each (spec 70 section 1.10). Each series is shown as
//! its last release: 0.7.20, 8.0.6, 8.2.7, 8.3.16, 8.4.11.

use drbd_options::Era;

/// Which minors are listed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Listing {
    /// All up to `minor_count`.
    All,
    /// The allocated ones, with an empty line for every gap.
    Allocated,
}

/// How the disk states are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Disks {
    /// `ld:Consistent`, the own one only, and no protocol letter.
    OwnConsistency,
    /// `ds:UpToDate/UpToDate C`
    Both,
}

/// When the two cache lines are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CacheLines {
    /// Never.
    Never,
    /// Always, with `dirty:`.
    Always,
    /// With details, with `locked:`.
    Details,
}

/// How a verify shows its progress.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verify {
    /// There is none.
    Unknown,
    /// A percentage.
    Percent,
    /// Like a resync.
    Bar,
}

/// How the second progress line is computed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Speed {
    /// One window, `stalled` instead of the line, no wanted speed.
    OneWindow,
    /// Eight marks, wanted speed.
    Marks {
        /// Seconds after which ` (stalled)` is appended.
        stalled_after: u64,
    },
}

/// One series.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Layout {
    pub(crate) listing: Listing,
    pub(crate) role_key: &'static str,
    pub(crate) disks: Disks,
    /// How many of the six flag letters are shown.
    pub(crate) flags: usize,
    /// Whether ` ep:… wo:… oos:…` ends the counter line.
    pub(crate) epochs: Epochs,
    pub(crate) caches: CacheLines,
    pub(crate) verify: Verify,
    pub(crate) speed: Speed,
    /// Whether more left than total counts as nothing done yet out of `left`.
    pub(crate) overshoot: Overshoot,
}

/// The tail of the counter line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Epochs {
    Absent,
    Shown,
}

/// What more left than total does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Overshoot {
    /// 8.4.5 and later: `left` counts as `total`, and 100% if both are nothing.
    Clamped,
    /// Before: 0%, `left` shown as it is.
    Shown,
}

pub(crate) const fn layout(era: Era) -> Layout {
    let v84 = Layout {
        listing: Listing::Allocated,
        role_key: "ro",
        disks: Disks::Both,
        flags: 6,
        epochs: Epochs::Shown,
        caches: CacheLines::Details,
        verify: Verify::Bar,
        speed: Speed::Marks { stalled_after: 180 },
        overshoot: Overshoot::Clamped,
    };
    let v83 = Layout {
        // The limit was meant as 24 s and compared in units of 1/HZ s: never.
        speed: Speed::Marks {
            stalled_after: u64::MAX,
        },
        overshoot: Overshoot::Shown,
        ..v84
    };
    let v82 = Layout {
        role_key: "st",
        flags: 4,
        caches: CacheLines::Never,
        verify: Verify::Percent,
        speed: Speed::OneWindow,
        ..v83
    };
    let v80 = Layout {
        epochs: Epochs::Absent,
        caches: CacheLines::Always,
        verify: Verify::Unknown,
        ..v82
    };
    match era {
        Era::V84 => v84,
        Era::V83 => v83,
        Era::V82 => v82,
        Era::V80 => v80,
        Era::V07 => Layout {
            listing: Listing::All,
            disks: Disks::OwnConsistency,
            flags: 0,
            caches: CacheLines::Never,
            ..v80
        },
    }
}
