//! Run lengths as variable length integers, and the bit stream that holds them.
//!
//! The stream is read least significant bit first: its first bit is bit 0 of byte 0.

use alloc::vec::Vec;

/// A class of run lengths: prefix in the low bits, data above it.
struct Level {
    prefix: u64,
    prefix_bits: u32,
    data_bits: u32,
    /// The run length that data 0 stands for.
    base: u64,
}

const fn level(prefix: u64, prefix_bits: u32, data_bits: u32, base: u64) -> Level {
    Level {
        prefix,
        prefix_bits,
        data_bits,
        base,
    }
}

/// Spec 50 section 7.3, in ascending order of length. The prefixes are those of a complete
/// code: every bit pattern begins with exactly one of them.
const LEVELS: [Level; 10] = [
    level(0x00, 1, 1, 1),
    level(0x01, 2, 1, 3),
    level(0x03, 3, 2, 5),
    level(0x07, 4, 3, 9),
    level(0x0f, 5, 5, 17),
    level(0x1f, 6, 8, 49),
    level(0x3f, 8, 13, 305),
    level(0x7f, 8, 21, 8497),
    level(0xbf, 8, 34, 2_105_649),
    level(0xff, 8, 56, 17_181_974_833),
];

/// The longest run that has a code word.
pub const MAX_RUN: u64 = 72_057_611_219_902_768;

/// One code word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CodeWord {
    /// Its bits, the first one lowest.
    pub bits: u64,
    /// How many.
    pub width: u32,
}

impl CodeWord {
    /// The code word of a run length; `None` for 0 and beyond [`MAX_RUN`].
    pub fn encode(run: u64) -> Option<Self> {
        let level = LEVELS.iter().rev().find(|level| level.base <= run)?;
        let data = run - level.base;
        (run <= MAX_RUN).then_some(Self {
            bits: data << level.prefix_bits | level.prefix,
            width: level.prefix_bits + level.data_bits,
        })
    }

    /// The run length at the start of a window of the stream, and the width of its code word.
    fn decode(window: u64) -> Option<(u64, u32)> {
        let level = LEVELS
            .iter()
            .find(|level| window & ((1 << level.prefix_bits) - 1) == level.prefix)?;
        let data = window >> level.prefix_bits & ((1 << level.data_bits) - 1);
        Some((level.base + data, level.prefix_bits + level.data_bits))
    }
}

/// Appends code words to bytes.
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    limit: usize,
    /// Unused bits of the last byte.
    pad: u32,
}

impl BitWriter {
    /// A writer for at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            limit,
            pad: 0,
        }
    }

    /// Whether the word was appended; if it does not fit nothing happens.
    pub(super) fn push(&mut self, word: CodeWord) -> bool {
        let needed = word.width.saturating_sub(self.pad).div_ceil(8) as usize;
        if self.bytes.len() + needed > self.limit {
            return false;
        }
        let mut bits = word.bits;
        let mut width = word.width;
        while width > 0 {
            if self.pad == 0 {
                self.bytes.push(0);
                self.pad = 8;
            }
            let take = width.min(self.pad);
            let used = 8 - self.pad;
            if let Some(last) = self.bytes.last_mut() {
                *last |= ((bits & ((1 << take) - 1)) as u8) << used;
            }
            // `take` is at most 8.
            bits >>= take;
            width -= take;
            self.pad -= take;
        }
        true
    }

    /// Bytes so far.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes, and how many bits of the last one are unused.
    pub(super) fn finish(self) -> (Vec<u8>, u8) {
        (self.bytes, self.pad as u8)
    }
}

/// Reads code words from bytes.
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    /// Next bit.
    position: usize,
    /// Bits in the stream.
    end: usize,
}

impl<'a> BitReader<'a> {
    /// A reader over all but the last `pad` bits; `None` if there are not so many.
    pub(super) fn new(bytes: &'a [u8], pad: u8) -> Option<Self> {
        let end = bytes.len().checked_mul(8)?.checked_sub(pad.into())?;
        Some(Self {
            bytes,
            position: 0,
            end,
        })
    }

    /// Whether everything has been read.
    pub(super) fn is_empty(&self) -> bool {
        self.position == self.end
    }

    /// The next run length; `None` if the stream ends inside its code word.
    pub(super) fn next_run(&mut self) -> Option<u64> {
        let (run, width) = CodeWord::decode(self.window())?;
        let next = self.position + width as usize;
        if next > self.end {
            return None;
        }
        self.position = next;
        Some(run)
    }

    /// The next 64 bits, zeroes beyond the end of the bytes.
    fn window(&self) -> u64 {
        let rest = &self.bytes[(self.position / 8).min(self.bytes.len())..];
        let mut bytes = [0; 16];
        let length = rest.len().min(9);
        bytes[..length].copy_from_slice(&rest[..length]);
        (u128::from_le_bytes(bytes) >> (self.position % 8)) as u64
    }
}
