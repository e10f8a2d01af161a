//! `status --json`: an extension; the names are those that the tools of DRBD 9 use for the same
//! facts, so that their consumers can read it.

use crate::status::Resource;
use crate::words_of;
use drbd_control::Message;
use serde::Serialize;

/// A resource.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ResourceJson<'a> {
    name: &'a str,
    role: &'static str,
    suspended: bool,
    suspended_user: bool,
    suspended_no_data: bool,
    suspended_fencing: bool,
    write_ordering: &'static str,
    devices: Vec<DeviceJson>,
    connections: Vec<ConnectionJson>,
}

/// A device. Amounts are in KiB, as in all output of `status`.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct DeviceJson {
    volume: u32,
    minor: Option<u32>,
    disk_state: &'static str,
    size: u64,
    read: u64,
    written: u64,
    al_writes: u64,
    bm_writes: u64,
    upper_pending: u32,
    lower_pending: u32,
    al_suspended: bool,
    blocked: String,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ConnectionJson {
    name: &'static str,
    connection_state: &'static str,
    congested: bool,
    peer_role: &'static str,
    #[serde(rename = "peer_devices")]
    peer_devices: Vec<PeerDeviceJson>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct PeerDeviceJson {
    volume: u32,
    replication_state: &'static str,
    peer_disk_state: &'static str,
    resync_suspended: String,
    received: u64,
    sent: u64,
    out_of_sync: u64,
    pending: u32,
    unacked: u32,
    percent_in_sync: Option<f64>,
}

/// The text: an array of resources.
pub fn render(resources: &[Resource]) -> String {
    let array: Vec<_> = resources.iter().map(resource).collect();
    // Strings, numbers and lists of them cannot fail to serialise.
    let mut text = serde_json::to_string_pretty(&array).unwrap_or_default();
    text.push('\n');
    text
}

fn volume(message: &Message) -> u32 {
    message.context().and_then(|c| c.volume).unwrap_or_default()
}

fn resource(resource: &Resource) -> ResourceJson<'_> {
    let message = &resource.resource;
    let info = message.resource_info().cloned().unwrap_or_default();
    let statistics = message.resource_statistics().cloned().unwrap_or_default();
    ResourceJson {
        name: message
            .context()
            .and_then(|context| context.resource.as_deref())
            .unwrap_or_default(),
        role: info.role.name(),
        suspended: info.susp || info.susp_nod || info.susp_fen,
        suspended_user: info.susp,
        suspended_no_data: info.susp_nod,
        suspended_fencing: info.susp_fen,
        write_ordering: words_of::write_ordering(statistics.write_ordering),
        devices: resource.devices.iter().map(device).collect(),
        connections: resource
            .connections
            .iter()
            .map(|message| connection(resource, message))
            .collect(),
    }
}

fn device(message: &Message) -> DeviceJson {
    let info = message.device_info().cloned().unwrap_or_default();
    let s = message.device_statistics().cloned().unwrap_or_default();
    DeviceJson {
        volume: volume(message),
        minor: message.minor.map(|minor| minor.0),
        disk_state: words_of::disk(&info),
        size: s.size.kib(),
        read: s.read.kib(),
        written: s.written.kib(),
        al_writes: s.al_writes,
        bm_writes: s.bm_writes,
        upper_pending: s.upper_pending,
        lower_pending: s.lower_pending,
        al_suspended: s.al_suspended,
        blocked: words_of::blocked(&s),
    }
}

fn connection(resource: &Resource, message: &Message) -> ConnectionJson {
    let info = message.connection_info().cloned().unwrap_or_default();
    let statistics = message.connection_statistics().cloned().unwrap_or_default();
    ConnectionJson {
        name: "peer",
        connection_state: words_of::connection(&info),
        congested: statistics.congested,
        peer_role: info.role.name(),
        peer_devices: resource
            .peer_devices
            .iter()
            .map(|message| peer_device(resource, message))
            .collect(),
    }
}

fn peer_device(resource: &Resource, message: &Message) -> PeerDeviceJson {
    let info = message.peer_device_info().cloned().unwrap_or_default();
    let s = message
        .peer_device_statistics()
        .cloned()
        .unwrap_or_default();
    PeerDeviceJson {
        volume: volume(message),
        replication_state: words_of::replication(&info),
        peer_disk_state: info.disk.name(),
        resync_suspended: words_of::resync_suspended(&info),
        received: s.received.kib(),
        sent: s.sent.kib(),
        out_of_sync: s.out_of_sync.kib(),
        pending: s.pending,
        unacked: s.unacked,
        percent_in_sync: crate::status::percent_in_sync(resource, message)
            .map(|percent| (percent * 100.0).round() / 100.0),
    }
}
