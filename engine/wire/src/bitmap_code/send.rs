//! Cuts a bitmap into the packets that the kernel would send.

use alloc::vec::Vec;

use super::vli::{BitWriter, CodeWord};
use super::{Cursor, TransferStats, code_limit};
use crate::packet::{Body, CompressedBitmap};
use crate::version::Agreed;

/// The bits to send.
pub trait BitSource {
    /// Bits 64 n to 64 n + 63, the lowest bit first. Only words that overlap the bitmap are
    /// asked for; bits beyond its end are ignored.
    fn word(&self, n: u64) -> u64;

    /// The first bit at or behind `from` whose value is `value`, or `end` if there is none
    /// before it. An implementation that can skip whole pages may replace this.
    fn find(&self, from: u64, value: Bit, end: u64) -> u64 {
        let mut n = from / 64;
        let mut below = (1u64 << (from % 64)) - 1;
        while n * 64 < end {
            let word = match value {
                Bit::Set => self.word(n),
                Bit::Clear => !self.word(n),
            };
            let candidates = word & !below;
            if candidates != 0 {
                return (n * 64 + u64::from(candidates.trailing_zeros())).min(end);
            }
            below = 0;
            n += 1;
        }
        end
    }
}

impl BitSource for [u64] {
    fn word(&self, n: u64) -> u64 {
        usize::try_from(n)
            .ok()
            .and_then(|n| self.get(n))
            .copied()
            .unwrap_or(0)
    }
}

/// The value of a bit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bit {
    /// In sync.
    Clear,
    /// Out of sync.
    Set,
}

impl Bit {
    pub(super) const fn other(self) -> Self {
        match self {
            Self::Clear => Self::Set,
            Self::Set => Self::Clear,
        }
    }
}

/// Option use-rle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UseRle {
    /// Plain packets only.
    No,
    /// Compressed packets where they are shorter, if the version has them (90).
    Yes,
}

/// What kind the last packet was: only plain transfers need a terminator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Last {
    Plain,
    Compressed,
    Terminator,
}

/// Yields the packets of one bitmap one by one; between two of them it holds no bits, only its
/// place, so that a large bitmap can be sent as fast as the socket takes it.
#[derive(Clone, Debug)]
pub struct BitmapSender {
    cursor: Cursor,
    agreed: Agreed,
    use_rle: UseRle,
    last: Last,
    stats: TransferStats,
}

impl BitmapSender {
    /// A sender for a bitmap of so many bits.
    pub fn new(bits: u64, agreed: Agreed, use_rle: UseRle) -> Self {
        Self {
            cursor: Cursor::new(bits),
            agreed,
            use_rle: match agreed.version.0 {
                90.. => use_rle,
                _ => UseRle::No,
            },
            last: Last::Plain,
            stats: TransferStats::new(bits, agreed),
        }
    }

    /// The next packet, or `None` after the last one.
    pub fn next_packet<S: BitSource + ?Sized>(&mut self, source: &S) -> Option<Body> {
        if self.is_done() {
            return None;
        }
        if self.use_rle == UseRle::Yes
            && let Some(packet) = self.compressed(source)
        {
            self.stats.rle.count(self.agreed, 1 + packet.code.len());
            self.last = Last::Compressed;
            return Some(Body::CompressedBitmap(packet));
        }
        let words = self.plain(source);
        self.stats.plain.count(self.agreed, words.len() * 8);
        self.last = match words.len() {
            0 => Last::Terminator,
            _ => Last::Plain,
        };
        Some(Body::Bitmap(words))
    }

    /// All packets that are left.
    pub fn packets<'a, S: BitSource + ?Sized>(
        &'a mut self,
        source: &'a S,
    ) -> impl Iterator<Item = Body> + 'a {
        core::iter::from_fn(|| self.next_packet(source))
    }

    /// Whether the whole bitmap has been sent.
    pub fn is_done(&self) -> bool {
        match self.last {
            Last::Terminator => true,
            Last::Compressed => self.cursor.at_end(),
            Last::Plain => false,
        }
    }

    /// What has been sent so far.
    pub const fn stats(&self) -> &TransferStats {
        &self.stats
    }

    /// A compressed packet, unless plain is as good or better.
    fn compressed<S: BitSource + ?Sized>(&mut self, source: &S) -> Option<CompressedBitmap> {
        let Cursor { bits, bit, .. } = self.cursor;
        if bit >= bits {
            return None;
        }
        let first = match source.find(bit, Bit::Set, bits) == bit {
            true => Bit::Set,
            false => Bit::Clear,
        };
        let mut out = BitWriter::new(code_limit(self.agreed));
        let mut value = first;
        let mut position = bit;
        while position < bits {
            let end = source.find(position, value.other(), bits);
            // A run without code word is left to the next packet, which will be a plain one.
            let fits = CodeWord::encode(end - position).is_some_and(|word| out.push(word));
            if !fits {
                break;
            }
            position = end;
            value = value.other();
        }
        if position - bit < 8 * out.len() as u64 || out.len() == 0 {
            // Plain continues at the start of the word in which this attempt began.
            return None;
        }
        self.cursor.advance_compressed(position);
        let (code, pad) = out.finish();
        Some(CompressedBitmap::new(first, pad, code))
    }

    fn plain<S: BitSource + ?Sized>(&mut self, source: &S) -> Vec<u64> {
        let count = self.cursor.plain_words(self.agreed);
        let words = (self.cursor.word..)
            .take(count)
            .map(|n| source.word(n) & self.cursor.word_mask(n))
            .collect();
        self.cursor.advance_plain(count);
        words
    }
}

/// RLE with VLI bits: the only code that was ever defined.
const RLE_VLI_BITS: u8 = 2;

impl CompressedBitmap {
    /// A packet whose first run has this value and whose last byte has so many unused bits.
    pub fn new(first: Bit, pad_bits: u8, code: Vec<u8>) -> Self {
        let polarity = match first {
            Bit::Clear => 0,
            Bit::Set => 1 << 7,
        };
        Self {
            encoding: polarity | (pad_bits & 7) << 4 | RLE_VLI_BITS,
            code,
        }
    }

    /// Whether the code is the known one.
    pub const fn is_rle_vli(&self) -> bool {
        self.encoding & 0xf == RLE_VLI_BITS
    }

    /// Unused bits of the last byte.
    pub const fn pad_bits(&self) -> u8 {
        self.encoding >> 4 & 7
    }

    /// The value of the first run.
    pub const fn first(&self) -> Bit {
        if self.encoding >> 7 == 0 {
            Bit::Clear
        } else {
            Bit::Set
        }
    }
}
