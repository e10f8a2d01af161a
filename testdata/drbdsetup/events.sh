# Runs events and events2 of the genuine drbdsetup-84 and of ours (/host/drbdsetup-84 --backend kernel) side by side in a
# kernel node while two resources of it replicate with each other; prints what differs. Started by `capture`.
G=/lib/drbd/drbdsetup-84; O="/host/drbdsetup-84 --backend kernel"
$G events2 all > /tmp/g2 2>&1 & p1=$!; $O events2 all > /tmp/o2 2>&1 & p2=$!
$G events2 --statistics > /tmp/g3 2>&1 & p3=$!; $O events2 --statistics > /tmp/o3 2>&1 & p4=$!
$G events > /tmp/g1 2>&1 & p5=$!; $O events > /tmp/o1 2>&1 & p6=$!
$G events2 r1 > /tmp/g4 2>&1 & p7=$!; $O events2 r1 > /tmp/o4 2>&1 & p8=$!
$G events 0 > /tmp/g5 2>&1 & p9=$!; $O events 0 > /tmp/o5 2>&1 & p10=$!
sleep 1
for n in a b; do
drbdmeta --force 0 v08 /dev/ubda internal create-md </dev/null >/dev/null 2>&1
drbdmeta --force 1 v08 /dev/ubdb internal create-md </dev/null >/dev/null 2>&1
$G new-resource r0; $G new-minor r0 0 0; $G attach 0 /dev/ubda /dev/ubda internal --resync-rate=100M --c-plan-ahead=0
$G new-resource r1; $G new-minor r1 1 0; $G attach 1 /dev/ubdb /dev/ubdb internal --resync-rate=100M --c-plan-ahead=0
$G connect r0 127.0.0.1:7788 127.0.0.1:7789 --verify-alg=md5; $G connect r1 127.0.0.1:7789 127.0.0.1:7788 --verify-alg=md5
$G wait-connect 0 
$G primary 0 --force; sleep 1; $G pause-sync 0; $G resume-sync 0
$G wait-sync 1 ; $G suspend-io 0; $G resume-io 0; $G verify 0; sleep 2; $G detach 1; $G disconnect 127.0.0.1:7788 127.0.0.1:7789; $G outdate 1; $G secondary 0; $G down r0; $G down r1
done
sleep 1; kill $p1 $p2 $p3 $p4 $p5 $p6 $p7 $p8 $p9 $p10; wait
for i in 1 2 3 4 5; do echo "--- $i"; wc -l /tmp/g$i; diff /tmp/g$i /tmp/o$i && echo same; done
