# Runs as root inside the machine: every command must succeed.
set -eux
export DRBD_RUN_DIR=/run/drbd
serve() { ./device_serve ublk "$@"; }

# The engine's protections, which need privileges that a container may lack.
./device_serve ublk 0 16 memory -- true 2>/tmp/warnings
cat /tmp/warnings; [ ! -s /tmp/warnings ]
[ ! -e /dev/drbd0 ]

cat > /tmp/raw.sh <<'S'
set -eux
[ -b /dev/drbd1 ] && [ ! -L /dev/drbd1 ]
fio --name=raw --filename=/dev/drbd1 --rw=randwrite --bsrange=512-256k --blockalign=512 --direct=1 \
    --ioengine=libaio --iodepth=16 --size=24m --verify=crc32c --verify_fatal=1 --output-format=terse >/tmp/fio
# FUA writes and flushes, then discards and zeroes.
fio --name=fua --filename=/dev/drbd1 --rw=write --bs=4k --direct=1 --sync=1 --size=256k --output-format=terse >/tmp/fio
fio --name=sync --filename=/dev/drbd1 --rw=write --bs=4k --fsync=8 --size=256k --output-format=terse >/tmp/fio
blkdiscard -o 1048576 -l 10485760 /dev/drbd1
blkdiscard -z -o 0 -l 65536 /dev/drbd1
cmp -n 65536 /dev/drbd1 /dev/zero
cmp -n 10485760 /dev/drbd1 /dev/zero 1048576
S
serve 1 64 memory -- bash /tmp/raw.sh

cat > /tmp/fs.sh <<'S'
set -eux
mkfs.ext4 -q /dev/drbd2; mkdir -p /mnt
mount /dev/drbd2 /mnt; grep '^/dev/drbd2 /mnt ext4' /proc/mounts; df | grep '^/dev/drbd2 '
fio --name=fs --directory=/mnt --rw=randwrite --bs=4k --size=16m --end_fsync=1 --verify=crc32c --do_verify=0 --output-format=terse >/tmp/fio
umount /mnt; echo 3 > /proc/sys/vm/drop_caches; mount /dev/drbd2 /mnt
fio --name=fs --directory=/mnt --rw=randread --bs=4k --size=16m --verify=crc32c --verify_only=1 --verify_fatal=1 --output-format=terse >/tmp/fio
umount /mnt
S
serve 2 96 memory -- bash /tmp/fs.sh

# Killed under a mounted file system: the next engine starts, and what is left goes with the mount.
cat > /tmp/kill.sh <<'S'
set -eux
mkfs.ext4 -q /dev/drbd3; mount /dev/drbd3 /mnt
kill -9 $PPID
S
serve 3 32 memory -- bash /tmp/kill.sh && exit 1
serve 3 32 memory -- mkfs.ext4 -q /dev/drbd3
umount /mnt || true
serve 3 32 memory -- mkfs.ext4 -q /dev/drbd3
ls /dev/ublkb* 2>/dev/null && exit 1

# Held open: refused, and whoever insists gets errors, never a hang.
cat > /tmp/hold.sh <<'S'
sleep 1000 </dev/drbd5 &
echo $! > /tmp/holder
S
./device_serve ublk 5 16 memory -- bash /tmp/hold.sh 2>/tmp/held && exit 1
cat /tmp/held; grep -q 'ResourceBusy' /tmp/held
kill "$(cat /tmp/holder)"
serve 5 16 memory --resize 24 -- bash -c '[ "$(blockdev --getsize64 /dev/drbd5)" = 25165824 ]'

# For comparison only: the machine is emulated.
serve 4 64 null -- fio --name=null --filename=/dev/drbd4 --rw=randwrite --bs=4k --direct=1 --ioengine=libaio \
    --iodepth=16 --size=64m --time_based --runtime=3 | grep IOPS
