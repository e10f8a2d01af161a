//! The options that the core acts on, typed; the driver translates them from the control
//! messages. Everything else (addresses, secrets, socket buffers) stays with the driver.

use core::time::Duration;

use crate::split_brain::{AfterSb0Pri, AfterSb1Pri, AfterSb2Pri, RrConflict};
use crate::state_rules::{Fencing, OnNoData, TwoPrimaries};
use drbd_types::{Protocol, SectorCount};

/// disk section (spec 30 section 2.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DiskConf {
    /// Size asked for; zero means "as large as possible".
    pub size: SectorCount,
    /// What to do when the disk fails.
    pub on_io_error: OnIoError,
    /// Fencing policy.
    pub fencing: Fencing,
    /// How a Secondary orders writes.
    pub ordering: WriteOrdering,
    /// Fixed resync rate, or its start value, in KiB/s.
    pub resync_rate: u32,
    /// Slots of the resync controller's plan, in 0.1 s; zero selects the fixed rate.
    pub c_plan_ahead: u32,
    /// Delay aimed at, in 0.1 s.
    pub c_delay_target: u32,
    /// Data in flight aimed at, in sectors; zero selects the delay target.
    pub c_fill_target: u32,
    /// Upper limit of the controller, in KiB/s.
    pub c_max_rate: u32,
    /// Below this the resync does not give way to the application, in KiB/s.
    pub c_min_rate: u32,
    /// Slots of the activity log.
    pub al_extents: u32,
    /// Whether the activity log is written.
    pub al_updates: AlUpdates,
}

/// Policy for errors of the backing device (spec 60 section 4.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnIoError {
    /// The disk becomes Inconsistent and stays.
    PassOn,
    /// Handler, then detach.
    CallLocalIoError,
    /// Detach.
    Detach,
}

/// Method by which a Secondary keeps write order (spec 60 section 8.5), as `wo:` shows it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum WriteOrdering {
    /// `n`: no care.
    None,
    /// `d`: wait for the epoch's writes.
    Drain,
    /// `f`: wait and flush.
    Flush,
}

impl WriteOrdering {
    /// The word of the log line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Drain => "drain",
            Self::Flush => "flush",
        }
    }
}

/// Whether the activity log is written to disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AlUpdates {
    /// Yes: a crashed Primary resyncs its hot extents.
    Written,
    /// No: it resyncs everything.
    Omitted,
}

/// net section (spec 30 section 2.4).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NetConf {
    /// When a write is done.
    pub protocol: Protocol,
    /// Send and answer timeout.
    pub timeout: Duration,
    /// Idle time before a ping.
    pub ping_int: Duration,
    /// Time for the answer to a ping.
    pub ping_timeout: Duration,
    /// How many timeouts a request may take; zero for any number.
    pub ko_count: u32,
    /// Pages of 4 KiB for data of the peer, and application requests in progress.
    pub max_buffers: u32,
    /// Writes an epoch may hold.
    pub max_epoch_size: u32,
    /// Split brain without a Primary.
    pub after_sb_0pri: AfterSb0Pri,
    /// Split brain with one Primary.
    pub after_sb_1pri: AfterSb1Pri,
    /// Split brain with two Primaries.
    pub after_sb_2pri: AfterSb2Pri,
    /// Whether automatic recovery is tried without a common bitmap base.
    pub always_asbp: AlwaysAsbp,
    /// When a Primary should become sync target.
    pub rr_conflict: RrConflict,
    /// Whether both nodes may be Primary.
    pub two_primaries: TwoPrimaries,
    /// How the bitmap is sent.
    pub bitmap_code: BitmapCode,
    /// verify-alg; empty for none.
    pub verify_alg: alloc::string::String,
    /// csums-alg; empty for none.
    pub csums_alg: alloc::string::String,
}

/// always-asbp.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AlwaysAsbp {
    /// Only with a common bitmap base.
    No,
    /// Always.
    Yes,
}

/// use-rle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BitmapCode {
    /// Compressed where shorter.
    RunLength,
    /// Plain words.
    Plain,
}

/// resource options section.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ResourceConf {
    /// What happens to I/O without any usable data.
    pub on_no_data: OnNoData,
}
