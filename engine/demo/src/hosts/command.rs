//! Running a program and keeping everything it said.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};

use super::Error;

/// What a finished program left.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Output {
    /// Exit status; 128 + signal number when it was killed.
    pub status: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// Standard output and then standard error, for messages to people.
    pub fn both(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// The first line of standard error; empty when there is none.
    pub fn first_error(&self) -> &str {
        self.stderr.lines().next().unwrap_or("")
    }
}

/// Runs a command to its end, whatever the end is.
pub fn capture(command: &mut Command) -> Result<Output, Error> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(Error::io(describe(command)))?;
    Ok(Output {
        status: code(output.status),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Runs a command that has to succeed; gives its standard output.
pub fn succeed(command: &mut Command) -> Result<String, Error> {
    let output = capture(command)?;
    if output.status == 0 {
        return Ok(output.stdout);
    }
    Err(Error::Failed {
        command: describe(command),
        status: output.status,
        output: output.both(),
    })
}

/// `program arguments` of this machine, to be run outside of every host.
pub(super) fn outside(program: &str, arguments: &[&str]) -> Result<String, Error> {
    succeed(Command::new(program).args(arguments))
}

fn code(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

fn describe(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}
