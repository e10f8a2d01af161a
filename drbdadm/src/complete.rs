//! Completion in shells: `source <(DRBDADM_COMPLETE=bash drbdadm)`, and the same for zsh and fish.
//! The words come from the tables of commands and options, the names of resources and volumes
//! from the configuration as it is when somebody asks.

mod state;

use std::{
    ffi::{OsStr, OsString},
    io,
    path::{Path, PathBuf},
};

use clap::{Arg, ArgAction, Command as Clap, ValueHint};
use clap_complete::{
    CompleteEnv,
    engine::{ArgValueCompleter, CompletionCandidate},
    env::{Bash, EnvCompleter, Fish, Shells, Zsh},
};

use compat::config::{NamedResource, resource_names};
use drbd_options::{Era, Kind, OptionRow, SetupCommand};

use crate::{
    cli::{EXTENSIONS, GENERAL, General, options_of},
    command::{self, Action, COMMANDS, Command, Listing, Scope},
    environment,
    load::CANDIDATES,
};

/// Set to the name of a shell when it is a shell that asks.
const ASKED: &str = "DRBDADM_COMPLETE";

/// What stands in for words of the command line that mean nothing to the description.
const FILLER: &str = "-v";

/// Answers the shell, and ends the program, if it was a shell that called.
pub fn answer_shell() {
    let factory = || match backend_words_wanted() {
        true => clap().args(backend_words()),
        false => clap(),
    };
    CompleteEnv::with_factory(factory)
        .var(ASKED)
        .bin("drbdadm")
        .shells(Shells(&[&Plain(&Bash), &Plain(&Fish), &Plain(&Zsh)]))
        .complete();
}

/// The command line as clap describes it; only completion uses this description.
pub fn clap() -> Clap {
    let subcommands = COMMANDS
        .iter()
        .filter(|command| command.listing != Listing::Old)
        .map(subcommand);
    let era = EXTENSIONS.iter().filter(|option| option.long == "era");
    let help = COMMANDS.iter().map(|command| command.name);
    Clap::new("drbdadm")
        .disable_help_flag(true)
        .disable_help_subcommand(true)
        .args(
            GENERAL
                .iter()
                .chain(era)
                .map(|option| general(option).global(true)),
        )
        .subcommands(subcommands)
        .subcommand(
            Clap::new("help")
                .about("Show help, in general or for a command")
                .disable_help_flag(true)
                .arg(Arg::new("command").value_parser(help.collect::<Vec<_>>())),
        )
}

fn general(option: &'static General) -> Arg {
    let arg = Arg::new(option.long)
        .long(option.long)
        .help(plain(option.about));
    let arg = match option.short {
        Some(letter) => arg.short(letter),
        None => arg,
    };
    let eras = Era::ALL.iter().map(|era| era.name());
    match (option.value, option.long) {
        (None, _) => arg.action(ArgAction::Count),
        (Some("FILE" | "PROGRAM"), _) => arg.value_hint(ValueHint::FilePath),
        (Some(_), "era") => arg.value_parser(eras.chain(["auto"]).collect::<Vec<_>>()),
        (Some(_), "to") => arg.value_parser([Era::V84.name()]),
        (Some(_), _) => arg,
    }
}

fn subcommand(command: &'static Command) -> Clap {
    let mut clap = Clap::new(command.name)
        .about(plain(command.about))
        .hide(!matches!(command.listing, Listing::Usual | Listing::Ours))
        .disable_help_flag(true);
    if let Some(set) = command.options {
        clap = clap.args(options_of(set).map(option));
    }
    if command.action == Action::Convert {
        let own = EXTENSIONS.iter().filter(|option| option.long != "era");
        clap = clap.args(own.map(general));
    }
    if command.takes_resources() {
        let volumes = match command.scope {
            Scope::Global | Scope::WholeResource => Volumes::Left,
            Scope::Resource | Scope::Volumes | Scope::OneVolume => Volumes::Named,
        };
        clap = clap.arg(
            Arg::new("resources")
                .num_args(0..)
                .add(resources(command.name, volumes)),
        );
    }
    clap
}

fn option(row: &'static OptionRow) -> Arg {
    let arg = Arg::new(row.name).long(row.name).help(plain(row.about));
    match row.kind {
        Kind::Flag | Kind::Bool { .. } => arg
            .num_args(0..=1)
            .require_equals(true)
            .value_parser(["yes", "no"]),
        Kind::Enum(choice) => {
            let words: Vec<&str> = choice.words.iter().map(|(word, _)| *word).collect();
            arg.value_parser(words)
        }
        Kind::MinorOfResource(_) => arg.add(resources("", Volumes::Named)),
        _ => arg,
    }
}

fn plain(text: &str) -> String {
    text.replace('`', "")
}

/// The options that scripts of every series write between `--` and the command.
fn backend_words() -> impl Iterator<Item = Arg> {
    let sets = [SetupCommand::Primary, SetupCommand::Connect];
    let flags = sets.into_iter().flat_map(options_of);
    let flags = flags.filter(|row| row.kind == Kind::Flag);
    flags.flat_map(|row| {
        let names = std::iter::once(row.name).chain(row.aliases.iter().copied());
        let ours = |name: &&str| GENERAL.iter().all(|option| option.long != *name);
        names.filter(ours).map(|name| {
            Arg::new(name)
                .long(name)
                .help(plain(row.about))
                .action(ArgAction::Count)
        })
    })
}

/// Whether the word that is completed stands between `--` and the command.
fn backend_words_wanted() -> bool {
    let asked: Vec<OsString> = std::env::args_os().collect();
    // Behind the program and the `--` of the shell's script stands the line itself.
    let line = asked.get(2..).unwrap_or_default();
    let before = &line[..current(line).min(line.len())];
    let dashes = before.iter().position(|word| word == "--");
    dashes.is_some_and(|at| before[at..].iter().all(|word| !is_command(word)))
}

fn is_command(word: &OsStr) -> bool {
    word.to_str()
        .is_some_and(|word| command::find(word).is_some())
}

/// Index of the word that is completed: bash and zsh tell it, for fish it is the last one.
fn current(line: &[OsString]) -> usize {
    let told = std::env::var("_CLAP_COMPLETE_INDEX").ok();
    let told = told.and_then(|index| index.parse().ok());
    told.unwrap_or(line.len().saturating_sub(1))
}

/// A shell whose command line is first brought into the form that the description knows.
struct Plain(&'static dyn EnvCompleter);

impl EnvCompleter for Plain {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn is(&self, name: &str) -> bool {
        self.0.is(name)
    }

    fn write_registration(
        &self,
        var: &str,
        name: &str,
        bin: &str,
        completer: &str,
        buf: &mut dyn io::Write,
    ) -> io::Result<()> {
        self.0.write_registration(var, name, bin, completer, buf)
    }

    fn write_complete(
        &self,
        cmd: &mut Clap,
        args: Vec<OsString>,
        current_dir: Option<&Path>,
        buf: &mut dyn io::Write,
    ) -> io::Result<()> {
        let current = current(&args);
        let args = straightened(args, current);
        let word = args.get(current);
        if !word.is_some_and(|word| word.to_string_lossy().starts_with('-')) {
            *cmd = without_options(std::mem::take(cmd));
        }
        self.0.write_complete(cmd, args, current_dir, buf)
    }
}

/// Options are only offered to somebody who begins one, or where nothing else is possible.
fn without_options(cmd: Clap) -> Clap {
    cmd.mut_args(|arg| match arg.is_positional() {
        true => arg,
        false => arg.hide(true),
    })
    .mut_subcommands(without_options)
}

/// The words of a line, as many as before: `--`, with the words for the backend behind it, is
/// filled up, and what bash cut at `=` becomes a name and its value.
fn straightened(mut line: Vec<OsString>, current: usize) -> Vec<OsString> {
    let end = current.min(line.len());
    if let Some(at) = line[..end].iter().position(|word| word == "--") {
        let words = line[at..end].iter_mut();
        for word in words.take_while(|word| !is_command(word)) {
            *word = FILLER.into();
        }
    }
    for at in 2..end.saturating_add(1).min(line.len()) {
        if line[at - 1] == "=" && line[at - 2].to_string_lossy().starts_with("--") {
            line.swap(at - 2, at - 1);
            line[at - 2] = FILLER.into();
        }
    }
    line
}

/// Whether volumes are named, too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Volumes {
    Named,
    Left,
}

/// Completes `all`, the resources that the command makes sense for, and the volumes of those that
/// have them written out.
fn resources(command: &'static str, volumes: Volumes) -> ArgValueCompleter {
    ArgValueCompleter::new(move |begun: &OsStr| {
        let line: Vec<OsString> = std::env::args_os().collect();
        let found = configuration(&line).map(|file| resource_names(&file));
        let proc = std::fs::read_to_string(environment::run_directory().join("proc/drbd"));
        let found = state::sensible(command, found.unwrap_or_default(), proc.ok().as_deref());
        let begun = begun.to_string_lossy();
        let names = names(&found, volumes);
        names
            .into_iter()
            .filter(|name| name.starts_with(&*begun))
            .map(CompletionCandidate::new)
            .collect()
    })
}

fn names(resources: &[NamedResource], volumes: Volumes) -> Vec<String> {
    let mut names = vec!["all".to_owned()];
    for resource in resources {
        names.push(resource.name.clone());
        if volumes == Volumes::Named {
            let written = resource.volumes.iter();
            names.extend(written.map(|volume| format!("{}/{volume}", resource.name)));
        }
    }
    names
}

/// The file that a line means: that of `-c`, or the usual one.
fn configuration(line: &[OsString]) -> Option<PathBuf> {
    let mut words = line.iter();
    while let Some(word) = words.next() {
        let text = word.to_string_lossy();
        if text == "-c" || text == "--config-file" {
            let file = words.find(|word| *word != "=")?;
            return Some(PathBuf::from(file));
        }
        if let Some(file) = text.strip_prefix("--config-file=") {
            return Some(PathBuf::from(file));
        }
    }
    let usual = CANDIDATES.iter().map(PathBuf::from);
    usual.into_iter().find(|path| path.exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_description_for_completion_is_consistent() {
        clap().debug_assert();
        clap().args(backend_words()).debug_assert();
    }

    #[test]
    fn words_for_the_backend_do_not_hide_the_command() {
        let written = "drbdadm -- -o --discard-my-data connect r";
        assert_eq!(
            straightened(line(written), 5),
            line("drbdadm -v -v -v connect r")
        );
        assert_eq!(straightened(line("drbdadm --"), 1), line("drbdadm --"));
    }

    #[test]
    fn what_bash_cuts_at_an_equals_sign_is_a_name_and_its_value() {
        assert_eq!(
            straightened(line("drbdadm --era = 8"), 3),
            line("drbdadm -v --era 8")
        );
    }

    #[test]
    fn the_configuration_of_the_line_is_the_one_that_counts() {
        for written in [
            "drbdadm -c /x up r",
            "drbdadm --config-file=/x up",
            "drbdadm --config-file = /x up",
        ] {
            assert_eq!(configuration(&line(written)), Some("/x".into()));
        }
    }
}
