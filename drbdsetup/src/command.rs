//! The commands: one table, in the order in which the usage lists them (spec 30 section 2.3).

use drbd_control::Op;
use drbd_options::{OptionRow, SetupCommand};

/// What a command does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Sends one request and reports the return code.
    Config(Op),
    /// Removes a resource with everything in it.
    Down,
    /// Prints one line about a device.
    Query(Query),
    /// Prints the configuration.
    Show,
    /// Prints shell assignments.
    ShStatus,
    /// Prints the state for people.
    Status,
    /// Prints classic events.
    Events,
    /// Prints events in the newer form.
    Events2,
    /// Waits for a device.
    Wait(WaitFor),
    /// Notes the size of the backing device for `drbdmeta`.
    CheckResize,
}

/// One line about a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names are the commands")]
pub enum Query {
    State,
    Role,
    Cstate,
    Dstate,
    ShowGi,
    GetGi,
}

/// What to wait for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WaitFor {
    /// Connected, or no hope of it.
    Connect,
    /// Connected and nothing to sync.
    Sync,
}

/// Which objects a command takes as its first word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Takes {
    /// None: all words are arguments.
    Nothing,
    /// A device.
    Minor,
    /// A resource.
    Resource,
    /// A resource or everything.
    ResourceOrAll,
    /// Any of the three.
    Any,
}

impl Takes {
    /// Whether a device will do.
    pub const fn minor(self) -> bool {
        matches!(self, Self::Minor | Self::Any)
    }

    /// Whether a resource will do.
    pub const fn resource(self) -> bool {
        matches!(self, Self::Resource | Self::ResourceOrAll | Self::Any)
    }

    /// Whether everything will do.
    pub const fn all(self) -> bool {
        matches!(self, Self::ResourceOrAll | Self::Any)
    }
}

/// Whether the two addresses of a connection follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Endpoints {
    /// They do.
    Both,
    /// They do not.
    None,
}

/// A positional argument behind object and addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arg {
    /// `resource` of `new-minor`.
    Resource,
    /// `minor` of `new-minor`.
    Minor,
    /// `volume` of `new-minor`.
    Volume,
    /// `lower_dev` of `attach`.
    LowerDev,
    /// `meta_data_dev` of `attach`.
    MetaDev,
    /// `meta_data_index` of `attach`.
    MetaIndex,
}

impl Arg {
    /// Its name in usage and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resource => "resource",
            Self::Minor => "minor",
            Self::Volume => "volume",
            Self::LowerDev => "lower_dev",
            Self::MetaDev => "meta_data_dev",
            Self::MetaIndex => "meta_data_index",
        }
    }
}

/// A command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Command {
    /// The word.
    pub name: &'static str,
    /// What it does.
    pub action: Action,
    /// Its object.
    pub takes: Takes,
    /// Whether addresses follow.
    pub endpoints: Endpoints,
    /// What else follows.
    pub args: &'static [Arg],
    /// Its name in the registry of options, if it has any.
    pub options: Option<SetupCommand>,
    /// What it does, for the manual.
    pub about: &'static str,
}

const fn config(name: &'static str, op: Op, takes: Takes) -> Command {
    command(name, Action::Config(op), takes)
}

const fn command(name: &'static str, action: Action, takes: Takes) -> Command {
    Command {
        name,
        action,
        takes,
        endpoints: Endpoints::None,
        args: &[],
        options: None,
        about: "",
    }
}

impl Command {
    const fn connection(mut self) -> Self {
        self.endpoints = Endpoints::Both;
        self
    }

    const fn args(mut self, args: &'static [Arg]) -> Self {
        self.args = args;
        self
    }

    const fn options(mut self, options: SetupCommand) -> Self {
        self.options = Some(options);
        self
    }

    const fn about(mut self, about: &'static str) -> Self {
        self.about = about;
        self
    }

    /// Whether it changes something: its options take values as the registry says, it is
    /// answered by a return code, and it holds the lock of its minor.
    pub const fn is_config(&self) -> bool {
        matches!(self.action, Action::Config(_) | Action::Down)
    }

    /// Its options in the order of usage, help and `show`.
    pub fn option_rows(&self) -> Vec<&'static OptionRow> {
        let Some(of) = self.options else {
            return Vec::new();
        };
        let mut rows: Vec<_> = drbd_options::of_command(of).collect();
        // The registry groups by meaning; these two come first in the genuine tables.
        rows.sort_by_key(|row| !matches!(row.name, "set-defaults" | "timestamps"));
        rows
    }
}

/// A switch that the genuine tool does not have. It stands in the manual, not in the usage,
/// which scripts compare.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extension {
    /// The command that takes it.
    pub command: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
}

/// The switch of `status` for machine-readable output.
pub const JSON: &str = "json";

/// Everything that this tool takes beyond the genuine one.
pub static EXTENSIONS: &[Extension] = &[Extension {
    command: "status",
    name: JSON,
    about: "print an array of resources as JSON, with the names that DRBD 9 uses",
}];

/// The command with this name.
pub fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}

use SetupCommand as O;
use Takes::{Any, Minor, Nothing, Resource, ResourceOrAll};

/// All commands.
pub static COMMANDS: &[Command] = &[
    config("primary", Op::Primary, Minor)
        .options(O::Primary)
        .about(
            "Make the resource of a device Primary: its devices may be opened for \
             writing.",
        ),
    config("secondary", Op::Secondary, Minor)
        .about("Make it Secondary again. Refused while a device is open."),
    config("attach", Op::Attach, Minor)
        .args(&[Arg::LowerDev, Arg::MetaDev, Arg::MetaIndex])
        .options(O::Attach)
        .about(
            "Give a device its backing disk. The meta-data must exist and be clean \
             (see drbdmeta(8)).",
        ),
    config("disk-options", Op::DiskOpts, Minor)
        .options(O::DiskOptions)
        .about("Change disk options while the disk is attached."),
    config("detach", Op::Detach, Minor)
        .options(O::Detach)
        .about("Take the backing disk away."),
    config("connect", Op::Connect, Resource)
        .connection()
        .options(O::Connect)
        .about("Configure the connection of a resource and let it connect."),
    config("net-options", Op::NetOpts, Nothing)
        .connection()
        .options(O::NetOptions)
        .about("Change network options of a connection."),
    config("disconnect", Op::Disconnect, Nothing)
        .connection()
        .options(O::Disconnect)
        .about("Disconnect and forget the network configuration."),
    config("resize", Op::Resize, Minor)
        .options(O::Resize)
        .about("Adapt a device to a new size of its backing disks."),
    config("resource-options", Op::ResourceOpts, Resource)
        .options(O::ResourceOptions)
        .about("Change options of a resource."),
    config("new-current-uuid", Op::NewCurrentUuid, Minor)
        .options(O::NewCurrentUuid)
        .about("Start a new data generation."),
    config("invalidate", Op::Invalidate, Minor)
        .about("Throw the own data away: a full resync from the peer follows."),
    config("invalidate-remote", Op::InvalidatePeer, Minor)
        .about("Throw the peer's data away: a full resync to the peer follows."),
    config("pause-sync", Op::PauseSync, Minor).about("Pause the resync of a device."),
    config("resume-sync", Op::ResumeSync, Minor).about("Let it go on."),
    config("suspend-io", Op::SuspendIo, Minor).about("Hold application I/O back."),
    config("resume-io", Op::ResumeIo, Minor).about("Let it go on."),
    config("outdate", Op::Outdate, Minor).about(
        "Mark the own data as outdated. Refused while they are not at least \
             that.",
    ),
    config("verify", Op::StartVerify, Minor)
        .options(O::Verify)
        .about(
            "Compare the data of both nodes. What differs is marked and synced at \
             the next reconnect.",
        ),
    command("down", Action::Down, Resource).about("Take a resource down completely and remove it."),
    command("state", Action::Query(Query::State), Minor).about("The old name of role."),
    command("role", Action::Query(Query::Role), Minor)
        .about("Print own role and role of the peer."),
    command("sh-status", Action::ShStatus, Any)
        .about("Print the state as assignments for a shell."),
    command("cstate", Action::Query(Query::Cstate), Minor).about("Print the connection state."),
    command("dstate", Action::Query(Query::Dstate), Minor)
        .about("Print own and the peer's disk state."),
    command("show-gi", Action::Query(Query::ShowGi), Minor)
        .about("Print the data generation identifiers with explanations."),
    command("get-gi", Action::Query(Query::GetGi), Minor).about("Print them on one line."),
    command("show", Action::Show, Any)
        .options(O::Show)
        .about("Print the configuration in effect."),
    command("status", Action::Status, ResourceOrAll)
        .options(O::Status)
        .about("Print the state for people."),
    command("check-resize", Action::CheckResize, Minor).about(
        "Note the size of the backing disk, so that internal meta-data is found \
             after it has grown off line.",
    ),
    command("events", Action::Events, Any)
        .about("Print every change, classic form, until interrupted."),
    command("events2", Action::Events2, ResourceOrAll)
        .options(O::Events2)
        .about(
            "Print every change as action, object, key:value pairs, until \
             interrupted.",
        ),
    command("wait-connect", Action::Wait(WaitFor::Connect), Minor)
        .options(O::WaitConnect)
        .about(
            "Wait until the device is connected; exit status 5 when that takes too \
             long.",
        ),
    command("wait-sync", Action::Wait(WaitFor::Sync), Minor)
        .options(O::WaitSync)
        .about(
            "Wait until the device is connected and in sync; exit status 5 when \
             that takes too long.",
        ),
    config("new-resource", Op::NewResource, Resource)
        .options(O::NewResource)
        .about("Create a resource."),
    config("new-minor", Op::NewMinor, Nothing)
        .args(&[Arg::Resource, Arg::Minor, Arg::Volume])
        .about("Create a device in a resource."),
    config("del-minor", Op::DelMinor, Minor).about("Remove a device without disk."),
    config("del-resource", Op::DelResource, Resource).about("Remove a resource without devices."),
];
