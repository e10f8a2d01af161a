//! The file that remembers size and name of a device with flexible internal meta-data, so that
//! the meta-data is found after the device was resized off line (spec 40 section 14).

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use drbd_types::ByteCount;

use super::console::Console;
use super::session::Session;
use super::store::{Store, Writing};
use crate::device::errno_text;
use crate::layout::Placement;
use crate::record::{Format, Record};

/// More is not read of such a file.
const LIMIT: u64 = 4096;

/// What the file says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LastKnown {
    /// Size of the backing device when the superblock was written last.
    pub size: ByteCount,
    /// Its name at that time.
    pub name: String,
    /// Identity of the device; 0 when unknown.
    pub uuid: u64,
}

/// Why there is no such knowledge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Unknown {
    NoFile,
    Unparsable,
}

/// The file of the session's minor.
pub fn path(session: &Session<'_>) -> PathBuf {
    let minor = match session.call.minor {
        Some(minor) => minor.to_string(),
        None => "-1".to_owned(),
    };
    session
        .env
        .state_dir
        .join(format!("drbd-minor-{minor}.lkbd"))
}

/// Reads the file, telling at `-v` what it says, and why it is of no use.
pub fn load(con: &mut Console<'_>, path: &Path) -> Option<LastKnown> {
    let Some(known) = load_quietly(con, path) else {
        con.trace(1, "no last-known offset information available.");
        return None;
    };
    let name = match known.name.as_str() {
        "" => "-unknown device name-",
        name => name,
    };
    con.trace(1, format_args!(" last known info: {} {name}", known.size));
    if known.uuid != 0 {
        con.trace(1, format_args!(" last known uuid: {:016X}", known.uuid));
    }
    Some(known)
}

/// Reads the file, complaining only about one that makes no sense.
pub fn load_quietly(con: &mut Console<'_>, path: &Path) -> Option<LastKnown> {
    match read(path) {
        Ok(known) => Some(known),
        Err(Unknown::NoFile) => None,
        Err(Unknown::Unparsable) => {
            con.warn(format_args!(
                "lk_bdev_load({}): parse error",
                path.display()
            ));
            None
        }
    }
}

fn read(path: &Path) -> Result<LastKnown, Unknown> {
    let file = fs::File::open(path).map_err(|_| Unknown::NoFile)?;
    let mut bytes = Vec::new();
    file.take(LIMIT)
        .read_to_end(&mut bytes)
        .map_err(|_| Unknown::Unparsable)?;
    parse(&String::from_utf8_lossy(&bytes)).ok_or(Unknown::Unparsable)
}

/// A size, perhaps a name, perhaps a line with the identity.
fn parse(text: &str) -> Option<LastKnown> {
    let mut words = text.split_whitespace();
    let digits = words.next()?;
    let end = digits.bytes().take_while(u8::is_ascii_digit).count();
    let size = digits[..end].parse().ok()?;
    let name = words.next().unwrap_or_default().to_owned();
    let uuid = match words.next() {
        Some("uuid:") => words
            .next()
            .and_then(|w| u64::from_str_radix(w.trim_start_matches("0x"), 16).ok())
            .unwrap_or(0),
        _ => 0,
    };
    Some(LastKnown {
        size: ByteCount(size),
        name,
        uuid,
    })
}

/// After a superblock was written: the file is rewritten for flexible internal meta-data and goes
/// away for other placements. v07 never had one.
pub fn follow(session: &mut Session<'_>, store: &Store, record: &Record) {
    if store.writing() == Writing::DryRun || record.format < Format::V08 {
        return;
    }
    if session.call.placement == Placement::FlexInternal {
        save(session, store.size(), record.device_uuid);
    } else {
        remove(session);
    }
}

/// Writes the file anew, under another name first: a crash leaves the old or the new content.
pub fn save(session: &mut Session<'_>, size: ByteCount, uuid: u64) {
    let path = path(session);
    let mut text = format!("{size}\t{}\n", session.call.path.display());
    if uuid != 0 {
        text.push_str(&format!("uuid:\t{uuid:016X}\n"));
    }
    if let Err(error) = replace(&path, &text) {
        session.con.warn(format_args!(
            "lk_bdev_save({}) failed: {}",
            path.display(),
            errno_text(&error)
        ));
    }
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let temporary = path.with_extension("lkbd.new");
    fs::write(&temporary, text)?;
    fs::rename(temporary, path)
}

/// Removes the file; it need not exist.
pub fn remove(session: &Session<'_>) {
    // Nothing depends on it: a stale file is checked against the device before it is believed.
    let _ = fs::remove_file(path(session));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complete_and_incomplete_files_are_read() {
        let full = parse("67108864\t/dev/loop1\nuuid:\t000000001234ABCD\n").unwrap();
        assert_eq!(full.size, ByteCount(67_108_864));
        assert_eq!(full.name, "/dev/loop1");
        assert_eq!(full.uuid, 0x1234_abcd);
        assert_eq!(parse("5").unwrap().uuid, 0);
        assert_eq!(parse("5 x\nuuid:").unwrap().uuid, 0);
        for bad in ["", "x", "-5 /dev/x", "99999999999999999999999 x"] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }
}
