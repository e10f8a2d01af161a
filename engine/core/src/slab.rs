//! A slab whose keys die with their entries: a stale key finds nothing.

use alloc::vec::Vec;

/// Index in the low half, generation in the high half; never zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub(crate) struct Key(pub(crate) u64);

struct Entry<T> {
    generation: u32,
    value: Option<T>,
}

/// Storage with stable keys and no allocation once it has grown to the working set.
pub(crate) struct Slab<T> {
    entries: Vec<Entry<T>>,
    free: Vec<u32>,
    used: usize,
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            used: 0,
        }
    }

    pub(crate) fn insert(&mut self, value: T) -> Key {
        self.used += 1;
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                let index = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
                self.entries.push(Entry {
                    generation: 1,
                    value: None,
                });
                index
            }
        };
        let entry = &mut self.entries[index as usize];
        entry.value = Some(value);
        Key(u64::from(entry.generation) << 32 | u64::from(index))
    }

    fn entry(&self, key: Key) -> Option<&Entry<T>> {
        let entry = self.entries.get(key.0 as u32 as usize)?;
        (u64::from(entry.generation) == key.0 >> 32).then_some(entry)
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        self.entry(key)?.value.as_ref()
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let entry = self.entries.get_mut(key.0 as u32 as usize)?;
        if u64::from(entry.generation) != key.0 >> 32 {
            return None;
        }
        entry.value.as_mut()
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        self.entry(key)?;
        let index = key.0 as u32;
        let entry = &mut self.entries[index as usize];
        let value = entry.value.take()?;
        entry.generation = entry.generation.wrapping_add(1).max(1);
        self.free.push(index);
        self.used -= 1;
        Some(value)
    }

    pub(crate) const fn len(&self) -> usize {
        self.used
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.entries
            .iter_mut()
            .filter_map(|entry| entry.value.as_mut())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.entries
            .iter()
            .enumerate()
            .filter_map(|(index, entry)| {
                let key = Key(u64::from(entry.generation) << 32 | index as u64);
                entry.value.as_ref().map(|value| (key, value))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_a_removed_entry_does_not_find_its_successor() {
        let mut slab = Slab::new();
        let old = slab.insert("old");
        assert_eq!(slab.remove(old), Some("old"));
        let new = slab.insert("new");
        assert_eq!(slab.get(old), None);
        assert_eq!(slab.get_mut(old), None);
        assert_eq!(slab.remove(old), None);
        assert_eq!(slab.get(new), Some(&"new"));
        assert_eq!(slab.len(), 1);
    }
}
