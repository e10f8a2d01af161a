//! Finding rows.

use crate::{ALL, Form, OptionRow, Section, SetupCommand};

/// A row found by a spelling that was read in a section.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Match {
    /// The option.
    pub row: &'static OptionRow,
    /// What the spelling means.
    pub form: Form,
}

/// The rows of a section in the order of the genuine tables.
pub fn of_section(section: Section) -> impl Iterator<Item = &'static OptionRow> {
    ALL.iter()
        .flat_map(|table| table.iter())
        .filter(move |row| row.section == section)
}

/// The options that a `drbdsetup` command takes, in the order in which usage and `show` print them.
pub fn of_command(command: SetupCommand) -> impl Iterator<Item = &'static OptionRow> {
    ALL.iter()
        .flat_map(|table| table.iter())
        .filter(move |row| row.is_for(command))
}

/// Rows with this (modern) name, in any section.
pub fn by_name(name: &str) -> impl Iterator<Item = &'static OptionRow> {
    ALL.iter()
        .flat_map(|table| table.iter())
        .filter(move |row| row.name == name)
}

/// The option that a word means in a section, under its modern or an older spelling.
pub fn find(section: Section, name: &str) -> Option<Match> {
    let rows = || ALL.iter().flat_map(|table| table.iter());
    let modern = rows().find(|row| row.section == section && row.name == name);
    if let Some(row) = modern {
        return Some(Match {
            row,
            form: Form::Same,
        });
    }
    rows().find_map(|row| {
        let spelling = row
            .older
            .iter()
            .find(|s| s.section == section && s.name == name)?;
        Some(Match {
            row,
            form: spelling.form,
        })
    })
}
