//! Any 4096 bytes are a superblock or not; what is one encodes to the same meaning, and what the
//! rules accept lies inside of the device.

use drbd_types::ByteCount;
use drbdmeta::layout::Placement;
use drbdmeta::record::{Format, Record, validate};
use drbdmeta::superblock::{SUPERBLOCK_BYTES, Superblock};

/// The first eight bytes are the size of the device, the ninth the placement.
pub fn parse_judge_encode(data: &[u8]) {
    let Some((head, rest)) = data.split_first_chunk::<9>() else {
        return;
    };
    let [size @ .., place] = *head;
    let size = ByteCount(u64::from_le_bytes(size));
    let placement = match place {
        0 => Placement::FixedInternal,
        1 => Placement::FlexInternal,
        2 => Placement::FlexExternal,
        n => Placement::Indexed(n),
    };
    let mut block = [0; SUPERBLOCK_BYTES];
    let length = rest.len().min(block.len());
    block[..length].copy_from_slice(&rest[..length]);
    for format in Format::ALL {
        if let Some(record) = Record::parse(format, &block) {
            record_holds(&record, placement, size);
        }
    }
    if let Ok(superblock) = Superblock::parse(&block) {
        attach_holds(&superblock, placement, size);
    }
}

fn record_holds(record: &Record, placement: Placement, size: ByteCount) {
    let mut same = record.clone();
    if record.format == Format::V07 {
        // On disk in KiB.
        same.effective_size.0 &= !1;
        same.md_size_sect &= !1;
    }
    let again = Record::parse(record.format, &same.encode());
    assert_eq!(again.as_ref(), Some(&same), "written and read");
    let verdict = validate::judge(record, placement, size);
    assert!(
        verdict.valid || !verdict.remarks.is_empty(),
        "a refusal has a reason"
    );
    if verdict.valid {
        assert!(
            record.al_sectors() <= validate::MAX_AL_BLOCKS * 8,
            "a log of bounded size"
        );
        assert_eq!(record.bm_bytes_per_bit, 4096, "the one granularity");
    }
}

fn attach_holds(superblock: &Superblock, placement: Placement, size: ByteCount) {
    let at = drbdmeta::layout::superblock_byte(size, placement);
    let Ok(at) = u64::try_from(at) else { return };
    let place = drbd_types::Sector(at / 512);
    let Ok(areas) = superblock.areas(placement, place, size) else {
        return;
    };
    let sectors = size.0 / 512;
    let inside = |start: u64, length: u64| start.checked_add(length).is_some_and(|e| e <= sectors);
    assert!(
        inside(areas.activity_log.0, areas.activity_log_len.0),
        "the log is on the device"
    );
    assert!(
        inside(areas.bitmap.0, areas.bitmap_len.0),
        "the bitmap is on the device"
    );
}
