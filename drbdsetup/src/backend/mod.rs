//! Whom the messages are sent to: the engine's socket, or the kernel's netlink family.

mod engine;
mod kernel;

pub use engine::Engine;
pub use kernel::Kernel;

use drbd_control::{FamilyId, Request};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::AsFd;
use std::io;
use std::time::Instant;

/// How long a reply may take.
pub const REPLY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(120);

/// One conversation. Requests and answers are whole messages.
pub trait Backend {
    /// The number of the family on this carrier.
    fn family(&self) -> FamilyId;

    /// The number that answers to this client carry.
    fn port(&self) -> u32;

    /// Sends a request.
    fn send(&mut self, message: &[u8]) -> io::Result<()>;

    /// Receives the next message; `None` when the deadline passes first.
    fn receive(&mut self, deadline: Option<Instant>) -> io::Result<Option<Vec<u8>>>;

    /// Waits until a message is there or nobody reads standard output any more.
    fn wait_while_read(&mut self) -> io::Result<Reading>;

    /// Prepares for notices: joins the group, or marks the request so that the engine does.
    fn subscribe(&mut self, request: Request) -> io::Result<Request>;
}

/// What ended a wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reading {
    /// There is a message.
    Readable,
    /// The other end of standard output is closed.
    OutputClosed,
}

/// Why nobody can be asked.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No engine, and none could be started.
    #[error("no engine")]
    NoEngine,
    /// The kernel has no such family: the module is not loaded.
    #[error("no family")]
    NoFamily,
    /// The kernel's family is another one.
    #[error("API version {version}, header size {header}")]
    ApiMismatch {
        /// Its version.
        version: u32,
        /// Bytes of its own header.
        header: u32,
    },
    /// Something else.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Waits until there is something to read. `false` when the deadline passes first.
fn wait_readable(fd: impl AsFd, deadline: Option<Instant>) -> io::Result<bool> {
    loop {
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let timeout = left.map(|left| Timespec::try_from(left).unwrap_or_default());
        let mut fds = [PollFd::new(&fd, PollFlags::IN)];
        match poll(&mut fds, timeout.as_ref()) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits until there is something to read, or nobody reads standard output any more.
fn wait_while_read(fd: impl AsFd) -> io::Result<Reading> {
    let output = io::stdout();
    loop {
        let mut fds = [
            PollFd::new(&fd, PollFlags::IN),
            // Errors and hang-ups are reported without being asked for.
            PollFd::new(&output, PollFlags::empty()),
        ];
        match poll(&mut fds, None) {
            Ok(_) if fds[1].revents().intersects(PollFlags::ERR | PollFlags::HUP) => {
                return Ok(Reading::OutputClosed);
            }
            Ok(_) if !fds[0].revents().is_empty() => return Ok(Reading::Readable),
            // A closed descriptor 1 is reported at once and again and again: leave it out.
            Ok(_) => return wait_readable(&fd, None).map(|_| Reading::Readable),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
