//! Field installation F2: two CentOS 6 hosts with DRBD 8.4.2, as their administrator wrote it down.
//!
//! The configuration is used byte for byte: same host names, same addresses, same device names.

use std::net::Ipv4Addr;
use std::path::Path;

use crate::hosts::{Disk, Error, Host, HostSpec, Network};

/// Name of the host that starts as Primary.
pub const FIRST: &str = "primarycentos";
/// Name of the other one.
pub const SECOND: &str = "secondarycentos";
/// The mirrored device, the same on both.
pub const DEVICE: &str = "/dev/drbd1";
/// Its minor number, as `/proc/drbd` prints it.
pub const MINOR: &str = "1";
/// TCP port of the replication.
pub const PORT: u16 = 7789;

/// `/etc/drbd.d/global_common.conf`.
pub const GLOBAL_COMMON: &str = include_str!("../f2/global_common.conf");
/// `/etc/drbd.d/r0.res`.
pub const RESOURCE: &str = include_str!("../f2/r0.res");

/// The address that the configuration gives a host.
pub fn address(name: &str) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, 0, if name == FIRST { 21 } else { 22 })
}

/// A network that F2's addresses belong to.
pub fn network() -> Result<Network, Error> {
    Network::new(Ipv4Addr::new(192, 168, 0, 254))
}

/// The host `name` of the installation, configured, with an empty `/dev/sdb1`; nothing runs yet.
pub fn host<'net>(
    network: &'net Network,
    name: &str,
    disk_mebibytes: u64,
    programs: &Path,
) -> Result<Host<'net>, Error> {
    let disks = [Disk {
        name: "sdb1",
        mebibytes: disk_mebibytes,
    }];
    let host = Host::start(
        network,
        &HostSpec {
            name,
            address: address(name),
            disks: &disks,
            programs,
        },
    )?;
    host.install("/etc/drbd.d/global_common.conf", GLOBAL_COMMON, 0o644)?;
    host.install("/etc/drbd.d/r0.res", RESOURCE, 0o644)?;
    Ok(host)
}
