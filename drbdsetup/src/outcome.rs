//! Exit statuses, and the messages that end a command (spec 30 section 2.5).

use drbd_control::{Answer, Message, RetCode};
use drbd_types::StateOutcome;

/// An exit status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exit(pub u8);

impl Exit {
    /// All went well.
    pub const OK: Self = Self(0);
    /// A wait or an answer took too long.
    pub const TIMEOUT: Self = Self(5);
    /// The request was refused.
    pub const REFUSED: Self = Self(10);
    /// Wrong use, or nobody there to ask.
    pub const FAILED: Self = Self(20);
}

/// A command ends here, with these texts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stop {
    /// For standard output.
    pub out: String,
    /// For standard error.
    pub err: String,
    /// Exit status.
    pub exit: u8,
}

impl Stop {
    /// A message on standard error, exit status 20.
    pub const fn error(err: String) -> Self {
        Self {
            out: String::new(),
            err,
            exit: Exit::FAILED.0,
        }
    }

    /// The same with a usage on standard output.
    #[must_use]
    pub fn usage(mut self, usage: String) -> Self {
        self.out = usage;
        self
    }
}

/// What the reply to a request means to the caller.
pub fn verdict(object: &str, answer: Answer) -> (Exit, String) {
    if answer.is_success() {
        return (Exit::OK, String::new());
    }
    match answer {
        Answer::Ret(ret) => (
            Exit::REFUSED,
            format!("{object}: Failure: ({}) {}\n", ret.code(), ret.text()),
        ),
        Answer::State(StateOutcome::UnknownError) => (
            Exit(11),
            format!("{object}: State change failed: (0)unknown error.\n"),
        ),
        Answer::State(outcome) => (
            Exit(match outcome {
                StateOutcome::NoUpToDateDisk => 17,
                StateOutcome::NoLocalDisk => 16,
                StateOutcome::LowerThanOutdated => 5,
                _ => 11,
            }),
            format!(
                "{object}: State change failed: ({}) {}\n",
                outcome.code(),
                outcome.text()
            ),
        ),
        // The ranges decide, also for numbers that no table has.
        Answer::Other(code) if code < 0 && code > -100 => (
            Exit(11),
            format!("{object}: State change failed: ({code}) unknown error.\n"),
        ),
        Answer::Other(code) => (
            Exit::FAILED,
            format!(
                "{object}: Error code {code} unknown.\nYou should update the drbd userland tools.\n"
            ),
        ),
    }
}

/// The same with the texts that the reply carries.
pub fn report(object: &str, reply: &Message) -> Stop {
    let (exit, mut err) = verdict(object, reply.answer);
    let mut infos = reply.infos().peekable();
    if infos.peek().is_some() {
        err.push_str("additional info from kernel:\n");
    }
    for info in infos {
        err.push_str(info);
        err.push('\n');
    }
    Stop {
        out: String::new(),
        err,
        exit: exit.0,
    }
}

/// Whether the reply says that there is no such device.
pub fn is_unknown_minor(reply: &Message) -> bool {
    reply.answer == Answer::Ret(RetCode::MinorInvalid)
}
