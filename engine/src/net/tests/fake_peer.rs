//! Peers that a test writes by hand: what they send is exactly what the test says.

use drbd_wire::{Body, ConnectionFeatures, ProtocolVersion};
use proptest::prelude::*;

use super::*;

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

/// One way to misbehave, and what comes of it.
struct Misbehaviour {
    /// What the peer sends instead of, or behind, its features.
    sends: Vec<u8>,
    /// Whether the node demands authentication.
    auth: Option<Auth>,
    failure: Failure,
    /// The log, without the lines of an agreement.
    log: &'static [&'static str],
}

const FAILED: &str = "Authentication of peer failed";
const AGAIN: &str = "Authentication of peer failed, trying again.";
const DISCARDING: &str = "Discarding network configuration.";
const NETWORK: Failure = Failure::Retry(ConnState::NetworkFailure);
const BROKEN: Failure = Failure::Retry(ConnState::BrokenPipe);

/// Instead of the features.
fn instead(sends: &[&[u8]], failure: Failure, log: &'static [&'static str]) -> Misbehaviour {
    Misbehaviour {
        sends: sends.concat(),
        auth: None,
        failure,
        log,
    }
}

/// Where the challenge is due.
fn behind(sends: &[Vec<u8>], failure: Failure, log: &'static [&'static str]) -> Misbehaviour {
    Misbehaviour {
        sends: [features(86, 101), sends.concat()].concat(),
        auth: auth("FooFunFactory"),
        failure,
        log,
    }
}

/// Texts and consequences are those of a kernel 8.4.11 node to which the same bytes were sent.
#[tokio::test]
async fn a_peer_that_misbehaves_is_answered_as_by_the_kernel() {
    let challenge = || packet_100(0x10, 64);
    let cases = [
        instead(
            &[&[0x83, 0x74, 0x02, 0x67, 0, 0x0b, 0, 72], &[0; 72]],
            Failure::Fatal,
            &[
                "expected ConnectionFeatures packet, received: ReportProtocol (0x000b)",
                DISCARDING,
            ],
        ),
        instead(
            &[&[0x83, 0x74, 0x02, 0x67, 0xff, 0xfe, 0, 70], &[0; 70]],
            Failure::Fatal,
            &[
                "expected ConnectionFeatures length: 72, received: 70",
                DISCARDING,
            ],
        ),
        instead(
            &[&[0x11, 0x22, 0x33, 0x44, 0xff, 0xfe, 0, 72]],
            NETWORK,
            &["Wrong magic value 0x11223344 in protocol version 80"],
        ),
        instead(
            &[&features(102, 110)],
            Failure::Fatal,
            &[
                "incompatible DRBD dialects: I support 86-101, peer supports 102-110",
                DISCARDING,
            ],
        ),
        instead(
            &[],
            BROKEN,
            &["sock was shut down by peer", "short read (expected size 8)"],
        ),
        behind(
            &[packet_100(0x10, 32)],
            Failure::Fatal,
            &["AuthChallenge payload too small.", FAILED, DISCARDING],
        ),
        behind(
            &[packet_100(0x10, 200)],
            Failure::Fatal,
            &[
                "expected AuthChallenge payload too big.",
                FAILED,
                DISCARDING,
            ],
        ),
        behind(
            &[packet_100(0x77, 64)],
            Failure::Fatal,
            &[
                "expected AuthChallenge packet, received: Unknown (0x0077)",
                FAILED,
                DISCARDING,
            ],
        ),
        behind(
            &[packet_100(0x0b, 25)],
            Failure::Fatal,
            &[
                "expected AuthChallenge packet, received: ReportProtocol (0x000b)",
                FAILED,
                DISCARDING,
            ],
        ),
        behind(
            &[challenge(), packet_100(0x11, 32)],
            Failure::Fatal,
            &[FAILED, DISCARDING],
        ),
        behind(
            &[challenge(), packet_100(0x13, 0)],
            NETWORK,
            &[
                "expected AuthResponse packet, received: Ping (0x0013)",
                AGAIN,
            ],
        ),
        behind(
            &[challenge(), packet_100(0x11, 19)],
            NETWORK,
            &["expected AuthResponse payload of wrong size", AGAIN],
        ),
        behind(
            &[challenge(), vec![0x83, 0x74, 0x02, 0x67], vec![0; 12]],
            NETWORK,
            &[
                "Wrong magic value 0x83740267 in protocol version 101",
                AGAIN,
            ],
        ),
        behind(
            &[],
            BROKEN,
            &[
                "sock was shut down by peer",
                "short read (expected size 16)",
                AGAIN,
            ],
        ),
    ];
    for case in cases {
        let (result, mut log) = answer_to(&case.sends, case.auth).await;
        log.retain(|line| {
            !line.starts_with("Handshake succ") && !line.starts_with("Feature flags")
        });
        assert_eq!(log, case.log);
        assert_eq!(result.unwrap_err(), case.failure, "{log:?}");
    }
}

/// Playing our challenge back would let a peer without the secret use us as an oracle.
#[tokio::test]
async fn our_own_challenge_played_back_is_refused() {
    let (mut node, _) = neighbours();
    node.auth = auth("FooFunFactory");
    let peer = FakePeer::of(&node).await;
    let conversation = async {
        let (mut data, meta) = peer.pair().await;
        data.write_all(&features(86, 101)).await.unwrap();
        let mut sent = [0; 80 + 16 + 64];
        data.read_exact(&mut sent).await.unwrap();
        data.write_all(&sent[80..]).await.unwrap();
        (data, meta)
    };
    let ((result, log), _sockets) =
        in_time(async { tokio::join!(observed(&node), conversation) }).await;
    assert_eq!(result.unwrap_err(), Failure::Fatal);
    assert_eq!(
        log[2..],
        ["Peer presented the same challenge!", FAILED, DISCARDING]
    );
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
