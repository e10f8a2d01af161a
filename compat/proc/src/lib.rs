//! `/proc/drbd` as text, in the form of each DRBD series.
//!
//! * [`snapshot`]: what is shown, as plain data. The engine fills a [`Snapshot`].
//! * `layout`: what differs between the series, as a table.
//! * `progress`: the progress lines.
//! * [`render()`]: snapshot and series in, text out. Pure; no clock, no I/O.
//!
//! Source: spec 70 section 1, captured from Linux 6.12 drbd.ko 8.4.11.
#![forbid(unsafe_code)]

mod layout;
mod progress;
mod render;
pub mod snapshot;

pub use drbd_options::Era;
pub use render::render;
pub use snapshot::{
    ActivityLog, BitCount, Build, CacheCounts, Caches, Congestion, Counters, Details, Device, Io,
    KibPerSecond, MARKS, Mark, Position, Progress, Snapshot, WireProtocol, WriteOrdering,
};
