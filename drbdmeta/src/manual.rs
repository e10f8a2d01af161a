//! The tables of the manual page, rendered from the tables that the parser and the dispatcher
//! use: neither can have an option or a command that the page lacks.

use drbd_options::manual::{entry, escape};

use crate::cmd::args::{Argument, OPTIONS};
use crate::cmd::table::COMMANDS;

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

#[cfg(test)]
mod tests {
    use super::*;
    use drbd_options::manual::refresh;

    const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../man/drbdmeta.8");

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
