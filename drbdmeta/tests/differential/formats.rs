//! Meta-data of the other formats: v07 of DRBD 0.7 and the file of 0.6, their conversion to v08 and
//! back, and v09 of DRBD 9.

use std::os::unix::fs::FileExt;

use drbd_types::ByteCount;
use drbdmeta::layout::{Layout, Placement, Striping};

use crate::bed::Pair;
use crate::images::old_sector;
use crate::{MIB, SHOWING};

/// A v07 superblock in use.
fn v07_block(flags: u32, md_size_kb: u32, offsets: (i32, i32), la_kb: u64) -> [u8; 512] {
    let mut block = [0; 512];
    block[..8].copy_from_slice(&la_kb.to_be_bytes());
    for (i, word) in [
        flags,
        2,
        3,
        4,
        5,
        0x8374_026a,
        md_size_kb,
        offsets.0 as u32,
        127,
        offsets.1 as u32,
    ]
    .into_iter()
    .enumerate()
    {
        block[8 + i * 4..12 + i * 4].copy_from_slice(&word.to_be_bytes());
    }
    block
}

/// A v07 disk with dirty bits and a hot log; returns the pair.
pub fn v07_disk(size: u64, index: &str, flags: u32, la_kb: u64, bitmap: &[u8]) -> Pair {
    let pair = Pair::new(size);
    let (at, md_kb, offsets) = match index {
        "internal" => (size / 4096 * 4096 - 128 * MIB, 131_072, (8, 72)),
        "flex-internal" => {
            let layout =
                Layout::compute(ByteCount(size), Placement::FlexInternal, Striping::DEFAULT)
                    .unwrap();
            let at = layout.superblock.0 * 512;
            (at, layout.md_size_sect / 2, (-64, layout.bm_offset))
        }
        "flex-external" => (0, (size / 1024) as u32, (8, 72)),
        _ => (0, 131_072, (8, 72)),
    };
    pair.patch(at, &v07_block(flags, md_kb, offsets, la_kb));
    let part = |offset: i32| at.checked_add_signed(i64::from(offset) * 512).unwrap();
    pair.patch(part(offsets.0), &old_sector(7, &[(3, 1), (4, 2)]));
    pair.patch(part(offsets.1), bitmap);
    pair
}

#[test]
fn disks_of_0_7_are_shown_and_changed_alike() {
    for (size, index) in [
        (300 * MIB, "internal"),
        (64 * MIB, "flex-internal"),
        (8 * MIB, "flex-external"),
        (130 * MIB, "0"),
    ] {
        for flags in [0x5, 0xf] {
            let pair = v07_disk(size, index, flags, 7000, &[1, 0, 0xff]);
            let same = |command: &str| pair.same(&format!("-f 0 v07 disk {index} {command}"));
            for command in SHOWING {
                same(command);
            }
            for command in [
                "apply-al",
                "outdate",
                "set-gi 1:9:8:7:-6:0:1:1",
                "set-gi 0x1:010:0x10:+3:4:01",
                "set-gi 1:08",
                "set-gi 0:1:1:1:1:0:1:1",
                "invalidate",
                "get-gi",
                "check-resize",
                "read-dev-uuid",
                "write-dev-uuid 5",
                "dump-md",
            ] {
                same(command);
            }
            pair.same(&format!("0 v07 disk {index} dump-md"));
        }
    }
}

#[test]
fn an_odd_size_of_the_area_is_remarked_on_in_0_7_alike() {
    let pair = v07_disk(64 * MIB, "flex-internal", 5, 7000, &[1]);
    // Early tools stored sectors instead of KiB.
    pair.patch(64 * MIB - 4096 + 32, &80u32.to_be_bytes());
    for command in ["get-gi", "dump-md", "invalidate", "set-gi 1", "apply-al"] {
        pair.same(&format!("-f 0 v07 disk flex-internal {command}"));
    }
}

#[test]
fn v07_and_v08_are_converted_alike_when_nothing_is_dirty() {
    for (size, from, to) in [
        (300 * MIB, "internal", "internal"),
        (64 * MIB, "flex-internal", "internal"),
        (8 * MIB, "flex-external", "flex-external"),
        (130 * MIB, "0", "0"),
    ] {
        let pair = v07_disk(size, from, 1, 7000, &[]);
        pair.same(&format!("0 v08 disk {to} create-md"));
        pair.same(&format!("-f 0 v08 disk {to} create-md"));
        for command in ["get-gi", "show-gi", "dump-md", "apply-al", "dump-md"] {
            pair.same(&format!("-f 0 v08 disk {to} {command}"));
        }
        pair.same(&format!("-f 0 v07 disk {from} create-md"));
        pair.same(&format!("-f 0 v07 disk {from} dump-md"));
    }
}

#[test]
fn bits_that_the_genuine_conversion_drops_are_kept() {
    let pair = v07_disk(300 * MIB, "internal", 3, 7000, &[1, 0, 0xff]);
    let outcome = pair.only_ours("-f 0 v08 disk internal create-md");
    assert_eq!(outcome.status, Some(0), "{outcome:?}");
    // One bit, eight bits, and the extents 1 and 2 of the log of a crashed Primary: of those the
    // volume of 1750 bits has 726 behind the first extent.
    let mut bitmap = [0; 512];
    let layout = Layout::compute(
        ByteCount(300 * MIB),
        Placement::FlexInternal,
        Striping::DEFAULT,
    )
    .unwrap();
    let at = layout.areas().unwrap().bitmap.0 * 512;
    pair.ours.disk().read_exact_at(&mut bitmap, at).unwrap();
    assert_eq!(bitmap[..4], [1, 0, 0xff, 0]);
    assert!(bitmap[128..384].iter().all(|&b| b == 0xff));
    let gi = pair.only_ours("-f 0 v08 disk internal get-gi");
    assert!(
        gi.stdout.starts_with("000200030009BABE:000200030008BABE:"),
        "{gi:?}"
    );
}

#[test]
fn a_v06_file_is_read_alike() {
    let pair = Pair::new(MIB);
    let mut bytes = Vec::new();
    for word in [3u32, 1, 2, 3, 4, 0x8374_0269] {
        bytes.extend(word.to_be_bytes());
    }
    let fill = || {
        for side in pair.sides() {
            std::fs::write(side.path("lib/drbd/drbd0"), &bytes).unwrap();
        }
    };
    fill();
    for command in [
        "get-gi",
        "show-gi",
        "dstate",
        "dump-md",
        "-f dump-md",
        "apply-al",
        "check-resize",
    ] {
        pair.same(&format!("0 v06 0 {command}"));
    }
    pair.same("0 v06 0 outdate");
    // Every write of the genuine program fails on a range check that knows no area in a file.
    let [ours, theirs] = pair.outcomes("0 v06 0 invalidate");
    assert_eq!((ours.status, theirs.status), (Some(0), Some(10)));
    fill();
    for (command, gi) in [
        ("-f --ignore-sanity-checks set-gi 1:2:3:4:5", "1:2:3:4:5"),
        ("--ignore-sanity-checks invalidate", "0:2:3:4:5"),
        ("-f --ignore-sanity-checks create-md", "0:1:1:1:1"),
    ] {
        let line = format!("0 v06 0 {command}");
        let [ours, theirs] = pair.outcomes(&line);
        assert_eq!(ours.status, theirs.status, "{line}: {theirs:?}");
        assert_eq!(ours.stdout, theirs.stdout, "{line}");
        let shown = pair.same("0 v06 0 get-gi");
        assert!(shown.stdout.starts_with(gi), "{line}: {shown:?}");
    }
    for side in pair.sides() {
        std::fs::write(side.path("lib/drbd/drbd0"), [0; 24]).unwrap();
    }
    pair.same("-v 0 v06 0 get-gi");
}

#[test]
fn meta_data_of_drbd_9_with_one_peer_is_converted_alike() {
    for (size, index) in [(64 * MIB, "internal"), (8 * MIB, "flex-external")] {
        let pair = Pair::new(size);
        let source = Pair::new(size);
        let made = source.only_theirs(&format!("-f 0 v09 disk {index} create-md 1"));
        assert_eq!(made.status, Some(0), "{made:?}");
        let mut block = [0; 4096];
        let at = match index {
            "internal" => size - 4096,
            _ => 0,
        };
        source.theirs.disk().read_exact_at(&mut block, at).unwrap();
        // UUIDs, device flags, flags and bitmap UUID of the peer.
        block[8..16].copy_from_slice(&0x1234_5678_9abc_def0u64.to_be_bytes());
        block[56..60].copy_from_slice(&0x93u32.to_be_bytes());
        block[112..120].copy_from_slice(&0x1111u64.to_be_bytes());
        block[128..132].copy_from_slice(&0xbu32.to_be_bytes());
        block[1136..1144].copy_from_slice(&0x2222u64.to_be_bytes());
        block[1144..1152].copy_from_slice(&0x3333u64.to_be_bytes());
        pair.patch(at, &block);
        pair.same(&format!("-f 0 v08 disk {index} get-gi"));
        pair.same(&format!("-f 0 v08 disk {index} create-md"));
        pair.same(&format!("-f 0 v08 disk {index} show-gi"));
        pair.same(&format!("-f 0 v08 disk {index} dump-md"));
    }
}

#[test]
fn what_drbd_9_itself_would_not_take_for_its_meta_data_is_overwritten_alike() {
    for (max_peers, node) in [(0u32, 0i32), (1, -2), (1, 32), (0, 99)] {
        let pair = Pair::new(MIB);
        let made = pair.only_theirs("-f 0 v09 disk internal create-md 1");
        assert_eq!(made.status, Some(0), "{made:?}");
        let mut block = [0; 4096];
        let at = MIB - 4096;
        pair.theirs.disk().read_exact_at(&mut block, at).unwrap();
        block[88..92].copy_from_slice(&max_peers.to_be_bytes());
        block[92..96].copy_from_slice(&node.to_be_bytes());
        for side in pair.sides() {
            side.disk().set_len(0).unwrap();
            side.disk().set_len(MIB).unwrap();
            let _ = std::fs::remove_file(side.path("lib/drbd/drbd-minor-0.lkbd"));
        }
        pair.patch(at, &block);
        pair.same("-f 0 v08 disk internal create-md");
    }
}

#[test]
fn meta_data_of_drbd_9_with_more_peers_is_left_alone() {
    let pair = Pair::new(64 * MIB);
    let made = pair.only_theirs("-f 0 v09 disk internal create-md 3");
    assert_eq!(made.status, Some(0), "{made:?}");
    let mut before = [0; 4096];
    pair.theirs
        .disk()
        .read_exact_at(&mut before, 64 * MIB - 4096)
        .unwrap();
    pair.ours
        .disk()
        .write_all_at(&before, 64 * MIB - 4096)
        .unwrap();
    for line in ["v08 disk internal create-md", "v09 disk internal dump-md"] {
        let ours = pair.only_ours(&format!("-f 0 {line}"));
        assert_eq!(ours.status, Some(20), "{ours:?}");
        assert!(ours.stderr.contains("This is DRBD 9 meta data"), "{ours:?}");
    }
    let mut after = [0; 4096];
    pair.ours
        .disk()
        .read_exact_at(&mut after, 64 * MIB - 4096)
        .unwrap();
    assert_eq!(before, after);
}
