//! The wire between hosts: a namespace with a bridge.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::command::outside;
use super::{Error, leftovers};

/// Distinguishes the networks of one process.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A bridge in a network namespace of its own; hosts and kernel peers are plugged into it.
#[derive(Debug)]
pub struct Network {
    name: String,
    directory: PathBuf,
}

impl Network {
    /// Name of the bridge inside the namespace (the oracle's `kernel-peer` plugs into it too).
    pub const BRIDGE: &str = "br0";

    /// Makes an empty network whose bridge has `address`/24, after sweeping what dead owners left.
    pub fn new(address: Ipv4Addr) -> Result<Self, Error> {
        require_root()?;
        leftovers::sweep();
        let name = leftovers::owned_name(NEXT.fetch_add(1, Ordering::Relaxed));
        let directory = Path::new(leftovers::DIRECTORY).join(&name);
        std::fs::create_dir_all(&directory)
            .map_err(Error::io(format!("making {}", directory.display())))?;
        outside("ip", &["netns", "add", &name])?;
        let network = Self { name, directory };
        network.ip(&["link", "set", "lo", "up"])?;
        network.ip(&["link", "add", Self::BRIDGE, "type", "bridge"])?;
        network.ip(&["addr", "add", &format!("{address}/24"), "dev", Self::BRIDGE])?;
        network.ip(&["link", "set", Self::BRIDGE, "up"])?;
        Ok(network)
    }

    /// Name of the namespace, for `ip netns exec`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A directory in memory that lives as long as the network.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Connects `port` to a new interface `eth0` in the network namespace of process `pid`.
    pub(super) fn plug_in(&self, port: &str, pid: u32) -> Result<(), Error> {
        let pid = pid.to_string();
        self.ip(&[
            "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", &pid,
        ])?;
        self.ip(&["link", "set", port, "master", Self::BRIDGE, "up"])
    }

    /// Pulls (`down`) or plugs (`up`) the cable of `port`.
    pub(super) fn set_link(&self, port: &str, state: &str) -> Result<(), Error> {
        self.ip(&["link", "set", port, state])
    }

    fn ip(&self, arguments: &[&str]) -> Result<(), Error> {
        let mut all = vec!["-n", &self.name];
        all.extend_from_slice(arguments);
        outside("ip", &all).map(drop)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        leftovers::remove(&self.name);
    }
}

fn require_root() -> Result<(), Error> {
    match outside("id", &["-u"])?.trim() {
        "0" => Ok(()),
        _ => Err(Error::NotRoot),
    }
}
