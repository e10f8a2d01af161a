//! Meta-data: generation UUIDs, bits, activity log, and when each reaches the disk
//! (spec 60 sections 2.3 and 6).

use alloc::vec::Vec;

use drbd_types::units::AL_EXTENT_SECTORS;
use drbd_types::{ConnState, DiskState, Role, Sector, SectorCount, StateMask, Uuid};
use drbd_wire::{BlockDesc, Body, ByteLen, Socket};

use crate::activity_log::{AlExtent, Enter, Resized};
use crate::bitmap::WriteOut;
use crate::change::Check;
use crate::config::{AlUpdates, OnIoError, WriteOrdering};
use crate::effect::{HelperSubject, Level, MetaIo, MetaOrder, SuperblockUpdate};
use crate::input::{ClearBitmap, DiskError, Payload};
use crate::machine::{HelperPurpose, MetaPurpose, Resource};
use crate::peer_request::AlReference;
use crate::request::Stage;
use crate::resync_extents::ResyncExtent;
use crate::slab::Key;
use crate::time::Duration;
use crate::uuid_rules::Rotate;
use crate::volume::Mark;
use drbd_types::UuidFlags;

/// Bits that a resync clears reach the disk when a resync extent is clean, but not more often
/// than this.
const CLEARED_BITS: Duration = Duration::from_secs(2);

/// A write that waits for its activity-log extents.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cold {
    Application(Key),
    Peer(Key),
}

impl<B: Payload> Resource<B> {
    // --- superblock

    /// Writes the superblock if it changed; everything that follows waits for it.
    pub(crate) fn sync_superblock(&mut self, v: usize) {
        if self.volumes[v].marks.contains(Mark::MD_DIRTY) {
            self.write_superblock(v);
        }
    }

    pub(crate) fn write_superblock(&mut self, v: usize) {
        let volume = &mut self.volumes[v];
        volume.marks.remove(Mark::MD_DIRTY);
        if !volume.has_meta_disk() {
            return;
        }
        let Some(disk) = &volume.disk else { return };
        let update = SuperblockUpdate {
            uuids: disk.uuids,
            flags: disk.flags,
            last_agreed: disk.last_agreed,
            al_extents: disk.conf.al_extents,
            peer_max_bio: disk.peer_max_bio,
        };
        // Without the flags and generations that it had, an older content of a block would pass
        // for good.
        let (purpose, order) = (MetaPurpose::Gate, MetaOrder::AfterDataFlush);
        self.meta_io(v, purpose, order, MetaIo::Superblock(update));
    }

    // --- data generations

    /// The operation "new current UUID": the old one becomes the bitmap UUID.
    pub(crate) fn new_generation(&mut self, v: usize) {
        let random = Uuid(self.rng.next());
        let role = self.state(v).role;
        let volume = &mut self.volumes[v];
        let Some(disk) = volume.disk.as_mut() else {
            return;
        };
        let lost = disk.uuids.new_current(random, role);
        volume.exposed_uuid = disk.uuids.current;
        volume.marks |= Mark::MD_DIRTY;
        let text = alloc::format!("new current UUID {}", disk.uuids);
        if let Some(lost) = lost {
            self.log_volume(
                v,
                Level::Info,
                alloc::format!("bm UUID was already set: {:X}", lost.0),
            );
        }
        self.log_volume(v, Level::Info, text);
        self.write_superblock(v);
    }

    /// Bit 0 of the current UUID says whether this node is Primary.
    pub(crate) fn adopt_role_bit(&mut self, v: usize) {
        let role = self.state(v).role;
        let volume = &mut self.volumes[v];
        let Some(disk) = volume.disk.as_mut() else {
            return;
        };
        let current = disk.uuids.current.with_role(role);
        if current != disk.uuids.current {
            disk.uuids.current = current;
            volume.marks |= Mark::MD_DIRTY;
        }
        // A disk that is being attached may hold other data than the device has shown.
        if volume.state.disk > DiskState::Negotiating || volume.exposed_uuid.is_empty() {
            volume.exposed_uuid = current;
        }
    }

    /// A generation that was owed while I/O was frozen.
    pub(crate) fn take_owed_generation(&mut self, v: usize) {
        if self.volumes[v].marks.contains(Mark::NEW_CUR_UUID) {
            self.volumes[v].marks.remove(Mark::NEW_CUR_UUID);
            self.new_generation(v);
        }
    }

    /// new-current-uuid on a StandAlone node.
    pub(crate) fn rotate_to_new_generation(&mut self, v: usize, bitmap: ClearBitmap) {
        if let Some(disk) = self.volumes[v].disk.as_mut() {
            disk.uuids.rotate_bitmap(Uuid::EMPTY);
        }
        self.new_generation(v);
        if bitmap == ClearBitmap::Clear {
            self.clear_bitmap(v);
        }
    }

    /// new-current-uuid --clear-bitmap on a just created, connected pair (spec 60 section 2.3).
    pub(crate) fn skip_initial_sync(&mut self, v: usize) {
        self.log_volume(v, Level::Info, "Preparing to skip initial sync");
        self.rotate_to_new_generation(v, ClearBitmap::Clear);
        self.send_uuids(v, UuidFlags::SKIP_INITIAL_SYNC);
        if let Some(disk) = self.volumes[v].disk.as_mut() {
            disk.uuids.bitmap = Uuid::EMPTY;
            let text = alloc::format!("cleared bitmap UUID {}", disk.uuids);
            let uuids = disk.uuids;
            if let Some(peer) = self.volumes[v].peer_uuids.as_mut() {
                // The peer takes this generation over and does not report it again.
                peer.uuids = uuids;
            }
            self.log_volume(v, Level::Info, text);
        }
        self.volumes[v].marks |= Mark::MD_DIRTY;
        self.both_up_to_date(v);
    }

    pub(crate) fn both_up_to_date(&mut self, v: usize) {
        let mask = StateMask {
            disk: Some(DiskState::UpToDate),
            pdsk: Some(DiskState::UpToDate),
            ..StateMask::NOTHING
        };
        self.change(v, mask, Check::Soft);
        self.sync_superblock(v);
    }

    // --- bitmap

    pub(crate) fn mark_out_of_sync(
        &mut self,
        v: usize,
        sector: Sector,
        length: SectorCount,
    ) -> u64 {
        let Some(disk) = self.volumes[v].disk.as_mut() else {
            return 0;
        };
        disk.bitmap.set_range(sector, length)
    }

    pub(crate) fn mark_in_sync(&mut self, v: usize, sector: Sector, length: SectorCount) {
        let now = self.now;
        let volume = &mut self.volumes[v];
        let Some(disk) = volume.disk.as_mut() else {
            return;
        };
        let cleared = disk.bitmap.clear_range(sector, length);
        if cleared == 0 {
            return;
        }
        let left = disk.bitmap.weight().saturating_sub(volume.resync.failed);
        volume.resync.progress(now, left);
        let (start, size) = ResyncExtent::of(sector.bit()).range();
        let due = (volume.resync.bits_written).is_some_and(|at| now.since(at) >= CLEARED_BITS);
        if due && !disk.bitmap.any_set(start, size) {
            volume.resync.bits_written = Some(now);
            self.write_dirty_bitmap(v);
        }
        self.check_resync_finished(v);
    }

    /// A write of a node that is Ahead or still exchanging bitmaps: the peer learns only where.
    pub(crate) fn send_out_of_sync(&mut self, v: usize, sector: Sector, length: SectorCount) {
        if self.mark_out_of_sync(v, sector, length) > 0 {
            let size = ByteLen(u32::try_from(length.0 * 512).unwrap_or(u32::MAX));
            self.send(
                v,
                Socket::Data,
                Body::OutOfSync(BlockDesc { sector, size }),
                None,
            );
        }
    }

    /// Sets all bits on disk, so that a crash in the middle still ends in a full sync.
    pub(crate) fn set_all_out_of_sync(&mut self, v: usize) {
        let Some(disk) = self.volumes[v].disk.as_mut() else {
            return;
        };
        disk.flags |= drbd_types::MdFlags::FULL_SYNC;
        disk.bitmap.set_all();
        self.write_superblock(v);
        self.write_whole_bitmap(v);
        if let Some(disk) = self.volumes[v].disk.as_mut() {
            disk.flags -= drbd_types::MdFlags::FULL_SYNC;
        }
        self.write_superblock(v);
        self.log_out_of_sync(v);
    }

    fn clear_bitmap(&mut self, v: usize) {
        let Some(disk) = self.volumes[v].disk.as_mut() else {
            return;
        };
        disk.bitmap.clear_all();
        self.write_whole_bitmap(v);
        self.log_out_of_sync(v);
    }

    pub(crate) fn accept_skipped_sync(&mut self, v: usize) {
        self.clear_bitmap(v);
    }

    pub(crate) fn log_out_of_sync(&mut self, v: usize) {
        let bits = self.volumes[v].out_of_sync();
        let size = crate::size::human_kib(bits * 4);
        self.log_volume(
            v,
            Level::Info,
            alloc::format!("{size} ({bits} bits) marked out-of-sync by on disk bit-map."),
        );
    }

    pub(crate) fn write_whole_bitmap(&mut self, v: usize) {
        self.write_bitmap(v, WriteOut::All, MetaPurpose::Gate);
    }

    /// Writes the pages that changed; nobody waits for it.
    pub(crate) fn write_dirty_bitmap(&mut self, v: usize) {
        self.write_bitmap(v, WriteOut::Changed, MetaPurpose::Background);
    }

    pub(crate) fn write_bitmap(&mut self, v: usize, which: WriteOut, purpose: MetaPurpose) {
        let volume = &mut self.volumes[v];
        if !volume.has_meta_disk() {
            return;
        }
        let Some(disk) = volume.disk.as_mut() else {
            return;
        };
        let chunks = disk.bitmap.take_pages(which);
        if !chunks.is_empty() {
            volume.counters.bitmap_writes += chunks.len() as u64;
            let order = MetaOrder::AfterDataFlush;
            self.meta_io(v, purpose, order, MetaIo::Bitmap(chunks));
        }
    }

    // --- activity log

    /// Takes references to the extents of a write. `false`: it waits for a transaction.
    pub(crate) fn enter_activity_log(&mut self, v: usize, key: Key) -> bool {
        let Some(request) = self.requests.get(key) else {
            return false;
        };
        let (sector, length) = (request.sector, request.length());
        if !self.logs_activity(v) {
            return true;
        }
        if self.enter_fast(v, sector, length) {
            self.stage(key, Stage::IN_AL, Stage::empty());
            return true;
        }
        self.volumes[v].cold.push_back(Cold::Application(key));
        self.pump_activity_log(v);
        false
    }

    pub(crate) fn enter_activity_log_for_peer(&mut self, v: usize, key: Key) -> bool {
        let Some(request) = self.peer_requests.get(key) else {
            return false;
        };
        let (sector, length) = (request.sector, request.length());
        if !self.logs_activity(v) {
            return true;
        }
        if self.enter_fast(v, sector, length) {
            if let Some(request) = self.peer_requests.get_mut(key) {
                request.al = AlReference::Held;
            }
            return true;
        }
        self.volumes[v].cold.push_back(Cold::Peer(key));
        self.pump_activity_log(v);
        false
    }

    fn logs_activity(&self, v: usize) -> bool {
        #[cfg(feature = "planted-bugs")]
        if self.planted == Some(crate::planted::Bug::IgnoreActivityLog) {
            return false;
        }
        let volume = &self.volumes[v];
        volume.has_data_disk() && !volume.marks.contains(Mark::AL_SUSPENDED)
    }

    /// One extent that is hot already, and no resync is at work there.
    fn enter_fast(&mut self, v: usize, sector: Sector, length: SectorCount) -> bool {
        let volume = &mut self.volumes[v];
        let (first, last) = al_extents(sector, length);
        if first != last || !volume.cold.is_empty() || volume.resync.locks.blocks_writes(first) {
            return false;
        }
        volume
            .disk
            .as_mut()
            .is_some_and(|disk| disk.log.enter_hot(first))
    }

    /// Puts as many waiting writes as possible into the next transaction.
    pub(crate) fn pump_activity_log(&mut self, v: usize) {
        let volume = &mut self.volumes[v];
        let Some(disk) = volume.disk.as_mut() else {
            return;
        };
        if disk.log.transaction_running() {
            return;
        }
        while let Some(&cold) = volume.cold.front() {
            let range = match cold {
                Cold::Application(key) => self.requests.get(key).map(|r| (r.sector, r.length())),
                Cold::Peer(key) => self.peer_requests.get(key).map(|r| (r.sector, r.length())),
            };
            let Some((sector, length)) = range else {
                volume.cold.pop_front();
                continue;
            };
            let (first, last) = al_extents(sector, length);
            if (first.0..=last.0).any(|extent| volume.resync.locks.blocks_writes(AlExtent(extent)))
            {
                volume.resync.locks.want_writes(first, last);
                break;
            }
            match disk.log.enter(first, last) {
                Enter::Prepared => {
                    volume.cold.pop_front();
                    volume.warming.push(cold);
                }
                Enter::Full => break,
            }
        }
        if !volume.warming.is_empty() {
            self.write_activity_log(v);
        }
    }

    fn write_activity_log(&mut self, v: usize) {
        let volume = &mut self.volumes[v];
        let Some(disk) = volume.disk.as_mut() else {
            return;
        };
        let written = disk.conf.al_updates == AlUpdates::Written;
        let Some(transaction) = disk.log.begin_transaction() else {
            // Every extent was hot already.
            return self.activity_log_written(v);
        };
        if !written {
            return self.activity_log_written(v);
        }
        // The bits of extents that leave the log must be on disk before their slots are reused.
        let evicted: Vec<AlExtent> = disk.log.evicted().to_vec();
        let chunks = disk.bitmap.take_pages(WriteOut::Covering(&evicted));
        volume.counters.al_transactions += 1;
        // What was written to an extent that leaves the log is not marked by it any more.
        let mut order = match evicted.is_empty() {
            true => MetaOrder::AtOnce,
            false => MetaOrder::AfterDataFlush,
        };
        if !chunks.is_empty() {
            volume.counters.bitmap_writes += chunks.len() as u64;
            let flushed = core::mem::replace(&mut order, MetaOrder::AtOnce);
            self.meta_io(v, MetaPurpose::Background, flushed, MetaIo::Bitmap(chunks));
        }
        let transaction = MetaIo::ActivityLog(transaction);
        self.meta_io(v, MetaPurpose::ActivityLog, order, transaction);
    }

    /// The transaction is durable: the writes that waited for it go to the disk.
    pub(crate) fn activity_log_written(&mut self, v: usize) {
        let volume = &mut self.volumes[v];
        if let Some(disk) = volume.disk.as_mut() {
            disk.log.commit();
        }
        for cold in core::mem::take(&mut volume.warming) {
            self.start_warm(v, cold);
        }
        self.pump_activity_log(v);
    }

    fn start_warm(&mut self, v: usize, cold: Cold) {
        match cold {
            Cold::Application(key) => {
                self.stage(key, Stage::IN_AL, Stage::empty());
                self.submit_write(v, key);
            }
            Cold::Peer(key) => {
                if let Some(request) = self.peer_requests.get_mut(key) {
                    request.al = AlReference::Held;
                }
                self.submit_peer_write(v, key);
            }
        }
    }

    pub(crate) fn leave_activity_log(&mut self, v: usize, sector: Sector, length: SectorCount) {
        let (first, last) = al_extents(sector, length);
        if let Some(disk) = self.volumes[v].disk.as_mut() {
            for extent in first.0..=last.0 {
                disk.log.leave(AlExtent(extent));
            }
        }
        self.retry_resync_locks(v);
        self.pump_activity_log(v);
    }

    /// The activity log is gone with its disk; what is still in progress holds nothing of the
    /// next one.
    pub(crate) fn forget_activity(&mut self, v: usize) {
        let nr = self.volumes[v].nr;
        for request in self.requests.iter_mut().filter(|r| r.volume == nr) {
            request.stage.remove(Stage::IN_AL);
        }
        for request in self.peer_requests.iter_mut().filter(|r| r.volume == nr) {
            request.al = AlReference::None;
        }
    }

    /// Gives the log another number of slots; impossible while writes are in progress.
    pub(crate) fn resize_activity_log(&mut self, v: usize, slots: u32) -> Resized {
        let Some(disk) = self.volumes[v].disk.as_mut() else {
            return Resized::InUse;
        };
        let resized = disk.log.resize(slots);
        if resized == Resized::Done {
            disk.conf.al_extents = slots;
            self.write_superblock(v);
        }
        resized
    }

    /// Writes that wait for the activity log of a disk that is gone need it no more.
    pub(crate) fn release_cold(&mut self, v: usize) {
        let warming = core::mem::take(&mut self.volumes[v].warming);
        let cold = core::mem::take(&mut self.volumes[v].cold);
        for cold in warming.into_iter().chain(cold) {
            match cold {
                Cold::Application(key) => self.submit_write(v, key),
                Cold::Peer(key) => self.drop_peer_write(v, key),
            }
        }
    }

    // --- errors

    /// The backing device failed (spec 60 section 4.3).
    pub(crate) fn local_io_error(&mut self, v: usize, place: &str, mark: Mark, _error: DiskError) {
        let Some(disk) = &self.volumes[v].disk else {
            return;
        };
        let policy = disk.conf.on_io_error;
        let state = self.state(v);
        if policy == OnIoError::PassOn {
            self.log_volume(
                v,
                Level::Error,
                alloc::format!("Local IO failed in {place}."),
            );
            if state.disk > DiskState::Inconsistent {
                let mask = StateMask {
                    disk: Some(DiskState::Inconsistent),
                    ..StateMask::NOTHING
                };
                self.change(v, mask, Check::Hard);
            }
            return;
        }
        self.fail_disk(v, place, mark);
    }

    pub(crate) fn meta_io_error(&mut self, v: usize, purpose: MetaPurpose) {
        let place = match purpose {
            MetaPurpose::ActivityLog => "__al_write_transaction",
            MetaPurpose::Gate | MetaPurpose::Detach => "drbd_md_write",
            MetaPurpose::Background => "bm_rw",
        };
        self.log_volume(v, Level::Error, "meta data update failed!");
        self.fail_disk(v, place, Mark::empty());
    }

    fn fail_disk(&mut self, v: usize, place: &str, mark: Mark) {
        self.volumes[v].marks |= Mark::WAS_IO_ERROR | mark;
        if self.state(v).disk <= DiskState::Failed {
            return;
        }
        let mask = StateMask {
            disk: Some(DiskState::Failed),
            ..StateMask::NOTHING
        };
        self.change(v, mask, Check::Hard);
        self.log_volume(
            v,
            Level::Error,
            alloc::format!("Local IO failed in {place}. Detaching..."),
        );
    }

    pub(crate) fn call_local_io_error(&mut self, v: usize) {
        let call = self.volumes[v]
            .disk
            .as_ref()
            .is_some_and(|d| d.conf.on_io_error == OnIoError::CallLocalIoError);
        if call && self.volumes[v].marks.contains(Mark::WAS_IO_ERROR) {
            let minor = self.volumes[v].minor;
            self.run_helper(
                HelperPurpose::Notify,
                "local-io-error",
                HelperSubject::Minor(minor),
            );
        }
    }

    // --- write ordering

    pub(crate) fn write_ordering(&self) -> WriteOrdering {
        let disks = self
            .volumes
            .iter()
            .filter_map(|volume| volume.disk.as_ref());
        disks
            .map(|disk| disk.conf.ordering)
            .min()
            .unwrap_or(WriteOrdering::Flush)
    }

    pub(crate) fn lower_write_ordering(&mut self) {
        for volume in &mut self.volumes {
            if let Some(disk) = volume.disk.as_mut() {
                disk.conf.ordering = disk.conf.ordering.min(WriteOrdering::Drain);
            }
        }
        let word = self.write_ordering().word();
        self.log_resource(
            Level::Info,
            alloc::format!("Method to ensure write ordering: {word}"),
        );
    }

    /// Whether losing the peer's data calls for a new generation here (spec 60 section 1.10).
    pub(crate) fn owes_generation(&self, v: usize) -> bool {
        let volume = &self.volumes[v];
        let state = volume.state;
        let primary = state.role == Role::Primary || state.peer == Role::Primary;
        primary
            && state.disk >= DiskState::UpToDate
            && volume
                .disk
                .as_ref()
                .is_some_and(|disk| disk.uuids.bitmap.is_empty())
    }

    pub(crate) fn is_connected(&self, v: usize) -> bool {
        self.state(v).conn >= ConnState::Connected
    }
}

/// The activity-log extents that a range touches.
pub(crate) const fn al_extents(sector: Sector, length: SectorCount) -> (AlExtent, AlExtent) {
    let last = sector.0 + length.0.saturating_sub(1);
    (
        AlExtent((sector.0 / AL_EXTENT_SECTORS) as u32),
        AlExtent((last / AL_EXTENT_SECTORS) as u32),
    )
}
