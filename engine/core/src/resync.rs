//! Resync: bitmap exchange, start, requests, answers, end (spec 60 section 7, spec 50 sections
//! 7 and 11). [`ResyncRun`] is the book-keeping of one run; the rest is what the machine does.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::ToString;

use drbd_types::units::{BIT_BYTES, BIT_SECTORS};
use drbd_types::{BitNr, ConnState, DiskState, Sector, SectorCount, State, StateMask, Uuid};
use drbd_wire::bitmap_code::{
    BitmapReceiver, BitmapSender, Direction, Progress, TransferStats, UseRle,
};
use drbd_wire::{
    BlockAck, BlockId, BlockRequest, Body, ByteLen, CompressedBitmap, ReplyHeader, Socket,
};

use crate::change::Check;
use crate::config::BitmapCode;
use crate::effect::{DiskIo, HelperSubject, Level};
use crate::handshake::SyncExtent;
use crate::input::{DiskError, Payload};
use crate::machine::{DiskPurpose, HelperPurpose, Resource};
use crate::peer_request::{PeerKind, PeerRequest};
use crate::progress::{Marks, ProgressFigures};
use crate::receive::{Broken, Malformed};
use crate::resync_extents::{ResyncExtent, ResyncExtents, TryLock};
use crate::resync_rate::{RateInputs, ResyncRate};
use crate::slab::Key;
use crate::time::{Duration, Instant};
use crate::uuid_rules::Rotate;
use crate::volume::{ActiveWrites, Mark};

/// The target asks for more this often.
const TURN: Duration = Duration::from_millis(100);

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
    // --- bitmap exchange

    /// The handshake decided how much has to be synced.
    pub(crate) fn prepare_extent(&mut self, v: usize, extent: SyncExtent) {
        if extent == SyncExtent::Full {
            self.set_all_out_of_sync(v);
        }
    }

    /// Sends this node's bitmap.
    pub(crate) fn begin_bitmap_transfer(&mut self, v: usize) {
        let Some(agreed) = self.conn.agreed() else {
            return;
        };
        let use_rle = match self.conn.net.as_ref().map(|net| net.bitmap_code) {
            Some(BitmapCode::Plain) => UseRle::No,
            _ => UseRle::Yes,
        };
        let bits = self.volumes[v].size.bits();
        let mut sender = BitmapSender::new(bits, agreed, use_rle);
        loop {
            let Some(disk) = &self.volumes[v].disk else {
                return;
            };
            let Some(body) = sender.next_packet(&disk.bitmap) else {
                break;
            };
            self.send(v, Socket::Data, body, None);
        }
        self.log_transfer(v, *sender.stats(), Direction::Send);
    }

    fn log_transfer(&mut self, v: usize, stats: TransferStats, direction: Direction) {
        if let Some(line) = stats.log_line(direction) {
            self.log_volume(v, Level::Info, line.to_string());
        }
    }

    /// P_BITMAP.
    pub(crate) fn receive_plain_bitmap(&mut self, v: usize, words: &[u64]) -> Result<(), Broken> {
        self.receive_bitmap(v, |receiver, bitmap| receiver.plain(words, bitmap))
    }

    /// P_COMPRESSED_BITMAP.
    pub(crate) fn receive_compressed_bitmap(
        &mut self,
        v: usize,
        code: &CompressedBitmap,
    ) -> Result<(), Broken> {
        self.receive_bitmap(v, |receiver, bitmap| receiver.compressed(code, bitmap))
    }

    fn receive_bitmap(
        &mut self,
        v: usize,
        take: impl FnOnce(
            &mut BitmapReceiver,
            &mut crate::bitmap::Bitmap,
        ) -> Result<Progress, drbd_wire::bitmap_code::BitmapError>,
    ) -> Result<(), Broken> {
        let state = self.state(v);
        if !matches!(state.conn, ConnState::WfBitMapS | ConnState::WfBitMapT) {
            let text = alloc::format!("unexpected cstate ({}) in receive_bitmap", state.conn);
            return Err(Malformed(text).into());
        }
        let Some(agreed) = self.conn.agreed() else {
            return Ok(());
        };
        let volume = &mut self.volumes[v];
        let bits = volume.size.bits();
        let Some(disk) = volume.disk.as_mut() else {
            return Ok(());
        };
        let receiver = volume
            .resync
            .incoming
            .get_or_insert_with(|| BitmapReceiver::new(bits, agreed));
        match take(receiver, &mut disk.bitmap) {
            Err(error) => Err(Malformed(error.to_string()).into()),
            Ok(Progress::More) => Ok(()),
            Ok(Progress::Complete) => {
                let stats = *receiver.stats();
                volume.resync.incoming = None;
                self.log_transfer(v, stats, Direction::Receive);
                self.bitmap_received(v, state.conn);
                Ok(())
            }
        }
    }

    fn bitmap_received(&mut self, v: usize, conn: ConnState) {
        if conn == ConnState::WfBitMapT {
            self.begin_bitmap_transfer(v);
            let mask = StateMask {
                conn: Some(ConnState::WfSyncUuid),
                ..StateMask::NOTHING
            };
            self.change(v, mask, Check::Soft);
        } else {
            self.start_resync(v, ConnState::SyncSource);
        }
    }

    // --- start

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

    // --- target: asking

    /// One turn of the request generator.
    pub(crate) fn resync_turn(&mut self, v: usize) {
        let now = self.now;
        let run = &mut self.volumes[v].resync;
        if run.next_turn.is_none_or(|at| at > now) {
            return;
        }
        run.next_turn = None;
        if self.state(v).conn != ConnState::SyncTarget {
            return;
        }
        let blocks = self.blocks_this_turn(v);
        let end = self.request_blocks(v, blocks);
        if end == Scan::MoreLater {
            self.volumes[v].resync.next_turn = Some(now + TURN);
        }
    }

    fn blocks_this_turn(&mut self, v: usize) -> u64 {
        let max_buffers = self.conn.net.as_ref().map_or(2048, |net| net.max_buffers);
        let volume = &mut self.volumes[v];
        let run = &mut volume.resync;
        let Some(disk) = &volume.disk else { return 0 };
        let inputs = RateInputs {
            resync_rate: disk.conf.resync_rate,
            plan_ahead: disk.conf.c_plan_ahead,
            delay_target: disk.conf.c_delay_target,
            fill_target: disk.conf.c_fill_target,
            max_rate: disk.conf.c_max_rate,
            max_buffers,
            arrived: SectorCount(core::mem::take(&mut run.arrived)),
            in_flight: SectorCount(run.in_flight),
        };
        run.rate.turn(&inputs)
    }

    fn request_blocks(&mut self, v: usize, blocks: u64) -> Scan {
        let mut left = blocks;
        while left > 0 {
            let volume = &mut self.volumes[v];
            let Some(disk) = &volume.disk else {
                return Scan::Finished;
            };
            let Some(bit) = disk.bitmap.next_set(volume.resync.position) else {
                volume.resync.position = BitNr(volume.size.bits());
                return Scan::Finished;
            };
            let log = &disk.log;
            let extent = ResyncExtent::of(bit);
            if volume
                .resync
                .locks
                .try_lock(extent, |al| log.is_referenced(al))
                == TryLock::Busy
            {
                volume.resync.position = bit;
                return Scan::MoreLater;
            }
            let (sector, size, bits) =
                grow_request(&disk.bitmap, bit, volume.size, disk.max_io, left);
            volume.resync.position = BitNr(bit.0 + bits);
            volume.resync.outstanding.insert(sector, size);
            volume.resync.in_flight += u64::from(size) / 512;
            volume.counters.pending += 1;
            left = left.saturating_sub(bits);
            let request = BlockRequest {
                sector,
                block_id: BlockId::SYNCER,
                size: ByteLen(size),
            };
            self.send(v, Socket::Data, Body::RsDataRequest(request), None);
        }
        Scan::MoreLater
    }

    /// An answer to a resync request arrived, of whatever kind. `false`: nobody asked.
    fn resync_answered(&mut self, v: usize, sector: Sector, size: u32) -> bool {
        let volume = &mut self.volumes[v];
        if volume.resync.outstanding.get(&sector) != Some(&size) {
            return false;
        }
        volume.resync.outstanding.remove(&sector);
        let sectors = u64::from(size) / 512;
        volume.resync.in_flight = volume.resync.in_flight.saturating_sub(sectors);
        volume.resync.arrived += sectors;
        volume.counters.answered(1);
        true
    }

    /// P_RS_DATA_REPLY.
    pub(crate) fn receive_resync_data(
        &mut self,
        v: usize,
        header: ReplyHeader,
        payload: Option<B>,
    ) -> Result<(), Broken> {
        let size = header.size.0;
        self.check_range(v, header.sector, size)?;
        if !self.resync_answered(v, header.sector, size) {
            return Err(Malformed(alloc::format!(
                "RSDataReply nobody asked for, sector {}s",
                header.sector
            ))
            .into());
        }
        let Some(data) = payload.filter(|data| data.size() == size) else {
            return Err(Malformed(alloc::format!(
                "RSDataReply of wrong size, sector {}s",
                header.sector
            ))
            .into());
        };
        self.volumes[v].counters.net_receive.0 += u64::from(size) / 512;
        if !self.volumes[v].has_data_disk() {
            self.block_ack(v, Body::NegAck, header.sector, BlockId::SYNCER, size);
            return Ok(());
        }
        let request = BlockRequest {
            sector: header.sector,
            block_id: BlockId::SYNCER,
            size: header.size,
        };
        let key = self.new_peer_read(v, PeerKind::ResyncWrite, request);
        if let Some(request) = self.peer_requests.get_mut(key) {
            request.data = Some(data);
        }
        self.submit_peer_write(v, key);
        Ok(())
    }

    pub(crate) fn resync_write_done(
        &mut self,
        v: usize,
        request: &PeerRequest<B>,
        current: bool,
        result: Result<(), DiskError>,
    ) {
        let (sector, length) = (request.sector, request.length());
        match result {
            Ok(()) if current => {
                self.block_ack(v, Body::RsWriteAck, sector, BlockId::SYNCER, request.size);
                self.unlock_extent(v, sector);
                self.mark_in_sync(v, sector, length);
            }
            // On disk, but the source does not know: it stays out of sync for the next resync.
            Ok(()) => {}
            Err(error) => {
                if current {
                    self.block_ack(v, Body::NegAck, sector, BlockId::SYNCER, request.size);
                    self.unlock_extent(v, sector);
                }
                self.count_failed(v, length);
                self.local_io_error(v, "drbd_endio_write_sec_final", Mark::empty(), error);
            }
        }
    }

    /// P_NEG_RS_DREPLY: the source cannot read it.
    pub(crate) fn receive_resync_refusal(&mut self, v: usize, ack: BlockAck) -> Result<(), Broken> {
        self.check_range(v, ack.sector, ack.size.0)?;
        if self.resync_answered(v, ack.sector, ack.size.0) {
            self.unlock_extent(v, ack.sector);
            self.count_failed(v, SectorCount(u64::from(ack.size.0) / 512));
        }
        Ok(())
    }

    /// P_RS_CANCEL: the source went Ahead.
    pub(crate) fn receive_resync_cancel(&mut self, v: usize, ack: BlockAck) {
        if self.resync_answered(v, ack.sector, ack.size.0) {
            self.unlock_extent(v, ack.sector);
        }
    }

    /// P_RS_IS_IN_SYNC: only ever an answer to a checksum request, which this node does not send.
    pub(crate) fn receive_is_in_sync(&mut self, v: usize, ack: BlockAck) -> Result<(), Broken> {
        self.check_range(v, ack.sector, ack.size.0)?;
        if self.resync_answered(v, ack.sector, ack.size.0) {
            self.unlock_extent(v, ack.sector);
            self.mark_in_sync(v, ack.sector, SectorCount(u64::from(ack.size.0) / 512));
        }
        Ok(())
    }

    fn unlock_extent(&mut self, v: usize, sector: Sector) {
        self.volumes[v]
            .resync
            .locks
            .unlock(ResyncExtent::of(sector.bit()));
        self.retry_resync_locks(v);
        self.pump_activity_log(v);
    }

    fn count_failed(&mut self, v: usize, length: SectorCount) {
        self.volumes[v].resync.failed += length.0.div_ceil(BIT_SECTORS);
        self.check_resync_finished(v);
    }

    // --- source: answering

    /// P_RS_DATA_REQUEST and its relatives.
    pub(crate) fn receive_resync_request(
        &mut self,
        v: usize,
        request: BlockRequest,
    ) -> Result<(), Broken> {
        self.check_range(v, request.sector, request.size.0)?;
        if request.size.0 > 1 << 20 {
            return Err(
                Malformed(alloc::format!("resync request of {} bytes", request.size.0)).into(),
            );
        }
        if self.volumes[v].state.disk < DiskState::UpToDate || self.volumes[v].disk.is_none() {
            self.log_volume(
                v,
                Level::Error,
                "Can not satisfy peer's read request, no local data.",
            );
            self.block_ack(
                v,
                Body::NegRsDReply,
                request.sector,
                BlockId::SYNCER,
                request.size.0,
            );
            return Ok(());
        }
        let key = self.new_peer_read(v, PeerKind::ResyncRead, request);
        self.volumes[v].resync.waiting_reads.push_back(key);
        self.retry_resync_locks(v);
        Ok(())
    }

    /// Reads whose extent is no longer written to can start: what they read must not be
    /// overtaken by a write that was sent before.
    pub(crate) fn retry_resync_locks(&mut self, v: usize) {
        while let Some(&key) = self.volumes[v].resync.waiting_reads.front() {
            let Some(request) = self.peer_requests.get(key) else {
                self.volumes[v].resync.waiting_reads.pop_front();
                continue;
            };
            let (sector, length) = (request.sector, request.length());
            let extent = ResyncExtent::of(sector.bit());
            let volume = &mut self.volumes[v];
            if volume.writing.overlaps(sector, length) {
                // The write may itself be waiting for this read to let go of the extent.
                if !volume.cold.is_empty() {
                    volume.resync.locks.step_aside(extent);
                    self.pump_activity_log(v);
                }
                return;
            }
            let Some(disk) = &volume.disk else { return };
            let log = &disk.log;
            if volume.resync.locks.lock(extent, |al| log.is_referenced(al)) == TryLock::Busy {
                return;
            }
            volume.resync.waiting_reads.pop_front();
            self.submit_peer_read(v, key);
        }
    }

    pub(crate) fn resync_read_done(
        &mut self,
        v: usize,
        request: &PeerRequest<B>,
        current: bool,
        result: Result<Option<B>, DiskError>,
    ) {
        if current {
            match result.as_ref().ok().cloned().flatten() {
                Some(data) => {
                    let header = ReplyHeader {
                        sector: request.sector,
                        block_id: BlockId::SYNCER,
                        size: ByteLen(request.size),
                    };
                    self.volumes[v].counters.net_send.0 += request.length().0;
                    self.volumes[v].counters.pending += 1;
                    self.send(v, Socket::Data, Body::RsDataReply(header), Some(data));
                }
                None => {
                    let text = alloc::format!("Sending NegRSDReply. sector {}s.", request.sector);
                    self.log_volume(v, Level::Error, text);
                    self.block_ack(
                        v,
                        Body::NegRsDReply,
                        request.sector,
                        BlockId::SYNCER,
                        request.size,
                    );
                    self.count_failed(v, request.length());
                }
            }
            self.unlock_extent(v, request.sector);
        }
        if let Err(error) = result {
            self.local_io_error(v, "drbd_endio_read_sec_final", Mark::WAS_READ_ERROR, error);
        }
    }

    /// P_RS_WRITE_ACK for resync data.
    pub(crate) fn receive_resync_ack(&mut self, v: usize, ack: BlockAck) -> Result<(), Broken> {
        self.check_range(v, ack.sector, ack.size.0)?;
        self.volumes[v].counters.answered(1);
        self.mark_in_sync(v, ack.sector, SectorCount(u64::from(ack.size.0) / 512));
        Ok(())
    }

    pub(crate) fn resync_failed_on_peer(&mut self, v: usize, _sector: Sector, length: SectorCount) {
        self.volumes[v].counters.answered(1);
        self.count_failed(v, length);
    }

    // --- end

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
        if self.volumes[v].resync.finish == both && self.state(v).conn > ConnState::Connected {
            self.finish_resync(v);
        }
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

/// Whether the scan has more to ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Scan {
    MoreLater,
    Finished,
}

/// Extends a request over following set bits: aligned to its size, inside its resync extent, not
/// beyond the limit or the device (spec 60 section 7.2). Returns sector, bytes and bits.
fn grow_request(
    bitmap: &crate::bitmap::Bitmap,
    first: BitNr,
    device: SectorCount,
    max_io: u32,
    quota: u64,
) -> (Sector, u32, u64) {
    let limit = u64::from(max_io.clamp(BIT_BYTES as u32, 1 << 20)) / BIT_BYTES;
    let extent = ResyncExtent::of(first);
    let mut bits: u64 = 1;
    let mut align = 1;
    while bits < limit && bits < quota.max(1) {
        // Growing beyond 2^k blocks needs a start aligned to 2^(k+1) blocks.
        if first.0 & ((1 << align) - 1) != 0 {
            break;
        }
        let next = BitNr(first.0 + bits);
        if ResyncExtent::of(next) != extent || !bitmap.is_set(next) {
            break;
        }
        bits += 1;
        if (1u64 << align) <= bits {
            align += 1;
        }
    }
    let sector = Sector(first.0 * BIT_SECTORS);
    let sectors = (bits * BIT_SECTORS).min(device.0.saturating_sub(sector.0));
    (sector, (sectors * 512) as u32, bits)
}
