//! The lock that keeps two tools from working on one minor (spec 40 section 9.1).

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use drbd_types::Minor;
use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::process::{Flock, FlockType, fcntl_getlk};

use super::console::{FAILED_USE, Failure};
use crate::device::errno_text;

/// How long another holder is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// Takes the lock of a minor; it lasts as long as the file stays open.
pub fn take(directory: &Path, minor: Minor) -> Result<File, Failure> {
    let path = directory.join(format!("drbd-147-{minor}"));
    let failed = |error: std::io::Error| {
        Failure::new(
            FAILED_USE,
            format_args!("open({}): {}", path.display(), errno_text(&error)),
        )
    };
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    if fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
        return Ok(file);
    }
    let waiting = file.try_clone().map_err(failed)?;
    let (sender, receiver) = mpsc::sync_channel(1);
    // The lock belongs to the process: a thread can wait for it, and be left behind.
    std::thread::Builder::new()
        .spawn(move || sender.send(fcntl_lock(&waiting, FlockOperation::LockExclusive)))
        .map_err(failed)?;
    match receiver.recv_timeout(PATIENCE) {
        Ok(result) => result.map_err(|e| failed(e.into())).map(|()| file),
        Err(_) => {
            let holder = fcntl_getlk(&file, &Flock::from(FlockType::WriteLock))
                .ok()
                .flatten()
                .and_then(|lock| lock.pid)
                .map_or(0, |pid| pid.as_raw_nonzero().get());
            Err(Failure::new(
                FAILED_USE,
                format_args!("lock on {} currently held by pid:{holder}", path.display()),
            ))
        }
    }
}
