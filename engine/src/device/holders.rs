//! Who has a block device open (spec 60 section 8.1: demotion with an open count above 0 is refused).
//!
//! The kernel tells nobody how often a block device is open, so two questions are asked instead.
//! An exclusive open fails while anything in the kernel claims the device: a mounted file system in
//! any mount namespace, swap, device mapper, md, another exclusive opener. Plain openers (`dd`, a
//! virtual machine) are found through the open files of all processes.

use std::fs;
use std::io;

use rustix::fs::{AtFlags, CWD, FileType, StatxFlags, statx};

use super::DeviceNumber;

/// Somebody who has a block device open.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Holder {
    /// The kernel: a mount, swap, device mapper and so on.
    Claimed,
    /// A process other than this one.
    Process {
        /// Its number.
        pid: u32,
        /// Its name.
        command: String,
    },
}

/// Finds somebody who has the device open. `open_exclusively` tries to open it with `O_EXCL`.
pub fn find<D>(
    number: DeviceNumber,
    open_exclusively: impl FnOnce() -> io::Result<D>,
) -> io::Result<Option<Holder>> {
    match open_exclusively() {
        Ok(_) => {}
        Err(e) if e.raw_os_error() == Some(libc::EBUSY) => return Ok(Some(Holder::Claimed)),
        Err(e) => return Err(e),
    }
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(pid) = name.and_then(|name| name.parse().ok()) else {
            continue;
        };
        // A process may end meanwhile, and the engine itself opens its devices only for a moment.
        if pid != std::process::id() && has_open(pid, number).unwrap_or(false) {
            let command = fs::read_to_string(path.join("comm")).unwrap_or_default();
            return Ok(Some(Holder::Process {
                pid,
                command: command.trim_end().to_owned(),
            }));
        }
    }
    Ok(None)
}

fn has_open(pid: u32, number: DeviceNumber) -> io::Result<bool> {
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        // DONT_SYNC: a file on a dead network mount must not hang the engine.
        let file = statx(
            CWD,
            entry?.path(),
            AtFlags::STATX_DONT_SYNC,
            StatxFlags::TYPE,
        );
        if file.is_ok_and(|file| {
            FileType::from_raw_mode(u32::from(file.stx_mode)) == FileType::BlockDevice
                && file.stx_rdev_major == number.major
                && file.stx_rdev_minor == number.minor
        }) {
            return Ok(true);
        }
    }
    Ok(false)
}
