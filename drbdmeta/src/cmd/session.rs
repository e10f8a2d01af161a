//! From the words of the command line to opened, judged meta-data (spec 40 section 9).

use std::path::{Path, PathBuf};

use drbd_types::{ByteCount, MdFlags, Minor};

use super::args::Options;
use super::console::{Console, FAILED_IO, FAILED_USE, Failure};
use super::lkbd::{self, LastKnown};
use super::opening::{Devices, NO_SIZE};
use super::store::{Store, Writing};
use super::table::Command;
use crate::device::PageBuffer;
use crate::layout::{Layout, LayoutError, Placement, SMALLEST_DEVICE, superblock_byte};
use crate::record::validate::{self, Fault, Field, Verdict};
use crate::record::{Format, Generation, PeerFlags, Record};
use crate::superblock::{Block, MagicKind, SUPERBLOCK_BYTES};

/// What surrounds the process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Environment {
    /// Base name of the program, for usage, getopt and dump header.
    pub program: String,
    /// Where the last-known-bdev files are: `/var/lib/drbd`, or `$DRBD_STATE_DIR`.
    pub state_dir: PathBuf,
    /// Where the lock files are.
    pub lock_dir: PathBuf,
}

/// What the words stand for.
pub struct Invocation {
    /// The options.
    pub options: Options,
    /// The first word.
    pub device: String,
    /// The minor it stands for, if any.
    pub minor: Option<Minor>,
    /// The requested format.
    pub format: Format,
    /// The device or file with the meta-data.
    pub path: PathBuf,
    /// Where on it.
    pub placement: Placement,
    /// The sub-command.
    pub command: &'static Command,
    /// Its arguments.
    pub args: Vec<String>,
    /// All words as getopt leaves them, for the dump header.
    pub permuted: Vec<String>,
}

/// Whether something else than this process uses the minor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InUse {
    /// The minor is attached.
    Attached,
    /// It is not.
    Free,
}

/// What a command works with.
pub struct Session<'a> {
    /// Streams and prompts.
    pub con: Console<'a>,
    /// The command line.
    pub call: Invocation,
    /// The surroundings.
    pub env: Environment,
    /// Where devices come from.
    pub devices: Box<dyn Devices>,
}

/// Meta-data that was looked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Found {
    /// There is none of the requested format.
    Nothing,
    /// At its place.
    InPlace(Record),
    /// Where it belonged before the device was resized.
    LastKnown {
        /// The block.
        record: Record,
        /// Byte position of its superblock.
        at: u64,
        /// What was known about the device.
        known: LastKnown,
    },
}

/// An open device.
pub struct Opened {
    /// The device.
    pub store: Store,
    /// Byte position where the superblock belongs.
    pub at: u64,
    /// What is there.
    pub found: Found,
}

impl Opened {
    /// The record at its place.
    pub fn in_place(self) -> Result<(Store, u64, Record), Failure> {
        match self.found {
            Found::InPlace(record) => Ok((self.store, self.at, record)),
            Found::Nothing | Found::LastKnown { .. } => Err(Failure::silent(1)),
        }
    }
}

impl Session<'_> {
    /// Opens the device and looks for meta-data of the requested format.
    pub fn open(&mut self) -> Result<Opened, Failure> {
        if self.call.format == Format::V06 {
            return super::v06::open(self);
        }
        let store = self.open_store()?;
        let size = store.size();
        let path = self.call.path.display();
        if size.0 == 0 {
            // Only a file can be empty; the genuine tool then believes its ioctl.
            return Err(Failure::new(FAILED_USE, NO_SIZE));
        }
        if size < SMALLEST_DEVICE {
            return Err(Failure::new(
                FAILED_IO,
                format_args!("{path} is only {size} bytes. That's not enough."),
            ));
        }
        let expected = superblock_byte(size, self.call.placement);
        let at = u64::try_from(expected)
            .ok()
            .filter(|at| at.checked_add(4096).is_some_and(|end| end <= size.0))
            .ok_or_else(|| too_small(&self.call.path, expected, size))?;
        let block = self.read_block(&store, &self.disk_to_cpu(), at)?;
        let mut opened = Opened {
            store,
            at,
            found: Found::Nothing,
        };
        let record = self.judge(self.call.format, &block, size);
        let shown_from = if record.is_some() { 4 } else { 3 };
        if self.call.format >= Format::V08 && (shown_from..=10).contains(&self.con.verbosity()) {
            super::store::hexdump(&mut self.con, at, &block);
        }
        if let Some(record) = record {
            let record = self.clip(record, at);
            permit(&mut opened.store, &record, at);
            opened.found = Found::InPlace(record);
        } else if self.keeps_last_known() {
            opened.found = self.look_at_last_known(&opened.store)?;
        }
        if opened.found == Found::Nothing {
            self.advise(&opened.store, at, &block);
        }
        Ok(opened)
    }

    /// A person, who unlike a script can read on, is told which field is wrong, and what else
    /// lies there. A blank disk needs no words.
    fn advise(&mut self, store: &Store, at: u64, block: &Block) {
        if !self.con.is_watched() {
            return;
        }
        let damage = self
            .fault(store, block)
            .filter(|fault| fault.field != Field::Magic)
            .map(|fault| self.no_superblock(at, &fault));
        for line in damage.into_iter().chain(self.other_format(block)) {
            self.con.warn(line);
        }
    }

    /// Why there is no meta-data of the requested format: the field and its place, and what else
    /// is there.
    pub fn explain(&self, store: &Store, at: u64, block: &Block) -> Vec<String> {
        let fault = self.fault(store, block);
        fault
            .map(|fault| self.no_superblock(at, &fault))
            .into_iter()
            .chain(self.other_format(block))
            .collect()
    }

    fn fault(&self, store: &Store, block: &Block) -> Option<Fault> {
        validate::fault(self.call.format, self.call.placement, block, store.size())
    }

    fn no_superblock(&self, at: u64, fault: &Fault) -> String {
        let wanted = self.call.format;
        let text = fault.text(wanted, at);
        format!("no {wanted} superblock at byte {at}: {text}")
    }

    fn other_format(&self, block: &Block) -> Option<String> {
        let wanted = self.call.format;
        let other = Format::ALL
            .into_iter()
            .filter(|format| *format != wanted)
            .find(|format| Record::parse(*format, block).is_some())?;
        Some(match other {
            Format::V09 => format!(
                "This is DRBD 9 meta data (v09). create-md converts it to {wanted}, \
                 if it has a single peer."
            ),
            _ => format!("This is {other} meta data. create-md converts it to {wanted}."),
        })
    }

    /// Whether the block is meta-data of this format at this placement, telling why not.
    pub fn judge(&mut self, format: Format, block: &Block, size: ByteCount) -> Option<Record> {
        self.judge_as(format, self.call.placement, block, size)
    }

    /// The same for another placement.
    pub fn judge_as(
        &mut self,
        format: Format,
        placement: Placement,
        block: &Block,
        size: ByteCount,
    ) -> Option<Record> {
        let Some(record) = Record::parse(format, block) else {
            self.con
                .trace(1, format_args!("{format} Magic number not found"));
            return None;
        };
        let Verdict { valid, remarks, .. } = validate::judge(&record, placement, size);
        for remark in remarks {
            self.con.warn(remark);
        }
        valid.then_some(record)
    }

    /// Reads the 4096 bytes of a superblock.
    pub fn read_block(&mut self, store: &Store, tag: &str, at: u64) -> Result<Block, Failure> {
        let mut page = PageBuffer::new(SUPERBLOCK_BYTES);
        store.read(&mut self.con, tag, at, &mut page)?;
        let mut block = [0; SUPERBLOCK_BYTES];
        block.copy_from_slice(&page);
        Ok(block)
    }

    /// Writes a superblock as the last step of a change: what it makes valid is durable before,
    /// it is durable afterwards, and the last-known-bdev file follows.
    pub fn commit(&mut self, store: &Store, at: u64, record: &Record) -> Result<(), Failure> {
        store.flush()?;
        if record.format == Format::V07 {
            // The genuine tool checks what it is going to write; v07 may have remarkable fields.
            for remark in validate::judge(record, self.call.placement, store.size()).remarks {
                self.con.warn(remark);
            }
        }
        let tag = format!("{}_md_cpu_to_disk", record.format);
        let length = record.format.superblock_bytes();
        store.write_head(&mut self.con, &tag, at, &record.encode(), length)?;
        store.flush()?;
        lkbd::follow(self, store, record);
        Ok(())
    }

    /// Before log and bitmap under a valid superblock are replaced: from now on it demands a full
    /// sync and no longer needs its log, so that after a crash nobody trusts the old superblock
    /// with the new bitmap, and `apply-al` does not stumble over a half-written log.
    pub fn distrust(&mut self, store: &Store, at: u64, old: &Record) -> Result<(), Failure> {
        let mut record = old.clone();
        demand_full_sync(&mut record);
        let primary = match &old.generation {
            Generation::Counts(gc) => gc.flags.contains(MdFlags::PRIMARY_IND),
            _ => old.flags().contains(MdFlags::PRIMARY_IND),
        };
        let nothing_to_lose = old.effective_size.0 == 0 && !primary;
        if nothing_to_lose || record == *old || store.writing() == Writing::DryRun {
            return Ok(());
        }
        let tag = format!("{}_md_cpu_to_disk", record.format);
        store.write_block(&mut self.con, &tag, at, &record.encode())?;
        store.flush()
    }

    /// A size beyond the usable one is cut, and told.
    fn clip(&mut self, mut record: Record, at: u64) -> Record {
        let usable = record.usable_sectors(self.call.placement, at);
        if record.effective_size.0 > usable {
            self.note_clipped(record.effective_size.0, usable);
            record.effective_size.0 = usable;
        }
        record
    }

    /// Tells that a size was cut.
    pub fn note_clipped(&mut self, found: u64, usable: u64) {
        self.con.say(format_args!(
            "# la-size-sect was too big ({found}), truncated ({usable})!"
        ));
    }

    fn disk_to_cpu(&self) -> String {
        format!("{}_md_disk_to_cpu", self.call.format)
    }

    /// Flexible internal meta-data since v08 moves with the end of the device, and leaves a file
    /// behind that tells where it was.
    pub fn keeps_last_known(&self) -> bool {
        self.call.format >= Format::V08 && self.call.placement == Placement::FlexInternal
    }

    fn look_at_last_known(&mut self, store: &Store) -> Result<Found, Failure> {
        let path = lkbd::path(self);
        let Some(known) = lkbd::load(&mut self.con, &path) else {
            return Ok(Found::Nothing);
        };
        let size = known.size;
        if size == store.size() {
            return Ok(Found::Nothing);
        }
        let place = superblock_byte(size, Placement::FlexInternal);
        let inside = u64::try_from(place).ok().filter(|at| *at < store.size().0);
        let record = match inside {
            Some(at) => {
                let block = self.read_block(store, "v08_check_for_resize", at)?;
                self.judge(self.call.format, &block, size)
            }
            None => None,
        };
        self.tell_last_known(&known, place, record.is_some());
        if inside.is_none() {
            self.con.trace(1, "Device is too small now!");
        }
        match (record, inside) {
            (Some(record), Some(at)) if self.believe(&known, &record) => {
                Ok(Found::LastKnown { record, at, known })
            }
            _ => Ok(Found::Nothing),
        }
    }

    /// The details that `-v` shows.
    fn tell_last_known(&mut self, known: &LastKnown, place: i64, valid: bool) {
        let minor = self.call.minor.map_or(u32::MAX, |m| m.0);
        let path = self.call.path.display().to_string();
        let elsewhere = match known.name.as_str() {
            name if name.is_empty() || name == path => String::new(),
            name => format!("on {name} "),
        };
        let verdict = if valid {
            "and seems to still be valid."
        } else {
            "but I cannot find it now."
        };
        self.con.trace(
            1,
            format_args!(
                "While checking for internal meta data for drbd{minor} on {path},\n\
                 it appears that it may have been relocated.\n\
                 It used to be {elsewhere}at byte offset {}, {verdict}",
                place.cast_unsigned()
            ),
        );
    }

    /// Whether the block found is the one of this device.
    fn believe(&mut self, known: &LastKnown, record: &Record) -> bool {
        if known.uuid == 0 || known.uuid == record.device_uuid {
            return true;
        }
        self.con.warn("Last known and found uuid differ!?");
        // The genuine tool always shows 0 on the right.
        self.con
            .warn(format_args!("{:016X} != {:016X}", known.uuid, 0));
        let forced = self.con.is_forced();
        self.con.warn(match forced {
            true => "You --force'ed me to ignore that.",
            false => "You may --force me to ignore that.",
        });
        forced
    }

    /// The refusal to touch an attached minor.
    pub fn configured(&self) -> Failure {
        let device = &self.call.device;
        Failure::new(FAILED_USE, format_args!("Device '{device}' is configured!"))
    }

    /// The layout that belongs to the device for the requested placement and a striping.
    pub fn layout(&self, size: ByteCount, al_sectors: u64) -> Result<Layout, Failure> {
        Layout::compute_raw(size, self.call.placement, al_sectors, 4096, 1).map_err(|e| match e {
            LayoutError::SuperblockOutside { expected, size } => {
                too_small(&self.call.path, expected, size)
            }
            other => Failure::new(FAILED_IO, other),
        })
    }
}

/// Makes every block count as out of sync, so that neither bitmap nor log matter any more.
pub fn demand_full_sync(record: &mut Record) {
    match &mut record.generation {
        Generation::Counts(gc) => gc.flags.insert(MdFlags::FULL_SYNC),
        Generation::Uuids { flags, .. } => {
            flags.insert(MdFlags::FULL_SYNC | MdFlags::AL_CLEAN);
            if flags.contains(MdFlags::PRIMARY_IND) {
                // The same to a driver, but `apply-al` then asks nothing of the log.
                flags.remove(MdFlags::PRIMARY_IND);
                flags.insert(MdFlags::CRASHED_PRIMARY);
            }
            record.magic = MagicKind::Clean;
        }
        Generation::Nodes(nodes) => {
            for peer in &mut nodes.peers {
                peer.flags.insert(PeerFlags::FULL_SYNC);
            }
        }
    }
}

/// The area that a record claims, as the genuine tool computes it: the smallest of the three
/// positions as unsigned numbers.
pub fn permit(store: &mut Store, record: &Record, at: u64) {
    let start = at.min(record.al_at(at)).min(record.bm_at(at));
    store.permit(
        start,
        start.wrapping_add(u64::from(record.md_size_sect) * 512),
    );
}

fn too_small(path: &Path, expected: i64, size: ByteCount) -> Failure {
    Failure::new(
        FAILED_IO,
        format_args!(
            "Device too small: expecting meta data block at\n\
             byte offset {expected}, but {} is only {size} bytes.",
            path.display()
        ),
    )
}
