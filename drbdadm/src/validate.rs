//! What must hold before a command may work on a resource (spec 10 sections 5.5 to 5.7).

use std::sync::Arc;

use compat::{
    config::{FirstUses, Identity, LocalAddresses, Node},
    model::{Address, Config, Host, HostKind, Resource, Setting, Settings},
};
use drbd_options::{Era, NumberError, Scale};

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// For stderr, in order.
    pub messages: Vec<String>,
    /// Whether the configuration cannot be used.
    pub invalid: bool,
}

impl Findings {
    fn error(&mut self, text: String) {
        self.messages.push(text);
        self.invalid = true;
    }
}

/// Circumstances of the invocation.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// This node.
    pub node: &'a Node,
    /// `--peer`
    pub peer: Option<&'a str>,
    /// How often `-d` was given.
    pub dry_run: u32,
    /// Whose words messages use.
    pub era: Era,
    /// Whether a person sits at the terminal: typing errors are then fatal.
    pub interactive: bool,
}

/// Where a resource is; before 8.4 by the name of the file as it was given.
fn prefix(resource: &Resource, era: Era) -> String {
    let place = &resource.place;
    let file = match era {
        Era::V84 => &place.file,
        _ => &place.shown,
    };
    format!("{file}:{}: in resource {}", place.line, resource.name)
}

/// Checks one resource, and determines its peer.
pub fn resource(config: &mut Config, at: usize, context: Context<'_>) -> Findings {
    let mut findings = Findings::default();
    check_resync_after(config, at, context, &mut findings);
    let resource = &mut config.resources[at];
    if resource.is_ignored() {
        return findings;
    }
    let sections = &resource.sections;
    let both = sections.become_primary_on.iter().any(|name| name == "both");
    if both && sections.net.find("allow-two-primaries").is_none() {
        findings.error(format!(
            "{}:\nbecome-primary-on is set to both, but allow-two-primaries is not set.",
            prefix(resource, context.era)
        ));
    }
    find_peer(resource, context, PeerNeed::IfClear, &mut findings);
    let proxies = |host: Option<&Host>| host.is_some_and(|h| h.proxy.is_some());
    if resource.peer.is_some() && proxies(resource.my_host()) != proxies(resource.peer_host()) {
        findings.error(format!(
            "{}:\n\tEither both 'on' sections must contain a proxy subsection, or none.",
            prefix(resource, context.era)
        ));
    }
    check_primaries(resource, context, &mut findings);
    findings
}

fn check_primaries(resource: &Resource, context: Context<'_>, findings: &mut Findings) {
    let (Some(me), Some(peer)) = (resource.my_host(), resource.peer_host()) else {
        return;
    };
    for name in &resource.sections.become_primary_on {
        if name != "both" && !me.names.contains(name) && !peer.names.contains(name) {
            findings.error(format!(
                "{}:\n\tbecome-primary-on contains '{name}', which is not named with the 'on' sections.",
                prefix(resource, context.era)
            ));
        }
    }
}

fn check_resync_after(
    config: &mut Config,
    at: usize,
    context: Context<'_>,
    findings: &mut Findings,
) {
    let old = context.era < Era::V84;
    let unknown = |value: &str| {
        // Before 8.4 the value was a name and nothing else, and known if any resource had it.
        let name = match old {
            true => value,
            false => value.split('/').next().unwrap_or_default(),
        };
        let found = config.position(name);
        // Genuine: where proxies choose the section, nothing counts as ignored here.
        let known = match old || context.node.identity == Identity::Proxy {
            true => found.is_some(),
            false => found.is_some_and(|r| !config.resources[r].is_ignored()),
        };
        let option = if old { "after" } else { "resync-after" };
        (!known).then(|| {
            let place = if found.is_some() { " on this host" } else { "" };
            format!("resource '{value}' mentioned in '{option}' option is not known{place}.")
        })
    };
    let disk = &config.resources[at].sections.disk;
    let bad: Vec<(usize, String)> = disk
        .iter()
        .enumerate()
        .filter(|(_, s)| s.name() == "resync-after")
        .filter_map(|(i, s)| Some((i, unknown(s.value())?)))
        .collect();
    let resource = &mut config.resources[at];
    for (i, text) in bad.iter().rev() {
        let prefix = prefix(resource, context.era);
        findings.messages.push(format!("{prefix}:\n\t{text}"));
        if context.interactive {
            findings.invalid = true;
        } else {
            resource.sections.disk.0.remove(*i);
        }
    }
}

/// How much it matters whether the peer can be determined.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PeerNeed {
    /// Only where it is unambiguous.
    IfClear,
    /// Say why not.
    Required,
}

/// Determines the peer's host section (spec 10 section 5.5). Genuine: what goes wrong here never
/// stops the command; it runs without a peer.
pub fn find_peer(
    resource: &mut Resource,
    context: Context<'_>,
    need: PeerNeed,
    findings: &mut Findings,
) {
    let Some(me) = resource.me else { return };
    let prefix = prefix(resource, context.era);
    let others = || (0..resource.hosts.len()).filter(|h| *h != me);
    if resource.hosts.len() == 2 {
        if let (Some(peer), true) = (context.peer, context.dry_run > 1) {
            findings.messages.push(format!(
                "{prefix}:\n\tIgnoring --peer '{peer}': there are only two host sections."
            ));
        }
        resource.peer = others().next();
        return;
    }
    if resource.hosts.len() < 2 {
        if need == PeerNeed::Required {
            findings.messages.push(format!(
                "{prefix}:\n\tMissing section 'on <PEER> {{ ... }}'."
            ));
        }
        return;
    }
    let Some(wanted) = context.peer else {
        if need == PeerNeed::Required {
            findings.messages.push(format!(
                "{prefix}:\n\tThere are multiple host sections for the peer node.\n\t\
                 Use the --peer option to select which peer section to use."
            ));
        }
        return;
    };
    if is_named(&resource.hosts[me], wanted) {
        findings.messages.push(format!(
            "{prefix}\n\tInvoked with --peer '{wanted}', but that matches myself!"
        ));
        return;
    }
    // Genuine: a section with a proxy cannot be named.
    let mut matching = others().filter(|h| {
        let host = &resource.hosts[*h];
        host.proxy.is_none() && is_named(host, wanted)
    });
    match (matching.next(), matching.next()) {
        (Some(one), None) => resource.peer = Some(one),
        (Some(_), Some(_)) => findings.messages.push(format!(
            "{prefix}:\n\tInvoked with --peer '{wanted}', but that matches multiple times!"
        )),
        (None, _) if need == PeerNeed::IfClear => {}
        (None, _) => findings.messages.push(format!(
            "{prefix}:\n\tNo host ('on' or 'floating') section matches --peer '{wanted}'"
        )),
    }
}

fn is_named(host: &Host, name: &str) -> bool {
    let by_address =
        host.kind == HostKind::Floating && host.address.as_ref().is_some_and(|a| a.host == name);
    by_address || host.names.iter().any(|n| n == name)
}

/// Names in option values become what drbdsetup takes: `resync-after` a minor, and
/// `discard-node-HOST` a side.
pub fn convert(config: &mut Config, at: usize, node: &Node) -> Result<Findings, NumberError> {
    let mut findings = Findings::default();
    let resolved = resolve_all(config, at, &mut findings)?;
    let resource = &mut config.resources[at];
    let volumes = resource.hosts.iter_mut().flat_map(|h| &mut h.volumes);
    for (volume, settings) in volumes.zip(resolved) {
        volume.disk_options = settings;
    }
    let first = resource
        .sections
        .net
        .0
        .iter_mut()
        .find(|s| s.name() == "after-sb-0pri" && s.value().starts_with("discard-node-"));
    if let Some(setting) = first {
        let mine = setting.value().strip_prefix("discard-node-") == Some(node.name.as_str());
        let side = if mine {
            "discard-local"
        } else {
            "discard-remote"
        };
        setting.value = Some(side.to_owned());
    }
    Ok(findings)
}

fn resolve_all(
    config: &Config,
    at: usize,
    findings: &mut Findings,
) -> Result<Vec<Settings>, NumberError> {
    let resource = &config.resources[at];
    let volumes = resource.hosts.iter().flat_map(|h| &h.volumes);
    volumes
        .map(|volume| resolve(config, resource, &volume.disk_options, findings))
        .collect()
}

fn resolve(
    config: &Config,
    resource: &Resource,
    settings: &Settings,
    findings: &mut Findings,
) -> Result<Settings, NumberError> {
    let mut resolved = Settings::default();
    let mut rest = settings.iter();
    for setting in rest.by_ref() {
        if setting.name() != "resync-after" {
            resolved.push(setting.clone());
            continue;
        }
        match target_minor(config, setting.value())? {
            Ok(minor) => resolved.push(Setting {
                value: Some(minor.to_string()),
                ..setting.clone()
            }),
            Err(Unresolved::Unknown) => findings.messages.push(format!(
                "{}:\n\tresource '{}' mentioned in 'resync-after' option is not known.",
                prefix(resource, Era::V84),
                setting.value()
            )),
            Err(Unresolved::Ambiguous(volumes)) => {
                findings.error(format!(
                    "{}:\n\tresync-after contains '{}', which is ambiguous, since it contains {volumes} volumes",
                    prefix(resource, Era::V84),
                    setting.value()
                ));
                break;
            }
        }
    }
    resolved.0.extend(rest.cloned());
    Ok(resolved)
}

enum Unresolved {
    Unknown,
    Ambiguous(usize),
}

fn target_minor(config: &Config, value: &str) -> Result<Result<u32, Unresolved>, NumberError> {
    let (name, number) = match value.split_once('/') {
        Some((name, number)) => (name, Some(Scale::One.parse(number)?)),
        None => (value, None),
    };
    let host = config
        .position(name)
        .and_then(|at| config.resources[at].my_host());
    let Some(host) = host else {
        return Ok(Err(Unresolved::Unknown));
    };
    let volume = match (number, host.volumes.as_slice()) {
        (None, [only]) => Some(only),
        (None, volumes) => return Ok(Err(Unresolved::Ambiguous(volumes.len()))),
        (Some(number), volumes) => volumes.iter().find(|v| u64::from(v.number) == number),
    };
    Ok(volume.and_then(|v| v.minor).ok_or(Unresolved::Unknown))
}

/// Checks that the own address exists on this node; the message if it does not.
pub fn verify_ip(
    resource: &Resource,
    addresses: &LocalAddresses,
    first_uses: &FirstUses,
) -> Option<String> {
    let host = resource.my_host()?;
    let address = host.address.as_ref()?;
    if addresses.contain(address) {
        return None;
    }
    let place = match first_use(address, first_uses) {
        Some((shown, line)) => format!("{shown}:{line}"),
        None => resource.place.file.to_string(),
    };
    Some(format!(
        "{place}: in resource {}, on {}:\n\tIP {} not found on this host.",
        resource.name,
        host.joined_names(),
        address.host
    ))
}

fn first_use<'u>(address: &Address, first_uses: &'u FirstUses) -> Option<&'u (Arc<str>, u32)> {
    first_uses.get(&format!("{}:{}", address.host, address.port))
}
