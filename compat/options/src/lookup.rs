//! Finding rows.

use std::{collections::HashMap, sync::LazyLock};

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
    INDEX
        .get(name)?
        .iter()
        .find_map(|(s, m)| (*s == section).then_some(*m))
}

/// Every spelling with what it means in which section; a word means little in few sections.
static INDEX: LazyLock<HashMap<&'static str, Vec<(Section, Match)>>> = LazyLock::new(|| {
    let mut index: HashMap<_, Vec<_>> = HashMap::new();
    for row in ALL.iter().flat_map(|table| table.iter()) {
        let form = Form::Same;
        let modern = (row.section, Match { row, form });
        index.entry(row.name).or_default().push(modern);
        for spelling in row.older {
            let form = spelling.form;
            let older = (spelling.section, Match { row, form });
            index.entry(spelling.name).or_default().push(older);
        }
    }
    index
});
