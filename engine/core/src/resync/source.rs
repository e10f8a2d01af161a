//! The source's side: reading what the target asks for (spec 60 section 7.3).

use drbd_types::{DiskState, Sector, SectorCount};
use drbd_wire::{BlockAck, BlockId, BlockRequest, Body, ByteLen, ReplyHeader, Socket};

use crate::effect::Level;
use crate::input::{DiskError, Payload};
use crate::machine::Resource;
use crate::peer_request::{PeerKind, PeerRequest};
use crate::receive::{Broken, Malformed};
use crate::resync_extents::{ResyncExtent, TryLock};
use crate::volume::Mark;

impl<B: Payload> Resource<B> {
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
}
