//! Features and authentication on the data socket (spec 50 sections 4.1 and 4.2).

use std::io::{self, ErrorKind};

use drbd_types::ConnState;
use drbd_wire::{Agreed, Body, Codec, Command, ConnectionFeatures, Header, RawHeader};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::auth::{Auth, CHALLENGE};
use super::event::{ErrorCode, Event, Failure};
use super::{Config, encode, random};

/// What our announcement and the peer's amount to.
pub fn agree(config: &Config, peer: ConnectionFeatures) -> Result<Agreed, Event> {
    let own = config.versions;
    match own.agree(peer.range()) {
        Some(version) => Ok(Agreed {
            version,
            features: config.features & peer.features,
        }),
        None => Err(Event::IncompatibleDialects { own, peer }),
    }
}

/// The conversation with a peer whose sockets are up.
pub(super) struct Handshake<'a, L> {
    config: &'a Config,
    data: &'a mut TcpStream,
    log: L,
}

impl<'a, L: FnMut(Event) + Send> Handshake<'a, L> {
    pub(super) fn new(config: &'a Config, data: &'a mut TcpStream, log: L) -> Self {
        Self { config, data, log }
    }

    /// Agrees on version and features, then authenticates.
    pub(super) async fn run(mut self) -> Result<Agreed, Failure> {
        let result = self.converse().await;
        if result == Err(Failure::Fatal) {
            (self.log)(Event::DiscardingConfiguration);
        }
        result
    }

    async fn converse(&mut self) -> Result<Agreed, Failure> {
        let agreed = self.features().await?;
        (self.log)(Event::Agreed(agreed.version));
        (self.log)(Event::FeaturesEnabled(agreed.features));
        if let Some(auth) = &self.config.auth {
            let proved = self.authenticate(agreed, auth).await;
            match proved {
                Ok(()) => {}
                Err(Failure::Fatal) => (self.log)(Event::AuthenticationFailed),
                Err(Failure::Retry(_)) => (self.log)(Event::AuthenticationRetry),
            }
            proved?;
        }
        Ok(agreed)
    }

    async fn features(&mut self) -> Result<Agreed, Failure> {
        let own = ConnectionFeatures::new(self.config.versions, self.config.features);
        self.send(Agreed::HANDSHAKE, Body::ConnectionFeatures(own))
            .await?;
        let header = self.receive_header(Agreed::HANDSHAKE).await?;
        let command = Command::ConnectionFeatures;
        if header.code != command.code() {
            return Err(self.fatal(Event::Expected {
                command,
                code: header.code,
            }));
        }
        let size = command.fixed_size(Agreed::HANDSHAKE);
        if header.length as usize != size {
            return Err(self.fatal(Event::FeaturesLength(header.length)));
        }
        let bytes = self.receive(size).await?;
        let header = Header {
            volume: header.volume,
            command,
            length: header.length,
        };
        match Codec::HANDSHAKE.decode_body(&header, &bytes) {
            Ok((packet, _)) => match packet.body {
                Body::ConnectionFeatures(peer) => {
                    agree(self.config, peer).map_err(|event| self.fatal(event))
                }
                _ => Err(self.fatal(Event::FeaturesLength(header.length))),
            },
            Err(error) => Err(self.retry(Event::BadHeader(error), ConnState::NetworkFailure)),
        }
    }

    async fn authenticate(&mut self, agreed: Agreed, auth: &Auth) -> Result<(), Failure> {
        let own: [u8; CHALLENGE] =
            random().map_err(|error| self.fatal(Event::SocketFailed("random", (&error).into())))?;
        self.send(agreed, Body::AuthChallenge(own.to_vec())).await?;
        let header = self.receive_header(agreed).await?;
        if header.code != Command::AuthChallenge.code() {
            return Err(self.fatal(Event::Expected {
                command: Command::AuthChallenge,
                code: header.code,
            }));
        }
        let peer = self.receive_challenge(header).await?;
        let response = auth
            .respond(&own, &peer)
            .map_err(|event| self.fatal(event))?;
        self.send(agreed, Body::AuthResponse(response)).await?;
        let response = self.receive_response(agreed, auth).await?;
        if !auth.proves(&own, &response) {
            return Err(Failure::Fatal);
        }
        (self.log)(Event::PeerAuthenticated {
            bytes: response.len(),
        });
        Ok(())
    }

    async fn receive_challenge(&mut self, header: RawHeader) -> Result<Vec<u8>, Failure> {
        let length = header.length as usize;
        if length > super::auth::CHALLENGE_MAX {
            return Err(self.fatal(Event::ChallengeTooBig));
        }
        if length < CHALLENGE {
            return Err(self.fatal(Event::ChallengeTooSmall));
        }
        self.receive(length).await
    }

    async fn receive_response(&mut self, agreed: Agreed, auth: &Auth) -> Result<Vec<u8>, Failure> {
        let header = self.receive_header(agreed).await?;
        let command = Command::AuthResponse;
        if header.code != command.code() {
            let event = Event::Expected {
                command,
                code: header.code,
            };
            return Err(self.retry(event, ConnState::NetworkFailure));
        }
        if header.length as usize != auth.alg.digest_size() {
            return Err(self.retry(Event::ResponseSize, ConnState::NetworkFailure));
        }
        self.receive(auth.alg.digest_size()).await
    }

    async fn send(&mut self, agreed: Agreed, body: Body) -> Result<(), Failure> {
        let bytes = encode(agreed, body);
        match timeout(self.config.patience(), self.data.write_all(&bytes)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                let event = Event::SendFailed((&error).into());
                Err(self.retry(event, ConnState::BrokenPipe))
            }
            Err(_) => Err(self.retry(Event::SendFailed(timed_out()), ConnState::BrokenPipe)),
        }
    }

    async fn receive_header(&mut self, agreed: Agreed) -> Result<RawHeader, Failure> {
        let bytes = self.receive(agreed.header_size()).await?;
        RawHeader::decode(agreed, &bytes)
            .map_err(|error| self.retry(Event::BadHeader(error), ConnState::NetworkFailure))
    }

    /// Reads exactly so many bytes: what comes behind them is not ours.
    async fn receive(&mut self, size: usize) -> Result<Vec<u8>, Failure> {
        let mut bytes = vec![0; size];
        let event = match timeout(self.config.patience(), self.data.read_exact(&mut bytes)).await {
            Ok(Ok(_)) => return Ok(bytes),
            Ok(Err(error)) => receive_error(&error),
            Err(_) => Event::ReceiveFailed(timed_out()),
        };
        (self.log)(event);
        Err(self.retry(Event::ShortRead(size), ConnState::BrokenPipe))
    }

    fn fatal(&mut self, event: Event) -> Failure {
        (self.log)(event);
        Failure::Fatal
    }

    fn retry(&mut self, event: Event, cause: ConnState) -> Failure {
        (self.log)(event);
        Failure::Retry(cause)
    }
}

fn receive_error(error: &io::Error) -> Event {
    match error.kind() {
        ErrorKind::UnexpectedEof => Event::SockShutDown,
        ErrorKind::ConnectionReset => Event::SockReset,
        _ => Event::ReceiveFailed(error.into()),
    }
}

/// What a socket with a timeout returns in the kernel.
fn timed_out() -> ErrorCode {
    ErrorCode(-rustix::io::Errno::AGAIN.raw_os_error())
}
