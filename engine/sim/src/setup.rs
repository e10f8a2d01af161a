//! The options that nodes are started and connected with.

use drbd_core::config::{
    AlUpdates, AlwaysAsbp, BitmapCode, DiskConf, NetConf, OnIoError, ResourceConf, WriteOrdering,
};
use drbd_core::split_brain::{AfterSb0Pri, AfterSb1Pri, AfterSb2Pri, RrConflict};
use drbd_core::state_rules::{Fencing, OnNoData, TwoPrimaries};
use drbd_core::time::Duration;
use drbd_types::{Protocol, SectorCount};

/// The options a node is started and connected with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setup {
    /// Of the resource.
    pub resource: ResourceConf,
    /// Of the disk.
    pub disk: DiskConf,
    /// Of the connection.
    pub net: NetConf,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            resource: ResourceConf {
                on_no_data: OnNoData::IoError,
            },
            disk: disk_conf(),
            net: net_conf(),
        }
    }
}

/// Disk options with their defaults, and the smallest activity log.
pub fn disk_conf() -> DiskConf {
    DiskConf {
        size: SectorCount(0),
        on_io_error: OnIoError::Detach,
        fencing: Fencing::DontCare,
        ordering: WriteOrdering::Flush,
        resync_rate: 250,
        c_plan_ahead: 20,
        c_delay_target: 10,
        c_fill_target: 100,
        c_max_rate: 102_400,
        c_min_rate: 250,
        al_extents: 67,
        al_updates: AlUpdates::Written,
    }
}

/// Net options with their defaults, protocol C.
pub fn net_conf() -> NetConf {
    NetConf {
        protocol: Protocol::C,
        timeout: Duration::from_secs(6),
        ping_int: Duration::from_secs(10),
        ping_timeout: Duration::from_millis(500),
        ko_count: 7,
        max_buffers: 2048,
        max_epoch_size: 2048,
        after_sb_0pri: AfterSb0Pri::Disconnect,
        after_sb_1pri: AfterSb1Pri::Disconnect,
        after_sb_2pri: AfterSb2Pri::Disconnect,
        always_asbp: AlwaysAsbp::No,
        rr_conflict: RrConflict::Disconnect,
        two_primaries: TwoPrimaries::Refused,
        bitmap_code: BitmapCode::RunLength,
        verify_alg: String::new(),
        csums_alg: String::new(),
    }
}
