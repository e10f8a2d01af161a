//! The out-of-sync bitmap on disk: a stream of little-endian words, bit n for bytes 4096 n to
//! 4096 n + 4095 of the volume (spec 40 section 5), and the marking of hot extents (section 6.4).

use drbd_types::{BitNr, ByteCount, SectorCount};

/// Bytes of bitmap that one 4 MiB activity-log extent covers.
pub const BYTES_PER_EXTENT: u64 = 128;
/// Bytes moved at once when a whole bitmap is read or written.
pub const CHUNK_BYTES: usize = 4 << 20;

/// Bytes of bitmap in use for a volume: whole 64-bit words.
pub const fn bytes_used(volume: SectorCount) -> ByteCount {
    ByteCount(volume.bits().div_ceil(64) * 8)
}

/// The same, rounded up to whole 4 KiB pages: what `dump-md` calls `bm-bytes`.
pub const fn bytes_in_pages(volume: SectorCount) -> ByteCount {
    ByteCount(bytes_used(volume).0.div_ceil(4096) * 4096)
}

/// The words of a piece of bitmap; a rest of less than eight bytes is left out.
pub fn words(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    let (words, _) = bytes.as_chunks::<8>();
    words.iter().map(|w| u64::from_le_bytes(*w))
}

/// Stores words into the bytes of a bitmap; a rest on either side is left alone.
pub fn store_words(words: impl IntoIterator<Item = u64>, bytes: &mut [u8]) {
    let (to, _) = bytes.as_chunks_mut::<8>();
    for (to, word) in to.iter_mut().zip(words) {
        *to = word.to_le_bytes();
    }
}

/// Fills the bytes of a bitmap with a word; a rest of less than eight bytes is left alone.
pub fn fill(word: u64, bytes: &mut [u8]) {
    let (to, _) = bytes.as_chunks_mut::<8>();
    to.fill(word.to_le_bytes());
}

/// Clears the bits from `end` on in a piece of bitmap whose first byte is byte `at` of the whole:
/// bits beyond the end of the volume can be set on disk after `apply-al`, and mean nothing.
pub fn clear_from(bytes: &mut [u8], at: ByteCount, end: BitNr) {
    let first_bit = at.0.saturating_mul(8);
    let keep = end.0.saturating_sub(first_bit);
    let Ok(whole) = usize::try_from(keep / 8) else {
        return;
    };
    if whole >= bytes.len() {
        return;
    }
    bytes[whole] &= ((1u16 << (keep % 8)) - 1) as u8;
    bytes[whole + 1..].fill(0);
}

/// How many bits are set.
pub fn count_ones(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let whole: u64 = words
        .iter()
        .map(|w| u64::from(u64::from_ne_bytes(*w).count_ones()))
        .sum();
    whole + rest.iter().map(|b| u64::from(b.count_ones())).sum::<u64>()
}

/// Where the 1024 bits of an activity-log extent lie inside a bitmap of `length` bytes: shorter
/// for the last extent, `None` beyond the end.
pub fn extent_bytes(extent: u32, length: ByteCount) -> Option<core::ops::Range<u64>> {
    let start = u64::from(extent) * BYTES_PER_EXTENT;
    (start < length.0).then(|| start..(start + BYTES_PER_EXTENT).min(length.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_captured_bitmap_reads_as_the_words_that_dump_md_shows() {
        // 131059 bits, all set: the last word is 0x0007FFFFFFFFFFFF (spec 40 section 5).
        let mut bytes = vec![0xff; 16384];
        clear_from(&mut bytes, ByteCount(0), BitNr(131_059));
        assert_eq!(words(&bytes).nth(2047), Some(0x0007_ffff_ffff_ffff));
        assert_eq!(count_ones(&bytes), 131_059);
        assert_eq!(bytes_used(SectorCount(1_048_472)), ByteCount(16_384));
        assert_eq!(bytes_in_pages(SectorCount(130_992)), ByteCount(4096));
    }

    #[test]
    fn the_last_extent_is_cut_and_those_behind_are_refused() {
        assert_eq!(extent_bytes(0, ByteCount(4096)), Some(0..128));
        assert_eq!(extent_bytes(31, ByteCount(4000)), Some(3968..4000));
        assert_eq!(extent_bytes(32, ByteCount(4096)), None);
        assert_eq!(
            extent_bytes(u32::MAX, ByteCount(1 << 40)),
            Some(549_755_813_760..549_755_813_888)
        );
    }

    proptest! {
        #[test]
        fn words_and_bytes_are_the_same_thing(words_in: Vec<u64>) {
            let mut bytes = vec![0; words_in.len() * 8];
            store_words(words_in.iter().copied(), &mut bytes);
            let mut filled = vec![0; bytes.len()];
            for (to, word) in filled.chunks_mut(8).zip(&words_in) {
                fill(*word, to);
            }
            prop_assert_eq!(&filled, &bytes);
            for (bit, word) in words_in.iter().enumerate().filter(|(_, w)| **w != 0) {
                let n = bit * 64 + word.trailing_zeros() as usize;
                prop_assert_eq!(bytes[n / 8] >> (n % 8) & 1, 1);
            }
            prop_assert_eq!(words(&bytes).collect::<Vec<_>>(), words_in);
        }

        #[test]
        fn clearing_keeps_exactly_the_bits_before_the_end(
            len in 0usize..64, at in 0u64..100, end in 0u64..2000,
        ) {
            let mut bytes = vec![0xff; len];
            clear_from(&mut bytes, ByteCount(at), BitNr(end));
            for bit in 0..len as u64 * 8 {
                let set = bytes[(bit / 8) as usize] >> (bit % 8) & 1 == 1;
                prop_assert_eq!(set, at * 8 + bit < end);
            }
        }
    }
}
