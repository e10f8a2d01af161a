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
    row("attach", A::Attach, S::Volumes, L::Medium).with(O::Attach),
    row("status", A::OfResource, S::WholeResource, L::Short),
    row("disk-options", A::OfMinor, S::Volumes, L::Medium).with(O::DiskOptions),
    row("detach", A::OfMinor, S::Volumes, L::Medium).with(O::Detach),
    row("connect", A::Connect, S::WholeResource, L::Short)
        .ip()
        .with(O::Connect),
    row("net-options", A::NetOptions, S::WholeResource, L::Short)
        .ip()
        .with(O::NetOptions),
    row("disconnect", A::Disconnect, S::WholeResource, L::Short).with(O::Disconnect),
    row("up", A::Up, S::Resource, L::Short).ip(),
    row(
        "resource-options",
        A::OfResource,
        S::WholeResource,
        L::Short,
    )
    .with(O::ResourceOptions),
    row("down", A::OfResource, S::WholeResource, L::Medium),
    row("primary", A::OfMinor, S::Volumes, L::Medium).with(O::Primary),
    row("secondary", A::OfMinor, S::Volumes, L::Medium),
    row("invalidate", A::Either, S::Volumes, L::Short),
    row("invalidate-remote", A::OfMinor, S::Volumes, L::Medium).ip(),
    row("outdate", A::Outdate, S::Volumes, L::Short),
    row("resize", A::Resize, S::Volumes, L::Short).ip(),
    row("verify", A::OfMinor, S::Volumes, L::Short).ip(),
    row("pause-sync", A::OfMinor, S::Volumes, L::Short).ip(),
    row("resume-sync", A::OfMinor, S::Volumes, L::Short).ip(),
    row("adjust", A::Adjust, S::WholeResource, L::Short).ip(),
    row(
        "adjust-with-progress",
        A::AdjustWithProgress,
        S::WholeResource,
        L::Short,
    )
    .ip(),
    row("wait-connect", A::WaitConnect, S::Volumes, L::Forever).ip(),
    row("wait-con-int", A::WaitConInt, S::Global, L::Forever).ip(),
    row("role", A::OfMinor, S::Volumes, L::Short),
    row("cstate", A::OfMinor, S::Volumes, L::Short),
    row("dstate", A::Either, S::Volumes, L::Short),
    row("dump", A::Dump, S::WholeResource, L::Short).ip(),
    row("dump-xml", A::DumpXml, S::WholeResource, L::Short).ip(),
    row("create-md", A::CreateMd, S::Volumes, L::Long),
    row("show-gi", A::Either, S::Volumes, L::Short),
    row("get-gi", A::Either, S::Volumes, L::Short),
    row("dump-md", A::Meta, S::Volumes, L::Long),
    row("wipe-md", A::Meta, S::Volumes, L::Long),
    row("apply-al", A::Meta, S::Volumes, L::Long),
    row("hidden-commands", A::HiddenCommands, S::Global, L::Short),
    script("sh-nop", A::ShNop, S::Global),
    script("sh-resources", A::ShResources, S::Global),
    lookup("sh-resource", Lookup::Resource, S::WholeResource),
    script("sh-mod-parms", A::ShModParms, S::Global),
    lookup("sh-dev", Lookup::Device, S::Volumes),
    lookup("sh-udev", Lookup::Udev, S::OneVolume),
    lookup("sh-minor", Lookup::Minor, S::Volumes),
    lookup("sh-ll-dev", Lookup::LowerDevice, S::Volumes),
    lookup("sh-md-dev", Lookup::MetaDevice, S::Volumes),
    lookup("sh-md-idx", Lookup::MetaIndex, S::Volumes),
    lookup("sh-ip", Lookup::Ip, S::Volumes),
    lookup("sh-lr-of", Lookup::LowerResource, S::Resource),
    script("sh-b-pri", A::BecomePrimary, S::Volumes),
    script("sh-status", A::ShStatus, S::Global),
    script("proxy-up", A::ProxyUp, S::WholeResource),
    script("proxy-down", A::ProxyDown, S::WholeResource),
    script("new-resource", A::NewResource, S::WholeResource),
    handler("before-resync-target", S::OneVolume),
    handler("after-resync-target", S::OneVolume),
    handler("before-resync-source", S::OneVolume),
    handler("pri-on-incon-degr", S::OneVolume),
    handler("pri-lost-after-sb", S::OneVolume),
    handler("fence-peer", S::WholeResource),
    handler("unfence-peer", S::WholeResource),
    handler("local-io-error", S::OneVolume),
    handler("pri-lost", S::OneVolume),
    handler("initial-split-brain", S::OneVolume),
    handler("split-brain", S::OneVolume),
    handler("out-of-sync", S::OneVolume),
    expert("sh-new-minor", A::NewMinor, S::Volumes, L::Short),
    expert("new-minor", A::NewMinor, S::Volumes, L::Short),
    expert("suspend-io", A::OfMinor, S::Volumes, L::Short),
    expert("resume-io", A::OfMinor, S::Volumes, L::Short),
    expert("set-gi", A::Meta, S::OneVolume, L::Long),
    expert("new-current-uuid", A::OfMinor, S::OneVolume, L::Short).with(O::NewCurrentUuid),
    expert("check-resize", A::CheckResize, S::Volumes, L::Short),
    row("convert", A::Convert, S::Global, L::Short).listed(Listing::Ours),
    row("syncer", A::Syncer, S::Volumes, L::Medium).listed(Listing::Old),
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

    /// Whether it means all resources when none is named.
    pub fn defaults_to_all(&self) -> bool {
        self.is_dump() || self.name == "status"
    }

    /// Whether it finds its configuration through the registry of last used files.
    pub fn uses_registry(&self) -> bool {
        self.listing == Listing::Handler || self.action == Action::Lookup(Lookup::Udev)
    }
}
