//! State changes that both nodes must agree on: this node's requests, the peer's requests
//! (spec 60 section 1.8, spec 50 sections 8.3 to 8.5 and 14.4).

use drbd_types::{ConnState, DiskState, StateMask, StateOutcome};
use drbd_wire::{Body, ReplyCode, Socket, StateChange};

use crate::admin::Job;
use crate::change::{Asked, Check};
use crate::connection::ClusterChange;
use crate::effect::Level;
use crate::input::{Payload, TieBreaker};
use crate::machine::Resource;
use crate::receive::{Broken, Malformed};
use crate::state_rules;

impl<B: Payload> Resource<B> {
    /// Asks the peer to agree that the connection ends, or changes it alone if there is none.
    pub(crate) fn request_connection_change(&mut self, mask: StateMask, job: Job) -> Asked {
        let established = self.conn.state == ConnState::WfReportParams;
        if !established {
            return Asked::Done(self.change_connection(mask, Check::Soft));
        }
        if self.conn.cluster.is_some() {
            return Asked::Done(StateOutcome::InTransientState);
        }
        let outcome = self.connection_admissible(mask, Check::Soft);
        if !outcome.is_success() {
            return Asked::Done(outcome);
        }
        self.send_connection(Socket::Data, Body::ConnStateChgReq(StateChange::from(mask)));
        self.conn.cluster = Some(ClusterChange {
            volume: None,
            mask,
            job,
        });
        Asked::Waiting
    }

    /// The peer's answer.
    pub(crate) fn cluster_answer(&mut self, code: ReplyCode) {
        let Some(change) = self.conn.cluster.take() else {
            return;
        };
        let outcome = code.outcome().unwrap_or(StateOutcome::CwFailedByPeer);
        if !outcome.is_success() {
            let text = alloc::format!(
                "Requested state change failed by peer: {} ({})",
                outcome.text(),
                code.0
            );
            match change.volume.and_then(|nr| self.index(nr)) {
                Some(v) => self.log_volume(v, Level::Error, text),
                None => self.log_resource(Level::Error, text),
            }
            self.resume_job(change.job, StateOutcome::CwFailedByPeer);
            return;
        }
        let applied = match change.volume {
            None => self.change_connection(change.mask, Check::Hard),
            Some(nr) => match self.index(nr) {
                Some(v) => self.change(v, change.mask, Check::Soft),
                None => StateOutcome::UnknownError,
            },
        };
        let result = match applied {
            StateOutcome::Success => StateOutcome::CwSuccess,
            StateOutcome::NothingToDo => StateOutcome::CwNoNeed,
            other => other,
        };
        self.resume_job(change.job, result);
    }

    /// P_STATE_CHG_REQ: apply it as the peer sees it, without a further round trip.
    pub(crate) fn receive_state_request(
        &mut self,
        v: usize,
        change: StateChange,
    ) -> Result<(), Broken> {
        let mask = self.peer_view(change)?;
        let outcome = if self.must_yield() {
            StateOutcome::ConcurrentStateChange
        } else {
            self.change(v, mask, Check::Soft)
        };
        self.send(
            v,
            Socket::Meta,
            Body::StateChgReply(ReplyCode::from(outcome)),
            None,
        );
        Ok(())
    }

    /// P_CONN_ST_CHG_REQ: the peer disconnects.
    pub(crate) fn receive_connection_request(&mut self, change: StateChange) -> Result<(), Broken> {
        let mut mask = self.peer_view(change)?;
        if self.must_yield() {
            self.answer_connection_request(StateOutcome::ConcurrentStateChange);
            return Ok(());
        }
        if self
            .volumes
            .iter()
            .any(|volume| volume.state.disk < DiskState::Outdated)
            && mask.disk == Some(DiskState::Outdated)
        {
            // A failing outdate of what is worse already must not block the peer.
            mask.disk = None;
        }
        let outcome = self.connection_admissible(mask, Check::Soft);
        self.answer_connection_request(outcome);
        if outcome.is_success() {
            self.change_connection(mask, Check::Hard);
            self.close_link();
        }
        Ok(())
    }

    fn answer_connection_request(&mut self, outcome: StateOutcome) {
        self.send_connection(
            Socket::Meta,
            Body::ConnStateChgReply(ReplyCode::from(outcome)),
        );
    }

    /// Two requests met: the tie breaker's wins (spec 50 section 8.5).
    fn must_yield(&self) -> bool {
        self.conn.cluster.is_some() && self.conn.tie() == TieBreaker::Here
    }

    fn peer_view(&self, change: StateChange) -> Result<StateMask, Malformed> {
        let unpacked = change.unpack().ok_or_else(|| {
            Malformed(alloc::format!(
                "impossible state change mask 0x{:x} val 0x{:x}",
                change.mask,
                change.value
            ))
        })?;
        let StateMask {
            role,
            peer,
            conn,
            disk,
            pdsk,
            peer_isp,
            ..
        } = state_rules::mirrored(unpacked);
        // Suspension and pauses of this node are not the peer's to set.
        Ok(StateMask {
            role,
            peer,
            conn,
            disk,
            pdsk,
            peer_isp,
            ..StateMask::NOTHING
        })
    }
}
