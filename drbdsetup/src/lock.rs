//! The lock that keeps two commands on one minor apart (spec 30 section 2.1 step 10).

use crate::outcome::Stop;
use drbd_types::Minor;
use rustix::fd::OwnedFd;
use rustix::fs::{FlockOperation, Mode, OFlags};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

/// How long to wait for the other command.
const PATIENCE: Duration = Duration::from_secs(1);

/// A held lock; released when dropped.
#[derive(Debug)]
pub struct MinorLock {
    _file: OwnedFd,
}

impl MinorLock {
    /// Takes the lock of a minor.
    pub fn take(dir: &Path, minor: Minor) -> Result<Self, Stop> {
        let path = dir.join(format!("drbd-147-{minor}"));
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
        let file = rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR).map_err(|error| {
            Stop::error(format!(
                "open({}): {}\n",
                path.display(),
                crate::strerror(&error.into())
            ))
        })?;
        // A thread waits in the system call, so that this one can lose patience; the lock
        // belongs to the process.
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let result = rustix::fs::fcntl_lock(&file, FlockOperation::LockExclusive);
            // Nobody listens any more when patience is lost.
            let _ = sender.send(result.map(|()| file));
        });
        match receiver.recv_timeout(PATIENCE) {
            Ok(Ok(file)) => Ok(Self { _file: file }),
            Ok(Err(_)) | Err(_) => Err(held(&path)),
        }
    }
}

fn held(path: &Path) -> Stop {
    let holder = holder(path).unwrap_or(0);
    Stop::error(format!(
        "lock on {} currently held by pid:{holder}\n",
        path.display()
    ))
}

/// Who holds a lock on the file, from the kernel's list.
fn holder(path: &Path) -> Option<u32> {
    let inode = std::fs::metadata(path).ok()?.ino().to_string();
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        // "1: POSIX  ADVISORY  WRITE 1234 fd:01:5678 0 EOF"; waiting ones have "->" second.
        let mut words = line.split_whitespace().skip(1);
        if words.next()? != "POSIX" {
            return None;
        }
        let mut words = words.skip(2);
        let pid = words.next()?.parse().ok()?;
        let file = words.next()?;
        (file.rsplit(':').next() == Some(inode.as_str())).then_some(pid)
    })
}
