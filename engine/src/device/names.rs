//! The files under `/dev` by which a device is known (design section 2, spec 70 sections 5.1, 5.2, 9.2).
//!
//! `/dev/drbdN` is a block special file of its own, never a symlink, because init scripts skip
//! symlinks and `mount`, `df` and `pvs` print what they resolve to. While the device is closed the
//! node carries the number 0:N: it satisfies `test -b`, and opening it fails with `ENXIO`, because no
//! block driver ever has major 0. DRBD's own 147:N would do as well, except that opening it makes
//! the kernel load `drbd.ko` where that is installed.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use drbd_types::Minor;
use rustix::fs::{CWD, Dev, FileType, Mode, OFlags, makedev, mknodat};

use super::DevicePaths;

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
    const fn closed(minor: Minor) -> Self {
        Self {
            major: 0,
            minor: minor.0,
        }
    }

    fn to_raw(self) -> Dev {
        makedev(self.major, self.minor)
    }
}

impl fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// The names of one device.
pub struct Names {
    minor: Minor,
    dev_dir: PathBuf,
    links: Mutex<Vec<PathBuf>>,
}

impl Names {
    /// Publishes the closed node and the links.
    pub fn publish(minor: Minor, paths: &DevicePaths) -> io::Result<Self> {
        let names = Self {
            minor,
            dev_dir: paths.dev_dir.clone(),
            links: Mutex::default(),
        };
        names.set_closed()?;
        names.set_links(paths.links.clone())?;
        Ok(names)
    }

    /// Makes the node one that cannot be opened.
    pub fn set_closed(&self) -> io::Result<()> {
        self.set_number(DeviceNumber::closed(self.minor))
    }

    /// Makes the node carry `number`, replacing an older node at once, so that its path always
    /// exists. What is neither a block special file nor a symlink is refused: it is not ours.
    pub fn set_number(&self, number: DeviceNumber) -> io::Result<()> {
        let node = self.node();
        if fs::symlink_metadata(&node).is_ok_and(|old| {
            let kind = old.file_type();
            !kind.is_block_device() && !kind.is_symlink()
        }) {
            let text = "exists and is not a block device";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        fs::rename(self.make_private(number)?, &node)
    }

    /// Makes these the symlinks of the device, and removes those it had before.
    pub fn set_links(&self, links: Vec<PathBuf>) -> io::Result<()> {
        let mut current = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let plain = |link: &PathBuf| link.components().all(|c| matches!(c, Component::Normal(_)));
        if !links.iter().all(plain) {
            let text = "a link outside of /dev";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let old = std::mem::replace(&mut *current, links);
        for link in old.iter().filter(|link| !current.contains(link)) {
            self.remove_link(link)?;
        }
        current.iter().try_for_each(|link| self.make_link(link))
    }

    /// Removes the links that still point to the node, and the node.
    pub fn withdraw(&self) -> io::Result<()> {
        self.set_links(Vec::new())?;
        remove_if_there(&self.node())
    }

    /// Opens the block device with this number, whether or not `/dev` has a node for it.
    pub fn open(&self, number: DeviceNumber, flags: OFlags) -> io::Result<File> {
        let public = self.node();
        let (path, private) = if number_of(&public) == Some(number) {
            (public, false)
        } else {
            (self.make_private(number)?, true)
        };
        let opened = rustix::fs::open(&path, flags | OFlags::CLOEXEC, Mode::empty());
        if private {
            fs::remove_file(&path)?;
        }
        Ok(File::from(opened?))
    }

    fn node(&self) -> PathBuf {
        self.dev_dir.join(format!("drbd{}", self.minor))
    }

    /// A node beside the public one: `/dev` is the one place where opening a device is surely not
    /// forbidden by a mount option. The caller renames or removes it.
    fn make_private(&self, number: DeviceNumber) -> io::Result<PathBuf> {
        let path = self.dev_dir.join(format!(".drbd{}.new", self.minor));
        remove_if_there(&path)?;
        let mode = Mode::from_raw_mode(0o600);
        mknodat(CWD, &path, FileType::BlockDevice, mode, number.to_raw())?;
        if let Some(group) = group_id("disk") {
            chown(&path, None, Some(group))?;
        }
        fs::set_permissions(&path, Permissions::from_mode(NODE_MODE))?;
        Ok(path)
    }

    fn make_link(&self, link: &Path) -> io::Result<()> {
        let path = self.dev_dir.join(link);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        remove_if_there(&path)?;
        symlink(self.target(link), &path)
    }

    /// Removes a link unless another device has it meanwhile, then the directories left empty.
    fn remove_link(&self, link: &Path) -> io::Result<()> {
        let path = self.dev_dir.join(link);
        if fs::read_link(&path).is_ok_and(|to| to == self.target(link)) {
            remove_if_there(&path)?;
        }
        let ancestors = link.ancestors().skip(1);
        for directory in ancestors.filter(|d| !d.as_os_str().is_empty()) {
            // Fails, as it should, when other devices have links there.
            if fs::remove_dir(self.dev_dir.join(directory)).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// The relative target of a link: `../../drbd0` from `drbd/by-res/r0`.
    fn target(&self, link: &Path) -> PathBuf {
        let depth = link.components().count().saturating_sub(1);
        let up: PathBuf = std::iter::repeat_n("..", depth).collect();
        up.join(format!("drbd{}", self.minor))
    }
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

    fn names(minor: u32, paths: &DevicePaths) -> Names {
        Names {
            minor: Minor(minor),
            dev_dir: paths.dev_dir.clone(),
            links: Mutex::default(),
        }
    }

    #[test]
    fn links_are_relative_and_vanish_with_their_directories() {
        let dir = tempfile::tempdir().unwrap();
        let paths = paths(dir.path()).by_resource("two", Some(VolumeNr(1)));
        let names = names(7, &paths);
        names.set_links(paths.links.clone()).unwrap();
        names.set_links(paths.links.clone()).unwrap();
        let link = dir.path().join("drbd/by-res/two/1");
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("../../../drbd7"));
        names.withdraw().unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_link_that_meanwhile_belongs_to_another_minor_stays() {
        let dir = tempfile::tempdir().unwrap();
        let paths = paths(dir.path()).by_resource("r0", None);
        let (first, second) = (names(1, &paths), names(2, &paths));
        first.set_links(paths.links.clone()).unwrap();
        second.set_links(paths.links.clone()).unwrap();
        first.withdraw().unwrap();
        let link = dir.path().join("drbd/by-res/r0");
        assert_eq!(fs::read_link(link).unwrap(), Path::new("../../drbd2"));
    }

    #[test]
    fn a_resource_name_cannot_lead_out_of_the_device_directory() {
        let dir = tempfile::tempdir().unwrap();
        let device_dir = dir.path().join("dev");
        fs::create_dir(&device_dir).unwrap();
        for name in ["../../../escaped", "/escaped"] {
            let paths = paths(&device_dir).by_resource(name, None);
            let refused = names(1, &paths).set_links(paths.links.clone());
            assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(fs::read_dir(&device_dir).unwrap().count(), 0);
    }

    #[test]
    fn a_regular_file_in_place_of_the_node_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let paths = paths(dir.path());
        fs::write(paths.node(Minor(3)), "precious").unwrap();
        assert!(Names::publish(Minor(3), &paths).is_err());
        assert_eq!(fs::read(paths.node(Minor(3))).unwrap(), b"precious");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
