//! The decision table of the handshake (spec 60 section 2.7).

use alloc::vec::Vec;

use drbd_types::uuid::{JUST_CREATED, NEW_BM_OFFSET};
use drbd_types::{Role, Uuid, UuidFlags, UuidSet};
use drbd_wire::{Agreed, Features, ProtocolVersion};

use crate::input::TieBreaker;
use crate::state_rules::CrashedPrimary;

/// Below this protocol a missed end of resync cannot be corrected.
const CORRECTIONS_SINCE: ProtocolVersion = ProtocolVersion(91);
/// From this protocol on sync UUIDs are derived from the bitmap UUID.
const DERIVED_SYNC_UUID_SINCE: ProtocolVersion = ProtocolVersion(96);
/// What a node must support to tell which of two crashed equals is newer.
const PRIMARY_AFTER_CRASH_SINCE: ProtocolVersion = ProtocolVersion(101);

/// What the peer told about its data in its last ReportUUIDs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerReport {
    /// Its generation UUIDs.
    pub uuids: UuidSet,
    /// Bits set in its bitmap.
    pub bits: u64,
    /// Flags beside them.
    pub flags: UuidFlags,
}

/// What the table looks at beside the UUIDs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Context {
    /// Whether the own data was Primary in a crash.
    pub crashed_primary: CrashedPrimary,
    /// Own role now.
    pub role: Role,
    /// The peer's role now.
    pub peer_role: Role,
    /// Version and features of the connection.
    pub agreed: Agreed,
    /// Who breaks ties.
    pub tie: TieBreaker,
}

/// How the data of two nodes relates, seen from this node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Relation {
    /// The same generation (0).
    Same,
    /// The peer lacks what the bitmap says (1).
    SourceBitmap,
    /// The peer lacks everything (2).
    SourceFull,
    /// This node lacks what the bitmap says (-1).
    TargetBitmap,
    /// This node lacks everything (-2).
    TargetFull,
    /// Both were written since a common generation (100).
    SplitBrain,
    /// Both were written, and since when is not known (-100).
    SplitBrainAmbiguous,
    /// No common ancestor (-1000).
    Unrelated,
    /// Cannot be told with the agreed protocol (-1000 - version).
    NeedsProtocol(ProtocolVersion),
    /// Cannot be told without these (-(0x10000 + version + (features << 8))).
    NeedsFeatures(ProtocolVersion, Features),
}

impl Relation {
    /// The number in the kernel log.
    pub fn code(self) -> i64 {
        match self {
            Self::Same => 0,
            Self::SourceBitmap => 1,
            Self::SourceFull => 2,
            Self::TargetBitmap => -1,
            Self::TargetFull => -2,
            Self::SplitBrain => 100,
            Self::SplitBrainAmbiguous => -100,
            Self::Unrelated => -1000,
            Self::NeedsProtocol(version) => -1000 - i64::from(version.0),
            Self::NeedsFeatures(version, features) => {
                -(0x10000 + i64::from(version.0) + (i64::from(features.bits()) << 8))
            }
        }
    }
}

/// A UUID set that turned out to have missed an event, as it should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Correction {
    /// The own set: goes to the disk.
    Own(UuidSet),
    /// The stored copy of the peer's set.
    Peer(UuidSet),
}

/// The result of the table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Comparison {
    /// Who has to learn from whom.
    pub relation: Relation,
    /// Number of the rule that decided, as logged.
    pub rule: u8,
    /// What happened to the two nodes, where it is not obvious.
    pub notes: Vec<&'static str>,
    /// What the rule found missing.
    pub correction: Option<Correction>,
}

impl Comparison {
    const fn plain(rule: u8, relation: Relation) -> Self {
        Self {
            relation,
            rule,
            notes: Vec::new(),
            correction: None,
        }
    }

    fn noted(rule: u8, relation: Relation, note: &'static str) -> Self {
        Self {
            notes: alloc::vec![note],
            ..Self::plain(rule, relation)
        }
    }

    fn corrected(rule: u8, relation: Relation, note: &'static str, correction: Correction) -> Self {
        Self {
            correction: Some(correction),
            ..Self::noted(rule, relation, note)
        }
    }

    const fn too_old(rule: u8) -> Self {
        Self::plain(rule, Relation::NeedsProtocol(CORRECTIONS_SINCE))
    }
}

/// Compares the own set with the peer's; bit 0 of every UUID is ignored.
pub fn compare(me: &UuidSet, peer: &PeerReport, context: &Context) -> Comparison {
    let pe = &peer.uuids;
    let fresh = |uuid: Uuid| uuid.same_generation(JUST_CREATED);
    let blank = |uuid: Uuid| fresh(uuid) || is_empty(uuid);
    if fresh(me.current) && fresh(pe.current) {
        Comparison::plain(10, Relation::Same)
    } else if blank(me.current) && !fresh(pe.current) {
        Comparison::plain(20, Relation::TargetFull)
    } else if !fresh(me.current) && blank(pe.current) {
        Comparison::plain(30, Relation::SourceFull)
    } else if me.current.same_generation(pe.current) {
        same_current(me, peer, context)
    } else {
        different_current(me, pe, context.agreed)
    }
}

/// Rules 34 to 41: the generation is the same, but one node may have missed the end of a resync,
/// or may have crashed while writing.
fn same_current(me: &UuidSet, peer: &PeerReport, context: &Context) -> Comparison {
    let pe = &peer.uuids;
    match (is_empty(me.bitmap), is_empty(pe.bitmap)) {
        (false, true) => missed_end_as_source(me, pe, context.agreed),
        (true, false) => missed_end_as_target(me, pe, context.agreed),
        (true, true) | (false, false) => after_crash(peer.flags, context),
    }
}

fn missed_end_as_source(me: &UuidSet, pe: &UuidSet, agreed: Agreed) -> Comparison {
    if agreed.version < CORRECTIONS_SINCE {
        // The kernel has no number for this case yet when it gives up.
        return Comparison::too_old(30);
    }
    let finished =
        me.bitmap.same_generation(pe.history[0]) && me.history[0].same_generation(pe.history[1]);
    if finished {
        Comparison::corrected(
            34,
            Relation::SourceBitmap,
            "was SyncSource, missed the resync finished event, corrected myself:",
            Correction::Own(retire_bitmap(me)),
        )
    } else {
        let note = "was SyncSource (peer failed to write sync_uuid)";
        Comparison::noted(36, Relation::SourceBitmap, note)
    }
}

fn missed_end_as_target(me: &UuidSet, pe: &UuidSet, agreed: Agreed) -> Comparison {
    if agreed.version < CORRECTIONS_SINCE {
        return Comparison::too_old(30);
    }
    let finished =
        me.history[0].same_generation(pe.bitmap) && me.history[1].same_generation(pe.history[0]);
    if finished {
        Comparison::corrected(
            35,
            Relation::TargetBitmap,
            "was SyncTarget, peer missed the resync finished event, corrected peer:",
            Correction::Peer(retire_bitmap(pe)),
        )
    } else {
        let note = "was SyncTarget (failed to write sync_uuid)";
        Comparison::noted(37, Relation::TargetBitmap, note)
    }
}

/// Rules 40 and 41: equal sets; the extents that were being written in a crash may differ.
fn after_crash(peer_flags: UuidFlags, context: &Context) -> Comparison {
    let own = context.crashed_primary == CrashedPrimary::Yes;
    let peers = peer_flags.contains(UuidFlags::CRASHED_PRIMARY);
    let primary_now = context.role == Role::Primary || context.peer_role == Role::Primary;
    if (own || peers) && primary_now {
        return after_crash_with_primary(context);
    }
    let relation = match (own, peers) {
        (false, false) => Relation::Same,
        (true, false) => Relation::SourceBitmap,
        (false, true) => Relation::TargetBitmap,
        (true, true) if context.tie == TieBreaker::Here => Relation::TargetBitmap,
        (true, true) => Relation::SourceBitmap,
    };
    Comparison::plain(40, relation)
}

fn after_crash_with_primary(context: &Context) -> Comparison {
    if !context.agreed.features.contains(Features::WRITE_SAME) {
        let relation = Relation::NeedsFeatures(PRIMARY_AFTER_CRASH_SINCE, Features::WRITE_SAME);
        let note = "Equivalent unrotated UUIDs, but current primary present.";
        return Comparison::noted(41, relation, note);
    }
    match (context.role, context.peer_role) {
        (Role::Primary, Role::Primary) => Comparison::noted(
            41,
            Relation::SplitBrainAmbiguous,
            "Equivalent unrotated UUIDs, but both are primary. Can not resolve this.",
        ),
        (Role::Primary, _) => Comparison::plain(41, Relation::SourceBitmap),
        _ => Comparison::plain(41, Relation::TargetBitmap),
    }
}

/// Rules 50 to 100: one generation may be an ancestor of the other.
fn different_current(me: &UuidSet, pe: &UuidSet, agreed: Agreed) -> Comparison {
    if me.current.same_generation(pe.bitmap) {
        return Comparison::plain(50, Relation::TargetBitmap);
    }
    if me.current.same_generation(pe.history[0]) && sync_uuid_lost(pe, me, agreed) {
        if agreed.version < CORRECTIONS_SINCE {
            return Comparison::too_old(51);
        }
        return Comparison::corrected(
            51,
            Relation::TargetBitmap,
            "Lost last syncUUID packet, corrected:",
            Correction::Peer(undo_sync_uuid(pe)),
        );
    }
    if pe
        .history
        .iter()
        .any(|&old| me.current.same_generation(old))
    {
        return Comparison::plain(60, Relation::TargetFull);
    }
    if me.bitmap.same_generation(pe.current) {
        return Comparison::plain(70, Relation::SourceBitmap);
    }
    if me.history[0].same_generation(pe.current) && sync_uuid_lost(me, pe, agreed) {
        if agreed.version < CORRECTIONS_SINCE {
            return Comparison::too_old(71);
        }
        return Comparison::corrected(
            71,
            Relation::SourceBitmap,
            "Last syncUUID did not get through, corrected:",
            Correction::Own(undo_sync_uuid(me)),
        );
    }
    if me
        .history
        .iter()
        .any(|&old| old.same_generation(pe.current))
    {
        return Comparison::plain(80, Relation::SourceFull);
    }
    if me.bitmap.same_generation(pe.bitmap) && !is_empty(me.bitmap) {
        return Comparison::plain(90, Relation::SplitBrain);
    }
    let common = me.history.iter().any(|&mine| {
        pe.history
            .iter()
            .any(|&theirs| mine.same_generation(theirs))
    });
    let relation = if common {
        Relation::SplitBrainAmbiguous
    } else {
        Relation::Unrelated
    };
    Comparison::plain(100, relation)
}

/// Whether `source` made a sync UUID that `target` never got.
fn sync_uuid_lost(source: &UuidSet, target: &UuidSet, agreed: Agreed) -> bool {
    if agreed.version < DERIVED_SYNC_UUID_SINCE {
        target.history[0].same_generation(source.history[1])
    } else {
        let derived = Uuid((source.history[0].0 & !1).wrapping_add(NEW_BM_OFFSET));
        derived.same_generation(source.bitmap)
    }
}

/// The set as it is after the end of a resync.
const fn retire_bitmap(set: &UuidSet) -> UuidSet {
    UuidSet {
        current: set.current,
        bitmap: Uuid::EMPTY,
        history: [set.bitmap, set.history[0]],
    }
}

/// The set as it was before the sync UUID.
const fn undo_sync_uuid(set: &UuidSet) -> UuidSet {
    UuidSet {
        current: set.current,
        bitmap: set.history[0],
        history: [set.history[1], set.history[1]],
    }
}

const fn is_empty(uuid: Uuid) -> bool {
    uuid.same_generation(Uuid::EMPTY)
}
