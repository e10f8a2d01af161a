//! Looking for existing data before meta-data is written, and the refusals and questions that
//! follow (spec 40 section 12).

use std::process::{Command, Stdio};

use super::console::{Answer, Console, Failure};
use super::session::Session;
use super::store::Store;
use crate::device::PageBuffer;
use crate::probe::{Content, Kind, PROBE_BYTES, probe};
use crate::record::Record;

/// Exit status of a refusal because of existing data.
pub const REFUSED: u8 = 40;

/// Where the new meta-data goes, as far as the messages tell it.
pub struct Target {
    /// Byte position of the superblock.
    pub md: u64,
    /// Byte position of the activity log.
    pub al: u64,
    /// Byte position of the bitmap.
    pub bm: u64,
    /// KiB that stay usable.
    pub usable_kb: u64,
}

impl Target {
    /// The target of a record to be written at byte `at`.
    pub fn of(record: &Record, session: &Session<'_>, at: u64) -> Self {
        let usable = record.usable_sectors(session.call.placement, at);
        // Below byte 0 the genuine arithmetic wraps; it then shows the superblock's position.
        let wrapped = session.call.placement.is_internal() && usable > at / 512;
        Self {
            md: at,
            al: record.al_at(at),
            bm: record.bm_at(at),
            usable_kb: if wrapped { at / 512 } else { usable } / 2,
        }
    }
}

/// Looks at the beginning of the meta-data device; returns if the new meta-data may be written.
pub fn check(session: &mut Session<'_>, store: &Store, target: &Target) -> Result<(), Failure> {
    let mut head = PageBuffer::new(PROBE_BYTES);
    store.read(&mut session.con, "check_for_existing_data", 0, &mut head)?;
    let (text, kind, bytes) = match probe(&head) {
        Content::Nothing => return Ok(()),
        Content::SomeData => ("some data", None, None),
        Content::Known { kind, bytes } => (kind.text(), Some(kind), bytes),
    };
    let Target { md, al, bm, .. } = *target;
    session.con.say(format_args!(
        "md_offset {md}\nal_offset {al}\nbm_offset {bm}\n\nFound {text}"
    ));
    let bytes = match kind {
        Some(Kind::Lvm) => physical_volume_bytes(session),
        _ => bytes,
    };
    let internal = session.call.placement.is_internal();
    match (kind, bytes) {
        (None, _) => ask(&mut session.con),
        (Some(Kind::Swap | Kind::Lvm), _) if !internal => refuse_external(session),
        (Some(Kind::Swap | Kind::Lvm), None) => refuse_unsized(session, kind, target),
        (Some(_), None) => ask(&mut session.con),
        (Some(_), Some(_)) if !internal => refuse_external(session),
        (Some(_), Some(used)) => compare(session, used.div_ceil(1024), target.usable_kb),
    }
}

fn ask(con: &mut Console<'_>) -> Result<(), Failure> {
    con.say("\n ==> This might destroy existing data! <==");
    proceed(con)
}

fn proceed(con: &mut Console<'_>) -> Result<(), Failure> {
    match con.confirm("Do you want to proceed?") {
        Answer::Yes => Ok(()),
        Answer::No => {
            con.say("Operation canceled.");
            Err(Failure::silent(1))
        }
    }
}

const ZERO_OUT_FIRST: &str = "If you want me to do this, you need to zero out the first part
of the device (destroy the content).
You should be very sure that you mean it.
Operation refused.
";
const TRUNCATION: &str = "Device size would be truncated, which
would corrupt data and result in
'access beyond end of device' errors.";

fn refuse_external(session: &mut Session<'_>) -> Result<(), Failure> {
    session.con.say("\nThis would corrupt existing data.");
    refuse_unless_ignored(session)
}

fn refuse_unsized(
    session: &mut Session<'_>,
    kind: Option<Kind>,
    target: &Target,
) -> Result<(), Failure> {
    let usable = target.usable_kb;
    session.con.say(format_args!(
        "{usable:12} kB left usable by current configuration"
    ));
    if kind == Some(Kind::Lvm) {
        session
            .con
            .say("Could not determine the size of the actually used data area.\n");
    }
    session.con.say(TRUNCATION);
    refuse_unless_ignored(session)
}

fn refuse_unless_ignored(session: &mut Session<'_>) -> Result<(), Failure> {
    if session.call.options.ignore_sanity_checks {
        session
            .con
            .say("\nIgnoring sanity check on user request.\n");
        return Ok(());
    }
    session.con.say(ZERO_OUT_FIRST);
    Err(Failure::silent(REFUSED))
}

fn compare(session: &mut Session<'_>, used_kb: u128, usable_kb: u64) -> Result<(), Failure> {
    let con = &mut session.con;
    con.say(format_args!("{used_kb:12} kB data area apparently used"));
    con.say(format_args!(
        "{usable_kb:12} kB left usable by current configuration"
    ));
    if used_kb > u128::from(usable_kb) {
        con.say(format_args!(
            "\n{TRUNCATION}\nYou need to either\n   * use external meta data (recommended)\n   \
             * shrink that filesystem first\n   * zero out the device (destroy the filesystem)\n\
             Operation refused.\n"
        ));
        return Err(Failure::silent(REFUSED));
    }
    con.say(
        "\nEven though it looks like this would place the new meta data into\n\
         unused space, you still need to confirm, as this is only a guess.",
    );
    proceed(con)
}

/// The size that LVM tells of a physical volume. Its complaints are shown, marked as LVM's.
fn physical_volume_bytes(session: &mut Session<'_>) -> Option<u128> {
    const SCRIPT: &str = "pvs -vvv --noheadings --nosuffix --units s -o pv_size --config \
        \"devices { write_cache_state=0 filter = [ 'a|$dev_name|', 'r|.|' ] }\"";
    let output = Command::new("sh")
        .args(["-vxc", SCRIPT])
        .env("dev_name", &session.call.path)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    let sectors = stdout
        .split_whitespace()
        .next()
        .and_then(|word| word.parse::<u64>().ok());
    if sectors.is_none() {
        for line in String::from_utf8_lossy(&output.stderr).lines() {
            session.con.warn(format_args!("pvs stderr:{line}"));
        }
        session.con.warn("");
    }
    sectors.map(|s| u128::from(s) * 512)
}
