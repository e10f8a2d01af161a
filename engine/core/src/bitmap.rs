//! The out-of-sync bitmap of a volume: one bit for 4 KiB (spec 60 sections 6.2 and 6.4).
//!
//! Setting rounds a range outwards and clearing rounds it inwards, so that a bit is only ever
//! clear when its whole block is known to be in sync. The number of set bits is kept up to date
//! with every change. Each 4 KiB page of the bitmap remembers whether it has to reach the disk:
//! setting a bit makes that necessary, clearing one only desirable. What the pages hold is in
//! [`pages`].

mod pages;

pub use pages::{BitmapChunk, StoredBitmap};

use alloc::vec::Vec;
use core::ops::Range;

use drbd_types::units::{AL_EXTENT_SECTORS, BIT_SECTORS};
use drbd_types::{BitNr, Sector, SectorCount};
use drbd_wire::bitmap_code::{Bit, BitSink, BitSource};

use crate::activity_log::AlExtent;
use pages::{PAGE_BITS, PAGE_WORDS, Pages};

const WORD_BITS: u64 = 64;
/// Bits of an activity-log extent.
const AL_EXTENT_BITS: u64 = AL_EXTENT_SECTORS / BIT_SECTORS;

/// What a page in memory has ahead of the one on disk; the order is one of urgency.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum PageState {
    /// Nothing.
    Clean,
    /// Cleared bits: after a crash too much would be resynced.
    Lazy,
    /// Set bits: after a crash too little would be resynced.
    NeedsWrite,
}

/// Which pages go to disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WriteOut<'a> {
    /// Every page.
    All,
    /// Those with any change.
    Changed,
    /// Those with any change that cover these extents, which leave the activity log.
    Covering(&'a [AlExtent]),
}

/// Out-of-sync bits of a volume. Bits beyond the end are always 0.
#[derive(Clone, Debug)]
pub struct Bitmap {
    size: SectorCount,
    bits: u64,
    pages: Pages,
    weight: u64,
    states: Vec<PageState>,
}

impl Bitmap {
    /// A bitmap for a volume of this size with every bit clear. The caller has checked the size
    /// against the space for the bitmap on disk, which bounds the memory.
    pub fn new(size: SectorCount) -> Self {
        let mut bitmap = Self {
            size,
            bits: size.bits(),
            pages: Pages::default(),
            weight: 0,
            states: Vec::new(),
        };
        let pages = words_for(bitmap.bits).div_ceil(PAGE_WORDS);
        bitmap.pages.resize(pages);
        bitmap.states.resize(pages, PageState::Clean);
        bitmap
    }

    /// A bitmap as found on disk. Bits beyond the end are dropped; where words are missing
    /// nothing is known, so their bits are set.
    pub fn from_stored(size: SectorCount, stored: StoredBitmap) -> Self {
        let mut bitmap = Self::new(size);
        let (words, pages) = (stored.len() as u64, bitmap.pages.len());
        bitmap.pages = stored.into_pages();
        bitmap.pages.resize(pages);
        bitmap.trim();
        bitmap.weight = (0..pages).map(|page| bitmap.pages.ones(page)).sum();
        bitmap.set_bits_in(words * WORD_BITS..bitmap.bits);
        bitmap.states.fill(PageState::Clean);
        bitmap
    }

    /// Another size of the volume: new bits are set, because the peer knows nothing of them.
    pub fn resize(&mut self, size: SectorCount) {
        let (old, new) = (self.bits, size.bits());
        let pages = words_for(new).div_ceil(PAGE_WORDS);
        self.pages.resize(pages);
        self.states.resize(pages, PageState::NeedsWrite);
        (self.size, self.bits) = (size, new);
        if new > old {
            self.set_bits_in(old..new);
        } else {
            self.trim();
            self.weight = (0..pages).map(|page| self.pages.ones(page)).sum();
        }
    }

    /// How many bits there are.
    pub const fn bits(&self) -> u64 {
        self.bits
    }

    /// How many bits are set.
    pub const fn weight(&self) -> u64 {
        self.weight
    }

    /// Marks every block that the range touches as out of sync; returns how many were not before.
    pub fn set_range(&mut self, sector: Sector, length: SectorCount) -> u64 {
        self.set_bits_in(self.touched(sector, length))
    }

    /// Marks every block that lies completely in the range as in sync; returns how many were not
    /// before. A partial block at the end of the volume counts as complete.
    pub fn clear_range(&mut self, sector: Sector, length: SectorCount) -> u64 {
        self.clear_bits_in(self.contained(sector, length))
    }

    /// Sets every bit.
    pub fn set_all(&mut self) {
        self.fill(Bit::Set);
        self.trim();
        self.weight = self.bits;
    }

    /// Clears every bit.
    pub fn clear_all(&mut self) {
        self.fill(Bit::Clear);
        self.weight = 0;
    }

    fn fill(&mut self, value: Bit) {
        for page in 0..self.pages.len() {
            self.pages.fill(page, value);
        }
        self.states.fill(PageState::NeedsWrite);
    }

    /// Whether any block that the range touches is out of sync.
    pub fn any_set(&self, sector: Sector, length: SectorCount) -> bool {
        let range = self.touched(sector, length);
        self.next_set_before(range.start, range.end).is_some()
    }

    /// How many blocks that the range touches are out of sync.
    pub fn count(&self, sector: Sector, length: SectorCount) -> u64 {
        masks(self.touched(sector, length))
            .map(|(word, mask)| u64::from((self.pages.get(word) & mask).count_ones()))
            .sum()
    }

    /// Whether this bit is set; bits beyond the end are not.
    pub fn is_set(&self, bit: BitNr) -> bool {
        bit.0 < self.bits && self.pages.get(word_of(bit.0)) >> (bit.0 % WORD_BITS) & 1 != 0
    }

    /// The first set bit at or behind `from`.
    pub fn next_set(&self, from: BitNr) -> Option<BitNr> {
        self.next_set_before(from.0, self.bits).map(BitNr)
    }

    /// The pages to write, in ascending order. They count as written from now on; when writing
    /// fails the disk is lost anyway.
    pub fn take_pages(&mut self, which: WriteOut<'_>) -> Vec<BitmapChunk> {
        match which {
            WriteOut::All => self.take(0..self.pages.len(), PageState::Clean),
            WriteOut::Changed => self.take(0..self.pages.len(), PageState::Lazy),
            WriteOut::Covering(extents) => {
                let page = |extent: &AlExtent| u64::from(extent.0) * AL_EXTENT_BITS / PAGE_BITS;
                let mut wanted: Vec<u64> = extents.iter().map(page).collect();
                wanted.sort_unstable();
                wanted.dedup();
                let pages = wanted
                    .into_iter()
                    .map_while(|page| usize::try_from(page).ok());
                self.take(pages, PageState::Lazy)
            }
        }
    }

    fn take(
        &mut self,
        pages: impl IntoIterator<Item = usize>,
        at_least: PageState,
    ) -> Vec<BitmapChunk> {
        let mut chunks = Vec::new();
        for page in pages {
            if self
                .states
                .get(page)
                .is_some_and(|&state| state >= at_least)
            {
                self.states[page] = PageState::Clean;
                self.pages.compact(page);
                let words = words_for(self.bits) - page * PAGE_WORDS;
                let content = self.pages.page(page);
                chunks.push(BitmapChunk::new(page, content, words.min(PAGE_WORDS)));
            }
        }
        chunks
    }

    /// The bits of the blocks that a range touches.
    fn touched(&self, sector: Sector, length: SectorCount) -> Range<u64> {
        let end = sector.0.saturating_add(length.0).div_ceil(BIT_SECTORS);
        let start = sector.0 / BIT_SECTORS;
        if length.0 == 0 {
            return 0..0;
        }
        start.min(self.bits)..end.min(self.bits)
    }

    /// The bits of the blocks that lie completely in a range.
    fn contained(&self, sector: Sector, length: SectorCount) -> Range<u64> {
        let start = sector.0.div_ceil(BIT_SECTORS);
        let end = sector.0.saturating_add(length.0);
        let end = if end >= self.size.0 {
            self.bits
        } else {
            end / BIT_SECTORS
        };
        start.min(end)..end
    }

    fn set_bits_in(&mut self, range: Range<u64>) -> u64 {
        let changed = self.change(range, Bit::Set, PageState::NeedsWrite);
        self.weight += changed;
        changed
    }

    fn clear_bits_in(&mut self, range: Range<u64>) -> u64 {
        let changed = self.change(range, Bit::Clear, PageState::Lazy);
        self.weight -= changed;
        changed
    }

    /// Gives a range of bits the same value; returns how many had another.
    fn change(&mut self, range: Range<u64>, value: Bit, urgency: PageState) -> u64 {
        let mut changed = 0;
        let mut from = range.start;
        while from < range.end {
            let page = (from / PAGE_BITS) as usize;
            let end = (from / PAGE_BITS + 1)
                .saturating_mul(PAGE_BITS)
                .min(range.end);
            changed += match end - from {
                PAGE_BITS => self.change_page(page, value, urgency),
                _ => masks(from..end)
                    .map(|(word, mask)| {
                        let old = self.pages.get(word);
                        let new = match value {
                            Bit::Set => old | mask,
                            Bit::Clear => old & !mask,
                        };
                        self.change_word(word, new, urgency)
                    })
                    .sum(),
            };
            from = end;
        }
        changed
    }

    fn change_page(&mut self, page: usize, value: Bit, urgency: PageState) -> u64 {
        let ones = self.pages.ones(page);
        let changed = match value {
            Bit::Set => PAGE_BITS - ones,
            Bit::Clear => ones,
        };
        if changed > 0 {
            self.pages.fill(page, value);
            self.states[page] = self.states[page].max(urgency);
        }
        changed
    }

    /// Stores a word; returns how many bits differ.
    fn change_word(&mut self, word: usize, value: u64, urgency: PageState) -> u64 {
        let changed = u64::from((self.pages.get(word) ^ value).count_ones());
        if changed > 0 {
            self.pages.put(word, value);
            let state = &mut self.states[word / PAGE_WORDS];
            *state = (*state).max(urgency);
        }
        changed
    }

    fn next_set_before(&self, from: u64, end: u64) -> Option<u64> {
        let found = self.find(from, Bit::Set, end);
        (found < end).then_some(found)
    }

    /// Clears what lies beyond the last bit.
    fn trim(&mut self) {
        let used = words_for(self.bits);
        for word in used..self.pages.len() * PAGE_WORDS {
            self.pages.put(word, 0);
        }
        if let Some(last) = used.checked_sub(1) {
            self.pages
                .put(last, self.pages.get(last) & self.mask_of(last));
        }
    }

    /// The bits of a word that belong to the bitmap.
    const fn mask_of(&self, word: usize) -> u64 {
        match self.bits % WORD_BITS {
            used if used != 0 && word == word_of(self.bits) => (1 << used) - 1,
            _ => u64::MAX,
        }
    }
}

impl BitSource for Bitmap {
    fn word(&self, n: u64) -> u64 {
        self.pages.word(n)
    }

    fn find(&self, from: u64, value: Bit, end: u64) -> u64 {
        let mut from = from;
        while from < end {
            let page_end = (from / PAGE_BITS + 1).saturating_mul(PAGE_BITS).min(end);
            match self.pages.uniform((from / PAGE_BITS) as usize) {
                Some(all) if all == value => return from,
                Some(_) => {}
                None => match self.pages.find(from, value, page_end) {
                    found if found < page_end => return found,
                    _ => {}
                },
            }
            from = page_end;
        }
        end
    }
}

impl BitSink for Bitmap {
    fn set_bits(&mut self, range: Range<BitNr>) {
        self.set_bits_in(range.start.0.min(self.bits)..range.end.0.min(self.bits));
    }

    fn merge_words(&mut self, first: u64, words: &[u64]) {
        let Ok(first) = usize::try_from(first) else {
            return;
        };
        let room = words_for(self.bits).saturating_sub(first);
        for (offset, &word) in words.iter().take(room).enumerate() {
            let at = first + offset;
            let merged = self.pages.get(at) | word & self.mask_of(at);
            self.weight += self.change_word(at, merged, PageState::NeedsWrite);
        }
    }
}

/// The words that a range of bits touches, each with the bits of it that belong to the range.
fn masks(range: Range<u64>) -> impl Iterator<Item = (usize, u64)> {
    let Range { start, end } = range;
    let words = if start < end {
        start / WORD_BITS..end.div_ceil(WORD_BITS)
    } else {
        0..0
    };
    words.map(move |word| {
        let base = word * WORD_BITS;
        let low = u64::MAX << start.saturating_sub(base);
        let high = u64::MAX >> (base + WORD_BITS).saturating_sub(end);
        (word as usize, low & high)
    })
}

/// Words for so many bits. The words are in memory, so their number fits a `usize`.
const fn words_for(bits: u64) -> usize {
    bits.div_ceil(WORD_BITS) as usize
}

const fn word_of(bit: u64) -> usize {
    (bit / WORD_BITS) as usize
}

#[cfg(test)]
mod tests;
