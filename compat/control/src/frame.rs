//! The three headers in front of the attributes (spec 30 section 4.1).

use drbd_types::Minor;
use thiserror::Error;

/// Bytes of all three headers.
pub const HEADERS: usize = 28;
/// The longest message that either side accepts.
pub const MAX_MESSAGE: usize = 64 * 1024;
/// Version of the family.
pub const VERSION: u8 = 1;
/// A header minor that means "no device".
pub const NO_MINOR: u32 = u32::MAX;

/// Message type of an error or acknowledgement.
pub const NLMSG_ERROR: u16 = 2;
/// Message type of the end of a list.
pub const NLMSG_DONE: u16 = 3;

/// The number under which the family is known on a carrier. A kernel assigns it at load time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct FamilyId(pub u16);

impl FamilyId {
    /// On the engine's own socket: fixed ("DR" read as a big-endian number would exceed the range
    /// that kernels use for families as well, which start at 16 and stay below 1024).
    pub const ENGINE: Self = Self(0x4452);
}

bitflags::bitflags! {
    /// `nlmsg_flags`
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
    pub struct MessageFlags: u16 {
        /// From client to engine.
        const REQUEST = 0x0001;
        /// One of a list that ends with NLMSG_DONE.
        const MULTI = 0x0002;
        /// On the engine's own socket: let this connection also receive the notices of the group
        /// `events`, from before the answer on. A kernel has a socket option for it.
        const ECHO = 0x0008;
        /// Ask for the whole list.
        const ROOT = 0x0100;
        /// Ask for all that match.
        const MATCH = 0x0200;
    }
}

impl MessageFlags {
    /// Asks for a list.
    pub const DUMP: Self = Self::ROOT.union(Self::MATCH);
}

/// The outer header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outer {
    /// Family or one of the control types.
    pub kind: u16,
    /// Flags.
    pub flags: MessageFlags,
    /// The client's number for the request, or the counter of a stream of notices.
    pub seq: u32,
    /// The client's port; 0 in notices.
    pub port: u32,
}

/// The two inner headers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Inner {
    /// The operation.
    pub op: u8,
    /// The device.
    pub minor: Option<Minor>,
    /// Flags of a request, return code of a reply.
    pub word: u32,
}

/// The bytes are no message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum FrameError {
    /// Shorter than its headers, or than the length it claims.
    #[error("truncated message")]
    Truncated,
    /// Neither of the family nor of a control type.
    #[error("message of an unknown type {0}")]
    UnknownType(u16),
}

/// Splits the outer header off; the rest is cut to the length that the header claims.
pub fn split_outer(bytes: &[u8]) -> Result<(Outer, &[u8]), FrameError> {
    let (header, _) = bytes
        .split_first_chunk::<16>()
        .ok_or(FrameError::Truncated)?;
    let word = |at: usize| {
        u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let half = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
    let length = usize::try_from(word(0)).map_err(|_| FrameError::Truncated)?;
    let body = bytes.get(16..length).ok_or(FrameError::Truncated)?;
    let outer = Outer {
        kind: half(4),
        flags: MessageFlags::from_bits_retain(half(6)),
        seq: word(8),
        port: word(12),
    };
    Ok((outer, body))
}

/// Splits the inner headers off.
pub fn split_inner(body: &[u8]) -> Result<(Inner, &[u8]), FrameError> {
    let (header, attributes) = body
        .split_first_chunk::<12>()
        .ok_or(FrameError::Truncated)?;
    let word = |at: usize| {
        u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let inner = Inner {
        op: header[0],
        minor: Some(word(4)).filter(|n| *n != NO_MINOR).map(Minor),
        word: word(8),
    };
    Ok((inner, attributes))
}

/// Builds a message: headers, then what `fill` appends.
pub fn build(outer: Outer, inner: Inner, fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    finish(outer, |out| {
        out.extend_from_slice(&[inner.op, VERSION, 0, 0]);
        out.extend_from_slice(&inner.minor.map_or(NO_MINOR, |minor| minor.0).to_ne_bytes());
        out.extend_from_slice(&inner.word.to_ne_bytes());
        fill(out);
    })
}

/// Builds a message without inner headers.
pub fn finish(outer: Outer, fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&outer.kind.to_ne_bytes());
    out.extend_from_slice(&outer.flags.bits().to_ne_bytes());
    out.extend_from_slice(&outer.seq.to_ne_bytes());
    out.extend_from_slice(&outer.port.to_ne_bytes());
    fill(&mut out);
    // Messages are bounded by the schema, far below 4 GiB.
    let length = u32::try_from(out.len()).unwrap_or(u32::MAX);
    out[..4].copy_from_slice(&length.to_ne_bytes());
    out
}
