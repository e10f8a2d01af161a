//! Merges the peer's bitmap packets into the own bitmap.

use core::ops::Range;

use drbd_types::BitNr;

use super::send::Bit;
use super::vli::BitReader;
use super::{Cursor, TransferStats};
use crate::packet::CompressedBitmap;
use crate::version::Agreed;

/// Where received bits go. Bits are only ever added: both sides' bitmaps are merged.
pub trait BitSink {
    /// Sets these bits; the range is not empty and lies inside the bitmap.
    fn set_bits(&mut self, range: Range<BitNr>);

    /// Adds the set bits of these words, the first of which holds bit 64 * `first`. Bits beyond
    /// the end of the bitmap are 0.
    fn merge_words(&mut self, first: u64, words: &[u64]);
}

/// Whether more packets have to come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// Yes.
    More,
    /// That was the last one.
    Complete,
}

/// A bitmap packet that cannot be: the connection has to be given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BitmapError {
    /// Not as many words as the position in the bitmap demands.
    #[error("receive_bitmap_plain:want ({want}) != size ({size})")]
    PlainSize {
        /// Bytes expected.
        want: usize,
        /// Bytes received.
        size: usize,
    },
    /// A run beyond the end of the bitmap.
    #[error("bitmap overflow (e:{last}) while decoding bm RLE packet")]
    Overflow {
        /// The last bit of the run.
        last: u64,
    },
    /// A code other than RLE with VLI bits.
    #[error("bitmap packet with unknown encoding {encoding:#04x}")]
    UnknownEncoding {
        /// The first byte.
        encoding: u8,
    },
    /// No code at all, or it ends inside a code word.
    #[error("bitmap packet with incomplete code")]
    Incomplete,
    /// The bitmap had been received completely.
    #[error("bitmap packet after the end of the bitmap")]
    AfterEnd,
}

/// Follows one bitmap transfer of the peer.
#[derive(Clone, Debug)]
pub struct BitmapReceiver {
    cursor: Cursor,
    agreed: Agreed,
    progress: Progress,
    stats: TransferStats,
}

impl BitmapReceiver {
    /// Expects a bitmap of so many bits.
    pub fn new(bits: u64, agreed: Agreed) -> Self {
        Self {
            cursor: Cursor::new(bits),
            agreed,
            progress: Progress::More,
            stats: TransferStats::new(bits, agreed),
        }
    }

    /// A P_BITMAP packet. One without words ends the transfer.
    pub fn plain(
        &mut self,
        words: &[u64],
        sink: &mut impl BitSink,
    ) -> Result<Progress, BitmapError> {
        if self.progress == Progress::Complete {
            return Err(BitmapError::AfterEnd);
        }
        let want = self.cursor.plain_words(self.agreed);
        if want != words.len() {
            return Err(BitmapError::PlainSize {
                want: want * 8,
                size: words.len() * 8,
            });
        }
        self.stats.plain.count(self.agreed, want * 8);
        match words.split_last() {
            None => self.progress = Progress::Complete,
            Some((last, before)) => {
                let first = self.cursor.word;
                let last_nr = first + before.len() as u64;
                if !before.is_empty() {
                    sink.merge_words(first, before);
                }
                sink.merge_words(last_nr, &[last & self.cursor.word_mask(last_nr)]);
                self.cursor.advance_plain(want);
            }
        }
        Ok(self.progress)
    }

    /// A P_COMPRESSED_BITMAP packet.
    pub fn compressed(
        &mut self,
        packet: &CompressedBitmap,
        sink: &mut impl BitSink,
    ) -> Result<Progress, BitmapError> {
        if self.progress == Progress::Complete {
            return Err(BitmapError::AfterEnd);
        }
        if !packet.is_rle_vli() {
            return Err(BitmapError::UnknownEncoding {
                encoding: packet.encoding,
            });
        }
        let mut code = BitReader::new(&packet.code, packet.pad_bits())
            .filter(|code| !code.is_empty())
            .ok_or(BitmapError::Incomplete)?;
        let mut value = packet.first();
        let mut position = self.cursor.bit;
        while !code.is_empty() {
            let run = code.next_run().ok_or(BitmapError::Incomplete)?;
            let end = position.saturating_add(run);
            if end > self.cursor.bits {
                return Err(BitmapError::Overflow { last: end - 1 });
            }
            if value == Bit::Set {
                sink.set_bits(BitNr(position)..BitNr(end));
            }
            position = end;
            value = value.other();
        }
        self.cursor.advance_compressed(position);
        self.stats.rle.count(self.agreed, 1 + packet.code.len());
        if self.cursor.at_end() {
            self.progress = Progress::Complete;
        }
        Ok(self.progress)
    }

    /// What has been received so far.
    pub const fn stats(&self) -> &TransferStats {
        &self.stats
    }
}
