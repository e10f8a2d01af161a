//! The hosts themselves: everything else rests on their being apart from each other.

use std::net::Ipv4Addr;
use std::time::Duration;

use drbd_demo::hosts::{Disk, Host, HostSpec, Network};
use drbd_demo::wait;
use testbed::programs;

const ALPHA: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 21);
const BETA: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 22);

fn network() -> Network {
    Network::new(Ipv4Addr::new(192, 168, 0, 254)).expect("a network can be made")
}

fn host<'net>(network: &'net Network, name: &str, address: Ipv4Addr) -> Host<'net> {
    let disks = [Disk {
        name: "sdb1",
        mebibytes: 8,
    }];
    let spec = HostSpec {
        name,
        address,
        disks: &disks,
        programs: &programs::ours(),
    };
    Host::start(network, &spec).expect("a host starts")
}

#[test]
fn two_hosts_have_their_own_names_files_disks_and_processes() {
    let network = network();
    let (alpha, beta) = (host(&network, "alpha", ALPHA), host(&network, "beta", BETA));
    assert_eq!(alpha.sh("uname -n").unwrap(), "alpha\n");
    assert_eq!(beta.sh("uname -n").unwrap(), "beta\n");

    alpha.sh("echo here > /etc/drbd.conf; mknod /dev/drbd1 b 7 9; printf A > /dev/sdb1; sync /dev/sdb1").unwrap();
    assert_ne!(
        beta.try_sh("grep -qs here /etc/drbd.conf || test -e /dev/drbd1")
            .unwrap()
            .status,
        0
    );
    assert!(
        !std::path::Path::new("/dev/drbd1").exists(),
        "a node leaked to this machine"
    );
    assert_eq!(
        beta.sh("head -c1 /dev/sdb1 | od -An -tx1").unwrap(),
        " 00\n"
    );
    assert_eq!(std::fs::read(alpha.disk_image(0)).unwrap()[0], b'A');
    assert_eq!(
        beta.sh("cat /proc/1/comm; ls -d /proc/[0-9]* | wc -l")
            .unwrap()
            .lines()
            .next(),
        Some("bash")
    );
}

#[test]
fn hosts_reach_each_other_until_a_cable_is_pulled() {
    let network = network();
    let (alpha, beta) = (host(&network, "alpha", ALPHA), host(&network, "beta", BETA));
    let ping = format!("bash -c 'exec 3<>/dev/tcp/{BETA}/1' 2>&1 | grep -q refused");
    let reach = || {
        alpha
            .try_sh(&format!("timeout 1 {ping}"))
            .map_err(|e| e.to_string())
    };
    let limit = Duration::from_secs(10);
    wait::until("beta answers", limit, || {
        reach()?.status.eq(&0).then_some(()).ok_or("silence".into())
    })
    .unwrap();
    beta.unplug().unwrap();
    assert_ne!(reach().unwrap().status, 0);
    beta.plug().unwrap();
    wait::until("beta answers again", limit, || {
        reach()?.status.eq(&0).then_some(()).ok_or("silence".into())
    })
    .unwrap();
}

#[test]
fn a_killed_orphan_is_gone_and_not_a_zombie() {
    let network = network();
    let alpha = host(&network, "alpha", ALPHA);
    let pid = alpha
        .sh("setsid sleep 1000 >/dev/null 2>&1 & echo $!")
        .unwrap();
    alpha.sh(&format!("kill -9 {pid}")).unwrap();
    wait::until(
        "the orphan is reaped",
        Duration::from_secs(5),
        || match alpha.path(&format!("/proc/{}", pid.trim())).exists() {
            true => Err("still in /proc".into()),
            false => Ok(()),
        },
    )
    .unwrap();
}

#[test]
fn nothing_of_a_dropped_host_remains() {
    let network = network();
    let alpha = host(&network, "alpha", ALPHA);
    let marker = "drbd-testbed-marker";
    alpha
        .sh(&format!("(exec -a {marker} sleep 1000) >/dev/null 2>&1 &"))
        .unwrap();
    let image = alpha.disk_image(0).to_owned();
    drop(alpha);
    drop(network);
    let processes = std::process::Command::new("pgrep")
        .args(["-f", marker])
        .output()
        .unwrap();
    assert!(processes.stdout.is_empty(), "a process outlived its host");
    let loops = std::process::Command::new("losetup")
        .arg("-a")
        .output()
        .unwrap();
    assert!(!String::from_utf8_lossy(&loops.stdout).contains(&*image.to_string_lossy()));
    assert!(!image.exists());
}
