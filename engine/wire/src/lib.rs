//! DRBD's wire protocol, versions 86 to 101: packets to bytes and back (spec 50).
//!
//! * [`table`]: every packet in one table: code, names, socket, sizes, since when.
//! * [`version`]: protocol versions, feature flags, and what two nodes agreed on.
//! * [`units`]: block handles, sequence numbers, barrier numbers, digests, algorithm names.
//! * [`packet`]: [`Packet`] = volume + [`Body`], and the fixed structures.
//! * [`params`]: the structures of the parameter exchange.
//! * [`header`]: the three header forms.
//! * [`codec`]: [`Codec`] turns packets into bytes and bytes into packets.
//! * [`bitmap_code`]: the run length code of the bitmap exchange.
//!
//! Data flows in two steps in each direction, so that payload bytes are never copied here.
//! Sending: [`Codec::encode`] appends header, structure and digest to a buffer and says how many
//! payload bytes have to follow. Receiving: read [`Codec::header_size`] bytes,
//! [`Codec::decode_header`]; read [`Codec::body_size`] bytes, [`Codec::decode_body`]; what is
//! left of the packet, [`Body::payload_size`], is payload for the caller to read where it wants.
//!
//! `no_std`: nothing here can open a socket or read a clock. Every decoder takes hostile bytes:
//! it returns an error, never panics, and allocates at most one packet's worth of memory.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod bitmap_code;
pub mod codec;
mod error;
mod fields;
pub mod header;
pub mod packet;
pub mod params;
pub mod table;
pub mod units;
pub mod version;
mod wire;

pub use codec::Codec;
pub use error::{DecodeError, EncodeError};
pub use header::{Header, HeaderForm, RawHeader};
pub use packet::{
    BarrierAck, BlockAck, BlockDesc, BlockRequest, Body, CompressedBitmap, ConnectionFeatures,
    DataFlags, DataHeader, DelayProbe, Packet, ReplyCode, ReplyHeader, StateChange, StateWord,
};
pub use params::{
    AfterSb, ConnFlags, ProtocolCodes, ProtocolParams, QueueLimits, ReportSizes, ReportUuids,
    SizesFlags, SyncController, SyncParam,
};
pub use table::{Command, Socket};
pub use units::{AlgName, BarrierId, BlockId, ByteLen, Digest, SeqNum};
pub use version::{Agreed, Features, ProtocolVersion, VersionRange};
