//! `status`: resources, devices and peers for people (spec 30 section 2.9).

use crate::client::{Client, Trouble};
use crate::command;
use crate::outcome::{Exit, Stop};
use crate::parse::{Call, Object};
use crate::run::printed;
use crate::words_of;
use drbd_control::{Context, Message, Op, Request};
use drbd_types::{ConnState, DiskState, Role};

/// How much is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Detail {
    /// `--verbose`
    pub verbose: Verbose,
    /// `--statistics`
    pub statistics: Statistics,
}

/// `--verbose`
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verbose {
    /// What matters.
    No,
    /// Everything.
    Yes,
}

/// `--statistics`
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Statistics {
    /// States only.
    No,
    /// Counters, too.
    Yes,
}

/// Whether states are coloured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Colour {
    /// They are.
    On,
    /// They are not.
    Off,
}

/// A resource with everything in it, as the four lists tell it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resource {
    /// From GET_RESOURCES.
    pub resource: Message,
    /// From GET_DEVICES.
    pub devices: Vec<Message>,
    /// From GET_CONNECTIONS.
    pub connections: Vec<Message>,
    /// From GET_PEER_DEVICES.
    pub peer_devices: Vec<Message>,
}

/// Asks and renders.
pub fn status(call: &Call, client: &mut Client) -> Result<Stop, Stop> {
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stdout());
    let colour = match call.switch("color") {
        None | Some(Some("auto")) if is_terminal => Colour::On,
        None | Some(Some("auto" | "never")) => Colour::Off,
        // `--color` alone means always; `parse` lets no other word through.
        Some(_) => Colour::On,
    };
    let detail = Detail {
        verbose: if call.has("verbose") {
            Verbose::Yes
        } else {
            Verbose::No
        },
        statistics: if call.has("statistics") {
            Statistics::Yes
        } else {
            Statistics::No
        },
    };
    let resources = collect(call, client).map_err(|trouble| trouble.of_query())?;
    if let (Object::Resource(name), true) = (&call.object, resources.is_empty()) {
        return Ok(Stop {
            exit: Exit::REFUSED.0,
            ..Stop::error(format!("{name}: No such resource\n"))
        });
    }
    if call.has(command::JSON) {
        return Ok(printed(crate::json::render(&resources)));
    }
    let width = rustix::termios::tcgetwinsize(std::io::stdout())
        .ok()
        .map(|size| usize::from(size.ws_col))
        .filter(|columns| *columns > 0)
        .unwrap_or(80);
    Ok(printed(render(&resources, detail, colour, width)))
}

/// The resources that the command is about, sorted by name.
pub fn collect(call: &Call, client: &mut Client) -> Result<Vec<Resource>, Trouble> {
    let mut found = client.list(Request::new(Op::GetResources))?;
    found.sort_by(|a, b| name_of(a).cmp(name_of(b)));
    if let Object::Resource(name) = &call.object {
        found.retain(|message| name_of(message) == name);
    }
    let mut resources = Vec::new();
    for resource in found {
        let name = name_of(&resource).to_owned();
        let mut list =
            |op: Op| client.list(Request::new(op).for_context(Context::resource(&*name)));
        let devices = list(Op::GetDevices)?;
        let connections = list(Op::GetConnections)?;
        let peer_devices = if devices.is_empty() || connections.is_empty() {
            Vec::new()
        } else {
            list(Op::GetPeerDevices)?
        };
        resources.push(Resource {
            resource,
            devices,
            connections,
            peer_devices,
        });
    }
    Ok(resources)
}

fn name_of(message: &Message) -> &str {
    message
        .context()
        .and_then(|context| context.resource.as_deref())
        .unwrap_or_default()
}

/// The text.
pub fn render(resources: &[Resource], detail: Detail, colour: Colour, width: usize) -> String {
    let mut view = View {
        lines: Lines::new(width),
        detail,
        colour,
    };
    for resource in resources {
        view.resource(resource);
    }
    view.lines.text
}

/// Lines made of pieces that are not broken.
struct Lines {
    text: String,
    width: usize,
    column: usize,
    continuation: usize,
}

impl Lines {
    const fn new(width: usize) -> Self {
        Self {
            text: String::new(),
            width,
            column: 0,
            continuation: 0,
        }
    }

    /// Begins a line; wrapped pieces of it are indented by `continuation`.
    fn begin(&mut self, indent: usize, continuation: usize, piece: &str) {
        self.continuation = continuation;
        self.indent(indent);
        self.push_text(piece);
    }

    fn indent(&mut self, indent: usize) {
        self.text.extend(std::iter::repeat_n(' ', indent));
        self.column = indent;
    }

    fn push_text(&mut self, piece: &str) {
        self.text.push_str(piece);
        self.column += piece.len();
    }

    /// Appends a piece with a blank in front, on a new line if it would not fit.
    fn piece(&mut self, piece: &str) {
        if self.column + 1 + piece.len() > self.width {
            self.text.push('\n');
            self.indent(self.continuation);
        } else {
            self.push_text(" ");
        }
        self.push_text(piece);
    }

    /// Goes on in a new line of the same object.
    fn break_line(&mut self, piece: &str) {
        self.text.push('\n');
        self.indent(self.continuation);
        self.push_text(piece);
    }

    fn end(&mut self) {
        self.text.push('\n');
        self.column = 0;
    }
}

/// Whose state it is: the colours of the peer's are less bright.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Whose {
    Own,
    Peer,
}

/// How a state is to be taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mood {
    Plain,
    Primary,
    Good,
    Bad,
    Transitional,
}

struct View {
    lines: Lines,
    detail: Detail,
    colour: Colour,
}

impl View {
    fn is_verbose(&self) -> bool {
        self.detail.verbose == Verbose::Yes
    }

    fn has_statistics(&self) -> bool {
        self.detail.statistics == Statistics::Yes
    }

    fn coloured(&self, name: &str, value: &str, mood: Mood, whose: Whose) -> String {
        let code = match (mood, whose) {
            _ if self.colour == Colour::Off => None,
            (Mood::Plain, _) | (Mood::Transitional, Whose::Peer) => None,
            (Mood::Primary, Whose::Own) => Some("1;36"),
            (Mood::Primary, Whose::Peer) => Some("36"),
            (Mood::Good, Whose::Own) => Some("1;32"),
            (Mood::Good, Whose::Peer) => Some("32"),
            (Mood::Bad, Whose::Own) => Some("1;31"),
            (Mood::Bad, Whose::Peer) => Some("31"),
            (Mood::Transitional, Whose::Own) => Some("1"),
        };
        match code {
            Some(code) => format!("{name}:\x1b[{code}m{value}\x1b[0m"),
            None => format!("{name}:{value}"),
        }
    }

    fn role(&self, role: Role, whose: Whose) -> String {
        let mood = match role {
            Role::Primary => Mood::Primary,
            Role::Secondary | Role::Unknown => Mood::Plain,
        };
        self.coloured("role", role.name(), mood, whose)
    }

    fn disk(&self, name: &str, disk: DiskState, whose: Whose) -> String {
        let mood = match disk {
            DiskState::UpToDate => Mood::Good,
            DiskState::Diskless
            | DiskState::Failed
            | DiskState::Inconsistent
            | DiskState::Outdated => Mood::Bad,
            DiskState::Attaching | DiskState::Negotiating | DiskState::Consistent => {
                Mood::Transitional
            }
            DiskState::DUnknown => Mood::Plain,
        };
        self.coloured(name, disk.name(), mood, whose)
    }

    fn resource(&mut self, resource: &Resource) {
        let Some(info) = resource.resource.resource_info() else {
            return;
        };
        self.lines.begin(0, 4, name_of(&resource.resource));
        let role = self.role(info.role, Whose::Own);
        self.lines.piece(&role);
        let suspended = words_of::suspended(info);
        if self.is_verbose() || suspended != "no" {
            self.lines.piece(&format!("suspended:{suspended}"));
        }
        if let (true, true, Some(s)) = (
            self.is_verbose(),
            self.has_statistics(),
            resource.resource.resource_statistics(),
        ) {
            let word = words_of::write_ordering(s.write_ordering);
            self.lines.break_line(&format!("write-ordering:{word}"));
        }
        self.lines.end();
        let is_single = resource.devices.len() == 1;
        for device in &resource.devices {
            self.device(device, is_single);
        }
        for connection in &resource.connections {
            self.connection(resource, connection, is_single);
        }
        self.lines.end();
    }

    /// Begins a line of a volume: with its number where there can be doubt. The pieces that
    /// follow come through [`View::next`].
    fn volume(&mut self, message: &Message, is_single: bool) -> Option<String> {
        let volume = message.context().and_then(|c| c.volume).unwrap_or_default();
        (!is_single || volume != 0 || self.is_verbose()).then(|| format!("volume:{volume}"))
    }

    fn device(&mut self, device: &Message, is_single: bool) {
        let Some(info) = device.device_info() else {
            return;
        };
        let mut pieces: Vec<String> = self.volume(device, is_single).into_iter().collect();
        if let (true, Some(minor)) = (self.is_verbose(), device.minor) {
            pieces.push(format!("minor:{minor}"));
        }
        pieces.push(self.disk("disk", info.disk, Whose::Own));
        self.pieces(2, 6, &pieces);
        if let Some(s) = device.device_statistics() {
            if self.has_statistics() {
                let mut counters = vec![
                    format!("read:{}", s.read.kib()),
                    format!("written:{}", s.written.kib()),
                ];
                if self.is_verbose() {
                    counters.insert(0, format!("size:{}", s.size.kib()));
                    counters.push(format!("al-writes:{}", s.al_writes));
                    counters.push(format!("bm-writes:{}", s.bm_writes));
                    counters.push(format!("upper-pending:{}", s.upper_pending));
                    counters.push(format!("lower-pending:{}", s.lower_pending));
                    counters.push(format!("al-suspended:{}", words_of::yes_no(s.al_suspended)));
                }
                self.counters(&counters);
            }
            let blocked = words_of::blocked(s);
            if self.is_verbose() || blocked != "no" {
                self.lines.piece(&format!("blocked:{blocked}"));
            }
        }
        self.lines.end();
    }

    fn connection(&mut self, resource: &Resource, connection: &Message, is_single: bool) {
        let Some(info) = connection.connection_info() else {
            return;
        };
        // Any state from the end of the handshake on is reported as this one.
        let is_connected = info.connection >= ConnState::WfReportParams;
        self.lines.begin(2, 6, "peer");
        if self.is_verbose() || !is_connected {
            let mood = if is_connected { Mood::Plain } else { Mood::Bad };
            let word = words_of::connection(info);
            let piece = self.coloured("connection", word, mood, Whose::Own);
            self.lines.piece(&piece);
        }
        if self.is_verbose() || is_connected {
            let role = self.role(info.role, Whose::Peer);
            self.lines.piece(&role);
        }
        let is_congested = connection
            .connection_statistics()
            .is_some_and(|s| s.congested);
        if self.is_verbose() || is_congested {
            let word = words_of::yes_no(is_congested);
            self.lines.piece(&format!("congested:{word}"));
        }
        self.lines.end();
        if self.is_verbose() || self.has_statistics() || is_connected {
            for peer_device in &resource.peer_devices {
                self.peer_device(resource, peer_device, is_single);
            }
        }
    }

    fn peer_device(&mut self, resource: &Resource, message: &Message, is_single: bool) {
        let Some(info) = message.peer_device_info() else {
            return;
        };
        let (verbose, statistics) = (self.is_verbose(), self.has_statistics());
        let replication = info.replication;
        let mut pieces: Vec<String> = self.volume(message, is_single).into_iter().collect();
        if verbose || replication > ConnState::WfReportParams {
            let word = words_of::replication(info);
            let (mood, whose) = replication_mood(replication);
            pieces.push(self.coloured("replication", word, mood, whose));
        }
        if verbose
            || statistics
            || replication != ConnState::WfReportParams
            || info.disk != DiskState::DUnknown
        {
            pieces.push(self.disk("peer-disk", info.disk, Whose::Peer));
        }
        if (ConnState::SyncSource..=ConnState::PausedSyncT).contains(&replication) {
            pieces.extend(done(resource, message).map(|percent| format!("done:{percent}")));
        }
        let paused = words_of::resync_suspended(info);
        if verbose || paused != "no" {
            pieces.push(format!("resync-suspended:{paused}"));
        }
        self.pieces(4, 8, &pieces);
        if let (true, Some(s)) = (statistics, message.peer_device_statistics()) {
            let mut counters = vec![
                format!("received:{}", s.received.kib()),
                format!("sent:{}", s.sent.kib()),
            ];
            if verbose || s.out_of_sync.0 != 0 {
                counters.push(format!("out-of-sync:{}", s.out_of_sync.kib()));
            }
            if verbose {
                counters.push(format!("pending:{}", s.pending));
                counters.push(format!("unacked:{}", s.unacked));
            }
            self.counters(&counters);
        }
        self.lines.end();
    }

    fn pieces(&mut self, indent: usize, continuation: usize, pieces: &[String]) {
        // During the handshake there may be nothing to tell: the line stays empty.
        let Some((first, rest)) = pieces.split_first() else {
            return;
        };
        self.lines.begin(indent, continuation, first);
        for piece in rest {
            self.lines.piece(piece);
        }
    }

    fn counters(&mut self, counters: &[String]) {
        let mut counters = counters.iter();
        if let Some(first) = counters.next() {
            self.lines.break_line(first);
        }
        for counter in counters {
            self.lines.piece(counter);
        }
    }
}

const fn replication_mood(state: ConnState) -> (Mood, Whose) {
    match state {
        ConnState::SyncSource => (Mood::Bad, Whose::Peer),
        ConnState::SyncTarget | ConnState::PausedSyncT => (Mood::Bad, Whose::Own),
        _ => (Mood::Plain, Whose::Own),
    }
}

/// Percent of the device that is in sync, with two places.
fn done(resource: &Resource, peer_device: &Message) -> Option<String> {
    percent_in_sync(resource, peer_device).map(|percent| format!("{percent:.2}"))
}

/// Percent of the device that is in sync; `None` for a device without size.
pub fn percent_in_sync(resource: &Resource, peer_device: &Message) -> Option<f64> {
    let volume = peer_device.context()?.volume;
    let device = resource
        .devices
        .iter()
        .find(|device| device.context().and_then(|c| c.volume) == volume)?;
    let size = device.device_statistics()?.size.0;
    let out_of_sync = peer_device.peer_device_statistics()?.out_of_sync.0;
    if size == 0 {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "two places of a percentage")]
    let share = out_of_sync as f64 / size as f64;
    Some(100.0 * (1.0 - share))
}
