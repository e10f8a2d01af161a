//! Usage texts, rendered from the command table and the registry (spec 30 section 2.13).

use crate::command::{Action, COMMANDS, Command, Endpoints, Takes};
use drbd_options::{Kind, OptionRow};
use std::fmt::Write;

const ADDRESSES: [&str; 2] = ["local_addr", "remote_addr"];

/// The usage of the program; `complaint` stands behind it where there is one.
pub fn general(program: &str, complaint: Option<&str>) -> String {
    let mut out = format!(
        "\nUSAGE: {program} command device arguments options\n\n\
         Device is usually /dev/drbdX or /dev/drbd/X.\n\nCommands are:\n"
    );
    for row in COMMANDS.chunks(3) {
        let names: String = row.iter().map(|c| format!("{:<20}", c.name)).collect();
        out.push_str("    ");
        out.push_str(&names);
        out.push('\n');
    }
    out.push_str("\nTo get more details about a command issue 'drbdsetup help cmd'.\n\n");
    if let Some(complaint) = complaint {
        out.push('\n');
        out.push_str(complaint);
        out.push('\n');
    }
    out
}

/// The usage of a command.
pub fn of_command(program: &str, command: &Command) -> String {
    let mut words = vec![format!(" {program} {}", command.name)];
    words.extend(arguments(command));
    words.extend(command.option_rows().iter().map(|row| option(command, row)));
    format!("USAGE:\n{}", wrap(&words))
}

/// The words behind a command that are no options.
fn arguments(command: &Command) -> Vec<String> {
    let mut words = Vec::new();
    words.extend(object(command.takes).map(|object| format!("{{{object}}}")));
    if command.endpoints == Endpoints::Both {
        words.extend(ADDRESSES.map(|name| format!("[{{af}}:]{{{name}}}[:{{port}}]")));
    }
    words.extend(command.args.iter().map(|arg| format!("{{{}}}", arg.name())));
    words
}

/// A command with its arguments on one line.
pub fn synopsis(command: &Command) -> String {
    let mut words = vec![command.name.to_owned()];
    words.extend(arguments(command));
    words.join(" ")
}

fn object(takes: Takes) -> Option<&'static str> {
    match takes {
        Takes::Nothing => None,
        Takes::Minor => Some("minor"),
        Takes::Resource => Some("resource"),
        Takes::ResourceOrAll => Some("resource|all"),
        Takes::Any => Some("resource|minor|all"),
    }
}

fn option(command: &Command, row: &OptionRow) -> String {
    let name = row.name;
    if !command.is_config() {
        return match row.kind {
            Kind::Flag => format!("[--{name}]"),
            _ => format!("[--{name}=...]"),
        };
    }
    match row.kind {
        Kind::Flag if row.attribute.is_none() => format!("[--{name}]"),
        Kind::Flag | Kind::Bool { .. } => format!("[--{name}={{yes|no}}]"),
        Kind::Number(n) | Kind::MinorOfResource(n) => {
            format!("[--{name}=({} ... {})]", n.min, n.max)
        }
        Kind::Enum(choice) => {
            let words: Vec<_> = choice.words.iter().map(|(word, _)| *word).collect();
            format!("[--{name}={{{}}}]", words.join("|"))
        }
        Kind::Text { .. } | Kind::Words => format!("[--{name}=<str>]"),
        Kind::Address => format!("[--{name}=[{{af}}:]{{local_addr}}[:{{port}}]]"),
    }
}

/// Lines of at most 80 columns, continuation lines indented by four.
fn wrap(words: &[String]) -> String {
    let mut out = String::new();
    let mut column = 0;
    for (index, word) in words.iter().enumerate() {
        if index > 0 && column + 1 + word.len() > 80 {
            out.push_str("\n   ");
            column = 3;
        }
        if index > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += word.len();
    }
    out.push('\n');
    out
}

/// The usage of a command as XML.
pub fn xml(command: &Command) -> String {
    let mut out = format!("<command name=\"{}\">\n", command.name);
    // Writing to a String does not fail.
    let _ = write_xml(&mut out, command);
    out.push_str("</command>\n");
    out
}

fn write_xml(out: &mut String, command: &Command) -> std::fmt::Result {
    let objects: Vec<_> = object(command.takes)
        .into_iter()
        .flat_map(|o| o.split('|'))
        .collect();
    if objects.len() > 1 {
        writeln!(out, "\t<group>")?;
        for object in objects {
            writeln!(out, "\t\t<argument>{object}</argument>")?;
        }
        writeln!(out, "\t</group>")?;
    } else if let [object] = objects[..] {
        writeln!(out, "\t<argument>{object}</argument>")?;
    }
    if command.endpoints == Endpoints::Both {
        for name in ADDRESSES {
            writeln!(out, "\t<argument>{name}</argument>")?;
        }
    }
    for arg in command.args {
        writeln!(out, "\t<argument>{}</argument>", arg.name())?;
    }
    for row in command.option_rows() {
        xml_option(out, command, row)?;
    }
    Ok(())
}

fn xml_option(out: &mut String, command: &Command, row: &OptionRow) -> std::fmt::Result {
    let kind = match row.kind {
        Kind::Flag if row.attribute.is_none() => "flag",
        _ if matches!(command.action, Action::Wait(_) | Action::Status) => "string",
        Kind::Flag | Kind::Bool { .. } => "boolean",
        Kind::Number(_) | Kind::MinorOfResource(_) => "numeric",
        Kind::Enum(_) => "handler",
        Kind::Text { .. } | Kind::Words => "string",
        Kind::Address => "address",
    };
    writeln!(out, "\t<option name=\"{}\" type=\"{kind}\">", row.name)?;
    match row.kind {
        _ if kind == "flag" || kind == "string" => {}
        Kind::Flag => writeln!(out, "\t\t<default>no</default>")?,
        Kind::Bool { default } => {
            let word = if default { "yes" } else { "no" };
            writeln!(out, "\t\t<default>{word}</default>")?;
        }
        Kind::Number(n) | Kind::MinorOfResource(n) => {
            let prefix = match n.scale.suffix() {
                "" => "1",
                suffix => suffix,
            };
            writeln!(out, "\t\t<min>{}</min>", n.min)?;
            writeln!(out, "\t\t<max>{}</max>", n.max)?;
            writeln!(out, "\t\t<default>{}</default>", n.default)?;
            writeln!(out, "\t\t<unit_prefix>{prefix}</unit_prefix>")?;
            if !n.unit.is_empty() {
                writeln!(out, "\t\t<unit>{}</unit>", n.unit)?;
            }
        }
        Kind::Enum(choice) => {
            for (word, _) in choice.words {
                writeln!(out, "\t\t<handler>{word}</handler>")?;
            }
        }
        Kind::Text { .. } | Kind::Words | Kind::Address => {}
    }
    writeln!(out, "\t</option>")
}
