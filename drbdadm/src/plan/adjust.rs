//! The difference between the configuration and what runs (spec 20 section 10).

use compat::model::{Address, Family, MetaDisk, Resource, Setting, Settings, Volume};
use drbd_options::{Era, Kind, OptionRow, SetupCommand};

use super::{
    argv::Scene,
    call::{Call, Entry, Job, Program, Stage, Staged},
    commands,
};
use crate::command::Limit;

/// What has to be done, and why.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The jobs, in order of planning.
    pub jobs: Vec<Staged>,
    /// What was compared, for `-vvv`.
    pub reasons: Vec<Reason>,
}

/// What a comparison found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reason {
    /// How often `-v` must be given to see it.
    pub verbosity: u32,
    /// For stderr.
    pub text: String,
}

/// `-v`s for differences, and for what is the same.
const DIFFERENCES: u32 = 3;
const EVERYTHING: u32 = 4;

/// Compares, and plans the smallest set of calls.
pub fn plan(scene: Scene<'_>, running: Option<&Resource>) -> Plan {
    let mut planner = Planner {
        scene,
        plan: Plan::default(),
    };
    let was = running.and_then(Resource::my_host);
    let volumes = was.map_or(&[][..], |host| &host.volumes);
    let decisions = planner.compare_volumes(volumes);
    match running {
        None => {
            let up = commands::up(scene, None).into_iter();
            let new = up.filter(|job| job.what == "new-resource");
            planner.plan.jobs.extend(new);
            planner.volumes(&decisions);
            planner.connect(None);
        }
        Some(running) => planner.running(running, &decisions),
    }
    planner.plan
}

/// What happens to one volume number.
#[derive(Clone, Copy, Debug)]
struct Decision<'a> {
    wanted: Option<&'a Volume>,
    running: Option<&'a Volume>,
    detach: bool,
    del_minor: bool,
    add_minor: bool,
    attach: bool,
    disk_options: bool,
    resize: bool,
}

struct Planner<'a> {
    scene: Scene<'a>,
    plan: Plan,
}

impl<'a> Planner<'a> {
    fn stage(&mut self, stage: Stage, what: &'static str, job: Job) {
        self.plan.jobs.push(Staged {
            stage,
            resource: self.scene.resource.name.clone(),
            what,
            job,
        });
    }

    fn call(&mut self, stage: Stage, what: &'static str, call: Call) {
        self.stage(stage, what, Job::Sequence(vec![call]));
    }

    fn running(&mut self, running: &Resource, decisions: &[Decision<'_>]) {
        let sections = &self.scene.resource.sections;
        let connect = !self.same_addresses(running);
        let net = !self.same(&running.sections.net, &sections.net, |_| true);
        let options = !self.same(&running.sections.options, &sections.options, |_| true);
        if options {
            let call = self.scene.reset_resource_options();
            self.call(Stage::Resource, "resource-options", call);
        }
        self.volumes(decisions);
        if connect {
            self.connect(Some(running));
        } else if net && let Some(call) = self.scene.reset_net_options() {
            self.call(Stage::Net, "net-options", call);
        }
    }

    fn connect(&mut self, running: Option<&Resource>) {
        if let Some(call) = running.and_then(|r| self.disconnect(r)) {
            self.call(Stage::NetPrerequisite, "disconnect", call);
        }
        let job = commands::on_resource(
            crate::command::find("connect").unwrap_or(&crate::command::COMMANDS[0]),
            self.scene,
        );
        self.stage(Stage::Net, "connect", job);
    }

    /// Ends the connection that runs, if there is one.
    fn disconnect(&self, running: &Resource) -> Option<Call> {
        let peer = running.peer_host().and_then(|h| h.address.as_ref())?;
        let me = running.my_host()?.address.as_ref()?;
        let mut words = vec!["disconnect".to_owned(), me.to_string(), peer.to_string()];
        words.extend_from_slice(self.scene.backend);
        Some(Call::new(Program::Drbdsetup, words, Limit::Short))
    }

    fn volumes(&mut self, decisions: &[Decision<'_>]) {
        for decision in decisions {
            self.volume(decision);
        }
    }

    fn volume(&mut self, decision: &Decision<'_>) {
        if let Some(running) = decision.running {
            for (wanted, command) in [
                (decision.detach, "detach"),
                (decision.del_minor, "del-minor"),
            ] {
                if wanted {
                    let call = self.scene.of_minor(command, running, Limit::Medium);
                    self.call(Stage::Prerequisite, command, call);
                }
            }
        }
        let Some(volume) = decision.wanted else {
            return;
        };
        if decision.add_minor {
            let job = Job::Register {
                call: self.scene.new_minor(volume),
                entry: Entry::Minor(volume.minor.unwrap_or_default()),
            };
            self.stage(Stage::DiskPrerequisite, "new-minor", job);
        }
        if decision.attach {
            let calls = match decision.running {
                Some(_) => self.scene.attach(&with_segments_first(volume)),
                None => self.scene.attach(volume),
            };
            let job = Job::Sequence(calls);
            self.stage(Stage::Disk, "attach", job);
        }
        if decision.disk_options {
            let call = self.scene.reset_disk_options(volume);
            self.call(Stage::Disk, "disk-options", call);
        }
        if decision.resize {
            let (resize, check) = self.scene.resize(volume);
            self.stage(Stage::Disk, "resize", Job::Resize { resize, check });
        }
    }

    fn compare_volumes<'v>(&mut self, running: &'v [Volume]) -> Vec<Decision<'v>>
    where
        'a: 'v,
    {
        let wanted: &'a [Volume] = &self.scene.me.volumes;
        let numbers = wanted.iter().chain(running).map(|v| v.number);
        let mut numbers: Vec<u32> = numbers.collect();
        numbers.sort_unstable();
        numbers.dedup();
        let of = |volumes: &'v [Volume], number| volumes.iter().find(|v| v.number == number);
        numbers
            .into_iter()
            .map(|number| self.decide(of(wanted, number), of(running, number)))
            .collect()
    }

    fn decide<'v>(
        &mut self,
        wanted: Option<&'v Volume>,
        running: Option<&'v Volume>,
    ) -> Decision<'v> {
        let has_disk = |volume: Option<&Volume>| volume.is_some_and(|v| v.disk.is_some());
        let mut decision = Decision {
            wanted,
            running,
            detach: false,
            del_minor: false,
            add_minor: false,
            attach: false,
            disk_options: false,
            resize: false,
        };
        let (Some(want), Some(run)) = (wanted, running) else {
            decision.add_minor = wanted.is_some();
            decision.attach = wanted.is_some();
            decision.del_minor = running.is_some();
            decision.detach = has_disk(running);
            return decision;
        };
        let other_minor = want.minor != run.minor;
        decision.add_minor = other_minor;
        decision.del_minor = other_minor;
        if other_minor || !same_disk(want, run) {
            decision.attach = want.disk.is_some();
            decision.detach = run.disk.is_some();
        }
        let only = |name: &'static str| move |row: &OptionRow| row.name == name;
        let (now, then) = (&run.disk_options, &want.disk_options);
        let silently = |planner: &mut Self, name| {
            let said = planner.plan.reasons.len();
            let same = planner.same(now, then, only(name));
            planner.plan.reasons.truncate(said);
            same
        };
        if !silently(self, "max-bio-bvecs") {
            decision.attach = true;
        }
        if !decision.attach {
            decision.resize = !silently(self, "size");
            let changeable = |row: &OptionRow| row.is_for(SetupCommand::DiskOptions);
            decision.disk_options = !self.same(now, then, changeable);
        }
        decision.detach |= decision.attach && run.disk.is_some();
        decision
    }

    /// Whether the running options are those of the configuration, defaults filled in.
    fn same(
        &mut self,
        running: &Settings,
        wanted: &Settings,
        relevant: impl Fn(&OptionRow) -> bool,
    ) -> bool {
        // What is never sent, drbdsetup cannot show either.
        let relevant = |s: &&Setting| s.row.attribute.is_some() && relevant(s.row);
        let last = |list: &'_ Settings, name| list.iter().rfind(|s| s.name() == name).cloned();
        let by_default =
            |row: &OptionRow, text: &str| equal(row, text, &row.default_text(Era::V84));
        // The first difference settles it.
        for setting in running.iter().filter(relevant) {
            let (name, row, text) = (setting.name(), setting.row, setting.value());
            let (same, comparison) = match last(wanted, name) {
                Some(other) => {
                    let same = equal(row, text, other.value());
                    let word = if same { "equal" } else { "differs" };
                    let other = other.value();
                    (
                        same,
                        format!("Value of '{name}' {word}: r={text} c={other}"),
                    )
                }
                None if by_default(row, text) => {
                    (true, format!("Is default: '{name}' equal: r={text}"))
                }
                None => (false, format!("Only in running config {name}: {text}")),
            };
            self.compared(same, comparison);
            if !same {
                return false;
            }
        }
        for setting in wanted.iter().filter(relevant) {
            let name = setting.name();
            let effective = last(wanted, name);
            let text = effective.as_ref().map_or("", Setting::value);
            if running.find(name).is_none() && !by_default(setting.row, text) {
                self.compared(false, format!("Only in config file {name}: {text}"));
                return false;
            }
        }
        true
    }

    fn compared(&mut self, same: bool, text: String) {
        let verbosity = if same { EVERYTHING } else { DIFFERENCES };
        self.plan.reasons.push(Reason { verbosity, text });
    }

    fn same_addresses(&mut self, running: &Resource) -> bool {
        let mine = running.my_host().and_then(|h| h.address.as_ref());
        let peer = running.peer_host().and_then(|h| h.address.as_ref());
        let wanted_peer = self.scene.peer_address();
        let same = match (peer, wanted_peer) {
            (None, None) => true,
            (Some(peer), Some(wanted)) => {
                same_address(peer, wanted)
                    && match (mine, &self.scene.me.address) {
                        (Some(mine), Some(wanted)) => same_address(mine, wanted),
                        _ => false,
                    }
            }
            _ => false,
        };
        if !same && peer.is_some() {
            // Genuine: no brackets around the address of IPv6 here.
            let shown = |a: Option<&Address>| {
                a.map_or("N/A".to_owned(), |a| {
                    format!("{}:{}:{}", a.family.word(), a.host, a.port)
                })
            };
            let text = format!(
                "Network addresses differ:\n\trunning: {} -- {}\n\t config: {} -- {}",
                shown(mine),
                shown(peer),
                shown(self.scene.me.address.as_ref()),
                shown(wanted_peer)
            );
            self.compared(false, text);
        }
        same
    }
}

/// Genuine: the option that is compared first comes out first when the disk is attached anew.
fn with_segments_first(volume: &Volume) -> Volume {
    let mut volume = volume.clone();
    let options = &mut volume.disk_options.0;
    if let Some(at) = options.iter().position(|s| s.name() == "max-bio-bvecs") {
        options[..=at].rotate_right(1);
    }
    volume
}

/// The index of a shared meta-data device is not compared: `show` of older engines lacks it.
fn same_disk(wanted: &Volume, running: &Volume) -> bool {
    let external = |volume: &Volume| match &volume.meta {
        Some(MetaDisk::Flexible(path) | MetaDisk::Indexed { path, .. }) => Some(path.clone()),
        Some(MetaDisk::Internal) | None => None,
    };
    match (&wanted.disk, &running.disk) {
        (None, None) => true,
        (Some(a), Some(b)) => a == b && external(wanted) == external(running),
        _ => false,
    }
}

fn same_address(a: &Address, b: &Address) -> bool {
    let hosts = match (a.family, b.family) {
        (Family::Ipv4, Family::Ipv4) | (Family::Ipv6, Family::Ipv6) => {
            let parsed = |text: &str| text.parse::<std::net::IpAddr>().ok();
            match (parsed(&a.host), parsed(&b.host)) {
                (Some(a), Some(b)) => a == b,
                _ => a.host == b.host,
            }
        }
        (x, y) => x == y && a.host == b.host,
    };
    hosts && a.port == b.port
}

/// Whether two values of an option mean the same.
fn equal(row: &OptionRow, a: &str, b: &str) -> bool {
    match row.kind {
        Kind::Number(limits) | Kind::MinorOfResource(limits) => {
            match (limits.scale.parse(a), limits.scale.parse(b)) {
                (Ok(a), Ok(b)) => a == b,
                _ => a == b,
            }
        }
        Kind::Bool { .. } | Kind::Flag => (a != "no") == (b != "no"),
        Kind::Enum(choice) if choice.ignore_case => a.eq_ignore_ascii_case(b),
        Kind::Address => true,
        _ => a == b,
    }
}
