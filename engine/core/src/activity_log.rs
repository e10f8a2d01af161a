//! The activity log in memory: which 4 MiB extents may be written (spec 60 section 6.1).
//!
//! An extent is *hot* while it has a slot. A write *enters* its extents before it goes to disk or
//! peer, and *leaves* them when it is completely done. Entering hot extents is immediate
//! ([`ActivityLog::enter_hot`]). Cold ones ([`ActivityLog::enter`]) are collected into a
//! transaction; [`ActivityLog::begin_transaction`] hands out its content,
//! [`ActivityLog::commit`] says that it is on stable storage. In between nothing may enter the
//! extents being changed.
//!
//! Slots of least recently used extents without references are reused first.

use alloc::vec::Vec;

use drbd_types::units::AL_EXTENT_SECTORS;
use drbd_types::{Sector, SectorCount};

mod lru;

use lru::{Lru, SlotNr};

/// Changes that one transaction can carry.
pub const MAX_CHANGES: usize = 64;
/// Slots whose content every transaction repeats, in turn.
pub const CONTEXT_SLOTS: usize = 919;
/// The smallest and the largest log.
pub const SLOT_RANGE: core::ops::RangeInclusive<u32> = 67..=65_534;

/// The number of a 4 MiB extent of a volume.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AlExtent(pub u32);

impl AlExtent {
    /// The first and the last extent that a range touches. An extent number has 32 bits on disk;
    /// [`crate::size`] keeps volumes below that.
    pub fn spanned(sector: Sector, length: SectorCount) -> (Self, Self) {
        let last = sector.0.saturating_add(length.0.saturating_sub(1));
        let extent = |sector: u64| Self((sector / AL_EXTENT_SECTORS) as u32);
        (extent(sector.0), extent(last))
    }

    /// The first sector of the extent.
    pub const fn first_sector(self) -> Sector {
        Sector(self.0 as u64 * AL_EXTENT_SECTORS)
    }
}

/// What becomes of a write that wants to enter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Enter {
    /// It holds references; it may start when the transaction is committed.
    Prepared,
    /// Not enough slots or changes are left: try again after the next commit or leave.
    Full,
}

/// Whether the number of slots could be changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Resized {
    /// Yes; nothing is hot now.
    Done,
    /// Writes are in progress.
    InUse,
}

/// The content of one transaction on disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AlTransaction {
    /// Slots and the extents that they hold from now on; at most [`MAX_CHANGES`].
    pub updates: Vec<(u16, AlExtent)>,
    /// Slot number of `context[0]`.
    pub context_start: u16,
    /// What the slots from there held *before* the updates; at most [`CONTEXT_SLOTS`].
    pub context: Vec<Option<AlExtent>>,
    /// Slots of the log.
    pub slots: u16,
}

/// A change that is not on disk yet.
#[derive(Clone, Copy, Debug)]
struct Change {
    slot: SlotNr,
    extent: AlExtent,
    before: Option<AlExtent>,
}

/// Whether the pending changes are being written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Collecting,
    Writing,
}

/// Whether hot extents are given to everybody.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Supply {
    Plenty,
    /// A cold write waits for slots: no new references, so that it cannot starve.
    Starving,
}

/// The activity log of one volume.
#[derive(Debug)]
pub struct ActivityLog {
    lru: Lru,
    changes: Vec<Change>,
    evicted: Vec<AlExtent>,
    phase: Phase,
    supply: Supply,
    /// Slot with which the context of the next transaction begins.
    context_start: usize,
}

impl ActivityLog {
    /// A log of so many slots, all free. The number is brought into [`SLOT_RANGE`].
    pub fn new(slots: u32) -> Self {
        let slots = slots.clamp(*SLOT_RANGE.start(), *SLOT_RANGE.end());
        Self {
            lru: Lru::new(slots as usize),
            changes: Vec::with_capacity(MAX_CHANGES),
            evicted: Vec::with_capacity(MAX_CHANGES),
            phase: Phase::Collecting,
            supply: Supply::Plenty,
            context_start: 0,
        }
    }

    /// How many slots there are.
    pub fn slots(&self) -> u32 {
        self.lru.len() as u32
    }

    /// Fast path: takes a reference if the extent is hot and not being changed, and nobody
    /// starves.
    pub fn enter_hot(&mut self, extent: AlExtent) -> bool {
        let Some(slot) = self.lru.find(extent) else {
            return false;
        };
        if self.supply == Supply::Starving || self.is_changing(slot) {
            return false;
        }
        self.lru.reference(slot);
        true
    }

    /// Takes references to all extents from `first` to `last` as a part of the next transaction,
    /// or to none of them. While a transaction is being written everything waits for the next.
    pub fn enter(&mut self, first: AlExtent, last: AlExtent) -> Enter {
        if self.phase == Phase::Writing {
            return Enter::Full;
        }
        let wanted = (last.0.saturating_sub(first.0) as usize).saturating_add(1);
        let room = self
            .lru
            .unreferenced()
            .min(MAX_CHANGES - self.changes.len());
        if wanted > room {
            if self.changes.is_empty() {
                self.supply = Supply::Starving;
            }
            return Enter::Full;
        }
        self.supply = Supply::Plenty;
        // Hot extents first: none of them may be the victim that makes room for a cold one.
        for extent in first.0..=last.0 {
            if let Some(slot) = self.lru.find(AlExtent(extent)) {
                self.lru.reference(slot);
            }
        }
        for extent in (first.0..=last.0).map(AlExtent) {
            if self.lru.find(extent).is_none() {
                self.admit(extent);
            }
        }
        Enter::Prepared
    }

    fn admit(&mut self, extent: AlExtent) {
        let Some(slot) = self.lru.victim() else {
            // `enter` has counted the slots without references.
            return;
        };
        let before = self.lru.replace(slot, extent);
        self.lru.reference(slot);
        self.evicted.extend(before);
        self.changes.push(Change {
            slot,
            extent,
            before,
        });
    }

    /// Drops one reference; extents that are not in the log (any more) are ignored.
    pub fn leave(&mut self, extent: AlExtent) {
        if let Some(slot) = self.lru.find(extent) {
            self.lru.release(slot);
        }
    }

    /// Hands out the pending changes for writing; `None` if there are none.
    pub fn begin_transaction(&mut self) -> Option<AlTransaction> {
        if self.changes.is_empty() || self.phase == Phase::Writing {
            return None;
        }
        self.phase = Phase::Writing;
        let start = self.context_start;
        let end = self.lru.len().min(start + CONTEXT_SLOTS);
        self.context_start = if end == self.lru.len() { 0 } else { end };
        Some(AlTransaction {
            updates: self
                .changes
                .iter()
                .map(|change| (change.slot.number(), change.extent))
                .collect(),
            context_start: start as u16,
            context: (start..end)
                .map(|slot| self.content_on_disk(slot))
                .collect(),
            slots: self.lru.len() as u16,
        })
    }

    fn content_on_disk(&self, slot: usize) -> Option<AlExtent> {
        let pending = self
            .changes
            .iter()
            .find(|change| change.slot.index() == slot);
        pending.map_or_else(|| self.lru.content(slot), |change| change.before)
    }

    /// The extents that lose their slots by the pending changes: the bitmap pages that cover them
    /// have to be on disk before the transaction.
    pub fn evicted(&self) -> &[AlExtent] {
        &self.evicted
    }

    /// Whether a transaction is being written.
    pub fn transaction_running(&self) -> bool {
        self.phase == Phase::Writing
    }

    /// The pending changes are on stable storage (or need not be): their extents are hot.
    pub fn commit(&mut self) {
        self.changes.clear();
        self.evicted.clear();
        self.phase = Phase::Collecting;
    }

    /// Whether a write in progress holds a reference to this extent: then a resync keeps out.
    pub fn is_referenced(&self, extent: AlExtent) -> bool {
        self.lru
            .find(extent)
            .is_some_and(|slot| self.lru.is_referenced(slot))
    }

    /// The extents that are hot now.
    pub fn hot_extents(&self) -> impl Iterator<Item = AlExtent> {
        (0..self.lru.len()).filter_map(|slot| self.lru.content(slot))
    }

    /// Forgets everything, references included: the disk goes away.
    pub fn clear(&mut self) {
        *self = Self::new(self.slots());
    }

    /// Changes the number of slots; possible only while nothing is in progress.
    pub fn resize(&mut self, slots: u32) -> Resized {
        if self.lru.unreferenced() < self.lru.len() || !self.changes.is_empty() {
            return Resized::InUse;
        }
        *self = Self::new(slots);
        Resized::Done
    }

    fn is_changing(&self, slot: SlotNr) -> bool {
        // At most 64 entries, and empty most of the time.
        self.changes.iter().any(|change| change.slot == slot)
    }
}

#[cfg(test)]
mod tests;
