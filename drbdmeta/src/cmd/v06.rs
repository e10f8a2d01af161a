//! The plain file of DRBD 0.6 (spec 40 section 3.1).

use std::io;

use drbd_types::ByteCount;
use rustix::io::Errno;

use super::console::Failure;
use super::session::{Found, Opened, Session};
use crate::device::{Caching, Claim, Kind, Medium, OpenError, errno_text};
use crate::record::{Format, Record};
use crate::superblock::SUPERBLOCK_BYTES;

/// Opens the file and reads its record. Without a file every command goes on as without
/// meta-data, once that was said.
pub fn open(session: &mut Session<'_>) -> Result<Opened, Failure> {
    let path = session.call.path.clone();
    let not_plain = format!("'{}' is not a plain file!", path.display());
    let opened = session.devices.open(&path, Claim::Shared, Caching::Cached);
    let complaint = match opened {
        Ok(device) if device.kind() == Kind::RegularFile => return read(session, device),
        Ok(_) => not_plain,
        Err(OpenError::Open { path, error }) => {
            format!("open({path}) failed: {}", errno_text(&error))
        }
        Err(_) => not_plain,
    };
    session.con.warn(complaint);
    Ok(Opened {
        store: session.guard(Box::new(NoFile)),
        at: 0,
        found: Found::Nothing,
    })
}

fn read(session: &mut Session<'_>, device: Box<dyn Medium>) -> Result<Opened, Failure> {
    let mut store = session.guard(device);
    let mut block = [0; SUPERBLOCK_BYTES];
    let length = Format::V06.superblock_bytes();
    // The genuine 9.3 and later permit nothing, so that every write fails.
    store.permit(0, length as u64);
    let head = &mut block[..length];
    store.read(&mut session.con, "v06_md_disk_to_cpu", 0, head)?;
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

/// What stands for a file that could not be opened: nothing can be read from it or written to it.
struct NoFile;

impl Medium for NoFile {
    fn size(&self) -> ByteCount {
        ByteCount(0)
    }
    fn kind(&self) -> Kind {
        Kind::RegularFile
    }
    fn descriptor(&self) -> i32 {
        -1
    }
    fn lock(&self, _: Claim) -> io::Result<()> {
        Err(Errno::BADF.into())
    }
    fn read_up_to(&self, _: ByteCount, _: &mut [u8]) -> io::Result<usize> {
        Err(Errno::BADF.into())
    }
    fn write_at(&self, _: ByteCount, _: &[u8]) -> io::Result<()> {
        Err(Errno::BADF.into())
    }
    fn zero_out(&self, _: ByteCount, _: ByteCount) -> io::Result<()> {
        Err(Errno::BADF.into())
    }
    fn flush(&self) -> io::Result<()> {
        Err(Errno::BADF.into())
    }
}
