//! Any bytes are a log: replaying them ends, and what it calls active was named by a valid block.

use std::collections::BTreeSet;

use drbdmeta::activity_log::{FREE, ValidBlock, old, replay};
use drbdmeta::layout::Striping;

/// The first five bytes are striping and number of slots, the rest is the log. Checksums that are
/// wrong are set right: otherwise hardly any block would be looked at.
pub fn replay_all(data: &[u8]) {
    let Some((&[stripes, blocks, slots @ .., repair], log)) = data.split_first_chunk::<5>() else {
        return;
    };
    let Some(striping) = Striping::new(u32::from(stripes) + 1, u32::from(blocks)) else {
        return;
    };
    let mut log = log.to_vec();
    if repair & 1 == 1 {
        for block in log.as_chunks_mut::<4096>().0 {
            seal(block);
        }
    }
    ring(&log, striping);
    sectors(&mut log, u16::from_le_bytes(slots).into(), repair);
}

fn seal(block: &mut [u8; 4096]) {
    block[..4].copy_from_slice(&drbdmeta::activity_log::MAGIC.to_be_bytes());
    // The checksum that is computed is told by the refusal.
    if let Err(drbdmeta::activity_log::BlockError::Checksum { computed, .. }) =
        ValidBlock::parse(block)
    {
        block[8..12].copy_from_slice(&computed.to_be_bytes());
    }
    assert!(ValidBlock::parse(block).is_ok(), "sealed");
}

fn ring(log: &[u8], striping: Striping) {
    let Ok(replay::Replay::Hot(hot)) = replay::replay(log, striping, |_| ()) else {
        return;
    };
    let valid: Vec<ValidBlock<'_>> = log
        .as_chunks::<4096>()
        .0
        .iter()
        .filter_map(|block| ValidBlock::parse(block).ok())
        .collect();
    let named: BTreeSet<u32> = valid
        .iter()
        .flat_map(|block| {
            let context = block.context().map(|(_, extent)| extent);
            context.chain(block.updates().map(|update| update.extent))
        })
        .collect();
    assert!(!hot.contains(&FREE), "a free slot is not active");
    assert!(
        hot.is_subset(&named),
        "active extents stem from valid blocks"
    );
}

fn sectors(log: &mut [u8], slots: u32, repair: u8) {
    if repair & 2 == 2 {
        for sector in log.as_chunks_mut::<512>().0 {
            sector[..4].copy_from_slice(&old::MAGIC.to_be_bytes());
            let sum = old::Sector::read(sector)
                .entries()
                .fold(0, |sum, (_, extent)| sum ^ extent);
            sector[504..508].copy_from_slice(&sum.to_be_bytes());
            assert!(old::Sector::read(sector).is_valid(), "sealed");
        }
    }
    let outcome = old::replay(log, slots);
    assert!(
        outcome.invalid <= old::used_sectors(slots),
        "no more than are used"
    );
    assert!(outcome.hot.is_none_or(|hot| !hot.contains(&FREE)), "free");
}
