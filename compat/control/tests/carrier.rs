//! The seqpacket carrier.

use drbd_control::{Caller, Connection, Listener};
use rustix::event::{PollFd, PollFlags, poll};
use std::io::ErrorKind;

fn wait_readable(fd: impl rustix::fd::AsFd) {
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    assert_eq!(poll(&mut fds, None).unwrap(), 1);
}

#[test]
fn messages_keep_their_borders_and_the_end_is_seen() {
    let (client, server) = Connection::pair().unwrap();
    client.send(b"first message").unwrap();
    client.send(b"second").unwrap();
    drop(client);
    let mut buffer = Vec::new();
    assert_eq!(
        server.recv(&mut buffer).unwrap(),
        Some(&b"first message"[..])
    );
    assert_eq!(server.recv(&mut buffer).unwrap(), Some(&b"second"[..]));
    assert_eq!(server.recv(&mut buffer).unwrap(), None);
    assert_eq!(server.send(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[test]
fn a_message_beyond_the_limit_is_an_error_not_a_cut() {
    let (client, server) = Connection::pair().unwrap();
    client.send(&vec![1; 64 * 1024 + 1]).unwrap();
    let error = server.recv(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
}

#[test]
fn a_dead_engine_refuses_and_its_socket_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let nobody = Connection::connect(dir.path()).unwrap_err();
    assert_eq!(nobody.kind(), ErrorKind::NotFound);

    let listener = Listener::bind(dir.path()).unwrap();
    // As after kill -9: the socket file stays, nobody listens.
    let path = dir.path().join("engine.sock");
    std::fs::hard_link(&path, dir.path().join("left")).unwrap();
    drop(listener);
    std::fs::rename(dir.path().join("left"), &path).unwrap();
    let dead = Connection::connect(dir.path()).unwrap_err();
    assert_eq!(dead.kind(), ErrorKind::ConnectionRefused);

    let listener = Listener::bind(dir.path()).unwrap();
    let client = Connection::connect(dir.path()).unwrap();
    wait_readable(&listener);
    let server = listener.accept().unwrap();
    assert_eq!(server.caller().unwrap(), Caller::Admin, "same user");
    client.send(b"hello").unwrap();
    wait_readable(&server);
    assert_eq!(server.recv(&mut Vec::new()).unwrap(), Some(&b"hello"[..]));
}
