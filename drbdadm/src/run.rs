//! Making the calls, or printing them (spec 20 section 5).

use std::{
    collections::HashSet,
    io::{self, Read as _, Write as _},
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use compat::{config::encode, era::text::shell, model::Global};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};

use crate::{
    command::Limit,
    plan::{Call, Job, Program, Stage, Staged, Stderr, call::Entry},
};

/// Status of a call that could not be made, or took too long.
const BROKEN: i32 = 20;

/// How calls are made in this invocation.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Print, do not run.
    pub dry_run: bool,
    /// Print, then run.
    pub verbose: bool,
    /// How words are printed.
    pub escaping: Escaping,
    /// `-n`: a variable that is set to the resource's name before each printed call.
    pub varname: Option<String>,
    /// `-s`, `-m`, `-p`
    pub overrides: Overrides,
    /// `cmd-timeout-*`
    pub limits: Limits,
    /// Where the registry of last used files is; `None` while it must not be written.
    pub registry: Option<Registry>,
}

/// How printed words are escaped.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Escaping {
    /// So that a shell reads them again.
    #[default]
    Shell,
    /// Not at all, as 0.7 did.
    None,
}

/// Other programs to use.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Instead of drbdsetup.
    pub drbdsetup: Option<String>,
    /// Instead of drbdmeta.
    pub drbdmeta: Option<String>,
    /// Instead of drbd-proxy-ctl.
    pub proxy_ctl: Option<String>,
}

/// Time limits in seconds; 0 is none.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    short: u32,
    medium: u32,
    long: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self::of(&Global::default())
    }
}

impl Limits {
    /// The limits of a configuration; the defaults are those that the genuine program has in
    /// effect, not those that it documents.
    pub fn of(global: &Global) -> Self {
        Self {
            short: global.timeout_short.unwrap_or(5),
            medium: global.timeout_medium.unwrap_or(600),
            long: global.timeout_long.unwrap_or(0),
        }
    }

    fn seconds(self, limit: Limit) -> Option<u32> {
        let seconds = match limit {
            Limit::Short => self.short,
            Limit::Medium => self.medium,
            Limit::Long => self.long,
            Limit::Forever => 0,
        };
        (seconds > 0).then_some(seconds)
    }
}

/// Links from resources and minors to the configuration they were started with.
#[derive(Clone, Debug)]
pub struct Registry {
    /// Where the links are.
    pub directory: PathBuf,
    /// The configuration in use.
    pub config: String,
}

impl Registry {
    /// The link of an entry.
    pub fn link(directory: &std::path::Path, entry: &Entry) -> PathBuf {
        directory.join(match entry {
            Entry::Resource(name) => format!("drbd-resource-{name}.conf"),
            Entry::Minor(minor) => format!("drbd-minor-{minor}.conf"),
        })
    }

    /// Points an entry at the configuration. Failure only costs handlers the short way to it.
    fn register(&self, entry: &Entry) {
        let link = Self::link(&self.directory, entry);
        let current = std::fs::read_link(&link).ok();
        if current.is_some_and(|target| target.as_os_str() == self.config.as_str()) {
            return;
        }
        let _ = std::fs::create_dir_all(&self.directory);
        let _ = std::fs::remove_file(&link);
        let _ = std::os::unix::fs::symlink(&self.config, &link);
    }
}

/// Makes calls.
#[derive(Debug)]
pub struct Runner {
    settings: Settings,
    /// Complaints are thrown away: a progress display owns the terminal.
    quiet: bool,
    /// Added to the environment of every call.
    environment: Vec<(&'static str, String)>,
    /// Word and status of the last call that failed.
    failed: Option<(String, i32)>,
}

impl Runner {
    /// With these settings.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            quiet: false,
            environment: Vec::new(),
            failed: None,
        }
    }

    /// Adds to the environment of all calls.
    pub fn set_environment(&mut self, variables: Vec<(&'static str, String)>) {
        self.environment = variables;
    }

    /// Does a job of a resource; the result is an exit status.
    pub fn job(&mut self, resource: &str, job: &Job) -> i32 {
        match job {
            Job::Sequence(calls) => {
                let mut results = calls.iter().map(|call| self.call(resource, call));
                results.find(|result| *result != 0).unwrap_or(0)
            }
            Job::Either { setup, meta } => self.either(resource, setup, meta),
            Job::Outdate { setup, meta } => self.outdate(resource, setup, meta),
            Job::Resize { resize, check } => match self.call(resource, resize) {
                0 => {
                    self.call(resource, check);
                    0
                }
                status => status,
            },
            Job::CheckResize {
                resize,
                check,
                meta,
            } => match self.call(resource, resize) {
                0 => {
                    self.call(resource, check);
                    0
                }
                _ => self.call(resource, meta),
            },
            Job::CreateMd {
                read_id,
                create,
                write_id,
            } => self.create_md(resource, read_id, create, write_id),
            Job::Insist(call) => self.insist(resource, call),
            Job::Register { call, entry } => {
                let status = self.call(resource, call);
                if let (0, false, Some(registry)) =
                    (status, self.settings.dry_run, &self.settings.registry)
                {
                    registry.register(entry);
                }
                status
            }
            Job::Print(text) => {
                print_line(text);
                0
            }
            Job::Refuse { text, status } => {
                complain(text);
                *status
            }
        }
    }

    fn either(&mut self, resource: &str, setup: &Call, meta: &Call) -> i32 {
        let (status, complaints) = self.captured(resource, setup);
        match status {
            0 if !self.settings.dry_run => 0,
            11 | 17 => {
                let _ = io::stderr().write_all(&complaints);
                status
            }
            _ => self.call(resource, meta),
        }
    }

    fn outdate(&mut self, resource: &str, setup: &Call, meta: &Call) -> i32 {
        match self.call(resource, setup) {
            0 if !self.settings.dry_run => 0,
            17 => 17,
            5 => match self.call(resource, meta) {
                0 => 0,
                _ => 5,
            },
            _ => self.call(resource, meta),
        }
    }

    fn create_md(&mut self, resource: &str, read_id: &Call, create: &Call, write_id: &Call) -> i32 {
        let old = if self.settings.dry_run {
            0
        } else {
            self.read_id(resource, read_id)
        };
        let status = self.call(resource, create);
        if status != 0 || self.settings.dry_run {
            return status;
        }
        let id = if old == 0 { random_id() } else { old };
        let mut write_id = write_id.clone();
        write_id.words.push(format!("{id:016X}"));
        self.call(resource, &write_id);
        0
    }

    /// The identity that meta-data on this device already has, 0 if none.
    fn read_id(&self, resource: &str, call: &Call) -> u64 {
        let output = self
            .command(resource, call)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .output();
        let text = output.map(|o| o.stdout).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        u64::from_str_radix(text.trim(), 16).unwrap_or(0)
    }

    fn insist(&mut self, resource: &str, call: &Call) -> i32 {
        const ATTEMPTS: u32 = 5;
        let mut status = self.call(resource, call);
        for _ in 1..ATTEMPTS {
            if status == 0 {
                break;
            }
            // The peer or a fence handler may need the time; nothing announces when it is done.
            std::thread::sleep(Duration::from_secs(1));
            status = self.call(resource, call);
        }
        status
    }

    /// Makes one call.
    fn call(&mut self, resource: &str, call: &Call) -> i32 {
        self.announce(resource, call);
        if self.settings.dry_run {
            return 0;
        }
        let mut command = self.command(resource, call);
        if self.quiet || call.stderr != Stderr::Shown {
            command.stderr(Stdio::null());
        }
        let status = self.wait(call, command.spawn());
        if status != 0 {
            let word = call.words.iter().find(|w| is_command_word(w));
            self.failed = Some((word.cloned().unwrap_or_default(), status));
        }
        status
    }

    fn captured(&mut self, resource: &str, call: &Call) -> (i32, Vec<u8>) {
        self.announce(resource, call);
        if self.settings.dry_run {
            return (0, Vec::new());
        }
        let mut command = self.command(resource, call);
        let spawned = command.stderr(Stdio::piped()).spawn();
        let Ok(mut child) = spawned else {
            complain("Can not exec");
            return (BROKEN, Vec::new());
        };
        let mut complaints = Vec::new();
        if let Some(stderr) = &mut child.stderr {
            // The pipe ends when the child does; what it says is bounded by that.
            let _ = stderr.take(1 << 20).read_to_end(&mut complaints);
        }
        (self.wait(call, Ok(child)), complaints)
    }

    /// Prints a call as a shell would read it.
    pub(crate) fn announce(&self, resource: &str, call: &Call) {
        if !self.settings.dry_run && !self.settings.verbose {
            return;
        }
        if let Some(name) = &self.settings.varname {
            print_line(&format!("{name}={}", shell(resource)));
        }
        print_line(&self.shown(call, |word| match self.settings.escaping {
            Escaping::Shell => shell(word).into_owned(),
            Escaping::None => word.to_owned(),
        }));
    }

    fn shown(&self, call: &Call, form: impl Fn(&str) -> String) -> String {
        let program = self
            .override_of(call.program)
            .unwrap_or(call.program.name());
        let words = std::iter::once(program).chain(call.words.iter().map(String::as_str));
        words.map(form).collect::<Vec<_>>().join(" ")
    }

    fn override_of(&self, program: Program) -> Option<&str> {
        let overrides = &self.settings.overrides;
        match program {
            Program::Drbdsetup => overrides.drbdsetup.as_deref(),
            Program::Drbdmeta => overrides.drbdmeta.as_deref(),
            Program::DrbdProxyCtl => overrides.proxy_ctl.as_deref(),
            Program::Shell => None,
        }
    }

    fn command(&self, resource: &str, call: &Call) -> Command {
        let path = match self.override_of(call.program) {
            Some(path) => PathBuf::from(path),
            None => locate(call.program),
        };
        let mut command = Command::new(path);
        command.args(call.words.iter().map(|w| os_string(w)));
        let variables = self.environment.iter();
        command.envs(variables.map(|(name, value)| (name, os_string(value))));
        if call.program != Program::Shell {
            command.env("DRBD_RESOURCE", os_string(resource));
        }
        command
    }

    /// Waits for a child within its limit, and reports a failure.
    fn wait(&self, call: &Call, spawned: io::Result<Child>) -> i32 {
        let Ok(mut child) = spawned else {
            complain("Can not exec");
            return BROKEN;
        };
        let limit = self.settings.limits.seconds(call.limit);
        let Some(status) = wait_within(&mut child, limit) else {
            let _ = child.kill();
            let _ = child.wait();
            complain(&format!(
                "Command '{}' did not terminate within {} seconds",
                self.shown(call, str::to_owned),
                limit.unwrap_or_default()
            ));
            return BROKEN;
        };
        // A signal counts as -1, which no maximum keeps: genuine.
        let status = status.code().unwrap_or(-1);
        let reports = call.limit != Limit::Forever && call.stderr == Stderr::Shown && !self.quiet;
        if status >= 10 && reports {
            complain(&format!(
                "Command '{}' terminated with exit code {status}",
                self.shown(call, str::to_owned)
            ));
        }
        status
    }

    /// The output of a call that is made even under `-d`; its complaints are dropped.
    pub fn output(&self, resource: &str, call: &Call) -> Option<Vec<u8>> {
        let mut command = self.command(resource, call);
        let output = command.stderr(Stdio::null()).stdin(Stdio::null()).output();
        output.ok().map(|o| o.stdout)
    }

    /// Starts a call without waiting for it.
    pub fn spawn(&self, resource: &str, call: &Call) -> io::Result<Child> {
        self.announce(resource, call);
        self.command(resource, call).spawn()
    }

    /// Runs what was deferred, stage by stage.
    pub fn staged(&mut self, jobs: &[Staged]) -> i32 {
        let mut failed: HashSet<&str> = HashSet::new();
        for stage in Stage::ALL {
            let mut result = 0;
            for job in jobs.iter().filter(|job| job.stage == stage) {
                if failed.contains(job.resource.as_str()) {
                    complain(&format!(
                        "drbdadm: {} {}: skipped due to earlier error",
                        job.what, job.resource
                    ));
                    continue;
                }
                let status = self.job(&job.resource, &job.job);
                if status != 0 {
                    result = 1;
                    if stage.is_prerequisite() {
                        failed.insert(&job.resource);
                    }
                }
            }
            if result != 0 {
                return result;
            }
        }
        0
    }

    /// As [`Self::staged`], showing only which resources have what done.
    pub fn staged_with_progress(&mut self, jobs: &[Staged]) -> i32 {
        if self.settings.dry_run || self.settings.verbose {
            return self.staged(jobs);
        }
        self.quiet = true;
        let mut failed: HashSet<&str> = HashSet::new();
        let mut result = 0;
        print("[");
        for stage in Stage::ALL {
            let mut current = None;
            for job in jobs.iter().filter(|job| job.stage == stage) {
                if current.is_none() {
                    print(&format!("\n{:>15}:", stage.label()));
                }
                let name = job.resource.as_str();
                let first = current.replace(name) != Some(name);
                // Genuine: what runs is disconnected in any case.
                let skipped = stage != Stage::NetPrerequisite && failed.contains(name);
                if first {
                    print(&match skipped {
                        true => format!(" [skipped:{name}]"),
                        false => format!(" {name}"),
                    });
                }
                if skipped {
                    continue;
                }
                self.failed = None;
                let status = self.job(name, &job.job);
                if status != 0 {
                    result = 1;
                    let (word, status) =
                        self.failed.take().unwrap_or((job.what.to_owned(), status));
                    print(&format!(":failed({word}:{status})"));
                    if stage.is_prerequisite() {
                        failed.insert(name);
                    }
                }
            }
        }
        print("\n]\n");
        self.quiet = false;
        result
    }
}

/// The word that names what a program was told to do: the first that is no number, path, format
/// or index in front of it.
fn is_command_word(word: &str) -> bool {
    crate::command::find(word).is_some() || matches!(word, "del-minor" | "write-dev-uuid")
}

/// Waits for a child; `None` if the time is over.
fn wait_within(child: &mut Child, seconds: Option<u32>) -> Option<ExitStatus> {
    let Some(seconds) = seconds else {
        return child
            .wait()
            .ok()
            .or(Some(ExitStatus::from_raw(BROKEN << 8)));
    };
    let deadline = Instant::now() + Duration::from_secs(u64::from(seconds));
    let handle = Pid::from_child(child);
    let Ok(handle) = pidfd_open(handle, PidfdFlags::empty()) else {
        return child.wait().ok();
    };
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        let left = deadline.checked_duration_since(Instant::now())?;
        let left = Timespec::try_from(left).ok();
        let mut handles = [PollFd::new(&handle, PollFlags::IN)];
        // An interruption only leads to another look.
        let _ = poll(&mut handles, left.as_ref());
    }
}

/// Beside this program, or else wherever `PATH` leads.
fn locate(program: Program) -> PathBuf {
    let name = program.name();
    let sibling = std::env::current_exe()
        .ok()
        .and_then(|own| Some(own.parent()?.join(name)));
    sibling
        .filter(|path| rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok())
        .unwrap_or_else(|| PathBuf::from(name))
}

fn random_id() -> u64 {
    let mut bytes = [0; 8];
    // Without the device the identity is all zeroes, which means "none": harmless.
    let _ = std::fs::File::open("/dev/urandom").and_then(|mut f| f.read_exact(&mut bytes));
    u64::from_le_bytes(bytes)
}

pub(crate) fn os_string(text: &str) -> std::ffi::OsString {
    use std::os::unix::ffi::OsStringExt as _;
    std::ffi::OsString::from_vec(encode(text).into_owned())
}

/// A text for stdout; a closed pipe is no reason to stop working on a cluster.
pub(crate) fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(&encode(text));
    let _ = out.flush();
}

/// A line for stdout.
pub(crate) fn print_line(text: &str) {
    print(&format!("{text}\n"));
}

/// A line for stderr.
pub(crate) fn complain(text: &str) {
    let _ = io::stderr().write_all(&encode(&format!("{text}\n")));
}
