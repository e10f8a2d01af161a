//! What the peer reports about a volume: sizes, UUIDs, state; and the sync handshake that
//! follows (spec 60 sections 2.5 to 2.10 and 5.3).

use alloc::string::String;

use drbd_types::{ConnState, DiskState, Role, SectorCount, State, StateMask, UuidFlags, uuid};
use drbd_wire::{ReportSizes, ReportUuids, SizesFlags, StateWord};

use crate::change::Check;
use crate::effect::{HelperSubject, Level};
use crate::handshake::{self, Abort, Demotion, Step, Verdict};
use crate::input::{ConnectOnce, Payload};
use crate::machine::{Dirty, HelperPurpose, Resource};
use crate::receive::{Broken, Malformed};
use crate::size::{self, DisklessSize, ReportedSizes, SizeInputs};
use crate::split_brain::Policies;
use crate::state_rules::CrashedPrimary;
use crate::uuid_rules::{Context, Correction, PeerReport};
use crate::volume::Mark;

impl<B: Payload> Resource<B> {
    // --- sizes

    /// P_SIZES.
    pub(crate) fn receive_sizes(&mut self, v: usize, peer: &ReportSizes) -> Result<(), Broken> {
        self.volumes[v].peer_capacity = peer.disk;
        let old = self.volumes[v].size;
        let own_disk =
            self.volumes[v].disk.is_some() && self.state(v).disk >= DiskState::Negotiating;
        if own_disk {
            self.size_with_disk(v, peer)?;
        } else {
            self.size_without_disk(v, peer)?;
        }
        let new = self.volumes[v].size;
        if let Some(disk) = self.volumes[v].disk.as_mut()
            && disk.peer_max_bio != peer.max_bio.0
        {
            disk.peer_max_bio = peer.max_bio.0;
            self.volumes[v].marks |= Mark::MD_DIRTY;
        }
        if self.state(v).conn > ConnState::WfReportParams && peer.current != new {
            self.send_sizes(v, peer.flags);
        }
        if new > old && old.0 != 0 && own_disk {
            self.device_grew(v, peer.flags);
        }
        self.sync_superblock(v);
        Ok(())
    }

    fn size_with_disk(&mut self, v: usize, peer: &ReportSizes) -> Result<(), Broken> {
        let state = self.state(v);
        let Some(disk) = &self.volumes[v].disk else {
            return Ok(());
        };
        let own = disk.capacity.min(disk.bitmap_capacity);
        let own_user = disk.conf.size;
        let user = if state.conn <= ConnState::WfReportParams {
            size::user_size_of_pair(own_user, peer.user)
        } else {
            peer.user
        };
        let inputs = SizeInputs {
            own,
            peer: peer.disk,
            last_agreed: disk.last_agreed,
            user,
        };
        self.compare_sizes(v, "lower level device sizes", own, peer.disk);
        self.compare_sizes(v, "user requested size", own_user, peer.user);
        let new = size::effective(&inputs);
        let current = self.volumes[v].size;
        if size::truncates_data(&state, current, new) {
            let text =
                alloc::format!("The peer's disk size is too small! ({new} < {current} sectors)");
            self.log_volume(v, Level::Error, text);
            return Err(Broken::Fatal);
        }
        if user != own_user {
            if let Some(disk) = self.volumes[v].disk.as_mut() {
                disk.conf.size = user;
            }
            let text = alloc::format!("Peer sets u_size to {user} sectors (old: {own_user})");
            self.log_volume(v, Level::Info, text);
        }
        if let Some(text) = size::complaint(&inputs) {
            self.log_volume(v, Level::Error, text);
        }
        if new != current && new.0 != 0 {
            self.resize_device(v, new);
        }
        Ok(())
    }

    fn compare_sizes(&mut self, v: usize, what: &str, own: SectorCount, peer: SectorCount) {
        if size::considerably_different(own, peer) {
            let text = alloc::format!("Considerable difference in {what}: {own}s vs. {peer}s");
            self.log_volume(v, Level::Warning, text);
        }
    }

    fn resize_device(&mut self, v: usize, new: SectorCount) {
        if let Some(disk) = self.volumes[v].disk.as_mut() {
            disk.bitmap.resize(new);
            disk.last_agreed = new;
        }
        self.take_size(v, new);
        self.initialise_meta_data(v);
    }

    fn size_without_disk(&mut self, v: usize, peer: &ReportSizes) -> Result<(), Broken> {
        let current = self.volumes[v].size;
        let reported = ReportedSizes {
            disk: peer.disk,
            user: peer.user,
            current: peer.current,
        };
        match size::without_disk(self.state(v).role, current, &reported) {
            DisklessSize::Keep => {}
            DisklessSize::IgnorePeer(new) => {
                let text = alloc::format!(
                    "Ignored diskless peer device size (peer:{new} != me:{current} sectors)!"
                );
                self.log_volume(v, Level::Warning, text);
            }
            DisklessSize::TooSmall(new) => {
                let text = alloc::format!(
                    "The peer's device size is too small! ({new} < {current} sectors); demote me first!"
                );
                self.log_volume(v, Level::Error, text);
                return Err(Broken::Fatal);
            }
            DisklessSize::Adopt(new) => self.take_size(v, new),
        }
        Ok(())
    }

    /// New storage is out of sync until it is resynced, unless the administrator vouches for it.
    fn device_grew(&mut self, v: usize, flags: SizesFlags) {
        let state = self.state(v);
        if state.conn == ConnState::Connected
            && state.disk >= DiskState::Inconsistent
            && state.pdsk >= DiskState::Inconsistent
        {
            if flags.contains(SizesFlags::NO_RESYNC) {
                self.log_volume(
                    v,
                    Level::Info,
                    "Resync of new storage suppressed with --assume-clean",
                );
            } else {
                self.resync_after_grow(v);
            }
        } else {
            self.volumes[v].marks |= Mark::RESYNC_AFTER_NEG;
        }
    }

    // --- UUIDs

    /// P_UUIDS.
    pub(crate) fn receive_uuids(&mut self, v: usize, report: &ReportUuids) -> Result<(), Broken> {
        let peer = PeerReport {
            uuids: report.uuids,
            bits: report.bits_set,
            flags: report.flags,
        };
        self.volumes[v].peer_uuids = Some(peer);
        let state = self.state(v);
        let exposed = self.volumes[v].exposed_uuid;
        if (state.conn < ConnState::Connected || state.pdsk == DiskState::Diskless)
            && state.disk < DiskState::Inconsistent
            && state.role == Role::Primary
            && !exposed.same_generation(peer.uuids.current)
        {
            let text = alloc::format!("Can only connect to data with current UUID={exposed}");
            self.log_volume(v, Level::Error, text);
            return Err(Broken::Fatal);
        }
        if state.conn == ConnState::Connected
            && self.own_current(v) == uuid::JUST_CREATED
            && report.flags.contains(UuidFlags::SKIP_INITIAL_SYNC)
        {
            self.accept_skip_initial_sync(v, peer);
        } else if state.disk < DiskState::Inconsistent
            && (state.role == Role::Primary || state.conn >= ConnState::Connected)
        {
            self.expose(v, peer);
        }
        Ok(())
    }

    fn expose(&mut self, v: usize, peer: PeerReport) {
        if self.volumes[v].exposed_uuid != peer.uuids.current {
            self.volumes[v].exposed_uuid = peer.uuids.current;
            let text = alloc::format!(
                "receiver updated UUIDs to effective data uuid: {}",
                peer.uuids.current
            );
            self.log_volume(v, Level::Info, text);
        }
    }

    fn accept_skip_initial_sync(&mut self, v: usize, peer: PeerReport) {
        if let Some(peer) = self.volumes[v].peer_uuids.as_mut() {
            // The peer clears it after the report.
            peer.uuids.bitmap = drbd_types::Uuid::EMPTY;
        }
        self.log_volume(
            v,
            Level::Info,
            "Accepted new current UUID, preparing to skip initial sync",
        );
        self.accept_skipped_sync(v);
        let role = self.state(v).role;
        if let Some(disk) = self.volumes[v].disk.as_mut() {
            disk.uuids.current = peer.uuids.current.with_role(role);
            disk.uuids.bitmap = drbd_types::Uuid::EMPTY;
            let text = alloc::format!("receiver updated UUIDs to {}", disk.uuids);
            self.volumes[v].marks |= Mark::MD_DIRTY;
            self.both_up_to_date(v);
            self.log_volume(v, Level::Info, text);
        }
    }

    fn own_current(&self, v: usize) -> drbd_types::Uuid {
        self.volumes[v]
            .disk
            .as_ref()
            .map_or_else(Default::default, |disk| disk.uuids.current)
    }

    // --- state

    /// P_STATE (spec 60 section 2.10).
    pub(crate) fn receive_state(&mut self, v: usize, word: StateWord) -> Result<(), Broken> {
        let Some(peer) = word.unpack() else {
            return Err(Malformed(alloc::format!("impossible state 0x{:08x}", word.0)).into());
        };
        let own = self.state(v);
        if own.conn <= ConnState::TearDown {
            return Err(Broken::Lost(
                ConnState::ProtocolError,
                String::from("state packet while tearing down"),
            ));
        }
        let flags = self.volumes[v]
            .peer_uuids
            .map(|peer| peer.flags)
            .unwrap_or_default();
        let mut peer_disk = handshake::real_peer_disk(peer.disk, flags);
        if peer.disk == DiskState::Negotiating {
            let text = alloc::format!("real peer disk state = {peer_disk}");
            self.log_volume(v, Level::Info, text);
        }
        match self.end_of_sync(v, own, peer, peer_disk) {
            EndOfSync::Handled => return Ok(()),
            EndOfSync::StillInconsistent => peer_disk = DiskState::Inconsistent,
            EndOfSync::NotThat => {}
        }
        if own.pdsk == DiskState::UpToDate
            && peer_disk == DiskState::Inconsistent
            && own.conn == ConnState::Connected
            && peer.conn > ConnState::SyncSource
        {
            peer_disk = DiskState::UpToDate;
        }
        let mut conn = own.conn;
        if conn == ConnState::WfReportParams {
            conn = ConnState::Connected;
        }
        if peer.conn == ConnState::Ahead {
            conn = ConnState::Behind;
        }
        let mut postponed = None;
        if self.handshake_due(v, own, peer, peer_disk) {
            self.volumes[v].marks.remove(Mark::CONSIDER_RESYNC);
            match self.sync_handshake(v, peer) {
                Verdict::Connected => conn = ConnState::Connected,
                Verdict::BecomeSource(extent) => {
                    self.prepare_extent(v, extent);
                    conn = ConnState::WfBitMapS;
                }
                Verdict::BecomeTarget(extent) => {
                    self.prepare_extent(v, extent);
                    conn = ConnState::WfBitMapT;
                }
                Verdict::Abort(Abort::FailOwnDisk) => {
                    let mask = StateMask {
                        disk: Some(DiskState::Failed),
                        ..StateMask::NOTHING
                    };
                    self.change(v, mask, Check::Hard);
                }
                Verdict::Abort(Abort::PeerDiskless) => peer_disk = DiskState::Diskless,
                Verdict::Abort(Abort::Retry) => {
                    return Err(Broken::Lost(
                        ConnState::ProtocolError,
                        String::from("dry-run connect"),
                    ));
                }
                Verdict::Abort(Abort::Disconnect) | Verdict::Demote => return Err(Broken::Fatal),
            }
            if matches!(conn, ConnState::Connected | ConnState::WfBitMapS) {
                postponed = self.volumes[v].postponed;
            }
        } else if own.disk == DiskState::Negotiating
            // A peer with data is compared with first; a state packet may come before its UUIDs.
            && peer_disk < DiskState::Negotiating
            && matches!(conn, ConnState::Connected | ConnState::WfBitMapS)
        {
            postponed = self.volumes[v].postponed;
        }
        self.adopt_peer_state(v, own, peer, peer_disk, conn, postponed)
    }

    fn end_of_sync(
        &mut self,
        v: usize,
        own: State,
        peer: State,
        peer_disk: DiskState,
    ) -> EndOfSync {
        let waiting = matches!(own.pdsk, DiskState::Inconsistent | DiskState::Consistent)
            && peer_disk == DiskState::UpToDate
            && own.conn > ConnState::Connected
            && own.disk == DiskState::UpToDate;
        if !waiting {
            return EndOfSync::NotThat;
        }
        if peer.conn > ConnState::Connected && peer.conn < ConnState::SyncSource {
            return EndOfSync::StillInconsistent;
        }
        if own.conn >= ConnState::SyncSource && peer.conn == ConnState::Connected {
            self.peer_finished_resync(v);
            return EndOfSync::Handled;
        }
        EndOfSync::NotThat
    }

    /// Spec 60 section 2.6.
    fn handshake_due(&self, v: usize, own: State, peer: State, peer_disk: DiskState) -> bool {
        let volume = &self.volumes[v];
        if volume.peer_uuids.is_none()
            || peer_disk < DiskState::Negotiating
            || own.disk < DiskState::Negotiating
        {
            return false;
        }
        let attaching = peer.disk == DiskState::Negotiating || own.disk == DiskState::Negotiating;
        own.conn < ConnState::Connected
            || (own.conn == ConnState::Connected && attaching)
            || volume.marks.contains(Mark::CONSIDER_RESYNC)
            || self.becomes_considered(own, peer)
            || (own.conn == ConnState::Connected
                && peer.conn >= ConnState::StartingSyncS
                && peer.conn <= ConnState::WfBitMapT)
    }

    /// Both Inconsistent and the peer was just forced to Primary: compare generations now.
    fn becomes_considered(&self, own: State, peer: State) -> bool {
        own.conn == ConnState::Connected
            && own.disk == DiskState::Inconsistent
            && own.pdsk == DiskState::Inconsistent
            && own.peer == Role::Secondary
            && peer.role == Role::Primary
    }

    /// Takes over what the peer says about itself.
    fn adopt_peer_state(
        &mut self,
        v: usize,
        own: State,
        peer: State,
        peer_disk: DiskState,
        conn: ConnState,
        postponed: Option<(DiskState, DiskState)>,
    ) -> Result<(), Broken> {
        let new_connection = own.conn < ConnState::Connected;
        if peer_disk == DiskState::Consistent
            && own.suspended()
            && new_connection
            && self.volumes[v].marks.contains(Mark::NEW_CUR_UUID)
        {
            return Err(self.refuse_thaw(v));
        }
        let mask = StateMask {
            peer: Some(peer.role),
            conn: Some(conn),
            disk: postponed.map(|(disk, _)| disk),
            pdsk: Some(peer_disk),
            peer_isp: Some(peer.aftr_isp || peer.user_isp),
            ..StateMask::NOTHING
        };
        if postponed.is_some() || conn > ConnState::Connected {
            self.volumes[v].postponed = None;
        }
        let check = if new_connection {
            Check::Soft
        } else {
            Check::Hard
        };
        let outcome = self.change(v, mask, check);
        if !outcome.is_success() {
            return Err(Broken::Fatal);
        }
        let now = self.state(v);
        if !new_connection
            && own.conn <= ConnState::Connected
            && now.conn > ConnState::Connected
            && peer.conn <= ConnState::Connected
            && peer.disk != DiskState::Negotiating
        {
            // The peer compares only when it sees this state; the bitmap must not come first.
            self.send_uuids(v, UuidFlags::empty());
            self.send_state(v);
        }
        self.volumes[v].marks |= Mark::HANDSHAKE_DONE;
        if peer.conn >= ConnState::Connected && !self.volumes[v].marks.contains(Mark::PEER_SETTLED)
        {
            self.volumes[v].marks |= Mark::PEER_SETTLED;
            self.state_changed = Dirty::Yes;
        }
        self.conn.once.remove(ConnectOnce::DISCARD_MY_DATA);
        self.sync_superblock(v);
        Ok(())
    }

    /// A peer that was rebooted cannot take the frozen writes.
    fn refuse_thaw(&mut self, v: usize) -> Broken {
        self.log_volume(
            v,
            Level::Error,
            "Aborting Connect, can not thaw IO with an only Consistent peer",
        );
        self.clear_transfer_log();
        self.take_owed_generation(v);
        let mask = StateMask {
            susp: Some(false),
            susp_fen: Some(false),
            ..StateMask::NOTHING
        };
        self.change(v, mask, Check::Hard);
        self.release_held();
        Broken::Lost(ConnState::ProtocolError, String::new())
    }

    // --- handshake

    /// Compares generations with the peer and carries out what the comparison asks for.
    fn sync_handshake(&mut self, v: usize, peer: State) -> Verdict {
        let Some(inputs) = self.handshake_inputs(v, peer) else {
            return Verdict::Abort(Abort::Disconnect);
        };
        let mut decision = handshake::decide(&inputs);
        self.carry_out(v, core::mem::take(&mut decision.steps));
        if decision.verdict == Verdict::Demote {
            // During the exchange of states no other change is possible, a demotion neither
            // (spec 60 section 2.9).
            decision.verdict = {
                let rest = handshake::decide_after_demotion(&inputs, Demotion::Refused);
                self.carry_out(v, rest.steps);
                rest.verdict
            };
        }
        match decision.correction {
            Some(Correction::Own(set)) => {
                if let Some(disk) = self.volumes[v].disk.as_mut() {
                    disk.uuids = set;
                    self.volumes[v].marks |= Mark::MD_DIRTY;
                }
            }
            Some(Correction::Peer(set)) => {
                if let Some(peer) = self.volumes[v].peer_uuids.as_mut() {
                    peer.uuids = set;
                }
            }
            None => {}
        }
        decision.verdict
    }

    fn carry_out(&mut self, v: usize, steps: alloc::vec::Vec<Step>) {
        let minor = self.volumes[v].minor;
        for step in steps {
            match step {
                Step::Log(level, text) => self.log_volume(v, level, text),
                Step::Helper(event) => {
                    self.run_helper(HelperPurpose::Notify, event, HelperSubject::Minor(minor))
                }
            }
        }
    }

    fn handshake_inputs(&self, v: usize, peer: State) -> Option<handshake::Inputs> {
        let volume = &self.volumes[v];
        let net = self.conn.net.as_ref()?;
        let disk = volume.disk.as_ref()?;
        Some(handshake::Inputs {
            uuids: disk.uuids,
            bits_told: volume.bits_told,
            bits_set: disk.bitmap.weight(),
            peer: volume.peer_uuids?,
            context: Context {
                crashed_primary: CrashedPrimary::from(volume.marks.contains(Mark::CRASHED_PRIMARY)),
                role: volume.state.role,
                peer_role: peer.role,
                agreed: self.conn.agreed()?,
                tie: self.conn.tie(),
            },
            disk: volume.state.disk,
            postponed_disk: volume.postponed.map(|(disk, _)| disk),
            peer_disk: peer.disk,
            policies: Policies {
                without_primary: net.after_sb_0pri,
                with_one: net.after_sb_1pri,
                with_two: net.after_sb_2pri,
            },
            always_asbp: net.always_asbp,
            rr_conflict: net.rr_conflict,
            once: self.conn.once,
            peer_once: self
                .conn
                .link
                .as_ref()
                .map_or(ConnectOnce::empty(), |link| link.peer_once),
        })
    }
}

/// What the end-of-sync filter says of a state packet.
enum EndOfSync {
    NotThat,
    StillInconsistent,
    Handled,
}
