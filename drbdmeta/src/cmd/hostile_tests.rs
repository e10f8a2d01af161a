//! Images that lie: whatever the bytes are, every command ends with an exit status, reading
//! commands write nothing, and a command that fails has changed nothing.

use proptest::prelude::*;

use super::testing::{Step, crashed_primary, layout, run};
use crate::layout::Placement;

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
    "create-md --ignore-sanity-checks",
    "wipe-md",
];

/// A few bytes of the superblock or of the log replaced.
fn spoilt() -> impl Strategy<Value = (Vec<u8>, &'static str)> {
    let places = prop::sample::select(vec![
        (Placement::FlexInternal, "internal"),
        (Placement::FlexExternal, "flex-external"),
    ]);
    let edits = prop::collection::vec((any::<bool>(), 0usize..440, any::<u8>()), 1..8);
    (places, edits).prop_map(|((placement, index), edits)| {
        let mut image = crashed_primary(placement);
        let (_, areas) = layout(placement);
        for (in_superblock, offset, byte) in edits {
            let at = match in_superblock {
                true => areas.superblock.0 * 512 + offset as u64 % 96,
                false => areas.activity_log.0 * 512 + offset as u64,
            };
            image[at as usize] = byte;
        }
        (image, index)
    })
}

fn wrote(steps: &[Step]) -> bool {
    steps.iter().any(|s| matches!(s, Step::Write { .. }))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_command_survives_a_spoilt_image((image, index) in spoilt()) {
        let state = tempfile::tempdir().unwrap();
        for format in ["v07", "v08"] {
            for reader in READERS {
                let line = format!("{format} disk {index} {reader}");
                let (_, _, steps) = run(image.clone(), &line, state.path());
                prop_assert!(!wrote(&steps), "{}", line);
            }
            for writer in WRITERS {
                let line = format!("{format} disk {index} {writer}");
                let (status, after, _) = run(image.clone(), &line, state.path());
                prop_assert!(status == 0 || after == image, "{}: {}", line, status);
            }
        }
    }
}
