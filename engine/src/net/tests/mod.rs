//! Two of us over loopback addresses; [`fake_peer`] has the peers that misbehave.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

use drbd_wire::ProtocolVersion;

use super::*;

mod fake_peer;

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

/// Authentication already uses the header of the agreed version.
#[tokio::test]
async fn every_version_can_be_agreed_on() {
    for version in 86..=101 {
        let (mut a, mut b) = neighbours();
        a.auth = auth("FooFunFactory");
        b.auth = auth("FooFunFactory");
        a.versions.max = ProtocolVersion(version);
        b.features = Features::TRIM | Features::WRITE_ZEROES;
        let ((a, _), (b, _)) = in_time(async { tokio::join!(observed(&a), observed(&b)) }).await;
        let agreed = Agreed {
            version: ProtocolVersion(version),
            features: Features::TRIM | Features::WRITE_ZEROES,
        };
        assert_eq!((a.unwrap().agreed, b.unwrap().agreed), (agreed, agreed));
    }
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
