//! The control server: the administrator's side of the engine.
//!
//! ```text
//! client -> server -> command -> (disk, network) -> port of the resource -> reply
//! resource's thread -> events -> notices -> clients that listen
//! ```
//!
//! * [`engine`]: what the engine was started with; creates and drops resources.
//! * [`object`]: what is configured, and how requests name it.
//! * [`server`]: the socket and its clients; [`command`], [`disk`], [`network`]: what each
//!   command does.
//! * [`options`]: option values as typed configuration.
//! * [`view`]: configuration and state together, as messages show them; [`notices`]: the
//!   difference of two views; [`events`]: who is told.

pub mod command;
pub mod disk;
pub mod engine;
pub mod events;
pub mod network;
pub mod notices;
pub mod object;
pub mod options;
pub mod server;
pub mod view;
