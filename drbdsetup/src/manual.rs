//! The tables of the manual page, rendered from the tables that parser and usage read: no
//! command or option can be missing there.

use crate::command::{COMMANDS, EXTENSIONS};
use crate::usage;
use drbd_options::{
    SetupCommand,
    manual::{entry, escape, of_command_line},
};

/// `.TP` entries of all commands.
pub fn commands() -> String {
    COMMANDS
        .iter()
        .map(|command| {
            let synopsis = usage::synopsis(command);
            entry(&format!("\\fB{}\\fR", escape(&synopsis)), command.about)
        })
        .collect()
}

/// `.TP` entries of the options of a command.
pub fn options(command: SetupCommand) -> String {
    drbd_options::of_command(command)
        .filter(|row| row.name != "set-defaults")
        .map(of_command_line)
        .collect()
}

/// `.TP` entries of what the genuine tool does not have.
pub fn extensions() -> String {
    EXTENSIONS
        .iter()
        .map(|extension| {
            let synopsis = format!("{} --{}", extension.command, extension.name);
            entry(&format!("\\fB{}\\fR", escape(&synopsis)), extension.about)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use drbd_options::manual::refresh;

    const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../man/drbdsetup.8");

    /// With `UPDATE_MANUAL` set the page is rewritten instead of compared.
    #[test]
    fn the_manual_lists_every_command_and_option() {
        use SetupCommand as C;
        let page = std::fs::read_to_string(PATH).unwrap();
        let sections = [
            ("commands", commands()),
            ("disk options", options(C::Attach)),
            ("net options", options(C::Connect)),
            ("resource options", options(C::NewResource)),
            ("resize options", options(C::Resize)),
            ("verify options", options(C::Verify)),
            ("wait options", options(C::WaitConnect)),
            ("extensions", extensions()),
        ];
        let fresh = refresh(&page, &sections).unwrap();
        if std::env::var_os("UPDATE_MANUAL").is_some() {
            std::fs::write(PATH, fresh).unwrap();
        } else {
            assert!(
                page == fresh,
                "drbdsetup.8 is outdated: run with UPDATE_MANUAL=1"
            );
        }
    }
}
