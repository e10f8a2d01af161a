//! Every crash point of every command that writes: the image that is left behind reads as the old
//! or as the new meta-data, and nothing that was dirty is forgotten.

use drbd_types::{ByteCount, MdFlags};

use super::testing::{SIZE, Step, crashed_primary, layout, run};
use crate::activity_log::initialized_block;
use crate::activity_log::replay::{self, Replay};
use crate::bitmap;
use crate::layout::{Areas, Placement, Striping, superblock_byte};
use crate::record::{Format, Record};

/// Every image that a crash can leave: what was flushed is there; of the writes since then any one
/// is missing, any one alone has arrived, or one is torn at any sector.
fn crash_images(start: &[u8], steps: &[Step]) -> Vec<Vec<u8>> {
    let mut images = Vec::new();
    let mut durable = start.to_vec();
    let mut flying: Vec<(usize, &[u8])> = Vec::new();
    for step in steps {
        match step {
            Step::Flush => {
                for (at, bytes) in flying.drain(..) {
                    durable[at..at + bytes.len()].copy_from_slice(bytes);
                }
            }
            Step::Write { at, bytes } => {
                flying.push((*at, bytes));
                images.extend(variants(&durable, &flying));
            }
        }
    }
    images.push(durable);
    images
}

fn variants(durable: &[u8], flying: &[(usize, &[u8])]) -> Vec<Vec<u8>> {
    let with = |keep: &dyn Fn(usize) -> usize| {
        let mut image = durable.to_vec();
        for (i, (at, bytes)) in flying.iter().enumerate() {
            let count = keep(i).min(bytes.len());
            image[*at..at + count].copy_from_slice(&bytes[..count]);
        }
        image
    };
    let mut images = vec![with(&|_| 0), with(&|_| usize::MAX)];
    for (only, (_, bytes)) in flying.iter().enumerate() {
        images.push(with(&|i| if i == only { usize::MAX } else { 0 }));
        images.push(with(&|i| if i == only { 0 } else { usize::MAX }));
        let sectors = bytes.len() / 512;
        for torn in (1..sectors).step_by(sectors.div_ceil(6).max(1)) {
            images.push(with(&|i| if i == only { torn * 512 } else { usize::MAX }));
        }
    }
    images
}

fn record_at(image: &[u8], placement: Placement) -> Option<Record> {
    let at = superblock_byte(ByteCount(SIZE), placement) as usize;
    let block = image[at..at + 4096].try_into().unwrap();
    Record::parse(Format::V08, &block)
}

const PLACEMENTS: [(Placement, &str); 2] = [
    (Placement::FlexInternal, "internal"),
    (Placement::FlexExternal, "flex-external"),
];

#[test]
fn apply_al_loses_no_hot_extent_at_any_crash_point() {
    let state = tempfile::tempdir().unwrap();
    for (placement, index) in PLACEMENTS {
        let start = crashed_primary(placement);
        let line = format!("v08 disk {index} apply-al");
        let (status, done, steps) = run(start.clone(), &line, state.path());
        assert_eq!(status, 0);
        let (_, areas) = layout(placement);
        let bits = |image: &[u8]| {
            let at = areas.bitmap.0 as usize * 512;
            image[at..at + 4096].to_vec()
        };
        let images = crash_images(&start, &steps);
        assert!(images.len() > 20);
        for image in images {
            let record = record_at(&image, placement).expect("old or new superblock");
            let (status, again, _) = run(image.clone(), &line, state.path());
            assert_eq!(status, 0, "apply-al after the crash");
            assert_eq!(bits(&again), bits(&done));
            if !record.is_unclean() {
                assert_eq!(bits(&image), bits(&done), "clean means complete");
            }
        }
    }
}

#[test]
fn create_md_leaves_old_or_new_at_any_crash_point() {
    let state = tempfile::tempdir().unwrap();
    for (placement, index) in PLACEMENTS {
        let (_, areas) = layout(placement);
        for start in [vec![0; SIZE as usize], crashed_primary(placement)] {
            let line = format!("v08 disk {index} create-md --ignore-sanity-checks");
            let (status, done, steps) = run(start.clone(), &line, state.path());
            assert_eq!(status, 0);
            let old = record_at(&start, placement);
            let new = record_at(&done, placement);
            assert_ne!(old, new);
            for image in crash_images(&start, &steps) {
                check_replaced(&image, placement, &areas, old.as_ref(), &done, &start);
            }
        }
    }
}

#[test]
fn restore_md_leaves_old_or_new_at_any_crash_point() {
    let state = tempfile::tempdir().unwrap();
    let dump = state.path().join("dump");
    std::fs::write(
        &dump,
        "version \"v08\"; uuid { 0x987375B2AFC96EB1; 0x3879BFDA9EAE551F; \
         0x0000000000000000; 0x0000000000000000; flags 0x00000093; } la-size-sect 1000; \
         bm-byte-per-bit 4096; device-uuid 0x0000000000000000; la-peer-max-bio-size 0; \
         al-stripes 1; al-stripe-size-4k 8; bm { 0x00000000000000F0; 1 times 0x0000000000000003; }",
    )
    .unwrap();
    for (placement, index) in PLACEMENTS {
        let (_, areas) = layout(placement);
        for start in [vec![0; SIZE as usize], crashed_primary(placement)] {
            let line = format!(
                "v08 disk {index} restore-md {} --ignore-sanity-checks",
                dump.display()
            );
            let (status, done, steps) = run(start.clone(), &line, state.path());
            assert_eq!(status, 0);
            let old = record_at(&start, placement);
            for image in crash_images(&start, &steps) {
                check_replaced(&image, placement, &areas, old.as_ref(), &done, &start);
            }
        }
    }
}

/// The new superblock comes only with everything that it stands for; the old one either with its
/// own bitmap and log, or demanding a full sync.
fn check_replaced(
    image: &[u8],
    placement: Placement,
    areas: &Areas,
    old: Option<&Record>,
    done: &[u8],
    start: &[u8],
) {
    let parts = |image: &[u8]| {
        let log = areas.activity_log.0 as usize * 512;
        let bm = areas.bitmap.0 as usize * 512;
        (
            image[log..log + 32_768].to_vec(),
            image[bm..bm + 4096].to_vec(),
        )
    };
    let found = record_at(image, placement);
    if found == record_at(done, placement) {
        assert_eq!(parts(image), parts(done), "new superblock, but old parts");
        return;
    }
    if found.as_ref() == old {
        if old.is_some() {
            assert_eq!(parts(image), parts(start), "old superblock, but new parts");
        }
        return;
    }
    let found = found.expect("a superblock never disappears");
    let mut expected = old
        .expect("a third superblock stems from the old one")
        .clone();
    if let crate::record::Generation::Uuids { flags, .. } = &mut expected.generation {
        flags.insert(MdFlags::FULL_SYNC);
    }
    assert_eq!(found, expected, "old superblock that demands a full sync");
}

#[test]
fn a_move_leaves_something_valid_at_any_crash_point() {
    // Grown by one page, so that old and new area overlap, and grown by a lot.
    for grown in [4096, 8192, 300_000 / 512 * 512] {
        let start = crashed_primary(Placement::FlexInternal);
        let mut image = start.clone();
        image.resize(SIZE as usize + grown, 0);
        let state = tempfile::tempdir().unwrap();
        let known = state.path().join("drbd-minor-0.lkbd");
        let remember = || std::fs::write(&known, format!("{SIZE}\tdisk\n")).unwrap();
        remember();
        let line = "v08 disk internal check-resize";
        let (status, _, steps) = run(image.clone(), line, state.path());
        assert_eq!(status, 0);
        for crashed in crash_images(&image, &steps) {
            // The file is rewritten last: it still tells the old size.
            remember();
            let (status, after, _) = run(crashed, line, state.path());
            assert_eq!(status, 0, "grown by {grown}: the meta-data is found again");
            check_moved(&after, grown);
        }
    }
}

fn check_moved(image: &[u8], grown: usize) {
    let size = ByteCount(image.len() as u64);
    let at = superblock_byte(size, Placement::FlexInternal) as usize;
    let block = image[at..at + 4096].try_into().unwrap();
    let record = Record::parse(Format::V08, &block).expect("moved");
    if record.flags().contains(MdFlags::FULL_SYNC) {
        return;
    }
    let bm = record.bm_at(at as u64) as usize;
    assert_eq!(image[bm..bm + 4], [0x81, 0, 1, 0], "grown by {grown}");
    let log = record.al_at(at as u64) as usize;
    let outcome = replay::replay(&image[log..log + 32_768], Striping::DEFAULT);
    assert_eq!(outcome.result, Ok(Replay::Hot([0].into())));
}

#[test]
fn a_conversion_leaves_old_or_new_at_any_crash_point() {
    const BIG: usize = 130 << 20;
    let state = tempfile::tempdir().unwrap();
    let fixed = superblock_byte(ByteCount(BIG as u64), Placement::FixedInternal) as usize;
    let mut start = vec![0; BIG];
    let mut put = |at: usize, bytes: &[u8]| start[at..at + bytes.len()].copy_from_slice(bytes);
    for (i, word) in [0u32, 500, 1, 2, 3, 4, 5, 0x8374_026a, 131_072, 8, 127, 72]
        .into_iter()
        .enumerate()
    {
        put(fixed + i * 4, &word.to_be_bytes());
    }
    put(fixed + 72 * 512, &[0x21]);
    let line = "v08 disk internal create-md --ignore-sanity-checks";
    let (status, _, steps) = run(start.clone(), line, state.path());
    assert_eq!(status, 0);
    let flexible = superblock_byte(ByteCount(BIG as u64), Placement::FlexInternal) as usize;
    let writes: Vec<usize> = steps
        .iter()
        .filter_map(|s| match s {
            Step::Write { at, .. } => Some(*at),
            Step::Flush => None,
        })
        .collect();
    // The image is large: the order is checked instead of every image.
    assert_eq!(writes.last(), Some(&fixed), "the old superblock goes last");
    let position = |wanted: usize| writes.iter().position(|at| *at == wanted).unwrap();
    assert!(position(flexible - 80 * 512) < position(flexible));
    let flush_between = steps
        .iter()
        .skip_while(|s| !matches!(s, Step::Write { at, .. } if *at == flexible))
        .take_while(|s| !matches!(s, Step::Write { at, .. } if *at == fixed))
        .any(|s| matches!(s, Step::Flush));
    assert!(flush_between, "the new superblock is durable before");
}

#[test]
fn the_recorder_would_notice_a_superblock_that_comes_too_early() {
    // The check of this file, on a sequence that is wrong on purpose.
    let (placement, _) = PLACEMENTS[0];
    let (_, areas) = layout(placement);
    let state = tempfile::tempdir().unwrap();
    let start = vec![0; SIZE as usize];
    let line = "v08 disk internal create-md";
    let (_, done, mut steps) = run(start.clone(), line, state.path());
    steps.retain(|s| matches!(s, Step::Write { .. }));
    let caught = crash_images(&start, &steps).iter().any(|image| {
        let log = areas.activity_log.0 as usize * 512;
        record_at(image, placement) == record_at(&done, placement)
            && !image[log..].starts_with(&initialized_block())
    });
    assert!(caught);
    assert_eq!(bitmap::count_ones(&start), 0);
}
