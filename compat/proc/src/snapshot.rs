//! What `/proc/drbd` shows, as plain data that the engine fills in.

use drbd_options::Era;
use drbd_types::{Minor, Sector, SectorCount, State};
use std::time::Duration;

/// A number of bitmap bits (4 KiB each).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct BitCount(pub u64);

/// A speed in KiB/s.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct KibPerSecond(pub u64);

/// The whole file at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// The second line of the header.
    pub build: Build,
    /// How much is shown.
    pub details: Details,
    /// Every allocated minor, ascending, unconfigured ones included.
    pub devices: Vec<Device>,
    /// The module parameter `minor_count`; only the 0.7 form needs it, which lists them all.
    pub minor_count: u32,
}

impl Default for Snapshot {
    fn default() -> Self {
        Self {
            build: Build::default(),
            details: Details::default(),
            devices: Vec::new(),
            minor_count: 32,
        }
    }
}

/// Where the driver comes from: the second line of the header (spec 70 section 1.2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Build {
    /// A commit and who built it.
    Git {
        /// 40 hexadecimal digits.
        hash: String,
        /// `root@host`
        by: String,
        /// `YYYY-MM-DD HH:MM:SS`
        at: String,
    },
    /// A module of the mainline kernel.
    SrcVersion(String),
    /// Compiled into the kernel.
    BuiltIn,
}

impl Default for Build {
    /// This engine: a hash that no commit of the kernel driver has, so that nobody takes it for
    /// one, in the form that every consumer parses.
    fn default() -> Self {
        Self::Git {
            hash: "0".repeat(40),
            by: "drbdd@userspace".to_owned(),
            at: "2026-11-21 00:00:00".to_owned(),
        }
    }
}

/// The module parameter `proc_details`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub enum Details {
    /// 0
    #[default]
    Normal,
    /// 1: short-term speed, position, caches.
    More,
    /// 2 and 3: also who waits for the activity log.
    Most,
}

/// One minor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Device {
    /// Its number.
    pub minor: Minor,
    /// Its state.
    pub state: State,
    /// `wire_protocol` of the network configuration, if there is one.
    pub protocol: Option<WireProtocol>,
    /// Whether application I/O runs: for the whole resource, for whatever reason.
    pub io: Io,
    /// Why application I/O is slow.
    pub congestion: Congestion,
    /// Whether the activity log is kept.
    pub activity_log: ActivityLog,
    /// The second line.
    pub counters: Counters,
    /// Of the running resync or verify.
    pub progress: Option<Progress>,
    /// The caches of the disk, if one is attached.
    pub caches: Option<Caches>,
    /// Application requests that wait for the activity log.
    pub blocked_on_al: u32,
}

impl Device {
    /// A device as `new-minor` leaves it.
    pub fn unconfigured(minor: Minor) -> Self {
        Self {
            minor,
            state: State::INITIAL,
            protocol: None,
            io: Io::Running,
            congestion: Congestion::None,
            activity_log: ActivityLog::Kept,
            counters: Counters::default(),
            progress: None,
            caches: None,
            blocked_on_al: 0,
        }
    }
}

/// The protocol number of a network configuration, also one that does not exist.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct WireProtocol(pub u32);

/// First flag letter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Io {
    /// `r`
    Running,
    /// `s`
    Suspended,
}

/// Fifth flag letter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Congestion {
    /// `-`
    None,
    /// `d`: new application I/O is blocked.
    Blocked,
    /// `b`: the backing device.
    Disk,
    /// `n`: the network.
    Network,
    /// `a`: both.
    DiskAndNetwork,
    /// `c`: a helper program runs.
    Helper,
}

/// Sixth flag letter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum ActivityLog {
    /// `-`
    Kept,
    /// `s`: everything is marked already.
    Suspended,
}

/// How writes are kept in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum WriteOrdering {
    /// `b`
    Barrier,
    /// `f`
    Flush,
    /// `d`
    Drain,
    /// `n`
    None,
}

/// The second line of a device (spec 70 section 1.5). The kernel's counters of sectors have 32
/// bits and wrap at 2 TiB; these do not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Counters {
    /// `ns`: sent.
    pub sent: SectorCount,
    /// `nr`: received.
    pub received: SectorCount,
    /// `dw`: written to the disk.
    pub disk_written: SectorCount,
    /// `dr`: read from the disk.
    pub disk_read: SectorCount,
    /// `al`: activity-log transactions.
    pub al_writes: u64,
    /// `bm`: bitmap writes.
    pub bm_writes: u64,
    /// `lo`: requests to the disk in flight.
    pub local_pending: u32,
    /// `pe`: requests that wait for the peer, application and resync.
    pub peer_pending: u32,
    /// `ua`: requests of the peer that are not acknowledged.
    pub unacked: u32,
    /// `ap`: application requests that are not completed.
    pub app_pending: u32,
    /// `ep`: epochs; 1 when idle.
    pub epochs: u32,
    /// `wo`
    pub write_ordering: WriteOrdering,
    /// `oos`: set bits.
    pub out_of_sync: BitCount,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            sent: SectorCount(0),
            received: SectorCount(0),
            disk_written: SectorCount(0),
            disk_read: SectorCount(0),
            al_writes: 0,
            bm_writes: 0,
            local_pending: 0,
            peer_pending: 0,
            unacked: 0,
            app_pending: 0,
            epochs: 1,
            write_ordering: WriteOrdering::Flush,
            out_of_sync: BitCount(0),
        }
    }
}

/// How many marks the engine keeps.
pub const MARKS: usize = 8;

/// A resync or verify under way (spec 60 section 7.7). Times count from any fixed moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Bits to do at the start.
    pub total: BitCount,
    /// Resync: set bits without the failed ones; verify: bits not looked at.
    pub left: BitCount,
    /// A ring of earlier values of `left`, all (start, total) at the start; a new one is stored
    /// every 3 s while `left` changes.
    pub marks: [Mark; MARKS],
    /// Index of the newest mark, taken modulo [`MARKS`].
    pub newest: usize,
    /// Now.
    pub now: Duration,
    /// When it began.
    pub started: Duration,
    /// How long it was paused.
    pub paused: Duration,
    /// The speed that the resync controller asks for.
    pub want: KibPerSecond,
    /// Where the scan is, and the size of the device.
    pub position: Position,
}

/// Where the progress stood at some time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    /// When.
    pub at: Duration,
    /// What was left.
    pub left: BitCount,
}

/// The third progress line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Position {
    /// Scan position of the resync, or of the verify, in bits.
    pub bit: BitCount,
    /// Bits of the device.
    pub bits: BitCount,
    /// Where a verify stops before the end, if this node knows.
    pub stop: Option<Sector>,
}

/// The two caches of a disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Caches {
    /// Extents under resync.
    pub resync: CacheCounts,
    /// Extents of the activity log.
    pub act_log: CacheCounts,
}

/// Counters of a cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs, reason = "the names are those of the file")]
pub struct CacheCounts {
    pub used: u32,
    pub slots: u32,
    pub hits: u64,
    pub misses: u64,
    pub starving: u64,
    pub locked: u64,
    pub changed: u64,
}

/// First line of the header: release, API and protocol range that each series is shown as.
pub const fn version_line(era: Era) -> &'static str {
    match era {
        Era::V07 => "version: 0.7.20 (api:79/proto:74)",
        Era::V80 => "version: 8.0.6 (api:86/proto:86)",
        Era::V82 => "version: 8.2.7 (api:88/proto:86-88)",
        Era::V83 => "version: 8.3.16 (api:88/proto:86-97)",
        Era::V84 => "version: 8.4.11 (api:1/proto:86-101)",
    }
}
