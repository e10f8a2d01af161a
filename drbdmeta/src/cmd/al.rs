//! `apply-al`: the replay of the activity log into the bitmap (spec 40 sections 6.2 to 6.4, 10).

use std::collections::BTreeSet;

use drbd_types::{ByteCount, MdFlags};

use super::console::{Console, FAILED_IO, Failure, ppsize};
use super::resize;
use super::session::{Found, Session};
use super::store::{Store, Writing};
use crate::activity_log::{self, ValidBlock, old, replay};
use crate::bitmap;
use crate::check;
use crate::device::PageBuffer;
use crate::layout::Striping;
use crate::record::{Format, Generation, Record};
use crate::superblock::{Block, MagicKind, SUPERBLOCK_BYTES};

/// Bitmap bytes that are read, changed and written at once.
const CHUNK: u64 = 1 << 20;

/// What is to be done after the log was read.
struct Plan {
    /// `None` when the log has no transaction to replay.
    hot: Option<BTreeSet<u32>>,
    rewrite_ring: Ring,
    only_last: OnlyLast,
}

/// Whether the only update transaction of the ring is in its last block.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OnlyLast {
    No,
    Yes,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ring {
    Keep,
    Rewrite,
}

/// `apply-al`
pub fn apply(session: &mut Session<'_>) -> Result<u8, Failure> {
    if session.call.format == Format::V06 {
        return Err(Failure::new(1, "apply-al only implemented for DRBD >= 0.7"));
    }
    let mut opened = session.open()?;
    if let Found::LastKnown { record, at, .. } = opened.found {
        resize::relocate(session, &mut opened.store, &record, at)?;
        drop(opened.store);
        opened = session.open()?;
    }
    let Found::InPlace(mut record) = opened.found else {
        return Err(Failure::new(1, "No valid meta data found"));
    };
    let (store, at) = (opened.store, opened.at);
    let plan = read_log(session, &store, &record, at)?;
    let was_unclean = record.is_unclean();
    let replaying = plan.hot.as_ref().filter(|_| primary(&record));
    if let Some(hot) = replaying {
        mark(session, &store, &record, at, hot)?;
    }
    let Generation::Uuids { flags, .. } = &mut record.generation else {
        // v07 has neither a log of the new kind nor a flag that tells it clean.
        if replaying.is_some() {
            session.commit(&store, at, &record)?;
        }
        return Ok(0);
    };
    flags.insert(MdFlags::AL_CLEAN);
    record.magic = MagicKind::Clean;
    if plan.rewrite_ring == Ring::Rewrite {
        // The bits must be safe before the log that demands them goes away.
        store.flush()?;
        match primary(&record) {
            true => retire_ring(session, &store, &record, at, plan.only_last)?,
            false => write_ring(session, &store, record.al_at(at), &initialized(&record))?,
        }
    }
    if replaying.is_some() || was_unclean {
        session.commit(&store, at, &record)?;
    } else {
        store.flush()?;
    }
    Ok(0)
}

/// Whether the node was Primary when the meta-data was written last.
fn primary(record: &Record) -> bool {
    match &record.generation {
        Generation::Counts(gc) => gc.flags.contains(MdFlags::PRIMARY_IND),
        _ => record.flags().contains(MdFlags::PRIMARY_IND),
    }
}

fn initialized(record: &Record) -> PageBuffer {
    fresh_ring(Format::V08, record.al_sectors())
}

fn write_ring(
    session: &mut Session<'_>,
    store: &Store,
    at: u64,
    blocks: &[u8],
) -> Result<(), Failure> {
    store.write(&mut session.con, "md_initialize_common:AL", at, blocks)
}

/// Re-initialises the ring of a crashed Primary so that a crash leaves at every instant one from
/// which a replay learns something: with every block torn it would be unusable, and `apply-al`
/// would refuse. Transactions that say nothing hold the place: first in the last block while the
/// others are written, then in the first block, which alone may be damaged.
fn retire_ring(
    session: &mut Session<'_>,
    store: &Store,
    record: &Record,
    at: u64,
    only_last: OnlyLast,
) -> Result<(), Failure> {
    let start = record.al_at(at);
    let mut ring = initialized(record);
    if store.writing() == Writing::DryRun {
        return write_ring(session, store, start, &ring);
    }
    let last = ring.len() - SUPERBLOCK_BYTES;
    let mut place_holder = PageBuffer::new(SUPERBLOCK_BYTES);
    place_holder.copy_from_slice(&activity_log::silent_block());
    if only_last == OnlyLast::No {
        write_ring(session, store, start + last as u64, &place_holder)?;
        store.flush()?;
    }
    ring[..SUPERBLOCK_BYTES].copy_from_slice(&place_holder);
    write_ring(session, store, start, &ring[..last])?;
    store.flush()?;
    write_ring(session, store, start + last as u64, &ring[last..])?;
    store.flush()?;
    let first = &initialized(record)[..SUPERBLOCK_BYTES];
    write_ring(session, store, start, first)
}

/// The bytes of a ring that has nothing to say.
pub fn fresh_ring(format: Format, sectors: u64) -> PageBuffer {
    // At most 32 MiB: `validate` and the option check bound it.
    let mut ring = PageBuffer::new(usize::try_from(sectors * 512).unwrap_or(0));
    if format >= Format::V08 {
        let block = activity_log::initialized_block();
        for page in ring.chunks_exact_mut(block.len()) {
            page.copy_from_slice(&block);
        }
    }
    ring
}

fn read_log(
    session: &mut Session<'_>,
    store: &Store,
    record: &Record,
    at: u64,
) -> Result<Plan, Failure> {
    let mut ring = PageBuffer::new(usize::try_from(record.al_sectors() * 512).unwrap_or(0));
    store.read(&mut session.con, "apply_al", record.al_at(at), &mut ring)?;
    let striping =
        Striping::from_fields(record.al_stripes, record.al_stripe_size_4k).unwrap_or_default();
    let modern = check::is_modern(record, &ring);
    if modern {
        read_ring(session, &ring, striping, primary(record))
    } else {
        Ok(read_old_log(&mut session.con, &ring, record.al_nr_extents))
    }
}

fn read_ring(
    session: &mut Session<'_>,
    ring: &[u8],
    striping: Striping,
    was_primary: bool,
) -> Result<Plan, Failure> {
    let con = &mut session.con;
    match replay::replay(ring, striping, |remark| con.warn(remark)) {
        Ok(replay::Replay::Clean) => Ok(Plan {
            hot: None,
            rewrite_ring: Ring::Keep,
            only_last: OnlyLast::No,
        }),
        Ok(replay::Replay::Hot(hot)) => Ok(Plan {
            hot: Some(hot),
            rewrite_ring: Ring::Rewrite,
            only_last: only_last_block(ring),
        }),
        Err(error) if was_primary => Err(Failure::new(1, error)),
        Err(error) => {
            session.con.warn(error);
            session.con.warn("Error ignored, no need to apply the AL");
            Ok(Plan {
                hot: None,
                rewrite_ring: Ring::Rewrite,
                only_last: OnlyLast::No,
            })
        }
    }
}

fn only_last_block(ring: &[u8]) -> OnlyLast {
    let (blocks, _) = ring.as_chunks::<SUPERBLOCK_BYTES>();
    let earlier = blocks.len().saturating_sub(1);
    let is_update = |block: &Block| ValidBlock::parse(block).is_ok_and(|b| b.is_update());
    match blocks[..earlier].iter().any(is_update) {
        true => OnlyLast::No,
        false => OnlyLast::Yes,
    }
}

fn read_old_log(con: &mut Console<'_>, log: &[u8], al_nr_extents: u32) -> Plan {
    let outcome = old::replay(log, al_nr_extents);
    match &outcome.hot {
        None => con.warn("No usable activity log found."),
        Some(_) if outcome.invalid > 0 => {
            con.warn(format_args!(
                "{} corrupt or uninitialized AL transactions found",
                outcome.invalid
            ));
            con.warn("You can safely ignore this if this node was cleanly stopped (no crash).");
        }
        Some(_) => {}
    }
    Plan {
        hot: outcome.hot,
        rewrite_ring: Ring::Rewrite,
        only_last: OnlyLast::No,
    }
}

/// Sets all bits of the hot extents.
pub fn mark(
    session: &mut Session<'_>,
    store: &Store,
    record: &Record,
    at: u64,
    hot: &BTreeSet<u32>,
) -> Result<(), Failure> {
    if hot.is_empty() {
        session.con.warn("Nothing to do.");
        return Ok(());
    }
    let length = ByteCount(record.bitmap_bytes());
    let start = record.bm_at(at);
    let mut newly_set = 0;
    let mut ranges = Vec::new();
    for &extent in hot {
        match bitmap::extent_bytes(extent, length) {
            Some(range) => ranges.push(range),
            None => session.con.warn(format_args!(
                "extent {extent} beyond end of bitmap! ({} >= {})",
                u64::from(extent) * bitmap::BYTES_PER_EXTENT,
                length
            )),
        }
    }
    if let Some(first) = ranges.first() {
        check_bitmap_end(store, start, first.start / 4096 * 4096, length.0)?;
    }
    let mut rest = ranges.as_slice();
    while let Some(first) = rest.first() {
        // Whole pages from the first extent on, as far as the chunk reaches.
        let from = first.start / 4096 * 4096;
        let count = rest.iter().take_while(|r| r.end <= from + CHUNK).count();
        let (now, later) = rest.split_at(count);
        let to = now.last().map_or(from, |r| r.end).next_multiple_of(4096);
        let mut chunk = PageBuffer::new((to - from) as usize);
        store.read(
            &mut session.con,
            "apply_al",
            start.wrapping_add(from),
            &mut chunk,
        )?;
        let before = bitmap::count_ones(&chunk);
        for range in now {
            chunk[(range.start - from) as usize..(range.end - from) as usize].fill(0xff);
        }
        newly_set += bitmap::count_ones(&chunk) - before;
        store.write(
            &mut session.con,
            "apply_al",
            start.wrapping_add(from),
            &chunk,
        )?;
        rest = later;
    }
    let text = ppsize(newly_set * 4);
    session.con.warn(format_args!(
        "Marked additional {text} as out-of-sync based on AL."
    ));
    Ok(())
}

/// A bitmap that claims to run beyond its device is refused before anything is written, in the
/// words of the genuine tool, which reads windows of 32 MiB from the first extent on.
fn check_bitmap_end(store: &Store, start: u64, first: u64, length: u64) -> Result<(), Failure> {
    const WINDOW: u64 = 32 << 20;
    let readable = store.size().0.saturating_sub(start);
    let mut from = first;
    while from < length {
        let wanted = WINDOW.min(length - from);
        let there = readable.saturating_sub(from).min(wanted);
        if there < wanted {
            return Err(Failure::new(
                FAILED_IO,
                format_args!(
                    "confused in apply_al: expected to read {wanted} bytes, actually read {there}"
                ),
            ));
        }
        from += wanted;
    }
    Ok(())
}
