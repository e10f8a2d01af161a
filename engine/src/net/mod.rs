//! Making the two TCP connections to a peer (spec 50 sections 2 and 4).
//!
//! * [`pairing`]: which connection becomes which socket: pure.
//! * [`auth`]: challenge and response: pure.
//! * [`event`]: what happens meanwhile, as log lines.
//! * [`socket`]: socket options, listening, connecting.
//! * [`handshake`]: features and authentication on the data socket.
//!
//! [`establish`] runs on tokio, off the hot path, and hands over two plain sockets from which
//! nothing has been read beyond the last packet of the authentication. Dropping its future
//! gives up and closes everything.

pub mod auth;
pub mod event;
pub mod handshake;
pub mod pairing;
pub mod socket;

use std::fs::File;
use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream as StdTcpStream};
use std::num::NonZeroU32;
use std::time::Duration;

use drbd_types::ConnState;
use drbd_wire::{Agreed, Codec, Digest, Features, Packet, RawHeader, VersionRange};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

pub use auth::{Auth, HmacAlg, Secret};
pub use event::{ErrorCode, Event, Failure, Severity};
pub use pairing::ResolveConflicts;

use handshake::Handshake;
use pairing::{Coin, Initial, Next, Pair, Pairing};

/// How long to pause after [`Failure::Retry`].
pub const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// How to reach a peer.
#[derive(Clone, Debug)]
pub struct Config {
    /// Own address, to listen on and to connect from.
    pub local: SocketAddr,
    /// The peer's.
    pub peer: SocketAddr,
    /// Versions to announce.
    pub versions: VersionRange,
    /// Features to announce.
    pub features: Features,
    /// Authentication, if it is configured.
    pub auth: Option<Auth>,
    /// connect-int.
    pub connect_int: Duration,
    /// ping-timeout.
    pub ping_timeout: Duration,
    /// socket-check-timeout; `None` uses ping-timeout.
    pub socket_check_timeout: Option<Duration>,
    /// sndbuf-size in bytes; `None` leaves it to TCP.
    pub send_buffer: Option<NonZeroU32>,
    /// rcvbuf-size in bytes; `None` leaves it to TCP.
    pub receive_buffer: Option<NonZeroU32>,
}

impl Config {
    /// How long the peer may take for each packet of the establishment.
    fn patience(&self) -> Duration {
        self.ping_timeout * 4
    }

    fn settle_time(&self) -> Duration {
        self.socket_check_timeout.unwrap_or(self.ping_timeout)
    }

    /// How long to wait for an incoming connection: one seventh more or less than connect-int.
    fn accept_time(&self, coin: Coin) -> Duration {
        let seventh = self.connect_int / 7;
        match coin {
            Coin::Heads => self.connect_int + seventh,
            Coin::Tails => self.connect_int - seventh,
        }
    }
}

/// A connection to a peer that speaks our protocol and knows our secret. The parameter exchange
/// has not begun.
#[derive(Debug)]
pub struct Established {
    /// The data socket, non-blocking.
    pub data: StdTcpStream,
    /// The meta socket, non-blocking.
    pub meta: StdTcpStream,
    /// Version and features.
    pub agreed: Agreed,
    /// Who decides ties.
    pub resolve_conflicts: ResolveConflicts,
}

/// Makes one connection to the peer, however long that takes. Everything worth a line in the
/// log is passed to `log` as it happens.
pub async fn establish(
    config: &Config,
    mut log: impl FnMut(Event) + Send,
) -> Result<Established, Failure> {
    let pair = find_peer(config, &mut log).await?;
    let mut data = pair.data;
    let agreed = Handshake::new(config, &mut data, &mut log).run().await?;
    hand_over(data, pair.meta, agreed, pair.resolve_conflicts).map_err(|error| {
        log(Event::ReceiveFailed((&error).into()));
        Failure::Retry(ConnState::NetworkFailure)
    })
}

/// Gives the sockets back to the operating system's own interface.
fn hand_over(
    data: TcpStream,
    meta: TcpStream,
    agreed: Agreed,
    resolve_conflicts: ResolveConflicts,
) -> io::Result<Established> {
    socket::finish(&data, Initial::Data)?;
    socket::finish(&meta, Initial::Meta)?;
    Ok(Established {
        data: data.into_std()?,
        meta: meta.into_std()?,
        agreed,
        resolve_conflicts,
    })
}

/// Listens and connects until there are two connections that stay.
async fn find_peer(
    config: &Config,
    log: &mut (impl FnMut(Event) + Send),
) -> Result<Pair<TcpStream>, Failure> {
    let listener = socket::listen(config).map_err(|event| {
        log(event);
        Failure::Fatal
    })?;
    let mut pairing = Pairing::default();
    let mut next = Next::Connect;
    loop {
        next = match next {
            Next::Connect => connect_or_accept(config, &listener, &mut pairing, log).await?,
            Next::Accept => accept(config, &listener, &mut pairing, log).await?,
            Next::Settle => {
                sleep(config.settle_time()).await;
                match pairing.settled(socket::is_alive) {
                    Ok(pair) => return Ok(pair),
                    Err((rest, next)) => {
                        pairing = rest;
                        next
                    }
                }
            }
        };
    }
}

/// Tries to reach the peer. A peer that comes by itself meanwhile goes first: against one whose
/// address does not answer, the own attempt would only time out.
async fn connect_or_accept(
    config: &Config,
    listener: &TcpListener,
    pairing: &mut Pairing<TcpStream>,
    log: &mut (impl FnMut(Event) + Send),
) -> Result<Next, Failure> {
    let outgoing = timeout(config.connect_int, socket::connect(config));
    let connected = tokio::select! {
        biased;
        connected = outgoing => connected,
        incoming = listener.accept() => return take_in(config, pairing, incoming, log).await,
    };
    let mut stream = match connected {
        Ok(Ok(stream)) => stream,
        Ok(Err(socket::ConnectError::Unreachable)) | Err(_) => {
            return Ok(pairing.not_connected());
        }
        Ok(Err(socket::ConnectError::Retry(event))) => {
            log(event);
            return Ok(pairing.not_connected());
        }
        Ok(Err(socket::ConnectError::Fatal(event))) => {
            log(event);
            return Err(Failure::Fatal);
        }
    };
    let hello = initial_packet(pairing.wanted());
    Ok(match stream.write_all(&hello).await {
        Ok(()) => pairing.connected(stream),
        // The peer is gone already.
        Err(_) => pairing.not_connected(),
    })
}

/// Waits for the peer to reach us.
async fn accept(
    config: &Config,
    listener: &TcpListener,
    pairing: &mut Pairing<TcpStream>,
    log: &mut (impl FnMut(Event) + Send),
) -> Result<Next, Failure> {
    match timeout(config.accept_time(coin()), listener.accept()).await {
        Ok(incoming) => take_in(config, pairing, incoming, log).await,
        Err(_) => Ok(pairing.not_accepted()),
    }
}

/// Asks an incoming connection what it is.
async fn take_in(
    config: &Config,
    pairing: &mut Pairing<TcpStream>,
    incoming: io::Result<(TcpStream, SocketAddr)>,
    log: &mut (impl FnMut(Event) + Send),
) -> Result<Next, Failure> {
    let (mut stream, _) = incoming.map_err(|error| {
        log(Event::SocketFailed("accept", (&error).into()));
        Failure::Retry(ConnState::NetworkFailure)
    })?;
    let initial = timeout(config.patience(), read_initial(&mut stream)).await;
    pairing.drop_dead(socket::is_alive);
    let introduced = match initial {
        Ok(Some(initial)) => Some((stream, initial)),
        Ok(None) | Err(_) => None,
    };
    let (event, next) = pairing.accepted(introduced, coin());
    event.into_iter().for_each(log);
    Ok(next)
}

async fn read_initial(stream: &mut TcpStream) -> Option<Initial> {
    let mut header = [0; 8];
    stream.read_exact(&mut header).await.ok()?;
    Initial::from_header(RawHeader::decode(Agreed::HANDSHAKE, &header).ok()?)
}

fn initial_packet(initial: Initial) -> Vec<u8> {
    encode(Agreed::HANDSHAKE, initial.body())
}

/// The bytes of a packet of the establishment: these fit every header and belong to every
/// version.
fn encode(agreed: Agreed, body: drbd_wire::Body) -> Vec<u8> {
    let packet = Packet {
        volume: drbd_types::VolumeNr(0),
        body,
    };
    let mut bytes = Vec::new();
    Codec::new(agreed)
        .encode(&packet, &Digest::EMPTY, &mut bytes)
        .expect("packets of the establishment are always agreed and short");
    bytes
}

/// Fills an array from the system's random source.
fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn coin() -> Coin {
    // Any bit will do where the random source is missing: only timing depends on it.
    match random() {
        Ok([byte]) if byte % 2 == 0 => Coin::Heads,
        _ => Coin::Tails,
    }
}

#[cfg(test)]
mod tests;
