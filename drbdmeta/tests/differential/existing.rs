//! create-md on devices that already hold something.

use crate::MIB;
use crate::bed::Pair;

fn probe(pieces: &[(u64, &[u8])]) {
    for (index, size) in [("internal", 64 * MIB), ("flex-external", 8 * MIB)] {
        for options in ["-f", "-f --ignore-sanity-checks", "-f --dry-run"] {
            let pair = Pair::new(size);
            for (at, bytes) in pieces {
                pair.patch(*at, bytes);
            }
            pair.same(&format!("{options} 0 v08 disk {index} create-md"));
        }
    }
}

#[test]
fn unknown_data_is_asked_about_alike() {
    probe(&[(100, b"data")]);
    probe(&[(69_631, b"x")]);
    probe(&[(69_632, b"x")]);
}

#[test]
fn swap_space_is_refused_alike() {
    probe(&[(4086, b"SWAPSPACE2")]);
    probe(&[(8182, b"SWAP-SPACE")]);
}

#[test]
fn physical_volumes_are_refused_alike() {
    probe(&[(0x218, b"LVM2 001")]);
}

#[test]
fn file_systems_are_measured_alike() {
    let ext = |blocks: u32, log: u32, features: u8| {
        let mut sb = [0u8; 0x60];
        sb[4..8].copy_from_slice(&blocks.to_le_bytes());
        sb[0x18..0x1c].copy_from_slice(&log.to_le_bytes());
        sb[0x38..0x3a].copy_from_slice(&[0x53, 0xef]);
        sb[0x5c] = features;
        probe(&[(0x400, &sb)]);
    };
    for (blocks, log, features) in [
        (16_384, 2, 4),
        (16_384, 2, 0),
        (10_000, 2, 4),
        (65_496, 0, 4),
        (65_497, 0, 4),
        (0, 0, 4),
        (u32::MAX, 7, 0),
    ] {
        ext(blocks, log, features);
    }
    probe(&[(0, b"XFSB\0\0\x10\0\0\0\0\0\0\0\x10\0")]);
    probe(&[(0, b"XFSB\0\0\x10\0\0\0\0\0\x7f\0\x10\0")]);
    probe(&[(0x8000, b"JFS1\0\0\0\0\x03"), (0x8018, &[0, 2])]);
    probe(&[(0x10034, b"ReIsErFs"), (0x10000, &[5]), (0x1002c, &[0, 16])]);
    probe(&[(0x10034, b"ReIsEr2Fs")]);
}

#[test]
fn real_file_systems_are_measured_alike() {
    for size in [64 * MIB, 60 * MIB] {
        let pair = Pair::new(64 * MIB);
        for side in pair.sides() {
            let made = std::process::Command::new("mkfs.ext4")
                .args(["-q", "-U", "00000000-0000-0000-0000-000000000001", "-E"])
                .arg("hash_seed=00000000-0000-0000-0000-000000000001")
                .arg(side.path("work/disk"))
                .arg(format!("{}k", size / 1024))
                .status();
            assert!(made.is_ok_and(|s| s.success()), "mkfs.ext4 is needed");
        }
        // The two file systems differ in time stamps: only the words are compared.
        let line = "-f 0 v08 disk internal create-md";
        let [ours, theirs] = pair.outcomes(line);
        assert_eq!(ours, theirs);
    }
}

#[test]
fn a_second_slot_on_the_same_device_is_asked_about_alike() {
    let pair = Pair::new(260 * MIB);
    pair.same("-f 0 v08 disk 0 create-md");
    pair.same("0 v08 disk 1 create-md");
    pair.same("-f 0 v08 disk 1 create-md");
    pair.same("-f 0 v08 disk 0 get-gi");
    pair.same("-f 0 v08 disk 0 create-md");
    pair.same("-f 0 v08 disk flex-external get-gi");
}

#[test]
fn meta_data_of_0_7_at_the_other_internal_place_is_replaced_alike() {
    let pair = Pair::new(300 * MIB);
    for index in ["flex-internal", "internal", "flex-internal"] {
        pair.same(&format!("-f 0 v07 disk {index} create-md"));
    }
}

#[test]
fn changed_stripes_are_asked_about_alike() {
    let pair = Pair::new(64 * MIB);
    pair.same("-f 0 v08 disk internal create-md -s 2");
    pair.same("-f 0 v08 disk internal create-md -s 2 -z 32");
    pair.same("-f 0 v08 disk internal create-md");
    pair.same("-f 0 v08 disk internal dump-md");
    let pair = Pair::new(8 * MIB);
    pair.same("-f 0 v08 disk flex-external create-md -s 2");
    pair.same("-f 0 v08 disk flex-external create-md");
    pair.same("-f 0 v08 disk flex-external dump-md");
}

#[test]
fn bitmap_modes_behave_alike() {
    let pair = Pair::new(64 * MIB);
    for mode in ["automatic", "zeroout", "pwrite", "skip"] {
        pair.patch(67_067_904, &[0xff; 4096]);
        pair.same(&format!("-f 0 v08 disk internal create-md -b {mode}"));
    }
}

#[test]
fn an_attached_minor_is_left_alone_alike() {
    use std::os::unix::fs::PermissionsExt;
    let pair = Pair::new(MIB);
    pair.same("-f 0 v08 disk internal create-md");
    for (state, status) in [
        ("UpToDate/UpToDate", 0),
        ("Diskless/UpToDate", 0),
        ("Unconfigured", 0),
        ("Inconsistent", 0),
        ("Negotiating/DUnknown", 0),
        ("nonsense", 0),
        ("", 0),
        ("UpToDate", 20),
        ("UpToDate", 10),
        ("UpToDate", 1),
    ] {
        for side in pair.sides() {
            let path = side.path("bin/drbdsetup");
            let script =
                format!("#!/bin/sh\n[ \"$*\" = \"0 dstate\" ] && echo '{state}'\nexit {status}\n");
            std::fs::write(&path, script).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        }
        for command in [
            "create-md",
            "apply-al",
            "get-gi",
            "dump-md",
            "outdate",
            "check-resize",
        ] {
            pair.same(&format!("-f 0 v08 disk internal {command}"));
        }
        pair.same("-f - v08 disk internal get-gi");
        pair.same("-f /dev/drbd0 v08 disk internal get-gi");
    }
}

#[test]
fn a_person_at_the_terminal_is_asked_alike() {
    for typed in ["yes\nyes\nyes\n", "no\nyes\nno\n", "y\n\n\n"] {
        // Without --force only block devices are accepted.
        let pair = Pair::on_loops(64 * MIB, &[]);
        pair.same("0 v08 DEV internal create-md");
        for command in [
            "create-md",
            "create-md -s 2",
            "set-gi 1:2:3:4",
            "wipe-md",
            "restore-md dump",
        ] {
            pair.same_typed(&format!("0 v08 DEV internal {command}"), typed);
        }
        pair.patch(0, b"data");
        pair.same_typed("0 v08 DEV internal create-md", typed);
    }
}

#[test]
fn a_locked_minor_is_reported_alike() {
    use rustix::fs::{FlockOperation, fcntl_lock};
    let pair = Pair::new(MIB);
    let held: Vec<_> = pair
        .sides()
        .iter()
        .map(|side| {
            let lock = std::fs::File::create(side.path("lock/drbd-147-0")).unwrap();
            fcntl_lock(&lock, FlockOperation::LockExclusive).unwrap();
            lock
        })
        .collect();
    let outcome = pair.same("-f 0 v08 disk internal create-md");
    assert!(
        outcome.stderr.contains("currently held by pid:"),
        "{outcome:?}"
    );
    pair.same("-f - v08 disk internal create-md");
    pair.same("-f 1 v08 disk internal get-gi");
    drop(held);
    pair.same("-f 0 v08 disk internal get-gi");
}
