//! The superblock of DRBD 9 (spec 40 section 3.4): recognised, shown, and converted to v08.

use drbd_types::{SectorCount, Uuid};
use zerocopy::byteorder::big_endian::{I32, U32, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Format, Generation, Record};
use crate::superblock::{Block, MAGIC_V09, MagicKind};

/// Peers in the table.
const PEERS: usize = 32;
/// Peers with a bitmap at most.
const MAX_BITMAPS: u32 = 31;

bitflags::bitflags! {
    /// The device flags of v09.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct NodeFlags: u32 {
        /// The data is at least Consistent.
        const CONSISTENT = 1;
        /// The node was Primary.
        const PRIMARY_IND = 1 << 1;
        /// The disk was better than Outdated.
        const WAS_UP_TO_DATE = 1 << 4;
        /// The node went down as Primary.
        const CRASHED_PRIMARY = 1 << 6;
        /// The activity log needs no replay.
        const AL_CLEAN = 1 << 7;
        /// Activity-log updates were off.
        const AL_DISABLED = 1 << 8;
        /// The Primary lost its quorum.
        const PRIMARY_LOST_QUORUM = 1 << 9;
    }
}

bitflags::bitflags! {
    /// The flags that v09 keeps for each peer.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct PeerFlags: u32 {
        /// A connection was established.
        const CONNECTED = 1;
        /// The peer is known to be Outdated or worse.
        const OUTDATED = 1 << 1;
        /// Fencing is configured.
        const FENCING = 1 << 2;
        /// Set all bits at the next attach.
        const FULL_SYNC = 1 << 3;
        /// The peer's device was seen.
        const DEVICE_SEEN = 1 << 4;
        /// The node is configured.
        const NODE_EXISTS = 1 << 16;
    }
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy)]
#[repr(C)]
struct RawPeer {
    bitmap_uuid: U64,
    bitmap_dagtag: U64,
    flags: U32,
    bitmap_index: I32,
    reserved: [u8; 8],
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy)]
#[repr(C)]
struct Raw {
    effective_size: U64,
    current_uuid: U64,
    members: U64,
    reserved: [u8; 24],
    device_uuid: U64,
    flags: U32,
    magic: U32,
    md_size_sect: U32,
    al_offset: I32,
    al_nr_extents: U32,
    bm_offset: I32,
    bm_bytes_per_bit: U32,
    la_peer_max_bio_size: U32,
    bm_max_peers: U32,
    node_id: I32,
    al_stripes: U32,
    al_stripe_size_4k: U32,
    reserved_2: [u8; 8],
    peers: [RawPeer; PEERS],
    history: [U64; PEERS],
    unused: [u8; 2704],
}

/// What v09 knows of one peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer {
    /// The generation since which the bitmap of this peer counts changes.
    pub bitmap_uuid: Uuid,
    /// Position in the order of writes at that time.
    pub bitmap_dagtag: u64,
    /// State as of the last write.
    pub flags: PeerFlags,
    /// Which bitmap slot is the peer's; -1 is none.
    pub bitmap_index: i32,
}

/// The part of a v09 superblock that other formats do not have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct V09 {
    /// The generation of the data.
    pub current_uuid: Uuid,
    /// Mask of the members (9.2).
    pub members: u64,
    /// State of the data.
    pub flags: NodeFlags,
    /// As on disk; see [`V09::max_peers`].
    pub bm_max_peers: u32,
    /// Number of this node; -1 is unknown.
    pub node_id: i32,
    /// By node number.
    pub peers: [Peer; PEERS],
    /// Older generations, youngest first.
    pub history: [Uuid; PEERS],
}

impl V09 {
    /// Bitmaps in the area: 1 to 31.
    pub fn max_peers(&self) -> u32 {
        self.bm_max_peers.clamp(1, MAX_BITMAPS)
    }
}

pub(super) fn parse(block: &Block) -> Option<Record> {
    let raw: Raw = zerocopy::transmute!(*block);
    (raw.magic.get() == MAGIC_V09).then(|| Record {
        format: Format::V09,
        effective_size: SectorCount(raw.effective_size.get()),
        generation: Generation::Nodes(Box::new(V09 {
            current_uuid: Uuid(raw.current_uuid.get()),
            members: raw.members.get(),
            flags: NodeFlags::from_bits_retain(raw.flags.get()),
            bm_max_peers: raw.bm_max_peers.get(),
            node_id: raw.node_id.get(),
            peers: raw.peers.map(|p| Peer {
                bitmap_uuid: Uuid(p.bitmap_uuid.get()),
                bitmap_dagtag: p.bitmap_dagtag.get(),
                flags: PeerFlags::from_bits_retain(p.flags.get()),
                bitmap_index: p.bitmap_index.get(),
            }),
            history: raw.history.map(|u| Uuid(u.get())),
        })),
        magic: MagicKind::Clean,
        device_uuid: raw.device_uuid.get(),
        md_size_sect: raw.md_size_sect.get(),
        al_offset: raw.al_offset.get(),
        al_nr_extents: raw.al_nr_extents.get(),
        bm_offset: raw.bm_offset.get(),
        bm_bytes_per_bit: raw.bm_bytes_per_bit.get(),
        la_peer_max_bio_size: raw.la_peer_max_bio_size.get(),
        al_stripes: raw.al_stripes.get(),
        al_stripe_size_4k: raw.al_stripe_size_4k.get(),
    })
}

pub(super) fn encode(record: &Record, nodes: &V09) -> Block {
    let mut raw = Raw::new_zeroed();
    raw.effective_size = record.effective_size.0.into();
    raw.current_uuid = nodes.current_uuid.0.into();
    raw.members = nodes.members.into();
    raw.device_uuid = record.device_uuid.into();
    raw.flags = nodes.flags.bits().into();
    raw.magic = MAGIC_V09.into();
    raw.md_size_sect = record.md_size_sect.into();
    raw.al_offset = record.al_offset.into();
    raw.al_nr_extents = record.al_nr_extents.into();
    raw.bm_offset = record.bm_offset.into();
    raw.bm_bytes_per_bit = record.bm_bytes_per_bit.into();
    raw.la_peer_max_bio_size = record.la_peer_max_bio_size.into();
    raw.bm_max_peers = nodes.bm_max_peers.into();
    raw.node_id = nodes.node_id.into();
    raw.al_stripes = record.al_stripes.into();
    raw.al_stripe_size_4k = record.al_stripe_size_4k.into();
    raw.peers = nodes.peers.map(|p| RawPeer {
        bitmap_uuid: p.bitmap_uuid.0.into(),
        bitmap_dagtag: p.bitmap_dagtag.into(),
        flags: p.flags.bits().into(),
        bitmap_index: p.bitmap_index.into(),
        reserved: [0; 8],
    });
    raw.history = nodes.history.map(|u| u.0.into());
    zerocopy::transmute!(raw)
}
