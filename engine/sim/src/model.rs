//! What an application may read back: the last write that was acknowledged, or one that was
//! under way at the same time or later.

use std::collections::{BTreeMap, BTreeSet};

/// The expected content of the device, by sector.
#[derive(Default)]
pub struct Model {
    sectors: BTreeMap<u64, Expected>,
}

#[derive(Default)]
struct Expected {
    /// The acknowledged value; 0 if nothing was ever acknowledged.
    acknowledged: u64,
    /// Values of writes that began and were not acknowledged.
    open: BTreeSet<u64>,
}

impl Model {
    /// A write of this value began.
    pub fn begin(&mut self, sector: u64, value: u64) {
        self.sectors.entry(sector).or_default().open.insert(value);
    }

    /// A write was acknowledged. Overlapping writes are never in progress together here, so older
    /// open ones that a crash left behind are overwritten.
    pub fn acknowledge(&mut self, sector: u64, value: u64) {
        let expected = self.sectors.entry(sector).or_default();
        expected.acknowledged = value;
        expected.open.clear();
    }

    /// Whether the application may see this value.
    pub fn allows(&self, sector: u64, value: u64) -> bool {
        match self.sectors.get(&sector) {
            None => value == 0,
            Some(expected) => expected.acknowledged == value || expected.open.contains(&value),
        }
    }

    /// All sectors that were ever written to.
    pub fn sectors(&self) -> impl Iterator<Item = u64> {
        self.sectors.keys().copied()
    }

    /// For messages.
    pub fn describe(&self, sector: u64) -> String {
        match self.sectors.get(&sector) {
            None => "never written".into(),
            Some(e) => format!("acknowledged {} open {:?}", e.acknowledged, e.open),
        }
    }
}
