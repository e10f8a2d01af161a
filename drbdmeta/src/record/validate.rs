//! Whether a block with the right magic is meta-data at its place (spec 40 section 3.3): the
//! rules of the tool, with its words.

use drbd_types::ByteCount;

use super::v09::V09;
use super::{Format, Generation, Record};
use crate::layout::{Layout, Placement, Striping};
use crate::superblock::Block;

/// The largest ring that the command accepts: 32 MiB.
pub const MAX_AL_BLOCKS: u64 = 8192;

/// The fields by which a block is judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Field {
    /// What makes it a superblock.
    Magic,
    /// Sectors of the whole area; KiB in v07.
    MdSize,
    /// Where the activity log is.
    AlOffset,
    /// Where the bitmap is.
    BmOffset,
    /// The granularity of the bitmap.
    BytesPerBit,
    /// The first of the two fields with the shape of the activity log.
    AlStripes,
    /// Slots for peers in v09.
    MaxPeers,
    /// Number of this node in v09.
    NodeId,
}

impl Field {
    /// The name in spec 40 section 3.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Magic => "magic",
            Self::MdSize => "md_size_sect",
            Self::AlOffset => "al_offset",
            Self::BmOffset => "bm_offset",
            Self::BytesPerBit => "bm_bytes_per_bit",
            Self::AlStripes => "al_stripes",
            Self::MaxPeers => "bm_max_peers",
            Self::NodeId => "node_id",
        }
    }

    /// Byte position in a superblock of this format. Formats without the field never fail on it.
    pub const fn offset(self, format: Format) -> usize {
        match (self, format) {
            (Self::Magic, Format::V06) => 20,
            (Self::Magic, Format::V07) => 28,
            (Self::MdSize, Format::V07) => 32,
            (Self::AlOffset, Format::V07) => 36,
            (Self::BmOffset, Format::V07) => 44,
            (Self::Magic, _) => 60,
            (Self::MdSize, _) => 64,
            (Self::AlOffset, _) => 68,
            (Self::BmOffset, _) => 76,
            (Self::BytesPerBit, _) => 80,
            (Self::AlStripes, Format::V09) => 96,
            (Self::AlStripes, _) => 88,
            (Self::MaxPeers, _) => 88,
            (Self::NodeId, _) => 92,
        }
    }
}

/// Why a block is not meta-data at its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The field that is wrong.
    pub field: Field,
    /// What it says.
    pub found: String,
    /// What it would have to say.
    pub expected: String,
}

impl Fault {
    fn new(field: Field, found: impl ToString, expected: impl ToString) -> Self {
        Self {
            field,
            found: found.to_string(),
            expected: expected.to_string(),
        }
    }

    /// One sentence; the superblock of this format lies at byte `at`.
    pub fn text(&self, format: Format, at: u64) -> String {
        let place = at.saturating_add(self.field.offset(format) as u64);
        format!(
            "{} at byte {place}: found {}, expected {}",
            self.field.name(),
            self.found,
            self.expected
        )
    }
}

/// The verdict on a block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// Whether it is meta-data.
    pub valid: bool,
    /// Lines to print on stderr in either case.
    pub remarks: Vec<String>,
    /// The same for people: what is wrong, and where. Never without a reason where not valid.
    pub fault: Option<Fault>,
}

impl Verdict {
    fn invalid(remark: impl Into<String>, fault: Fault) -> Self {
        Self {
            valid: false,
            remarks: vec![remark.into()],
            fault: Some(fault),
        }
    }

    const fn valid() -> Self {
        Self {
            valid: true,
            remarks: Vec::new(),
            fault: None,
        }
    }
}

/// What is wrong with a block that should be meta-data of this format; `None` when nothing is.
pub fn fault(
    format: Format,
    placement: Placement,
    block: &Block,
    size: ByteCount,
) -> Option<Fault> {
    let Some(record) = Record::parse(format, block) else {
        let at = Field::Magic.offset(format);
        let found = u32::from_be_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]);
        let magics: Vec<String> = format
            .magics()
            .iter()
            .map(|m| format!("0x{m:08x}"))
            .collect();
        let found = format!("0x{found:08x}");
        return Some(Fault::new(Field::Magic, found, magics.join(" or ")));
    };
    let verdict = judge(&record, placement, size);
    verdict.fault.filter(|_| !verdict.valid)
}

/// Judges a record found at the place where `placement` on a device of `size` bytes puts it.
pub fn judge(record: &Record, placement: Placement, size: ByteCount) -> Verdict {
    if let Generation::Nodes(nodes) = &record.generation
        && let Some(verdict) = judge_nodes(nodes)
    {
        return verdict;
    }
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
        return Verdict::invalid(
            format!(
                "{} bm_bytes_per_bit: expected 4096, found {}",
                record.format, record.bm_bytes_per_bit
            ),
            Fault::new(Field::BytesPerBit, record.bm_bytes_per_bit, 4096),
        );
    }
    let striping = Striping::from_fields(record.al_stripes, record.al_stripe_size_4k);
    if striping.is_none_or(|s| u64::from(s.blocks()) > MAX_AL_BLOCKS) {
        let (stripes, blocks) = (record.al_stripes, record.al_stripe_size_4k);
        return Verdict::invalid(
            format!(
                "{} activity log striping: al_stripes {stripes}, al_stripe_size_4k {blocks} \
                 is out of range",
                record.format
            ),
            Fault::new(
                Field::AlStripes,
                format!("{stripes} stripes of {blocks} blocks"),
                format!("8 to {MAX_AL_BLOCKS} blocks in all"),
            ),
        );
    }
    verdict
}

/// What v09 alone has. More peers than there can be count as that many.
fn judge_nodes(nodes: &V09) -> Option<Verdict> {
    let (peers, node) = (nodes.bm_max_peers, nodes.node_id);
    if peers == 0 {
        return Some(Verdict::invalid(
            format!("v09 max-peers value {peers} out of bounds"),
            Fault::new(Field::MaxPeers, peers, "at least 1"),
        ));
    }
    if !(-1..=31).contains(&node) {
        return Some(Verdict::invalid(
            format!("v09 device node-id value {node} out of bounds"),
            Fault::new(Field::NodeId, node, "-1 to 31"),
        ));
    }
    None
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
            fault: Some(Fault::new(Field::AlOffset, record.al_offset, 8)),
        };
    }
    let expected = 8 + record.al_sectors() as i64;
    if i64::from(record.bm_offset) != expected {
        let found = record.bm_offset;
        return Verdict::invalid(
            format!("{format} bm_offset: expected {expected}, found {found}"),
            Fault::new(Field::BmOffset, found, expected),
        );
    }
    Verdict::valid()
}

fn judge_flexible(record: &Record, size: ByteCount) -> Verdict {
    let al = record.al_sectors();
    if i64::from(record.al_offset) != -(al as i64) {
        let (expected, found) = (-(al as i64), record.al_offset);
        return Verdict::invalid(
            format!(
                "{} al_offset: expected {expected}, found {found}",
                record.format
            ),
            Fault::new(Field::AlOffset, found, expected),
        );
    }
    let expected = match Layout::compute_raw(
        size,
        Placement::FlexInternal,
        al,
        record.bm_bytes_per_bit,
        record.max_peers(),
    ) {
        Ok(layout) => layout,
        Err(error) => {
            let fault = Fault::new(Field::MdSize, record.md_size_sect, error);
            return Verdict::invalid(error.to_string(), fault);
        }
    };
    if record.bm_offset != expected.bm_offset {
        return Verdict::invalid(
            format!(
                "strange bm_offset {} (expected: {})",
                record.bm_offset, expected.bm_offset
            ),
            Fault::new(Field::BmOffset, record.bm_offset, expected.bm_offset),
        );
    }
    if record.md_size_sect == expected.md_size_sect {
        return Verdict::valid();
    }
    Verdict {
        // Early tools wrote sectors where v07 has KiB.
        valid: record.format == Format::V07,
        remarks: vec![format!(
            "strange md_size_sect {} (expected: {})",
            record.md_size_sect, expected.md_size_sect
        )],
        fault: Some(Fault::new(
            Field::MdSize,
            record.md_size_sect,
            expected.md_size_sect,
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::superblock::SUPERBLOCK_BYTES;

    #[test]
    fn every_damaged_field_is_named_with_its_place_on_disk() {
        let size = ByteCount(64 << 20);
        let at = (64 << 20) - 4096;
        let layout = Layout::compute(size, Placement::FlexInternal, Striping::DEFAULT).unwrap();
        let good = Record::fresh(Format::V08, &layout, 1, 8).encode();
        assert_eq!(
            fault(Format::V08, Placement::FlexInternal, &good, size),
            None
        );
        for (byte, text) in [
            (
                63,
                "magic at byte 67104828: found 0x837402ff, expected 0x8374026b or 0x8374026c",
            ),
            (67, "md_size_sect at byte 67104832: found 255, expected 80"),
            (71, "al_offset at byte 67104836: found -1, expected -64"),
            (79, "bm_offset at byte 67104844: found -1, expected -72"),
            (91, "al_offset at byte 67104836: found -64, expected -16320"),
        ] {
            let mut bad = good;
            bad[byte] = 0xff;
            let fault = fault(Format::V08, Placement::FlexInternal, &bad, size).unwrap();
            assert_eq!(fault.text(Format::V08, at), text);
        }
    }

    #[test]
    fn nothing_at_all_is_no_meta_data_of_any_format() {
        let zeros = [0; SUPERBLOCK_BYTES];
        for format in Format::ALL {
            let fault = fault(format, Placement::FlexExternal, &zeros, ByteCount(1 << 20));
            assert_eq!(fault.map(|f| f.field), Some(Field::Magic), "{format}");
        }
    }
}
