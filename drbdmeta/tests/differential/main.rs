//! Our drbdmeta against the genuine one: the same command lines on the same disks.

mod bed;
mod existing;
mod formats;
mod images;
mod loops;
mod matrix;
mod random;
mod restore;

use bed::Pair;

const MIB: u64 = 1 << 20;
/// What shows meta-data and changes nothing.
const SHOWING: [&str; 5] = [
    "get-gi",
    "show-gi",
    "dstate",
    "dump-md",
    "-vvvvvvvvvv dump-md",
];

#[test]
fn command_lines_that_are_wrong_fail_alike() {
    let pair = Pair::new(MIB);
    for line in [
        "",
        "0 v08",
        "0 v08 disk",
        "0 v08 disk internal",
        "0 v08 disk foo get-gi",
        "0 v05 disk internal get-gi",
        "0 v08 disk 256 get-gi",
        "0 v08 disk 0x1 get-gi",
        "0 v08 disk 1k get-gi",
        "0 v08 disk -1 get-gi",
        "0 v08 disk internal foo",
        "0 v06 x get-gi",
        "0 v06 256 get-gi",
        "0 v06 0 get-gi",
        "0 v08 disk internal get-gi",
        "0 v08 nothing internal get-gi",
        "0 v08 . internal get-gi",
        "0 v08 /dev/null internal get-gi",
        "-f 0 v08 /dev/null internal get-gi",
        "--foo 0 v08 disk internal get-gi",
        "-7 0 v08 disk internal get-gi",
        "--al 0 v08 disk internal get-gi",
        "--force=1 0 v08 disk internal get-gi",
        "0 v08 disk internal get-gi -p",
        "0 v08 disk internal get-gi --peer-max-bio-size",
        "-p 1x 0 v08 disk internal get-gi",
        "-p 2M 0 v08 disk internal create-md",
        "-p 99999999999999999999 0 v08 disk internal create-md",
        "-p 0x10 0 v08 disk internal create-md",
        "-p 1M 0 v08 disk internal get-gi",
        "-s 0 -f 0 v08 disk internal create-md",
        "-s 99999 -f 0 v08 disk internal create-md",
        "-z 1s -f 0 v08 disk internal create-md",
        "-z 33 -f 0 v08 disk internal get-gi",
        "-i 32 0 v08 disk internal get-gi",
        "-i 3 -f 0 v08 disk internal get-gi",
        "-i 3 -f 0 v08 disk internal dump-md",
        "-b foo -f 0 v08 disk internal create-md",
        "--foo=3 0 v08 disk internal get-gi",
        "--al=3 0 v08 disk internal get-gi",
        "-p -1 -f 0 v08 disk internal create-md",
        "-p -4k -f 0 v08 disk internal create-md",
        "-p +4k 0 v08 disk internal create-md",
        "-z 62s -f 0 v08 disk internal create-md",
        "-z -4k -f 0 v08 disk internal create-md",
        "-z 17592186044415g -f 0 v08 disk internal create-md",
        "-z 17592186044416g -f 0 v08 disk internal create-md",
        "-f 0 v08 disk internal restore-md nothing more",
        "-f 0 v08 disk internal verify-dump nothing more",
        "-f 0 v08 disk internal check-resize more",
        "-f 0 v08 disk internal dump-md more",
        "-f 0 v08 disk internal set-gi 1 more",
        "-f 0 v08 disk internal set-gi",
        "-f 0 v08 disk internal write-dev-uuid",
    ] {
        pair.same(line);
    }
}

/// The life of a device: placements of v08 and v07 that fit on a disk of this size.
fn life(size: u64, format: &str, index: &str) {
    let pair = Pair::new(size);
    let run = |rest: &str| pair.same(&format!("-f 0 {format} disk {index} {rest}"));
    for command in [
        "get-gi",
        "show-gi",
        "dump-md",
        "dstate",
        "outdate",
        "invalidate",
        "read-dev-uuid",
        "check-resize",
        "wipe-md",
        "apply-al",
        "set-gi 1",
    ] {
        run(command);
    }
    pair.same(&format!("0 {format} disk {index} create-md"));
    for command in [
        "create-md",
        "get-gi",
        "show-gi",
        "dump-md",
        "dstate",
        "outdate",
        "read-dev-uuid",
        "write-dev-uuid 1234567890ABCDEF",
        "read-dev-uuid",
        "check-resize",
        "apply-al",
        "set-gi ::::1:1:1:1:1:1:1",
        "show-gi",
        "dstate",
        "outdate",
        "dstate",
        "show-gi",
        "invalidate",
        "get-gi",
        "apply-al",
        "dump-md extra",
        "create-md",
        "get-gi",
        "wipe-md",
        "get-gi",
        "create-md -p 128k",
        "dump-md",
        "show-gi",
    ] {
        run(command);
    }
}

#[test]
fn flexible_internal_meta_data_lives_alike() {
    for size in [69_632, MIB, 64 * MIB + 3584, 128 * MIB + 4096] {
        life(size, "v08", "internal");
    }
    life(MIB, "v08", "flex-internal");
}

#[test]
fn external_meta_data_lives_alike() {
    life(MIB, "v08", "flex-external");
    life(MIB, "v08", "0");
    life(200 * MIB, "v08", "1");
}

#[test]
fn meta_data_of_0_7_lives_alike() {
    life(300 * MIB, "v07", "internal");
    life(MIB, "v07", "flex-internal");
    life(MIB, "v07", "flex-external");
    life(MIB, "v07", "0");
}

#[test]
fn devices_that_are_too_small_are_refused_alike() {
    for size in [0, 4096, 65_536, 69_631] {
        let pair = Pair::new(size);
        pair.same("-f 0 v08 disk internal create-md");
        pair.same("-f 0 v08 disk flex-external create-md");
    }
    let pair = Pair::new(64 * MIB);
    pair.same("-f 0 v08 disk 1 create-md");
    pair.same("-f 0 v07 disk internal create-md");
    pair.same("-f 0 v08 disk internal create-md -s 4 -z 64");
    pair.same("-f 0 v08 disk internal dump-md");
    pair.same("-f 0 v08 disk internal create-md");
}

#[test]
fn files_of_0_6_that_are_missing_short_or_no_files_are_reported_alike() {
    let pair = Pair::new(MIB);
    for side in pair.sides() {
        let dir = side.path("lib/drbd");
        std::fs::create_dir(dir.join("drbd1")).unwrap();
        std::fs::write(dir.join("drbd2"), "short").unwrap();
        std::os::unix::fs::symlink("/dev/null", dir.join("drbd3")).unwrap();
    }
    for minor in 0..4 {
        for command in [
            "get-gi",
            "dump-md",
            "wipe-md",
            "dstate",
            "check-resize",
            "invalidate",
            "apply-al",
        ] {
            pair.same(&format!("-f 0 v06 {minor} {command}"));
        }
    }
}

#[test]
fn what_looks_like_a_minor_is_one_or_none_alike() {
    let pair = Pair::new(MIB);
    for device in ["0", "07", "+1", "/dev/drbd2", "/dev/drbd+3", "x", "-"] {
        pair.same(&format!("-f {device} v08 disk internal create-md"));
    }
}

#[test]
fn numbers_and_arguments_that_are_odd_are_taken_alike() {
    let pair = Pair::new(MIB);
    pair.same("-f 0 v08 disk internal create-md -z 63s more");
    pair.same("-f 0 v08 disk internal dump-md");
}

#[test]
fn a_log_that_does_not_fit_is_refused_alike() {
    let pair = Pair::new(80_384);
    pair.same("-f 0 v08 disk internal create-md -s 1 -z 384");
}

#[test]
fn large_devices_are_laid_out_alike() {
    const GIB: u64 = 1024 * MIB;
    for (size, index) in [
        (10 * GIB + 512, "internal"),
        (1024 * GIB, "internal"),
        (4 * 1024 * GIB - 4096, "internal"),
        (1024 * GIB, "flex-external"),
        (2048 * GIB - 512, "flex-external"),
        (2048 * GIB, "flex-external"),
        (4096 * GIB, "flex-external"),
        (33 * GIB, "255"),
    ] {
        let pair = Pair::new(size);
        for command in ["create-md", "dump-md", "show-gi", "apply-al"] {
            pair.same(&format!("-f 0 v08 disk {index} {command}"));
        }
    }
}
