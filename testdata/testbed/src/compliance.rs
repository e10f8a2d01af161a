//! Command lines and what the genuine programs answer: one file a case, run against either.
//!
//! A case is a title, then sections that begin with `--- NAME`:
//!
//! ```text
//! A minor that nobody configured is refused.
//! --- file /etc/drbd.conf        (any number; written before the command runs)
//! resource r0 { ... }
//! --- command                    (bash, in a host called alpha with an empty disk /dev/sdb1)
//! drbdadm sh-udev minor-9
//! --- stdout
//! --- stderr                     (only the first line counts: it is what scripts match)
//! 'minor-9' not defined in your config (for this host).
//! --- status
//! 1
//! ```
//!
//! An expectation enters a file only by `COMPLIANCE=record`, that is, from the genuine program.

use std::fs;
use std::path::{Path, PathBuf};

use drbd_demo::hosts::{Disk, Error, Host, HostSpec, Network};
use similar::TextDiff;

use crate::programs;

/// Whose programs answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// The ones built here.
    Ours,
    /// The genuine ones of the oracle.
    Theirs,
}

/// One case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Case {
    title: String,
    files: Vec<(String, String)>,
    command: String,
    /// What the program has to answer.
    pub expected: Answer,
}

/// What scripts see of a command.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Answer {
    stdout: String,
    stderr: String,
    status: String,
}

impl Case {
    /// Reads a case file; fails with what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (title, rest) = text.split_once("\n--- ").ok_or("a case has sections")?;
        let mut case = Self {
            title: title.to_owned(),
            files: Vec::new(),
            command: String::new(),
            expected: Answer::default(),
        };
        let rest = rest.strip_suffix('\n').unwrap_or(rest);
        for section in rest.split("\n--- ") {
            // The last newline of a body is part of the separator.
            let (name, body) = match section.split_once('\n') {
                Some((name, body)) => (name, format!("{body}\n")),
                None => (section, String::new()),
            };
            match name.split_once(' ') {
                Some(("file", path)) => case.files.push((path.to_owned(), body)),
                None if name == "command" => case.command = body,
                None if name == "stdout" => case.expected.stdout = body,
                None if name == "stderr" => case.expected.stderr = body,
                None if name == "status" => case.expected.status = body,
                _ => return Err(format!("unknown section {name:?}")),
            }
        }
        if case.command.is_empty() {
            Err("a case has a command".to_owned())
        } else {
            Ok(case)
        }
    }

    /// The case file with this answer as its expectation.
    pub fn render(&self, answer: &Answer) -> String {
        let mut text = format!("{}\n", self.title);
        for (path, content) in &self.files {
            text.push_str(&format!("--- file {path}\n{content}"));
        }
        text.push_str(&format!("--- command\n{}{}", self.command, answer.render()));
        text
    }
}

impl Answer {
    fn render(&self) -> String {
        format!(
            "--- stdout\n{}--- stderr\n{}--- status\n{}",
            self.stdout, self.stderr, self.status
        )
    }

    /// What differs from `actual`, as a diff; nothing when they agree.
    pub fn difference(&self, actual: &Self) -> Option<String> {
        let (expected, actual) = (self.render(), actual.render());
        (expected != actual).then(|| {
            TextDiff::from_lines(&expected, &actual)
                .unified_diff()
                .to_string()
        })
    }
}

/// A host in which cases run, one after the other.
pub struct Bench<'net> {
    host: Host<'net>,
    side: Side,
}

impl<'net> Bench<'net> {
    /// A host with the programs of one side.
    pub fn new(network: &'net Network, side: Side) -> Result<Self, Error> {
        let programs = match side {
            Side::Ours => programs::ours(),
            Side::Theirs => genuine_programs(network)?,
        };
        let address = std::net::Ipv4Addr::new(192, 168, 0, 21);
        let disks = [Disk {
            name: "sdb1",
            mebibytes: 32,
        }];
        let spec = HostSpec {
            name: "alpha",
            address,
            disks: &disks,
            programs: &programs,
        };
        Ok(Self {
            host: Host::start(network, &spec)?,
            side,
        })
    }

    /// Runs one case in a host without traces of the case before.
    pub fn answer(&self, case: &Case) -> Result<Answer, Error> {
        self.host.sh(
            "! test -e /run/drbd/engine.pid || drbdd stop; rm -rf /etc/drbd* /var/lib/drbd/* /run/drbd* /run/lock/*; \
             mkdir -p /run/drbd; blkdiscard -f -z /dev/sdb1",
        )?;
        for (path, content) in &case.files {
            self.host.install(path, content, 0o644)?;
        }
        let output = self.host.try_sh(&case.command)?;
        let first = match output.first_error() {
            "" => String::new(),
            line => format!("{line}\n"),
        };
        let names = |text: &str| match self.side {
            Side::Ours => text.to_owned(),
            // Since 9.x the 8.4 tools carry their series in their names; their users never typed it.
            Side::Theirs => text
                .replace("drbdadm-84", "drbdadm")
                .replace("drbdsetup-84", "drbdsetup"),
        };
        Ok(Answer {
            stdout: names(&output.stdout),
            stderr: names(&first),
            status: format!("{}\n", output.status),
        })
    }
}

/// Every case file below `testdata/compliance`, in the order of its path.
pub fn case_files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    collect(
        &programs::repository().join("testdata/compliance"),
        &mut files,
    );
    files.sort();
    files
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory)
        .expect("testdata/compliance is part of the project")
        .flatten()
    {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "case")
        {
            files.push(path);
        }
    }
}

/// The genuine 8.4 tools under the names that their users know.
fn genuine_programs(network: &Network) -> Result<PathBuf, Error> {
    let utils = programs::oracle().join("utils");
    let directory = network.directory().join("genuine");
    fs::create_dir_all(&directory)
        .map_err(Error::io("making a directory for the genuine programs"))?;
    let places = [
        ("drbdadm", "lib/drbd/drbdadm-84"),
        ("drbdsetup", "lib/drbd/drbdsetup-84"),
        ("drbdmeta", "sbin/drbdmeta"),
    ];
    for (name, place) in places {
        fs::copy(utils.join(place), directory.join(name))
            .map_err(Error::io(format!("copying {place}")))?;
    }
    // The genuine tools have no engine; a host wants a program of that name.
    fs::copy("/bin/true", directory.join("drbdd")).map_err(Error::io("copying /bin/true"))?;
    Ok(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_file_survives_reading_and_writing() {
        let text = "A title.\n--- file /etc/drbd.conf\nresource r0 { }\n--- command\ndrbdadm dump\n--- stdout\na\n\nb\n\n\
                    --- stderr\n--- status\n10\n";
        let case = Case::parse(text).unwrap();
        assert_eq!(case.render(&case.expected), text);
        assert!(case.expected.difference(&Answer::default()).is_some());
        assert_eq!(case.expected.difference(&case.expected), None);
    }

    #[test]
    fn a_file_without_command_or_with_unknown_sections_is_no_case() {
        assert!(Case::parse("words").is_err());
        assert!(Case::parse("A title.\n--- stdout\n").is_err());
        assert!(Case::parse("A title.\n--- command\nx\n--- stdin\n").is_err());
    }
}
