//! The two sockets of a connection and what is on its way through them.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use drbd_core::input::LinkId;
use drbd_wire::{Agreed, Codec, Digest, EncodeError, Packet, Socket};
use rustix::net::{Shutdown, shutdown};

use super::driver::{Ring, Tag};
use super::intake::Intake;
use super::uring::Sending;
use crate::buffer::{Buffer, Pool};

/// How long a closed link may take to send what was queued and to see the peer's end.
const LINGER: Duration = Duration::from_secs(1);

/// An established connection.
pub struct Link {
    /// As the core named it.
    pub id: LinkId,
    /// How its packets are written.
    pub codec: Codec,
    data: Pipe,
    meta: Pipe,
    phase: Phase,
}

/// Whether the core still uses the link.
#[derive(Clone, Copy)]
enum Phase {
    Open,
    /// Closed by the core: what is queued is sent, what arrives is thrown away.
    Closing {
        give_up: Instant,
    },
}

/// One socket.
pub struct Pipe {
    /// The socket.
    pub socket: Arc<OwnedFd>,
    /// What arrives.
    pub intake: Intake,
    /// Packets for the next message.
    filling: Box<Sending>,
    /// An empty message to fill next, unless one is being sent.
    idle: Option<Box<Sending>>,
    /// Whether reading ended: end of file, an error, or nonsense.
    pub ended: bool,
    /// Whether sending failed.
    pub broken: bool,
    /// Whether our end of the stream was announced to the peer.
    finished: bool,
}

impl Link {
    /// Takes over both sockets; `None` without memory for the receive windows.
    pub fn new(
        id: LinkId,
        agreed: Agreed,
        data: OwnedFd,
        meta: OwnedFd,
        pool: &Pool,
    ) -> Option<Self> {
        let codec = Codec::new(agreed);
        Some(Self {
            id,
            codec,
            data: Pipe::new(Socket::Data, codec, data, pool)?,
            meta: Pipe::new(Socket::Meta, codec, meta, pool)?,
            phase: Phase::Open,
        })
    }

    /// One of the sockets.
    pub fn pipe(&mut self, socket: Socket) -> &mut Pipe {
        match socket {
            Socket::Data => &mut self.data,
            Socket::Meta => &mut self.meta,
        }
    }

    /// Queues a packet.
    pub fn queue(
        &mut self,
        socket: Socket,
        packet: &Packet,
        payload: Option<Buffer>,
    ) -> Result<(), EncodeError> {
        let codec = self.codec;
        self.pipe(socket).filling.message().push(
            |heads| codec.encode(packet, &Digest::EMPTY, heads).map(drop),
            payload,
        )
    }

    /// Whether packets may still be delivered to the core.
    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// The core does not want to hear of this link any more.
    pub fn close(&mut self, ring: &mut Ring, now: Instant) {
        self.phase = Phase::Closing {
            give_up: now + LINGER,
        };
        for (pipe, socket) in [
            (&mut self.data, Socket::Data),
            (&mut self.meta, Socket::Meta),
        ] {
            pipe.finish_if_sent();
            if !pipe.ended {
                pipe.discard(ring, self.id, socket);
            }
        }
    }

    /// Ends a closing link's sockets once everything is sent and the peer has closed as well, or
    /// time is up; says when to look again, or `None` when the link can be dropped.
    pub fn linger(&mut self, now: Instant) -> Option<Instant> {
        let Phase::Closing { give_up } = self.phase else {
            return None;
        };
        let quiet = self.data.is_quiet() && self.meta.is_quiet();
        if quiet {
            return None;
        }
        if now >= give_up {
            for pipe in [&self.data, &self.meta] {
                // Fails only if the peer has reset the connection already.
                let _ = shutdown(&*pipe.socket, Shutdown::Both);
            }
            return None;
        }
        Some(give_up)
    }
}

impl Pipe {
    fn new(socket: Socket, codec: Codec, stream: OwnedFd, pool: &Pool) -> Option<Self> {
        Some(Self {
            socket: Arc::new(stream),
            intake: Intake::new(socket, codec, pool.clone())?,
            filling: Sending::new(),
            idle: Some(Sending::new()),
            ended: false,
            broken: false,
            finished: false,
        })
    }

    /// The next message, if there is something to send and nothing on its way.
    pub fn next_message(&mut self) -> Option<Box<Sending>> {
        if self.broken || self.filling.message().is_empty() {
            return None;
        }
        let next = self.idle.take()?;
        Some(std::mem::replace(&mut self.filling, next))
    }

    /// A message came back with so many bytes of it sent; returns how many packets that completed,
    /// and the message if some of it is left to send.
    pub fn sent(&mut self, mut message: Box<Sending>, bytes: u32) -> (u32, Option<Box<Sending>>) {
        let packets = message.message().advance(u64::from(bytes));
        if message.message().is_empty() {
            self.idle = Some(message);
            return (packets, None);
        }
        (packets, Some(message))
    }

    /// Announces the end of our stream once nothing is left to send.
    pub fn finish_if_sent(&mut self) {
        let all_sent = self.broken || (self.idle.is_some() && self.filling.message().is_empty());
        if all_sent && !self.finished {
            self.finished = true;
            // Fails only if the peer has reset the connection already.
            let _ = shutdown(&*self.socket, Shutdown::Write);
        }
    }

    /// Throws away what has arrived and reads on, so that the peer can read our last packets: a
    /// socket closed with unread bytes would be reset.
    pub fn discard(&mut self, ring: &mut Ring, link: LinkId, socket: Socket) {
        self.intake.clear();
        if let Some(request) = self.intake.request() {
            ring.receive(
                &self.socket,
                request.buffer,
                request.range,
                request.amount,
                Tag::Receive(link, socket),
            );
        }
    }

    fn is_quiet(&self) -> bool {
        self.finished && self.ended
    }
}
