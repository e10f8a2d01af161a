//! What can go wrong around the hosts (not inside them: that is [`super::Output`]).

use std::time::Duration;

/// A step of the bed itself, or a command that had to succeed, failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Namespaces, loop devices and mounts belong to root.
    #[error(
        "this needs root, as DRBD does: it makes network namespaces, loop devices and mounts (try sudo)"
    )]
    NotRoot,
    /// A program that has to be there is not.
    #[error("{path} is missing: {hint}")]
    MissingProgram {
        /// Where it was looked for.
        path: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// The operating system refused.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A command that had to succeed did not.
    #[error("`{command}` ended with status {status}\n{output}")]
    Failed {
        /// The command line.
        command: String,
        /// Its exit status; 128 + signal number when it was killed.
        status: i32,
        /// What it printed, standard error last.
        output: String,
    },
    /// A condition did not come true in time.
    #[error("{what}: not within {} s; last seen: {seen}", limit.as_secs_f32())]
    TimedOut {
        /// The condition.
        what: String,
        /// How long it was waited for.
        limit: Duration,
        /// What was there instead.
        seen: String,
    },
    /// Something reached its end in a wrong state.
    #[error("{0}")]
    Wrong(String),
}

impl Error {
    /// Wraps an I/O error with what was tried.
    pub fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
