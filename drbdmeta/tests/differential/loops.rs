//! Real block devices: direct I/O, exclusive opening, fast zeroing.

use std::path::Path;

use drbdmeta::device::{Caching, Claim, MetaDevice};

use crate::MIB;
use crate::bed::Pair;

fn life(pair: &Pair, index: &str) {
    pair.same(&format!("0 v08 DEV {index} get-gi"));
    pair.same(&format!("0 v08 DEV {index} create-md"));
    pair.same(&format!("0 v08 DEV {index} create-md"));
    for command in [
        "create-md",
        "dump-md",
        "apply-al",
        "set-gi ::::1:1:1",
        "-v get-gi",
        "-vv get-gi",
        "write-dev-uuid 1234",
        "check-resize",
        "outdate",
        "invalidate",
        "create-md -b pwrite",
        "create-md -b zeroout",
        "create-md -p 4k -s 2 -z 64 --ignore-sanity-checks",
        "wipe-md",
        "create-md -s 2 -z 64",
        "-v dump-md",
        "show-gi",
    ] {
        pair.same(&format!("-f 0 v08 DEV {index} {command}"));
    }
}

#[test]
fn meta_data_lives_alike_on_block_devices() {
    for options in [&[][..], &["--sector-size", "4096"]] {
        for (size, index) in [
            (64 * MIB, "internal"),
            (8 * MIB, "flex-external"),
            (130 * MIB, "0"),
        ] {
            life(&Pair::on_loops(size, options), index);
        }
    }
}

#[test]
fn a_held_device_is_refused_alike() {
    let pair = Pair::on_loops(8 * MIB, &[]);
    pair.same("-f 0 v08 DEV internal create-md");
    let held: Vec<_> = pair
        .sides()
        .iter()
        .map(|side| {
            let device = Path::new(side.device().unwrap());
            // Without our lock: as the kernel driver, or a mounted file system, holds it.
            MetaDevice::open(device, Claim::Inspect, Caching::Cached).unwrap()
        })
        .collect();
    for command in ["get-gi", "create-md", "apply-al", "dump-md", "outdate"] {
        pair.same(&format!("0 v08 DEV internal {command}"));
        pair.same(&format!("-f 0 v08 DEV internal {command}"));
        pair.same(&format!("0 v08 DEV 0 {command}"));
    }
    drop(held);
    pair.same("0 v08 DEV internal get-gi");
}

#[test]
fn a_device_that_the_engine_holds_is_not_written_even_by_force() {
    let pair = Pair::on_loops(8 * MIB, &[]);
    pair.same("-f 0 v08 DEV internal create-md");
    let device = Path::new(pair.ours.device().unwrap());
    let engine = MetaDevice::open(device, Claim::Attach, Caching::Cached).unwrap();
    for command in ["create-md", "apply-al", "outdate", "wipe-md"] {
        let ours = pair.only_ours(&format!("-f 0 v08 DEV internal {command}"));
        assert_eq!(ours.status, Some(20), "{ours:?}");
        assert!(
            ours.stderr.ends_with("Device '0' is configured!\n"),
            "{ours:?}"
        );
    }
    assert_eq!(
        pair.only_ours("-f 0 v08 DEV internal get-gi").status,
        Some(0)
    );
    drop(engine);
    pair.same_images("attempts while the engine held the device");
    pair.same("-f 0 v08 DEV internal create-md");
}

#[test]
fn a_file_that_the_engine_holds_is_not_written() {
    let pair = Pair::new(8 * MIB);
    pair.same("-f 0 v08 disk internal create-md");
    let path = pair.ours.path("work/disk");
    let engine = MetaDevice::open(&path, Claim::Attach, Caching::Cached).unwrap();
    let ours = pair.only_ours("-f 0 v08 disk internal create-md");
    assert_eq!(ours.status, Some(20), "{ours:?}");
    assert_eq!(ours.stderr, "Device '0' is configured!\n");
    drop(engine);
    pair.same_images("an attempt while the engine held the file");
}
