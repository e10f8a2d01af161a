//! The tables of the manual page, rendered from the tables that the parser and the dispatcher
//! use: neither can have an option or a command that the page lacks.

use drbd_options::manual::{entry, escape};

use crate::cmd::args::{Argument, OPTIONS};
use crate::cmd::table::{COMMANDS, Listing};

/// Entries of all sub-commands.
pub fn commands() -> String {
    COMMANDS
        .iter()
        .map(|command| {
            let synopsis = format!("{} {}", command.name, command.usage);
            entry(
                &format!("\\fB{}\\fR", escape(synopsis.trim_end())),
                command.help,
            )
        })
        .collect()
}

/// Entries of all options.
pub fn options() -> String {
    OPTIONS
        .iter()
        .map(|row| {
            let short = row.short.map(|s| format!("\\-{s}, ")).unwrap_or_default();
            let long = escape(row.long);
            let argument = match row.argument {
                Argument::None => String::new(),
                Argument::Value(name) => format!(" \\fI{name}\\fR"),
            };
            entry(&format!("\\fB{short}\\-\\-{long}\\fR{argument}"), row.help)
        })
        .collect()
}

/// The same tables as a clap command: shell completions are generated from it. The program itself
/// parses with [`crate::cmd::args`], which has getopt's rules and messages.
pub fn clap_command() -> clap::Command {
    let options = OPTIONS.iter().map(|row| {
        let arg = clap::Arg::new(row.long).long(row.long).help(row.help);
        let arg = match row.short {
            Some(short) => arg.short(short),
            None => arg,
        };
        match row.argument {
            Argument::None => arg.action(clap::ArgAction::Count),
            Argument::Value(name) => arg.value_name(name),
        }
    });
    let names = COMMANDS.iter().map(|c| {
        clap::builder::PossibleValue::new(c.name)
            .help(c.help)
            .hide(c.listing == Listing::Hidden)
    });
    let positional = |name: &'static str, values: &'static [&'static str]| {
        clap::Arg::new(name)
            .required(true)
            .value_parser(clap::builder::PossibleValuesParser::new(values))
    };
    clap::Command::new("drbdmeta")
        .about("Create, inspect, convert and repair the meta-data of DRBD devices")
        .disable_help_flag(true)
        .args(options)
        .arg(clap::Arg::new("DEVICE").required(true))
        .arg(positional("FORMAT", &["v06", "v07", "v08"]))
        .arg(
            clap::Arg::new("META_DEV")
                .required(true)
                .value_hint(clap::ValueHint::FilePath),
        )
        .arg(clap::Arg::new("INDEX").required(true))
        .arg(clap::Arg::new("COMMAND").required(true).value_parser(
            clap::builder::PossibleValuesParser::new(names.collect::<Vec<_>>()),
        ))
        .arg(clap::Arg::new("ARGUMENT"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use drbd_options::manual::refresh;

    const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../man/drbdmeta.8");

    #[test]
    fn the_clap_model_is_consistent_and_parses_what_drbdadm_calls() {
        clap_command().debug_assert();
        let words = [
            "drbdmeta",
            "0",
            "v08",
            "/dev/sda7",
            "internal",
            "create-md",
            "--force",
        ];
        assert!(clap_command().try_get_matches_from(words).is_ok());
    }

    /// With `UPDATE_MANUAL` set the page is rewritten instead of compared.
    #[test]
    fn the_manual_lists_every_command_and_option() {
        let page = std::fs::read_to_string(PATH).unwrap();
        let sections = [("commands", commands()), ("options", options())];
        let fresh = refresh(&page, &sections).unwrap();
        if std::env::var_os("UPDATE_MANUAL").is_some() {
            std::fs::write(PATH, fresh).unwrap();
        } else {
            assert!(
                page == fresh,
                "drbdmeta.8 is outdated: run with UPDATE_MANUAL=1"
            );
        }
    }
}
