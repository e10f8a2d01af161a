//! Front ends: what makes `/dev/drbdN` a block device and hands its requests to the engine.
//!
//! ```text
//! block layer -> ublk or loop+FUSE threads -> RequestSink::submit   (runtime: one queue a resource)
//!                                  reply   <- Frontend::complete    (called by the runtime)
//! ```
//!
//! * [`request`]: requests, their identity, the two traits above. No front end is visible through them.
//! * [`frontend`]: which front end, what device; [`start`].
//! * [`names`]: the block special files and symlinks under `/dev`.
//! * `fuse_loop` over `fuse_fs` and `loopdev`: the front end for any kernel.
//! * [`guard`]: protections of a process that serves block devices.
//! * `ublk_frontend` over `ublk` (all contact with crate libublk): the one for Linux 6.5 and newer.
//! * `pending`, `tags`: requests in flight; `holders`: who has a device open.
//!
//! A front end starts *closed*: the node `/dev/drbdN` exists but cannot be opened, as on a Secondary.
//! [`Frontend::open`] (promotion) makes it usable, [`Frontend::close`] (demotion) takes that back or
//! refuses because somebody holds it open (spec 60 section 8.1).

pub mod frontend;
mod fuse_fs;
mod fuse_loop;
pub mod guard;
mod holders;
mod loopdev;
pub mod names;
mod pending;
pub mod request;
mod tags;
mod ublk;
mod ublk_frontend;

pub use frontend::{
    Access, Choice, DeviceError, DevicePaths, Discard, Features, Geometry, LogicalBlock, start,
};
pub use names::DeviceNumber;
pub use request::{Frontend, Fua, Operation, Request, RequestId, RequestSink, Unmap};
