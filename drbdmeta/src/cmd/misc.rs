//! `wipe-md` and `forget-peer`.

use super::console::{Answer, Failure};
use super::lkbd;
use super::session::{Found, Session};
use super::store::Writing;
use crate::superblock::SUPERBLOCK_BYTES;

/// `wipe-md`
pub fn wipe(session: &mut Session<'_>) -> Result<u8, Failure> {
    let opened = session.open()?;
    let Found::InPlace(_) = opened.found else {
        session
            .con
            .warn("There appears to be no drbd meta data to wipe out?");
        return Ok(0);
    };
    let question = "Do you really want to wipe out the DRBD meta data?";
    if session.con.confirm(question) == Answer::No {
        session.con.say("Operation cancelled.");
        return Err(Failure::silent(1));
    }
    session.con.say("Wiping meta data...");
    let zeros = [0; SUPERBLOCK_BYTES];
    opened
        .store
        .write_block(&mut session.con, "meta_wipe_md", opened.at, &zeros)?;
    opened.store.flush()?;
    if opened.store.writing() == Writing::Real {
        lkbd::remove(session);
    }
    session
        .con
        .say("DRBD meta data block successfully wiped out.");
    Ok(0)
}

/// `forget-peer`: what it is for exists in v09 only, which is refused before.
pub fn forget_peer(session: &mut Session<'_>) -> Result<u8, Failure> {
    let format = session.call.format;
    Err(Failure::new(
        1,
        format_args!("{format} meta data has no peer slots to forget"),
    ))
}
