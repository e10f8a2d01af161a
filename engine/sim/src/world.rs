//! Time, events and two nodes.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::fmt;
use std::rc::Rc;

use drbd_core::Resource;
use drbd_core::config::{
    AlUpdates, AlwaysAsbp, BitmapCode, DiskConf, NetConf, OnIoError, ResourceConf, WriteOrdering,
};
use drbd_core::effect::{
    Access, DiskIo, Effect, HelperSubject, IoError, MetaIo, MetaOrder, Reply, Scope,
};
use drbd_core::input::{
    Admin, ConnectOnce, DiskError, DiskOp, HelperRun, Input, IoId, IoRequest, LinkId, MetaOp,
    Payload, Ticket, TieBreaker,
};
use drbd_core::split_brain::{AfterSb0Pri, AfterSb1Pri, AfterSb2Pri, RrConflict};
use drbd_core::state_rules::{Fencing, OnNoData, TwoPrimaries};
use drbd_core::status::VolumeStatus;
use drbd_core::time::{Duration, Instant};
use drbd_types::{ConnState, Minor, Protocol, SectorCount, VolumeNr};
use drbd_wire::{Codec, Digest, Packet, Socket};

use crate::disk::{Completed, Disk, Fate, Faults, MetaDataArea};
use crate::net::{AGREED, Arrived, Net, Weather};
use crate::random::Random;

/// The only volume.
pub const VOLUME: VolumeNr = VolumeNr(0);

/// The content of some sectors: one number each.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Block(Rc<[u64]>);

impl Block {
    /// A block of these sectors.
    pub fn new(sectors: Vec<u64>) -> Self {
        Self(sectors.into())
    }

    /// The same number in every sector.
    pub fn filled(value: u64, sectors: usize) -> Self {
        Self(vec![value; sectors].into())
    }

    /// Its sectors.
    pub fn sectors(&self) -> &[u64] {
        &self.0
    }
}

impl Payload for Block {
    fn size(&self) -> u32 {
        self.0.len() as u32 * 512
    }
}

/// Something that will happen.
#[derive(Debug)]
enum Event {
    Deliver {
        to: usize,
        pair: u64,
        socket: Socket,
        packet: Packet,
        payload: Option<Block>,
    },
    /// The node looks at its socket again.
    Pump {
        to: usize,
        socket: Socket,
    },
    Closed {
        to: usize,
        link: LinkId,
        socket: Socket,
    },
    DiskDone {
        node: usize,
        life: u64,
        op: DiskOp,
        /// When it was started.
        before: Completed,
    },
    MetaDone {
        node: usize,
        life: u64,
        /// When its turn came.
        before: Completed,
    },
    HelperDone {
        node: usize,
        life: u64,
        run: HelperRun,
        command: String,
        exit: u8,
    },
    Timer {
        node: usize,
        life: u64,
    },
    Establish,
}

/// An application request that came back.
#[derive(Debug)]
pub struct Completion {
    /// Which node answered.
    pub node: usize,
    /// Which request.
    pub id: IoId,
    /// Its result.
    pub result: Result<Option<Block>, IoError>,
}

/// How long things take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// Chance decides: everything overtakes everything that may overtake it.
    Random,
    /// Always the shortest time: the order of events is that of a quiet machine.
    Even,
}

/// The options a node is started and connected with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setup {
    /// Of the resource.
    pub resource: ResourceConf,
    /// Of the disk.
    pub disk: DiskConf,
    /// Of the connection.
    pub net: NetConf,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            resource: ResourceConf {
                on_no_data: OnNoData::IoError,
            },
            disk: disk_conf(),
            net: net_conf(),
        }
    }
}

/// A line of the story of both nodes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// Nanoseconds since the beginning.
    pub at: u64,
    /// Whose line it is.
    pub node: usize,
    /// About the whole resource or about the volume; `None` for what the world itself tells.
    pub scope: Option<Scope>,
    /// The text.
    pub text: String,
}

impl Line {
    /// As the conformance scenarios write it: `0: text` of a volume, `r0: text` of a resource.
    pub fn shortened(&self) -> String {
        match self.scope {
            Some(Scope::Volume(..)) => format!("{}: {}", self.node, self.text),
            _ => format!("r{}: {}", self.node, self.text),
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>12.6} {}", self.at as f64 / 1e9, self.shortened())
    }
}

/// A meta-data operation that waits for its turn or is being carried out.
struct MetaStep {
    op: MetaOp,
    order: MetaOrder,
    io: MetaIo,
}

/// A node: a core while it runs, and a disk always.
pub struct Node {
    core: Option<Resource<Block>>,
    life: u64,
    /// What survives.
    pub disk: Disk,
    data_io: BTreeMap<DiskOp, DiskIo<Block>>,
    meta_io: VecDeque<MetaStep>,
    timer: Option<u64>,
    /// Whether the device may be used.
    pub access: Access,
    /// Answers to administrative requests.
    pub replies: BTreeMap<u64, Reply>,
    /// What it is started with.
    pub setup: Setup,
    /// What is wrong with its disk.
    pub faults: Faults,
    /// Exit status of helpers by event; 0 where nothing is said.
    pub helper_exits: BTreeMap<&'static str, u8>,
}

/// Two nodes, their network, and what is going to happen.
pub struct World {
    /// Nanoseconds since the beginning.
    pub now: u64,
    /// The nodes.
    pub nodes: [Node; 2],
    /// The network.
    pub net: Net,
    /// Chance.
    pub random: Random,
    /// Application requests that came back and were not looked at yet.
    pub completions: Vec<Completion>,
    /// Log lines, newest last, for the story of a failure.
    pub story: Vec<Line>,
    /// How long things take.
    pub pace: Pace,
    /// The first broken rule that the world itself noticed.
    pub violation: Option<String>,
    events: BinaryHeap<Reverse<(u64, u64)>>,
    pending: BTreeMap<u64, Event>,
    next_event: u64,
    next_ticket: u64,
    /// Deliberate mistakes of new cores.
    pub planted: Option<drbd_core::planted::Bug>,
}

impl World {
    /// Two nodes that are not running, with fresh disks of this size.
    pub fn new(seed: u64, size: SectorCount) -> Self {
        Self {
            now: 0,
            nodes: [Node::new(size), Node::new(size)],
            net: Net::new(),
            random: Random::new(seed),
            completions: Vec::new(),
            story: Vec::new(),
            pace: Pace::Random,
            violation: None,
            events: BinaryHeap::new(),
            pending: BTreeMap::new(),
            next_event: 0,
            next_ticket: 1,
            planted: None,
        }
    }

    // --- what happens to nodes

    /// Starts a node and brings everything up: new-resource, new-minor, attach, connect.
    pub fn start(&mut self, node: usize) {
        self.boot(node);
        self.attach(node);
        self.connect(node, ConnectOnce::empty());
    }

    /// Starts a node: new-resource, new-minor.
    pub fn boot(&mut self, node: usize) {
        let seed = self.random.next();
        let mut core = Resource::new(self.nodes[node].setup.resource, seed);
        if let Some(bug) = self.planted {
            core.plant(bug);
        }
        self.nodes[node].core = Some(core);
        self.nodes[node].life += 1;
        self.tell(node, "--- starts");
        self.admin(
            node,
            Admin::NewVolume {
                volume: VOLUME,
                minor: Minor(node as u32),
            },
        );
    }

    /// apply-al and attach; returns the ticket.
    pub fn attach(&mut self, node: usize) -> u64 {
        let image = Box::new(self.nodes[node].disk.image());
        let options = self.nodes[node].setup.disk;
        self.admin(
            node,
            Admin::Attach {
                volume: VOLUME,
                image,
                options,
            },
        )
    }

    /// connect; returns the ticket.
    pub fn connect(&mut self, node: usize, once: ConnectOnce) -> u64 {
        let options = Box::new(self.nodes[node].setup.net.clone());
        self.admin(node, Admin::Connect { options, once })
    }

    /// kill -9.
    pub fn crash(&mut self, node: usize) {
        self.tell(node, "--- crashes");
        self.nodes[node].core = None;
        self.nodes[node].access = Access::Closed;
        self.nodes[node].timer = None;
        let data: Vec<_> = std::mem::take(&mut self.nodes[node].data_io)
            .into_values()
            .collect();
        for io in data {
            self.nodes[node]
                .disk
                .data_io(&io, Fate::Torn, &mut self.random);
        }
        // Meta-data operations are carried out one after the other: only the first may have begun.
        if let Some(step) = std::mem::take(&mut self.nodes[node].meta_io).pop_front() {
            self.interrupt(node, &step);
        }
        self.drop_sockets(node);
        self.net.sides[node] = Default::default();
    }

    /// The first meta-data operation of a dying node. Its flush comes first: without it nothing
    /// of the operation is on disk.
    fn interrupt(&mut self, node: usize, step: &MetaStep) {
        let disk = &mut self.nodes[node].disk;
        if step.order == MetaOrder::AfterDataFlush {
            if self.random.chance(300) {
                return;
            }
            disk.flush(disk.completed());
        }
        disk.meta_io(&step.io, Fate::Torn, &mut self.random);
    }

    /// The power of a node fails: a crash that also empties the cache of its disk.
    pub fn power_failure(&mut self, node: usize) {
        self.tell(node, "--- loses power");
        self.crash(node);
        self.nodes[node].disk.lose_cache(&mut self.random);
    }

    /// Whether the node runs.
    pub fn is_running(&self, node: usize) -> bool {
        self.nodes[node].core.is_some()
    }

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
    fn drop_sockets(&mut self, node: usize) {
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

    /// An administrative request; returns its ticket.
    pub fn admin(&mut self, node: usize, request: Admin) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.input(
            node,
            Input::Admin {
                ticket: Ticket(ticket),
                request,
            },
        );
        ticket
    }

    /// The answer to a request, once there is one.
    pub fn reply(&self, node: usize, ticket: u64) -> Option<&Reply> {
        self.nodes[node].replies.get(&ticket)
    }

    /// An application request.
    pub fn io(&mut self, node: usize, id: IoId, request: IoRequest<Block>) {
        self.input(
            node,
            Input::Io {
                volume: VOLUME,
                id,
                request,
            },
        );
    }

    /// What a node says of itself.
    pub fn status(&self, node: usize) -> Option<VolumeStatus> {
        let core = self.nodes[node].core.as_ref()?;
        core.status(Instant::from_nanos(self.now))
            .volumes
            .into_iter()
            .next()
    }

    fn input(&mut self, node: usize, input: Input<Block>) {
        let now = Instant::from_nanos(self.now);
        if let Some(core) = self.nodes[node].core.as_mut() {
            core.handle(now, input);
        }
        self.drain(node);
    }

    // --- time

    fn at(&mut self, time: u64, event: Event) {
        let number = self.next_event;
        self.next_event += 1;
        self.pending.insert(number, event);
        self.events.push(Reverse((time.max(self.now), number)));
    }

    fn delay(&mut self, low_us: u64, high_us: u64) -> u64 {
        1000 * match self.pace {
            Pace::Random => self.random.between(low_us, high_us),
            Pace::Even => low_us,
        }
    }

    fn after(&mut self, low_us: u64, high_us: u64, event: Event) {
        let delay = self.delay(low_us, high_us);
        self.at(self.now + delay, event);
    }

    /// Does the next thing that happens before `deadline` (nanoseconds); `false` if there is none.
    pub fn step(&mut self, deadline: u64) -> bool {
        match self.events.peek() {
            Some(&Reverse((time, number))) if time <= deadline => {
                self.events.pop();
                self.now = time;
                if let Some(event) = self.pending.remove(&number) {
                    self.happen(event);
                }
                true
            }
            _ => {
                self.now = self.now.max(deadline);
                false
            }
        }
    }

    /// Lets time pass until a condition holds; `false` if it does not within so many seconds.
    pub fn run_until(&mut self, seconds: u64, condition: impl Fn(&Self) -> bool) -> bool {
        let deadline = self.now + seconds * 1_000_000_000;
        loop {
            if condition(self) {
                return true;
            }
            if self.violation.is_some() || !self.step(deadline) {
                return condition(self);
            }
        }
    }

    /// Lets so much time pass.
    pub fn run_for(&mut self, time: Duration) {
        let deadline = self.now + time.as_nanos() as u64;
        while self.violation.is_none() && self.step(deadline) {}
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver {
                to,
                pair,
                socket,
                packet,
                payload,
            } => {
                self.net.inbox[to][socket_index(socket)].push_back(Arrived {
                    pair,
                    packet,
                    payload,
                });
                self.pump(to, socket);
            }
            Event::Pump { to, socket } => {
                self.net.pumping[to][socket_index(socket)] = false;
                self.pump(to, socket);
            }
            Event::Closed { to, link, socket } => {
                let cause = match socket {
                    Socket::Data => ConnState::BrokenPipe,
                    Socket::Meta => ConnState::NetworkFailure,
                };
                let message = String::new();
                self.input(
                    to,
                    Input::LinkLost {
                        link,
                        socket,
                        cause,
                        message,
                    },
                );
            }
            Event::DiskDone {
                node,
                life,
                op,
                before,
            } if self.nodes[node].life == life => {
                let Some(io) = self.nodes[node].data_io.remove(&op) else {
                    return;
                };
                let result = self.carry_out(node, &io, before);
                self.input(
                    node,
                    Input::DiskDone {
                        volume: VOLUME,
                        op,
                        result,
                    },
                );
            }
            Event::MetaDone { node, life, before } if self.nodes[node].life == life => {
                let Some(MetaStep { op, order, io }) = self.nodes[node].meta_io.pop_front() else {
                    return;
                };
                let result = self.carry_out_meta(node, order, &io, before);
                if !self.nodes[node].meta_io.is_empty() {
                    self.begin_meta(node);
                }
                self.input(
                    node,
                    Input::MetaDone {
                        volume: VOLUME,
                        op,
                        result,
                    },
                );
            }
            Event::HelperDone {
                node,
                life,
                run,
                command,
                exit,
            } if self.nodes[node].life == life => {
                let raw = u32::from(exit) << 8;
                self.tell(node, &format!("{command} exit code {exit} ({raw:#x})"));
                self.input(node, Input::HelperDone { run, exit });
            }
            Event::Timer { node, life } if self.nodes[node].life == life => {
                self.nodes[node].timer = None;
                let now = Instant::from_nanos(self.now);
                if let Some(core) = self.nodes[node].core.as_mut() {
                    core.handle_timeout(now);
                }
                self.drain(node);
            }
            Event::Establish => self.establish(),
            _ => {}
        }
    }

    fn carry_out(
        &mut self,
        node: usize,
        io: &DiskIo<Block>,
        before: Completed,
    ) -> Result<Option<Block>, DiskError> {
        let state = &mut self.nodes[node];
        if state.faults.hit(io) {
            // An error says nothing about what reached the medium.
            state.disk.data_io(io, Fate::Torn, &mut self.random);
            return Err(DiskError::Io);
        }
        state.disk.data_io(io, Fate::Done, &mut self.random);
        Ok(match *io {
            DiskIo::Read { sector, size } => Some(state.disk.read(sector, size)),
            DiskIo::Flush => {
                state.disk.flush(before);
                None
            }
            _ => None,
        })
    }

    /// The turn of the first meta-data operation has come.
    fn begin_meta(&mut self, node: usize) {
        let (life, before) = (self.nodes[node].life, self.nodes[node].disk.completed());
        self.after(20, 400, Event::MetaDone { node, life, before });
    }

    fn carry_out_meta(
        &mut self,
        node: usize,
        order: MetaOrder,
        io: &MetaIo,
        before: Completed,
    ) -> Result<(), DiskError> {
        let state = &mut self.nodes[node];
        if order == MetaOrder::AfterDataFlush {
            state.disk.flush(before);
        }
        if state.faults.meta_data == MetaDataArea::Unwritable {
            return Err(DiskError::Io);
        }
        state.disk.meta_io(io, Fate::Done, &mut self.random);
        Ok(())
    }

    fn link_of(&self, node: usize, pair: u64) -> Option<LinkId> {
        self.net.sides[node].up.filter(|_| pair == self.net.pair)
    }

    /// Arrived packets wait in the socket, in order, until the node reads them.
    fn pump(&mut self, to: usize, socket: Socket) {
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

    fn maybe_establish(&mut self) {
        if self.net.can_establish() {
            self.after(1_000, 20_000, Event::Establish);
        }
    }

    fn establish(&mut self) {
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

    // --- what cores want

    fn drain(&mut self, node: usize) {
        while let Some(effect) = self.nodes[node]
            .core
            .as_mut()
            .and_then(Resource::next_effect)
        {
            self.effect(node, effect);
        }
        self.arm(node);
    }

    fn arm(&mut self, node: usize) {
        let Some(at) = self.nodes[node]
            .core
            .as_ref()
            .and_then(Resource::next_timeout)
        else {
            return;
        };
        let at = at.as_nanos().max(self.now);
        if self.nodes[node].timer.is_none_or(|armed| at < armed) {
            self.nodes[node].timer = Some(at);
            let life = self.nodes[node].life;
            self.at(at, Event::Timer { node, life });
        }
    }

    fn effect(&mut self, node: usize, effect: Effect<Block>) {
        let life = self.nodes[node].life;
        match effect {
            Effect::Reply { ticket, reply } => {
                self.nodes[node].replies.insert(ticket.0, reply);
            }
            Effect::Complete { id, result, .. } => {
                self.completions.push(Completion { node, id, result })
            }
            Effect::Disk { op, io, .. } => {
                self.check_overlap(node, &io);
                self.nodes[node].data_io.insert(op, io);
                let before = self.nodes[node].disk.completed();
                let done = Event::DiskDone {
                    node,
                    life,
                    op,
                    before,
                };
                self.after(20, 600, done);
            }
            Effect::Meta { op, order, io, .. } => {
                let idle = self.nodes[node].meta_io.is_empty();
                self.nodes[node]
                    .meta_io
                    .push_back(MetaStep { op, order, io });
                if idle {
                    self.begin_meta(node);
                }
            }
            Effect::OpenLink { link, .. } => {
                self.net.sides[node].wanted = Some(link);
                self.maybe_establish();
            }
            Effect::CloseLink { link } => {
                if self.net.sides[node].wanted == Some(link) {
                    self.net.sides[node].wanted = None;
                }
                if self.net.sides[node].up == Some(link) {
                    self.drop_sockets(node);
                }
            }
            Effect::Send {
                link,
                socket,
                packet,
                payload,
            } => self.send(node, link, socket, packet, payload),
            Effect::Helper { run, event, about } => {
                let subject = match about {
                    HelperSubject::Minor(minor) => format!("minor-{minor}"),
                    HelperSubject::Resource => format!("r{node}"),
                };
                let command = format!("helper command: <helper> {event} {subject}");
                self.tell(node, &command);
                let exit = self.nodes[node].helper_exits.get(event).copied();
                let done = Event::HelperDone {
                    node,
                    life,
                    run,
                    command,
                    exit: exit.unwrap_or(0),
                };
                self.after(100, 5_000, done);
            }
            Effect::SetAccess { access, .. } => self.nodes[node].access = access,
            Effect::Log { scope, text, .. } => self.story.push(Line {
                at: self.now,
                node,
                scope: Some(scope),
                text,
            }),
            Effect::SetSize { .. } | Effect::CloseDisk { .. } | Effect::Changed => {}
        }
    }

    fn send(
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

    /// From within `drain`, which goes on with whatever this adds.
    fn input_quietly(&mut self, node: usize, input: Input<Block>) {
        let now = Instant::from_nanos(self.now);
        if let Some(core) = self.nodes[node].core.as_mut() {
            core.handle(now, input);
        }
    }

    /// Nobody orders two writes to the same sector that are in flight together.
    fn check_overlap(&mut self, node: usize, io: &DiskIo<Block>) {
        let Some((start, end)) = written_range(io) else {
            return;
        };
        let clash = self.nodes[node].data_io.values().any(|other| {
            written_range(other)
                .is_some_and(|(other_start, other_end)| start < other_end && other_start < end)
        });
        if clash {
            let text =
                format!("node {node}: two writes to sectors {start}..{end} in flight together");
            self.violation.get_or_insert(text);
        }
    }

    fn tell(&mut self, node: usize, text: &str) {
        self.story.push(Line {
            at: self.now,
            node,
            scope: None,
            text: text.into(),
        });
    }
}

impl Node {
    fn new(size: SectorCount) -> Self {
        Self {
            core: None,
            life: 0,
            disk: Disk::new(size),
            data_io: BTreeMap::new(),
            meta_io: VecDeque::new(),
            timer: None,
            access: Access::Closed,
            replies: BTreeMap::new(),
            setup: Setup::default(),
            faults: Faults::default(),
            helper_exits: BTreeMap::new(),
        }
    }
}

fn written_range(io: &DiskIo<Block>) -> Option<(u64, u64)> {
    match io {
        DiskIo::Write { sector, data, .. } => {
            Some((sector.0, sector.0 + u64::from(data.size()) / 512))
        }
        DiskIo::Discard { sector, size } | DiskIo::WriteZeroes { sector, size } => {
            Some((sector.0, sector.0 + u64::from(*size) / 512))
        }
        DiskIo::Read { .. } | DiskIo::Flush => None,
    }
}

const fn socket_index(socket: Socket) -> usize {
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

/// Disk options with their defaults, and the smallest activity log.
pub fn disk_conf() -> DiskConf {
    DiskConf {
        size: SectorCount(0),
        on_io_error: OnIoError::Detach,
        fencing: Fencing::DontCare,
        ordering: WriteOrdering::Flush,
        resync_rate: 250,
        c_plan_ahead: 20,
        c_delay_target: 10,
        c_fill_target: 100,
        c_max_rate: 102_400,
        c_min_rate: 250,
        al_extents: 67,
        al_updates: AlUpdates::Written,
    }
}

/// Net options with their defaults, protocol C.
pub fn net_conf() -> NetConf {
    NetConf {
        protocol: Protocol::C,
        timeout: Duration::from_secs(6),
        ping_int: Duration::from_secs(10),
        ping_timeout: Duration::from_millis(500),
        ko_count: 7,
        max_buffers: 2048,
        max_epoch_size: 2048,
        after_sb_0pri: AfterSb0Pri::Disconnect,
        after_sb_1pri: AfterSb1Pri::Disconnect,
        after_sb_2pri: AfterSb2Pri::Disconnect,
        always_asbp: AlwaysAsbp::No,
        rr_conflict: RrConflict::Disconnect,
        two_primaries: TwoPrimaries::Refused,
        bitmap_code: BitmapCode::RunLength,
        verify_alg: String::new(),
        csums_alg: String::new(),
    }
}
