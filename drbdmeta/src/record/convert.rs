//! From one format to another (spec 40 section 13). Only the record is converted here; moving
//! the bitmap along, which the genuine tool forgets, is the business of `create-md`.

use drbd_types::{MdFlags, Uuid, UuidSet};

use super::{Format, Generation, GenerationCounts, PeerFlags, Record, V09};
use crate::superblock::MagicKind;

/// How dirty the old bitmap is, which decides the bitmap UUID.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dirty {
    /// No bit is set.
    Nothing,
    /// Some bits are set, and the bitmap comes along.
    Known,
}

/// The record in another format. Location fields are left for the caller.
pub fn convert(record: Record, to: Format, dirty: Dirty) -> Record {
    let generation = match (record.generation, to) {
        (Generation::Counts(gc), Format::V08) => uuids_from_counts(gc, dirty),
        (Generation::Nodes(nodes), Format::V08) => uuids_from_nodes(&nodes),
        (_, Format::V06 | Format::V07) => Generation::Counts(GenerationCounts::default()),
        (same, _) => same,
    };
    Record {
        format: to,
        generation,
        magic: MagicKind::Clean,
        ..record
    }
}

/// The counters become a UUID from which both nodes of a pair derive the same history.
fn uuids_from_counts(gc: GenerationCounts, dirty: Dirty) -> Generation {
    let [human, timeout, connected, arbitrary] = gc.counts.map(|c| u64::from(c & 0xffff));
    let young = (connected + arbitrary) & 0xffff;
    let current = human << 48 | timeout << 32 | young << 16 | 0xbabe;
    let older = |n: u64| Uuid(current.wrapping_sub(n * 0x10000));
    let (bitmap, history) = match dirty {
        Dirty::Nothing => (Uuid::EMPTY, [older(1), older(2)]),
        Dirty::Known => (older(1), [older(2), older(3)]),
    };
    Generation::Uuids {
        uuids: UuidSet {
            current: Uuid(current),
            bitmap,
            history,
        },
        flags: gc.flags,
    }
}

/// v08 flag and v09 peer flag that mean the same.
const PEER_FLAGS: [(MdFlags, PeerFlags); 3] = [
    (MdFlags::CONNECTED_IND, PeerFlags::CONNECTED),
    (MdFlags::FULL_SYNC, PeerFlags::FULL_SYNC),
    (MdFlags::PEER_OUT_DATED, PeerFlags::OUTDATED),
];

/// The genuine tool takes node 0 for the peer, whoever it is; the bitmap belongs to the peer with
/// bitmap slot 0, and that one is taken if there is any.
fn uuids_from_nodes(nodes: &V09) -> Generation {
    let peer = nodes
        .peers
        .iter()
        .find(|peer| peer.bitmap_index == 0)
        .unwrap_or(&nodes.peers[0]);
    let mut flags = MdFlags::from_bits_retain(nodes.flags.bits());
    for (ours, theirs) in PEER_FLAGS {
        if peer.flags.contains(theirs) {
            flags.insert(ours);
        }
    }
    Generation::Uuids {
        uuids: UuidSet {
            current: nodes.current_uuid,
            bitmap: peer.bitmap_uuid,
            history: [nodes.history[0], nodes.history[1]],
        },
        flags,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_counts(flags: u32, counts: [u32; 4], dirty: Dirty) -> String {
        let gc = GenerationCounts {
            flags: MdFlags::from_bits_retain(flags),
            counts,
        };
        match uuids_from_counts(gc, dirty) {
            Generation::Uuids { uuids, flags } => format!("{uuids}:{:x}", flags.bits()),
            _ => unreachable!("counts become UUIDs"),
        }
    }

    #[test]
    fn counters_become_the_uuids_that_the_genuine_tool_computes() {
        // Spec 40 section 13, captured.
        assert_eq!(
            from_counts(3, [2, 3, 4, 5], Dirty::Nothing),
            "000200030009BABE:0000000000000000:000200030008BABE:000200030007BABE:3"
        );
        assert_eq!(
            from_counts(0, [1; 4], Dirty::Nothing),
            "000100010002BABE:0000000000000000:000100010001BABE:000100010000BABE:0"
        );
    }

    #[test]
    fn dirty_bits_put_the_previous_generation_into_the_bitmap_slot() {
        // So that a peer one connection behind is resynced from the bitmap (spec 60).
        assert_eq!(
            from_counts(3, [2, 3, 4, 5], Dirty::Known),
            "000200030009BABE:000200030008BABE:000200030007BABE:000200030006BABE:3"
        );
    }

    #[test]
    fn the_peer_that_owns_the_bitmap_gives_its_uuid() {
        let mut block = [0; crate::superblock::SUPERBLOCK_BYTES];
        block[60..64].copy_from_slice(&crate::superblock::MAGIC_V09.to_be_bytes());
        let Generation::Nodes(mut nodes) = Record::parse(Format::V09, &block).unwrap().generation
        else {
            unreachable!("a v09 block")
        };
        for peer in &mut nodes.peers {
            peer.bitmap_index = -1;
        }
        nodes.peers[0].bitmap_uuid = Uuid(1);
        nodes.peers[3].bitmap_uuid = Uuid(3);
        let bitmap = |nodes: &V09| match uuids_from_nodes(nodes) {
            Generation::Uuids { uuids, .. } => uuids.bitmap,
            _ => unreachable!("v08 has UUIDs"),
        };
        assert_eq!(bitmap(&nodes), Uuid(1));
        nodes.peers[3].bitmap_index = 0;
        assert_eq!(bitmap(&nodes), Uuid(3));
    }
}
