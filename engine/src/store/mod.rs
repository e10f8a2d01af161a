//! A volume's backing storage: opening and checking it at attach, and translating the core's
//! meta-data operations into writes.
//!
//! * [`attach`]: opens data and meta-data device, checks the superblock, reads the bitmap
//!   (spec 60 section 4.1 steps 3, 4 and 6).
//! * [`plan`]: a [`drbd_core::effect::MetaIo`] as aligned writes, in batches that memory has room for;
//!   pure, the ring of the runtime carries them out.

pub mod attach;
pub mod plan;

use std::os::fd::OwnedFd;
use std::sync::Arc;

use drbd_types::{ByteCount, Sector};
use drbdmeta::layout::Areas;
use drbdmeta::superblock::Superblock;

use crate::device::Features;

pub use attach::{AttachError, Devices, attach};
pub use plan::{MetaJob, MetaWrite};

/// An attached disk.
#[derive(Debug)]
pub struct Store {
    /// The device with the data area, which begins at its first byte.
    pub data: Arc<OwnedFd>,
    /// The device with the meta-data; the same as `data` for internal meta-data.
    pub meta: Arc<OwnedFd>,
    /// What the data device can do.
    pub features: Features,
    /// The superblock as last written: the fields that the core does not own are kept from here.
    superblock: Superblock,
    /// Where the superblock lies.
    at: Sector,
    /// Where log and bitmap lie.
    areas: Areas,
    /// Number of the next activity-log transaction.
    next_transaction: u32,
}

/// A position on a device in bytes; sectors below 2^55 are checked at attach.
fn bytes_of(sector: Sector) -> ByteCount {
    ByteCount(sector.0 << 9)
}
