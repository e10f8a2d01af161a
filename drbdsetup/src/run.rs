//! Carries a parsed command out.

use crate::backend::{Backend, ConnectError, Engine, Kernel};
use crate::client::Client;
use crate::command::{Action, Query};
use crate::legacy::{Disk, Known, Siblings};
use crate::lock::MinorLock;
use crate::outcome::{self, Exit, Stop};
use crate::parse::{Call, Object};
use crate::show::{Defaults, show};
use crate::{query, wait};
use drbd_control::{Answer, Context, Message, Op, Request, RetCode};
use drbd_types::Minor;
use std::io::Write;
use std::path::PathBuf;

/// Where the tool keeps things.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Paths {
    /// Locks of minors.
    pub lock_dir: PathBuf,
    /// Links to the configuration that configured a minor or resource, made by `drbdadm`.
    pub run_dir: PathBuf,
    /// What was last known of backing devices.
    pub state_dir: PathBuf,
}

impl Paths {
    /// Those of this machine.
    pub fn of_machine() -> Self {
        let state_dir = match std::env::var_os("DRBD_STATE_DIR") {
            Some(dir) if !dir.is_empty() => PathBuf::from(dir),
            _ => PathBuf::from("/var/lib/drbd"),
        };
        Self {
            lock_dir: PathBuf::from("/var/lock"),
            run_dir: drbd_control::carrier::run_dir(),
            state_dir,
        }
    }
}

/// Whom to talk to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Carrier {
    /// The engine of this project.
    #[default]
    Engine,
    /// The kernel module.
    Kernel,
}

/// Opens a conversation, with the genuine messages where that fails.
pub fn connect(carrier: Carrier) -> Result<Client, Stop> {
    let backend: Result<Box<dyn Backend>, ConnectError> = match carrier {
        Carrier::Engine => Engine::connect_or_start().map(|b| Box::new(b) as Box<dyn Backend>),
        Carrier::Kernel => Kernel::connect().map(|b| Box::new(b) as Box<dyn Backend>),
    };
    backend.map(Client::new).map_err(|error| {
        Stop::error(match error {
            ConnectError::NoEngine => "Could not stat /proc/drbd: No such file or directory\n\
                 Make sure that the DRBD kernel module is installed and can be loaded!\n"
                .to_owned(),
            ConnectError::NoFamily => {
                "Could not connect to 'drbd' generic netlink family\n".to_owned()
            }
            ConnectError::ApiMismatch { version, header } => format!(
                "API mismatch!\n\tAPI version drbdsetup: 1 kernel: {version}\n\
                 \theader size drbdsetup: 8 kernel: {header}\n"
            ),
            ConnectError::Io(error) => format!(
                "Could not connect to 'drbd' generic netlink family: {}\n",
                crate::strerror(&error)
            ),
        })
    })
}

/// Carries a command out. What it prints goes to `out` and `err`; the rest comes back.
pub fn run(
    program: &str,
    call: &Call,
    client: &mut Client,
    paths: &Paths,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<Exit, Stop> {
    let _lock = match call.minor {
        Some(minor) if needs_lock(call) => Some(MinorLock::take(&paths.lock_dir, minor)?),
        _ => None,
    };
    let stop = match call.command.action {
        Action::Config(op) => config(call, op, client, paths)?,
        Action::Down => down(call, client, paths)?,
        Action::Query(which) => query_one(program, call, which, client)?,
        Action::Show => show_all(call, client)?,
        Action::ShStatus => sh_status(call, client)?,
        Action::Wait(what) => {
            let minor = call.minor.unwrap_or_default();
            return wait::wait(client, call, minor, what, err);
        }
        Action::CheckResize => crate::check_resize::check_resize(call, client, paths)?,
        Action::Status => crate::status::status(call, client)?,
        Action::Events => return crate::events::events(call, client, out),
        Action::Events2 => return crate::events2::events2(call, client, out),
    };
    Err(stop)
}

/// Commands that change a device, and `state`, which did once.
fn needs_lock(call: &Call) -> bool {
    call.command.is_config() || call.command.action == Action::Query(Query::State)
}

fn request(call: &Call, op: Op) -> Request {
    Request {
        minor: call.minor,
        context: call.context.clone(),
        params: call.params.clone(),
        unmentioned: call.unmentioned,
        ..Request::new(op)
    }
}

fn config(call: &Call, op: Op, client: &mut Client, paths: &Paths) -> Result<Stop, Stop> {
    let reply = client
        .ask(request(call, op))
        .map_err(|trouble| trouble.of_config(&call.word))?;
    let stop = outcome::report(&call.word, &reply);
    if stop.exit == Exit::OK.0 {
        match (op, call.minor, &call.object) {
            (Op::DelMinor, Some(minor), _) => paths.forget_minor(minor),
            (Op::DelResource, _, Object::Resource(name)) => paths.forget_resource(name),
            _ => {}
        }
    }
    Ok(stop)
}

impl Paths {
    // The links are hints: whoever follows one copes with a missing or stale one.

    fn forget_minor(&self, minor: Minor) {
        let _ = std::fs::remove_file(self.run_dir.join(format!("drbd-minor-{minor}.conf")));
    }

    fn forget_resource(&self, name: &str) {
        if !name.contains('/') {
            let _ = std::fs::remove_file(self.run_dir.join(format!("drbd-resource-{name}.conf")));
        }
    }
}

fn down(call: &Call, client: &mut Client, paths: &Paths) -> Result<Stop, Stop> {
    // An unknown resource has no minors; DOWN itself says so.
    let minors: Vec<Minor> = client
        .list(Request {
            context: call.context.clone(),
            ..Request::new(Op::GetStatus)
        })
        .unwrap_or_default()
        .iter()
        .filter_map(|message| message.minor)
        .collect();
    let reply = client
        .ask(request(call, Op::Down))
        .map_err(|trouble| trouble.of_config(&call.word))?;
    if reply.answer == Answer::Ret(RetCode::ResNotKnown) {
        let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
        return Ok(Stop {
            exit: 0,
            ..Stop::error(
                if is_terminal {
                    "Resource unknown\n"
                } else {
                    ""
                }
                .to_owned(),
            )
        });
    }
    let stop = outcome::report(&call.word, &reply);
    if stop.exit == Exit::OK.0 {
        for minor in minors {
            paths.forget_minor(minor);
        }
        if let Object::Resource(name) = &call.object {
            paths.forget_resource(name);
        }
    }
    Ok(stop)
}

/// The status of the one device that a command is about.
pub fn status_of(call: &Call, client: &mut Client) -> Result<Message, Stop> {
    let reply = client
        .ask(request(call, Op::GetStatus))
        .map_err(|trouble| trouble.of_query())?;
    if reply.answer.is_success() {
        Ok(reply)
    } else {
        Err(outcome::report(&call.word, &reply))
    }
}

/// The status of everything that a command is about.
fn status_list(call: &Call, client: &mut Client) -> Result<Vec<Message>, crate::client::Trouble> {
    client.list(Request {
        context: call.context.clone(),
        ..Request::new(Op::GetStatus)
    })
}

fn query_one(program: &str, call: &Call, which: Query, client: &mut Client) -> Result<Stop, Stop> {
    let message = status_of(call, client)?;
    Ok(query::query(program, which, &message))
}

/// A text for standard output and nothing else.
pub const fn printed(out: String) -> Stop {
    Stop {
        out,
        err: String::new(),
        exit: 0,
    }
}

fn show_all(call: &Call, client: &mut Client) -> Result<Stop, Stop> {
    let defaults = if call.has("show-defaults") {
        Defaults::Shown
    } else {
        Defaults::Hidden
    };
    let messages = match call.minor {
        Some(_) => vec![status_of(call, client)?],
        None => status_list(call, client).map_err(|trouble| trouble.of_query())?,
    };
    Ok(printed(show(&messages, defaults)))
}

fn sh_status(call: &Call, client: &mut Client) -> Result<Stop, Stop> {
    let Some(minor) = call.minor else {
        return match status_list(call, client) {
            Ok(messages) => Ok(printed(query::sh_status(&messages))),
            // Scripts see the error number itself.
            Err(crate::client::Trouble::Netlink(number)) => Ok(Stop {
                exit: u8::try_from(number).unwrap_or(Exit::FAILED.0),
                ..Stop::error(String::new())
            }),
            Err(trouble) => Err(trouble.of_query()),
        };
    };
    let reply = client
        .ask(request(call, Op::GetStatus))
        .map_err(|trouble| trouble.of_query())?;
    Ok(printed(if outcome::is_unknown_minor(&reply) {
        query::sh_status_unknown(minor)
    } else {
        query::sh_status(&[reply])
    }))
}

/// What an old command line needs to know about its device.
pub fn known(client: &mut Client, minor: Minor, paths: &Paths) -> Result<Known, Stop> {
    let mut known = Known {
        remembered: paths.remembered(minor),
        ..Known::default()
    };
    let reply = client
        .ask(Request::new(Op::GetStatus).for_minor(minor))
        .map_err(|trouble| trouble.of_query())?;
    let Some(context) = reply.context().filter(|_| reply.answer.is_success()) else {
        return Ok(known);
    };
    known.resource.clone_from(&context.resource);
    if let (Some(my), Some(peer), Some(_)) =
        (&context.my_addr, &context.peer_addr, reply.net_conf())
    {
        known.addresses = Some([my, peer].map(|address| address.to_string().replacen(' ', ":", 1)));
    }
    if reply.disk_conf().is_some() {
        known.disk = Disk::Attached;
    }
    let name = context.resource.clone().unwrap_or_default();
    let volumes = client
        .list(Request::new(Op::GetStatus).for_context(Context::resource(name)))
        .map_err(|trouble| trouble.of_query())?;
    if volumes.len() > 1 {
        known.siblings = Siblings::Some;
    }
    Ok(known)
}

impl Paths {
    fn syncer_file(&self, minor: Minor) -> PathBuf {
        self.run_dir.join(format!("syncer-minor-{minor}"))
    }

    /// What `syncer` was told about a device, one option a line.
    fn remembered(&self, minor: Minor) -> Vec<String> {
        // Nothing was told, or it cannot be read: then there is nothing to add.
        std::fs::read_to_string(self.syncer_file(minor))
            .unwrap_or_default()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// Keeps what `syncer` was told.
    pub fn remember(&self, minor: Minor, options: &[String]) -> Result<(), Stop> {
        let path = self.syncer_file(minor);
        let result = if options.is_empty() {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
                result => result,
            }
        } else {
            std::fs::write(&path, options.join("\n") + "\n")
        };
        result.map_err(|error| {
            let reason = crate::strerror(&error);
            Stop::error(format!("{}: {reason}\n", path.display()))
        })
    }
}
