//! Calls of other programs.

use crate::command::Limit;

/// A program that drbdadm runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names are the programs")]
pub enum Program {
    Drbdsetup,
    Drbdmeta,
    DrbdProxyCtl,
    Shell,
}

impl Program {
    /// The word that is printed, and looked up.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Drbdsetup => "drbdsetup",
            Self::Drbdmeta => "drbdmeta",
            Self::DrbdProxyCtl => "drbd-proxy-ctl",
            Self::Shell => "/bin/sh",
        }
    }
}

/// What becomes of a program's complaints.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stderr {
    /// Passed through, and a failure is reported.
    Shown,
    /// Thrown away; no report either.
    Suppressed,
    /// Kept, to be shown or dropped later.
    Captured,
}

/// One call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    /// What to run.
    pub program: Program,
    /// Its arguments.
    pub words: Vec<String>,
    /// How long it may take.
    pub limit: Limit,
    /// What becomes of its complaints.
    pub stderr: Stderr,
}

impl Call {
    /// A call with the usual treatment of stderr.
    pub fn new(program: Program, words: Vec<String>, limit: Limit) -> Self {
        Self {
            program,
            words,
            limit,
            stderr: Stderr::Shown,
        }
    }

    /// The same, with another treatment of stderr.
    pub fn stderr(mut self, stderr: Stderr) -> Self {
        self.stderr = stderr;
        self
    }
}

/// Calls that belong together, and how the result of one decides about the next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Job {
    /// Until one fails; its status is the result.
    Sequence(Vec<Call>),
    /// drbdsetup; statuses 11 and 17 are final, any other failure hands over to drbdmeta.
    Either {
        /// The engine's answer.
        setup: Call,
        /// The answer from the disk.
        meta: Call,
    },
    /// As [`Self::Either`], with the rule of `outdate`.
    Outdate {
        /// The engine's answer.
        setup: Call,
        /// The answer from the disk.
        meta: Call,
    },
    /// A resize; if it works also the check, whose status does not count.
    Resize {
        /// The resize.
        resize: Call,
        /// Makes the new size the known one.
        check: Call,
    },
    /// The same silently; if it fails, drbdmeta moves the meta-data.
    CheckResize {
        /// The resize.
        resize: Call,
        /// Makes the new size the known one.
        check: Call,
        /// Moves the meta-data.
        meta: Call,
    },
    /// New meta-data that keep the device's identity.
    CreateMd {
        /// Prints the identity.
        read_id: Call,
        /// Writes the meta-data.
        create: Call,
        /// Everything of the call that writes the identity, but the identity.
        write_id: Call,
    },
    /// Up to five attempts, a second apart.
    Insist(Call),
    /// As soon as it works, the resource (and minor) is registered with the configuration file.
    Register {
        /// The call.
        call: Call,
        /// What to register.
        entry: Entry,
    },
    /// A line for stdout.
    Print(String),
    /// A text for stderr, and a status.
    Refuse {
        /// Without the last newline.
        text: String,
        /// The result.
        status: i32,
    },
}

/// An entry of the registry of last used configuration files (spec 20 section 16).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Entry {
    /// Of a resource, by name.
    Resource(String),
    /// Of a device, by minor.
    Minor(u32),
}

/// When a deferred job runs (spec 20 section 9).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Stage {
    /// Objects that others need.
    Prerequisite,
    /// Resource options.
    Resource,
    /// New minors.
    DiskPrerequisite,
    /// Attach, disk options, resize.
    Disk,
    /// Disconnect.
    NetPrerequisite,
    /// Connect, net options.
    Net,
}

impl Stage {
    /// In the order in which they run.
    pub const ALL: [Self; 6] = [
        Self::Prerequisite,
        Self::Resource,
        Self::DiskPrerequisite,
        Self::Disk,
        Self::NetPrerequisite,
        Self::Net,
    ];

    /// What adjust-with-progress prints.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Prerequisite => "create res",
            Self::Resource => "adjust res",
            Self::DiskPrerequisite => "prepare disk",
            Self::Disk => "adjust disk",
            Self::NetPrerequisite => "prepare net",
            Self::Net => "adjust net",
        }
    }

    /// Whether a failure keeps the resource from its later jobs.
    pub const fn is_prerequisite(self) -> bool {
        matches!(self, Self::Prerequisite | Self::DiskPrerequisite)
    }
}

/// A job for later.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Staged {
    /// When.
    pub stage: Stage,
    /// Of which resource.
    pub resource: String,
    /// What is skipped when an earlier failure makes it pointless.
    pub what: &'static str,
    /// The job.
    pub job: Job,
}
