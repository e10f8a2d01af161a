//! What an application may read back: the last write that was acknowledged, or one that was
//! under way at the same time or later.

use std::collections::{BTreeMap, BTreeSet};

/// Names a write.
pub type WriteId = u64;

/// The expected content of the device, by sector.
#[derive(Default)]
pub struct Model {
    sectors: BTreeMap<u64, Expected>,
}

#[derive(Default)]
struct Expected {
    /// Acknowledged values of which each may be the last; empty if nothing was ever
    /// acknowledged, and the content is 0.
    settled: BTreeSet<u64>,
    /// Writes that are under way.
    open: BTreeMap<WriteId, Open>,
    /// Values of writes that ended without a promise.
    dead: BTreeSet<u64>,
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
        expected.dead.clear();
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
}
