//! Host sections and what is in them.

use std::fmt;

use super::{Setting, Settings};

/// How a host section names its hosts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HostKind {
    /// `on NAME...`
    On,
    /// `floating ADDRESS`
    Floating,
    /// `stacked-on-top-of RESOURCE`
    Stacked {
        /// The lower resource.
        lower: String,
    },
    /// `_this_host`, in the output of `drbdsetup show`.
    ThisHost,
    /// `_remote_host`, in the output of `drbdsetup show`.
    RemoteHost,
}

/// A host section.
#[derive(Clone, Debug)]
pub struct Host {
    /// What opened it.
    pub kind: HostKind,
    /// Host names; of a floating section its pseudo name, of a stacked one the lower resource's.
    pub names: Vec<String>,
    /// Line that messages about the choice of sections name.
    pub line: u32,
    /// `address`
    pub address: Option<Address>,
    /// `alternate-link-address`
    pub alternate: Option<Address>,
    /// Ascending by number.
    pub volumes: Vec<Volume>,
    /// `options { }`: printed, never used (spec 10 section 4.5).
    pub options: Settings,
    /// `proxy on`
    pub proxy: Option<Proxy>,
}

impl Host {
    /// A section with nothing in it.
    pub fn new(kind: HostKind, names: Vec<String>, line: u32) -> Self {
        Self {
            kind,
            names,
            line,
            address: None,
            alternate: None,
            volumes: Vec::new(),
            options: Settings::default(),
            proxy: None,
        }
    }

    /// The lower resource of a stacked section.
    pub fn lower(&self) -> Option<&str> {
        match &self.kind {
            HostKind::Stacked { lower } => Some(lower),
            _ => None,
        }
    }

    /// The volume with this number.
    pub fn volume(&self, number: u32) -> Option<&Volume> {
        self.volumes.iter().find(|v| v.number == number)
    }

    /// All names, separated by blanks; `UNKNOWN` if there are none.
    pub fn joined_names(&self) -> String {
        if self.names.is_empty() {
            "UNKNOWN".to_owned()
        } else {
            self.names.join(" ")
        }
    }
}

/// `proxy on NAMES { }`.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// Where the proxy runs.
    pub names: Vec<String>,
    /// The side towards DRBD.
    pub inside: Option<Address>,
    /// The side towards the other proxy.
    pub outside: Option<Address>,
    /// Its options.
    pub options: Settings,
    /// Plugin lines.
    pub plugins: Vec<String>,
}

/// Address families.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs, reason = "the names are the words")]
pub enum Family {
    Ipv4,
    Ipv6,
    Sdp,
    Ssocks,
}

impl Family {
    /// The word of the configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Sdp => "sdp",
            Self::Ssocks => "ssocks",
        }
    }
}

/// A network endpoint, as written.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Address {
    /// How to reach it.
    pub family: Family,
    /// The address without brackets.
    pub host: String,
    /// The port's text.
    pub port: String,
}

impl Address {
    /// `ADDR:PORT`, with brackets around IPv6.
    pub fn endpoint(&self) -> String {
        let Self { host, port, .. } = self;
        match self.family {
            Family::Ipv6 => format!("[{host}]:{port}"),
            _ => format!("{host}:{port}"),
        }
    }

    /// `FAMILY ADDR:PORT`, as in a configuration.
    pub fn statement(&self) -> String {
        format!("{} {}", self.family.word(), self.endpoint())
    }
}

/// `FAMILY:ADDR:PORT`, as drbdsetup takes it.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.family.word(), self.endpoint())
    }
}

/// Whether a volume was written as `volume N { }`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// Statements directly in the host or resource section.
    Implicit,
    /// `volume N { }`
    Explicit,
}

/// A volume of a host.
#[derive(Clone, Debug)]
pub struct Volume {
    /// Its number; the kernel takes 0 to 65535, the configuration any.
    pub number: u32,
    /// How it was written.
    pub origin: Origin,
    /// Device name, if one was given.
    pub device: Option<String>,
    /// Device minor.
    pub minor: Option<u32>,
    /// Backing device.
    pub disk: Option<String>,
    /// Where the meta-data is.
    pub meta: Option<MetaDisk>,
    /// Options of this volume alone.
    pub disk_options: Settings,
}

impl Volume {
    /// A volume with nothing in it.
    pub fn new(number: u32, origin: Origin) -> Self {
        Self {
            number,
            origin,
            device: None,
            minor: None,
            disk: None,
            meta: None,
            disk_options: Settings::default(),
        }
    }

    /// The given device name, or the usual one of its minor.
    pub fn device_name(&self) -> Option<String> {
        let usual = || Some(format!("/dev/drbd{}", self.minor?));
        self.device.clone().or_else(usual)
    }

    /// The device that holds the meta-data.
    pub fn meta_device(&self) -> Option<&str> {
        match &self.meta {
            Some(MetaDisk::Internal) => self.disk.as_deref(),
            Some(MetaDisk::Flexible(path) | MetaDisk::Indexed { path, .. }) => Some(path),
            None => None,
        }
    }

    /// A disk option of this volume.
    pub fn disk_option(&self, name: &str) -> Option<&Setting> {
        self.disk_options.find(name)
    }
}

/// `meta-disk` and `flexible-meta-disk`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum MetaDisk {
    /// At the end of the backing device.
    Internal,
    /// A device of its own.
    Flexible(String),
    /// A slot of a shared device.
    Indexed {
        /// The device.
        path: String,
        /// The slot, as written.
        index: String,
    },
}
