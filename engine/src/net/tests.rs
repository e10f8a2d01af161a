//! Two of us, and hand-written peers that misbehave, over loopback addresses.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

use drbd_wire::{Body, ConnectionFeatures, ProtocolVersion};
use proptest::prelude::*;

use super::*;

/// An address that no other test of this or another process uses: the whole of 127.0.0.0/8 is
/// loopback.
fn address() -> SocketAddr {
    static NEXT: AtomicU8 = AtomicU8::new(16);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let ip = Ipv4Addr::new(127, NEXT.fetch_add(1, Ordering::Relaxed), high, low);
    SocketAddr::new(IpAddr::V4(ip), 7788)
}

fn config(local: SocketAddr, peer: SocketAddr) -> Config {
    Config {
        local,
        peer,
        versions: VersionRange::DRBD_84,
        features: Features::all(),
        auth: None,
        connect_int: Duration::from_secs(1),
        ping_timeout: Duration::from_secs(1),
        socket_check_timeout: Some(Duration::from_millis(20)),
        send_buffer: None,
        receive_buffer: None,
    }
}

fn auth(secret: &str) -> Option<Auth> {
    Some(Auth {
        alg: HmacAlg::Sha256,
        secret: Secret::new(secret.as_bytes()),
    })
}

/// Two configurations that name each other.
fn neighbours() -> (Config, Config) {
    let (a, b) = (address(), address());
    (config(a, b), config(b, a))
}

/// Runs an establishment and keeps its log.
async fn observed(config: &Config) -> (Result<Established, Failure>, Vec<String>) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&lines);
    let result = establish(config, move |event| {
        sink.lock().unwrap().push(event.to_string())
    })
    .await;
    let lines = lines.lock().unwrap().clone();
    (result, lines)
}

/// No test may hang.
async fn in_time<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), future)
        .await
        .expect("the establishment never ended")
}

/// The log without what depends on who was faster.
fn without_crossings(mut log: Vec<String>) -> Vec<String> {
    log.retain(|line| !line.ends_with("crossed") && !line.starts_with("Error receiving"));
    log
}

#[tokio::test]
async fn two_nodes_find_each_other_and_agree_who_decides_ties() {
    let (a, b) = neighbours();
    let ((a, log), (b, _)) = in_time(async { tokio::join!(observed(&a), observed(&b)) }).await;
    let (a, b) = (a.unwrap(), b.unwrap());
    for (own, peer) in [(&a.data, &b.data), (&a.meta, &b.meta)] {
        assert_eq!(own.local_addr().unwrap(), peer.peer_addr().unwrap());
        assert_eq!(own.peer_addr().unwrap(), peer.local_addr().unwrap());
        assert!(own.nodelay().unwrap());
    }
    assert_ne!(a.resolve_conflicts, b.resolve_conflicts);
    let agreed = Agreed {
        version: ProtocolVersion(101),
        features: Features::all(),
    };
    assert_eq!((a.agreed, b.agreed), (agreed, agreed));
    assert_eq!(
        without_crossings(log),
        [
            "Handshake successful: Agreed network protocol version 101",
            "Feature flags enabled on protocol level: 0xf TRIM THIN_RESYNC WRITE_SAME WRITE_ZEROES.",
        ]
    );
}

#[tokio::test]
async fn nodes_that_share_a_secret_authenticate_each_other() {
    let (mut a, mut b) = neighbours();
    a.auth = auth("FooFunFactory");
    b.auth = auth("FooFunFactory");
    b.versions.max = ProtocolVersion(95);
    let ((a, log), (b, _)) = in_time(async { tokio::join!(observed(&a), observed(&b)) }).await;
    assert_eq!(a.unwrap().agreed.version, ProtocolVersion(95));
    assert_eq!(b.unwrap().agreed.version, ProtocolVersion(95));
    assert_eq!(
        log.last().unwrap(),
        "Peer authenticated using 32 bytes HMAC"
    );
}

#[tokio::test]
async fn nodes_with_different_secrets_refuse_each_other_for_good() {
    let (mut a, mut b) = neighbours();
    a.auth = auth("FooFunFactory");
    b.auth = auth("BarFunFactory");
    let outcomes = in_time(async { tokio::join!(observed(&a), observed(&b)) }).await;
    for (result, log) in [outcomes.0, outcomes.1] {
        assert_eq!(result.unwrap_err(), Failure::Fatal);
        let end = &log[log.len() - 2..];
        assert_eq!(
            end,
            [
                "Authentication of peer failed",
                "Discarding network configuration."
            ]
        );
    }
}

#[tokio::test]
async fn nodes_without_a_common_version_refuse_each_other_for_good() {
    let (mut a, mut b) = neighbours();
    a.versions.min = ProtocolVersion(100);
    b.versions.max = ProtocolVersion(97);
    let outcomes = in_time(async { tokio::join!(observed(&a), observed(&b)) }).await;
    let expected = [
        "I support 100-101, peer supports 86-97",
        "I support 86-97, peer supports 100-101",
    ];
    for ((result, log), dialects) in [outcomes.0, outcomes.1].into_iter().zip(expected) {
        assert_eq!(result.unwrap_err(), Failure::Fatal);
        assert_eq!(
            without_crossings(log),
            [
                format!("incompatible DRBD dialects: {dialects}"),
                "Discarding network configuration.".into(),
            ]
        );
    }
}

/// A peer whose every step the test decides. It lets the node connect, which makes the data
/// socket, and itself connects for the meta socket.
struct FakePeer {
    listener: TcpListener,
    node: SocketAddr,
    local: SocketAddr,
}

impl FakePeer {
    async fn of(node: &Config) -> Self {
        Self {
            listener: TcpListener::bind(node.peer).await.unwrap(),
            node: node.local,
            local: node.peer,
        }
    }

    /// The node's connection, and the first packet on it.
    async fn accept(&self) -> (TcpStream, Option<Initial>) {
        let (mut stream, from) = self.listener.accept().await.unwrap();
        assert_eq!(from.ip(), self.node.ip(), "bound to the configured address");
        let initial = read_initial(&mut stream).await;
        (stream, initial)
    }

    /// A connection to the node that begins with these bytes.
    async fn connect(&self, first: &[u8]) -> TcpStream {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(self.local.ip(), 0)).unwrap();
        let mut stream = socket.connect(self.node).await.unwrap();
        stream.write_all(first).await.unwrap();
        stream
    }

    /// Data and meta socket, as they usually come to be.
    async fn pair(&self) -> (TcpStream, TcpStream) {
        let (data, initial) = self.accept().await;
        assert_eq!(initial, Some(Initial::Data));
        (data, self.connect(&initial_packet(Initial::Meta)).await)
    }
}

fn features(min: u32, max: u32) -> Vec<u8> {
    let body = ConnectionFeatures {
        protocol_min: min,
        features: Features::all(),
        protocol_max: max,
    };
    encode(Agreed::HANDSHAKE, Body::ConnectionFeatures(body))
}

/// What a node says to a peer that sends these bytes on the data socket, and then no more.
async fn answer_to(
    bytes: &[u8],
    auth: Option<Auth>,
) -> (Result<Established, Failure>, Vec<String>) {
    let (mut node, _) = neighbours();
    node.auth = auth;
    let peer = FakePeer::of(&node).await;
    let conversation = async {
        let (mut data, _meta) = peer.pair().await;
        // The node sends this when the settle time is over. A socket that ended earlier would
        // be replaced, not read.
        data.read_exact(&mut [0; 80]).await.unwrap();
        // The node may have closed already when the last byte is sent.
        let _ = data.write_all(bytes).await;
        let _ = data.shutdown().await;
        let _ = data.read_to_end(&mut Vec::new()).await;
        std::future::pending::<()>().await;
    };
    in_time(async {
        tokio::select! {
            outcome = observed(&node) => outcome,
            () = conversation => unreachable!("it never ends"),
        }
    })
    .await
}

const H100: [u8; 6] = [0x86, 0x20, 0xec, 0x20, 0, 0];

/// A 16-byte header and so many zero bytes.
fn packet_100(code: u16, length: u32) -> Vec<u8> {
    let mut bytes = H100.to_vec();
    bytes.extend_from_slice(&code.to_be_bytes());
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.resize(bytes.len() + length as usize, 0);
    bytes
}

/// Texts and consequences are those of a kernel 8.4.11 node to which the same bytes were sent.
#[tokio::test]
async fn a_peer_that_misbehaves_is_answered_as_by_the_kernel() {
    let network = Failure::Retry(ConnState::NetworkFailure);
    let broken = Failure::Retry(ConnState::BrokenPipe);
    let discarding = "Discarding network configuration.";
    let with_features = |mut rest: Vec<u8>| {
        let mut bytes = features(86, 101);
        bytes.append(&mut rest);
        bytes
    };
    let secret = || auth("FooFunFactory");
    let other_command = [&[0x83, 0x74, 0x02, 0x67, 0, 0x0b, 0, 72][..], &[0; 72]].concat();
    let short_features = [&[0x83, 0x74, 0x02, 0x67, 0xff, 0xfe, 0, 70][..], &[0; 70]].concat();
    let cases: Vec<(Vec<u8>, Option<Auth>, Failure, Vec<&str>)> = vec![
        (
            other_command,
            None,
            Failure::Fatal,
            vec![
                "expected ConnectionFeatures packet, received: ReportProtocol (0x000b)",
                discarding,
            ],
        ),
        (
            short_features,
            None,
            Failure::Fatal,
            vec![
                "expected ConnectionFeatures length: 72, received: 70",
                discarding,
            ],
        ),
        (
            vec![0x11, 0x22, 0x33, 0x44, 0xff, 0xfe, 0, 72],
            None,
            network,
            vec!["Wrong magic value 0x11223344 in protocol version 80"],
        ),
        (
            features(102, 110),
            None,
            Failure::Fatal,
            vec![
                "incompatible DRBD dialects: I support 86-101, peer supports 102-110",
                discarding,
            ],
        ),
        (
            vec![],
            None,
            broken,
            vec!["sock was shut down by peer", "short read (expected size 8)"],
        ),
        (
            with_features(packet_100(0x10, 32)),
            secret(),
            Failure::Fatal,
            vec![
                "AuthChallenge payload too small.",
                "Authentication of peer failed",
                discarding,
            ],
        ),
        (
            with_features(packet_100(0x10, 200)),
            secret(),
            Failure::Fatal,
            vec![
                "expected AuthChallenge payload too big.",
                "Authentication of peer failed",
                discarding,
            ],
        ),
        (
            with_features(packet_100(0x77, 64)),
            secret(),
            Failure::Fatal,
            vec![
                "expected AuthChallenge packet, received: Unknown (0x0077)",
                "Authentication of peer failed",
                discarding,
            ],
        ),
        (
            with_features(packet_100(0x0b, 25)),
            secret(),
            Failure::Fatal,
            vec![
                "expected AuthChallenge packet, received: ReportProtocol (0x000b)",
                "Authentication of peer failed",
                discarding,
            ],
        ),
        (
            with_features([packet_100(0x10, 64), packet_100(0x11, 32)].concat()),
            secret(),
            Failure::Fatal,
            vec!["Authentication of peer failed", discarding],
        ),
        (
            with_features([packet_100(0x10, 64), packet_100(0x13, 0)].concat()),
            secret(),
            network,
            vec![
                "expected AuthResponse packet, received: Ping (0x0013)",
                "Authentication of peer failed, trying again.",
            ],
        ),
        (
            with_features([packet_100(0x10, 64), packet_100(0x11, 19)].concat()),
            secret(),
            network,
            vec![
                "expected AuthResponse payload of wrong size",
                "Authentication of peer failed, trying again.",
            ],
        ),
        (
            with_features(
                [
                    packet_100(0x10, 64),
                    vec![0x83, 0x74, 0x02, 0x67],
                    vec![0; 12],
                ]
                .concat(),
            ),
            secret(),
            network,
            vec![
                "Wrong magic value 0x83740267 in protocol version 101",
                "Authentication of peer failed, trying again.",
            ],
        ),
        (
            with_features(vec![]),
            secret(),
            broken,
            vec![
                "sock was shut down by peer",
                "short read (expected size 16)",
                "Authentication of peer failed, trying again.",
            ],
        ),
    ];
    for (bytes, auth, failure, expected) in cases {
        let (result, mut log) = answer_to(&bytes, auth).await;
        log.retain(|line| {
            !line.starts_with("Handshake succ") && !line.starts_with("Feature flags")
        });
        assert_eq!(log, expected);
        assert_eq!(result.unwrap_err(), failure, "{expected:?}");
    }
}

#[tokio::test]
async fn a_silent_peer_is_given_up_after_four_ping_timeouts() {
    let (mut node, _) = neighbours();
    node.ping_timeout = Duration::from_millis(25);
    let peer = FakePeer::of(&node).await;
    let (outcome, _sockets) = in_time(async { tokio::join!(observed(&node), peer.pair()) }).await;
    assert_eq!(
        outcome.0.unwrap_err(),
        Failure::Retry(ConnState::BrokenPipe)
    );
    assert_eq!(
        outcome.1,
        ["sock_recvmsg returned -11", "short read (expected size 8)"]
    );
}

#[tokio::test]
async fn what_the_peer_sends_after_the_handshake_is_left_in_the_socket() {
    let (node, _) = neighbours();
    let peer = FakePeer::of(&node).await;
    let parameters = packet_100(0x0b, 25);
    let conversation = async {
        let (mut data, mut meta) = peer.pair().await;
        let bytes = [features(86, 101), parameters.clone()].concat();
        data.write_all(&bytes).await.unwrap();
        meta.write_all(&packet_100(0x13, 0)).await.unwrap();
        (data, meta)
    };
    let (outcome, _sockets) = in_time(async { tokio::join!(observed(&node), conversation) }).await;
    let established = outcome.0.unwrap();
    assert_eq!(established.resolve_conflicts, ResolveConflicts::Here);
    for (socket, expected) in [
        (established.data, parameters.clone()),
        (established.meta, packet_100(0x13, 0)),
    ] {
        let mut stream = TcpStream::from_std(socket).expect("it is non-blocking");
        let mut bytes = vec![0; expected.len()];
        in_time(stream.read_exact(&mut bytes)).await.unwrap();
        assert_eq!(bytes, expected);
    }
}

#[tokio::test]
async fn a_crossed_data_connection_replaces_the_own_one() {
    let (node, _) = neighbours();
    let peer = FakePeer::of(&node).await;
    let conversation = async {
        let (mut own, _) = peer.accept().await;
        let mut data = peer.connect(&initial_packet(Initial::Data)).await;
        let closed = own.read(&mut [0]).await.unwrap();
        assert_eq!(closed, 0, "the node closes its own connection");
        let meta = peer.connect(&initial_packet(Initial::Meta)).await;
        data.write_all(&features(86, 101)).await.unwrap();
        (data, meta)
    };
    let (outcome, (data, _meta)) =
        in_time(async { tokio::join!(observed(&node), conversation) }).await;
    assert_eq!(outcome.1[0], "initial packet S crossed");
    let established = outcome.0.unwrap();
    assert_eq!(
        established.data.peer_addr().unwrap(),
        data.local_addr().unwrap()
    );
}

#[tokio::test]
async fn strangers_are_turned_away() {
    let (node, _) = neighbours();
    let peer = FakePeer::of(&node).await;
    let conversation = async {
        let (mut data, _) = peer.accept().await;
        let mut stranger = peer.connect(b"GET / HTTP/1.1\r\n\r\n").await;
        let _ = stranger.read_to_end(&mut Vec::new()).await;
        let meta = peer.connect(&initial_packet(Initial::Meta)).await;
        data.write_all(&features(86, 101)).await.unwrap();
        (data, meta)
    };
    let (outcome, _sockets) = in_time(async { tokio::join!(observed(&node), conversation) }).await;
    assert_eq!(outcome.1[0], "Error receiving initial packet");
    assert!(outcome.0.is_ok());
}

/// Of 8.0 nodes only the first field is set.
#[tokio::test]
async fn a_peer_that_announces_no_maximum_means_its_minimum() {
    let (result, _) = answer_to(&features(86, 0), None).await;
    assert_eq!(result.unwrap().agreed.version, ProtocolVersion(86));
}

#[tokio::test]
async fn an_address_that_is_not_ours_is_fatal() {
    let (mut node, _) = neighbours();
    node.local = "192.0.2.1:7788".parse().unwrap();
    let (result, log) = in_time(observed(&node)).await;
    assert_eq!(result.unwrap_err(), Failure::Fatal);
    assert_eq!(log, ["bind before listen failed, err = -99"]);
}

#[tokio::test]
async fn dropping_the_attempt_closes_everything() {
    let (node, _) = neighbours();
    let peer = FakePeer::of(&node).await;
    let (mut data, _) = {
        let mut attempt = Box::pin(establish(&node, |_| ()));
        in_time(async {
            tokio::select! {
                _ = &mut attempt => panic!("there was no meta socket"),
                accepted = peer.accept() => accepted,
            }
        })
        .await
    };
    assert_eq!(in_time(data.read(&mut [0])).await.unwrap(), 0);
    let refused = TcpStream::connect(node.local).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn socket_buffers_have_the_configured_size() {
    let (mut a, b) = neighbours();
    a.send_buffer = NonZeroU32::new(65536);
    a.receive_buffer = NonZeroU32::new(32768);
    let ((a, _), (_b, _)) = in_time(async { tokio::join!(observed(&a), observed(&b)) }).await;
    let a = a.unwrap();
    for socket in [&a.data, &a.meta] {
        let socket = socket2::SockRef::from(socket);
        assert_eq!(socket.send_buffer_size().unwrap(), 65536);
        assert_eq!(socket.recv_buffer_size().unwrap(), 32768);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Junk in every phase: an error or success, never a panic, never a hang.
    #[test]
    fn hostile_peers_only_get_an_answer(
        after_features in any::<bool>(),
        code in prop_oneof![Just(0x10u16), Just(0x11), any::<u16>()],
        length in prop_oneof![0u32..200, any::<u32>()],
        junk in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut bytes = Vec::new();
        if after_features {
            bytes.append(&mut features(86, 101));
            bytes.extend_from_slice(&packet_100(code, 0)[..8]);
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(&[0; 4]);
        }
        bytes.extend_from_slice(&junk);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (result, _) = runtime.block_on(answer_to(&bytes, auth("FooFunFactory")));
        prop_assert!(result.is_err(), "no junk contains the right digest");
    }
}
