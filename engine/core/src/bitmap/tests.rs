use super::*;

const fn sectors(n: u64) -> SectorCount {
    SectorCount(n)
}

fn pages(chunks: &[BitmapChunk]) -> Vec<u32> {
    chunks.iter().map(BitmapChunk::page).collect()
}

fn stored(words: &[u64]) -> StoredBitmap {
    words.iter().copied().collect()
}

/// The device of section 11: 65456 sectors, 8182 bits, 128 words, one page.
#[test]
fn sizes_are_those_of_the_captured_device() {
    let bitmap = Bitmap::new(sectors(65_456));
    assert_eq!(bitmap.bits(), 8182);
    assert_eq!((words_for(bitmap.bits), bitmap.pages.len()), (128, 1));
    let mut bitmap = bitmap;
    bitmap.set_all();
    assert_eq!(bitmap.weight(), 8182);
    let chunks = bitmap.take_pages(WriteOut::All);
    assert_eq!(chunks[0].words().len(), 128);
    assert_eq!(chunks[0].words()[127], (1 << (8182 - 127 * 64)) - 1);
}

#[test]
fn setting_rounds_outwards_and_clearing_inwards() {
    let mut bitmap = Bitmap::new(sectors(80));
    assert_eq!(bitmap.set_range(Sector(7), sectors(2)), 2, "blocks 0 and 1");
    assert_eq!(bitmap.set_range(Sector(0), sectors(8)), 0, "set already");
    assert_eq!(
        bitmap.clear_range(Sector(1), sectors(8)),
        0,
        "no whole block"
    );
    assert_eq!(bitmap.clear_range(Sector(1), sectors(15)), 1, "block 1");
    assert!(bitmap.is_set(BitNr(0)) && !bitmap.is_set(BitNr(1)));
    assert_eq!(bitmap.set_range(Sector(16), sectors(0)), 0, "nothing");
}

#[test]
fn a_partial_block_at_the_end_counts_as_complete() {
    let mut bitmap = Bitmap::new(sectors(83));
    assert_eq!(bitmap.bits(), 11);
    bitmap.set_all();
    assert_eq!(bitmap.clear_range(Sector(80), sectors(2)), 0, "not its end");
    assert_eq!(bitmap.clear_range(Sector(80), sectors(3)), 1);
    assert_eq!(bitmap.clear_range(Sector(0), sectors(83)), 10);
    assert_eq!(bitmap.weight(), 0);
}

#[test]
fn ranges_beyond_the_end_are_cut_off() {
    let mut bitmap = Bitmap::new(sectors(80));
    assert_eq!(bitmap.set_range(Sector(72), sectors(u64::MAX)), 1);
    assert_eq!(bitmap.set_range(Sector(800), sectors(8)), 0);
    assert_eq!(bitmap.clear_range(Sector(800), sectors(8)), 0);
    assert!(!bitmap.any_set(Sector(80), sectors(80)));
    assert_eq!(bitmap.next_set(BitNr(u64::MAX)), None);
}

#[test]
fn words_that_are_missing_on_disk_are_out_of_sync_and_bits_beyond_the_end_are_dropped() {
    let bitmap = Bitmap::from_stored(sectors(100 * 8), stored(&[1]));
    assert_eq!(bitmap.weight(), 1 + 36);
    let bitmap = Bitmap::from_stored(sectors(4 * 8), stored(&[u64::MAX, u64::MAX]));
    assert_eq!(bitmap.weight(), 4);
    assert_eq!(Bitmap::from_stored(sectors(0), stored(&[])).weight(), 0);
}

#[test]
fn growing_sets_the_new_bits_and_shrinking_forgets_them() {
    let mut bitmap = Bitmap::new(sectors(100 * 8));
    bitmap.set_range(Sector(0), sectors(8));
    bitmap.resize(sectors(200 * 8));
    assert_eq!(bitmap.weight(), 101);
    assert_eq!(bitmap.next_set(BitNr(1)), Some(BitNr(100)));
    bitmap.resize(sectors(50 * 8));
    assert_eq!(bitmap.weight(), 1);
    bitmap.resize(sectors(100 * 8));
    assert_eq!(bitmap.weight(), 51);
}

const PAGE_SECTORS: u64 = PAGE_BITS * BIT_SECTORS;

#[test]
fn pages_reach_the_disk_when_they_changed_and_only_once() {
    let mut bitmap = Bitmap::new(sectors(3 * PAGE_SECTORS));
    assert_eq!(pages(&bitmap.take_pages(WriteOut::Changed)), []);
    bitmap.set_range(Sector(PAGE_SECTORS), sectors(8));
    bitmap.set_range(Sector(2 * PAGE_SECTORS), sectors(8));
    let chunks = bitmap.take_pages(WriteOut::Changed);
    assert_eq!(pages(&chunks), [1, 2]);
    assert_eq!(chunks[0].first_bit(), BitNr(PAGE_BITS));
    assert_eq!(chunks[0].words()[0], 1);
    assert_eq!(pages(&bitmap.take_pages(WriteOut::Changed)), []);
    bitmap.clear_range(Sector(PAGE_SECTORS), sectors(8));
    bitmap.clear_range(Sector(PAGE_SECTORS), sectors(8));
    assert_eq!(pages(&bitmap.take_pages(WriteOut::Changed)), [1], "lazily");
    assert_eq!(pages(&bitmap.take_pages(WriteOut::All)), [0, 1, 2]);
}

#[test]
fn an_eviction_writes_only_the_changed_pages_that_cover_it() {
    let mut bitmap = Bitmap::new(sectors(3 * PAGE_SECTORS));
    bitmap.set_range(Sector(0), sectors(8));
    bitmap.set_range(Sector(PAGE_SECTORS), sectors(8));
    // 32 activity-log extents to a page.
    let evicted = [AlExtent(33), AlExtent(64), AlExtent(32), AlExtent(u32::MAX)];
    let chunks = bitmap.take_pages(WriteOut::Covering(&evicted));
    assert_eq!(pages(&chunks), [1]);
    assert_eq!(pages(&bitmap.take_pages(WriteOut::Changed)), [0]);
}

#[test]
fn a_received_bitmap_is_merged_and_cannot_set_bits_beyond_the_end() {
    let mut bitmap = Bitmap::new(sectors(70 * 8));
    bitmap.set_range(Sector(0), sectors(8));
    bitmap.merge_words(0, &[0b11, u64::MAX, u64::MAX]);
    assert_eq!(bitmap.weight(), 2 + 6);
    bitmap.merge_words(99, &[1]);
    bitmap.set_bits(BitNr(60)..BitNr(1000));
    assert_eq!(bitmap.weight(), 2 + 4 + 6);
    assert_eq!(bitmap.word(0), 0xf000_0000_0000_0003);
    assert_eq!(bitmap.word(7), 0);
}

fn shared(bitmap: &Bitmap) -> Vec<Option<Bit>> {
    (0..bitmap.pages.len())
        .map(|page| bitmap.pages.uniform(page))
        .collect()
}

#[test]
fn uniform_pages_take_no_memory() {
    let mut bitmap = Bitmap::new(sectors(3 * PAGE_SECTORS));
    bitmap.set_all();
    assert_eq!(shared(&bitmap), [Some(Bit::Set); 3]);
    assert_eq!(
        bitmap.clear_range(Sector(8), sectors(PAGE_SECTORS)),
        PAGE_BITS
    );
    assert_eq!(shared(&bitmap), [None, None, Some(Bit::Set)]);
    bitmap.clear_range(Sector(0), sectors(PAGE_SECTORS + 8));
    bitmap.take_pages(WriteOut::Changed);
    let one_left = [Some(Bit::Clear), None, Some(Bit::Set)];
    assert_eq!(shared(&bitmap), one_left);
    bitmap.set_range(Sector(PAGE_SECTORS), sectors(PAGE_SECTORS));
    assert_eq!(shared(&bitmap)[1], Some(Bit::Set));
    let read = bitmap.take_pages(WriteOut::All);
    let words = read.iter().flat_map(BitmapChunk::words).copied();
    let again = Bitmap::from_stored(sectors(3 * PAGE_SECTORS), words.collect());
    assert_eq!(shared(&again), shared(&bitmap));
}

#[test]
fn a_page_on_its_way_to_the_disk_keeps_what_it_was() {
    let mut bitmap = Bitmap::new(sectors(PAGE_SECTORS));
    bitmap.set_range(Sector(0), sectors(8));
    let chunks = bitmap.take_pages(WriteOut::Changed);
    bitmap.set_range(Sector(8), sectors(8));
    assert_eq!(chunks[0].words()[0], 1);
    assert_eq!(bitmap.word(0), 3);
}

mod model {
    use alloc::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Op {
        Set(u64, u64),
        Clear(u64, u64),
        Resize(u64),
        Merge(u64, Vec<u64>),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            4 => (0..6000u64, 0..3000u64).prop_map(|(at, len)| Op::Set(at, len)),
            4 => (0..6000u64, 0..3000u64).prop_map(|(at, len)| Op::Clear(at, len)),
            1 => (0..6000u64).prop_map(Op::Resize),
            1 => (0..12u64, prop::collection::vec(any::<u64>(), 0..3))
                .prop_map(|(first, words)| Op::Merge(first, words)),
        ]
    }

    fn step(bitmap: &mut Bitmap, model: &mut BTreeSet<u64>, size: &mut u64, op: &Op) {
        let before = model.len() as u64;
        match op {
            Op::Set(at, len) => {
                let end = at + len;
                model.extend(
                    (0..size.div_ceil(8))
                        .filter(|bit| bit * 8 < end && at < &(bit * 8 + 8) && *len > 0),
                );
                let changed = bitmap.set_range(Sector(*at), SectorCount(*len));
                assert_eq!(changed, model.len() as u64 - before);
            }
            Op::Clear(at, len) => {
                let end = at + len;
                model.retain(|bit| !(*at <= bit * 8 && (bit * 8 + 8).min(*size) <= end));
                let changed = bitmap.clear_range(Sector(*at), SectorCount(*len));
                assert_eq!(changed, before - model.len() as u64);
            }
            Op::Resize(new) => {
                model.extend(size.div_ceil(8)..new.div_ceil(8));
                model.retain(|bit| *bit < new.div_ceil(8));
                *size = *new;
                bitmap.resize(SectorCount(*new));
            }
            Op::Merge(first, words) => {
                for (n, word) in words.iter().enumerate() {
                    let base = (first + n as u64) * 64;
                    model.extend(
                        (0..64)
                            .filter(|bit| word >> bit & 1 != 0)
                            .map(|bit| base + bit),
                    );
                }
                model.retain(|bit| *bit < size.div_ceil(8));
                bitmap.merge_words(*first, words);
            }
        }
    }

    proptest! {
        #[test]
        fn the_bitmap_behaves_like_a_set_of_blocks(
            mut size in 0..6000u64,
            ops in prop::collection::vec(op(), 1..40),
            probe in (0..6000u64, 0..600u64),
        ) {
            let mut bitmap = Bitmap::new(SectorCount(size));
            let mut model = BTreeSet::new();
            for op in &ops {
                step(&mut bitmap, &mut model, &mut size, op);
                prop_assert_eq!(bitmap.weight(), model.len() as u64);
            }
            let found: Vec<u64> = core::iter::successors(
                bitmap.next_set(BitNr(0)),
                |bit| bitmap.next_set(BitNr(bit.0 + 1)),
            ).map(|bit| bit.0).collect();
            prop_assert_eq!(&found, &model.iter().copied().collect::<Vec<u64>>());
            let (at, len) = probe;
            let touched = model.iter().filter(|&&bit| bit * 8 < at + len && at < bit * 8 + 8 && len > 0);
            let touched = touched.count() as u64;
            prop_assert_eq!(bitmap.count(Sector(at), SectorCount(len)), touched);
            prop_assert_eq!(bitmap.any_set(Sector(at), SectorCount(len)), touched > 0);
        }

        #[test]
        fn pages_as_a_whole_behave_like_their_bits(
            cut in 0..PAGE_SECTORS,
            ranges in prop::collection::vec(
                (0..4u64, 0..3u64, 0..4u64, 0..3u64, any::<bool>()), 1..12,
            ),
            probes in prop::collection::vec(0..4 * PAGE_BITS, 8),
        ) {
            let size = 4 * PAGE_SECTORS - cut;
            let mut bitmap = Bitmap::new(SectorCount(size));
            let mut model = alloc::vec![false; bitmap.bits() as usize];
            for (page, bit, pages, bits, set) in ranges {
                let start = (page * PAGE_BITS + bit).min(bitmap.bits());
                let end = (start + pages * PAGE_BITS + bits).min(bitmap.bits());
                let (at, length) = (Sector(start * 8), SectorCount((end - start) * 8));
                let part = &mut model[start as usize..end as usize];
                let differ = part.iter().filter(|bit| **bit != set).count() as u64;
                part.fill(set);
                let changed = match set {
                    true => bitmap.set_range(at, length),
                    false => bitmap.clear_range(at, length),
                };
                prop_assert_eq!(changed, differ);
            }
            prop_assert_eq!(bitmap.weight(), model.iter().filter(|bit| **bit).count() as u64);
            for probe in probes {
                let probe = probe.min(bitmap.bits());
                for (value, wanted) in [(Bit::Set, true), (Bit::Clear, false)] {
                    let found = model[probe as usize..].iter().position(|bit| *bit == wanted);
                    let expected = found.map_or(bitmap.bits(), |offset| probe + offset as u64);
                    prop_assert_eq!(bitmap.find(probe, value, bitmap.bits()), expected);
                }
            }
        }

        /// Writing what `take_pages` hands out, and nothing else, keeps a disk image on which no
        /// bit is missing.
        #[test]
        fn the_changed_pages_are_enough_to_keep_the_disk_up_to_date(
            ranges in prop::collection::vec((0..5 * PAGE_SECTORS, 0..3000u64, any::<bool>()), 1..20),
        ) {
            let mut bitmap = Bitmap::new(SectorCount(5 * PAGE_SECTORS));
            let mut disk = alloc::vec![0u64; 5 * PAGE_WORDS];
            for (at, len, set) in ranges {
                if set {
                    bitmap.set_range(Sector(at), SectorCount(len));
                } else {
                    bitmap.clear_range(Sector(at), SectorCount(len));
                }
                for chunk in bitmap.take_pages(WriteOut::Changed) {
                    let first = word_of(chunk.first_bit().0);
                    disk[first..first + chunk.words().len()].copy_from_slice(chunk.words());
                }
                let words: Vec<u64> = (0..disk.len()).map(|word| bitmap.pages.get(word)).collect();
                prop_assert_eq!(&disk, &words);
            }
        }
    }
}
