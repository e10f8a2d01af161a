//! The bitmap exchange: plain words and the run length code (spec 50 section 7).
//!
//! * [`vli`]: the code of one run length.
//! * [`send`]: [`BitmapSender`] cuts a [`BitSource`] into packets, one at a time.
//! * [`receive`]: [`BitmapReceiver`] merges packets into a [`BitSink`].
//!
//! Both ends keep the same [`Cursor`]; every packet continues where the last one ended.

pub mod receive;
pub mod send;
pub mod vli;

pub use receive::{BitSink, BitmapError, BitmapReceiver, Progress};
pub use send::{Bit, BitSource, BitmapSender, UseRle};

use core::fmt;

use crate::table::PACKET_BUFFER;
use crate::version::Agreed;

/// How far a transfer has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Cursor {
    /// Length of the bitmap.
    bits: u64,
    /// Where the next compressed packet begins.
    bit: u64,
    /// Where the next plain packet begins; behind `bit` by less than a word.
    word: u64,
}

impl Cursor {
    const fn new(bits: u64) -> Self {
        Self {
            bits,
            bit: 0,
            word: 0,
        }
    }

    const fn words(&self) -> u64 {
        self.bits.div_ceil(64)
    }

    const fn at_end(&self) -> bool {
        self.bit >= self.bits
    }

    /// Words of the next plain packet; 0 is the terminator.
    fn plain_words(&self, agreed: Agreed) -> usize {
        let left = self.words() - self.word;
        usize::try_from(left).map_or(words_per_packet(agreed), |left| {
            left.min(words_per_packet(agreed))
        })
    }

    fn advance_plain(&mut self, words: usize) {
        self.word += words as u64;
        self.bit = self.word.saturating_mul(64).min(self.bits);
    }

    fn advance_compressed(&mut self, bit: u64) {
        self.bit = bit;
        self.word = bit / 64;
    }

    /// The bits of this word that belong to the bitmap; those beyond its end are 0.
    const fn word_mask(&self, word: u64) -> u64 {
        match self.bits.saturating_sub(word.saturating_mul(64)) {
            0 => 0,
            left @ 1..64 => (1 << left) - 1,
            _ => u64::MAX,
        }
    }
}

/// Words that fit into one plain packet.
const fn words_per_packet(agreed: Agreed) -> usize {
    (PACKET_BUFFER - agreed.header_size()) / 8
}

/// Bytes of code that fit into one compressed packet beside its encoding byte.
const fn code_limit(agreed: Agreed) -> usize {
    PACKET_BUFFER - agreed.header_size() - 1
}

/// Which way a bitmap went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// To the peer.
    Send,
    /// From the peer.
    Receive,
}

/// Packets of one kind: how many, and their bytes with headers.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Traffic {
    /// Bytes, headers included.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
}

impl Traffic {
    fn count(&mut self, agreed: Agreed, length: usize) {
        self.bytes += (agreed.header_size() + length) as u64;
        self.packets += 1;
    }
}

/// What a finished transfer took.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TransferStats {
    /// Plain packets.
    pub plain: Traffic,
    /// Compressed packets.
    pub rle: Traffic,
    /// What plain packets alone would have taken, as the kernel reckons it.
    pub all_plain: u64,
}

impl TransferStats {
    fn new(bits: u64, agreed: Agreed) -> Self {
        let words = bits.div_ceil(64);
        // The kernel divides words by bytes here, and so counts an eighth of the headers. Its
        // figures are kept: they are what people compare (asked from a kernel 8.4.11 peer).
        let room = (PACKET_BUFFER - agreed.header_size()) as u64;
        let packets = words.div_ceil(room) + 1;
        Self {
            plain: Traffic::default(),
            rle: Traffic::default(),
            all_plain: words * 8 + packets * agreed.header_size() as u64,
        }
    }

    /// Bytes that were transferred.
    pub const fn total(&self) -> u64 {
        self.plain.bytes + self.rle.bytes
    }

    /// The log line, if compression was worth it.
    pub fn log_line(&self, direction: Direction) -> Option<StatsLine> {
        (self.total() < self.all_plain).then_some(StatsLine {
            stats: *self,
            direction,
        })
    }
}

/// Displays as the kernel's log line (spec 60 section 7.10).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StatsLine {
    stats: TransferStats,
    direction: Direction,
}

impl fmt::Display for StatsLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TransferStats {
            plain,
            rle,
            all_plain,
        } = self.stats;
        let total = self.stats.total();
        // Per mille saved; the quotient is cut off before it is subtracted, so that savings are
        // rounded up ("98.2%" for 20 of 1056 bytes, spec 60 section 10.4).
        let saved = 1000 - (u128::from(total) * 1000 / u128::from(all_plain.max(1))).min(1000);
        let direction = match self.direction {
            Direction::Send => "send",
            Direction::Receive => "receive",
        };
        write!(
            f,
            "{direction} bitmap stats [Bytes(packets)]: plain {}({}), RLE {}({}), total {total}; \
             compression: {}.{}%",
            plain.bytes,
            plain.packets,
            rle.bytes,
            rle.packets,
            saved / 10,
            saved % 10,
        )
    }
}

#[cfg(test)]
mod tests;
