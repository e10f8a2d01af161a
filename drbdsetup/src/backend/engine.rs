//! The engine of this machine, started when a command needs it and none runs.

use super::{Backend, ConnectError, Reading, wait_readable, wait_while_read};
use drbd_control::{Connection, Events, FamilyId, Request, carrier};
use rustix::fs::{FlockOperation, Mode, OFlags};
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Name of the engine's program.
const PROGRAM: &str = "drbdd";

/// A connection to the engine.
#[derive(Debug)]
pub struct Engine {
    connection: Connection,
    buffer: Vec<u8>,
}

impl Engine {
    /// Talks over this connection.
    pub const fn new(connection: Connection) -> Self {
        Self {
            connection,
            buffer: Vec::new(),
        }
    }

    /// Connects to the engine of the run directory; starts one if there is none.
    pub fn connect_or_start() -> Result<Self, ConnectError> {
        let run_dir = carrier::run_dir();
        if let Some(connection) = connect(&run_dir)? {
            return Ok(Self::new(connection));
        }
        start(&run_dir)?;
        match connect(&run_dir)? {
            Some(connection) => Ok(Self::new(connection)),
            None => Err(ConnectError::NoEngine),
        }
    }
}

fn connect(run_dir: &Path) -> Result<Option<Connection>, ConnectError> {
    match Connection::connect(run_dir) {
        Ok(connection) => Ok(Some(connection)),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::ConnectionRefused
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Starts the engine and waits until it is ready. Clients that come at the same time wait for
/// each other, so that only the first one starts it.
fn start(run_dir: &Path) -> Result<(), ConnectError> {
    std::fs::create_dir_all(run_dir)?;
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC;
    let lock = rustix::fs::open(run_dir.join("start.lock"), flags, Mode::RUSR | Mode::WUSR)
        .map_err(io::Error::from)?;
    rustix::fs::flock(&lock, FlockOperation::LockExclusive).map_err(io::Error::from)?;
    if connect(run_dir)?.is_some() {
        return Ok(());
    }
    let program = program_path().ok_or(ConnectError::NoEngine)?;
    let status = Command::new(program)
        .arg("start")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(ConnectError::NoEngine)
    }
}

/// The engine's program: beside this one, otherwise in `PATH`.
fn program_path() -> Option<PathBuf> {
    let beside = std::env::current_exe()
        .ok()
        .and_then(|path| Some(path.parent()?.join(PROGRAM)));
    let search =
        std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/sbin:/sbin:/usr/bin:/bin"));
    beside
        .into_iter()
        .chain(std::env::split_paths(&search).map(|dir| dir.join(PROGRAM)))
        .find(|path| path.is_file())
}

impl Backend for Engine {
    fn family(&self) -> FamilyId {
        FamilyId::ENGINE
    }

    fn port(&self) -> u32 {
        std::process::id()
    }

    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.connection.send(message)
    }

    fn receive(&mut self, deadline: Option<Instant>) -> io::Result<Option<Vec<u8>>> {
        if !wait_readable(&self.connection, deadline)? {
            return Ok(None);
        }
        match self.connection.recv(&mut self.buffer)? {
            Some(message) => Ok(Some(message.to_vec())),
            None => Err(io::Error::from(rustix::io::Errno::CONNRESET)),
        }
    }

    fn wait_while_read(&mut self) -> io::Result<Reading> {
        wait_while_read(&self.connection)
    }

    fn subscribe(&mut self, mut request: Request) -> io::Result<Request> {
        request.events = Events::Join;
        Ok(request)
    }
}
