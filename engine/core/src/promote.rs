//! Becoming Primary and Secondary (spec 60 sections 2.3 and 8.11, spec 30 section 5.6).

use drbd_types::{ConnState, DiskState, Role, StateMask, StateOutcome, VolumeNr};

use crate::admin::{Job, Waiting};
use crate::change::{Asked, Check};
use crate::effect::{Access, Effect, Level, Outcome};
use crate::fence::FenceResult;
use crate::input::{ConnectOnce, Force, Payload, Ticket};
use crate::machine::{FencePurpose, Resource};
use crate::time::Instant;
use drbd_types::UuidFlags;

/// How often a promotion is tried with different means before the answer stands.
const TRIES: u8 = 4;

/// A promotion under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Promotion {
    pub(crate) ticket: Ticket,
    pub(crate) volume: VolumeNr,
    force: Force,
    tries: u8,
    /// Lift the own disk to UpToDate with the role.
    disk: Option<DiskState>,
    /// Declare the peer's disk Outdated with the role.
    pdsk: Option<DiskState>,
    kind: Kind,
    /// The last try says why it fails.
    check: Check,
    /// What the last try ended with.
    refused: StateOutcome,
    not_before: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Ordinary,
    /// `--force` lifted the disk: the data generation changes.
    Forced,
}

impl Promotion {
    /// When a postponed try is due.
    pub(crate) const fn not_before(&self) -> Option<Instant> {
        self.not_before
    }
}

impl<B: Payload> Resource<B> {
    pub(crate) fn promote(&mut self, ticket: Ticket, v: usize, force: Force) {
        // The peer may be dying: find out early (spec 60 section 8.11).
        self.send_ping();
        self.try_promotion(Promotion {
            ticket,
            volume: self.volumes[v].nr,
            force,
            tries: 0,
            disk: None,
            pdsk: None,
            kind: Kind::Ordinary,
            check: Check::Quiet,
            refused: StateOutcome::Success,
            not_before: None,
        });
    }

    pub(crate) fn try_promotion(&mut self, mut promotion: Promotion) {
        let Some(v) = self.index(promotion.volume) else {
            return;
        };
        if promotion.not_before.is_some_and(|at| self.now < at) {
            return self.wait(promotion.ticket, Waiting::Promote(promotion));
        }
        promotion.not_before = None;
        promotion.tries += 1;
        let mask = StateMask {
            role: Some(Role::Primary),
            disk: promotion.disk,
            pdsk: promotion.pdsk,
            ..StateMask::NOTHING
        };
        let asked = self.request_change(v, mask, promotion.check, Job::Promote(promotion));
        if let Asked::Done(outcome) = asked {
            self.promotion_answered(promotion, outcome);
        }
    }

    pub(crate) fn promotion_answered(&mut self, mut promotion: Promotion, outcome: StateOutcome) {
        let Some(v) = self.index(promotion.volume) else {
            return;
        };
        if outcome == StateOutcome::NothingToDo {
            return self.reply(promotion.ticket, Outcome::State(outcome));
        }
        if outcome.is_success() {
            return self.promoted(v, promotion, outcome);
        }
        if outcome == StateOutcome::InTransientState {
            promotion.tries -= 1;
            return self.wait(promotion.ticket, Waiting::Promote(promotion));
        }
        promotion.refused = outcome;
        if promotion.check == Check::Soft {
            return self.reply(promotion.ticket, Outcome::State(outcome));
        }
        let disk = self.state(v).disk;
        match outcome {
            StateOutcome::CwFailedByPeer if promotion.pdsk.is_some() => {
                promotion.pdsk = None;
                self.try_promotion(promotion);
            }
            StateOutcome::NoUpToDateDisk
                if promotion.force == Force::Yes
                    && disk >= DiskState::Inconsistent
                    && disk < DiskState::UpToDate
                    && promotion.disk.is_none() =>
            {
                promotion.disk = Some(DiskState::UpToDate);
                promotion.kind = Kind::Forced;
                self.try_promotion(promotion);
            }
            StateOutcome::NoUpToDateDisk
                if disk == DiskState::Consistent && promotion.disk.is_none() =>
            {
                self.fence_peer(v, FencePurpose::Promotion(promotion));
            }
            StateOutcome::PrimaryNop => self.fence_peer(v, FencePurpose::Promotion(promotion)),
            StateOutcome::TwoPrimaries if promotion.tries == 1 => {
                promotion.check = Check::Soft;
                let patience = self
                    .ping_times()
                    .map_or_else(Default::default, |(_, timeout)| timeout);
                promotion.not_before =
                    Some(self.now + patience + core::time::Duration::from_millis(100));
                self.wait(promotion.ticket, Waiting::Promote(promotion));
            }
            _ => {
                // One more try that says why.
                promotion.check = Check::Soft;
                self.try_promotion(promotion);
            }
        }
    }

    /// fence-peer has an answer for a promotion.
    pub(crate) fn promotion_fenced(&mut self, mut promotion: Promotion, result: FenceResult) {
        let Some(v) = self.index(promotion.volume) else {
            return;
        };
        match result {
            FenceResult::Fenced if self.state(v).disk == DiskState::Consistent => {
                promotion.disk = Some(DiskState::UpToDate);
            }
            FenceResult::Failed if promotion.force == Force::Yes => {
                self.log_volume(v, Level::Warning, "Forced into split brain situation!");
                promotion.pdsk = Some(DiskState::Outdated);
            }
            FenceResult::Fenced | FenceResult::Failed => {}
        }
        if promotion.tries >= TRIES {
            return self.reply(promotion.ticket, Outcome::State(promotion.refused));
        }
        self.try_promotion(promotion);
    }

    fn promoted(&mut self, v: usize, promotion: Promotion, outcome: StateOutcome) {
        let forced = promotion.kind == Kind::Forced;
        if forced {
            self.log_volume(
                v,
                Level::Warning,
                "Forced to consider local data as UpToDate!",
            );
        }
        self.conn.once.remove(ConnectOnce::DISCARD_MY_DATA);
        let state = self.state(v);
        if let Some(disk) = &self.volumes[v].disk {
            let alone = state.conn < ConnState::Connected || state.pdsk <= DiskState::Failed;
            if forced || (alone && disk.uuids.bitmap.is_empty()) {
                self.new_generation(v);
            }
            self.adopt_role_bit(v);
        }
        self.sync_superblock(v);
        if state.conn >= ConnState::WfReportParams {
            if forced {
                self.send_uuids(v, UuidFlags::empty());
            }
            self.send_state(v);
        }
        let volume = self.volumes[v].nr;
        self.outbox.push(Effect::SetAccess {
            volume,
            access: Access::ReadWrite,
        });
        self.reply(promotion.ticket, Outcome::State(outcome));
    }

    /// What follows from having become Secondary.
    pub(crate) fn demoted(&mut self, v: usize) {
        let volume = self.volumes[v].nr;
        self.outbox.push(Effect::SetAccess {
            volume,
            access: Access::Closed,
        });
        self.adopt_role_bit(v);
        self.run_worker();
        self.sync_superblock(v);
        if self.state(v).conn >= ConnState::WfReportParams {
            self.send_state(v);
        }
    }
}
