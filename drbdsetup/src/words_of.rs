//! States and counters of objects in the words of `status` and `events2`: one place for both.

use drbd_control::{
    ConnectionInfo, DeviceInfo, DeviceStatistics, Message, PeerDeviceInfo, ResourceInfo,
    WriteOrdering,
};
use drbd_types::ConnState;

/// One `name:value`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fact {
    /// The name.
    pub name: &'static str,
    /// The value.
    pub value: String,
    /// Shown with `--statistics` only.
    pub is_counter: bool,
    /// Shown whether it changed or not.
    pub is_volatile: bool,
}

/// Everything that a message says about its object, in the order of `events2`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts(pub Vec<Fact>);

impl Facts {
    fn state(&mut self, name: &'static str, value: impl ToString) {
        self.push(name, value.to_string(), false, false);
    }

    fn counter(&mut self, name: &'static str, value: impl ToString) {
        self.push(name, value.to_string(), true, true);
    }

    fn counted_state(&mut self, name: &'static str, value: impl ToString) {
        self.push(name, value.to_string(), true, false);
    }

    fn push(&mut self, name: &'static str, value: String, is_counter: bool, is_volatile: bool) {
        self.0.push(Fact {
            name,
            value,
            is_counter,
            is_volatile,
        });
    }

    /// The value of a name.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|fact| fact.name == name)
            .map(|fact| fact.value.as_str())
    }
}

/// What a message says about its object.
pub fn facts(message: &Message) -> Facts {
    let mut facts = Facts::default();
    if let Some(info) = message.resource_info() {
        facts.state("role", info.role);
        facts.state("suspended", suspended(info));
    }
    if let Some(info) = message.device_info() {
        facts.state("disk", info.disk);
    }
    if let Some(info) = message.connection_info() {
        facts.state("connection", connection(info));
        facts.state("role", info.role);
    }
    if let Some(info) = message.peer_device_info() {
        facts.state("replication", replication(info));
        facts.state("peer-disk", info.disk);
        facts.state("resync-suspended", resync_suspended(info));
    }
    if let Some(s) = message.resource_statistics() {
        facts.counted_state("write-ordering", write_ordering(s.write_ordering));
    }
    if let Some(s) = message.device_statistics() {
        facts.counter("size", s.size.kib());
        facts.counter("read", s.read.kib());
        facts.counter("written", s.written.kib());
        facts.counter("al-writes", s.al_writes);
        facts.counter("bm-writes", s.bm_writes);
        facts.counter("upper-pending", s.upper_pending);
        facts.counter("lower-pending", s.lower_pending);
        facts.counted_state("al-suspended", yes_no(s.al_suspended));
        facts.counted_state("blocked", blocked(s));
    }
    if let Some(s) = message.connection_statistics() {
        facts.counted_state("congested", yes_no(s.congested));
    }
    if let Some(s) = message.peer_device_statistics() {
        facts.counter("received", s.received.kib());
        facts.counter("sent", s.sent.kib());
        facts.counter("out-of-sync", s.out_of_sync.kib());
        facts.counter("pending", s.pending);
        facts.counter("unacked", s.unacked);
    }
    facts
}

/// `yes` or `no`.
pub const fn yes_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

fn list(words: &[(bool, &str)]) -> String {
    let set: Vec<_> = words
        .iter()
        .filter(|(is_set, _)| *is_set)
        .map(|(_, word)| *word)
        .collect();
    if set.is_empty() {
        "no".to_owned()
    } else {
        set.join(",")
    }
}

/// Why I/O is suspended.
pub fn suspended(info: &ResourceInfo) -> String {
    list(&[
        (info.susp, "user"),
        (info.susp_nod, "no-data"),
        (info.susp_fen, "fencing"),
    ])
}

/// Why resync is paused.
pub fn resync_suspended(info: &PeerDeviceInfo) -> String {
    list(&[
        (info.paused_user != 0, "user"),
        (info.paused_peer != 0, "peer"),
        (info.paused_dependency != 0, "dependency"),
    ])
}

/// Where requests are held back.
pub fn blocked(s: &DeviceStatistics) -> String {
    list(&[(s.upper_blocked, "upper"), (s.lower_blocked, "lower")])
}

/// The state of a connection in the words of DRBD 9.
pub const fn connection(info: &ConnectionInfo) -> &'static str {
    match info.connection {
        ConnState::WfConnection => "Connecting",
        ConnState::WfReportParams => "Connected",
        other => other.name(),
    }
}

/// The state of replication in the words of DRBD 9.
pub const fn replication(info: &PeerDeviceInfo) -> &'static str {
    match info.replication {
        ConnState::WfReportParams => "Off",
        ConnState::Connected => "Established",
        other => other.name(),
    }
}

/// The disk of a device.
pub const fn disk(info: &DeviceInfo) -> &'static str {
    info.disk.name()
}

/// How writes are kept in order.
pub const fn write_ordering(ordering: WriteOrdering) -> &'static str {
    match ordering {
        WriteOrdering::NONE => "none",
        WriteOrdering::DRAIN => "drain",
        WriteOrdering::FLUSH => "flush",
        WriteOrdering::BARRIER => "barrier",
        _ => "unknown",
    }
}
