//! The one connection of a resource: its sockets, liveness, and what the receiver must wait for.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use drbd_types::{ConnState, StateMask, VolumeNr};
use drbd_wire::{Agreed, BarrierId, Packet};

use crate::admin::Job;
use crate::config::NetConf;
use crate::epoch::{IncomingEpoch, TransferLog};
use crate::input::{ConnectOnce, LinkId, TieBreaker};
use crate::time::Instant;

/// The connection object. It exists from new-resource to del-resource.
pub(crate) struct Connection<B> {
    /// Never above WFReportParams: from there on the volumes have states of their own.
    pub(crate) state: ConnState,
    pub(crate) net: Option<NetConf>,
    pub(crate) once: ConnectOnce,
    pub(crate) link: Option<Link<B>>,
    pub(crate) last_link: u64,
    /// Writes that the peer has not declared stable; survives the link while I/O is suspended.
    pub(crate) log: TransferLog,
    pub(crate) cluster: Option<ClusterChange>,
}

/// An agreement on a state change that the peer has been asked for.
pub(crate) struct ClusterChange {
    /// `None`: about the connection.
    pub(crate) volume: Option<VolumeNr>,
    pub(crate) mask: StateMask,
    pub(crate) job: Job,
}

/// One attempt to reach the peer, and the sockets that came of it.
pub(crate) struct Link<B> {
    pub(crate) id: LinkId,
    /// `None` while looking for the peer.
    pub(crate) up: Option<LinkUp>,
    pub(crate) receiver: Receiver<B>,
    pub(crate) incoming: IncomingEpoch,
    /// Options of the peer's connect command.
    pub(crate) peer_once: ConnectOnce,
    /// The other socket's end may still bring the answer to a disconnect request.
    pub(crate) data_closed: Option<Instant>,
}

/// What was agreed, and when the peer was last heard.
pub(crate) struct LinkUp {
    pub(crate) agreed: Agreed,
    pub(crate) tie: TieBreaker,
    pub(crate) heard: Instant,
    pub(crate) ping: Ping,
    /// What is to happen at the next PingAck.
    pub(crate) on_ping_ack: Vec<VolumeNr>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ping {
    Idle,
    Sent(Instant),
}

/// Packets of the data socket are processed strictly in order; some must wait for disk or helper.
pub(crate) struct Receiver<B> {
    pub(crate) hold: Option<Hold>,
    pub(crate) deferred: VecDeque<(Packet, Option<B>)>,
    /// Answers that are being prepared: reads and writes for the peer.
    pub(crate) working: u32,
}

/// Why the receiver does not go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Hold {
    /// The writes of an epoch, then a flush, before its BarrierAck.
    Barrier(BarrierId),
    /// A helper that may veto.
    Helper,
}

impl<B> Connection<B> {
    pub(crate) fn new() -> Self {
        Self {
            state: ConnState::StandAlone,
            net: None,
            once: ConnectOnce::empty(),
            link: None,
            last_link: 0,
            log: TransferLog::new(),
            cluster: None,
        }
    }

    pub(crate) fn up(&self) -> Option<&LinkUp> {
        self.link.as_ref()?.up.as_ref()
    }

    pub(crate) fn up_mut(&mut self) -> Option<&mut LinkUp> {
        self.link.as_mut()?.up.as_mut()
    }

    /// What was agreed with the peer, while there is a link.
    pub(crate) fn agreed(&self) -> Option<Agreed> {
        Some(self.up()?.agreed)
    }

    /// Whether this node breaks ties; the peer does while there is no link.
    pub(crate) fn tie(&self) -> TieBreaker {
        self.up().map_or(TieBreaker::There, |up| up.tie)
    }
}

impl<B> Link<B> {
    pub(crate) fn new(id: LinkId) -> Self {
        Self {
            id,
            up: None,
            receiver: Receiver {
                hold: None,
                deferred: VecDeque::new(),
                working: 0,
            },
            incoming: IncomingEpoch::default(),
            peer_once: ConnectOnce::empty(),
            data_closed: None,
        }
    }
}

/// What the liveness check asks for at a moment (spec 50 section 14.1).
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Liveness {
    /// Nothing to do before this time.
    Fine(Instant),
    /// Send a Ping now.
    PingNow,
    /// The peer is dead.
    Dead,
}

impl LinkUp {
    pub(crate) fn liveness(
        &self,
        now: Instant,
        ping_int: Duration,
        ping_timeout: Duration,
    ) -> Liveness {
        match self.ping {
            Ping::Sent(at) => {
                let deadline = at.max(self.heard) + ping_timeout;
                if now >= deadline {
                    Liveness::Dead
                } else {
                    Liveness::Fine(deadline)
                }
            }
            Ping::Idle => {
                let due = self.heard + ping_int;
                if now >= due {
                    Liveness::PingNow
                } else {
                    Liveness::Fine(due)
                }
            }
        }
    }
}
