//! Requests: what a client asks, and how a server takes it apart.

use crate::context::{Context, ContextError};
use crate::frame::{self, FamilyId, Inner, MessageFlags, NLMSG_ERROR, Outer};
use crate::op::{Op, Style};
use crate::params::Params;
use crate::schema::Nest;
use crate::settings::{Direction, Unmentioned};
use crate::tlv::{AttrFlags, Attrs, Writer};
use drbd_types::Minor;
use thiserror::Error;

/// Bit 0 of the flags word: reset what is not mentioned.
const SET_DEFAULTS: u32 = 1;

/// Whether one answer is wanted or a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub enum Wanted {
    /// One.
    #[default]
    One,
    /// All that there are.
    List,
}

/// Whether the asking connection also wants to hear of every later change.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub enum Events {
    /// Only the answer.
    #[default]
    No,
    /// Also the notices of the group `events` ([`MessageFlags::ECHO`]).
    Join,
}

/// A request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// What to do.
    pub op: Op,
    /// One answer or a list.
    pub wanted: Wanted,
    /// Whether notices are to follow.
    pub events: Events,
    /// The client's number for it, repeated in every answer.
    pub seq: u32,
    /// The client's port, repeated in every answer.
    pub port: u32,
    /// The device.
    pub minor: Option<Minor>,
    /// What happens to unmentioned options.
    pub unmentioned: Unmentioned,
    /// What else it is about.
    pub context: Option<Context>,
    /// The parameters.
    pub params: Option<Params>,
    /// The context as a reply repeats it; filled in by [`Request::decode`].
    pub echo: Vec<u8>,
}

impl Request {
    /// A request about nothing in particular.
    pub const fn new(op: Op) -> Self {
        Self {
            op,
            wanted: Wanted::One,
            events: Events::No,
            seq: 0,
            port: 0,
            minor: None,
            unmentioned: Unmentioned::Keep,
            context: None,
            params: None,
            echo: Vec::new(),
        }
    }

    /// The same for a device.
    #[must_use]
    pub const fn for_minor(mut self, minor: Minor) -> Self {
        self.minor = Some(minor);
        self
    }

    /// The same with the client's numbers for it.
    #[must_use]
    pub const fn numbered(mut self, seq: u32, port: u32) -> Self {
        self.seq = seq;
        self.port = port;
        self
    }

    /// The same for a resource, volume or connection.
    #[must_use]
    pub fn for_context(mut self, context: Context) -> Self {
        self.context = Some(context);
        self
    }

    /// The same asking for a list.
    #[must_use]
    pub const fn list(mut self) -> Self {
        self.wanted = Wanted::List;
        self
    }

    /// The same with parameters.
    #[must_use]
    pub fn with(mut self, params: Params) -> Self {
        self.params = Some(params);
        self
    }

    /// The bytes to send.
    pub fn encode(&self, family: FamilyId) -> Vec<u8> {
        let mut flags = MessageFlags::REQUEST;
        flags.set(MessageFlags::DUMP, self.wanted == Wanted::List);
        flags.set(MessageFlags::ECHO, self.events == Events::Join);
        let outer = Outer {
            kind: family.0,
            flags,
            seq: self.seq,
            port: self.port,
        };
        let inner = Inner {
            op: self.op.code(),
            minor: self.minor,
            word: match self.unmentioned {
                Unmentioned::Keep => 0,
                Unmentioned::Reset => SET_DEFAULTS,
            },
        };
        frame::build(outer, inner, |out| {
            let mut writer = Writer::new(out);
            if let Some(context) = &self.context {
                writer.nest(Nest::CfgContext.number(), AttrFlags::NESTED, |writer| {
                    context.write(Direction::Request, writer);
                });
            }
            if let Some(params) = &self.params {
                writer.nest(params.nest().number(), AttrFlags::NESTED, |writer| {
                    writer.raw(params.list());
                });
            }
        })
    }

    /// Takes a received datagram apart. A refusal is to be sent back as it is.
    pub fn decode(bytes: &[u8], family: FamilyId) -> Result<Self, Refusal> {
        let (outer, body) = frame::split_outer(bytes).map_err(|_| Refusal::Unanswerable)?;
        let refuse = |errno: Errno| Refusal::Error { outer, errno };
        if outer.kind != family.0 || !outer.flags.contains(MessageFlags::REQUEST) {
            return Err(refuse(Errno::OpNotSupp));
        }
        let (inner, attributes) = frame::split_inner(body).map_err(|_| refuse(Errno::Inval))?;
        let op = Op::from_code(inner.op).ok_or(refuse(Errno::OpNotSupp))?;
        let wanted = if outer.flags.contains(MessageFlags::DUMP) {
            Wanted::List
        } else {
            Wanted::One
        };
        let fits = match wanted {
            Wanted::One => op.can_do(),
            Wanted::List => op.can_dump(),
        };
        if !fits || op.style() == Style::Notice {
            return Err(refuse(Errno::OpNotSupp));
        }
        let mut request = Self {
            wanted,
            events: if outer.flags.contains(MessageFlags::ECHO) {
                Events::Join
            } else {
                Events::No
            },
            seq: outer.seq,
            port: outer.port,
            minor: inner.minor,
            unmentioned: if inner.word & SET_DEFAULTS != 0 {
                Unmentioned::Reset
            } else {
                Unmentioned::Keep
            },
            ..Self::new(op)
        };
        request.take_attributes(attributes).map_err(refuse)?;
        Ok(request)
    }

    fn take_attributes(&mut self, attributes: &[u8]) -> Result<(), Errno> {
        for attr in Attrs::new(attributes) {
            let attr = attr.map_err(|_| Errno::Inval)?;
            let Some(nest) = Nest::from_number(attr.number) else {
                // Number 14 is a hole below the largest number: skipped, as any unknown one.
                if attr.number > Nest::Helper.number() {
                    return Err(Errno::Inval);
                }
                continue;
            };
            if nest == Nest::CfgContext {
                self.context = Some(Context::parse(attr.payload)?);
                self.echo = Context::echo(attr.payload, attr.flags);
            } else if self.op.payload() == Some(nest) {
                self.params = Some(Params::received(nest, attr.payload.to_vec()));
            }
        }
        Ok(())
    }
}

/// Errors at the level of the transport, by their Linux numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Error)]
#[repr(i32)]
pub enum Errno {
    /// EPERM: the caller lacks the right.
    #[error("Operation not permitted")]
    Perm = 1,
    /// ENODEV: no such resource (end of a filtered list).
    #[error("No such device")]
    NoDev = 19,
    /// EINVAL: not well formed.
    #[error("Invalid argument")]
    Inval = 22,
    /// ERANGE: an address is too long.
    #[error("Numerical result out of range")]
    Range = 34,
    /// EOPNOTSUPP: no such operation, or not in this style.
    #[error("Operation not supported")]
    OpNotSupp = 95,
}

impl From<ContextError> for Errno {
    fn from(error: ContextError) -> Self {
        match error {
            ContextError::Malformed => Self::Inval,
            ContextError::AddressTooLong => Self::Range,
            ContextError::UnknownMandatory => Self::OpNotSupp,
        }
    }
}

/// A datagram that is refused before any operation sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// It has not even a header: drop the connection.
    Unanswerable,
    /// Send this error.
    Error {
        /// Header of the refused datagram.
        outer: Outer,
        /// Why.
        errno: Errno,
    },
}

impl Refusal {
    /// The answer, if one can be sent.
    pub fn encode(&self) -> Option<Vec<u8>> {
        match self {
            Self::Unanswerable => None,
            Self::Error { outer, errno } => Some(error_message(*outer, *errno)),
        }
    }
}

impl Request {
    /// The answer "refused at the level of the transport": an NLMSG_ERROR.
    pub fn error(&self, family: FamilyId, errno: Errno) -> Vec<u8> {
        let outer = Outer {
            kind: family.0,
            flags: MessageFlags::REQUEST,
            seq: self.seq,
            port: self.port,
        };
        error_message(outer, errno)
    }

    /// The end of a list; with an error if the list was refused.
    pub fn done(&self, result: Result<(), Errno>) -> Vec<u8> {
        let outer = Outer {
            kind: frame::NLMSG_DONE,
            flags: MessageFlags::MULTI,
            seq: self.seq,
            port: self.port,
        };
        let code = result.map_or_else(|errno| -(errno as i32), |()| 0);
        frame::finish(outer, |out| out.extend_from_slice(&code.to_ne_bytes()))
    }
}

fn error_message(refused: Outer, errno: Errno) -> Vec<u8> {
    let outer = Outer {
        kind: NLMSG_ERROR,
        flags: MessageFlags::empty(),
        ..refused
    };
    frame::finish(outer, |out| {
        out.extend_from_slice(&(-(errno as i32)).to_ne_bytes());
        // Netlink repeats the header of what it refuses.
        let repeated = frame::finish(refused, |_| {});
        out.extend_from_slice(&repeated);
    })
}
