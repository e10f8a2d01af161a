//! The exchanges between drbdsetup-84 9.22 and Linux 6.12 drbd.ko 8.4.11 of spec 30 chapter 9,
//! byte for byte.

use drbd_control::{
    Answer, Context, DiskConf, Endpoint, Family, FamilyId, Message, MetaIndex, Nest, NoticeKind,
    NotificationHeader, Op, Params, Part, Received, Request, ResourceInfo, ResourceStatistics,
    RetCode, Setting, Settings, SibReason, StateInfo, TimeoutParms, Wanted, WriteOrdering, schema,
};
use drbd_types::{ConnState, DiskState};
use drbd_types::{MdFlags, Minor, Role, SectorCount, State, StateOutcome, UuidSet, VolumeNr};

/// The number that the kernel had given the family.
const FAMILY: FamilyId = FamilyId(0x22);

fn hex(text: &str) -> Vec<u8> {
    text.split_whitespace()
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}

/// Everything behind the outer header, which chapter 9 leaves out of most captures.
fn body(message: &[u8]) -> &[u8] {
    &message[16..]
}

fn setting(nest: Nest, name: &str, value: Setting) -> Settings {
    let mut settings = Settings::new(nest);
    add(&mut settings, name, value);
    settings
}

fn add(settings: &mut Settings, name: &str, value: Setting) {
    let row = schema::options_of(settings.nest())
        .into_iter()
        .find(|row| row.name == name)
        .unwrap();
    settings.set(row, value);
}

fn loopback(port: u16) -> Endpoint {
    Endpoint::new(Family::IPV4, ([127, 0, 0, 1], port).into())
}

fn message(bytes: &[u8]) -> Message {
    match Received::decode(bytes, FAMILY).unwrap() {
        Received::Message(message) => *message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn new_resource_and_its_reply_are_the_captured_bytes() {
    let request = Request::new(Op::NewResource)
        .for_context(Context::resource("r0"))
        .numbered(0x6b01_459c, 0xc2);
    let captured = hex("28 00 00 00 22 00 01 00 9c 45 01 6b c2 00 00 00
         07 01 00 00 ff ff ff ff 00 00 00 00 0c 00 02 80
         07 00 02 40 72 30 00 00");
    assert_eq!(request.encode(FAMILY), captured);

    let received = Request::decode(&captured, FAMILY).unwrap();
    assert_eq!(received.context, request.context);
    let reply = hex("28 00 00 00 22 00 00 00 9c 45 01 6b c2 00 00 00
         07 01 00 00 ff ff ff ff 65 00 00 00 0c 00 02 80
         07 00 02 00 72 30 00 00");
    assert_eq!(received.reply(RetCode::NoError).encode(FAMILY), reply);
    let decoded = message(&reply);
    assert_eq!(decoded.answer, Answer::OK);
    assert_eq!(decoded.context(), request.context.as_ref());
}

#[test]
fn new_minor_and_its_reply_are_the_captured_bytes() {
    let request = Request::new(Op::NewMinor)
        .for_minor(Minor(0))
        .for_context(Context::volume("r0", VolumeNr(0)))
        .numbered(0x6b01_459c, 0xce);
    let captured = hex("30 00 00 00 22 00 01 00 9c 45 01 6b ce 00 00 00
         05 01 00 00 00 00 00 00 00 00 00 00 14 00 02 80
         07 00 02 40 72 30 00 00 08 00 01 40 00 00 00 00");
    assert_eq!(request.encode(FAMILY), captured);
    let reply = hex("30 00 00 00 22 00 00 00 9c 45 01 6b ce 00 00 00
         05 01 00 00 00 00 00 00 65 00 00 00 14 00 02 80
         07 00 02 00 72 30 00 00 08 00 01 00 00 00 00 00");
    let received = Request::decode(&captured, FAMILY).unwrap();
    assert_eq!(received.minor, Some(Minor(0)));
    assert_eq!(received.reply(RetCode::NoError).encode(FAMILY), reply);
}

#[test]
fn attach_is_the_captured_request() {
    let mut settings = setting(Nest::DiskConf, "on-io-error", Setting::Number(2));
    add(&mut settings, "size", Setting::Number(16384));
    let conf = DiskConf {
        backing_dev: "/dev/loop0".to_owned(),
        meta_dev: "/dev/loop0".to_owned(),
        meta_index: MetaIndex::INTERNAL,
        settings,
    };
    let request = Request::new(Op::Attach)
        .for_minor(Minor(0))
        .with(Params::attach(&conf));
    let bytes = request.encode(FAMILY);
    assert_eq!(
        body(&bytes),
        hex("0c 01 00 00 00 00 00 00 00 00 00 00 40 00 03 80
             08 00 06 40 02 00 00 00 0c 00 04 40 00 40 00 00
             00 00 00 00 0f 00 01 00 2f 64 65 76 2f 6c 6f 6f
             70 30 00 00 0f 00 02 00 2f 64 65 76 2f 6c 6f 6f
             70 30 00 00 08 00 03 00 fd ff ff ff")
    );
    let received = Request::decode(&bytes, FAMILY).unwrap();
    assert_eq!(received.params.unwrap().disk_conf(), Ok(conf));
}

#[test]
fn connect_and_its_reply_are_the_captured_bytes() {
    let mut settings = setting(Nest::NetConf, "protocol", Setting::Number(3));
    add(
        &mut settings,
        "shared-secret",
        Setting::Text("geheim".to_owned()),
    );
    add(
        &mut settings,
        "cram-hmac-alg",
        Setting::Text("sha1".to_owned()),
    );
    let context = Context::resource("r0").with_addresses(loopback(7788), loopback(7789));
    let request = Request::new(Op::Connect)
        .for_context(context.clone())
        .with(Params::settings_of(&settings));
    let bytes = request.encode(FAMILY);
    assert_eq!(
        body(&bytes),
        hex("0a 01 00 00 ff ff ff ff 00 00 00 00 34 00 02 80
             07 00 02 40 72 30 00 00 14 00 03 40 02 00 1e 6c
             7f 00 00 01 00 00 00 00 00 00 00 00 14 00 04 40
             02 00 1e 6d 7f 00 00 01 00 00 00 00 00 00 00 00
             24 00 05 80 08 00 06 40 03 00 00 00 0b 00 01 40
             67 65 68 65 69 6d 00 00 09 00 02 40 73 68 61 31
             00 00 00 00")
    );
    let received = Request::decode(&bytes, FAMILY).unwrap();
    assert_eq!(received.context, Some(context));
    assert_eq!(received.params.as_ref().unwrap().creation(), Ok(settings));
    let reply = received.reply(StateOutcome::Success).encode(FAMILY);
    assert!(body(&reply).starts_with(&hex("0a 01 00 00 ff ff ff ff 01 00 00 00 34 00 02 80")));
}

#[test]
fn primary_refused_and_forced_are_the_captured_bytes() {
    let plain = Request::new(Op::Primary).for_minor(Minor(0));
    let bytes = plain.encode(FAMILY);
    assert_eq!(body(&bytes), hex("0e 01 00 00 00 00 00 00 00 00 00 00"));
    let refusal = Request::decode(&bytes, FAMILY)
        .unwrap()
        .reply(StateOutcome::NoUpToDateDisk)
        .encode(FAMILY);
    assert_eq!(body(&refusal), hex("0e 01 00 00 00 00 00 00 fe ff ff ff"));
    assert_eq!(
        message(&refusal).answer,
        Answer::State(StateOutcome::NoUpToDateDisk)
    );

    let force = setting(Nest::SetRoleParms, "force", Setting::Switch(true));
    let forced = plain.with(Params::settings_of(&force)).encode(FAMILY);
    assert_eq!(
        body(&forced),
        hex("0e 01 00 00 00 00 00 00 00 00 00 00 0c 00 06 80 05 00 01 40 01 00 00 00")
    );
}

#[test]
fn a_refusal_with_text_is_the_captured_reply() {
    let request = Request::new(Op::Down).for_context(Context::resource("r0"));
    let received = Request::decode(&request.encode(FAMILY), FAMILY).unwrap();
    let reply = received
        .reply(RetCode::ResNotKnown)
        .info("unknown resource")
        .encode(FAMILY);
    assert_eq!(
        body(&reply),
        hex("1b 01 00 00 ff ff ff ff 9e 00 00 00 0c 00 02 80
             07 00 02 00 72 30 00 00 1c 00 01 00 15 00 01 40
             75 6e 6b 6e 6f 77 6e 20 72 65 73 6f 75 72 63 65
             00 00 00 00")
    );
    assert_eq!(
        message(&reply).infos().collect::<Vec<_>>(),
        ["unknown resource"]
    );
}

/// The state that the kernel was in when `get-status.hex` was captured.
fn waiting_for_connection() -> StateInfo {
    let zero = Some(SectorCount(0));
    StateInfo {
        reason: SibReason::GET_STATUS,
        state: State {
            role: Role::Secondary,
            conn: ConnState::WfConnection,
            disk: DiskState::Inconsistent,
            ..State::INITIAL
        }
        .into(),
        capacity: Some(SectorCount(16384)),
        send_count: zero,
        recv_count: zero,
        read_count: zero,
        write_count: zero,
        al_writes: Some(8),
        bm_writes: Some(0),
        ap_bio_count: Some(0),
        ap_pending_count: Some(0),
        rs_pending_count: Some(0),
        uuids: Some(UuidSet {
            current: drbd_types::uuid::JUST_CREATED,
            ..UuidSet::default()
        }),
        disk_flags: Some(MdFlags::empty()),
        bits_total: Some(2048),
        bits_oos: Some(1984),
        ..StateInfo::default()
    }
}

#[test]
fn the_status_of_a_device_is_the_captured_message() {
    let mut settings = Settings::defaults(Nest::DiskConf);
    add(&mut settings, "size", Setting::Number(16384));
    let mut net = Settings::defaults(Nest::NetConf);
    add(
        &mut net,
        "shared-secret",
        Setting::Text("geheim".to_owned()),
    );
    add(&mut net, "cram-hmac-alg", Setting::Text("sha1".to_owned()));
    let request = Request::new(Op::GetStatus)
        .for_minor(Minor(0))
        .numbered(0x6b01_459d, 0xdd);
    let answer = request
        .item(Some(Minor(0)))
        .with(Context::volume("r0", VolumeNr(0)).with_addresses(loopback(7788), loopback(7789)))
        .with(Part::ResourceOpts(Settings::defaults(Nest::ResourceOpts)))
        .with(DiskConf {
            backing_dev: "/dev/loop0".to_owned(),
            meta_dev: "/dev/loop0".to_owned(),
            meta_index: MetaIndex::INTERNAL,
            settings,
        })
        .with(Part::NetConf(net))
        .with(waiting_for_connection());
    let captured = hex(include_str!("get-status.hex"));
    assert_eq!(captured.len(), 800);
    assert_eq!(answer.encode(FAMILY), captured);
    assert_eq!(message(&captured).parts, answer.parts);
}

#[test]
fn lists_and_notices_are_the_captured_messages() {
    let list =
        hex("1c 00 00 00 22 00 01 03 4a 47 01 6b 1d 01 00 00 1e 01 00 00 ff ff ff ff 00 00 00 00");
    let request = Request::decode(&list, FAMILY).unwrap();
    assert_eq!(
        (request.op, request.wanted),
        (Op::GetResources, Wanted::List)
    );
    let item = request
        .item(None)
        .with(Context::resource("r0"))
        .with(Part::ResourceOpts(Settings::defaults(Nest::ResourceOpts)))
        .with(ResourceInfo {
            role: Role::Primary,
            ..ResourceInfo::default()
        })
        .with(ResourceStatistics {
            write_ordering: WriteOrdering::FLUSH,
        });
    assert_eq!(
        item.encode(FAMILY),
        hex("6c 00 00 00 22 00 02 00 4a 47 01 6b 1d 01 00 00
             1e 01 00 00 ff ff ff ff 65 00 00 00 0c 00 02 00
             07 00 02 40 72 30 00 00 14 00 04 80 05 00 01 00
             00 00 00 00 08 00 02 00 00 00 00 00 24 00 0f 80
             08 00 01 00 01 00 00 00 05 00 02 00 00 00 00 00
             05 00 03 00 00 00 00 00 05 00 04 00 00 00 00 00
             0c 00 13 80 08 00 01 00 02 00 00 00")
    );
    let done = hex("14 00 00 00 03 00 02 00 4a 47 01 6b 1d 01 00 00 00 00 00 00");
    assert_eq!(request.done(Ok(())), done);
    assert_eq!(
        Received::decode(&done, FAMILY),
        Ok(Received::Done {
            seq: 0x6b01_474a,
            code: 0
        })
    );

    let timeout = Request::new(Op::GetTimeoutType)
        .for_minor(Minor(0))
        .reply(RetCode::NoError)
        .with(TimeoutParms::default())
        .encode(FAMILY);
    assert_eq!(
        body(&timeout),
        hex("1a 01 00 00 00 00 00 00 65 00 00 00 0c 00 0b 80 08 00 01 00 00 00 00 00")
    );

    let initial = Request::new(Op::GetInitialState)
        .list()
        .numbered(0x6b01_481f, 0);
    let first = initial
        .item(None)
        .of(Op::ResourceState)
        .with(Context::resource("r0"))
        .with(NotificationHeader {
            kind: NoticeKind::EXISTS.continued(),
        })
        .with(ResourceInfo::default());
    assert!(
        first.encode(FAMILY)[4..].starts_with(&hex("22 00 00 00 1f 48 01 6b 00 00 00 00
         22 01 00 00 ff ff ff ff 65 00 00 00 0c 00 02 00
         07 00 02 40 72 30 00 00 0c 00 17 80 08 00 01 00
         00 80 00 00 24 00 0f 80"))
    );
    let last = initial
        .item(None)
        .of(Op::InitialStateDone)
        .with(NotificationHeader::default());
    assert_eq!(
        body(&last.encode(FAMILY)),
        hex("29 01 00 00 ff ff ff ff 65 00 00 00 0c 00 17 80 08 00 01 00 00 00 00 00")
    );
}

#[test]
fn the_peer_device_of_a_resync_is_read_as_captured() {
    let captured = hex("dc 00 00 00 22 00 02 00 4d 47 01 6b 1d 01 00 00
         21 01 00 00 00 00 00 00 65 00 00 00 3c 00 02 00
         08 00 01 40 00 00 00 00 07 00 02 40 72 30 00 00
         14 00 03 40 02 00 1e 6c 7f 00 00 01 00 00 00 00
         00 00 00 00 14 00 04 40 02 00 1e 6d 7f 00 00 01
         00 00 00 00 00 00 00 00 2c 00 12 80 08 00 01 00
         10 00 00 00 08 00 02 00 04 00 00 00 08 00 03 00
         00 00 00 00 08 00 04 00 00 00 00 00 08 00 05 00
         00 00 00 00 58 00 16 80 0c 00 01 00 00 00 00 00
         00 00 00 00 0c 00 02 00 00 07 00 00 00 00 00 00
         08 00 03 00 00 00 00 00 08 00 04 00 00 00 00 00
         0c 00 05 00 b0 78 00 00 00 00 00 00 0c 00 06 00
         00 00 00 00 00 00 00 00 0c 00 07 00 c6 3c b0 dc
         f6 72 2f c4 08 00 09 00 01 00 00 00");
    let peer = message(&captured);
    let info = peer.peer_device_info().unwrap();
    assert_eq!(
        (info.replication, info.disk),
        (ConnState::SyncSource, DiskState::Inconsistent)
    );
    let statistics = peer.peer_device_statistics().unwrap();
    assert_eq!(statistics.sent, SectorCount(1792));
    assert_eq!(statistics.out_of_sync, SectorCount(0x78b0));
    // Written again it is the same: order, flags and padding included.
    assert_eq!(peer.encode(FAMILY), captured);
}
