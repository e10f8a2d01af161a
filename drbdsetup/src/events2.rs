//! `events2`: what changes, in `key:value` form (spec 30 section 2.11).

use crate::client::{Client, Trouble};
use crate::events::concerns;
use crate::outcome::{Exit, Stop};
use crate::parse::Call;
use crate::words_of::{self, Facts};
use drbd_control::{Message, NoticeKind, Op, Received, Request, Wanted};
use std::collections::HashMap;
use std::io::Write;

/// What is printed beside the changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Counters {
    /// Nothing.
    Hidden,
    /// Counters.
    Shown,
}

/// Prints events until nobody reads them or, with `--now`, until everything was told once.
pub fn events2(call: &Call, client: &mut Client, out: &mut dyn Write) -> Result<Exit, Stop> {
    let mut printer = Printer::new(if call.has("statistics") {
        Counters::Shown
    } else {
        Counters::Hidden
    });
    let mut clock = call.has("timestamps").then(crate::clock::Stamps::new);
    let request = Request {
        wanted: Wanted::List,
        ..Request::new(Op::GetInitialState)
    };
    let is_once = call.has("now");
    let sent = if is_once {
        client.send(request)
    } else {
        client.subscribe(request)
    };
    sent.map_err(|trouble| trouble.of_query())?;
    loop {
        let message = match client.receive_while_read() {
            Ok(Received::Message(message)) => message,
            Ok(Received::Done { code: 0, .. }) => continue,
            Ok(Received::Done { code, .. } | Received::Error { code, .. }) => {
                return Err(Trouble::Netlink(-code).of_query());
            }
            Err(Trouble::OutputClosed | Trouble::Receive(_)) => return Ok(Exit::OK),
            Err(trouble) => return Err(trouble.of_query()),
        };
        let is_end = message.op == Op::InitialStateDone.code();
        if !is_end && !concerns(call, &message) {
            continue;
        }
        let mut line = printer.line(&message);
        if let (Some(clock), false) = (&mut clock, line.is_empty()) {
            line.insert_str(0, &clock.stamp(&message));
        }
        let written = out.write_all(line.as_bytes()).and_then(|()| out.flush());
        if written.is_err() || (is_end && is_once) {
            return Ok(Exit::OK);
        }
    }
}

/// Remembers what was told, to tell changes only.
#[derive(Debug)]
pub struct Printer {
    counters: Counters,
    told: HashMap<String, Facts>,
    /// Last number in the stream of notices.
    last_seq: Option<u32>,
}

impl Printer {
    /// Nothing told yet.
    pub fn new(counters: Counters) -> Self {
        Self {
            counters,
            told: HashMap::new(),
            last_seq: None,
        }
    }

    /// The line for a message; empty for what is not shown.
    pub fn line(&mut self, message: &Message) -> String {
        let Some(op) = Op::from_code(message.op) else {
            return String::new();
        };
        let object = match op {
            Op::ResourceState => "resource",
            Op::DeviceState => "device",
            Op::ConnectionState => "connection",
            Op::PeerDeviceState => "peer-device",
            Op::Helper => "helper",
            Op::InitialStateDone => return "exists -\n".to_owned(),
            _ => return String::new(),
        };
        let Some(notification) = message.notification() else {
            return String::new();
        };
        let mut out = self.skipped(message, notification.kind);
        let kind = notification.kind.base();
        let action = match kind {
            NoticeKind::EXISTS => "exists",
            NoticeKind::CREATE => "create",
            NoticeKind::CHANGE => "change",
            NoticeKind::DESTROY => "destroy",
            NoticeKind::CALL => "call",
            NoticeKind::RESPONSE => "response",
            _ => return out,
        };
        let key = format!("{object}{}", key(op, message));
        out.push_str(&format!("{action} {key}"));
        if kind == NoticeKind::DESTROY {
            self.told.remove(&key);
        } else if op == Op::Helper {
            out.push_str(&helper(message, kind));
        } else {
            self.push_changes(&mut out, key, message);
        }
        out.push('\n');
        out
    }

    /// A line about notices that were lost, if the numbers tell so.
    fn skipped(&mut self, message: &Message, kind: NoticeKind) -> String {
        // Answers carry the number of the request.
        if kind.base() == NoticeKind::EXISTS {
            return String::new();
        }
        let last = self.last_seq.replace(message.seq);
        match last.map(|last| message.seq.wrapping_sub(last).wrapping_sub(1)) {
            Some(lost) if lost > 0 && lost < u32::MAX / 2 => format!("- skipped {lost}\n"),
            _ => String::new(),
        }
    }

    fn push_changes(&mut self, out: &mut String, key: String, message: &Message) {
        let facts = words_of::facts(message);
        let old = self.told.get(&key);
        for fact in &facts.0 {
            if fact.is_counter && self.counters == Counters::Hidden {
                continue;
            }
            let told = old.and_then(|old| old.value(fact.name));
            if fact.is_volatile || told != Some(fact.value.as_str()) {
                out.push_str(&format!(" {}:{}", fact.name, fact.value));
            }
        }
        self.told.insert(key, facts);
    }
}

fn key(op: Op, message: &Message) -> String {
    let Some(context) = message.context() else {
        return String::new();
    };
    let mut out = format!(" name:{}", context.resource.as_deref().unwrap_or_default());
    if matches!(op, Op::ConnectionState | Op::PeerDeviceState | Op::Helper) {
        out.push_str(" peer-node-id:0");
        if context.peer_addr.is_some() || op != Op::ConnectionState && context.my_addr.is_some() {
            out.push_str(" conn-name:peer");
        }
    }
    if let Some(volume) = context.volume {
        out.push_str(&format!(" volume:{volume}"));
    }
    if let Some(minor) = message.minor {
        out.push_str(&format!(" minor:{minor}"));
    }
    out
}

fn helper(message: &Message, kind: NoticeKind) -> String {
    let Some(helper) = message.helper() else {
        return String::new();
    };
    let mut out = format!(" helper:{}", helper.name);
    if kind == NoticeKind::RESPONSE {
        out.push_str(&format!(" status:{}", helper.status));
    }
    out
}
