//! Time, events and two nodes. What the cores want done is in `effects`, their sockets in
//! `traffic`.

mod effects;
mod traffic;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use drbd_core::Resource;
use drbd_core::effect::{Access, DiskIo, IoError, MetaIo, MetaOrder, Reply};
use drbd_core::input::{
    Admin, ConnectOnce, DiskOp, HelperRun, Input, IoId, IoRequest, LinkId, MetaOp, Ticket,
};
use drbd_core::status::VolumeStatus;
use drbd_core::time::{Duration, Instant};
use drbd_types::{ConnState, Minor, SectorCount, VolumeNr};
use drbd_wire::{Packet, Socket};

use self::traffic::socket_index;
use crate::block::Block;
use crate::disk::{Completed, Disk, Fate, Faults};
use crate::net::{Arrived, Net};
use crate::random::Random;
use crate::setup::Setup;
use crate::story::Line;

/// The only volume.
pub const VOLUME: VolumeNr = VolumeNr(0);

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

    // --- what cores want

    /// From within `drain`, which goes on with whatever this adds.
    fn input_quietly(&mut self, node: usize, input: Input<Block>) {
        let now = Instant::from_nanos(self.now);
        if let Some(core) = self.nodes[node].core.as_mut() {
            core.handle(now, input);
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
