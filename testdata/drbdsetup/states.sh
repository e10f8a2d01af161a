# Compares what both programs print in a dozen states of two resources of one kernel node that replicate with each other.
# Started by `capture`; the programs are the genuine drbdsetup-84 and ours.
G=/lib/drbd/drbdsetup-84; O="/host/drbdsetup-84 --backend kernel"; n=0
c() {
    while read -r words; do
        $G $words > /tmp/g 2>&1; gr=$?; $O $words > /tmp/o 2>&1; or=$?; n=$((n+1))
        [ $gr = $or ] && cmp -s /tmp/g /tmp/o || { echo "DIFFERENT while $1: $words ($gr, $or)"; diff /tmp/g /tmp/o; }
    done << 'EOC'
status
status --verbose
status --statistics
status --verbose --statistics --color=always
status --color
status r1 --verbose --color
show
show --show-defaults
show 1
sh-status
sh-status 0
sh-status r1
role 0
cstate 1
dstate 0
get-gi 0
show-gi 1
events2 --now --statistics
check-resize 0
status nope
show nope
EOC
}
q() { "$@" 2>/dev/null; }
drbdmeta --force 0 v08 /dev/ubda internal create-md </dev/null >/dev/null 2>&1
drbdmeta --force 1 v08 /dev/ubdb internal create-md </dev/null >/dev/null 2>&1
c empty
$G new-resource r0; $G new-minor r0 0 0; c new
$G attach 0 /dev/ubda /dev/ubda internal --resync-rate=500 --c-plan-ahead=0; c attached
$G new-resource r1 --on-no-data-accessible=suspend-io; $G new-minor r1 1 0
$G attach 1 /dev/ubdb /dev/ubdb internal --resync-rate=500 --c-plan-ahead=0 --fencing=resource-only
$G connect r0 127.0.0.1:7788 127.0.0.1:7789 --verify-alg=md5 --timeout=70 --sndbuf-size=1M --ko-count=3; c waiting
$G connect r1 127.0.0.1:7789 127.0.0.1:7788 --verify-alg=md5; q $G wait-connect 0 --wfc-timeout=5; c connected
$G primary 0 --force; $G pause-sync 0; $G pause-sync 1; sleep 1; c paused
$G resume-sync 0; sleep 1; c 'paused by the peer'; $G resume-sync 1
$G disk-options 0 --resync-rate=100M; $G disk-options 1 --resync-rate=100M; q $G wait-sync 1 --wfc-timeout=20; c synced
$G suspend-io 0; c suspended; $G resume-io 0
$G detach 1; c 'the peer has no disk'
$G disconnect 127.0.0.1:7788 127.0.0.1:7789; c alone; $G down r1
$G connect r0 'ipv6:[::1]:7788' 'ipv6:[::1]:7789'; $G secondary 0; $G outdate 0; c outdated
$G disk-options 0 --set-defaults; $G detach 0; c detached; $G down r0; c down; echo "$n outputs compared"
