//! What can be wrong with a packet. The texts are those of the kernel's log (spec 50 section 3;
//! those about lengths were asked from a kernel 8.4.11 node).

use alloc::format;
use alloc::string::String;

use drbd_types::ConnState;

use crate::table::{Command, Socket};
use crate::version::{Agreed, ProtocolVersion};

/// Why received bytes are not an acceptable packet. Every one of them ends the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecodeError {
    /// The header starts with something else than the magic of its form.
    #[error("Wrong magic value 0x{magic:08x} in protocol version {version}")]
    WrongMagic {
        /// The first four bytes.
        magic: u32,
        /// The agreed version.
        version: ProtocolVersion,
    },
    /// The last four bytes of a 16-byte header.
    #[error("Header padding is not zero")]
    HeaderPadding,
    /// A command that does not belong on this socket, or on any.
    #[error("Unexpected {} packet {} (0x{code:04x})", .socket.name(), Command::log_name_of(*.code))]
    UnexpectedCommand {
        /// Where it came in.
        socket: Socket,
        /// The number in the header.
        code: u16,
    },
    /// A data socket packet that is too short.
    #[error("{}: unexpected packet size, expected:{expected} received:{received}", .command.log_name())]
    UnexpectedSize {
        /// The packet.
        command: Command,
        /// Bytes of its fixed part.
        expected: usize,
        /// Bytes that the header announces.
        received: u32,
    },
    /// A data socket packet that is too long.
    #[error("No payload expected {} l:{length}", .command.log_name())]
    NoPayloadExpected {
        /// The packet.
        command: Command,
        /// Bytes that the header announces.
        length: u32,
    },
    /// A meta socket packet must have exactly its size.
    #[error("Wrong packet size on meta (c: {}, l: {length})", .command.code())]
    WrongMetaSize {
        /// The packet.
        command: Command,
        /// Bytes that the header announces.
        length: u32,
    },
    /// A variable part beyond what the packet can have.
    #[error("{}", too_long(*.command, *.limit, *.received))]
    TooLong {
        /// The packet.
        command: Command,
        /// The most bytes that it can have after the header.
        limit: usize,
        /// Bytes that the header announces.
        received: u32,
    },
    /// A compressed bitmap without code.
    #[error("ReportCBitmap packet too small (l:{length})")]
    BitmapTooSmall {
        /// Bytes that the header announces.
        length: u32,
    },
    /// A payload that is not made of whole sectors, or is larger than any version allows.
    #[error("error receiving {}, e: -5 l: {size}!", .command.log_name())]
    BadPayload {
        /// The packet.
        command: Command,
        /// Bytes of payload.
        size: u32,
    },
}

impl DecodeError {
    /// The state into which the connection falls because of this (spec 50 section 14.3).
    pub const fn consequence(&self, socket: Socket) -> ConnState {
        match (socket, self) {
            (Socket::Data, _) => ConnState::ProtocolError,
            (Socket::Meta, Self::UnexpectedCommand { .. }) => ConnState::Disconnecting,
            (Socket::Meta, _) => ConnState::NetworkFailure,
        }
    }
}

/// The kernel has lines of its own for two packets, and one for all others.
fn too_long(command: Command, limit: usize, received: u32) -> String {
    match command {
        Command::SyncParam | Command::SyncParam89 => {
            format!("SyncParam packet too long: received {received}, expected <= {limit} bytes")
        }
        Command::CompressedBitmap => "ReportCBitmap packet too large".into(),
        _ => {
            // It counts what follows the fixed part, whose size no agreement changes here.
            let fixed = command.fixed_size(Agreed::HANDSHAKE) as u32;
            let left = received.saturating_sub(fixed);
            format!("error receiving {}, e: -5 l: {left}!", command.log_name())
        }
    }
}

/// Why a packet cannot be sent: a mistake of the caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EncodeError {
    /// The peer would not understand it.
    #[error("{} is not part of what was agreed (version {version})", .command.name())]
    NotAgreed {
        /// The packet.
        command: Command,
        /// The agreed version.
        version: ProtocolVersion,
    },
    /// More bytes than a packet of this kind or header form can carry.
    #[error("{} with {length} bytes does not fit", .command.name())]
    TooLong {
        /// The packet.
        command: Command,
        /// Bytes after the header.
        length: u64,
    },
}
