//! drbdadm as the engine's helper (spec 20 section 15).

use compat::model::{Config, HostKind, Resource, Volume};

use crate::{plan::commands, run::Runner};

/// Runs the configured script of a handler with its environment; no script is success.
pub fn run(
    runner: &mut Runner,
    name: &str,
    config: &Config,
    resource: &Resource,
    volume: Option<u32>,
    dry_run: bool,
) -> i32 {
    let Some(script) = resource.sections.handlers.value(name) else {
        return 0;
    };
    if !dry_run {
        runner.set_environment(environment(config, resource, volume));
    }
    runner.job(&resource.name, &commands::handler(script))
}

fn environment(
    config: &Config,
    resource: &Resource,
    volume: Option<u32>,
) -> Vec<(&'static str, String)> {
    let volumes = resource.my_host().map_or(&[][..], |host| &host.volumes);
    let only = volume.and_then(|number| volumes.iter().find(|v| v.number == number));
    let minors = match only {
        Some(volume) => minor(volume),
        None => volumes.iter().map(minor).collect::<Vec<_>>().join(" "),
    };
    let mut all = vec![
        ("DRBD_RESOURCE", resource.name.clone()),
        ("DRBD_CONF", config.file.clone()),
        ("DRBD_MINOR", minors),
    ];
    if let Some(volume) = only {
        all.push(("DRBD_VOLUME", volume.number.to_string()));
        all.push(("DRBD_LL_DISK", volume.disk.clone().unwrap_or_default()));
    }
    all.extend(peer(resource));
    all
}

fn minor(volume: &Volume) -> String {
    volume.minor.unwrap_or_default().to_string()
}

/// The peer: the only other section, or the one at the address that the engine names.
fn peer(resource: &Resource) -> Vec<(&'static str, String)> {
    let from_engine = || {
        let family = std::env::var("DRBD_PEER_AF").ok()?;
        let host = std::env::var("DRBD_PEER_ADDRESS").ok()?;
        resource.hosts.iter().find(|section| {
            section
                .address
                .as_ref()
                .is_some_and(|a| a.family.word() == family && a.host == host)
        })
    };
    let Some(section) = resource.peer_host().or_else(from_engine) else {
        return Vec::new();
    };
    let mut known = Vec::new();
    if section.kind != HostKind::RemoteHost {
        known.push((
            "DRBD_PEER",
            section.names.first().cloned().unwrap_or_default(),
        ));
        known.push(("DRBD_PEERS", section.names.join(" ")));
    }
    if let Some(address) = &section.address {
        known.push(("DRBD_PEER_AF", address.family.word().to_owned()));
        known.push(("DRBD_PEER_ADDRESS", address.host.clone()));
    }
    known
}
