//! What an administrator does with installation F2, step by step; the nodes may be ours or the
//! kernel's.

use std::thread;

use drbd_demo::f2;
use drbd_demo::hosts::Output;

use crate::node::Node;

/// `service drbd start`, on both at once, as at boot; gives what it printed on each.
pub fn start_both(one: &dyn Node, other: &dyn Node) -> [Output; 2] {
    const START: &str = "/etc/init.d/drbd start </dev/null";
    thread::scope(|scope| {
        let first = scope.spawn(|| one.try_sh(START));
        let second = other.try_sh(START);
        [first.join().expect("a test step does not panic"), second]
    })
}

/// From two empty disks to a mirror in sync, `first` being Primary.
pub fn first_day(first: &dyn Node, second: &dyn Node) {
    for node in [first, second] {
        node.sh("drbdadm create-md r0 </dev/null");
    }
    for output in start_both(first, second) {
        assert_eq!(output.status, 0, "{}", output.both());
    }
    for node in [first, second] {
        node.wait("both connected", &|device| device.connection == "Connected");
    }
    first.sh("drbdadm -- --overwrite-data-of-peer primary r0");
    wait_in_sync(first, second);
}

/// Waits until both say that they are connected and both disks are good.
pub fn wait_in_sync(one: &dyn Node, other: &dyn Node) {
    for node in [one, other] {
        node.wait("in sync", &|device| device.is_in_sync());
    }
}

/// Writes 4 KiB blocks at random places of `mebibytes` from `offset` (both in MiB), each with a checksum.
pub fn write_checked(node: &dyn Node, offset: u64, mebibytes: u64) {
    node.sh(&format!(
        "{} --rw=randwrite --do_verify=0",
        fio(offset, mebibytes)
    ));
}

/// Reads back what [`write_checked`] wrote with the same numbers, on whatever node.
pub fn read_checked(node: &dyn Node, offset: u64, mebibytes: u64) {
    node.sh(&format!(
        "{} --rw=randwrite --verify_only",
        fio(offset, mebibytes)
    ));
}

fn fio(offset: u64, mebibytes: u64) -> String {
    format!(
        "cd /tmp && fio --name=checked --filename={} --direct=1 --bs=4k --ioengine=psync --offset={offset}m \
         --size={mebibytes}m --verify=crc32c --verify_fatal=1 --verify_state_save=0 --minimal",
        f2::DEVICE
    )
}

/// The Primary steps down and the other takes over.
pub fn fail_over(from: &dyn Node, to: &dyn Node) {
    from.sh("drbdadm secondary r0");
    to.sh("drbdadm primary r0");
    to.wait("Primary", &|device| device.roles == "Primary/Secondary");
}

/// The KiB that the last resync announced after `mark` bytes of the node's log had to move.
pub fn announced_resync(node: &dyn Node, mark: usize) -> u64 {
    let message = node.wait_for_message(mark, "(will sync ");
    let number = message
        .split("(will sync ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    number
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("no number in {message:?}"))
}
