//! What is said about a configuration, in the words of the genuine programs.

use std::sync::Arc;

/// Whether a configuration with this remark can be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Severity {
    /// Usable.
    Warning,
    /// Not usable.
    Error,
}

/// What a remark is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum About {
    /// A word that is not expected where it stands: reading ended there.
    Word,
    /// A name or value.
    Value,
    /// Something that is not there, perhaps only because of an earlier error.
    Absence,
}

/// One remark.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// What stderr gets, without the last newline; may have several lines.
    pub text: String,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    pub about: About,
    /// What it is about, for the report on a terminal.
    pub label: Option<Label>,
    /// What to write instead, for the report on a terminal.
    pub help: Option<String>,
}

/// A marked piece of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Label {
    /// Which of the sources.
    pub source: SourceId,
    /// First byte.
    pub offset: usize,
    /// Bytes.
    pub length: usize,
    /// What the reader should see there.
    pub text: String,
}

/// Index into [`Parsed::sources`](super::Parsed::sources).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SourceId(pub usize);

/// A file that was read.
#[derive(Clone, Debug)]
pub struct Source {
    /// Name as messages show it.
    pub shown: Arc<str>,
    /// Absolute name.
    pub file: Arc<str>,
    /// Its text.
    pub text: Arc<str>,
}

/// The program ends with this exit status; the reason is already among the diagnostics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Abort(pub u8);

impl Abort {
    /// An invalid configuration.
    pub const INVALID: Self = Self(10);
}
