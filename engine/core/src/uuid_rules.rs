//! Generation UUIDs: how they rotate, and what comparing two sets says (spec 60 section 2).
//!
//! * The operations here rotate a [`UuidSet`]; the caller writes the result to disk. Those that
//!   change the current UUID force its bit 0 to the own role and return the new value, which
//!   becomes the exposed UUID of the volume.
//! * [`compare()`] is the decision table of the handshake.

mod compare;

use drbd_types::uuid::{JUST_CREATED, NEW_BM_OFFSET};
use drbd_types::{Role, Uuid, UuidSet};

pub use compare::{Comparison, Context, Correction, PeerReport, Relation, compare};

/// Sets the current UUID without rotating anything; returns the value to expose.
pub fn set_current(set: &mut UuidSet, value: Uuid, role: Role) -> Uuid {
    set.current = value.with_role(role);
    set.current
}

/// Replaces the bitmap UUID and moves an old one into the history: `rotate_set(B, value)`.
pub fn rotate_bitmap(set: &mut UuidSet, value: Uuid) {
    if !set.bitmap.is_empty() {
        set.history = [set.bitmap, set.history[0]];
    }
    set.bitmap = value;
}

/// Ends the generation of the bitmap: `set_bm(0)`.
pub fn clear_bitmap(set: &mut UuidSet) {
    rotate_bitmap(set, Uuid::EMPTY);
}

/// Begins a new data generation: the bitmap counts from the old one on.
///
/// Returns the bitmap UUID that got lost if there was one, for the log line
/// `bm UUID was already set: %llX`.
pub fn new_current(set: &mut UuidSet, random: Uuid, role: Role) -> Option<Uuid> {
    let lost = (!set.bitmap.is_empty()).then_some(set.bitmap);
    set.bitmap = set.current;
    set_current(set, random, role);
    lost
}

/// Resync starts, source side: makes the sync UUID, which goes to the peer.
pub fn start_sync_source(set: &mut UuidSet, random: Uuid) -> Uuid {
    let sync = if set.bitmap.is_empty() || set.bitmap == JUST_CREATED {
        random
    } else {
        Uuid(set.bitmap.0.wrapping_add(NEW_BM_OFFSET))
    };
    rotate_bitmap(set, sync);
    sync
}

/// Resync starts, target side: takes over the sync UUID of the source. The history stays.
/// Returns the value to expose.
pub fn start_sync_target(set: &mut UuidSet, sync: Uuid, role: Role) -> Uuid {
    set_current(set, sync, role);
    set.bitmap = Uuid::EMPTY;
    set.current
}

/// Resync finished without failed blocks, target side: becomes what the source is. The caller
/// then remembers the own set as the peer's. Returns the value to expose.
pub fn finish_sync_target(set: &mut UuidSet, known_peer: &UuidSet, role: Role) -> Uuid {
    let sync = set.current;
    set.bitmap = known_peer.bitmap;
    set.history = known_peer.history;
    rotate_bitmap(set, sync);
    set_current(set, known_peer.current, role);
    clear_bitmap(set);
    set.current
}

/// Resync finished without failed blocks, source side. The caller then remembers the own set as
/// the peer's.
pub fn finish_sync_source(set: &mut UuidSet) {
    clear_bitmap(set);
}

#[cfg(test)]
mod tests;
