//! What `make install` puts on a machine, and the scripts among it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use drbd_demo::f2;
use drbd_demo::hosts::{Disk, Host, HostSpec, Network};
use drbd_system::{FILES, Policy};
use testbed::programs;

/// `cat` of `/proc/drbd` with a device of every kind, and the table that the genuine 8.4 init script
/// makes of it (spec 70 section 2.5).
const PROC: &str = include_str!("../data/status-table.proc");
const TABLE: &str = include_str!("../data/status-table.out");

/// Answers as drbdadm would for the resources of that table.
const DRBDADM: &str = r#"#!/bin/bash
device() { printf '_conf_res_name=%s\n_stacked_on_minor=%s\n_minor=%s\n_res_name=\n' "$1" "$2" "$3"; }
case "$*" in
sh-status) device r0 '' 0; device mail '' 1; device r0-U 0 10; device web '' 11 ;;
"sh-minor all") printf '%s\n' 0 1 10 11 ;;
"sh-dev all") printf '/dev/%s\n' drbd0 stand-in drbd10 drbd11 ;;
"sh-dev r0") echo /dev/drbd0 ;;
role*) echo "$ROLE"; exit "${ROLE_STATUS:-0}" ;;
primary*|secondary*) exit "${CHANGE_STATUS:-0}" ;;
*) exit 99 ;;
esac
"#;

fn host(network: &Network) -> Host<'_> {
    let disks = [Disk {
        name: "stand-in",
        mebibytes: 8,
    }];
    let spec = HostSpec {
        name: "alpha",
        address: f2::address(f2::FIRST),
        disks: &disks,
        programs: &programs::ours(),
    };
    let host = Host::start(network, &spec).unwrap();
    host.install("/tmp/drbdadm", DRBDADM, 0o755).unwrap();
    host.install(
        "/etc/default/drbd",
        "DRBDADM=/tmp/drbdadm\nPROC_DRBD=/tmp/proc\n",
        0o644,
    )
    .unwrap();
    host
}

#[test]
fn the_status_table_is_the_one_of_the_genuine_script() {
    let network = f2::network().unwrap();
    let host = host(&network);
    host.install("/tmp/proc", PROC, 0o444).unwrap();
    host.sh("mkfs.ext3 -q /dev/stand-in && mkdir /tmp/m && mount -t ext3 /dev/stand-in /tmp/m")
        .unwrap();
    let output = host.try_sh("/etc/init.d/drbd status").unwrap();
    assert_eq!((output.stdout.as_str(), output.status), (TABLE, 0));
}

#[test]
fn the_init_script_says_when_nothing_is_loaded_and_how_it_is_used() {
    let network = f2::network().unwrap();
    let host = host(&network);
    let output = host.try_sh("/etc/init.d/drbd status").unwrap();
    assert_eq!(
        (output.stderr.as_str(), output.status),
        ("drbd not loaded\n", 3)
    );
    let output = host.try_sh("/etc/init.d/drbd frobnicate").unwrap();
    let usage = "Usage: /etc/init.d/drbd {start|stop|status|reload|restart|force-reload}\n";
    assert_eq!((output.stdout.as_str(), output.status), (usage, 1));
}

#[test]
fn drbddisk_answers_heartbeat_as_of_old() {
    let network = f2::network().unwrap();
    let host = host(&network);
    host.install("/tmp/proc", PROC, 0o444).unwrap();
    let cases = [
        (
            "ROLE=Primary/Secondary",
            "r0 status",
            "running (Primary)\n",
            0,
        ),
        (
            "ROLE=Secondary/Primary",
            "r0 status",
            "stopped (Secondary)\n",
            3,
        ),
        (
            "ROLE=Unconfigured",
            "r0 status",
            "stopped (Unconfigured)\n",
            3,
        ),
        (
            "ROLE=Odd",
            "r0 status",
            "cannot determine status, may be running (Odd)\n",
            4,
        ),
        // drbdadm does not answer: the fifth word of the device's line in /proc/drbd counts
        ("ROLE_STATUS=10", "r0 status", "running (Primary)\n", 0),
        (
            "ROLE=Primary/Secondary",
            "status",
            "A resource name is required for status inquiries.\n",
            10,
        ),
        ("CHANGE_STATUS=0", "r0 start", "", 0),
        ("CHANGE_STATUS=0", "r0 stop", "", 0),
        ("CHANGE_STATUS=11", "r0 stop", "", 1),
        (
            "ROLE=",
            "r0 frobnicate",
            "Usage: drbddisk [resource] {start|stop|status}\n",
            1,
        ),
    ];
    for (environment, arguments, stdout, status) in cases {
        let line = format!("export {environment}; /etc/ha.d/resource.d/drbddisk {arguments}");
        let output = host.try_sh(&line).unwrap();
        assert_eq!(
            (output.stdout.as_str(), output.status),
            (stdout, status),
            "{environment} {arguments}"
        );
    }
}

fn install(root: &Path, programs: &Path) {
    let output = Command::new("make")
        .args([
            "install",
            &format!("DESTDIR={}", root.display()),
            &format!("PROGRAMS={}", programs.display()),
        ])
        .current_dir(programs::repository())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn make_install_puts_every_file_in_place_and_keeps_the_administrators_own() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    install(root, &programs::ours());
    for file in FILES {
        let path = root.join(file.path.trim_start_matches('/'));
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            file.content,
            "{}",
            file.path
        );
        assert_eq!(
            path.metadata().unwrap().permissions().mode() & 0o777,
            file.mode,
            "{}",
            file.path
        );
        fs::write(&path, "mine").unwrap();
    }
    for program in ["drbdadm", "drbdsetup", "drbdmeta", "drbdd"] {
        assert_eq!(
            root.join("sbin")
                .join(program)
                .metadata()
                .unwrap()
                .permissions()
                .mode()
                & 0o777,
            0o755
        );
    }

    install(root, &programs::ours());
    for file in FILES {
        let kept =
            fs::read_to_string(root.join(file.path.trim_start_matches('/'))).unwrap() == "mine";
        assert_eq!(kept, file.policy == Policy::IfAbsent, "{}", file.path);
    }
}

/// Where the shells and `man` look.
#[test]
fn make_install_puts_completions_and_manuals_where_they_are_looked_for() {
    let root = tempfile::tempdir().unwrap();
    install(root.path(), &programs::ours());
    for (file, place) in [
        (
            "completions/drbdadm.bash",
            "bash-completion/completions/drbdadm",
        ),
        ("completions/_drbdadm", "zsh/vendor-completions/_drbdadm"),
        (
            "completions/drbdadm.fish",
            "fish/vendor_completions.d/drbdadm.fish",
        ),
        ("man/drbdadm.8", "man/man8/drbdadm.8"),
        ("man/drbdd.8", "man/man8/drbdd.8"),
        ("man/drbdsetup.8", "man/man8/drbdsetup.8"),
        ("man/drbdmeta.8", "man/man8/drbdmeta.8"),
        ("man/drbd.conf.5", "man/man5/drbd.conf.5"),
    ] {
        let installed = root.path().join("usr/share").join(place);
        assert_eq!(
            fs::read(&installed).unwrap(),
            fs::read(programs::repository().join(file)).unwrap(),
            "{file}"
        );
        let mode = installed.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644, "{file}");
    }
}

/// drbdd(8) is written by hand: what the program says of itself must be in it.
#[test]
fn the_manual_of_the_engine_names_every_command_and_option() {
    let help = Command::new(programs::ours().join("drbdd"))
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let page = fs::read_to_string(programs::repository().join("man/drbdd.8")).unwrap();
    let page = page.replace('\\', "");
    let entries = help.lines().filter(|line| line.starts_with("  "));
    let mut found = 0;
    for word in entries.flat_map(str::split_whitespace) {
        if word.starts_with("--") {
            assert!(page.contains(word), "{word}");
            found += 1;
        }
    }
    assert!(found >= 6, "{help}");
    for verb in ["start", "stop", "demo"] {
        assert!(help.contains(&format!("  {verb} ")), "{verb}");
        assert!(page.contains(&format!("\n.B {verb}\n")), "{verb}");
    }
}
