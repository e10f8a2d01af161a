//! Our node with a genuine kernel node, in both roles and both directions of the resync.

use drbd_demo::f2;
use drbd_demo::hosts::Network;
use testbed::capture::{Capture, judge};
use testbed::kernel_peer::KernelPeer;
use testbed::node::{Node, Ours, assert_same_data};
use testbed::scenario::{
    announced_resync, fail_over, first_day, read_checked, start_both, wait_in_sync, write_checked,
};

const DISK_MIB: u64 = 64;

fn kernel(network: &Network, name: &str) -> KernelPeer {
    KernelPeer::start(network, name, DISK_MIB).unwrap_or_else(|error| panic!("{error}"))
}

/// Writes on one side, then on the other, and compares the disks.
fn write_on_both_sides_in_turn(first: &dyn Node, second: &dyn Node) {
    write_checked(first, 0, 8);
    fail_over(first, second);
    read_checked(second, 0, 8);
    write_checked(second, 8, 8);
    fail_over(second, first);
    read_checked(first, 8, 8);
    wait_in_sync(first, second);
    assert_same_data(first, second, first.device_size());
}

#[test]
fn our_sync_source_and_primary_serve_a_kernel_node() {
    let network = f2::network().unwrap();
    let ours = Ours::start(&network, f2::FIRST, DISK_MIB);
    let kernel = kernel(&network, f2::SECOND);
    let capture = Capture::start(&network, ours.0.port()).unwrap();
    first_day(&ours, &kernel);
    write_on_both_sides_in_turn(&ours, &kernel);
    let verdict = judge(&capture.finish().unwrap()).unwrap();
    assert_eq!(verdict.status, 0, "{}", verdict.both());
}

#[test]
fn our_sync_target_and_secondary_follow_a_kernel_node() {
    let network = f2::network().unwrap();
    let kernel = kernel(&network, f2::FIRST);
    let ours = Ours::start(&network, f2::SECOND, DISK_MIB);
    let capture = Capture::start(&network, ours.0.port()).unwrap();
    first_day(&kernel, &ours);
    write_on_both_sides_in_turn(&kernel, &ours);
    let verdict = judge(&capture.finish().unwrap()).unwrap();
    assert_eq!(verdict.status, 0, "{}", verdict.both());
}

#[test]
fn our_killed_secondary_gets_only_the_changed_blocks_from_a_kernel_primary() {
    let network = f2::network().unwrap();
    let kernel = kernel(&network, f2::FIRST);
    let ours = Ours::start(&network, f2::SECOND, DISK_MIB);
    first_day(&kernel, &ours);
    ours.kill();
    kernel.wait("alone", &|device| device.connection != "Connected");
    write_checked(&kernel, 16, 4);
    let mark = kernel.log().len();
    ours.sh("/etc/init.d/drbd start </dev/null");
    assert_eq!(announced_resync(&kernel, mark), 4 << 10);
    wait_in_sync(&kernel, &ours);
    assert_same_data(&kernel, &ours, kernel.device_size());
}

#[test]
fn our_primary_sends_a_kernel_secondary_only_the_blocks_changed_while_it_was_away() {
    let network = f2::network().unwrap();
    let ours = Ours::start(&network, f2::FIRST, DISK_MIB);
    let kernel = kernel(&network, f2::SECOND);
    first_day(&ours, &kernel);
    kernel.sh("drbdadm disconnect r0");
    ours.wait("alone", &|device| device.connection != "Connected");
    write_checked(&ours, 16, 4);
    let mark = ours.log().len();
    kernel.sh("drbdadm connect r0");
    assert_eq!(announced_resync(&ours, mark), 4 << 10);
    wait_in_sync(&ours, &kernel);
    assert_same_data(&ours, &kernel, ours.device_size());
}

/// The test bed on itself: what is asserted above of our node holds for the genuine pair.
#[test]
fn two_kernel_nodes_pass_the_same_scenario() {
    let network = f2::network().unwrap();
    let first = kernel(&network, f2::FIRST);
    let second = kernel(&network, f2::SECOND);
    for node in [&first, &second] {
        node.sh("drbdadm create-md r0 </dev/null");
    }
    for started in start_both(&first, &second) {
        assert_eq!(started.status, 0, "{}", started.both());
    }
    first.sh("drbdadm -- --overwrite-data-of-peer primary r0");
    wait_in_sync(&first, &second);
    write_on_both_sides_in_turn(&first, &second);
    second.sh("drbdadm disconnect r0");
    write_checked(&first, 16, 4);
    let mark = first.log().len();
    second.sh("drbdadm connect r0");
    assert_eq!(announced_resync(&first, mark), 4 << 10);
    wait_in_sync(&first, &second);
}
