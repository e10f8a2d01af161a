//! `drbdadm -d adjust` against what runs: the captures of spec 20 section 10.7. A stand-in for
//! drbdsetup prints the running state as `drbdsetup show` of the genuine programs shows it.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

/// Two volumes, waiting for the peer; the text that drbdsetup-84 shows for it.
const RUNNING: &str = r#"resource r0 {
    options {
    }
    net {
        timeout         	60; # 1/10 seconds, default
        cram-hmac-alg   	"sha1";
        shared-secret   	"x y";
    }
    _remote_host {
        address			ipv4 10.9.9.2:7788;
    }
    _this_host {
        address			ipv4 127.0.0.1:7788;
        volume 0 {
            device			minor 0;
            disk			"/dev/loop0";
            meta-disk			internal;
            disk {
                resync-rate     	4096k; # bytes/second
            }
        }
        volume 1 {
            device			minor 1;
            disk			"/dev/loop1";
            meta-disk			internal;
            disk {
                resync-rate     	4096k; # bytes/second
            }
        }
    }
}
"#;

const CONFIG: &str = r#"resource r0 {
    protocol C;
    net { timeout 60; cram-hmac-alg sha1; shared-secret "x y"; }
    disk { resync-rate 4M; }
    volume 0 { device minor 0; disk /dev/loop0; meta-disk internal; }
    volume 1 { device minor 1; disk /dev/loop1; meta-disk internal; }
    on alpha { address 127.0.0.1:7788; }
    on beta { address 10.9.9.2:7788; }
}
"#;

const CONNECT: &str = "--protocol=C --timeout=60 --cram-hmac-alg=sha1 --shared-secret=x\\ y";

fn adjust(config: &str, running: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("show"), running).unwrap();
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = show ] && cat {}\n",
        path("show").display()
    );
    fs::write(path("setup"), script).unwrap();
    fs::set_permissions(path("setup"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(path("t.conf"), config).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_drbdadm"))
        .arg("-c")
        .arg(path("t.conf"))
        .arg("-s")
        .arg(path("setup"))
        .args(["-d", "adjust", "r0"])
        .env("__DRBD_NODE__", "alpha")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let setup = path("setup").display().to_string() + " ";
    String::from_utf8(output.stdout)
        .unwrap()
        .replace(&setup, "")
}

fn changed(from: &str, to: &str) -> String {
    assert!(CONFIG.contains(from));
    adjust(&CONFIG.replace(from, to), RUNNING)
}

#[test]
fn nothing_to_do_prints_nothing() {
    assert_eq!(adjust(CONFIG, RUNNING), "");
    assert_eq!(changed("4M", "4096k"), "");
    assert_eq!(
        changed("resync-rate 4M;", "resync-rate 4M; al-extents 1237;"),
        ""
    );
}

#[test]
fn a_changed_disk_option_sets_all_disk_options() {
    assert_eq!(
        changed("4M", "8M"),
        "disk-options 0 --set-defaults --resync-rate=8M\n\
         disk-options 1 --set-defaults --resync-rate=8M\n"
    );
    assert_eq!(
        changed("resync-rate 4M;", ""),
        "disk-options 0 --set-defaults\ndisk-options 1 --set-defaults\n"
    );
    assert_eq!(
        changed("resync-rate 4M;", "resync-rate 4M; al-extents 257;"),
        "disk-options 0 --set-defaults --al-extents=257 --resync-rate=4M\n\
         disk-options 1 --set-defaults --al-extents=257 --resync-rate=4M\n"
    );
}

#[test]
fn a_changed_net_option_sets_all_net_options() {
    assert_eq!(
        changed("timeout 60", "timeout 50"),
        "net-options ipv4:127.0.0.1:7788 ipv4:10.9.9.2:7788 --set-defaults --protocol=C \
         --timeout=50 --cram-hmac-alg=sha1 --shared-secret=x\\ y\n"
    );
    assert_eq!(
        changed("protocol C", "protocol A"),
        "net-options ipv4:127.0.0.1:7788 ipv4:10.9.9.2:7788 --set-defaults --protocol=A \
         --timeout=60 --cram-hmac-alg=sha1 --shared-secret=x\\ y\n"
    );
}

#[test]
fn another_address_connects_anew() {
    let connect = format!("connect r0 ipv4:127.0.0.1:7799 ipv4:10.9.9.2:7788 {CONNECT}\n");
    assert_eq!(
        changed("127.0.0.1:7788", "127.0.0.1:7799"),
        format!("disconnect ipv4:127.0.0.1:7788 ipv4:10.9.9.2:7788\n{connect}")
    );
}

#[test]
fn a_resource_without_connection_is_connected() {
    let alone = RUNNING
        .replace(
            "    _remote_host {\n        address\t\t\tipv4 10.9.9.2:7788;\n    }\n",
            "",
        )
        .replace("        address\t\t\tipv4 127.0.0.1:7788;\n", "");
    let net = alone.find("    net {").unwrap();
    let end = alone[net..].find("    }\n").unwrap() + net + 6;
    let alone = format!("{}{}", &alone[..net], &alone[end..]);
    assert_eq!(
        adjust(CONFIG, &alone),
        format!("connect r0 ipv4:127.0.0.1:7788 ipv4:10.9.9.2:7788 {CONNECT}\n")
    );
}

#[test]
fn volumes_come_and_go() {
    assert_eq!(
        changed(
            "    volume 1 { device minor 1; disk /dev/loop1; meta-disk internal; }\n",
            ""
        ),
        "detach 1\ndel-minor 1\n"
    );
    assert_eq!(
        changed(
            "    on alpha",
            "    volume 2 { device minor 2; disk /dev/loop2; meta-disk internal; }\n    on alpha"
        ),
        "new-minor r0 2 2\n\
         drbdmeta 2 v08 /dev/loop2 internal apply-al\n\
         attach 2 /dev/loop2 /dev/loop2 internal --resync-rate=4M\n"
    );
    assert_eq!(
        changed("minor 1;", "minor 5;"),
        "detach 1\ndel-minor 1\nnew-minor r0 5 1\n\
         drbdmeta 5 v08 /dev/loop1 internal apply-al\n\
         attach 5 /dev/loop1 /dev/loop1 internal --resync-rate=4M\n"
    );
}

#[test]
fn another_disk_is_attached_in_place_of_the_old_one() {
    assert_eq!(
        changed("disk /dev/loop1", "disk /dev/loop2"),
        "detach 1\n\
         drbdmeta 1 v08 /dev/loop2 internal apply-al\n\
         attach 1 /dev/loop2 /dev/loop2 internal --resync-rate=4M\n"
    );
    assert_eq!(
        changed(
            "disk /dev/loop1; meta-disk internal;",
            "disk /dev/loop1; meta-disk /dev/loop3[0];"
        ),
        "detach 1\n\
         drbdmeta 1 v08 /dev/loop3 0 apply-al\n\
         attach 1 /dev/loop1 /dev/loop3 0 --resync-rate=4M\n"
    );
}

#[test]
fn a_size_is_resized_to() {
    assert_eq!(
        changed(
            "meta-disk internal; }\n    volume 1",
            "meta-disk internal; disk { size 10M; } }\n    volume 1"
        ),
        "resize 0 --size=10M\ncheck-resize 0\n"
    );
}

#[test]
fn segments_of_requests_need_a_new_attach() {
    let got = changed("resync-rate 4M;", "resync-rate 4M; max-bio-bvecs 1;");
    assert!(
        got.starts_with(
            "detach 0\ndetach 1\ndrbdmeta 0 v08 /dev/loop0 internal apply-al\n\
             attach 0 /dev/loop0 /dev/loop0 internal --max-bio-bvecs=1 --resync-rate=4M\n"
        ),
        "{got}"
    );
}

#[test]
fn what_does_not_run_is_created() {
    assert_eq!(
        adjust(CONFIG, ""),
        format!(
            "new-resource r0\nnew-minor r0 0 0\nnew-minor r0 1 1\n\
             drbdmeta 0 v08 /dev/loop0 internal apply-al\n\
             attach 0 /dev/loop0 /dev/loop0 internal --resync-rate=4M\n\
             drbdmeta 1 v08 /dev/loop1 internal apply-al\n\
             attach 1 /dev/loop1 /dev/loop1 internal --resync-rate=4M\n\
             connect r0 ipv4:127.0.0.1:7788 ipv4:10.9.9.2:7788 {CONNECT}\n"
        )
    );
}
