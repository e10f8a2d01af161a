//! Deliberate mistakes, for proving that the simulator finds them. Not part of any product: the
//! feature `planted-bugs` only makes them possible, [`crate::Resource::plant`] commits one.

use crate::machine::Resource;

/// A mistake.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bug {
    /// Writes that a lost connection leaves unacknowledged are not marked out of sync.
    ForgetBitsOnConnectionLoss,
    /// The activity log is not waited for.
    IgnoreActivityLog,
    /// Meta-data that calls blocks the same is written before their data is flushed.
    MetaDataBeforeData,
    /// A resync begins before its bits are on the target's disk.
    ResyncBeforeBits,
}

impl<B> Resource<B> {
    /// Makes this resource make a mistake from now on.
    pub fn plant(&mut self, bug: Bug) {
        self.planted = Some(bug);
    }
}
