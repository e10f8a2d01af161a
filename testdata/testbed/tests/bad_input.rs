//! What goes wrong around a running pair: each failure has the genuine message and leaves nothing
//! half done. Refusals of single commands are in `testdata/compliance/live`.

use std::time::Duration;

use drbd_demo::{f2, wait};
use testbed::node::{Node, Ours, assert_same_data};
use testbed::scenario::{first_day, start_both, wait_in_sync};

const DISK_MIB: u64 = 32;

fn with_secret(secret: &str) -> String {
    let net =
        format!("resource r0 {{\nnet {{\ncram-hmac-alg sha1;\nshared-secret \"{secret}\";\n}}\n");
    f2::RESOURCE.replacen("resource r0 {\n", &net, 1)
}

#[test]
fn peers_with_different_secrets_stand_alone_and_with_the_same_one_they_connect() {
    let network = f2::network().unwrap();
    let first = Ours::start(&network, f2::FIRST, DISK_MIB);
    let second = Ours::start(&network, f2::SECOND, DISK_MIB);
    for (node, secret) in [(&first, "FooFunFactory"), (&second, "BarFunFactory")] {
        node.write("/etc/drbd.d/r0.res", &with_secret(secret));
        node.sh("drbdadm create-md r0 </dev/null && drbdadm up r0");
    }
    for node in [&first, &second] {
        node.wait("StandAlone", &|device| device.connection == "StandAlone");
        assert_eq!(node.device().unwrap().roles, "Secondary/Unknown");
        assert_eq!(node.device().unwrap().disks, "Inconsistent/DUnknown");
    }
    // Spec 50 section 4.2: whoever detects it first says so; the other may only see the connection end.
    assert!(
        [&first, &second]
            .iter()
            .any(|node| node.log().contains("Authentication of peer failed"))
    );

    second.write("/etc/drbd.d/r0.res", &with_secret("FooFunFactory"));
    for node in [&first, &second] {
        node.sh("drbdadm adjust r0");
    }
    for node in [&first, &second] {
        node.wait("connected", &|device| device.connection == "Connected");
        assert!(
            node.log()
                .contains("Peer authenticated using 20 bytes HMAC")
        );
    }
}

#[test]
fn a_port_that_somebody_else_listens_on_ends_in_standalone_until_it_is_free() {
    let network = f2::network().unwrap();
    let first = Ours::start(&network, f2::FIRST, DISK_MIB);
    // A listener on F2's address and port.
    let listen = format!(
        "use IO::Socket::INET; $s = IO::Socket::INET->new(LocalAddr => '{}', LocalPort => {}, Listen => 1) or die; \
         print qq(up\\n); close STDOUT; sleep 1000",
        f2::address(f2::FIRST),
        f2::PORT
    );
    first.sh(&format!(
        "perl -e \"{}\" </dev/null 2>/dev/null & echo $! > /tmp/pid",
        listen.replace('$', "\\$")
    ));
    first.sh("drbdadm create-md r0 </dev/null && drbdadm up r0");
    // As the kernel does it: `up` succeeds, the connection gives up with this message.
    first.wait_for_message(0, "bind before listen failed, err = -98");
    first.wait("StandAlone", &|device| device.connection == "StandAlone");
    first.sh("kill $(cat /tmp/pid); while kill -0 $(cat /tmp/pid); do :; done; drbdadm connect r0");
    first.wait("waiting for the peer", &|device| {
        device.connection == "WFConnection"
    });
}

#[test]
fn a_broken_configuration_stops_the_init_script_before_anything_is_touched() {
    let network = f2::network().unwrap();
    let first = Ours::start(&network, f2::FIRST, DISK_MIB);
    first.sh("drbdadm create-md r0 </dev/null");
    let disk = std::fs::read(first.disk_image()).unwrap();
    first.write(
        "/etc/drbd.d/r0.res",
        &f2::RESOURCE.replacen("address", "adress", 1),
    );
    let started = first.try_sh("/etc/init.d/drbd start </dev/null");
    assert_eq!(started.status, 1, "{}", started.both());
    assert!(
        started.stderr.contains("\ndrbd.d/r0.res:5: Parse error: "),
        "{}",
        started.both()
    );
    assert!(first.device().is_err(), "something is configured");
    assert!(
        disk == std::fs::read(first.disk_image()).unwrap(),
        "the disk was changed"
    );
}

#[test]
fn a_second_engine_on_the_same_run_directory_refuses_and_the_first_goes_on() {
    let network = f2::network().unwrap();
    let first = Ours::start(&network, f2::FIRST, DISK_MIB);
    first.sh("drbdadm create-md r0 </dev/null && drbdadm up r0");
    let engine = first.sh("cat /run/drbd/engine.pid");
    let second = first.try_sh("timeout 20 drbdd </dev/null");
    assert!(
        !matches!(second.status, 0 | 124),
        "the second engine runs: {}",
        second.both()
    );
    assert!(!second.stderr.is_empty(), "it has to say why");
    assert_eq!(first.sh("cat /run/drbd/engine.pid"), engine);
    assert!(first.engine_runs());
    assert_eq!(first.sh("drbdadm role r0"), "Secondary/Unknown\n");
    // "Loading" what is loaded is no failure.
    first.sh("drbdd start");
    assert_eq!(first.sh("cat /run/drbd/engine.pid"), engine);
}

#[test]
fn commands_after_a_killed_engine_neither_hang_nor_believe_its_last_words() {
    let network = f2::network().unwrap();
    let first = Ours::start(&network, f2::FIRST, DISK_MIB);
    first.sh("drbdadm create-md r0 </dev/null && drbdadm up r0");
    first.kill();
    // A fresh engine knows nothing: the genuine answer of a module that was just loaded.
    let role = first.try_sh("drbdadm role r0");
    assert_eq!(
        (role.first_error(), role.status),
        ("1: Failure: (127) Device minor not allocated", 10),
        "{}",
        role.both()
    );
    first.sh("drbdadm up r0");
    assert_eq!(first.sh("drbdadm dstate r0"), "Inconsistent/DUnknown\n");
}

#[test]
fn a_stopped_pair_starts_again_in_sync_without_a_resync() {
    let network = f2::network().unwrap();
    let first = Ours::start(&network, f2::FIRST, DISK_MIB);
    let second = Ours::start(&network, f2::SECOND, DISK_MIB);
    first_day(&first, &second);
    for node in [&first, &second] {
        node.sh("/etc/init.d/drbd stop");
        let gone = || {
            (!node.engine_runs())
                .then_some(())
                .ok_or_else(|| "it runs".to_owned())
        };
        wait::until("the engine ends", Duration::from_secs(10), gone).unwrap();
    }
    let marks = [&first, &second].map(|node| node.log().len());
    for started in start_both(&first, &second) {
        assert_eq!(started.status, 0, "{}", started.both());
    }
    wait_in_sync(&first, &second);
    for (node, mark) in [&first, &second].into_iter().zip(marks) {
        let log = node.log();
        assert!(
            !log[mark.min(log.len())..].contains("Began resync"),
            "{}: {log}",
            node.name()
        );
    }
    first.sh("drbdadm primary r0");
    assert_same_data(&first, &second, first.device_size());
}
