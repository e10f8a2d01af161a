//! `dump` and `dump-xml`, in the words of the era that was asked for.

use compat::{
    era::{dump, xml},
    model::Config,
};

use crate::{command::Action, old::Old};

/// What is shown, and how.
pub(crate) struct Shown<'a> {
    pub config: &'a Config,
    /// Set for the series before 8.4.
    pub old: Option<&'a Old>,
    pub node: &'a str,
    pub action: Action,
    pub verbose: u32,
}

impl Shown<'_> {
    /// One resource, by its index.
    pub(crate) fn one(&self, at: usize) -> String {
        let (config, node) = (self.config, self.node);
        match (self.action, self.old) {
            (Action::DumpXml, Some(old)) => old.dump_resource_xml(config, node, at),
            (Action::DumpXml, None) => xml::resource(&config.resources[at]),
            (_, Some(old)) => old.dump_resource(config, node, at),
            (_, None) => dump::resource(&config.resources[at], node),
        }
    }

    /// The whole configuration.
    pub(crate) fn all(&self) -> String {
        let (config, node) = (self.config, self.node);
        let detail = match self.verbose {
            0 => dump::Detail::Plain,
            _ => dump::Detail::Verbose,
        };
        match (self.action, self.old) {
            (Action::DumpXml, Some(old)) => old.dump_xml(config, node),
            (Action::DumpXml, None) => xml::config(config),
            (_, Some(old)) => old.dump(config, node),
            (_, None) => dump::config(config, node, detail),
        }
    }
}
