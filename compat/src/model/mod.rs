//! What a configuration says, whatever series it was written for.
//!
//! * [`config`]: the whole, its global part, resources.
//! * [`host`]: host sections, volumes, addresses, proxies.
//! * [`settings`]: option lists and the sections of them.
//! * [`inherit`]: what resources and volumes take over from the levels above.
//!
//! Values stay as written (`10M` is not turned into a number), because dumps and command lines
//! show them that way; whoever needs a number asks the option's row.

pub mod config;
pub mod host;
pub mod inherit;
pub mod settings;

pub use config::{Common, Config, Dialect, Global, Place, Resource, UsageCount};
pub use host::{Address, Family, Host, HostKind, MetaDisk, Origin, Proxy, Volume};
pub use settings::{Sections, Setting, Settings};
