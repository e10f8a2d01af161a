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
        (
            "give large buffers back when they are freed",
            return_freed_memory(),
        ),
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

/// Allocations of this many bytes and more are mappings of their own: the read buffers of the FUSE
/// threads, 16 MiB each and hardly touched, pieces of bitmaps, and the largest buffers of a pool.
#[cfg(target_env = "gnu")]
const MAPPED_FROM: libc::c_int = 1 << 20;

/// Left to itself glibc keeps large freed buffers from the second one on, clears them when they are
/// asked for again, and so makes every page of them resident: 64 MiB for each volume.
#[cfg(target_env = "gnu")]
fn return_freed_memory() -> io::Result<()> {
    // SAFETY: takes two numbers, and is called before the first thread is started.
    match unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_FROM) } {
        0 => Err(io::ErrorKind::InvalidInput.into()),
        _ => Ok(()),
    }
}

/// Other allocators are as they are.
#[cfg(not(target_env = "gnu"))]
const fn return_freed_memory() -> io::Result<()> {
    Ok(())
}

fn spare_from_oom_killer() -> io::Result<()> {
    fs::write("/proc/self/oom_score_adj", NEVER)
}
