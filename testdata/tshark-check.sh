#!/bin/bash
# tshark-check.sh PCAP [PORT]
# The independent judge of our packets: Wireshark's DRBD dissector reads every TCP byte of the
# capture, or those from and to PORT. Prints what makes no sense and exits 1 if there was anything:
#   malformed packets, unknown commands, bytes that belong to no packet, gaps in the capture,
#   or no handshake at all (then nothing was checked).
# Exit 2: wrong usage, or no tshark.
set -euo pipefail

[ $# = 1 ] || [ $# = 2 ] || { sed -n '2,7s/^# //p' "$0" >&2; exit 2; }
pcap=$1 filter=tcp${2:+".port == $2"}
command -v tshark >/dev/null || { echo "tshark-check: tshark is not installed" >&2; exit 2; }

fields=(frame.number tcp.len tcp.reassembled_in tcp.analysis.retransmission
    tcp.analysis.lost_segment drbd.command drbd.feature_flags _ws.malformed.expert _ws.col.Info
    tcp.stream tcp.analysis.spurious_retransmission tcp.analysis.zero_window_probe)

# Two passes (-2): only then a segment knows whether its packet was completed later.
tshark -2 -r "$pcap" --enable-heuristic drbd_tcp -o tcp.check_checksum:FALSE \
    -Y "$filter" -T fields -E separator=/t -E occurrence=a -E aggregator=, \
    $(printf -- '-e %s ' "${fields[@]}") 2> >(grep -v '^Running as user' >&2) |
awk -F'\t' -v pcap="$pcap" '
    function bad(what) { printf "%s: frame %s: %s: %s\n", pcap, $1, what, $9; errors++ }

    # Without feature WRITE_SAME (4) P_SIZES (0d) is shorter, and at old versions P_PROTOCOL (0b)
    # and P_SYNC_PARAM (0a) are. The dissector does not know that: it calls those of the kernel
    # malformed as well. So many objections a segment may have.
    function dissector_gaps(    count, commands, i) {
        if (!($10 in old)) return 0
        for (i = split($6, commands, ","); i > 0; i--) if (commands[i] ~ /^0x000[abd]$/) count++
        return count
    }

    $7 != "" {
        handshakes++
        for (i = split($7, flags, ","); i > 0; i--) if (flags[i] !~ /[4-7c-f]$/) old[$10] = 1
    }
    $5 != ""                { bad("segments missing in the capture") }
    split($8, ignored, ",") > dissector_gaps() { bad("malformed") }
    $9 ~ /Unknown \(/       { bad("unknown command") }
    $6 != ""                { packets += split($6, ignored, ",") }
    # Bytes that TCP sends a second time belong to a packet only once.
    $2 > 0 && $3 == "" && $6 == "" && $4 $11 $12 == "" { bad("bytes of no packet") }

    END {
        if (!handshakes) { printf "%s: no DRBD handshake\n", pcap; errors++ }
        printf "%s: %d packets, %d handshakes, %d errors\n", pcap, packets, handshakes / 2, errors
        exit errors > 0
    }'
