//! What the two FUSE file systems, that of the devices and `/proc/drbd`, have in common: a root
//! directory with one file.

use std::time::UNIX_EPOCH;

use drbd_types::ByteCount;
use drbd_types::units::SECTOR_BYTES;
use fuser::{FileAttr, FileType, INodeNo};

/// The inode of the one file.
pub const FILE: INodeNo = INodeNo(2);

/// Attributes of something that belongs to root and has no history.
pub const fn attributes(inode: INodeNo, kind: FileType, perm: u16, size: ByteCount) -> FileAttr {
    FileAttr {
        ino: inode,
        size: size.0,
        blocks: size.0 / SECTOR_BYTES,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind,
        perm,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}
