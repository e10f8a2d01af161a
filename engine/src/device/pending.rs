//! Requests in flight: a slab whose slots are reused, so that the steady state allocates nothing.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::RequestId;

/// What a front end must keep of a request until it is completed.
#[derive(Debug)]
pub struct Pending<T> {
    slots: Mutex<Slots<T>>,
}

#[derive(Debug)]
struct Slots<T> {
    entries: Vec<Entry<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Entry<T> {
    /// Counts the uses of the slot, so that a late or repeated completion finds nothing.
    generation: u32,
    value: Option<T>,
}

impl<T> Default for Pending<T> {
    fn default() -> Self {
        Self {
            slots: Mutex::new(Slots {
                entries: Vec::new(),
                free: Vec::new(),
            }),
        }
    }
}

impl<T> Pending<T> {
    /// Keeps a value and names it.
    pub fn insert(&self, value: T) -> RequestId {
        let mut slots = self.lock();
        let index = match slots.free.pop() {
            Some(index) => index,
            None => {
                slots.entries.push(Entry {
                    generation: 0,
                    value: None,
                });
                // A slot is more than a byte, so the memory ends before the numbers do.
                (slots.entries.len() - 1) as u32
            }
        };
        let entry = &mut slots.entries[index as usize];
        entry.value = Some(value);
        RequestId(u64::from(entry.generation) << 32 | u64::from(index))
    }

    /// Takes the value out; `None` if that request is not in flight (any more).
    pub fn remove(&self, id: RequestId) -> Option<T> {
        let (generation, index) = ((id.0 >> 32) as u32, id.0 as u32);
        let mut slots = self.lock();
        let entry = slots.entries.get_mut(index as usize)?;
        if entry.generation != generation {
            return None;
        }
        let value = entry.value.take()?;
        entry.generation = entry.generation.wrapping_add(1);
        slots.free.push(index);
        Some(value)
    }

    /// Takes all values out.
    pub fn drain(&self) -> Vec<T> {
        let mut slots = self.lock();
        let Slots { entries, free } = &mut *slots;
        let mut values = Vec::new();
        for (index, entry) in (0..).zip(entries.iter_mut()) {
            if let Some(value) = entry.value.take() {
                entry.generation = entry.generation.wrapping_add(1);
                free.push(index);
                values.push(value);
            }
        }
        values
    }

    fn lock(&self) -> MutexGuard<'_, Slots<T>> {
        // Nothing in here panics between two steps that belong together.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_completed_once_and_its_slot_is_used_again_under_another_name() {
        let pending = Pending::default();
        let first = pending.insert('a');
        let second = pending.insert('b');
        assert_eq!(pending.remove(first), Some('a'));
        assert_eq!(pending.remove(first), None);
        let third = pending.insert('c');
        assert_ne!(third, first);
        assert_eq!(third.0 as u32, first.0 as u32, "the same slot");
        assert_eq!(pending.remove(first), None, "a late completion");
        assert_eq!(pending.remove(second), Some('b'));
        assert_eq!(pending.remove(RequestId(77)), None);
        assert_eq!(pending.drain(), ['c']);
        assert_eq!(pending.remove(third), None);
    }
}
