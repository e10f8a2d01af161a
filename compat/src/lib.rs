//! The legacy world as data and pure functions; the only I/O is reading configuration files.
//!
//! * [`config`]: text of any series to the one model, with the genuine diagnostics.
//! * [`convert`]: files of older series in the words of 8.4.
//! * [`model`]: what a configuration says, versionless.
//! * [`era`]: what differs between the series when something is printed.
//! * [`system`]: the files that an installation puts beside the programs.
#![forbid(unsafe_code)]

pub mod config;
pub mod convert;
pub mod era;
pub mod model;

pub use drbd_system as system;
