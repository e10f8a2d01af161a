//! Requests that commands send, and what becomes of the answers.

mod support;

use drbd_control::{
    Answer, Connection, Context, DiskConf, Events, FamilyId, Message, MetaIndex, Op, Part, Request,
    RetCode, Setting, SibReason, StateInfo, TimeoutParms, TimeoutType, Unmentioned,
};
use drbd_types::{ConnState, DiskState, Minor, Role, State, StateOutcome, VolumeNr};
use drbdsetup::Surroundings;
use drbdsetup::backend::Engine;
use drbdsetup::client::Client;
use drbdsetup::outcome::{Exit, verdict};
use drbdsetup::run::Paths;
use support::{Knowledge, Node, bare, run, run_in, words};

/// The one request of a command.
fn request(line: &str) -> Request {
    let (_, mut requests) = run(&words(line), &Knowledge::default());
    assert_eq!(requests.len(), 1, "{line}");
    requests.remove(0)
}

#[test]
fn attach_sends_devices_and_options_in_their_own_units() {
    let request = request(
        "attach 3 /dev/ubda /dev/ubda 5 --size=1G --resync-rate=1M --resync-after=-1 \
        --md-flushes=no --fencing=resource-only",
    );
    assert_eq!((request.op, request.minor), (Op::Attach, Some(Minor(3))));
    let DiskConf {
        meta_index,
        settings,
        ..
    } = request.params.unwrap().disk_conf().unwrap();
    assert_eq!(meta_index, MetaIndex(5));
    assert_eq!(settings.number("size"), Some(2_097_152), "sectors");
    assert_eq!(settings.number("resync-rate"), Some(1024), "KiB/s");
    assert_eq!(settings.minor("resync-after"), None);
    assert_eq!(settings.switch("md-flushes"), Some(false));
    assert_eq!(settings.number("fencing"), Some(1));
    assert_eq!(settings.given("timeout"), None);
}

#[test]
fn options_that_are_not_mentioned_are_kept_or_reset_as_asked() {
    let kept = request("resource-options r0 --cpu-mask=3");
    assert_eq!(kept.unmentioned, Unmentioned::Keep);
    let reset = request("resource-options r0 --set-defaults --cpu-mask 3");
    assert_eq!(reset.unmentioned, Unmentioned::Reset);
    let change = reset.params.unwrap().change().unwrap();
    assert_eq!(
        change.given("cpu-mask"),
        Some(&Setting::Text("3".to_owned()))
    );
}

#[test]
fn connections_are_named_by_their_addresses_and_by_nothing_else() {
    let request = request("net-options ipv6:[::1]:7789 10.0.0.1 --protocol=a");
    let context = request.context.unwrap();
    assert_eq!(context.resource, None);
    assert_eq!(context.my_addr.unwrap().to_string(), "ipv6 [::1]:7789");
    assert_eq!(context.peer_addr.unwrap().to_string(), "ipv4 10.0.0.1:7788");
    let change = request.params.unwrap().change().unwrap();
    assert_eq!(change.number("protocol"), Some(1), "either case");
}

#[test]
fn object_and_command_may_change_places_and_flags_said_no_are_not_sent() {
    let request = request("/dev/drbd12 primary --force=no");
    assert_eq!((request.op, request.minor), (Op::Primary, Some(Minor(12))));
    assert_eq!(request.params, None);
}

/// Spec 30 section 2.5.
#[test]
fn every_answer_has_the_exit_status_that_scripts_know() {
    use StateOutcome as S;
    let cases: [(Answer, u8, &str); 10] = [
        (RetCode::NoError.into(), 0, ""),
        (S::Success.into(), 0, ""),
        (S::NothingToDo.into(), 0, ""),
        (S::CwNoNeed.into(), 0, ""),
        (
            RetCode::ImplicitShrink.into(),
            10,
            "r0: Failure: (170) Implicit device shrinking not allowed. See kernel log.\n\n",
        ),
        (
            S::UnknownError.into(),
            11,
            "r0: State change failed: (0)unknown error.\n",
        ),
        (
            S::NoUpToDateDisk.into(),
            17,
            "r0: State change failed: (-2) Need access to UpToDate data\n",
        ),
        (
            S::NoLocalDisk.into(),
            16,
            "r0: State change failed: (-4) Can not resync without local disk\n",
        ),
        (
            S::LowerThanOutdated.into(),
            5,
            "r0: State change failed: (-16) Disk state is lower than outdated\n",
        ),
        (
            Answer::Other(999),
            20,
            "r0: Error code 999 unknown.\nYou should update the drbd userland tools.\n",
        ),
    ];
    for (answer, exit, text) in cases {
        assert_eq!(verdict("r0", answer), (Exit(exit), text.to_owned()));
    }
    assert_eq!(verdict("0", S::DeviceInUse.into()).0, Exit(11));
}

fn paths(dir: &tempfile::TempDir) -> Paths {
    Paths {
        lock_dir: dir.path().to_owned(),
        run_dir: dir.path().to_owned(),
        state_dir: dir.path().to_owned(),
    }
}

fn device(state: State) -> Message {
    bare(Op::GetStatus, Some(4), Context::volume("r0", VolumeNr(0))).with(StateInfo {
        state: state.into(),
        ..StateInfo::default()
    })
}

#[test]
fn a_command_on_a_minor_waits_for_the_lock_and_names_its_holder() {
    use std::io::{BufRead, BufReader, Write};
    use std::process::{Command, Stdio};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("drbd-147-4");
    // Record locks are per process: another one has to hold it.
    let script = "import \
        fcntl,sys\nf=open(sys.argv[1],'w')\nfcntl.lockf(f,fcntl.LOCK_EX)\nprint('held',flush=True)\nsys.stdin.read()";
    let mut holder = Command::new("python3")
        .args(["-c", script])
        .arg(&path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(holder.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "held\n");

    let (ending, requests) = run_in(&words("secondary 4"), &Knowledge::default(), &paths(&dir));
    let expected = format!(
        "lock on {} currently held by pid:{}\n",
        path.display(),
        holder.id()
    );
    assert_eq!((ending.err, ending.exit), (expected, 20));
    assert!(requests.is_empty());
    let (ending, _) = run_in(&words("role 4"), &Knowledge::default(), &paths(&dir));
    assert_eq!(ending.exit, 10, "queries take no lock");

    holder.stdin.take().unwrap().flush().unwrap();
    holder.wait().unwrap();
    let (ending, _) = run_in(&words("secondary 4"), &Knowledge::default(), &paths(&dir));
    assert!(ending.err.starts_with("4: Failure: (127)"), "{ending:?}");
}

/// A server that answers request by request as the test says, then closes.
fn scripted(line: &str, answers: impl FnOnce(&Connection) + Send + 'static) -> support::Ending {
    let (client, server) = Connection::pair().unwrap();
    let server = std::thread::spawn(move || answers(&server));
    let client = std::cell::Cell::new(Some(client));
    let connect = |_| Ok(Client::new(Box::new(Engine::new(client.take().unwrap()))));
    let dir = tempfile::tempdir().unwrap();
    let here = Surroundings {
        world: &Node,
        connect: &connect,
        paths: paths(&dir),
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = drbdsetup::execute("drbdsetup", &words(line), &here, &mut out, &mut err);
    server.join().unwrap();
    support::Ending {
        out: String::from_utf8(out).unwrap(),
        err: String::from_utf8(err).unwrap(),
        exit: exit.0,
    }
}

fn next(server: &Connection) -> Request {
    let mut buffer = Vec::new();
    let bytes = server.recv(&mut buffer).unwrap().unwrap();
    Request::decode(bytes, FamilyId::ENGINE).unwrap()
}

fn send(server: &Connection, message: &Message) {
    server.send(&message.encode(FamilyId::ENGINE)).unwrap();
}

fn timeout_type(server: &Connection, timeout_type: TimeoutType) {
    let request = next(server);
    assert_eq!(request.op, Op::GetTimeoutType);
    send(
        server,
        &request
            .reply(RetCode::NoError)
            .with(TimeoutParms { timeout_type }),
    );
}

const WAITING: State = State {
    conn: ConnState::WfConnection,
    disk: DiskState::UpToDate,
    ..State::INITIAL
};

fn changed(to: State) -> Message {
    let mut message = Message::notice(Op::Event, 3, Some(Minor(4)));
    message.parts = device(to).parts;
    for part in &mut message.parts {
        if let Part::StateInfo(info) = part {
            info.reason = SibReason::STATE_CHANGE;
        }
    }
    message
}

#[test]
fn wait_connect_ends_with_the_event_that_it_waits_for() {
    let ending = scripted("wait-connect 4", |server| {
        timeout_type(server, TimeoutType::DEFAULT);
        let request = next(server);
        assert_eq!((request.op, request.events), (Op::GetStatus, Events::Join));
        let mut status = request.item(Some(Minor(4)));
        status.parts = device(WAITING).parts;
        send(server, &status);
        let other = Message::notice(Op::Event, 3, Some(Minor(5))).with(StateInfo {
            state: State {
                conn: ConnState::Connected,
                ..WAITING
            }
            .into(),
            ..StateInfo::default()
        });
        send(server, &other);
        send(
            server,
            &changed(State {
                conn: ConnState::WfReportParams,
                ..WAITING
            }),
        );
        send(
            server,
            &changed(State {
                conn: ConnState::SyncSource,
                ..WAITING
            }),
        );
        // The command has what it wants: it closes.
        assert_eq!(server.recv(&mut Vec::new()).unwrap(), None);
    });
    assert_eq!(ending, support::Ending::default());
}

#[test]
fn wait_sync_waits_for_the_end_of_the_resync_and_gives_up_when_stand_alone() {
    for (last, line, exit) in [
        (ConnState::Connected, "wait-sync 4", 0),
        (ConnState::StandAlone, "wait-sync 4", 0),
    ] {
        let ending = scripted(line, move |server| {
            timeout_type(server, TimeoutType::DEFAULT);
            let request = next(server);
            let mut status = request.item(Some(Minor(4)));
            status.parts = device(State {
                conn: ConnState::SyncTarget,
                ..WAITING
            })
            .parts;
            send(server, &status);
            send(
                server,
                &changed(State {
                    conn: last,
                    ..WAITING
                }),
            );
            assert_eq!(server.recv(&mut Vec::new()).unwrap(), None);
        });
        assert_eq!(ending.exit, exit);
    }
}

#[test]
fn a_degraded_node_waits_only_its_own_timeout() {
    let line = "wait-connect 4 --wfc-timeout=300 --degr-wfc-timeout=1 --outdated-wfc-timeout=1";
    let ending = scripted(line, |server| {
        timeout_type(server, TimeoutType::DEGRADED);
        let request = next(server);
        let mut status = request.item(Some(Minor(4)));
        status.parts = device(WAITING).parts;
        send(server, &status);
        assert_eq!(server.recv(&mut Vec::new()).unwrap(), None);
    });
    assert_eq!(ending.exit, 5);
}

#[test]
fn stand_alone_after_a_split_brain_is_waited_for_only_if_asked() {
    let alone = State {
        conn: ConnState::StandAlone,
        ..WAITING
    };
    let ending = scripted("wait-connect 4 --wait-after-sb", move |server| {
        timeout_type(server, TimeoutType::DEFAULT);
        let request = next(server);
        let mut status = request.item(Some(Minor(4)));
        status.parts = device(alone).parts;
        send(server, &status);
        send(
            server,
            &changed(State {
                conn: ConnState::Connected,
                ..WAITING
            }),
        );
        assert_eq!(server.recv(&mut Vec::new()).unwrap(), None);
    });
    assert_eq!(ending.exit, 0);
    assert_eq!(
        ending.err,
        "\ndrbd4 (r0[0]) is StandAlone, but I'm configured to wait anways (--wait-after-sb)\n"
    );
}

#[test]
fn down_forgets_the_links_that_drbdadm_made() {
    let dir = tempfile::tempdir().unwrap();
    for name in [
        "drbd-minor-4.conf",
        "drbd-resource-r0.conf",
        "drbd-minor-5.conf",
    ] {
        std::fs::write(dir.path().join(name), "").unwrap();
    }
    let (client, server) = Connection::pair().unwrap();
    let server = std::thread::spawn(move || {
        let request = next(&server);
        assert_eq!(request.context, Some(Context::resource("r0")));
        let mut item = request.item(Some(Minor(4)));
        item.parts = device(WAITING).parts;
        send(&server, &item);
        server.send(&request.done(Ok(()))).unwrap();
        let request = next(&server);
        assert_eq!(request.op, Op::Down);
        send(&server, &request.reply(RetCode::NoError));
    });
    let client = std::cell::Cell::new(Some(client));
    let connect = |_| Ok(Client::new(Box::new(Engine::new(client.take().unwrap()))));
    let here = Surroundings {
        world: &Node,
        connect: &connect,
        paths: paths(&dir),
    };
    let exit = drbdsetup::execute(
        "drbdsetup",
        &words("down r0"),
        &here,
        &mut Vec::new(),
        &mut Vec::new(),
    );
    server.join().unwrap();
    assert_eq!(exit, Exit::OK);
    let left: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name.to_string_lossy().ends_with(".conf"))
        .collect();
    assert_eq!(left, ["drbd-minor-5.conf"]);
}

#[test]
fn an_engine_that_dies_while_it_is_asked_is_reported_and_not_waited_for() {
    let ending = scripted("primary 4", |server| {
        next(server);
    });
    assert_eq!(
        (ending.err.as_str(), ending.exit),
        ("4: error receiving config reply\n", 20)
    );
    let ending = scripted("role 4", |server| {
        let request = next(server);
        server
            .send(&request.error(FamilyId::ENGINE, drbd_control::Errno::Perm))
            .unwrap();
    });
    assert_eq!(
        (ending.err.as_str(), ending.exit),
        (
            "received netlink error reply: Operation not permitted\n",
            20
        )
    );
}

#[test]
fn roles_are_told_for_a_device_that_is_not_unconfigured() {
    let primary = State {
        role: Role::Primary,
        peer: Role::Secondary,
        conn: ConnState::SyncSource,
        disk: DiskState::UpToDate,
        pdsk: DiskState::Inconsistent,
        ..State::INITIAL
    };
    let mut message = device(primary);
    for part in &mut message.parts {
        if let Part::StateInfo(info) = part {
            info.bits_oos = Some(30_712);
            info.bits_rs_total = Some(40_949);
            info.bits_rs_failed = Some(0);
        }
    }
    let knowledge = Knowledge {
        items: vec![(Op::GetStatus, message)],
        ..Knowledge::default()
    };
    let said = |line: &str| run(&words(line), &knowledge).0.out;
    assert_eq!(said("role 4"), "Primary/Secondary\n");
    assert_eq!(said("cstate /dev/drbd4"), "SyncSource\n");
    assert_eq!(said("4 dstate"), "UpToDate/Inconsistent\n");
    // 1000 - (29 * 1000) / (1 + 39), spec 30 section 2.8.
    assert!(said("sh-status 4").contains("\n_resynced_percent=27.5\n"));
}
