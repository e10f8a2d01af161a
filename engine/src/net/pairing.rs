//! Which connection becomes the data socket and which the meta socket (spec 50 section 2.3).
//!
//! Pure: [`Pairing`] is told what connections came to be and says what to do next; it holds
//! the sockets of whatever type, and dropping one closes it.

use drbd_wire::Command;
use drbd_wire::{Body, RawHeader};

use super::event::Event;

/// What the first packet on a connection makes of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Initial {
    /// The data socket.
    Data,
    /// The meta socket.
    Meta,
}

impl Initial {
    /// The letter in log lines: "sock" and "msock".
    pub const fn letter(self) -> char {
        match self {
            Self::Data => 'S',
            Self::Meta => 'M',
        }
    }

    /// The packet that announces it.
    pub const fn body(self) -> Body {
        match self {
            Self::Data => Body::InitialData,
            Self::Meta => Body::InitialMeta,
        }
    }

    /// What this header announces, if anything.
    pub fn from_header(header: RawHeader) -> Option<Self> {
        match Command::from_code(header.code) {
            Some(Command::InitialData) => Some(Self::Data),
            Some(Command::InitialMeta) => Some(Self::Meta),
            _ => None,
        }
    }
}

/// Which node decides ties on this connection: the one that accepted the meta socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ResolveConflicts {
    /// This one.
    Here,
    /// The peer.
    There,
}

/// What to do next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Try to connect to the peer.
    Connect,
    /// Wait for an incoming connection.
    Accept,
    /// Both sockets are there: wait for the settle time, then ask [`Pairing::settled`].
    Settle,
}

/// A random bit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Coin {
    /// One side.
    Heads,
    /// The other.
    Tails,
}

/// What an established connection consists of.
#[derive(Debug)]
pub struct Pair<S> {
    /// The data socket.
    pub data: S,
    /// The meta socket.
    pub meta: S,
    /// Who decides ties.
    pub resolve_conflicts: ResolveConflicts,
}

/// The sockets so far.
#[derive(Debug)]
pub struct Pairing<S> {
    data: Option<S>,
    meta: Option<S>,
    resolve_conflicts: ResolveConflicts,
    /// Where to go on if the sockets do not survive the settle time.
    otherwise: Next,
}

/// No sockets yet: begin with [`Next::Connect`].
impl<S> Default for Pairing<S> {
    fn default() -> Self {
        Self {
            data: None,
            meta: None,
            resolve_conflicts: ResolveConflicts::There,
            otherwise: Next::Connect,
        }
    }
}

impl<S> Pairing<S> {
    /// What the next outgoing connection will be, and therefore announces to the peer.
    pub const fn wanted(&self) -> Initial {
        match self.data {
            None => Initial::Data,
            Some(_) => Initial::Meta,
        }
    }

    /// We reached the peer and sent the initial packet for [`Self::wanted`].
    pub fn connected(&mut self, socket: S) -> Next {
        match self.wanted() {
            Initial::Data => self.data = Some(socket),
            Initial::Meta => {
                self.meta = Some(socket);
                self.resolve_conflicts = ResolveConflicts::There;
            }
        }
        self.settle_or(Next::Accept)
    }

    /// The peer could not be reached.
    pub fn not_connected(&mut self) -> Next {
        self.settle_or(Next::Accept)
    }

    /// Nobody came in time.
    pub fn not_accepted(&mut self) -> Next {
        self.settle_or(Next::Connect)
    }

    /// The peer reached us and said what its socket is; `None` if it did not. The coin keeps
    /// two nodes that do the same things at the same time from doing so for ever.
    pub fn accepted(
        &mut self,
        incoming: Option<(S, Initial)>,
        coin: Coin,
    ) -> (Option<Event>, Next) {
        let event = match incoming {
            None => Some(Event::BadInitialPacket),
            Some((socket, Initial::Data)) => self
                .data
                .replace(socket)
                .map(|_| Event::Crossed(Initial::Data)),
            Some((socket, Initial::Meta)) => {
                self.resolve_conflicts = ResolveConflicts::Here;
                self.meta
                    .replace(socket)
                    .map(|_| Event::Crossed(Initial::Meta))
            }
        };
        let next = match (&event, coin) {
            (Some(_), Coin::Heads) => Next::Accept,
            _ => self.settle_or(Next::Connect),
        };
        (event, next)
    }

    /// Drops sockets that have died meanwhile.
    pub fn drop_dead(&mut self, alive: impl Fn(&S) -> bool) {
        self.data.take_if(|socket| !alive(socket));
        self.meta.take_if(|socket| !alive(socket));
    }

    /// The settle time is over: the pair, or what to do because a socket did not survive.
    pub fn settled(mut self, alive: impl Fn(&S) -> bool) -> Result<Pair<S>, (Self, Next)> {
        self.drop_dead(alive);
        match (self.data, self.meta) {
            (Some(data), Some(meta)) => Ok(Pair {
                data,
                meta,
                resolve_conflicts: self.resolve_conflicts,
            }),
            (data, meta) => {
                let next = self.otherwise;
                Err((Self { data, meta, ..self }, next))
            }
        }
    }

    fn settle_or(&mut self, otherwise: Next) -> Next {
        self.otherwise = otherwise;
        match (&self.data, &self.meta) {
            (Some(_), Some(_)) => Next::Settle,
            _ => otherwise,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL_ALIVE: fn(&&'static str) -> bool = |_| true;

    #[test]
    fn the_usual_outcome_has_one_connection_in_each_direction() {
        // The node whose connect got through first.
        let mut a = Pairing::default();
        assert_eq!(a.wanted(), Initial::Data);
        assert_eq!(a.connected("data out"), Next::Accept);
        let (event, next) = a.accepted(Some(("meta in", Initial::Meta)), Coin::Heads);
        assert_eq!((event, next), (None, Next::Settle));
        let pair = a.settled(ALL_ALIVE).unwrap();
        assert_eq!((pair.data, pair.meta), ("data out", "meta in"));
        assert_eq!(pair.resolve_conflicts, ResolveConflicts::Here);

        // Its peer.
        let mut b = Pairing::default();
        assert_eq!(b.not_connected(), Next::Accept);
        let (event, next) = b.accepted(Some(("data in", Initial::Data)), Coin::Heads);
        assert_eq!((event, next), (None, Next::Connect));
        assert_eq!(b.wanted(), Initial::Meta);
        assert_eq!(b.connected("meta out"), Next::Settle);
        let pair = b.settled(ALL_ALIVE).unwrap();
        assert_eq!((pair.data, pair.meta), ("data in", "meta out"));
        assert_eq!(pair.resolve_conflicts, ResolveConflicts::There);
    }

    #[test]
    fn a_peer_behind_a_one_way_firewall_makes_both_connections() {
        let mut a = Pairing::default();
        a.connected("data out");
        assert_eq!(a.not_accepted(), Next::Connect);
        assert_eq!(a.connected("meta out"), Next::Settle);
        let mut b = Pairing::default();
        b.accepted(Some(("data in", Initial::Data)), Coin::Heads);
        assert_eq!(b.not_connected(), Next::Accept);
        let (_, next) = b.accepted(Some(("meta in", Initial::Meta)), Coin::Tails);
        assert_eq!(next, Next::Settle);
        assert_eq!(
            b.settled(ALL_ALIVE).unwrap().resolve_conflicts,
            ResolveConflicts::Here
        );
    }

    #[test]
    fn a_crossed_socket_replaces_the_own_one_and_the_coin_decides_who_waits() {
        for (coin, expected) in [(Coin::Heads, Next::Accept), (Coin::Tails, Next::Connect)] {
            let mut pairing = Pairing::default();
            pairing.connected("data out");
            let (event, next) = pairing.accepted(Some(("data in", Initial::Data)), coin);
            assert_eq!(event, Some(Event::Crossed(Initial::Data)));
            assert_eq!(next, expected);
            assert_eq!(pairing.data, Some("data in"), "the own one is closed");
        }
    }

    #[test]
    fn a_stranger_does_not_disturb_what_is_there() {
        let mut pairing = Pairing::default();
        pairing.connected("data out");
        let (event, next) = pairing.accepted(None, Coin::Tails);
        assert_eq!(event, Some(Event::BadInitialPacket));
        assert_eq!(next, Next::Connect);
        assert_eq!(pairing.data, Some("data out"));
    }

    #[test]
    fn sockets_that_die_while_settling_are_replaced() {
        let mut pairing = Pairing::default();
        pairing.connected("data out");
        pairing.accepted(Some(("meta in", Initial::Meta)), Coin::Heads);
        let (mut pairing, next) = pairing.settled(|socket| *socket == "meta in").unwrap_err();
        assert_eq!(next, Next::Connect);
        assert_eq!(pairing.wanted(), Initial::Data);
        assert_eq!(pairing.connected("data again"), Next::Settle);
        assert_eq!(pairing.settled(ALL_ALIVE).unwrap().data, "data again");
    }

    #[test]
    fn an_own_meta_connection_takes_the_decision_back_to_the_peer() {
        let mut pairing = Pairing::default();
        pairing.connected("data out");
        pairing.accepted(Some(("meta in", Initial::Meta)), Coin::Heads);
        let (mut pairing, _) = pairing.settled(|socket| *socket == "data out").unwrap_err();
        assert_eq!(pairing.connected("meta out"), Next::Settle);
        assert_eq!(
            pairing.settled(ALL_ALIVE).unwrap().resolve_conflicts,
            ResolveConflicts::There
        );
    }
}
