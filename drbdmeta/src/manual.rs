//! The tables of the manual page, rendered from the tables that the parser and the dispatcher
//! use: neither can have an option or a command that the page lacks.

use crate::cmd::args::{Argument, OPTIONS};
use crate::cmd::table::COMMANDS;

/// A sub-command as the manual shows it.
fn command_entry(name: &str, usage: &str, help: &str) -> String {
    let usage = if usage.is_empty() {
        String::new()
    } else {
        format!(" {}", escape(usage))
    };
    format!(".TP\n.B {}{usage}\n{}\n", escape(name), escape(help))
}

/// `.TP` entries of all sub-commands.
pub fn commands() -> String {
    COMMANDS
        .iter()
        .map(|c| command_entry(c.name, c.usage, c.help))
        .collect()
}

/// `.TP` entries of all options.
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
            format!(
                ".TP\n\\fB{short}\\-\\-{long}\\fR{argument}\n{}\n",
                escape(row.help)
            )
        })
        .collect()
}

/// Hyphens that are typed, not printed.
fn escape(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../man/drbdmeta.8");

    /// Where a generated section stands in the page.
    fn section(page: &str, name: &str) -> std::ops::Range<usize> {
        let begin = format!(".\\\" generated: {name}\n");
        let end = format!(".\\\" end of generated: {name}\n");
        let start = page.find(&begin).map(|at| at + begin.len());
        let stop = page.find(&end);
        match (start, stop) {
            (Some(start), Some(stop)) => start..stop,
            _ => panic!("man/drbdmeta.8 has no generated section '{name}'"),
        }
    }

    /// With `UPDATE_MANUAL` set the page is rewritten instead of compared.
    #[test]
    fn the_manual_lists_every_command_and_option() {
        let mut page = std::fs::read_to_string(PATH).unwrap();
        let update = std::env::var_os("UPDATE_MANUAL").is_some();
        for (name, text) in [("commands", commands()), ("options", options())] {
            let range = section(&page, name);
            if update {
                page.replace_range(range, &text);
            } else {
                assert_eq!(page[range], text, "run with UPDATE_MANUAL=1");
            }
        }
        if update {
            std::fs::write(PATH, page).unwrap();
        }
    }
}
