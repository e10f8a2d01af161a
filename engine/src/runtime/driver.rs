//! The thread of a resource: collects what happened, feeds the core, starts what it wants done.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::time::{Duration, Instant as Clock};

use drbd_core::Resource;
use drbd_core::effect::{Effect, IoError, MetaIo, MetaOrder, Outcome, Reply};
use drbd_core::input::{
    Admin, DiskError, DiskOp, Durability, Input, IoId, IoRequest, LinkId, MetaOp, Ticket,
};
use drbd_core::time::Instant;
use drbd_types::VolumeNr;
use drbd_wire::Socket;
use rustix::io::Errno;
use tokio::sync::oneshot;

use super::disk::{self, Expect, Volume, Zeroing};
use super::link::Link;
use super::port::{Command, Inbox};
use super::surroundings::{Configured, Surroundings};
use super::uring::{Done, Memory, Uring};
use crate::buffer::{Buffer, Pool};
use crate::device::{Fua, Operation, Request, RequestId};

/// The ring of a resource.
pub type Ring = Uring<Tag>;

/// Commands taken before completions are looked at again.
const COMMAND_BATCH: usize = 256;
/// How soon to look again for memory that other threads give back.
const MEMORY_RETRY: Duration = Duration::from_millis(1);

/// What an operation of the ring was for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tag {
    /// The bell of the inbox.
    Bell,
    /// Bytes from a socket.
    Receive(LinkId, Socket),
    /// Bytes to a socket.
    Send(LinkId, Socket),
    /// The data disk.
    Disk(VolumeNr, DiskOp, Expect),
    /// The data disk: a step of making a range zero.
    Zero(VolumeNr, DiskOp, Zeroing),
    /// The meta-data disk, or the data disk that has to be flushed first.
    Meta(VolumeNr, Expect),
}

/// A resource's thread.
pub struct Driver<S> {
    pub(super) core: Resource<Buffer>,
    pub(super) ring: Ring,
    pub(super) pool: Pool,
    pub(super) surroundings: S,
    inbox: Inbox,
    /// What follows from starting effects; delivered before anything else.
    pub(super) pending: VecDeque<Input<Buffer>>,
    pub(super) volumes: BTreeMap<VolumeNr, Volume>,
    /// The attempt that the core is waiting for.
    pub(super) expected_link: Option<LinkId>,
    pub(super) link: Option<Link>,
    /// Closed links that still send their last packets.
    pub(super) closing: Vec<Link>,
    tickets: HashMap<u64, Waiting>,
    next_ticket: u64,
    start: Clock,
    /// Whether something waits for buffer memory.
    pub(super) starved: Starved,
    life: Life,
}

/// Whether something waits for memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Starved {
    No,
    Yes,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    Running,
    Stopping,
}

/// Who waits for an answer of the core.
struct Waiting {
    answer: oneshot::Sender<Reply>,
    purpose: Purpose,
}

/// What has to be taken back if the core refuses a request, or kept if it does not.
enum Purpose {
    Other,
    /// A disk was brought in.
    Attach(VolumeNr, Box<drbd_control::DiskConf>),
    /// A connection was configured.
    Connect,
}

impl<S: Surroundings> Driver<S> {
    /// A thread's state; call it on the thread that will run it.
    pub fn new(
        core: Resource<Buffer>,
        inbox: Inbox,
        pool: Pool,
        surroundings: S,
    ) -> io::Result<Self> {
        let mut ring = Uring::new()?;
        ring.poll_readable(&inbox.bell(), Tag::Bell);
        Ok(Self {
            core,
            ring,
            pool,
            surroundings,
            inbox,
            pending: VecDeque::new(),
            volumes: BTreeMap::new(),
            expected_link: None,
            link: None,
            closing: Vec::new(),
            tickets: HashMap::new(),
            next_ticket: 0,
            start: Clock::now(),
            starved: Starved::No,
            life: Life::Running,
        })
    }

    /// Runs until told to stop; an error means that the kernel refuses the ring.
    pub fn run(mut self) -> io::Result<()> {
        while self.life == Life::Running {
            let busy = self.take_commands();
            self.take_completions();
            self.feed_the_starved();
            self.pump(Socket::Meta);
            self.pump(Socket::Data);
            self.fire_timers();
            self.launch_messages();
            self.linger();
            self.sleep(busy)?;
        }
        Ok(())
    }

    fn now(&self) -> Instant {
        // 2^64 nanoseconds are 584 years.
        Instant::from_nanos(self.start.elapsed().as_nanos() as u64)
    }

    /// Gives the core an input, and starts everything that follows from it.
    pub(super) fn deliver(&mut self, input: Input<Buffer>) {
        self.pending.push_back(input);
        self.settle();
    }

    pub(super) fn settle(&mut self) {
        loop {
            while let Some(effect) = self.core.next_effect() {
                self.begin(effect);
            }
            let Some(input) = self.pending.pop_front() else {
                return;
            };
            let now = self.now();
            self.core.handle(now, input);
        }
    }

    fn fire_timers(&mut self) {
        let now = self.now();
        if self.core.next_timeout().is_some_and(|at| at <= now) {
            self.core.handle_timeout(now);
            self.settle();
        }
    }

    /// Waits for the next thing to happen.
    fn sleep(&mut self, busy: Busy) -> io::Result<()> {
        if busy == Busy::Yes || self.life == Life::Stopping {
            return self.ring.submit_and_wait(Some(Duration::ZERO));
        }
        self.inbox.fall_asleep();
        // A command that came before the announcement did not ring.
        if let Some(command) = self.inbox.try_next() {
            self.inbox.wake_up();
            self.command(command);
            return self.ring.submit_and_wait(Some(Duration::ZERO));
        }
        let timeout = self.patience();
        let result = self.ring.submit_and_wait(timeout);
        self.inbox.wake_up();
        result
    }

    /// How long nothing has to be done if nothing happens.
    fn patience(&self) -> Option<Duration> {
        let now = self.now();
        let timer = self
            .core
            .next_timeout()
            .map(|at| Duration::from_nanos(at.as_nanos().saturating_sub(now.as_nanos())));
        let memory = (self.starved == Starved::Yes).then_some(MEMORY_RETRY);
        let linger = (!self.closing.is_empty()).then_some(Duration::from_millis(50));
        [timer, memory, linger].into_iter().flatten().min()
    }

    fn take_commands(&mut self) -> Busy {
        for _ in 0..COMMAND_BATCH {
            match self.inbox.try_next() {
                Some(command) => self.command(command),
                None => return Busy::No,
            }
        }
        Busy::Yes
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Io { volume, request } => self.io(volume, request),
            Command::Admin { request, answer } => self.admin(request, answer, Purpose::Other),
            Command::Connect {
                net,
                options,
                once,
                answer,
            } => {
                let purpose = match self.surroundings.configure_net(&net) {
                    Configured::Now => Purpose::Connect,
                    Configured::Already => Purpose::Other,
                };
                self.admin(Admin::Connect { options, once }, answer, purpose);
            }
            Command::Attach {
                volume,
                store,
                image,
                options,
                shown,
                answer,
            } => {
                let slot = self.volumes.entry(volume).or_default();
                let purpose = match slot.store {
                    // The core refuses, and the disk that is there stays.
                    Some(_) => Purpose::Other,
                    None => {
                        slot.store = Some(*store);
                        Purpose::Attach(volume, shown)
                    }
                };
                let request = Admin::Attach {
                    volume,
                    image,
                    options,
                };
                self.admin(request, answer, purpose);
            }
            Command::Serve { volume, frontend } => {
                self.volumes.entry(volume).or_default().frontend = Some(frontend);
            }
            Command::Forget { volume } => {
                self.volumes.remove(&volume);
            }
            Command::LinkUp {
                link,
                sockets,
                agreed,
                tie,
            } => self.link_up(link, sockets, agreed, tie),
            Command::LinkRefused { link } if self.expected_link == Some(link) => {
                self.deliver(Input::LinkRefused { link });
            }
            Command::LinkRefused { .. } => {}
            Command::HelperDone { run, exit } => self.deliver(Input::HelperDone { run, exit }),
            Command::Status(answer) => answer(self.core.status(self.now())),
            Command::NextTransaction { volume, answer } => {
                let known = self.volumes.get(&volume);
                // The asker may have gone away.
                let _ = answer.send(known.map_or(0, Volume::next_transaction));
            }
            Command::Stop => self.life = Life::Stopping,
        }
    }

    fn admin(&mut self, request: Admin, answer: oneshot::Sender<Reply>, purpose: Purpose) {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        let waiting = Waiting { answer, purpose };
        self.tickets.insert(ticket.0, waiting);
        self.deliver(Input::Admin { ticket, request });
    }

    fn io(&mut self, volume: VolumeNr, request: Request) {
        let sector = request.sector;
        let id = IoId(request.id.0);
        let request = match request.operation {
            Operation::Read { length } => IoRequest::Read {
                sector,
                size: length,
            },
            Operation::Write { data, fua } => IoRequest::Write {
                sector,
                data,
                durability: match fua {
                    Fua::Deferred => Durability::Cached,
                    Fua::Forced => Durability::Fua,
                },
            },
            Operation::Flush => IoRequest::Flush,
            Operation::Discard { length } => IoRequest::Discard {
                sector,
                size: length,
            },
            Operation::WriteZeroes { length, .. } => IoRequest::WriteZeroes {
                sector,
                size: length,
            },
        };
        self.deliver(Input::Io {
            volume,
            id,
            request,
        });
    }

    fn take_completions(&mut self) {
        while let Some(done) = self.ring.next_done() {
            self.completion(done);
        }
    }

    fn completion(&mut self, done: Done<Tag>) {
        match done.tag {
            Tag::Bell => {
                self.inbox.quiet();
                let bell = self.inbox.bell();
                self.ring.poll_readable(&bell, Tag::Bell);
            }
            Tag::Receive(link, socket) => {
                if let Memory::Buffer(buffer) = done.memory {
                    self.received(link, socket, buffer, done.result);
                }
            }
            Tag::Send(link, socket) => {
                if let Memory::Sending(message) = done.memory {
                    self.sent(link, socket, message, done.result);
                }
            }
            Tag::Disk(volume, op, expect) => {
                let result = disk::outcome(expect, done.result, done.memory);
                self.deliver(Input::DiskDone { volume, op, result });
            }
            Tag::Zero(volume, op, step) => self.zeroed(volume, op, step, &done.result),
            Tag::Meta(volume, expect) => {
                let result = disk::outcome(expect, done.result, done.memory);
                self.meta_step(volume, result.map(drop));
            }
        }
    }

    fn zeroed(&mut self, volume: VolumeNr, op: DiskOp, step: Zeroing, result: &io::Result<u32>) {
        let slot = self.volumes.entry(volume).or_default();
        let next = step.after(result).and_then(|next| match next {
            Some(next) => {
                slot.zero(&mut self.ring, &self.pool, volume, op, next)?;
                Ok(Some(()))
            }
            None => Ok(None),
        });
        let result = match next {
            Ok(Some(())) => return,
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        self.deliver(Input::DiskDone { volume, op, result });
    }

    fn meta_step(&mut self, volume: VolumeNr, result: Result<(), DiskError>) {
        let Some(slot) = self.volumes.get_mut(&volume) else {
            return;
        };
        if let Some((op, result)) = slot.meta_step(&mut self.ring, volume, result) {
            self.deliver(Input::MetaDone { volume, op, result });
        }
        self.run_meta(volume);
    }

    /// Starts the next meta-data operation of a volume.
    fn run_meta(&mut self, volume: VolumeNr) {
        let Some(slot) = self.volumes.get_mut(&volume) else {
            return;
        };
        while let Some((op, result)) = slot.next_meta(&mut self.ring, &self.pool, volume) {
            self.pending
                .push_back(Input::MetaDone { volume, op, result });
        }
        if slot.is_waiting_for_memory() {
            self.starved = Starved::Yes;
        }
        if !self.pending.is_empty() {
            self.settle();
        }
    }

    /// Tries again what lacked memory.
    fn feed_the_starved(&mut self) {
        if self.starved == Starved::No {
            return;
        }
        self.starved = Starved::No;
        let volumes: Vec<VolumeNr> = self.volumes.keys().copied().collect();
        for volume in volumes {
            self.run_meta(volume);
            let waiting = match self.volumes.get_mut(&volume) {
                Some(slot) => std::mem::take(&mut slot.starved),
                None => continue,
            };
            for (op, io) in waiting {
                self.start_disk(volume, op, io);
            }
        }
        self.settle();
    }

    pub(super) fn start_disk(
        &mut self,
        volume: VolumeNr,
        op: DiskOp,
        io: drbd_core::effect::DiskIo<Buffer>,
    ) {
        let slot = self.volumes.entry(volume).or_default();
        match slot.start(&mut self.ring, &self.pool, volume, op, io) {
            Ok(()) if !slot.starved.is_empty() => self.starved = Starved::Yes,
            Ok(()) => {}
            Err(error) => self.pending.push_back(Input::DiskDone {
                volume,
                op,
                result: Err(error),
            }),
        }
    }

    /// Starts an effect. Inputs that result at once go to the pending ones.
    fn begin(&mut self, effect: Effect<Buffer>) {
        match effect {
            Effect::Send {
                link,
                socket,
                packet,
                payload,
            } => self.queue_packet(link, socket, &packet, payload),
            Effect::Disk { volume, op, io } => self.start_disk(volume, op, io),
            Effect::Complete { volume, id, result } => self.complete(volume, id, result),
            Effect::Meta {
                volume,
                op,
                order,
                io,
            } => self.queue_meta(volume, op, order, io),
            Effect::Reply { ticket, reply } => self.reply(ticket, reply),
            Effect::OpenLink { link, delay } => {
                self.expected_link = Some(link);
                self.surroundings.open_link(link, delay);
            }
            Effect::CloseLink { link } => self.close_link(link),
            Effect::Helper { run, event, about } => {
                self.surroundings.run_helper(run, event, about);
            }
            Effect::SetSize { volume, size } => self.surroundings.set_size(volume, size),
            Effect::SetAccess { volume, access } => self.surroundings.set_access(volume, access),
            Effect::CloseDisk { volume } => self.close_disk(volume),
            Effect::Changed => {
                let status = self.core.status(self.now());
                self.surroundings.changed(status);
            }
            Effect::Log { level, scope, text } => self.surroundings.log(level, scope, text),
        }
    }

    fn queue_meta(&mut self, volume: VolumeNr, op: MetaOp, order: MetaOrder, io: MetaIo) {
        let slot = self.volumes.entry(volume).or_default();
        slot.meta(op, order, io);
        while let Some((op, result)) = slot.next_meta(&mut self.ring, &self.pool, volume) {
            self.pending
                .push_back(Input::MetaDone { volume, op, result });
        }
        if slot.is_waiting_for_memory() {
            self.starved = Starved::Yes;
        }
    }

    fn close_disk(&mut self, volume: VolumeNr) {
        if let Some(slot) = self.volumes.get_mut(&volume) {
            for (op, result) in slot.close() {
                self.pending
                    .push_back(Input::MetaDone { volume, op, result });
            }
        }
    }

    fn complete(&mut self, volume: VolumeNr, id: IoId, result: Result<Option<Buffer>, IoError>) {
        let frontend = self.volumes.get(&volume).and_then(|v| v.frontend.as_ref());
        if let Some(frontend) = frontend {
            frontend.complete(RequestId(id.0), result.map_err(errno));
        }
    }

    fn reply(&mut self, ticket: Ticket, reply: Reply) {
        let Some(waiting) = self.tickets.remove(&ticket.0) else {
            return;
        };
        let accepted = match reply.outcome {
            Outcome::Done => true,
            Outcome::State(outcome) => outcome.is_success(),
            Outcome::Refused(_) => false,
        };
        match (waiting.purpose, accepted) {
            (Purpose::Attach(volume, shown), true) => {
                self.surroundings.show_disk(volume, *shown);
            }
            (Purpose::Attach(volume, _), false) => self.close_disk(volume),
            (Purpose::Connect, false) => self.surroundings.forget_net(),
            (Purpose::Connect, true) | (Purpose::Other, _) => {}
        }
        self.surroundings.reply(waiting.answer, reply);
    }
}

/// Whether more commands may be waiting.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Busy {
    No,
    Yes,
}

fn errno(error: IoError) -> Errno {
    match error {
        IoError::Io => Errno::IO,
        IoError::ReadOnly => Errno::ROFS,
        IoError::Unsupported => Errno::OPNOTSUPP,
        IoError::Invalid => Errno::INVAL,
    }
}
