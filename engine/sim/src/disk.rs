//! A disk that outlives its node.
//!
//! A crash of the process (`kill -9`) leaves what was completed; operations in flight are done,
//! not done, or done in part: sectors of data, words of a bitmap page. A superblock fits into one
//! sector and is old or new; a torn activity-log transaction fails its checksum and counts for
//! nothing.
//!
//! A power failure also takes what is only in the disk's write cache: of the writes to a sector
//! since the last flush the first few have reached the medium, as many as chance wants. Meta-data
//! operations are durable when they complete; the driver promises that.

use std::collections::{BTreeMap, BTreeSet};

use drbd_core::activity_log::AlTransaction;
use drbd_core::effect::{DiskIo, MetaIo, SuperblockUpdate};
use drbd_core::input::{DiscardSupport, DiskImage, Durability, Payload};
use drbd_types::units::{AL_EXTENT_SECTORS, BIT_SECTORS};
use drbd_types::{MdFlags, Sector, SectorCount, UuidSet};

use crate::block::Block;
use crate::random::Random;

/// One node's disk.
#[derive(Clone)]
pub struct Disk {
    capacity: SectorCount,
    /// Content by sector, as it can be read; sectors never written are 0.
    data: BTreeMap<u64, u64>,
    /// By sector: what writes replaced that are only in the cache, in their order.
    cached: BTreeMap<u64, Vec<Replaced>>,
    /// Number of the next write.
    next_write: u64,
    superblock: SuperblockUpdate,
    bitmap: Vec<u64>,
    /// Slot to extent, as replaying the log gives it.
    log: BTreeMap<u16, u32>,
}

/// What a cached write took the place of.
#[derive(Clone, Copy, Debug)]
struct Replaced {
    write: u64,
    value: u64,
}

/// All writes that were complete at some moment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Completed(u64);

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
            cached: BTreeMap::new(),
            next_write: 0,
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
            bitmap: self.bitmap[..words].iter().copied().collect(),
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

    /// Carries out an operation on the data area; a flush is [`Disk::flush`].
    pub fn data_io(&mut self, io: &DiskIo<Block>, fate: Fate, random: &mut Random) {
        let (first, values, durability) = match io {
            DiskIo::Write {
                sector,
                data,
                durability,
            } => (sector.0, data.sectors().to_vec(), *durability),
            DiskIo::WriteZeroes { sector, size } | DiskIo::Discard { sector, size } => {
                let zeroes = vec![0; (size / 512) as usize];
                (sector.0, zeroes, Durability::Cached)
            }
            DiskIo::Read { .. } | DiskIo::Flush => return,
        };
        let write = self.next_write;
        self.next_write += 1;
        for (sector, value) in (first..).zip(values) {
            if fate == Fate::Torn && !random.chance(500) {
                continue;
            }
            let replaced = self.data.insert(sector, value).unwrap_or(0);
            if fate == Fate::Done && durability == Durability::Fua {
                self.cached.remove(&sector);
            } else {
                let value = replaced;
                let older = self.cached.entry(sector).or_default();
                older.push(Replaced { write, value });
            }
        }
    }

    /// The writes that a flush which starts now makes durable.
    pub const fn completed(&self) -> Completed {
        Completed(self.next_write)
    }

    /// A flush has ended: what was complete when it started is on the medium.
    pub fn flush(&mut self, started: Completed) {
        self.cached.retain(|_, older| {
            older.retain(|replaced| replaced.write >= started.0);
            !older.is_empty()
        });
    }

    /// The power is off: the cache is lost, but for what had reached the medium anyway.
    pub fn lose_cache(&mut self, random: &mut Random) {
        for (sector, older) in std::mem::take(&mut self.cached) {
            let survived = random.below(older.len() as u64 + 1) as usize;
            if let Some(replaced) = older.get(survived) {
                self.data.insert(sector, replaced.value);
            }
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
                    let first = (chunk.first_bit().0 / 64) as usize;
                    for (offset, &word) in chunk.words().iter().enumerate() {
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
