//! The command line (spec 20 section 2): GNU getopt_long with permutation, where every option of
//! every backend command is known by name.

use std::collections::BTreeMap;

use drbd_options::{Era, Kind, OptionRow, SetupCommand, of_command};

use crate::command::{self, Action, Command, Listing, RENAMED, SPELLED};

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invocation {
    /// `-S`
    pub stacked: bool,
    /// How often `-d` was given.
    pub dry_run: u32,
    /// How often `-v` was given.
    pub verbose: u32,
    /// `-c`
    pub config_file: Option<String>,
    /// `-t`
    pub config_to_test: Option<String>,
    /// `-s`
    pub drbdsetup: Option<String>,
    /// `-m`
    pub drbdmeta: Option<String>,
    /// `-p`
    pub proxy_ctl: Option<String>,
    /// `-n`
    pub sh_varname: Option<String>,
    /// `-P`
    pub peer: Option<String>,
    /// `--era`
    pub era: Option<Era>,
    /// `--diff`
    pub diff: bool,
    /// The command, by its present name.
    pub command: Option<&'static str>,
    /// Words for the backend, in the spelling of today.
    pub backend: Vec<String>,
    /// The same as they were given: what the dry run of an older series shows.
    pub backend_as_given: Vec<String>,
    /// Resource names.
    pub names: Vec<String>,
    /// Remarks for stderr.
    pub warnings: Vec<String>,
}

/// What to do instead of running a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Run it.
    Run(Box<Invocation>),
    /// Print help, of a command if it has a name that is known.
    Help(Option<&'static str>),
    /// Print the versions.
    Version,
    /// Print help and the reason on stdout, and fail.
    Usage {
        /// Of this command, or in general.
        command: Option<&'static str>,
        /// Why.
        reason: &'static str,
    },
    /// Print this on stderr, and end with status 1.
    Refuse(String),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Argument {
    None,
    Required,
    Optional,
}

/// An option of drbdadm itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct General {
    pub long: &'static str,
    pub short: Option<char>,
    /// What stands for its value, if it takes one.
    pub value: Option<&'static str>,
    /// What it does, for the manual and for completion.
    pub about: &'static str,
}

const fn general(
    long: &'static str,
    short: Option<char>,
    value: Option<&'static str>,
    about: &'static str,
) -> General {
    General {
        long,
        short,
        value,
        about,
    }
}

/// In the order of the help.
pub(crate) const GENERAL: &[General] = &[
    general("stacked", Some('S'), None, "Work on stacked resources only"),
    general(
        "dry-run",
        Some('d'),
        None,
        "Print the commands instead of running them; twice: check the own addresses nevertheless",
    ),
    general(
        "verbose",
        Some('v'),
        None,
        "Print the commands and run them; more often: explain what `adjust` compares",
    ),
    general(
        "config-file",
        Some('c'),
        Some("FILE"),
        "Read this configuration; `-` is the standard input",
    ),
    general(
        "config-to-test",
        Some('t'),
        Some("FILE"),
        "Read this file after the configuration; only for `dump`, `dump-xml` and `sh-nop`",
    ),
    general(
        "drbdsetup",
        Some('s'),
        Some("PROGRAM"),
        "Run this as drbdsetup",
    ),
    general(
        "drbdmeta",
        Some('m'),
        Some("PROGRAM"),
        "Run this as drbdmeta",
    ),
    general(
        "drbd-proxy-ctl",
        Some('p'),
        Some("PROGRAM"),
        "Run this as drbd-proxy-ctl",
    ),
    general(
        "sh-varname",
        Some('n'),
        Some("NAME"),
        "Print `NAME=RESOURCE` before each command that is printed",
    ),
    general(
        "peer",
        Some('P'),
        Some("HOST"),
        "The peer that is meant where a resource has more than two hosts",
    ),
    general(
        "version",
        Some('V'),
        None,
        "Print the versions as shell assignments",
    ),
    general(
        "setup-option",
        Some('W'),
        Some("WORD"),
        "Pass this word on to drbdsetup or drbdmeta",
    ),
    general(
        "help",
        Some('h'),
        None,
        "Show help, in general or for the command",
    ),
];

/// Ours; the genuine programs have no such options, so that their help does not name them.
pub(crate) const EXTENSIONS: &[General] = &[
    general(
        ERA,
        None,
        Some("SERIES"),
        "Print as that series did: `0.7`, `8.0`, `8.2`, `8.3`, `8.4` or `auto`",
    ),
    general(
        TO,
        None,
        Some("SERIES"),
        "Of `convert`: what to write; only `8.4`",
    ),
    general(DIFF, None, None, "Of `convert`: show what changes"),
];

const ERA: &str = "era";
const TO: &str = "to";
const DIFF: &str = "diff";

/// The backend commands whose options drbdadm knows by name.
const WITH_OPTIONS: &[SetupCommand] = &[
    SetupCommand::Primary,
    SetupCommand::Detach,
    SetupCommand::Disconnect,
    SetupCommand::NewCurrentUuid,
    SetupCommand::ResourceOptions,
    SetupCommand::Attach,
    SetupCommand::Connect,
];

/// The options that `drbdadm COMMAND` passes on, in the order of the genuine help. The flags
/// `--set-defaults` and the obsolete options are drbdsetup's own.
pub(crate) fn options_of(command: SetupCommand) -> impl Iterator<Item = &'static OptionRow> {
    of_command(command).filter(|row| row.attribute.is_some())
}

pub(crate) fn takes_value(row: &OptionRow) -> bool {
    !matches!(row.kind, Kind::Flag | Kind::Bool { .. })
}

struct Word {
    text: String,
    explicit: bool,
}

struct Reader<'a> {
    program: &'a str,
    longs: BTreeMap<&'static str, Argument>,
    invocation: Invocation,
    words: Vec<Word>,
    wants_help: bool,
    /// `help` was given as the command.
    help_for: Option<Option<&'static str>>,
}

/// Reads the words behind the program's name; the default era is that of the environment.
pub fn parse(program: &str, arguments: &[String], default_era: Option<Era>) -> Outcome {
    let mut longs: BTreeMap<&'static str, Argument> = WITH_OPTIONS
        .iter()
        .flat_map(|command| options_of(*command))
        .map(|row| {
            (
                row.name,
                if takes_value(row) {
                    Argument::Required
                } else {
                    Argument::Optional
                },
            )
        })
        .collect();
    longs.extend(GENERAL.iter().chain(EXTENSIONS).map(|option| {
        let argument = match option.value {
            Some(_) => Argument::Required,
            None => Argument::None,
        };
        (option.long, argument)
    }));
    let mut reader = Reader {
        program,
        longs,
        invocation: Invocation {
            era: default_era,
            ..Invocation::default()
        },
        words: Vec::new(),
        wants_help: false,
        help_for: None,
    };
    match reader.read(arguments) {
        Ok(()) => reader.finish(),
        Err(outcome) => outcome,
    }
}

impl Reader<'_> {
    fn read(&mut self, arguments: &[String]) -> Result<(), Outcome> {
        let mut rest = arguments.iter();
        while let Some(word) = rest.next() {
            if word == "--" {
                for word in rest.by_ref() {
                    self.positional(word);
                }
            } else if let Some(long) = word.strip_prefix("--") {
                self.long(long, &mut rest)?;
            } else if word.len() > 1 && word.starts_with('-') {
                self.shorts(&word[1..], &mut rest)?;
            } else {
                self.positional(word);
            }
        }
        Ok(())
    }

    fn positional(&mut self, word: &str) {
        if let Some(help @ None) = &mut self.help_for {
            *help = command::find(word).map(|c| c.name);
            return;
        }
        if self.invocation.command.is_some() {
            self.invocation.names.push(word.to_owned());
        } else if word == "help" {
            self.help_for = Some(None);
        } else if let Some(command) = command::find(word) {
            self.invocation.command = Some(command.name);
        } else if let Some((_, new)) = SPELLED.iter().find(|(old, _)| *old == word) {
            self.invocation.command = Some(new);
        } else if let Some((old, new)) = RENAMED.iter().find(|(old, _)| *old == word) {
            self.invocation.warnings.push(format!(
                "'{0} {old}' is deprecated, use '{0} {new}' instead.",
                self.program
            ));
            self.invocation.command = Some(new);
        } else {
            self.words.push(Word {
                text: word.to_owned(),
                explicit: true,
            });
        }
    }

    fn long<'w>(
        &mut self,
        word: &str,
        rest: &mut impl Iterator<Item = &'w String>,
    ) -> Result<(), Outcome> {
        let (given, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word, None),
        };
        let name = self.resolve(given, word)?;
        let argument = self.longs.get(name).copied().unwrap_or(Argument::None);
        let value = match (argument, value) {
            (Argument::None, Some(_)) => {
                return Err(self.refuse(&format!("option '--{name}' doesn't allow an argument")));
            }
            (Argument::Required, None) => match rest.next() {
                Some(next) => Some(next.clone()),
                None => {
                    return Err(self.refuse(&format!("option '--{name}' requires an argument")));
                }
            },
            (_, value) => value,
        };
        self.apply(name, value)
    }

    /// The full name behind an unambiguous beginning.
    fn resolve(&self, given: &str, word: &str) -> Result<&'static str, Outcome> {
        if let Some((name, _)) = self.longs.get_key_value(given) {
            return Ok(name);
        }
        let mut matching = self.longs.keys().filter(|name| name.starts_with(given));
        match (matching.next(), matching.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err(self.refuse(&format!("unrecognized option '--{word}'"))),
            (Some(_), Some(_)) => {
                let all = self.longs.keys().filter(|name| name.starts_with(given));
                let possibilities: String = all.map(|name| format!(" '--{name}'")).collect();
                Err(self.refuse(&format!(
                    "option '--{word}' is ambiguous; possibilities:{possibilities}"
                )))
            }
        }
    }

    fn shorts<'w>(
        &mut self,
        cluster: &str,
        rest: &mut impl Iterator<Item = &'w String>,
    ) -> Result<(), Outcome> {
        for (at, letter) in cluster.char_indices() {
            let found = GENERAL.iter().find(|option| option.short == Some(letter));
            let Some(General { long, value, .. }) = found else {
                return Err(self.refuse(&format!("invalid option -- '{letter}'")));
            };
            if value.is_none() {
                self.apply(long, None)?;
                continue;
            }
            let attached = &cluster[at + letter.len_utf8()..];
            let value = if attached.is_empty() {
                rest.next().cloned()
            } else {
                Some(attached.to_owned())
            };
            if value.is_none() {
                return Err(self.refuse(&format!("option requires an argument -- '{letter}'")));
            }
            return self.apply(long, value);
        }
        Ok(())
    }

    fn apply(&mut self, name: &'static str, value: Option<String>) -> Result<(), Outcome> {
        let own = &mut self.invocation;
        match name {
            "stacked" => own.stacked = true,
            "dry-run" => own.dry_run += 1,
            "verbose" => own.verbose += 1,
            "config-file" => own.config_file = value,
            "config-to-test" => own.config_to_test = value,
            "drbdsetup" => own.drbdsetup = value,
            "drbdmeta" => own.drbdmeta = value,
            "drbd-proxy-ctl" => own.proxy_ctl = value,
            "peer" => own.peer = value,
            "help" => self.wants_help = true,
            DIFF => own.diff = true,
            TO if value.as_deref() != Some(Era::V84.name()) => {
                return Err(self.refuse("option '--to': only 8.4 can be written"));
            }
            TO => {}
            "version" => return Err(Outcome::Version),
            "setup-option" => self.words.push(Word {
                text: value.unwrap_or_default(),
                explicit: true,
            }),
            "sh-varname" => {
                let name = value.unwrap_or_default();
                if name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                    own.sh_varname = Some(name);
                } else {
                    own.warnings.push(format!(
                        "ignored --sh-varname={name}: contains suspect characters, \
                         allowed set is [a-zA-Z0-9_]"
                    ));
                }
            }
            ERA => {
                let text = value.unwrap_or_default();
                let era = match text.as_str() {
                    "auto" => None,
                    _ => Some(text.parse().map_err(|_| {
                        self.refuse(&format!("option '--era': unknown era '{text}'"))
                    })?),
                };
                self.invocation.era = era;
            }
            _ => self.words.push(Word {
                text: match value {
                    Some(value) => format!("--{name}={value}"),
                    None => format!("--{name}"),
                },
                explicit: false,
            }),
        }
        Ok(())
    }

    fn refuse(&self, message: &str) -> Outcome {
        Outcome::Refuse(format!("{0}: {message}\ntry '{0} help'", self.program))
    }

    fn finish(mut self) -> Outcome {
        if let Some(command) = self.help_for {
            return Outcome::Help(command);
        }
        let Some(command) = self.invocation.command.and_then(command::find) else {
            if self.wants_help {
                return Outcome::Help(None);
            }
            return match self.words.iter().find(|word| word.explicit) {
                Some(word) => {
                    Outcome::Refuse(format!("{}: Unknown command '{}'", self.program, word.text))
                }
                None => Outcome::Usage {
                    command: None,
                    reason: "No command specified",
                },
            };
        };
        let modern_only = self.invocation.era.is_none_or(|era| era == Era::V84);
        if command.listing == Listing::Old && modern_only {
            let name = command.name;
            return Outcome::Refuse(format!("{}: Unknown command '{name}'", self.program));
        }
        if self.wants_help {
            return Outcome::Help(Some(command.name));
        }
        if let Some(word) = self
            .words
            .iter()
            .find(|w| !w.explicit && !may_take(command, w))
        {
            let option = word.text.split('=').next().unwrap_or_default();
            return Outcome::Refuse(format!(
                "{0}: unrecognized option '{option}'\ntry '{0} help {1}'",
                self.program, command.name
            ));
        }
        let words: Vec<String> = self.words.into_iter().map(|w| w.text).collect();
        let modern = words.iter().map(|word| modern(command, word));
        self.invocation.backend = modern.collect();
        self.invocation.backend_as_given = words;
        if self.invocation.names.is_empty() && command.takes_resources() {
            if !command.defaults_to_all() {
                return Outcome::Usage {
                    command: Some(command.name),
                    reason: "No resource names specified",
                };
            }
            self.invocation.names.push("all".to_owned());
        }
        Outcome::Run(Box::new(self.invocation))
    }
}

/// Whether an option that drbdadm recognised belongs to the command.
fn may_take(command: &Command, word: &Word) -> bool {
    let name = word.text.trim_start_matches("--");
    let name = name.split('=').next().unwrap_or_default();
    command.action == Action::CreateMd
        || command
            .options
            .is_some_and(|set| options_of(set).any(|row| row.name == name))
}

/// The present spelling of what scripts of older series pass after `--`.
fn modern(command: &Command, word: &str) -> String {
    let spelling = match (command.name, word) {
        ("primary", "-o" | "-f" | "--do-what-I-say") => "--force",
        ("connect", "-D") => "--discard-my-data",
        ("connect", "-n") => "--tentative",
        _ => word,
    };
    spelling.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(line: &str) -> Outcome {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse("drbdadm", &words, None)
    }

    fn invocation(line: &str) -> Invocation {
        match run(line) {
            Outcome::Run(invocation) => *invocation,
            other => panic!("{line}: {other:?}"),
        }
    }

    /// Spec 20 section 2.5, captured.
    #[test]
    fn backend_options_are_taken_before_and_after_the_command() {
        for line in [
            "-d -- --force primary r0",
            "-d primary --force r0",
            "-d -W--force primary r0",
            "-d -- -o primary r0",
        ] {
            let got = invocation(line);
            assert_eq!(got.backend, ["--force"], "{line}");
            assert_eq!((got.command, got.names.len()), (Some("primary"), 1));
        }
        assert_eq!(
            invocation("connect --max-buf=5 r0").backend,
            ["--max-buffers=5"]
        );
        assert_eq!(invocation("primary r0 -- --force").names, ["r0", "--force"]);
        assert_eq!(invocation("create-md --force r0").backend, ["--force"]);
        assert_eq!(
            invocation("primary --force=no -d r0").backend,
            ["--force=no"]
        );
    }

    #[test]
    fn foreign_options_are_refused_in_the_genuine_words() {
        assert_eq!(
            run("connect --force r0"),
            Outcome::Refuse(
                "drbdadm: unrecognized option '--force'\ntry 'drbdadm help connect'".to_owned()
            )
        );
        assert_eq!(
            run("--foo up all"),
            Outcome::Refuse("drbdadm: unrecognized option '--foo'\ntry 'drbdadm help'".to_owned())
        );
        assert_eq!(
            run("syncer r0"),
            Outcome::Refuse("drbdadm: Unknown command 'syncer'".to_owned())
        );
        assert_eq!(
            run("up"),
            Outcome::Usage {
                command: Some("up"),
                reason: "No resource names specified"
            }
        );
    }
}
