//! The engine as a process: starting, readiness, stopping, and that there is only one.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use drbd_control::{Connection, Context, FamilyId, Listener, Op, Received, Request};
use drbd_core::effect::Level;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::control::command::take_down;
use crate::control::engine::{Engine, EngineConf};
use crate::control::events::Hub;
use crate::control::server;
use crate::device::{self, guard};
use crate::log::{About, Log};
use crate::procfs::{Era, ProcFs, Source};
use crate::runtime::outside::Services;

/// How the engine is to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// `$DRBD_RUN_DIR`.
    pub run_dir: PathBuf,
    /// Who makes block devices.
    pub frontend: device::Choice,
    /// The module parameter `usermode_helper`.
    pub usermode_helper: PathBuf,
    /// The module parameter `minor_count`.
    pub minor_count: u32,
    /// The form of `/proc/drbd`.
    pub era: Era,
}

/// Why the engine does not run, or could not be stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is one already.
    #[error("another engine (pid {pid}) is running with the run directory {}", .run_dir.display())]
    SecondEngine {
        /// Its process.
        pid: String,
        /// Where.
        run_dir: PathBuf,
    },
    /// Something that must work does not.
    #[error("{what}: {source}")]
    Failed {
        /// The step.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A resource cannot be brought down.
    #[error("resource {name}: {why}")]
    InUse {
        /// Which.
        name: String,
        /// The texts of the refusal.
        why: String,
    },
    /// The new engine ended before it was ready; it has told why.
    #[error("the engine did not start")]
    NotStarted,
}

fn failed(what: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Failed { what, source }
}

/// The lock that keeps a second engine out. The file stays: its lock, not its existence, counts.
struct PidFile(File);

impl PidFile {
    fn path(run_dir: &Path) -> PathBuf {
        run_dir.join("engine.pid")
    }

    fn take(run_dir: &Path) -> Result<Self, Error> {
        let open = || {
            File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(Self::path(run_dir))
        };
        let mut file = open().map_err(failed("engine.pid"))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(Error::SecondEngine {
                pid: read_pid(&mut file),
                run_dir: run_dir.to_owned(),
            });
        }
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        write(&mut file).map_err(failed("engine.pid"))?;
        Ok(Self(file))
    }

    /// Whether an engine runs.
    fn is_held(run_dir: &Path) -> bool {
        let file = File::open(Self::path(run_dir));
        file.is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockShared).is_err())
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // The lock goes with the descriptor; an empty file names nobody.
        let _ = self.0.set_len(0);
    }
}

fn read_pid(file: &mut File) -> String {
    let mut text = String::new();
    // An unreadable file names nobody; the message says so by an empty number.
    let _ = file.read_to_string(&mut text);
    text.trim().to_owned()
}

/// Runs the engine until it is stopped. `ready` is called once clients can connect.
pub fn run(options: Options, ready: impl FnOnce()) -> Result<(), Error> {
    let run_dir = &options.run_dir;
    fs::create_dir_all(run_dir).map_err(failed("run directory"))?;
    let _lock = PidFile::take(run_dir)?;
    abort_on_panic();
    raise_limits();
    let unprotected = guard::protect_process();
    let log = Log::start(run_dir).map_err(failed("log"))?;
    for warning in unprotected {
        log.write(Level::Warning, About::Engine, warning);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("drbd_control")
        .enable_all()
        .build()
        .map_err(failed("tokio"))?;
    let result = runtime.block_on(serve(&options, log, ready));
    // A search for a peer or a helper may still be under way.
    runtime.shutdown_background();
    result
}

async fn serve(options: &Options, log: Log, ready: impl FnOnce()) -> Result<(), Error> {
    let (events, happenings) = mpsc::unbounded_channel();
    let hub = Hub::default();
    tokio::spawn(hub.clone().run(happenings));
    let services = Services {
        tokio: tokio::runtime::Handle::current(),
        log: log.clone(),
        helper: options.usermode_helper.clone(),
        events,
    };
    let conf = EngineConf {
        run_dir: options.run_dir.clone(),
        frontend: options.frontend,
    };
    let engine = Arc::new(Engine::new(conf, services));
    let source = Source {
        registry: Arc::clone(&engine.registry),
        era: options.era,
        minor_count: options.minor_count,
    };
    let _proc = ProcFs::mount(&options.run_dir, source).map_err(failed("mounting proc/drbd"))?;
    let listener = Listener::bind(&options.run_dir).map_err(failed("engine.sock"))?;
    let server = tokio::spawn(server::serve(Arc::clone(&engine), hub, listener));
    log.write(
        Level::Info,
        About::Engine,
        "initialized. Version: 8.4.11 (api:1/proto:86-101)",
    );
    let mut terminate = signal(SignalKind::terminate()).map_err(failed("SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed("SIGINT"))?;
    ready();
    loop {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if bring_down(&engine, &log).await {
            break;
        }
    }
    server.abort();
    log.write(Level::Info, About::Engine, "module cleanup done.");
    Ok(())
}

/// Brings every resource down in order; whether nothing is left. A resource in use stays, and so
/// does the engine: a block device must not vanish from under a mounted file system.
async fn bring_down(engine: &Engine, log: &Log) -> bool {
    let mut all = true;
    for object in engine.registry.all() {
        let _turn = object.turn.lock().await;
        if let Err((answer, step)) = take_down(engine, &object).await {
            let about = About::Resource(&object.shared.name);
            log.write(
                Level::Error,
                about,
                format_args!("not stopping: {step}: {answer}"),
            );
            all = false;
        }
    }
    all
}

/// A bug must not go on with half a state: the peer takes over, and the next start of the engine
/// finds on disk what a crash leaves.
fn abort_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        report(info);
        std::process::abort();
    }));
}

/// Descriptors for many resources, locked memory for their buffers.
fn raise_limits() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let files = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: files.maximum,
        ..files
    };
    // Without the right to raise them the defaults serve fewer resources.
    let _ = setrlimit(Resource::Nofile, raised);
    let unlimited = Rlimit {
        current: None,
        maximum: None,
    };
    let _ = setrlimit(Resource::Memlock, unlimited);
}

/// Starts an engine in the background and returns when it is ready. `arguments` are those of the
/// foreground form.
pub fn start(options: &Options, arguments: &[String]) -> Result<(), Error> {
    fs::create_dir_all(&options.run_dir).map_err(failed("run directory"))?;
    if PidFile::is_held(&options.run_dir) {
        // Loading what is loaded is no failure.
        return Ok(());
    }
    let program = std::env::current_exe().map_err(failed("finding my own path"))?;
    let (mut reader, writer) = io::pipe().map_err(failed("pipe"))?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .arg("--ready-on-stdout")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(OwnedFd::from(writer));
    let child = command.spawn().map_err(failed("starting"))?;
    drop(command);
    let mut told = Vec::new();
    reader.read_to_end(&mut told).map_err(failed("starting"))?;
    // The child lives on by itself; it is not waited for.
    drop(child);
    match told.is_empty() {
        true => Err(Error::NotStarted),
        false => Ok(()),
    }
}

/// What the background engine does when it is ready: tells so and lets go of its starter.
pub fn detach() {
    let tell = || -> io::Result<()> {
        // A session of its own: no terminal can stop it. Fails for who leads one already.
        let _ = rustix::process::setsid();
        let mut stdout = io::stdout();
        stdout.write_all(b"ready\n")?;
        stdout.flush()?;
        let null = File::options().read(true).write(true).open("/dev/null")?;
        rustix::stdio::dup2_stdout(&null)?;
        rustix::stdio::dup2_stderr(&null)?;
        Ok(())
    };
    // A starter that is gone does not have to be told.
    let _ = tell();
}

/// Stops the engine of the run directory: first every resource is brought down, and one that is in
/// use is reported and keeps the engine running. No engine is no error.
pub fn stop(run_dir: &Path) -> Result<(), Error> {
    if !PidFile::is_held(run_dir) {
        return Ok(());
    }
    let mut file = File::open(PidFile::path(run_dir)).map_err(failed("engine.pid"))?;
    let pid = read_pid(&mut file).parse().ok().and_then(Pid::from_raw);
    let Some(pid) = pid else {
        return Ok(());
    };
    let process =
        pidfd_open(pid, PidfdFlags::empty()).map_err(|e| failed("engine process")(e.into()))?;
    let connection = Connection::connect(run_dir).map_err(failed("engine.sock"))?;
    for name in resources(&connection).map_err(failed("asking the engine"))? {
        down(&connection, &name)?;
    }
    kill_process(pid, Signal::TERM).map_err(|e| failed("SIGTERM")(e.into()))?;
    // Readable means ended.
    let mut ended = [rustix::event::PollFd::new(
        &process,
        rustix::event::PollFlags::IN,
    )];
    rustix::event::poll(&mut ended, None).map_err(|e| failed("waiting")(e.into()))?;
    Ok(())
}

fn resources(connection: &Connection) -> io::Result<Vec<String>> {
    let request = Request::new(Op::GetResources).list();
    connection.send(&request.encode(FamilyId::ENGINE))?;
    let mut names = Vec::new();
    let mut buffer = Vec::new();
    while let Some(bytes) = connection.recv(&mut buffer)? {
        match Received::decode(bytes, FamilyId::ENGINE) {
            Ok(Received::Message(message)) => {
                let name = message.context().and_then(|c| c.resource.clone());
                names.extend(name);
            }
            Ok(Received::Done { .. }) => break,
            Ok(Received::Error { code, .. }) => return Err(io::Error::from_raw_os_error(-code)),
            Err(error) => return Err(io::Error::other(error)),
        }
    }
    Ok(names)
}

fn down(connection: &Connection, name: &str) -> Result<(), Error> {
    let request = Request::new(Op::Down).for_context(Context::resource(name));
    let mut buffer = Vec::new();
    let exchange = || -> io::Result<Option<Received>> {
        connection.send(&request.encode(FamilyId::ENGINE))?;
        let bytes = connection.recv(&mut buffer)?;
        let decoded = bytes.map(|bytes| Received::decode(bytes, FamilyId::ENGINE));
        decoded.transpose().map_err(io::Error::other)
    };
    let mut exchange = exchange;
    match exchange().map_err(failed("asking the engine"))? {
        Some(Received::Message(message)) if message.answer.is_success() => Ok(()),
        Some(Received::Message(message)) => {
            let infos: Vec<&str> = message.infos().collect();
            Err(Error::InUse {
                name: name.to_owned(),
                why: format!("{} ({})", message.answer, infos.join(", ")),
            })
        }
        _ => Err(Error::InUse {
            name: name.to_owned(),
            why: "the engine did not answer".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_engine_on_the_same_run_directory_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let first = PidFile::take(dir.path()).unwrap();
        let Err(error) = PidFile::take(dir.path()) else {
            panic!("the first one holds the lock");
        };
        let expected = format!(
            "another engine (pid {}) is running with the run directory {}",
            std::process::id(),
            dir.path().display()
        );
        assert_eq!(error.to_string(), expected);
        drop(first);
        assert!(PidFile::take(dir.path()).is_ok());
    }

    #[test]
    fn stopping_without_an_engine_succeeds() {
        let dir = tempfile::tempdir().unwrap();
        assert!(stop(dir.path()).is_ok());
        drop(PidFile::take(dir.path()).unwrap());
        assert!(stop(dir.path()).is_ok());
    }
}
