//! What the peer asks of this node's disk: mirrored writes, reads, barriers (spec 50 section 10).

use alloc::vec::Vec;

use drbd_types::{ConnState, DiskState, Sector, SectorCount, VolumeNr};
use drbd_wire::{
    BarrierAck, BarrierId, BlockAck, BlockId, BlockRequest, Body, ByteLen, DataFlags, DataHeader,
    ReplyHeader, Socket,
};

use crate::config::WriteOrdering;
use crate::connection::Hold;
use crate::effect::{DiskIo, Level};
use crate::input::{DiskError, Durability, LinkId, Payload};
use crate::machine::{DiskPurpose, Resource};
use crate::receive::Malformed;
use crate::request::fits;
use crate::slab::Key;
use crate::volume::Mark;

/// A request of the peer in progress.
pub(crate) struct PeerRequest<B> {
    pub(crate) volume: VolumeNr,
    pub(crate) link: LinkId,
    pub(crate) kind: PeerKind,
    pub(crate) sector: Sector,
    pub(crate) size: u32,
    pub(crate) block_id: BlockId,
    pub(crate) flags: DataFlags,
    pub(crate) data: Option<B>,
    pub(crate) al: AlReference,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PeerKind {
    /// A mirrored write.
    Write,
    /// A mirrored discard.
    Discard,
    /// A mirrored zero-out.
    WriteZeroes,
    /// Resync data for this node.
    ResyncWrite,
    /// A read of the peer's application.
    Read,
    /// A block for the peer's resync.
    ResyncRead,
}

/// Whether a peer write holds activity-log references: only where this is the only disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AlReference {
    None,
    Held,
}

impl<B> PeerRequest<B> {
    pub(crate) const fn length(&self) -> SectorCount {
        SectorCount(self.size as u64 / 512)
    }

    pub(crate) const fn mirrored(&self) -> bool {
        matches!(
            self.kind,
            PeerKind::Write | PeerKind::Discard | PeerKind::WriteZeroes
        )
    }
}

impl<B: Payload> Resource<B> {
    /// P_DATA, P_TRIM, P_ZEROES.
    pub(crate) fn receive_write(
        &mut self,
        v: usize,
        kind: PeerKind,
        header: DataHeader,
        data: Option<B>,
    ) -> Result<(), Malformed> {
        let size = header.size.0;
        self.check_range(v, header.sector, size)?;
        let Some(link) = self.conn.link.as_mut() else {
            return Ok(());
        };
        link.incoming.writes += 1;
        let id = link.id;
        let length = SectorCount(u64::from(size) / 512);
        self.volumes[v].counters.net_receive.0 += length.0;
        if !self.volumes[v].has_data_disk() {
            self.block_ack(v, Body::NegAck, header.sector, header.block_id, size);
            return Ok(());
        }
        if header.flags.contains(DataFlags::SEND_RECEIVE_ACK) {
            self.block_ack(v, Body::RecvAck, header.sector, header.block_id, size);
        }
        if let Some(link) = self.conn.link.as_mut() {
            link.incoming.active += 1;
            link.receiver.working += 1;
        }
        self.volumes[v].counters.unacked += 1;
        let key = self.peer_requests.insert(PeerRequest {
            volume: self.volumes[v].nr,
            link: id,
            kind,
            sector: header.sector,
            size,
            block_id: header.block_id,
            flags: header.flags,
            data,
            al: AlReference::None,
        });
        if self.volumes[v].state.pdsk < DiskState::Inconsistent {
            // The writer has no disk: what its disk misses is recorded here (spec 60 section 4.6).
            self.mark_out_of_sync(v, header.sector, length);
            if !self.enter_activity_log_for_peer(v, key) {
                return Ok(());
            }
        }
        self.submit_peer_write(v, key);
        Ok(())
    }

    /// Writes what the peer sent, unless resync data for the same place is still on its way to
    /// the disk: then the older data must arrive first.
    pub(crate) fn submit_peer_write(&mut self, v: usize, key: Key) {
        let Some(request) = self.peer_requests.get(key) else {
            return;
        };
        let (kind, sector, size, length) =
            (request.kind, request.sector, request.size, request.length());
        if request.mirrored() && self.volumes[v].resync.writing.overlaps(sector, length) {
            self.volumes[v].resync.waiting_writes.push_back(key);
            return;
        }
        let durability = if request.flags.contains(DataFlags::FUA) {
            Durability::Fua
        } else {
            Durability::Cached
        };
        let Some(request) = self.peer_requests.get_mut(key) else {
            return;
        };
        let io = match (kind, request.data.take()) {
            (PeerKind::Discard, _) => DiskIo::Discard { sector, size },
            (_, Some(data)) => DiskIo::Write {
                sector,
                data,
                durability,
            },
            (_, None) => DiskIo::WriteZeroes { sector, size },
        };
        if kind == PeerKind::ResyncWrite {
            self.volumes[v].resync.writing.insert(key, sector, length);
        } else {
            self.volumes[v].peer_writing.insert(key, sector, length);
        }
        self.volumes[v].counters.disk_write.0 += length.0;
        self.disk_io(v, DiskPurpose::Peer(key), io);
    }

    /// P_DATA_REQUEST.
    pub(crate) fn receive_read(
        &mut self,
        v: usize,
        request: BlockRequest,
    ) -> Result<(), Malformed> {
        self.check_range(v, request.sector, request.size.0)?;
        if self.volumes[v].state.disk != DiskState::UpToDate || self.volumes[v].disk.is_none() {
            self.log_volume(
                v,
                Level::Error,
                "Can not satisfy peer's read request, no local data.",
            );
            self.block_ack(
                v,
                Body::NegDReply,
                request.sector,
                request.block_id,
                request.size.0,
            );
            return Ok(());
        }
        let key = self.new_peer_read(v, PeerKind::Read, request);
        self.submit_peer_read(v, key);
        Ok(())
    }

    pub(crate) fn new_peer_read(&mut self, v: usize, kind: PeerKind, request: BlockRequest) -> Key {
        self.volumes[v].counters.unacked += 1;
        let link = self.conn.link.as_mut().map_or(LinkId(0), |link| {
            link.receiver.working += 1;
            link.id
        });
        self.peer_requests.insert(PeerRequest {
            volume: self.volumes[v].nr,
            link,
            kind,
            sector: request.sector,
            size: request.size.0,
            block_id: request.block_id,
            flags: DataFlags::empty(),
            data: None,
            al: AlReference::None,
        })
    }

    pub(crate) fn submit_peer_read(&mut self, v: usize, key: Key) {
        let Some(request) = self.peer_requests.get(key) else {
            return;
        };
        let (sector, size, length) = (request.sector, request.size, request.length());
        self.volumes[v].counters.disk_read.0 += length.0;
        self.disk_io(v, DiskPurpose::Peer(key), DiskIo::Read { sector, size });
    }

    /// A disk operation for the peer ended.
    pub(crate) fn peer_io_done(
        &mut self,
        v: usize,
        key: Key,
        result: Result<Option<B>, DiskError>,
    ) {
        let Some(request) = self.peer_requests.remove(key) else {
            return;
        };
        self.volumes[v].counters.unacked -= 1;
        let current = self
            .conn
            .link
            .as_ref()
            .is_some_and(|link| link.id == request.link);
        if current && let Some(link) = self.conn.link.as_mut() {
            link.receiver.working -= 1;
        }
        match request.kind {
            PeerKind::Write | PeerKind::Discard | PeerKind::WriteZeroes => {
                self.volumes[v].peer_writing.remove(key, request.sector);
                self.peer_write_done(v, &request, current, result.map(|_| ()));
            }
            PeerKind::ResyncWrite => {
                self.volumes[v].resync.writing.remove(key, request.sector);
                self.resync_write_done(v, &request, current, result.map(|_| ()));
            }
            PeerKind::Read => self.peer_read_done(v, &request, current, result),
            PeerKind::ResyncRead => self.resync_read_done(v, &request, current, result),
        }
        self.retry_waiting_peer_writes(v);
    }

    fn peer_write_done(
        &mut self,
        v: usize,
        request: &PeerRequest<B>,
        current: bool,
        result: Result<(), DiskError>,
    ) {
        let (sector, length) = (request.sector, request.length());
        let result = match result {
            // The peer only asked for a discard; the blocks are as free as they were.
            Err(DiskError::Unsupported) if request.kind == PeerKind::Discard => Ok(()),
            other => other,
        };
        if current {
            match result {
                Ok(()) => self.acknowledge_write(v, request),
                Err(_) => self.block_ack(v, Body::NegAck, sector, request.block_id, request.size),
            }
        }
        if let Err(error) = result {
            self.log_volume(
                v,
                Level::Error,
                alloc::format!("write: error=10 s={sector}s"),
            );
            self.mark_out_of_sync(v, sector, length);
            self.local_io_error(v, "drbd_endio_write_sec_final", Mark::empty(), error);
        }
        if request.al == AlReference::Held {
            self.leave_activity_log(v, sector, length);
        }
        if current && let Some(link) = self.conn.link.as_mut() {
            link.incoming.active -= 1;
        }
        self.check_barrier();
    }

    fn acknowledge_write(&mut self, v: usize, request: &PeerRequest<B>) {
        let conn = self.volumes[v].state.conn;
        let syncing = conn >= ConnState::SyncSource && conn <= ConnState::PausedSyncT;
        if syncing && request.flags.contains(DataFlags::MAY_SET_IN_SYNC) {
            self.mark_in_sync(v, request.sector, request.length());
            self.block_ack(
                v,
                Body::RsWriteAck,
                request.sector,
                request.block_id,
                request.size,
            );
        } else if request.flags.contains(DataFlags::SEND_WRITE_ACK) {
            self.block_ack(
                v,
                Body::WriteAck,
                request.sector,
                request.block_id,
                request.size,
            );
        }
    }

    fn peer_read_done(
        &mut self,
        v: usize,
        request: &PeerRequest<B>,
        current: bool,
        result: Result<Option<B>, DiskError>,
    ) {
        if let Err(error) = result {
            self.local_io_error(v, "drbd_endio_read_sec_final", Mark::WAS_READ_ERROR, error);
        }
        if !current {
            return;
        }
        match result.ok().flatten() {
            Some(data) => {
                let header = ReplyHeader {
                    sector: request.sector,
                    block_id: request.block_id,
                    size: ByteLen(request.size),
                };
                self.volumes[v].counters.net_send.0 += request.length().0;
                self.send(v, Socket::Data, Body::DataReply(header), Some(data));
            }
            None => {
                self.log_volume(
                    v,
                    Level::Error,
                    alloc::format!("Sending NegDReply. sector={}s.", request.sector),
                );
                self.block_ack(
                    v,
                    Body::NegDReply,
                    request.sector,
                    request.block_id,
                    request.size,
                );
            }
        }
    }

    fn retry_waiting_peer_writes(&mut self, v: usize) {
        let waiting: Vec<Key> = self.volumes[v].resync.waiting_writes.drain(..).collect();
        for key in waiting {
            self.submit_peer_write(v, key);
        }
    }

    // --- barriers

    /// P_BARRIER: nothing that follows may be written before this epoch is stable.
    pub(crate) fn receive_barrier(&mut self, barrier: BarrierId) {
        if let Some(link) = self.conn.link.as_mut() {
            link.receiver.hold = Some(Hold::Barrier(barrier));
        }
        self.check_barrier();
    }

    fn check_barrier(&mut self) {
        let Some(link) = self.conn.link.as_mut() else {
            return;
        };
        let Some(Hold::Barrier(_)) = link.receiver.hold else {
            return;
        };
        if link.incoming.active > 0 || link.incoming.flushes > 0 {
            return;
        }
        if self.write_ordering() < WriteOrdering::Flush {
            self.acknowledge_barrier();
            return;
        }
        let disks: Vec<usize> = (0..self.volumes.len())
            .filter(|&v| self.volumes[v].disk.is_some())
            .collect();
        if disks.is_empty() {
            self.acknowledge_barrier();
            return;
        }
        let Some(link) = self.conn.link.as_mut() else {
            return;
        };
        link.incoming.flushes = disks.len() as u32;
        let id = link.id;
        for v in disks {
            self.disk_io(v, DiskPurpose::Barrier(id), DiskIo::Flush);
        }
    }

    /// A flush for a barrier ended. A failing flush lowers the method to drain, as the kernel does.
    pub(crate) fn barrier_flushed(&mut self, v: usize, id: LinkId, result: Result<(), DiskError>) {
        if result.is_err() {
            self.log_volume(v, Level::Error, "local disk FLUSH FAILED with status 10");
            self.lower_write_ordering();
        }
        let Some(link) = self.conn.link.as_mut().filter(|link| link.id == id) else {
            return;
        };
        link.incoming.flushes -= 1;
        if link.incoming.flushes == 0 {
            self.acknowledge_barrier();
        }
    }

    fn acknowledge_barrier(&mut self) {
        let Some(link) = self.conn.link.as_mut() else {
            return;
        };
        let Some(Hold::Barrier(barrier)) = link.receiver.hold.take() else {
            return;
        };
        let set_size = core::mem::take(&mut link.incoming.writes);
        if set_size > 0 {
            self.send_connection(
                Socket::Meta,
                Body::BarrierAck(BarrierAck { barrier, set_size }),
            );
        }
    }

    // --- tools

    pub(crate) fn block_ack(
        &mut self,
        v: usize,
        body: impl FnOnce(BlockAck) -> Body,
        sector: Sector,
        block_id: BlockId,
        size: u32,
    ) {
        let seq = self.volumes[v].next_seq();
        self.send(
            v,
            Socket::Meta,
            body(BlockAck {
                sector,
                block_id,
                size: ByteLen(size),
                seq,
            }),
            None,
        );
    }

    pub(crate) fn check_range(&self, v: usize, sector: Sector, size: u32) -> Result<(), Malformed> {
        let capacity = self.volumes[v].size;
        if fits(sector, size, capacity) {
            return Ok(());
        }
        Err(Malformed(alloc::format!(
            "request from peer beyond end of local disk: capacity: {capacity}s < sector: {sector}s + size: {size}"
        )))
    }
}
