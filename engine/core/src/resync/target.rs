//! The target's side: asking for blocks, writing what comes (spec 60 section 7.2).

use drbd_types::units::{BIT_BYTES, BIT_SECTORS};
use drbd_types::{BitNr, ConnState, Sector, SectorCount};
use drbd_wire::{BlockAck, BlockId, BlockRequest, Body, ByteLen, ReplyHeader, Socket};

use crate::input::{DiskError, Payload};
use crate::machine::Resource;
use crate::peer_request::{PeerKind, PeerRequest};
use crate::receive::{Broken, Malformed};
use crate::resync_extents::{ResyncExtent, TryLock};
use crate::resync_rate::RateInputs;
use crate::time::Duration;
use crate::volume::Mark;

/// The target asks for more this often.
const TURN: Duration = Duration::from_millis(100);

impl<B: Payload> Resource<B> {
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

    /// A bit was set while the resync runs, perhaps behind the place it has reached.
    pub(crate) fn look_again(&mut self, v: usize, bit: BitNr) {
        let now = self.now;
        if self.state(v).conn == ConnState::SyncTarget {
            let run = &mut self.volumes[v].resync;
            run.position = run.position.min(bit);
            run.next_turn.get_or_insert(now + TURN);
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

    pub(super) fn unlock_extent(&mut self, v: usize, sector: Sector) {
        self.volumes[v]
            .resync
            .locks
            .unlock(ResyncExtent::of(sector.bit()));
        self.retry_resync_locks(v);
        self.pump_activity_log(v);
    }

    pub(super) fn count_failed(&mut self, v: usize, length: SectorCount) {
        self.volumes[v].resync.failed += length.0.div_ceil(BIT_SECTORS);
        self.check_resync_finished(v);
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
