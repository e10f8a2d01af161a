//! `drbdadm dump` of 8.4 (spec 10 sections 7.1 and 7.2).

use drbd_options::{Era, Section, by_name};

use crate::model::{
    Address, Common, Config, Global, Host, HostKind, MetaDisk, Origin, Proxy, Resource, Sections,
    Settings, UsageCount, Volume,
};

use super::{text::quote, writer::Writer};

/// Whether what is at its default is shown, too (`-v`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Detail {
    /// Only what differs.
    Plain,
    /// The global section always.
    Verbose,
}

/// The whole configuration, as seen by a node.
pub fn config(config: &Config, node: &str, detail: Detail) -> String {
    let mut out = Writer::default();
    out.line(&format!("# {}", config.file));
    out.global(&config.global, detail);
    if let Some(common) = &config.common {
        out.common(common);
    }
    for one in &config.resources {
        out.resource(one, node);
    }
    out.text
}

/// One resource, as seen by a node.
pub fn resource(resource: &Resource, node: &str) -> String {
    let mut out = Writer::default();
    out.resource(resource, node);
    out.text
}

impl Writer {
    fn global(&mut self, global: &Global, detail: Detail) {
        let refresh = global.dialog_refresh.unwrap_or(1);
        let usual = global.minor_count.is_none()
            && !global.disable_ip_verification
            && refresh == 1
            && global.usage_count == UsageCount::Ask;
        if usual && detail == Detail::Plain {
            return;
        }
        self.open("global");
        if global.disable_ip_verification {
            self.line("disable-ip-verification;");
        }
        if let Some(count) = global.minor_count {
            self.line(&format!("minor-count {count};"));
        }
        if refresh != 1 {
            self.line(&format!("dialog-refresh {refresh};"));
        }
        match global.usage_count {
            UsageCount::Yes => self.line("usage-count yes;"),
            UsageCount::No => self.line("usage-count no;"),
            UsageCount::Ask => {}
        }
        // Genuine: shown when different from the documented default, but set to another one.
        for (name, set, effective) in [
            ("cmd-timeout-short", global.timeout_short, 5),
            ("cmd-timeout-medium", global.timeout_medium, 600),
            ("cmd-timeout-long", global.timeout_long, 0),
        ] {
            let value = set.unwrap_or(effective);
            if Some(i64::from(value)) != documented_default(name) {
                self.line(&format!("{name} {value};"));
            }
        }
        self.close_with_gap();
    }

    fn common(&mut self, common: &Common) {
        self.open("common");
        self.sections(&common.sections);
        self.close_with_gap();
    }

    fn resource(&mut self, resource: &Resource, node: &str) {
        self.line(&header(resource, node));
        let place = &resource.place;
        self.line(&format!("# defined at {}:{}", place.file, place.line));
        self.open(&format!("resource {}", quote(&resource.name)));
        for host in &resource.hosts {
            self.host(host);
        }
        self.sections(&resource.sections);
        self.close_with_gap();
    }

    fn sections(&mut self, sections: &Sections) {
        self.settings("options", &sections.options);
        self.settings("net", &sections.net);
        self.settings("disk", &sections.disk);
        self.startup(sections);
        if !sections.proxy.is_empty() || !sections.plugins.is_empty() {
            self.open("proxy");
            self.proxy_options(&sections.proxy, &sections.plugins);
            self.close();
        }
        self.settings("handlers", &sections.handlers);
    }

    fn settings(&mut self, header: &str, settings: &Settings) {
        if settings.is_empty() {
            return;
        }
        self.open(header);
        self.options(settings);
        self.close();
    }

    fn options(&mut self, settings: &Settings) {
        for setting in settings.iter() {
            match &setting.value {
                Some(value) => self.aligned(setting.name(), &quote(value)),
                None => self.line(&format!("{};", setting.name())),
            }
        }
    }

    fn startup(&mut self, sections: &Sections) {
        let primaries = &sections.become_primary_on;
        if sections.startup.is_empty() && !sections.stacked_timeouts && primaries.is_empty() {
            return;
        }
        self.open("startup");
        self.options(&sections.startup);
        if sections.stacked_timeouts {
            self.line("stacked-timeouts;");
        }
        if !primaries.is_empty() {
            self.aligned("become-primary-on", &primaries.join(" "));
        }
        self.close();
    }

    fn proxy_options(&mut self, options: &Settings, plugins: &[String]) {
        self.options(options);
        if !plugins.is_empty() {
            self.open("plugin");
            for plugin in plugins {
                self.line(&format!("{plugin};"));
            }
            self.close();
        }
    }

    fn host(&mut self, host: &Host) {
        match (&host.kind, &host.address) {
            (HostKind::Floating, Some(address)) => {
                self.open(&format!("floating {}", address.statement()));
            }
            (HostKind::Stacked { lower }, _) => {
                self.open(&format!("stacked-on-top-of {}", quote(lower)));
                self.line(&format!("# on {} ", host.joined_names()));
            }
            _ => self.open(&format!("on {}", host.names.join(" "))),
        }
        self.settings("options", &host.options);
        for volume in &host.volumes {
            self.volume(volume, host);
        }
        if let (Some(address), false) = (&host.address, host.kind == HostKind::Floating) {
            self.fixed("address", &address.statement());
        }
        if let Some(address) = &host.alternate {
            self.fixed("alternate-link-address", &address.statement());
        }
        if let Some(proxy) = &host.proxy {
            self.proxy(proxy);
        }
        self.close();
    }

    fn proxy(&mut self, proxy: &Proxy) {
        self.open(&format!("proxy on {}", proxy.names.join(" ")));
        let shown = |address: &Option<Address>| address.as_ref().map(Address::statement);
        for (word, address) in [("inside", &proxy.inside), ("outside", &proxy.outside)] {
            if let Some(text) = shown(address) {
                self.fixed(word, &text);
            }
        }
        if !proxy.options.is_empty() || !proxy.plugins.is_empty() {
            self.open("options");
            self.proxy_options(&proxy.options, &proxy.plugins);
            self.close();
        }
        self.close();
    }

    fn volume(&mut self, volume: &Volume, host: &Host) {
        let explicit = volume.origin == Origin::Explicit;
        if explicit {
            self.open(&format!("volume {}", volume.number));
        }
        self.settings("disk", &volume.disk_options);
        self.device(volume);
        if host.lower().is_none() {
            if let Some(disk) = &volume.disk {
                self.aligned("disk", &quote(disk));
            }
            match &volume.meta {
                Some(MetaDisk::Internal) => self.aligned("meta-disk", "internal"),
                Some(MetaDisk::Flexible(path)) => self.fixed("meta-disk", &quote(path)),
                Some(MetaDisk::Indexed { path, index }) => {
                    self.fixed("meta-disk", &format!("{} [{index}]", quote(path)));
                }
                None => {}
            }
        }
        if explicit {
            self.close();
        }
    }
}

fn documented_default(name: &str) -> Option<i64> {
    let row = by_name(name).find(|row| row.section == Section::Global)?;
    row.limits(Era::V84).map(|limits| limits.default)
}

/// The comment over a resource.
pub(super) fn header(resource: &Resource, node: &str) -> String {
    let ignored = if resource.is_ignored() {
        "ignored"
    } else {
        "not ignored"
    };
    let stacked = if resource.is_stacked() {
        "stacked"
    } else {
        "not stacked"
    };
    format!(
        "# resource {} on {node}: {ignored}, {stacked}",
        quote(&resource.name)
    )
}
