//! The end of a resync, good or bad (spec 60 section 7.8).

use drbd_types::{ConnState, DiskState, StateMask};
use drbd_wire::Body;

use crate::change::Check;
use crate::effect::{DiskIo, HelperSubject, Level};
use crate::input::{DiskError, Payload};
use crate::machine::{DiskPurpose, HelperPurpose, Resource};
use crate::slab::Key;
use crate::time::Duration;
use crate::uuid_rules::Rotate;
use crate::volume::Mark;

use super::{Finish, Half, ResyncRun};

impl<B: Payload> Resource<B> {
    /// The target notices by its bitmap that nothing is left.
    pub(crate) fn check_resync_finished(&mut self, v: usize) {
        let volume = &self.volumes[v];
        let done = volume.out_of_sync() <= volume.resync.failed;
        let decides = volume.state.conn == ConnState::SyncTarget
            || volume.state.conn == ConnState::SyncSource && volume.resync.target_finished;
        if !decides
            || !done
            || volume.resync.started.is_none()
            || volume.resync.finish != Finish::No
        {
            return;
        }
        self.settle_resync(v);
    }

    /// The source learns it from the target's state.
    pub(crate) fn peer_finished_resync(&mut self, v: usize) {
        self.volumes[v].resync.target_finished = true;
        let volume = &self.volumes[v];
        if volume.resync.finish == Finish::No && volume.out_of_sync() <= volume.resync.failed {
            self.settle_resync(v);
        }
    }

    /// Nobody is called UpToDate before the data is stable and everything in flight has landed.
    fn settle_resync(&mut self, v: usize) {
        self.volumes[v].resync.finish = Finish::Settling {
            flushed: Half::Open,
            pinged: Half::Open,
        };
        let nr = self.volumes[v].nr;
        if let Some(up) = self.conn.up_mut() {
            up.on_ping_ack.push(nr);
        }
        self.disk_io(v, DiskPurpose::ResyncFlush, DiskIo::Flush);
        self.send_ping();
    }

    pub(crate) fn resync_flushed(&mut self, v: usize, result: Result<(), DiskError>) {
        if let Err(error) = result {
            return self.local_io_error(v, "drbd_resync_finished", Mark::empty(), error);
        }
        if let Finish::Settling { flushed, .. } = &mut self.volumes[v].resync.finish {
            *flushed = Half::Done;
        }
        self.finish_when_settled(v);
    }

    pub(crate) fn resync_ping_answered(&mut self, v: usize) {
        if let Finish::Settling { pinged, .. } = &mut self.volumes[v].resync.finish {
            *pinged = Half::Done;
        }
        self.finish_when_settled(v);
    }

    fn finish_when_settled(&mut self, v: usize) {
        let both = Finish::Settling {
            flushed: Half::Done,
            pinged: Half::Done,
        };
        let volume = &mut self.volumes[v];
        if volume.resync.finish != both || volume.state.conn <= ConnState::Connected {
            return;
        }
        if volume.out_of_sync() > volume.resync.failed {
            // The source has told of another block meanwhile.
            volume.resync.finish = Finish::No;
            return;
        }
        self.finish_resync(v);
    }

    fn finish_resync(&mut self, v: usize) {
        let target = matches!(
            self.state(v).conn,
            ConnState::SyncTarget | ConnState::PausedSyncT
        );
        self.log_resync_done(v);
        let failed = self.volumes[v].resync.failed;
        let mask = if failed > 0 {
            self.log_volume(
                v,
                Level::Error,
                alloc::format!("            {failed} failed blocks"),
            );
            if target {
                StateMask {
                    disk: Some(DiskState::Inconsistent),
                    pdsk: Some(DiskState::UpToDate),
                    ..StateMask::NOTHING
                }
            } else {
                StateMask {
                    disk: Some(DiskState::UpToDate),
                    pdsk: Some(DiskState::Inconsistent),
                    ..StateMask::NOTHING
                }
            }
        } else {
            self.rotate_after_resync(v, target);
            StateMask {
                disk: Some(DiskState::UpToDate),
                pdsk: Some(DiskState::UpToDate),
                ..StateMask::NOTHING
            }
        };
        self.write_dirty_bitmap(v);
        self.change(
            v,
            StateMask {
                conn: Some(ConnState::Connected),
                ..mask
            },
            Check::Hard,
        );
        let kept = core::mem::take(&mut self.volumes[v].resync);
        self.volumes[v].resync = ResyncRun {
            writing: kept.writing,
            waiting_writes: kept.waiting_writes,
            ..ResyncRun::default()
        };
        self.volumes[v].marks |= Mark::MD_DIRTY;
        self.run_worker();
        if !target {
            self.unfence_peer();
        }
    }

    fn log_resync_done(&mut self, v: usize) {
        let now = self.now;
        let run = &self.volumes[v].resync;
        let elapsed = run
            .started
            .map_or(Duration::ZERO, |at| now.since(at))
            .saturating_sub(run.paused);
        let (seconds, paused) = (elapsed.as_secs(), run.paused.as_secs());
        let speed = 4 * (run.total / seconds.max(1));
        let text = alloc::format!(
            "Resync done (total {} sec; paused {paused} sec; {speed} K/sec)",
            seconds.max(1) + paused
        );
        self.log_volume(v, Level::Info, text);
    }

    /// Both nodes end with the same generations (spec 60 section 2.3).
    fn rotate_after_resync(&mut self, v: usize, target: bool) {
        let role = self.state(v).role;
        let volume = &mut self.volumes[v];
        let Some(disk) = volume.disk.as_mut() else {
            return;
        };
        match (target, volume.peer_uuids) {
            (true, Some(peer)) => {
                volume.exposed_uuid = disk.uuids.finish_sync_target(&peer.uuids, role)
            }
            _ => disk.uuids.finish_sync_source(),
        }
        let text = alloc::format!("updated UUIDs {}", disk.uuids);
        if let Some(peer) = volume.peer_uuids.as_mut() {
            // A following resync may come without a new report.
            peer.uuids = disk.uuids;
        }
        volume.marks |= Mark::MD_DIRTY;
        self.log_volume(v, Level::Info, text);
    }

    /// After the end on the target: the helper first, then the peer learns it.
    pub(crate) fn report_resync_end(&mut self, v: usize) {
        let (nr, minor) = (self.volumes[v].nr, self.volumes[v].minor);
        self.run_helper(
            HelperPurpose::AfterResyncTarget(nr),
            "after-resync-target",
            HelperSubject::Minor(minor),
        );
    }

    // --- abort

    /// Connection or disk is gone: forget what is under way.
    pub(crate) fn abort_resync_io(&mut self, v: usize) {
        let kept = core::mem::take(&mut self.volumes[v].resync);
        let outstanding = kept.outstanding.len() as u64;
        let volume = &mut self.volumes[v];
        volume.counters.answered(outstanding);
        volume.resync = ResyncRun {
            writing: kept.writing,
            ..ResyncRun::default()
        };
        for key in kept.waiting_writes.into_iter().chain(kept.waiting_reads) {
            self.drop_peer_write(v, key);
        }
    }

    /// A request of a peer that is gone, never started.
    pub(crate) fn drop_peer_write(&mut self, v: usize, key: Key) {
        let Some(request) = self.peer_requests.remove(key) else {
            return;
        };
        self.volumes[v].counters.unacked = self.volumes[v].counters.unacked.saturating_sub(1);
        if let Some(link) = self
            .conn
            .link
            .as_mut()
            .filter(|link| link.id == request.link)
        {
            link.receiver.working = link.receiver.working.saturating_sub(1);
            if request.mirrored() {
                link.incoming.active = link.incoming.active.saturating_sub(1);
                let (sector, id, size) = (request.sector, request.block_id, request.size);
                self.block_ack(v, Body::NegAck, sector, id, size);
            }
        }
    }
}
