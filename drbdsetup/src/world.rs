//! What parsing a command line needs to know about the machine.

use drbd_control::Family;
use drbd_types::Minor;
use rustix::fs::{FileType, Mode, OFlags};
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

/// Major number of DRBD's own devices.
const DRBD_MAJOR: u32 = 147;

/// Which kind of address a name is to be resolved to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IpVersion {
    /// 4
    V4,
    /// 6
    V6,
}

/// Why a word is not usable as a backing device.
#[derive(Debug)]
pub enum DeviceTrouble {
    /// It cannot be opened for reading and writing.
    Open(io::Error),
    /// It is something else.
    NotBlock,
}

/// The machine, as far as parsing looks at it.
pub trait World {
    /// The minor of a device node of DRBD's major number; `None` for anything else.
    fn minor_of_node(&self, path: &str) -> Option<Minor>;
    /// Whether the word names a block device that can be opened for reading and writing.
    fn check_device(&self, path: &str) -> Result<(), DeviceTrouble>;
    /// The first address of a host, with port 0. The error is the resolver's text.
    fn resolve(&self, host: &str, version: IpVersion) -> Result<SocketAddr, String>;
    /// The family number of super sockets, if their module is loaded.
    fn ssocks_family(&self) -> Option<Family>;
}

/// This machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Machine;

impl World for Machine {
    fn minor_of_node(&self, path: &str) -> Option<Minor> {
        let stat = rustix::fs::stat(path).ok()?;
        let is_ours = FileType::from_raw_mode(stat.st_mode) == FileType::BlockDevice
            && rustix::fs::major(stat.st_rdev) == DRBD_MAJOR;
        is_ours.then(|| Minor(rustix::fs::minor(stat.st_rdev)))
    }

    fn check_device(&self, path: &str) -> Result<(), DeviceTrouble> {
        let open = |error: rustix::io::Errno| DeviceTrouble::Open(error.into());
        let file =
            rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).map_err(open)?;
        let stat = rustix::fs::fstat(&file).map_err(open)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::BlockDevice {
            Ok(())
        } else {
            Err(DeviceTrouble::NotBlock)
        }
    }

    fn resolve(&self, host: &str, version: IpVersion) -> Result<SocketAddr, String> {
        let found = (host, 0).to_socket_addrs().map_err(|error| {
            let text = error.to_string();
            // The standard library puts its own words in front of the resolver's.
            match text.rsplit_once(": ") {
                Some((_, resolver)) => resolver.to_owned(),
                None => text,
            }
        })?;
        found
            .into_iter()
            .find(|address| match version {
                IpVersion::V4 => address.is_ipv4(),
                IpVersion::V6 => address.is_ipv6(),
            })
            .ok_or_else(|| "Address family for hostname not supported".to_owned())
    }

    fn ssocks_family(&self) -> Option<Family> {
        ["/proc/net/af_ssocks/family", "/proc/net/af_sci/family"]
            .iter()
            .find_map(|path| std::fs::read_to_string(path).ok()?.trim().parse().ok())
            .map(Family)
    }
}

/// The same host with a port.
pub fn with_port(address: SocketAddr, port: u16) -> SocketAddr {
    match address {
        SocketAddr::V6(mut v6) => {
            v6.set_port(port);
            SocketAddr::V6(v6)
        }
        SocketAddr::V4(v4) => SocketAddr::new(IpAddr::V4(*v4.ip()), port),
    }
}
