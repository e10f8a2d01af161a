//! The sockets between the nodes, and the weather over them.

use drbd_core::input::{Input, LinkId, Payload, TieBreaker};
use drbd_types::ConnState;
use drbd_wire::{Codec, Digest, Packet, Socket};

use super::{Event, Pace, World};
use crate::block::Block;
use crate::net::{AGREED, Arrived, Weather};

impl World {
    /// Both sockets are reset; both nodes notice at once.
    pub fn reset_connection(&mut self) {
        self.tell(0, "--- connection reset");
        for node in 0..2 {
            if let Some(link) = self.net.sides[node].up.take() {
                let socket = Socket::Data;
                self.at(
                    self.now,
                    Event::Closed {
                        to: node,
                        link,
                        socket,
                    },
                );
            }
        }
    }

    /// Packets pass or do not.
    pub fn set_weather(&mut self, weather: Weather) {
        self.tell(0, &format!("--- {weather:?}"));
        self.net.weather = weather;
        self.maybe_establish();
    }

    /// The other side of this node's sockets learns that they are closed.
    pub(super) fn drop_sockets(&mut self, node: usize) {
        let other = 1 - node;
        self.net.sides[node].up = None;
        if let Some(link) = self.net.sides[other].up {
            let even = self.pace == Pace::Even;
            let mut last = 0;
            for socket in [Socket::Data, Socket::Meta] {
                let mut at = self.delivery_time(other, socket);
                if even {
                    // The data socket is the first to be closed.
                    at = at.max(last);
                    last = at + 1;
                }
                self.at(
                    at,
                    Event::Closed {
                        to: other,
                        link,
                        socket,
                    },
                );
            }
        }
    }

    fn link_of(&self, node: usize, pair: u64) -> Option<LinkId> {
        self.net.sides[node].up.filter(|_| pair == self.net.pair)
    }

    /// Arrived packets wait in the socket, in order, until the node reads them.
    pub(super) fn pump(&mut self, to: usize, socket: Socket) {
        let index = socket_index(socket);
        while let Some(arrived) = self.net.inbox[to][index].front() {
            let pair = arrived.pair;
            if pair != self.net.pair {
                self.net.inbox[to][index].pop_front();
                continue;
            }
            if let Some(pause_us) = self.unread(to, socket) {
                if !std::mem::replace(&mut self.net.pumping[to][index], true) {
                    let again = Event::Pump { to, socket };
                    self.after(pause_us, 10 * pause_us, again);
                }
                return;
            }
            let Some(arrived) = self.net.inbox[to][index].pop_front() else {
                return;
            };
            if let Some(link) = self.link_of(to, pair) {
                let Arrived {
                    packet, payload, ..
                } = arrived;
                self.input(
                    to,
                    Input::Packet {
                        link,
                        socket,
                        packet,
                        payload,
                    },
                );
            }
        }
    }

    /// How long to wait before looking again, in microseconds, if a packet cannot be read now.
    fn unread(&self, to: usize, socket: Socket) -> Option<u64> {
        if self.net.weather == Weather::Partition {
            // TCP keeps trying; what a partition delays arrives after it, or never.
            return Some(5_000);
        }
        let core = self.nodes[to].core.as_ref()?;
        let connected = self
            .status(to)
            .is_some_and(|status| status.state.conn >= ConnState::Connected);
        (socket == Socket::Data && connected && !core.accepts_data()).then_some(5)
    }

    pub(super) fn maybe_establish(&mut self) {
        if self.net.can_establish() {
            self.after(1_000, 20_000, Event::Establish);
        }
    }

    pub(super) fn establish(&mut self) {
        if !self.net.can_establish() {
            return;
        }
        let tie = if self.random.chance(500) {
            TieBreaker::Here
        } else {
            TieBreaker::There
        };
        let told = self.net.establish(tie);
        self.net.horizon = [[self.now; 2]; 2];
        for (node, told) in told.into_iter().enumerate() {
            if let Some((link, tie)) = told {
                self.input(
                    node,
                    Input::LinkUp {
                        link,
                        agreed: AGREED,
                        tie,
                    },
                );
            }
        }
    }

    fn delivery_time(&mut self, to: usize, socket: Socket) -> u64 {
        let delay = self.delay(20, 300);
        let horizon = &mut self.net.horizon[to][socket_index(socket)];
        *horizon = (*horizon + 1).max(self.now + delay);
        *horizon
    }

    pub(super) fn send(
        &mut self,
        node: usize,
        link: LinkId,
        socket: Socket,
        packet: Packet,
        payload: Option<Block>,
    ) {
        if self.net.sides[node].up != Some(link) {
            return;
        }
        let packet = match through_the_codec(socket, &packet, payload.as_ref()) {
            Ok(packet) => packet,
            Err(error) => {
                self.violation
                    .get_or_insert(format!("codec: {error} in {packet:?}"));
                return;
            }
        };
        let to = 1 - node;
        let at = self.delivery_time(to, socket);
        let pair = self.net.pair;
        self.at(
            at,
            Event::Deliver {
                to,
                pair,
                socket,
                packet,
                payload,
            },
        );
        if socket == Socket::Data {
            self.input_quietly(node, Input::Sent { link, packets: 1 });
        }
    }
}

pub(super) const fn socket_index(socket: Socket) -> usize {
    match socket {
        Socket::Data => 0,
        Socket::Meta => 1,
    }
}

/// What the peer gets is what the production codec makes of it.
fn through_the_codec(
    socket: Socket,
    packet: &Packet,
    payload: Option<&Block>,
) -> Result<Packet, String> {
    let codec = Codec::new(AGREED);
    let mut bytes = Vec::new();
    let follows = codec
        .encode(packet, &Digest::EMPTY, &mut bytes)
        .map_err(|e| e.to_string())?;
    if follows.0 != payload.map_or(0, Payload::size) {
        return Err(format!("{} bytes announced", follows.0));
    }
    let (head, body) = bytes.split_at(codec.header_size());
    let header = codec
        .decode_header(socket, head)
        .map_err(|e| e.to_string())?;
    let (decoded, _) = codec
        .decode_body(&header, body)
        .map_err(|e| e.to_string())?;
    if decoded == *packet {
        Ok(decoded)
    } else {
        Err(format!("came out as {decoded:?}"))
    }
}
