//! The commands of 8.4 (spec 20 sections 3, 7 and 14): one row each.

use drbd_options::SetupCommand;

/// What a command works on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// Nothing that is named on the command line.
    Global,
    /// The resource as a whole.
    Resource,
    /// As [`Self::Resource`], and naming one of several volumes is an error.
    WholeResource,
    /// Each volume of the resource, until one fails.
    Volumes,
    /// Exactly one volume.
    OneVolume,
}

/// Where help lists a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Listing {
    /// In the general help.
    Usual,
    /// With the commands for scripts.
    Script,
    /// With the handlers.
    Handler,
    /// With the commands for experts.
    Expert,
    /// Nowhere: a command of older series.
    Old,
    /// Nowhere: the genuine programs have no such command.
    Ours,
}

/// How long a call may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Limit {
    /// `cmd-timeout-short`
    Short,
    /// `cmd-timeout-medium`
    Medium,
    /// `cmd-timeout-long`
    Long,
    /// None.
    Forever,
}

/// What a command does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "most names are the commands")]
pub enum Action {
    Attach,
    Connect,
    NetOptions,
    Disconnect,
    Up,
    NewResource,
    NewMinor,
    /// `drbdsetup COMMAND RESOURCE`
    OfResource,
    /// `drbdsetup COMMAND MINOR`
    OfMinor,
    /// What `syncer` did before 8.4.
    Syncer,
    /// drbdsetup, and drbdmeta if that fails.
    Either,
    Outdate,
    Resize,
    CheckResize,
    /// `drbdmeta ... COMMAND`
    Meta,
    CreateMd,
    Adjust,
    AdjustWithProgress,
    WaitConnect,
    WaitConInt,
    Dump,
    DumpXml,
    Handler,
    BecomePrimary,
    ProxyUp,
    ProxyDown,
    HiddenCommands,
    Convert,
    ShNop,
    ShResources,
    ShModParms,
    ShStatus,
    Lookup(Lookup),
}

/// Questions that are answered from the configuration alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names are the commands")]
pub enum Lookup {
    Resource,
    Device,
    Udev,
    Minor,
    LowerDevice,
    MetaDevice,
    MetaIndex,
    Ip,
    LowerResource,
}

/// One command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Command {
    /// The word.
    pub name: &'static str,
    /// What it does.
    pub action: Action,
    /// What it works on.
    pub scope: Scope,
    /// Whether the own address must exist.
    pub verifies_ip: bool,
    /// How long its calls may take.
    pub limit: Limit,
    /// Where help lists it.
    pub listing: Listing,
    /// Whose options it takes without `--`.
    pub options: Option<SetupCommand>,
    /// What it does, for the manual and for completion; what is typed stands between backticks.
    pub about: &'static str,
}

const fn row(name: &'static str, action: Action, scope: Scope, limit: Limit) -> Command {
    Command {
        name,
        action,
        scope,
        verifies_ip: false,
        limit,
        listing: Listing::Usual,
        options: None,
        about: "",
    }
}

impl Command {
    const fn ip(mut self) -> Self {
        self.verifies_ip = true;
        self
    }

    const fn with(mut self, options: SetupCommand) -> Self {
        self.options = Some(options);
        self
    }

    const fn about(mut self, text: &'static str) -> Self {
        self.about = text;
        self
    }

    const fn listed(mut self, listing: Listing) -> Self {
        self.listing = listing;
        self
    }
}

const fn script(name: &'static str, action: Action, scope: Scope) -> Command {
    row(name, action, scope, Limit::Short).listed(Listing::Script)
}

const fn lookup(name: &'static str, what: Lookup, scope: Scope) -> Command {
    script(name, Action::Lookup(what), scope)
}

const fn handler(name: &'static str, scope: Scope) -> Command {
    row(name, Action::Handler, scope, Limit::Long).listed(Listing::Handler)
}

const fn expert(name: &'static str, action: Action, scope: Scope, limit: Limit) -> Command {
    row(name, action, scope, limit).listed(Listing::Expert)
}

use Action as A;
use Limit as L;
use Scope as S;
use SetupCommand as O;

/// In the order of the genuine help.
pub static COMMANDS: &[Command] = &[
    row("attach", A::Attach, S::Volumes, L::Medium)
        .with(O::Attach)
        .about("Give the volumes their backing disks, after replaying the activity log"),
    row("status", A::OfResource, S::WholeResource, L::Short)
        .about("Show roles, disks and connections, in the form of `drbdsetup status`"),
    row("disk-options", A::OfMinor, S::Volumes, L::Medium)
        .with(O::DiskOptions)
        .about("Change disk options of attached volumes for the time being"),
    row("detach", A::OfMinor, S::Volumes, L::Medium)
        .with(O::Detach)
        .about("Take the backing disks away; the data of the peer is used from then on"),
    row("connect", A::Connect, S::WholeResource, L::Short)
        .ip()
        .with(O::Connect)
        .about("Configure the connection to the peer and let it connect"),
    row("net-options", A::NetOptions, S::WholeResource, L::Short)
        .ip()
        .with(O::NetOptions)
        .about("Change network options of the connection for the time being"),
    row("disconnect", A::Disconnect, S::WholeResource, L::Short)
        .with(O::Disconnect)
        .about("Disconnect from the peer and forget the connection"),
    row("up", A::Up, S::Resource, L::Short)
        .ip()
        .about("Create the resource with its volumes, attach and connect it"),
    row(
        "resource-options",
        A::OfResource,
        S::WholeResource,
        L::Short,
    )
    .with(O::ResourceOptions)
    .about("Change options of the resource for the time being"),
    row("down", A::OfResource, S::WholeResource, L::Medium)
        .about("Disconnect, detach and remove the resource"),
    row("primary", A::OfMinor, S::Volumes, L::Medium)
        .with(O::Primary)
        .about("Make the resource Primary: its devices may be written"),
    row("secondary", A::OfMinor, S::Volumes, L::Medium)
        .about("Make the resource Secondary again; refused while a device is open"),
    row("invalidate", A::Either, S::Volumes, L::Short)
        .about("Give up the local data: all of it is fetched from the peer"),
    row("invalidate-remote", A::OfMinor, S::Volumes, L::Medium)
        .ip()
        .about("Give up the peer's data: all of it is sent there"),
    row("outdate", A::Outdate, S::Volumes, L::Short).about("Mark the local data as outdated"),
    row("resize", A::Resize, S::Volumes, L::Short)
        .ip()
        .about("Use all of the backing disks after they were enlarged on both nodes"),
    row("verify", A::OfMinor, S::Volumes, L::Short)
        .ip()
        .about("Compare the data with that of the peer while it is in use"),
    row("pause-sync", A::OfMinor, S::Volumes, L::Short)
        .ip()
        .about("Pause the resync from this side"),
    row("resume-sync", A::OfMinor, S::Volumes, L::Short)
        .ip()
        .about("End such a pause"),
    row("adjust", A::Adjust, S::WholeResource, L::Short)
        .ip()
        .about("Compare the running state with the configuration and change what differs"),
    row(
        "adjust-with-progress",
        A::AdjustWithProgress,
        S::WholeResource,
        L::Short,
    )
    .ip()
    .about("The same for all resources, with a word about each step; for init scripts"),
    row("wait-connect", A::WaitConnect, S::Volumes, L::Forever)
        .ip()
        .about("Wait until the volumes are connected, as the startup section says"),
    row("wait-con-int", A::WaitConInt, S::Global, L::Forever)
        .ip()
        .about("Wait for the peers of all resources, with a dialog on the console"),
    row("role", A::OfMinor, S::Volumes, L::Short)
        .about("Print the role of this node and that of the peer"),
    row("cstate", A::OfMinor, S::Volumes, L::Short).about("Print the state of the connection"),
    row("dstate", A::Either, S::Volumes, L::Short)
        .about("Print the state of the local disk and that of the peer"),
    row("dump", A::Dump, S::WholeResource, L::Short)
        .ip()
        .about("Print the configuration as it was understood"),
    row("dump-xml", A::DumpXml, S::WholeResource, L::Short)
        .ip()
        .about("The same as XML"),
    row("create-md", A::CreateMd, S::Volumes, L::Long)
        .about("Write new meta-data, or convert that of an older series"),
    row("show-gi", A::Either, S::Volumes, L::Short).about("Explain the generation identifiers"),
    row("get-gi", A::Either, S::Volumes, L::Short)
        .about("Print the generation identifiers on one line"),
    row("dump-md", A::Meta, S::Volumes, L::Long).about("Print all meta-data as text"),
    row("wipe-md", A::Meta, S::Volumes, L::Long).about("Overwrite the meta-data"),
    row("apply-al", A::Meta, S::Volumes, L::Long).about("Replay the activity log after a crash"),
    row("hidden-commands", A::HiddenCommands, S::Global, L::Short)
        .about("List the commands that the general help leaves out"),
    script("sh-nop", A::ShNop, S::Global).about("Only read the configuration"),
    script("sh-resources", A::ShResources, S::Global)
        .about("Print the names of all resources on one line"),
    lookup("sh-resource", Lookup::Resource, S::WholeResource)
        .about("Print the name of each resource that was named"),
    script("sh-mod-parms", A::ShModParms, S::Global)
        .about("Print parameters for loading the kernel module"),
    lookup("sh-dev", Lookup::Device, S::Volumes).about("Print the devices"),
    lookup("sh-udev", Lookup::Udev, S::OneVolume)
        .about("Print what udev needs for the symbolic links of a volume"),
    lookup("sh-minor", Lookup::Minor, S::Volumes).about("Print the minor numbers"),
    lookup("sh-ll-dev", Lookup::LowerDevice, S::Volumes).about("Print the backing devices"),
    lookup("sh-md-dev", Lookup::MetaDevice, S::Volumes).about("Print the devices of the meta-data"),
    lookup("sh-md-idx", Lookup::MetaIndex, S::Volumes)
        .about("Print the indexes of the meta-data, `internal` or `flexible`"),
    lookup("sh-ip", Lookup::Ip, S::Volumes).about("Print the own address"),
    lookup("sh-lr-of", Lookup::LowerResource, S::Volumes)
        .about("Print the resource that a stacked one lies on"),
    script("sh-b-pri", A::BecomePrimary, S::Volumes)
        .about("Make the resource Primary if `become-primary-on` says so"),
    script("sh-status", A::ShStatus, S::Global)
        .about("Print the state of everything as shell assignments"),
    script("proxy-up", A::ProxyUp, S::WholeResource).about("Tell drbd-proxy about the connection"),
    script("proxy-down", A::ProxyDown, S::WholeResource).about("Tell drbd-proxy to forget it"),
    script("new-resource", A::NewResource, S::WholeResource)
        .about("Create the resource, without volumes"),
    handler("before-resync-target", S::OneVolume).about("Run that handler"),
    handler("after-resync-target", S::OneVolume).about("Run that handler"),
    handler("before-resync-source", S::OneVolume).about("Run that handler"),
    handler("pri-on-incon-degr", S::OneVolume).about("Run that handler"),
    handler("pri-lost-after-sb", S::OneVolume).about("Run that handler"),
    handler("fence-peer", S::WholeResource).about("Run that handler"),
    handler("unfence-peer", S::WholeResource).about("Run that handler"),
    handler("local-io-error", S::OneVolume).about("Run that handler"),
    handler("pri-lost", S::OneVolume).about("Run that handler"),
    handler("initial-split-brain", S::OneVolume).about("Run that handler"),
    handler("split-brain", S::OneVolume).about("Run that handler"),
    handler("out-of-sync", S::OneVolume).about("Run that handler"),
    expert("sh-new-minor", A::NewMinor, S::Volumes, L::Short)
        .about("Create the volumes of a resource"),
    expert("new-minor", A::NewMinor, S::Volumes, L::Short)
        .about("Create the volumes of a resource"),
    expert("suspend-io", A::OfMinor, S::Volumes, L::Short).about("Let all requests wait"),
    expert("resume-io", A::OfMinor, S::Volumes, L::Short).about("Let them go on"),
    expert("set-gi", A::Meta, S::OneVolume, L::Long).about("Change the generation identifiers"),
    expert("new-current-uuid", A::OfMinor, S::OneVolume, L::Short)
        .with(O::NewCurrentUuid)
        .about("Begin a new generation of the data"),
    expert("check-resize", A::CheckResize, S::Volumes, L::Short).about(
        "Remember the size of the backing disk; move internal meta-data after a resize off line",
    ),
    row("convert", A::Convert, S::Global, L::Short)
        .listed(Listing::Ours)
        .about("Rewrite a configuration of an older series in the words of 8.4"),
    row("syncer", A::Syncer, S::Volumes, L::Medium)
        .listed(Listing::Old)
        .about("Set the options of the syncer section"),
];

/// Names of older series that still work, with a remark.
pub const RENAMED: &[(&str, &str)] = &[("state", "role"), ("outdate-peer", "fence-peer")];

/// Spellings of 0.7, which work without one.
pub const SPELLED: &[(&str, &str)] = &[
    ("invalidate_remote", "invalidate-remote"),
    ("wait_connect", "wait-connect"),
    ("wait_con_int", "wait-con-int"),
];

/// The command with this name.
pub fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}

impl Command {
    /// Whether it takes resource names.
    pub fn takes_resources(&self) -> bool {
        self.scope != Scope::Global
    }

    /// Whether it only shows the configuration.
    pub fn is_dump(&self) -> bool {
        matches!(self.action, Action::Dump | Action::DumpXml)
    }

    /// Whether the peer must be known.
    pub fn needs_peer(&self) -> bool {
        matches!(
            self.action,
            Action::Connect
                | Action::NetOptions
                | Action::Up
                | Action::Adjust
                | Action::AdjustWithProgress
                | Action::ProxyUp
                | Action::ProxyDown
        )
    }

    /// Whether it means all resources when none is named.
    pub fn defaults_to_all(&self) -> bool {
        self.is_dump() || self.name == "status"
    }

    /// Whether it finds its configuration through the registry of last used files.
    pub fn uses_registry(&self) -> bool {
        self.listing == Listing::Handler || self.action == Action::Lookup(Lookup::Udev)
    }
}
