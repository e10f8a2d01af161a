//! One core against a peer that sends anything.
//!
//! The attacker knows the protocol: it answers correctly often enough to get everywhere (its
//! parameters are the victim's own, sent back), and lies the rest of the time: fields from
//! pools that contain the interesting values, packets repeated, left out and invented, disks
//! that fail. What it sends passes the production codec, as everything a core ever sees does.

mod attacker;

use std::collections::{BTreeMap, VecDeque};

use drbd_core::Resource;
use drbd_core::effect::{DiskIo, Effect};
use drbd_core::input::{
    Admin, ClearBitmap, ConnectOnce, DiskError, DiskOp, Durability, Force, HeldOpen, HelperRun,
    Input, IoId, IoRequest, LinkId, MetaOp, Ticket, TieBreaker,
};
use drbd_core::time::{Duration, Instant};
use drbd_types::{ConnState, DiskState, Minor, Sector, SectorCount, State, VolumeNr};
use drbd_wire::{
    BarrierId, BlockId, BlockRequest, Body, ByteLen, Codec, DataFlags, DataHeader, Digest, Packet,
    SeqNum, Socket, StateChange, StateWord,
};

use self::attacker::honest_peer;
use crate::block::Block;
use crate::disk::{Disk, Fate};
use crate::net::AGREED;
use crate::random::Random;
use crate::setup::Setup;
use crate::world::VOLUME;

const SIZE: SectorCount = SectorCount(16 * 1024);

/// What an attack did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Seen {
    /// Packets that reached the victim.
    pub packets: u64,
    /// How often the victim was connected.
    pub connected: u64,
}

/// Sends random packets to a node that does random things, for so many steps. A panic of the
/// core passes through.
pub fn attack(seed: u64, steps: u64) -> Seen {
    let mut victim = Victim::new(seed);
    victim.begin();
    victim.strays = true;
    for _ in 0..steps {
        victim.step();
    }
    victim.seen
}

/// What a flood of one kind is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flood {
    /// Requests for blocks.
    ResyncRequests,
    /// Writes of one block.
    Writes,
    /// Requests for a change of state that must reach the meta-data first.
    StateRequests,
    /// Barriers without writes.
    Barriers,
}

/// Sends so many packets of one kind to a connected node whose disks do not answer; returns how
/// many of them it took before it stopped reading.
pub fn flood(kind: Flood, count: u64) -> u64 {
    let mut victim = Victim::new(1);
    victim.begin();
    victim.obey_until_connected();
    let before = victim.state();
    assert!(
        before.is_some_and(|state| state.conn == ConnState::Connected
            && state.disk == DiskState::UpToDate
            && state.pdsk == DiskState::UpToDate),
        "not connected: {before:?}"
    );
    let mut taken = 0;
    for round in 0..count {
        let Some(core) = &victim.core else { break };
        if !core.accepts_data() {
            break;
        }
        let sector = Sector(round % 512 * 8);
        let block_id = BlockId(round);
        let body = match kind {
            Flood::ResyncRequests => Body::RsDataRequest(BlockRequest {
                sector,
                block_id,
                size: ByteLen(4096),
            }),
            Flood::Writes => Body::Data(DataHeader {
                sector,
                block_id,
                seq: SeqNum(round as u32),
                flags: DataFlags::SEND_WRITE_ACK,
                size: ByteLen(4096),
            }),
            Flood::StateRequests => Body::StateChgReq(StateChange {
                // Its disk: Inconsistent, UpToDate, Inconsistent ...
                mask: 0xf << 9,
                value: [4, 8][round as usize % 2] << 9,
            }),
            Flood::Barriers => Body::Barrier(BarrierId((round as u32).to_le_bytes())),
        };
        victim.deliver(Socket::Data, body);
        taken += 1;
    }
    let after = victim.conn();
    assert!(after >= ConnState::Connected, "lost: {after}");
    taken
}

struct Victim {
    core: Option<Resource<Block>>,
    now: u64,
    random: Random,
    disk: Disk,
    link: Option<LinkId>,
    up: bool,
    data_io: BTreeMap<DiskOp, DiskIo<Block>>,
    meta_io: VecDeque<MetaOp>,
    helpers: Vec<HelperRun>,
    /// Correct packets of the peer that were not sent yet.
    answers: VecDeque<(Socket, Body)>,
    /// Names that the victim used for its requests.
    ids: Vec<(Sector, BlockId, u32)>,
    writes_in_epoch: u32,
    next: u64,
    /// Whether packets may name volumes that are not there.
    strays: bool,
    seen: Seen,
}

impl Victim {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let setup = Setup::default();
        let core = Resource::new(setup.resource, random.next());
        Self {
            core: Some(core),
            now: 0,
            random,
            disk: Disk::new(SIZE),
            link: None,
            up: false,
            data_io: BTreeMap::new(),
            meta_io: VecDeque::new(),
            helpers: Vec::new(),
            answers: VecDeque::new(),
            ids: Vec::new(),
            writes_in_epoch: 0,
            next: 1,
            strays: false,
            seen: Seen::default(),
        }
    }

    fn begin(&mut self) {
        self.admin(Admin::NewVolume {
            volume: VOLUME,
            minor: Minor(0),
        });
        self.attach();
        while let Some(op) = self.meta_io.pop_front() {
            self.meta_done(op, Ok(()));
        }
        self.connect();
    }

    /// The peer is honest and the disks are fast until the nodes are connected.
    fn obey_until_connected(&mut self) {
        self.establish();
        self.obey();
        let settled = StateWord(self.state_word());
        self.deliver(Socket::Data, Body::State(settled));
        self.admin(Admin::NewCurrentUuid {
            volume: VOLUME,
            bitmap: ClearBitmap::Clear,
        });
        self.obey();
    }

    fn obey(&mut self) {
        loop {
            if let Some(op) = self.meta_io.pop_front() {
                self.meta_done(op, Ok(()));
            } else if let Some((socket, body)) = self.answers.pop_front() {
                self.deliver(socket, body);
            } else {
                return;
            }
        }
    }

    fn state(&self) -> Option<State> {
        let status = self.core.as_ref()?.status(Instant::from_nanos(self.now));
        status.volumes.first().map(|volume| volume.state)
    }

    fn state_word(&self) -> u32 {
        self.state().map_or(0, honest_peer)
    }

    fn conn(&self) -> ConnState {
        self.state().map_or(ConnState::StandAlone, |s| s.conn)
    }

    // --- one step

    fn step(&mut self) {
        self.now += self.random.below(30_000_000);
        if self.conn() >= ConnState::Connected {
            self.seen.connected += 1;
        }
        if self.conn() == ConnState::StandAlone && self.random.chance(400) {
            self.connect();
        }
        match self.random.below(100) {
            0..=29 => self.honest(),
            30..=44 => self.lie(),
            45..=47 => {
                if let Some((socket, body)) = self.answers.front().cloned() {
                    self.deliver(socket, body);
                }
            }
            48..=49 => {
                self.answers.pop_front();
            }
            50..=64 => self.disk_step(),
            65..=76 => self.meta_step(),
            77..=80 => self.helper_step(),
            81..=90 => self.application(),
            91..=95 => self.administrator(),
            96 => self.lose_link(),
            _ => self.time_step(),
        }
        self.establish();
    }

    fn honest(&mut self) {
        for _ in 0..self.random.between(1, 8) {
            let Some((socket, body)) = self.answers.pop_front() else {
                return;
            };
            self.deliver(socket, body);
        }
    }

    fn disk_step(&mut self) {
        for _ in 0..self.random.between(1, 6) {
            let ops: Vec<DiskOp> = self.data_io.keys().copied().collect();
            if ops.is_empty() {
                return;
            }
            let op = ops[self.random.below(ops.len() as u64) as usize];
            let Some(io) = self.data_io.remove(&op) else {
                return;
            };
            let result = if self.random.chance(15) {
                Err(if self.random.chance(300) {
                    DiskError::Unsupported
                } else {
                    DiskError::Io
                })
            } else {
                self.disk.data_io(&io, Fate::Done, &mut self.random);
                Ok(match io {
                    DiskIo::Read { sector, size } => Some(self.disk.read(sector, size)),
                    _ => None,
                })
            };
            let volume = VOLUME;
            self.input(Input::DiskDone { volume, op, result });
        }
    }

    fn meta_step(&mut self) {
        for _ in 0..self.random.between(1, 6) {
            let Some(op) = self.meta_io.pop_front() else {
                return;
            };
            let result = if self.random.chance(5) {
                Err(DiskError::Io)
            } else {
                Ok(())
            };
            self.meta_done(op, result);
        }
    }

    fn meta_done(&mut self, op: MetaOp, result: Result<(), DiskError>) {
        let volume = VOLUME;
        self.input(Input::MetaDone { volume, op, result });
    }

    fn helper_step(&mut self) {
        if let Some(run) = self.helpers.pop() {
            let exit = if self.random.chance(800) {
                0
            } else {
                self.random.below(9) as u8
            };
            self.input(Input::HelperDone { run, exit });
        }
    }

    fn time_step(&mut self) {
        if self.random.chance(100) {
            self.now += self.random.below(12_000_000_000);
        }
        let now = Instant::from_nanos(self.now);
        if let Some(core) = self.core.as_mut() {
            core.handle_timeout(now);
        }
        self.drain();
    }

    fn lose_link(&mut self) {
        if let Some(link) = self.link.filter(|_| self.up) {
            let (socket, cause) = if self.random.chance(500) {
                (Socket::Data, ConnState::BrokenPipe)
            } else {
                (Socket::Meta, ConnState::NetworkFailure)
            };
            let message = String::new();
            self.input(Input::LinkLost {
                link,
                socket,
                cause,
                message,
            });
        }
    }

    fn application(&mut self) {
        let id = IoId(self.next);
        self.next += 1;
        let sector = Sector(self.random.below(SIZE.0 / 8) * 8);
        let size = 4096 * self.random.between(1, 4) as u32;
        let request = match self.random.below(6) {
            0 => IoRequest::Read { sector, size },
            1 => IoRequest::Flush,
            2 => IoRequest::Discard { sector, size },
            3 => IoRequest::WriteZeroes { sector, size },
            _ => IoRequest::Write {
                sector,
                data: Block::filled(id.0, size as usize / 512),
                durability: Durability::Cached,
            },
        };
        let volume = VOLUME;
        self.input(Input::Io {
            volume,
            id,
            request,
        });
    }

    fn administrator(&mut self) {
        let volume = VOLUME;
        let force = if self.random.chance(500) {
            Force::Yes
        } else {
            Force::No
        };
        let request = match self.random.below(14) {
            0..=2 => Admin::Primary { volume, force },
            3 => Admin::Secondary {
                volume,
                held: HeldOpen::Free,
            },
            4 => Admin::Detach { volume, force },
            5 | 6 => return self.attach(),
            7 => Admin::Invalidate { volume },
            8 => Admin::InvalidateRemote { volume },
            9 => Admin::PauseSync { volume },
            10 => Admin::ResumeSync { volume },
            11 => Admin::SuspendIo { volume },
            12 => Admin::ResumeIo { volume },
            _ => return self.connect(),
        };
        self.admin(request);
    }

    fn attach(&mut self) {
        let image = Box::new(self.disk.image());
        let options = Setup::default().disk;
        self.admin(Admin::Attach {
            volume: VOLUME,
            image,
            options,
        });
    }

    fn connect(&mut self) {
        let options = Box::new(Setup::default().net);
        let once = ConnectOnce::empty();
        self.admin(Admin::Connect { options, once });
    }

    fn admin(&mut self, request: Admin) {
        let ticket = Ticket(self.next);
        self.next += 1;
        self.input(Input::Admin { ticket, request });
    }

    fn establish(&mut self) {
        if let Some(link) = self.link.filter(|_| !self.up) {
            self.up = true;
            self.answers.clear();
            self.writes_in_epoch = 0;
            let tie = if self.random.chance(500) {
                TieBreaker::Here
            } else {
                TieBreaker::There
            };
            let agreed = AGREED;
            self.input(Input::LinkUp { link, agreed, tie });
        }
    }

    // --- the attacker

    fn deliver(&mut self, socket: Socket, body: Body) {
        let Some(link) = self.link.filter(|_| self.up) else {
            return;
        };
        let accepts = self.core.as_ref().is_some_and(Resource::accepts_data);
        if socket == Socket::Data && !accepts {
            return self.answers.push_front((socket, body));
        }
        self.seen.packets += 1;
        let size = body.payload_size().0;
        let payload = (size > 0).then(|| Block::filled(self.random.next(), size as usize / 512));
        let volume = if self.strays && self.random.chance(3) {
            VolumeNr(1)
        } else {
            VOLUME
        };
        let packet = Packet { volume, body };
        self.input(Input::Packet {
            link,
            socket,
            packet,
            payload,
        });
    }

    // --- the victim's driver

    fn input(&mut self, input: Input<Block>) {
        let now = Instant::from_nanos(self.now);
        if let Some(core) = self.core.as_mut() {
            core.handle(now, input);
        }
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(effect) = self.core.as_mut().and_then(Resource::next_effect) {
            match effect {
                Effect::Disk { op, io, .. } => {
                    self.data_io.insert(op, io);
                }
                Effect::Meta { op, io, .. } => {
                    self.disk.meta_io(&io, Fate::Done, &mut self.random);
                    self.meta_io.push_back(op);
                }
                Effect::OpenLink { link, .. } => {
                    self.link = Some(link);
                    self.up = false;
                }
                Effect::CloseLink { link } if self.link == Some(link) => {
                    self.link = None;
                    self.up = false;
                }
                Effect::Send {
                    socket,
                    packet,
                    payload,
                    link,
                } if self.link == Some(link) => {
                    self.answer(socket, &packet, payload.as_ref());
                }
                Effect::Helper { run, .. } => self.helpers.push(run),
                _ => {}
            }
        }
        // Whatever is due is not due again without a reason.
        let now = Instant::from_nanos(self.now);
        let due = self.core.as_ref().and_then(Resource::next_timeout);
        if due.is_some_and(|at| at < now) {
            self.now += Duration::from_millis(1).as_nanos() as u64;
        }
    }
}

/// The packet as the codec delivers it, if it can be sent at all; with `damaged` one bit of it
/// is another one.
fn through_the_codec(socket: Socket, body: Body, damaged: bool) -> Option<(Socket, Body)> {
    let codec = Codec::new(AGREED);
    let packet = Packet {
        volume: VOLUME,
        body,
    };
    let mut bytes = Vec::new();
    codec.encode(&packet, &Digest::EMPTY, &mut bytes).ok()?;
    if damaged && let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    let (head, rest) = bytes.split_at(codec.header_size());
    let header = codec.decode_header(socket, head).ok()?;
    let (decoded, _) = codec.decode_body(&header, rest).ok()?;
    Some((socket, decoded.body))
}
