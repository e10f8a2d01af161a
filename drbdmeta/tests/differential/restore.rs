//! Dumps: restored, verified, broken; and devices that were resized off line.

use drbdmeta::layout::{Placement, Striping};
use drbdmeta::superblock::MagicKind;

use crate::MIB;
use crate::bed::{Pair, read};
use crate::images::Attached;

const DUMP: &str = "version \"v08\";\nuuid {\n 0x987375B2AFC96EB1; 0x3879BFDA9EAE551F; \
    0x0000000000000001; 0x0000000000000002;\n flags 0x00000093;\n}\nla-size-sect 100000;\n\
    bm-byte-per-bit 4096;\ndevice-uuid 0x00000000000000AB;\nla-peer-max-bio-size 4096;\n\
    al-stripes 1;\nal-stripe-size-4k 8;\nbm {\n 100 times 0x0000000000000000; \
    0xFFFFFFFFFFFFFFFF; 0x0123456789ABCDEF; 90 times 0x00000000FFFFFFFF;\n}\n";

#[test]
fn a_dump_is_restored_alike_at_every_placement() {
    for (size, index) in [
        (64 * MIB, "internal"),
        (8 * MIB, "flex-external"),
        (130 * MIB, "0"),
    ] {
        let pair = Pair::new(size);
        pair.file("dump", DUMP);
        pair.same(&format!("-f 0 v08 disk {index} create-md"));
        for line in [
            "restore-md dump",
            "dump-md",
            "restore-md dump",
            "get-gi",
            "wipe-md",
        ] {
            pair.same(&format!("-f 0 v08 disk {index} {line}"));
        }
        // Ours writes the whole new log, so that nothing stale is ever replayed from it.
        for line in [
            "restore-md dump -s 2 -z 64",
            "dump-md",
            "restore-md dump -s 1",
            "get-gi",
        ] {
            let [ours, theirs] = pair.outcomes(&format!("-f 0 v08 disk {index} {line}"));
            assert_eq!(ours, theirs);
        }
        let pair = Pair::new(size);
        pair.file("dump", DUMP);
        pair.same(&format!("-f 0 v08 disk {index} create-md"));
        pair.same(&format!("0 v08 disk {index} restore-md dump"));
        pair.same_with(&format!("-f 0 v08 disk {index} verify-dump"), Some("dump"));
        pair.same_with(&format!("-f 0 v08 disk {index} restore-md"), Some("dump"));
        pair.same(&format!("-f 0 v08 disk {index} verify-dump dump"));
    }
}

#[test]
fn a_dump_of_0_7_is_restored_alike() {
    let dump = "version \"v07\";\ngc {\n 3; 1; 2; 3; -4;\n}\nla-size-sect 2000;\n\
        bm { 0x00000000000000FF; }\n";
    for (size, index) in [
        (300 * MIB, "internal"),
        (64 * MIB, "flex-internal"),
        (8 * MIB, "flex-external"),
    ] {
        let pair = Pair::new(size);
        pair.file("dump", dump);
        for line in [
            "create-md",
            "restore-md dump",
            "dump-md",
            "get-gi",
            "verify-dump dump",
        ] {
            pair.same(&format!("-f 0 v07 disk {index} {line}"));
        }
    }
}

#[test]
fn broken_dumps_are_refused_alike() {
    let pair = Pair::new(64 * MIB);
    pair.same("-f 0 v08 disk internal create-md");
    for (from, to) in [
        ("v08", "v07"),
        ("\"v08\"", "v08"),
        ("\"v08\";", "\"x\" 5"),
        ("\"v08\"", "\"a very long string, too long\""),
        ("version", "uuid"),
        ("version", "foo"),
        ("uuid {", "uuid ["),
        ("uuid {", "uuid ]"),
        ("uuid {", "uuid *"),
        ("0x987375B2AFC96EB1", "0x987375B2AFC96EB"),
        ("0x987375B2AFC96EB1", "0x98737500"),
        ("flags 0x00000093", "flags 93"),
        ("flags 0x00000093", "flags 0x0000000000000093"),
        ("100000;", "-5x;"),
        ("100000;", "12345678901234567890;"),
        ("100000;", "123456789012345678901;"),
        ("100000;", "100000"),
        ("la-size-sect", "hash"),
        ("bit 4096", "bit 0"),
        ("bit 4096", "bit 2048"),
        ("bit 4096", "bit 12288"),
        ("bit 4096", "bit -1"),
        ("al-stripes", "al-stripe-size-4k"),
        ("device-uuid", "uuid"),
        ("bm {", "bm { times"),
        ("100 times", "100 flags"),
        ("100 times", "times 100"),
        ("times 0x0000000000000000", "times 7"),
        ("}\n", "}\n}"),
        ("bm {", "# bm {"),
    ] {
        pair.file("dump", &DUMP.replacen(from, to, 1));
        pair.same("-f 0 v08 disk internal verify-dump dump");
        let ours = pair.only_ours("-f 0 v08 disk internal restore-md dump");
        assert_eq!(ours.status, Some(10), "{from} -> {to}: {ours:?}");
        // Nothing of a broken dump reaches the disk.
        pair.same_images("restore-md of a broken dump");
    }
    pair.same("-f 0 v08 disk internal verify-dump nowhere");
    pair.same("-f 0 v08 disk internal restore-md nowhere");
    pair.file("dump", "");
    pair.same("-f 0 v08 disk internal verify-dump dump");
}

#[test]
fn zeros_behind_the_end_of_the_volume_are_cut_alike() {
    let pair = Pair::new(MIB);
    pair.file(
        "dump",
        "version \"v07\"; gc { 1; 1; 2; 3; 4; } la-size-sect 1000; \
         bm { 512 times 0xFFFFFFFFFFFFFFFF; 2 times 0x0000000000000000; }",
    );
    pair.same("-f 0 v07 disk flex-internal restore-md dump");
}

#[test]
fn a_dump_that_does_not_fit_is_refused_before_the_first_write() {
    let pair = Pair::new(64 * MIB);
    pair.same("-f 0 v08 disk internal create-md");
    for (from, to) in [
        ("la-size-sect 100000", "la-size-sect 900000"),
        ("100 times", "1000 times"),
        ("la-size-sect 100000", "la-size-sect 0"),
    ] {
        pair.file("dump", &DUMP.replacen(from, to, 1));
        let ours = pair.only_ours("-f 0 v08 disk internal restore-md dump");
        assert_eq!(ours.status, Some(10), "{ours:?}");
        pair.same_images("restore-md of a dump that does not fit");
    }
}

#[test]
fn dumps_of_every_era_are_accepted() {
    let pair = Pair::new(64 * MIB);
    pair.only_ours("-f 0 v08 disk internal create-md");
    let without = |text: &str, key: &str| -> String {
        text.lines()
            .filter(|line| !line.starts_with(key))
            .map(|line| format!("{line}\n"))
            .collect()
    };
    let of_8_4_0 = without(DUMP, "al-stripe");
    let of_8_3_0 = without(&of_8_4_0, "la-peer-max-bio-size");
    for dump in [of_8_4_0, of_8_3_0] {
        pair.file("dump", &dump);
        let ours = pair.only_ours("-f 0 v08 disk internal restore-md dump");
        assert_eq!(ours.status, Some(0), "{ours:?}");
    }
}

#[test]
fn dump_restore_dump_is_the_identity() {
    for (placement, striping) in [
        (Placement::FlexInternal, Striping::DEFAULT),
        (Placement::FlexInternal, Striping::new(4, 16).unwrap()),
        (Placement::FlexExternal, Striping::DEFAULT),
    ] {
        let mut disk = Attached::new(32 * MIB, placement, striping);
        disk.put_bitmap(0, &[0x5a; 300]);
        disk.sb.flags |= drbd_types::MdFlags::AL_CLEAN;
        disk.put_superblock(MagicKind::Clean);
        let dump = |name: &str| {
            let line = format!("-f 0 v08 disk {} dump-md", disk.index);
            let text = disk.pair.only_ours(&line).stdout;
            let kept: String = text
                .lines()
                .filter(|l| !l.starts_with("# 20") && !l.starts_with("# al-extents"))
                .map(|l| format!("{l}\n"))
                .collect();
            disk.pair.file(name, &text);
            kept
        };
        let first = dump("dump");
        assert!(first.contains("flags 0x00000097;"), "{first}");
        let line = format!("-f 0 v08 disk {} ", disk.index);
        assert_eq!(
            disk.pair.only_ours(&(line.clone() + "wipe-md")).status,
            Some(0)
        );
        let restored = disk.pair.only_ours(&(line + "restore-md dump"));
        assert_eq!(restored.status, Some(0), "{restored:?}");
        assert_eq!(dump("again"), first);
    }
}

#[test]
fn a_device_that_grew_within_its_bitmap_page_is_moved_alike() {
    for command in [
        "check-resize",
        "apply-al",
        "dump-md",
        "get-gi",
        "create-md",
        "wipe-md",
        "dstate",
    ] {
        let mut disk = Attached::new(32 * MIB, Placement::FlexInternal, Striping::DEFAULT);
        disk.put_bitmap(0, &[0x5a; 300]);
        disk.log(&[(66, 3)]);
        disk.put_superblock(MagicKind::InUse);
        disk.same("write-dev-uuid 1234");
        let known = read(&disk.pair.ours.path("lib/drbd/drbd-minor-0.lkbd"));
        assert_eq!(known, "33554432\tdisk\nuuid:\t0000000000001234\n");
        disk.pair.resize(64 * MIB);
        disk.same(command);
        disk.same("check-resize");
        disk.same("dump-md");
    }
}

#[test]
fn a_device_that_grew_beyond_its_bitmap_keeps_every_bit() {
    // The genuine tool moves the old bitmap to the tail of the new one (spec 40 section 14).
    let disk = Attached::new(64 * MIB, Placement::FlexInternal, Striping::DEFAULT);
    disk.put_bitmap(0, &[0x5a; 300]);
    let ours = |command: &str| {
        disk.pair
            .only_ours(&format!("-f 0 v08 disk internal {command}"))
    };
    assert_eq!(ours("write-dev-uuid 1").status, Some(0));
    let bits = |text: &str| -> String {
        text.lines()
            .skip_while(|l| *l != "bm {")
            .collect::<Vec<_>>()
            .join("\n")
    };
    let before = bits(&ours("dump-md").stdout);
    disk.pair.resize(200 * MIB);
    let moved = ours("check-resize");
    assert_eq!(moved.status, Some(0), "{moved:?}");
    assert_eq!(bits(&ours("dump-md").stdout), before);
}

#[test]
fn files_about_the_last_known_place_are_treated_alike() {
    for content in [
        "",
        "garbage",
        "67108864",
        "67108864\t/dev/other\n",
        "67108864\t/dev/other\nuuid:\t0000000000000099\n",
        "33554432\tdisk\n",
        "1000000000\tdisk\n",
        "100\tdisk\n",
    ] {
        let disk = Attached::new(64 * MIB, Placement::FlexInternal, Striping::DEFAULT);
        for side in disk.pair.sides() {
            std::fs::write(side.path("lib/drbd/drbd-minor-0.lkbd"), content).unwrap();
        }
        disk.same("--dry-run check-resize");
        disk.same("-v check-resize");
        disk.pair.resize(64 * MIB + 8192);
        disk.same("-v get-gi");
        disk.same("dump-md");
        disk.same("check-resize");
    }
    let pair = Pair::new(8 * MIB);
    for format in ["v07", "v08"] {
        for index in ["flex-internal", "flex-external"] {
            let write = |content| {
                for side in pair.sides() {
                    std::fs::write(side.path("lib/drbd/drbd-minor-0.lkbd"), content).unwrap();
                }
            };
            let run = |rest| pair.same(&format!("-f 0 {format} disk {index} {rest}"));
            write("5\tx\n");
            run("check-resize");
            run("create-md");
            run("-v check-resize");
            write("garbage");
            run("-v check-resize");
            write("5\tx\n");
            run("-v check-resize");
        }
    }
}
