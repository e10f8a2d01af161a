//! What the command says and asks: stdout, stderr, and the confirmation prompt
//! (spec 40 section 9.4).

use std::fmt::{self, Display};
use std::io::{self, BufRead, BufWriter, IsTerminal, Write};

/// How a command ended: an exit status and what is still to be said on stderr.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// Exit status.
    pub status: u8,
    /// Lines for stderr; empty for a silent failure.
    pub text: String,
}

impl Failure {
    /// A failure with a message.
    pub fn new(status: u8, text: impl Display) -> Self {
        Self {
            status,
            text: text.to_string(),
        }
    }

    /// A failure that has been told already, or that stays silent as in the genuine tool.
    pub const fn silent(status: u8) -> Self {
        Self {
            status,
            text: String::new(),
        }
    }
}

/// Exit status and text of a failed read, write, parse or range check.
pub const FAILED_IO: u8 = 10;
/// Exit status of wrong usage, of a busy lock or device, of a failed open.
pub const FAILED_USE: u8 = 20;

/// Yes or no.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Exactly `yes` was typed, or `--force` given.
    Yes,
    /// Anything else.
    No,
}

/// Who answers the prompts.
pub enum Respondent {
    /// `--force`.
    Forced,
    /// Nobody: stdin is no terminal.
    Nobody,
    /// The person at the terminal.
    Person(Box<dyn BufRead>),
}

/// The two streams and the respondent.
pub struct Console<'a> {
    out: Box<dyn Write + 'a>,
    err: Box<dyn Write + 'a>,
    respondent: Respondent,
    verbosity: u8,
    out_error: Option<io::Error>,
    watched: bool,
}

impl<'a> Console<'a> {
    /// Over any pair of streams.
    pub fn new(
        out: Box<dyn Write + 'a>,
        err: Box<dyn Write + 'a>,
        respondent: Respondent,
        verbosity: u8,
    ) -> Self {
        Self {
            out,
            err,
            respondent,
            verbosity,
            out_error: None,
            watched: false,
        }
    }

    /// Over the streams of the process.
    pub fn of_process(force: bool, verbosity: u8) -> Console<'static> {
        let respondent = if force {
            Respondent::Forced
        } else if io::stdin().is_terminal() {
            Respondent::Person(Box::new(io::stdin().lock()))
        } else {
            Respondent::Nobody
        };
        Console {
            watched: io::stderr().is_terminal(),
            ..Console::new(
                Box::new(BufWriter::new(io::stdout())),
                Box::new(io::stderr()),
                respondent,
                verbosity,
            )
        }
    }

    /// How often `-v` was given.
    pub const fn verbosity(&self) -> u8 {
        self.verbosity
    }

    /// Whether stderr is a terminal: then explanations may follow the genuine messages.
    pub fn is_watched(&self) -> bool {
        self.watched
    }

    /// Whether `--force` was given.
    pub const fn is_forced(&self) -> bool {
        matches!(self.respondent, Respondent::Forced)
    }

    /// Stdout itself, for the long outputs.
    pub fn out(&mut self) -> &mut (dyn Write + 'a) {
        &mut *self.out
    }

    /// A line on stdout.
    pub fn say(&mut self, line: impl Display) {
        let result = writeln!(self.out, "{line}");
        self.note(result);
    }

    /// Remembers the first error of stdout: told by [`Console::finish`].
    pub fn note(&mut self, result: io::Result<()>) {
        if let Err(error) = result {
            self.out_error.get_or_insert(error);
        }
    }

    /// A line on stderr.
    pub fn warn(&mut self, line: impl Display) {
        self.note_stderr(format_args!("{line}\n"));
    }

    /// A line on stderr if `-v` was given at least `level` times.
    pub fn trace(&mut self, level: u8, line: impl Display) {
        if self.verbosity >= level {
            self.warn(line);
        }
    }

    fn note_stderr(&mut self, text: fmt::Arguments<'_>) {
        // In the order in which a terminal shall show it.
        let flushed = self.out.flush();
        self.note(flushed);
        // Nothing is left to complain to when stderr is gone.
        let _ = self.err.write_fmt(text).and_then(|()| self.err.flush());
    }

    /// Asks for confirmation.
    pub fn confirm(&mut self, question: impl Display) -> Answer {
        self.note_stderr(format_args!("\n{question}\n"));
        let line = match &mut self.respondent {
            Respondent::Forced => {
                self.warn("*** confirmation forced via --force option ***");
                return Answer::Yes;
            }
            Respondent::Nobody => {
                self.warn("stdin not a TTY, not waiting for confirmation");
                return Answer::No;
            }
            Respondent::Person(input) => {
                let _ = write!(self.err, "[need to type 'yes' to confirm] ")
                    .and_then(|()| self.err.flush());
                let mut line = String::new();
                // An unreadable terminal confirms nothing.
                input.read_line(&mut line).map(|_| line).unwrap_or_default()
            }
        };
        self.warn("");
        match line.as_str() {
            "yes\n" => Answer::Yes,
            _ => Answer::No,
        }
    }

    /// Flushes stdout; the first error of all the writes to it.
    pub fn finish(mut self) -> io::Result<()> {
        let flushed = self.out.flush();
        self.note(flushed);
        self.out_error.map_or(Ok(()), Err)
    }
}

/// An amount of KiB as all DRBD tools print it: at most four digits and a unit
/// (spec 40 section 9.5).
pub fn ppsize(kib: u64) -> String {
    let mut value = kib;
    let mut units = ['K', 'M', 'G', 'T', 'P', 'E'].into_iter();
    let mut unit = units.next();
    while value >= 10_000 && unit != Some('E') {
        value = (value >> 10) + (value >> 9 & 1);
        unit = units.next();
    }
    format!("{value} {}B", unit.unwrap_or('E'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_as_the_genuine_tools_do() {
        for (kib, text) in [
            (12, "12 KB"),
            (9999, "9999 KB"),
            (20_480, "20 MB"),
            (65_496, "64 MB"),
            (u64::MAX, "16384 EB"),
        ] {
            assert_eq!(ppsize(kib), text);
        }
    }

    #[test]
    fn only_a_plain_yes_confirms() {
        for (typed, expected) in [
            ("yes\n", Answer::Yes),
            ("yes", Answer::No),
            ("Yes\n", Answer::No),
            ("y\n", Answer::No),
            ("", Answer::No),
        ] {
            let person = Respondent::Person(Box::new(typed.as_bytes()));
            let mut console = Console::new(Box::new(io::sink()), Box::new(io::sink()), person, 0);
            assert_eq!(console.confirm("Sure?"), expected, "{typed:?}");
        }
    }
}
