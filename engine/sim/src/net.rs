//! The network between two nodes: establishing links, delivering packets, breaking.

use std::collections::VecDeque;

use drbd_core::input::{LinkId, TieBreaker};
use drbd_wire::{Agreed, Features, Packet, ProtocolVersion};

use crate::block::Block;

/// What both nodes agree on here.
pub const AGREED: Agreed = Agreed {
    version: ProtocolVersion(101),
    features: Features::all(),
};

/// Whether packets pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Weather {
    /// They do.
    Clear,
    /// Nothing passes; sockets stay open and silent.
    Partition,
}

/// One side's view of the network.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Side {
    /// The link that this node looks for.
    pub wanted: Option<LinkId>,
    /// The link that is up.
    pub up: Option<LinkId>,
}

/// A packet in the socket of its receiver.
#[derive(Debug)]
pub struct Arrived {
    /// On which pair of sockets it was sent.
    pub pair: u64,
    /// Header and fixed part.
    pub packet: Packet,
    /// Its data.
    pub payload: Option<Block>,
}

/// The connection between the nodes.
#[derive(Debug)]
pub struct Net {
    /// Both sides.
    pub sides: [Side; 2],
    /// Whether packets pass.
    pub weather: Weather,
    /// Counts pairs of sockets: what was sent on an old pair never arrives.
    pub pair: u64,
    /// Per receiving node and socket: the earliest time of the next delivery.
    pub horizon: [[u64; 2]; 2],
    /// Per receiving node and socket: what arrived and was not read.
    pub inbox: [[VecDeque<Arrived>; 2]; 2],
    /// Per receiving node and socket: whether it will be looked at again.
    pub pumping: [[bool; 2]; 2],
}

impl Net {
    /// Nobody is connected.
    pub fn new() -> Self {
        Self {
            sides: [Side::default(); 2],
            weather: Weather::Clear,
            pair: 0,
            horizon: [[0; 2]; 2],
            inbox: Default::default(),
            pumping: [[false; 2]; 2],
        }
    }

    /// Whether both look for each other and can find each other.
    pub fn can_establish(&self) -> bool {
        self.weather == Weather::Clear
            && self
                .sides
                .iter()
                .all(|side| side.wanted.is_some() && side.up.is_none())
    }

    /// Connects both; returns what each node is told.
    pub fn establish(&mut self, node_0_decides: TieBreaker) -> [Option<(LinkId, TieBreaker)>; 2] {
        self.pair += 1;
        let tie_1 = match node_0_decides {
            TieBreaker::Here => TieBreaker::There,
            TieBreaker::There => TieBreaker::Here,
        };
        let mut told = [None, None];
        for (node, tie) in [(0, node_0_decides), (1, tie_1)] {
            let side = &mut self.sides[node];
            side.up = side.wanted.take();
            told[node] = side.up.map(|link| (link, tie));
        }
        told
    }
}

impl Default for Net {
    fn default() -> Self {
        Self::new()
    }
}
