//! The words of a bitmap in pages of 4 KiB, as they lie on disk.
//!
//! All pages without a bit set share one in memory, and so do those with every bit set: a clean
//! bitmap of 16 TiB takes 2 MiB instead of 512. A page that is on its way to the disk is shared
//! with the write, and copied when it changes meanwhile.

use alloc::sync::Arc;
use alloc::vec::Vec;

use drbd_types::BitNr;
use drbd_wire::bitmap_code::{Bit, BitSource};

/// Words in a page.
pub const PAGE_WORDS: usize = 512;
/// Bits in a page: 128 MiB of the volume.
pub const PAGE_BITS: u64 = PAGE_WORDS as u64 * 64;

/// One page.
pub type Page = [u64; PAGE_WORDS];

/// Whole pages; their words beyond the end of the bitmap are 0.
#[derive(Clone, Debug)]
pub struct Pages {
    pages: Vec<Arc<Page>>,
    clear: Arc<Page>,
    set: Arc<Page>,
}

impl Default for Pages {
    fn default() -> Self {
        Self {
            pages: Vec::new(),
            clear: Arc::new([0; PAGE_WORDS]),
            set: Arc::new([u64::MAX; PAGE_WORDS]),
        }
    }
}

impl Pages {
    /// How many there are.
    pub const fn len(&self) -> usize {
        self.pages.len()
    }

    /// One page.
    pub fn page(&self, page: usize) -> &Arc<Page> {
        &self.pages[page]
    }

    /// Appends a page.
    pub fn push(&mut self, page: Page) {
        let same = [&self.clear, &self.set]
            .into_iter()
            .find(|same| ***same == page);
        let page = same.map_or_else(|| Arc::new(page), Arc::clone);
        self.pages.push(page);
    }

    /// Cuts, or appends clear pages.
    pub fn resize(&mut self, count: usize) {
        self.pages.resize(count, Arc::clone(&self.clear));
    }

    /// Gives every bit of a page the same value.
    pub fn fill(&mut self, page: usize, value: Bit) {
        self.pages[page] = match value {
            Bit::Clear => Arc::clone(&self.clear),
            Bit::Set => Arc::clone(&self.set),
        };
    }

    /// Frees the memory of a page without a bit set.
    pub fn compact(&mut self, page: usize) {
        if self.pages[page] == self.clear {
            self.fill(page, Bit::Clear);
        }
    }

    /// The value of all bits of a page, if it is known to be one. Beyond the end bits are clear.
    pub fn uniform(&self, page: usize) -> Option<Bit> {
        let Some(page) = self.pages.get(page) else {
            return Some(Bit::Clear);
        };
        if Arc::ptr_eq(page, &self.clear) {
            Some(Bit::Clear)
        } else if Arc::ptr_eq(page, &self.set) {
            Some(Bit::Set)
        } else {
            None
        }
    }

    /// How many bits of a page are set.
    pub fn ones(&self, page: usize) -> u64 {
        match self.uniform(page) {
            Some(Bit::Clear) => 0,
            Some(Bit::Set) => PAGE_BITS,
            None => self.pages[page]
                .iter()
                .map(|word| u64::from(word.count_ones()))
                .sum(),
        }
    }

    /// One word.
    pub fn get(&self, word: usize) -> u64 {
        self.pages[word / PAGE_WORDS][word % PAGE_WORDS]
    }

    /// Changes one word.
    pub fn put(&mut self, word: usize, value: u64) {
        // A page that stays as it is stays shared.
        if self.get(word) != value {
            Arc::make_mut(&mut self.pages[word / PAGE_WORDS])[word % PAGE_WORDS] = value;
        }
    }
}

impl BitSource for Pages {
    fn word(&self, n: u64) -> u64 {
        let word = usize::try_from(n).unwrap_or(usize::MAX);
        let page = self.pages.get(word / PAGE_WORDS);
        page.map_or(0, |page| page[word % PAGE_WORDS])
    }
}

/// A bitmap as found on disk, taken word by word.
#[derive(Clone, Debug)]
pub struct StoredBitmap {
    pages: Pages,
    /// The last page, as far as there are words for it.
    last: Page,
    words: usize,
}

impl Default for StoredBitmap {
    fn default() -> Self {
        Self {
            pages: Pages::default(),
            last: [0; PAGE_WORDS],
            words: 0,
        }
    }
}

impl StoredBitmap {
    /// How many words there are.
    pub const fn len(&self) -> usize {
        self.words
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.words == 0
    }

    /// The words.
    pub fn words(&self) -> impl Iterator<Item = u64> + '_ {
        let pages = self.pages.pages.iter().flat_map(|page| page.iter());
        let rest = self.last[..self.words % PAGE_WORDS].iter();
        pages.chain(rest).copied()
    }

    /// Whole pages; a started one is filled up with clear bits.
    pub(super) fn into_pages(mut self) -> Pages {
        if !self.words.is_multiple_of(PAGE_WORDS) {
            self.pages.push(self.last);
        }
        self.pages
    }
}

impl Extend<u64> for StoredBitmap {
    fn extend<T: IntoIterator<Item = u64>>(&mut self, words: T) {
        for word in words {
            self.last[self.words % PAGE_WORDS] = word;
            self.words += 1;
            if self.words.is_multiple_of(PAGE_WORDS) {
                self.pages.push(self.last);
                self.last = [0; PAGE_WORDS];
            }
        }
    }
}

impl FromIterator<u64> for StoredBitmap {
    fn from_iter<T: IntoIterator<Item = u64>>(words: T) -> Self {
        let mut stored = Self::default();
        stored.extend(words);
        stored
    }
}

/// A page of the bitmap for the disk, as it was when the write was decided.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BitmapChunk {
    page: u32,
    content: Arc<Page>,
    words: usize,
}

impl BitmapChunk {
    pub(super) fn new(page: usize, content: &Arc<Page>, words: usize) -> Self {
        Self {
            // 2^32 pages would describe 2^59 bytes; no disk has room for such a bitmap.
            page: page as u32,
            content: Arc::clone(content),
            words,
        }
    }

    /// Page number `page` with these words, at most 512.
    pub fn of_words(page: u32, words: &[u64]) -> Self {
        let mut content = [0; PAGE_WORDS];
        let words = &words[..words.len().min(PAGE_WORDS)];
        content[..words.len()].copy_from_slice(words);
        Self {
            page,
            content: Arc::new(content),
            words: words.len(),
        }
    }

    /// Number of the page.
    pub const fn page(&self) -> u32 {
        self.page
    }

    /// First bit that it covers.
    pub const fn first_bit(&self) -> BitNr {
        BitNr(self.page as u64 * PAGE_BITS)
    }

    /// Its words: 512, fewer on the last page.
    pub fn words(&self) -> &[u64] {
        &self.content[..self.words]
    }
}
