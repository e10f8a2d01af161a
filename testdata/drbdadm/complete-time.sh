#!/bin/bash
# How long drbdadm takes to answer a Tab, with many resources in the configuration.
# complete-time.sh [DRBDADM [RESOURCES]]
set -eu
drbdadm=$(realpath "${1:-target/release/drbdadm}")
resources=${2:-10000}
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
for ((n = 0; n < resources; n++)); do
    printf 'resource r%d {\n    device    minor %d;\n    disk      /dev/vg0/r%d;\n    meta-disk internal;\n' \
        $n $n $n
    printf '    on alpha {\n        address 10.0.0.1:%d;\n    }\n' $((n % 60000 + 1000))
    printf '    on beta {\n        address 10.0.0.2:%d;\n    }\n}\n' $((n % 60000 + 1000))
done >"$directory/drbd.conf"

# answer WORD: the time in microseconds, and the number of candidates
answer() {
    local begin=${EPOCHREALTIME/[.,]/} count
    count=$(DRBDADM_COMPLETE=bash _CLAP_COMPLETE_INDEX=4 _CLAP_IFS=$'\n' \
        "$drbdadm" -- drbdadm -c "$directory/drbd.conf" up "$1" | grep -c '')
    echo $((${EPOCHREALTIME/[.,]/} - begin)) "$count"
}

for word in '' r99 r9999; do
    for ((n = 0; n < 15; n++)); do answer "$word"; done | sort -n | sed -n 8p |
        while read -r micros count; do
            printf '%d resources, "%s": %d candidates in %d.%d ms (median of 15)\n' \
                "$resources" "$word" "$count" $((micros / 1000)) $((micros % 1000 / 100))
        done
done
