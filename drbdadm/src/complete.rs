//! Completion in shells: `source <(COMPLETE=bash drbdadm)`, and the same for zsh and fish. The
//! words come from the tables of commands and options, resource names from the configuration.

use std::path::Path;

use clap::{Arg, ArgAction, Command as Clap};
use clap_complete::{
    CompleteEnv,
    engine::{ArgValueCandidates, CompletionCandidate},
};

use compat::config::resource_names;
use drbd_options::{Kind, OptionRow};

use crate::{
    cli::{GENERAL, options_of},
    command::{COMMANDS, Command, Listing},
    load::CANDIDATES,
};

/// Answers the shell, and ends the program, if it was a shell that called.
pub fn answer_shell() {
    CompleteEnv::with_factory(clap).complete();
}

/// The command line as clap describes it; only completion uses this description.
pub fn clap() -> Clap {
    let subcommands = COMMANDS
        .iter()
        .filter(|command| command.listing != Listing::Old)
        .map(subcommand);
    Clap::new("drbdadm")
        .disable_help_flag(true)
        .disable_help_subcommand(true)
        .args(general())
        .subcommands(subcommands)
        .subcommand(Clap::new("help"))
}

fn general() -> impl Iterator<Item = Arg> {
    GENERAL.iter().map(|(long, short, takes_value)| {
        let arg = Arg::new(*long).long(*long).global(true);
        let arg = short.map_or_else(|| arg.clone(), |c| arg.clone().short(c));
        match (takes_value, *long) {
            (false, _) => arg.action(ArgAction::Count),
            (true, "config-file" | "config-to-test" | "drbdsetup" | "drbdmeta") => {
                arg.value_hint(clap::ValueHint::FilePath)
            }
            (true, _) => arg,
        }
    })
}

fn subcommand(command: &'static Command) -> Clap {
    let mut clap = Clap::new(command.name)
        .hide(command.listing != Listing::Usual)
        .disable_help_flag(true);
    if let Some(set) = command.options {
        clap = clap.args(options_of(set).map(option));
    }
    if command.takes_resources() {
        let names = Arg::new("resources")
            .num_args(0..)
            .add(ArgValueCandidates::new(resources));
        clap = clap.arg(names);
    }
    clap
}

fn option(row: &'static OptionRow) -> Arg {
    let arg = Arg::new(row.name).long(row.name).help(row.about);
    match row.kind {
        Kind::Flag | Kind::Bool { .. } => arg
            .num_args(0..=1)
            .require_equals(true)
            .value_parser(["yes", "no"]),
        Kind::Enum(choice) => {
            let words: Vec<&str> = choice.words.iter().map(|(word, _)| *word).collect();
            arg.value_parser(words)
        }
        _ => arg,
    }
}

/// `all`, every resource, and the volumes of those that have several.
fn resources() -> Vec<CompletionCandidate> {
    let file = CANDIDATES.iter().map(Path::new).find(|path| path.exists());
    let found = file.map(resource_names).unwrap_or_default();
    let names = found.into_iter().flat_map(|resource| {
        let volumes = resource.volumes.iter();
        let volumes: Vec<_> = volumes.map(|v| format!("{}/{v}", resource.name)).collect();
        std::iter::once(resource.name).chain(volumes)
    });
    std::iter::once("all".to_owned())
        .chain(names)
        .map(CompletionCandidate::new)
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_description_for_completion_is_consistent() {
        super::clap().debug_assert();
    }
}
