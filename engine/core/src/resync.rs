//! Resync: bitmap exchange, start, requests, answers, end (spec 60 section 7, spec 50 sections
//! 7 and 11).
//!
//! [`ResyncRun`] is the book-keeping of one run; start and pause are here. `exchange` compares
//! bitmaps, `target` asks and `source` answers, `finish` is the end.

mod exchange;
mod finish;
mod source;
mod target;

use alloc::collections::{BTreeMap, VecDeque};

use drbd_types::{BitNr, ConnState, DiskState, Sector, State, StateMask, Uuid};
use drbd_wire::bitmap_code::BitmapReceiver;
use drbd_wire::{Body, Socket};

use crate::bitmap::WriteOut;
use crate::change::Check;
use crate::effect::{HelperSubject, Level};
use crate::input::Payload;
use crate::machine::{HelperPurpose, MetaPurpose, Resource};
use crate::progress::{Marks, ProgressFigures};
use crate::resync_extents::ResyncExtents;
use crate::resync_rate::ResyncRate;
use crate::slab::Key;
use crate::time::{Duration, Instant};
use crate::uuid_rules::Rotate;
use crate::volume::{ActiveWrites, Mark};

/// The end of a run: flush and ping must both be over before anybody is called UpToDate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Finish {
    /// Blocks are still out of sync.
    #[default]
    No,
    /// Waiting for the flush of this node's disk and for the peer's PingAck.
    Settling { flushed: Half, pinged: Half },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Half {
    Open,
    Done,
}

/// Book-keeping of a resync.
#[derive(Default)]
pub(crate) struct ResyncRun {
    pub(crate) total: u64,
    pub(crate) failed: u64,
    pub(crate) started: Option<Instant>,
    paused_since: Option<Instant>,
    paused: Duration,
    marks: Marks,
    /// When cleared bits were last on their way to the disk.
    pub(crate) bits_written: Option<Instant>,
    /// Next bit to look at.
    position: BitNr,
    /// Requested and not answered yet: first sector to bytes.
    outstanding: BTreeMap<Sector, u32>,
    rate: ResyncRate,
    /// Sectors that arrived since the last turn.
    arrived: u64,
    in_flight: u64,
    pub(crate) next_turn: Option<Instant>,
    pub(crate) locks: ResyncExtents,
    /// Resync data on its way to this node's disk.
    pub(crate) writing: ActiveWrites,
    /// Mirrored writes that wait for overlapping resync data.
    pub(crate) waiting_writes: VecDeque<Key>,
    /// Blocks the peer wants whose extent is still written to.
    waiting_reads: VecDeque<Key>,
    finish: Finish,
    /// The target has reported its end; answers to writes may still be on their way.
    target_finished: bool,
    incoming: Option<BitmapReceiver>,
    /// Which side waits for its before-resync helper.
    pub(crate) starting: Option<ConnState>,
}

impl ResyncRun {
    /// Fewer bits are left.
    pub(crate) fn progress(&mut self, now: Instant, left: u64) {
        if self.paused_since.is_none() {
            self.marks.advance(now, left);
        }
    }

    pub(crate) fn figures(
        &self,
        now: Instant,
        state: State,
        set_bits: u64,
    ) -> Option<ProgressFigures> {
        let shown = matches!(state.conn, ConnState::SyncSource | ConnState::SyncTarget);
        let started = self.started.filter(|_| shown)?;
        let left = set_bits.saturating_sub(self.failed);
        let elapsed = now.since(started).saturating_sub(self.paused);
        let want = (state.conn == ConnState::SyncTarget).then(|| self.rate.want());
        Some(self.marks.figures(now, left, self.total, elapsed, want))
    }
}

impl<B: Payload> Resource<B> {
    /// invalidate and invalidate-remote: every bit is set on both nodes, no exchange.
    pub(crate) fn prepare_full_sync(&mut self, v: usize) {
        let conn = self.state(v).conn;
        self.set_all_out_of_sync(v);
        if conn == ConnState::StartingSyncT {
            let mask = StateMask {
                conn: Some(ConnState::WfSyncUuid),
                ..StateMask::NOTHING
            };
            self.change(v, mask, Check::Soft);
        } else if conn == ConnState::StartingSyncS {
            self.start_resync(v, ConnState::SyncSource);
        }
    }

    /// New storage after an online grow: the Primary is the source, else the tie breaker.
    pub(crate) fn resync_after_grow(&mut self, v: usize) {
        let state = self.state(v);
        self.log_volume(v, Level::Info, "Resync of new storage after online grow");
        let source = if state.role == state.peer {
            self.conn.tie() == crate::input::TieBreaker::Here
        } else {
            state.role == drbd_types::Role::Primary
        };
        if source {
            self.start_resync(v, ConnState::SyncSource);
        } else {
            let mask = StateMask {
                conn: Some(ConnState::WfSyncUuid),
                ..StateMask::NOTHING
            };
            self.change(v, mask, Check::Soft);
        }
    }

    /// P_SYNC_UUID: the peer starts the resync under this generation.
    pub(crate) fn receive_sync_uuid(&mut self, v: usize, sync: Uuid) {
        let state = self.state(v);
        if !matches!(state.conn, ConnState::WfSyncUuid | ConnState::Behind)
            || state.disk < DiskState::Negotiating
        {
            return self.log_volume(v, Level::Error, "Ignoring SyncUUID packet!");
        }
        let role = state.role;
        let volume = &mut self.volumes[v];
        let Some(disk) = volume.disk.as_mut() else {
            return;
        };
        volume.exposed_uuid = disk.uuids.start_sync_target(sync, role);
        let text = alloc::format!("updated sync uuid {}", disk.uuids);
        self.volumes[v].marks |= Mark::MD_DIRTY;
        self.log_volume(v, Level::Info, text);
        self.start_resync(v, ConnState::SyncTarget);
    }

    /// Asks the before-resync helper first.
    pub(crate) fn start_resync(&mut self, v: usize, side: ConnState) {
        let conn = self.state(v).conn;
        if conn >= ConnState::SyncSource && conn <= ConnState::PausedSyncT {
            return self.log_volume(v, Level::Error, "Resync already running!");
        }
        let (nr, minor) = (self.volumes[v].nr, self.volumes[v].minor);
        self.volumes[v].resync.starting = Some(side);
        self.sync_superblock(v);
        self.hold_receiver();
        let (purpose, event) = if side == ConnState::SyncTarget {
            (
                HelperPurpose::BeforeResyncTarget(nr),
                "before-resync-target",
            )
        } else {
            (
                HelperPurpose::BeforeResyncSource(nr),
                "before-resync-source",
            )
        };
        self.run_helper(purpose, event, HelperSubject::Minor(minor));
    }

    /// The before-resync helper ended.
    pub(crate) fn before_resync_returned(&mut self, v: usize, exit: u8) {
        self.release_receiver();
        let Some(side) = self.volumes[v].resync.starting.take() else {
            return;
        };
        let event = if side == ConnState::SyncTarget {
            "before-resync-target"
        } else {
            "before-resync-source"
        };
        if exit == 3 && side == ConnState::SyncSource {
            let text =
                alloc::format!("{event} handler returned {exit}, ignoring. Old userland tools?");
            self.log_volume(v, Level::Info, text);
        } else if exit > 0 {
            let text = alloc::format!("{event} handler returned {exit}, dropping connection.");
            self.log_volume(v, Level::Info, text);
            return self.connection_fatal(alloc::string::String::new());
        }
        self.enter_resync(v, side);
    }

    fn enter_resync(&mut self, v: usize, side: ConnState) {
        let state = self.state(v);
        if state.conn < ConnState::Connected || self.volumes[v].disk.is_none() {
            return;
        }
        let mask = if side == ConnState::SyncTarget {
            StateMask {
                conn: Some(side),
                disk: Some(DiskState::Inconsistent),
                ..StateMask::NOTHING
            }
        } else {
            StateMask {
                conn: Some(side),
                pdsk: Some(DiskState::Inconsistent),
                ..StateMask::NOTHING
            }
        };
        let outcome = self.change(v, mask, Check::Hard);
        if !outcome.is_success() {
            return;
        }
        let bits = self.volumes[v].out_of_sync();
        let now = self.now;
        let kept = core::mem::take(&mut self.volumes[v].resync);
        self.volumes[v].resync = ResyncRun {
            total: bits,
            started: Some(now),
            bits_written: Some(now),
            marks: Marks::new(now, bits),
            writing: kept.writing,
            waiting_writes: kept.waiting_writes,
            ..ResyncRun::default()
        };
        let conn = self.state(v).conn;
        let text = alloc::format!(
            "Began resync as {conn} (will sync {} KB [{bits} bits set]).",
            bits * 4
        );
        self.log_volume(v, Level::Info, text);
        // What follows for the peer (the sync UUID) and for the disk comes before any request.
        self.run_worker();
        #[cfg(feature = "planted-bugs")]
        let side = match self.planted {
            Some(crate::planted::Bug::ResyncBeforeBits) => ConnState::SyncSource,
            _ => side,
        };
        if side == ConnState::SyncTarget {
            // The source forgets each block that this node acknowledges. Should the write cache of
            // this node be lost, only the bits on its own disk still know of it.
            self.write_bitmap(v, WriteOut::Changed, MetaPurpose::Gate);
        }
        if self.state(v).conn == ConnState::SyncTarget {
            self.volumes[v].resync.next_turn = Some(now);
        }
        self.check_resync_finished(v);
    }

    /// The source names the generation that the target has until the resync is complete.
    pub(crate) fn send_sync_uuid(&mut self, v: usize) {
        let random = Uuid(self.rng.next());
        let Some(disk) = self.volumes[v].disk.as_mut() else {
            return;
        };
        let sync = disk.uuids.start_sync_source(random);
        let text = alloc::format!("updated sync UUID {}", disk.uuids);
        self.volumes[v].marks |= Mark::MD_DIRTY;
        self.log_volume(v, Level::Info, text);
        self.sync_superblock(v);
        self.send(v, Socket::Data, Body::SyncUuid(sync), None);
    }

    // --- pause

    pub(crate) fn resync_suspended(&mut self, v: usize) {
        let now = self.now;
        let run = &mut self.volumes[v].resync;
        run.paused_since = Some(now);
        run.next_turn = None;
    }

    pub(crate) fn resync_continues(&mut self, v: usize) {
        let now = self.now;
        let target = self.state(v).conn == ConnState::SyncTarget;
        let run = &mut self.volumes[v].resync;
        if let Some(since) = run.paused_since.take() {
            run.paused += now.since(since);
        }
        if target {
            run.next_turn = Some(now);
        }
        // The last answers may have arrived during the pause.
        self.check_resync_finished(v);
    }
}
