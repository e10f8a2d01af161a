//! The kernel-style log: `$DRBD_RUN_DIR/log`, and syslog or the journal through `/dev/log`.
//!
//! The writer has a thread of its own behind a bounded queue: whoever logs never waits for a disk,
//! which may be one of ours. Lines that find the queue full are counted and reported later.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use drbd_core::effect::Level;
use drbd_types::{Minor, VolumeNr};
use rustix::time::{ClockId, clock_gettime};

/// Lines that may wait for the writer.
const QUEUE: usize = 4096;
/// The file is started afresh beyond this size; the journal keeps the rest.
const FILE_LIMIT: u64 = 16 << 20;
/// Where syslog daemons and the journal listen.
const SYSLOG: &str = "/dev/log";
/// Syslog facility "kern": what scripts filter for.
const FACILITY: u8 = 0;

/// A handle to the writer.
#[derive(Clone)]
pub struct Log {
    queue: SyncSender<Line>,
    lost: Arc<AtomicU64>,
}

/// What a line is about: decides its prefix (spec 60 section 10.1).
#[derive(Clone, Copy, Debug)]
pub enum About<'a> {
    /// The engine.
    Engine,
    /// A resource with its connection.
    Resource(&'a str),
    /// One of its volumes.
    Volume(&'a str, VolumeNr, Minor),
}

struct Line {
    level: Level,
    /// Since boot, as the kernel stamps its messages.
    at: Duration,
    text: String,
}

impl fmt::Display for About<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine => f.write_str("drbd: "),
            Self::Resource(name) => write!(f, "drbd {name}: "),
            Self::Volume(name, volume, minor) => write!(f, "drbd {name}/{volume} drbd{minor}: "),
        }
    }
}

impl Log {
    /// Starts the writer; its file is `log` in the run directory.
    pub fn start(run_dir: &Path) -> io::Result<Self> {
        let path = run_dir.join("log");
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let (queue, lines) = sync_channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&lost);
        std::thread::Builder::new()
            .name("drbd_log".into())
            .spawn(move || Writer::new(file).run(&lines, &counter))?;
        Ok(Self { queue, lost })
    }

    /// A log that goes nowhere.
    pub fn nowhere() -> Self {
        let (queue, _) = sync_channel(1);
        Self {
            queue,
            lost: Arc::default(),
        }
    }

    /// Queues a line.
    pub fn write(&self, level: Level, about: About<'_>, text: impl fmt::Display) {
        let line = Line {
            level,
            at: since_boot(),
            text: format!("{about}{text}"),
        };
        if self.queue.try_send(line).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

struct Writer {
    file: File,
    written: u64,
    syslog: Option<UnixDatagram>,
}

impl Writer {
    fn new(file: File) -> Self {
        let written = file.metadata().map_or(0, |m| m.len());
        Self {
            file,
            written,
            syslog: None,
        }
    }

    fn run(mut self, lines: &Receiver<Line>, lost: &AtomicU64) {
        while let Ok(line) = lines.recv() {
            self.put(&line);
            let missing = lost.swap(0, Ordering::Relaxed);
            if missing > 0 {
                self.put(&Line {
                    level: Level::Warning,
                    at: line.at,
                    text: format!("drbd: {missing} messages suppressed"),
                });
            }
        }
    }

    fn put(&mut self, line: &Line) {
        let at = line.at;
        let stamped = format!(
            "[{:5}.{:06}] {}\n",
            at.as_secs(),
            at.subsec_micros(),
            line.text
        );
        if self.written > FILE_LIMIT && self.file.set_len(0).is_ok() {
            self.written = 0;
        }
        // A full or broken disk must not stop the engine; the journal has the line as well.
        if self.file.write_all(stamped.as_bytes()).is_ok() {
            self.written += stamped.len() as u64;
        }
        self.send(line);
    }

    /// Best effort: without a syslog daemon there is nobody to tell.
    fn send(&mut self, line: &Line) {
        let message = format!(
            "<{}>drbdd[{}]: {}",
            FACILITY << 3 | severity(line.level),
            std::process::id(),
            line.text
        );
        if self.syslog.is_none() {
            self.syslog = connect();
        }
        let failed = |socket: &UnixDatagram| {
            let error = socket.send(message.as_bytes()).err();
            error.is_some_and(|e| e.kind() != io::ErrorKind::WouldBlock)
        };
        if self.syslog.as_ref().is_some_and(failed) {
            self.syslog = None;
        }
    }
}

fn connect() -> Option<UnixDatagram> {
    let socket = UnixDatagram::unbound().ok()?;
    socket.set_nonblocking(true).ok()?;
    socket.connect(SYSLOG).ok()?;
    Some(socket)
}

const fn severity(level: Level) -> u8 {
    match level {
        Level::Alert => 1,
        Level::Error => 3,
        Level::Warning => 4,
        Level::Info => 6,
    }
}

fn since_boot() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(
        u64::try_from(now.tv_sec).unwrap_or(0),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_those_of_the_kernel() {
        let volume = About::Volume("r0", VolumeNr(0), Minor(1));
        assert_eq!(volume.to_string(), "drbd r0/0 drbd1: ");
        assert_eq!(About::Resource("r0").to_string(), "drbd r0: ");
    }

    #[test]
    fn lines_reach_the_file_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::start(dir.path()).unwrap();
        for n in 0..100 {
            log.write(Level::Info, About::Resource("r0"), n);
        }
        let path = dir.path().join("log");
        let lines = || std::fs::read_to_string(&path).unwrap();
        while lines().lines().count() < 100 {
            std::thread::yield_now();
        }
        for (n, line) in lines().lines().enumerate() {
            assert!(line.ends_with(&format!("] drbd r0: {n}")), "{line}");
        }
    }
}
