//! What the registry says about one option.

use crate::{Era, Number};

/// Where an option is written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Section {
    /// `global { }`
    Global,
    /// A statement of the resource itself (`protocol` before 8.4, `incon-degr-cmd`).
    Resource,
    /// `startup { }`
    Startup,
    /// `disk { }`
    Disk,
    /// `net { }`
    Net,
    /// `syncer { }`: everything of it moved to `disk`, `net` and `options` in 8.4.
    Syncer,
    /// `options { }`
    Options,
    /// `handlers { }`
    Handlers,
    /// `proxy { }`
    Proxy,
    /// Not in the configuration: only on the command line of `drbdsetup`.
    CommandLine,
}

impl Section {
    /// Every section, in the order of the manual.
    pub const ALL: [Self; 10] = [
        Self::Global,
        Self::Resource,
        Self::Startup,
        Self::Disk,
        Self::Net,
        Self::Syncer,
        Self::Options,
        Self::Handlers,
        Self::Proxy,
        Self::CommandLine,
    ];

    /// The keyword that opens the section; empty where there is none.
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Startup => "startup",
            Self::Disk => "disk",
            Self::Net => "net",
            Self::Syncer => "syncer",
            Self::Options => "options",
            Self::Handlers => "handlers",
            Self::Proxy => "proxy",
            Self::Resource | Self::CommandLine => "",
        }
    }
}

/// What kind of value an option takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Present or absent; `drbdsetup` also takes `=yes` and `=no`, where `no` sends nothing.
    Flag,
    /// `yes` or `no`; alone it means `yes`.
    Bool {
        /// The value when absent.
        default: bool,
    },
    /// A number.
    Number(Number),
    /// A device minor; the configuration names a resource (`NAME` or `NAME/VOLUME`) instead.
    MinorOfResource(Number),
    /// One of a list of words.
    Enum(Choice),
    /// Free text.
    Text {
        /// Longest text in bytes that the kernel takes.
        max: usize,
        /// Whether it must not be shown to everybody.
        secret: bool,
    },
    /// One or more words.
    Words,
    /// A network address.
    Address,
}

/// A list of words with their numbers on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Choice {
    /// Word and code; the genuine tools print them in this order.
    pub words: &'static [(&'static str, u32)],
    /// Index of the default in `words`.
    pub default: usize,
    /// Whether upper and lower case are the same.
    pub ignore_case: bool,
}

impl Choice {
    /// The code of a word.
    pub fn code(&self, word: &str) -> Option<u32> {
        self.words
            .iter()
            .find(|(w, _)| *w == word || (self.ignore_case && w.eq_ignore_ascii_case(word)))
            .map(|(_, code)| *code)
    }

    /// The word with this code.
    pub fn word(&self, code: u32) -> Option<&'static str> {
        self.words.iter().find(|(_, c)| *c == code).map(|(w, _)| *w)
    }

    /// The word that counts when the option is absent.
    pub fn default_word(&self) -> &'static str {
        self.words[self.default].0
    }
}

/// Attribute sets of the generic-netlink family that carry options (spec 30 section 4.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u16)]
pub enum Nest {
    /// DISK_CONF
    DiskConf = 3,
    /// RESOURCE_OPTS
    ResourceOpts = 4,
    /// NET_CONF
    NetConf = 5,
    /// SET_ROLE_PARMS
    SetRoleParms = 6,
    /// RESIZE_PARMS
    ResizeParms = 7,
    /// START_OV_PARMS
    StartOvParms = 9,
    /// NEW_C_UUID_PARMS
    NewCUuidParms = 10,
    /// DISCONNECT_PARMS
    DisconnectParms = 12,
    /// DETACH_PARMS
    DetachParms = 13,
}

/// Where an option travels in a control message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Attribute {
    /// The attribute set.
    pub nest: Nest,
    /// The number inside it, without the mandatory bit.
    pub number: u16,
}

/// The `drbdsetup` commands that take options (8.4 names).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs, reason = "the names are the commands")]
pub enum SetupCommand {
    NewResource,
    ResourceOptions,
    Attach,
    DiskOptions,
    Detach,
    Connect,
    NetOptions,
    Disconnect,
    Primary,
    NewCurrentUuid,
    Resize,
    Verify,
    WaitConnect,
    WaitSync,
    Show,
    Status,
    Events2,
}

/// Whether `drbdadm` itself verifies the range of a number while parsing (from 8.0 on; 0.7
/// verifies every number).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Check {
    /// Left to `drbdsetup` and the kernel.
    Never,
    /// Up to 8.3 only.
    UntilV83,
    /// Always.
    Always,
}

/// How an older spelling relates to the modern option.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// Same meaning, same value.
    Same,
    /// A switch that means `no`: `no-disk-barrier` is `disk-barrier no`.
    Negated,
}

/// A spelling other than the 8.4 one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spelling {
    /// The word.
    pub name: &'static str,
    /// The section it is written in.
    pub section: Section,
    /// First era that knows it.
    pub from: Era,
    /// Last era in which it is the proper spelling; 8.4 still reads all of them.
    pub to: Era,
    /// What it means.
    pub form: Form,
}

/// One option.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OptionRow {
    /// The 8.4 name, or the last name of an option that 8.4 does not have.
    pub name: &'static str,
    /// Where that name is written.
    pub section: Section,
    /// The value it takes.
    pub kind: Kind,
    /// First era that has the option, under any spelling.
    pub since: Era,
    /// Last era that has it.
    pub until: Era,
    /// Whether `drbdadm` checks the range.
    pub check: Check,
    /// Limits of older eras, ascending; each holds up to and including its era.
    pub older_limits: &'static [(Era, Number)],
    /// Defaults of older eras that are not numbers, ascending, up to and including the era.
    pub older_defaults: &'static [(Era, &'static str)],
    /// Other spellings.
    pub older: &'static [Spelling],
    /// Where it travels in a control message.
    pub attribute: Option<Attribute>,
    /// The `drbdsetup` commands that take it.
    pub commands: &'static [SetupCommand],
    /// Other long names that `drbdsetup` takes for it.
    pub aliases: &'static [&'static str],
    /// The short form of `drbdsetup` 0.7 to 8.3.
    pub short: Option<char>,
    /// What it does, in a few words, for help and manual.
    pub about: &'static str,
    /// What else the manual says: sentences, with what is typed between backticks.
    pub details: &'static str,
}

impl OptionRow {
    /// The numeric limits in an era, if the option is a number.
    pub fn limits(&self, era: Era) -> Option<Number> {
        let (Kind::Number(current) | Kind::MinorOfResource(current)) = self.kind else {
            return None;
        };
        let older = self.older_limits.iter().find(|(until, _)| era <= *until);
        Some(older.map_or(current, |(_, number)| *number))
    }

    /// Whether `drbdadm` of that era verifies the range itself.
    pub fn is_checked(&self, era: Era) -> bool {
        match self.check {
            Check::Always => true,
            Check::UntilV83 => era <= Era::V83,
            Check::Never => era == Era::V07,
        }
    }

    /// The value that counts when the option is absent, as `show` prints it without unit.
    pub fn default_text(&self, era: Era) -> String {
        if let Some((_, text)) = self.older_defaults.iter().find(|(until, _)| era <= *until) {
            return (*text).to_owned();
        }
        match self.kind {
            Kind::Flag => "no".to_owned(),
            Kind::Bool { default } => if default { "yes" } else { "no" }.to_owned(),
            Kind::Number(_) | Kind::MinorOfResource(_) => self
                .limits(era)
                .map_or_else(String::new, |n| n.default.to_string()),
            Kind::Enum(choice) => choice.default_word().to_owned(),
            Kind::Text { .. } | Kind::Words | Kind::Address => String::new(),
        }
    }

    /// The word, section and form in which an era writes this option; `None` if it lacks it.
    pub fn spelling(&self, era: Era) -> Option<Spelling> {
        if era < self.since || era > self.until {
            return None;
        }
        let older = self.older.iter().find(|s| s.from <= era && era <= s.to);
        Some(older.copied().unwrap_or(Spelling {
            name: self.name,
            section: self.section,
            from: self.since,
            to: self.until,
            form: Form::Same,
        }))
    }

    /// Whether the `drbdsetup` command takes this option.
    pub fn is_for(&self, command: SetupCommand) -> bool {
        self.commands.contains(&command)
    }

    // The builders below exist so that the table states only what differs from the usual.

    pub(crate) const fn new(name: &'static str, section: Section, kind: Kind) -> Self {
        Self {
            name,
            section,
            kind,
            since: Era::V84,
            until: Era::V84,
            check: Check::Never,
            older_limits: &[],
            older_defaults: &[],
            older: &[],
            attribute: None,
            commands: &[],
            aliases: &[],
            short: None,
            about: "",
            details: "",
        }
    }

    pub(crate) const fn since(mut self, era: Era) -> Self {
        self.since = era;
        self
    }

    pub(crate) const fn until(mut self, era: Era) -> Self {
        self.until = era;
        self
    }

    pub(crate) const fn check(mut self, check: Check) -> Self {
        self.check = check;
        self
    }

    pub(crate) const fn was(mut self, limits: &'static [(Era, Number)]) -> Self {
        self.older_limits = limits;
        self
    }

    pub(crate) const fn default_was(mut self, defaults: &'static [(Era, &'static str)]) -> Self {
        self.older_defaults = defaults;
        self
    }

    pub(crate) const fn spelled(mut self, older: &'static [Spelling]) -> Self {
        self.older = older;
        self
    }

    pub(crate) const fn sent(
        mut self,
        nest: Nest,
        number: u16,
        commands: &'static [SetupCommand],
    ) -> Self {
        self.attribute = Some(Attribute { nest, number });
        self.commands = commands;
        self
    }

    pub(crate) const fn taken_by(mut self, commands: &'static [SetupCommand]) -> Self {
        self.commands = commands;
        self
    }

    pub(crate) const fn alias(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    pub(crate) const fn short(mut self, letter: char) -> Self {
        self.short = Some(letter);
        self
    }

    pub(crate) const fn about(mut self, text: &'static str) -> Self {
        self.about = text;
        self
    }

    pub(crate) const fn details(mut self, text: &'static str) -> Self {
        self.details = text;
        self
    }
}
