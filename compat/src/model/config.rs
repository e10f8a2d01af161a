//! The configuration as a whole.

use std::{collections::HashMap, sync::Arc};

use super::{Host, HostKind, Sections, Volume};

/// A line of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The name as messages about a statement show it: as given, or as the include found it.
    pub shown: Arc<str>,
    /// The absolute name.
    pub file: Arc<str>,
    /// From 1; 0 where the genuine tools know none.
    pub line: u32,
}

/// Which family of syntaxes the files use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Dialect {
    /// Readable by 8.4.
    #[default]
    V8,
    /// Contains words that only 0.7 has.
    V07,
}

/// `usage-count`; kept for dumps only, nothing is ever counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs, reason = "the names are the words")]
pub enum UsageCount {
    Yes,
    No,
    #[default]
    Ask,
}

/// `global { }`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Global {
    /// `disable-ip-verification`
    pub disable_ip_verification: bool,
    /// `minor-count`
    pub minor_count: Option<u32>,
    /// `dialog-refresh`, seconds.
    pub dialog_refresh: Option<u32>,
    /// `usage-count`
    pub usage_count: UsageCount,
    /// `cmd-timeout-short`, seconds.
    pub timeout_short: Option<u32>,
    /// `cmd-timeout-medium`, seconds.
    pub timeout_medium: Option<u32>,
    /// `cmd-timeout-long`, seconds.
    pub timeout_long: Option<u32>,
    /// `udev-always-use-vnr`
    pub udev_always_use_vnr: bool,
}

/// `common { }`.
#[derive(Clone, Debug, Default)]
pub struct Common {
    /// The option sections.
    pub sections: Sections,
}

/// Everything that was read.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Absolute name of the main file, `STDIN` for standard input.
    pub file: String,
    /// `global { }`
    pub global: Global,
    /// `common { }`, if there is one.
    pub common: Option<Common>,
    /// In the order of the files.
    pub resources: Vec<Resource>,
    /// How it is written.
    pub dialect: Dialect,
    /// Index by name, of the first resource that has it.
    pub(crate) by_name: HashMap<String, usize>,
}

/// `resource NAME { }`.
#[derive(Clone, Debug)]
pub struct Resource {
    /// Its name.
    pub name: String,
    /// Where it begins.
    pub place: Place,
    /// Host sections in file order.
    pub hosts: Vec<Host>,
    /// Volumes written directly in the resource, ascending; already copied into the hosts.
    pub volumes: Vec<Volume>,
    /// The option sections.
    pub sections: Sections,
    /// Index in `hosts` of this node's section; without one the resource is ignored here.
    pub me: Option<usize>,
    /// Index in `hosts` of the peer's section, once it is determined.
    pub peer: Option<usize>,
}

impl Resource {
    /// A resource with nothing in it.
    pub fn new(name: String, place: Place) -> Self {
        Self {
            name,
            place,
            hosts: Vec::new(),
            volumes: Vec::new(),
            sections: Sections::default(),
            me: None,
            peer: None,
        }
    }

    /// This node's section.
    pub fn my_host(&self) -> Option<&Host> {
        self.hosts.get(self.me?)
    }

    /// The peer's section.
    pub fn peer_host(&self) -> Option<&Host> {
        self.hosts.get(self.peer?)
    }

    /// Whether no section is for this node.
    pub fn is_ignored(&self) -> bool {
        self.me.is_none()
    }

    /// Whether it sits on another resource here.
    pub fn is_stacked(&self) -> bool {
        matches!(
            self.my_host(),
            Some(Host {
                kind: HostKind::Stacked { .. },
                ..
            })
        )
    }
}

impl Config {
    /// The index of the resource with this name.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }
}
