//! A process that serves a block device must not wait for memory that is freed only by writing to
//! that device (design section 4 "Front ends").

use std::fs;
use std::io;

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Pid, configure_io_flusher_behavior};

/// The out-of-memory killer's "never".
const NEVER: &str = "-1000";

/// The out-of-memory killer's default.
const DEFAULT: &str = "0";

/// A protection that could not be had; worth a warning, not worth refusing to run.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {source}")]
pub struct Unprotected {
    /// Which one.
    pub what: &'static str,
    /// Why.
    pub source: io::Error,
}

/// Protects the engine; returns what did not work (without root: all of it).
///
/// Call it before the first thread is started: being an I/O flusher is a property of a thread that
/// later threads inherit.
pub fn protect_process() -> Vec<Unprotected> {
    let steps = [
        ("mark the process as an I/O flusher", become_io_flusher()),
        ("lock memory", lock_memory()),
        ("lower the out-of-memory score", spare_from_oom_killer()),
    ];
    let failed = |(what, result): (_, io::Result<()>)| {
        let source = result.err()?;
        Some(Unprotected { what, source })
    };
    steps.into_iter().filter_map(failed).collect()
}

/// Gives a child process (a handler script) the default standing with the out-of-memory killer: it
/// inherits the engine's.
pub fn expose_child(child: Pid) -> io::Result<()> {
    let path = format!("/proc/{}/oom_score_adj", child.as_raw_nonzero());
    fs::write(path, DEFAULT)
}

/// Allocations never start writeback of dirty pages to a device that this process serves.
fn become_io_flusher() -> io::Result<()> {
    Ok(configure_io_flusher_behavior(true)?)
}

/// No page of the engine is ever paged out, to a swap device behind itself perhaps. Pages are locked
/// when they are first touched: thread stacks and read buffers reserve far more than they use.
fn lock_memory() -> io::Result<()> {
    let all = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE;
    match mlockall(all | MlockAllFlags::ONFAULT) {
        // Before Linux 4.4.
        Err(rustix::io::Errno::INVAL) => Ok(mlockall(all)?),
        other => Ok(other?),
    }
}

fn spare_from_oom_killer() -> io::Result<()> {
    fs::write("/proc/self/oom_score_adj", NEVER)
}
