//! What follows a state change, in the order of spec 60 section 1.10. Each action sees the pair
//! of states of its own change.

use drbd_types::{ConnState, DiskState, Role, State, StateMask, UuidFlags, VolumeNr};
use drbd_wire::SizesFlags;

use crate::change::Check;
use crate::effect::{Effect, HelperSubject};
use crate::input::Payload;
use crate::machine::{HelperPurpose, Resource};
use crate::volume::Mark;

/// A change whose actions are due.
pub(crate) struct AfterChange {
    pub(crate) volume: VolumeNr,
    pub(crate) old: State,
    pub(crate) new: State,
}

impl<B: Payload> Resource<B> {
    /// Carries out what is queued. Actions may change states and so queue more.
    pub(crate) fn run_worker(&mut self) {
        while let Some(AfterChange { volume, old, new }) = self.worker.pop_front() {
            if let Some(v) = self.index(volume) {
                self.after_change(v, old, new);
            }
        }
    }

    fn after_change(&mut self, v: usize, old: State, new: State) {
        if new.disk == DiskState::UpToDate
            && new.pdsk == DiskState::UpToDate
            && (old.disk != DiskState::UpToDate || old.pdsk != DiskState::UpToDate)
        {
            self.volumes[v].marks.remove(Mark::CRASHED_PRIMARY);
            if let Some(peer) = self.volumes[v].peer_uuids.as_mut() {
                peer.flags.remove(UuidFlags::CRASHED_PRIMARY);
            }
        }
        if lost_all_data(new) && !lost_all_data(old) {
            let minor = self.volumes[v].minor;
            self.run_helper(
                HelperPurpose::Notify,
                "pri-on-incon-degr",
                HelperSubject::Minor(minor),
            );
        }
        self.thaw_after_attach(v, old, new);
        self.thaw_after_reconnect(old, new);
        if entered(old, new, &[ConnState::SyncSource, ConnState::PausedSyncS])
            && old.conn < ConnState::SyncSource
        {
            self.send_sync_uuid(v);
        }
        if old.pdsk == DiskState::Diskless
            && new.pdsk > DiskState::Diskless
            && new.pdsk != DiskState::DUnknown
        {
            self.send_uuids(v, UuidFlags::empty());
            self.send_state(v);
        }
        if entered(old, new, &[ConnState::WfBitMapS]) && self.state(v).conn == ConnState::WfBitMapS
        {
            self.begin_bitmap_transfer(v);
        }
        self.note_lost_peer_data(v, old, new);
        if old.role == Role::Primary
            && new.role == Role::Secondary
            && self.state(v).conn <= ConnState::Connected
        {
            self.write_dirty_bitmap(v);
            self.log_out_of_sync(v);
        }
        self.report_changes(v, old, new);
        if entered(
            old,
            new,
            &[ConnState::StartingSyncT, ConnState::StartingSyncS],
        ) {
            self.prepare_full_sync(v);
        }
        self.after_disk_change(v, old, new);
        self.after_sync_change(v, old, new);
        self.sync_superblock(v);
    }

    /// The disk is back: I/O frozen for lack of data goes on.
    fn thaw_after_attach(&mut self, v: usize, old: State, new: State) {
        let attached = matches!(old.disk, DiskState::Attaching | DiskState::Negotiating)
            && new.disk == DiskState::UpToDate;
        let complete = self
            .volumes
            .iter()
            .all(|volume| volume.state.disk == DiskState::UpToDate);
        if self.state(v).susp_nod && attached && complete {
            self.thaw();
        }
    }

    /// The peer is back: it gets what was held back for it. Whatever the reason of the suspension
    /// was, the peer's data must not lack a write that may still be completed.
    fn thaw_after_reconnect(&mut self, old: State, new: State) {
        let connected = old.conn < ConnState::Connected && new.conn >= ConnState::Connected;
        let complete = self
            .volumes
            .iter()
            .all(|volume| volume.state.conn >= ConnState::Connected);
        let suspended = self.volumes.iter().any(|volume| volume.state.suspended());
        if !(connected && complete && suspended) {
            return;
        }
        for volume in &mut self.volumes {
            volume.marks.remove(Mark::NEW_CUR_UUID);
        }
        self.resend_transfer_log();
        self.thaw();
    }

    /// Ends every suspension that is not the administrator's.
    fn thaw(&mut self) {
        let mask = StateMask {
            susp_nod: Some(false),
            susp_fen: Some(false),
            ..StateMask::NOTHING
        };
        self.change_connection(mask, Check::Hard);
        self.release_held();
    }

    /// A Primary goes on without the peer's data: from now on the generations differ.
    fn note_lost_peer_data(&mut self, v: usize, old: State, new: State) {
        let had = old.pdsk >= DiskState::Inconsistent
            && !matches!(old.pdsk, DiskState::DUnknown | DiskState::Outdated);
        let has_not = new.pdsk < DiskState::Inconsistent
            || matches!(new.pdsk, DiskState::DUnknown | DiskState::Outdated);
        let confirmed = old.pdsk == DiskState::DUnknown
            && matches!(
                new.pdsk,
                DiskState::Diskless | DiskState::Failed | DiskState::Outdated
            );
        if had && matches!(new.pdsk, DiskState::Diskless | DiskState::Failed) {
            self.distrust_unstable_writes(v);
        }
        // A Primary that comes back without its disk will write to this one only.
        let owes = self.owes_generation_before(v, old) || confirmed && self.owes_generation(v);
        if ((had && has_not) || confirmed) && owes {
            if self.state(v).suspended() {
                self.volumes[v].marks |= Mark::NEW_CUR_UUID;
            } else {
                self.new_generation(v);
                self.send_uuids(v, UuidFlags::empty());
            }
        }
        if new.pdsk < DiskState::Inconsistent {
            let promoted = old.peer == Role::Secondary && new.peer == Role::Primary;
            if promoted && self.owes_generation(v) {
                self.new_generation(v);
                self.send_uuids(v, UuidFlags::empty());
            }
            if old.peer == Role::Primary && new.peer == Role::Secondary {
                self.write_dirty_bitmap(v);
            }
        }
    }

    /// The peer's role counts as it was before the loss made it unknown, as long as it is still
    /// connected; a lost Primary's data is this node's business only if it is Primary itself.
    fn owes_generation_before(&self, v: usize, old: State) -> bool {
        let state = self.state(v);
        let peer_primary = old.peer == Role::Primary && state.peer == Role::Primary;
        let volume = &self.volumes[v];
        (state.role == Role::Primary || peer_primary)
            && state.disk >= DiskState::UpToDate
            && volume
                .disk
                .as_ref()
                .is_some_and(|disk| disk.uuids.bitmap.is_empty())
    }

    /// ReportState and its companions, wherever the peer has to learn of a change.
    fn report_changes(&mut self, v: usize, old: State, new: State) {
        if old.disk == DiskState::Attaching
            && new.disk == DiskState::Negotiating
            && new.conn >= ConnState::Connected
        {
            self.send_sizes(v, SizesFlags::empty());
            self.send_uuids(v, UuidFlags::empty());
            self.send_state(v);
        }
        if new.conn < ConnState::Connected {
            return;
        }
        if old.conn >= ConnState::Connected
            && (old.aftr_isp != new.aftr_isp || old.user_isp != new.user_isp)
        {
            self.send_state(v);
        }
        if old.conn == ConnState::WfReportParams {
            self.send_state(v);
        }
    }

    fn after_disk_change(&mut self, v: usize, old: State, new: State) {
        if old.disk != DiskState::Failed && new.disk == DiskState::Failed {
            self.call_local_io_error(v);
            if new.conn >= ConnState::Connected {
                self.send_state(v);
            }
            self.disk_failed(v);
        }
        if old.disk != DiskState::Diskless && new.disk == DiskState::Diskless {
            if new.conn >= ConnState::Connected {
                self.send_state(v);
            }
            let volume = self.volumes[v].nr;
            self.outbox.push(Effect::CloseDisk { volume });
        }
        if old.disk == DiskState::UpToDate
            && new.disk == DiskState::Inconsistent
            && old.conn >= ConnState::Connected
            && new.conn >= ConnState::Connected
        {
            self.send_state(v);
        }
    }

    fn after_sync_change(&mut self, v: usize, old: State, new: State) {
        if old.disk < DiskState::UpToDate
            && old.conn >= ConnState::SyncSource
            && new.conn == ConnState::Connected
        {
            if new.disk > DiskState::Failed && new.pdsk > DiskState::Failed {
                self.report_resync_end(v);
            } else {
                self.send_state(v);
            }
        }
        let syncing = old.conn > ConnState::Connected && old.conn < ConnState::Ahead;
        if syncing && (new.conn == ConnState::Connected || new.conn >= ConnState::Ahead) {
            self.write_dirty_bitmap(v);
        }
    }
}

const fn lost_all_data(state: State) -> bool {
    matches!(state.role, Role::Primary)
        && (state.disk as u8) < DiskState::UpToDate as u8
        && (state.pdsk as u8) < DiskState::UpToDate as u8
}

fn entered(old: State, new: State, states: &[ConnState]) -> bool {
    states.contains(&new.conn) && !states.contains(&old.conn)
}
