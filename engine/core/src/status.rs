//! What `/proc/drbd`, `show-gi` and the status commands want to know.

use alloc::vec::Vec;
use drbd_types::{
    ByteCount, ConnState, MdFlags, Minor, Protocol, SectorCount, State, UuidSet, VolumeNr,
};

use crate::config::{DiskConf, NetConf, ResourceConf, WriteOrdering};
use crate::progress::ProgressFigures;

/// A resource at one moment.
#[derive(Clone, Debug)]
pub struct ResourceStatus {
    /// Options in force.
    pub options: ResourceConf,
    /// State of the connection object: never above WFReportParams.
    pub connection: ConnState,
    /// Network options, while there is a configuration.
    pub net: Option<NetConf>,
    /// The volumes in ascending order.
    pub volumes: Vec<VolumeStatus>,
}

/// A volume at one moment.
#[derive(Clone, Debug)]
pub struct VolumeStatus {
    /// Number inside the resource.
    pub volume: VolumeNr,
    /// Device minor.
    pub minor: Minor,
    /// State tuple.
    pub state: State,
    /// Size of the device.
    pub size: SectorCount,
    /// Options of the attached disk.
    pub disk: Option<DiskConf>,
    /// Generation UUIDs and flags, while a disk is attached.
    pub md: Option<(UuidSet, MdFlags)>,
    /// The UUID of the data this node last had access to.
    pub exposed_uuid: drbd_types::Uuid,
    /// Protocol letter, while there is a network configuration.
    pub protocol: Option<Protocol>,
    /// Counters of the second line.
    pub counters: Counters,
    /// Write ordering method.
    pub ordering: WriteOrdering,
    /// Activity-log updates suspended (flag letter s).
    pub al_suspended: AlSuspended,
    /// Progress, during resync and verify.
    pub progress: Option<ProgressFigures>,
    /// Out of sync.
    pub out_of_sync: ByteCount,
    /// The wait-connect class (spec 60 section 9.4).
    pub wait_class: WaitClass,
}

/// Whether activity-log updates are suspended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AlSuspended {
    /// Running.
    No,
    /// The bitmap is completely set: nothing to protect.
    Yes,
}

/// Which timeout `wait-connect` uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WaitClass {
    /// wfc-timeout.
    Default,
    /// degr-wfc-timeout.
    Degraded,
    /// outdated-wfc-timeout.
    PeerOutdated,
}

/// Counters as `/proc/drbd` shows them (spec 60 section 7.7).
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Counters {
    /// ns: sent to the peer.
    pub net_send: SectorCount,
    /// nr: received from the peer.
    pub net_receive: SectorCount,
    /// dw: written to disk.
    pub disk_write: SectorCount,
    /// dr: read from disk.
    pub disk_read: SectorCount,
    /// al: activity-log transactions.
    pub al_transactions: u64,
    /// bm: bitmap sectors written.
    pub bitmap_writes: u64,
    /// lo: references to the local disk.
    pub local: u64,
    /// pe: requests waiting for the peer.
    pub pending: u64,
    /// ua: answers owed to the peer.
    pub unacked: u64,
    /// ap: application requests in progress.
    pub application: u64,
    /// ep: epochs.
    pub epochs: u64,
}

impl Counters {
    /// The peer answered so many requests. It may answer more than it was asked.
    pub(crate) const fn answered(&mut self, requests: u64) {
        self.pending = self.pending.saturating_sub(requests);
    }
}
