//! Filled in by its owner.

pub use drbd_demo as demo;
pub mod buffer;
pub mod device;
pub mod net;
