//! The replication state machine of one resource, without I/O (spec 60).
//!
//! # Contract
//!
//! [`Resource`] is deterministic: it owns no socket, file, thread, clock or source of
//! randomness. A driver hands it [`Input`]s with the time at which they happened
//! ([`Resource::handle`]), takes [`Effect`]s until there are none ([`Resource::next_effect`]) and
//! starts them in that order, and calls [`Resource::handle_timeout`] at
//! [`Resource::next_timeout`]. Payloads are handles ([`Payload`]): the core never looks inside.
//! The same core runs under real sockets and disks (`engine::runtime`) and under simulated ones
//! (`engine::sim`).
//!
//! # Where is what
//!
//! * [`input`], [`effect`], [`config`], [`status`]: the contract as data.
//! * `machine`: the resource, dispatch and tools. `outbox`: the queue of effects with the gate
//!   that makes promises wait for durable meta-data.
//! * Rules, pure functions over data: [`state_rules`], [`uuid_rules`], [`handshake`],
//!   [`split_brain`], [`size`].
//! * Structures: [`bitmap`], [`activity_log`], [`resync_extents`], [`resync_rate`],
//!   [`progress`], `epoch`, `slab`.
//! * `change` carries out state changes, `after` what follows from them, `cluster` those that
//!   need the peer's agreement.
//! * `admin`, `attach`, `promote`, `fence`: requests of the administrator.
//! * `request`: application I/O; `transfer`: the same until the peer has declared it stable.
//!   `peer_request`: I/O for the peer. `meta`: bits, activity log, generations and when they
//!   reach the disk.
//! * `link`, `connection`, `receive`, `report`: the peer, from connected sockets to the sync
//!   handshake. `resync`: what the handshake may lead to. `timers`: what time brings.
//!
//! `no_std` proves the purity: there is nothing here to open a file or read a clock with.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod activity_log;
mod admin;
mod after;
mod attach;
pub mod bitmap;
mod change;
mod cluster;
pub mod config;
mod connection;
pub mod effect;
mod epoch;
mod fence;
pub mod handshake;
pub mod input;
mod link;
mod machine;
mod meta;
mod outbox;
mod peer_request;
#[cfg(feature = "planted-bugs")]
pub mod planted;
pub mod progress;
mod promote;
mod receive;
mod report;
mod request;
mod resync;
pub mod resync_extents;
pub mod resync_rate;
mod rng;
pub mod size;
mod slab;
mod snapshot;
pub mod split_brain;
pub mod state_rules;
pub mod status;
pub mod time;
mod timers;
mod transfer;
pub mod uuid_rules;
mod volume;

/// Protocol versions whose rules this core follows. Older ones complete, resync and disconnect
/// by other rules (spec 50 section 15); offering them before those are built would cost data.
pub const VERSIONS: drbd_wire::VersionRange = drbd_wire::VersionRange {
    min: drbd_wire::ProtocolVersion(100),
    max: drbd_wire::ProtocolVersion::NEWEST,
};

pub use activity_log::AlTransaction;
pub use bitmap::{BitmapChunk, StoredBitmap};
pub use effect::{
    Access, DiskIo, Effect, HelperSubject, IoError, Level, LinkDelay, MetaIo, MetaOrder, Outcome,
    Refusal, Reply, Scope, SuperblockUpdate,
};
pub use input::{
    Admin, ClearBitmap, ConnectOnce, DiscardSupport, DiskError, DiskImage, DiskOp, Durability,
    Force, HeldOpen, HelperRun, Input, IoId, IoRequest, LinkId, MetaOp, Payload, Ticket,
    TieBreaker,
};
pub use machine::Resource;
pub use status::{AlSuspended, Counters, ResourceStatus, VolumeStatus, WaitClass};
