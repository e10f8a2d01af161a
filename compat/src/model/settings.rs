//! Lists of options.

use drbd_options::{OptionRow, Section};

/// An option that was set.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The option.
    pub row: &'static OptionRow,
    /// The word that is shown: the option's modern name, almost always.
    pub name: &'static str,
    /// The value as written; boolean options always have one.
    pub value: Option<String>,
    /// Rank among all options of the files: older eras print some lists differently split.
    pub rank: u32,
}

impl Setting {
    /// The name that is shown.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The value, or nothing.
    pub fn value(&self) -> &str {
        self.value.as_deref().unwrap_or("")
    }
}

/// Options in their order; one may occur repeatedly, `drbdsetup` takes the last.
#[derive(Clone, Debug, Default)]
pub struct Settings(pub Vec<Setting>);

impl Settings {
    /// The first setting of this option.
    pub fn find(&self, name: &str) -> Option<&Setting> {
        self.0.iter().find(|s| s.row.name == name)
    }

    /// Its value.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.find(name).map(Setting::value)
    }

    /// In order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Setting> {
        self.0.iter()
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds one behind the others.
    pub fn push(&mut self, setting: Setting) {
        self.0.push(setting);
    }

    /// Takes over what is not set here: each missing option of `parent` is put in front, one at a
    /// time, so that inherited ones end up reversed (spec 10 section 5.3).
    pub fn inherit(&mut self, parent: &Self) {
        let mut front: Vec<&Setting> = Vec::new();
        for candidate in &parent.0 {
            let taken = |s: &Setting| s.row.name == candidate.row.name;
            if !self.0.iter().any(taken) && !front.iter().any(|s| taken(s)) {
                front.push(candidate);
            }
        }
        self.0.splice(..0, front.into_iter().rev().cloned());
    }
}

/// The option sections of a resource, or of `common`.
#[derive(Clone, Debug, Default)]
pub struct Sections {
    /// `options { }`
    pub options: Settings,
    /// `net { }`
    pub net: Settings,
    /// `disk { }`
    pub disk: Settings,
    /// `startup { }` without the two fields below.
    pub startup: Settings,
    /// `stacked-timeouts`
    pub stacked_timeouts: bool,
    /// `become-primary-on`
    pub become_primary_on: Vec<String>,
    /// `proxy { }`
    pub proxy: Settings,
    /// `proxy { plugin { } }`
    pub plugins: Vec<String>,
    /// `handlers { }`
    pub handlers: Settings,
    /// Options that only 0.7 had: shown again in its own form, otherwise mapped to their effect.
    pub legacy: Settings,
}

impl Sections {
    /// The list behind a section's name; sections without one of their own have none.
    pub fn list_mut(&mut self, section: Section) -> Option<&mut Settings> {
        Some(match section {
            Section::Options => &mut self.options,
            Section::Net => &mut self.net,
            Section::Disk => &mut self.disk,
            Section::Startup => &mut self.startup,
            Section::Proxy => &mut self.proxy,
            Section::Handlers => &mut self.handlers,
            Section::Global | Section::Resource | Section::Syncer | Section::CommandLine => {
                return None;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drbd_options::find;

    fn settings(names: &[&'static str]) -> Settings {
        let setting = |name: &&'static str| Setting {
            row: find(Section::Disk, name).expect("a disk option").row,
            name,
            value: Some("x".to_owned()),
            rank: 0,
        };
        Settings(names.iter().map(setting).collect())
    }

    fn names(settings: &Settings) -> Vec<&str> {
        settings.iter().map(Setting::name).collect()
    }

    /// Spec 10 section 5.3.
    #[test]
    fn inherited_options_come_reversed_in_front_and_only_once() {
        let mut own = settings(&["size", "fencing", "size"]);
        own.inherit(&settings(&[
            "al-extents",
            "fencing",
            "disk-drain",
            "al-extents",
        ]));
        assert_eq!(
            names(&own),
            ["disk-drain", "al-extents", "size", "fencing", "size"]
        );
    }
}
