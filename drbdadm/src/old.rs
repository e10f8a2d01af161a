//! Printing in the words of the series before 8.4.

use compat::{
    config,
    era::{dump_old, old::OldSections},
    model::{Config, Dialect, Resource},
};
use drbd_options::Era;

use crate::{
    cli::Invocation,
    command::{Action, Command, Limit},
    plan::{
        Call, Program, Staged, adjust,
        argv::Scene,
        old::{OldScene, convert},
    },
    run::{Escaping, Runner},
};

/// What is needed for it.
pub(crate) struct Old {
    era: Era,
    common: Option<OldSections>,
    resources: Vec<OldSections>,
}

/// The era in which something is printed: what was asked for, or what the files speak. Nothing
/// that really runs depends on it.
pub(crate) fn era(command: &Command, invocation: &Invocation, config: &Config) -> Era {
    let answers = matches!(command.action, Action::Lookup(_));
    let prints = command.is_dump() || answers || invocation.dry_run > 0;
    if !prints {
        return Era::V84;
    }
    invocation.era.unwrap_or(match config.dialect {
        // A dump shows what the files mean today.
        Dialect::V07 if !command.is_dump() => Era::V07,
        _ => Era::V84,
    })
}

impl Old {
    /// Before anything is inherited; nothing for 8.4.
    pub(crate) fn of(config: &Config, era: Era) -> Option<Self> {
        let resources = config.resources.iter();
        (era < Era::V84).then(|| Self {
            era,
            common: config
                .common
                .as_ref()
                .map(|c| OldSections::of(&c.sections, era)),
            resources: resources
                .map(|r| OldSections::of(&r.sections, era))
                .map(|sections| without_unknown(config, sections))
                .collect(),
        })
    }

    /// The era.
    pub(crate) fn era(&self) -> Era {
        self.era
    }

    pub(crate) fn inherit(&mut self) {
        if let Some(common) = &self.common {
            for resource in &mut self.resources {
                resource.inherit(common);
            }
        }
    }

    pub(crate) fn escaping(&self) -> Escaping {
        match self.era {
            Era::V07 => Escaping::None,
            _ => Escaping::Shell,
        }
    }

    fn view<'a>(&'a self, config: &'a Config, node: &'a str) -> dump_old::View<'a> {
        dump_old::View {
            config,
            common: self.common.as_ref(),
            resources: &self.resources,
            era: self.era,
            node,
        }
    }

    pub(crate) fn dump(&self, config: &Config, node: &str) -> String {
        dump_old::config(self.view(config, node))
    }

    pub(crate) fn dump_resource(&self, config: &Config, node: &str, at: usize) -> String {
        dump_old::resource(self.view(config, node), at)
    }

    /// Prints the calls of a command; `None` where they are those of 8.4.
    pub(crate) fn run(
        &self,
        command: &Command,
        runner: &mut Runner,
        config: &Config,
        at: usize,
        scene: Scene<'_>,
        node: &str,
    ) -> Option<Vec<Staged>> {
        let mut sections = self.resources[at].clone();
        convert(config, &mut sections, node);
        let old = OldScene {
            era: self.era,
            scene,
            sections: &sections,
        };
        match command.action {
            Action::Up => return Some(old.staged(Action::Up, None)),
            Action::Adjust | Action::AdjustWithProgress => {
                let running = running(runner, scene.resource);
                let plan = adjust::plan(scene, running.as_ref());
                return Some(old.staged(Action::Adjust, Some(&plan)));
            }
            Action::BecomePrimary => return None,
            _ => {}
        }
        for volume in &scene.me.volumes {
            for job in old.calls(command, volume)? {
                runner.job(&scene.resource.name, &job);
            }
        }
        Some(Vec::new())
    }
}

/// A resource that nobody knows cannot be waited for; validation says so.
fn without_unknown(config: &Config, mut sections: OldSections) -> OldSections {
    let known = |name: &Option<String>| name.as_deref().and_then(|n| config.position(n)).is_some();
    sections
        .syncer
        .retain(|option| option.name != "after" || known(&option.value));
    sections
}

/// What runs of a resource; nothing if it does not, or if nobody can tell.
pub(crate) fn running(runner: &Runner, resource: &Resource) -> Option<Resource> {
    let words = vec!["show".to_owned(), resource.name.clone()];
    let call = Call::new(Program::Drbdsetup, words, Limit::Short);
    let output = runner.output(&resource.name, &call)?;
    let name = format!("drbdsetup show {}", resource.name);
    let mut config = config::load_running(&name, &output)?;
    let mut running = config.resources.swap_remove(0);
    running.peer = (0..running.hosts.len()).find(|h| Some(*h) != running.me);
    Some(running)
}
