#!/bin/bash
# Captures help.txt: the usage texts of the genuine drbdsetup-84. It needs no kernel.
S=${1:?path of drbdsetup-84}
r() { printf "===";  printf "|%s" "$@"; echo; "$S" "$@" >/tmp/o$$ 2>/tmp/e$$; rc=$?; sed "s/^/o|/" /tmp/o$$; sed "s/^/e|/" /tmp/e$$; echo "rc=$rc"; }
for w in help xml-help --help -h foo; do r $w; r $w foo; done
r 0 -h; r attach --help; r role -h; r help role role
for c in primary secondary attach disk-options detach connect net-options disconnect resize resource-options new-current-uuid invalidate invalidate-remote pause-sync resume-sync suspend-io resume-io outdate verify down state role sh-status cstate dstate show-gi get-gi show status check-resize events events2 wait-connect wait-sync new-resource new-minor del-minor del-resource; do
    r help $c; r xml-help $c
done
rm -f /tmp/o$$ /tmp/e$$
