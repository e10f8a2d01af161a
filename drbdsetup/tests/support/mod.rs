//! A server that knows what it is told, and the captures to compare with.
#![allow(dead_code, reason = "each test uses its part")]

use drbd_control::{
    Connection, Context, DiskConf, Endpoint, Errno, Family, FamilyId, Message, MetaIndex, Nest,
    NoticeKind, NotificationHeader, Op, Part, Privilege, Request, RetCode, Setting, Settings,
    Wanted, schema,
};
use drbd_types::Minor;
use drbdsetup::Surroundings;
use drbdsetup::backend::Engine;
use drbdsetup::client::Client;
use drbdsetup::run::Paths;
use drbdsetup::world::{DeviceTrouble, IpVersion, World};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::thread::JoinHandle;

/// What a command printed and how it ended.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ending {
    pub out: String,
    pub err: String,
    pub exit: u8,
}

/// A command of a capture with its ending.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Block {
    pub words: Vec<String>,
    pub ending: Ending,
}

/// Reads the form that the capture scripts write: `===|word|word`, lines of output behind `o|`
/// and `e|`, `e+` if the last one had no line feed, `rc=N`.
pub fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for line in text.lines() {
        if let Some(words) = line.strip_prefix("===|") {
            blocks.push(Block {
                words: words.split('|').map(str::to_owned).collect(),
                ..Block::default()
            });
            continue;
        }
        let Some(block) = blocks.last_mut() else {
            continue;
        };
        let ending = &mut block.ending;
        if let Some(text) = line.strip_prefix("o|") {
            ending.out.push_str(text);
            ending.out.push('\n');
        } else if let Some(text) = line.strip_prefix("e|") {
            ending.err.push_str(text);
            ending.err.push('\n');
        } else if line == "e+" {
            ending.err.pop();
        } else if let Some(code) = line.strip_prefix("rc=") {
            ending.exit = code.parse().unwrap();
        }
    }
    blocks
}

/// The machine that the captures come from.
pub struct Node;

impl World for Node {
    fn minor_of_node(&self, _: &str) -> Option<Minor> {
        None
    }

    fn check_device(&self, path: &str) -> Result<(), DeviceTrouble> {
        match path {
            "/dev/ubda" => Ok(()),
            "/dev/null" => Err(DeviceTrouble::NotBlock),
            _ => Err(DeviceTrouble::Open(io::Error::from_raw_os_error(2))),
        }
    }

    fn resolve(&self, host: &str, version: IpVersion) -> Result<SocketAddr, String> {
        match host.parse::<IpAddr>() {
            Ok(ip) if ip.is_ipv4() == (version == IpVersion::V4) => Ok(SocketAddr::new(ip, 0)),
            _ => Err("Temporary failure in name resolution".to_owned()),
        }
    }

    fn ssocks_family(&self) -> Option<Family> {
        None
    }
}

/// Everything that the server knows. Empty, it is a kernel in which nothing is configured.
#[derive(Clone, Default)]
pub struct Knowledge {
    /// Items of every list; those of GET_STATUS also answer for one device.
    pub items: Vec<(Op, Message)>,
    /// Replies to requests that change something.
    pub replies: Vec<(Op, Option<Minor>, drbd_control::Answer)>,
}

impl Knowledge {
    fn of(&self, op: Op) -> impl Iterator<Item = &Message> {
        self.items
            .iter()
            .filter(move |(of, _)| *of == op)
            .map(|(_, m)| m)
    }

    fn knows_minor(&self, minor: Minor) -> bool {
        self.of(Op::GetStatus).any(|m| m.minor == Some(minor))
    }

    fn answers(&self, request: &Request) -> Vec<Vec<u8>> {
        let family = FamilyId::ENGINE;
        let name = request.context.as_ref().and_then(|c| c.resource.as_deref());
        if request.wanted == Wanted::List {
            let of = |m: &Message| m.context().and_then(|c| c.resource.clone());
            let known =
                name.is_none_or(|n| self.items.iter().any(|(_, m)| of(m).as_deref() == Some(n)));
            if !known {
                return vec![request.done(Err(Errno::NoDev))];
            }
            let mut out: Vec<_> = self
                .of(request.op)
                .filter(|m| name.is_none() || of(m).as_deref() == name)
                .map(|m| item(request, m).encode(family))
                .collect();
            if request.op == Op::GetInitialState {
                let last = request
                    .item(None)
                    .of(Op::InitialStateDone)
                    .with(NotificationHeader {
                        kind: NoticeKind::EXISTS,
                    });
                out.push(last.encode(family));
            }
            out.push(request.done(Ok(())));
            return out;
        }
        vec![self.reply(request, name).encode(family)]
    }

    fn reply(&self, request: &Request, name: Option<&str>) -> Message {
        use drbd_control::Needs;
        let needs = match request.op {
            Op::GetStatus => Needs::Minor,
            op => op.needs(),
        };
        match needs {
            Needs::Minor if !request.minor.is_some_and(|m| self.knows_minor(m)) => {
                return request.reply(RetCode::MinorInvalid).info("unknown minor");
            }
            Needs::Connection => {
                return request
                    .reply(RetCode::InvalidRequest)
                    .info("unknown connection");
            }
            _ if request.op == Op::NewResource => {
                return if name.is_some_and(|n| n.contains('/')) {
                    request
                        .reply(RetCode::InvalidRequest)
                        .info("invalid resource name")
                } else {
                    request.reply(RetCode::NoError)
                };
            }
            Needs::Resource | Needs::NewMinor | Needs::NewConnection => {
                return request.reply(RetCode::ResNotKnown).info("unknown resource");
            }
            Needs::Minor | Needs::Nothing => {}
        }
        if request.op == Op::GetStatus {
            let known = self.of(Op::GetStatus).find(|m| m.minor == request.minor);
            return item(request, known.unwrap());
        }
        let answer = self
            .replies
            .iter()
            .find(|(op, minor, _)| *op == request.op && *minor == request.minor);
        request.reply(answer.unwrap_or_else(|| panic!("{request:?}")).2)
    }
}

/// A known item as the answer to this request.
fn item(request: &Request, known: &Message) -> Message {
    let mut item = request.item(known.minor);
    if request.op == Op::GetInitialState {
        item.op = known.op;
    }
    item.parts.clone_from(&known.parts);
    item
}

/// Serves one connection until it is closed; returns the requests.
pub fn serve(knowledge: Knowledge, server: Connection) -> JoinHandle<Vec<Request>> {
    std::thread::spawn(move || {
        let (mut buffer, mut requests) = (Vec::new(), Vec::new());
        while let Some(bytes) = server.recv(&mut buffer).unwrap() {
            let request = match Request::decode(bytes, FamilyId::ENGINE) {
                Ok(request) => request,
                Err(refusal) => {
                    server.send(&refusal.encode().unwrap()).unwrap();
                    continue;
                }
            };
            assert!(matches!(
                request.op.privilege(),
                Privilege::Anyone | Privilege::Admin
            ));
            for answer in knowledge.answers(&request) {
                if server.send(&answer).is_err() {
                    return requests;
                }
            }
            requests.push(request);
        }
        requests
    })
}

/// Runs a command against a server with this knowledge.
pub fn run(words: &[String], knowledge: &Knowledge) -> (Ending, Vec<Request>) {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    for name in ["lock", "run", "state"] {
        std::fs::create_dir(path(name)).unwrap();
    }
    run_in(
        words,
        knowledge,
        &Paths {
            lock_dir: path("lock"),
            run_dir: path("run"),
            state_dir: path("state"),
        },
    )
}

/// The same with these directories.
pub fn run_in(words: &[String], knowledge: &Knowledge, paths: &Paths) -> (Ending, Vec<Request>) {
    let (client, server) = Connection::pair().unwrap();
    let server = serve(knowledge.clone(), server);
    let client = std::cell::Cell::new(Some(client));
    let connect = |_| Ok(Client::new(Box::new(Engine::new(client.take().unwrap()))));
    let here = Surroundings {
        world: &Node,
        connect: &connect,
        paths: paths.clone(),
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = drbdsetup::execute("drbdsetup-84", words, &here, &mut out, &mut err);
    drop(client);
    let ending = Ending {
        out: String::from_utf8(out).unwrap(),
        err: String::from_utf8(err).unwrap(),
        exit: exit.0,
    };
    (ending, server.join().unwrap())
}

pub fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// The defaults of a set with some values given as text.
pub fn settings(nest: Nest, given: &[(&str, &str)]) -> Settings {
    let mut settings = Settings::defaults(nest);
    for (name, text) in given {
        let rows = schema::options_of(nest);
        let row = rows.into_iter().find(|row| row.name == *name).unwrap();
        let value = drbdsetup::words::setting(row, Some(text), &Node).unwrap();
        settings.set(row, value.unwrap());
    }
    settings
}

pub fn endpoint(text: &str) -> Endpoint {
    Endpoint::new(Family::IPV4, text.parse().unwrap())
}

pub fn disk(given: &[(&str, &str)]) -> Part {
    Part::DiskConf(DiskConf {
        backing_dev: "/dev/ubda".to_owned(),
        meta_dev: "/dev/ubda".to_owned(),
        meta_index: MetaIndex::INTERNAL,
        settings: settings(Nest::DiskConf, given),
    })
}

/// An item without parts, to add some.
pub fn bare(op: Op, minor: Option<u32>, context: Context) -> Message {
    Message::notice(op, 0, minor.map(Minor)).with(context)
}

pub fn number(n: u64) -> Setting {
    Setting::Number(n)
}
