//! Every packet: code, names, socket, layout, since when (spec 50 section 5). Encoder, decoder,
//! size checks, log texts and tests read this table; no other place knows these facts.

use crate::fields::Field;
use crate::packet::{
    BarrierAck, BlockAck, BlockDesc, BlockRequest, Body, ConnectionFeatures, DelayProbe, ReplyCode,
    StateChange, StateWord,
};
use crate::params::{ProtocolCodes, ReportUuids};
use crate::units::{AlgName, Digest};
use crate::version::{Agreed, Features, ProtocolVersion};
use crate::wire;
use drbd_types::Uuid;

/// The two TCP connections of a peer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Socket {
    /// Data and requests, in order.
    Data,
    /// Acknowledgements and pings.
    Meta,
}

impl Socket {
    /// As log lines name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Meta => "meta",
        }
    }
}

/// On which socket, and in which phase, a packet is welcome.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// Data socket.
    Data,
    /// Meta socket.
    Meta,
    /// Either.
    Both,
    /// Data socket, but only before the parameter exchange.
    Establishing,
    /// Defined, never sent, an error on receipt.
    Nowhere,
}

/// What both ends must have agreed on before a packet may be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Since {
    /// This version.
    Version(u32),
    /// These versions only.
    Versions(u32, u32),
    /// This feature.
    Feature(Features),
}

/// How the fixed part is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fixed {
    /// So many bytes.
    Bytes(usize),
    /// P_SYNC_PARAM89 grew at version 95.
    SyncParam89,
    /// P_SIZES grew with feature WRITE_SAME.
    Sizes,
}

/// What follows the fixed part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tail {
    /// Nothing.
    None,
    /// Digest if data-integrity-alg is set, then data.
    Data,
    /// A message digest.
    Digest,
    /// A NUL terminated name, since this version.
    NameSince(u32),
    /// Raw bytes or words up to the largest packet buffer.
    Raw,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The command.
    pub command: Command,
    /// As in the documentation.
    pub name: &'static str,
    /// As in log lines.
    pub log_name: &'static str,
    /// Where it may come in.
    pub place: Place,
    /// When it may be sent.
    pub since: Since,
    /// Size of the structure.
    pub fixed: Fixed,
    /// What follows.
    pub tail: Tail,
}

macro_rules! packets {
    ($($command:ident = $code:literal, $name:literal, $log_name:literal,
       $place:ident, $since:expr, $fixed:expr, $tail:expr;)*) => {
        /// The number in the header that says what a packet is.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u16)]
        pub enum Command {
            $(#[doc = $name] $command = $code,)*
        }

        impl Command {
            /// Every packet.
            pub const TABLE: &[Row] = &[$(*Self::$command.row(),)*];

            /// Its row in the table.
            pub const fn row(self) -> &'static Row {
                match self {
                    $(Self::$command => const {
                        &Row {
                            command: Self::$command,
                            name: $name,
                            log_name: $log_name,
                            place: Place::$place,
                            since: $since,
                            fixed: $fixed,
                            tail: $tail,
                        }
                    },)*
                }
            }

            /// The command with this number.
            pub const fn from_code(code: u16) -> Option<Self> {
                match code { $($code => Some(Self::$command),)* _ => None }
            }
        }
    };
}

const ALWAYS: Since = Since::Version(0);
const TRIM: Since = Since::Feature(Features::TRIM);
const THIN: Since = Since::Feature(Features::THIN_RESYNC);
const WSAME: Since = Since::Feature(Features::WRITE_SAME);
const WZEROES: Since = Since::Feature(Features::WRITE_ZEROES);

const EMPTY: Fixed = Fixed::Bytes(0);
const DATA: Fixed = Fixed::Bytes(wire::Write::SIZE);
const REPLY: Fixed = Fixed::Bytes(wire::Reply::SIZE);
const RANGE: Fixed = Fixed::Bytes(wire::Range::SIZE);
const REQUEST: Fixed = Fixed::Bytes(BlockRequest::SIZE);
const ACK: Fixed = Fixed::Bytes(BlockAck::SIZE);
const DESC: Fixed = Fixed::Bytes(BlockDesc::SIZE);
const BARRIER: Fixed = Fixed::Bytes(wire::Barrier::SIZE);
const BARRIER_ACK: Fixed = Fixed::Bytes(BarrierAck::SIZE);
const RATE: Fixed = Fixed::Bytes(4);
const PROTOCOL: Fixed = Fixed::Bytes(ProtocolCodes::SIZE);
const UUIDS: Fixed = Fixed::Bytes(ReportUuids::SIZE);
const STATE: Fixed = Fixed::Bytes(StateWord::SIZE);
const UUID: Fixed = Fixed::Bytes(Uuid::SIZE);
const CHANGE: Fixed = Fixed::Bytes(StateChange::SIZE);
const CODE: Fixed = Fixed::Bytes(ReplyCode::SIZE);
const PROBE: Fixed = Fixed::Bytes(DelayProbe::SIZE);
const ENCODING: Fixed = Fixed::Bytes(1);
const FEATURES: Fixed = Fixed::Bytes(ConnectionFeatures::SIZE);

#[rustfmt::skip]
packets! {
    Data            = 0x00, "P_DATA",             "Data",             Data, Since::Version(86), DATA, Tail::Data;
    DataReply       = 0x01, "P_DATA_REPLY",       "DataReply",        Data, Since::Version(86), REPLY, Tail::Data;
    RsDataReply     = 0x02, "P_RS_DATA_REPLY",    "RSDataReply",      Data, Since::Version(86), REPLY, Tail::Data;
    Barrier         = 0x03, "P_BARRIER",          "Barrier",          Data, Since::Version(86), BARRIER, Tail::None;
    Bitmap          = 0x04, "P_BITMAP",           "ReportBitMap",     Data, Since::Version(86), EMPTY, Tail::Raw;
    BecomeSyncTarget = 0x05, "P_BECOME_SYNC_TARGET", "BecomeSyncTarget", Nowhere, ALWAYS, EMPTY, Tail::None;
    BecomeSyncSource = 0x06, "P_BECOME_SYNC_SOURCE", "BecomeSyncSource", Nowhere, ALWAYS, EMPTY, Tail::None;
    UnplugRemote    = 0x07, "P_UNPLUG_REMOTE",    "UnplugRemote",     Data, Since::Version(86), EMPTY, Tail::None;
    DataRequest     = 0x08, "P_DATA_REQUEST",     "DataRequest",      Data, Since::Version(86), REQUEST, Tail::None;
    RsDataRequest   = 0x09, "P_RS_DATA_REQUEST",  "RSDataRequest",    Data, Since::Version(86), REQUEST, Tail::None;
    SyncParam       = 0x0a, "P_SYNC_PARAM",       "SyncParam",        Data, Since::Versions(86, 88), RATE, Tail::NameSince(88);
    Protocol        = 0x0b, "P_PROTOCOL",         "ReportProtocol",   Data, Since::Version(86), PROTOCOL, Tail::NameSince(87);
    Uuids           = 0x0c, "P_UUIDS",            "ReportUUIDs",      Data, Since::Version(86), UUIDS, Tail::None;
    Sizes           = 0x0d, "P_SIZES",            "ReportSizes",      Data, Since::Version(86), Fixed::Sizes, Tail::None;
    State           = 0x0e, "P_STATE",            "ReportState",      Data, Since::Version(86), STATE, Tail::None;
    SyncUuid        = 0x0f, "P_SYNC_UUID",        "ReportSyncUUID",   Data, Since::Version(86), UUID, Tail::None;
    AuthChallenge   = 0x10, "P_AUTH_CHALLENGE",   "AuthChallenge",    Establishing, Since::Version(86), EMPTY, Tail::Raw;
    AuthResponse    = 0x11, "P_AUTH_RESPONSE",    "AuthResponse",     Establishing, Since::Version(86), EMPTY, Tail::Raw;
    StateChgReq     = 0x12, "P_STATE_CHG_REQ",    "StateChgRequest",  Data, Since::Version(86), CHANGE, Tail::None;
    Ping            = 0x13, "P_PING",             "Ping",             Meta, Since::Version(86), EMPTY, Tail::None;
    PingAck         = 0x14, "P_PING_ACK",         "PingAck",          Meta, Since::Version(86), EMPTY, Tail::None;
    RecvAck         = 0x15, "P_RECV_ACK",         "RecvAck",          Meta, Since::Version(86), ACK, Tail::None;
    WriteAck        = 0x16, "P_WRITE_ACK",        "WriteAck",         Meta, Since::Version(86), ACK, Tail::None;
    RsWriteAck      = 0x17, "P_RS_WRITE_ACK",     "RSWriteAck",       Meta, Since::Version(86), ACK, Tail::None;
    Superseded      = 0x18, "P_SUPERSEDED",       "Superseded",       Meta, Since::Version(86), ACK, Tail::None;
    NegAck          = 0x19, "P_NEG_ACK",          "NegAck",           Meta, Since::Version(86), ACK, Tail::None;
    NegDReply       = 0x1a, "P_NEG_DREPLY",       "NegDReply",        Meta, Since::Version(86), ACK, Tail::None;
    NegRsDReply     = 0x1b, "P_NEG_RS_DREPLY",    "NegRSDReply",      Meta, Since::Version(86), ACK, Tail::None;
    BarrierAck      = 0x1c, "P_BARRIER_ACK",      "BarrierAck",       Meta, Since::Version(86), BARRIER_ACK, Tail::None;
    StateChgReply   = 0x1d, "P_STATE_CHG_REPLY",  "StateChgReply",    Meta, Since::Version(86), CODE, Tail::None;
    OvRequest       = 0x1e, "P_OV_REQUEST",       "OVRequest",        Data, Since::Version(88), REQUEST, Tail::None;
    OvReply         = 0x1f, "P_OV_REPLY",         "OVReply",          Data, Since::Version(88), REQUEST, Tail::Digest;
    OvResult        = 0x20, "P_OV_RESULT",        "OVResult",         Meta, Since::Version(88), ACK, Tail::None;
    CsumRsRequest   = 0x21, "P_CSUM_RS_REQUEST",  "CsumRSRequest",    Data, Since::Version(89), REQUEST, Tail::Digest;
    RsIsInSync      = 0x22, "P_RS_IS_IN_SYNC",    "CsumRSIsInSync",   Meta, Since::Version(89), ACK, Tail::None;
    SyncParam89     = 0x23, "P_SYNC_PARAM89",     "SyncParam89",      Data, Since::Version(89), Fixed::SyncParam89, Tail::None;
    CompressedBitmap = 0x24, "P_COMPRESSED_BITMAP", "CBitmap",        Data, Since::Version(90), ENCODING, Tail::Raw;
    DelayProbe      = 0x27, "P_DELAY_PROBE",      "DelayProbe",       Both, Since::Version(93), PROBE, Tail::None;
    OutOfSync       = 0x28, "P_OUT_OF_SYNC",      "OutOfSync",        Data, Since::Version(96), DESC, Tail::None;
    RsCancel        = 0x29, "P_RS_CANCEL",        "RSCancel",         Meta, Since::Version(96), ACK, Tail::None;
    ConnStateChgReq = 0x2a, "P_CONN_ST_CHG_REQ",  "conn_st_chg_req",  Data, Since::Version(100), CHANGE, Tail::None;
    ConnStateChgReply = 0x2b, "P_CONN_ST_CHG_REPLY", "conn_st_chg_reply", Meta, Since::Version(100), CODE, Tail::None;
    RetryWrite      = 0x2c, "P_RETRY_WRITE",      "retry_write",      Meta, Since::Version(100), ACK, Tail::None;
    ProtocolUpdate  = 0x2d, "P_PROTOCOL_UPDATE",  "protocol_update",  Data, Since::Version(100), PROTOCOL, Tail::NameSince(87);
    Trim            = 0x31, "P_TRIM",             "Trim",             Data, TRIM, RANGE, Tail::None;
    RsThinRequest   = 0x32, "P_RS_THIN_REQ",      "rs_thin_req",      Data, THIN, REQUEST, Tail::None;
    RsDeallocated   = 0x33, "P_RS_DEALLOCATED",   "rs_deallocated",   Data, THIN, DESC, Tail::None;
    WriteSame       = 0x34, "P_WSAME",            "WriteSame",        Data, WSAME, RANGE, Tail::Data;
    Zeroes          = 0x36, "P_ZEROES",           "(null)",           Data, WZEROES, RANGE, Tail::None;
    InitialMeta     = 0xfff1, "P_INITIAL_META",   "InitialMeta",      Establishing, ALWAYS, EMPTY, Tail::None;
    InitialData     = 0xfff2, "P_INITIAL_DATA",   "InitialData",      Establishing, ALWAYS, EMPTY, Tail::None;
    ConnectionFeatures = 0xfffe, "P_CONNECTION_FEATURES", "ConnectionFeatures", Establishing, ALWAYS, FEATURES, Tail::None;
}

impl Command {
    /// The number in the header.
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// Its name in the documentation, e.g. `P_STATE`.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// Its name in log lines, e.g. `ReportState`.
    pub const fn log_name(self) -> &'static str {
        self.row().log_name
    }

    /// The name that log lines give to this number, whether it is known or not. Numbers inside
    /// the range of DRBD 8.4 that have no packet read as the kernel prints a null pointer.
    pub fn log_name_of(code: u16) -> &'static str {
        match Self::from_code(code) {
            Some(command) => command.log_name(),
            None if code <= Self::Zeroes.code() => "(null)",
            None => "Unknown",
        }
    }

    /// Whether it may come in on this socket once the connection is established.
    pub const fn belongs_on(self, socket: Socket) -> bool {
        matches!(
            (self.row().place, socket),
            (Place::Data | Place::Both, Socket::Data) | (Place::Meta | Place::Both, Socket::Meta)
        )
    }

    /// Whether it may be sent under this agreement.
    pub const fn is_agreed(self, agreed: Agreed) -> bool {
        let version = agreed.version.0;
        match self.row().since {
            Since::Version(first) => version >= first,
            Since::Versions(first, last) => version >= first && version <= last,
            Since::Feature(feature) => agreed.features.contains(feature),
        }
    }

    /// Bytes of the fixed part under this agreement.
    pub const fn fixed_size(self, agreed: Agreed) -> usize {
        match self.row().fixed {
            Fixed::Bytes(bytes) => bytes,
            Fixed::SyncParam89 => {
                let names = 4 + 2 * AlgName::FIELD;
                if agreed.version.0 >= 95 {
                    names + 16
                } else {
                    names
                }
            }
            Fixed::Sizes => {
                if agreed.features.contains(Features::WRITE_SAME) {
                    wire::SIZES + wire::LIMITS
                } else {
                    wire::SIZES
                }
            }
        }
    }

    /// The most bytes that may follow the fixed part and are not payload.
    pub(crate) const fn tail_limit(self, agreed: Agreed) -> usize {
        match self.row().tail {
            Tail::None | Tail::Data => 0,
            Tail::Digest => Digest::MAX,
            Tail::NameSince(first) if agreed.version.0 >= first => AlgName::FIELD,
            Tail::NameSince(_) => 0,
            Tail::Raw => PACKET_BUFFER - agreed.header_size() - self.fixed_size(agreed),
        }
    }

    /// The command that carries this body.
    pub(crate) const fn of(body: &Body, version: ProtocolVersion) -> Self {
        match body {
            Body::Data(_) => Self::Data,
            Body::DataReply(_) => Self::DataReply,
            Body::RsDataReply(_) => Self::RsDataReply,
            Body::Barrier(_) => Self::Barrier,
            Body::Bitmap(_) => Self::Bitmap,
            Body::UnplugRemote => Self::UnplugRemote,
            Body::DataRequest(_) => Self::DataRequest,
            Body::RsDataRequest(_) => Self::RsDataRequest,
            Body::SyncParam(_) if version.0 <= 88 => Self::SyncParam,
            Body::SyncParam(_) => Self::SyncParam89,
            Body::Protocol(_) => Self::Protocol,
            Body::Uuids(_) => Self::Uuids,
            Body::Sizes(_) => Self::Sizes,
            Body::State(_) => Self::State,
            Body::SyncUuid(_) => Self::SyncUuid,
            Body::AuthChallenge(_) => Self::AuthChallenge,
            Body::AuthResponse(_) => Self::AuthResponse,
            Body::StateChgReq(_) => Self::StateChgReq,
            Body::Ping => Self::Ping,
            Body::PingAck => Self::PingAck,
            Body::RecvAck(_) => Self::RecvAck,
            Body::WriteAck(_) => Self::WriteAck,
            Body::RsWriteAck(_) => Self::RsWriteAck,
            Body::Superseded(_) => Self::Superseded,
            Body::NegAck(_) => Self::NegAck,
            Body::NegDReply(_) => Self::NegDReply,
            Body::NegRsDReply(_) => Self::NegRsDReply,
            Body::BarrierAck(_) => Self::BarrierAck,
            Body::StateChgReply(_) => Self::StateChgReply,
            Body::OvRequest(_) => Self::OvRequest,
            Body::OvReply { .. } => Self::OvReply,
            Body::OvResult(_) => Self::OvResult,
            Body::CsumRsRequest { .. } => Self::CsumRsRequest,
            Body::RsIsInSync(_) => Self::RsIsInSync,
            Body::CompressedBitmap(_) => Self::CompressedBitmap,
            Body::DelayProbe(_) => Self::DelayProbe,
            Body::OutOfSync(_) => Self::OutOfSync,
            Body::RsCancel(_) => Self::RsCancel,
            Body::ConnStateChgReq(_) => Self::ConnStateChgReq,
            Body::ConnStateChgReply(_) => Self::ConnStateChgReply,
            Body::RetryWrite(_) => Self::RetryWrite,
            Body::ProtocolUpdate(_) => Self::ProtocolUpdate,
            Body::Trim(_) => Self::Trim,
            Body::RsThinRequest(_) => Self::RsThinRequest,
            Body::RsDeallocated(_) => Self::RsDeallocated,
            Body::WriteSame { .. } => Self::WriteSame,
            Body::Zeroes(_) => Self::Zeroes,
            Body::InitialMeta => Self::InitialMeta,
            Body::InitialData => Self::InitialData,
            Body::ConnectionFeatures(_) => Self::ConnectionFeatures,
        }
    }
}

/// The packet buffer of a DRBD node: header and body of a bitmap packet fit into it.
pub const PACKET_BUFFER: usize = 4096;
