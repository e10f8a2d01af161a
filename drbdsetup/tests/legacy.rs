//! Command lines of 0.7 to 8.3 (spec 30 sections 7.2 and 8.1, spec 70 section 8).

mod support;

use drbd_control::{Context, DiskConf, MetaIndex, Op, Part, StateInfo};
use drbd_types::{ConnState, DiskState, Minor, State, VolumeNr};
use drbdsetup::legacy::{Disk, Known, Plan, Siblings, plan, recognise};
use drbdsetup::outcome::Stop;
use support::{Knowledge, Node, bare, endpoint, run, settings, words};

fn planned(line: &str, known: &Known) -> Result<Plan, Stop> {
    let legacy = recognise(&words(line), &Node).unwrap();
    plan(&legacy, known, Some("web"), &Node)
}

/// The command lines of 8.4 that an old one comes to.
fn steps(line: &str, known: &Known) -> Vec<String> {
    let plan = planned(line, known).unwrap();
    plan.steps.iter().map(|step| step.join(" ")).collect()
}

fn existing() -> Known {
    Known {
        resource: Some("r3".to_owned()),
        ..Known::default()
    }
}

#[test]
fn the_commands_of_ganeti_come_to_its_own_commands_for_8_4() {
    assert_eq!(
        steps(
            "/dev/drbd0 disk /dev/ubda /dev/ubda 0 -e detach --create-device -d 100m --no-disk-barrier --no-md-flushes",
            &Known::default()
        ),
        [
            "new-resource web",
            "new-minor web 0 0",
            "attach 0 /dev/ubda /dev/ubda 0 --on-io-error=detach --size=204800s --disk-barrier=no --md-flushes=no",
        ]
    );
    assert_eq!(
        steps(
            "/dev/drbd0 net ipv4:10.0.0.1:11000 ipv4:10.0.0.2:11000 C -A discard-zero-changes -B \
             consensus --create-device -m -a md5 -x geheim",
            &existing()
        ),
        [
            "connect r3 ipv4:10.0.0.1:11000 ipv4:10.0.0.2:11000 --protocol=C \
             --after-sb-0pri=discard-zero-changes --after-sb-1pri=consensus \
             --allow-two-primaries=yes --cram-hmac-alg=md5 --shared-secret=geheim"
        ]
    );
    assert_eq!(
        steps("0 primary -o", &existing()),
        ["primary 0 --force=yes"]
    );
    assert_eq!(
        steps("0 resize -s 10G", &existing()),
        ["resize 0 --size=20971520s"]
    );
    assert_eq!(steps("0 down", &existing()), ["down r3"]);
    assert_eq!(steps("0 down", &Known::default()), [""; 0], "down already");
}

#[test]
fn what_syncer_sets_is_split_by_where_it_belongs_and_remembered_for_what_comes_later() {
    let line = "0 syncer -r 10M -e 257 -v md5 -c 3 --create-device";
    let early = planned(line, &existing()).unwrap();
    assert_eq!(early.steps, [words("resource-options r3 --cpu-mask=3")]);
    let remembered = early.remember.unwrap();
    assert_eq!(
        remembered,
        [
            "--resync-rate=10240k",
            "--al-extents=257",
            "--verify-alg=md5",
            "--cpu-mask=3"
        ]
    );

    let told = Known {
        remembered,
        ..existing()
    };
    assert_eq!(
        steps("0 disk /dev/ubda /dev/ubda internal", &told),
        ["attach 0 /dev/ubda /dev/ubda internal --resync-rate=10240k --al-extents=257"]
    );
    assert_eq!(
        steps("0 net 10.0.0.1 10.0.0.2 b", &told),
        ["connect r3 10.0.0.1 10.0.0.2 --protocol=b --verify-alg=md5"]
    );

    let running = Known {
        disk: Disk::Attached,
        addresses: Some(["ipv4:10.0.0.1:7788", "ipv4:10.0.0.2:7788"].map(str::to_owned)),
        ..told
    };
    let late = planned(
        "0 syncer --set-defaults --rate=20M --csums-alg sha1",
        &running,
    )
    .unwrap();
    assert_eq!(
        late.steps,
        [
            words("disk-options 0 --set-defaults --resync-rate=20480k"),
            words(
                "net-options ipv4:10.0.0.1:7788 ipv4:10.0.0.2:7788 --set-defaults --csums-alg=sha1"
            ),
        ]
    );
    let remembered = late.remember.unwrap();
    assert_eq!(remembered, ["--resync-rate=20480k", "--csums-alg=sha1"]);
    assert_eq!(
        steps("0 disconnect", &running),
        ["disconnect ipv4:10.0.0.1:7788 ipv4:10.0.0.2:7788"]
    );
}

#[test]
fn a_device_that_shares_its_resource_goes_down_alone() {
    let shared = Known {
        siblings: Siblings::Some,
        ..existing()
    };
    assert_eq!(
        steps("4 down", &shared),
        ["secondary 4", "detach 4", "del-minor 4"]
    );
}

#[test]
fn words_of_the_oldest_series_are_understood() {
    assert_eq!(
        steps("/dev/drbd1 wait_connect -t 5 -d 2", &existing()),
        ["wait-connect 1 --wfc-timeout=5 --degr-wfc-timeout=2"]
    );
    assert_eq!(
        steps("/dev/drbd1 primary --do-what-I-say", &existing()),
        ["primary 1 --force=yes"]
    );
    assert_eq!(
        steps("/dev/drbd1 invalidate_remote", &existing()),
        ["invalidate-remote 1"]
    );
    assert_eq!(
        steps("/dev/drbd1 disk /dev/ubda /dev/ubda -1", &existing()),
        ["attach 1 /dev/ubda /dev/ubda internal"]
    );
}

#[test]
fn numbers_are_held_to_the_limits_of_8_3() {
    let stop = planned("0 syncer -r 5G", &existing()).unwrap_err();
    assert_eq!(
        (stop.err.as_str(), stop.exit),
        ("rate 5G => 5242880k out of range [1..4194304]k\n", 20)
    );
    let stop = planned("0 net 10.0.0.1 10.0.0.2 C -t x", &existing()).unwrap_err();
    assert_eq!(stop.err, "x is not a valid number\n");
    let stop = planned("0 syncer -Z", &existing()).unwrap_err();
    assert_eq!(stop.err, "syncer: invalid option -- 'Z'\n");
}

#[test]
fn command_lines_of_8_4_are_left_alone() {
    for line in [
        "primary 0 --force",
        "0 primary --force",
        "0 role",
        "down r0",
        "r0 down",
        "0 verify --start=5",
        "wait-connect 0",
        "new-minor r0 0 0",
    ] {
        assert_eq!(recognise(&words(line), &Node), None, "{line}");
    }
}

#[test]
fn an_old_command_is_carried_out_and_its_refusal_names_the_device_as_typed() {
    let state = State {
        conn: ConnState::WfConnection,
        disk: DiskState::UpToDate,
        ..State::INITIAL
    };
    let device = bare(
        Op::GetStatus,
        Some(4),
        Context::volume("r0", VolumeNr(0))
            .with_addresses(endpoint("10.0.0.1:7788"), endpoint("10.0.0.2:7789")),
    )
    .with(Part::DiskConf(DiskConf {
        backing_dev: "/dev/ubda".to_owned(),
        meta_dev: "/dev/ubda".to_owned(),
        meta_index: MetaIndex::INTERNAL,
        settings: settings(drbd_control::Nest::DiskConf, &[]),
    }))
    .with(Part::NetConf(settings(drbd_control::Nest::NetConf, &[])))
    .with(StateInfo {
        state: state.into(),
        ..StateInfo::default()
    });
    let knowledge = Knowledge {
        items: vec![(Op::GetStatus, device)],
        replies: vec![(
            Op::DiskOpts,
            Some(Minor(4)),
            drbd_control::RetCode::NoError.into(),
        )],
    };
    let (ending, requests) = run(&words("/dev/drbd4 syncer -r 4M -v md5"), &knowledge);
    let ops: Vec<_> = requests.iter().map(|request| request.op).collect();
    assert_eq!(
        ops,
        [Op::GetStatus, Op::GetStatus, Op::DiskOpts, Op::NetOpts]
    );
    let change = requests[2].params.as_ref().unwrap().change().unwrap();
    assert_eq!(change.number("resync-rate"), Some(4096));
    let context = requests[3].context.as_ref().unwrap();
    assert_eq!(context.peer_addr, Some(endpoint("10.0.0.2:7789")));
    assert!(
        ending.err.starts_with("/dev/drbd4: Failure: (162) "),
        "{ending:?}"
    );
    assert_eq!(ending.exit, 10);
}
