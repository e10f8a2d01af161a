S=/lib/drbd/drbdsetup-84
r() { printf "===";  printf "|%s" "$@"; echo; "$S" "$@" >/tmp/o 2>/tmp/e; rc=$?; sed "s/^/o|/" /tmp/o; sed "s/^/e|/" /tmp/e; [ -z "$(tail -c1 /tmp/e)" ] || { echo; echo "e+"; }; echo "rc=$rc"; }
r role
r role x
r role 0 1 2
r role drbd0
r primary --foo 0
r primary --forc=maybe 0
r primary --force=yes 0
r primary --f 5
r primary
r primary all
r show foo
r show 7
r show a b
r role --help
r role -9
r primary -9
r new-minor
r new-minor r0
r new-minor r0 x 0
r new-minor r0 0
r new-minor r0 0 x
r new-minor r0 0 0
r new-minor r0 0 0 9
r new-resource ""
r new-resource a b
r new-resource r0 --cpu-mask
r attach
r attach 0 /dev/ubda
r attach 0 /dev/ubda /dev/ubda
r attach 0 /dev/nope /dev/nope internal
r attach 0 /etc/passwd /etc/passwd internal
r attach 0 /dev/ubda /dev/ubda foo
r attach 0 /dev/ubda /dev/ubda internal extra
r attach 0 /dev/ubda /dev/ubda internal --size=5x
r attach 0 /dev/ubda /dev/ubda internal --size=
r attach 0 /dev/ubda /dev/ubda internal --on-io-error=foo
r attach 0 /dev/ubda /dev/ubda internal --disk-flushes=maybe
r attach 0 /dev/ubda /dev/ubda internal --disk-flushes no
r connect r0
r connect r0 ipv4:1.2.3.4:7788
r connect r0 1.2.3.4 1.2.3.5 x
r connect r0 ipv4:1.2.3.4:99999 1.2.3.5
r connect r0 ipv4:1.2.3.4:x 1.2.3.5
r connect r0 ipv6:[::1]:77 ipv6:::1:78
r connect r0 1.2.3.4 1.2.3.5 --protocol=D
r connect r0 1.2.3.4 1.2.3.5 --timeout
r connect r0 1.2.3.4 1.2.3.5 --after-sb=foo
r connect r0 1.2.3.4 1.2.3.5 --ping=5
r disconnect 1.2.3.4
r disconnect r0
r disconnect 1.2.3.4 1.2.3.5
r net-options 1.2.3.4 1.2.3.5 --timeout=5
r del-minor 9
r del-resource nope
r down
r down nope
r down a b c
r wait-connect 9 --wfc-timeout=1
r wait-connect 0 --wfc-timeout=300001
r wait-connect 0 --wfc-timeout=x
r wait-sync 0 --degr-wfc-timeout=-1
r get-gi 0
r show-gi 0
r get-gi 9
r role 9
r sh-status 9
r sh-status nope
r status nope
r resize 0 --size=1q
r state 0
r verify 9 --start=1 --stop=2k
r cstate 0
r resource-options
r resource-options r0 --set-defaults=yes
r resource-options r0 --set-defaults
r disk-options 0 --al-extents=1
r show --show-defaults=5 r0
r status --verbos r0
r wait-connect
r events2 --now
r events2 nope --now
r check-resize 0
r 0 role
r role 0 --  
r primary -- 0 --force
r detach 0
r secondary 0
r outdate 0
r pause-sync 0
r resume-io 9
r new-current-uuid 0
r invalidate 9
r primary 0
r attach 0 /dev/nope /dev/nope internal extra --size=5x
r attach 0 /dev/nope /dev/nope foo
r attach 0 /dev/nope /dev/nope internal extra
r attach 0 /dev/nope /dev/nope internal --size=5x
r attach 0 /dev/nope --size=5x
r attach 0 --disk
r attach 0 --disk=5
r attach 0 --d=5
r attach 0 --c=5
r attach x --size=5x
r attach --size=5x
r attach --size=5x --disk-fl=x
r connect r0 1.2.3.4 1.2.3.4 x --timeout=6x
r new-minor r0 x y z
r new-minor r0 1 y z
r new-minor r0 1 -1
r new-minor r0 1 4294967297
r new-minor r0 1048576 0
r new-minor r0 99999999999 0
r role 99999999999
r role -1
r role ""
r role /dev/drbd7
r role /dev/drbd7x
r role /dev/ubda
r show ""
r show /dev/drbd9
r down 0
r down /dev/drbd0
r secondary 0 -x
r secondary 0 -xyz
r secondary 0 -
r secondary -h
r secondary --hel
r events --timestamps
r wait-connect 0 --wait-after-sb=foo
r wait-connect 9 --wait-after-sb=no
r wait-connect 9 --wfc=5x
r wait-connect 9 --wfc-timeout 0
r wait-connect 9 --wfc-timeout=5 --degr-wfc-timeout=9 --outdated-wfc-timeout=20
r wait-connect 9 --wfc-timeout=5 --degr-wfc-timeout=3 --outdated-wfc-timeout=4
r wait-connect 9 --wfc-timeout=5 --degr-wfc-timeout=3
r wait-connect 9 --degr-wfc-timeout=3
r new-resource r/x
r new-resource all
r resource-options all --cpu-mask=zz
r connect r5 1.2.3.4 5.6.7.8 --protocol=b --shared-secret=1234567890123456789012345678901234567890123456789012345678901234567890
r connect r5 1.2.3.4 5.6.7.8 --protocol=b
r show r5
r disconnect 1.2.3.4 5.6.7.8
r new-minor r5 1 0
r role 1
r state 1
r cstate 1
r get-gi 1
r show-gi 1
r check-resize 1
r sh-status r5
r detach 1
r primary 1
r outdate 1
r down r5 x
r down r5
r help
r role help
r help role role
r xml-help
r xml-help foo
r verify 9 --start=99999999999G
r show --show-d r0 --show
r show r0 all
r suspend-io all
r down all
r new-current-uuid 9 --clear-bitmap=no
r disconnect 1.2.3.4 5.6.7.8 --force --force=no
r primary 9 --overwrite-data-of-peer
r primary 9 --over
r connect r0 1.1.1.1 2.2.2.2 --dry-run --tent
r resize 9 --size=-1
r resize 9 --size=-x
r status --color=always
r status --color=never
r secondary 0 --
r attach 0 --size 5x
r wait-connect 0 --wfc-timeout=1
r connect r0 10.0.0.1:-5 10.0.0.2
r connect r0 10.0.0.1 10.0.0.2: 
r attach 0 /dev/ubda /dev/ubda -1
r attach 0 /dev/ubda /dev/ubda flexible
r attach 0 /dev/ubda /dev/ubda 3
r resize 0 --al-stripe-size-kB=32 --al-stripes=x
r verify 0 --start=5 --stop
r status all --verbose
r show-gi
r events2 a b
r sh-status a b
r new-resource r0 --on-no-data-accessible
r pause-sync 7 --force
r net-options --protocol=C
r get-gi x
r wait-sync x
r events x y
