//! Application requests: admission, reads, writes, completion (spec 60 sections 8.2 to 8.5).
//!
//! A write passes these stations: *stalled* until the state admits it and no overlapping write
//! is in progress; *cold* until its activity-log extents are on stable storage; then it goes to
//! the local disk and to the peer at once; completed when both have answered; and it leaves the
//! transfer log when the peer has declared its epoch stable.

use drbd_types::{ConnState, DiskState, Sector, SectorCount};
use drbd_wire::{BlockId, BlockRequest, Body, ByteLen, DataFlags, DataHeader, Features, Socket};

use crate::effect::{DiskIo, Effect, IoError, Level};
use crate::input::{DiskError, Durability, IoId, IoRequest, Payload};
use crate::machine::{DiskPurpose, Resource};
use crate::slab::Key;
use crate::state_rules;
use crate::time::Instant;
use crate::volume::{Mark, Stalled};
use drbd_types::{Protocol, Role, VolumeNr};

bitflags::bitflags! {
    /// How far a request has come.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(crate) struct Stage: u16 {
        /// The local disk works on it.
        const LOCAL_PENDING = 1;
        /// The local disk has done it.
        const LOCAL_OK = 1 << 1;
        /// The peer owes an answer.
        const NET_PENDING = 1 << 2;
        /// The peer has it (per protocol).
        const NET_OK = 1 << 3;
        /// It was sent as data and is in the transfer log.
        const IN_LOG = 1 << 4;
        /// It holds references to its activity-log extents.
        const IN_AL = 1 << 5;
        /// The application has its answer.
        const COMPLETED = 1 << 6;
        /// The packet said that the bits may be cleared.
        const MAY_SET_IN_SYNC = 1 << 7;
        /// The peer cleared its bits.
        const IN_SYNC_ON_PEER = 1 << 8;
        /// Complete but held back while I/O is suspended.
        const HELD = 1 << 9;
        /// The driver will report when TCP has it (protocol A).
        const AWAITS_SENT = 1 << 10;
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Read,
    Write,
    Discard,
    WriteZeroes,
}

/// An application request in progress.
pub(crate) struct Request<B> {
    pub(crate) volume: VolumeNr,
    pub(crate) id: IoId,
    pub(crate) kind: Kind,
    pub(crate) sector: Sector,
    pub(crate) size: u32,
    pub(crate) data: Option<B>,
    pub(crate) durability: Durability,
    pub(crate) stage: Stage,
    pub(crate) epoch: u32,
    /// When it was handed to the peer.
    pub(crate) sent_at: Option<Instant>,
}

impl<B> Request<B> {
    pub(crate) const fn length(&self) -> SectorCount {
        SectorCount(self.size as u64 / 512)
    }
}

/// Whether a range lies on a device of this size; requests are whole sectors.
pub(crate) fn fits(sector: Sector, size: u32, device: SectorCount) -> bool {
    size != 0
        && size.is_multiple_of(512)
        && sector
            .checked_add(SectorCount(u64::from(size) / 512))
            .is_some_and(|end| end.0 <= device.0)
}

impl<B: Payload> Resource<B> {
    /// A request of the block device.
    pub(crate) fn io(&mut self, v: usize, id: IoId, request: IoRequest<B>) {
        let volume = &self.volumes[v];
        let refusal = match &request {
            _ if volume.state.role != Role::Primary => Some(IoError::ReadOnly),
            IoRequest::Flush => None,
            IoRequest::Read { sector, size }
            | IoRequest::Discard { sector, size }
            | IoRequest::WriteZeroes { sector, size } => {
                (!fits(*sector, *size, volume.size)).then_some(IoError::Invalid)
            }
            IoRequest::Write { sector, data, .. } => {
                (!fits(*sector, data.size(), volume.size)).then_some(IoError::Invalid)
            }
        };
        let refusal = refusal.or_else(|| self.peer_cannot(v, &request));
        if let Some(error) = refusal {
            self.complete_io(v, id, Err(error));
            return;
        }
        self.volumes[v].counters.application += 1;
        if self.volumes[v].stalled.is_empty() && self.admits(v, &request) {
            self.start_io(v, id, request);
        } else {
            self.volumes[v].stalled.push_back(Stalled { id, request });
        }
    }

    /// A discard or zero-out that would have to be mirrored to a peer that does not know it.
    fn peer_cannot(&self, v: usize, request: &IoRequest<B>) -> Option<IoError> {
        let needed = match request {
            IoRequest::Discard { .. } => Features::TRIM,
            IoRequest::WriteZeroes { .. } => Features::WRITE_ZEROES,
            _ => return None,
        };
        let agreed = self.conn.agreed()?;
        let mirrored = state_rules::replicates(&self.volumes[v].state);
        (mirrored && !agreed.features.contains(needed)).then_some(IoError::Unsupported)
    }

    /// Starts what the state admits now, in order of arrival.
    pub(crate) fn drain_stalled(&mut self, v: usize) {
        while let Some(first) = self.volumes[v].stalled.pop_front() {
            if !self.admits(v, &first.request) {
                self.volumes[v].stalled.push_front(first);
                return;
            }
            self.start_io(v, first.id, first.request);
        }
    }

    fn admits(&self, v: usize, request: &IoRequest<B>) -> bool {
        let volume = &self.volumes[v];
        let state = &volume.state;
        let limit = self
            .conn
            .net
            .as_ref()
            .map_or(2048, |net| net.max_buffers as usize);
        if state.suspended()
            || matches!(state.conn, ConnState::WfBitMapT | ConnState::WfSyncUuid)
            || matches!(state.disk, DiskState::Attaching | DiskState::Negotiating)
            || self.requests.len() >= limit
            || self.io_frozen > 0
        {
            return false;
        }
        let (sector, size) = match request {
            IoRequest::Flush | IoRequest::Read { .. } => return true,
            IoRequest::Write { sector, data, .. } => (*sector, data.size()),
            IoRequest::Discard { sector, size } | IoRequest::WriteZeroes { sector, size } => {
                (*sector, *size)
            }
        };
        !volume
            .writing
            .overlaps(sector, SectorCount(u64::from(size) / 512))
    }

    fn start_io(&mut self, v: usize, id: IoId, request: IoRequest<B>) {
        match request {
            IoRequest::Flush => self.start_flush(v, id),
            IoRequest::Read { sector, size } => {
                let key =
                    self.new_request(v, id, Kind::Read, sector, size, None, Durability::Cached);
                self.start_read(v, key);
            }
            IoRequest::Write {
                sector,
                data,
                durability,
            } => {
                let size = data.size();
                let key =
                    self.new_request(v, id, Kind::Write, sector, size, Some(data), durability);
                self.start_write(v, key);
            }
            IoRequest::Discard { sector, size } => {
                let key =
                    self.new_request(v, id, Kind::Discard, sector, size, None, Durability::Cached);
                self.start_write(v, key);
            }
            IoRequest::WriteZeroes { sector, size } => {
                let key = self.new_request(
                    v,
                    id,
                    Kind::WriteZeroes,
                    sector,
                    size,
                    None,
                    Durability::Cached,
                );
                self.start_write(v, key);
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of a request, once")]
    fn new_request(
        &mut self,
        v: usize,
        id: IoId,
        kind: Kind,
        sector: Sector,
        size: u32,
        data: Option<B>,
        durability: Durability,
    ) -> Key {
        self.requests.insert(Request {
            volume: self.volumes[v].nr,
            id,
            kind,
            sector,
            size,
            data,
            durability,
            stage: Stage::empty(),
            epoch: 0,
            sent_at: None,
        })
    }

    // --- reads

    pub(crate) fn start_read(&mut self, v: usize, key: Key) {
        let Some(request) = self.requests.get(key) else {
            return;
        };
        let (sector, size, length) = (request.sector, request.size, request.length());
        let volume = &self.volumes[v];
        let local = match volume.state.disk {
            DiskState::UpToDate => volume.disk.is_some(),
            DiskState::Inconsistent => volume
                .disk
                .as_ref()
                .is_some_and(|disk| !disk.bitmap.any_set(sector, length)),
            _ => false,
        };
        if local {
            self.stage(key, Stage::LOCAL_PENDING, Stage::empty());
            self.volumes[v].counters.disk_read.0 += length.0;
            self.disk_io(
                v,
                DiskPurpose::ApplicationRead(key),
                DiskIo::Read { sector, size },
            );
        } else if volume.state.pdsk == DiskState::UpToDate && self.conn.up().is_some() {
            self.stage(key, Stage::NET_PENDING, Stage::empty());
            if let Some(request) = self.requests.get_mut(key) {
                request.sent_at = Some(self.now);
            }
            self.volumes[v].counters.pending += 1;
            let body = Body::DataRequest(BlockRequest {
                sector,
                block_id: BlockId(key.0),
                size: ByteLen(size),
            });
            self.send(v, Socket::Data, body, None);
        } else if volume.state.suspended() {
            self.stage(key, Stage::HELD, Stage::empty());
        } else {
            self.fail_without_data(v, key);
        }
    }

    /// A local read ended.
    pub(crate) fn read_done(&mut self, v: usize, key: Key, result: Result<Option<B>, DiskError>) {
        self.stage(key, Stage::empty(), Stage::LOCAL_PENDING);
        match result {
            Ok(data) => self.finish_read(v, key, Ok(data)),
            Err(error) => {
                let Some(request) = self.requests.get(key) else {
                    return;
                };
                let (sector, length) = (request.sector, request.length());
                self.log_volume(
                    v,
                    Level::Error,
                    alloc::format!(
                        "local READ IO error sector {sector}+{length} on {}",
                        self.disk_name(v)
                    ),
                );
                self.mark_out_of_sync(v, sector, length);
                self.local_io_error(v, "__req_mod", Mark::WAS_READ_ERROR, error);
                self.start_read(v, key);
            }
        }
    }

    pub(crate) fn finish_read(&mut self, v: usize, key: Key, result: Result<Option<B>, IoError>) {
        let Some(request) = self.requests.remove(key) else {
            return;
        };
        self.volumes[v].counters.application -= 1;
        self.complete_io(v, request.id, result);
        self.drain_stalled(v);
    }

    fn fail_without_data(&mut self, v: usize, key: Key) {
        let Some(request) = self.requests.get(key) else {
            return;
        };
        let (kind, sector, length) = (request.kind, request.sector, request.length());
        let text =
            alloc::format!("IO ERROR: neither local nor remote data, sector {sector}+{length}");
        self.log_volume(v, Level::Error, text);
        if kind == Kind::Read {
            self.finish_read(v, key, Err(IoError::Io));
        } else {
            self.maybe_complete(v, key);
        }
    }

    // --- writes

    fn start_write(&mut self, v: usize, key: Key) {
        let Some(request) = self.requests.get(key) else {
            return;
        };
        let (sector, length) = (request.sector, request.length());
        self.volumes[v].writing.insert(key, sector, length);
        if self.enter_activity_log(v, key) {
            self.submit_write(v, key);
        }
    }

    /// Sends a write to the local disk and to the peer.
    pub(crate) fn submit_write(&mut self, v: usize, key: Key) {
        let Some(request) = self.requests.get(key) else {
            return;
        };
        let (kind, sector, length, durability) = (
            request.kind,
            request.sector,
            request.length(),
            request.durability,
        );
        let (size, data) = (request.size, request.data.clone());
        if self.volumes[v].state.suspended() {
            // Whether the peer gets it is decided when I/O goes on: the generation of the data
            // must not change behind a write that is on this disk only.
            self.volumes[v].frozen.push(key);
            return;
        }
        let volume = &self.volumes[v];
        let state = volume.state;
        let disk = volume.has_data_disk();
        let linked = self.conn.up().is_some();
        let usable = state.disk == DiskState::UpToDate || state.pdsk == DiskState::UpToDate;
        let mirrored = linked && state_rules::replicates(&state);
        let somewhere = if disk { usable } else { mirrored };
        if !somewhere {
            self.fail_without_data(v, key);
            return;
        }
        if linked && state_rules::replicates(&state) {
            self.send_write(v, key);
        } else if linked && state_rules::sends_out_of_sync(&state) {
            self.send_out_of_sync(v, sector, length);
        }
        if disk {
            if !(linked && state_rules::replicates(&state)) {
                // Before the write starts: a bitmap exchange that begins meanwhile must know.
                self.mark_out_of_sync(v, sector, length);
            }
            self.stage(key, Stage::LOCAL_PENDING, Stage::empty());
            self.volumes[v].counters.disk_write.0 += length.0;
            let io = match (kind, data) {
                (Kind::Discard, _) => DiskIo::Discard { sector, size },
                (_, Some(data)) => DiskIo::Write {
                    sector,
                    data,
                    durability,
                },
                (_, None) => DiskIo::WriteZeroes { sector, size },
            };
            self.disk_io(v, DiskPurpose::ApplicationWrite(key), io);
        }
    }

    pub(crate) fn send_write(&mut self, v: usize, key: Key) {
        let state = self.volumes[v].state;
        let seq = self.volumes[v].next_seq();
        let protocol = self
            .conn
            .net
            .as_ref()
            .map_or(Protocol::C, |net| net.protocol);
        let epoch = self.conn.log.current();
        let now = self.now;
        let in_sync = state.conn >= ConnState::SyncSource && state.conn <= ConnState::PausedSyncT;
        let Some(request) = self.requests.get_mut(key) else {
            return;
        };
        let mut flags = DataFlags::RW_SYNC;
        flags.set(DataFlags::MAY_SET_IN_SYNC, in_sync);
        flags.set(DataFlags::FUA, request.durability == Durability::Fua);
        flags.set(
            DataFlags::SEND_RECEIVE_ACK,
            protocol == Protocol::B && !in_sync,
        );
        flags.set(
            DataFlags::SEND_WRITE_ACK,
            protocol == Protocol::C || in_sync,
        );
        request.stage |= Stage::NET_PENDING | Stage::IN_LOG;
        request.stage.set(Stage::MAY_SET_IN_SYNC, in_sync);
        request
            .stage
            .set(Stage::AWAITS_SENT, protocol == Protocol::A && !in_sync);
        request.epoch = epoch;
        request.sent_at = Some(now);
        let mut header = DataHeader {
            sector: request.sector,
            block_id: BlockId(key.0),
            seq,
            flags,
            size: ByteLen(request.size),
        };
        let payload = request.data.clone();
        let length = request.length();
        let body = match request.kind {
            Kind::Discard => {
                header.flags |= DataFlags::DISCARD;
                Body::Trim(header)
            }
            Kind::WriteZeroes => {
                header.flags |= DataFlags::ZEROES;
                Body::Zeroes(header)
            }
            Kind::Read | Kind::Write => Body::Data(header),
        };
        let awaits_sent = request.stage.contains(Stage::AWAITS_SENT);
        self.volumes[v].counters.net_send.0 += length.0;
        self.volumes[v].counters.pending += 1;
        self.send(v, Socket::Data, body, payload);
        if awaits_sent {
            self.await_sent(key);
        }
        let held = self.conn.log.add(key);
        if self
            .conn
            .net
            .as_ref()
            .is_some_and(|net| held >= net.max_epoch_size)
        {
            self.close_epoch();
        }
    }

    /// A local write ended.
    pub(crate) fn write_done(&mut self, v: usize, key: Key, result: Result<Option<B>, DiskError>) {
        let Some(request) = self.requests.get_mut(key) else {
            return;
        };
        request.stage.remove(Stage::LOCAL_PENDING);
        let (kind, sector, length) = (request.kind, request.sector, request.length());
        match result {
            Ok(_) => request.stage |= Stage::LOCAL_OK,
            // A device that cannot discard keeps its data: the peers merely differ there.
            Err(DiskError::Unsupported) if kind != Kind::Write => {}
            Err(error) => {
                let text = alloc::format!(
                    "local WRITE IO error sector {sector}+{length} on {}",
                    self.disk_name(v)
                );
                self.log_volume(v, Level::Error, text);
                self.local_io_error(v, "__req_mod", Mark::empty(), error);
            }
        }
        self.maybe_complete(v, key);
    }

    /// The peer answered a write.
    pub(crate) fn net_done(&mut self, v: usize, key: Key, ok: bool, extra: Stage) {
        let Some(request) = self.requests.get_mut(key) else {
            return;
        };
        if request.stage.contains(Stage::NET_PENDING) {
            request.stage.remove(Stage::NET_PENDING);
            self.volumes[v].counters.answered(1);
        }
        request.stage.set(Stage::NET_OK, ok);
        request.stage |= extra;
        self.maybe_complete(v, key);
    }

    /// Completes a write to the application when nothing is owed any more.
    pub(crate) fn maybe_complete(&mut self, v: usize, key: Key) {
        let Some(request) = self.requests.get_mut(key) else {
            return;
        };
        if request
            .stage
            .intersects(Stage::LOCAL_PENDING | Stage::NET_PENDING | Stage::COMPLETED)
        {
            return;
        }
        if self.volumes[v].state.suspended() {
            request.stage |= Stage::HELD;
            return;
        }
        request.stage |= Stage::COMPLETED;
        request.stage.remove(Stage::HELD);
        // A copy on a disk that will be overwritten by a resync is no promise.
        let local = request.stage.contains(Stage::LOCAL_OK)
            && self.volumes[v].state.disk == DiskState::UpToDate;
        let good = local || request.stage.contains(Stage::NET_OK);
        let (id, sector, in_log, epoch) = (
            request.id,
            request.sector,
            request.stage.contains(Stage::IN_LOG),
            request.epoch,
        );
        self.volumes[v].writing.remove(key, sector);
        self.volumes[v].counters.application -= 1;
        self.note_durability_of_divergence(v, key);
        self.complete_io(v, id, if good { Ok(None) } else { Err(IoError::Io) });
        if in_log {
            if epoch == self.conn.log.current() {
                self.close_epoch();
            }
        } else {
            self.finalize(v, key);
        }
        self.retry_resync_locks(v);
        self.drain_stalled(v);
    }

    /// The end of a write: decide what the bitmap says, drop the activity-log references.
    pub(crate) fn finalize(&mut self, v: usize, key: Key) {
        let Some(request) = self.requests.remove(key) else {
            return;
        };
        let (sector, length) = (request.sector, request.length());
        let both = request.stage.contains(Stage::LOCAL_OK | Stage::NET_OK);
        #[cfg(feature = "planted-bugs")]
        let both = both || self.planted == Some(crate::planted::Bug::ForgetBitsOnConnectionLoss);
        if !both {
            self.note_divergence(v, sector, length);
        } else if request.stage.contains(Stage::IN_SYNC_ON_PEER) {
            self.mark_in_sync(v, sector, length);
        }
        if request.stage.contains(Stage::IN_AL) {
            self.leave_activity_log(v, sector, length);
        }
    }

    /// Bits must be set before the application learns that only one node has its data, so that
    /// the bitmap is never behind what was promised.
    fn note_durability_of_divergence(&mut self, v: usize, key: Key) {
        #[cfg(feature = "planted-bugs")]
        if self.planted == Some(crate::planted::Bug::ForgetBitsOnConnectionLoss) {
            return;
        }
        let Some(request) = self.requests.get(key) else {
            return;
        };
        if !request.stage.contains(Stage::LOCAL_OK | Stage::NET_OK) {
            let (sector, length) = (request.sector, request.length());
            self.note_divergence(v, sector, length);
        }
    }

    /// Only one node has a write. A peer that is about to be the target of a resync has got this
    /// node's bitmap already, so it has to be told (a write that it refused while it had no disk).
    fn note_divergence(&mut self, v: usize, sector: Sector, length: SectorCount) {
        match self.state(v).conn {
            ConnState::WfBitMapS | ConnState::SyncSource | ConnState::PausedSyncS => {
                self.send_out_of_sync(v, sector, length);
            }
            _ => {
                self.mark_out_of_sync(v, sector, length);
            }
        }
    }

    pub(crate) fn stage(&mut self, key: Key, set: Stage, clear: Stage) {
        if let Some(request) = self.requests.get_mut(key) {
            request.stage.remove(clear);
            request.stage.insert(set);
        }
    }

    pub(crate) fn complete_io(&mut self, v: usize, id: IoId, result: Result<Option<B>, IoError>) {
        let volume = self.volumes[v].nr;
        self.outbox.push(Effect::Complete { volume, id, result });
    }
}
