#!/bin/bash
# tshark-check.sh PCAP [PORT]
# The independent judge of our packets: Wireshark's DRBD dissector reads every TCP byte of the
# capture, or those from and to PORT. Prints what makes no sense and exits 1 if there was anything:
#   malformed packets, unknown commands, bytes that belong to no packet (those behind a gap in the
#   capture are such), or no handshake at all (then nothing was checked).
# Exit 2: wrong usage, or no tshark.
set -euo pipefail

[ $# = 1 ] || [ $# = 2 ] || { sed -n '2,7s/^# //p' "$0" >&2; exit 2; }
pcap=$1 filter=tcp${2:+".port == $2"}
command -v tshark >/dev/null || { echo "tshark-check: tshark is not installed" >&2; exit 2; }

fields=(frame.number tcp.len tcp.reassembled_in tcp.analysis.retransmission
    drbd.command drbd.feature_flags _ws.malformed.expert _ws.col.Info
    tcp.stream tcp.analysis.spurious_retransmission tcp.analysis.zero_window_probe
    tcp.analysis.out_of_order)

# Two passes (-2): only then a segment knows whether its packet was completed later. Segments may
# pass the recorded port in another order than they were sent; one that never comes leaves the
# bytes behind it without a packet.
tshark -2 -r "$pcap" --enable-heuristic drbd_tcp -o tcp.check_checksum:FALSE \
    -o tcp.reassemble_out_of_order:TRUE \
    -Y "$filter" -T fields -E separator=/t -E occurrence=a -E aggregator=, \
    $(printf -- '-e %s ' "${fields[@]}") 2> >(grep -v '^Running as user' >&2) |
awk -F'\t' -v pcap="$pcap" '
    function bad(what) { printf "%s: frame %s: %s: %s\n", pcap, $1, what, $8; errors++ }

    # Without feature WRITE_SAME (4) P_SIZES (0d) is shorter, and at old versions P_PROTOCOL (0b)
    # and P_SYNC_PARAM (0a) are. The dissector does not know that: it calls those of the kernel
    # malformed as well. So many objections a segment may have.
    function dissector_gaps(    count, commands, i) {
        if (!($9 in old)) return 0
        for (i = split($5, commands, ","); i > 0; i--) if (commands[i] ~ /^0x000[abd]$/) count++
        return count
    }

    $6 != "" {
        handshakes++
        for (i = split($6, flags, ","); i > 0; i--) if (flags[i] !~ /[4-7c-f]$/) old[$9] = 1
    }
    split($7, ignored, ",") > dissector_gaps() { bad("malformed") }
    $8 ~ /Unknown \(/       { bad("unknown command") }
    $5 != ""                { packets += split($5, ignored, ",") }
    # Bytes that TCP sends a second time belong to a packet only once, and of a segment that was
    # overtaken the dissector does not always say to which packet it belongs.
    $2 > 0 && $3 == "" && $5 == "" && $4 $10 $11 $12 == "" { bad("bytes of no packet") }

    END {
        if (!handshakes) { printf "%s: no DRBD handshake\n", pcap; errors++ }
        printf "%s: %d packets, %d handshakes, %d errors\n", pcap, packets, handshakes / 2, errors
        exit errors > 0
    }'
