//! Serves `/dev/drbdN` from memory, or from nowhere, while a command runs: to try and to measure a
//! front end without a resource behind it.
//!
//! ```text
//! device_serve ublk 1 256 memory -- fio --filename=/dev/drbd1 ...
//! ```

use std::io;
use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use clap::{Parser, ValueEnum};
use drbd_types::units::SECTOR_BYTES;
use drbd_types::{ByteCount, Minor, SectorCount};
use engine::buffer::{Buffer, Pool};
use engine::device::{
    Access, Choice, DevicePaths, Discard, Features, Frontend, Geometry, Operation, Request,
    RequestSink, guard,
};
use rustix::io::Errno;

#[derive(Parser)]
struct Arguments {
    /// auto, ublk or fuse
    frontend: Choice,
    /// The N of /dev/drbdN
    minor: u32,
    /// Size in MiB
    mebibytes: u64,
    /// What is behind the device
    backing: Backing,
    /// Change the size to this many MiB once the device is open
    #[arg(long)]
    resize: Option<u64>,
    /// Run while the device is open
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Backing {
    /// Writes are dropped, reads give whatever the buffer held
    Null,
    /// Reads give what was written
    Memory,
}

/// Completes each request at once, on the thread that submits it.
struct Server {
    pool: Pool,
    memory: Option<Mutex<Vec<u8>>>,
    frontend: OnceLock<Weak<dyn Frontend>>,
}

impl RequestSink for Server {
    fn submit(&self, _: Minor, request: Request) {
        let result = self.perform(&request);
        if let Some(frontend) = self.frontend.get().and_then(Weak::upgrade) {
            frontend.complete(request.id, result);
        }
    }
}

impl Server {
    fn perform(&self, request: &Request) -> Result<Option<Buffer>, Errno> {
        let start = (request.sector.0 * SECTOR_BYTES) as usize;
        let memory = || self.memory.as_ref().map(|m| m.lock().expect("no panics"));
        match &request.operation {
            Operation::Read { length } => {
                let length = *length as usize;
                let mut buffer = self.pool.allocate(length).ok_or(Errno::NOMEM)?;
                if let (Some(memory), Some(bytes)) = (memory(), buffer.unique_mut()) {
                    bytes.copy_from_slice(&memory[start..start + length]);
                }
                return Ok(Some(buffer));
            }
            Operation::Write { data, .. } => {
                if let Some(mut memory) = memory() {
                    memory[start..start + data.len()].copy_from_slice(data);
                }
            }
            Operation::WriteZeroes { length, .. } | Operation::Discard { length } => {
                if let Some(mut memory) = memory() {
                    memory[start..start + *length as usize].fill(0);
                }
            }
            Operation::Flush => {}
        }
        Ok(None)
    }
}

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    for warning in guard::protect_process() {
        eprintln!("{warning}");
    }
    let geometry = Geometry {
        features: Features {
            discard: Discard::Supported { largest: 4 << 20 },
            ..Features::default()
        },
        ..Geometry::new(SectorCount(arguments.mebibytes << 11))
    };
    let pool = Pool::new(ByteCount(128 << 20));
    let bytes =
        (arguments.backing == Backing::Memory).then(|| vec![0; geometry.bytes().0 as usize]);
    let server = Arc::new(Server {
        pool: pool.clone(),
        memory: bytes.map(Mutex::new),
        frontend: OnceLock::new(),
    });
    let run_dir = std::env::var_os("DRBD_RUN_DIR").unwrap_or_else(|| "/run/drbd".into());
    let frontend = engine::device::start(
        arguments.frontend,
        Minor(arguments.minor),
        geometry,
        DevicePaths::new(run_dir),
        pool,
        Arc::clone(&server) as Arc<dyn RequestSink>,
    )?;
    let frontend: Arc<dyn Frontend> = Arc::from(frontend);
    if server.frontend.set(Arc::downgrade(&frontend)).is_err() {
        return Err("the front end is set once".into());
    }
    elsewhere(&frontend, |frontend| frontend.open(Access::ReadWrite))?;
    if let Some(mebibytes) = arguments.resize {
        let size = SectorCount(mebibytes << 11);
        elsewhere(&frontend, move |frontend| frontend.resize(size))?;
    }
    let (program, rest) = (arguments.command.split_first()).ok_or("no command")?;
    let status = Command::new(program).args(rest).status()?;
    elsewhere(&frontend, |frontend| frontend.stop())?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Makes each call on a thread of its own, as the engine's worker threads do.
fn elsewhere(
    frontend: &Arc<dyn Frontend>,
    call: impl FnOnce(&dyn Frontend) -> io::Result<()> + Send,
) -> io::Result<()> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| call(&**frontend));
        (thread.join()).unwrap_or_else(|_| Err(io::Error::other("the call panicked")))
    })
}
