//! Whether superblock, activity log and bitmap agree with each other (`drbdmeta verify`): pure,
//! over what was read; the bitmap comes in pieces.

use std::collections::BTreeSet;
use std::fmt;

use drbd_types::{BitNr, ByteCount, MdFlags};

use crate::activity_log::replay::{self, Remark, Replay};
use crate::activity_log::{ValidBlock, old};
use crate::bitmap;
use crate::layout::Striping;
use crate::record::{Format, Generation, Record};
use crate::superblock::MagicKind;

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// As it should be.
    Fine,
    /// Worth knowing, and explained by what DRBD does.
    Note,
    /// The parts contradict each other, or are damaged.
    Problem,
}

/// One sentence about the meta-data.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Which part it is about.
    pub part: &'static str,
    /// The sentence.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::Fine => "ok",
            Severity::Note => "note",
            Severity::Problem => "PROBLEM",
        };
        write!(f, "{}: {word}: {}", self.part, self.text)
    }
}

/// Everything found so far.
#[derive(Default)]
pub struct Report {
    findings: Vec<Finding>,
}

impl Report {
    /// The findings in the order of the parts.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The worst of them.
    pub fn worst(&self) -> Severity {
        self.findings
            .iter()
            .map(|f| f.severity)
            .max()
            .unwrap_or(Severity::Fine)
    }

    fn add(&mut self, severity: Severity, part: &'static str, text: impl Into<String>) {
        self.findings.push(Finding {
            severity,
            part,
            text: text.into(),
        });
    }

    /// The superblock on its own. `usable` are the sectors that the placement leaves.
    pub fn superblock(&mut self, record: &Record, usable: u64) {
        const PART: &str = "superblock";
        let sectors = record.effective_size.0;
        self.add(
            Severity::Fine,
            PART,
            format!(
                "{} with {sectors} agreed sectors, {usable} are usable",
                record.format
            ),
        );
        if sectors > usable {
            self.add(
                Severity::Problem,
                PART,
                format!("la-size-sect {sectors} at byte 0 exceeds the {usable} usable sectors"),
            );
        }
        let slots = u64::from(record.al_nr_extents);
        let striping = striping_of(record);
        if slots < 7 || slots > u64::from(striping.max_slots()) {
            self.add(
                Severity::Note,
                PART,
                format!(
                    "al-extents {slots} is outside of 7 to {} for this activity log",
                    striping.max_slots()
                ),
            );
        }
        if let Generation::Uuids { uuids, flags } = &record.generation {
            let up_to_date = flags.contains(MdFlags::WAS_UP_TO_DATE);
            if up_to_date && !flags.contains(MdFlags::CONSISTENT) {
                self.add(
                    Severity::Problem,
                    PART,
                    "flags at byte 56 say up-to-date but not consistent",
                );
            }
            if sectors == 0 && flags.contains(MdFlags::CONSISTENT) {
                self.add(
                    Severity::Problem,
                    PART,
                    "flags at byte 56 say consistent, but no size was ever agreed",
                );
            }
            if uuids.current.is_empty() {
                self.add(
                    Severity::Problem,
                    PART,
                    "the current UUID at byte 8 is empty",
                );
            }
        }
    }

    /// The activity log against the superblock. Returns the extents that were active.
    pub fn activity_log(&mut self, record: &Record, log: &[u8]) -> BTreeSet<u32> {
        let hot = if is_modern(record, log) {
            self.ring(record, log)
        } else {
            self.old_log(record, log)
        };
        let bytes = ByteCount(record.bitmap_bytes());
        let outside = hot
            .iter()
            .filter(|e| bitmap::extent_bytes(**e, bytes).is_none())
            .count();
        if outside > 0 {
            self.add(
                Severity::Problem,
                LOG,
                format!("{outside} active extents lie beyond the end of the volume"),
            );
        }
        hot
    }

    fn ring(&mut self, record: &Record, log: &[u8]) -> BTreeSet<u32> {
        let (blocks, _) = log.as_chunks::<4096>();
        for (b, block) in blocks.iter().enumerate() {
            if let Err(error) = ValidBlock::parse(block) {
                let at = b * 4096;
                self.add(
                    Severity::Problem,
                    LOG,
                    format!("block {b} (byte {at} of the log): {error}"),
                );
            }
        }
        let mut outside = 0u64;
        let result = replay::replay(log, striping_of(record), |remark| {
            // Damaged blocks are listed above.
            outside += u64::from(!matches!(remark, Remark::Corrupt(_)));
        });
        if outside > 0 {
            self.add(
                Severity::Problem,
                LOG,
                format!("{outside} slot numbers out of range"),
            );
        }
        let hot = match result {
            Ok(Replay::Clean) => {
                self.add(Severity::Fine, LOG, "initialized, nothing was logged");
                return BTreeSet::new();
            }
            Ok(Replay::Hot(hot)) => hot,
            Err(error) => {
                self.add(Severity::Problem, LOG, error.to_string());
                return BTreeSet::new();
            }
        };
        let primary = record.flags().contains(MdFlags::PRIMARY_IND);
        let count = hot.len();
        if record.magic == MagicKind::Clean && record.flags().contains(MdFlags::AL_CLEAN) {
            self.add(
                Severity::Problem,
                LOG,
                format!("the superblock says clean, the log names {count} active extents"),
            );
        } else if primary {
            self.add(
                Severity::Note,
                LOG,
                format!("the node went down as Primary: apply-al will mark {count} extents"),
            );
        } else {
            self.add(
                Severity::Fine,
                LOG,
                format!("{count} active extents, not needed: the node was Secondary"),
            );
        }
        hot
    }

    fn old_log(&mut self, record: &Record, log: &[u8]) -> BTreeSet<u32> {
        let outcome = old::replay(log, record.al_nr_extents);
        match outcome.hot {
            None => {
                self.add(Severity::Fine, LOG, "of the 8.3 kind, nothing was logged");
                BTreeSet::new()
            }
            Some(hot) => {
                self.add(
                    Severity::Fine,
                    LOG,
                    format!(
                        "of the 8.3 kind, {} active extents, {} unused or invalid sectors",
                        hot.len(),
                        outcome.invalid
                    ),
                );
                hot
            }
        }
    }

    /// The bitmap as a whole, once all pieces have been counted.
    pub fn bitmap(&mut self, record: &Record, count: BitmapCount) {
        const PART: &str = "bitmap";
        let total = record.effective_size.bits();
        self.add(
            Severity::Fine,
            PART,
            format!("{} of {total} bits are set", count.inside),
        );
        if count.outside > 0 {
            // apply-al sets whole extents; drivers mask what is behind the end.
            self.add(
                Severity::Note,
                PART,
                format!(
                    "{} bits beyond the end of the volume are set",
                    count.outside
                ),
            );
        }
        if let Generation::Uuids { uuids, flags } = &record.generation {
            let trusted = flags.contains(MdFlags::CONSISTENT | MdFlags::WAS_UP_TO_DATE);
            if count.inside > 0 && uuids.bitmap.is_empty() && trusted {
                self.add(
                    Severity::Note,
                    PART,
                    "bits are set, but there is no bitmap UUID: \
                     the peer was never lost, or a resync is half done",
                );
            }
            if flags.contains(MdFlags::FULL_SYNC) {
                self.add(
                    Severity::Note,
                    PART,
                    "the full-sync flag is set: all bits count as set at the next attach",
                );
            }
        }
    }
}

const LOG: &str = "activity log";

fn striping_of(record: &Record) -> Striping {
    Striping::from_fields(record.al_stripes, record.al_stripe_size_4k).unwrap_or_default()
}

/// Which of the two formats the log has: by magic of the superblock, by striping, or by the magic
/// of its first two blocks.
pub fn is_modern(record: &Record, log: &[u8]) -> bool {
    let (blocks, _) = log.as_chunks::<4096>();
    record.format >= Format::V08
        && (record.magic == MagicKind::InUse
            || striping_of(record) != Striping::DEFAULT
            || blocks
                .iter()
                .take(2)
                .any(|b| b.starts_with(&crate::activity_log::MAGIC.to_be_bytes())))
}

/// Set bits, counted piece by piece.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BitmapCount {
    /// Inside of the volume.
    pub inside: u64,
    /// Behind its end, where they mean nothing.
    pub outside: u64,
}

impl BitmapCount {
    /// Counts a piece that starts at byte `at` of the bitmap; clears what is behind the end.
    pub fn add(&mut self, record: &Record, at: ByteCount, piece: &mut [u8]) {
        let all = bitmap::count_ones(piece);
        bitmap::clear_from(piece, at, BitNr(record.effective_size.bits()));
        let inside = bitmap::count_ones(piece);
        self.inside += inside;
        self.outside += all - inside;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activity_log::{FREE, SlotUpdate, Transaction, initialized_block};
    use crate::layout::{Layout, Placement};
    use drbd_types::SectorCount;

    fn record() -> Record {
        let layout = Layout::compute(
            ByteCount(64 << 20),
            Placement::FlexInternal,
            Striping::DEFAULT,
        )
        .unwrap();
        let mut record = Record::fresh(Format::V08, &layout, 1, 8);
        record.effective_size = SectorCount(130_992);
        record
    }

    #[test]
    fn fresh_meta_data_has_no_finding_but_fine_ones() {
        let mut report = Report::default();
        let record = record();
        report.superblock(&record, 130_992);
        let hot = report.activity_log(&record, &initialized_block().repeat(8));
        report.bitmap(&record, BitmapCount::default());
        assert!(hot.is_empty());
        assert_eq!(report.worst(), Severity::Fine, "{:?}", report.findings());
    }

    /// A ring with one transaction.
    fn log_of(update: SlotUpdate) -> Vec<u8> {
        let block = Transaction {
            tr_number: 0,
            updates: &[update],
            slots: 67,
            context_start: 0,
            context: &[FREE; 67],
        }
        .encode();
        [&block[..], &initialized_block().repeat(7)].concat()
    }

    #[test]
    fn a_clean_superblock_over_a_hot_log_is_a_problem() {
        let log = log_of(SlotUpdate { slot: 1, extent: 7 });
        let mut report = Report::default();
        assert_eq!(report.activity_log(&record(), &log), [7].into());
        assert_eq!(report.worst(), Severity::Problem);
    }

    #[test]
    fn slots_beyond_all_limits_are_a_problem() {
        let log = log_of(SlotUpdate {
            slot: u16::MAX,
            extent: 3,
        });
        let mut report = Report::default();
        report.activity_log(&record(), &log);
        assert_eq!(
            report.findings()[0].to_string(),
            "activity log: PROBLEM: 1 slot numbers out of range"
        );
    }

    #[test]
    fn damage_is_named_with_field_and_offset() {
        let mut log = initialized_block().repeat(8);
        log[4096 * 3 + 20] ^= 1;
        let mut report = Report::default();
        report.activity_log(&record(), &log);
        let text = report.findings()[0].to_string();
        assert!(
            text.starts_with("activity log: PROBLEM: block 3 (byte 12288 of the log): crc32c 0x"),
            "{text}"
        );
    }

    #[test]
    fn bits_behind_the_end_are_counted_apart() {
        let mut record = record();
        record.effective_size = SectorCount(8 * 20);
        let mut count = BitmapCount::default();
        count.add(&record, ByteCount(0), &mut [0xff, 0xff]);
        count.add(&record, ByteCount(2), &mut [0xff, 0xff]);
        assert_eq!(
            count,
            BitmapCount {
                inside: 20,
                outside: 12
            }
        );
    }
}
