//! One volume: its state tuple, its disk, what is known of the peer's, and its queues.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

use drbd_types::{DiskState, MdFlags, Minor, Sector, SectorCount, State, Uuid, UuidSet, VolumeNr};
use drbd_wire::SeqNum;

use crate::activity_log::ActivityLog;
use crate::bitmap::Bitmap;
use crate::config::DiskConf;
use crate::input::{DiscardSupport, IoId, IoRequest};
use crate::meta::Cold;
use crate::resync::ResyncRun;
use crate::slab::Key;
use crate::status::Counters;
use crate::uuid_rules::PeerReport;

bitflags::bitflags! {
    /// Facts beside the state tuple (spec 60 section 0).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub(crate) struct Mark: u32 {
        /// Local data was Primary when the node went down.
        const CRASHED_PRIMARY = 1;
        /// Run the handshake at the next state of the peer.
        const CONSIDER_RESYNC = 1 << 1;
        /// A new current UUID is due when I/O is resumed.
        const NEW_CUR_UUID = 1 << 2;
        /// wait-connect uses degr-wfc-timeout.
        const DEGRADED = 1 << 3;
        /// Activity-log updates are suspended: every bit is set.
        const AL_SUSPENDED = 1 << 4;
        /// The disk reported an error.
        const WAS_IO_ERROR = 1 << 5;
        /// It was a read error.
        const WAS_READ_ERROR = 1 << 6;
        /// The grown area needs a resync once the handshake is over.
        const RESYNC_AFTER_NEG = 1 << 7;
        /// A first state packet of the peer was processed on this connection.
        const HANDSHAKE_DONE = 1 << 8;
        /// Failed -> Diskless is under way.
        const GOING_DISKLESS = 1 << 9;
        /// The superblock in memory differs from the one on disk.
        const MD_DIRTY = 1 << 10;
        /// The peer has reported its state after the handshake: nothing older is on its way.
        const PEER_SETTLED = 1 << 11;
    }
}

/// Counts the disks that a volume had: operations on one say nothing of the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct DiskNr(pub(crate) u64);

/// The backing device of a volume.
pub(crate) struct Disk {
    pub(crate) nr: DiskNr,
    pub(crate) conf: DiskConf,
    pub(crate) name: String,
    /// Usable capacity beside the meta-data.
    pub(crate) capacity: SectorCount,
    /// The most that the on-disk bitmap can describe.
    pub(crate) bitmap_capacity: SectorCount,
    pub(crate) uuids: UuidSet,
    /// Flags as last written.
    pub(crate) flags: MdFlags,
    pub(crate) last_agreed: SectorCount,
    pub(crate) bitmap: Bitmap,
    pub(crate) log: ActivityLog,
    pub(crate) al_slots_max: u32,
    pub(crate) max_io: u32,
    pub(crate) peer_max_bio: u32,
    pub(crate) discard: DiscardSupport,
    /// Operations in flight on data and meta-data.
    pub(crate) references: u32,
}

/// A request of the application that has not been started.
pub(crate) struct Stalled<B> {
    pub(crate) id: IoId,
    pub(crate) request: IoRequest<B>,
}

/// One volume.
pub(crate) struct Volume<B> {
    pub(crate) nr: VolumeNr,
    pub(crate) minor: Minor,
    pub(crate) state: State,
    pub(crate) marks: Mark,
    pub(crate) disk: Option<Disk>,
    pub(crate) last_disk: DiskNr,
    pub(crate) size: SectorCount,
    /// The generation of the data this node last had access to, local or remote.
    pub(crate) exposed_uuid: Uuid,
    pub(crate) peer_uuids: Option<PeerReport>,
    /// The peer's backing size; zero while unknown.
    pub(crate) peer_capacity: SectorCount,
    /// Result of an attach that waits for the handshake.
    pub(crate) postponed: Option<(DiskState, DiskState)>,
    /// Bits told to the peer with the last ReportUUIDs.
    pub(crate) bits_told: u64,
    /// Next sequence number minus one (spec 50 section 6.9).
    pub(crate) seq: SeqNum,
    pub(crate) counters: Counters,
    /// Requests that may not start yet, in order of arrival.
    pub(crate) stalled: VecDeque<Stalled<B>>,
    /// Writes that wait for their activity-log extents.
    pub(crate) cold: VecDeque<Cold>,
    /// Writes whose extents are in the transaction being written.
    pub(crate) warming: Vec<Cold>,
    /// Writes that were admitted before I/O was suspended and not started.
    pub(crate) frozen: Vec<Key>,
    /// Writes of the application in progress.
    pub(crate) writing: ActiveWrites,
    /// Mirrored writes of the peer in progress.
    pub(crate) peer_writing: ActiveWrites,
    pub(crate) resync: ResyncRun,
}

impl<B> Volume<B> {
    pub(crate) fn new(nr: VolumeNr, minor: Minor) -> Self {
        Self {
            nr,
            minor,
            state: State::INITIAL,
            marks: Mark::empty(),
            disk: None,
            last_disk: DiskNr::default(),
            size: SectorCount(0),
            exposed_uuid: Uuid::EMPTY,
            peer_uuids: None,
            peer_capacity: SectorCount(0),
            postponed: None,
            bits_told: 0,
            seq: SeqNum(0),
            counters: Counters::default(),
            stalled: VecDeque::new(),
            cold: VecDeque::new(),
            warming: Vec::new(),
            frozen: Vec::new(),
            writing: ActiveWrites::default(),
            peer_writing: ActiveWrites::default(),
            resync: ResyncRun::default(),
        }
    }

    /// Whether the backing device may be used for data.
    pub(crate) const fn has_data_disk(&self) -> bool {
        self.disk.is_some() && self.state.disk as u8 >= DiskState::Inconsistent as u8
    }

    /// Whether meta-data may be written: from Attaching to the last moment of Failed.
    pub(crate) const fn has_meta_disk(&self) -> bool {
        self.disk.is_some() && self.state.disk as u8 >= DiskState::Attaching as u8
    }

    /// The next sequence number.
    pub(crate) fn next_seq(&mut self) -> SeqNum {
        self.seq = SeqNum(self.seq.0.wrapping_add(1));
        self.seq
    }

    /// Set bits; zero without a disk.
    pub(crate) fn out_of_sync(&self) -> u64 {
        self.disk.as_ref().map_or(0, |disk| disk.bitmap.weight())
    }
}

/// Ranges that are being written.
#[derive(Default)]
pub(crate) struct ActiveWrites {
    by_start: BTreeMap<(Sector, Key), SectorCount>,
    longest: u64,
}

impl ActiveWrites {
    pub(crate) fn insert(&mut self, key: Key, sector: Sector, length: SectorCount) {
        self.longest = self.longest.max(length.0);
        self.by_start.insert((sector, key), length);
    }

    pub(crate) fn remove(&mut self, key: Key, sector: Sector) {
        self.by_start.remove(&(sector, key));
        if self.by_start.is_empty() {
            self.longest = 0;
        }
    }

    /// Whether any range in progress shares a sector with this one.
    pub(crate) fn overlaps(&self, sector: Sector, length: SectorCount) -> bool {
        let end = sector.0.saturating_add(length.0);
        let first = Sector(sector.0.saturating_sub(self.longest));
        self.by_start
            .range((first, Key(0))..(Sector(end), Key(0)))
            .any(|(&(start, _), &length)| start.0.saturating_add(length.0) > sector.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlap_is_found_across_different_lengths_and_not_between_neighbours() {
        let mut active = ActiveWrites::default();
        active.insert(Key(1), Sector(0), SectorCount(2048));
        active.insert(Key(2), Sector(4096), SectorCount(8));
        assert!(active.overlaps(Sector(2040), SectorCount(8)));
        assert!(!active.overlaps(Sector(2048), SectorCount(2048)));
        assert!(active.overlaps(Sector(2048), SectorCount(2049)));
        active.remove(Key(1), Sector(0));
        assert!(!active.overlaps(Sector(0), SectorCount(4096)));
    }
}
