//! Hosts made of namespaces.
//!
//! A [`Network`] is a network namespace with a bridge. A [`Host`] is one process (the first of a
//! PID namespace) holding a mount, UTS, IPC and network namespace of its own:
//!
//! * `/etc`, `/usr`, `/var` and `/mnt` are overlays: everything of this machine is there, and what
//!   the host writes stays with it; `/run`, `/tmp` and `/dev` are empty file systems of its own;
//! * each disk is a loop device over a file in memory, under the name that the configuration uses
//!   (`/dev/sdb1`);
//! * the programs under test appear in `/usr/sbin` (`/sbin`), the installed files where
//!   `make install` puts them.
//!
//! Nothing survives: the first process ends when its standard input closes, whatever way its owner
//! ended, and the kernel then ends everything in the host. Names and loop devices that a killed
//! owner left behind are swept when the next network is made.

mod command;
mod error;
mod host;
mod leftovers;
mod network;

pub use command::{Output, capture, succeed};
pub use error::Error;
pub use host::{Disk, Host, HostSpec};
pub use network::Network;
