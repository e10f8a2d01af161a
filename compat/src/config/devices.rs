//! Device nodes.

use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt},
};

/// The major number of DRBD devices.
const DRBD_MAJOR: u64 = 147;

/// The minor of an existing node, if it is one of DRBD.
pub(super) fn drbd_minor(path: &str) -> Option<u32> {
    let node = fs::metadata(path).ok()?;
    if !node.file_type().is_block_device() {
        return None;
    }
    // Linux: 12 bits of the major at 8 and the rest above 32; the minor around them.
    let rdev = node.rdev();
    let major = (rdev >> 8 & 0xfff) | (rdev >> 32 & !0xfff);
    let minor = (rdev & 0xff) | (rdev >> 12 & 0xffff_ff00);
    (major == DRBD_MAJOR)
        .then(|| u32::try_from(minor).ok())
        .flatten()
}
