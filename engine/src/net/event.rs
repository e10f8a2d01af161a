//! What happens while a connection is made, with the kernel's log lines.

use std::fmt;

use drbd_types::ConnState;
use drbd_wire::{
    Command, ConnectionFeatures, DecodeError, Features, ProtocolVersion, VersionRange,
};

use super::pairing::Initial;

/// Severity of a log line, as the kernel logs it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// Needs attention.
    Error,
    /// Notable.
    Warning,
    /// Ordinary.
    Info,
}

/// A negative error number, as the kernel prints it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ErrorCode(pub i32);

impl From<&std::io::Error> for ErrorCode {
    fn from(error: &std::io::Error) -> Self {
        let errno = error
            .raw_os_error()
            .unwrap_or(rustix::io::Errno::IO.raw_os_error());
        Self(-errno)
    }
}

/// One line for the log of the resource. `Display` gives the kernel's text without prefix
/// (spec 50 sections 2 to 4; the texts about authentication were asked from a kernel).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The listening socket cannot have its address.
    BindBeforeListen(ErrorCode),
    /// An outgoing socket cannot have the local address.
    BindBeforeConnect(ErrorCode),
    /// No new socket, or listening failed.
    SocketFailed(&'static str, ErrorCode),
    /// The peer could not be reached for an unusual reason.
    ConnectFailed(ErrorCode),
    /// Both nodes connected at the same time.
    Crossed(Initial),
    /// An incoming connection did not say what it is.
    BadInitialPacket,
    /// Reading ended early.
    SockShutDown,
    /// The peer reset the connection.
    SockReset,
    /// Reading failed, or took too long (EAGAIN).
    ReceiveFailed(ErrorCode),
    /// Sending failed.
    SendFailed(ErrorCode),
    /// So many bytes had been expected.
    ShortRead(usize),
    /// Not a header.
    BadHeader(DecodeError),
    /// Another packet was due.
    Expected {
        /// The packet that was due.
        command: Command,
        /// What came.
        code: u16,
    },
    /// Feature packets have 72 bytes.
    FeaturesLength(u32),
    /// No version is spoken by both.
    IncompatibleDialects {
        /// Ours.
        own: VersionRange,
        /// The peer's.
        peer: ConnectionFeatures,
    },
    /// The version that will be used.
    Agreed(ProtocolVersion),
    /// The features that will be used.
    FeaturesEnabled(Features),
    /// A challenge must have at least 64 bytes.
    ChallengeTooSmall,
    /// A challenge must have at most 128 bytes.
    ChallengeTooBig,
    /// Somebody plays our own challenge back.
    SameChallenge,
    /// The response does not have the size of the digest.
    ResponseSize,
    /// The peer knows the secret.
    PeerAuthenticated {
        /// Size of the digest.
        bytes: usize,
    },
    /// The peer does not know the secret, or will not prove it.
    AuthenticationFailed,
    /// The proof was disturbed.
    AuthenticationRetry,
    /// The connection will not be tried again.
    DiscardingConfiguration,
}

impl Event {
    /// How the kernel rates it.
    pub const fn severity(&self) -> Severity {
        match self {
            Self::Agreed(_)
            | Self::FeaturesEnabled(_)
            | Self::PeerAuthenticated { .. }
            | Self::SockShutDown
            | Self::SockReset => Severity::Info,
            Self::Crossed(_)
            | Self::BadInitialPacket
            | Self::ShortRead(_)
            | Self::DiscardingConfiguration => Severity::Warning,
            _ => Severity::Error,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BindBeforeListen(e) => write!(f, "bind before listen failed, err = {e}"),
            Self::BindBeforeConnect(e) => write!(f, "bind before connect failed, err = {e}"),
            Self::SocketFailed(what, e) => write!(f, "{what} failed, err = {e}"),
            Self::ConnectFailed(e) => write!(f, "connect failed, err = {e}"),
            Self::Crossed(initial) => write!(f, "initial packet {} crossed", initial.letter()),
            Self::BadInitialPacket => f.write_str("Error receiving initial packet"),
            Self::SockShutDown => f.write_str("sock was shut down by peer"),
            Self::SockReset => f.write_str("sock was reset by peer"),
            Self::ReceiveFailed(e) => write!(f, "sock_recvmsg returned {e}"),
            Self::SendFailed(e) => write!(f, "sock_sendmsg returned {e}"),
            Self::ShortRead(size) => write!(f, "short read (expected size {size})"),
            Self::BadHeader(error) => error.fmt(f),
            Self::Expected { command, code } => write!(
                f,
                "expected {} packet, received: {} (0x{code:04x})",
                command.log_name(),
                Command::log_name_of(*code),
            ),
            Self::FeaturesLength(received) => write!(
                f,
                "expected ConnectionFeatures length: {}, received: {received}",
                Command::ConnectionFeatures.fixed_size(drbd_wire::Agreed::HANDSHAKE),
            ),
            Self::IncompatibleDialects { own, peer } => write!(
                f,
                "incompatible DRBD dialects: I support {}-{}, peer supports {}-{}",
                own.min,
                own.max,
                peer.range().min,
                peer.range().max,
            ),
            Self::Agreed(version) => {
                write!(
                    f,
                    "Handshake successful: Agreed network protocol version {version}"
                )
            }
            Self::FeaturesEnabled(features) => display_features(*features, f),
            Self::ChallengeTooSmall => f.write_str("AuthChallenge payload too small."),
            Self::ChallengeTooBig => f.write_str("expected AuthChallenge payload too big."),
            Self::SameChallenge => f.write_str("Peer presented the same challenge!"),
            Self::ResponseSize => f.write_str("expected AuthResponse payload of wrong size"),
            Self::PeerAuthenticated { bytes } => {
                write!(f, "Peer authenticated using {bytes} bytes HMAC")
            }
            Self::AuthenticationFailed => f.write_str("Authentication of peer failed"),
            Self::AuthenticationRetry => {
                f.write_str("Authentication of peer failed, trying again.")
            }
            Self::DiscardingConfiguration => f.write_str("Discarding network configuration."),
        }
    }
}

fn display_features(features: Features, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(
        f,
        "Feature flags enabled on protocol level: 0x{:x}",
        features.bits()
    )?;
    if features.is_empty() {
        f.write_str(" none")?;
    }
    for (name, _) in features.iter_names() {
        write!(f, " {name}")?;
    }
    f.write_str(".")
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How an attempt to connect ended without a connection. Its reasons went to the log as events.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Failure {
    /// Try again after [`super::RETRY_PAUSE`].
    #[error("connection lost while it was established ({0})")]
    Retry(
        /// The state that the connection passes through: BrokenPipe or NetworkFailure.
        ConnState,
    ),
    /// Trying again would end the same way: go StandAlone.
    #[error("connection refused")]
    Fatal,
}
