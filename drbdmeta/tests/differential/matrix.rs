//! The matrix: formats, placements, sizes and contents, each cell with some of the commands, so
//! that every pair of a command and a row or column of the matrix occurs.

use drbd_types::MdFlags;
use drbdmeta::layout::{Placement, Striping};
use drbdmeta::superblock::MagicKind;

use crate::MIB;
use crate::formats::v07_disk;
use crate::images::{Attached, old_sector};

const GIB: u64 = 1024 * MIB;
const TIB: u64 = 1024 * GIB;

/// Commands of a cell. The dumps of both sides differ in the flags line, so that what is restored
/// comes from one text.
const COMMANDS: &[&[&str]] = &[
    &[
        "get-gi", "apply-al", "get-gi", "dump-md", "wipe-md", "dstate",
    ],
    &[
        "show-gi",
        "outdate",
        "show-gi",
        "restore-md dump",
        "dump-md",
        "get-gi",
    ],
    &[
        "dump-md",
        "invalidate",
        "set-gi 1:2:3:4:1:0:1",
        "dump-md",
        "apply-al",
        "show-gi",
    ],
    &[
        "dstate",
        "set-gi ::5",
        "write-dev-uuid 0123456789ABCDEF",
        "check-resize",
        "dump-md",
    ],
    &[
        "-vvvvvvvvvv dump-md",
        "create-md -b skip",
        "dump-md",
        "apply-al",
        "verify-dump dump",
    ],
];

#[derive(Clone, Copy)]
enum Content {
    /// As after the first attach.
    Attached,
    /// A node that went down in order, with differing blocks.
    Dirty,
    /// A Primary that crashed, with a log of 8.4.
    Crashed,
    /// The same with a log of 8.3.
    CrashedOld,
}

const CONTENTS: [Content; 4] = [
    Content::Attached,
    Content::Dirty,
    Content::Crashed,
    Content::CrashedOld,
];

const DUMP: &str = "version \"v08\"; uuid { 0x987375B2AFC96EB1; 0x3879BFDA9EAE551F; \
    0x0000000000000001; 0x0000000000000002; flags 0x00000093; } la-size-sect 40; \
    bm-byte-per-bit 4096; device-uuid 0x00000000000000AB; la-peer-max-bio-size 4096; \
    al-stripes 1; al-stripe-size-4k 8; bm { 0x000000000000001F; }";

fn fill(disk: &mut Attached, content: Content) {
    disk.pair.file("dump", DUMP);
    let mut flags = MdFlags::from_bits_retain(0x15);
    let mut magic = MagicKind::InUse;
    match content {
        Content::Attached => {}
        Content::Dirty => disk.put_bitmap(0, &[0x81, 0, 0xff, 0xff, 1]),
        Content::Crashed => {
            disk.put_bitmap(0, &[1]);
            disk.log(&[(66, 3), (65, 0)]);
            disk.log(&[(66, 1)]);
            flags = MdFlags::from_bits_retain(0x13);
        }
        Content::CrashedOld => {
            let log = disk.areas.activity_log.0 * 512;
            let length = disk.areas.activity_log_len.0 * 512;
            disk.pair.patch(log, &vec![0; length as usize]);
            disk.pair.patch(log, &old_sector(7, &[(3, 1), (4, 2)]));
            (flags, magic) = (MdFlags::from_bits_retain(0x13), MagicKind::Clean);
        }
    }
    disk.sb.flags = flags;
    disk.put_superblock(magic);
}

fn v08(cells: &[(u64, Placement, Striping)]) {
    for (row, &(size, placement, striping)) in cells.iter().enumerate() {
        for (column, &content) in CONTENTS.iter().enumerate() {
            let mut disk = Attached::new(size, placement, striping);
            fill(&mut disk, content);
            for command in COMMANDS[(row + column) % COMMANDS.len()] {
                // Ours writes a new log as well (known differences): compared without it.
                if command.starts_with("restore-md") && !matches!(content, Content::Attached) {
                    continue;
                }
                if command.starts_with("restore-md") {
                    for tr in 0..striping.blocks() {
                        let block = drbdmeta::activity_log::initialized_block();
                        disk.put_block(tr, &block);
                    }
                }
                disk.same(command);
            }
        }
    }
}

const WIDE: (u32, u32) = (4, 16);

fn wide() -> Striping {
    Striping::new(WIDE.0, WIDE.1).unwrap()
}

#[test]
fn the_matrix_of_flexible_internal_v08() {
    v08(&[
        (69_632, Placement::FlexInternal, Striping::DEFAULT),
        (MIB, Placement::FlexInternal, Striping::DEFAULT),
        (MIB + 3584, Placement::FlexInternal, wide()),
        (128 * MIB, Placement::FlexInternal, Striping::DEFAULT),
        (128 * MIB + 4096, Placement::FlexInternal, Striping::DEFAULT),
        (300 * MIB, Placement::FlexInternal, wide()),
        (TIB + 512, Placement::FlexInternal, Striping::DEFAULT),
        // The largest file of ext4.
        (16 * TIB - 4096, Placement::FlexInternal, Striping::DEFAULT),
    ]);
}

#[test]
fn the_matrix_of_external_v08() {
    v08(&[
        (MIB, Placement::FlexExternal, Striping::DEFAULT),
        (8 * MIB + 512, Placement::FlexExternal, wide()),
        (513 * MIB, Placement::FlexExternal, Striping::DEFAULT),
        (2 * TIB - 512, Placement::FlexExternal, Striping::DEFAULT),
        (128 * MIB, Placement::Indexed(0), Striping::DEFAULT),
        (385 * MIB, Placement::Indexed(2), Striping::DEFAULT),
        (33 * GIB, Placement::Indexed(255), Striping::DEFAULT),
    ]);
}

#[test]
fn the_matrix_of_v07() {
    let cells = [
        (129 * MIB, "internal"),
        (300 * MIB, "internal"),
        (TIB, "internal"),
        (69_632, "flex-internal"),
        (64 * MIB, "flex-internal"),
        (16 * TIB - 4096, "flex-internal"),
        (MIB, "flex-external"),
        (513 * MIB, "flex-external"),
        (130 * MIB, "0"),
    ];
    let dump =
        "version \"v07\"; gc { 5; 1; 2; 3; -4; } la-size-sect 40; bm { 0x000000000000001F; }";
    for (row, (size, index)) in cells.into_iter().enumerate() {
        for (column, flags) in [0x1, 0x5, 0x3, 0x8].into_iter().enumerate() {
            let la_kb = if size < MIB { 20 } else { 500 };
            let pair = v07_disk(size, index, flags, la_kb, &[1, 0, 0x0f]);
            pair.file("dump", dump);
            for command in COMMANDS[(row + column) % COMMANDS.len()] {
                // Before that, ours demands a full sync and replaces the log.
                if command.starts_with("restore-md") {
                    continue;
                }
                pair.same(&format!("-f 0 v07 disk {index} {command}"));
            }
        }
    }
}
