//! The on-disk meta-data of DRBD 0.6 to 8.4, and the command `drbdmeta` on top of it.
//!
//! Pure modules over byte slices, used by the engine and by the command alike:
//!
//! * [`layout`]: where superblock, activity log and bitmap lie on a meta-data device.
//! * [`superblock`]: the 4096-byte superblock of 8.x, typed ([`superblock::Superblock`]).
//! * [`activity_log`]: the transaction ring of 8.4 (write side and replay) and the log of 0.7-8.3.
//! * [`bitmap`]: on-disk bitmap bytes as little-endian words, and the marking of hot extents.
//! * [`record`]: superblocks of all formats in one shape, their validation and conversion.
//! * [`text`]: the text of `dump-md`, written and read as a stream.
//! * [`check`]: whether superblock, log and bitmap agree. [`probe`]: what else lies on a device.
//!
//! One thin edge does I/O: [`device`] (positioned reads and writes, exclusive opening, flush).
//! [`cmd`] is the command on top of both; [`manual`] renders its tables for man page and shells.
//!
//! What the engine does with it:
//!
//! ```text
//! attach   device::MetaDevice::open -> Layout::compute(size, placement, striping).superblock
//!          -> Superblock::parse -> Superblock::areas -> bitmap::words
//! write    Superblock::encode(MagicKind::InUse);  activity_log::Transaction::encode, Striping::block_of
//! first    activity_log::fresh_ring(..) into every block, then bitmap, then superblock
//! ```
#![forbid(unsafe_code)]

pub mod activity_log;
pub mod bitmap;
pub mod check;
pub mod cmd;
pub mod device;
pub mod layout;
pub mod manual;
pub mod probe;
pub mod record;
pub mod superblock;
pub mod text;
