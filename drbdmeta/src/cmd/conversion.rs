//! Converting meta-data of another format inside create-md (spec 40 section 13), without losing
//! what the genuine tool loses: the old bitmap and the old activity log come along.

use std::collections::BTreeSet;

use drbd_types::{ByteCount, MdFlags};

use super::al;
use super::console::{Answer, FAILED_IO, Failure};
use super::create::{self, Existing};
use super::probing::{self, Target};
use super::session::{Session, permit};
use super::store::Store;
use crate::activity_log::old;
use crate::bitmap;
use crate::device::PageBuffer;
use crate::record::convert::{Dirty, convert};
use crate::record::{Format, Generation, Record};

/// Bytes of bitmap moved at once.
const CHUNK: usize = 1 << 20;

/// A record in the new format, and what has to happen to the bitmap.
pub struct Converted {
    record: Record,
    old: Existing,
    dirt: Dirt,
}

/// What the old bitmap and log say.
struct Dirt {
    bits: u64,
    hot: BTreeSet<u32>,
    carry: Carry,
}

/// How the old bitmap gets to its new place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Carry {
    /// It is there already.
    InPlace,
    /// It is copied.
    Copy,
    /// It cannot be copied in a way that survives a crash: everything is resynced.
    GiveUp,
}

/// Offers the conversion. `None`: new meta-data is wanted instead.
pub fn offer(
    session: &mut Session<'_>,
    store: &Store,
    at: u64,
    old: Existing,
) -> Result<Option<Converted>, Failure> {
    let (from, to) = (old.record.format, session.call.format);
    if from == to {
        return Ok(None);
    }
    let question = format!("Valid {from} meta-data found, convert to {to}?");
    if session.con.confirm(question) == Answer::No {
        let question = format!(
            "So you want me to replace the {from} meta-data\n\
             with newly initialized {to} meta-data?"
        );
        if session.con.confirm(question) == Answer::Yes {
            return Ok(None);
        }
        session.con.say("Operation cancelled.");
        return Err(Failure::silent(1));
    }
    if from == Format::V09 && old.record.max_peers() > 1 {
        return Err(super::refuse_v09());
    }
    if from != Format::V09 {
        session.con.say("Converting meta data...");
    }
    if to == Format::V07 {
        session
            .con
            .say("Conversion v08 -> v07 is BROKEN!\nBe prepared to manually intervene!");
    }
    let layout = session.layout(store.size(), old.record.al_sectors())?;
    let mut placed = old.record.clone();
    placed.place(&layout);
    let dirt = survey(session, store, &old, &placed, at)?;
    let dirty = if dirt.bits > 0 || !dirt.hot.is_empty() {
        Dirty::Known
    } else {
        Dirty::Nothing
    };
    let mut record = convert(placed, to, dirty);
    record.la_peer_max_bio_size = session.call.options.peer_max_bio_size.unwrap_or(0);
    let verdict = crate::record::validate::judge(&record, session.call.placement, store.size());
    if !verdict.valid {
        for remark in verdict.remarks {
            session.con.warn(remark);
        }
        return Err(Failure::new(111, "Conversion failed.\nThis is a bug :("));
    }
    Ok(Some(Converted { record, old, dirt }))
}

/// Reads what is dirty: the bits, and for a crashed Primary of 0.7 the extents of its log.
fn survey(
    session: &mut Session<'_>,
    store: &Store,
    old: &Existing,
    placed: &Record,
    at: u64,
) -> Result<Dirt, Failure> {
    let length = old.record.bitmap_bytes();
    let from = old.record.bm_at(old.at);
    let to = placed.bm_at(at);
    let carry = if from == to {
        Carry::InPlace
    } else if from.checked_add(length).is_some_and(|end| end <= to)
        || to.checked_add(length).is_some_and(|end| end <= from)
    {
        Carry::Copy
    } else {
        Carry::GiveUp
    };
    let mut bits = 0;
    for_each_piece(length, |offset, count| {
        let mut piece = PageBuffer::new(count);
        store.read(
            &mut session.con,
            "convert_md",
            from.wrapping_add(offset),
            &mut piece,
        )?;
        bitmap::clear_from(
            &mut piece,
            ByteCount(offset),
            drbd_types::BitNr(old.record.effective_size.bits()),
        );
        bits += bitmap::count_ones(&piece);
        Ok(())
    })?;
    let hot = match &old.record.generation {
        Generation::Counts(gc) if gc.flags.contains(MdFlags::PRIMARY_IND) => {
            let mut log = PageBuffer::new(64 * 512);
            let al_at = old.record.al_at(old.at);
            store.read(&mut session.con, "convert_md", al_at, &mut log)?;
            old::replay(&log, old.record.al_nr_extents)
                .hot
                .unwrap_or_default()
        }
        _ => BTreeSet::new(),
    };
    Ok(Dirt { bits, hot, carry })
}

fn for_each_piece(
    length: u64,
    mut action: impl FnMut(u64, usize) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut done = 0;
    while done < length {
        let count = (length - done).min(CHUNK as u64);
        action(done, count as usize)?;
        done += count;
    }
    Ok(())
}

/// Brings the bitmap along, writes the new superblock and wipes the old one.
pub fn finish(
    session: &mut Session<'_>,
    mut store: Store,
    at: u64,
    converted: Converted,
) -> Result<u8, Failure> {
    let Converted {
        mut record,
        old,
        dirt,
    } = converted;
    permit(&mut store, &record, at);
    create::announce(session, &record, at);
    let target = Target::of(&record, session, at);
    probing::check(session, &store, &target)?;
    carry_bitmap(session, &store, &old, &record, at, &dirt)?;
    if let Generation::Uuids { flags, .. } = &mut record.generation {
        let inconsistent = !flags.contains(MdFlags::CONSISTENT);
        let from_counts = old.record.format <= Format::V07;
        if dirt.carry == Carry::GiveUp || (from_counts && inconsistent && dirt.bits > 0) {
            flags.insert(MdFlags::FULL_SYNC);
            session.con.warn(
                "The old bitmap can not be kept: the next connection will resync everything.",
            );
        } else if dirt.bits > 0 || !dirt.hot.is_empty() {
            session.con.warn(format_args!(
                "Kept the {} out-of-sync blocks of the old bitmap for the next resync.",
                dirt.bits
            ));
        }
    }
    let status = create::write(session, &store, at, &record)?;
    wipe_superseded(session, &mut store, at, &old)?;
    Ok(status)
}

fn carry_bitmap(
    session: &mut Session<'_>,
    store: &Store,
    old: &Existing,
    record: &Record,
    at: u64,
    dirt: &Dirt,
) -> Result<(), Failure> {
    if dirt.carry == Carry::Copy {
        let (from, to) = (old.record.bm_at(old.at), record.bm_at(at));
        for_each_piece(old.record.bitmap_bytes(), |offset, count| {
            let mut piece = PageBuffer::new(count);
            store.read(
                &mut session.con,
                "convert_md",
                from.wrapping_add(offset),
                &mut piece,
            )?;
            store.write(
                &mut session.con,
                "convert_md",
                to.wrapping_add(offset),
                &piece,
            )
        })?;
    }
    if dirt.carry != Carry::GiveUp && !dirt.hot.is_empty() {
        al::mark(session, store, record, at, &dirt.hot)?;
    }
    Ok(())
}

/// The block that was converted is not to be found again, if it lay elsewhere.
fn wipe_superseded(
    session: &mut Session<'_>,
    store: &mut Store,
    at: u64,
    old: &Existing,
) -> Result<(), Failure> {
    if old.at == at {
        return Ok(());
    }
    let end = old
        .at
        .checked_add(4096)
        .ok_or_else(|| Failure::silent(FAILED_IO))?;
    store.permit(old.at, end);
    let zeros = [0; crate::superblock::SUPERBLOCK_BYTES];
    store.write_block(&mut session.con, "md_convert", old.at, &zeros)?;
    store.flush()
}
