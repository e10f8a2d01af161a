//! The part of the thread that moves packets between core and sockets.

use std::io;
use std::os::fd::AsFd;
use std::time::Instant as Clock;

use drbd_core::input::{Input, LinkId, TieBreaker};
use drbd_types::ConnState;
use drbd_wire::{Agreed, DecodeError, Packet, Socket};
use rustix::net::sockopt;

use super::driver::{Driver, Starved, Tag};
use super::intake::Step;
use super::link::Link;
use super::port::Sockets;
use super::surroundings::Surroundings;
use super::uring::Sending;
use crate::buffer::Buffer;

/// `SO_PRIORITY` of the sockets (spec 50 section 2.1).
const DATA_PRIORITY: u32 = 4;
const META_PRIORITY: u32 = 6;

impl<S: Surroundings> Driver<S> {
    pub(super) fn link_up(
        &mut self,
        id: LinkId,
        sockets: Sockets,
        agreed: Agreed,
        tie: TieBreaker,
    ) {
        if self.expected_link != Some(id) || self.link.is_some() {
            return;
        }
        prepare(&sockets.data, DATA_PRIORITY);
        prepare(&sockets.meta, META_PRIORITY);
        let Some(link) = Link::new(id, agreed, sockets.data, sockets.meta, &self.pool) else {
            self.deliver(Input::LinkLost {
                link: id,
                socket: Socket::Data,
                cause: ConnState::NetworkFailure,
                message: "no memory for the receive buffers".into(),
            });
            return;
        };
        self.link = Some(link);
        self.deliver(Input::LinkUp {
            link: id,
            agreed,
            tie,
        });
    }

    pub(super) fn close_link(&mut self, id: LinkId) {
        if self.expected_link == Some(id) {
            self.expected_link = None;
            self.surroundings.close_link(id);
        }
        if self.link.as_ref().is_some_and(|link| link.id == id)
            && let Some(link) = self.link.take()
        {
            self.closing.push(link);
            self.launch_messages();
            if let Some(link) = self.closing.last_mut() {
                link.close(&mut self.ring, Clock::now());
            }
        }
    }

    pub(super) fn queue_packet(
        &mut self,
        id: LinkId,
        socket: Socket,
        packet: &Packet,
        payload: Option<Buffer>,
    ) {
        let Some(link) = self.link.as_mut().filter(|link| link.id == id) else {
            return;
        };
        if let Err(error) = link.queue(socket, packet, payload) {
            // The core would have to know better: this ends the connection, visibly.
            self.lost(id, socket, ConnState::ProtocolError, error.to_string());
        }
    }

    /// Starts sending what is queued, one message a socket at a time.
    pub(super) fn launch_messages(&mut self) {
        for link in self.link.iter_mut().chain(&mut self.closing) {
            let id = link.id;
            for socket in [Socket::Meta, Socket::Data] {
                let pipe = link.pipe(socket);
                if let Some(message) = pipe.next_message() {
                    let tag = Tag::Send(id, socket);
                    self.ring.send(&pipe.socket, message, tag);
                }
            }
        }
    }

    pub(super) fn sent(
        &mut self,
        id: LinkId,
        socket: Socket,
        message: Box<Sending>,
        result: io::Result<u32>,
    ) {
        let Some(link) = find(&mut self.link, &mut self.closing, id) else {
            return;
        };
        let open = link.is_open();
        let pipe = link.pipe(socket);
        let bytes = match result {
            Ok(bytes) => bytes,
            Err(error) => {
                pipe.broken = true;
                if open {
                    let (cause, message) = send_failure(socket, &error);
                    self.lost(id, socket, cause, message);
                    self.settle();
                }
                return;
            }
        };
        let (packets, rest) = pipe.sent(message, bytes);
        match rest.or_else(|| pipe.next_message()) {
            Some(message) => {
                let tag = Tag::Send(id, socket);
                self.ring.send(&pipe.socket, message, tag);
            }
            None if !open => pipe.finish_if_sent(),
            None => {}
        }
        if open && packets > 0 && socket == Socket::Data {
            self.deliver(Input::Sent { link: id, packets });
        }
    }

    pub(super) fn received(
        &mut self,
        id: LinkId,
        socket: Socket,
        buffer: Buffer,
        result: io::Result<u32>,
    ) {
        let Some(link) = find(&mut self.link, &mut self.closing, id) else {
            return;
        };
        let open = link.is_open();
        let pipe = link.pipe(socket);
        match result {
            Ok(bytes @ 1..) => {
                pipe.intake.received(buffer, bytes as usize);
                if !open {
                    pipe.discard(&mut self.ring, id, socket);
                }
            }
            ended => {
                pipe.ended = true;
                if open {
                    let (cause, message) = receive_failure(socket, ended.err().as_ref());
                    self.lost(id, socket, cause, message);
                    self.settle();
                }
            }
        }
    }

    /// Hands the core the packets that have arrived on a socket, and asks for more bytes.
    pub(super) fn pump(&mut self, socket: Socket) {
        loop {
            if socket == Socket::Data && !self.core.accepts_data() {
                return;
            }
            let Some(link) = &mut self.link else {
                return;
            };
            let id = link.id;
            let pipe = link.pipe(socket);
            if pipe.ended {
                return;
            }
            match pipe.intake.step() {
                Ok(Step::Arrived(arrival)) => self.deliver(Input::Packet {
                    link: id,
                    socket,
                    packet: arrival.packet,
                    payload: arrival.payload,
                }),
                Ok(Step::Starved) => {
                    if let Some(request) = pipe.intake.request() {
                        let tag = Tag::Receive(id, socket);
                        self.ring.receive(
                            &pipe.socket,
                            request.buffer,
                            request.range,
                            request.amount,
                            tag,
                        );
                    }
                    return;
                }
                Ok(Step::OutOfMemory) => {
                    self.starved = Starved::Yes;
                    return;
                }
                Err(error) => {
                    pipe.ended = true;
                    self.nonsense(id, socket, error);
                    return;
                }
            }
        }
    }

    /// Lets closed links end.
    pub(super) fn linger(&mut self) {
        if self.closing.is_empty() {
            return;
        }
        let now = Clock::now();
        self.closing.retain_mut(|link| link.linger(now).is_some());
    }

    fn nonsense(&mut self, id: LinkId, socket: Socket, error: DecodeError) {
        self.lost(id, socket, error.consequence(socket), error.to_string());
        self.settle();
    }

    fn lost(&mut self, link: LinkId, socket: Socket, cause: ConnState, message: String) {
        self.pending.push_back(Input::LinkLost {
            link,
            socket,
            cause,
            message,
        });
    }
}

fn find<'a>(
    current: &'a mut Option<Link>,
    closing: &'a mut [Link],
    id: LinkId,
) -> Option<&'a mut Link> {
    current.iter_mut().chain(closing).find(|link| link.id == id)
}

/// Small packets go out at once: whole batches are gathered before they are handed to TCP.
fn prepare(socket: impl AsFd, priority: u32) {
    // The ring waits by itself, but for a descriptor that says it must not.
    let _ = rustix::io::ioctl_fionbio(&socket, false);
    // A socket without these options is slower, not wrong.
    let _ = sockopt::set_tcp_nodelay(&socket, true);
    let _ = sockopt::set_tcp_quickack(&socket, true);
    let _ = socket2::SockRef::from(&socket).set_priority(priority);
}

/// State and log text for the end of a socket (spec 50 section 14.3).
fn receive_failure(socket: Socket, error: Option<&io::Error>) -> (ConnState, String) {
    let cause = match socket {
        Socket::Data => ConnState::BrokenPipe,
        Socket::Meta => ConnState::NetworkFailure,
    };
    let text = match (socket, error.map(io::Error::raw_os_error)) {
        (Socket::Data, None) => "sock was shut down by peer".to_owned(),
        (Socket::Data, Some(Some(libc::ECONNRESET))) => "sock was reset by peer".to_owned(),
        (Socket::Meta, None) => "meta connection shut down by peer.".to_owned(),
        (_, Some(code)) => format!("sock_recvmsg returned {}", -code.unwrap_or(libc::EIO)),
    };
    (cause, text)
}

fn send_failure(socket: Socket, error: &io::Error) -> (ConnState, String) {
    let code = -error.raw_os_error().unwrap_or(libc::EIO);
    match socket {
        Socket::Data => (
            ConnState::BrokenPipe,
            format!("sock_sendmsg returned {code}"),
        ),
        Socket::Meta => (
            ConnState::NetworkFailure,
            format!("msock_sendmsg returned {code}"),
        ),
    }
}
