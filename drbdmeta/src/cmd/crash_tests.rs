//! Every crash point of every command that writes, on random meta-data of every format: the image
//! that is left behind reads as the old or as the new meta-data, and nothing that was dirty is
//! forgotten.

use proptest::prelude::*;

use super::scenes::{Dirty, Reading, Scene, any_scene, read, sample, user_places};
use super::session::demand_full_sync;
use super::testing::{Image, Outcome, Step, run};
use crate::activity_log::initialized_block;
use crate::layout::{Placement, Striping, superblock_byte};
use crate::record::Format;

/// Random selections of sectors for each number of writes in flight.
const SELECTIONS: usize = 3;
const SECTOR: usize = 512;

/// Calls `check` with every image that a crash can leave: what was flushed is there; of the writes
/// since then, in any order, each has arrived, or not, or some of its sectors have.
fn crash_points(start: &Image, steps: &[Step], mut check: impl FnMut(&Image)) {
    let mut durable = start.clone();
    let mut flying: Vec<(u64, &[u8])> = Vec::new();
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    check(&durable);
    for step in steps {
        match step {
            Step::Flush => {
                for (at, bytes) in flying.drain(..) {
                    durable.write(at, bytes);
                }
            }
            Step::Write { at, bytes } => {
                flying.push((*at, bytes));
                variants(&durable, &flying, &mut chance, &mut check);
            }
        }
    }
    for (at, bytes) in flying {
        durable.write(at, bytes);
    }
    check(&durable);
}

fn variants(
    durable: &Image,
    flying: &[(u64, &[u8])],
    chance: &mut Chance,
    check: &mut impl FnMut(&Image),
) {
    let mut with = |lands: &mut dyn FnMut(usize, usize) -> bool| {
        let mut image = durable.clone();
        for (i, (at, bytes)) in flying.iter().enumerate() {
            for (s, sector) in bytes.chunks(SECTOR).enumerate() {
                if lands(i, s) {
                    image.write(at + (s * SECTOR) as u64, sector);
                }
            }
        }
        check(&image);
    };
    with(&mut |_, _| true);
    for (only, (_, bytes)) in flying.iter().enumerate() {
        with(&mut |i, _| i == only);
        with(&mut |i, _| i != only);
        let sectors = bytes.len().div_ceil(SECTOR);
        for torn in (1..sectors).step_by(sectors.div_ceil(4)) {
            with(&mut |i, s| i != only || s < torn);
            with(&mut |i, s| i != only || s >= torn);
        }
    }
    for _ in 0..SELECTIONS {
        with(&mut |_, _| chance.toss());
    }
}

/// A small reproducible generator.
struct Chance(u64);

impl Chance {
    fn toss(&mut self) -> bool {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 40 & 1 == 1
    }
}

/// A command on a scene, and where the meta-data is before and afterwards.
struct Change {
    scene: Scene,
    start: Image,
    line: String,
    done: Outcome,
    /// Format and placement that the command leaves.
    target: (Format, Placement),
}

impl Change {
    fn new(scene: &Scene, command: &str, target: (Format, Placement), index: &str) -> Self {
        let start = scene.image();
        let line = format!("{} disk {index} {command}", target.0);
        let state = tempfile::tempdir().expect("a directory");
        let done = run(&start, &line, state.path());
        Self {
            scene: scene.clone(),
            start,
            line,
            done,
            target,
        }
    }

    /// A command that stays with its format and placement.
    fn in_place(scene: &Scene, command: &str) -> Self {
        let target = (scene.format, scene.placement);
        Self::new(scene, command, target, &scene.index())
    }

    fn old(&self, image: &Image) -> Option<Reading> {
        read(image, self.scene.format, self.scene.placement)
    }

    fn new_one(&self, image: &Image) -> Option<Reading> {
        read(image, self.target.0, self.target.1)
    }

    /// Every crash point reads as before, as afterwards, or as before with everything dirty.
    fn check(&self) {
        let before = self.old(&self.start).expect("scenes are valid");
        let mut distrusted = before.record.clone();
        demand_full_sync(&mut distrusted);
        let distrusted = Reading {
            record: distrusted,
            dirty: Dirty::Everything,
        };
        let after = self.new_one(&self.done.image);
        let at = self.scene.at();
        let foreign = user_places(&before.record, self.scene.placement, at);
        crash_points(&self.start, &self.done.steps, |image| {
            let new = self.new_one(image);
            let old = self.old(image);
            let is_new = new.is_some() && new == after || after.is_none() && old.is_none();
            let is_old = old.as_ref().is_some_and(|old| {
                *old == before || *old == distrusted || self.is_marked(old, &before)
            });
            assert!(
                is_new || is_old,
                "{}: neither old nor new:\nold {old:?}\nnew {new:?}\nwanted {after:?}",
                self.line
            );
            for &place in &foreign {
                assert_eq!(image.read(place, 4), b"user", "{}", self.line);
            }
        });
    }

    /// The old superblock, with more bits set than before: harmless.
    fn is_marked(&self, old: &Reading, before: &Reading) -> bool {
        old.record == before.record && old.dirty.contains(&before.dirty)
    }

    /// Run again after any crash, the command ends where it would have ended.
    fn check_repeatable(&self) {
        let state = tempfile::tempdir().expect("a directory");
        let after = self.new_one(&self.done.image);
        crash_points(&self.start, &self.done.steps, |image| {
            let again = run(image, &self.line, state.path());
            assert_eq!(again.status, 0, "{} again: {}", self.line, again.stderr);
            let (again, after) = (self.new_one(&again.image), after.as_ref());
            let records = |reading: Option<&Reading>| reading.map(|r| r.record.clone());
            assert_eq!(records(again.as_ref()), records(after), "{}", self.line);
            // What remains of a log that is being replaced can name extents that had been left.
            let covered = match (&again, after) {
                (Some(again), Some(after)) => again.dirty.contains(&after.dirty),
                _ => true,
            };
            assert!(covered, "{}: {again:?}, not {after:?}", self.line);
        });
    }

    /// `drbdadm up` runs apply-al first: it must not stop at what a crash left.
    fn check_applicable(&self) {
        let state = tempfile::tempdir().expect("a directory");
        let line = format!("{} disk {} apply-al", self.scene.format, self.scene.index());
        crash_points(&self.start, &self.done.steps, |image| {
            if self.old(image).is_some() {
                let applied = run(image, &line, state.path());
                assert_eq!(applied.status, 0, "apply-al: {}", applied.stderr);
            }
        });
    }
}

fn v07_or_v08() -> impl Strategy<Value = Scene> {
    prop_oneof![any_scene(Format::V07), any_scene(Format::V08)]
}

/// Few scenes, but some hundred crash points each; more with `PROPTEST_CASES`.
fn few() -> ProptestConfig {
    scenes(12)
}

/// For what needs few writes: enough scenes that each kind of loss occurs in some of them.
fn many() -> ProptestConfig {
    scenes(300)
}

fn scenes(usually: u32) -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok();
    ProptestConfig {
        cases: cases.and_then(|n| n.parse().ok()).unwrap_or(usually),
        max_shrink_iters: 40,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(few())]

    #[test]
    fn create_md_leaves_old_or_new_at_any_crash_point(scene in v07_or_v08()) {
        let stripes = match scene.format {
            Format::V08 => {
                let (s, z) = (scene.striping.stripes(), scene.striping.stripe_blocks() * 4);
                format!("-s {s} -z {z}")
            }
            _ => String::new(),
        };
        let change = Change::in_place(&scene, &format!("create-md {stripes}"));
        prop_assert_eq!(change.done.status, 0, "{}", change.done.stderr);
        change.check();
        change.check_repeatable();
        change.check_applicable();
    }

    #[test]
    fn restore_md_leaves_old_or_new_at_any_crash_point(scene in v07_or_v08()) {
        let dir = tempfile::tempdir().unwrap();
        let dump = dir.path().join("dump");
        std::fs::write(&dump, dump_for(&scene)).unwrap();
        let change = Change::in_place(&scene, &format!("restore-md {}", dump.display()));
        prop_assert_eq!(change.done.status, 0, "{}", change.done.stderr);
        change.check();
        change.check_repeatable();
        change.check_applicable();
    }

    #[test]
    fn apply_al_loses_no_hot_extent_at_any_crash_point(scene in v07_or_v08()) {
        let change = Change::in_place(&scene, "apply-al");
        prop_assert_eq!(change.done.status, 0, "{}", change.done.stderr);
        change.check();
        change.check_repeatable();
        let before = change.old(&change.start).unwrap();
        let after = change.new_one(&change.done.image).unwrap();
        prop_assert_eq!(before.dirty, after.dirty);
    }

    #[test]
    fn a_move_leaves_something_valid_at_any_crash_point(
        scene in any_scene(Format::V08)
            .prop_filter("internal", |s| s.placement == Placement::FlexInternal && s.agreed),
        grown in prop::sample::select(vec![4096u64, 8192, 33 << 12, 300_000 / 512 * 512, 140 << 20]),
    ) {
        check_move(&scene, grown);
    }

    #[test]
    fn what_replaces_meta_data_of_a_resized_device_leaves_it_or_its_successor(
        scene in any_scene(Format::V08)
            .prop_filter("internal", |s| s.placement == Placement::FlexInternal && s.agreed),
        grown in prop::sample::select(vec![4096u64, 8192, 33 << 12, 300_000 / 512 * 512, 140 << 20]),
        restore: bool,
    ) {
        check_replaced(&scene, grown, restore);
    }
}

proptest! {
    #![proptest_config(many())]

    #[test]
    fn small_changes_are_one_write_that_is_there_or_not(
        scene in v07_or_v08(),
        command in prop::sample::select(vec![
            "outdate", "invalidate", "set-gi 1:2:3:4:1:0:1", "write-dev-uuid 55", "wipe-md",
        ]),
    ) {
        let change = Change::in_place(&scene, command);
        change.check();
        let wrote = change.done.steps.iter().any(|s| matches!(s, Step::Write { .. }));
        prop_assert_eq!(wrote, change.done.status == 0, "{}", change.done.stderr);
        prop_assert!(change.done.status == 0 || command == "outdate");
    }

    #[test]
    fn a_conversion_from_0_7_keeps_what_was_dirty_at_any_crash_point(
        scene in any_scene(Format::V07),
    ) {
        let (placement, index) = placement_of_v08(&scene);
        let change = Change::new(&scene, "create-md", (Format::V08, placement), &index);
        prop_assert_eq!(change.done.status, 0, "{}", change.done.stderr);
        change.check();
        check_kept(&change);
    }

    #[test]
    fn a_conversion_from_drbd_9_keeps_what_was_dirty_at_any_crash_point(
        scene in any_scene(Format::V09),
    ) {
        let (placement, index) = placement_of_v08(&scene);
        let change = Change::new(&scene, "create-md", (Format::V08, placement), &index);
        prop_assert_eq!(change.done.status, 0, "{}", change.done.stderr);
        change.check();
        check_kept(&change);
    }

    #[test]
    fn new_meta_data_at_another_place_leaves_old_or_new_and_nothing_twice(
        scene in any_scene(Format::V07).prop_filter("internal", |s| s.placement.is_internal())
    ) {
        let (placement, index) = match scene.placement {
            Placement::FlexInternal => (Placement::FixedInternal, "internal"),
            _ => (Placement::FlexInternal, "flex-internal"),
        };
        prop_assume!(scene.size > 130 << 20);
        let change = Change::new(&scene, "create-md", (Format::V07, placement), index);
        prop_assert_eq!(change.done.status, 0, "{}", change.done.stderr);
        change.check();
        prop_assert_eq!(change.old(&change.done.image), None);
    }

    #[test]
    fn a_conversion_to_0_7_leaves_old_or_new_at_any_crash_point(scene in any_scene(Format::V08)) {
        // To the same place: the fixed area would need a larger disk.
        let index = if scene.placement == Placement::FlexInternal {
            "flex-internal".to_owned()
        } else {
            scene.index()
        };
        prop_assume!(scene.striping == Striping::DEFAULT);
        let change = Change::new(&scene, "create-md", (Format::V07, scene.placement), &index);
        prop_assert_eq!(change.done.status, 0, "{}", change.done.stderr);
        change.check();
    }

    #[test]
    fn drbd_9_meta_data_is_never_made_nor_changed(
        scene in v07_or_v08(), nodes in any_scene(Format::V09),
    ) {
        for (scene, command) in [(&scene, "create-md 1"), (&nodes, "outdate"), (&nodes, "wipe-md")] {
            let state = tempfile::tempdir().unwrap();
            let line = format!("v09 disk {} {command}", scene.index());
            let refused = run(&scene.image(), &line, state.path());
            prop_assert_eq!(refused.status, 20);
            prop_assert!(refused.steps.is_empty());
        }
    }
}

/// What was dirty before a conversion is dirty afterwards, and a person is told.
fn check_kept(change: &Change) {
    let before = change.old(&change.start).expect("scenes are valid").dirty;
    let after = change.new_one(&change.done.image).expect("converted").dirty;
    assert!(after.contains(&before), "{}", change.line);
    let text = &change.done.stderr;
    let told = text.contains("Kept the ") || text.contains("will resync everything");
    let asked_before = before == Dirty::Everything;
    let nothing = matches!(&before, Dirty::Bits(bits) if bits.iter().all(|&b| b == 0));
    // DRBD 9 has the log of 8.4, which stays where it is.
    let by_log = change.scene.format == Format::V09;
    assert!(told || nothing || asked_before || by_log, "{text}");
}

#[test]
fn what_lay_at_the_new_place_of_the_log_does_not_stop_apply_al() {
    let scene = Scene {
        placement: Placement::FixedInternal,
        size: 140 << 20,
        ..sample(Format::V07)
    };
    let mut image = scene.image();
    let log = image.size().0 - 4096 - 32_768;
    image.write(log, &crate::activity_log::MAGIC.to_be_bytes());
    let state = tempfile::tempdir().expect("a directory");
    let converted = run(&image, "v08 disk internal create-md", state.path());
    assert_eq!(converted.status, 0, "{}", converted.stderr);
    let applied = run(&converted.image, "v08 disk internal apply-al", state.path());
    assert_eq!(applied.status, 0, "{}", applied.stderr);
}

/// Where v08 puts what this scene has; "internal" is flexible there.
fn placement_of_v08(scene: &Scene) -> (Placement, String) {
    match scene.placement {
        Placement::FixedInternal | Placement::FlexInternal => {
            (Placement::FlexInternal, "internal".to_owned())
        }
        other => (other, scene.index()),
    }
}

/// A dump that fits the smallest scene.
fn dump_for(scene: &Scene) -> String {
    let ids = match scene.format {
        Format::V07 => "version \"v07\"; gc { 3; 1; 2; 3; 4; } la-size-sect 1000; ".to_owned(),
        _ => format!(
            "version \"v08\"; uuid {{ 0x987375B2AFC96EB1; 0x3879BFDA9EAE551F; \
             0x0000000000000000; 0x0000000000000000; flags 0x00000093; }} la-size-sect 1000; \
             bm-byte-per-bit 4096; device-uuid 0x0000000000000000; la-peer-max-bio-size 0; \
             al-stripes {}; al-stripe-size-4k {}; ",
            scene.striping.stripes(),
            scene.striping.stripe_blocks()
        ),
    };
    ids + "bm { 0x00000000000000F0; 1 times 0x0000000000000003; }"
}

/// A device with internal meta-data that grew off line, and the file that remembers its size.
struct Grown {
    start: Image,
    before: Reading,
    state: tempfile::TempDir,
    old_size: u64,
}

impl Grown {
    fn new(scene: &Scene, by: u64) -> Self {
        let small = scene.image();
        let before = read(&small, Format::V08, Placement::FlexInternal).expect("scenes are valid");
        let mut start = small;
        start.resize(scene.size + by);
        Self {
            start,
            before,
            state: tempfile::tempdir().expect("a directory"),
            old_size: scene.size,
        }
    }

    /// The file is rewritten last: at every crash point it still tells the old size.
    fn run(&self, image: &Image, line: &str) -> Outcome {
        let known = self.state.path().join("drbd-minor-0.lkbd");
        std::fs::write(&known, format!("{}\tdisk\n", self.old_size)).expect("written");
        let done = run(image, line, self.state.path());
        assert_eq!(done.status, 0, "{line}: {}", done.stderr);
        done
    }

    /// What a driver finds after `check-resize`.
    fn moved(&self, image: &Image) -> Reading {
        let moved = self.run(image, "v08 disk internal check-resize");
        read(&moved.image, Format::V08, Placement::FlexInternal).expect("moved")
    }
}

fn check_move(scene: &Scene, by: u64) {
    let device = Grown::new(scene, by);
    let done = device.run(&device.start, "v08 disk internal check-resize");
    crash_points(&device.start, &done.steps, |image| {
        let (before, after) = (&device.before, device.moved(image));
        assert!(after.dirty.contains(&before.dirty), "grown by {by}");
        assert_eq!(after.record.effective_size, before.record.effective_size);
    });
}

/// create-md and restore-md at the new place while meta-data is at the old one.
fn check_replaced(scene: &Scene, by: u64, restore: bool) {
    let device = Grown::new(scene, by);
    let dump = device.state.path().join("dump");
    std::fs::write(&dump, dump_for(scene)).expect("written");
    let command = match restore {
        true => format!("restore-md {}", dump.display()),
        false => "create-md".to_owned(),
    };
    let done = device.run(&device.start, &format!("v08 disk internal {command}"));
    let new = read(&done.image, Format::V08, Placement::FlexInternal).expect("made");
    crash_points(&device.start, &done.steps, |image| {
        let found = device.moved(image);
        let is_old = found.record.effective_size == device.before.record.effective_size
            && found.dirty.contains(&device.before.dirty);
        assert!(
            found == new || is_old,
            "grown by {by}, {command}: {found:?}"
        );
    });
}

/// Wherever in the ring the newest transaction is, which alone names its extent.
#[test]
fn apply_al_sets_the_bits_before_it_gives_up_the_log() {
    for newest in 1..=10 {
        let scene = Scene {
            size: 130 << 20,
            hot: (0..newest).map(|i| (i.into(), 3 * i)).collect(),
            ..sample(Format::V08)
        };
        let change = Change::in_place(&scene, "apply-al");
        assert_eq!(change.done.status, 0, "{}", change.done.stderr);
        change.check();
    }
}

#[test]
fn the_checker_notices_a_superblock_that_comes_too_early() {
    // The check of this file, on a sequence without its barriers.
    let scene = sample(Format::V08);
    let mut change = Change::in_place(&scene, "create-md");
    change.check();
    change
        .done
        .steps
        .retain(|step| matches!(step, Step::Write { .. }));
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| change.check()));
    assert!(caught.is_err());
    let at = superblock_byte(change.start.size(), Placement::FlexInternal) as u64;
    let log = change.done.image.block(at - 8 * 4096);
    assert_eq!(log, initialized_block());
}
