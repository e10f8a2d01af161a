//! What an application may read back: the last write that was acknowledged, or one that was
//! under way at the same time or later. After a power failure of the only node with good data
//! also what was there since the last acknowledged flush: no disk with a write cache promises more.

use std::collections::{BTreeMap, BTreeSet};

/// Names a write.
pub type WriteId = u64;

/// The expected content of the device, by sector.
#[derive(Default)]
pub struct Model {
    sectors: BTreeMap<u64, Expected>,
    flushes: u64,
}

/// A flush of the application, from when it was begun.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Flush(u64);

#[derive(Default)]
struct Expected {
    /// Acknowledged values of which each may be the last; empty if nothing was ever
    /// acknowledged, and the content is 0.
    settled: BTreeSet<u64>,
    /// Writes that are under way.
    open: BTreeMap<WriteId, Open>,
    /// Values of writes that ended without a promise.
    dead: BTreeSet<u64>,
    /// Values that were overwritten, and the last flush that had begun before that.
    older: BTreeMap<u64, Flush>,
}

struct Open {
    value: u64,
    /// Values that were acknowledged meanwhile: nobody knows which of them came last.
    rivals: BTreeSet<u64>,
}

impl Model {
    /// A write of this value began.
    pub fn begin(&mut self, sector: u64, id: WriteId, value: u64) {
        let rivals = BTreeSet::new();
        let expected = self.sectors.entry(sector).or_default();
        expected.open.insert(id, Open { value, rivals });
    }

    /// A write was acknowledged. Writes that ended without a promise before it are overwritten.
    pub fn acknowledge(&mut self, sector: u64, id: WriteId) {
        let expected = self.sectors.entry(sector).or_default();
        let Some(done) = expected.open.remove(&id) else {
            return;
        };
        if expected.settled.is_empty() {
            expected.settled.insert(0);
        }
        let dead = std::mem::take(&mut expected.dead);
        for value in std::mem::take(&mut expected.settled)
            .into_iter()
            .chain(dead)
        {
            expected.older.insert(value, Flush(self.flushes));
        }
        expected.settled = done.rivals;
        expected.settled.insert(done.value);
        for other in expected.open.values_mut() {
            other.rivals.insert(done.value);
        }
    }

    /// A write failed, or its node died.
    pub fn give_up(&mut self, sector: u64, id: WriteId) {
        let expected = self.sectors.entry(sector).or_default();
        if let Some(dead) = expected.open.remove(&id) {
            expected.dead.insert(dead.value);
            for other in expected.open.values_mut() {
                other.rivals.insert(dead.value);
            }
        }
    }

    /// A flush began.
    pub const fn begin_flush(&mut self) -> Flush {
        self.flushes += 1;
        Flush(self.flushes)
    }

    /// A flush was acknowledged: what was overwritten before it began cannot come back.
    pub fn acknowledge_flush(&mut self, flush: Flush) {
        for expected in self.sectors.values_mut() {
            expected
                .older
                .retain(|_, overwritten| *overwritten >= flush);
        }
    }

    /// The only write cache with the latest data is lost. What it held of writes under way is
    /// lost, too, though their acknowledgements may still arrive.
    pub fn lose_cache(&mut self) {
        for expected in self.sectors.values_mut() {
            if expected.settled.is_empty() {
                expected.settled.insert(0);
            }
            expected.dead.extend(expected.older.keys());
            for open in expected.open.values_mut() {
                open.rivals.extend(&expected.settled);
                open.rivals.extend(&expected.dead);
            }
        }
    }

    /// Whether the application may see this value.
    pub fn allows(&self, sector: u64, value: u64) -> bool {
        let Some(expected) = self.sectors.get(&sector) else {
            return value == 0;
        };
        expected.settled.contains(&value)
            || (expected.settled.is_empty() && value == 0)
            || expected.dead.contains(&value)
            || expected.open.values().any(|open| open.value == value)
    }

    /// All sectors that were ever written to.
    pub fn sectors(&self) -> impl Iterator<Item = u64> {
        self.sectors.keys().copied()
    }

    /// For messages.
    pub fn describe(&self, sector: u64) -> String {
        match self.sectors.get(&sector) {
            None => "never written".into(),
            Some(e) => format!(
                "acknowledged {:?} given up {:?} under way {:?}",
                e.settled,
                e.dead,
                e.open.values().map(|open| open.value).collect::<Vec<_>>()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_writes_at_the_same_time_either_may_win_and_older_ones_may_not() {
        let mut model = Model::default();
        model.begin(0, 1, 10);
        model.acknowledge(0, 1);
        model.begin(0, 2, 20);
        model.begin(0, 3, 30);
        model.acknowledge(0, 3);
        assert!(model.allows(0, 20) && model.allows(0, 30) && !model.allows(0, 10));
        model.acknowledge(0, 2);
        assert!(model.allows(0, 20) && model.allows(0, 30) && !model.allows(0, 10));
        model.begin(0, 4, 40);
        model.give_up(0, 4);
        assert!(model.allows(0, 40) && model.allows(0, 30));
        model.begin(0, 5, 50);
        model.acknowledge(0, 5);
        assert!(model.allows(0, 50) && !model.allows(0, 40) && !model.allows(0, 30));
    }
    #[test]
    fn what_a_flush_has_not_confirmed_may_go_with_the_power_and_nothing_else() {
        let mut model = Model::default();
        for (id, value) in [(1, 10), (2, 20)] {
            model.begin(0, id, value);
            model.acknowledge(0, id);
        }
        let flush = model.begin_flush();
        model.begin(0, 3, 30);
        model.acknowledge(0, 3);
        model.acknowledge_flush(flush);
        assert!(!model.allows(0, 20));
        model.lose_cache();
        assert!(model.allows(0, 30) && model.allows(0, 20));
        assert!(!model.allows(0, 10) && !model.allows(0, 0));
        let flush = model.begin_flush();
        model.acknowledge_flush(flush);
        model.begin(0, 4, 40);
        model.acknowledge(0, 4);
        assert!(model.allows(0, 40) && !model.allows(0, 30));

        model.begin(0, 5, 50);
        model.lose_cache();
        model.acknowledge(0, 5);
        assert!(model.allows(0, 50) && model.allows(0, 40));
    }
}
