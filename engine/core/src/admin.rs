//! Administrative requests (spec 30 section 5): checks in the documented order, then a state
//! change; what needs the peer, a helper or a later state is continued by a [`Job`].

use alloc::string::String;
use alloc::vec::Vec;

use drbd_types::{ConnState, DiskState, Minor, Protocol, Role, StateMask, StateOutcome, VolumeNr};

use crate::activity_log::Resized;
use crate::change::{Asked, Check};
use crate::config::{DiskConf, NetConf};
use crate::effect::{Effect, LinkDelay, Outcome, Refusal};
use crate::input::{Admin, ClearBitmap, ConnectOnce, Force, HeldOpen, Payload, Ticket};
use crate::machine::Resource;
use crate::promote::Promotion;
use crate::state_rules::{Fencing, TwoPrimaries};
use crate::volume::{Mark, Volume};

/// An administrative request that is not answered yet.
#[derive(Clone, Debug)]
pub(crate) enum Job {
    Promote(Promotion),
    Detach {
        ticket: Ticket,
        volume: VolumeNr,
    },
    Disconnect {
        ticket: Ticket,
        step: DisconnectStep,
    },
    /// A plain cluster-wide change: the outcome is the answer.
    Plain {
        ticket: Ticket,
    },
}

/// How far a graceful disconnect has come (spec 60 section 9.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DisconnectStep {
    Plain,
    /// The peer outdates itself first: this node is Primary with fencing.
    OutdatePeer,
    /// This node outdates itself: the peer refused.
    OutdateSelf,
}

/// A request that is repeated when the state has changed.
pub(crate) struct PendingAdmin {
    pub(crate) ticket: Ticket,
    pub(crate) what: Waiting,
}

/// What is repeated.
#[derive(Clone, Debug)]
pub(crate) enum Waiting {
    /// The state was transient.
    Request(Admin),
    Promote(Promotion),
    /// Failed -> Diskless has to be over.
    Diskless(VolumeNr),
}

impl<B: Payload> Resource<B> {
    pub(crate) fn admin(&mut self, ticket: Ticket, request: Admin) {
        let volume = match &request {
            Admin::NewVolume { volume, minor } => {
                let outcome = self.new_volume(*volume, *minor);
                return self.reply(ticket, outcome);
            }
            Admin::DeleteResource => {
                let outcome = self.delete_resource();
                return self.reply(ticket, outcome);
            }
            Admin::ResourceOptions(options) => {
                self.conf = *options;
                return self.reply(ticket, Outcome::Done);
            }
            Admin::Connect { options, once } => return self.connect(ticket, options, *once),
            Admin::NetOptions(options) => {
                let outcome = self.net_options(options);
                return self.reply(ticket, outcome);
            }
            Admin::Disconnect { force } => {
                return self.disconnect(ticket, *force, DisconnectStep::Plain);
            }
            Admin::DeleteVolume { volume }
            | Admin::Attach { volume, .. }
            | Admin::Detach { volume, .. }
            | Admin::DiskOptions { volume, .. }
            | Admin::Primary { volume, .. }
            | Admin::Secondary { volume, .. }
            | Admin::Invalidate { volume }
            | Admin::InvalidateRemote { volume }
            | Admin::PauseSync { volume }
            | Admin::ResumeSync { volume }
            | Admin::SuspendIo { volume }
            | Admin::ResumeIo { volume }
            | Admin::Outdate { volume }
            | Admin::NewCurrentUuid { volume, .. } => *volume,
        };
        match self.index(volume) {
            Some(v) => self.volume_admin(ticket, v, request),
            None => self.reply(ticket, Outcome::Refused(Refusal::MinorUnknown)),
        }
    }

    fn volume_admin(&mut self, ticket: Ticket, v: usize, request: Admin) {
        match request {
            Admin::DeleteVolume { .. } => {
                let outcome = self.delete_volume(v);
                self.reply(ticket, outcome);
            }
            Admin::Attach {
                image,
                options,
                volume,
            } => {
                if let Some(image) = self.attach(ticket, v, image, options) {
                    self.wait(
                        ticket,
                        Waiting::Request(Admin::Attach {
                            volume,
                            image,
                            options,
                        }),
                    );
                }
            }
            Admin::Detach { force, .. } => self.detach(ticket, v, force),
            Admin::DiskOptions { options, .. } => self.disk_options(ticket, v, options),
            Admin::Primary { force, .. } => self.promote(ticket, v, force),
            Admin::Secondary { held, .. } => self.demote(ticket, v, held),
            Admin::Invalidate { .. } => self.invalidate(ticket, v),
            Admin::InvalidateRemote { .. } => self.invalidate_remote(ticket, v),
            Admin::PauseSync { .. } => {
                let outcome = self.pause_sync(v);
                self.reply(ticket, outcome);
            }
            Admin::ResumeSync { .. } => {
                let outcome = self.resume_sync(v);
                self.reply(ticket, outcome);
            }
            Admin::SuspendIo { .. } => {
                let outcome = self.suspend_io(v);
                self.reply(ticket, outcome);
            }
            Admin::ResumeIo { .. } => {
                let outcome = self.resume_io(v);
                self.reply(ticket, outcome);
            }
            Admin::Outdate { .. } => {
                let mask = StateMask {
                    disk: Some(DiskState::Outdated),
                    ..StateMask::NOTHING
                };
                let outcome = self.change(v, mask, Check::Soft);
                self.reply(ticket, Outcome::State(outcome));
            }
            Admin::NewCurrentUuid { bitmap, .. } => self.new_current_uuid(ticket, v, bitmap),
            other => self.admin(ticket, other),
        }
    }

    /// Repeats a request after the next state change, as the kernel does for transient states.
    pub(crate) fn wait(&mut self, ticket: Ticket, what: Waiting) {
        self.waiting.push(PendingAdmin { ticket, what });
    }

    pub(crate) fn retry_waiting(&mut self) {
        for PendingAdmin { ticket, what } in core::mem::take(&mut self.waiting) {
            match what {
                Waiting::Request(request) => self.admin(ticket, request),
                Waiting::Promote(promotion) => self.try_promotion(promotion),
                Waiting::Diskless(volume) => self.await_diskless(ticket, volume),
            }
        }
    }

    /// A job goes on with the peer's answer.
    pub(crate) fn resume_job(&mut self, job: Job, outcome: StateOutcome) {
        match job {
            Job::Promote(promotion) => self.promotion_answered(promotion, outcome),
            Job::Detach { ticket, volume } => self.detach_answered(ticket, volume, outcome),
            Job::Disconnect { ticket, step } => self.disconnect_answered(ticket, step, outcome),
            Job::Plain { ticket } => self.reply(ticket, Outcome::State(outcome)),
        }
    }

    // --- objects

    fn new_volume(&mut self, nr: VolumeNr, minor: Minor) -> Outcome {
        if let Some(v) = self.index(nr) {
            return if self.volumes[v].minor == minor {
                Outcome::Done
            } else {
                Outcome::Refused(Refusal::MinorOrVolumeExists)
            };
        }
        let at = self.volumes.partition_point(|volume| volume.nr < nr);
        let mut volume = Volume::new(nr, minor);
        volume.state.conn = self.conn.state.min(ConnState::WfConnection);
        if let Some(first) = self.volumes.first() {
            volume.state.susp = first.state.susp;
        }
        self.volumes.insert(at, volume);
        self.outbox.push(Effect::Changed);
        Outcome::Done
    }

    fn delete_volume(&mut self, v: usize) -> Outcome {
        let state = self.state(v);
        if state.disk != DiskState::Diskless || state.role != Role::Secondary {
            return Outcome::Refused(Refusal::MinorConfigured);
        }
        self.volumes.remove(v);
        self.outbox.push(Effect::Changed);
        Outcome::Done
    }

    fn delete_resource(&self) -> Outcome {
        if self.conn.state != ConnState::StandAlone {
            Outcome::Refused(Refusal::NetConfigured)
        } else if !self.volumes.is_empty() {
            Outcome::Refused(Refusal::ResourceInUse)
        } else {
            Outcome::Done
        }
    }

    // --- connection

    fn connect(&mut self, ticket: Ticket, options: &NetConf, once: ConnectOnce) {
        if self.conn.state > ConnState::StandAlone {
            return self.reply(ticket, Outcome::Refused(Refusal::NetConfigured));
        }
        if let Some(refusal) = self.net_conf_refusal(options, once) {
            return self.reply(ticket, Outcome::Refused(refusal));
        }
        self.conn.net = Some(options.clone());
        self.conn.once = once;
        for volume in &mut self.volumes {
            volume.counters.net_send = Default::default();
            volume.counters.net_receive = Default::default();
        }
        let mask = StateMask {
            conn: Some(ConnState::Unconnected),
            ..StateMask::NOTHING
        };
        let outcome = self.change_connection(mask, Check::Soft);
        if outcome.is_success() {
            self.run_worker();
            self.open_link(LinkDelay::None);
        } else {
            self.conn.net = None;
        }
        self.reply(ticket, Outcome::State(outcome));
    }

    fn net_conf_refusal(&self, options: &NetConf, once: ConnectOnce) -> Option<Refusal> {
        let both_primary = |volume: &Volume<B>| {
            volume.state.role == Role::Primary && volume.state.peer == Role::Primary
        };
        if options.two_primaries == TwoPrimaries::Refused && self.volumes.iter().any(both_primary) {
            return Some(Refusal::NeedAllowTwoPrimaries);
        }
        if options.two_primaries == TwoPrimaries::Allowed && options.protocol != Protocol::C {
            return Some(Refusal::NotProtocolC);
        }
        for volume in &self.volumes {
            let fencing = volume.disk.as_ref().map(|disk| disk.conf.fencing);
            if options.protocol == Protocol::A && fencing == Some(Fencing::ResourceAndStonith) {
                return Some(Refusal::StonithAndProtocolA);
            }
            if volume.state.role == Role::Primary && once.contains(ConnectOnce::DISCARD_MY_DATA) {
                return Some(Refusal::DiscardWhilePrimary);
            }
        }
        None
    }

    fn net_options(&mut self, options: &NetConf) -> Outcome {
        if self.conn.net.is_none() {
            return Outcome::Refused(Refusal::InvalidRequest);
        }
        if let Some(refusal) = self.net_conf_refusal(options, ConnectOnce::empty()) {
            return Outcome::Refused(refusal);
        }
        self.conn.net = Some(options.clone());
        if self.conn.state >= ConnState::WfReportParams {
            self.send_protocol_update();
            for v in 0..self.volumes.len() {
                self.send_sync_param(v);
            }
        }
        Outcome::Done
    }

    pub(crate) fn disconnect(&mut self, ticket: Ticket, force: Force, step: DisconnectStep) {
        if self.conn.state == ConnState::StandAlone {
            return self.reply(ticket, Outcome::Done);
        }
        if force == Force::Yes {
            self.leave(ConnState::Disconnecting, StateMask::NOTHING, Check::Hard);
            return self.reply(ticket, Outcome::Done);
        }
        let mask = StateMask {
            conn: Some(ConnState::Disconnecting),
            ..step.extra()
        };
        let asked = self.request_connection_change(mask, Job::Disconnect { ticket, step });
        if let Asked::Done(outcome) = asked {
            self.disconnect_answered(ticket, step, outcome);
        }
    }

    fn disconnect_answered(&mut self, ticket: Ticket, step: DisconnectStep, outcome: StateOutcome) {
        match (outcome, step) {
            (o, _) if o.is_success() => {
                self.close_link();
                self.reply(ticket, Outcome::Done);
            }
            (StateOutcome::AlreadyStandalone, _) => self.reply(ticket, Outcome::Done),
            (StateOutcome::PrimaryNop, DisconnectStep::Plain) => {
                self.disconnect(ticket, Force::No, DisconnectStep::OutdatePeer);
            }
            (StateOutcome::OutdateWithoutConnection, DisconnectStep::OutdatePeer) => {
                self.disconnect(ticket, Force::No, DisconnectStep::Plain);
            }
            (StateOutcome::CwFailedByPeer, DisconnectStep::Plain | DisconnectStep::OutdatePeer) => {
                let next = if self.conn.state <= ConnState::WfConnection {
                    DisconnectStep::Plain
                } else {
                    DisconnectStep::OutdateSelf
                };
                self.disconnect(ticket, Force::No, next);
            }
            (
                StateOutcome::IsDiskless | StateOutcome::LowerThanOutdated,
                DisconnectStep::OutdateSelf,
            ) => {
                self.disconnect(ticket, Force::Yes, step);
            }
            (StateOutcome::InTransientState, _) => {
                self.wait(
                    ticket,
                    Waiting::Request(Admin::Disconnect { force: Force::No }),
                );
            }
            (other, _) => self.reply(ticket, Outcome::State(other)),
        }
    }

    // --- small changes

    fn demote(&mut self, ticket: Ticket, v: usize, held: HeldOpen) {
        if held == HeldOpen::Busy && self.state(v).role == Role::Primary {
            return self.reply(ticket, Outcome::State(StateOutcome::DeviceInUse));
        }
        let busy = self.volumes[v].counters.application > 0;
        let mask = StateMask {
            role: Some(Role::Secondary),
            ..StateMask::NOTHING
        };
        let request = Admin::Secondary {
            volume: self.volumes[v].nr,
            held,
        };
        if busy && self.state(v).role == Role::Primary {
            // Requests that are still on their way belong to an open device.
            return self.reply(ticket, Outcome::State(StateOutcome::DeviceInUse));
        }
        if !self.conn.log.is_empty() && self.state(v).role == Role::Primary {
            // Protocols A and B: what was promised has to be safe on the peer, too. If the
            // connection breaks meanwhile, only a Primary begins a new data generation.
            self.close_epoch();
            return self.wait(ticket, Waiting::Request(request));
        }
        let outcome = self.change(v, mask, Check::Soft);
        match outcome {
            StateOutcome::InTransientState => self.wait(ticket, Waiting::Request(request)),
            StateOutcome::Success => {
                self.demoted(v);
                self.reply(ticket, Outcome::State(outcome));
            }
            other => self.reply(ticket, Outcome::State(other)),
        }
    }

    fn invalidate(&mut self, ticket: Ticket, v: usize) {
        let state = self.state(v);
        if self.volumes[v].disk.is_none() {
            return self.reply(ticket, Outcome::Refused(Refusal::NoDisk));
        }
        if state.conn == ConnState::StandAlone && state.role == Role::Secondary {
            let mask = StateMask {
                disk: Some(DiskState::Inconsistent),
                ..StateMask::NOTHING
            };
            let outcome = self.change(v, mask, Check::Soft);
            if outcome.is_success() {
                self.set_all_out_of_sync(v);
            }
            return self.reply(ticket, Outcome::State(outcome));
        }
        self.start_full_sync(
            ticket,
            v,
            ConnState::StartingSyncT,
            Admin::Invalidate {
                volume: self.volumes[v].nr,
            },
        );
    }

    fn invalidate_remote(&mut self, ticket: Ticket, v: usize) {
        let state = self.state(v);
        if self.volumes[v].disk.is_none() {
            return self.reply(ticket, Outcome::Refused(Refusal::NoDisk));
        }
        if state.conn == ConnState::StandAlone && state.role == Role::Primary {
            let mask = StateMask {
                pdsk: Some(DiskState::Inconsistent),
                ..StateMask::NOTHING
            };
            let outcome = self.change(v, mask, Check::Soft);
            if outcome.is_success() {
                self.set_all_out_of_sync(v);
                self.volumes[v].marks |= Mark::AL_SUSPENDED;
            }
            return self.reply(ticket, Outcome::State(outcome));
        }
        let request = Admin::InvalidateRemote {
            volume: self.volumes[v].nr,
        };
        self.start_full_sync(ticket, v, ConnState::StartingSyncS, request);
    }

    fn start_full_sync(&mut self, ticket: Ticket, v: usize, conn: ConnState, request: Admin) {
        let mask = StateMask {
            conn: Some(conn),
            ..StateMask::NOTHING
        };
        match self.request_change(v, mask, Check::Soft, Job::Plain { ticket }) {
            Asked::Waiting => {}
            Asked::Done(StateOutcome::InTransientState) => {
                self.wait(ticket, Waiting::Request(request))
            }
            Asked::Done(outcome) => self.reply(ticket, Outcome::State(outcome)),
        }
    }

    fn pause_sync(&mut self, v: usize) -> Outcome {
        let mask = StateMask {
            user_isp: Some(true),
            ..StateMask::NOTHING
        };
        match self.change(v, mask, Check::Soft) {
            StateOutcome::NothingToDo => Outcome::Refused(Refusal::PauseAlreadySet),
            _ => Outcome::Done,
        }
    }

    fn resume_sync(&mut self, v: usize) -> Outcome {
        let mask = StateMask {
            user_isp: Some(false),
            ..StateMask::NOTHING
        };
        if self.change(v, mask, Check::Soft) != StateOutcome::NothingToDo {
            return Outcome::Done;
        }
        let state = self.state(v);
        let paused = matches!(state.conn, ConnState::PausedSyncS | ConnState::PausedSyncT);
        Outcome::Refused(match (paused, state.aftr_isp, state.peer_isp) {
            (true, true, _) => Refusal::PauseByDependency,
            (true, false, true) => Refusal::PauseByPeer,
            _ => Refusal::PauseAlreadyClear,
        })
    }

    fn suspend_io(&mut self, v: usize) -> Outcome {
        let outcome = self.change(
            v,
            StateMask {
                susp: Some(true),
                ..StateMask::NOTHING
            },
            Check::Soft,
        );
        Outcome::State(outcome)
    }

    fn resume_io(&mut self, v: usize) -> Outcome {
        if self.volumes[v].marks.contains(Mark::NEW_CUR_UUID) {
            self.volumes[v].marks.remove(Mark::NEW_CUR_UUID);
            self.new_generation(v);
        }
        let mask = StateMask {
            susp: Some(false),
            susp_nod: Some(false),
            susp_fen: Some(false),
            ..StateMask::NOTHING
        };
        let outcome = self.change(v, mask, Check::Soft);
        if outcome == StateOutcome::Success {
            if self.state(v).conn < ConnState::Connected {
                self.clear_transfer_log();
            }
            self.release_held();
        }
        Outcome::State(outcome)
    }

    /// Suspension belongs to the resource: every volume shows it.
    pub(crate) fn mirror_suspension(&mut self, v: usize) {
        let from = self.state(v);
        for volume in &mut self.volumes {
            volume.state.susp = from.susp;
            volume.state.susp_nod = from.susp_nod;
            volume.state.susp_fen = from.susp_fen;
        }
    }

    fn disk_options(&mut self, ticket: Ticket, v: usize, options: DiskConf) {
        let Some(disk) = self.volumes[v].disk.as_ref() else {
            return self.reply(ticket, Outcome::Refused(Refusal::NoDisk));
        };
        let old = disk.conf;
        let al_extents = options.al_extents.clamp(67, disk.al_slots_max.max(67));
        if al_extents != old.al_extents && self.resize_activity_log(v, al_extents) == Resized::InUse
        {
            let info = Self::info("Try again without changing current al-extents setting");
            return self.reply_with(ticket, Outcome::Refused(Refusal::OutOfMemory), info);
        }
        if let Some(disk) = self.volumes[v].disk.as_mut() {
            let c_plan_ahead = options.c_plan_ahead.min(300);
            disk.conf = DiskConf {
                al_extents,
                size: old.size,
                c_plan_ahead,
                ..options
            };
        }
        if self.state(v).conn >= ConnState::Connected {
            self.send_sync_param(v);
        }
        self.reply(ticket, Outcome::Done);
    }

    fn new_current_uuid(&mut self, ticket: Ticket, v: usize, bitmap: ClearBitmap) {
        let Some(disk) = self.volumes[v].disk.as_ref() else {
            return self.reply(ticket, Outcome::Refused(Refusal::NoDisk));
        };
        let just_created = disk.uuids.current == drbd_types::uuid::JUST_CREATED;
        let conn = self.state(v).conn;
        if conn == ConnState::Connected && just_created && bitmap == ClearBitmap::Clear {
            if !self.volumes[v].marks.contains(Mark::PEER_SETTLED) {
                // A state packet from before would make the peer's disk Inconsistent again.
                let volume = self.volumes[v].nr;
                let again = Admin::NewCurrentUuid { volume, bitmap };
                return self.wait(ticket, Waiting::Request(again));
            }
            self.skip_initial_sync(v);
        } else if conn == ConnState::StandAlone {
            self.rotate_to_new_generation(v, bitmap);
        } else {
            return self.reply(ticket, Outcome::Refused(Refusal::Connected));
        }
        self.reply(ticket, Outcome::Done);
    }

    pub(crate) fn info(text: &str) -> Vec<String> {
        text.lines().map(String::from).collect()
    }
}

impl DisconnectStep {
    fn extra(self) -> StateMask {
        match self {
            Self::Plain => StateMask::NOTHING,
            Self::OutdatePeer => StateMask {
                pdsk: Some(DiskState::Outdated),
                ..StateMask::NOTHING
            },
            Self::OutdateSelf => StateMask {
                disk: Some(DiskState::Outdated),
                ..StateMask::NOTHING
            },
        }
    }
}
