//! What the engine sends: replies, lists, notices.

use crate::context::Context;
use crate::frame::{
    self, FamilyId, FrameError, Inner, MessageFlags, NLMSG_DONE, NLMSG_ERROR, Outer,
};
use crate::op::Op;
use crate::params::DiskConf;
use crate::record::{
    ConnectionInfo, ConnectionStatistics, DeviceInfo, DeviceStatistics, Helper, NotificationHeader,
    PeerDeviceInfo, PeerDeviceStatistics, Record, ResourceInfo, ResourceStatistics, StateInfo,
    TimeoutParms,
};
use crate::request::{Request, Wanted};
use crate::ret::{Answer, RetCode};
use crate::schema::Nest;
use crate::settings::{Direction, ParamError, Settings};
use crate::tlv::{AttrFlags, Attrs, Writer};
use crate::value::Payload;
use drbd_types::Minor;
use thiserror::Error;

/// Attribute number of the text in CFG_REPLY.
const INFO_TEXT: u16 = 1;

macro_rules! parts {
    ($($name:ident,)*) => {
        /// One set of attributes in a message.
        #[derive(Clone, PartialEq, Eq, Debug)]
        #[allow(clippy::large_enum_variant, reason = "a message has a handful of them")]
        pub enum Part {
            /// A text for people: why a request was refused.
            Info(String),
            /// What the message is about.
            Context(Context),
            /// Backing devices and disk options.
            DiskConf(DiskConf),
            /// Resource options.
            ResourceOpts(Settings),
            /// Network options.
            NetConf(Settings),
            $(
                #[doc = concat!("See [`", stringify!($name), "`].")]
                $name($name),
            )*
        }

        $(
            impl From<$name> for Part {
                fn from(record: $name) -> Self {
                    Self::$name(record)
                }
            }
        )*

        impl Part {
            const fn nest(&self) -> Nest {
                match self {
                    Self::Info(_) => Nest::CfgReply,
                    Self::Context(_) => Nest::CfgContext,
                    Self::DiskConf(_) => Nest::DiskConf,
                    Self::ResourceOpts(_) => Nest::ResourceOpts,
                    Self::NetConf(_) => Nest::NetConf,
                    $(Self::$name(_) => <$name as Record>::NEST,)*
                }
            }

            fn write_fields(&self, writer: &mut Writer<'_>) {
                match self {
                    Self::Info(text) => {
                        let mut payload = Vec::new();
                        text.write(&mut payload);
                        writer.put(INFO_TEXT, AttrFlags::MANDATORY, &payload);
                    }
                    Self::Context(context) => context.write(Direction::Answer, writer),
                    Self::DiskConf(conf) => conf.write(Direction::Answer, writer),
                    Self::ResourceOpts(settings) | Self::NetConf(settings) => {
                        settings.write(Direction::Answer, writer);
                    }
                    $(Self::$name(record) => record.write(writer),)*
                }
            }

            /// The parts of a set; none for sets that only requests have.
            fn parse(nest: Nest, list: &[u8]) -> Result<Option<Self>, MessageError> {
                let malformed = |_| MessageError::Malformed;
                let skip = |_: u16, _: &[u8]| Ok::<(), ParamError>(());
                let settings = || Settings::parse(nest, list, skip).map_err(|_| MessageError::Malformed);
                Ok(Some(match nest {
                    Nest::CfgReply => return Self::parse_info(list),
                    Nest::CfgContext => Self::Context(
                        Context::parse(list).map_err(|_| MessageError::Malformed)?,
                    ),
                    Nest::DiskConf => Self::DiskConf(
                        DiskConf::parse(list).map_err(|_| MessageError::Malformed)?,
                    ),
                    Nest::ResourceOpts => Self::ResourceOpts(settings()?),
                    Nest::NetConf => Self::NetConf(settings()?),
                    $(Nest::$name => Self::$name(Record::parse(list).map_err(malformed)?),)*
                    Nest::SetRoleParms
                    | Nest::ResizeParms
                    | Nest::StartOvParms
                    | Nest::NewCUuidParms
                    | Nest::DisconnectParms
                    | Nest::DetachParms => return Ok(None),
                }))
            }
        }
    };
}
parts! {
    StateInfo,
    TimeoutParms,
    ResourceInfo,
    DeviceInfo,
    ConnectionInfo,
    PeerDeviceInfo,
    ResourceStatistics,
    DeviceStatistics,
    ConnectionStatistics,
    PeerDeviceStatistics,
    NotificationHeader,
    Helper,
}

impl From<Context> for Part {
    fn from(context: Context) -> Self {
        Self::Context(context)
    }
}

impl From<DiskConf> for Part {
    fn from(conf: DiskConf) -> Self {
        Self::DiskConf(conf)
    }
}

impl Part {
    fn parse_info(list: &[u8]) -> Result<Option<Self>, MessageError> {
        for attr in Attrs::new(list) {
            let attr = attr.map_err(|_| MessageError::Malformed)?;
            if attr.number == INFO_TEXT {
                return Ok(String::parse(attr.payload).map(Self::Info));
            }
        }
        Ok(None)
    }

    fn write(&self, writer: &mut Writer<'_>) {
        let nest = self.nest();
        writer.nest(
            nest.number(),
            Direction::Answer.nest_flags(nest),
            |writer| {
                self.write_fields(writer);
            },
        );
    }
}

/// A message of the family from the engine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Number of the operation; clients ignore notices that they do not know.
    pub op: u8,
    /// MULTI in most lists.
    pub flags: MessageFlags,
    /// Number of the request, or counter of the stream of notices.
    pub seq: u32,
    /// Port of the client; 0 in notices.
    pub port: u32,
    /// The device it is about.
    pub minor: Option<Minor>,
    /// Whether the request succeeded.
    pub answer: Answer,
    /// The request's context as it came, in replies that repeat it.
    echo: Vec<u8>,
    /// The sets in order.
    pub parts: Vec<Part>,
}

impl Request {
    /// The reply to this request: repeats minor and context.
    pub fn reply(&self, answer: impl Into<Answer>) -> Message {
        Message {
            op: self.op.code(),
            flags: MessageFlags::empty(),
            seq: self.seq,
            port: self.port,
            minor: self.minor,
            answer: answer.into(),
            echo: self.echo.clone(),
            parts: Vec::new(),
        }
    }

    /// The reply "parameters not acceptable".
    pub fn reply_param_error(&self, error: ParamError) -> Message {
        self.reply(RetCode::MandatoryTag).info(error.to_string())
    }

    /// An item of the answer to this request: of a list, or the one to GET_STATUS. The context
    /// is not repeated: an item states its own.
    pub fn item(&self, minor: Option<Minor>) -> Message {
        let (op, flags, port) = match (self.wanted, self.op) {
            // Items of this one look like notices; `Message::op` says which.
            (_, Op::GetInitialState) => (self.op, MessageFlags::empty(), 0),
            (Wanted::List, op) => (op, MessageFlags::MULTI, self.port),
            (Wanted::One, op) => (op, MessageFlags::empty(), self.port),
        };
        Message {
            op: op.code(),
            flags,
            seq: self.seq,
            port,
            minor,
            answer: Answer::OK,
            echo: Vec::new(),
            parts: Vec::new(),
        }
    }
}

impl Message {
    /// A notice to the group `events`.
    pub const fn notice(op: Op, seq: u32, minor: Option<Minor>) -> Self {
        Self {
            op: op.code(),
            flags: MessageFlags::empty(),
            seq,
            port: 0,
            minor,
            answer: Answer::OK,
            echo: Vec::new(),
            parts: Vec::new(),
        }
    }

    /// The same as an item of another operation: for the items of GET_INITIAL_STATE.
    #[must_use]
    pub const fn of(mut self, op: Op) -> Self {
        self.op = op.code();
        self
    }

    /// The same with a text that says why.
    #[must_use]
    pub fn info(self, text: impl Into<String>) -> Self {
        self.with(Part::Info(text.into()))
    }

    /// The same with one more set.
    #[must_use]
    pub fn with(mut self, part: impl Into<Part>) -> Self {
        self.parts.push(part.into());
        self
    }

    /// The bytes to send.
    pub fn encode(&self, family: FamilyId) -> Vec<u8> {
        let outer = Outer {
            kind: family.0,
            flags: self.flags,
            seq: self.seq,
            port: self.port,
        };
        let inner = Inner {
            op: self.op,
            minor: self.minor,
            word: u32::from_ne_bytes(self.answer.code().to_ne_bytes()),
        };
        frame::build(outer, inner, |out| {
            let mut writer = Writer::new(out);
            writer.raw(&self.echo);
            for part in &self.parts {
                part.write(&mut writer);
            }
        })
    }

    /// What it is about.
    pub fn context(&self) -> Option<&Context> {
        self.parts.iter().find_map(|part| match part {
            Part::Context(context) => Some(context),
            _ => None,
        })
    }

    /// The texts for people.
    pub fn infos(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Info(text) => Some(text.as_str()),
            _ => None,
        })
    }
}

macro_rules! accessors {
    ($($(#[$doc:meta])* $method:ident: $variant:ident -> $ty:ty;)*) => {
        impl Message {
            $(
                $(#[$doc])*
                pub fn $method(&self) -> Option<&$ty> {
                    self.parts.iter().find_map(|part| match part {
                        Part::$variant(value) => Some(value),
                        _ => None,
                    })
                }
            )*
        }
    };
}
accessors! {
    /// Backing devices and disk options, if the message has them.
    disk_conf: DiskConf -> DiskConf;
    /// Resource options, if the message has them.
    resource_opts: ResourceOpts -> Settings;
    /// Network options, if the message has them.
    net_conf: NetConf -> Settings;
    /// State of a device, if the message has it.
    state_info: StateInfo -> StateInfo;
    /// Which timeout counts, if the message says it.
    timeout_parms: TimeoutParms -> TimeoutParms;
    /// State of a resource, if the message has it.
    resource_info: ResourceInfo -> ResourceInfo;
    /// State of a device, if the message has it.
    device_info: DeviceInfo -> DeviceInfo;
    /// State of a connection, if the message has it.
    connection_info: ConnectionInfo -> ConnectionInfo;
    /// State of a peer's device, if the message has it.
    peer_device_info: PeerDeviceInfo -> PeerDeviceInfo;
    /// Counters of a resource, if the message has them.
    resource_statistics: ResourceStatistics -> ResourceStatistics;
    /// Counters of a device, if the message has them.
    device_statistics: DeviceStatistics -> DeviceStatistics;
    /// Counters of a connection, if the message has them.
    connection_statistics: ConnectionStatistics -> ConnectionStatistics;
    /// Counters of a peer's device, if the message has them.
    peer_device_statistics: PeerDeviceStatistics -> PeerDeviceStatistics;
    /// What kind of notice it is, if it is one.
    notification: NotificationHeader -> NotificationHeader;
    /// The helper program, if the message is about one.
    helper: Helper -> Helper;
}

/// A received datagram, as a client sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Received {
    /// A message of the family.
    Message(Box<Message>),
    /// The end of a list; the code is 0 or a negative error number.
    Done {
        /// Number of the request.
        seq: u32,
        /// Result.
        code: i32,
    },
    /// A refusal; the code is a negative error number, or 0 for an acknowledgement.
    Error {
        /// Number of the request.
        seq: u32,
        /// Why.
        code: i32,
    },
}

/// A received datagram makes no sense.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum MessageError {
    /// Headers.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// Attributes.
    #[error("malformed attributes in a message from the engine")]
    Malformed,
}

impl Received {
    /// Takes a datagram apart.
    pub fn decode(bytes: &[u8], family: FamilyId) -> Result<Self, MessageError> {
        let (outer, body) = frame::split_outer(bytes)?;
        let code = || i32::parse(body).ok_or(FrameError::Truncated);
        match outer.kind {
            NLMSG_DONE => Ok(Self::Done {
                seq: outer.seq,
                code: code()?,
            }),
            NLMSG_ERROR => Ok(Self::Error {
                seq: outer.seq,
                code: code()?,
            }),
            kind if kind == family.0 => {
                decode_message(outer, body).map(Box::new).map(Self::Message)
            }
            kind => Err(FrameError::UnknownType(kind).into()),
        }
    }
}

fn decode_message(outer: Outer, body: &[u8]) -> Result<Message, MessageError> {
    let (inner, attributes) = frame::split_inner(body)?;
    let mut parts = Vec::new();
    for attr in Attrs::new(attributes) {
        let attr = attr.map_err(|_| MessageError::Malformed)?;
        let Some(nest) = Nest::from_number(attr.number) else {
            continue;
        };
        parts.extend(Part::parse(nest, attr.payload)?);
    }
    Ok(Message {
        op: inner.op,
        flags: outer.flags,
        seq: outer.seq,
        port: outer.port,
        minor: inner.minor,
        answer: Answer::from_code(i32::from_ne_bytes(inner.word.to_ne_bytes())),
        echo: Vec::new(),
        parts,
    })
}
