//! The plain file of DRBD 0.6 (spec 40 section 3.1).

use super::console::{FAILED_USE, Failure};
use super::session::{Found, Opened, Session};
use crate::device::{Caching, Claim, Kind, OpenError, errno_text};
use crate::record::{Format, Record};
use crate::superblock::SUPERBLOCK_BYTES;

/// Opens the file and reads its record.
pub fn open(session: &mut Session<'_>) -> Result<Opened, Failure> {
    let path = session.call.path.clone();
    let device = match session.devices.open(&path, Claim::Shared, Caching::Cached) {
        Ok(device) => device,
        Err(OpenError::Open { path, error }) => {
            let text = errno_text(&error);
            return Err(Failure::new(1, format_args!("open({path}) failed: {text}")));
        }
        Err(_) => return Err(not_plain(session)),
    };
    if device.kind() != Kind::RegularFile {
        return Err(not_plain(session));
    }
    let mut store = session.guard(device);
    let mut block = [0; SUPERBLOCK_BYTES];
    let length = Format::V06.superblock_bytes();
    // The genuine 9.3 and later permit nothing, so that every write fails.
    store.permit(0, length as u64);
    let readable = length.min(usize::try_from(store.size().0).unwrap_or(length));
    store.read(
        &mut session.con,
        "v06_md_disk_to_cpu",
        0,
        &mut block[..readable],
    )?;
    let found = match Record::parse(Format::V06, &block) {
        Some(record) => Found::InPlace(record),
        None => {
            session.con.trace(1, "v06 Magic number not found");
            Found::Nothing
        }
    };
    Ok(Opened {
        store,
        at: 0,
        found,
    })
}

fn not_plain(session: &Session<'_>) -> Failure {
    let path = session.call.path.display();
    Failure::new(FAILED_USE, format_args!("'{path}' is not a plain file!"))
}
