# First process of a host; runs inside its new namespaces with the arguments
#   NAME PROGRAM_DIRECTORY PROGRAMS
# and lives until its standard input closes. Prints "ready" when the host may be used.
set -eu
name=$1 programs=$2 names=$3

mount -t tmpfs -o mode=755 scratch /mnt
mkdir -p /mnt/run /mnt/dev
for directory in etc usr var; do
    mkdir -p "/mnt/$directory/upper" "/mnt/$directory/work"
    mount -t overlay -o "lowerdir=/$directory,upperdir=/mnt/$directory/upper,workdir=/mnt/$directory/work" overlay "/$directory"
done

# A DRBD that is installed on this machine must not be mistaken for the one under test.
rm -rf /etc/drbd.conf /etc/drbd.d /etc/default/drbd /etc/init.d/drbd
for program in $names; do
    rm -f "/sbin/$program"
    : >"/sbin/$program"
    mount --bind "$programs/$program" "/sbin/$program"
done

# This machine's own nodes, except that what is made here is seen here only.
mount -t tmpfs -o mode=755 dev /mnt/dev
for node in null zero full random urandom tty ptmx fuse loop-control kmsg ublk-control; do
    [ ! -e "/dev/$node" ] || cp -a "/dev/$node" "/mnt/dev/$node"
done
for number in $(seq 0 63); do mknod -m 600 "/mnt/dev/loop$number" b 7 "$number"; done
ln -s /proc/self/fd /mnt/dev/fd
ln -s /proc/self/fd/0 /mnt/dev/stdin
ln -s /proc/self/fd/1 /mnt/dev/stdout
ln -s /proc/self/fd/2 /mnt/dev/stderr
mkdir -p /mnt/dev/pts /mnt/dev/shm
mount -t devpts -o ptmxmode=666,newinstance devpts /mnt/dev/pts
rm -f /mnt/dev/ptmx
ln -s pts/ptmx /mnt/dev/ptmx
mount -t tmpfs shm /mnt/dev/shm
mount --move /mnt/dev /dev

mount -t tmpfs -o mode=755 run /run
mkdir -p /run/lock
mount -t tmpfs -o mode=1777 tmp /tmp
mount -t tmpfs -o mode=755 mnt /mnt
mkdir -p /var/lib/drbd

hostname "$name"
printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$name" >/etc/hosts
ip link set lo up

echo ready
exec >/dev/null 2>&1
# Orphans of the host end here and have to be reaped: bash does that while it waits for the line
# that never comes.
read -r _ || :
