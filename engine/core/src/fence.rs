//! Fencing: the fence-peer helper and what its exit status means (spec 60 section 8.11).

use drbd_types::{ConnState, DiskState, Role, StateMask};

use crate::change::Check;
use crate::effect::{HelperSubject, Level};
use crate::input::Payload;
use crate::machine::{FencePurpose, HelperPurpose, Resource};
use crate::state_rules::Fencing;

/// Whether the peer cannot become Primary with newer data behind our back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FenceResult {
    Fenced,
    Failed,
}

impl<B: Payload> Resource<B> {
    /// Calls fence-peer where the policy asks for it.
    pub(crate) fn fence_peer(&mut self, v: usize, purpose: FencePurpose) {
        let policy = self.fencing(v);
        if !self
            .volumes
            .iter()
            .any(|volume| volume.state.disk >= DiskState::Consistent)
        {
            self.log_resource(
                Level::Info,
                "Not fencing peer, I'm not even Consistent myself.",
            );
            self.thaw_after_fencing();
            return self.fenced(purpose, FenceResult::Failed);
        }
        if policy == Fencing::DontCare {
            return self.fenced(purpose, FenceResult::Fenced);
        }
        self.run_helper(
            HelperPurpose::FencePeer(purpose),
            "fence-peer",
            HelperSubject::Resource,
        );
    }

    pub(crate) fn fence_peer_returned(&mut self, purpose: FencePurpose, exit: u8) {
        let up_to_date = self
            .volumes
            .iter()
            .any(|volume| volume.state.disk == DiskState::UpToDate);
        let stonith =
            (0..self.volumes.len()).any(|v| self.fencing(v) == Fencing::ResourceAndStonith);
        let (text, pdsk, disk) = match exit {
            3 => (
                "peer is inconsistent or worse",
                Some(DiskState::Inconsistent),
                None,
            ),
            4 => ("peer was fenced", Some(DiskState::Outdated), None),
            5 if up_to_date => (
                "peer is unreachable, assumed to be dead",
                Some(DiskState::Outdated),
                None,
            ),
            5 => (
                "peer unreachable, doing nothing since disk != UpToDate",
                None,
                None,
            ),
            6 => ("peer is active", None, Some(DiskState::Outdated)),
            7 => ("peer was stonithed", Some(DiskState::Outdated), None),
            _ => ("", None, None),
        };
        if exit == 6 {
            self.log_resource(Level::Warning, "Peer is primary, outdating myself.");
        }
        if exit == 7 && !stonith {
            self.log_resource(Level::Error, "fence-peer() = 7 && fencing != Stonith !!!");
        }
        if text.is_empty() {
            self.log_resource(
                Level::Error,
                alloc::format!("fence-peer helper broken, returned {exit}"),
            );
            return self.fenced(purpose, FenceResult::Failed);
        }
        self.log_resource(
            Level::Info,
            alloc::format!("fence-peer helper returned {exit} ({text})"),
        );
        if self.conn.state >= ConnState::WfReportParams {
            self.log_resource(Level::Info, "Ignoring fence-peer exit code");
            return self.fenced(purpose, FenceResult::Failed);
        }
        let mask = StateMask {
            pdsk,
            disk,
            ..StateMask::NOTHING
        };
        self.change_connection(mask, Check::Soft);
        self.run_worker();
        let highest = self.volumes.iter().map(|volume| volume.state.pdsk).max();
        if highest.is_some_and(|pdsk| pdsk <= DiskState::Outdated) {
            self.thaw_after_fencing();
            self.fenced(purpose, FenceResult::Fenced);
        } else {
            self.fenced(purpose, FenceResult::Failed);
        }
    }

    fn fenced(&mut self, purpose: FencePurpose, result: FenceResult) {
        if let FencePurpose::Promotion(promotion) = purpose {
            self.promotion_fenced(promotion, result);
        }
    }

    /// The peer is out of the way: frozen I/O goes on, on a data generation of its own.
    fn thaw_after_fencing(&mut self) {
        if !self.volumes.iter().any(|volume| volume.state.susp_fen) {
            return;
        }
        for v in 0..self.volumes.len() {
            self.take_owed_generation(v);
        }
        self.clear_transfer_log();
        let mask = StateMask {
            susp_fen: Some(false),
            ..StateMask::NOTHING
        };
        self.change_connection(mask, Check::Hard);
        self.release_held();
    }

    /// The peer is as good as this node again: whoever fenced it may forget that.
    pub(crate) fn unfence_peer(&mut self) {
        let fencing = (0..self.volumes.len()).any(|v| self.fencing(v) != Fencing::DontCare);
        let good = self.volumes.iter().all(|volume| {
            volume.state.disk == DiskState::UpToDate && volume.state.pdsk == DiskState::UpToDate
        });
        if fencing && good {
            let subject = HelperSubject::Resource;
            self.run_helper(HelperPurpose::Notify, "unfence-peer", subject);
        }
    }

    /// After the connection of a Primary was lost.
    pub(crate) fn fence_after_loss(&mut self) {
        let primary = self
            .volumes
            .iter()
            .any(|volume| volume.state.role == Role::Primary);
        let unknown = self
            .volumes
            .iter()
            .any(|volume| volume.state.pdsk >= DiskState::DUnknown);
        if primary && unknown {
            self.fence_peer(0, FencePurpose::ConnectionLost);
        }
    }

    pub(crate) fn fencing(&self, v: usize) -> Fencing {
        self.volumes[v]
            .disk
            .as_ref()
            .map_or(Fencing::DontCare, |disk| disk.conf.fencing)
    }
}
