//! `dump-md` (spec 40 section 15).

use std::io::{self, Write};

use super::console::{FAILED_IO, Failure};
use super::lkbd::LastKnown;
use super::session::{Found, Opened, Session};
use super::store::Store;
use crate::activity_log::{FREE, ValidBlock, old};
use crate::device::PageBuffer;
use crate::layout::Striping;
use crate::record::{Format, Generation, Record};
use crate::text::parser::UNCLEAN_MARK;
use crate::text::words::{WINDOW_BYTES, WordWriter};

/// Bitmap bytes in memory at a time: what fits into the caches of a processor.
const PIECE: u64 = 1 << 20;

/// Where the dumped record lies.
struct Source<'a> {
    store: &'a Store,
    record: &'a Record,
    at: u64,
}

/// `dump-md`
pub fn run(session: &mut Session<'_>) -> Result<u8, Failure> {
    let Opened {
        store,
        at: expected,
        found,
    } = session.open()?;
    let (record, at, last_known) = match found {
        Found::Nothing => return Err(Failure::new(1, "No valid meta data found")),
        Found::InPlace(record) => (record, expected, None),
        Found::LastKnown { record, at, known } => (record, at, Some(known)),
    };
    let unclean = record.is_unclean();
    if unclean {
        session
            .con
            .warn("Found meta data is \"unclean\", please apply-al first");
        if !session.con.is_forced() {
            return Err(Failure::silent(1));
        }
    }
    let source = Source {
        store: &store,
        record: &record,
        at,
    };
    let mut head = Vec::new();
    header(session, &mut head, record.format, unclean);
    head.extend(format!("# md_size_sect {}\n", record.md_size_sect).bytes());
    if let Some(known) = &last_known {
        head.extend(resized(session, &source, expected, known).bytes());
    }
    let (al, bm) = (record.al_at(at), record.bm_at(at));
    head.extend(format!("# md_offset {at}\n# al_offset {al}\n# bm_offset {bm}\n\n").bytes());
    head.extend(fields(&record).bytes());
    print(session, |out| out.write_all(&head));
    if record.format == Format::V06 {
        return Ok(0);
    }
    let bits = bitmap(session, &source)?;
    print(session, |out| writeln!(out, "# bits-set {bits};"));
    if session.con.verbosity() >= 10 {
        activity_log(session, &source)?;
    }
    Ok(0)
}

fn print(session: &mut Session<'_>, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
    let result = write(session.con.out());
    session.con.note(result);
}

fn header(session: &Session<'_>, out: &mut Vec<u8>, format: Format, unclean: bool) {
    let now = jiff::Zoned::now();
    let uname = rustix::system::uname();
    let mut text = format!(
        "# DRBD meta data dump\n# {} [{}]\n# {}> {}",
        now.strftime("%F %T %z"),
        now.timestamp().as_second(),
        uname.nodename().to_string_lossy(),
        session.env.program,
    );
    for word in &session.call.permuted {
        text.push(' ');
        text.push_str(word);
    }
    text.push_str(&format!("\n#\n\nversion \"{format}\";\n\n"));
    if unclean {
        text.push_str(UNCLEAN_MARK);
        text.push_str("\n# You should \"apply-al\" first, if you plan to restore this.\n\n");
    }
    out.extend(text.bytes());
}

/// The block about meta-data that was found where the device used to end.
fn resized(session: &Session<'_>, source: &Source<'_>, expected: u64, known: &LastKnown) -> String {
    let path = session.call.path.display();
    let now = source.store.size();
    let (name, size) = (known.name.as_str(), known.size);
    let name = if name.is_empty() { "-?-" } else { name };
    format!(
        "#\n### Device seems to have been resized!\n\
         ### dumping meta data from the last known position\n\
         ### current size of {path}: {now} byte\n\
         ### expected position of meta data:\n\
         ## md_offset {expected}\n## al_offset 0\n## bm_offset 0\n\
         ### last known size of {name}: {size} byte\n\
         ### adjusted position of meta data:\n"
    )
}

/// Everything between the positions and the bitmap.
pub fn fields(record: &Record) -> String {
    let mut text = match &record.generation {
        Generation::Counts(gc) => {
            let [human, timeout, connected, arbitrary] = gc.counts.map(u32::cast_signed);
            let flags = gc.flags.bits().cast_signed();
            format!("gc {{\n    {flags}; {human}; {timeout}; {connected}; {arbitrary};\n}}\n")
        }
        Generation::Uuids { uuids, flags } => {
            let [younger, older] = uuids.history;
            // The genuine 8.9 to 9.32 print 0 here, and their dumps restore as Inconsistent.
            format!(
                "uuid {{\n    0x{}; 0x{}; 0x{younger}; 0x{older};\n    flags 0x{:08X};\n}}\n",
                uuids.current,
                uuids.bitmap,
                flags.bits()
            )
        }
        Generation::Nodes(_) => String::new(),
    };
    if record.format == Format::V06 {
        return text;
    }
    text.push_str(&format!(
        "# al-extents {};\nla-size-sect {};\n",
        record.al_nr_extents, record.effective_size
    ));
    if record.format >= Format::V08 {
        let (stripes, blocks) = (record.al_stripes, record.al_stripe_size_4k);
        text.push_str(&format!(
            "bm-byte-per-bit {};\ndevice-uuid 0x{:016X};\nla-peer-max-bio-size {};\n\
             al-stripes {stripes};\nal-stripe-size-4k {blocks};\n",
            record.bm_bytes_per_bit,
            record.device_uuid,
            record.la_peer_max_bio_size.cast_signed(),
        ));
    }
    text
}

/// The bitmap, streamed. Returns the number of set bits, those beyond the volume included.
fn bitmap(session: &mut Session<'_>, source: &Source<'_>) -> Result<u64, Failure> {
    let length = source.record.bitmap_bytes();
    print(session, |out| write!(out, "# bm-bytes {length};\nbm {{"));
    let start = source.record.bm_at(source.at);
    if start.checked_add(length).is_none() {
        return Err(Failure::new(FAILED_IO, "bitmap lies outside of the device"));
    }
    let mut writer = WordWriter::default();
    // A trace shows the windows of the genuine tool.
    let most = if session.con.verbosity() >= 2 {
        WINDOW_BYTES
    } else {
        PIECE
    };
    let mut buffer = PageBuffer::new(most.min(length) as usize);
    let mut done = 0;
    while done < length {
        let at = start.wrapping_add(done);
        let window = (length - done).min(WINDOW_BYTES);
        if done.is_multiple_of(WINDOW_BYTES) && at.saturating_add(window) > source.store.size().0 {
            // Fails, and shall say so in the numbers of the genuine tool.
            buffer = PageBuffer::new(window as usize);
            source
                .store
                .read(&mut session.con, "fprintf_bm", at, &mut buffer)?;
        }
        let count = (length - done).min(most) as usize;
        let piece = &mut buffer[..count];
        source
            .store
            .read(&mut session.con, "fprintf_bm", at, piece)?;
        let result = writer.piece(session.con.out(), piece);
        session.con.note(result);
        done += count as u64;
    }
    let result = writer.finish(session.con.out());
    session.con.note(result);
    Ok(writer.bits_set())
}

/// The listing of the activity log, for people.
fn activity_log(session: &mut Session<'_>, source: &Source<'_>) -> Result<(), Failure> {
    let length = source.record.al_sectors() * 512;
    let mut ring = PageBuffer::new(usize::try_from(length).unwrap_or(0));
    let at = source.record.al_at(source.at);
    source
        .store
        .read(&mut session.con, "printf_al", at, &mut ring)?;
    session.con.say("# al {");
    let (blocks, _) = ring.as_chunks::<4096>();
    // Unlike in apply-al the magic of the superblock does not matter here.
    let record = source.record;
    let striped = Striping::from_fields(record.al_stripes, record.al_stripe_size_4k)
        .is_some_and(|striping| striping != Striping::DEFAULT);
    let modern = striped
        || blocks
            .iter()
            .take(2)
            .any(|b| b[..4] == crate::activity_log::MAGIC.to_be_bytes());
    let highest = if modern {
        // Without any slot the genuine tool takes 0 for the highest.
        list_blocks(session, blocks).or(Some(0))
    } else {
        list_sectors(session, &ring)
    };
    let claimed = source.record.al_nr_extents;
    if let Some(highest) = highest.filter(|&h| h >= claimed) {
        session.con.say(format_args!(
            "### CAUTION: maximum slot number found in AL: {highest}\n\
             ### CAUTION: but 'super-block' al-extents is: {claimed}"
        ));
    }
    session.con.say("# }");
    Ok(())
}

/// Returns the highest slot number of all.
fn list_blocks(session: &mut Session<'_>, blocks: &[[u8; 4096]]) -> Option<u32> {
    let mut highest = None;
    for (b, block) in blocks.iter().enumerate() {
        let Ok(block) = ValidBlock::parse(block) else {
            session
                .con
                .say(format_args!("#     block {b:2} {{ INVALID }}"));
            continue;
        };
        if block.is_initialized() {
            session
                .con
                .say(format_args!("#     block {b:2} {{ INITIALIZED }}"));
            continue;
        }
        let slots = block.context_size();
        session.con.say(format_args!(
            "#     block {b:2} {{\n# \tmagic: 0x{:08x}\n# \ttype: 0x{:04x}\n# \ttr: {:10}\n\
             # \tactive set size: {slots}",
            crate::activity_log::MAGIC,
            block.transaction_type(),
            block.tr_number(),
        ));
        for (i, (slot, extent)) in block.context().enumerate() {
            if extent == FREE && slot >= u32::from(slots) {
                continue;
            }
            session
                .con
                .say(format_args!("# \t{i:2}: {slot:10} {extent:10}"));
            highest = highest.max(Some(slot));
        }
        session
            .con
            .say(format_args!("# \tupdates: {}", block.n_updates()));
        for (i, update) in block.updates().enumerate() {
            if i >= usize::from(block.n_updates()) && update.slot == 0xffff {
                continue;
            }
            session.con.say(format_args!(
                "# \t{i:2}: {:10} {:10}",
                update.slot, update.extent
            ));
            highest = highest.max(Some(u32::from(update.slot)));
        }
        session.con.say(format_args!(
            "# \tcrc32c: 0x{:08x}\n#     }}",
            block.crc32c()
        ));
    }
    highest
}

/// All sectors, the senseless ones included.
fn list_sectors(session: &mut Session<'_>, log: &[u8]) -> Option<u32> {
    let mut highest = None;
    let (sectors, _) = log.as_chunks::<512>();
    for (s, bytes) in sectors.iter().enumerate() {
        let sector = old::Sector::read(bytes);
        let verdict = if sector.is_valid() {
            "valid"
        } else {
            "invalid"
        };
        session.con.say(format_args!(
            "#     sector {s:2} {{ {verdict}\n# \tmagic: 0x{:08x}\n# \ttr: {:10}",
            sector.magic(),
            sector.tr_number()
        ));
        for (i, (slot, extent)) in sector.entries().enumerate() {
            session
                .con
                .say(format_args!("# \t{i:2}: {slot:10} {extent:10}"));
            if slot != FREE {
                highest = highest.max(Some(slot));
            }
        }
        session.con.say(format_args!(
            "# \txor: 0x{:08x}\n#     }}",
            sector.xor_sum()
        ));
    }
    highest
}
