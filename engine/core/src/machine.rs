//! The resource: all state in one place, one input at a time, and the small tools that every
//! part uses to emit effects.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

use drbd_types::{DiskState, State, VolumeNr};
use drbd_wire::{Body, Packet, Socket};

use crate::admin::PendingAdmin;
use crate::after::AfterChange;
use crate::config::{ResourceConf, WriteOrdering};
use crate::connection::Connection;
use crate::effect::{
    DiskIo, Effect, HelperSubject, Level, MetaIo, MetaOrder, Outcome, Reply, Scope,
};
use crate::input::{DiskError, DiskOp, HelperRun, Input, IoId, LinkId, MetaOp, Payload, Ticket};
use crate::outbox::Outbox;
use crate::peer_request::PeerRequest;
use crate::promote::Promotion;
use crate::request::Request;
use crate::rng::Rng;
use crate::slab::{Key, Slab};
use crate::time::Instant;
use crate::volume::{DiskNr, Volume};

/// A resource: one connection, its volumes, and everything in progress.
pub struct Resource<B> {
    pub(crate) conf: ResourceConf,
    pub(crate) rng: Rng,
    pub(crate) now: Instant,
    pub(crate) conn: Connection<B>,
    /// In ascending order of their numbers.
    pub(crate) volumes: Vec<Volume<B>>,
    pub(crate) requests: Slab<Request<B>>,
    pub(crate) peer_requests: Slab<PeerRequest<B>>,
    pub(crate) disk_ops: Slab<(VolumeNr, DiskPurpose)>,
    pub(crate) meta_ops: Slab<MetaOperation>,
    pub(crate) helpers: Slab<HelperPurpose>,
    pub(crate) outbox: Outbox<B>,
    /// Actions that follow state changes, in the order of the changes.
    pub(crate) worker: VecDeque<AfterChange>,
    /// Administrative requests that wait for a state change.
    pub(crate) waiting: Vec<PendingAdmin>,
    /// Nested reasons to hold back new application I/O.
    pub(crate) io_frozen: u32,
    /// Protocol A writes in the order in which they were sent.
    pub(crate) unsent: VecDeque<(u64, Key)>,
    pub(crate) data_packets_sent: u64,
    pub(crate) data_packets_confirmed: u64,
    pub(crate) state_changed: Dirty,
    #[cfg(feature = "planted-bugs")]
    pub(crate) planted: Option<crate::planted::Bug>,
}

/// Whether something observable changed since the last look.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dirty {
    No,
    Yes,
}

/// What a data disk operation is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DiskPurpose {
    ApplicationRead(Key),
    ApplicationWrite(Key),
    ApplicationFlush(IoId),
    /// A peer request: read to answer, or write to store.
    Peer(Key),
    /// The flush that a BarrierAck on this link waits for.
    Barrier(LinkId),
    /// The flush before a resync target calls itself UpToDate.
    ResyncFlush,
    /// The last operation on a disk that is let go.
    DetachFlush,
}

/// What a meta-data operation is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum MetaPurpose {
    /// Effects behind it wait.
    Gate,
    /// Writes wait for these extents.
    ActivityLog,
    /// Nobody waits.
    Background,
    /// Disk Failed: the last write before Diskless.
    Detach,
}

/// A meta-data operation under way.
pub(crate) struct MetaOperation {
    volume: VolumeNr,
    disk: DiskNr,
    purpose: MetaPurpose,
}

/// What a helper's exit status decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HelperPurpose {
    Notify,
    BeforeResyncTarget(VolumeNr),
    BeforeResyncSource(VolumeNr),
    AfterResyncTarget(VolumeNr),
    FencePeer(FencePurpose),
}

/// Who asked for fencing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FencePurpose {
    ConnectionLost,
    Promotion(Promotion),
}

impl<B: Payload> Resource<B> {
    /// A resource without volumes, StandAlone. `seed` must come from a good source of randomness:
    /// data generations are named with it.
    pub fn new(options: ResourceConf, seed: u64) -> Self {
        Self {
            conf: options,
            rng: Rng::new(seed),
            now: Instant::from_nanos(0),
            conn: Connection::new(),
            volumes: Vec::new(),
            requests: Slab::new(),
            peer_requests: Slab::new(),
            disk_ops: Slab::new(),
            meta_ops: Slab::new(),
            helpers: Slab::new(),
            outbox: Outbox::new(),
            worker: VecDeque::new(),
            waiting: Vec::new(),
            io_frozen: 0,
            unsent: VecDeque::new(),
            data_packets_sent: 0,
            data_packets_confirmed: 0,
            state_changed: Dirty::No,
            #[cfg(feature = "planted-bugs")]
            planted: None,
        }
    }

    /// Takes one input and everything that follows from it.
    pub fn handle(&mut self, now: Instant, input: Input<B>) {
        self.now = now;
        match input {
            Input::Admin { ticket, request } => self.admin(ticket, request),
            Input::Io {
                volume,
                id,
                request,
            } => match self.index(volume) {
                Some(v) => self.io(v, id, request),
                None => self.outbox.push(Effect::Complete {
                    volume,
                    id,
                    result: Err(crate::effect::IoError::Io),
                }),
            },
            Input::DiskDone { op, result, .. } => self.disk_done(op, result),
            Input::MetaDone { op, result, .. } => self.meta_done(op, result),
            Input::LinkUp { link, agreed, tie } => self.link_up(link, agreed, tie),
            Input::LinkRefused { link } => self.link_refused(link),
            Input::LinkLost {
                link,
                socket,
                cause,
                message,
            } => self.link_lost(link, socket, cause, message),
            Input::Packet {
                link,
                socket,
                packet,
                payload,
            } => self.packet(link, socket, packet, payload),
            Input::Sent { link, packets } => self.sent(link, packets),
            Input::HelperDone { run, exit } => self.helper_done(run, exit),
        }
        self.settle();
    }

    /// Does what is due at this moment.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        self.expire_timers();
        self.settle();
    }

    /// The next thing to do, if any.
    pub fn next_effect(&mut self) -> Option<Effect<B>> {
        self.outbox.pop()
    }

    /// Runs after-change actions and waiting requests until nothing moves any more.
    fn settle(&mut self) {
        loop {
            self.run_worker();
            self.receive_deferred();
            if self.state_changed == Dirty::No {
                break;
            }
            self.state_changed = Dirty::No;
            self.outbox.push(Effect::Changed);
            self.retry_waiting();
            for v in 0..self.volumes.len() {
                self.drain_stalled(v);
            }
        }
    }

    // --- tools

    pub(crate) fn index(&self, nr: VolumeNr) -> Option<usize> {
        self.volumes.iter().position(|volume| volume.nr == nr)
    }

    pub(crate) fn send(&mut self, v: usize, socket: Socket, body: Body, payload: Option<B>) {
        let volume = self.volumes[v].nr;
        self.send_packet(socket, Packet { volume, body }, payload);
    }

    /// Sends a packet about the whole connection.
    pub(crate) fn send_connection(&mut self, socket: Socket, body: Body) {
        self.send_packet(
            socket,
            Packet {
                volume: VolumeNr(0),
                body,
            },
            None,
        );
    }

    fn send_packet(&mut self, socket: Socket, packet: Packet, payload: Option<B>) {
        let Some(link) = self.conn.link.as_ref().filter(|link| link.up.is_some()) else {
            return;
        };
        let link = link.id;
        if socket == Socket::Data {
            self.data_packets_sent += 1;
        }
        self.outbox.push(Effect::Send {
            link,
            socket,
            packet,
            payload,
        });
    }

    pub(crate) fn disk_io(&mut self, v: usize, purpose: DiskPurpose, io: DiskIo<B>) {
        let volume = self.volumes[v].nr;
        let op = DiskOp(self.disk_ops.insert((volume, purpose)).0);
        self.volumes[v].counters.local += 1;
        if let Some(disk) = self.volumes[v].disk.as_mut() {
            disk.references += 1;
        }
        self.outbox.push(Effect::Disk { volume, op, io });
    }

    pub(crate) fn meta_io(&mut self, v: usize, purpose: MetaPurpose, order: MetaOrder, io: MetaIo) {
        let volume = self.volumes[v].nr;
        let Some(disk) = self.volumes[v].disk.as_mut() else {
            return;
        };
        disk.references += 1;
        let order = match disk.conf.ordering {
            WriteOrdering::Flush => order,
            WriteOrdering::Drain | WriteOrdering::None => MetaOrder::AtOnce,
        };
        #[cfg(feature = "planted-bugs")]
        let order = match self.planted {
            Some(crate::planted::Bug::MetaDataBeforeData) => MetaOrder::AtOnce,
            _ => order,
        };
        let operation = MetaOperation {
            volume,
            disk: disk.nr,
            purpose,
        };
        let op = MetaOp(self.meta_ops.insert(operation).0);
        let effect = Effect::Meta {
            volume,
            op,
            order,
            io,
        };
        self.outbox.push(effect);
        if purpose == MetaPurpose::Gate {
            self.outbox.close_gate(op);
        }
    }

    fn disk_done(&mut self, op: DiskOp, result: Result<Option<B>, DiskError>) {
        let Some((nr, purpose)) = self.disk_ops.remove(Key(op.0)) else {
            return;
        };
        let Some(v) = self.index(nr) else { return };
        let volume = &mut self.volumes[v];
        volume.counters.local = volume.counters.local.saturating_sub(1);
        if let Some(disk) = volume.disk.as_mut() {
            // A disk outlives its data operations: Failed lasts until the last one is back.
            disk.references = disk.references.saturating_sub(1);
        }
        match purpose {
            DiskPurpose::ApplicationRead(key) => self.read_done(v, key, result),
            DiskPurpose::ApplicationWrite(key) => self.write_done(v, key, result),
            DiskPurpose::ApplicationFlush(id) => self.finish_flush(v, id, result.map(|_| ())),
            DiskPurpose::Peer(key) => self.peer_io_done(v, key, result),
            DiskPurpose::Barrier(link) => self.barrier_flushed(v, link, result.map(|_| ())),
            DiskPurpose::ResyncFlush => self.resync_flushed(v, result.map(|_| ())),
            DiskPurpose::DetachFlush => self.detach_flushed(v),
        }
        self.let_go_of_failed_disk(v);
    }

    fn meta_done(&mut self, op: MetaOp, result: Result<(), DiskError>) {
        let Some(operation) = self.meta_ops.remove(Key(op.0)) else {
            return;
        };
        let purpose = operation.purpose;
        let v = self.index(operation.volume);
        let disk = v.and_then(|v| self.volumes[v].disk.as_mut());
        let (Some(v), Some(disk)) = (v, disk.filter(|disk| disk.nr == operation.disk)) else {
            // The disk is gone meanwhile (an attach that was refused); others wait for the gate.
            return self.outbox.open_gate(op);
        };
        disk.references = disk.references.saturating_sub(1);
        if result.is_err() {
            self.meta_io_error(v, purpose);
        }
        match purpose {
            MetaPurpose::Gate => self.outbox.open_gate(op),
            MetaPurpose::ActivityLog => self.activity_log_written(v),
            MetaPurpose::Detach => self.detach_written(v),
            MetaPurpose::Background => {}
        }
        self.let_go_of_failed_disk(v);
    }

    /// What follows from the failure (handler, telling the peer) comes before the disk is gone.
    fn let_go_of_failed_disk(&mut self, v: usize) {
        if self.state(v).disk == DiskState::Failed {
            self.run_worker();
            self.maybe_go_diskless(v);
        }
    }

    pub(crate) fn run_helper(
        &mut self,
        purpose: HelperPurpose,
        event: &'static str,
        about: HelperSubject,
    ) {
        let run = HelperRun(self.helpers.insert(purpose).0);
        self.outbox.push(Effect::Helper { run, event, about });
    }

    pub(crate) fn reply(&mut self, ticket: Ticket, outcome: Outcome) {
        self.reply_with(ticket, outcome, Vec::new());
    }

    pub(crate) fn reply_with(&mut self, ticket: Ticket, outcome: Outcome, info: Vec<String>) {
        self.outbox.push(Effect::Reply {
            ticket,
            reply: Reply { outcome, info },
        });
    }

    pub(crate) fn log_volume(&mut self, v: usize, level: Level, text: impl Into<String>) {
        let scope = Scope::Volume(self.volumes[v].nr, self.volumes[v].minor);
        self.outbox.push(Effect::Log {
            level,
            scope,
            text: text.into(),
        });
    }

    pub(crate) fn log_resource(&mut self, level: Level, text: impl Into<String>) {
        self.outbox.push(Effect::Log {
            level,
            scope: Scope::Resource,
            text: text.into(),
        });
    }

    pub(crate) fn disk_name(&self, v: usize) -> &str {
        self.volumes[v]
            .disk
            .as_ref()
            .map_or("", |disk| disk.name.as_str())
    }

    pub(crate) fn state(&self, v: usize) -> State {
        self.volumes[v].state
    }
}
