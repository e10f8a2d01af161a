//! The vocabulary that every layer shares: units, states, generation UUIDs.
//!
//! * [`units`]: sectors, bytes, bits, minors and volumes, each a type of its own.
//! * [`state`]: role, disk state, connection state and the packed state word.
//! * [`outcome`]: the result codes of a requested state change, with their texts.
//! * [`uuid`]: the four data generation UUIDs of a volume and their rotation.
//! * [`generation`]: these UUIDs as `get-gi` and `show-gi` print them.
//! * [`md`]: meta-data flag bits, shared by disk format and engine.
//!
//! `no_std`: the pure parts of the project (wire codec, replication core) build on it, and a
//! crate without `std` cannot open a file, read a clock or start a thread.
#![no_std]
#![forbid(unsafe_code)]

pub mod generation;
pub mod md;
pub mod outcome;
pub mod state;
pub mod units;
pub mod uuid;

pub use generation::GenerationIds;
pub use md::MdFlags;
pub use outcome::StateOutcome;
pub use state::{ConnState, DiskState, Protocol, Role, State, StateMask};
pub use units::{BitNr, ByteCount, Minor, Sector, SectorCount, VolumeNr};
pub use uuid::{Uuid, UuidFlags, UuidSet};
