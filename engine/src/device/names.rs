//! The files under `/dev` by which a device is known (design section 2, spec 70 sections 5.1, 5.2, 9.2).
//!
//! `/dev/drbdN` is a block special file of its own, never a symlink, because init scripts skip
//! symlinks and `mount`, `df` and `pvs` print what they resolve to. While the device is closed the
//! node carries DRBD's own number 147:N, which no driver serves here: it satisfies `test -b`, and
//! opening it fails with `ENXIO`.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use drbd_types::Minor;
use rustix::fs::{CWD, Dev, FileType, Mode, OFlags, makedev, mknodat};

use super::DevicePaths;

/// DRBD's registered block major.
const DRBD_MAJOR: u32 = 147;

/// Access rights of a node, as distributions' udev rules set them.
const NODE_MODE: u32 = 0o660;

/// Major and minor number of a block device.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DeviceNumber {
    /// Which driver.
    pub major: u32,
    /// Which of its devices.
    pub minor: u32,
}

impl DeviceNumber {
    /// The number of the node while the device is closed.
    pub const fn closed(minor: Minor) -> Self {
        Self {
            major: DRBD_MAJOR,
            minor: minor.0,
        }
    }

    /// The form that system calls use.
    pub fn to_raw(self) -> Dev {
        makedev(self.major, self.minor)
    }
}

impl fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// Makes the node carry `number`, replacing an older node at once, so that its path always exists.
///
/// Anything else than a block special file at that path is refused: it is not ours.
pub fn publish_node(paths: &DevicePaths, minor: Minor, number: DeviceNumber) -> io::Result<()> {
    let node = paths.node(minor);
    let fresh = private_node(paths, minor, number)?;
    let old = fs::symlink_metadata(&node);
    if old.is_ok_and(|old| !old.file_type().is_block_device() && !old.file_type().is_symlink()) {
        fs::remove_file(&fresh)?;
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "exists and is not a block device",
        ));
    }
    fs::rename(&fresh, &node)
}

/// A node for the engine's own use, beside the public one: `/dev` is the one place where opening a
/// device is surely not forbidden by a mount option. The caller removes or renames it.
fn private_node(paths: &DevicePaths, minor: Minor, number: DeviceNumber) -> io::Result<PathBuf> {
    let path = paths.dev_dir.join(format!(".drbd{minor}.new"));
    remove_if_there(&path)?;
    let mode = Mode::from_raw_mode(0o600);
    mknodat(CWD, &path, FileType::BlockDevice, mode, number.to_raw())?;
    if let Some(group) = group_id("disk") {
        chown(&path, None, Some(group))?;
    }
    fs::set_permissions(&path, Permissions::from_mode(NODE_MODE))?;
    Ok(path)
}

/// Makes all symlinks of `paths`, replacing what they pointed to before.
pub fn publish_links(paths: &DevicePaths, minor: Minor) -> io::Result<()> {
    for link in &paths.links {
        let path = paths.dev_dir.join(link);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        remove_if_there(&path)?;
        symlink(target(link, minor), &path)?;
    }
    Ok(())
}

/// Removes the node and those links that still point to it, then the directories left empty.
pub fn withdraw(paths: &DevicePaths, minor: Minor) -> io::Result<()> {
    withdraw_links(paths, minor)?;
    remove_if_there(&paths.node(minor))
}

/// Removes those links that still point to the node of this minor, and directories left empty.
pub fn withdraw_links(paths: &DevicePaths, minor: Minor) -> io::Result<()> {
    for link in &paths.links {
        let path = paths.dev_dir.join(link);
        if fs::read_link(&path).is_ok_and(|to| to == target(link, minor)) {
            remove_if_there(&path)?;
        }
        let ancestors = link.ancestors().skip(1);
        for directory in ancestors.filter(|d| !d.as_os_str().is_empty()) {
            // Fails, as it should, when other devices have links there.
            if fs::remove_dir(paths.dev_dir.join(directory)).is_err() {
                break;
            }
        }
    }
    Ok(())
}

/// Opens the block device with this number, whether or not `/dev` has a node for it.
pub fn open_by_number(
    paths: &DevicePaths,
    minor: Minor,
    number: DeviceNumber,
    flags: OFlags,
) -> io::Result<File> {
    let public = paths.node(minor);
    let (path, private) = if number_of(&public) == Some(number) {
        (public, false)
    } else {
        (private_node(paths, minor, number)?, true)
    };
    let opened = rustix::fs::open(&path, flags | OFlags::CLOEXEC, Mode::empty());
    if private {
        fs::remove_file(&path)?;
    }
    Ok(File::from(opened?))
}

/// The number of the disk called `name` in `/sys/block`.
pub fn number_in_sysfs(name: &OsStr) -> io::Result<DeviceNumber> {
    let text = fs::read_to_string(Path::new("/sys/block").join(name).join("dev"))?;
    let number = text.trim_end().split_once(':');
    let number = number.and_then(|(major, minor)| {
        Some(DeviceNumber {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
        })
    });
    number.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not a device number"))
}

/// The number of the block device at this path, if there is one.
fn number_of(path: &Path) -> Option<DeviceNumber> {
    let metadata = fs::symlink_metadata(path).ok()?;
    let device = metadata.file_type().is_block_device();
    device.then(|| DeviceNumber {
        major: rustix::fs::major(metadata.rdev()),
        minor: rustix::fs::minor(metadata.rdev()),
    })
}

/// The relative target of a link: `../../drbd0` from `drbd/by-res/r0`.
fn target(link: &Path, minor: Minor) -> PathBuf {
    let depth = link.components().count().saturating_sub(1);
    let up: PathBuf = std::iter::repeat_n("..", depth).collect();
    up.join(format!("drbd{minor}"))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

fn group_id(name: &str) -> Option<u32> {
    let groups = fs::read_to_string("/etc/group").ok()?;
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use drbd_types::VolumeNr;

    fn paths(dir: &Path) -> DevicePaths {
        DevicePaths {
            dev_dir: dir.to_path_buf(),
            ..DevicePaths::new(dir)
        }
    }

    #[test]
    fn links_are_named_as_udev_names_them_in_8_4() {
        let paths = DevicePaths::new("/run/drbd")
            .by_resource("r0", None)
            .by_resource("two", Some(VolumeNr(1)))
            .by_disk(Path::new("/dev/vg/lv"))
            .by_disk(Path::new("/srv/disk.img"));
        let expected = [
            "drbd/by-res/r0",
            "drbd/by-res/two/1",
            "drbd/by-disk/vg/lv",
            "drbd/by-disk/srv/disk.img",
        ];
        assert_eq!(paths.links, expected.map(PathBuf::from));
    }

    #[test]
    fn links_are_relative_and_vanish_with_their_directories() {
        let dir = tempfile::tempdir().unwrap();
        let paths = paths(dir.path()).by_resource("two", Some(VolumeNr(1)));
        publish_links(&paths, Minor(7)).unwrap();
        publish_links(&paths, Minor(7)).unwrap();
        let link = dir.path().join("drbd/by-res/two/1");
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("../../../drbd7"));
        withdraw_links(&paths, Minor(7)).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_link_that_meanwhile_belongs_to_another_minor_stays() {
        let dir = tempfile::tempdir().unwrap();
        let paths = paths(dir.path()).by_resource("r0", None);
        publish_links(&paths, Minor(1)).unwrap();
        publish_links(&paths, Minor(2)).unwrap();
        withdraw_links(&paths, Minor(1)).unwrap();
        let link = dir.path().join("drbd/by-res/r0");
        assert_eq!(fs::read_link(link).unwrap(), Path::new("../../drbd2"));
    }

    #[test]
    fn a_regular_file_in_place_of_the_node_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let paths = paths(dir.path());
        fs::write(paths.node(Minor(3)), "precious").unwrap();
        assert!(publish_node(&paths, Minor(3), DeviceNumber::closed(Minor(3))).is_err());
        assert_eq!(fs::read(paths.node(Minor(3))).unwrap(), b"precious");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
