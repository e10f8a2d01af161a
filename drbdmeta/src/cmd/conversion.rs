//! Converting meta-data of another format inside create-md (spec 40 section 13), without losing
//! what the genuine tool loses: the old bitmap and the old activity log come along.

use std::collections::BTreeSet;

use drbd_types::{ByteCount, MdFlags, SectorCount};

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
/// What a disk writes wholly or not at all.
const SECTOR: usize = 512;

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
    old: &Existing,
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
    // The bitmap that comes along must fit, too.
    let mut old = old.clone();
    old.record.effective_size = agreed_size(session, &placed, at)?;
    placed.effective_size = old.record.effective_size;
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

/// The new meta-data may need more room at the end of the device than the old: it is not taken
/// from the user's data.
fn agreed_size(
    session: &mut Session<'_>,
    placed: &Record,
    at: u64,
) -> Result<SectorCount, Failure> {
    let usable = placed.usable_sectors(session.call.placement, at);
    let agreed = placed.effective_size;
    if agreed.0 <= usable {
        return Ok(agreed);
    }
    if session.call.options.ignore_sanity_checks {
        session.note_clipped(agreed.0, usable);
        return Ok(SectorCount(usable));
    }
    Err(Failure::new(
        probing::REFUSED,
        format_args!(
            "The volume has {agreed} sectors, but only {usable} would be left usable.\n\
             Nothing was written. \
             If you want to truncate it, tell me to --ignore-sanity-checks",
        ),
    ))
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
    settle(session, &mut record, &old, &dirt);
    if old.at == at {
        replace_first_sector(session, &store, at, &record)?;
    }
    let status = create::write(session, &store, at, &record)?;
    wipe_superseded(session, &mut store, at, &old)?;
    Ok(status)
}

/// Decides between a resync of what is known to be dirty and one of everything, and says so.
fn settle(session: &mut Session<'_>, record: &mut Record, old: &Existing, dirt: &Dirt) {
    let Generation::Uuids { flags, .. } = &mut record.generation else {
        return;
    };
    // Of data that is half a copy the bits do not tell what the other half is.
    let half_copied = old.record.format <= Format::V07
        && !flags.contains(MdFlags::CONSISTENT)
        && record.effective_size.0 > 0;
    if dirt.carry == Carry::GiveUp || half_copied {
        flags.insert(MdFlags::FULL_SYNC);
        session
            .con
            .warn("The old bitmap can not be kept: the next connection will resync everything.");
    } else if dirt.hot.is_empty() && dirt.bits > 0 {
        session.con.warn(format_args!(
            "Kept the {} out-of-sync blocks of the old bitmap for the next resync.",
            dirt.bits
        ));
    } else if !dirt.hot.is_empty() {
        session.con.warn(format_args!(
            "Kept the {} out-of-sync blocks of the old bitmap, \
             and the {} active extents of the old activity log, for the next resync.",
            dirt.bits,
            dirt.hot.len()
        ));
    }
}

/// Everything that counts in a v08 or v07 superblock is in its first sector, which no crash tears.
/// A v09 block uses more: it changes in one sector first, so that a torn write of all eight never
/// leaves the magic of the old format over the bytes of the new.
fn replace_first_sector(
    session: &mut Session<'_>,
    store: &Store,
    at: u64,
    record: &Record,
) -> Result<(), Failure> {
    let mut interim = session.read_block(store, "md_convert", at)?;
    if interim[SECTOR..].iter().all(|&byte| byte == 0) {
        return Ok(());
    }
    // Its bitmap must be durable before it.
    store.flush()?;
    interim[..SECTOR].copy_from_slice(&record.encode()[..SECTOR]);
    store.write_block(&mut session.con, "md_convert", at, &interim)?;
    store.flush()
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
    if dirt.carry == Carry::Copy && record.format == Format::V08 {
        // What lies at the new place of the log is no log of this device.
        let empty = al::fresh_ring(Format::V07, record.al_sectors());
        store.write(&mut session.con, "convert_md", record.al_at(at), &empty)?;
    }
    if dirt.carry != Carry::GiveUp && !dirt.hot.is_empty() {
        al::mark(session, store, record, at, &dirt.hot)?;
    }
    Ok(())
}

/// The block that was converted or replaced is not to be found again, if it lay elsewhere.
pub fn wipe_superseded(
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
