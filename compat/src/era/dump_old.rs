//! `drbdadm dump` of the series before 8.4 (spec 10 sections 7.4 and 7.5).

use std::borrow::Cow;

use drbd_options::Era;

use crate::model::{Address, Config, Host, HostKind, MetaDisk, Origin, Resource, Volume};

use super::{
    old::{OldSections, Written},
    text::quote,
    writer::Writer,
};

/// A configuration and its sections in the words of an era.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// What was read.
    pub config: &'a Config,
    /// Of `common`, if there is one.
    pub common: Option<&'a OldSections>,
    /// Of each resource.
    pub resources: &'a [OldSections],
    /// The era.
    pub era: Era,
    /// This node's name.
    pub node: &'a str,
}

/// The whole configuration.
pub fn config(view: View<'_>) -> String {
    let mut out = Old::new(view);
    if view.era > Era::V07 {
        out.writer.line(&format!("# {}", view.config.file));
    }
    out.global();
    if let Some(common) = view.common {
        out.writer.open("common");
        out.protocol(common);
        out.sections(common);
        out.writer.close_with_gap();
    }
    for at in 0..view.config.resources.len() {
        out.resource(at);
    }
    out.writer.text
}

/// One resource, by its index.
pub fn resource(view: View<'_>, at: usize) -> String {
    let mut out = Old::new(view);
    out.resource(at);
    out.writer.text
}

struct Old<'a> {
    view: View<'a>,
    writer: Writer,
}

impl<'a> Old<'a> {
    fn new(view: View<'a>) -> Self {
        Self {
            view,
            writer: Writer::default(),
        }
    }

    /// 0.7 shows values raw.
    fn value<'v>(&self, value: &'v str) -> Cow<'v, str> {
        match self.view.era {
            Era::V07 => Cow::Borrowed(value),
            _ => quote(value),
        }
    }

    fn global(&mut self) {
        let global = &self.view.config.global;
        let refresh = global.dialog_refresh.filter(|seconds| *seconds != 1);
        if global.minor_count.is_none() && !global.disable_ip_verification && refresh.is_none() {
            return;
        }
        self.writer.open("global");
        if global.disable_ip_verification {
            self.writer.line("disable-ip-verification;");
        }
        if let Some(count) = global.minor_count {
            self.writer.line(&format!("minor-count {count};"));
        }
        if let Some(seconds) = refresh {
            self.writer.line(&format!("dialog-refresh {seconds};"));
        }
        self.writer.close_with_gap();
    }

    fn protocol(&mut self, sections: &OldSections) {
        if let Some(protocol) = &sections.protocol {
            self.writer.aligned("protocol", protocol);
        }
        if let Some(command) = &sections.incon_degr_cmd {
            self.writer
                .aligned("incon-degr-cmd", &format!("\"{command}\""));
        }
    }

    fn sections(&mut self, sections: &OldSections) {
        let mut all = vec![
            ("net", &sections.net),
            ("disk", &sections.disk),
            ("syncer", &sections.syncer),
            ("startup", &sections.startup),
        ];
        if self.view.era > Era::V07 {
            all.extend([("proxy", &sections.proxy), ("handlers", &sections.handlers)]);
        }
        for (name, options) in all {
            if options.is_empty() {
                continue;
            }
            self.writer.open(name);
            for option in options {
                self.option(option);
            }
            self.writer.close();
        }
    }

    fn option(&mut self, option: &Written) {
        match &option.value {
            Some(names) if option.name == "become-primary-on" => {
                self.writer.aligned(option.name, names);
            }
            Some(value) => {
                let value = self.value(value).into_owned();
                self.writer.aligned(option.name, &value);
            }
            None => self.writer.line(&format!("{};", option.name)),
        }
    }

    fn resource(&mut self, at: usize) {
        let resource = &self.view.config.resources[at];
        let name = quote(&resource.name);
        if self.view.era == Era::V83 {
            let header = super::dump::header(resource, self.view.node);
            self.writer.line(&header);
        }
        self.writer.open(&format!("resource {name}"));
        let sections = &self.view.resources[at];
        self.protocol(sections);
        for host in in_order(resource, self.view.era) {
            self.host(host);
        }
        self.sections(sections);
        self.writer.close_with_gap();
    }

    fn host(&mut self, host: &Host) {
        match (&host.kind, &host.address) {
            (HostKind::Floating, Some(address)) => {
                let header = format!("floating {}", address.statement());
                self.writer.open(&header);
            }
            (HostKind::Stacked { lower }, _) => {
                self.writer
                    .open(&format!("stacked-on-top-of {}", quote(lower)));
                self.writer.line(&format!("# on {} ", host.joined_names()));
            }
            _ => self.writer.open(&format!("on {}", host.names.join(" "))),
        }
        let address = host.address.as_ref();
        let address = address.filter(|_| host.kind != HostKind::Floating);
        for (at, volume) in host.volumes.iter().enumerate() {
            // No older series has volumes; what has them is shown as 8.4 would write it.
            let explicit = volume.origin == Origin::Explicit;
            if explicit {
                self.writer.open(&format!("volume {}", volume.number));
            }
            self.device(volume);
            if host.lower().is_none() {
                self.path("disk", volume.disk.as_deref());
            }
            if let (Some(address), 0, false) = (address, at, explicit) {
                self.address(address);
            }
            if host.lower().is_none() {
                self.meta(volume);
            }
            if explicit {
                self.writer.close();
            }
        }
        let shown = host
            .volumes
            .first()
            .is_some_and(|v| v.origin == Origin::Implicit);
        if let (Some(address), false) = (address, shown) {
            self.address(address);
        }
        if let Some(proxy) = &host.proxy {
            self.writer
                .open(&format!("proxy on {}", proxy.names.join(" ")));
            for (word, address) in [("inside", &proxy.inside), ("outside", &proxy.outside)] {
                if let Some(address) = address {
                    self.writer.fixed(word, &address.statement());
                }
            }
            self.writer.close();
        }
        self.writer.close();
    }

    fn path(&mut self, name: &str, path: Option<&str>) {
        if let Some(path) = path {
            self.writer.aligned(name, &quote(path));
        }
    }

    fn device(&mut self, volume: &Volume) {
        if self.view.era == Era::V83 {
            self.writer.device(volume);
        } else {
            self.path("device", volume.device_name().as_deref());
        }
    }

    fn address(&mut self, address: &Address) {
        let text = match self.view.era {
            Era::V07 | Era::V80 => address.endpoint(),
            _ => address.statement(),
        };
        self.writer.fixed("address", &text);
    }

    fn meta(&mut self, volume: &Volume) {
        match &volume.meta {
            Some(MetaDisk::Internal) => self.writer.aligned("meta-disk", "internal"),
            Some(MetaDisk::Flexible(path)) => {
                self.writer.fixed("flexible-meta-disk", &quote(path));
            }
            Some(MetaDisk::Indexed { path, index }) => {
                let text = format!("{} [{index}]", quote(path));
                self.writer.fixed("meta-disk", &text);
            }
            None => {}
        }
    }
}

/// Before 8.3 the own section comes first.
pub(super) fn in_order(resource: &Resource, era: Era) -> Vec<&Host> {
    let mut hosts: Vec<(usize, &Host)> = resource.hosts.iter().enumerate().collect();
    if era < Era::V83 {
        hosts.sort_by_key(|(at, _)| Some(*at) != resource.me);
    }
    hosts.into_iter().map(|(_, host)| host).collect()
}
