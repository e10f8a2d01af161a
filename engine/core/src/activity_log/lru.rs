//! Slots in order of their last use, with a hash index; nothing is allocated after creation.
//!
//! Unreferenced slots form a doubly linked list, least recently used first. Referenced ones are
//! in no list. Every occupied slot is chained into the bucket of its extent.

use alloc::vec::Vec;

use super::AlExtent;

/// A slot that exists. Logs have at most 65534 slots.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SlotNr(u16);

impl SlotNr {
    pub(super) const fn number(self) -> u16 {
        self.0
    }

    pub(super) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// End of a chain.
const NIL: u16 = u16::MAX;

#[derive(Clone, Copy, Debug)]
struct Slot {
    extent: Option<AlExtent>,
    references: u32,
    /// Neighbours in the list of unreferenced slots.
    older: u16,
    younger: u16,
    /// Next slot in the same bucket.
    chain: u16,
}

#[derive(Debug)]
pub(super) struct Lru {
    slots: Vec<Slot>,
    buckets: Vec<u16>,
    oldest: u16,
    youngest: u16,
    unreferenced: usize,
}

impl Lru {
    pub(super) fn new(len: usize) -> Self {
        debug_assert!(len < usize::from(NIL));
        let empty = Slot {
            extent: None,
            references: 0,
            older: NIL,
            younger: NIL,
            chain: NIL,
        };
        let mut lru = Self {
            slots: alloc::vec![empty; len],
            buckets: alloc::vec![NIL; len.next_power_of_two()],
            oldest: NIL,
            youngest: NIL,
            unreferenced: 0,
        };
        for slot in 0..len as u16 {
            lru.push_youngest(slot);
        }
        lru
    }

    pub(super) const fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) const fn unreferenced(&self) -> usize {
        self.unreferenced
    }

    pub(super) fn content(&self, slot: usize) -> Option<AlExtent> {
        self.slots.get(slot)?.extent
    }

    pub(super) fn is_referenced(&self, slot: SlotNr) -> bool {
        self.slots[slot.index()].references > 0
    }

    pub(super) fn find(&self, extent: AlExtent) -> Option<SlotNr> {
        let mut at = self.buckets[self.bucket(extent)];
        while at != NIL {
            let slot = &self.slots[usize::from(at)];
            if slot.extent == Some(extent) {
                return Some(SlotNr(at));
            }
            at = slot.chain;
        }
        None
    }

    pub(super) fn reference(&mut self, slot: SlotNr) {
        if self.slots[slot.index()].references == 0 {
            self.unlink(slot.0);
        }
        self.slots[slot.index()].references += 1;
    }

    pub(super) fn release(&mut self, slot: SlotNr) {
        let entry = &mut self.slots[slot.index()];
        match entry.references {
            0 => {}
            1 => {
                entry.references = 0;
                self.push_youngest(slot.0);
            }
            _ => entry.references -= 1,
        }
    }

    /// The slot to reuse first: free ones were never used, so they are the oldest.
    pub(super) const fn victim(&self) -> Option<SlotNr> {
        if self.oldest == NIL {
            None
        } else {
            Some(SlotNr(self.oldest))
        }
    }

    /// Gives an unreferenced slot to another extent; returns the one that it held.
    pub(super) fn replace(&mut self, slot: SlotNr, extent: AlExtent) -> Option<AlExtent> {
        let before = self.slots[slot.index()].extent;
        if let Some(before) = before {
            self.unchain(slot.0, before);
        }
        let bucket = self.bucket(extent);
        let entry = &mut self.slots[slot.index()];
        entry.extent = Some(extent);
        entry.chain = self.buckets[bucket];
        self.buckets[bucket] = slot.0;
        before
    }

    /// Multiplicative hashing; the number of buckets is a power of two.
    fn bucket(&self, extent: AlExtent) -> usize {
        let mixed = u64::from(extent.0).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        mixed as usize & (self.buckets.len() - 1)
    }

    fn unchain(&mut self, slot: u16, extent: AlExtent) {
        let bucket = self.bucket(extent);
        let next = self.slots[usize::from(slot)].chain;
        if self.buckets[bucket] == slot {
            self.buckets[bucket] = next;
            return;
        }
        let mut at = self.buckets[bucket];
        while at != NIL {
            let entry = &mut self.slots[usize::from(at)];
            if entry.chain == slot {
                entry.chain = next;
                return;
            }
            at = entry.chain;
        }
    }

    fn push_youngest(&mut self, slot: u16) {
        let older = self.youngest;
        let entry = &mut self.slots[usize::from(slot)];
        entry.older = older;
        entry.younger = NIL;
        match older {
            NIL => self.oldest = slot,
            _ => self.slots[usize::from(older)].younger = slot,
        }
        self.youngest = slot;
        self.unreferenced += 1;
    }

    fn unlink(&mut self, slot: u16) {
        let Slot { older, younger, .. } = self.slots[usize::from(slot)];
        match older {
            NIL => self.oldest = younger,
            _ => self.slots[usize::from(older)].younger = younger,
        }
        match younger {
            NIL => self.youngest = older,
            _ => self.slots[usize::from(younger)].older = older,
        }
        self.unreferenced -= 1;
    }
}
