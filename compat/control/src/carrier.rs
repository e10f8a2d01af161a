//! The engine's own carrier: a Unix seqpacket socket, one message a datagram.
//!
//! Calls block or not as the descriptor is set; `recv` and `send` on a non-blocking one return
//! [`io::ErrorKind::WouldBlock`]. An end of file is the peer's orderly or disorderly exit.

use crate::frame::MAX_MESSAGE;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{
    self, AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Name of the socket in the run directory.
pub const SOCKET_NAME: &str = "engine.sock";

/// The run directory: `$DRBD_RUN_DIR`, otherwise `/run/drbd`.
pub fn run_dir() -> PathBuf {
    match std::env::var_os("DRBD_RUN_DIR") {
        Some(dir) if !dir.is_empty() => PathBuf::from(dir),
        _ => PathBuf::from("/run/drbd"),
    }
}

/// Rights of the process at the other end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Caller {
    /// Root, or the engine's own user: may do everything.
    Admin,
    /// Anybody else: [`crate::Privilege::Anyone`].
    Other,
}

/// One end of a connection.
#[derive(Debug)]
pub struct Connection {
    socket: OwnedFd,
}

impl Connection {
    /// Connects to the engine whose run directory this is. The errors `NotFound` and
    /// `ConnectionRefused` mean that none runs.
    pub fn connect(run_dir: &Path) -> io::Result<Self> {
        let address = SocketAddrUnix::new(run_dir.join(SOCKET_NAME))?;
        let socket = socket(SocketFlags::CLOEXEC)?;
        net::connect(&socket, &address)?;
        Ok(Self { socket })
    }

    /// Two ends that are connected with each other, for tests.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (a, b) = net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        Ok((Self { socket: a }, Self { socket: b }))
    }

    /// Sends one message.
    pub fn send(&self, message: &[u8]) -> io::Result<()> {
        // A peer that is gone is an error to handle, not a signal to die of.
        net::send(&self.socket, message, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Receives one message into `buffer`; `None` when the other end is closed. A message longer
    /// than [`MAX_MESSAGE`] is an error.
    pub fn recv<'a>(&self, buffer: &'a mut Vec<u8>) -> io::Result<Option<&'a [u8]>> {
        buffer.resize(MAX_MESSAGE, 0);
        let received = net::recv(&self.socket, buffer.as_mut_slice(), RecvFlags::TRUNC);
        let (_, length) = match received {
            // The other end went away with messages unread.
            Err(Errno::CONNRESET) => return Ok(None),
            received => received?,
        };
        if length > MAX_MESSAGE {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "message longer than 64 KiB",
            ));
        }
        Ok((length > 0).then(|| &buffer[..length]))
    }

    /// Rights of the process at the other end.
    pub fn caller(&self) -> io::Result<Caller> {
        let peer = net::sockopt::socket_peercred(&self.socket)?;
        let own = rustix::process::geteuid();
        let is_admin = peer.uid.is_root() || peer.uid == own;
        Ok(if is_admin {
            Caller::Admin
        } else {
            Caller::Other
        })
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl From<OwnedFd> for Connection {
    fn from(socket: OwnedFd) -> Self {
        Self { socket }
    }
}

/// The engine's end: accepts connections.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
    path: PathBuf,
}

impl Listener {
    /// Listens in this run directory, non-blocking. A socket left behind by a dead engine is
    /// replaced: the caller must hold the lock that keeps a second engine out.
    ///
    /// Everybody may connect, as everybody may open a netlink socket; [`Connection::caller`]
    /// decides what is allowed.
    pub fn bind(run_dir: &Path) -> io::Result<Self> {
        let path = run_dir.join(SOCKET_NAME);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let address = SocketAddrUnix::new(&path)?;
        let socket = socket(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
        net::bind(&socket, &address)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666))?;
        net::listen(&socket, 64)?;
        Ok(Self { socket, path })
    }

    /// Takes the next connection, non-blocking as well.
    pub fn accept(&self) -> io::Result<Connection> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = net::accept_with(&self.socket, flags)?;
        Ok(Connection { socket })
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Nothing can be done about a failure, and a left-over socket only refuses connections.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn socket(flags: SocketFlags) -> io::Result<OwnedFd> {
    Ok(net::socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        flags,
        None,
    )?)
}
