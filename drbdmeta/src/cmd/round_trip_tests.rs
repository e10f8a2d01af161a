//! dump -> restore -> dump is the identity for every format, restoring writes nothing but the
//! meta-data area, dumps of every era are read, and what does not fit is refused untouched.

use std::path::Path;

use drbd_types::MdFlags;
use proptest::prelude::*;

use super::scenes::{Dirty, Scene, any_scene, read, sample};
use super::testing::{Image, Outcome, Step, run};
use crate::layout::{Placement, Striping};
use crate::record::{Format, Generation, GenerationCounts, Record};
use crate::superblock::MagicKind;

/// A dump without what the identity excepts: the time, and the slots of the log.
fn essence(dump: &str) -> Vec<&str> {
    dump.lines()
        .skip_while(|line| !line.starts_with("version"))
        .filter(|line| !line.starts_with("# al-extents"))
        .collect()
}

fn dump(scene: &Scene, image: &Image, dir: &Path) -> Outcome {
    let line = format!("{} disk {} dump-md", scene.format, scene.index());
    run(image, &line, dir)
}

fn restore(scene: &Scene, image: &Image, text: &str, dir: &Path) -> Outcome {
    let file = dir.join("dump");
    std::fs::write(&file, text).unwrap();
    let (format, index) = (scene.format, scene.index());
    run(
        image,
        &format!("{format} disk {index} restore-md {}", file.display()),
        dir,
    )
}

/// Meta-data that needs no apply-al: of a crashed Primary a dump is not all there is.
fn clean(format: Format) -> impl Strategy<Value = Scene> {
    any_scene(format).prop_map(|mut scene| {
        match scene.format {
            Format::V07 => scene.flags.remove(MdFlags::PRIMARY_IND),
            _ => {
                scene.flags.insert(MdFlags::AL_CLEAN);
                scene.hot.clear();
            }
        }
        scene.magic = MagicKind::Clean;
        scene
    })
}

/// Every byte outside of the meta-data area is as before.
fn only_meta_data_was_written(scene: &Scene, steps: &[Step]) -> bool {
    let record = scene.record();
    let at = scene.at();
    let start = at.min(record.al_at(at)).min(record.bm_at(at));
    let end = start + u64::from(record.md_size_sect) * 512;
    steps.iter().all(|step| match step {
        Step::Write { at, bytes } => *at >= start && at + bytes.len() as u64 <= end,
        Step::Flush => true,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn dump_restore_dump_is_the_identity(
        scene in prop_oneof![clean(Format::V07), clean(Format::V08)],
        other in any_scene(Format::V08),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let image = scene.image();
        let first = dump(&scene, &image, dir.path());
        prop_assert_eq!(first.status, 0, "{}", first.stderr);
        // Onto a blank disk, onto the same one, and onto one with other meta-data.
        let stranger = Scene { size: scene.size, placement: scene.placement, ..other };
        let mut places = vec![Image::new(scene.size), image.clone()];
        if scene.format == Format::V08 && scene.striping == stranger.striping {
            places.push(stranger.image());
        }
        for place in places {
            let restored = restore(&scene, &place, &first.stdout, dir.path());
            prop_assert_eq!(restored.status, 0, "{}", restored.stderr);
            prop_assert!(only_meta_data_was_written(&scene, &restored.steps));
            let second = dump(&scene, &restored.image, dir.path());
            prop_assert_eq!(essence(&second.stdout), essence(&first.stdout));
            let meaning = |image| read(image, scene.format, scene.placement).map(|r| r.dirty);
            prop_assert_eq!(meaning(&restored.image), meaning(&image));
        }
    }

    #[test]
    fn the_file_of_0_6_round_trips(flags in 0u32..16, counts: [u32; 4]) {
        let dir = tempfile::tempdir().unwrap();
        let mut record = Record::fresh_v06();
        let flags = MdFlags::from_bits_retain(flags);
        record.generation = Generation::Counts(GenerationCounts { flags, counts });
        let mut image = Image::new(24);
        image.write(0, &record.encode()[..24]);
        let first = run(&image, "v06 0 dump-md", dir.path());
        prop_assert_eq!(first.status, 0, "{}", first.stderr);
        let file = dir.path().join("dump");
        std::fs::write(&file, &first.stdout).unwrap();
        let line = format!("v06 0 restore-md {}", file.display());
        let restored = run(&Image::new(24), &line, dir.path());
        prop_assert_eq!(restored.status, 0, "{}", restored.stderr);
        prop_assert!(restored.image == image);
        let second = run(&restored.image, "v06 0 dump-md", dir.path());
        prop_assert_eq!(essence(&second.stdout), essence(&first.stdout));
    }

    #[test]
    fn a_broken_or_oversized_dump_changes_nothing(
        scene in prop_oneof![clean(Format::V07), clean(Format::V08)],
        cut in 0usize..4000,
        at in 0usize..4000,
        byte in prop::sample::select(b"{};0x \"-a9\n\0\xff".to_vec()),
        larger: bool,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let image = scene.image();
        let whole = dump(&scene, &image, dir.path()).stdout;
        let mut text = whole.clone().into_bytes();
        if larger {
            let size = format!("la-size-sect {}", u64::MAX / 2);
            let agreed = whole.lines().find(|l| l.starts_with("la-size-sect")).unwrap();
            text = whole.replace(agreed, &format!("{size};")).into_bytes();
        } else {
            let place = at % text.len();
            text[place] = byte;
            text.truncate(cut);
        }
        let file = dir.path().join("spoilt");
        std::fs::write(&file, &text).unwrap();
        let line = format!(
            "{} disk {} restore-md {}", scene.format, scene.index(), file.display()
        );
        let done = run(&image, &line, dir.path());
        if done.status == 0 {
            // Hit a comment, or a digit: still a dump.
            prop_assert!(!larger && only_meta_data_was_written(&scene, &done.steps));
        } else {
            prop_assert!(done.image == image && !done.stderr.is_empty());
            prop_assert_eq!(done.status, 10);
        }
    }
}

#[test]
fn a_marked_dump_of_a_crashed_primary_of_0_7_asks_for_everything() {
    let dir = tempfile::tempdir().unwrap();
    let scene = sample(Format::V07);
    let first = dump(&scene, &scene.image(), dir.path());
    let restored = restore(&scene, &Image::new(scene.size), &first.stdout, dir.path());
    assert_eq!(restored.status, 0, "{}", restored.stderr);
    assert!(restored.stderr.contains("will resync everything"));
    let reading = read(&restored.image, Format::V07, scene.placement).unwrap();
    assert_eq!(reading.dirty, Dirty::Everything);
}

#[test]
fn a_marked_dump_of_v08_is_refused_as_the_genuine_tool_does() {
    let dir = tempfile::tempdir().unwrap();
    let scene = sample(Format::V08);
    let first = dump(&scene, &scene.image(), dir.path());
    let restored = restore(&scene, &scene.image(), &first.stdout, dir.path());
    assert_eq!(restored.status, 10);
    assert!(restored.image == scene.image());
    assert!(
        restored
            .stderr
            .contains("unknown token: This_is_an_unclean_meta_data_dump ..."),
        "{}",
        restored.stderr
    );
}

/// The same bitmap as each series of tools wrote it (spec 40 sections 15 and 19): 40 clean words,
/// a dirty one, 39 clean ones, 48 with unequal halves.
const DUMPS: &[(&str, &str)] = &[
    (
        "8.0.6: bits-set first, no comments, a run begins with four literal words",
        "version \"v08\";\n\nuuid {\n 0x1111000011110000; 0x2222000022220000; 0x0000000000000003; \
         0x0000000000000004;\n flags 0x00000011;\n}\nla-size-sect 16384;\nbm-byte-per-bit 4096;\n\
         device-uuid 0x00000000000000AB;\n# bits-set 4;\nbm {\n   # at 0kB\n    \
         0x0000000000000000; 0x0000000000000000; 0x0000000000000000; 0x0000000000000000;\n    \
         4 times 0x0000000000000000;\n    0x00000000000000F0; 0x0000000000000000; \
         0x0000000000000000; 0x0000000000000000;\n    20 times 0x0000000000000000;\n}\n",
    ),
    (
        "8.3.0: comments with offsets",
        "# DRBD meta data dump\n# 2009-01-01 00:00:00 +0000 [1230768000]\n# alpha> drbdmeta 0 v08 \
         /dev/sda7 internal dump-md\n#\n\nversion \"v08\";\n\n# md_size_sect 80\n# md_offset 1\n\
         # al_offset 2\n# bm_offset 3\n\nuuid {\n    0x1111000011110000; 0x2222000022220000; \
         0x0000000000000003; 0x0000000000000004;\n    flags 0x00000011;\n}\n# al-extents 127;\n\
         la-size-sect 16384;\nbm-byte-per-bit 4096;\ndevice-uuid 0x00000000000000AB;\n\
         # bm-bytes 256;\nbm {\n   # at 0kB\n    8 times 0x0000000000000000;\n    \
         0x00000000000000F0; 0x0000000000000000; 0x0000000000000000; 0x0000000000000000;\n    \
         20 times 0x0000000000000000;\n}\n# bits-set 4;\n",
    ),
    (
        "8.3.11 to 8.4.2: with la-peer-max-bio-size",
        "version \"v08\"; uuid { 0x1111000011110000; 0x2222000022220000; 0x0000000000000003; \
         0x0000000000000004; flags 0x00000011; } la-size-sect 16384; bm-byte-per-bit 4096; \
         device-uuid 0x00000000000000AB; la-peer-max-bio-size 0; bm { 8 times 0x0000000000000000; \
         0x00000000000000F0; 23 times 0x0000000000000000; }",
    ),
    (
        "8.4.3 and later: with the striping",
        "version \"v08\"; uuid { 0x1111000011110000; 0x2222000022220000; 0x0000000000000003; \
         0x0000000000000004; flags 0x00000011; } la-size-sect 16384; bm-byte-per-bit 4096; \
         device-uuid 0x00000000000000AB; la-peer-max-bio-size 0; al-stripes 1; \
         al-stripe-size-4k 8; bm { 8 times 0x0000000000000000; 0x00000000000000F0; \
         503 times 0x0000000000000000; }",
    ),
];

#[test]
fn dumps_of_every_era_restore_the_same_meta_data() {
    let dir = tempfile::tempdir().unwrap();
    for (placement, size) in [
        (Placement::FlexInternal, 16 << 20),
        (Placement::FlexExternal, 2 << 20),
        (Placement::Indexed(0), 130 << 20),
    ] {
        let scene = Scene {
            placement,
            size,
            striping: Striping::DEFAULT,
            ..sample(Format::V08)
        };
        let readings = DUMPS.iter().map(|(era, text)| {
            let restored = restore(&scene, &Image::new(size), text, dir.path());
            assert_eq!(restored.status, 0, "{era}: {}", restored.stderr);
            let reading = read(&restored.image, Format::V08, placement).expect(era);
            let mut expected = vec![0; 4096];
            expected[64] = 0xf0;
            assert_eq!(reading.dirty, Dirty::Bits(expected), "{era}");
            // The true flags, not those of the genuine 8.9 to 9.32.
            assert_eq!(reading.record.flags().bits(), 0x11, "{era}");
            reading
        });
        let readings: Vec<_> = readings.collect();
        assert!(readings.windows(2).all(|pair| pair[0] == pair[1]));
    }
}
