//! One invocation from start to end (spec 20 section 1).

use std::process::ExitCode;

use compat::{
    config::{Identity, Loaded, Node},
    model::{Config, Resource, Volume},
};
use drbd_options::Era;

use crate::{
    cli::{self, Invocation, Outcome},
    command::{self, Action, Command, Lookup, Scope},
    environment, inform, load,
    old::{self, Old},
    plan::{Staged, adjust, argv::Scene, commands},
    report,
    run::{Escaping, Limits, Overrides, Registry, Runner, Settings, complain, print, print_line},
    select::{self, Refusal, Target, Then},
    shown::Shown,
    usage,
    validate::{self, Context, PeerNeed},
};

/// Exit status of an invocation that ends early.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End(pub i32);

/// The program.
pub fn main() -> ExitCode {
    crate::complete::answer_shell();
    let mut arguments = std::env::args_os().map(|a| a.to_string_lossy().into_owned());
    let Some(own) = arguments.next() else {
        complain("drbdadm: Nonexistent or empty arguments array, aborting.");
        return ExitCode::FAILURE;
    };
    let program = own.rsplit('/').next().unwrap_or(&own).to_owned();
    let arguments: Vec<String> = arguments.collect();
    let status = match start(&program, &arguments) {
        Ok(status) | Err(End(status)) => status,
    };
    ExitCode::from(u8::try_from(status & 0xff).unwrap_or(u8::MAX))
}

fn start(program: &str, arguments: &[String]) -> Result<i32, End> {
    let (name, notice) = environment::node_name();
    if let Some(notice) = notice {
        complain(&notice);
    }
    let invocation = match cli::parse(program, arguments, environment::era()) {
        Outcome::Run(invocation) => *invocation,
        Outcome::Help(command) => {
            print(&usage::help(command));
            return Ok(0);
        }
        Outcome::Version => {
            print(&usage::version());
            return Ok(0);
        }
        Outcome::Usage { command, reason } => {
            print(&format!("{}\n{reason}\n", usage::help(command)));
            return Ok(1);
        }
        Outcome::Refuse(text) => {
            complain(&text);
            return Ok(1);
        }
    };
    for warning in &invocation.warnings {
        complain(warning);
    }
    let Some(command) = invocation.command.and_then(command::find) else {
        return Ok(1);
    };
    if command.action == Action::HiddenCommands {
        print(&usage::hidden_commands());
        return Ok(0);
    }
    load::check_invocation(command, &invocation)?;
    if command.action == Action::Convert {
        return crate::convert::run(command, &invocation, name);
    }
    let mut app = App::load(command, invocation, name)?;
    let status = app.run();
    // The program ends: returning the memory of ten thousand resources piecemeal is wasted time.
    std::mem::forget(app);
    status
}

struct App {
    command: &'static Command,
    invocation: Invocation,
    node: Node,
    config: Config,
    invalid: bool,
    first_uses: compat::config::FirstUses,
    runner: Runner,
    deferred: Vec<Staged>,
    /// Set when something is printed in the words of a series before 8.4.
    old: Option<Old>,
}

impl App {
    fn load(command: &'static Command, invocation: Invocation, name: String) -> Result<Self, End> {
        let identity = match command.action {
            Action::ProxyUp | Action::ProxyDown => Identity::Proxy,
            _ => Identity::Host,
        };
        let node = Node {
            name,
            addresses: environment::local_addresses(),
            identity,
        };
        let Loaded {
            mut config,
            diagnostics,
            end,
            invalid,
            first_uses,
            sources,
            advice,
            further,
        } = load::read(command, &invocation, &node)?;
        for diagnostic in &diagnostics {
            complain(&diagnostic.text);
        }
        if report::is_wanted() {
            report::show(&diagnostics, &sources);
            report::show_further(&further);
            report::show(&advice, &sources);
        }
        if let Err(abort) = end {
            return Err(End(i32::from(abort.0)));
        }
        let shows = invocation.dry_run > 0 || invocation.verbose > 0;
        let expands = !command.is_dump() || shows;
        let mut old = Old::of(
            &config,
            old::era(command, &invocation, &config),
            invocation.dry_run,
        );
        if let Some(old) = &old {
            old.check_minor_count(&config)?;
        }
        if expands {
            config.expand();
        }
        if let (Some(old), true) = (&mut old, expands) {
            old.inherit(&config);
        }
        let from_stdin = invocation.config_file.as_deref() == Some("-");
        let registry = (!from_stdin).then(|| Registry {
            directory: environment::run_directory(),
            config: config.file.clone(),
        });
        let runner = Runner::new(Settings {
            dry_run: invocation.dry_run > 0,
            verbose: invocation.verbose > 0,
            varname: invocation.sh_varname.clone(),
            overrides: Overrides {
                drbdsetup: invocation.drbdsetup.clone(),
                drbdmeta: invocation.drbdmeta.clone(),
                proxy_ctl: invocation.proxy_ctl.clone(),
            },
            escaping: old.as_ref().map_or(Escaping::Shell, Old::escaping),
            limits: Limits::of(&config.global),
            registry,
        });
        Ok(Self {
            command,
            invocation,
            node,
            config,
            invalid,
            first_uses,
            runner,
            deferred: Vec::new(),
            old,
        })
    }

    fn run(&mut self) -> Result<i32, End> {
        if let (Some(old), "status") = (&self.old, self.command.name) {
            return Ok(old.status(&self.config, &mut self.runner));
        }
        let status = if self.command.takes_resources() {
            self.on_resources()?
        } else {
            let status = self.on_nothing();
            if status >= 10 {
                complain(&format!(
                    "command {} exited with code {status}",
                    self.command.name
                ));
                return Ok(status);
            }
            status
        };
        let deferred = std::mem::take(&mut self.deferred);
        let progress = self.command.action == Action::AdjustWithProgress;
        let late = if progress {
            self.runner.staged_with_progress(&deferred)
        } else {
            self.runner.staged(&deferred)
        };
        Ok(status.max(late))
    }

    fn context<'c>(invocation: &'c Invocation, node: &'c Node, old: Option<&Old>) -> Context<'c> {
        Context {
            node,
            peer: invocation.peer.as_deref(),
            dry_run: invocation.dry_run,
            era: old.map_or(Era::V84, Old::era),
            interactive: environment::is_interactive(),
        }
    }

    /// Checks every resource, and puts numbers for the names in its options.
    fn validate_all(&mut self) -> Result<(), End> {
        let context = Self::context(&self.invocation, &self.node, self.old.as_ref());
        for at in 0..self.config.resources.len() {
            let findings = validate::resource(&mut self.config, at, context);
            self.invalid |= findings.invalid;
            findings.messages.iter().for_each(|text| complain(text));
            if self.invalid {
                return Err(End(10));
            }
            if self.command.is_dump() {
                continue;
            }
            let converted = validate::convert(&mut self.config, at, &self.node);
            let findings = converted.map_err(|error| {
                complain(&error.to_string());
                End(i32::from(error.exit_status()))
            })?;
            if self.old.is_none() {
                findings.messages.iter().for_each(|text| complain(text));
            }
            if findings.invalid {
                return Err(End(10));
            }
        }
        Ok(())
    }

    fn on_resources(&mut self) -> Result<i32, End> {
        if self.config.resources.is_empty() && !self.command.is_dump() {
            complain("no resources defined!");
            return Err(End(1));
        }
        self.validate_all()?;
        if self
            .invocation
            .names
            .first()
            .is_some_and(|name| name == "all")
        {
            self.on_all()
        } else {
            self.on_named()
        }
    }

    fn on_all(&mut self) -> Result<i32, End> {
        let dump = self.command.is_dump();
        let era = self.old.as_ref().map_or(Era::V84, Old::era);
        if !dump || era == Era::V83 {
            self.check_something_to_do()?;
        }
        let addresses_ok = (0..self.config.resources.len()).fold(true, |ok, at| {
            let verified = self.verify_ip(at);
            ok && verified
        });
        // 0.7 and 8.0 only warned where nothing is done.
        let warns = dump && era <= Era::V80;
        if !addresses_ok && !warns {
            return Err(End(10));
        }
        if dump {
            print(&self.shown().all());
            return Ok(0);
        }
        let mut result = 0;
        for at in 0..self.config.resources.len() {
            let resource = &self.config.resources[at];
            if resource.is_ignored() || resource.is_stacked() != self.invocation.stacked {
                continue;
            }
            let target = Target {
                resource: at,
                volume: None,
                by_minor: false,
            };
            result = self.step(target, result)?;
        }
        Ok(result)
    }

    /// One call of the command; 20 and above end everything.
    fn step(&mut self, target: Target, result: i32) -> Result<i32, End> {
        let status = self.on_target(target)?;
        if status >= 20 {
            return Err(End(status));
        }
        Ok(result.max(status))
    }

    fn check_something_to_do(&self) -> Result<(), End> {
        let here = || self.config.resources.iter().filter(|r| !r.is_ignored());
        let stacked = self.invocation.stacked;
        if here().any(|r| r.is_stacked() == stacked) {
            return Ok(());
        }
        let node = &self.node.name;
        if stacked {
            complain(&format!(
                "WARN: nothing stacked for this host ({node}), nothing to do in stacked mode!"
            ));
        } else {
            complain(&format!(
                "WARN: no normal resources defined for this host ({node})!?"
            ));
            let modern = self.old.is_none();
            if modern && self.config.resources.iter().any(Resource::is_ignored) {
                complain("Misspelled name of the local machine with the 'on' keyword ?");
            }
        }
        Err(End(1))
    }

    fn on_named(&mut self) -> Result<i32, End> {
        let names = self.invocation.names.clone();
        let mut result = 0;
        for name in &names {
            let target = match self.find(name) {
                Ok(target) => target,
                Err(refusal) => {
                    complain(&refusal.text);
                    let status = i32::from(refusal.status);
                    match refusal.then {
                        Then::End => return Err(End(status)),
                        Then::Next => result = result.max(status),
                    }
                    continue;
                }
            };
            let resource = &self.config.resources[target.resource];
            if target.by_minor {
                // Genuine: and it stays so for the names behind it.
                self.invocation.stacked = resource.is_stacked();
            }
            let stacked = self.invocation.stacked;
            if resource.is_stacked() != stacked && !self.command.is_dump() {
                complain(&match stacked {
                    true => {
                        format!("'{name}' is a normal resource, and not available in stacked mode.")
                    }
                    false => {
                        format!("'{name}' is a stacked resource, and not available in normal mode.")
                    }
                });
                result = result.max(1);
                continue;
            }
            let verified = self.verify_ip(target.resource);
            if self.invalid && self.command.verifies_ip {
                // Genuine: an earlier resource without a clear peer only stops the next one.
                return Err(End(10));
            }
            if !verified && !self.command.is_dump() {
                return Err(End(10));
            }
            result = self.step(target, result)?;
        }
        Ok(result)
    }

    /// What a word of the command line means for the command.
    fn find(&self, word: &str) -> Result<Target, Refusal> {
        let target = match &self.old {
            None => select::find(&self.config, word),
            Some(_) => select::find_old(&self.config, self.command, &self.node.name, word),
        }?;
        let resource = &self.config.resources[target.resource];
        select::narrow(self.command, resource, target)
    }

    /// Whether the command cares about the own address of a resource.
    fn verifies_ip(&self, resource: &Resource) -> bool {
        self.command.verifies_ip
            && !self.config.global.disable_ip_verification
            && self.invocation.dry_run != 1
            && (self.invocation.stacked || !resource.is_stacked())
    }

    /// Whether the own address of a resource exists, where the command cares.
    fn verify_ip(&self, at: usize) -> bool {
        let resource = &self.config.resources[at];
        if !self.verifies_ip(resource) {
            return true;
        }
        match validate::verify_ip(resource, &self.node.addresses, &self.first_uses) {
            Some(text) => {
                complain(&text);
                false
            }
            None => true,
        }
    }

    fn on_target(&mut self, target: Target) -> Result<i32, End> {
        let at = target.resource;
        if self.command.needs_peer() {
            let mut findings = validate::Findings::default();
            let context = Self::context(&self.invocation, &self.node, self.old.as_ref());
            let resource = &mut self.config.resources[at];
            if resource.peer.is_none() {
                validate::find_peer(resource, context, PeerNeed::Required, &mut findings);
            }
            findings.messages.iter().for_each(|text| complain(text));
            self.invalid |= resource.peer.is_none();
        }
        if self.command.is_dump() {
            print(&self.shown().one(at));
            return Ok(0);
        }
        let resource = &self.config.resources[at];
        let Some(me) = resource.my_host() else {
            return Ok(0);
        };
        let scene = Scene {
            resource,
            me,
            backend: &self.invocation.backend,
            dry_run: self.invocation.dry_run > 0,
        };
        let runner = &mut self.runner;
        if self.command.action == Action::BecomePrimary
            && !becomes_primary(resource, &self.node.name)
        {
            return Ok(0);
        }
        if let Some(old) = &self.old {
            let jobs = old.run(
                self.command,
                runner,
                &self.config,
                at,
                Scene {
                    backend: &self.invocation.backend_as_given,
                    ..scene
                },
                &self.node.name,
            );
            if let Some(jobs) = jobs {
                self.deferred.extend(jobs);
                return Ok(0);
            }
        }
        match self.command.action {
            Action::Up => {
                self.deferred.extend(commands::up(scene, target.volume));
                Ok(0)
            }
            Action::Adjust | Action::AdjustWithProgress => {
                let running = old::running(runner, resource);
                let plan = adjust::plan(scene, running.as_ref());
                let verbose = self.invocation.verbose;
                let reasons = plan.reasons.iter().filter(|r| r.verbosity <= verbose);
                reasons.for_each(|reason| complain(&reason.text));
                self.deferred.extend(plan.jobs);
                // Genuine: reading the running state forgets what was wrong before.
                self.invalid = false;
                Ok(0)
            }
            Action::Handler => Ok(crate::handler::run(
                runner,
                self.command.name,
                &self.config,
                resource,
                target.volume,
                self.invocation.dry_run > 0,
            )),
            Action::Lookup(Lookup::Resource) => {
                print_line(&resource.name);
                Ok(0)
            }
            Action::Lookup(Lookup::LowerResource) if !self.invocation.stacked => {
                complain("sh-lower-resource only available in stacked mode");
                Err(End(1))
            }
            Action::Lookup(Lookup::LowerResource) => {
                // Genuine: once for each volume, though all lie on the same resource.
                let chosen = |v: &&Volume| target.volume.is_none_or(|number| number == v.number);
                let volumes = me.volumes.iter().filter(chosen);
                let mut results = volumes.map(|_| inform::lower_resource(resource, &self.node));
                Ok(results.find(|status| *status != 0).unwrap_or(0))
            }
            Action::Lookup(Lookup::Udev) if target.volume.is_none() && self.old.is_none() => {
                complain("volume not specified");
                Ok(1)
            }
            Action::ProxyUp | Action::ProxyDown => {
                let all = self.invocation.names.first().is_some_and(|n| n == "all");
                let era = self.old.as_ref().map_or(Era::V84, Old::era);
                let (action, node) = (self.command.action, &self.node.name);
                let jobs = crate::plan::proxy::jobs(action, scene, node, era, all);
                let mut results = jobs.iter().map(|job| runner.job(&resource.name, job));
                Ok(results.find(|status| *status != 0).unwrap_or(0))
            }
            _ if matches!(self.command.scope, Scope::Volumes | Scope::OneVolume) => {
                for volume in &me.volumes {
                    if target.volume.is_some_and(|number| number != volume.number) {
                        continue;
                    }
                    let job = match self.command.action {
                        Action::Lookup(Lookup::Udev) => {
                            let always = self.config.global.udev_always_use_vnr;
                            commands::udev(resource, volume, always)
                        }
                        _ => commands::on_volume(self.command, scene, volume),
                    };
                    let status = runner.job(&resource.name, &job);
                    if status != 0 {
                        return Ok(status);
                    }
                }
                Ok(0)
            }
            _ => Ok(runner.job(&resource.name, &commands::on_resource(self.command, scene))),
        }
    }

    fn shown(&self) -> Shown<'_> {
        Shown {
            config: &self.config,
            old: self.old.as_ref(),
            node: &self.node.name,
            action: self.command.action,
            verbose: self.invocation.verbose,
        }
    }

    fn on_nothing(&mut self) -> i32 {
        match self.command.action {
            Action::ShResources => inform::resources(&self.config, self.invocation.stacked),
            Action::ShModParms => {
                let era = self.old.as_ref().map_or(Era::V84, Old::era);
                inform::module_parameters(&self.config, era);
            }
            Action::ShStatus => {
                let dry_run = self.invocation.dry_run > 0;
                if let Some(old) = &self.old {
                    return old.sh_status(&self.config, &mut self.runner);
                }
                return inform::status(&self.config, &mut self.runner, dry_run);
            }
            Action::WaitConInt => {
                crate::wait::wait_con_int(
                    &self.config,
                    self.invocation.stacked,
                    &self.runner,
                    self.invocation.dry_run > 0,
                );
            }
            _ => {}
        }
        0
    }
}

fn becomes_primary(resource: &Resource, node: &str) -> bool {
    let names = &resource.sections.become_primary_on;
    names.iter().any(|name| name == node || name == "both")
}
