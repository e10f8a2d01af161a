//! Images that lie: whatever the bytes are, every command ends with an exit status, reading
//! commands write nothing, and a command that fails has changed nothing.

use proptest::prelude::*;

use super::scenes::{Scene, any_scene};
use super::testing::{Image, Step, run};
use crate::record::Format;

const READERS: &[&str] = &[
    "get-gi",
    "show-gi",
    "show-gi --json",
    "dump-md",
    "-vvvvvvvvvv dump-md",
    "dstate",
    "verify",
    "export",
    "read-dev-uuid",
];
const WRITERS: &[&str] = &[
    "apply-al",
    "outdate",
    "invalidate",
    "set-gi 1:2:3:4",
    "write-dev-uuid 5",
    "check-resize",
    "create-md",
    "create-md --ignore-sanity-checks",
    "wipe-md",
];

/// A few bytes of the superblock or of the log replaced.
fn spoilt() -> impl Strategy<Value = (Scene, Image)> {
    let formats = prop::sample::select(vec![Format::V07, Format::V08, Format::V09]);
    let edits = prop::collection::vec((any::<bool>(), 0u64..440, any::<u8>()), 1..8);
    (formats.prop_flat_map(any_scene), edits).prop_map(|(scene, edits)| {
        let mut image = scene.image();
        let record = scene.record();
        for (in_superblock, offset, byte) in edits {
            let at = match in_superblock {
                true => scene.at() + offset % 96,
                false => record.al_at(scene.at()) + offset,
            };
            image.write(at, &[byte]);
        }
        (scene, image)
    })
}

fn wrote(steps: &[Step]) -> bool {
    steps.iter().any(|s| matches!(s, Step::Write { .. }))
}

fn check(scene: &Scene, image: &Image) -> Result<(), TestCaseError> {
    let state = tempfile::tempdir().unwrap();
    for format in ["v07", "v08"] {
        let index = match (format, scene.index().as_str()) {
            ("v08", "flex-internal") => "internal".to_owned(),
            (_, index) => index.to_owned(),
        };
        for reader in READERS {
            let line = format!("{format} disk {index} {reader}");
            let done = run(image, &line, state.path());
            prop_assert!(!wrote(&done.steps), "{}", line);
        }
        for writer in WRITERS {
            let line = format!("{format} disk {index} {writer}");
            let done = run(image, &line, state.path());
            let unchanged = done.image == *image;
            prop_assert!(done.status == 0 || unchanged, "{}: {}", line, done.stderr);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(32) })]

    #[test]
    fn every_command_survives_a_spoilt_image((scene, image) in spoilt()) {
        check(&scene, &image)?;
    }

    #[test]
    fn every_command_survives_a_truncated_image(
        format in prop::sample::select(vec![Format::V07, Format::V08]),
        keep in 0u64..200_000,
    ) {
        let scene = Scene {
            size: 2 << 20,
            placement: crate::layout::Placement::FlexExternal,
            ..super::scenes::sample(format)
        };
        let whole = scene.image();
        let mut cut = Image::new(keep);
        cut.write(0, &whole.read(0, keep as usize));
        check(&scene, &cut)?;
    }
}

#[test]
fn a_device_beyond_every_bitmap_is_refused_before_the_first_write() {
    let state = tempfile::tempdir().unwrap();
    let image = Image::new((1 << 50) + 4096);
    for line in ["v08 disk internal", "v08 disk 0", "v07 disk internal"] {
        let refused = run(&image, &format!("{line} create-md"), state.path());
        assert_eq!(refused.status, 10, "{line}: {}", refused.stderr);
        assert!(
            refused.stderr.contains("got too large"),
            "{}",
            refused.stderr
        );
        assert!(!wrote(&refused.steps), "{line}");
    }
}
