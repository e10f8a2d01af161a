//! The tables of the manual page, rendered from the tables that parser and usage read: no
//! command or option can be missing there.

use crate::command::{COMMANDS, EXTENSIONS};
use crate::usage;
use drbd_options::{Kind, OptionRow, SetupCommand};

/// `.TP` entries of all commands.
pub fn commands() -> String {
    COMMANDS
        .iter()
        .map(|command| {
            let synopsis = usage::synopsis(command);
            format!(".TP\n.B {}\n{}\n", escape(&synopsis), escape(command.about))
        })
        .collect()
}

/// `.TP` entries of the options of a command.
pub fn options(command: SetupCommand) -> String {
    drbd_options::of_command(command)
        .filter(|row| row.name != "set-defaults")
        .map(option)
        .collect()
}

/// `.TP` entries of what the genuine tool does not have.
pub fn extensions() -> String {
    EXTENSIONS
        .iter()
        .map(|extension| {
            let synopsis = format!("{} --{}", extension.command, extension.name);
            format!(
                ".TP\n.B {}\n{}\n",
                escape(&synopsis),
                escape(extension.about)
            )
        })
        .collect()
}

fn option(row: &OptionRow) -> String {
    let (value, default) = match row.kind {
        Kind::Flag => ("", String::new()),
        Kind::Bool { default } => ("yes|no", if default { "yes" } else { "no" }.to_owned()),
        Kind::Number(n) | Kind::MinorOfResource(n) => {
            return number(row, n);
        }
        Kind::Enum(choice) => {
            let words: Vec<_> = choice.words.iter().map(|(word, _)| *word).collect();
            return entry(
                row,
                &words.join("|"),
                &format!("The default is {}.", choice.default_word()),
            );
        }
        Kind::Text { .. } | Kind::Words => ("text", String::new()),
        Kind::Address => ("address", String::new()),
    };
    let default = if default.is_empty() {
        default
    } else {
        format!("The default is {default}.")
    };
    entry(row, value, &default)
}

fn number(row: &OptionRow, n: drbd_options::Number) -> String {
    let suffix = n.scale.suffix();
    let unit = match (suffix, n.unit) {
        ("", "") => String::new(),
        ("", unit) => format!(" ({unit})"),
        ("k", unit) => format!(" (KiB, {unit})"),
        (_, unit) => format!(" (sectors of 512 bytes, {unit})"),
    };
    let range = format!(
        "{}{suffix} to {}{suffix}, by default {}{suffix}{unit}.",
        n.min, n.max, n.default
    );
    entry(row, "number", &range)
}

fn entry(row: &OptionRow, value: &str, range: &str) -> String {
    let value = if value.is_empty() {
        String::new()
    } else {
        format!("=\\fI{}\\fR", escape(value))
    };
    let mut about = row.about.to_owned();
    if let Some(first) = about.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let space = if range.is_empty() { "" } else { "\n" };
    format!(
        ".TP\n\\fB\\-\\-{}\\fR{value}\n{}.{space}{}\n",
        escape(row.name),
        escape(&about),
        escape(range)
    )
}

/// Hyphens that are typed, not printed.
fn escape(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../man/drbdsetup.8");

    /// Where a generated section stands in the page.
    fn section(page: &str, name: &str) -> std::ops::Range<usize> {
        let begin = format!(".\\\" generated: {name}\n");
        let end = format!(".\\\" end of generated: {name}\n");
        let start = page.find(&begin).map(|at| at + begin.len());
        let stop = page.find(&end);
        match (start, stop) {
            (Some(start), Some(stop)) => start..stop,
            _ => panic!("man/drbdsetup.8 has no generated section '{name}'"),
        }
    }

    /// With `UPDATE_MANUAL` set the page is rewritten instead of compared.
    #[test]
    fn the_manual_lists_every_command_and_option() {
        use SetupCommand as C;
        let mut page = std::fs::read_to_string(PATH).unwrap();
        let update = std::env::var_os("UPDATE_MANUAL").is_some();
        for (name, text) in [
            ("commands", commands()),
            ("disk options", options(C::Attach)),
            ("net options", options(C::Connect)),
            ("resource options", options(C::NewResource)),
            ("resize options", options(C::Resize)),
            ("verify options", options(C::Verify)),
            ("wait options", options(C::WaitConnect)),
            ("extensions", extensions()),
        ] {
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
