//! A random life of two nodes, from one seed, and the verdict at its end.
//!
//! The administrator in this world is careful: a node is promoted only if it cannot lack an
//! acknowledged write, that is, if the other one was never Primary without it, and if it has not
//! lost its power while the other one was up. Then nothing may be lost (but what was in no write
//! cache except one that lost its power, and was never flushed), no split brain may appear, and
//! when all faults are over both nodes must come to the same data by themselves.

mod application;
mod failover;
mod faults;

use std::collections::{BTreeMap, BTreeSet};

use drbd_core::config::{AlUpdates, BitmapCode, NetConf};
use drbd_core::effect::Access;
use drbd_core::input::{Admin, ClearBitmap, Force, IoId};
use drbd_core::planted::Bug;
use drbd_core::time::Duration;
use drbd_types::{ConnState, DiskState, Protocol, Role, SectorCount, State};

use crate::disk::Faults;
use crate::model::{Flush, Model};
use crate::net::Weather;
use crate::random::Random;
use crate::setup::net_conf;
use crate::story::Line;
use crate::world::{VOLUME, World};

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

    // --- disks

    // --- the application

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
