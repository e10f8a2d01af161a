//! Meta-data as drivers leave it behind: dirty bitmaps, hot activity logs of both kinds, damaged
//! and hostile blocks.

use drbd_types::{ByteCount, MdFlags, SectorCount, Uuid};
use drbdmeta::activity_log::{FREE, SlotUpdate, Transaction, fresh_ring, initialized_block};
use drbdmeta::layout::{Areas, Layout, Placement, Striping};
use drbdmeta::superblock::{MagicKind, Superblock};

use crate::bed::Pair;
use crate::{MIB, SHOWING};

/// A disk that a driver attached: la_size agreed, ring initialised.
pub struct Attached {
    pub pair: Pair,
    pub sb: Superblock,
    pub areas: Areas,
    pub index: String,
    striping: Striping,
    context: Vec<u32>,
    next: u32,
}

impl Attached {
    pub fn new(size: u64, placement: Placement, striping: Striping) -> Self {
        let pair = Pair::new(size);
        let layout = Layout::compute(ByteCount(size), placement, striping).unwrap();
        let areas = layout.areas().unwrap();
        let mut sb = Superblock::fresh(&layout, striping);
        let small = areas.capacity.0.min(16 * 1024 * 1024 / 512 * 8);
        sb.effective_size = SectorCount(small);
        sb.uuids.current = Uuid(0x3879_BFDA_9EAE_551E);
        sb.uuids.bitmap = Uuid(0x1111_2222_3333_4444);
        sb.al_nr_extents = 67;
        sb.flags = MdFlags::from_bits_retain(0x17);
        sb.la_peer_max_bio_size = 1 << 20;
        let index = match placement {
            Placement::FlexInternal | Placement::FixedInternal => "internal".to_owned(),
            Placement::FlexExternal => "flex-external".to_owned(),
            Placement::Indexed(n) => n.to_string(),
        };
        let this = Self {
            pair,
            sb,
            areas,
            index,
            striping,
            context: vec![FREE; 67],
            next: striping.blocks(),
        };
        for (tr, block) in fresh_ring(0, striping.blocks(), 67, |_| FREE) {
            this.put_block(tr, &block);
        }
        this.put_superblock(MagicKind::InUse);
        this
    }

    pub fn put_superblock(&self, magic: MagicKind) {
        let block = self.sb.encode(magic);
        self.pair.patch(self.areas.superblock.0 * 512, &block);
    }

    pub fn put_block(&self, tr: u32, block: &[u8]) {
        let at = u64::from(self.striping.block_of(tr)) * 4096;
        self.pair.patch(self.areas.activity_log.0 * 512 + at, block);
    }

    pub fn log(&mut self, updates: &[(u16, u32)]) {
        let updates: Vec<_> = updates
            .iter()
            .map(|&(slot, extent)| SlotUpdate { slot, extent })
            .collect();
        let block = Transaction {
            tr_number: self.next,
            updates: &updates,
            slots: 67,
            context_start: 0,
            context: &self.context,
        }
        .encode();
        self.put_block(self.next, &block);
        for update in updates {
            self.context[usize::from(update.slot)] = update.extent;
        }
        self.next += 1;
    }

    pub fn put_bitmap(&self, at: u64, bytes: &[u8]) {
        self.pair.patch(self.areas.bitmap.0 * 512 + at, bytes);
    }

    pub fn same(&self, command: &str) -> crate::bed::Outcome {
        self.pair
            .same(&format!("-f 0 v08 disk {} {command}", self.index))
    }

    /// Everything that looks, then the replay, then everything that looks.
    fn look_and_replay(&self) {
        for command in [
            "get-gi",
            "show-gi",
            "dstate",
            "dump-md",
            "-vvvvvvvvvv dump-md",
        ] {
            self.same(command);
        }
        self.pair
            .same(&format!("0 v08 disk {} dump-md", self.index));
        for command in [
            "apply-al",
            "get-gi",
            "show-gi",
            "dump-md",
            "apply-al",
            "check-resize",
        ] {
            self.same(command);
        }
    }
}

fn shapes() -> Vec<(u64, Placement, Striping)> {
    let wide = Striping::new(4, 16).unwrap();
    vec![
        (32 * MIB, Placement::FlexInternal, Striping::DEFAULT),
        (32 * MIB, Placement::FlexInternal, wide),
        (8 * MIB, Placement::FlexExternal, Striping::DEFAULT),
        (8 * MIB, Placement::FlexExternal, wide),
        (130 * MIB, Placement::Indexed(0), Striping::DEFAULT),
    ]
}

#[test]
fn a_crashed_primary_is_replayed_alike() {
    for (size, placement, striping) in shapes() {
        let mut disk = Attached::new(size, placement, striping);
        disk.put_bitmap(0, &[1, 0, 0, 0, 0xff, 0xff]);
        disk.log(&[(66, 3)]);
        disk.log(&[(65, 5), (64, 1)]);
        disk.log(&[(63, 8), (62, 9)]);
        disk.look_and_replay();
    }
}

#[test]
fn a_secondary_is_not_replayed_but_cleaned_alike() {
    for flags in [0x15, 0x91, 0x111] {
        let mut disk = Attached::new(32 * MIB, Placement::FlexInternal, Striping::DEFAULT);
        disk.log(&[(66, 3)]);
        disk.sb.flags = MdFlags::from_bits_retain(flags);
        disk.put_superblock(MagicKind::InUse);
        disk.look_and_replay();
        disk.put_superblock(MagicKind::Clean);
        disk.look_and_replay();
    }
}

#[test]
fn extents_at_and_beyond_the_end_are_treated_alike() {
    let mut disk = Attached::new(32 * MIB, Placement::FlexInternal, Striping::DEFAULT);
    disk.log(&[(66, 15), (65, 31), (64, 32), (63, 70_000)]);
    disk.look_and_replay();
}

#[test]
fn damaged_rings_are_judged_alike() {
    for primary in [0x17, 0x15] {
        // Which blocks are spoilt, of an update ring and of an initialized one.
        for spoilt in [
            &[0][..],
            &[3],
            &[0, 1],
            &[0, 1, 2, 3, 4, 5, 6],
            &[0, 1, 2, 3, 4, 5, 6, 7],
        ] {
            for initialized in [false, true] {
                let mut disk = Attached::new(32 * MIB, Placement::FlexInternal, Striping::DEFAULT);
                disk.log(&[(66, 3)]);
                disk.log(&[(65, 7)]);
                disk.sb.flags = MdFlags::from_bits_retain(primary);
                disk.put_superblock(MagicKind::InUse);
                if initialized {
                    for tr in 0..8 {
                        disk.put_block(tr, &initialized_block());
                    }
                }
                for &tr in spoilt {
                    disk.put_block(tr, &[0x55; 100]);
                }
                for command in ["-vvvvvvvvvv dump-md", "apply-al", "show-gi"] {
                    disk.same(command);
                }
            }
        }
    }
}

#[test]
fn writing_commands_keep_what_a_driver_left_alike() {
    for magic in [MagicKind::InUse, MagicKind::Clean] {
        let mut disk = Attached::new(32 * MIB, Placement::FlexInternal, Striping::DEFAULT);
        disk.sb.flags |= MdFlags::AL_DISABLED | MdFlags::from_bits_retain(0x4000);
        disk.put_superblock(magic);
        for command in [
            "outdate",
            "set-gi 0x12:34::56",
            "set-gi ::::1:1:0::1:1",
            "set-gi :::::2",
            "set-gi 12x",
            "set-gi 11112222333344445",
            "set-gi a:b:c:d:1:1:1:1:1:1:1:5:5:5",
            "set-gi z:b",
            "set-gi 0:0:0:0:0x1:01:+1",
            "set-gi 0:0:0:0:08",
            "set-gi 0:0:0:0:-1:1",
            "set-gi 0:0:0:0:4294967296",
            "write-dev-uuid zz",
            "write-dev-uuid 11112222333344445555",
            "write-dev-uuid 0xAB",
            "outdate",
            "invalidate",
            "dstate",
            "apply-al",
            "wipe-md",
        ] {
            disk.same(command);
        }
    }
}

#[test]
fn a_size_beyond_the_device_is_clipped_alike() {
    let mut disk = Attached::new(32 * MIB, Placement::FlexInternal, Striping::DEFAULT);
    disk.sb.effective_size = SectorCount(1 << 30);
    disk.put_superblock(MagicKind::InUse);
    disk.look_and_replay();
    disk.same("invalidate");
}

#[test]
fn contradicting_superblocks_are_refused_alike() {
    let spoil: [fn(&mut Superblock); 7] = [
        |sb| sb.al_offset += 8,
        |sb| sb.bm_offset += 8,
        |sb| sb.md_size_sect += 8,
        |sb| sb.al_stripes = 0,
        |sb| sb.al_stripe_size_4k = 0,
        |sb| sb.al_stripes = 2,
        |sb| sb.bm_offset = i32::MIN,
    ];
    for (size, placement, striping) in shapes() {
        for spoil in spoil {
            let mut disk = Attached::new(size, placement, striping);
            spoil(&mut disk.sb);
            disk.put_superblock(MagicKind::InUse);
            for command in ["-v get-gi", "dump-md", "apply-al"] {
                disk.same(command);
            }
        }
    }
}

/// A 512-byte sector of the log of 0.7 to 8.3.
pub fn old_sector(tr: u32, entries: &[(u32, u32)]) -> [u8; 512] {
    let mut sector = [0xff; 512];
    sector[..4].copy_from_slice(&0x8374_0267u32.to_be_bytes());
    sector[4..8].copy_from_slice(&tr.to_be_bytes());
    for (i, (slot, extent)) in entries.iter().enumerate() {
        sector[8 + i * 8..12 + i * 8].copy_from_slice(&slot.to_be_bytes());
        sector[12 + i * 8..16 + i * 8].copy_from_slice(&extent.to_be_bytes());
    }
    let sum = (0..62).fold(0, |sum, i| {
        let at = 12 + i * 8;
        sum ^ u32::from_be_bytes(sector[at..at + 4].try_into().unwrap())
    });
    sector[504..508].copy_from_slice(&sum.to_be_bytes());
    sector[508..].fill(0);
    sector
}

#[test]
fn logs_of_8_3_are_replayed_alike() {
    for flags in [0x13, 0x11] {
        for sectors in [0, 1, 3] {
            let mut disk = Attached::new(32 * MIB, Placement::FlexInternal, Striping::DEFAULT);
            disk.sb.flags = MdFlags::from_bits_retain(flags);
            (disk.sb.al_stripes, disk.sb.al_stripe_size_4k) = (0, 0);
            disk.sb.al_nr_extents = 127;
            disk.put_superblock(MagicKind::Clean);
            let log = disk.areas.activity_log.0 * 512;
            disk.pair.patch(log, &[0; 32768]);
            for s in 0..sectors {
                let sector = old_sector(s, &[(124, 9 + s), (122, FREE), (124, FREE), (125, 5)]);
                disk.pair.patch(log + u64::from(s) * 512, &sector);
            }
            disk.look_and_replay();
        }
    }
}

/// Meta-data written by the genuine kernel driver, see testdata/drbdmeta/capture.
fn kernel_image(name: &str) -> Vec<u8> {
    let path = format!("{}/../testdata/drbdmeta/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

#[test]
fn what_the_kernel_driver_wrote_is_read_and_replayed_alike() {
    for (name, index, marked) in [
        ("crashed-primary-internal-64M.md", "internal", "20 MB"),
        ("clean-down-internal-64M.md", "internal", ""),
        (
            "crashed-primary-external-striped-64M.md",
            "flex-external",
            "20 MB",
        ),
    ] {
        let pair = Pair::new(64 * MIB);
        let image = kernel_image(name);
        let at = match index {
            "internal" => 64 * MIB - image.len() as u64,
            _ => 0,
        };
        pair.patch(at, &image);
        let same = |command: &str| pair.same(&format!("-f 0 v08 disk {index} {command}"));
        for command in SHOWING {
            same(command);
        }
        let replayed = same("apply-al");
        assert_eq!(
            replayed
                .stderr
                .contains(&format!("Marked additional {marked} ")),
            !marked.is_empty(),
            "{replayed:?}"
        );
        for command in [
            "apply-al",
            "dump-md",
            "outdate",
            "invalidate",
            "create-md",
            "dump-md",
        ] {
            same(command);
        }
    }
}
