//! Sockets with the options that DRBD gives them (spec 50 section 2.1).

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};

use rustix::net::sockopt;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::Config;
use super::event::Event;
use super::pairing::Initial;

/// How many incoming connections may wait.
const BACKLOG: u32 = 5;

/// Why there is no outgoing connection.
#[derive(Debug)]
pub enum ConnectError {
    /// The peer is not there; nothing to say about it.
    Unreachable,
    /// An unusual error.
    Retry(Event),
    /// It will never work: the local address is not ours.
    Fatal(Event),
}

/// Opens the listening socket.
pub fn listen(config: &Config) -> Result<TcpListener, Event> {
    let failed = |what| move |error: io::Error| Event::SocketFailed(what, (&error).into());
    let socket = new_socket(config).map_err(failed("socket"))?;
    socket
        .bind(config.local)
        .map_err(|error| Event::BindBeforeListen((&error).into()))?;
    socket.listen(BACKLOG).map_err(failed("listen"))
}

/// Connects to the peer, from the local address and any port, so that the peer sees the
/// configured address.
pub async fn connect(config: &Config) -> Result<TcpStream, ConnectError> {
    let socket = new_socket(config)
        .map_err(|error| ConnectError::Fatal(Event::SocketFailed("socket", (&error).into())))?;
    socket
        .bind(with_port(config.local, 0))
        .map_err(|error| ConnectError::Fatal(Event::BindBeforeConnect((&error).into())))?;
    socket.connect(config.peer).await.map_err(|error| {
        if is_ordinary(&error) {
            ConnectError::Unreachable
        } else {
            ConnectError::Retry(Event::ConnectFailed((&error).into()))
        }
    })
}

/// Errors that only say "the peer is not there yet".
fn is_ordinary(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let ordinary = [
        Errno::TIMEDOUT,
        Errno::AGAIN,
        Errno::INPROGRESS,
        Errno::INTR,
        Errno::CONNREFUSED,
        Errno::NETUNREACH,
        Errno::HOSTDOWN,
        Errno::HOSTUNREACH,
    ];
    Errno::from_io_error(error).is_some_and(|errno| ordinary.contains(&errno))
}

fn new_socket(config: &Config) -> io::Result<TcpSocket> {
    let socket = match config.local.ip() {
        IpAddr::V4(_) => TcpSocket::new_v4(),
        IpAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    socket.set_reuseaddr(true)?;
    set_buffers(&socket, config)?;
    Ok(socket)
}

/// The configured number is what the kernel is to use; the socket option doubles what it is
/// given. Only the administrator may exceed the system's limit: the others get that limit.
fn set_buffers(socket: &TcpSocket, config: &Config) -> io::Result<()> {
    if let Some(size) = config.send_buffer {
        let half = size.get() as usize / 2;
        sockopt::set_socket_send_buffer_size_force(socket, half)
            .or_else(|_| sockopt::set_socket_send_buffer_size(socket, half))?;
    }
    if let Some(size) = config.receive_buffer {
        let half = size.get() as usize / 2;
        sockopt::set_socket_recv_buffer_size_force(socket, half)
            .or_else(|_| sockopt::set_socket_recv_buffer_size(socket, half))?;
    }
    Ok(())
}

fn with_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}

/// Whether the peer has not closed it: data to read and no data are both signs of life.
pub fn is_alive(stream: &TcpStream) -> bool {
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4];
    // tokio's sockets are non-blocking.
    match SockRef::from(stream).peek(&mut buffer) {
        Ok(bytes) => bytes > 0,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}

/// TC_PRIO_INTERACTIVE_BULK and TC_PRIO_INTERACTIVE: acknowledgements overtake data in the
/// queues of the network interface.
const fn priority(kind: Initial) -> u32 {
    match kind {
        Initial::Data => 4,
        Initial::Meta => 6,
    }
}

/// The options of an established socket.
pub fn finish(stream: &TcpStream, kind: Initial) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_priority(priority(kind))
}
