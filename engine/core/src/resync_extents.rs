//! Resync extents: 16 MiB of a volume that a resync works on, kept apart from application writes
//! (spec 60 section 6.3).
//!
//! Whoever reads or writes a block for a resync holds its extent. From the moment somebody wants
//! an extent no new write may enter it; it is held once the writes that were in progress, seen as
//! references in the activity log, are done. Application writes therefore wait for the extent
//! being worked on, never for the whole resync.
//!
//! The kernel caches counts of set bits in the same entries; [`crate::bitmap`] counts them when
//! asked, so only extents that are in work are remembered here.

use alloc::vec::Vec;

use drbd_types::units::{AL_EXTENT_SECTORS, BIT_SECTORS, RESYNC_EXTENT_SECTORS};
use drbd_types::{BitNr, Sector, SectorCount};

use crate::activity_log::AlExtent;

/// Extents that can be in work at a time.
const SLOTS: usize = 61;
/// Requests of the own resync leave a few slots to those of the peer.
const MAX_LOCKED_TO_TRY: usize = SLOTS - 3;
/// Requests of the peer leave half of the slots to the own resync.
const MAX_LOCKED_TO_WAIT: usize = SLOTS / 2;
/// Activity-log extents in a resync extent.
const AL_EXTENTS: u32 = (RESYNC_EXTENT_SECTORS / AL_EXTENT_SECTORS) as u32;

/// The number of a 16 MiB extent of a volume.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ResyncExtent(pub u32);

impl ResyncExtent {
    /// The extent of a bit. Volumes have fewer than 2^32 activity-log extents, see
    /// [`crate::size`].
    pub const fn of(bit: BitNr) -> Self {
        Self((bit.0 / (RESYNC_EXTENT_SECTORS / BIT_SECTORS)) as u32)
    }

    /// The extent around an activity-log extent.
    pub const fn around(extent: AlExtent) -> Self {
        Self(extent.0 / AL_EXTENTS)
    }

    /// Where it lies on the volume.
    pub const fn range(self) -> (Sector, SectorCount) {
        let first = Sector(self.0 as u64 * RESYNC_EXTENT_SECTORS);
        (first, SectorCount(RESYNC_EXTENT_SECTORS))
    }

    fn al_extents(self) -> impl Iterator<Item = AlExtent> {
        let first = self.0.saturating_mul(AL_EXTENTS);
        (first..first.saturating_add(AL_EXTENTS)).map(AlExtent)
    }
}

/// Whether an extent is held now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum TryLock {
    /// Yes: to be given back with [`ResyncExtents::unlock`].
    Locked,
    /// Not yet.
    Busy,
}

bitflags::bitflags! {
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    struct Flags: u8 {
        /// Nobody uses it for writing any more: resync I/O may run.
        const LOCKED = 1;
        /// An application write waits for it.
        const PRIORITY = 1 << 1;
        /// A request of the peer waits for it.
        const AWAITED = 1 << 2;
        /// The own resync waits for it ("half locked").
        const HALF_LOCKED = 1 << 3;
    }
}

/// An extent in work; that it is here at all keeps new writes out (NO_WRITES).
#[derive(Clone, Copy, Debug)]
struct Entry {
    extent: ResyncExtent,
    flags: Flags,
    /// Resync requests that hold it.
    holders: u32,
}

/// The extents of one volume that are in work.
#[derive(Clone, Debug, Default)]
pub struct ResyncExtents {
    entries: Vec<Entry>,
}

impl ResyncExtents {
    /// For the own resync or verify, which goes on elsewhere or tries again later. An extent that
    /// is still written to keeps new writes out until the next try, so that it becomes free.
    pub fn try_lock(
        &mut self,
        extent: ResyncExtent,
        is_written: impl Fn(AlExtent) -> bool,
    ) -> TryLock {
        self.forget_half_locked_except(Some(extent));
        self.attempt(extent, Flags::HALF_LOCKED, MAX_LOCKED_TO_TRY, is_written)
    }

    /// The same while the resync gives way to the application: only what was half locked before
    /// is tried, and given up if it is still written to.
    pub fn try_lock_throttled(
        &mut self,
        extent: ResyncExtent,
        is_written: impl Fn(AlExtent) -> bool,
    ) -> TryLock {
        let half_locked = self
            .find(extent)
            .is_some_and(|entry| entry.flags.contains(Flags::HALF_LOCKED));
        if !half_locked {
            return TryLock::Busy;
        }
        let result = self.try_lock(extent, is_written);
        if result == TryLock::Busy {
            self.forget_half_locked_except(None);
        }
        result
    }

    /// For a request of the peer, which is tried again when a write or a resync request ended.
    pub fn lock(&mut self, extent: ResyncExtent, is_written: impl Fn(AlExtent) -> bool) -> TryLock {
        self.attempt(extent, Flags::AWAITED, MAX_LOCKED_TO_WAIT, is_written)
    }

    fn attempt(
        &mut self,
        extent: ResyncExtent,
        claim: Flags,
        max_locked: usize,
        is_written: impl Fn(AlExtent) -> bool,
    ) -> TryLock {
        let locked = self
            .entries
            .iter()
            .filter(|entry| entry.flags.contains(Flags::LOCKED))
            .count();
        let full = self.entries.len() >= SLOTS;
        let index = self.entries.iter().position(|entry| entry.extent == extent);
        let held = index.is_some_and(|index| self.entries[index].flags.contains(Flags::LOCKED));
        if !held && locked > max_locked || index.is_none() && full {
            return TryLock::Busy;
        }
        let index = index.unwrap_or_else(|| {
            let flags = Flags::empty();
            self.entries.push(Entry {
                extent,
                flags,
                holders: 0,
            });
            self.entries.len() - 1
        });
        let entry = &mut self.entries[index];
        if !held && extent.al_extents().any(is_written) {
            entry.flags |= claim;
            return TryLock::Busy;
        }
        entry.flags -= claim;
        entry.flags |= Flags::LOCKED;
        entry.holders += 1;
        TryLock::Locked
    }

    /// Gives an extent back. When nobody else holds it or waits for it, writes may enter again.
    pub fn unlock(&mut self, extent: ResyncExtent) {
        let Some(entry) = self.find_mut(extent) else {
            return;
        };
        entry.holders = entry.holders.saturating_sub(1);
        if entry.holders == 0 {
            entry.flags -= Flags::LOCKED | Flags::PRIORITY;
        }
        self.drop_unclaimed();
    }

    /// A request of the peer stops waiting: it gives way to application writes, or is cancelled.
    pub fn step_aside(&mut self, extent: ResyncExtent) {
        if let Some(entry) = self.find_mut(extent) {
            entry.flags -= Flags::AWAITED | Flags::PRIORITY;
        }
        self.drop_unclaimed();
    }

    /// Whether application writes have to keep out of this extent.
    pub fn blocks_writes(&self, extent: AlExtent) -> bool {
        self.find(ResyncExtent::around(extent)).is_some()
    }

    /// An application write waits for these extents.
    pub fn want_writes(&mut self, first: AlExtent, last: AlExtent) {
        let range = ResyncExtent::around(first)..=ResyncExtent::around(last);
        for entry in &mut self.entries {
            if range.contains(&entry.extent) {
                entry.flags |= Flags::PRIORITY;
            }
        }
    }

    /// Whether an application write waits for this extent.
    pub fn has_priority(&self, extent: ResyncExtent) -> bool {
        self.find(extent)
            .is_some_and(|entry| entry.flags.contains(Flags::PRIORITY))
    }

    /// Whether no request holds any extent: a resync may end.
    pub fn is_idle(&self) -> bool {
        self.entries.iter().all(|entry| entry.holders == 0)
    }

    fn forget_half_locked_except(&mut self, kept: Option<ResyncExtent>) {
        for entry in &mut self.entries {
            if Some(entry.extent) != kept {
                entry.flags -= Flags::HALF_LOCKED;
            }
        }
        self.drop_unclaimed();
    }

    fn drop_unclaimed(&mut self) {
        let claims = Flags::LOCKED | Flags::AWAITED | Flags::HALF_LOCKED;
        self.entries.retain(|entry| entry.flags.intersects(claims));
    }

    fn find(&self, extent: ResyncExtent) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.extent == extent)
    }

    fn find_mut(&mut self, extent: ResyncExtent) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.extent == extent)
    }
}

#[cfg(test)]
mod tests;
