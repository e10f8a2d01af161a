//! A random life of two nodes, from one seed, and the verdict at its end.
//!
//! The administrator in this world is careful: a node is promoted only if it cannot lack an
//! acknowledged write, that is, if the other one was never Primary without it, and if it has not
//! lost its power while the other one was up. Then nothing may be lost (but what was in no write
//! cache except one that lost its power, and was never flushed), no split brain may appear, and
//! when all faults are over both nodes must come to the same data by themselves.

use std::collections::{BTreeMap, BTreeSet};

use drbd_core::config::{AlUpdates, BitmapCode, NetConf};
use drbd_core::effect::Access;
use drbd_core::input::{
    Admin, ClearBitmap, ConnectOnce, Durability, Force, HeldOpen, IoId, IoRequest,
};
use drbd_core::planted::Bug;
use drbd_core::time::Duration;
use drbd_types::{ConnState, DiskState, Protocol, Role, Sector, SectorCount, State};

use crate::disk::Faults;
use crate::model::{Flush, Model};
use crate::net::Weather;
use crate::random::Random;
use crate::world::{Block, Completion, Line, VOLUME, World, net_conf};

/// Why a schedule failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// Data is wrong, or a rule of the world was broken.
    Correctness(String),
    /// The nodes did not find together again.
    Liveness(String),
}

/// What a schedule did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// Writes that were acknowledged.
    pub acknowledged: u64,
    /// Nodes that were killed.
    pub crashes: u64,
    /// Simulated milliseconds.
    pub milliseconds: u64,
}

/// A schedule with its story.
pub struct Run {
    /// How it ended.
    pub result: Result<Summary, Failure>,
    /// All log lines of both nodes.
    pub story: Vec<Line>,
}

/// Lives the life of a seed.
pub fn run(seed: u64, bug: Option<Bug>) -> Run {
    let mut life = Life::new(seed, bug);
    let result = life.live();
    Run {
        result,
        story: life.world.story,
    }
}

struct Open {
    node: usize,
    kind: OpenKind,
}

enum OpenKind {
    Write { sector: u64, sectors: u64 },
    Read { sector: u64 },
    Flush(Flush),
}

struct Life {
    world: World,
    /// Chance of the schedule itself, apart from the world's.
    random: Random,
    model: Model,
    open: BTreeMap<IoId, Open>,
    next_io: u64,
    next_value: u64,
    /// Nodes that may lack acknowledged writes.
    stale: [bool; 2],
    /// Nodes that have lost a write cache and not seen the other one since.
    cache_lost: [bool; 2],
    spots: Vec<u64>,
    /// A promotion that has no answer yet: nobody else may be promoted meanwhile.
    promoting: Option<(usize, u64)>,
    summary: Summary,
}

impl Life {
    fn new(seed: u64, bug: Option<Bug>) -> Self {
        let mut random = Random::new(seed ^ 0xabcd);
        let (size, spots) = if random.chance(300) {
            // More extents than the activity log has slots.
            (
                SectorCount(100 * 8192),
                (0..100).map(|extent| extent * 1024 + 7).collect(),
            )
        } else {
            (
                SectorCount(16 * 1024),
                (0..24).map(|spot| spot * 80).collect(),
            )
        };
        let mut world = World::new(seed, size);
        world.planted = bug;
        let net = NetConf {
            protocol: match random.below(4) {
                0 => Protocol::A,
                1 => Protocol::B,
                _ => Protocol::C,
            },
            max_epoch_size: if random.chance(100) { 1 } else { 2048 },
            bitmap_code: if random.chance(200) {
                BitmapCode::Plain
            } else {
                BitmapCode::RunLength
            },
            ..net_conf()
        };
        for node in &mut world.nodes {
            node.setup.net = net.clone();
            if random.chance(100) {
                node.setup.disk.al_updates = AlUpdates::Omitted;
            }
        }
        Self {
            world,
            random,
            model: Model::default(),
            open: BTreeMap::new(),
            next_io: 1,
            next_value: 1,
            stale: [false; 2],
            cache_lost: [false; 2],
            spots,
            promoting: None,
            summary: Summary::default(),
        }
    }

    fn live(&mut self) -> Result<Summary, Failure> {
        self.begin()?;
        let steps = self.random.between(30, 120);
        for _ in 0..steps {
            self.act()?;
            let pause = match self.random.below(10) {
                0 => self.random.between(100, 3_000),
                1..=3 => self.random.between(2, 40),
                _ => self.random.between(0, 2),
            };
            self.pass(Duration::from_millis(pause))?;
        }
        self.end()?;
        self.summary.milliseconds = self.world.now / 1_000_000;
        Ok(self.summary)
    }

    // --- beginning and end

    fn begin(&mut self) -> Result<(), Failure> {
        self.world.start(0);
        self.world.start(1);
        self.wait(60, "first connection", |w| {
            both(w, |state| state.conn == ConnState::Connected)
        })?;
        if self.spots.len() == 100 || self.random.chance(600) {
            self.world.admin(
                0,
                Admin::NewCurrentUuid {
                    volume: VOLUME,
                    bitmap: ClearBitmap::Clear,
                },
            );
            self.wait(60, "skipped initial sync", up_to_date)?;
            self.world.admin(
                0,
                Admin::Primary {
                    volume: VOLUME,
                    force: Force::No,
                },
            );
        } else {
            self.world.admin(
                0,
                Admin::Primary {
                    volume: VOLUME,
                    force: Force::Yes,
                },
            );
        }
        self.wait(30, "first Primary", |w| role(w, 0) == Some(Role::Primary))
    }

    fn end(&mut self) -> Result<(), Failure> {
        self.world.set_weather(Weather::Clear);
        for node in 0..2 {
            if !self.world.is_running(node) {
                self.world.start(node);
            }
            self.reconnect(node);
            self.world.nodes[node].faults = Faults::default();
        }
        self.come_together()?;
        self.wait(120, "all requests completed", |w| w.completions.is_empty())?;
        if !self.open.is_empty() {
            self.wait_for_requests()?;
        }
        // A command that a partition held up may still take effect, and has to be recovered from.
        self.pass(Duration::from_secs(5))?;
        self.come_together()?;
        self.compare()
    }

    /// Whoever is StandAlone, by a disconnect that took its time, is connected again.
    fn come_together(&mut self) -> Result<(), Failure> {
        for _ in 0..600 {
            if up_to_date(&self.world) {
                return Ok(());
            }
            for node in 0..2 {
                self.reconnect(node);
                self.attach_if_diskless(node);
                self.world.admin(node, Admin::ResumeSync { volume: VOLUME });
            }
            if both(&self.world, nobody_has_data) && self.summary.acknowledged == 0 {
                // The first Primary died before its first promise.
                let force = Force::Yes;
                self.world.admin(
                    0,
                    Admin::Primary {
                        volume: VOLUME,
                        force,
                    },
                );
            }
            self.pass(Duration::from_secs(1))?;
        }
        self.wait(1, "both UpToDate at the end", up_to_date)
    }

    fn wait_for_requests(&mut self) -> Result<(), Failure> {
        for _ in 0..600 {
            if self.open.is_empty() {
                return Ok(());
            }
            self.pass(Duration::from_millis(200))?;
        }
        Err(Failure::Liveness(format!(
            "{} requests never completed",
            self.open.len()
        )))
    }

    fn compare(&self) -> Result<(), Failure> {
        let mut sectors: BTreeSet<u64> = self.model.sectors().collect();
        for node in &self.world.nodes {
            sectors.extend(node.disk.written().map(|(sector, _)| sector));
        }
        for sector in sectors {
            let [a, b] = [0, 1].map(|node| self.world.nodes[node].disk.sector(sector));
            if a != b {
                return Err(Failure::Correctness(format!(
                    "sector {sector}: {a} here, {b} there, both UpToDate"
                )));
            }
            if !self.model.allows(sector, a) {
                let expected = self.model.describe(sector);
                return Err(Failure::Correctness(format!(
                    "sector {sector}: {a}, but {expected}"
                )));
            }
        }
        Ok(())
    }

    // --- one step

    fn act(&mut self) -> Result<(), Failure> {
        match self.random.below(100) {
            0..=3 => self.crash(),
            4..=8 => self.restart(),
            9..=10 => self.world.set_weather(Weather::Partition),
            11..=15 => self.world.set_weather(Weather::Clear),
            16..=17 => self.world.reset_connection(),
            18..=19 => self.disconnect(),
            20..=24 => {
                let node = self.random.below(2) as usize;
                self.reconnect(node);
            }
            25..=28 => self.switch_over()?,
            29..=32 => self.promote_somebody(),
            33..=40 => self.read(),
            41..=43 => self.flush(),
            44..=45 => self.spoil_disk(),
            46 => self.detach()?,
            47..=49 => self.attach(),
            50 => self.invalidate(),
            51..=52 => self.pause_or_resume(),
            _ => {
                for _ in 0..self.random.between(1, 6) {
                    self.write();
                }
            }
        }
        Ok(())
    }

    fn crash(&mut self) {
        let node = self.random.below(2) as usize;
        if !self.world.is_running(node) {
            return;
        }
        let promises_of_its_own = self.world.nodes[node].setup.net.protocol != Protocol::C
            && role(&self.world, node) == Some(Role::Primary);
        if promises_of_its_own {
            // What it acknowledged may have been on its way to the other node only.
            self.stale[1 - node] = true;
        }
        if self.random.chance(500) {
            self.lose_power(node);
        } else {
            self.world.crash(node);
        }
        if self.cache_lost[1 - node] {
            // Both have failed. Which one decides is not a question of write caches.
            self.model.lose_cache();
        }
        if self.promoting.is_some_and(|(promoted, _)| promoted == node) {
            self.promoting = None;
        }
        self.summary.crashes += 1;
        let gone: Vec<IoId> = self
            .open
            .iter()
            .filter(|(_, o)| o.node == node)
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            self.give_up(id);
        }
    }

    /// What only this node's write cache knows is lost; what the other one has got, too, is not,
    /// if this node learns it from there before it is Primary. But a Primary that comes back
    /// decides about the blocks of its activity log (spec 60 section 2.7, rule 40).
    fn lose_power(&mut self, node: usize) {
        let other = 1 - node;
        let other_has_everything = !self.stale[other]
            && role(&self.world, node) == Some(Role::Secondary)
            && self
                .world
                .status(other)
                .is_some_and(|status| status.state.disk == DiskState::UpToDate);
        self.world.power_failure(node);
        if other_has_everything {
            self.stale[node] = true;
            self.cache_lost[node] = true;
        } else {
            self.model.lose_cache();
        }
    }

    // --- disks

    /// Some sectors go bad on one node while both have good data.
    fn spoil_disk(&mut self) {
        let node = self.random.below(2) as usize;
        let sound = self.world.nodes[1 - node].faults == Faults::default();
        // For a Primary as in `detach`; an error comes when nobody expects it.
        let primary = role(&self.world, node) == Some(Role::Primary);
        if !sound || primary || !self.may_lose_a_disk() {
            return;
        }
        let sector = self.spots[self.random.below(self.spots.len() as u64) as usize] * 8;
        let faults = &mut self.world.nodes[node].faults;
        // Meta-data stays writable: a lone Primary that cannot name its new generation on disk
        // cannot be helped but by an administrator.
        if self.random.chance(500) {
            faults.unreadable.extend(sector..sector + 8);
        } else {
            faults.unwritable.extend(sector..sector + 8);
        }
    }

    /// Under protocols A and B a promise of a Primary without disk is nowhere yet.
    fn may_lose_a_disk(&self) -> bool {
        up_to_date(&self.world) && self.world.nodes[0].setup.net.protocol == Protocol::C
    }

    /// A Primary detaches by itself: if it asks the peer, and the answer is lost, both begin a new
    /// data generation. Then the administrator waits until the peer's generation is known here;
    /// to attach or disconnect before that is a split brain by the protocol (seeds 9164, 9453 of
    /// the schedules without this rule).
    fn detach(&mut self) -> Result<(), Failure> {
        let node = self.random.below(2) as usize;
        let primary = role(&self.world, node) == Some(Role::Primary);
        let clear = self.world.net.weather == Weather::Clear;
        if !self.may_lose_a_disk() || primary && !clear {
            return Ok(());
        }
        let force = if primary || self.random.chance(300) {
            Force::Yes
        } else {
            Force::No
        };
        let volume = VOLUME;
        self.world.admin(node, Admin::Detach { volume, force });
        self.pass(Duration::from_millis(50))
    }

    fn attach(&mut self) {
        let node = self.random.below(2) as usize;
        self.attach_if_diskless(node);
    }

    /// The administrator replaces bad sectors first.
    fn attach_if_diskless(&mut self, node: usize) {
        let diskless = self
            .world
            .status(node)
            .is_some_and(|status| status.state.disk == DiskState::Diskless);
        if diskless {
            self.world.nodes[node].faults = Faults::default();
            self.world.attach(node);
        }
    }

    fn invalidate(&mut self) {
        let node = self.random.below(2) as usize;
        let volume = VOLUME;
        if self.may_lose_a_disk() && role(&self.world, node) == Some(Role::Secondary) {
            self.world.admin(node, Admin::Invalidate { volume });
        }
    }

    fn pause_or_resume(&mut self) {
        let node = self.random.below(2) as usize;
        let volume = VOLUME;
        let request = if self.random.chance(400) {
            Admin::PauseSync { volume }
        } else {
            Admin::ResumeSync { volume }
        };
        self.world.admin(node, request);
    }

    fn restart(&mut self) {
        for node in 0..2 {
            if !self.world.is_running(node) {
                self.world.start(node);
            }
        }
    }

    fn disconnect(&mut self) {
        let node = self.random.below(2) as usize;
        let force = if self.random.chance(500) {
            Force::Yes
        } else {
            Force::No
        };
        self.world.admin(node, Admin::Disconnect { force });
    }

    fn reconnect(&mut self, node: usize) {
        let alone = self
            .world
            .status(node)
            .is_some_and(|status| status.state.conn == ConnState::StandAlone);
        if alone {
            self.world.connect(node, ConnectOnce::empty());
        }
    }

    /// Planned failover.
    fn switch_over(&mut self) -> Result<(), Failure> {
        let Some(old) = primary(&self.world) else {
            return Ok(());
        };
        if !up_to_date(&self.world) {
            return Ok(());
        }
        self.wait_for_requests_of(old)?;
        if role(&self.world, old) != Some(Role::Primary) {
            return Ok(());
        }
        self.world.admin(
            old,
            Admin::Secondary {
                volume: VOLUME,
                held: HeldOpen::Free,
            },
        );
        self.pass(Duration::from_millis(5))?;
        self.promote_somebody();
        Ok(())
    }

    fn wait_for_requests_of(&mut self, node: usize) -> Result<(), Failure> {
        for _ in 0..200 {
            if !self.open.values().any(|open| open.node == node) {
                break;
            }
            self.pass(Duration::from_millis(50))?;
        }
        Ok(())
    }

    /// Unplanned or planned: whoever is good enough, if nobody is Primary.
    fn promote_somebody(&mut self) {
        if primary(&self.world).is_some() || self.promotion_pending() {
            return;
        }
        let first = self.random.below(2) as usize;
        for node in [first, 1 - first] {
            let other_may_be_primary = self.unfenced_primary(1 - node);
            let good = self
                .world
                .status(node)
                .is_some_and(|status| status.state.disk == DiskState::UpToDate);
            if good && !self.stale[node] && !other_may_be_primary {
                let force = Force::No;
                let request = Admin::Primary {
                    volume: VOLUME,
                    force,
                };
                let ticket = self.world.admin(node, request);
                self.promoting = Some((node, ticket));
                return;
            }
        }
    }

    fn promotion_pending(&self) -> bool {
        self.promoting.is_some_and(|(node, ticket)| {
            self.world.is_running(node) && self.world.reply(node, ticket).is_none()
        })
    }

    fn unfenced_primary(&self, node: usize) -> bool {
        role(&self.world, node) == Some(Role::Primary)
    }

    // --- the application

    fn write(&mut self) {
        let Some(node) = usable(&self.world) else {
            return;
        };
        let block =
            self.spots[self.random.below(self.spots.len() as u64) as usize] + self.random.below(3);
        let blocks = self.random.between(1, 3);
        let (sector, sectors) = (block * 8, blocks * 8);
        let zero = self.random.chance(60);
        let value = if zero { 0 } else { self.next_value };
        self.next_value += 1;
        for sector in sector..sector + sectors {
            self.model.begin(sector, self.next_io, value);
        }
        if zero {
            let (first, size) = (Sector(sector), sectors as u32 * 512);
            let request = if self.random.chance(500) {
                IoRequest::Discard {
                    sector: first,
                    size,
                }
            } else {
                IoRequest::WriteZeroes {
                    sector: first,
                    size,
                }
            };
            return self.submit(node, OpenKind::Write { sector, sectors }, request);
        }
        let durability = if self.random.chance(100) {
            Durability::Fua
        } else {
            Durability::Cached
        };
        let data = Block::filled(value, sectors as usize);
        self.submit(
            node,
            OpenKind::Write { sector, sectors },
            IoRequest::Write {
                sector: Sector(sector),
                data,
                durability,
            },
        );
    }

    fn read(&mut self) {
        let Some(node) = usable(&self.world) else {
            return;
        };
        let block = self.spots[self.random.below(self.spots.len() as u64) as usize];
        let sector = block * 8;
        self.submit(
            node,
            OpenKind::Read { sector },
            IoRequest::Read {
                sector: Sector(sector),
                size: 4096,
            },
        );
    }

    fn flush(&mut self) {
        let Some(node) = usable(&self.world) else {
            return;
        };
        let flush = self.model.begin_flush();
        self.submit(node, OpenKind::Flush(flush), IoRequest::Flush);
    }

    fn submit(&mut self, node: usize, kind: OpenKind, request: IoRequest<Block>) {
        let id = IoId(self.next_io);
        self.next_io += 1;
        self.open.insert(id, Open { node, kind });
        self.world.io(node, id, request);
    }

    /// A request that will never be answered, or was answered with an error.
    fn give_up(&mut self, id: IoId) {
        if let Some(Open {
            kind: OpenKind::Write { sector, sectors },
            ..
        }) = self.open.remove(&id)
        {
            for sector in sector..sector + sectors {
                self.model.give_up(sector, id.0);
            }
        }
    }

    fn completed(&mut self, completion: Completion) -> Result<(), Failure> {
        let id = completion.id;
        if completion.result.is_err() {
            self.give_up(id);
            return Ok(());
        }
        let Some(open) = self.open.remove(&id) else {
            return Ok(());
        };
        match (open.kind, completion.result) {
            (OpenKind::Write { sector, sectors }, Ok(_)) => {
                self.summary.acknowledged += 1;
                for sector in sector..sector + sectors {
                    self.model.acknowledge(sector, id.0);
                }
            }
            (OpenKind::Flush(flush), Ok(_)) => self.model.acknowledge_flush(flush),
            (OpenKind::Read { sector }, Ok(Some(data))) => {
                for (offset, &value) in data.sectors().iter().enumerate() {
                    let sector = sector + offset as u64;
                    if !self.model.allows(sector, value) {
                        let expected = self.model.describe(sector);
                        return Err(Failure::Correctness(format!(
                            "read {value} from sector {sector}, but {expected}"
                        )));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    // --- time

    fn pass(&mut self, time: Duration) -> Result<(), Failure> {
        let deadline = self.world.now + time.as_nanos() as u64;
        while self.world.step(deadline) {
            self.observe()?;
        }
        self.observe()
    }

    fn wait(
        &mut self,
        seconds: u64,
        what: &str,
        condition: impl Fn(&World) -> bool,
    ) -> Result<(), Failure> {
        let deadline = self.world.now + seconds * 1_000_000_000;
        while !condition(&self.world) {
            if !self.world.step(deadline) && !condition(&self.world) {
                let states = [0, 1].map(|node| {
                    self.world
                        .status(node)
                        .map(|status| (status.state, status.out_of_sync))
                });
                return Err(Failure::Liveness(format!("{what}: {states:?}")));
            }
            self.observe()?;
        }
        self.observe()
    }

    /// After every event: who may be promoted from now on, and what has come back.
    fn observe(&mut self) -> Result<(), Failure> {
        if let Some(violation) = self.world.violation.take() {
            return Err(Failure::Correctness(violation));
        }
        for node in 0..2 {
            let alone = self.world.status(node).is_some_and(|status| {
                status.state.role == Role::Primary
                    && (status.state.conn < ConnState::Connected
                        || status.state.pdsk < DiskState::UpToDate)
            });
            if alone {
                self.stale[1 - node] = true;
            }
            // A demotion and the loss of the peer may fall into one moment.
            let ahead = self.world.status(node).is_some_and(|status| {
                status.state.conn < ConnState::Connected
                    && status.state.disk == DiskState::UpToDate
                    && status.md.is_some_and(|(uuids, _)| !uuids.bitmap.is_empty())
            });
            if ahead && !self.stale[node] {
                self.stale[1 - node] = true;
            }
            let without_disk = self.world.status(node).is_some_and(|status| {
                status.state.role == Role::Primary && status.state.disk < DiskState::UpToDate
            });
            if without_disk {
                self.stale[node] = true;
            }
        }
        if up_to_date(&self.world) {
            self.stale = [false; 2];
            self.cache_lost = [false; 2];
        } else {
            // One failure at a time: the only good disk does not fail.
            for node in &mut self.world.nodes {
                node.faults = Faults::default();
            }
        }
        if self.world.story.last().is_some_and(|line| {
            line.text.contains("Split-Brain") || line.text.contains("Unrelated")
        }) {
            return Err(Failure::Correctness(
                "a split brain under a careful administrator".into(),
            ));
        }
        for completion in std::mem::take(&mut self.world.completions) {
            self.completed(completion)?;
        }
        Ok(())
    }
}

fn role(world: &World, node: usize) -> Option<Role> {
    world.status(node).map(|status| status.state.role)
}

fn primary(world: &World) -> Option<usize> {
    (0..2).find(|&node| role(world, node) == Some(Role::Primary))
}

fn usable(world: &World) -> Option<usize> {
    primary(world).filter(|&node| world.nodes[node].access == Access::ReadWrite)
}

fn both(world: &World, test: impl Fn(&State) -> bool) -> bool {
    (0..2).all(|node| world.status(node).is_some_and(|status| test(&status.state)))
}

fn nobody_has_data(state: &State) -> bool {
    state.conn == ConnState::Connected
        && state.disk == DiskState::Inconsistent
        && state.pdsk == DiskState::Inconsistent
}

fn up_to_date(world: &World) -> bool {
    both(world, |state| {
        state.conn == ConnState::Connected
            && state.disk == DiskState::UpToDate
            && state.pdsk == DiskState::UpToDate
    })
}
