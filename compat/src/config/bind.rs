//! After parsing: stacked resources find their lower ones, resources find this node's section
//! (spec 10 sections 5.1 step 2, 5.4, 5.9).

use std::{collections::HashMap, sync::Arc};

use crate::model::{Config, Host, HostKind, MetaDisk, Origin, Resource};

use super::{
    diagnostic::Abort,
    node::{Identity, Node},
    session::{Session, Table},
};

pub(super) fn bind(session: &mut Session, node: &Node) -> Result<(), Abort> {
    let mut config = std::mem::take(&mut session.config);
    let result = bind_all(session, &mut config, node);
    session.config = config;
    result
}

fn bind_all(session: &mut Session, config: &mut Config, node: &Node) -> Result<(), Abort> {
    let numbered = config.resources.iter().enumerate();
    let index: HashMap<String, usize> = numbered.map(|(at, r)| (r.name.clone(), at)).collect();
    let stacked: Vec<usize> = (0..config.resources.len())
        .filter(|at| config.resources[*at].hosts.iter().any(is_stacked))
        .collect();
    for at in &stacked {
        name_stacked_hosts(session, config, *at, &index)?;
    }
    // Ascending, therefore searchable.
    for at in (0..config.resources.len()).filter(|at| stacked.binary_search(at).is_err()) {
        find_me(session, config, at, &index, node);
    }
    for at in &stacked {
        find_me(session, config, *at, &index, node);
    }
    for at in stacked {
        bind_volumes(session, config, at, &index);
    }
    config.by_name = index;
    Ok(())
}

fn is_stacked(host: &Host) -> bool {
    host.lower().is_some()
}

/// A stacked section is for all hosts of the lower resource.
fn name_stacked_hosts(
    session: &mut Session,
    config: &mut Config,
    at: usize,
    index: &HashMap<String, usize>,
) -> Result<(), Abort> {
    for h in 0..config.resources[at].hosts.len() {
        let Some(lower) = config.resources[at].hosts[h].lower().map(str::to_owned) else {
            continue;
        };
        let Some(below) = index.get(&lower) else {
            let resource = &config.resources[at];
            let text = format!(
                "{}:{}: in resource {}, referenced resource '{lower}' not defined.",
                resource.place.file, resource.place.line, resource.name
            );
            session.invalid(text);
            continue;
        };
        let real = config.resources[*below]
            .hosts
            .iter()
            .filter(|h| !is_stacked(h));
        let names: Vec<String> = real.flat_map(|h| h.names.iter().cloned()).collect();
        let host = &mut config.resources[at].hosts[h];
        host.names = names;
        for volume in &host.volumes {
            let Some(minor) = volume.minor else { continue };
            for name in &host.names {
                let key = format!("device-minor:{name}:{minor}");
                let (shown, line) = (Arc::clone(&session.last_shown), session.last_line);
                session.unique(Table::Whole, "device-minor", key, &shown, line)?;
            }
        }
    }
    Ok(())
}

fn find_me(
    session: &mut Session,
    config: &mut Config,
    at: usize,
    index: &HashMap<String, usize>,
    node: &Node,
) {
    let mut me: Option<usize> = None;
    for h in 0..config.resources[at].hosts.len() {
        if !is_me(config, &config.resources[at].hosts[h], index, node) {
            continue;
        }
        let Some(first) = me else {
            me = Some(h);
            continue;
        };
        let resource = &config.resources[at];
        let text = format!(
            "{}:{}: in resource {}, {} {{ ... }} ... {} {{ ... }}:\n\t\
             There are multiple host sections for this node.",
            resource.place.file,
            resource.hosts[h].line,
            resource.name,
            opening(&resource.hosts[first]),
            opening(&resource.hosts[h]),
        );
        session.invalid(text);
    }
    config.resources[at].me = me;
}

/// How messages show what opens a host section.
fn opening(host: &Host) -> String {
    match host.lower() {
        Some(lower) => format!("stacked-on-top-of {lower}"),
        None => format!("on {}", host.names.join(" ")),
    }
}

fn is_me(config: &Config, host: &Host, index: &HashMap<String, usize>, node: &Node) -> bool {
    if node.identity == Identity::Proxy {
        let names = host.proxy.as_ref().map(|p| p.names.as_slice());
        return names.unwrap_or_default().contains(&node.name);
    }
    match &host.kind {
        HostKind::On => {
            host.names.contains(&node.name) || host.names.first().is_some_and(|n| n == "_this_host")
        }
        HostKind::ThisHost => true,
        HostKind::RemoteHost => false,
        HostKind::Floating => host
            .address
            .as_ref()
            .is_some_and(|a| node.addresses.contain(a) || a.host == node.name),
        HostKind::Stacked { lower } => index
            .get(lower)
            .is_some_and(|below| config.resources[*below].me.is_some()),
    }
}

/// The volumes of a stacked section lie on the devices of the lower resource.
fn bind_volumes(
    session: &mut Session,
    config: &mut Config,
    at: usize,
    index: &HashMap<String, usize>,
) {
    for h in 0..config.resources[at].hosts.len() {
        let Some(lower) = config.resources[at].hosts[h].lower().map(str::to_owned) else {
            continue;
        };
        for volume in &mut config.resources[at].hosts[h].volumes {
            volume.meta = Some(MetaDisk::Internal);
        }
        let below = index.get(&lower).map(|below| &config.resources[*below]);
        let Some(beneath) = below.and_then(Resource::my_host) else {
            continue;
        };
        let found: Vec<_> = config.resources[at].hosts[h]
            .volumes
            .iter()
            .map(|v| {
                beneath
                    .volume(v.number)
                    .map(|b| (b.device_name(), b.origin))
            })
            .collect();
        let resource = &mut config.resources[at];
        let hosts = resource.hosts[h].joined_names();
        let on = format!(
            "{}:{}: in resource {}, on {hosts}",
            session.last_shown, session.last_line, resource.name
        );
        for (volume, found) in resource.hosts[h].volumes.iter_mut().zip(found) {
            let number = volume.number;
            let Some((device, origin)) = found else {
                session.invalid(format!(
                    "{on} {{ ... }}: volume {number} not defined on {lower}"
                ));
                continue;
            };
            if (volume.origin == Origin::Implicit) != (origin == Origin::Implicit) {
                session.invalid(format!(
                    "{on} resp. {lower}: volume {number} must not be implicit on one but not the other"
                ));
            }
            volume.disk = device;
        }
    }
}
