//! `restore-md` and `verify-dump` (spec 40 section 16).
//!
//! A dump is read twice: once to the end without writing anything, so that one that is broken or
//! does not fit changes nothing, and once to write. A pipe is spooled to an unlinked file.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::os::fd::AsFd;

use drbd_types::{ByteCount, MdFlags, SectorCount};

use super::al;
use super::args::Options;
use super::bitmap_writer::{self, Area};
use super::console::{Answer, FAILED_IO, FAILED_USE, Failure};
use super::create::announce;
use super::probing::{self, Target};
use super::report;
use super::resize;
use super::session::{Found, Session, permit};
use super::store::Store;
use crate::layout::Placement;
use crate::record::validate::MAX_AL_BLOCKS;
use crate::record::{Format, Generation, GenerationCounts, Record};
use crate::text::parser::{DumpError, Head, Ids, Mark, Parser, Words};

const TAG: &str = "meta_restore_md";

/// `restore-md [FILE]`
pub fn run(session: &mut Session<'_>) -> Result<u8, Failure> {
    let mut source = Source::open(session.call.args.first().map(String::as_str))?;
    let opened = session.open()?;
    let known = !matches!(opened.found, Found::Nothing);
    if known && session.con.confirm("Valid meta-data in place, overwrite?") == Answer::No {
        return Err(Failure::silent(1));
    }
    let (mut store, at) = (opened.store, opened.at);
    source
        .parser()
        .and_then(|mut parser| parser.version(session.call.format))
        .map_err(|error| explained(session, &mut source, error))?;
    if session.call.format == Format::V06 {
        return restore_v06(session, &mut source, &store);
    }
    let provisional = super::create::fresh_record(session, store.size())?;
    announce(session, &provisional, at);
    session.con.warn("reinitializing");
    if !known && session.call.placement != Placement::FlexInternal {
        session.con.say(
            "Meta data needs more space now, since max_peers\n\
             is bigger than in existing meta_data. (-1 -> 1)",
        );
    }
    let target = Target::of(&provisional, session, at);
    probing::check(session, &store, &target)?;

    let (head, total) = read_through(&mut source, session.call.format)
        .map_err(|error| explained(session, &mut source, error))?;
    let record = record_of(session, &head, store.size(), at)?;
    let length = check_bitmap(session, &record, &total, at)?;
    permit(&mut store, &record, at);
    match &opened.found {
        Found::InPlace(old) => session.distrust(&store, at, old)?,
        Found::LastKnown {
            record: old,
            at: from,
            ..
        } => resize::keep_found(session, &store, (old, *from), (&record, at))?,
        Found::Nothing => {}
    }
    let ring = al::fresh_ring(record.format, record.al_sectors());
    store.write(&mut session.con, TAG, record.al_at(at), &ring)?;
    write_bitmap(session, &store, &mut source, record.bm_at(at), length)?;
    session.commit(&store, at, &record)?;
    session.con.say("Successfully restored meta data");
    Ok(0)
}

/// A file of 0.6 has neither log nor bitmap.
fn restore_v06(
    session: &mut Session<'_>,
    source: &mut Source,
    store: &Store,
) -> Result<u8, Failure> {
    let counts = read_v06(source).map_err(|error| explained(session, source, error))?;
    let mut record = Record::fresh_v06();
    record.generation = Generation::Counts(counts);
    session.commit(store, 0, &record)?;
    session.con.say("Successfully restored meta data");
    Ok(0)
}

fn read_v06(source: &mut Source) -> Result<GenerationCounts, DumpError> {
    let mut parser = source.parser()?;
    parser.version(Format::V06)?;
    parser.v06()
}

/// `verify-dump [FILE]`: the device is not opened, so its size counts as 0.
pub fn verify(session: &mut Session<'_>) -> Result<u8, Failure> {
    let mut source = Source::open(session.call.args.first().map(String::as_str))?;
    let (format, internal) = (session.call.format, session.call.placement.is_internal());
    let checked = source.parser().and_then(|mut parser| {
        if format == Format::V06 {
            parser.version(format)?;
            return parser.v06().map(|_| ());
        }
        let head = read_head(&mut parser, format)?;
        if internal && head.la_size_sect > 0 {
            session.note_clipped(head.la_size_sect, 0);
        }
        read_bitmap(&mut parser).map(|_| ())
    });
    checked.map_err(|error| explained(session, &mut source, error))?;
    session.con.say("input file parsed ok");
    Ok(0)
}

/// The genuine message, and for a person the line that it is about.
fn explained(session: &Session<'_>, source: &mut Source, error: DumpError) -> Failure {
    let mut text = error.to_string();
    if session.con.is_watched()
        && let Ok(dump) = source.rewound()
    {
        let name = session.call.args.first().map_or("stdin", String::as_str);
        if let Some(report) = report::of_dump(&error, name, dump) {
            text.push('\n');
            text.push_str(report.trim_end());
        }
    }
    Failure::new(FAILED_IO, text)
}

/// A dump that can be read more than once.
struct Source {
    file: File,
    start: u64,
}

impl Source {
    fn open(name: Option<&str>) -> Result<Self, Failure> {
        let Some(name) = name else {
            return Self::of_stdin()
                .map_err(|e| Failure::new(FAILED_IO, format_args!("reading stdin failed: {e}")));
        };
        let file = File::open(name)
            .map_err(|_| Failure::new(FAILED_USE, format_args!("open of '{name}' failed.")))?;
        Ok(Self { file, start: 0 })
    }

    /// Stdin as it is if it can be rewound, else a copy.
    fn of_stdin() -> io::Result<Self> {
        let mut stdin = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        if let Ok(start) = stdin.stream_position() {
            return Ok(Self { file: stdin, start });
        }
        let directory = std::env::temp_dir();
        let flags = rustix::fs::OFlags::TMPFILE | rustix::fs::OFlags::RDWR;
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        let mut file = File::from(rustix::fs::open(directory, flags, mode)?);
        io::copy(&mut stdin, &mut file)?;
        Ok(Self { file, start: 0 })
    }

    fn parser(&mut self) -> Result<Parser<BufReader<&mut File>>, DumpError> {
        Ok(Parser::new(self.rewound()?))
    }

    fn rewound(&mut self) -> io::Result<BufReader<&mut File>> {
        self.file.seek(SeekFrom::Start(self.start))?;
        Ok(BufReader::with_capacity(1 << 16, &mut self.file))
    }
}

/// What a dump's bitmap amounts to.
#[derive(Default)]
struct Total {
    /// 64-bit words.
    words: u64,
    /// Index behind the last word with a bit set.
    last_dirty: u64,
}

/// Parses everything; nothing is written.
fn read_through(source: &mut Source, format: Format) -> Result<(Head, Total), DumpError> {
    let mut parser = source.parser()?;
    let head = read_head(&mut parser, format)?;
    let total = read_bitmap(&mut parser)?;
    Ok((head, total))
}

fn read_head<R: BufRead>(parser: &mut Parser<R>, format: Format) -> Result<Head, DumpError> {
    parser.version(format)?;
    parser.head(format)
}

fn read_bitmap<R: BufRead>(parser: &mut Parser<R>) -> Result<Total, DumpError> {
    let mut total = Total::default();
    parser.bitmap(|Words { count, word }| {
        // More than 2^64 words: saturated, and then refused as too large.
        total.words = total.words.saturating_add(count);
        if word != 0 && count > 0 {
            total.last_dirty = total.words;
        }
        Ok::<_, DumpError>(())
    })?;
    parser.end()?;
    Ok(total)
}

/// The record to write, for the device as it is: positions in the dump are comments.
fn record_of(
    session: &mut Session<'_>,
    head: &Head,
    size: ByteCount,
    at: u64,
) -> Result<Record, Failure> {
    let from_dump = head.striping.unwrap_or((1, 8));
    let (stripes, blocks) = striping(session, from_dump)?;
    let al_sectors = u64::from(stripes) * u64::from(blocks) * 8;
    let layout = session.layout(size, al_sectors)?;
    let mut record = Record::fresh(session.call.format, &layout, stripes, blocks);
    record.generation = match head.ids {
        Ids::Counts(gc) => Generation::Counts(gc),
        Ids::Uuids { uuids, flags } => Generation::Uuids { uuids, flags },
    };
    if head.mark == Mark::Unclean
        && let Generation::Counts(gc) = &mut record.generation
        && gc.flags.contains(MdFlags::PRIMARY_IND)
    {
        gc.flags.insert(MdFlags::FULL_SYNC);
        session.con.warn(
            "The dump lacks what the activity log of the crashed Primary would add: \
             the next connection will resync everything.",
        );
    }
    record.device_uuid = head.device_uuid;
    record.la_peer_max_bio_size = head.la_peer_max_bio_size;
    let usable = record.usable_sectors(session.call.placement, at);
    record.effective_size = SectorCount(head.la_size_sect.min(usable));
    if head.la_size_sect > usable {
        if !session.call.options.ignore_sanity_checks {
            return Err(Failure::new(
                FAILED_IO,
                format_args!(
                    "The dump is of a volume of {} sectors, but only {usable} are usable here.\n\
                     Nothing was written. \
                     If you want to truncate it, tell me to --ignore-sanity-checks",
                    head.la_size_sect
                ),
            ));
        }
        session.note_clipped(head.la_size_sect, usable);
    }
    Ok(record)
}

fn striping(session: &mut Session<'_>, from_dump: (u32, u32)) -> Result<(u32, u32), Failure> {
    let mut chosen = from_dump;
    if session.call.format >= Format::V08
        && let Some(given) = given_striping(&session.call.options)
    {
        if given != from_dump {
            session
                .con
                .warn("override activity log striping from commandline");
        }
        chosen = given;
    }
    let blocks = u64::from(chosen.0) * u64::from(chosen.1);
    if !(8..=MAX_AL_BLOCKS).contains(&blocks) {
        let word = if blocks < 8 { "small" } else { "large" };
        return Err(Failure::new(
            FAILED_IO,
            format_args!("invalid (too {word}) al-stripe* settings"),
        ));
    }
    Ok(chosen)
}

fn given_striping(options: &Options) -> Option<(u32, u32)> {
    if options.al_stripes.is_none() && options.al_stripe_blocks.is_none() {
        return None;
    }
    // The option check bounds both.
    let narrow = |v: Option<u64>, default| v.map_or(default, |v| v as u32);
    Some((
        narrow(options.al_stripes, 1),
        narrow(options.al_stripe_blocks, 8),
    ))
}

/// How many bytes of the bitmap are written; one that does not fit is refused.
fn check_bitmap(
    session: &mut Session<'_>,
    record: &Record,
    total: &Total,
    at: u64,
) -> Result<u64, Failure> {
    let room = record.bitmap_bytes();
    let have = total.words.saturating_mul(8);
    if have <= room {
        return Ok(have);
    }
    if room == 0 {
        let at = record.bm_at(at);
        return Err(Failure::new(
            FAILED_IO,
            format_args!("confused in {TAG}: offset ({at}) > limit ({at})"),
        ));
    }
    if total.last_dirty.saturating_mul(8) > room && !session.call.options.ignore_sanity_checks {
        return Err(Failure::new(
            FAILED_IO,
            format_args!(
                "The dump has bits set beyond its own la-size-sect {}.\nNothing was written. \
                 If you want to lose them, tell me to --ignore-sanity-checks",
                record.effective_size
            ),
        ));
    }
    // Sectors are written.
    let padded = have.checked_next_multiple_of(512).unwrap_or(have);
    session.con.warn(format_args!(
        "in {TAG}: truncating byte count from {padded} to {room}\nBitmap info too large, truncated!"
    ));
    Ok(room)
}

/// The second pass: `length` bytes of words, zero padded to a page.
fn write_bitmap(
    session: &mut Session<'_>,
    store: &Store,
    source: &mut Source,
    at: u64,
    length: u64,
) -> Result<(), Failure> {
    let format = session.call.format;
    let mut parser = source.parser()?;
    read_head(&mut parser, format)?;
    let area = Area {
        tag: TAG,
        at,
        length,
        piece: bitmap_writer::PIECE,
    };
    bitmap_writer::write(&mut session.con, store, area, |writer| {
        parser.bitmap(|words| writer.put(words))
    })
}

impl From<DumpError> for Failure {
    fn from(error: DumpError) -> Self {
        Self::new(FAILED_IO, error)
    }
}
