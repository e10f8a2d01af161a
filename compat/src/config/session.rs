//! What parsing collects over all files: the configuration, remarks, and first uses of names.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    rc::Rc,
    sync::Arc,
};

use crate::model::{Config, Dialect};

use super::{
    FirstUses,
    diagnostic::{Abort, About, Diagnostic, Severity, Source},
    storage::Storage,
    token::Token,
};

/// Which syntax is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    /// What drbdadm of 8.4 reads, and nothing else.
    Strict,
    /// Everything that any series read.
    Tolerant,
}

/// Whether names must be unique; the output of `drbdsetup show` is not checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Uniqueness {
    Checked,
    Ignored,
}

/// Scope of a uniqueness check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Table {
    /// The whole configuration.
    Whole,
    /// The resource that is being read.
    Resource,
}

/// What tolerance was used for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Evidence {
    /// Words that only 8.0 to 8.3 took.
    pub older_8: bool,
    /// Liberties that are only granted to 0.7: by themselves they prove nothing.
    pub lenient: bool,
}

pub(super) struct Session {
    pub storage: Rc<dyn Storage>,
    pub mode: Mode,
    pub uniqueness: Uniqueness,
    pub config: Config,
    pub diagnostics: Vec<Diagnostic>,
    /// What the genuine programs do not say.
    pub advice: Vec<Diagnostic>,
    /// Texts that are read instead of those of the files with these names.
    pub instead: HashMap<Arc<str>, Arc<str>>,
    /// Something was wrong that did not stop the parser.
    pub invalid: bool,
    pub sources: Vec<Source>,
    /// Files that were read, by real path.
    pub seen: HashSet<PathBuf>,
    /// Line at which the last file ended.
    pub last_line: u32,
    /// Name of the last file.
    pub last_shown: Arc<str>,
    /// What showed that an older series is spoken.
    pub evidence: Evidence,
    /// How many files are being read, each included by the one before.
    pub depth: u32,
    /// Rank of the next option.
    pub rank: u32,
    whole: FirstUses,
    resource: FirstUses,
}

impl Session {
    pub fn new(storage: Rc<dyn Storage>, mode: Mode, uniqueness: Uniqueness) -> Self {
        Self {
            storage,
            mode,
            uniqueness,
            config: Config::default(),
            diagnostics: Vec::new(),
            advice: Vec::new(),
            instead: HashMap::new(),
            invalid: false,
            sources: Vec::new(),
            seen: HashSet::new(),
            last_line: 1,
            evidence: Evidence::default(),
            last_shown: Arc::from(""),
            depth: 0,
            rank: 0,
            whole: FirstUses::default(),
            resource: FirstUses::default(),
        }
    }

    /// Records that the files use what only 0.7 had.
    pub fn saw_07(&mut self) {
        self.config.dialect = Dialect::V07;
    }

    pub fn warn(&mut self, text: String) {
        self.say(text, Severity::Warning);
    }

    /// The configuration cannot be used, but the parser goes on to find more.
    pub fn invalid(&mut self, text: String) {
        self.invalid = true;
        self.say(text, Severity::Error);
    }

    pub fn fatal(&mut self, text: String, status: u8) -> Abort {
        self.say(text, Severity::Error);
        Abort(status)
    }

    fn say(&mut self, text: String, severity: Severity) {
        self.diagnostics.push(Diagnostic {
            text,
            severity,
            about: About::Value,
            label: None,
            help: None,
        });
    }

    /// Begins the names of a resource.
    pub fn forget_resource_names(&mut self) {
        self.resource.clear();
    }

    /// Registers a name; the second use of one ends the program.
    pub fn unique(
        &mut self,
        table: Table,
        what: &str,
        key: String,
        shown: &Arc<str>,
        line: u32,
    ) -> Result<(), Abort> {
        if self.uniqueness == Uniqueness::Ignored {
            return Ok(());
        }
        let names = match table {
            Table::Whole => &mut self.whole,
            Table::Resource => &mut self.resource,
        };
        let Some(first) = names.get(&key) else {
            let shown = Arc::clone(shown);
            names.insert(key, (shown, line));
            return Ok(());
        };
        let text = format!(
            "{shown}:{line}: conflicting use of {what} '{key}' ...\n\
             {}:{}: {what} '{key}' first used here.",
            first.0, first.1
        );
        Err(self.fatal(text, 10))
    }

    /// The table of the whole configuration, for checks after parsing.
    pub fn into_names(self) -> FirstUses {
        self.whole
    }
}

/// What a parse error shows of a token: its first 20 characters.
pub(super) fn excerpt(token: &Token<'_>) -> String {
    let text = token.text();
    let mut shown: String = text.chars().take(20).collect();
    if shown.len() < text.len() {
        shown.push_str("...");
    }
    shown
}
