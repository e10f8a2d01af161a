//! `proxy-up` and `proxy-down` (spec 20 section 17).

use compat::model::{Host, Proxy};
use drbd_options::Era;

use super::{
    argv::Scene,
    call::{Call, Job, Program},
};
use crate::command::{Action, Limit};

/// The calls of drbd-proxy-ctl for the proxy on this node.
pub fn jobs(action: Action, scene: Scene<'_>, node: &str, era: Era, all: bool) -> Vec<Job> {
    match connection(scene, node, era) {
        Ok(connection) if action == Action::ProxyUp => connection.up(),
        Ok(connection) => vec![connection.down()],
        Err(Missing::Own(_)) if all => Vec::new(),
        Err(Missing::Own(text) | Missing::Other(text)) => vec![Job::Refuse { text, status: 10 }],
    }
}

/// What a connection of proxies lacks.
enum Missing {
    /// This node's proxy: a resource may well do without one.
    Own(String),
    /// Anything else.
    Other(String),
}

struct Connection<'a> {
    name: String,
    me: &'a Host,
    mine: &'a Proxy,
    theirs: &'a Proxy,
}

fn connection<'a>(scene: Scene<'a>, node: &str, era: Era) -> Result<Connection<'a>, Missing> {
    let name = &scene.resource.name;
    let Some(mine) = &scene.me.proxy else {
        return Err(Missing::Own(format!(
            "There is no proxy config for host {node} in resource {name}."
        )));
    };
    if !mine.names.iter().any(|n| n == node) {
        return Err(Missing::Other(format!(
            "The proxy config in resource {name} is not for {node}."
        )));
    }
    let Some(peer) = scene.resource.peer_host() else {
        return Err(Missing::Other(format!(
            "Cannot determine the peer in resource {name}."
        )));
    };
    let Some(theirs) = &peer.proxy else {
        return Err(Missing::Other(format!(
            "There is no proxy config for the peer in resource {name}."
        )));
    };
    let (here, there) = (mine.names.join("_"), theirs.names.join("_"));
    Ok(Connection {
        name: match era {
            Era::V84 => format!("{name}-{there}-{here}"),
            _ => format!("{here}-{name}-{there}"),
        },
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
