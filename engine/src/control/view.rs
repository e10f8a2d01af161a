//! A resource as the messages show it: configuration as given, state from the core. Pure.

use std::sync::Arc;

use drbd_control::{
    ConnectionInfo, ConnectionStatistics, Context, DeviceInfo, DeviceStatistics, DiskConf, History,
    Message, Part, PeerDeviceInfo, PeerDeviceStatistics, Request, ResourceInfo, ResourceStatistics,
    Settings, SibReason, StateInfo, Word, WriteOrdering,
};
use drbd_core::config::WriteOrdering as Ordering;
use drbd_core::status::AlSuspended;
use drbd_core::status::{ResourceStatus, VolumeStatus};
use drbd_types::{ConnState, DiskState, MdFlags, Minor, Role, SectorCount, State, Uuid, VolumeNr};

use super::object::{Net, Shared};

/// Bits of `peer_dev_flags`.
const PEER_CONNECTED: u32 = 1;
const PEER_OUTDATED: u32 = 2;
const PEER_FULL_SYNC: u32 = 8;

/// Whether the one who looks may see secrets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Secrets {
    /// An administrator asked.
    Shown,
    /// Anybody may read it.
    Hidden,
}

/// A resource at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// Its name.
    pub name: String,
    /// Resource options.
    pub options: Settings,
    /// The connection, while one is configured.
    pub net: Option<Net>,
    /// The volumes, ascending.
    pub volumes: Vec<VolumeView>,
    /// State of the connection.
    pub connection: ConnState,
}

/// A volume at one moment.
#[derive(Clone, Debug)]
pub struct VolumeView {
    /// What the core says.
    pub status: VolumeStatus,
    /// The disk configuration, while one is attached.
    pub disk: Option<DiskConf>,
}

impl View {
    /// Brings configuration and state together.
    pub fn new(shared: &Arc<Shared>, status: &ResourceStatus) -> Self {
        let config = shared.config();
        let volumes = status.volumes.iter().map(|status| VolumeView {
            status: status.clone(),
            disk: (config.volumes.get(&status.volume)).and_then(|v| v.disk.clone()),
        });
        Self {
            name: shared.name.clone(),
            options: config.options.clone(),
            volumes: volumes.collect(),
            net: config.net.clone(),
            connection: status.connection,
        }
    }

    /// The context of the resource.
    pub fn context(&self) -> Context {
        Context::resource(self.name.clone())
    }

    /// The context of one of its volumes.
    pub fn volume_context(&self, volume: VolumeNr) -> Context {
        Context::volume(self.name.clone(), volume)
    }

    /// A context with the addresses of the connection, if there is one.
    pub fn with_addresses(&self, context: Context) -> Context {
        match &self.net {
            Some(net) => context.with_addresses(net.mine.clone(), net.peer.clone()),
            None => context,
        }
    }

    /// The network options as somebody may see them.
    pub fn net_conf(&self, secrets: Secrets) -> Option<Part> {
        let settings = self.net.as_ref()?.settings.clone();
        Some(Part::NetConf(match secrets {
            Secrets::Shown => settings,
            Secrets::Hidden => settings.without_secrets(),
        }))
    }

    /// Role of the resource: Primary if any volume is.
    pub fn role(&self) -> Role {
        let primary = |v: &VolumeView| v.status.state.role == Role::Primary;
        match self.volumes.iter().any(primary) {
            true => Role::Primary,
            false => Role::Secondary,
        }
    }

    /// State of the resource.
    pub fn resource_info(&self) -> ResourceInfo {
        let any = |flag: fn(&State) -> bool| self.volumes.iter().any(|v| flag(&v.status.state));
        ResourceInfo {
            role: self.role(),
            susp: any(|s| s.susp),
            susp_nod: any(|s| s.susp_nod),
            susp_fen: any(|s| s.susp_fen),
        }
    }

    /// Counters of the resource.
    pub fn resource_statistics(&self) -> ResourceStatistics {
        let ordering = self.volumes.first().map(|v| v.status.ordering);
        ResourceStatistics {
            write_ordering: match ordering {
                Some(Ordering::None) => WriteOrdering::NONE,
                Some(Ordering::Drain) => WriteOrdering::DRAIN,
                Some(Ordering::Flush) | None => WriteOrdering::FLUSH,
            },
        }
    }

    /// State of the connection.
    pub fn connection_info(&self) -> ConnectionInfo {
        let furthest = self.volumes.iter().map(|v| v.status.state.conn).max();
        let connection = furthest
            .unwrap_or(ConnState::StandAlone)
            .max(self.connection);
        let peer = self.volumes.iter().map(|v| v.status.state.peer);
        ConnectionInfo {
            connection: connection.min(ConnState::Connected),
            role: peer
                .reduce(|a, b| match (a, b) {
                    (Role::Primary, _) | (_, Role::Primary) => Role::Primary,
                    (Role::Secondary, _) | (_, Role::Secondary) => Role::Secondary,
                    _ => Role::Unknown,
                })
                .unwrap_or_default(),
        }
    }

    /// Counters of the connection.
    pub fn connection_statistics(&self) -> ConnectionStatistics {
        ConnectionStatistics { congested: false }
    }

    /// The answer to GET_STATUS about a volume (spec 30 section 4.4).
    pub fn status_item(&self, item: Message, volume: &VolumeView, secrets: Secrets) -> Message {
        let context = self.with_addresses(self.volume_context(volume.status.volume));
        let mut item = item
            .with(context)
            .with(Part::ResourceOpts(self.options.clone()));
        if let Some(disk) = &volume.disk {
            item = item.with(disk.clone());
        }
        if let Some(net) = self.net_conf(secrets) {
            item = item.with(net);
        }
        item.with(volume.state_info(SibReason::GET_STATUS))
    }

    /// The answer to GET_STATUS about a resource without volumes.
    pub fn empty_item(&self, item: Message) -> Message {
        let item = item.with(self.with_addresses(self.context()));
        match self.net_conf(Secrets::Hidden) {
            Some(net) => item.with(net),
            None => item,
        }
    }

    /// Every message of a list about this resource.
    pub fn list_items(&self, request: &Request, secrets: Secrets) -> Vec<Message> {
        use drbd_control::Op;
        let volumes = || self.volumes.iter();
        match request.op {
            Op::GetStatus if self.volumes.is_empty() => vec![self.empty_item(request.item(None))],
            Op::GetStatus => volumes()
                .map(|v| self.status_item(request.item(Some(v.status.minor)), v, secrets))
                .collect(),
            Op::GetResources => vec![
                request
                    .item(None)
                    .with(self.context())
                    .with(Part::ResourceOpts(self.options.clone()))
                    .with(self.resource_info())
                    .with(self.resource_statistics()),
            ],
            Op::GetDevices => volumes().map(|v| self.device_item(request, v)).collect(),
            Op::GetConnections => self
                .net_conf(secrets)
                .map(|net| {
                    request
                        .item(None)
                        .with(self.with_addresses(self.context()))
                        .with(net)
                        .with(self.connection_info())
                        .with(self.connection_statistics())
                })
                .into_iter()
                .collect(),
            Op::GetPeerDevices if self.net.is_some() => {
                volumes().map(|v| self.peer_item(request, v)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn device_item(&self, request: &Request, volume: &VolumeView) -> Message {
        let item = request
            .item(Some(volume.status.minor))
            .with(self.volume_context(volume.status.volume));
        let item = match &volume.disk {
            Some(disk) => item.with(disk.clone()),
            None => item,
        };
        item.with(volume.device_info())
            .with(volume.device_statistics())
    }

    fn peer_item(&self, request: &Request, volume: &VolumeView) -> Message {
        // With a filter the kernel names the volume instead of the minor.
        let filtered = request
            .context
            .as_ref()
            .is_some_and(|c| c.resource.is_some());
        let minor = match filtered {
            true => Minor(u32::from(volume.status.volume.0)),
            false => volume.status.minor,
        };
        request
            .item(Some(minor))
            .with(self.with_addresses(self.volume_context(volume.status.volume)))
            .with(volume.peer_device_info())
            .with(volume.peer_device_statistics())
    }
}

impl VolumeView {
    /// The state set of GET_STATUS and of classic events.
    pub fn state_info(&self, reason: SibReason) -> StateInfo {
        let status = &self.status;
        let counters = &status.counters;
        let md = status.md.as_ref();
        let bits = |wanted: u64| md.map(|_| wanted);
        let progress = status.progress.as_ref();
        StateInfo {
            reason,
            state: Word::from(status.state),
            exposed_uuid: status.exposed_uuid,
            capacity: Some(status.size),
            send_count: Some(counters.net_send),
            recv_count: Some(counters.net_receive),
            read_count: Some(counters.disk_read),
            write_count: Some(counters.disk_write),
            al_writes: Some(counters.al_transactions),
            bm_writes: Some(counters.bitmap_writes),
            ap_bio_count: Some(narrow(counters.application)),
            ap_pending_count: Some(narrow(counters.pending)),
            rs_pending_count: Some(0),
            uuids: md.map(|(uuids, _)| *uuids),
            disk_flags: md.map(|(_, flags)| *flags),
            bits_total: bits(status.size.bits()),
            bits_oos: bits(status.out_of_sync.0 / 4096),
            bits_rs_total: progress.map(|p| p.total),
            bits_rs_failed: progress.map(|_| 0),
            ..StateInfo::default()
        }
    }

    /// State of the device.
    pub fn device_info(&self) -> DeviceInfo {
        DeviceInfo {
            disk: self.status.state.disk,
        }
    }

    /// Counters of the device.
    pub fn device_statistics(&self) -> DeviceStatistics {
        let status = &self.status;
        let counters = &status.counters;
        let md = status.md.as_ref();
        DeviceStatistics {
            size: status.size,
            read: counters.disk_read,
            written: counters.disk_write,
            al_writes: counters.al_transactions,
            bm_writes: counters.bitmap_writes,
            upper_pending: narrow(counters.application),
            lower_pending: narrow(counters.local),
            upper_blocked: status.state.suspended(),
            lower_blocked: false,
            al_suspended: status.al_suspended == AlSuspended::Yes,
            exposed_uuid: status.exposed_uuid,
            current_uuid: md.map_or(Uuid::EMPTY, |(uuids, _)| uuids.current),
            disk_flags: md.map_or(MdFlags::empty(), |(_, flags)| *flags),
            history: History(md.map_or(Vec::new(), |(uuids, _)| uuids.history.to_vec())),
        }
    }

    /// State of the peer's device.
    pub fn peer_device_info(&self) -> PeerDeviceInfo {
        let state = &self.status.state;
        PeerDeviceInfo {
            replication: state.conn.max(ConnState::WfReportParams),
            disk: state.pdsk,
            paused_user: u32::from(state.user_isp),
            paused_peer: u32::from(state.peer_isp),
            paused_dependency: u32::from(state.aftr_isp),
        }
    }

    /// Counters of the peer's device.
    pub fn peer_device_statistics(&self) -> PeerDeviceStatistics {
        let status = &self.status;
        let counters = &status.counters;
        let md = status.md.as_ref();
        PeerDeviceStatistics {
            received: counters.net_receive,
            sent: counters.net_send,
            pending: narrow(counters.pending),
            unacked: narrow(counters.unacked),
            out_of_sync: SectorCount(status.out_of_sync.0 / 512),
            resync_failed: SectorCount(0),
            bitmap_uuid: md.map_or(Uuid::EMPTY, |(uuids, _)| uuids.bitmap),
            flags: md.map_or(0, |(_, flags)| peer_flags(*flags, status.state.disk)),
        }
    }
}

fn peer_flags(flags: MdFlags, disk: DiskState) -> u32 {
    let connected = flags.contains(MdFlags::CONNECTED_IND);
    let outdated = flags.contains(MdFlags::CONSISTENT)
        && !flags.contains(MdFlags::WAS_UP_TO_DATE)
        && disk != DiskState::Diskless;
    let full = flags.contains(MdFlags::FULL_SYNC);
    let set = |on: bool, bit: u32| if on { bit } else { 0 };
    set(connected, PEER_CONNECTED) | set(outdated, PEER_OUTDATED) | set(full, PEER_FULL_SYNC)
}

/// Counters of the messages have 32 bits.
fn narrow(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
