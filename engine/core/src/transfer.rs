//! What was sent and is not yet stable on the peer: epochs, flushes, and what a lost or resumed
//! connection means for them (spec 60 sections 8.5 and 8.10, spec 50 section 10.4).

use alloc::vec::Vec;

use drbd_types::{DiskState, VolumeNr};
use drbd_wire::{Body, Socket};

use crate::effect::{DiskIo, IoError};
use crate::epoch::{Flush, Logged, Stability};
use crate::input::{DiskError, IoId, Payload};
use crate::machine::{Dirty, DiskPurpose, Resource};
use crate::request::{Kind, Stage};
use crate::slab::Key;

impl<B: Payload> Resource<B> {
    /// An empty flush ends the epoch and completes with the local flush. Without a local disk it
    /// completes when the peer has declared the epoch stable; the kernel module does not wait for
    /// that, but a flush that proves nothing is worth nothing.
    pub(crate) fn start_flush(&mut self, v: usize, id: IoId) {
        self.close_epoch();
        let volume = self.volumes[v].nr;
        if self.volumes[v].has_data_disk() {
            return self.disk_io(v, DiskPurpose::ApplicationFlush(id), DiskIo::Flush);
        }
        if self.state(v).pdsk < DiskState::UpToDate {
            return self.finish_flush(v, id, Err(DiskError::Io));
        }
        match self.conn.log.await_stability(Flush { volume, id }) {
            Stability::Reached => self.finish_flush(v, id, Ok(())),
            Stability::Awaited => {}
            Stability::Unknown => self.finish_flush(v, id, Err(DiskError::Io)),
        }
    }

    fn finish_remote_flushes(&mut self, flushes: &[Flush], result: Result<(), DiskError>) {
        for flush in flushes {
            if let Some(v) = self.index(flush.volume) {
                self.finish_flush(v, flush.id, result);
            }
        }
    }

    pub(crate) fn finish_flush(&mut self, v: usize, id: IoId, result: Result<(), DiskError>) {
        self.volumes[v].counters.application -= 1;
        self.complete_io(v, id, result.map(|()| None).map_err(|_| IoError::Io));
    }

    /// Ends the open epoch and tells the peer.
    pub(crate) fn close_epoch(&mut self) {
        if let Some(barrier) = self.conn.log.close(self.now) {
            self.send_connection(Socket::Data, Body::Barrier(barrier));
        }
    }

    /// The peer declared an epoch stable.
    pub(crate) fn epoch_stable(&mut self, epoch: Logged) {
        self.finish_remote_flushes(&epoch.flushes, Ok(()));
        let requests = epoch.requests;
        for &key in &requests {
            let Some(request) = self.requests.get_mut(key) else {
                continue;
            };
            let nr = request.volume;
            request.stage.remove(Stage::IN_LOG);
            let pending = request.stage.contains(Stage::NET_PENDING);
            let completed = request.stage.contains(Stage::COMPLETED);
            let Some(v) = self.index(nr) else { continue };
            if pending {
                self.net_done(v, key, true, Stage::empty());
            } else if completed {
                self.finalize(v, key);
            }
        }
        self.conn.log.recycle(requests);
        if self.conn.log.is_empty() && !self.waiting.is_empty() {
            // A demotion waits for this.
            self.state_changed = Dirty::Yes;
        }
    }

    /// The connection is gone: what was not declared stable counts as not replicated
    /// (spec 50 section 10.4).
    pub(crate) fn clear_transfer_log(&mut self) {
        let lost = self.conn.log.clear();
        self.finish_remote_flushes(&lost.flushes, Err(DiskError::Io));
        for key in lost.requests {
            let Some(request) = self.requests.get_mut(key) else {
                continue;
            };
            let nr = request.volume;
            request
                .stage
                .remove(Stage::IN_LOG | Stage::NET_OK | Stage::IN_SYNC_ON_PEER);
            let completed = request.stage.contains(Stage::COMPLETED);
            let Some(v) = self.index(nr) else { continue };
            if completed {
                self.finalize(v, key);
            } else {
                self.net_done(v, key, false, Stage::empty());
            }
        }
        self.retry_remote_reads();
    }

    /// The peer has lost its disk: what it had not declared stable may be lost with it.
    pub(crate) fn distrust_unstable_writes(&mut self, v: usize) {
        let nr = self.volumes[v].nr;
        let logged: Vec<Key> = self.conn.log.requests().collect();
        for key in logged {
            if let Some(request) = self.requests.get_mut(key).filter(|r| r.volume == nr) {
                request.stage.remove(Stage::NET_OK | Stage::IN_SYNC_ON_PEER);
            }
        }
    }

    pub(crate) fn retry_remote_reads(&mut self) {
        let lost: Vec<(Key, VolumeNr)> = self
            .requests
            .iter()
            .filter(|(_, r)| r.kind == Kind::Read && r.stage.contains(Stage::NET_PENDING))
            .map(|(key, r)| (key, r.volume))
            .collect();
        for (key, nr) in lost {
            let Some(v) = self.index(nr) else { continue };
            self.stage(key, Stage::empty(), Stage::NET_PENDING);
            self.volumes[v].counters.answered(1);
            self.start_read(v, key);
        }
    }

    /// I/O is not suspended any more: hand out what was held back, start what waited.
    pub(crate) fn release_held(&mut self) {
        let mut held: Vec<(IoId, Key, VolumeNr, Kind)> = self
            .requests
            .iter()
            .filter(|(_, r)| r.stage.contains(Stage::HELD))
            .map(|(key, r)| (r.id, key, r.volume, r.kind))
            .collect();
        held.sort_by_key(|entry| entry.0);
        for (_, key, nr, kind) in held {
            let Some(v) = self.index(nr) else { continue };
            self.stage(key, Stage::empty(), Stage::HELD);
            if kind == Kind::Read {
                self.start_read(v, key)
            } else {
                self.maybe_complete(v, key)
            }
        }
        for v in 0..self.volumes.len() {
            for key in core::mem::take(&mut self.volumes[v].frozen) {
                self.submit_write(v, key);
            }
            self.drain_stalled(v);
        }
    }

    /// Sends the unacknowledged writes of a suspended transfer log again (spec 60 section 8.10).
    pub(crate) fn resend_transfer_log(&mut self) {
        let Logged { requests, flushes } = self.conn.log.clear();
        for key in requests {
            let Some(request) = self.requests.get_mut(key) else {
                continue;
            };
            let nr = request.volume;
            let acknowledged = request.stage.contains(Stage::NET_OK);
            request.stage.remove(Stage::IN_LOG);
            let completed = request.stage.contains(Stage::COMPLETED);
            let Some(v) = self.index(nr) else { continue };
            if acknowledged || completed {
                if completed {
                    self.finalize(v, key);
                }
                continue;
            }
            let request = self.requests.get(key);
            if request.is_some_and(|r| r.stage.contains(Stage::NET_PENDING)) {
                self.volumes[v].counters.answered(1);
            }
            self.send_write(v, key);
        }
        for flush in flushes {
            if let Some(v) = self.index(flush.volume) {
                self.start_flush(v, flush.id);
            }
        }
    }
}
