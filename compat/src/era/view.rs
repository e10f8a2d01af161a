//! The sections of a configuration as an older series writes them: `syncer` comes back, and what
//! a series does not know is left out.

use drbd_options::{Era, Form, Kind, Section};

use crate::model::{Sections, Setting, Settings};

/// An option as a series writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The word.
    pub name: &'static str,
    /// Its value, if it takes one.
    pub value: Option<String>,
    rank: u32,
}

impl Written {
    /// `--name=value`, or `--name`.
    pub fn option(&self) -> String {
        match &self.value {
            Some(value) => format!("--{}={value}", self.name),
            None => format!("--{}", self.name),
        }
    }
}

/// The options that a series writes in a section; those that moved come from where they are now.
pub fn section(sections: &Sections, section: Section, era: Era) -> Vec<Written> {
    let lists: [&Settings; 6] = [
        &sections.net,
        &sections.disk,
        &sections.options,
        &sections.startup,
        &sections.handlers,
        &sections.legacy,
    ];
    let replaced = |setting: &Setting| {
        era == Era::V07 && sections.legacy.0.iter().any(|old| old.rank == setting.rank)
    };
    let mut written: Vec<(bool, Written)> = Vec::new();
    for (at, list) in lists.into_iter().enumerate() {
        let is_legacy = at == 5;
        if is_legacy && era != Era::V07 {
            continue;
        }
        let kept = list.iter().filter(|s| is_legacy || !replaced(s));
        written.extend(kept.filter_map(|s| Some((is_legacy, write(s, section, era)?))));
    }
    // Lists of one section keep their order; where several flow together, that of the files.
    let mixed = section == Section::Syncer || era == Era::V07;
    if mixed {
        written.sort_by_key(|(_, option)| option.rank);
    }
    written.into_iter().map(|(_, option)| option).collect()
}

fn write(setting: &Setting, section: Section, era: Era) -> Option<Written> {
    let spelling = setting.row.spelling(era)?;
    if spelling.section != section {
        return None;
    }
    let value = match (setting.row.kind, spelling.form) {
        // Before 8.4 a switch is there or not.
        (Kind::Bool { .. }, Form::Same) if setting.value() == "no" => return None,
        (Kind::Bool { .. }, Form::Negated) if setting.value() != "no" => return None,
        (Kind::Bool { .. } | Kind::Flag, _) => None,
        _ => setting.value.clone(),
    };
    Some(Written {
        name: spelling.name,
        value,
        rank: setting.rank,
    })
}

/// The protocol, which older series do not write in `net`.
pub fn protocol(sections: &Sections) -> Option<&str> {
    sections.net.value("protocol")
}
