//! The tables of `man/drbdadm.8` and `man/drbd.conf.5`, rendered from the tables that command
//! line and configuration are read by.

use drbd_options::{
    Form, OptionRow, Section,
    manual::{entry, escape, of_configuration},
    of_section,
};

use crate::{
    cli::{EXTENSIONS, GENERAL, General},
    command::{COMMANDS, Command, Listing, RENAMED, SPELLED, Scope},
};

/// The generated sections of `man/drbdadm.8`.
pub fn drbdadm() -> Vec<(&'static str, String)> {
    vec![
        ("general options", GENERAL.iter().map(general).collect()),
        ("our options", EXTENSIONS.iter().map(general).collect()),
        ("commands", commands(Listing::Usual)),
        ("script commands", commands(Listing::Script)),
        ("handlers", commands(Listing::Handler)),
        ("expert commands", commands(Listing::Expert)),
        ("our commands", commands(Listing::Ours)),
        ("old commands", old_commands()),
    ]
}

/// The generated sections of `man/drbd.conf.5`.
pub fn drbd_conf() -> Vec<(&'static str, String)> {
    let options = |section| of_section(section).map(of_configuration).collect();
    vec![
        ("global options", options(Section::Global)),
        ("resource statements", options(Section::Resource)),
        ("startup options", options(Section::Startup)),
        ("disk options", options(Section::Disk)),
        ("net options", options(Section::Net)),
        ("resource options", options(Section::Options)),
        ("handlers", options(Section::Handlers)),
        ("proxy options", options(Section::Proxy)),
        (
            "syncer options",
            moved_from_syncer() + &options(Section::Syncer),
        ),
    ]
}

fn general(option: &General) -> String {
    let long = escape(option.long);
    let value = option.value.unwrap_or_default();
    let tag = match (option.short, option.value) {
        (Some(short), None) => format!("\\fB\\-{short}\\fR, \\fB\\-\\-{long}\\fR"),
        (Some(short), Some(_)) => {
            format!("\\fB\\-{short}\\fR \\fI{value}\\fR, \\fB\\-\\-{long}=\\fI{value}\\fR")
        }
        (None, None) => format!("\\fB\\-\\-{long}\\fR"),
        (None, Some(_)) => format!("\\fB\\-\\-{long}=\\fI{value}\\fR"),
    };
    entry(&tag, &format!("{}.", option.about))
}

fn commands(listing: Listing) -> String {
    let listed = COMMANDS.iter().filter(|c| c.listing == listing);
    listed.map(command).collect()
}

fn command(command: &Command) -> String {
    let name = escape(command.name);
    let operands = match command.scope {
        Scope::Global => "",
        Scope::Resource | Scope::Volumes | Scope::OneVolume => {
            " {\\fBall\\fR | \\fIRESOURCE\\fR[\\fB/\\fIVOLUME\\fR] ...}"
        }
        Scope::WholeResource => " {\\fBall\\fR | \\fIRESOURCE\\fR ...}",
    };
    let mut text = format!("{}.", command.about);
    if command.defaults_to_all() {
        text.push_str(" Without a name all are meant.");
    }
    if command.scope == Scope::OneVolume {
        text.push_str(" Exactly one volume must be meant.");
    }
    if command.options.is_some() {
        text.push_str(" Takes the options of that command of `drbdsetup`.");
    }
    entry(&format!("\\fB{name}\\fR{operands}"), &text)
}

/// Commands of older series, and names that have changed.
fn old_commands() -> String {
    let renamed = |(old, new): &(&str, &str)| {
        entry(
            &format!("\\fB{}\\fR", escape(old)),
            &format!("Now `{new}`."),
        )
    };
    let names = RENAMED.iter().chain(SPELLED).map(renamed);
    let only_there = COMMANDS.iter().filter(|c| c.listing == Listing::Old);
    names.chain(only_there.map(command)).collect()
}

/// The options of `syncer` that are written elsewhere today.
fn moved_from_syncer() -> String {
    let rows = Section::ALL.into_iter().flat_map(of_section);
    rows.flat_map(|row| row.older.iter().map(move |old| (row, old)))
        .filter(|(row, old)| old.section == Section::Syncer && row.section != Section::Syncer)
        .map(|(row, old)| moved(row, old.name, old.form))
        .collect()
}

fn moved(row: &OptionRow, old: &str, form: Form) -> String {
    let value = match form {
        Form::Same => "",
        Form::Negated => " no",
    };
    let section = row.section.keyword();
    entry(
        &format!("\\fB{}\\fR", escape(old)),
        &format!("Today `{}{value}` in `{section}`.", row.name),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_and_option_says_what_it_does() {
        for command in COMMANDS {
            assert!(!command.about.is_empty(), "{}", command.name);
        }
        for option in GENERAL.iter().chain(EXTENSIONS) {
            assert!(!option.about.is_empty(), "{}", option.long);
        }
    }

    /// Spec 10 section 4.6.
    #[test]
    fn every_option_of_syncer_leads_to_where_it_is_today() {
        let text = moved_from_syncer().replace('\n', " ");
        for (old, new) in [
            ("rate", "\\fBresync\\-rate\\fR in \\fBdisk\\fR"),
            ("verify\\-alg", "\\fBverify\\-alg\\fR in \\fBnet\\fR"),
            ("cpu\\-mask", "\\fBcpu\\-mask\\fR in \\fBoptions\\fR"),
        ] {
            assert!(
                text.contains(&format!("\\fB{old}\\fR Today {new}.")),
                "{old}: {text}"
            );
        }
    }

    #[test]
    fn what_is_ours_is_listed_with_its_reason() {
        let list = include_str!("../../testdata/extensions.md");
        let ours = COMMANDS.iter().filter(|c| c.listing == Listing::Ours);
        for command in ours {
            assert!(
                list.contains(&format!("| `{}`", command.name)),
                "{}",
                command.name
            );
        }
        for option in EXTENSIONS {
            assert!(
                list.contains(&format!("--{}", option.long)),
                "{}",
                option.long
            );
        }
    }
}
