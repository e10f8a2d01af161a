//! A packet as the engine sees it: no header, no payload bytes (spec 50 sections 5 and 6).

use alloc::vec::Vec;
use drbd_types::{Sector, State, StateMask, StateOutcome, Uuid, VolumeNr};

use crate::fields::{flag_fields, newtype_fields, wire_struct};
use crate::params::{ProtocolParams, ReportSizes, ReportUuids, SyncParam};
use crate::table::Command;
use crate::units::{BarrierId, BlockId, ByteLen, Digest, SeqNum};
use crate::version::{Features, ProtocolVersion, VersionRange};

/// One packet without its payload bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packet {
    /// The volume; 0 for packets about the whole connection, and always before version 100.
    pub volume: VolumeNr,
    /// What it says.
    pub body: Body,
}

/// What a packet says. Variants are in the order of the packet codes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Body {
    /// P_DATA: a mirrored write; its data follows.
    Data(DataHeader),
    /// P_DATA_REPLY: answer to [`Body::DataRequest`]; the data follows.
    DataReply(ReplyHeader),
    /// P_RS_DATA_REPLY: answer to a resync request; the data follows.
    RsDataReply(ReplyHeader),
    /// P_BARRIER: end of an epoch.
    Barrier(BarrierId),
    /// P_BITMAP: plain words of the bitmap, bit 0 of the first word is the lowest block.
    Bitmap(Vec<u64>),
    /// P_UNPLUG_REMOTE: hint to start I/O now.
    UnplugRemote,
    /// P_DATA_REQUEST: a read.
    DataRequest(BlockRequest),
    /// P_RS_DATA_REQUEST: the resync target wants a block.
    RsDataRequest(BlockRequest),
    /// P_SYNC_PARAM or P_SYNC_PARAM89, whichever the version has.
    SyncParam(SyncParam),
    /// P_PROTOCOL.
    Protocol(ProtocolParams),
    /// P_UUIDS.
    Uuids(ReportUuids),
    /// P_SIZES.
    Sizes(ReportSizes),
    /// P_STATE.
    State(StateWord),
    /// P_SYNC_UUID: the resync starts, under this generation.
    SyncUuid(Uuid),
    /// P_AUTH_CHALLENGE.
    AuthChallenge(Vec<u8>),
    /// P_AUTH_RESPONSE.
    AuthResponse(Vec<u8>),
    /// P_STATE_CHG_REQ.
    StateChgReq(StateChange),
    /// P_PING.
    Ping,
    /// P_PING_ACK.
    PingAck,
    /// P_RECV_ACK: received (protocol B).
    RecvAck(BlockAck),
    /// P_WRITE_ACK: written (protocol C).
    WriteAck(BlockAck),
    /// P_RS_WRITE_ACK: written and in sync now.
    RsWriteAck(BlockAck),
    /// P_SUPERSEDED: a concurrent write of the peer won.
    Superseded(BlockAck),
    /// P_NEG_ACK: writing failed.
    NegAck(BlockAck),
    /// P_NEG_DREPLY: reading failed.
    NegDReply(BlockAck),
    /// P_NEG_RS_DREPLY: reading for a resync or verify failed.
    NegRsDReply(BlockAck),
    /// P_BARRIER_ACK: the epoch is stable.
    BarrierAck(BarrierAck),
    /// P_STATE_CHG_REPLY.
    StateChgReply(ReplyCode),
    /// P_OV_REQUEST: online verify asks for a digest.
    OvRequest(BlockRequest),
    /// P_OV_REPLY: the digest.
    OvReply {
        /// Which block.
        block: BlockRequest,
        /// Digest of its data; all zero bytes after a read error.
        digest: Digest,
    },
    /// P_OV_RESULT: [`BlockId::IN_SYNC`] or [`BlockId::OUT_OF_SYNC`].
    OvResult(BlockAck),
    /// P_CSUM_RS_REQUEST: resync request with the digest of what the target has.
    CsumRsRequest {
        /// Which block.
        block: BlockRequest,
        /// Digest of the target's data.
        digest: Digest,
    },
    /// P_RS_IS_IN_SYNC: the digests are equal. Its block id is garbage.
    RsIsInSync(BlockAck),
    /// P_COMPRESSED_BITMAP.
    CompressedBitmap(CompressedBitmap),
    /// P_DELAY_PROBE: sent by 8.3.8 only, to be ignored.
    DelayProbe(DelayProbe),
    /// P_OUT_OF_SYNC: this block is not mirrored.
    OutOfSync(BlockDesc),
    /// P_RS_CANCEL: the resync request will not be served.
    RsCancel(BlockAck),
    /// P_CONN_ST_CHG_REQ: as StateChgReq, about the connection.
    ConnStateChgReq(StateChange),
    /// P_CONN_ST_CHG_REPLY.
    ConnStateChgReply(ReplyCode),
    /// P_RETRY_WRITE: a concurrent write of the peer goes first.
    RetryWrite(BlockAck),
    /// P_PROTOCOL_UPDATE.
    ProtocolUpdate(ProtocolParams),
    /// P_TRIM: discard; `size` is the length of the range, nothing follows.
    Trim(DataHeader),
    /// P_RS_THIN_REQ: as RsDataRequest, and "all zero" may be answered by RsDeallocated.
    RsThinRequest(BlockRequest),
    /// P_RS_DEALLOCATED: the block is all zero.
    RsDeallocated(BlockDesc),
    /// P_WSAME: write one block over a range; the block follows.
    WriteSame {
        /// Its `size` is the length of the range.
        range: DataHeader,
        /// Length of the one block.
        block: ByteLen,
    },
    /// P_ZEROES: write zeroes; `size` is the length of the range, nothing follows.
    Zeroes(DataHeader),
    /// P_INITIAL_META: this is the meta socket.
    InitialMeta,
    /// P_INITIAL_DATA: this is the data socket.
    InitialData,
    /// P_CONNECTION_FEATURES.
    ConnectionFeatures(ConnectionFeatures),
}

impl Body {
    /// Bytes of payload that follow this packet on the socket.
    pub const fn payload_size(&self) -> ByteLen {
        match self {
            Self::Data(header) => header.size,
            Self::DataReply(header) | Self::RsDataReply(header) => header.size,
            Self::WriteSame { block, .. } => *block,
            _ => ByteLen(0),
        }
    }

    /// The command that announces this body at that version.
    pub const fn command(&self, version: ProtocolVersion) -> Command {
        Command::of(self, version)
    }
}

wire_struct! {
    /// p_block_ack: answers name the block, the request and their own place in the sequence.
    pub struct BlockAck {
        /// First sector of the block.
        pub sector: Sector,
        /// Copied from the request.
        pub block_id: BlockId,
        /// Length of the block.
        pub size: ByteLen,
        /// Sequence number of this packet.
        pub seq: SeqNum,
    }
}

wire_struct! {
    /// p_block_req: asks for a block. The last four bytes are garbage in 8.4.
    pub struct BlockRequest {
        /// First sector of the block.
        pub sector: Sector,
        /// Handle to be copied into the answer.
        pub block_id: BlockId,
        /// Length of the block.
        pub size: ByteLen,
    }
    pad 4
}

wire_struct! {
    /// p_block_desc: names a block. The last four bytes are garbage in 8.4.
    pub struct BlockDesc {
        /// First sector.
        pub sector: Sector,
        /// Length.
        pub size: ByteLen,
    }
    pad 4
}

wire_struct! {
    /// p_barrier_ack: which epoch, and how many writes it had.
    pub struct BarrierAck {
        /// Copied from the barrier.
        pub barrier: BarrierId,
        /// Number of writes in the epoch.
        pub set_size: u32,
    }
}

wire_struct! {
    /// p_req_state: a mask of bits and their new values, in the sender's view.
    pub struct StateChange {
        /// Bits to change.
        pub mask: u32,
        /// What they are to become.
        pub value: u32,
    }
}

wire_struct! {
    /// p_delay_probe93.
    pub struct DelayProbe {
        /// Number of the probe.
        pub seq: u32,
        /// Offset in microseconds.
        pub offset_us: u32,
    }
}

wire_struct! {
    /// p_connection_features: what the sender is able to speak.
    pub struct ConnectionFeatures {
        /// Oldest version.
        pub protocol_min: u32,
        /// Feature flags.
        pub features: Features,
        /// Newest version; 8.0 sends 0 and means `protocol_min`.
        pub protocol_max: u32,
    }
    pad 60
}

impl ConnectionFeatures {
    /// The announcement of a node that speaks these versions.
    pub const fn new(range: VersionRange, features: Features) -> Self {
        Self {
            protocol_min: range.min.0,
            features,
            protocol_max: range.max.0,
        }
    }

    /// The versions that the sender speaks.
    pub const fn range(&self) -> VersionRange {
        let max = match self.protocol_max {
            0 => self.protocol_min,
            max => max,
        };
        VersionRange {
            min: ProtocolVersion(self.protocol_min),
            max: ProtocolVersion(max),
        }
    }
}

/// p_data of writes: 24 bytes; in P_TRIM, P_ZEROES and P_WSAME the size follows, in P_DATA it
/// is what is left of the packet behind structure and digest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DataHeader {
    /// First sector.
    pub sector: Sector,
    /// Handle to be copied into the acknowledgement.
    pub block_id: BlockId,
    /// Place in the sequence of the volume.
    pub seq: SeqNum,
    /// How to write.
    pub flags: DataFlags,
    /// Length of the range; for P_DATA that is the payload that follows.
    pub size: ByteLen,
}

/// p_data of replies: 24 bytes, of which the last eight are 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplyHeader {
    /// First sector.
    pub sector: Sector,
    /// Copied from the request.
    pub block_id: BlockId,
    /// Length of the payload that follows.
    pub size: ByteLen,
}

bitflags::bitflags! {
    /// dp_flags of writes (spec 50 section 6.1).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
    pub struct DataFlags: u32 {
        /// Obsolete barrier request of 8.0 to 8.2: treat as flush and FUA.
        const HARDBARRIER = 1;
        /// Synchronous write; before version 95 the only flag in use.
        const RW_SYNC = 2;
        /// The write may clear the bitmap bit on both sides.
        const MAY_SET_IN_SYNC = 4;
        /// Unplug hint.
        const UNPLUG = 8;
        /// Force unit access.
        const FUA = 16;
        /// Flush before.
        const FLUSH = 32;
        /// Discard.
        const DISCARD = 64;
        /// Answer with P_RECV_ACK.
        const SEND_RECEIVE_ACK = 128;
        /// Answer with P_WRITE_ACK or P_RS_WRITE_ACK.
        const SEND_WRITE_ACK = 256;
        /// Write same.
        const WSAME = 512;
        /// Write zeroes; together with DISCARD the range may be unmapped.
        const ZEROES = 1024;
    }
}
flag_fields!(DataFlags(u32));

/// The state word of P_STATE, in the sender's view.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StateWord(pub u32);

impl StateWord {
    /// The state; `None` if a field holds a code that no state has.
    pub fn unpack(self) -> Option<State> {
        State::unpack(self.0)
    }
}

impl From<State> for StateWord {
    fn from(state: State) -> Self {
        Self(state.pack())
    }
}

impl StateChange {
    /// The requested change; `None` if a field holds a code that no state has.
    pub fn unpack(self) -> Option<StateMask> {
        StateMask::unpack(self.mask, self.value)
    }
}

impl From<StateMask> for StateChange {
    fn from(change: StateMask) -> Self {
        let (mask, value) = change.pack();
        Self { mask, value }
    }
}

/// The answer to a requested state change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplyCode(pub i32);

impl ReplyCode {
    /// What it means; `None` for numbers that no release has.
    pub const fn outcome(self) -> Option<StateOutcome> {
        StateOutcome::from_code(self.0)
    }
}

impl From<StateOutcome> for ReplyCode {
    fn from(outcome: StateOutcome) -> Self {
        Self(outcome.code())
    }
}

newtype_fields!(StateWord(u32), ReplyCode(i32));

/// P_COMPRESSED_BITMAP: one byte about the encoding, then the code (spec 50 section 7.3).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CompressedBitmap {
    /// Code number, pad bits and polarity of the first run.
    pub encoding: u8,
    /// The code bytes.
    pub code: Vec<u8>,
}
