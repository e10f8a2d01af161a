//! Carrying out state changes (spec 60 section 1.3): check, log, apply, and queue what follows.

use alloc::string::String;
use alloc::vec::Vec;

use drbd_types::{ConnState, DiskState, Role, State, StateMask, StateOutcome, Uuid};
use drbd_wire::{Body, ProtocolVersion, Socket, StateChange};

use crate::admin::Job;
use crate::after::AfterChange;
use crate::connection::ClusterChange;
use crate::effect::Level;
use crate::input::Payload;
use crate::machine::{Dirty, Resource};
use crate::state_rules::{
    self, CrashedPrimary, Fencing, HandshakeState, HeldOpen, NetPolicy, OtherVolumes, Policy,
    TwoPrimaries, VerifyAlg,
};
use crate::volume::Mark;

/// How strictly a change is checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Check {
    /// A fact of the environment: only impossible transitions are refused.
    Hard,
    /// A request: everything is checked, a refusal is logged.
    Soft,
    /// The same without the log lines.
    Quiet,
}

/// What became of a request that may need the peer's agreement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Asked {
    /// Decided here.
    Done(StateOutcome),
    /// The peer has been asked; the job goes on with its answer.
    Waiting,
}

impl<B: Payload> Resource<B> {
    /// Changes one volume without asking the peer.
    pub(crate) fn change(&mut self, v: usize, mask: StateMask, check: Check) -> StateOutcome {
        let old = self.state(v);
        let policy = self.policy(v);
        let (new, warning) = state_rules::sanitize(old, mask.apply(old), &policy);
        if new == old {
            return StateOutcome::NothingToDo;
        }
        let outcome = self.admissible(old, new, &policy, check);
        if !outcome.is_success() {
            self.log_refusal(v, outcome, old, new, check);
            return outcome;
        }
        if let Some(warning) = warning {
            self.log_volume(v, Level::Warning, warning.text());
        }
        let text = state_rules::describe_change(old, new);
        if !text.is_empty() {
            self.log_volume(v, Level::Info, text);
        }
        self.log_unless_empty(state_rules::describe_suspension(old, new));
        self.apply(v, old, new);
        self.mirror_suspension(v);
        StateOutcome::Success
    }

    /// Changes one volume, asking the peer first where both have to agree (spec 60 section 1.8).
    pub(crate) fn request_change(
        &mut self,
        v: usize,
        mask: StateMask,
        check: Check,
        job: Job,
    ) -> Asked {
        let old = self.state(v);
        let policy = self.policy(v);
        let (new, _) = state_rules::sanitize(old, mask.apply(old), &policy);
        if new == old {
            return Asked::Done(StateOutcome::NothingToDo);
        }
        if !state_rules::is_cluster_wide(old, new) {
            return Asked::Done(self.change(v, mask, check));
        }
        if self.conn.cluster.is_some() {
            return Asked::Done(StateOutcome::InTransientState);
        }
        let outcome = self.admissible(old, new, &policy, check);
        if !outcome.is_success() {
            self.log_refusal(v, outcome, old, new, check);
            return Asked::Done(outcome);
        }
        let volume = self.volumes[v].nr;
        self.send(
            v,
            Socket::Data,
            Body::StateChgReq(StateChange::from(mask)),
            None,
        );
        self.conn.cluster = Some(ClusterChange {
            volume: Some(volume),
            mask,
            job,
        });
        Asked::Waiting
    }

    /// Changes the connection, or what all volumes have in common: every volume follows, or
    /// nothing changes.
    pub(crate) fn change_connection(&mut self, mask: StateMask, check: Check) -> StateOutcome {
        let outcome = self.connection_admissible(mask, check);
        if !outcome.is_success() {
            return outcome;
        }
        self.commit_connection(mask);
        StateOutcome::Success
    }

    /// What would refuse this change of the connection.
    pub(crate) fn connection_admissible(&mut self, mask: StateMask, check: Check) -> StateOutcome {
        let from = self.conn.state;
        let to = mask.conn.unwrap_or(from);
        let probe = |conn| State {
            conn,
            ..State::INITIAL
        };
        let outcome = state_rules::is_valid_transition(probe(from), probe(to));
        if !outcome.is_success() && outcome != StateOutcome::NothingToDo {
            return outcome;
        }
        for v in 0..self.volumes.len() {
            let old = self.state(v);
            let policy = self.policy(v);
            let (new, _) = state_rules::sanitize(old, mask.apply(old), &policy);
            let outcome = self.admissible(old, new, &policy, check);
            if !outcome.is_success() && outcome != StateOutcome::NothingToDo {
                if check == Check::Soft {
                    let (mask_word, value) = mask.pack();
                    self.log_resource(
                        Level::Error,
                        alloc::format!("State change failed: {}", outcome.text()),
                    );
                    self.log_resource(
                        Level::Error,
                        alloc::format!(" mask = 0x{mask_word:x} val = 0x{value:x}"),
                    );
                    let shown = if from >= ConnState::WfReportParams {
                        ConnState::WfReportParams
                    } else {
                        from
                    };
                    self.log_resource(
                        Level::Error,
                        alloc::format!(" old_conn:{shown} wanted_conn:{to}"),
                    );
                }
                return outcome;
            }
        }
        StateOutcome::Success
    }

    fn commit_connection(&mut self, mask: StateMask) {
        let from = self.conn.state;
        let to = mask.conn.unwrap_or(from);
        let mut applied: Vec<(usize, State, State)> = Vec::new();
        for v in 0..self.volumes.len() {
            let old = self.state(v);
            let policy = self.policy(v);
            let (new, _) = state_rules::sanitize(old, mask.apply(old), &policy);
            applied.push((v, old, new));
        }
        // Suspension belongs to the resource: what one volume needs, all get.
        let susp = applied.iter().any(|(_, _, new)| new.susp);
        let susp_nod = applied.iter().any(|(_, _, new)| new.susp_nod);
        let susp_fen = applied.iter().any(|(_, _, new)| new.susp_fen);
        for (_, _, new) in &mut applied {
            (new.susp, new.susp_nod, new.susp_fen) = (susp, susp_nod, susp_fen);
        }
        self.log_connection_change(from, to, &applied);
        self.conn.state = if to > ConnState::WfReportParams {
            ConnState::WfReportParams
        } else {
            to
        };
        for (v, old, new) in applied {
            if old != new {
                self.apply(v, old, new);
            }
        }
        self.state_changed = Dirty::Yes;
    }

    /// What is the same on all volumes is printed once, for the connection (spec 60 section 1.3).
    fn log_connection_change(
        &mut self,
        from: ConnState,
        to: ConnState,
        applied: &[(usize, State, State)],
    ) {
        let texts: Vec<String> = applied
            .iter()
            .map(|&(_, old, new)| state_rules::describe_change(old, new))
            .collect();
        let suspension = applied
            .first()
            .map(|&(_, old, new)| state_rules::describe_suspension(old, new))
            .unwrap_or_default();
        match texts.split_first() {
            None if from != to => {
                self.log_resource(Level::Info, alloc::format!("conn( {from} -> {to} ) "))
            }
            None => {}
            Some((first, rest)) if rest.iter().all(|text| text == first) => {
                let text = alloc::format!("{first}{suspension}");
                self.log_unless_empty(text);
            }
            Some(_) => {
                let conn = if from == to {
                    String::new()
                } else {
                    alloc::format!("conn( {from} -> {to} ) ")
                };
                self.log_unless_empty(alloc::format!("{conn}{suspension}"));
                for (&(v, old, new), _) in applied.iter().zip(&texts) {
                    let text = state_rules::describe_change(
                        State {
                            conn: new.conn,
                            ..old
                        },
                        new,
                    );
                    if !text.is_empty() {
                        self.log_volume(v, Level::Info, text);
                    }
                }
            }
        }
    }

    fn log_unless_empty(&mut self, text: String) {
        if !text.is_empty() {
            self.log_resource(Level::Info, text);
        }
    }

    fn admissible(&self, old: State, new: State, policy: &Policy, check: Check) -> StateOutcome {
        let outcome = state_rules::is_valid_transition(old, new);
        if !outcome.is_success() || check == Check::Hard {
            return outcome;
        }
        let valid = state_rules::is_valid(new, policy);
        if !valid.is_success() {
            // An old state that is wrong in the same way must not block the way out of it.
            if state_rules::is_valid(old, policy) != valid {
                return valid;
            }
        }
        state_rules::is_valid_soft_transition(old, new, policy)
    }

    fn log_refusal(
        &mut self,
        v: usize,
        outcome: StateOutcome,
        old: State,
        wanted: State,
        check: Check,
    ) {
        if check != Check::Soft || outcome == StateOutcome::InTransientState {
            return;
        }
        self.log_volume(
            v,
            Level::Error,
            alloc::format!("State change failed: {}", outcome.text()),
        );
        self.log_volume(
            v,
            Level::Error,
            alloc::format!("  state = {}", state_rules::describe_state(old)),
        );
        self.log_volume(
            v,
            Level::Error,
            alloc::format!(" wanted = {}", state_rules::describe_state(wanted)),
        );
    }

    /// Puts a checked state into force, with the effects that cannot wait.
    fn apply(&mut self, v: usize, old: State, new: State) {
        if state_rules::replicates(&old) != state_rules::replicates(&new) {
            self.close_epoch();
        }
        if old.disk == DiskState::Attaching
            && new.disk >= DiskState::Negotiating
            && let Some(disk) = &self.volumes[v].disk
        {
            let text = alloc::format!("attached to UUIDs {}", disk.uuids);
            self.log_volume(v, Level::Info, text);
        }
        self.volumes[v].state = new;
        self.note_pause(v, old, new);
        self.update_md_flags(v, old, new);
        if old.disk == DiskState::Inconsistent
            && old.pdsk == DiskState::Inconsistent
            && old.peer == Role::Secondary
            && new.peer == Role::Primary
        {
            self.volumes[v].marks |= Mark::CONSIDER_RESYNC;
        }
        if old.conn < ConnState::Connected && new.conn >= ConnState::Connected {
            if self.volumes[v].marks.contains(Mark::AL_SUSPENDED) {
                self.volumes[v].marks.remove(Mark::AL_SUSPENDED);
                self.log_volume(v, Level::Info, "Resumed AL updates");
            }
            self.volumes[v].marks.remove(Mark::DEGRADED);
        }
        self.state_changed = Dirty::Yes;
        self.worker.push_back(AfterChange {
            volume: self.volumes[v].nr,
            old,
            new,
        });
    }

    fn note_pause(&mut self, v: usize, old: State, new: State) {
        let paused = |conn| matches!(conn, ConnState::PausedSyncS | ConnState::PausedSyncT);
        let active = |conn| matches!(conn, ConnState::SyncSource | ConnState::SyncTarget);
        if paused(old.conn) && active(new.conn) {
            self.log_volume(v, Level::Info, "Syncer continues.");
            self.resync_continues(v);
        } else if active(old.conn) && paused(new.conn) {
            self.log_volume(v, Level::Info, "Resync suspended");
            self.resync_suspended(v);
        }
    }

    fn update_md_flags(&mut self, v: usize, old: State, new: State) {
        let volume = &mut self.volumes[v];
        if new.disk < DiskState::Inconsistent {
            return;
        }
        let Some(disk) = volume.disk.as_mut() else {
            return;
        };
        let flags = state_rules::md_flags(
            &new,
            disk.flags,
            CrashedPrimary::from(volume.marks.contains(Mark::CRASHED_PRIMARY)),
        );
        if flags != disk.flags {
            disk.flags = flags;
            volume.marks |= Mark::MD_DIRTY;
        }
        if old.disk < DiskState::Consistent && new.disk >= DiskState::Consistent {
            volume.exposed_uuid = disk.uuids.current;
        }
    }

    /// Everything that the rules look at beside the state itself.
    pub(crate) fn policy(&self, v: usize) -> Policy {
        let volume = &self.volumes[v];
        let net = self.conn.net.as_ref().map(|net| NetPolicy {
            // Conflicting writes of two Primaries are not resolved here yet: one at a time.
            two_primaries: TwoPrimaries::Refused,
            verify: if net.verify_alg.is_empty() {
                VerifyAlg::Missing
            } else {
                VerifyAlg::Configured
            },
            agreed_version: self
                .conn
                .agreed()
                .map_or(ProtocolVersion::NEWEST, |agreed| agreed.version),
        });
        let other_primary = |(i, other): (usize, &crate::volume::Volume<B>)| {
            i != v && other.state.peer == Role::Primary
        };
        let exchanging = self.conn.up().is_some() && volume.state.conn == ConnState::WfReportParams;
        Policy {
            fencing: volume
                .disk
                .as_ref()
                .map_or(Fencing::DontCare, |disk| disk.conf.fencing),
            on_no_data: self.conf.on_no_data,
            net,
            // Whoever demotes knows; the core checks it before it asks for the change.
            held: HeldOpen::Free,
            other_volumes: if self.volumes.iter().enumerate().any(other_primary) {
                OtherVolumes::PeerPrimary
            } else {
                OtherVolumes::NoPeerPrimary
            },
            handshake: if exchanging {
                HandshakeState::StateSent
            } else {
                HandshakeState::Settled
            },
            exposed_uuid: volume.exposed_uuid,
            current_uuid: volume
                .disk
                .as_ref()
                .map_or(Uuid::EMPTY, |disk| disk.uuids.current),
            postponed: volume.postponed,
        }
    }
}
