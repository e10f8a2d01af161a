//! Installation F2 on two hosts with our programs, from the empty disks to the crash of each side.

use drbd_demo::f2;
use testbed::capture::{Capture, judge};
use testbed::node::{Node, Ours, assert_same_data};
use testbed::scenario::{
    announced_resync, fail_over, first_day, read_checked, start_both, wait_in_sync, write_checked,
};

/// Small, so that the initial resync at F2's default rate is a matter of seconds.
const DISK_MIB: u64 = 64;

#[test]
fn f2_runs_from_create_md_to_failover_with_well_formed_traffic() {
    let network = f2::network().unwrap();
    let first = Ours::start(&network, f2::FIRST, DISK_MIB);
    let second = Ours::start(&network, f2::SECOND, DISK_MIB);
    let capture = Capture::start(&network, first.0.port()).unwrap();

    assert_eq!(
        second.try_sh("/etc/init.d/drbd status").stderr,
        "drbd not loaded\n"
    );

    for node in [&first, &second] {
        // The genuine program's output (spec 20 section 12.1); the bitmap line goes to stderr.
        let created = node.sh("drbdadm create-md r0 </dev/null");
        assert_eq!(
            created,
            "initializing activity log\nWriting meta data...\nNew drbd meta data block successfully created.\n"
        );
    }
    let attached = first.try_sh("drbdadm attach r0");
    assert_eq!(
        (attached.stderr.as_str(), attached.status),
        (
            "1: Failure: (127) Device minor not allocated\nadditional info from kernel:\nunknown minor\n\
             Command 'drbdsetup attach 1 /dev/sdb1 /dev/sdb1 internal' terminated with exit code 10\n",
            10
        )
    );
    for started in start_both(&first, &second) {
        let steps = [
            "     create res",
            "   prepare disk",
            "    adjust disk",
            "     adjust net",
        ];
        let steps: String = steps.iter().map(|step| format!("{step}: r0\n")).collect();
        let expected = format!("Starting DRBD resources: [\n{steps}]\n");
        assert!(started.stdout.starts_with(&expected), "{}", started.both());
        assert!(started.stdout.ends_with(".\n"), "{}", started.both());
        assert_eq!(started.status, 0);
    }

    first.sh("drbdadm -- --overwrite-data-of-peer primary r0");
    wait_in_sync(&first, &second);
    let status = first.sh("/etc/init.d/drbd status");
    assert!(
        status.starts_with(
            "drbd driver loaded OK; device status:\nversion: 8.4.11 (api:1/proto:86-101)\n"
        ),
        "{status}"
    );
    let row: Vec<&str> = status
        .lines()
        .last()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    assert_eq!(
        row,
        [
            "1:r0",
            "Connected",
            "Primary/Secondary",
            "UpToDate/UpToDate",
            "C"
        ],
        "{status}"
    );

    first.sh("mkfs.ext4 -q /dev/drbd1 && mkdir -p /mnt/data && mount /dev/drbd1 /mnt/data");
    assert!(
        first
            .sh("df -h /mnt/data")
            .lines()
            .nth(1)
            .unwrap_or_default()
            .starts_with("/dev/drbd1 ")
    );
    first.sh("cd /mnt/data && head -c 8M /dev/urandom > file && sha256sum file > sum && sync");
    assert_ne!(
        first.try_sh("drbdadm secondary r0").status,
        0,
        "a mounted Primary cannot step down"
    );
    first.sh("umount /mnt/data");
    fail_over(&first, &second);
    second.sh("mkdir -p /mnt/data && mount /dev/drbd1 /mnt/data && cd /mnt/data && sha256sum --status -c sum");
    second.sh("umount /mnt/data && e2fsck -fn /dev/drbd1");

    let size = second.device_size();
    for node in [&first, &second] {
        node.sh("/etc/init.d/drbd stop");
        assert!(
            !node.engine_runs(),
            "{}: the engine outlives stop",
            node.name()
        );
    }
    assert_same_data(&first, &second, size);
    let verdict = judge(&capture.finish().unwrap()).unwrap();
    assert_eq!(verdict.status, 0, "{}", verdict.both());
}

#[test]
fn after_a_killed_secondary_only_the_blocks_written_meanwhile_are_sent() {
    let network = f2::network().unwrap();
    let first = Ours::start(&network, f2::FIRST, DISK_MIB);
    let second = Ours::start(&network, f2::SECOND, DISK_MIB);
    first_day(&first, &second);
    write_checked(&first, 0, 16);

    second.kill();
    first.wait("alone", &|device| device.connection != "Connected");
    write_checked(&first, 16, 4);
    assert_eq!(first.device().unwrap().out_of_sync, 4 << 10);

    let mark = first.log().len();
    second.sh("/etc/init.d/drbd start </dev/null");
    assert_eq!(announced_resync(&first, mark), 4 << 10);
    wait_in_sync(&first, &second);
    assert_same_data(&first, &second, first.device_size());
    fail_over(&first, &second);
    read_checked(&second, 0, 16);
    read_checked(&second, 16, 4);
}

/// Its bitmap is larger than all the memory that the engine has for buffers, and lies in a sparse
/// file.
const HUGE_MIB: u64 = 9 << 20;
const HUGE_BITMAP_KIB: u64 = HUGE_MIB * 1024 / 4 / 8 / 1024;

#[test]
fn a_mirror_of_nine_tebibytes_starts_catches_up_and_fails_over_in_little_memory() {
    let network = f2::network().unwrap();
    let first = Ours::start(&network, f2::FIRST, HUGE_MIB);
    let second = Ours::start(&network, f2::SECOND, HUGE_MIB);
    for node in [&first, &second] {
        node.sh("drbdadm create-md r0 </dev/null");
    }
    for output in start_both(&first, &second) {
        assert_eq!(output.status, 0, "{}", output.both());
    }
    first.wait("both connected", &|device| device.connection == "Connected");
    first.sh("drbdadm -- --clear-bitmap new-current-uuid r0");
    wait_in_sync(&first, &second);
    first.sh("drbdadm primary r0");
    let far_out = (HUGE_MIB / 2, HUGE_MIB - 1024);
    write_checked(&first, far_out.0, 4);

    second.kill();
    first.wait("alone", &|device| device.connection != "Connected");
    write_checked(&first, far_out.1, 4);
    let mark = first.log().len();
    second.sh("/etc/init.d/drbd start </dev/null");
    assert_eq!(announced_resync(&first, mark), 4 << 10);
    wait_in_sync(&first, &second);
    fail_over(&first, &second);
    read_checked(&second, far_out.0, 4);
    read_checked(&second, far_out.1, 4);
    for node in [&first, &second] {
        let peak = node.sh("grep VmHWM /proc/$(cat /run/drbd/engine.pid)/status");
        let kib = peak.split_whitespace().nth(1).and_then(|n| n.parse().ok());
        let kib: u64 = kib.unwrap_or_else(|| panic!("{peak:?}"));
        assert!(kib < HUGE_BITMAP_KIB, "{kib} KiB");
    }
}

#[test]
fn a_killed_primary_comes_back_and_both_disks_become_the_same() {
    let network = f2::network().unwrap();
    let first = Ours::start(&network, f2::FIRST, DISK_MIB);
    let second = Ours::start(&network, f2::SECOND, DISK_MIB);
    first_day(&first, &second);
    first.sh(
        "mkfs.ext4 -q -E nodiscard /dev/drbd1 && mkdir -p /mnt/data && mount /dev/drbd1 /mnt/data",
    );
    first.sh("cd /mnt/data && head -c 4M /dev/urandom > file && sha256sum file > sum && sync -f .");

    first.kill();
    second.wait("alone", &|device| device.connection != "Connected");
    second.sh("drbdadm primary r0 && mkdir -p /mnt/data && mount /dev/drbd1 /mnt/data");
    second.sh("cd /mnt/data && sha256sum --status -c sum && cp file again && sync -f .");

    first.try_sh("umount -l /mnt/data");
    let mark = second.log().len();
    first.sh("/etc/init.d/drbd start </dev/null");
    let announced = announced_resync(&second, mark);
    wait_in_sync(&first, &second);
    let size = second.device_size();
    // What the dead Primary had in its activity log counts as changed; the rest must not move.
    assert!(
        announced >= 4 << 10,
        "{announced} KiB cannot hold the new file"
    );
    assert!(
        announced < size >> 10,
        "{announced} KiB is the whole device"
    );
    second.sh("umount /mnt/data");
    assert_same_data(&first, &second, size);
}

#[test]
fn a_pulled_cable_is_noticed_and_mended_without_help() {
    let network = f2::network().unwrap();
    let first = Ours::start(&network, f2::FIRST, DISK_MIB);
    let second = Ours::start(&network, f2::SECOND, DISK_MIB);
    first_day(&first, &second);

    let mark = first.log().len();
    second.0.unplug().unwrap();
    write_checked(&first, 8, 2);
    first.wait("alone", &|device| device.connection != "Connected");
    second.0.plug().unwrap();
    assert!(announced_resync(&first, mark) >= 2 << 10);
    wait_in_sync(&first, &second);
    assert_same_data(&first, &second, first.device_size());
}
