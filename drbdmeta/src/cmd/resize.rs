//! `check-resize`, and the move of internal meta-data after its device grew or shrank off line
//! (spec 40 section 14).

use super::console::{FAILED_IO, Failure};
use super::lkbd;
use super::session::{Found, Session, permit};
use super::store::Store;
use crate::device::PageBuffer;
use crate::layout::{Placement, superblock_byte};
use crate::record::{Format, Record};
use crate::superblock::SUPERBLOCK_BYTES;

/// Bytes of bitmap moved at once.
const CHUNK: u64 = 1 << 20;

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
    if !session.keeps_last_known() {
        let v07_flexible =
            session.call.format == Format::V07 && session.call.placement == Placement::FlexInternal;
        if !path.exists() {
            return Err(Failure::silent(1));
        }
        if !v07_flexible {
            lkbd::remove(session);
        }
        return Ok(0);
    }
    let Some(known) = lkbd::load(&mut session.con, &path) else {
        return Err(Failure::silent(1));
    };
    if known.size != store.size() || known.uuid != record.device_uuid {
        lkbd::save(session, store.size(), record.device_uuid);
    }
    Ok(0)
}

/// Moves the meta-data from byte `from` to where it belongs on the device as it is now.
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
        .map_err(|_| Failure::new(FAILED_IO, "the device is too small for its meta data"))?;
    let layout = session.layout(store.size(), old.al_sectors())?;
    let mut record = old.clone();
    record.place(&layout);
    permit(store, &record, to);
    check_room(old, &record, from, to)?;
    copy_bitmap(session, store, (old, from), (&record, to))?;
    copy_log(session, store, (old, from), (&record, to))?;
    session.commit(store, to, &record)?;
    session
        .con
        .say("Internal drbd meta data successfully moved.");
    wipe_old(session, store, &record, from, to)
}

/// Old and new area must not overlap, otherwise a crash in the middle would leave neither; and a
/// device that shrank below the agreed size has lost data already.
fn check_room(old: &Record, new: &Record, from: u64, to: u64) -> Result<(), Failure> {
    let area = |record: &Record, at: u64| {
        let start = at.min(record.al_at(at)).min(record.bm_at(at));
        start..start.saturating_add(u64::from(record.md_size_sect) * 512)
    };
    let (source, target) = (area(old, from), area(new, to));
    if source.start < target.end && target.start < source.end {
        return Err(Failure::new(
            FAILED_IO,
            "Old and new place of the meta data overlap: resize the device by more than the\n\
             size of its meta data, or use dump-md and restore-md.",
        ));
    }
    Ok(())
}

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
    let (have, want) = (room(old), room(new));
    let mut done = 0;
    while done < want {
        let count = (want - done).min(CHUNK);
        let mut piece = PageBuffer::new(count as usize);
        let known = have.saturating_sub(done).min(count) as usize;
        if known > 0 {
            store.read(
                &mut session.con,
                "v08_move_internal_md_after_resize",
                old.bm_at(from) + done,
                &mut piece[..known],
            )?;
        }
        store.write(
            &mut session.con,
            "v08_move_internal_md_after_resize",
            new.bm_at(to) + done,
            &piece,
        )?;
        done += count;
    }
    Ok(())
}

fn copy_log(
    session: &mut Session<'_>,
    store: &Store,
    (old, from): (&Record, u64),
    (new, to): (&Record, u64),
) -> Result<(), Failure> {
    let length = usize::try_from(old.al_sectors() * 512).unwrap_or(0);
    let mut ring = PageBuffer::new(length);
    let tag = "v08_move_internal_md_after_resize";
    store.read(&mut session.con, tag, old.al_at(from), &mut ring)?;
    store.write(&mut session.con, tag, new.al_at(to), &ring)
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
    store.write_block(
        &mut session.con,
        "v08_move_internal_md_after_resize",
        from,
        &zeros,
    )?;
    store.flush()
}
