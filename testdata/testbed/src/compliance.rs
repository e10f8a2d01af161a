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
//! Cases below `live/` need a driver: the genuine programs run on a kernel node then, ours on their
//! engine. `$PROC` is the file that shows the driver's state.
//!
//! An expectation enters a file only by `COMPLIANCE=record`, that is, from the genuine program.

use std::fs;
use std::path::{Path, PathBuf};

use drbd_demo::f2;
use drbd_demo::hosts::{Disk, Error, Host, HostSpec, Network};
use drbd_demo::status::LIVE_FILE;
use similar::TextDiff;

use crate::kernel_peer::KernelPeer;
use crate::programs;

/// Whose programs answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// The ones built here.
    Ours,
    /// The genuine ones of the oracle.
    Theirs,
}

/// What stands behind the programs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Driver {
    /// Nothing: whatever runs, runs without a driver.
    None,
    /// The kernel's module, or our engine.
    Live,
}

impl Driver {
    /// The driver that the case in this file needs.
    pub fn of(file: &Path) -> Self {
        if file.components().any(|part| part.as_os_str() == "live") {
            Self::Live
        } else {
            Self::None
        }
    }
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

/// Where cases run, one after the other.
pub struct Bench<'net> {
    place: Place<'net>,
}

enum Place<'net> {
    /// Our programs, with or without their engine.
    Ours(Host<'net>),
    /// The genuine programs in a host without a module.
    Theirs(Host<'net>),
    /// The genuine programs on a kernel node.
    Kernel(KernelPeer),
}

const DISK_MIB: u64 = 32;

/// A 9.x package serving an 8.4 module says so at every command; a package of the time did not.
const QUIET: &str = "export DRBD_DONT_WARN_ON_VERSION_MISMATCH=1";

/// Removes every trace of the case before.
const RESET: &str = "rm -rf /etc/drbd* /var/lib/drbd/* /run/drbd* /run/lock/* /var/run/drbd/* /tmp/*; mkdir -p /run/drbd;";

impl<'net> Bench<'net> {
    /// A place for the cases with this driver, with the programs of one side.
    pub fn new(network: &'net Network, side: Side, driver: Driver) -> Result<Self, Error> {
        let host = |programs: PathBuf| {
            let address = f2::address(f2::FIRST);
            let disks = [Disk {
                name: "sdb1",
                mebibytes: DISK_MIB,
            }];
            Host::start(
                network,
                &HostSpec {
                    name: "alpha",
                    address,
                    disks: &disks,
                    programs: &programs,
                },
            )
        };
        let place = match (side, driver) {
            (Side::Ours, _) => Place::Ours(host(programs::ours())?),
            (Side::Theirs, Driver::None) => Place::Theirs(host(genuine_programs(network)?)?),
            (Side::Theirs, Driver::Live) => {
                let peer = KernelPeer::start(network, f2::FIRST, DISK_MIB)?;
                peer.run("hostname alpha")?;
                Place::Kernel(peer)
            }
        };
        Ok(Self { place })
    }

    /// Runs one case in a place without traces of the case before.
    pub fn answer(&self, case: &Case) -> Result<Answer, Error> {
        let reset = match &self.place {
            Place::Ours(_) => format!(
                "! test -e /run/drbd/engine.pid || drbdd stop; {RESET} blkdiscard -f -z /dev/sdb1"
            ),
            Place::Theirs(_) => format!("{RESET} blkdiscard -f -z /dev/sdb1"),
            Place::Kernel(_) => {
                let down = "for r in $(drbdsetup show all 2>/dev/null | sed -n 's/^resource \\(.*\\) {/\\1/p'); do drbdsetup down $r; done";
                format!(
                    "{down}; {RESET} dd if=/dev/zero of=/dev/sdb1 bs=1M count={DISK_MIB} 2>/dev/null"
                )
            }
        };
        self.run(&reset)?;
        for (path, content) in &case.files {
            self.run(&format!(
                "mkdir -p $(dirname {path}); cat > {path} <<'END-OF-FILE'\n{content}END-OF-FILE"
            ))?;
        }
        let output = match &self.place {
            Place::Ours(host) | Place::Theirs(host) => {
                host.try_sh(&format!("PROC={LIVE_FILE}; {}", case.command))?
            }
            Place::Kernel(peer) => {
                peer.try_run(&format!("{QUIET}; PROC=/proc/drbd; {}", case.command))?
            }
        };
        let first = match output.first_error() {
            "" => String::new(),
            line => format!("{line}\n"),
        };
        Ok(Answer {
            stdout: self.usual_names(&output.stdout),
            stderr: self.usual_names(&first),
            status: format!("{}\n", output.status),
        })
    }

    fn run(&self, script: &str) -> Result<String, Error> {
        match &self.place {
            Place::Ours(host) | Place::Theirs(host) => host.sh(script),
            Place::Kernel(peer) => peer.run(script),
        }
    }

    /// Since 9.x the 8.4 tools carry their series in their names; their users never typed it.
    fn usual_names(&self, text: &str) -> String {
        match self.place {
            Place::Ours(_) => text.to_owned(),
            Place::Theirs(_) | Place::Kernel(_) => text
                .replace("drbdadm-84", "drbdadm")
                .replace("drbdsetup-84", "drbdsetup"),
        }
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
        let text = concat!(
            "A title.\n--- file /etc/drbd.conf\nresource r0 { }\n--- command\ndrbdadm dump\n",
            "--- stdout\na\n\nb\n\n--- stderr\n--- status\n10\n"
        );
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
