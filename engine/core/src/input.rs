//! What the core is told: the left-hand side of the contract with its driver.

use alloc::string::String;
use drbd_types::{ConnState, MdFlags, Minor, Sector, SectorCount, UuidSet, VolumeNr};
use drbd_wire::{Agreed, Packet, Socket};

use crate::bitmap::StoredBitmap;
use crate::config::{DiskConf, NetConf, ResourceConf};

/// The bytes of a write or a read. The core never looks inside: it moves handles, and a clone
/// shares the bytes.
pub trait Payload: Clone {
    /// Length in bytes.
    fn size(&self) -> u32;
}

/// Names an administrative request until it is answered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Ticket(pub u64);

/// Names an application request of the block device until it is completed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct IoId(pub u64);

/// Names a data disk operation until it is reported done.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct DiskOp(pub u64);

/// Names a meta-data operation until it is reported done.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct MetaOp(pub u64);

/// Names one run of a usermode helper.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct HelperRun(pub u64);

/// Names one attempt to reach the peer, and the pair of sockets that comes of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct LinkId(pub u64);

/// Everything that can happen to a resource.
#[derive(Debug)]
pub enum Input<B> {
    /// An administrator's request; answered with one `Effect::Reply`.
    Admin {
        /// Comes back in the reply.
        ticket: Ticket,
        /// What is asked for.
        request: Admin,
    },
    /// A request of the block device; answered with one `Effect::Complete`.
    Io {
        /// The volume.
        volume: VolumeNr,
        /// Comes back in the completion.
        id: IoId,
        /// What is asked for.
        request: IoRequest<B>,
    },
    /// A data disk operation ended. Reads carry their data.
    DiskDone {
        /// The volume.
        volume: VolumeNr,
        /// As in `Effect::Disk`.
        op: DiskOp,
        /// Data of a successful read, or the error.
        result: Result<Option<B>, DiskError>,
    },
    /// A meta-data operation ended; if it succeeded its bytes are on stable storage.
    MetaDone {
        /// The volume.
        volume: VolumeNr,
        /// As in `Effect::Meta`.
        op: MetaOp,
        /// The error, if there was one.
        result: Result<(), DiskError>,
    },
    /// Both sockets are up, features exchanged, the peer authenticated.
    LinkUp {
        /// As in `Effect::OpenLink`.
        link: LinkId,
        /// Protocol version and features.
        agreed: Agreed,
        /// The tie breaker: who accepted the meta socket.
        tie: TieBreaker,
    },
    /// The attempt ended in a way that must not be retried.
    LinkRefused {
        /// As in `Effect::OpenLink`.
        link: LinkId,
    },
    /// A socket of the link failed or was closed by the peer.
    LinkLost {
        /// As in `Effect::OpenLink`.
        link: LinkId,
        /// Which socket it was.
        socket: Socket,
        /// Timeout, BrokenPipe, NetworkFailure or ProtocolError.
        cause: ConnState,
        /// For the log.
        message: String,
    },
    /// A packet arrived.
    Packet {
        /// On which link.
        link: LinkId,
        /// On which socket of it.
        socket: Socket,
        /// Header and fixed part.
        packet: Packet,
        /// The data that followed.
        payload: Option<B>,
    },
    /// The bytes of these many `Effect::Send` on the data socket have been handed to TCP.
    Sent {
        /// On which link.
        link: LinkId,
        /// How many packets more than last reported.
        packets: u32,
    },
    /// A usermode helper ended.
    HelperDone {
        /// As in `Effect::Helper`.
        run: HelperRun,
        /// Its exit status; 0 as well when it could not be executed (spec 60 section 10.2).
        exit: u8,
    },
}

/// Who breaks ties on a connection (spec 50 section 2.3: RESOLVE_CONFLICTS).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TieBreaker {
    /// This node accepted the meta socket and decides.
    Here,
    /// The peer decides.
    There,
}

/// Why a disk operation failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DiskError {
    /// The device reported an error (EIO and the like).
    Io,
    /// The device does not know this operation (discard, zero-out).
    Unsupported,
}

/// What the block layer can ask.
#[derive(Clone, Debug)]
pub enum IoRequest<B> {
    /// Read so many bytes.
    Read {
        /// First sector.
        sector: Sector,
        /// Length in bytes, a multiple of 512, at most 1 MiB.
        size: u32,
    },
    /// Write.
    Write {
        /// First sector.
        sector: Sector,
        /// The bytes, a multiple of 512, at most 1 MiB.
        data: B,
        /// Whether it must be on stable storage when it completes.
        durability: Durability,
    },
    /// Everything completed so far must be on stable storage.
    Flush,
    /// The content is not needed any more.
    Discard {
        /// First sector.
        sector: Sector,
        /// Length in bytes.
        size: u32,
    },
    /// The content is to be zero.
    WriteZeroes {
        /// First sector.
        sector: Sector,
        /// Length in bytes.
        size: u32,
    },
}

/// Whether one write bypasses volatile caches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// An ordinary write.
    Cached,
    /// Force unit access: stable when complete.
    Fua,
}

/// Whether somebody has the block device open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeldOpen {
    /// Nobody.
    Free,
    /// Mounted, or open in some process.
    Busy,
}

/// Whether a command was given `--force`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Force {
    /// Only if it is safe.
    No,
    /// Although it may not be.
    Yes,
}

/// What `attach` found on the disk; the driver has opened it and checked the superblock
/// (spec 60 section 4.1 steps 3, 4 and 6).
#[derive(Clone, Debug)]
pub struct DiskImage {
    /// Usable capacity: what the backing device offers beside its meta-data.
    pub capacity: SectorCount,
    /// Last agreed size from the superblock.
    pub last_agreed: SectorCount,
    /// Generation UUIDs.
    pub uuids: UuidSet,
    /// Flags of the superblock.
    pub flags: MdFlags,
    /// The out-of-sync bitmap as on disk, long enough for `last_agreed`.
    pub bitmap: StoredBitmap,
    /// The most sectors that the on-disk bitmap area can describe.
    pub bitmap_capacity: SectorCount,
    /// How many slots the on-disk activity log can hold at most.
    pub al_slots_max: u32,
    /// Largest single I/O that the backing device takes, in bytes.
    pub max_io: u32,
    /// Largest request the peer took, from the superblock.
    pub peer_max_bio: u32,
    /// What discard does there.
    pub discard: DiscardSupport,
    /// The name for log lines, e.g. `sdb1`.
    pub name: String,
}

/// What a backing device does with discards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DiscardSupport {
    /// Nothing.
    None,
    /// Discards; the content is undefined afterwards.
    Undefined,
    /// Discards and reads back zeroes.
    Zeroes,
}

/// Administrative requests, already parsed and checked for syntax.
#[derive(Clone, Debug)]
pub enum Admin {
    /// new-minor.
    NewVolume {
        /// Number inside the resource.
        volume: VolumeNr,
        /// Device minor.
        minor: Minor,
    },
    /// del-minor.
    DeleteVolume {
        /// Which.
        volume: VolumeNr,
    },
    /// del-resource: only checks that nothing is left; the driver then drops the object.
    DeleteResource,
    /// resource-options.
    ResourceOptions(ResourceConf),
    /// attach.
    Attach {
        /// Which.
        volume: VolumeNr,
        /// The checked disk.
        image: alloc::boxed::Box<DiskImage>,
        /// Options.
        options: DiskConf,
    },
    /// detach.
    Detach {
        /// Which.
        volume: VolumeNr,
        /// `--force`.
        force: Force,
    },
    /// disk-options: the complete new set.
    DiskOptions {
        /// Which.
        volume: VolumeNr,
        /// Options.
        options: DiskConf,
    },
    /// connect.
    Connect {
        /// Options.
        options: alloc::boxed::Box<NetConf>,
        /// `--discard-my-data`, `--tentative`.
        once: ConnectOnce,
    },
    /// net-options: the complete new set.
    NetOptions(alloc::boxed::Box<NetConf>),
    /// disconnect.
    Disconnect {
        /// `--force`.
        force: Force,
    },
    /// primary.
    Primary {
        /// Which.
        volume: VolumeNr,
        /// `--force`, `--overwrite-data-of-peer`.
        force: Force,
    },
    /// secondary.
    Secondary {
        /// Which.
        volume: VolumeNr,
        /// Whether the device is in use right now.
        held: HeldOpen,
    },
    /// invalidate.
    Invalidate {
        /// Which.
        volume: VolumeNr,
    },
    /// invalidate-remote.
    InvalidateRemote {
        /// Which.
        volume: VolumeNr,
    },
    /// pause-sync.
    PauseSync {
        /// Which.
        volume: VolumeNr,
    },
    /// resume-sync.
    ResumeSync {
        /// Which.
        volume: VolumeNr,
    },
    /// suspend-io.
    SuspendIo {
        /// Which.
        volume: VolumeNr,
    },
    /// resume-io.
    ResumeIo {
        /// Which.
        volume: VolumeNr,
    },
    /// outdate.
    Outdate {
        /// Which.
        volume: VolumeNr,
    },
    /// new-current-uuid.
    NewCurrentUuid {
        /// Which.
        volume: VolumeNr,
        /// `--clear-bitmap`.
        bitmap: ClearBitmap,
    },
}

/// Whether new-current-uuid clears the bitmap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClearBitmap {
    /// Keep it.
    Keep,
    /// Clear it.
    Clear,
}

bitflags::bitflags! {
    /// Options of one connect command that are not configuration.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct ConnectOnce: u8 {
        /// `--discard-my-data`.
        const DISCARD_MY_DATA = 1;
        /// `--tentative`.
        const TENTATIVE = 2;
    }
}
