//! Generation UUIDs: how they rotate, and what comparing two sets says (spec 60 section 2).
//!
//! * [`Rotate`]: what each event does to a [`UuidSet`]; the caller writes the result to disk.
//!   Operations that change the current UUID force its bit 0 to the own role and return the new
//!   value, which becomes the exposed UUID of the volume.
//! * [`compare()`] is the decision table of the handshake.

mod compare;

use drbd_types::uuid::{JUST_CREATED, NEW_BM_OFFSET};
use drbd_types::{Role, Uuid, UuidSet};

pub use compare::{Comparison, Context, Correction, PeerReport, Relation, compare};

/// The events that rotate a UUID set.
pub trait Rotate {
    /// Sets the current UUID without rotating anything; returns the value to expose.
    fn set_current(&mut self, value: Uuid, role: Role) -> Uuid;

    /// Replaces the bitmap UUID and moves an old one into the history: `rotate_set(B, value)`.
    fn rotate_bitmap(&mut self, value: Uuid);

    /// Begins a new data generation: the bitmap counts from the old one on.
    ///
    /// Returns the bitmap UUID that got lost if there was one, for the log line
    /// `bm UUID was already set: %llX`.
    fn new_current(&mut self, random: Uuid, role: Role) -> Option<Uuid>;

    /// Resync starts, source side: makes the sync UUID, which goes to the peer.
    fn start_sync_source(&mut self, random: Uuid) -> Uuid;

    /// Resync starts, target side: takes over the sync UUID of the source; the history stays.
    /// Returns the value to expose.
    fn start_sync_target(&mut self, sync: Uuid, role: Role) -> Uuid;

    /// Resync finished without failed blocks, source side. The caller then remembers the own set
    /// as the peer's.
    fn finish_sync_source(&mut self);

    /// Resync finished without failed blocks, target side: becomes what the source is. The caller
    /// then remembers the own set as the peer's. Returns the value to expose.
    fn finish_sync_target(&mut self, known_peer: &UuidSet, role: Role) -> Uuid;
}

impl Rotate for UuidSet {
    fn set_current(&mut self, value: Uuid, role: Role) -> Uuid {
        self.current = value.with_role(role);
        self.current
    }

    fn rotate_bitmap(&mut self, value: Uuid) {
        if !self.bitmap.is_empty() {
            self.history = [self.bitmap, self.history[0]];
        }
        self.bitmap = value;
    }

    fn new_current(&mut self, random: Uuid, role: Role) -> Option<Uuid> {
        let lost = (!self.bitmap.is_empty()).then_some(self.bitmap);
        self.bitmap = self.current;
        self.set_current(random, role);
        lost
    }

    fn start_sync_source(&mut self, random: Uuid) -> Uuid {
        let sync = if self.bitmap.is_empty() || self.bitmap == JUST_CREATED {
            random
        } else {
            Uuid(self.bitmap.0.wrapping_add(NEW_BM_OFFSET))
        };
        self.rotate_bitmap(sync);
        sync
    }

    fn start_sync_target(&mut self, sync: Uuid, role: Role) -> Uuid {
        self.bitmap = Uuid::EMPTY;
        self.set_current(sync, role)
    }

    fn finish_sync_source(&mut self) {
        self.rotate_bitmap(Uuid::EMPTY);
    }

    fn finish_sync_target(&mut self, known_peer: &UuidSet, role: Role) -> Uuid {
        let sync = self.current;
        self.bitmap = known_peer.bitmap;
        self.history = known_peer.history;
        self.rotate_bitmap(sync);
        self.set_current(known_peer.current, role);
        self.rotate_bitmap(Uuid::EMPTY);
        self.current
    }
}

#[cfg(test)]
mod tests;
