//! A disk that the kernel module used last goes on in our engine, and one of ours in the kernel:
//! nothing is sent twice, nothing that may differ is taken for good. The kernel module itself says
//! what is right: it gets a copy of the same disk.

use std::path::Path;
use std::process::Command;

use drbd_demo::f2;
use drbd_demo::hosts::{Network, capture};
use testbed::kernel_peer::KernelPeer;
use testbed::node::{Node, Ours, assert_same_data};
use testbed::programs;
use testbed::scenario::{announced_resync, first_day, read_checked, wait_in_sync, write_checked};

const DISK_MIB: u64 = 32;

/// What a node without a peer makes of a disk.
#[derive(Debug, PartialEq)]
struct Attached {
    roles: String,
    disks: String,
    /// KiB.
    out_of_sync: u64,
    /// The meta-data after `down`, as the genuine drbdmeta shows it.
    meta_data: String,
}

impl Attached {
    /// Attaches the disk of `node`, which has no peer, and lets it go again.
    fn alone(node: &dyn Node) -> Self {
        node.sh("drbdadm up r0");
        let device = node.wait("waiting for a peer", &|device| {
            device.connection == "WFConnection" && !device.disks.starts_with("Attaching")
        });
        node.sh("drbdadm down r0; sync");
        Self {
            roles: device.roles,
            disks: device.disks,
            out_of_sync: device.out_of_sync,
            meta_data: dump(&node.disk_image()),
        }
    }

    fn in_the_kernel(disk: &Path) -> Self {
        let network = f2::network().unwrap();
        Self::alone(&kernel_with(&network, f2::FIRST, disk))
    }

    fn in_our_engine(disk: &Path) -> Self {
        let network = f2::network().unwrap();
        Self::alone(&Ours::start_with_disk(&network, f2::FIRST, disk))
    }
}

/// The genuine `drbdmeta dump-md`, without the lines that name the host and the hour.
fn dump(disk: &Path) -> String {
    let mut drbdmeta = Command::new(programs::oracle().join("utils/sbin/drbdmeta"));
    let output = capture(
        drbdmeta
            .args(["--force", "1", "v08"])
            .arg(disk)
            .args(["internal", "dump-md"]),
    );
    let output = output.unwrap();
    assert_eq!(output.status, 0, "{}", output.both());
    output
        .stdout
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(|line| [line, "\n"])
        .collect()
}

fn kernel_with(network: &Network, name: &str, disk: &Path) -> KernelPeer {
    KernelPeer::start_with_disk(network, name, disk).unwrap_or_else(|error| panic!("{error}"))
}

/// A copy of a node's disk as it is now, to be kept.
fn copy_of_disk(node: &dyn Node) -> tempfile::NamedTempFile {
    let copy = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
    std::fs::copy(node.disk_image(), copy.path()).unwrap();
    copy
}

/// The crashed Primary `disk` is judged by the kernel and by our engine.
fn assert_attached_alike(disk: &Path) -> Attached {
    let genuine = Attached::in_the_kernel(disk);
    assert_eq!(Attached::in_our_engine(disk), genuine);
    assert_eq!(genuine.roles, "Secondary/Unknown");
    assert!(
        genuine.out_of_sync >= 4096,
        "the activity log was hot: {genuine:?}"
    );
    genuine
}

/// The Primary dies with a hot activity log; gives its disk.
fn crash_as_primary(primary: impl Node, second: &dyn Node) -> tempfile::NamedTempFile {
    first_day(&primary, second);
    write_checked(&primary, 0, 8);
    primary.kill();
    second.wait("alone", &|device| device.connection != "Connected");
    copy_of_disk(&primary)
}

/// The other implementation has the disk now: the peer sends it exactly what was hot. Then it is
/// Primary, writes, and lets go of the disk in good order.
fn go_on(first: impl Node, second: &dyn Node, genuine: &Attached) -> tempfile::NamedTempFile {
    let mark = second.log().len();
    first.sh("drbdadm up r0");
    assert_eq!(announced_resync(second, mark), genuine.out_of_sync);
    wait_in_sync(&first, second);
    first.sh("drbdadm primary r0");
    read_checked(&first, 0, 8);
    write_checked(&first, 8, 4);
    first.sh("drbdadm secondary r0 && drbdadm down r0 && sync");
    copy_of_disk(&first)
}

/// Back where it came from: both were in sync, so nothing has to move.
fn come_back(first: impl Node, second: &dyn Node) {
    connects_without_resync(&first, second);
    first.sh("drbdadm primary r0");
    read_checked(&first, 8, 4);
    assert_same_data(&first, second, first.device_size());
}

#[test]
fn our_engine_takes_over_the_disk_of_a_crashed_kernel_primary() {
    let network = f2::network().unwrap();
    let kernel = KernelPeer::start(&network, f2::FIRST, DISK_MIB).unwrap();
    let second = Ours::start(&network, f2::SECOND, DISK_MIB);
    let disk = crash_as_primary(kernel, &second);
    let genuine = assert_attached_alike(disk.path());
    let ours = Ours::start_with_disk(&network, f2::FIRST, disk.path());
    let disk = go_on(ours, &second, &genuine);
    come_back(kernel_with(&network, f2::FIRST, disk.path()), &second);
}

#[test]
fn the_kernel_takes_over_the_disk_of_our_killed_primary() {
    let network = f2::network().unwrap();
    let ours = Ours::start(&network, f2::FIRST, DISK_MIB);
    let second = KernelPeer::start(&network, f2::SECOND, DISK_MIB).unwrap();
    let disk = crash_as_primary(ours, &second);
    let genuine = assert_attached_alike(disk.path());
    let kernel = kernel_with(&network, f2::FIRST, disk.path());
    let disk = go_on(kernel, &second, &genuine);
    come_back(
        Ours::start_with_disk(&network, f2::FIRST, disk.path()),
        &second,
    );
}

/// `new` comes up with its disk beside the running `peer`.
fn connects_without_resync(new: &dyn Node, peer: &dyn Node) {
    let marks = [new.log().len(), peer.log().len()];
    new.sh("drbdadm up r0");
    wait_in_sync(new, peer);
    for (node, mark) in [new, peer].into_iter().zip(marks) {
        let log = node.log();
        assert!(!log[mark..].contains("(will sync "), "{}", &log[mark..]);
        assert_eq!(node.device().unwrap().out_of_sync, 0);
    }
}
