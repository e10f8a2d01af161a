//! Opening and checking the devices of a volume, in the order of the kernel (spec 30 section 5.3,
//! spec 40 section 7.3). Nothing is written here.

use std::fs::Metadata;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use drbd_control::RetCode;
use drbd_core::StoredBitmap;
use drbd_core::input::{DiscardSupport, DiskImage};
use drbd_types::{BitNr, ByteCount, Sector, SectorCount};
use drbdmeta::bitmap;
use drbdmeta::device::{Caching, Claim, MetaDevice, OpenError, PageBuffer};
use drbdmeta::layout::{self, Areas, Placement};
use drbdmeta::superblock::{self, Superblock};

use super::Store;
use crate::device::{Discard, Features, LogicalBlock};

/// The most that one request to a backing device carries.
const MAX_IO: u32 = 1 << 20;
/// The most that one discard covers: what a peer without the feature WRITE_SAME takes
/// (spec 60 section 8.6).
const LARGEST_DISCARD: u32 = 4 << 20;
/// No flexible meta-data device may be smaller.
const SMALLEST_META: SectorCount = SectorCount(2048);

/// What `attach` names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Devices {
    /// The backing device.
    pub data: PathBuf,
    /// The meta-data device.
    pub meta: PathBuf,
    /// Where the meta-data lies there.
    pub placement: Placement,
}

/// Why the devices cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{log}")]
pub struct AttachError {
    /// For the client.
    pub code: RetCode,
    /// For the log.
    pub log: String,
}

/// A meta-data device, and where on it what lies.
struct Located {
    superblock: Superblock,
    at: Sector,
    areas: Areas,
}

/// Opens both devices and reads what the core wants to know. `transaction` is the number of the
/// minor's next activity-log transaction: it goes on counting over detach and attach.
pub fn attach(devices: &Devices, transaction: u32) -> Result<(Store, DiskImage), AttachError> {
    let refused = |code, log: String| AttachError { code, log };
    let data = open(&devices.data, Claim::Attach)
        .map_err(|e| refused(RetCode::OpenDisk, e.to_string()))?;
    let same = is_same(&devices.data, &devices.meta);
    let meta = match (same, devices.placement) {
        (true, _) if devices.placement.is_internal() => None,
        (_, Placement::Indexed(slot)) => Some(Claim::Slot(slot)),
        _ => Some(Claim::Attach),
    };
    if same && !devices.placement.is_internal() {
        let log = format!("{}: already claimed", devices.meta.display());
        return Err(refused(RetCode::OpenMdDisk, log));
    }
    let meta = meta
        .map(|claim| open(&devices.meta, claim))
        .transpose()
        .map_err(|e| refused(RetCode::OpenMdDisk, e.to_string()))?;
    if same != devices.placement.is_internal() {
        let log = "backing device and meta device must be the same exactly for internal meta-data";
        return Err(refused(RetCode::MdIdxInvalid, log.into()));
    }
    let on = meta.as_ref().unwrap_or(&data);
    let located = locate(on, devices.placement)?;
    check_size(on, devices.placement)?;
    let bitmap = read_bitmap(on, &located)?;
    let image = image(devices, &data, &located, bitmap);
    let features = features(&data, image.discard);
    let data_file: Arc<OwnedFd> = Arc::new(data.into_file().into());
    let meta_file = match meta {
        Some(meta) => Arc::new(meta.into_file().into()),
        None => Arc::clone(&data_file),
    };
    let store = Store {
        data: data_file,
        meta: meta_file,
        features,
        superblock: located.superblock,
        at: located.at,
        areas: located.areas,
        next_transaction: transaction,
    };
    Ok((store, image))
}

/// Bypasses the page cache wherever the file system can.
fn open(path: &Path, claim: Claim) -> Result<MetaDevice, OpenError> {
    match MetaDevice::open(path, claim, Caching::Direct) {
        Err(OpenError::Open { error, .. }) if error.raw_os_error() == Some(libc::EINVAL) => {
            MetaDevice::open(path, claim, Caching::Cached)
        }
        other => other,
    }
}

/// Whether both paths lead to one device or file.
fn is_same(data: &Path, meta: &Path) -> bool {
    let identity = |m: Metadata| match m.file_type().is_block_device() {
        true => (0, m.rdev()),
        false => (m.dev(), m.ino()),
    };
    match (data.metadata(), meta.metadata()) {
        (Ok(a), Ok(b)) => identity(a) == identity(b),
        _ => data == meta,
    }
}

fn locate(device: &MetaDevice, placement: Placement) -> Result<Located, AttachError> {
    let invalid = |log: String| AttachError {
        code: RetCode::MdInvalid,
        log,
    };
    let position = layout::superblock_byte(device.size(), placement);
    let byte = u64::try_from(position)
        .ok()
        .filter(|byte| {
            byte.checked_add(layout::BLOCK_BYTES)
                .is_some_and(|end| end <= device.size().0)
        })
        .ok_or_else(|| AttachError {
            code: RetCode::IoMdDisk,
            log: "Error while reading metadata.".into(),
        })?;
    let mut page = PageBuffer::new(superblock::SUPERBLOCK_BYTES);
    device
        .read_at(ByteCount(byte), &mut page)
        .map_err(|_| AttachError {
            code: RetCode::IoMdDisk,
            log: "Error while reading metadata.".into(),
        })?;
    let block = page
        .first_chunk()
        .ok_or_else(|| invalid("a page is 4096 bytes".into()))?;
    let parsed = Superblock::parse(block).map_err(|_| {
        // The kernel finds a block of 0.7 in the same way: no magic where it belongs.
        invalid("Meta data magic not found. Did you \"drbdadm create-md\"?".into())
    })?;
    if parsed.needs_apply_al() {
        return Err(AttachError {
            code: RetCode::MdUnclean,
            log: "Found unclean meta data. Did you \"drbdadm apply-al\"?".into(),
        });
    }
    let at = Sector(byte / 512);
    let areas = parsed
        .areas(placement, at, device.size())
        .map_err(|e| invalid(e.to_string()))?;
    Ok(Located {
        superblock: parsed,
        at,
        areas,
    })
}

/// Order 9 of spec 40 section 7.3.
fn check_size(device: &MetaDevice, placement: Placement) -> Result<(), AttachError> {
    let needed = match placement {
        Placement::Indexed(n) => SectorCount(layout::SLOT_SECTORS * (u64::from(n) + 1)),
        _ => SMALLEST_META,
    };
    if device.size().0 / 512 >= needed.0 {
        return Ok(());
    }
    Err(AttachError {
        code: RetCode::MdDiskTooSmall,
        log: format!(
            "refusing attach: md-device too small, at least {needed} sectors needed for this meta-disk type"
        ),
    })
}

/// The bitmap of the last agreed size; bits beyond the end are cleared.
fn read_bitmap(device: &MetaDevice, located: &Located) -> Result<StoredBitmap, AttachError> {
    let failed = || AttachError {
        code: RetCode::IoMdDisk,
        log: "reading the bitmap failed".into(),
    };
    let agreed = located.superblock.effective_size;
    let used = bitmap::bytes_used(agreed).0;
    let room = located.areas.bitmap_len.0.saturating_mul(512);
    if used > room {
        return Err(failed());
    }
    let start = located.areas.bitmap.0 * 512;
    let mut stored = StoredBitmap::default();
    let mut chunk = PageBuffer::new(bitmap::CHUNK_BYTES);
    let mut done = 0;
    while done < used {
        let rest = used - done;
        // Whole sectors for direct I/O; the area is at least that long.
        let length = rest.next_multiple_of(512).min(bitmap::CHUNK_BYTES as u64);
        let bytes = &mut chunk[..length as usize];
        device
            .read_at(ByteCount(start + done), bytes)
            .map_err(|_| failed())?;
        bitmap::clear_from(bytes, ByteCount(done), BitNr(agreed.bits()));
        let useful = rest.min(length) as usize;
        stored.extend(bitmap::words(&bytes[..useful]));
        done += useful as u64;
    }
    Ok(stored)
}

fn image(
    devices: &Devices,
    data: &MetaDevice,
    located: &Located,
    bitmap: StoredBitmap,
) -> DiskImage {
    let sb = &located.superblock;
    let describable = located
        .areas
        .bitmap_len
        .0
        .saturating_mul(layout::SECTORS_PER_BITMAP_SECTOR);
    let name = devices.data.file_name().unwrap_or(devices.data.as_os_str());
    DiskImage {
        capacity: located.areas.usable(data.size()),
        last_agreed: sb.effective_size,
        uuids: sb.uuids,
        flags: sb.flags,
        bitmap,
        bitmap_capacity: SectorCount(describable),
        al_slots_max: u32::from(sb.striping().unwrap_or_default().max_slots()),
        max_io: MAX_IO,
        peer_max_bio: sb.la_peer_max_bio_size,
        discard: discard_support(&devices.data),
        name: name.to_string_lossy().into_owned(),
    }
}

fn features(data: &MetaDevice, discard: DiscardSupport) -> Features {
    Features {
        // A disk that does not tell can do what every disk can.
        block: match data.logical_block() {
            Ok(4096) => LogicalBlock::Bytes4096,
            _ => LogicalBlock::Bytes512,
        },
        discard: match discard {
            DiscardSupport::None => Discard::Unsupported,
            DiscardSupport::Undefined | DiscardSupport::Zeroes => Discard::Supported {
                largest: LARGEST_DISCARD,
            },
        },
    }
}

/// A discard is carried out as "make it read as zeroes, giving the space back", so whoever can do
/// it at all returns zeroes afterwards.
fn discard_support(path: &Path) -> DiscardSupport {
    let Ok(metadata) = path.metadata() else {
        return DiscardSupport::None;
    };
    if !metadata.file_type().is_block_device() {
        return DiscardSupport::Zeroes;
    }
    let (major, minor) = (
        rustix::fs::major(metadata.rdev()),
        rustix::fs::minor(metadata.rdev()),
    );
    let limit = format!("/sys/dev/block/{major}:{minor}/queue/discard_max_bytes");
    let limit = std::fs::read_to_string(limit).unwrap_or_default();
    match limit.trim().parse::<u64>() {
        Ok(bytes) if bytes > 0 => DiscardSupport::Zeroes,
        _ => DiscardSupport::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drbd_types::{MdFlags, Uuid};
    use drbdmeta::layout::{Layout, Striping};
    use drbdmeta::superblock::MagicKind;
    use std::os::unix::fs::FileExt;

    const SIZE: u64 = 64 << 20;

    fn disk(change: impl FnOnce(&mut Superblock)) -> tempfile::NamedTempFile {
        let file = blank(SIZE);
        write_fresh(&file, SIZE, Placement::FlexInternal, change);
        file
    }

    fn blank(size: u64) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(size).unwrap();
        file
    }

    fn write_fresh(
        file: &tempfile::NamedTempFile,
        size: u64,
        placement: Placement,
        change: impl FnOnce(&mut Superblock),
    ) {
        let layout = Layout::compute(ByteCount(size), placement, Striping::DEFAULT).unwrap();
        let mut sb = Superblock::fresh(&layout, Striping::DEFAULT);
        change(&mut sb);
        let block = sb.encode(sb.magic);
        let at = layout.superblock.0 * 512;
        file.as_file().write_all_at(&block, at).unwrap();
    }

    fn internal(file: &tempfile::NamedTempFile) -> Devices {
        Devices {
            data: file.path().into(),
            meta: file.path().into(),
            placement: Placement::FlexInternal,
        }
    }

    fn code(devices: &Devices) -> RetCode {
        attach(devices, 0).map(drop).unwrap_err().code
    }

    #[test]
    fn a_fresh_disk_attaches_with_the_capacity_of_the_spec() {
        let file = disk(|_| {});
        let (_store, image) = attach(&internal(&file), 0).unwrap();
        // Spec 40 section 2: a device of 64 MiB.
        assert_eq!(image.capacity, SectorCount(130_992));
        assert_eq!(image.last_agreed, SectorCount(0));
        assert_eq!(image.uuids.current, Uuid(4));
        assert_eq!(image.al_slots_max, 6433);
        assert!(image.bitmap.is_empty());
    }

    #[test]
    fn the_bitmap_of_the_agreed_size_is_read_without_the_bits_behind_its_end() {
        let file = disk(|sb| sb.effective_size = SectorCount(1000));
        let at = SIZE - 4096 - 72 * 512;
        file.as_file().write_all_at(&[0xff; 32], at).unwrap();
        let (_store, image) = attach(&internal(&file), 0).unwrap();
        // 1000 sectors are 125 bits: two words, the second with 61.
        assert!(image.bitmap.words().eq([u64::MAX, (1 << 61) - 1]));
    }

    #[test]
    fn each_kind_of_unusable_disk_has_its_code() {
        let missing = Devices {
            data: "/nonexistent".into(),
            meta: "/nonexistent".into(),
            placement: Placement::FlexInternal,
        };
        assert_eq!(code(&missing), RetCode::OpenDisk);
        let unclean = disk(|sb| sb.magic = MagicKind::InUse);
        assert_eq!(code(&internal(&unclean)), RetCode::MdUnclean);
        let unclean = disk(|sb| sb.flags.remove(MdFlags::AL_CLEAN));
        assert_eq!(code(&internal(&unclean)), RetCode::MdUnclean);
        let odd = disk(|sb| sb.bm_offset = -60);
        assert_eq!(code(&internal(&odd)), RetCode::MdInvalid);
        let blank = blank(SIZE);
        assert_eq!(code(&internal(&blank)), RetCode::MdInvalid);
        let good = disk(|_| {});
        let indexed = Devices {
            placement: Placement::Indexed(0),
            ..internal(&good)
        };
        assert_eq!(code(&indexed), RetCode::OpenMdDisk);
        let external = Devices {
            meta: blank.path().into(),
            ..internal(&good)
        };
        assert_eq!(code(&external), RetCode::MdIdxInvalid);
    }

    #[test]
    fn a_disk_that_is_attached_cannot_be_attached_again() {
        let file = disk(|_| {});
        let _first = attach(&internal(&file), 0).unwrap();
        assert_eq!(code(&internal(&file)), RetCode::OpenDisk);
    }

    #[test]
    fn a_slot_of_a_shared_device_belongs_to_one_volume() {
        let size = 2 * layout::SLOT_SECTORS * 512;
        let shared = blank(size);
        let on_slot = |slot, data: &tempfile::NamedTempFile| Devices {
            data: data.path().into(),
            meta: shared.path().into(),
            placement: Placement::Indexed(slot),
        };
        for slot in [0, 1] {
            write_fresh(&shared, size, Placement::Indexed(slot), |_| {});
        }
        let data = [blank(SIZE), blank(SIZE), blank(SIZE)];
        let first = attach(&on_slot(0, &data[0]), 0).unwrap();
        assert_eq!(code(&on_slot(0, &data[1])), RetCode::OpenMdDisk);
        let _second = attach(&on_slot(1, &data[1]), 0).unwrap();
        drop(first);
        let _again = attach(&on_slot(0, &data[2]), 0).unwrap();
    }
}
