//! What the core wants done: the right-hand side of the contract with its driver.

use alloc::string::String;
use alloc::vec::Vec;
use drbd_types::{MdFlags, Minor, Sector, SectorCount, StateOutcome, UuidSet, VolumeNr};
use drbd_wire::{Packet, Socket};

use crate::activity_log::AlTransaction;
use crate::bitmap::BitmapChunk;
use crate::input::{DiskOp, Durability, HelperRun, IoId, LinkId, MetaOp, Ticket};

/// One thing for the driver to do. Effects must be started in the order in which they are
/// taken; the driver may run them side by side unless a variant says otherwise.
#[derive(Debug)]
pub enum Effect<B> {
    /// Answer an administrator.
    Reply {
        /// From the request.
        ticket: Ticket,
        /// The answer.
        reply: Reply,
    },
    /// Complete an application request.
    Complete {
        /// The volume.
        volume: VolumeNr,
        /// From the request.
        id: IoId,
        /// Data of a read, or the error.
        result: Result<Option<B>, IoError>,
    },
    /// Start an operation on the backing device; ends in `Input::DiskDone`.
    Disk {
        /// The volume.
        volume: VolumeNr,
        /// Comes back.
        op: DiskOp,
        /// What to do.
        io: DiskIo<B>,
    },
    /// Write meta-data; ends in `Input::MetaDone`. Operations of one volume are carried out one
    /// after the other in this order, and each is on stable storage before it is reported.
    Meta {
        /// The volume.
        volume: VolumeNr,
        /// Comes back.
        op: MetaOp,
        /// What comes before it.
        order: MetaOrder,
        /// What to write.
        io: MetaIo,
    },
    /// Begin to look for the peer with the current network configuration, again and again,
    /// until a `LinkUp`, `LinkRefused` or `CloseLink`.
    OpenLink {
        /// Names attempt and sockets.
        link: LinkId,
        /// When to begin.
        delay: LinkDelay,
    },
    /// Stop looking for the peer, or close both sockets at once; nothing more may be reported
    /// for this link.
    CloseLink {
        /// Which.
        link: LinkId,
    },
    /// Send a packet; those of one socket keep their order.
    Send {
        /// On which link.
        link: LinkId,
        /// On which socket.
        socket: Socket,
        /// Header and fixed part.
        packet: Packet,
        /// Data to follow.
        payload: Option<B>,
    },
    /// Run the usermode helper; ends in `Input::HelperDone`.
    Helper {
        /// Comes back.
        run: HelperRun,
        /// Event name, e.g. `before-resync-target`.
        event: &'static str,
        /// Its object.
        about: HelperSubject,
    },
    /// The device has this size now (0: none).
    SetSize {
        /// The volume.
        volume: VolumeNr,
        /// Size.
        size: SectorCount,
    },
    /// The device may be written (Primary) or not.
    SetAccess {
        /// The volume.
        volume: VolumeNr,
        /// Access.
        access: Access,
    },
    /// The backing device is not used any more: close it.
    CloseDisk {
        /// The volume.
        volume: VolumeNr,
    },
    /// Something observable changed: tell listeners of events to look.
    Changed,
    /// A line for the kernel-style log.
    Log {
        /// Severity.
        level: Level,
        /// About the whole connection, or one volume.
        scope: Scope,
        /// The text without prefix.
        text: String,
    },
}

/// When a new attempt to reach the peer begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkDelay {
    /// Now.
    None,
    /// After the pause of a failed handshake (1 s, spec 50 section 2.3).
    AfterFailure,
}

/// What a log line is about; it decides the prefix (spec 60 section 10.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// The resource with its connection: `drbd r0: `.
    Resource,
    /// One volume: `drbd r0/0 drbd0: `.
    Volume(VolumeNr, Minor),
}

/// Severity of a log line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// Somebody must act: split brain, unrelated data.
    Alert,
    /// A refusal or an I/O error.
    Error,
    /// Notable.
    Warning,
    /// Ordinary.
    Info,
}

/// What a helper is called for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HelperSubject {
    /// `minor-N`.
    Minor(Minor),
    /// The resource name.
    Resource,
}

/// Who may use the block device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Secondary: nobody.
    Closed,
    /// Primary: reading and writing.
    ReadWrite,
}

/// Why an application request failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IoError {
    /// EIO: neither local nor remote data, or the only copy failed.
    Io,
    /// EROFS: a Secondary refuses.
    ReadOnly,
    /// EOPNOTSUPP: discard or zero-out not available.
    Unsupported,
    /// EINVAL: outside the device, or not a whole number of sectors.
    Invalid,
}

/// Operations on the data area of the backing device.
#[derive(Debug)]
pub enum DiskIo<B> {
    /// Read.
    Read {
        /// First sector.
        sector: Sector,
        /// Bytes.
        size: u32,
    },
    /// Write.
    Write {
        /// First sector.
        sector: Sector,
        /// The bytes.
        data: B,
        /// Whether to bypass volatile caches.
        durability: Durability,
    },
    /// Flush the device's caches.
    Flush,
    /// Discard.
    Discard {
        /// First sector.
        sector: Sector,
        /// Bytes.
        size: u32,
    },
    /// Make the range read as zeroes.
    WriteZeroes {
        /// First sector.
        sector: Sector,
        /// Bytes.
        size: u32,
    },
}

/// Whether meta-data may say something of data that a disk's write cache could still lose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MetaOrder {
    /// It says only that blocks may differ; or the administrator trusts the cache.
    AtOnce,
    /// It may say that blocks are the same on both nodes: all data writes that are complete when
    /// the operation's turn comes are flushed to stable storage before it begins. Where the disk
    /// knows no flush there is no cache.
    AfterDataFlush,
}

/// Writes to the meta-data area.
#[derive(Clone, Debug)]
pub enum MetaIo {
    /// The superblock.
    Superblock(SuperblockUpdate),
    /// One activity-log transaction.
    ActivityLog(AlTransaction),
    /// Initialise the whole activity-log ring (spec 60 section 5.2).
    InitialiseActivityLog,
    /// Pages of the bitmap.
    Bitmap(Vec<BitmapChunk>),
}

/// The fields of the superblock that the engine owns; the driver keeps the rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SuperblockUpdate {
    /// Generation UUIDs.
    pub uuids: UuidSet,
    /// Flags.
    pub flags: MdFlags,
    /// Last agreed size.
    pub last_agreed: SectorCount,
    /// Slots of the activity log in use (`al-nr-extents`).
    pub al_extents: u32,
    /// Largest request of the peer, in bytes.
    pub peer_max_bio: u32,
}

/// The answer to an administrative request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// How it ended.
    pub outcome: Outcome,
    /// Additional lines for the user ("additional info from kernel").
    pub info: Vec<String>,
}

/// How an administrative request ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Done (NO_ERROR).
    Done,
    /// Refused with a return code of the configuration interface.
    Refused(Refusal),
    /// A state change decided it.
    State(StateOutcome),
}

/// Refusals other than state outcomes; the numbers are those of spec 30 section 3.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u16)]
pub enum Refusal {
    /// Requested size is larger than the disk.
    DiskTooSmall = 111,
    /// The device is attached already.
    AlreadyAttached = 124,
    /// A connection is configured already.
    NetConfigured = 125,
    /// No such minor.
    MinorUnknown = 127,
    /// The disk holds other data than the device exposes.
    DataNotCurrent = 150,
    /// new-current-uuid needs StandAlone.
    Connected = 151,
    /// discard-my-data on a Primary.
    DiscardWhilePrimary = 123,
    /// Two primaries need protocol C.
    NotProtocolC = 139,
    /// Stonith and protocol A exclude each other.
    StonithAndProtocolA = 154,
    /// Congestion handling needs protocol A.
    CongestionNotProtocolA = 155,
    /// No disk.
    NoDisk = 138,
    /// The activity log cannot be replaced now (ERR_NOMEM).
    OutOfMemory = 122,
    /// Not enough space for the bitmap.
    NoMemory = 140,
    /// Resync is paused already.
    PauseAlreadySet = 134,
    /// Resync is not paused.
    PauseAlreadyClear = 135,
    /// Paused by a dependency.
    PauseByDependency = 156,
    /// Paused by the peer.
    PauseByPeer = 157,
    /// Consistent data would be truncated.
    ImplicitShrink = 170,
    /// The minor still has a configuration.
    MinorConfigured = 160,
    /// Volumes are left.
    ResourceInUse = 159,
    /// Minor or volume exists already.
    MinorOrVolumeExists = 161,
    /// The request makes no sense now.
    InvalidRequest = 162,
    /// Two Primaries are using the permission that would be withdrawn.
    NeedAllowTwoPrimaries = 164,
    /// Reading or writing meta-data failed.
    MetaDataIo = 118,
}

impl Refusal {
    /// The number that the tools know.
    pub const fn code(self) -> u16 {
        self as u16
    }
}
