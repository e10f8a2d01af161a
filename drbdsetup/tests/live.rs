//! What the genuine drbdsetup-84 9.22 printed while a kernel node was configured, promoted and
//! detached (`testdata/drbdsetup/live.txt`), from the same knowledge.

mod support;

use drbd_control::{
    ConnectionInfo, ConnectionStatistics, Context, DeviceInfo, DeviceStatistics, Message, Nest,
    NotificationHeader, Op, Part, PeerDeviceInfo, PeerDeviceStatistics, ResourceInfo,
    ResourceStatistics, StateInfo, WriteOrdering,
};
use drbd_types::{
    ConnState, DiskState, MdFlags, Minor, Role, SectorCount, State, StateOutcome, Uuid, UuidSet,
    VolumeNr,
};
use support::{Block, Knowledge, bare, blocks, disk, endpoint, run, settings};

const CAPTURE: &str = include_str!("../../testdata/drbdsetup/live.txt");

/// The blocks from the first one with these words on, up to the next one with those.
fn stage(from: &str, to: &str) -> Vec<Block> {
    let blocks = blocks(CAPTURE);
    let is = |block: &Block, words: &str| block.words.join(" ") == words;
    let start = blocks.iter().position(|block| is(block, from)).unwrap();
    let length = blocks[start..]
        .iter()
        .position(|block| is(block, to))
        .unwrap();
    blocks[start..start + length].to_vec()
}

#[track_caller]
fn assert_stage(blocks: &[Block], knowledge: &Knowledge) {
    assert!(blocks.len() > 5);
    for block in blocks {
        let (ending, _) = run(&block.words, knowledge);
        assert_eq!(
            ending.out, block.ending.out,
            "output of {:?}:\n{}",
            block.words, ending.out
        );
        assert_eq!(ending, block.ending, "{:?}", block.words);
    }
}

fn of_volume(volume: u16) -> Context {
    Context::volume("r0", VolumeNr(volume))
}

fn connected(context: Context) -> Context {
    context.with_addresses(endpoint("10.99.7.2:7788"), endpoint("10.99.7.1:7789"))
}

fn state_info(state: State) -> StateInfo {
    StateInfo {
        state: state.into(),
        ..StateInfo::default()
    }
}

#[test]
fn a_new_minor_is_unconfigured() {
    let fresh = bare(Op::GetStatus, Some(0), of_volume(0))
        .with(Part::ResourceOpts(settings(Nest::ResourceOpts, &[])))
        .with(state_info(State::INITIAL));
    let knowledge = Knowledge {
        items: vec![(Op::GetStatus, fresh)],
        ..Knowledge::default()
    };
    let blocks = stage(
        "role 0",
        "attach 0 /dev/ubda /dev/ubda internal --resync-rate=1M --disk-timeout=5 \
        --fencing=resource-only --al-updates=no --resync-after=-1 --c-fill-target=1M",
    );
    assert_stage(&blocks, &knowledge);
}

/// The answers to GET_STATUS for both volumes of r0 and for r1.
fn status(volume_0: StateInfo, volume_1: StateInfo) -> Vec<(Op, Message)> {
    let net = [
        ("protocol", "B"),
        ("shared-secret", "ge\"he\\im"),
        ("cram-hmac-alg", "sha1"),
        ("after-sb-0pri", "discard-zero-changes"),
        ("verify-alg", "md5"),
        ("congestion-fill", "1M"),
    ];
    let r0 = |minor, volume| {
        bare(Op::GetStatus, Some(minor), connected(of_volume(volume)))
            .with(Part::ResourceOpts(settings(Nest::ResourceOpts, &[])))
    };
    let net = || Part::NetConf(settings(Nest::NetConf, &net));
    let disk = disk(&[
        ("resync-rate", "1M"),
        ("disk-timeout", "5"),
        ("fencing", "resource-only"),
        ("al-updates", "no"),
        ("resync-after", "-1"),
        ("c-fill-target", "1M"),
    ]);
    vec![
        (
            Op::GetStatus,
            r0(0, 0).with(disk).with(net()).with(volume_0),
        ),
        (Op::GetStatus, r0(7, 1).with(net()).with(volume_1)),
        (
            Op::GetStatus,
            bare(Op::GetStatus, None, Context::resource("r1")),
        ),
    ]
}

const WAITING: State = State {
    conn: ConnState::WfConnection,
    ..State::INITIAL
};

#[test]
fn an_attached_and_a_diskless_volume_that_wait_for_their_peer() {
    let attached = StateInfo {
        uuids: Some(UuidSet::JUST_CREATED),
        disk_flags: Some(MdFlags::empty()),
        ..state_info(State {
            disk: DiskState::Inconsistent,
            ..WAITING
        })
    };
    let knowledge = Knowledge {
        items: status(attached, state_info(WAITING)),
        replies: vec![(
            Op::Primary,
            Some(Minor(0)),
            StateOutcome::NoUpToDateDisk.into(),
        )],
    };
    // The first `show` of the capture had nothing to show.
    let mut blocks = stage(
        "new-resource r1 --cpu-mask=3 --on-no-data-accessible=suspend-io",
        "primary 0 --force=yes",
    );
    blocks.remove(0);
    assert_stage(&blocks, &knowledge);
}

/// Primary by force, with a peer that counts as outdated.
fn promoted() -> State {
    State {
        role: Role::Primary,
        disk: DiskState::UpToDate,
        pdsk: DiskState::Outdated,
        ..WAITING
    }
}

/// The UUIDs are random: taken from the capture.
fn captured_uuids() -> UuidSet {
    let block = stage("show-gi 0", "role 0");
    let block = blocks(CAPTURE)
        .into_iter()
        .rfind(|b| b.words == block[0].words)
        .unwrap();
    let line = block
        .ending
        .out
        .lines()
        .find(|l| l.ends_with(":1:1:1:0:0:1:0"))
        .unwrap();
    let mut uuids = line
        .split(':')
        .take(4)
        .map(|hex| Uuid(u64::from_str_radix(hex, 16).unwrap()));
    let mut next = || uuids.next().unwrap();
    UuidSet {
        current: next(),
        bitmap: next(),
        history: [next(), next()],
    }
}

fn promoted_lists() -> Vec<(Op, Message)> {
    let resource = |name: &str, role| {
        bare(Op::ResourceState, None, Context::resource(name))
            .with(NotificationHeader::default())
            .with(ResourceInfo {
                role,
                ..ResourceInfo::default()
            })
            .with(ResourceStatistics {
                write_ordering: WriteOrdering::FLUSH,
            })
    };
    let device = |minor, volume, disk, size, al_suspended| {
        bare(Op::DeviceState, Some(minor), of_volume(volume))
            .with(NotificationHeader::default())
            .with(DeviceInfo { disk })
            .with(DeviceStatistics {
                size: SectorCount(size),
                al_suspended,
                ..DeviceStatistics::default()
            })
    };
    let connection = |context, connection| {
        bare(Op::ConnectionState, None, context)
            .with(NotificationHeader::default())
            .with(ConnectionInfo {
                connection,
                role: Role::Unknown,
            })
            .with(ConnectionStatistics::default())
    };
    let peer_device = |volume, disk, out_of_sync| {
        bare(Op::PeerDeviceState, None, connected(of_volume(volume)))
            .with(NotificationHeader::default())
            .with(PeerDeviceInfo {
                disk,
                ..PeerDeviceInfo::default()
            })
            .with(PeerDeviceStatistics {
                out_of_sync: SectorCount(out_of_sync),
                ..PeerDeviceStatistics::default()
            })
    };
    let r0 = resource("r0", Role::Primary);
    let r1 = resource("r1", Role::Secondary);
    let peer = connection(connected(Context::resource("r0")), ConnState::WfConnection);
    let devices = [
        device(0, 0, DiskState::UpToDate, 524_200, true),
        device(7, 1, DiskState::Diskless, 0, false),
    ];
    let peer_devices = [
        peer_device(0, DiskState::Outdated, 524_200),
        peer_device(1, DiskState::DUnknown, 0),
    ];
    let unconnected = connection(Context::resource("r1"), ConnState::StandAlone);
    // The order in which GET_INITIAL_STATE tells it.
    let mut told = vec![r0.clone(), peer.clone()];
    told.extend(devices.clone());
    told.extend(peer_devices.clone());
    told.extend([r1.clone(), unconnected]);

    let mut items: Vec<_> = told.into_iter().map(|m| (Op::GetInitialState, m)).collect();
    items.extend([
        (Op::GetResources, r0),
        (Op::GetResources, r1),
        (Op::GetConnections, peer),
    ]);
    items.extend(devices.map(|m| (Op::GetDevices, m)));
    items.extend(peer_devices.map(|m| (Op::GetPeerDevices, m)));
    items
}

#[test]
fn a_lonely_primary_in_status_and_events2() {
    let flags = MdFlags::CONSISTENT
        | MdFlags::WAS_UP_TO_DATE
        | MdFlags::PRIMARY_IND
        | MdFlags::PEER_OUT_DATED;
    let volume_0 = StateInfo {
        uuids: Some(captured_uuids()),
        disk_flags: Some(flags),
        ..state_info(promoted())
    };
    let volume_1 = state_info(State {
        role: Role::Primary,
        ..WAITING
    });
    let mut items = status(volume_0, volume_1);
    items.extend(promoted_lists());
    let knowledge = Knowledge {
        items,
        replies: vec![(
            Op::Primary,
            Some(Minor(7)),
            StateOutcome::NoUpToDateDisk.into(),
        )],
    };
    let mut blocks = stage(
        "primary 0 --force=yes",
        "attach 0 /dev/ubda /dev/ubda internal",
    );
    blocks.remove(0);
    assert_stage(&blocks, &knowledge);
}
