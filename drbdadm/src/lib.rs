//! drbdadm: from configuration and command line to calls of drbdsetup and drbdmeta.
//!
//! * [`command`]: the table of commands: what each needs, and what it does.
//! * [`cli`]: the command line, in the manner of GNU getopt.
//! * [`usage`]: help texts.
//! * [`complete`]: completion in shells.
//! * [`select`]: which resource or volume a word of the command line means.
//! * [`validate`]: what must hold before a command may work on a resource.
//! * [`plan`]: pure: (resource, running state, command) to the calls to make.
//! * [`run`]: makes them, or prints them for `-d`.
//! * [`report`]: what a terminal is shown besides the genuine messages.
//! * [`manual`]: the tables of the manual pages.
//! * [`handler`]: drbdadm as the engine's helper.
//! * [`wait`]: the wait for peers at boot.
//! * `inform`: answers from the configuration alone.
//! * `convert`: older files in the words of 8.4.
//! * `load`: which configuration is read.
//! * `old`: printing in the words of the series before 8.4.
//! * `shown`: dumps.
//! * [`app`]: one invocation from start to end.
//! * [`environment`]: the machine: name, addresses, terminals.
//!
//! drbdadm talks to the engine only through the programs that it also prints under `-d`.
#![forbid(unsafe_code)]

pub mod app;
pub mod cli;
pub mod command;
pub mod complete;
mod convert;
pub mod environment;
pub mod handler;
mod inform;
mod load;
pub mod manual;
mod old;
pub mod plan;
pub mod report;
pub mod run;
pub mod select;
mod shown;
pub mod usage;
pub mod validate;
pub mod wait;

pub use app::main;
