//! `create-md` (spec 40 section 11).

use drbd_types::ByteCount;

use super::al;
use super::args::BitmapMode;
use super::bitmap_writer::{self, Area};
use super::console::{Answer, FAILED_IO, FAILED_USE, Failure, ppsize};
use super::conversion;
use super::probing::{self, Target};
use super::resize;
use super::session::{Found, Opened, Session, permit};
use super::store::{Store, Writing};
use crate::device::{Kind, errno_text};
use crate::layout::{Placement, bitmap_sectors, superblock_byte};
use crate::record::{Format, Record};
use crate::text::parser::Words;

/// Meta-data that is already there.
#[derive(Clone)]
pub struct Existing {
    /// The block.
    pub record: Record,
    /// Byte position of its superblock.
    pub at: u64,
    /// The placement it was made for.
    pub placement: Placement,
}

/// `create-md`
pub fn run(session: &mut Session<'_>) -> Result<u8, Failure> {
    let opened = session.open()?;
    if let Found::LastKnown { record, at, .. } = &opened.found {
        check_stripes_for_move(session, record)?;
        if !session.con.is_forced()
            && session
                .con
                .confirm("Move internal meta data from last-known position?\n")
                == Answer::Yes
        {
            return move_instead(session, opened.store, record.clone(), *at);
        }
    }
    let existing = find_existing(session, &opened)?;
    let Opened {
        mut store,
        at,
        found,
    } = opened;
    if let Some(old) = &existing
        && let Some(converted) = conversion::offer(session, &store, at, old)?
    {
        return conversion::finish(session, store, at, converted);
    }
    if session.call.format == Format::V06 {
        return write(session, &store, at, &Record::fresh_v06());
    }
    let record = fresh_record(session, store.size())?;
    // Always the amount that the meta-data device itself would need.
    let bitmap = bitmap_sectors(store.size(), 4096, 1)
        .map_err(|error| Failure::new(FAILED_IO, error))?
        * 512;
    permit(&mut store, &record, at);
    announce(session, &record, at);
    let target = Target::of(&record, session, at);
    probing::check(session, &store, &target)?;
    if let Some(old) = existing.as_ref().filter(|old| old.at == at) {
        session.distrust(&store, at, &old.record)?;
    } else if let Found::LastKnown {
        record: old,
        at: from,
        ..
    } = &found
    {
        resize::keep_found(session, &store, (old, *from), (&record, at))?;
    }
    initialise(session, &store, &record, at, bitmap)?;
    let status = write(session, &store, at, &record)?;
    if let Some(old) = existing {
        conversion::wipe_superseded(session, &mut store, at, &old)?;
    }
    Ok(status)
}

/// The last step of every way to create meta-data.
pub fn write(
    session: &mut Session<'_>,
    store: &Store,
    at: u64,
    record: &Record,
) -> Result<u8, Failure> {
    session.con.say("Writing meta data...");
    session.commit(store, at, record)?;
    session
        .con
        .say("New drbd meta data block successfully created.");
    Ok(0)
}

/// A record for the options, at the place of the session.
pub fn fresh_record(session: &Session<'_>, size: ByteCount) -> Result<Record, Failure> {
    let (stripes, blocks) = stripes_wanted(session);
    let sectors = if session.call.format >= Format::V08 {
        u64::from(stripes) * u64::from(blocks) * 8
    } else {
        64
    };
    let layout = session.layout(size, sectors)?;
    let mut record = Record::fresh(session.call.format, &layout, stripes, blocks);
    record.la_peer_max_bio_size = session.call.options.peer_max_bio_size.unwrap_or(0);
    Ok(record)
}

/// The striping that options or defaults ask for; the option check bounds it.
fn stripes_wanted(session: &Session<'_>) -> (u32, u32) {
    let options = &session.call.options;
    let narrow = |value: Option<u64>, default| {
        value.map_or(default, |v| u32::try_from(v).unwrap_or(u32::MAX))
    };
    (
        narrow(options.al_stripes, 1),
        narrow(options.al_stripe_blocks, 8),
    )
}

/// What `-vv` tells about the new place.
pub fn announce(session: &mut Session<'_>, record: &Record, at: u64) {
    let usable = record.usable_sectors(session.call.placement, at);
    session.con.trace(
        2,
        format_args!(
            "md_offset: {at}\nal_offset: {} ({})\nbm_offset: {} ({})\nmd_size_sect: {}\n\
             max_usable_sect: {usable}",
            record.al_at(at),
            record.al_offset,
            record.bm_at(at),
            record.bm_offset,
            record.md_size_sect,
        ),
    );
}

fn check_stripes_for_move(session: &Session<'_>, record: &Record) -> Result<(), Failure> {
    let options = &session.call.options;
    let given = options.al_stripes.is_some() || options.al_stripe_blocks.is_some();
    if given && stripes_wanted(session) != stripes_of(record) {
        return Err(Failure::new(
            FAILED_USE,
            "Cannot move after offline resize and change AL-striping at the same time, yet.",
        ));
    }
    Ok(())
}

const fn stripes_of(record: &Record) -> (u32, u32) {
    (record.al_stripes, record.al_stripe_size_4k)
}

fn move_instead(
    session: &mut Session<'_>,
    mut store: Store,
    record: Record,
    at: u64,
) -> Result<u8, Failure> {
    let to = superblock_byte(store.size(), session.call.placement);
    let target = Target {
        // The genuine tool shows no positions here.
        md: u64::try_from(to).unwrap_or(0),
        al: 0,
        bm: 0,
        usable_kb: record.usable_sectors(session.call.placement, at) / 2,
    };
    probing::check(session, &store, &target)?;
    resize::relocate(session, &mut store, &record, at)?;
    Ok(0)
}

fn find_existing(session: &mut Session<'_>, opened: &Opened) -> Result<Option<Existing>, Failure> {
    if session.call.placement.is_internal() {
        find_internal(session, opened)
    } else {
        find_external(session, opened)
    }
}

/// Internal meta-data of any format: fixed first, else flexible, where the last match wins.
fn find_internal(session: &mut Session<'_>, opened: &Opened) -> Result<Option<Existing>, Failure> {
    let size = opened.store.size();
    let mut found = None;
    for placement in [Placement::FixedInternal, Placement::FlexInternal] {
        let Ok(at) = u64::try_from(superblock_byte(size, placement)) else {
            continue;
        };
        let block = session.read_block(&opened.store, "check_internal_md_flavours", at)?;
        let formats: &[Format] = match placement {
            Placement::FixedInternal => &[Format::V07],
            _ => &[Format::V07, Format::V08, Format::V09],
        };
        for &format in formats {
            if let Some(record) = session.judge_as(format, placement, &block, size) {
                found = Some(Existing {
                    record,
                    at,
                    placement,
                });
            }
        }
        if found.is_some() {
            break;
        }
    }
    let Some(old) = &found else { return Ok(None) };
    let size_word = |placement| match placement {
        Placement::FixedInternal => "fixed",
        _ => "flexible",
    };
    let wanted = match (session.call.format, session.call.placement) {
        (Format::V07, Placement::FlexInternal) => "v07(plus)",
        (format, _) => format.name(),
    };
    let text = format!(
        "You want me to create a {wanted} style {}-size internal meta data block.\n\
         There appears to be a {} {}-size internal meta data block\n\
         already in place on {} at byte offset {}",
        size_word(session.call.placement),
        old.record.format,
        size_word(old.placement),
        session.call.path.display(),
        old.at
    );
    session.con.warn(text);
    if old.record.format == session.call.format {
        confirm_overwrite(
            session,
            &old.record,
            "Do you really want to overwrite the existing meta-data?",
        )?;
    }
    Ok(found)
}

fn find_external(session: &mut Session<'_>, opened: &Opened) -> Result<Option<Existing>, Failure> {
    let existing = |record, placement| Existing {
        record,
        at: opened.at,
        placement,
    };
    if let Found::InPlace(record) = &opened.found {
        confirm_overwrite(
            session,
            record,
            "Valid meta data seems to be in place.\nDo you really want to overwrite?",
        )?;
        return Ok(Some(existing(record.clone(), session.call.placement)));
    }
    if session.call.format == Format::V06 {
        return Ok(None);
    }
    let block = session.read_block(&opened.store, "check_external_md_flavours", opened.at)?;
    let mut found = None;
    for format in [Format::V07, Format::V08, Format::V09] {
        let placement = Placement::FlexExternal;
        if let Some(record) = session.judge_as(format, placement, &block, opened.store.size()) {
            found = Some(existing(record, session.call.placement));
        }
    }
    Ok(found)
}

fn confirm_overwrite(
    session: &mut Session<'_>,
    record: &Record,
    question: &str,
) -> Result<(), Failure> {
    let striped = record.format >= Format::V08 && stripes_wanted(session) != stripes_of(record);
    if striped && session.call.placement.is_internal() {
        let only = "Do you want to change the activity log stripe settings *only*?";
        if session.con.confirm(only) == Answer::Yes {
            session.con.warn("Sorry, not yet fully implemented");
            return Err(Failure::new(
                30,
                "Try dump-md > dump.txt; restore-md -s x -z y dump.txt",
            ));
        }
    }
    match session.con.confirm(question) {
        Answer::Yes => Ok(()),
        Answer::No => {
            session.con.say("Operation cancelled.");
            Err(Failure::silent(1))
        }
    }
}

/// Log and bitmap, before the superblock makes them count.
fn initialise(
    session: &mut Session<'_>,
    store: &Store,
    record: &Record,
    at: u64,
    bitmap_bytes: u64,
) -> Result<(), Failure> {
    session.con.say("initializing activity log");
    let ring = al::fresh_ring(record.format, record.al_sectors());
    store.write(
        &mut session.con,
        "md_initialize_common:AL",
        record.al_at(at),
        &ring,
    )?;
    zero_bitmap(session, store, record.bm_at(at), bitmap_bytes)
}

fn zero_bitmap(
    session: &mut Session<'_>,
    store: &Store,
    at: u64,
    length: u64,
) -> Result<(), Failure> {
    let mode = session.call.options.bitmap_mode;
    if mode == BitmapMode::Skip {
        session.con.warn("SKIPPED initializing bitmap area");
        return Ok(());
    }
    let size = ppsize(length / 1024);
    if mode != BitmapMode::Pwrite {
        session
            .con
            .warn(format_args!("initializing bitmap ({size}) to all zero"));
        match fast_zero(store, at, length) {
            Ok(()) => return Ok(()),
            Err(reason) => {
                let path = session.call.path.display();
                session.con.warn(format_args!(
                    "ioctl({path}, BLKZEROOUT, [{at}, {length}]) failed: {reason}"
                ));
            }
        }
        if mode == BitmapMode::ZeroOut {
            return Err(Failure::new(
                FAILED_IO,
                "fast zero-out failed, fallback disabled",
            ));
        }
    }
    session.con.warn(format_args!(
        "initializing bitmap ({size}) to all zero using pwrite"
    ));
    let area = Area {
        tag: "md_initialize_common:BM",
        at,
        length,
        piece: bitmap_writer::PIECE,
    };
    let zeros = Words {
        count: length / 8,
        word: 0,
    };
    bitmap_writer::write(&mut session.con, store, area, |writer| writer.put(zeros))
}

/// A dry run leaves the bitmap alone: the genuine tool wipes it (spec 40 section 8).
fn fast_zero(store: &Store, at: u64, length: u64) -> Result<(), String> {
    if store.kind() == Kind::RegularFile {
        return Err("Inappropriate ioctl for device".to_owned());
    }
    if store.writing() == Writing::DryRun {
        return Ok(());
    }
    store.zero_out(at, length).map_err(|e| errno_text(&e))
}
