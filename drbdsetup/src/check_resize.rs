//! `check-resize`: notes the size of a backing device with internal meta-data, so that
//! `drbdmeta` finds the meta-data again after the device has grown (spec 30 section 2.13).

use crate::client::Client;
use crate::outcome::Stop;
use crate::parse::Call;
use crate::run::{Paths, printed, status_of};
use std::fs;
use std::io;
use std::path::Path;

/// Writes or removes the note of a minor.
pub fn check_resize(call: &Call, client: &mut Client, paths: &Paths) -> Result<Stop, Stop> {
    let message = status_of(call, client)?;
    let minor = call.minor.unwrap_or_default();
    let path = paths.state_dir.join(format!("drbd-minor-{minor}.lkbd"));
    let (device, is_internal) = match message.disk_conf() {
        Some(conf) => (conf.backing_dev.as_str(), conf.meta_index.is_internal()),
        // Without a disk nothing is internal either.
        None => ("", false),
    };
    if !is_internal {
        return match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&path, &error)),
            _ => Ok(printed(String::new())),
        };
    }
    let size = size_of(device).map_err(|error| Stop {
        exit: 1,
        ..Stop::error(format!(
            "Could not open {device}: {}.\n",
            crate::strerror(&error)
        ))
    })?;
    let note = format!("{size}\t{device}\n");
    if fs::read_to_string(&path).is_ok_and(|old| old.starts_with(&note)) {
        return Ok(printed(String::new()));
    }
    fs::write(&path, note).map_err(|error| failed(&path, &error))?;
    Ok(printed(String::new()))
}

fn failed(path: &Path, error: &io::Error) -> Stop {
    Stop {
        exit: 1,
        ..Stop::error(format!(
            "Could not write {}: {}.\n",
            path.display(),
            crate::strerror(error)
        ))
    }
}

/// Size in bytes of a block device or file.
fn size_of(device: &str) -> io::Result<u64> {
    let mut file = fs::File::open(device)?;
    io::Seek::seek(&mut file, io::SeekFrom::End(0))
}
