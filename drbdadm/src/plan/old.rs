//! The command lines of drbdadm before 8.4, for `-d` (spec 20 section 8). What really runs is
//! always what 8.4 runs: `drbdsetup` speaks one language.

use compat::{
    era::old::{OldSections, Written},
    model::{Address, Config, MetaDisk, Resource, Volume},
};
use drbd_options::Era;

use super::{
    argv::Scene,
    call::{Call, Job, Program, Stage, Staged, Stderr},
};
use crate::command::{Action, Command, Limit, Lookup};

/// What the calls of an old era are made of.
#[derive(Clone, Copy, Debug)]
pub struct OldScene<'a> {
    /// The era.
    pub era: Era,
    /// How often `-d` was given.
    pub dry_run: u32,
    /// Resource, host and words of the command line.
    pub scene: Scene<'a>,
    /// The options, inherited ones included.
    pub sections: &'a OldSections,
}

/// Names become what drbdsetup takes: `after` a minor, `discard-node-HOST` a side.
pub fn convert(config: &Config, sections: &mut OldSections, node: &str) {
    sections.syncer.retain_mut(|option| {
        if option.name != "after" {
            return true;
        }
        let name = option.value.as_deref().unwrap_or_default();
        let host = config
            .position(name)
            .and_then(|at| config.resources[at].my_host());
        let minor = host.and_then(|h| h.volumes.first()?.minor);
        option.value = minor.map(|m| m.to_string());
        minor.is_some()
    });
    for option in sections
        .net
        .iter_mut()
        .filter(|o| o.name == "after-sb-0pri")
    {
        let host = option.value.as_deref().unwrap_or_default();
        if let Some(host) = host.strip_prefix("discard-node-") {
            let side = if host == node {
                "discard-local"
            } else {
                "discard-remote"
            };
            option.value = Some(side.to_owned());
        }
    }
}

fn options(list: &[Written]) -> impl Iterator<Item = String> + '_ {
    list.iter().map(Written::option)
}

fn one(call: Call) -> Job {
    Job::Sequence(vec![call])
}

impl OldScene<'_> {
    /// How the device is named: by minor since 8.3.
    fn unit(&self, volume: &Volume) -> String {
        match self.era {
            Era::V83 => volume.minor.unwrap_or_default().to_string(),
            _ => volume.device_name().unwrap_or_default(),
        }
    }

    fn setup(
        &self,
        volume: &Volume,
        words: &[&str],
        more: impl IntoIterator<Item = String>,
    ) -> Call {
        let mut all = vec![self.unit(volume)];
        all.extend(words.iter().map(|w| (*w).to_owned()));
        all.extend(more);
        Call::new(Program::Drbdsetup, all, Limit::Medium)
    }

    fn backend(&self) -> impl Iterator<Item = String> {
        let words = if self.era == Era::V07 {
            &[]
        } else {
            self.scene.backend
        };
        words.iter().cloned()
    }

    fn defaults(&self) -> impl Iterator<Item = String> + use<> {
        let words: &[&str] = match self.era {
            Era::V07 => &[],
            _ => &["--set-defaults", "--create-device"],
        };
        words.iter().map(|w| (*w).to_owned())
    }

    fn attach(&self, volume: &Volume) -> Call {
        let disk = volume.disk.as_deref().unwrap_or_default();
        let (device, index) = match (&volume.meta, self.era) {
            (Some(MetaDisk::Internal) | None, Era::V07) => ("internal", "-1"),
            (Some(MetaDisk::Internal) | None, _) => (disk, "internal"),
            (Some(MetaDisk::Flexible(path)), _) => (path.as_str(), "flexible"),
            (Some(MetaDisk::Indexed { path, index }), _) => (path.as_str(), index.as_str()),
        };
        let more = self.defaults().chain(options(&self.sections.disk));
        self.setup(volume, &["disk", disk, device, index], more)
    }

    fn syncer(&self, volume: &Volume) -> Call {
        let more = self.defaults().chain(options(&self.sections.syncer));
        self.setup(volume, &["syncer"], more.chain(self.backend()))
    }

    fn connect(&self, volume: &Volume) -> Job {
        let shown = |address: &Address| match self.era {
            Era::V83 => address.to_string(),
            _ => address.endpoint(),
        };
        let local = self.scene.me.address.as_ref().map(shown);
        let remote = match self.scene.peer_address() {
            Some(address) => shown(address),
            // Genuine: the first `-d` behaves as a real run would.
            None if self.dry_run < 2 => {
                return Job::Refuse {
                    text: format!(
                        "resource {}: cannot change network config without knowing my peer.",
                        self.scene.resource.name
                    ),
                    status: 0,
                };
            }
            None => "N/A".to_owned(),
        };
        let local = local.unwrap_or_default();
        let protocol = self.sections.protocol.as_deref().unwrap_or("C");
        let more = self.defaults().chain(options(&self.sections.net));
        let words = ["net", local.as_str(), remote.as_str(), protocol];
        one(self.setup(volume, &words, more.chain(self.backend())))
    }

    fn meta(&self, command: &str, volume: &Volume) -> Call {
        let mut call = self.scene.meta(command, volume, Limit::Long);
        if let Some(unit) = call.words.first_mut() {
            *unit = self.unit(volume);
        }
        call
    }

    /// `drbdsetup UNIT COMMAND`
    pub fn generic(&self, command: &str, volume: &Volume) -> Call {
        let spelled = match self.era {
            Era::V07 => command.replace('-', "_"),
            _ => command.to_owned(),
        };
        self.setup(volume, &[&spelled], self.scene.backend.to_vec())
    }

    /// The calls of a command for one volume; `None` where nothing differs from 8.4.
    pub fn calls(&self, command: &Command, volume: &Volume) -> Option<Vec<Job>> {
        let generic = || self.generic(command.name, volume);
        let calls = match command.action {
            Action::Attach => vec![self.attach(volume)],
            Action::Syncer => vec![self.syncer(volume)],
            Action::Connect => return Some(vec![self.connect(volume)]),
            Action::OfMinor | Action::OfResource | Action::Disconnect => vec![generic()],
            Action::Either | Action::Outdate if self.era == Era::V07 => vec![generic()],
            Action::Either | Action::Outdate => {
                return Some(vec![Job::Either {
                    setup: generic().stderr(Stderr::Captured),
                    meta: self.meta(command.name, volume),
                }]);
            }
            Action::Resize | Action::CheckResize => self.resize(volume),
            Action::Meta | Action::CreateMd => vec![self.meta(command.name, volume)],
            Action::WaitConnect => vec![self.wait_connect(volume)],
            Action::BecomePrimary => vec![self.generic("primary", volume)],
            Action::Lookup(Lookup::MetaIndex) if self.era == Era::V07 => {
                let internal = matches!(volume.meta, Some(MetaDisk::Internal));
                return internal.then(|| vec![Job::Print("-1".to_owned())]);
            }
            _ => return None,
        };
        Some(vec![Job::Sequence(calls)])
    }

    fn resize(&self, volume: &Volume) -> Vec<Call> {
        let size = self.sections.disk.iter().filter(|o| o.name == "size");
        let more: Vec<String> = size.map(Written::option).collect();
        let more = more.into_iter().chain(self.scene.backend.iter().cloned());
        let mut calls = vec![self.setup(volume, &["resize"], more)];
        if self.era == Era::V83 {
            calls.push(self.setup(volume, &["check-resize"], []));
        }
        calls
    }

    fn wait_connect(&self, volume: &Volume) -> Call {
        const PASSED: [&str; 4] = [
            "wfc-timeout",
            "degr-wfc-timeout",
            "outdated-wfc-timeout",
            "wait-after-sb",
        ];
        let stacked = self.scene.resource.is_stacked();
        let more: Vec<_> = if stacked && !self.scene.resource.sections.stacked_timeouts {
            vec!["-t".to_owned(), self.scene.stacked_timeout()]
        } else {
            let startup = self.sections.startup.iter();
            let passed = startup.filter(|o| PASSED.contains(&o.name));
            passed.map(Written::option).collect()
        };
        let word = if self.era == Era::V07 {
            "wait_connect"
        } else {
            "wait-connect"
        };
        self.setup(volume, &[word], more)
    }

    /// `up` and `adjust`: all attaches, then all syncers, then all connects.
    pub fn staged(&self, action: Action, running: Option<&super::adjust::Plan>) -> Vec<Staged> {
        let resource: &Resource = self.scene.resource;
        let job = |stage, what, job| Staged {
            stage,
            resource: resource.name.clone(),
            what,
            job,
        };
        let staged = |stage, what, call| job(stage, what, one(call));
        let needed = |whats: &[&str]| {
            running.is_none_or(|plan| plan.jobs.iter().any(|job| whats.contains(&job.what)))
        };
        let fresh = running.is_none_or(|plan| plan.jobs.iter().any(|j| j.what == "new-resource"));
        let mut jobs = Vec::new();
        for volume in &self.scene.me.volumes {
            if needed(&["attach", "resize"]) {
                if needed(&["detach"]) && !fresh {
                    jobs.push(staged(
                        Stage::Disk,
                        "detach",
                        self.generic("detach", volume),
                    ));
                }
                jobs.push(staged(Stage::Disk, "attach", self.attach(volume)));
            }
            let changed = needed(&["disk-options", "resource-options"]);
            let configured = fresh && !self.sections.syncer.is_empty();
            if action == Action::Up || (changed && !fresh) || configured {
                jobs.push(staged(
                    Stage::NetPrerequisite,
                    "syncer",
                    self.syncer(volume),
                ));
            }
            if needed(&["connect", "net-options"]) {
                if !fresh {
                    let call = self.generic("disconnect", volume);
                    jobs.push(staged(Stage::Disk, "disconnect", call));
                }
                jobs.push(job(Stage::Net, "connect", self.connect(volume)));
            }
        }
        jobs
    }
}
