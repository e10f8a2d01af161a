//! The ublk front end, in the QEMU machine: alone, and under a mirror of two nodes over the loopback
//! interface with fio verification, a file system, and both disks the same at the end.

use testbed::vm;

/// The device without a peer: every request type, a file system, a server killed under it.
const DEVICE_ONLY: &str = include_str!("../../vm/jobs/ublk.sh");

/// One machine, two nodes: a name, a run directory, a state directory and a minor each.
const SCRIPT: &str = r#"
set -e
ls -l /dev/ublk-control
modprobe() { :; }
for i in 0 1; do truncate -s 64M /disk$i; losetup /dev/loop$i /disk$i; done
mkdir -p /etc
cat > /etc/drbd.conf <<'END'
resource r0 {
  protocol C;
  disk { c-plan-ahead 0; resync-rate 100M; }
  on alpha { device /dev/drbd1; disk /dev/loop0; address 127.9.9.1:7789; meta-disk internal; }
  on beta  { device /dev/drbd2; disk /dev/loop1; address 127.9.9.2:7789; meta-disk internal; }
}
END
on() { node=$1; shift; __DRBD_NODE__=$node DRBD_RUN_DIR=/run/$node DRBD_STATE_DIR=/var/lib/$node "$@"; }
status() { grep -A1 ' cs:' /run/$1/proc/drbd || true; }
until_state() { # NODE PATTERN
    for _ in $(seq 600); do grep -q "$2" /run/$1/proc/drbd && return; sleep 0.1; done
    echo "$1 is not $2:"; cat /run/$1/proc/drbd; tail -40 /run/$1/log; return 1
}
for node in alpha beta; do mkdir -p /run/$node /var/lib/$node; on $node drbdadm create-md r0 </dev/null; done
for node in alpha beta; do on $node drbdadm up r0; done
for node in alpha beta; do until_state $node 'cs:Connected'; done
on alpha drbdadm -- --overwrite-data-of-peer primary r0
for node in alpha beta; do until_state $node 'cs:Connected.*ds:UpToDate/UpToDate'; done

echo "frontend: $(ls /dev | grep -c ublkb) ublk devices"
ls -l /dev/drbd1
[ "$(ls /dev | grep -c ublkb)" -gt 0 ]
fio --name=verify --filename=/dev/drbd1 --direct=1 --rw=randwrite --bs=4k-64k --size=16m --ioengine=libaio \
    --iodepth=8 --verify=crc32c --verify_fatal=1 --minimal >/dev/null
mkfs.ext4 -q /dev/drbd1
mkdir -p /mnt; mount -t ext4 /dev/drbd1 /mnt
head -c 4000000 /dev/urandom > /mnt/file; sum=$(sha256sum < /mnt/file); umount /mnt
on alpha drbdadm secondary r0
on beta drbdadm primary r0
mount -t ext4 /dev/drbd2 /mnt; [ "$sum" = "$(sha256sum < /mnt/file)" ]; umount /mnt
size=$(blockdev --getsize64 /dev/drbd2)
for node in alpha beta; do on $node drbdadm down r0; on $node drbdd stop; done
[ "$(head -c $size /dev/loop0 | sha256sum)" = "$(head -c $size /dev/loop1 | sha256sum)" ]
echo "both disks are the same"
"#;

#[test]
fn a_mirror_on_ublk_devices_verifies_and_fails_over() {
    let output = vm::run(&["drbdadm", "drbdsetup", "drbdmeta", "drbdd"], SCRIPT).unwrap();
    assert_eq!(output.status, 0, "{}", output.both());
    assert!(
        output.stdout.contains("both disks are the same"),
        "{}",
        output.both()
    );
}

#[test]
fn the_front_end_alone_serves_every_request_and_survives_its_server() {
    let script = DEVICE_ONLY.replace("./device_serve", "device_serve");
    let output = vm::run(&["examples/device_serve"], &script).unwrap();
    assert_eq!(output.status, 0, "{}", output.both());
}
