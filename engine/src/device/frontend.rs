//! Which front end serves a minor, and with what properties.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use drbd_types::{ByteCount, Minor, SectorCount, VolumeNr};

use super::{Frontend, RequestSink, fuse_loop, ublk, ublk_frontend};
use crate::buffer::Pool;

/// Which kernel interface makes the block device: the value of `drbdd --frontend`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Choice {
    /// ublk where the kernel has it, else FUSE and loop.
    #[default]
    Auto,
    /// The ublk driver (Linux 6.5 or newer).
    Ublk,
    /// A file served through FUSE under a loop device.
    FuseLoop,
}

/// What an opener may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Read and write.
    ReadWrite,
    /// Read only: the block layer refuses writes.
    ReadOnly,
}

/// The unit in which the block layer addresses the device.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LogicalBlock {
    /// 512 bytes, DRBD's default.
    #[default]
    Bytes512,
    /// 4096 bytes, when a backing disk cannot do less.
    Bytes4096,
}

/// Whether the device accepts discards and write-zeroes (spec 60 section 8.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Discard {
    /// Refused with `EOPNOTSUPP`; the block layer writes zeroes by itself.
    #[default]
    Unsupported,
    /// Passed on.
    Supported {
        /// The largest single request in bytes: 4 MiB or 128 MiB; longer ones are split.
        largest: u32,
    },
}

/// What the block layer is told about the device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Geometry {
    /// Usable size.
    pub size: SectorCount,
    /// What else it can do.
    pub features: Features,
}

/// What depends on the backing disks and the peer; the default is what every disk can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Features {
    /// Addressing unit.
    pub block: LogicalBlock,
    /// Discards and write-zeroes.
    pub discard: Discard,
}

/// The files that a front end makes, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DevicePaths {
    /// Private files: `$DRBD_RUN_DIR`.
    pub run_dir: PathBuf,
    /// Where device nodes go: `/dev`, except in tests.
    pub dev_dir: PathBuf,
    /// Symlinks to the node, relative to `dev_dir`: `drbd/by-res/r0/0`, `drbd/by-disk/vg/lv`.
    pub links: Vec<PathBuf>,
}

/// Why a front end could not be started.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The kernel's own DRBD serves this minor.
    #[error("minor {0} is served by the kernel's drbd module")]
    KernelDevice(Minor),
    /// The kernel does not have it.
    #[error("this kernel cannot serve block devices through {0} (needed: {need})", need = .0.need())]
    Unavailable(Choice),
    /// A step of the set-up failed; everything done before it was taken back.
    #[error("{what}: {source}")]
    Setup {
        /// The step, with the path it was about.
        what: String,
        /// Why.
        source: io::Error,
    },
}

impl Choice {
    /// Every value with its spelling on the command line.
    pub const ALL: &[(Self, &str)] = &[
        (Self::Auto, "auto"),
        (Self::Ublk, "ublk"),
        (Self::FuseLoop, "fuse"),
    ];

    /// What the kernel must have, for messages.
    fn need(self) -> &'static str {
        match self {
            Self::Auto => "/dev/ublk-control of Linux 6.5, or /dev/fuse and /dev/loop-control",
            Self::Ublk => "/dev/ublk-control of Linux 6.5",
            Self::FuseLoop => "/dev/fuse and /dev/loop-control",
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(value, _)| value == self);
        f.pad(name.map_or("", |(_, name)| name))
    }
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let row = Self::ALL.iter().find(|(_, name)| *name == text);
        row.map(|(value, _)| *value).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|(_, name)| *name).collect();
            format!("expected one of: {}", names.join(", "))
        })
    }
}

impl DeviceError {
    pub(super) fn setup(what: impl Into<String>, source: io::Error) -> Self {
        Self::Setup {
            what: what.into(),
            source,
        }
    }
}

impl LogicalBlock {
    /// The unit in bytes.
    pub const fn bytes(self) -> u32 {
        match self {
            Self::Bytes512 => 512,
            Self::Bytes4096 => 4096,
        }
    }
}

impl Geometry {
    /// A device of this size with DRBD's defaults: 512-byte blocks, no discards.
    pub fn new(size: SectorCount) -> Self {
        Self {
            size,
            features: Features::default(),
        }
    }

    /// The usable size in bytes.
    pub fn bytes(&self) -> ByteCount {
        // Saturating: no device has 2^64 bytes, and an absurd size then fails in the kernel.
        (self.size.checked_bytes()).unwrap_or(ByteCount(u64::MAX))
    }
}

impl DevicePaths {
    /// No links yet; nodes in `/dev`.
    pub fn new(run_dir: impl Into<PathBuf>) -> Self {
        Self {
            run_dir: run_dir.into(),
            dev_dir: PathBuf::from("/dev"),
            links: Vec::new(),
        }
    }

    /// Adds `drbd/by-res/RESOURCE`, or `drbd/by-res/RESOURCE/VOLUME` for an explicit volume
    /// (spec 70 section 5.2).
    pub fn by_resource(mut self, resource: &str, volume: Option<VolumeNr>) -> Self {
        let mut link = PathBuf::from("drbd/by-res").join(resource);
        if let Some(volume) = volume {
            link.push(volume.to_string());
        }
        self.links.push(link);
        self
    }

    /// Adds `drbd/by-disk/PATH` with the path of the backing device below `/dev`.
    pub fn by_disk(mut self, disk: &Path) -> Self {
        let below = disk.strip_prefix("/dev").unwrap_or(disk);
        let below = below.strip_prefix("/").unwrap_or(below);
        self.links.push(Path::new("drbd/by-disk").join(below));
        self
    }

    /// The path of the block special file.
    pub fn node(&self, minor: Minor) -> PathBuf {
        self.dev_dir.join(format!("drbd{minor}"))
    }
}

/// Starts the front end of a minor, closed: the node exists but cannot be opened before
/// [`Frontend::open`]. Remains of an earlier engine's front end of this minor are cleared away first.
///
/// `pool` supplies the payload buffers of writes.
pub fn start(
    choice: Choice,
    minor: Minor,
    geometry: Geometry,
    paths: DevicePaths,
    pool: Pool,
    sink: Arc<dyn RequestSink>,
) -> Result<Box<dyn Frontend>, DeviceError> {
    // Its node has the same name as ours.
    if Path::new(&format!("/sys/block/drbd{minor}")).exists() {
        return Err(DeviceError::KernelDevice(minor));
    }
    let fuse = ["/dev/fuse", "/dev/loop-control"]
        .iter()
        .all(|p| Path::new(p).exists());
    match choice {
        Choice::Ublk | Choice::Auto if ublk::is_usable() => {
            ublk_frontend::start(minor, geometry, paths, pool, sink)
        }
        Choice::FuseLoop | Choice::Auto if fuse => {
            fuse_loop::start(minor, geometry, paths, pool, sink)
        }
        Choice::Auto | Choice::Ublk | Choice::FuseLoop => Err(DeviceError::Unavailable(choice)),
    }
}
