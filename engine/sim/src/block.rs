//! Data in this world: one number for each sector.

use std::rc::Rc;

use drbd_core::input::Payload;

/// The content of some sectors: one number each.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Block(Rc<[u64]>);

impl Block {
    /// A block of these sectors.
    pub fn new(sectors: Vec<u64>) -> Self {
        Self(sectors.into())
    }

    /// The same number in every sector.
    pub fn filled(value: u64, sectors: usize) -> Self {
        Self(vec![value; sectors].into())
    }

    /// Its sectors.
    pub fn sectors(&self) -> &[u64] {
        &self.0
    }
}

impl Payload for Block {
    fn size(&self) -> u32 {
        self.0.len() as u32 * 512
    }
}
