//! Notices: what listeners of the group `events` are told when something changed (spec 30
//! section 4.5). Pure: two views in, messages out.

use drbd_control::{
    ConnectionInfo, Context, Helper, Message, NoticeKind, NotificationHeader, Op, Part, Request,
    SibReason, Word,
};
use drbd_types::Minor;

use super::view::{Secrets, View, VolumeView};

/// The two streams of the group: each has a counter of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stream {
    /// DRBD_EVENT.
    Classic,
    /// The messages 34 to 40.
    Fine,
}

/// A notice without its sequence number.
#[derive(Clone, Debug)]
pub struct Notice {
    /// In which stream it is counted.
    pub stream: Stream,
    /// The message with number 0.
    pub message: Message,
}

impl Notice {
    fn classic(view: &View, volume: &VolumeView, change: impl FnOnce(&mut Part)) -> Self {
        let mut info = Part::from(volume.state_info(SibReason::STATE_CHANGE));
        change(&mut info);
        let message = Message::notice(Op::Event, 0, Some(volume.status.minor));
        let message = view.status_parts(message, volume).with(info);
        Self {
            stream: Stream::Classic,
            message,
        }
    }
}

/// One object of a transaction before it is known whether it is the last.
struct Item {
    op: Op,
    minor: Option<Minor>,
    context: Context,
    kind: NoticeKind,
    parts: Vec<Part>,
}

impl Item {
    fn new(op: Op, minor: Option<Minor>, context: Context, kind: NoticeKind) -> Self {
        Self {
            op,
            minor,
            context,
            kind,
            parts: Vec::new(),
        }
    }

    /// Information is left out of a `destroy`; statistics are always there.
    fn with(mut self, info: impl Into<Part>, statistics: impl Into<Part>) -> Self {
        if self.kind != NoticeKind::DESTROY {
            self.parts.push(info.into());
        }
        self.parts.push(statistics.into());
        self
    }

    fn finish(self, base: Message, more: More) -> Message {
        let kind = match more {
            More::Follows => self.kind.continued(),
            More::Last => self.kind,
        };
        let start = base.with(self.context).with(NotificationHeader { kind });
        self.parts.into_iter().fold(start, Message::with)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum More {
    Follows,
    Last,
}

fn resource(view: &View, kind: NoticeKind) -> Item {
    Item::new(Op::ResourceState, None, view.context(), kind)
        .with(view.resource_info(), view.resource_statistics())
}

fn connection(view: &View, info: ConnectionInfo, kind: NoticeKind) -> Item {
    let context = view.with_addresses(view.context());
    Item::new(Op::ConnectionState, None, context, kind).with(info, view.connection_statistics())
}

fn device(view: &View, volume: &VolumeView, kind: NoticeKind) -> Item {
    let context = view.volume_context(volume.status.volume);
    let minor = Some(volume.status.minor);
    Item::new(Op::DeviceState, minor, context, kind)
        .with(volume.device_info(), volume.device_statistics())
}

fn peer_device(view: &View, volume: &VolumeView, kind: NoticeKind) -> Item {
    let context = view.with_addresses(view.volume_context(volume.status.volume));
    Item::new(Op::PeerDeviceState, None, context, kind)
        .with(volume.peer_device_info(), volume.peer_device_statistics())
}

/// The messages of one transaction, in which all but the last say that more follows.
fn transaction(items: Vec<Item>, notices: &mut Vec<Notice>) {
    let last = items.len().saturating_sub(1);
    for (index, item) in items.into_iter().enumerate() {
        let more = match index == last {
            true => More::Last,
            false => More::Follows,
        };
        let base = Message::notice(item.op, 0, item.minor);
        notices.push(Notice {
            stream: Stream::Fine,
            message: item.finish(base, more),
        });
    }
}

/// What changed between two views of a resource; `None` for a resource that was not there before.
pub fn differences(before: Option<&View>, now: &View) -> Vec<Notice> {
    let mut notices = Vec::new();
    match before {
        None => transaction(vec![resource(now, NoticeKind::CREATE)], &mut notices),
        Some(before) => {
            destroyed(before, now, &mut notices);
        }
    }
    let empty = View {
        volumes: Vec::new(),
        ..now.clone()
    };
    let old = before.unwrap_or(&empty);
    created(old, now, &mut notices);
    changed(old, now, &mut notices);
    classic(old, now, &mut notices);
    notices
}

/// The resource is gone.
pub fn gone(view: &View) -> Vec<Notice> {
    let mut notices = Vec::new();
    let empty = View {
        volumes: Vec::new(),
        net: None,
        ..view.clone()
    };
    destroyed(view, &empty, &mut notices);
    transaction(vec![resource(view, NoticeKind::DESTROY)], &mut notices);
    notices
}

fn matching<'a>(view: &'a View, volume: &VolumeView) -> Option<&'a VolumeView> {
    (view.volumes.iter()).find(|v| v.status.volume == volume.status.volume)
}

fn destroyed(before: &View, now: &View, notices: &mut Vec<Notice>) {
    if before.net.is_some() && now.net.is_none() {
        let mut items: Vec<Item> = (before.volumes.iter())
            .map(|v| peer_device(before, v, NoticeKind::DESTROY))
            .collect();
        items.push(connection(
            before,
            now.connection_info(),
            NoticeKind::DESTROY,
        ));
        transaction(items, notices);
    }
    for volume in &before.volumes {
        if matching(now, volume).is_none() {
            transaction(vec![device(before, volume, NoticeKind::DESTROY)], notices);
        }
    }
}

fn created(before: &View, now: &View, notices: &mut Vec<Notice>) {
    for volume in &now.volumes {
        if matching(before, volume).is_none() {
            transaction(vec![device(now, volume, NoticeKind::CREATE)], notices);
        }
    }
    if before.net.is_none() && now.net.is_some() {
        // It is announced as it is before it is used.
        let mut items = vec![connection(
            now,
            ConnectionInfo::default(),
            NoticeKind::CREATE,
        )];
        items.extend(
            now.volumes
                .iter()
                .map(|v| peer_device(now, v, NoticeKind::CREATE)),
        );
        transaction(items, notices);
    }
}

fn changed(before: &View, now: &View, notices: &mut Vec<Notice>) {
    let mut items = Vec::new();
    if before.resource_info() != now.resource_info() {
        items.push(resource(now, NoticeKind::CHANGE));
    }
    if now.net.is_some() && before.connection_info() != now.connection_info() {
        items.push(connection(now, now.connection_info(), NoticeKind::CHANGE));
    }
    let pairs = || {
        now.volumes
            .iter()
            .filter_map(|v| Some((matching(before, v)?, v)))
    };
    for (old, new) in pairs() {
        if old.device_info() != new.device_info() {
            items.push(device(now, new, NoticeKind::CHANGE));
        }
    }
    for (old, new) in pairs() {
        if old.peer_device_info() != new.peer_device_info() {
            items.push(peer_device(now, new, NoticeKind::CHANGE));
        }
    }
    transaction(items, notices);
}

fn classic(before: &View, now: &View, notices: &mut Vec<Notice>) {
    for volume in &now.volumes {
        let Some(old) = matching(before, volume) else {
            continue;
        };
        if old.status.state == volume.status.state {
            continue;
        }
        let (from, to) = (old.status.state, volume.status.state);
        notices.push(Notice::classic(now, volume, |part| {
            if let Part::StateInfo(info) = part {
                info.prev_state = Some(Word::from(from));
                info.new_state = Some(Word::from(to));
            }
        }));
    }
}

/// A helper is about to be called (no status), or has returned with a wait status.
pub fn helper(view: &View, minor: Option<Minor>, name: &str, status: Option<i32>) -> Vec<Notice> {
    let raw = status.map_or(0, i32::cast_unsigned);
    let volume = minor.and_then(|m| view.volumes.iter().find(|v| v.status.minor == m));
    let kind = match status {
        None => NoticeKind::CALL,
        Some(_) => NoticeKind::RESPONSE,
    };
    let mut notices = Vec::new();
    if let Some(volume) = volume {
        notices.push(Notice::classic(view, volume, |part| {
            if let Part::StateInfo(info) = part {
                info.reason = match status {
                    None => SibReason::HELPER_PRE,
                    Some(_) => SibReason::HELPER_POST,
                };
                info.helper = Some(name.to_owned());
                info.helper_exit_code = status.map(|_| raw);
            }
        }));
    }
    let context = match volume {
        Some(volume) => view.volume_context(volume.status.volume),
        None => view.context(),
    };
    let message = Message::notice(Op::Helper, 0, minor)
        .with(view.with_addresses(context))
        .with(NotificationHeader { kind })
        .with(Helper::new(name, raw));
    notices.push(Notice {
        stream: Stream::Fine,
        message,
    });
    notices
}

/// The items of GET_INITIAL_STATE about one resource.
pub fn initial(request: &Request, view: &View) -> Vec<Message> {
    let kind = NoticeKind::EXISTS;
    let mut items = vec![
        resource(view, kind),
        connection(view, view.connection_info(), kind),
    ];
    items.extend(view.volumes.iter().map(|v| device(view, v, kind)));
    items.extend(view.volumes.iter().map(|v| peer_device(view, v, kind)));
    let last = items.len() - 1;
    let finish = |(index, item): (usize, Item)| {
        let more = match index == last {
            true => More::Last,
            false => More::Follows,
        };
        let base = request.item(item.minor).of(item.op);
        item.finish(base, more)
    };
    items.into_iter().enumerate().map(finish).collect()
}

/// The end of the items of GET_INITIAL_STATE.
pub fn initial_done(request: &Request) -> Message {
    let header = NotificationHeader {
        kind: NoticeKind::EXISTS,
    };
    request.item(None).of(Op::InitialStateDone).with(header)
}

impl View {
    /// The sets in front of the state in a classic event: never with secrets.
    fn status_parts(&self, message: Message, volume: &VolumeView) -> Message {
        let context = self.with_addresses(self.volume_context(volume.status.volume));
        let mut message = message
            .with(context)
            .with(Part::ResourceOpts(self.options.clone()));
        if let Some(disk) = &volume.disk {
            message = message.with(disk.clone());
        }
        if let Some(net) = self.net_conf(Secrets::Hidden) {
            message = message.with(net);
        }
        message
    }
}
