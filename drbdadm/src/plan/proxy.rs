//! `proxy-up` and `proxy-down` (spec 20 section 17).

use compat::model::{Host, Proxy};

use super::{
    argv::Scene,
    call::{Call, Job, Program},
};
use crate::command::{Action, Limit};

/// The calls of drbd-proxy-ctl for the proxy on this node.
pub fn jobs(action: Action, scene: Scene<'_>, node: &str, all: bool) -> Vec<Job> {
    match connection(scene, node) {
        Ok(connection) if action == Action::ProxyUp => connection.up(),
        Ok(connection) => vec![connection.down()],
        Err(_) if all => Vec::new(),
        Err(text) => vec![Job::Refuse { text, status: 10 }],
    }
}

struct Connection<'a> {
    name: String,
    me: &'a Host,
    mine: &'a Proxy,
    theirs: &'a Proxy,
}

fn connection<'a>(scene: Scene<'a>, node: &str) -> Result<Connection<'a>, String> {
    let name = &scene.resource.name;
    let Some(mine) = &scene.me.proxy else {
        return Err(format!(
            "There is no proxy config for host {node} in resource {name}."
        ));
    };
    if !mine.names.iter().any(|n| n == node) {
        return Err(format!(
            "The proxy config in resource {name} is not for {node}."
        ));
    }
    let Some(peer) = scene.resource.peer_host() else {
        return Err(format!("Cannot determine the peer in resource {name}."));
    };
    let Some(theirs) = &peer.proxy else {
        return Err(format!(
            "There is no proxy config for the peer in resource {name}."
        ));
    };
    Ok(Connection {
        name: format!(
            "{name}-{}-{}",
            peer.names.join("_"),
            scene.me.names.join("_")
        ),
        me: scene.me,
        mine,
        theirs,
    })
}

impl Connection<'_> {
    fn up(&self) -> Vec<Job> {
        let endpoint = |address: &Option<compat::model::Address>| {
            address.as_ref().map_or_else(String::new, |a| a.endpoint())
        };
        let add = format!(
            "add connection {} {} {} {} {}",
            self.name,
            endpoint(&self.mine.inside),
            endpoint(&self.theirs.outside),
            endpoint(&self.mine.outside),
            endpoint(&self.me.address)
        );
        let mut jobs = vec![control(&[add])];
        let mut set: Vec<String> = self
            .mine
            .options
            .iter()
            .map(|s| format!("set {} {} {}", s.name(), self.name, s.value()))
            .collect();
        let plugins = &self.mine.plugins;
        set.extend(
            plugins
                .iter()
                .enumerate()
                .map(|(at, plugin)| format!("set plugin {} {at} {plugin}", self.name)),
        );
        if !plugins.is_empty() {
            set.push(format!("set plugin {} {} END", self.name, plugins.len()));
        }
        if !set.is_empty() {
            jobs.push(control(&set));
        }
        jobs
    }

    fn down(&self) -> Job {
        control(&[format!("del connection {}", self.name)])
    }
}

fn control(commands: &[String]) -> Job {
    let words = commands
        .iter()
        .flat_map(|command| ["-c".to_owned(), command.clone()])
        .collect();
    Job::Sequence(vec![Call::new(Program::DrbdProxyCtl, words, Limit::Short)])
}
