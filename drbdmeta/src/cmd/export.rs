//! `export` and `show-gi --json` (new): the meta-data for programs.

use std::io::{self, Write};

use drbd_types::MdFlags;
use serde::Serialize;

use super::console::Failure;
use super::session::Session;
use super::verify::Subject;
use crate::activity_log::old;
use crate::activity_log::replay::{self, Replay};
use crate::check::{self, BitmapCount};
use crate::layout::Striping;
use crate::record::{Generation, Record};
use crate::superblock::MagicKind;

/// The generation identifiers.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Identity {
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    uuids: Option<Uuids>,
    #[serde(skip_serializing_if = "Option::is_none")]
    counts: Option<[u32; 4]>,
    flags: Vec<String>,
    needs_apply_al: bool,
    la_size_sectors: u64,
    device_uuid: String,
    la_peer_max_bio_size: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Uuids {
    current: String,
    bitmap: String,
    history: [String; 2],
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Position {
    md_size_sectors: u32,
    md_offset: u64,
    al_offset: u64,
    bm_offset: u64,
    al_extents: u32,
    al_stripes: u32,
    al_stripe_size_4k: u32,
    usable_sectors: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Log {
    format: &'static str,
    state: &'static str,
    active_extents: Vec<u32>,
}

/// What identifies the data, for programs.
pub fn identity(record: &Record) -> Identity {
    let (uuids, counts, flags) = match &record.generation {
        Generation::Counts(gc) => (None, Some(gc.counts), gc.flags),
        Generation::Uuids { uuids, flags } => {
            let uuids = Uuids {
                current: uuids.current.to_string(),
                bitmap: uuids.bitmap.to_string(),
                history: uuids.history.map(|u| u.to_string()),
            };
            (Some(uuids), None, *flags)
        }
        Generation::Nodes(_) => (None, None, MdFlags::empty()),
    };
    Identity {
        version: record.format.name(),
        uuids,
        counts,
        flags: flags
            .iter_names()
            .map(|(name, _)| name.to_ascii_lowercase().replace('_', "-"))
            .collect(),
        needs_apply_al: record.magic == MagicKind::InUse || record.is_unclean(),
        la_size_sectors: record.effective_size.0,
        device_uuid: format!("{:016X}", record.device_uuid),
        la_peer_max_bio_size: record.la_peer_max_bio_size,
    }
}

/// `show-gi --json`
pub fn show(session: &mut Session<'_>, record: &Record) {
    let written = json(session.con.out(), &identity(record));
    session.con.note(written);
    session.con.say("");
}

fn json(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(out, value).map_err(io::Error::from)
}

/// `export`: one JSON object. The out-of-sync ranges are streamed, as `[first bit, bits]`.
pub fn run(session: &mut Session<'_>) -> Result<u8, Failure> {
    let subject = Subject::open(session)?;
    let record = &subject.record;
    let log = subject.log(session)?;
    let position = Position {
        md_size_sectors: record.md_size_sect,
        md_offset: subject.at,
        al_offset: record.al_at(subject.at),
        bm_offset: record.bm_at(subject.at),
        al_extents: record.al_nr_extents,
        al_stripes: record.al_stripes,
        al_stripe_size_4k: record.al_stripe_size_4k,
        usable_sectors: record.usable_sectors(session.call.placement, subject.at),
    };
    let log = activity_log(record, &log);
    let written = head(session.con.out(), record, &position, &log);
    session.con.note(written);
    let mut count = BitmapCount::default();
    let mut ranges = Ranges::default();
    subject.each_piece(session, |session, at, piece| {
        count.add(record, at, piece);
        let written = ranges.add(session.con.out(), at.0 * 8, piece);
        session.con.note(written);
    })?;
    let written = ranges.finish(session.con.out(), count.inside);
    session.con.note(written);
    Ok(0)
}

fn head(out: &mut dyn Write, record: &Record, position: &Position, log: &Log) -> io::Result<()> {
    write!(out, "{{\"generation\":")?;
    json(out, &identity(record))?;
    write!(out, ",\"position\":")?;
    json(out, position)?;
    write!(out, ",\"activity-log\":")?;
    json(out, log)?;
    write!(
        out,
        ",\"bitmap\":{{\"bytes-per-bit\":{},\"bits\":{},\"out-of-sync\":[",
        record.bm_bytes_per_bit,
        record.effective_size.bits()
    )
}

fn activity_log(record: &Record, log: &[u8]) -> Log {
    let (format, state, active) = if check::is_modern(record, log) {
        let striping =
            Striping::from_fields(record.al_stripes, record.al_stripe_size_4k).unwrap_or_default();
        match replay::replay(log, striping, |_| ()) {
            Ok(Replay::Clean) => ("8.4", "clean", None),
            Ok(Replay::Hot(hot)) => ("8.4", "logged", Some(hot)),
            Err(_) => ("8.4", "unusable", None),
        }
    } else {
        match old::replay(log, record.al_nr_extents).hot {
            Some(hot) => ("8.3", "logged", Some(hot)),
            None => ("8.3", "clean", None),
        }
    };
    Log {
        format,
        state,
        active_extents: active.into_iter().flatten().collect(),
    }
}

/// Runs of set bits across pieces.
#[derive(Default)]
struct Ranges {
    open: Option<(u64, u64)>,
    any: bool,
}

impl Ranges {
    fn add(&mut self, out: &mut dyn Write, first_bit: u64, piece: &[u8]) -> io::Result<()> {
        for (i, &byte) in piece.iter().enumerate() {
            let start = first_bit + i as u64 * 8;
            match (byte, &mut self.open) {
                (0, None) => {}
                (0xff, Some((_, count))) => *count += 8,
                _ => {
                    for bit in 0..8 {
                        self.bit(out, start + bit, byte >> bit & 1 == 1)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn bit(&mut self, out: &mut dyn Write, bit: u64, set: bool) -> io::Result<()> {
        match (&mut self.open, set) {
            (Some((_, count)), true) => *count += 1,
            (None, true) => self.open = Some((bit, 1)),
            (Some(_), false) => self.close(out)?,
            (None, false) => {}
        }
        Ok(())
    }

    fn close(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let Some((first, count)) = self.open.take() else {
            return Ok(());
        };
        let comma = if self.any { "," } else { "" };
        self.any = true;
        write!(out, "{comma}[{first},{count}]")
    }

    fn finish(&mut self, out: &mut dyn Write, bits: u64) -> io::Result<()> {
        self.close(out)?;
        writeln!(out, "],\"bits-set\":{bits}}}}}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_bits_join_across_bytes_and_pieces() {
        let mut out = Vec::new();
        let mut ranges = Ranges::default();
        ranges.add(&mut out, 0, &[0b1000_0001, 0xff]).unwrap();
        ranges.add(&mut out, 16, &[0b11, 0, 0x80]).unwrap();
        ranges.finish(&mut out, 13).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "[0,1],[7,11],[39,1]],\"bits-set\":13}}\n"
        );
    }
}
