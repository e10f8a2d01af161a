//! The options of a configuration as the series before 8.4 write them: `syncer` comes back, and
//! what a series does not know is left out.

use drbd_options::{Era, Form, Kind, Section};

use crate::model::{Sections, Setting, Settings};

/// An option as an older series writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The word.
    pub name: &'static str,
    /// Its value, if it takes one.
    pub value: Option<String>,
    /// Place among all options of the files.
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

/// The option sections of a resource or of `common` in an older series.
#[derive(Clone, Debug, Default)]
pub struct OldSections {
    /// `protocol`
    pub protocol: Option<String>,
    /// `incon-degr-cmd`, in 0.7.
    pub incon_degr_cmd: Option<String>,
    /// `net { }`
    pub net: Vec<Written>,
    /// `disk { }`
    pub disk: Vec<Written>,
    /// `syncer { }`
    pub syncer: Vec<Written>,
    /// `startup { }`, with everything in it.
    pub startup: Vec<Written>,
    /// `proxy { }`
    pub proxy: Vec<Written>,
    /// `handlers { }`
    pub handlers: Vec<Written>,
}

impl OldSections {
    /// The sections as an era writes them; before anything is inherited.
    pub fn of(sections: &Sections, era: Era) -> Self {
        let list = |section| collect(sections, section, era);
        let handler = sections.handlers.value("pri-on-incon-degr");
        let mut old = Self {
            protocol: sections.net.value("protocol").map(str::to_owned),
            incon_degr_cmd: handler.filter(|_| era == Era::V07).map(str::to_owned),
            net: list(Section::Net),
            disk: list(Section::Disk),
            syncer: list(Section::Syncer),
            startup: list(Section::Startup),
            proxy: list(Section::Proxy),
            handlers: list(Section::Handlers),
        };
        let mut word = |name, value| {
            old.startup.push(Written {
                name,
                value,
                rank: u32::MAX,
            });
        };
        if era >= Era::V83 && sections.stacked_timeouts {
            word("stacked-timeouts", None);
        }
        if era >= Era::V80 && !sections.become_primary_on.is_empty() {
            word(
                "become-primary-on",
                Some(sections.become_primary_on.join(" ")),
            );
        }
        old
    }

    /// Takes over what is not set here, each option in front of the others.
    pub fn inherit(&mut self, common: &Self) {
        for (own, parent) in [
            (&mut self.net, &common.net),
            (&mut self.disk, &common.disk),
            (&mut self.syncer, &common.syncer),
            (&mut self.startup, &common.startup),
            (&mut self.proxy, &common.proxy),
            (&mut self.handlers, &common.handlers),
        ] {
            for option in parent {
                if !own.iter().any(|mine| mine.name == option.name) {
                    own.insert(0, option.clone());
                }
            }
        }
        // Genuine: these two are kept apart from the others, and shown behind them.
        self.startup.sort_by_key(|option| match option.name {
            "stacked-timeouts" => 1,
            "become-primary-on" => 2,
            _ => 0,
        });
        if self.protocol.is_none() {
            self.protocol.clone_from(&common.protocol);
        }
    }
}

fn collect(sections: &Sections, section: Section, era: Era) -> Vec<Written> {
    let lists: [&Settings; 6] = [
        &sections.net,
        &sections.disk,
        &sections.options,
        &sections.startup,
        &sections.handlers,
        &sections.proxy,
    ];
    // What 0.7 said itself stands for what it was replaced by.
    let legacy = (era == Era::V07).then_some(&sections.legacy);
    let replaced = |setting: &&Setting| {
        legacy.is_none_or(|old| old.iter().all(|original| original.rank != setting.rank))
    };
    let current = lists.into_iter().flat_map(Settings::iter).filter(replaced);
    let mut written: Vec<Written> = current
        .chain(legacy.into_iter().flat_map(Settings::iter))
        .filter_map(|setting| write(setting, section, era))
        .collect();
    written.sort_by_key(|option| option.rank);
    written
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
