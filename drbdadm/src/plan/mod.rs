//! (resource, running state, command) to the calls to make: pure.
//!
//! * [`call`]: a program with its words, and the ways in which calls depend on one another.
//! * [`argv`]: the words of each call (spec 20 sections 6 and 7).
//! * [`commands`]: what a command does to a resource or volume.
//! * [`old`]: the command lines of 0.7 to 8.3, for `-d`.
//! * [`proxy`], [`status`]: drbd-proxy-ctl, and the frame of `sh-status`.
//! * [`adjust`]: the difference between the configuration and what runs (spec 20 section 10).

pub mod adjust;
pub mod argv;
pub mod call;
pub mod commands;
pub mod old;
pub mod proxy;
pub mod status;

pub use call::{Call, Job, Program, Stage, Staged, Stderr};
