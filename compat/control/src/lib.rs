//! The control messages of DRBD 8.4: its generic-netlink family `drbd`, over two carriers.
//!
//! * [`op`]: the table of operations.
//! * [`ret`]: return codes and their texts.
//! * [`schema`]: the attribute sets; options in them come from the registry `drbd-options`.
//! * [`tlv`], [`value`], [`frame`]: attributes, payloads and headers as bytes.
//! * [`settings`], [`params`]: values of options, and the parameters of requests.
//! * [`context`], [`endpoint`]: what a message is about; addresses.
//! * [`record`]: states and counters that the engine reports.
//! * [`request`], [`message`]: what clients send, what the engine sends.
//! * [`carrier`]: the engine's Unix socket. (The other carrier, netlink, is in `drbdsetup`.)
//!
//! # A client
//! builds a [`Request`], sends [`Request::encode`] and reads [`Received::decode`] until the one
//! [`Message`] or, for a list, [`Received::Done`] arrives.
//!
//! # A server
//! for every datagram:
//! 1. [`Request::decode`] with [`FamilyId::ENGINE`]. An `Err` is a [`Refusal`]: send its
//!    [`Refusal::encode`], or drop the connection if there is none.
//! 2. If [`Op::privilege`] is [`Privilege::Admin`] and [`Connection::caller`] is not
//!    [`Caller::Admin`]: send [`Request::error`] with [`Errno::Perm`].
//! 3. If [`Request::events`] is [`Events::Join`], send this connection all later notices.
//! 4. Look for device, resource or connection in the order of spec 30 section 5.1
//!    ([`Op::needs`] says which), then look into the parameters: [`Request::params`] with
//!    [`Params::creation`], [`Params::change`] or [`Params::disk_conf`]. Their error is answered
//!    by [`Request::reply_param_error`]. `None` means that no parameter was given, which is
//!    legal but for `attach`.
//!    Options are applied with [`Settings::apply`] to a set that began as
//!    [`Settings::defaults`].
//! 5. Answer. One message: [`Request::reply`] with a [`RetCode`] or a state outcome, `.info(text)`
//!    and `.with(part)` as needed. GET_STATUS: [`Request::item`] with the parts in the order of
//!    spec 30 section 4.4. Lists: any number of items, then [`Request::done`]. Items of
//!    GET_INITIAL_STATE are turned into notices by [`Message::of`].
//!    Settings go to callers that are not [`Caller::Admin`], and into notices, through
//!    [`Settings::without_secrets`].
//!
//! Changes are told by [`Message::notice`]: classic [`Op::Event`] and the finer ones, each stream
//! with a counter of its own that starts at 3 (spec 30 section 4.5).
//!
//! Everything received is hostile: lengths are checked, texts and addresses are bounded, a
//! message has at most 64 KiB, and what is decoded is never larger than what came.
#![forbid(unsafe_code)]

pub mod carrier;
pub mod context;
pub mod endpoint;
pub mod frame;
pub mod message;
pub mod op;
pub mod params;
pub mod record;
pub mod request;
pub mod ret;
pub mod schema;
pub mod settings;
pub mod tlv;
pub mod value;

pub use carrier::{Caller, Connection, Listener};
pub use context::Context;
pub use endpoint::{Endpoint, Family};
pub use frame::{FamilyId, MessageFlags};
pub use message::{Message, MessageError, Part, Received};
pub use op::{Needs, Op, Privilege, Style};
pub use params::{DiskConf, MetaIndex, Params};
pub use record::{
    ConnectionInfo, ConnectionStatistics, DeviceInfo, DeviceStatistics, Helper, History,
    NoticeKind, NotificationHeader, PeerDeviceInfo, PeerDeviceStatistics, ResourceInfo,
    ResourceStatistics, SibReason, StateInfo, TimeoutParms, TimeoutType, Word, WriteOrdering,
};
pub use request::{Errno, Events, Refusal, Request, Wanted};
pub use ret::{Answer, RetCode};
pub use schema::Nest;
pub use settings::{ParamError, Setting, Settings, Unmentioned};
