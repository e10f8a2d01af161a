#!/bin/sh
# Writes golden.txt: what the genuine drbdadm of 8.4 answers to commands.list. Needs the oracle.
set -eu
cd "$(dirname "$0")"
program=${DRBD_ORACLE:-/var/tmp/drbd-oracle}/utils/lib/drbd/drbdadm-84
export __DRBD_NODE__=alpha DRBD_DRIVER_VERSION_OVERRIDE=8.4.11 DRBD_DONT_WARN_ON_VERSION_MISMATCH=1
while read -r file arguments; do
    echo "\$ $file $arguments"
    status=0
    # shellcheck disable=SC2086 # the arguments are words
    "$program" -c "$file" $arguments >out.tmp 2>err.tmp </dev/null || status=$?
    cat out.tmp
    sed 1,4d err.tmp | sed 's/^/! /'
    echo "[$status]"
done <commands.list | sed -e "s|$PWD/|/etc/|g" -e "s|${program%/*}/||g" -e 's/drbdsetup-84/drbdsetup/g' \
    -e 's/drbdadm-84/drbdadm/g' -e 's/ --use-bmbv=yes//' >golden.txt
rm -f out.tmp err.tmp
