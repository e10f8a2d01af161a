//! Lines of `events` and `events2`, and the wrapping of `status`, as captured (spec 30 sections
//! 2.9 to 2.11 and 9.6).

mod support;

use drbd_control::{
    ConnectionInfo, Context, DeviceInfo, DeviceStatistics, Helper, Message, NoticeKind,
    NotificationHeader, Op, Part, PeerDeviceInfo, PeerDeviceStatistics, ResourceInfo,
    ResourceStatistics, SibReason, StateInfo, WriteOrdering,
};
use drbd_types::{ConnState, DiskState, Minor, Role, SectorCount, State, VolumeNr};
use drbdsetup::events::lines;
use drbdsetup::events2::{Counters, Printer};
use drbdsetup::status::{Colour, Detail, Resource, Statistics, Verbose, render};
use support::endpoint;

fn classic(seq: u32, info: StateInfo) -> Message {
    Message::notice(Op::Event, seq, Some(Minor(0)))
        .with(Context::volume("r0", VolumeNr(0)))
        .with(info)
}

const WAITING: State = State {
    conn: ConnState::WfConnection,
    disk: DiskState::Inconsistent,
    ..State::INITIAL
};

#[test]
fn classic_events_are_the_captured_lines() {
    let reporting = State {
        conn: ConnState::WfReportParams,
        ..WAITING
    };
    let change = StateInfo {
        reason: SibReason::STATE_CHANGE,
        state: reporting.into(),
        prev_state: Some(WAITING.into()),
        new_state: Some(reporting.into()),
        ..StateInfo::default()
    };
    let call = StateInfo {
        reason: SibReason::HELPER_PRE,
        helper: Some("before-resync-source".to_owned()),
        ..StateInfo::default()
    };
    let back = StateInfo {
        reason: SibReason::HELPER_POST,
        helper_exit_code: Some(0),
        ..call.clone()
    };
    let progress = StateInfo {
        reason: SibReason::SYNC_PROGRESS,
        bits_rs_total: Some(2048),
        bits_rs_failed: Some(0),
        bits_oos: Some(1024),
        ..StateInfo::default()
    };
    // As captured: when the mark is told the resync is over.
    let last = StateInfo {
        bits_rs_total: None,
        bits_rs_failed: None,
        bits_oos: Some(0),
        ..progress.clone()
    };
    let unknown = StateInfo {
        reason: SibReason(9),
        ..StateInfo::default()
    };
    let notice = Message::notice(Op::ResourceState, 19, None).with(Context::resource("r0"));
    let told: String = [
        classic(12, change),
        notice,
        classic(20, call),
        classic(21, back),
        classic(26, progress),
        classic(27, last),
        classic(28, unknown),
        Message::notice(Op::Event, 29, None).info("two\nlines"),
    ]
    .iter()
    .map(lines)
    .collect();
    assert_eq!(
        told,
        "12 ST-prev 0,r0[0] { cs:WFConnection ro:Secondary/Unknown ds:Inconsistent/DUnknown r--- }
12 ST-new 0,r0[0] { cs:WFReportParams ro:Secondary/Unknown ds:Inconsistent/DUnknown r--- }
12 ST 0,r0[0] { cs:WFReportParams ro:Secondary/Unknown ds:Inconsistent/DUnknown r--- }
19 R - r0
20 UH 0,r0[0] before-resync-source
21 UH-post 0,r0[0] before-resync-source 0x0000
26 SP 0,r0[0] 66.7
27 SP 0,r0[0] 100.0
28 ?? 0,r0[0] <other message, state info broadcast reason:9>
29 # two_lines
"
    );
}

fn peer(context: Context) -> Context {
    context.with_addresses(endpoint("10.0.0.1:7788"), endpoint("10.0.0.2:7788"))
}

/// Notices with numbers of their own, as one stream has them.
struct Stream {
    seq: u32,
    printer: Printer,
    told: String,
}

impl Stream {
    fn new(counters: Counters) -> Self {
        Self {
            seq: 2,
            printer: Printer::new(counters),
            told: String::new(),
        }
    }

    fn tell(
        &mut self,
        kind: NoticeKind,
        op: Op,
        minor: Option<u32>,
        of: Context,
        parts: Vec<Part>,
    ) {
        self.seq += 1;
        let mut message = Message::notice(op, self.seq, minor.map(Minor))
            .with(of)
            .with(NotificationHeader { kind });
        message.parts.extend(parts);
        self.told.push_str(&self.printer.line(&message));
    }
}

fn connection(connection: ConnState, role: Role) -> Vec<Part> {
    vec![ConnectionInfo { connection, role }.into()]
}

fn peer_device(replication: ConnState, disk: DiskState) -> Vec<Part> {
    vec![
        PeerDeviceInfo {
            replication,
            disk,
            ..PeerDeviceInfo::default()
        }
        .into(),
    ]
}

/// A connect, a promotion and a disconnect.
#[test]
fn events2_tells_changes_only_and_forgets_what_is_destroyed() {
    use NoticeKind as K;
    let r0 = || Context::resource("r0");
    let v0 = || Context::volume("r0", VolumeNr(0));
    let mut s = Stream::new(Counters::Hidden);
    let secondary = ResourceInfo {
        role: Role::Secondary,
        ..ResourceInfo::default()
    };
    let primary = ResourceInfo {
        role: Role::Primary,
        ..secondary
    };
    let device = |disk| vec![Part::from(DeviceInfo { disk })];
    use ConnState::{
        Connected, Disconnecting, StandAlone, WfBitMapS, WfConnection, WfReportParams,
    };
    use DiskState::{DUnknown, Inconsistent, UpToDate};
    s.tell(
        K::CREATE,
        Op::ResourceState,
        None,
        r0(),
        vec![secondary.into()],
    );
    s.tell(
        K::CREATE,
        Op::ConnectionState,
        None,
        peer(r0()),
        connection(WfConnection, Role::Unknown),
    );
    s.tell(
        K::CREATE,
        Op::DeviceState,
        Some(0),
        v0(),
        device(Inconsistent),
    );
    s.tell(
        K::CREATE,
        Op::PeerDeviceState,
        None,
        peer(v0()),
        peer_device(WfReportParams, DUnknown),
    );
    s.tell(
        K::CHANGE.continued(),
        Op::ConnectionState,
        None,
        peer(r0()),
        connection(WfReportParams, Role::Unknown),
    );
    s.tell(
        K::CHANGE,
        Op::ConnectionState,
        None,
        peer(r0()),
        connection(WfReportParams, Role::Secondary),
    );
    s.tell(
        K::CHANGE,
        Op::PeerDeviceState,
        None,
        peer(v0()),
        peer_device(Connected, Inconsistent),
    );
    s.tell(
        K::CHANGE,
        Op::ResourceState,
        None,
        r0(),
        vec![primary.into()],
    );
    s.tell(K::CHANGE, Op::DeviceState, Some(0), v0(), device(UpToDate));
    s.tell(
        K::CHANGE,
        Op::PeerDeviceState,
        None,
        peer(v0()),
        peer_device(WfBitMapS, Inconsistent),
    );
    let helper = |status| vec![Part::from(Helper::new("before-resync-source", status))];
    s.tell(K::CALL, Op::Helper, Some(0), peer(v0()), helper(0));
    s.tell(K::RESPONSE, Op::Helper, Some(0), peer(v0()), helper(0));
    s.tell(
        K::CHANGE,
        Op::ConnectionState,
        None,
        peer(r0()),
        connection(Disconnecting, Role::Unknown),
    );
    s.tell(
        K::CHANGE,
        Op::ConnectionState,
        None,
        peer(r0()),
        connection(Disconnecting, Role::Unknown),
    );
    s.tell(
        K::CHANGE,
        Op::ConnectionState,
        None,
        peer(r0()),
        connection(StandAlone, Role::Unknown),
    );
    s.tell(K::DESTROY, Op::PeerDeviceState, None, peer(v0()), vec![]);
    s.tell(K::DESTROY, Op::ConnectionState, None, peer(r0()), vec![]);
    s.tell(
        K::CREATE,
        Op::ConnectionState,
        None,
        peer(r0()),
        connection(StandAlone, Role::Unknown),
    );
    assert_eq!(
        s.told,
        "create resource name:r0 role:Secondary suspended:no
create connection name:r0 peer-node-id:0 conn-name:peer connection:Connecting role:Unknown
create device name:r0 volume:0 minor:0 disk:Inconsistent
create peer-device name:r0 peer-node-id:0 conn-name:peer volume:0 replication:Off peer-disk:DUnknown resync-suspended:no
change connection name:r0 peer-node-id:0 conn-name:peer connection:Connected
change connection name:r0 peer-node-id:0 conn-name:peer role:Secondary
change peer-device name:r0 peer-node-id:0 conn-name:peer volume:0 replication:Established peer-disk:Inconsistent
change resource name:r0 role:Primary
change device name:r0 volume:0 minor:0 disk:UpToDate
change peer-device name:r0 peer-node-id:0 conn-name:peer volume:0 replication:WFBitMapS
call helper name:r0 peer-node-id:0 conn-name:peer volume:0 minor:0 helper:before-resync-source
response helper name:r0 peer-node-id:0 conn-name:peer volume:0 minor:0 helper:before-resync-source status:0
change connection name:r0 peer-node-id:0 conn-name:peer connection:Disconnecting role:Unknown
change connection name:r0 peer-node-id:0 conn-name:peer
change connection name:r0 peer-node-id:0 conn-name:peer connection:StandAlone
destroy peer-device name:r0 peer-node-id:0 conn-name:peer volume:0
destroy connection name:r0 peer-node-id:0 conn-name:peer
create connection name:r0 peer-node-id:0 conn-name:peer connection:StandAlone role:Unknown
"
    );
}

#[test]
fn lost_notices_are_counted() {
    let mut s = Stream::new(Counters::Hidden);
    let device = || vec![Part::from(DeviceInfo::default())];
    let v0 = || Context::volume("r0", VolumeNr(0));
    s.tell(NoticeKind::CHANGE, Op::DeviceState, Some(0), v0(), device());
    s.seq += 3;
    s.tell(NoticeKind::CHANGE, Op::DeviceState, Some(0), v0(), device());
    assert_eq!(
        s.told,
        "change device name:r0 volume:0 minor:0 disk:Diskless\n- skipped 3\nchange device name:r0 volume:0 minor:0\n"
    );
}

/// The two-volume example of spec 30 section 2.9, during a resync.
fn syncing() -> Resource {
    let notice = |op, minor, context| Message::notice(op, 0, minor).with(context);
    let device = |minor: u32, volume, disk, read: u64| {
        notice(
            Op::GetDevices,
            Some(Minor(minor)),
            Context::volume("r0", VolumeNr(volume)),
        )
        .with(DeviceInfo { disk })
        .with(DeviceStatistics {
            size: SectorCount(2 * 16344),
            read: SectorCount(2 * read),
            al_writes: 8,
            ..DeviceStatistics::default()
        })
    };
    let peer_device = |volume, replication, sent: u64, out_of_sync: u64| {
        notice(
            Op::GetPeerDevices,
            None,
            peer(Context::volume("r0", VolumeNr(volume))),
        )
        .with(PeerDeviceInfo {
            replication,
            disk: DiskState::Inconsistent,
            ..PeerDeviceInfo::default()
        })
        .with(PeerDeviceStatistics {
            sent: SectorCount(2 * sent),
            out_of_sync: SectorCount(2 * out_of_sync),
            ..PeerDeviceStatistics::default()
        })
    };
    Resource {
        resource: notice(Op::GetResources, None, Context::resource("r0"))
            .with(ResourceInfo {
                role: Role::Primary,
                ..ResourceInfo::default()
            })
            .with(ResourceStatistics {
                write_ordering: WriteOrdering::FLUSH,
            }),
        devices: vec![
            device(0, 0, DiskState::UpToDate, 896),
            device(2, 1, DiskState::Inconsistent, 0),
        ],
        connections: vec![
            notice(Op::GetConnections, None, peer(Context::resource("r0"))).with(ConnectionInfo {
                connection: ConnState::WfReportParams,
                role: Role::Secondary,
            }),
        ],
        peer_devices: vec![
            peer_device(0, ConnState::SyncSource, 896, 15448),
            peer_device(1, ConnState::Connected, 0, 16344),
        ],
    }
}

const EVERYTHING: Detail = Detail {
    verbose: Verbose::Yes,
    statistics: Statistics::Yes,
};

#[test]
fn a_resync_in_full_detail_is_the_captured_text() {
    assert_eq!(
        render(&[syncing()], EVERYTHING, Colour::Off, 80),
        "r0 role:Primary suspended:no
    write-ordering:flush
  volume:0 minor:0 disk:UpToDate
      size:16344 read:896 written:0 al-writes:8 bm-writes:0 upper-pending:0
      lower-pending:0 al-suspended:no blocked:no
  volume:1 minor:2 disk:Inconsistent
      size:16344 read:0 written:0 al-writes:8 bm-writes:0 upper-pending:0
      lower-pending:0 al-suspended:no blocked:no
  peer connection:Connected role:Secondary congested:no
    volume:0 replication:SyncSource peer-disk:Inconsistent done:5.48
        resync-suspended:no
        received:0 sent:896 out-of-sync:15448 pending:0 unacked:0
    volume:1 replication:Established peer-disk:Inconsistent resync-suspended:no
        received:0 sent:0 out-of-sync:16344 pending:0 unacked:0

"
    );
}

#[test]
fn one_volume_is_told_without_its_number() {
    let mut single = syncing();
    single.devices.truncate(1);
    single.peer_devices = vec![single.peer_devices[0].clone()];
    let plain = Detail {
        verbose: Verbose::No,
        statistics: Statistics::No,
    };
    assert_eq!(
        render(&[single], plain, Colour::Off, 80),
        "r0 role:Primary
  disk:UpToDate
  peer role:Secondary
    replication:SyncSource peer-disk:Inconsistent done:5.48

"
    );
}

#[test]
fn no_line_is_wider_than_the_terminal_unless_a_piece_is() {
    for width in 16..200 {
        let text = render(&[syncing()], EVERYTHING, Colour::Off, width);
        for line in text.lines() {
            let is_one_piece = !line.trim_start().contains(' ');
            assert!(line.len() <= width || is_one_piece, "{width}: {line}");
        }
    }
}

#[test]
fn json_says_the_same_under_the_names_of_drbd_9() {
    let text = drbdsetup::json::render(&[syncing()]);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let r0 = &json[0];
    assert_eq!(
        (&r0["name"], &r0["role"]),
        (&"r0".into(), &"Primary".into())
    );
    assert_eq!(r0["devices"][1]["minor"], 2);
    assert_eq!(r0["devices"][0]["disk-state"], "UpToDate");
    let peer = &r0["connections"][0];
    assert_eq!(peer["connection-state"], "Connected");
    assert_eq!(peer["peer_devices"][0]["out-of-sync"], 15448);
    assert_eq!(peer["peer_devices"][0]["percent-in-sync"], 5.48);
    assert_eq!(peer["peer_devices"][1]["replication-state"], "Established");
}
