//! Expansion: what the levels above give to resources and volumes (spec 10 section 5.3).

use super::{Common, Config, Resource, Sections};

impl Config {
    /// Merges `common` into every resource and the resources' disk and proxy options into their
    /// hosts, and names devices that only have a minor. Done once, for everything but plain dumps.
    pub fn expand(&mut self) {
        let nothing = Common::default();
        let common = self.common.as_ref().unwrap_or(&nothing);
        for resource in &mut self.resources {
            resource.sections.inherit(&common.sections);
            resource.expand_hosts();
        }
    }
}

impl Sections {
    fn inherit(&mut self, common: &Self) {
        self.net.inherit(&common.net);
        self.disk.inherit(&common.disk);
        self.startup.inherit(&common.startup);
        self.proxy.inherit(&common.proxy);
        self.handlers.inherit(&common.handlers);
        self.options.inherit(&common.options);
        self.stacked_timeouts |= common.stacked_timeouts;
        if self.become_primary_on.is_empty() {
            self.become_primary_on.clone_from(&common.become_primary_on);
        }
        if self.plugins.is_empty() {
            self.plugins = common.plugins.iter().rev().cloned().collect();
        }
    }
}

impl Resource {
    fn expand_hosts(&mut self) {
        for host in &mut self.hosts {
            for volume in &mut host.volumes {
                volume.device = volume.device_name();
                volume.disk_options.inherit(&self.sections.disk);
                // Last and therefore weakest: the genuine programs merge it in this order, too.
                let own = self.volumes.iter().find(|v| v.number == volume.number);
                if let Some(own) = own {
                    volume.disk_options.inherit(&own.disk_options);
                }
            }
            if let Some(proxy) = &mut host.proxy {
                proxy.options.inherit(&self.sections.proxy);
                let missing = self
                    .sections
                    .plugins
                    .iter()
                    .filter(|line| !proxy.plugins.contains(line));
                let missing: Vec<_> = missing.rev().cloned().collect();
                proxy.plugins.splice(..0, missing);
            }
        }
    }
}
