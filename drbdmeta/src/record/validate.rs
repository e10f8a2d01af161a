//! Whether a block with the right magic is meta-data at its place (spec 40 section 3.3): the
//! rules of the tool, with its words.

use drbd_types::ByteCount;

use super::{Format, Record};
use crate::layout::{Layout, Placement, Striping};

/// The largest ring that the command accepts: 32 MiB.
pub const MAX_AL_BLOCKS: u64 = 8192;

/// The verdict on a block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// Whether it is meta-data.
    pub valid: bool,
    /// Lines to print on stderr in either case.
    pub remarks: Vec<String>,
}

impl Verdict {
    fn invalid(remark: impl Into<String>) -> Self {
        Self {
            valid: false,
            remarks: vec![remark.into()],
        }
    }
}

/// Judges a record found at the place where `placement` on a device of `size` bytes puts it.
pub fn judge(record: &Record, placement: Placement, size: ByteCount) -> Verdict {
    let verdict = match placement {
        Placement::FlexInternal => judge_flexible(record, size),
        _ => judge_leading(record),
    };
    if !verdict.valid {
        return verdict;
    }
    // Beyond the genuine rules: there the capacity computation aborts, here nothing is accepted
    // that a driver refuses or that would need unbounded memory.
    if record.bm_bytes_per_bit != 4096 {
        return Verdict::invalid(format!(
            "{} bm_bytes_per_bit: expected 4096, found {}",
            record.format, record.bm_bytes_per_bit
        ));
    }
    let striping = Striping::from_fields(record.al_stripes, record.al_stripe_size_4k);
    if striping.is_none_or(|s| u64::from(s.blocks()) > MAX_AL_BLOCKS) {
        return Verdict::invalid(format!(
            "{} activity log striping: al_stripes {}, al_stripe_size_4k {} is out of range",
            record.format, record.al_stripes, record.al_stripe_size_4k
        ));
    }
    verdict
}

/// External and fixed: the superblock comes first. The size is not checked.
fn judge_leading(record: &Record) -> Verdict {
    let format = record.format;
    if record.al_offset != 8 {
        return Verdict {
            valid: false,
            remarks: vec![
                format!("{format} Magic number (al_offset) not found"),
                format!("\texpected: 8, found {}", record.al_offset),
            ],
        };
    }
    let expected = 8 + record.al_sectors() as i64;
    if i64::from(record.bm_offset) != expected {
        let found = record.bm_offset;
        return Verdict::invalid(format!(
            "{format} bm_offset: expected {expected}, found {found}"
        ));
    }
    Verdict {
        valid: true,
        remarks: vec![],
    }
}

fn judge_flexible(record: &Record, size: ByteCount) -> Verdict {
    let al = record.al_sectors();
    if i64::from(record.al_offset) != -(al as i64) {
        return Verdict::invalid(format!(
            "{} al_offset: expected {}, found {}",
            record.format,
            -(al as i64),
            record.al_offset
        ));
    }
    let expected = match Layout::compute_raw(
        size,
        Placement::FlexInternal,
        al,
        record.bm_bytes_per_bit,
        record.max_peers(),
    ) {
        Ok(layout) => layout,
        Err(error) => return Verdict::invalid(error.to_string()),
    };
    if record.bm_offset != expected.bm_offset {
        return Verdict::invalid(format!(
            "strange bm_offset {} (expected: {})",
            record.bm_offset, expected.bm_offset
        ));
    }
    if record.md_size_sect == expected.md_size_sect {
        return Verdict {
            valid: true,
            remarks: vec![],
        };
    }
    Verdict {
        // Early tools wrote sectors where v07 has KiB.
        valid: record.format == Format::V07,
        remarks: vec![format!(
            "strange md_size_sect {} (expected: {})",
            record.md_size_sect, expected.md_size_sect
        )],
    }
}
