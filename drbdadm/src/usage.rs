//! Help texts (spec 20 sections 3.1, 3.3 and 3.5).

use crate::{
    cli::{GENERAL, options_of, takes_value},
    command::{COMMANDS, Command, Listing, find},
};

/// What `--version` and help report; the version whose behaviour is reproduced.
pub const VERSION: &str = "8.4.11";
/// As [`VERSION`], in the form that cluster agents compare.
pub const VERSION_CODE: u32 = 0x08_04_0b;
const BUILD: &str = concat!("drbd-userspace ", env!("CARGO_PKG_VERSION"));

/// General help, or that of one command.
pub fn help(command: Option<&str>) -> String {
    let command = command.and_then(find);
    let mut text = match command {
        None => "\nUSAGE: drbdadm COMMAND [OPTION...] {all|RESOURCE...}\n".to_owned(),
        Some(command) => format!(
            "\nUSAGE: drbdadm {} [OPTION...] {{all|RESOURCE...}}\n",
            command.name
        ),
    };
    text.push_str("\nGENERAL OPTIONS:\n");
    for option in GENERAL {
        let (equals, blank) = match option.value {
            Some(_) => ("=...", " ..."),
            None => ("", ""),
        };
        let short = option.short;
        let short = short.map_or_else(String::new, |c| format!(", -{c}{blank}"));
        text.push_str(&format!("  --{}{equals}{short}\n", option.long));
    }
    match command {
        None => {
            text.push_str("\nCOMMANDS:\n");
            text.push_str(&columns(Listing::Usual));
        }
        Some(command) => text.push_str(&own_options(command)),
    }
    text.push_str(&format!(
        "\nVersion: {VERSION} (api:1)\nGIT-hash: {BUILD}\n"
    ));
    text
}

fn own_options(command: &Command) -> String {
    let Some(set) = command.options else {
        return String::new();
    };
    let mut text = format!("\nOPTIONS FOR {}:\n", command.name);
    for row in options_of(set) {
        let value = if takes_value(row) { "=..." } else { "[=...]" };
        text.push_str(&format!("  --{}{value}\n", row.name));
    }
    text
}

fn columns(listing: Listing) -> String {
    let names: Vec<_> = COMMANDS
        .iter()
        .filter(|command| command.listing == listing)
        .map(|command| command.name)
        .collect();
    let mut text = String::new();
    for pair in names.chunks(2) {
        text.push(' ');
        for name in pair {
            text.push_str(&format!("{name:<35}"));
        }
        text.push('\n');
    }
    text
}

/// `drbdadm hidden-commands`
pub fn hidden_commands() -> String {
    format!(
        "\nThese additional commands might be useful for writing\n\
         nifty shell scripts around drbdadm:\n\n{}\n\
         These commands are used by the kernel part of DRBD to\n\
         invoke user mode helper programs:\n\n{}\n\
         These commands ought to be used by experts and developers:\n\n{}\n",
        columns(Listing::Script),
        columns(Listing::Handler),
        columns(Listing::Expert)
    )
}

/// `drbdadm --version`: shell assignments that cluster agents evaluate.
pub fn version() -> String {
    let tag = compat::era::text::shell(BUILD);
    format!(
        "DRBDADM_BUILDTAG=GIT-hash:\\ {tag}\n\
         DRBDADM_API_VERSION=1\n\
         DRBD_KERNEL_VERSION_CODE=0x{VERSION_CODE:06x}\n\
         DRBDADM_VERSION_CODE=0x{VERSION_CODE:06x}\n\
         DRBDADM_VERSION={VERSION}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Captured from drbdadm-84, spec 20 section 3.5.
    #[test]
    fn hidden_commands_are_listed_as_the_genuine_program_lists_them() {
        let text = hidden_commands();
        assert!(text.contains(
            " sh-nop                             sh-resources                       \n \
             sh-resource                        sh-mod-parms                       \n"
        ));
        assert!(text.ends_with(" check-resize                       \n\n"));
    }
}
