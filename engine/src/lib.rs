//! The engine `drbdd`: replicates block devices over DRBD's wire protocol, in user space.
//!
//! ```text
//!      administrator                 applications              the peer
//!  drbdsetup -> control          /dev/drbdN -> device        TCP <-> net
//!                  |                            |                     |
//!                  '------------> runtime: one thread a resource <----'
//!                                     |  Input   ^ Effect
//!                                     v          |
//!                                   drbd_core: pure, decides everything
//!                                     |
//!                                   store: backing disk and meta-data
//! ```
//!
//! * [`runtime`] drives the core with real sockets, disks and clocks.
//! * [`store`] opens disks and writes meta-data; [`buffer`] holds every payload.
//! * [`device`] makes the block devices; [`net`] finds peers.
//! * [`control`] is the administrator's side; [`procfs`] the live `/proc/drbd`; [`log`] the
//!   kernel-style messages; [`helper`] calls handlers.
//!   `fuse` is what the file systems of `device` and `procfs` share.
//! * [`daemon`] is the process; [`demo`] shows two nodes on one machine.

pub use drbd_demo as demo;

pub mod buffer;
pub mod control;
pub mod daemon;
pub mod device;
mod fuse;
pub mod helper;
pub mod log;
pub mod net;
pub mod procfs;
pub mod runtime;
pub mod store;
