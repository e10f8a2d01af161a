//! `check-resize`, and the move of internal meta-data after its device grew or shrank off line
//! (spec 40 section 14).

use super::console::{FAILED_IO, Failure};
use super::lkbd;
use super::session::{Found, Session, demand_full_sync, permit};
use super::store::{Store, Writing};
use crate::device::PageBuffer;
use crate::layout::{Placement, superblock_byte};
use crate::record::{Format, Record};
use crate::superblock::SUPERBLOCK_BYTES;

/// Bytes of bitmap moved at once.
const CHUNK: u64 = 1 << 20;
const TAG: &str = "v08_move_internal_md_after_resize";

/// `check-resize`
pub fn check(session: &mut Session<'_>) -> Result<u8, Failure> {
    let mut opened = session.open()?;
    let flexible = session.keeps_last_known();
    match opened.found {
        Found::Nothing if flexible => Err(Failure::new(1, "no suitable meta data found :(")),
        Found::Nothing => Err(Failure::new(
            1,
            "Operation only supported for >= v8 internal meta data",
        )),
        Found::InPlace(record) => note_size(session, &opened.store, &record),
        Found::LastKnown { record, at, .. } => {
            relocate(session, &mut opened.store, &record, at)?;
            Ok(0)
        }
    }
}

/// The meta-data is where it belongs: only the file may need to follow.
fn note_size(session: &mut Session<'_>, store: &Store, record: &Record) -> Result<u8, Failure> {
    let path = lkbd::path(session);
    let Some(known) = lkbd::load_quietly(&mut session.con, &path) else {
        return Err(Failure::silent(1));
    };
    if store.writing() == Writing::DryRun {
        return Ok(0);
    }
    if session.keeps_last_known() {
        if known.size != store.size() || known.uuid != record.device_uuid {
            lkbd::save(session, store.size(), record.device_uuid);
        }
    } else if (session.call.format, session.call.placement)
        != (Format::V07, Placement::FlexInternal)
    {
        lkbd::remove(session);
    }
    Ok(0)
}

/// Moves the meta-data from byte `from` to where it belongs on the device as it is now. A device
/// that shrank has lost its superblock: the meta-data only ever moves up.
///
/// The old bitmap goes to the start of the new one, and what the device gained is clean: the
/// genuine tool puts it at the end, where bit n describes another block (spec 40 section 14).
pub fn relocate(
    session: &mut Session<'_>,
    store: &mut Store,
    old: &Record,
    from: u64,
) -> Result<(), Failure> {
    session
        .con
        .warn("Moving the internal meta data to its proper location");
    let place = superblock_byte(store.size(), session.call.placement);
    let to = u64::try_from(place)
        .ok()
        .filter(|to| *to > from)
        .ok_or_else(|| Failure::new(FAILED_IO, "the device is too small for its meta data"))?;
    let layout = session.layout(store.size(), old.al_sectors())?;
    let mut record = old.clone();
    record.place(&layout);
    permit(store, &record, to);
    if overlap(old, from, &record, to) {
        announce_full_sync(session, store, &record, to)?;
    }
    let mut ring = PageBuffer::new(usize::try_from(old.al_sectors() * 512).unwrap_or(0));
    store.read(&mut session.con, TAG, old.al_at(from), &mut ring)?;
    // The new log lies above all of the old bitmap.
    store.write(&mut session.con, TAG, record.al_at(to), &ring)?;
    copy_bitmap(session, store, (old, from), (&record, to))?;
    session.commit(store, to, &record)?;
    session
        .con
        .say("Internal drbd meta data successfully moved.");
    wipe_old(session, store, &record, from, to)
}

/// Before new meta-data is written at byte `at` while there is some at `from`, where it belonged
/// before the device was resized: if they overlap, the old one is found at the new place from
/// the first write on, demanding a full sync.
pub fn keep_found(
    session: &mut Session<'_>,
    store: &Store,
    (old, from): (&Record, u64),
    (new, at): (&Record, u64),
) -> Result<(), Failure> {
    if !overlap(old, from, new, at) {
        return Ok(());
    }
    let mut moved = old.clone();
    moved.place(&session.layout(store.size(), old.al_sectors())?);
    announce_full_sync(session, store, &moved, at)
}

fn overlap(old: &Record, from: u64, new: &Record, to: u64) -> bool {
    new.bm_at(to) < from + 4096 && old.bm_at(from) < to
}

/// Where old and new area overlap, a crash in the middle would leave neither. A superblock that
/// demands a full sync is valid at every instant until the move is complete.
fn announce_full_sync(
    session: &mut Session<'_>,
    store: &Store,
    record: &Record,
    to: u64,
) -> Result<(), Failure> {
    let mut interim = record.clone();
    demand_full_sync(&mut interim);
    store.write_block(&mut session.con, TAG, to, &interim.encode())?;
    store.flush()
}

/// From the end backwards: the new place is never below the old one.
fn copy_bitmap(
    session: &mut Session<'_>,
    store: &Store,
    (old, from): (&Record, u64),
    (new, to): (&Record, u64),
) -> Result<(), Failure> {
    let room = |record: &Record| -> u64 {
        let sectors = i64::from(record.al_offset) - i64::from(record.bm_offset);
        u64::try_from(sectors).unwrap_or(0) * 512
    };
    let (have, mut left) = (room(old), room(new));
    while left > 0 {
        let count = left.min(CHUNK);
        let start = left - count;
        let mut piece = PageBuffer::new(count as usize);
        let known = have.saturating_sub(start).min(count) as usize;
        if known > 0 {
            let source = old.bm_at(from).wrapping_add(start);
            store.read(&mut session.con, TAG, source, &mut piece[..known])?;
        }
        store.write(
            &mut session.con,
            TAG,
            new.bm_at(to).wrapping_add(start),
            &piece,
        )?;
        left = start;
    }
    Ok(())
}

/// The old superblock now lies in the user's data; it must not be taken for meta-data again.
fn wipe_old(
    session: &mut Session<'_>,
    store: &mut Store,
    record: &Record,
    from: u64,
    to: u64,
) -> Result<(), Failure> {
    if from.saturating_add(4096) > record.bm_at(to) {
        return Ok(());
    }
    store.permit(from, from + 4096);
    let zeros = [0; SUPERBLOCK_BYTES];
    store.write_block(&mut session.con, TAG, from, &zeros)?;
    store.flush()
}
