//! Printing in the words of the series before 8.4.

use compat::{
    config,
    era::{dump_old, old::OldSections, text::shell, xml, xml_old},
    model::{Config, Dialect, Host, Resource, Volume},
};
use drbd_options::Era;

use crate::{
    app::End,
    cli::Invocation,
    command::{Action, Command, Limit},
    plan::{
        Call, Job, Program, Staged, adjust,
        argv::Scene,
        old::{OldScene, convert},
    },
    run::{Escaping, Runner, complain, print},
};

/// What is needed for it.
pub(crate) struct Old {
    era: Era,
    dry_run: u32,
    common: Option<OldSections>,
    resources: Vec<OldSections>,
}

/// The era in which something is printed: what was asked for, or what the files speak. Nothing
/// that really runs depends on it.
pub(crate) fn era(command: &Command, invocation: &Invocation, config: &Config) -> Era {
    let answers = matches!(command.action, Action::Lookup(_) | Action::ShModParms);
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
    pub(crate) fn of(config: &Config, era: Era, dry_run: u32) -> Option<Self> {
        let resources = config.resources.iter();
        (era < Era::V84).then(|| Self {
            era,
            dry_run,
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

    /// drbdadm of 8.3 refused minors that its module would not have had.
    pub(crate) fn check_minor_count(&self, config: &Config) -> Result<(), End> {
        let volumes = config.resources.iter().filter_map(Resource::my_host);
        let minors = volumes.flat_map(|h| &h.volumes).filter_map(|v| v.minor);
        let (Some(highest), Some(count)) = (minors.max(), config.global.minor_count) else {
            return Ok(());
        };
        if self.era != Era::V83 || highest < count {
            return Ok(());
        }
        // The missing blank is genuine.
        complain(&format!(
            "The highest minor you have in your config is {highest}but a minor_count of {count} \
             in your config!"
        ));
        Err(End(1))
    }

    pub(crate) fn inherit(&mut self, config: &Config) {
        if let Some(common) = &self.common {
            let common = without_unknown(config, common.clone());
            for resource in &mut self.resources {
                resource.inherit(&common);
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

    /// 0.7 had no XML: there is nothing to imitate, and 8.4 shows most.
    pub(crate) fn dump_xml(&self, config: &Config, node: &str) -> String {
        match self.era {
            Era::V07 => xml::config(config),
            _ => xml_old::config(self.view(config, node)),
        }
    }

    pub(crate) fn dump_resource_xml(&self, config: &Config, node: &str, at: usize) -> String {
        match self.era {
            Era::V07 => xml::resource(&config.resources[at]),
            _ => xml_old::resource(self.view(config, node), at),
        }
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
            dry_run: self.dry_run,
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
            // Not this node's business, or asked of drbd-proxy-ctl.
            Action::ProxyUp | Action::ProxyDown => return None,
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

impl Old {
    /// `status`: all resources, whichever were named.
    pub(crate) fn status(&self, config: &Config, runner: &mut Runner) -> i32 {
        self.of_all(config, runner, "status", |_| String::new())
    }

    /// `sh-status`: what the dry run shows of it.
    pub(crate) fn sh_status(&self, config: &Config, runner: &mut Runner) -> i32 {
        self.of_all(config, runner, "sh-status", |resource| {
            if self.era < Era::V83 {
                return String::new();
            }
            let lower = resource.my_host().and_then(Host::lower).unwrap_or_default();
            let below = config
                .position(lower)
                .and_then(|at| config.resources[at].my_host()?.volumes.first());
            let device = below.and_then(Volume::device_name).unwrap_or_default();
            let minor = below.and_then(|v| v.minor);
            format!(
                "_stacked_on={}\n_stacked_on_device={}\n_stacked_on_minor={}\n",
                shell(lower),
                shell(&device),
                minor.map_or_else(String::new, |minor| minor.to_string())
            )
        })
    }

    /// A command of drbdsetup for every resource of this node, and a text before each.
    fn of_all(
        &self,
        config: &Config,
        runner: &mut Runner,
        command: &str,
        text: impl Fn(&Resource) -> String,
    ) -> i32 {
        for (at, resource) in config.resources.iter().enumerate() {
            let Some(me) = resource.my_host() else {
                continue;
            };
            print(&text(resource));
            let old = OldScene {
                era: self.era,
                dry_run: self.dry_run,
                scene: Scene {
                    resource,
                    me,
                    backend: &[],
                    dry_run: true,
                },
                sections: &self.resources[at],
            };
            for volume in &me.volumes {
                let job = Job::Sequence(vec![old.generic(command, volume)]);
                runner.job(&resource.name, &job);
            }
        }
        0
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
