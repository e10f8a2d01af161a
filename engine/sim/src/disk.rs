//! A disk that outlives its node.
//!
//! A crash of the process (`kill -9`) leaves what was completed; operations in flight are done,
//! not done, or done in part: sectors of data, words of a bitmap page. A superblock fits into one
//! sector and is old or new; a torn activity-log transaction fails its checksum and counts for
//! nothing.

use std::collections::{BTreeMap, BTreeSet};

use drbd_core::activity_log::AlTransaction;
use drbd_core::effect::{DiskIo, MetaIo, SuperblockUpdate};
use drbd_core::input::{DiscardSupport, DiskImage, Payload};
use drbd_types::units::{AL_EXTENT_SECTORS, BIT_SECTORS};
use drbd_types::{MdFlags, Sector, SectorCount, UuidSet};

use crate::random::Random;
use crate::world::Block;

/// One node's disk.
#[derive(Clone)]
pub struct Disk {
    capacity: SectorCount,
    /// Content by sector; sectors never written are 0.
    data: BTreeMap<u64, u64>,
    superblock: SuperblockUpdate,
    bitmap: Vec<u64>,
    /// Slot to extent, as replaying the log gives it.
    log: BTreeMap<u16, u32>,
}

/// Whether an operation that was in flight at a crash is complete.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// All of it is on disk.
    Done,
    /// Some of it may be.
    Torn,
}

/// What is wrong with a disk.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Faults {
    /// Sectors that cannot be read.
    pub unreadable: BTreeSet<u64>,
    /// Sectors that cannot be written.
    pub unwritable: BTreeSet<u64>,
    /// The meta-data area.
    pub meta_data: MetaDataArea,
}

/// Whether meta-data can be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum MetaDataArea {
    /// It can.
    #[default]
    Good,
    /// Every write fails.
    Unwritable,
}

impl Faults {
    /// Whether an operation touches a bad sector.
    pub fn hit(&self, io: &DiskIo<Block>) -> bool {
        let bad = |sectors: &BTreeSet<u64>, sector: Sector, size: u32| {
            let end = sector.0 + u64::from(size) / 512;
            sectors.range(sector.0..end).next().is_some()
        };
        match io {
            DiskIo::Read { sector, size } => bad(&self.unreadable, *sector, *size),
            DiskIo::Write { sector, data, .. } => bad(&self.unwritable, *sector, data.size()),
            DiskIo::Discard { sector, size } | DiskIo::WriteZeroes { sector, size } => {
                bad(&self.unwritable, *sector, *size)
            }
            DiskIo::Flush => false,
        }
    }
}

impl Disk {
    /// A disk as create-md leaves it.
    pub fn new(capacity: SectorCount) -> Self {
        Self {
            capacity,
            data: BTreeMap::new(),
            superblock: SuperblockUpdate {
                uuids: UuidSet::JUST_CREATED,
                flags: MdFlags::empty(),
                last_agreed: SectorCount(0),
                al_extents: 67,
                peer_max_bio: 0,
            },
            bitmap: vec![u64::MAX; capacity.bits().div_ceil(64) as usize],
            log: BTreeMap::new(),
        }
    }

    /// What attach finds after apply-al.
    pub fn image(&mut self) -> DiskImage {
        self.apply_activity_log();
        let words = self.superblock.last_agreed.bits().div_ceil(64) as usize;
        DiskImage {
            capacity: self.capacity,
            last_agreed: self.superblock.last_agreed,
            uuids: self.superblock.uuids,
            flags: self.superblock.flags,
            bitmap: self.bitmap[..words].to_vec(),
            bitmap_capacity: self.capacity,
            al_slots_max: 65534,
            max_io: 1 << 20,
            peer_max_bio: self.superblock.peer_max_bio,
            discard: DiscardSupport::None,
            name: "sim".into(),
        }
    }

    /// Marks what the activity log says may have been written to.
    fn apply_activity_log(&mut self) {
        if self.superblock.flags.contains(MdFlags::PRIMARY_IND)
            || self.superblock.flags.contains(MdFlags::CRASHED_PRIMARY)
        {
            let extents: BTreeSet<u32> = self.log.values().copied().collect();
            let bits_per_extent = AL_EXTENT_SECTORS / BIT_SECTORS;
            for extent in extents {
                for bit in
                    u64::from(extent) * bits_per_extent..(u64::from(extent) + 1) * bits_per_extent
                {
                    if bit < self.capacity.bits() {
                        self.bitmap[(bit / 64) as usize] |= 1 << (bit % 64);
                    }
                }
            }
        }
        self.log.clear();
    }

    /// Content of a range.
    pub fn read(&self, sector: Sector, size: u32) -> Block {
        let range = sector.0..sector.0 + u64::from(size) / 512;
        Block::new(
            range
                .map(|s| self.data.get(&s).copied().unwrap_or(0))
                .collect(),
        )
    }

    /// Carries out an operation on the data area.
    pub fn data_io(&mut self, io: &DiskIo<Block>, fate: Fate, random: &mut Random) {
        let mut put = |sector: u64, value: u64| {
            if fate == Fate::Done || random.chance(500) {
                self.data.insert(sector, value);
            }
        };
        match io {
            DiskIo::Write { sector, data, .. } => {
                for (offset, &value) in data.sectors().iter().enumerate() {
                    put(sector.0 + offset as u64, value);
                }
            }
            DiskIo::WriteZeroes { sector, size } | DiskIo::Discard { sector, size } => {
                for offset in 0..u64::from(*size) / 512 {
                    put(sector.0 + offset, 0);
                }
            }
            DiskIo::Read { .. } | DiskIo::Flush => {}
        }
    }

    /// Carries out an operation on the meta-data area.
    pub fn meta_io(&mut self, io: &MetaIo, fate: Fate, random: &mut Random) {
        match io {
            MetaIo::Superblock(update) => {
                if fate == Fate::Done || random.chance(500) {
                    self.superblock = *update;
                }
            }
            MetaIo::ActivityLog(transaction) => {
                if fate == Fate::Done || random.chance(500) {
                    self.replay(transaction);
                }
            }
            MetaIo::InitialiseActivityLog => {
                if fate == Fate::Done || random.chance(500) {
                    self.log.clear();
                }
            }
            MetaIo::Bitmap(chunks) => {
                for chunk in chunks {
                    let first = (chunk.first_bit.0 / 64) as usize;
                    for (offset, &word) in chunk.words.iter().enumerate() {
                        if fate == Fate::Done || random.chance(500) {
                            self.bitmap[first + offset] = word;
                        }
                    }
                }
            }
        }
    }

    fn replay(&mut self, transaction: &AlTransaction) {
        for (offset, content) in transaction.context.iter().enumerate() {
            let slot = transaction.context_start + offset as u16;
            match content {
                Some(extent) => self.log.insert(slot, extent.0),
                None => self.log.remove(&slot),
            };
        }
        for &(slot, extent) in &transaction.updates {
            self.log.insert(slot, extent.0);
        }
    }

    /// Every sector that was ever written, on this disk.
    pub fn written(&self) -> impl Iterator<Item = (u64, u64)> {
        self.data.iter().map(|(&sector, &value)| (sector, value))
    }

    /// The generations in the superblock, as `drbdmeta set-gi` changes them.
    pub const fn uuids_mut(&mut self) -> &mut UuidSet {
        &mut self.superblock.uuids
    }

    /// The flags in the superblock, as `drbdmeta set-gi` changes them.
    pub const fn flags_mut(&mut self) -> &mut MdFlags {
        &mut self.superblock.flags
    }

    /// Moves the disk to a smaller device.
    pub const fn shrink(&mut self, capacity: SectorCount) {
        self.capacity = capacity;
    }

    /// Content of one sector.
    pub fn sector(&self, sector: u64) -> u64 {
        self.data.get(&sector).copied().unwrap_or(0)
    }
}
