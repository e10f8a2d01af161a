//! Filled in by its owner.

pub use drbd_system as system;
