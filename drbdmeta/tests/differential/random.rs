//! Random disks, random commands: ours and the genuine program must agree on every one.

use drbd_types::MdFlags;
use drbdmeta::layout::{Placement, Striping};
use drbdmeta::superblock::MagicKind;
use proptest::prelude::*;

use crate::MIB;
use crate::bed::Pair;
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

/// A dump as words; joined by blanks and newlines they are a dump again.
const WORDS: &str = "version \"v08\" ; uuid { 0x987375B2AFC96EB1 ; 0x3879BFDA9EAE551F ; \
    0x0000000000000001 ; 0x0000000000000002 ; flags 0x00000093 ; } la-size-sect 0 ; \
    bm-byte-per-bit 4096 ; device-uuid 0x00000000000000AB ; la-peer-max-bio-size 4096 ; \
    al-stripes 1 ; al-stripe-size-4k 8 ; bm { 100 times 0x0000000000000000 ; \
    0xFFFFFFFFFFFFFFFF ; 0x0123456789ABCDEF ; 90 times 0x00000000FFFFFFFF ; }";

/// What is put in the place of a word. Not `bm`: ours takes it for the end of an older head. Not
/// brackets before a number, nor numbers that do not fit their fields (known differences).
const OTHERS: &[&str] = &[
    "",
    ";",
    "{",
    "}",
    "[",
    "]",
    "*",
    "$",
    "\"",
    "\"\"",
    "\"v08\"",
    "\"123456789012345678901\"",
    "#",
    "gc",
    "uuid",
    "times",
    "flags",
    "hash",
    "node-id",
    "peer",
    "foo",
    "0x4",
    "0x00000004",
    "0X00000004",
    "0x0000000000000004",
    "0x00000000000000004",
    "-",
    "12k",
    "12345678901234567890",
    "123456789012345678901",
    "\t",
];

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(40),
        max_shrink_iters: 30,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn dumps_with_a_wrong_word_are_refused_alike(
        place in any::<prop::sample::Index>(),
        other in prop::sample::select(OTHERS),
        newlines: u64,
    ) {
        let mut words: Vec<&str> = WORDS.split_whitespace().collect();
        let place = place.index(words.len());
        words[place] = other;
        let text: String = words
            .iter()
            .enumerate()
            .map(|(i, word)| format!("{word}{}", if newlines >> (i % 64) & 1 == 1 { "\n" } else { " " }))
            .collect();
        let pair = Pair::new(MIB);
        pair.file("dump", &text);
        pair.same("-f 0 v08 disk internal verify-dump dump");
    }
}
