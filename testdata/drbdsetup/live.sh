S=/lib/drbd/drbdsetup-84
r() { printf "===";  printf "|%s" "$@"; echo; "$S" "$@" >/tmp/o 2>/tmp/e; rc=$?; sed "s/^/o|/" /tmp/o; sed "s/^/e|/" /tmp/e; [ -z "$(tail -c1 /tmp/e)" ] || { echo; echo "e+"; }; echo "rc=$rc"; }
drbdmeta --force 0 v08 /dev/ubda internal create-md </dev/null >/dev/null 2>&1
drbdmeta --force 1 v08 /dev/ubdb flex-external create-md </dev/null >/dev/null 2>&1
r down "r x"
r show
r new-resource r0
r new-minor r0 0 0
r role 0
r cstate 0
r dstate 0
r get-gi 0
r show-gi 0
r sh-status 0
r attach 0 /dev/ubda /dev/ubda internal --resync-rate=1M --disk-timeout=5 --fencing=resource-only --al-updates=no --resync-after=-1 --c-fill-target=1M
r new-minor r0 7 1
r connect r0 10.99.7.2:7788 ipv4:10.99.7.1:7789 --protocol=B --shared-secret='ge"he\im' --cram-hmac-alg=sha1 --after-sb-0pri=discard-zero-changes --allow-two-primaries=no --verify-alg=md5 --congestion-fill=1M
r new-resource r1 --cpu-mask=3 --on-no-data-accessible=suspend-io
r show
r show --show-defaults
r show r0
r show 0
r show 7
r show r1
r role 0
r state 0
r cstate 0
r dstate 0
r dstate 7
r get-gi 0
r show-gi 0
r show-gi 7
r get-gi 7
r sh-status
r sh-status r1
r sh-status 7
r primary 0
r primary 0 --force=yes
r primary 7
r show-gi 0
r role 0
r status
r status --verbose
r status --statistics
r status --verbose --statistics
r status --verbose --statistics --color=always
r status --color r0
r events2 --now
r events2 --now --statistics r0
r attach 0 /dev/ubda /dev/ubda internal
r detach 0
r detach 0 --force
r new-minor r0 0 1
r del-minor 0
r del-resource r0
r connect r0 1.2.3.4 5.6.7.8
r resize 0
r verify 0
r pause-sync 0
r pause-sync 0
r resume-sync 0
r resume-sync 0
r outdate 0
r invalidate 0
r invalidate-remote 0
r new-current-uuid 0
r suspend-io 0
r status
r sh-status 0
r resume-io 0
r wait-connect 0 --wfc-timeout=1
r net-options 10.99.7.2:7788 10.99.7.1:7789 --timeout=70 --allow-two-primaries
r disk-options 0 --set-defaults --md-flushes=no
r resource-options r0 --cpu-mask=1
r show r0
r disconnect 10.99.7.2:7788 10.99.7.1:7789
r sh-status 7
r check-resize 0
r secondary 0
r down r0
r down r1
r show
