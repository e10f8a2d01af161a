//! Random disks, random commands: ours and the genuine program must agree on every one.

use drbd_types::MdFlags;
use drbdmeta::layout::{Placement, Striping};
use drbdmeta::superblock::MagicKind;
use proptest::prelude::*;

use crate::MIB;
use crate::images::Attached;

const COMMANDS: &[&str] = &[
    "get-gi",
    "show-gi",
    "dump-md",
    "-vvvvvvvvvv dump-md",
    "dstate",
    "apply-al",
    "outdate",
    "invalidate",
    "read-dev-uuid",
    "write-dev-uuid 77",
    "set-gi 5:6:7:8:1:1:1",
    "set-gi :::::1::0",
    "check-resize",
    "create-md",
    "create-md -s 1 -z 48",
    "create-md -p 64k",
    "wipe-md",
    "--dry-run outdate",
    "-v get-gi",
];

#[derive(Debug, Clone)]
struct Scene {
    shape: (u64, Placement, (u32, u32)),
    flags: u32,
    clean_magic: bool,
    /// Bytes of the superblock that are replaced: those that the genuine program survives.
    edits: Vec<(usize, u8)>,
    log: Vec<Vec<(u16, u32)>>,
    torn: Option<(u32, u16)>,
    bitmap: Vec<u8>,
    commands: Vec<&'static str>,
    forced: bool,
}

fn scene() -> impl Strategy<Value = Scene> {
    let shape = prop::sample::select(vec![
        (16 * MIB, Placement::FlexInternal, (1, 8)),
        (16 * MIB + 1536, Placement::FlexInternal, (2, 8)),
        (4 * MIB, Placement::FlexExternal, (1, 8)),
        (4 * MIB, Placement::FlexExternal, (3, 5)),
        (4 * MIB, Placement::Indexed(0), (1, 8)),
    ]);
    // Not bm_bytes_per_bit (there it aborts) and not the striping (unbounded there).
    let edit = ((0usize..80), any::<u8>());
    // An extent in two slots at a time would be named twice by the genuine program.
    let update = (0u16..67, 0u32..2).prop_map(|(slot, half)| (slot, u32::from(slot) + 67 * half));
    let log = prop::collection::vec(prop::collection::vec(update, 1..5), 0..12);
    (
        shape,
        0u32..0x200,
        any::<bool>(),
        prop::collection::vec(edit, 0..3),
        log,
        prop::option::of((0u32..8, any::<u16>())),
        prop::collection::vec(any::<u8>(), 0..40),
        prop::collection::vec(prop::sample::select(COMMANDS.to_vec()), 3..7),
        any::<bool>(),
    )
        .prop_map(
            |(shape, flags, clean_magic, edits, log, torn, bitmap, commands, forced)| Scene {
                shape,
                flags,
                clean_magic,
                edits,
                log,
                torn,
                bitmap,
                commands,
                forced,
            },
        )
}

fn play(scene: &Scene) {
    let (size, placement, (stripes, blocks)) = scene.shape;
    let striping = Striping::new(stripes, blocks).unwrap();
    let mut disk = Attached::new(size, placement, striping);
    disk.put_bitmap(0, &scene.bitmap);
    for updates in &scene.log {
        disk.log(updates);
    }
    if let Some((tr, garbage)) = scene.torn {
        disk.put_block(tr, &garbage.to_be_bytes());
    }
    disk.sb.flags = MdFlags::from_bits_retain(scene.flags);
    disk.put_superblock(match scene.clean_magic {
        true => MagicKind::Clean,
        false => MagicKind::InUse,
    });
    for (at, byte) in &scene.edits {
        let sb = disk.areas.superblock.0 * 512;
        disk.pair.patch(sb + *at as u64, &[*byte]);
    }
    for command in &scene.commands {
        let force = if scene.forced { "-f " } else { "" };
        let line = format!("{force}0 v08 disk {} {command}", disk.index);
        disk.pair.same(&line);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(10),
        max_shrink_iters: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn random_commands_on_random_disks_agree(scene in scene()) {
        play(&scene);
    }
}
