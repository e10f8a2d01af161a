//! What goes wrong: crashes, power failures, bad disks, and commands at a bad moment.

use drbd_core::input::{Admin, ConnectOnce, Force, IoId};
use drbd_core::time::Duration;
use drbd_types::{ConnState, DiskState, Protocol, Role};

use super::{Failure, Life, role, up_to_date};
use crate::disk::Faults;
use crate::net::Weather;
use crate::world::VOLUME;

impl Life {
    pub(super) fn crash(&mut self) {
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

    /// Some sectors go bad on one node while both have good data.
    pub(super) fn spoil_disk(&mut self) {
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
    pub(super) fn detach(&mut self) -> Result<(), Failure> {
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

    pub(super) fn attach(&mut self) {
        let node = self.random.below(2) as usize;
        self.attach_if_diskless(node);
    }

    /// The administrator replaces bad sectors first.
    pub(super) fn attach_if_diskless(&mut self, node: usize) {
        let diskless = self
            .world
            .status(node)
            .is_some_and(|status| status.state.disk == DiskState::Diskless);
        if diskless {
            self.world.nodes[node].faults = Faults::default();
            self.world.attach(node);
        }
    }

    pub(super) fn invalidate(&mut self) {
        let node = self.random.below(2) as usize;
        let volume = VOLUME;
        if self.may_lose_a_disk() && role(&self.world, node) == Some(Role::Secondary) {
            self.world.admin(node, Admin::Invalidate { volume });
        }
    }

    pub(super) fn pause_or_resume(&mut self) {
        let node = self.random.below(2) as usize;
        let volume = VOLUME;
        let request = if self.random.chance(400) {
            Admin::PauseSync { volume }
        } else {
            Admin::ResumeSync { volume }
        };
        self.world.admin(node, request);
    }

    pub(super) fn restart(&mut self) {
        for node in 0..2 {
            if !self.world.is_running(node) {
                self.world.start(node);
            }
        }
    }

    pub(super) fn disconnect(&mut self) {
        let node = self.random.below(2) as usize;
        let force = if self.random.chance(500) {
            Force::Yes
        } else {
            Force::No
        };
        self.world.admin(node, Admin::Disconnect { force });
    }

    pub(super) fn reconnect(&mut self, node: usize) {
        let alone = self
            .world
            .status(node)
            .is_some_and(|status| status.state.conn == ConnState::StandAlone);
        if alone {
            self.world.connect(node, ConnectOnce::empty());
        }
    }
}
