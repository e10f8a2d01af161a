//! The meta-data area under guard: every write must lie inside it, `--dry-run` writes nothing,
//! `-vv` traces, and failures name the step that failed (spec 40 section 9.3).

use std::io;

use drbd_types::ByteCount;

use super::console::{Console, FAILED_IO, Failure};
use crate::device::{Kind, Medium, PageBuffer, errno_text};
use crate::superblock::Block;

/// What happens to writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Writing {
    /// They are done.
    Real,
    /// They are only announced.
    DryRun,
}

/// What happens to writes outside of the area.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RangeCheck {
    /// They fail.
    Strict,
    /// `--ignore-sanity-checks`.
    Ignored,
}

/// A device with the area of it that may be written.
pub struct Store {
    medium: Box<dyn Medium>,
    writing: Writing,
    check: RangeCheck,
    area: (u64, u64),
}

impl Store {
    /// Nothing may be written before [`Store::permit`].
    pub fn new(medium: Box<dyn Medium>, writing: Writing, check: RangeCheck) -> Self {
        Self {
            medium,
            writing,
            check,
            area: (0, 0),
        }
    }

    /// Allows writes from the byte `start` up to `end`.
    pub const fn permit(&mut self, start: u64, end: u64) {
        self.area = (start, end);
    }

    /// Size of the device.
    pub fn size(&self) -> ByteCount {
        self.medium.size()
    }

    /// Block device or file.
    pub fn kind(&self) -> Kind {
        self.medium.kind()
    }

    /// Whether writes are done.
    pub const fn writing(&self) -> Writing {
        self.writing
    }

    /// Fills the buffer; the step `tag` names itself in messages.
    pub fn read(
        &self,
        con: &mut Console<'_>,
        tag: &str,
        at: u64,
        buffer: &mut [u8],
    ) -> Result<(), Failure> {
        let length = buffer.len();
        let fd = self.medium.descriptor();
        con.trace(
            2,
            format_args!(" {tag:<26}: pread({fd}, ...,{length:6},{:12})", at as i64),
        );
        let count = self
            .medium
            .read_up_to(ByteCount(at), buffer)
            .map_err(|error| {
                let text = errno_text(&error);
                Failure::new(
                    FAILED_IO,
                    format_args!("pread({fd},...,{length},{at}) in {tag} failed: {text}"),
                )
            })?;
        if count != length {
            return Err(Failure::new(
                FAILED_IO,
                format_args!(
                    "confused in {tag}: expected to read {length} bytes, actually read {count}"
                ),
            ));
        }
        if con.verbosity() > 10 {
            hexdump(con, at, buffer);
        }
        Ok(())
    }

    /// Writes the bytes.
    pub fn write(
        &self,
        con: &mut Console<'_>,
        tag: &str,
        at: u64,
        bytes: &[u8],
    ) -> Result<(), Failure> {
        if self.announce(con, tag, at, bytes)? == Writing::DryRun {
            return Ok(());
        }
        self.medium
            .write_at(ByteCount(at), bytes)
            .map_err(|error| self.write_failed(tag, at, bytes.len(), &error))
    }

    /// Checks and traces a write that the caller then does, or leaves out in a dry run.
    pub fn announce(
        &self,
        con: &mut Console<'_>,
        tag: &str,
        at: u64,
        bytes: &[u8],
    ) -> Result<Writing, Failure> {
        self.check_range(con, tag, at, bytes.len() as u64)?;
        let length = bytes.len();
        let fd = self.medium.descriptor();
        let call = format!(" {tag:<26}: pwrite({fd}, ...,{length:6},{:12})", at as i64);
        if self.writing == Writing::DryRun {
            con.warn(format_args!("{call} SKIPPED DUE TO DRY-RUN"));
            return Ok(Writing::DryRun);
        }
        con.trace(2, call);
        if con.verbosity() > 10 {
            hexdump(con, at, bytes);
        }
        Ok(Writing::Real)
    }

    /// What a write that failed is reported as.
    pub fn write_failed(&self, tag: &str, at: u64, length: usize, error: &io::Error) -> Failure {
        let fd = self.medium.descriptor();
        let text = errno_text(error);
        Failure::new(
            FAILED_IO,
            format_args!("pwrite({fd},...,{length},{at}) in {tag} failed: {text}"),
        )
    }

    /// The device, for writes that were announced.
    pub fn medium(&self) -> &dyn Medium {
        &*self.medium
    }

    /// Writes a superblock.
    pub fn write_block(
        &self,
        con: &mut Console<'_>,
        tag: &str,
        at: u64,
        block: &Block,
    ) -> Result<(), Failure> {
        self.write_head(con, tag, at, block, block.len())
    }

    /// Writes the first `length` bytes of a superblock: a v06 file has no more than 24.
    pub fn write_head(
        &self,
        con: &mut Console<'_>,
        tag: &str,
        at: u64,
        block: &Block,
        length: usize,
    ) -> Result<(), Failure> {
        let mut page = PageBuffer::new(block.len());
        page.copy_from_slice(block);
        self.write(con, tag, at, &page[..length])
    }

    /// Zeroes a range by the fast way of the device.
    pub fn zero_out(&self, at: u64, length: u64) -> io::Result<()> {
        if at < self.area.0 || at.checked_add(length).is_none_or(|end| end > self.area.1) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.medium.zero_out(ByteCount(at), ByteCount(length))
    }

    /// Everything written so far is durable afterwards: the barrier between the parts and the
    /// superblock that makes them valid.
    pub fn flush(&self) -> Result<(), Failure> {
        if self.writing == Writing::DryRun {
            return Ok(());
        }
        self.medium
            .flush()
            .map_err(|error| Failure::new(FAILED_IO, format_args!("fsync failed: {error}")))
    }

    fn check_range(
        &self,
        con: &mut Console<'_>,
        tag: &str,
        at: u64,
        length: u64,
    ) -> Result<(), Failure> {
        let (start, end) = self.area;
        let inside = at >= start && at.checked_add(length).is_some_and(|last| last <= end);
        if inside {
            return Ok(());
        }
        let complaint = format!(
            "{tag}: offset+count ({at}+{length}) not in meta data area range [{start}; {end}], aborted"
        );
        let beyond = at.checked_add(length).is_none_or(|end| end > self.size().0);
        match self.check {
            // A file would grow.
            RangeCheck::Ignored if beyond => Err(Failure::new(
                FAILED_IO,
                format_args!("{complaint}\nThe device ends at {}", self.size()),
            )),
            RangeCheck::Strict => Err(Failure::new(
                FAILED_IO,
                format_args!(
                    "{complaint}\nIf you want to force this, tell me to --ignore-sanity-checks"
                ),
            )),
            RangeCheck::Ignored => {
                con.warn(complaint);
                con.warn("Ignored due to --ignore-sanity-checks");
                Ok(())
            }
        }
    }
}

/// Sixteen bytes a line, equal lines folded to `*`, the way `hexdump -C` prints.
pub fn hexdump(con: &mut Console<'_>, at: u64, bytes: &[u8]) {
    let mut previous: Option<&[u8]> = None;
    let mut folded = false;
    let last = bytes.len().saturating_sub(1) / 16;
    for (i, line) in bytes.chunks(16).enumerate() {
        let repeats = previous == Some(line) && i != last;
        previous = Some(line);
        if repeats {
            if !folded {
                con.warn("*");
            }
            folded = true;
            continue;
        }
        folded = false;
        let hex: String = line
            .iter()
            .enumerate()
            .map(|(i, b)| format!("{}{b:02x} ", if i == 8 { " " } else { "" }))
            .collect();
        let text: String = line
            .iter()
            .map(|&b| {
                if (0x20..0x7f).contains(&b) {
                    b as char
                } else {
                    '.'
                }
            })
            .collect();
        con.warn(format_args!(
            "{:08x}  {hex:<50}|{text}|",
            at + i as u64 * 16
        ));
    }
    con.warn(format_args!("{:08x}", at + bytes.len() as u64));
}
