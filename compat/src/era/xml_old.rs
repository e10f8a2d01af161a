//! `drbdadm dump-xml` of 8.0 to 8.3 (spec 10 sections 7.4 and 7.5).

use std::borrow::Cow;

use drbd_options::Era;

use crate::model::{Address, Host, HostKind, MetaDisk, Proxy, Resource, Volume};

use super::{
    dump_old::{View, in_order},
    old::{OldSections, Written},
    xml::{Writer, escape},
};

/// The whole configuration.
pub fn config(view: View<'_>) -> String {
    let mut out = Old::new(view);
    let start = format!("config file=\"{}\"", out.escape(&view.config.file));
    out.element(&start, |out| {
        out.writer.global(&view.config.global);
        if let Some(common) = view.common {
            let start = with_protocol("common", common);
            out.element(&start, |out| out.sections(common));
        }
        for at in 0..view.config.resources.len() {
            out.resource(at);
        }
    });
    out.writer.text
}

/// One resource, by its index.
pub fn resource(view: View<'_>, at: usize) -> String {
    let mut out = Old::new(view);
    out.resource(at);
    out.writer.text
}

fn with_protocol(start: &str, sections: &OldSections) -> String {
    match &sections.protocol {
        Some(protocol) => format!("{start} protocol=\"{protocol}\""),
        None => start.to_owned(),
    }
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

    /// Up to 8.2 quotes and backslashes are escaped as in the text of a dump.
    fn escape<'v>(&self, text: &'v str) -> Cow<'v, str> {
        if self.view.era >= Era::V83 {
            return Cow::Owned(escape(text));
        }
        let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
        Cow::Owned(escape(&quoted).replace("&quot;", "\""))
    }

    fn element(&mut self, start: &str, content: impl FnOnce(&mut Self)) {
        self.writer.begin(start);
        content(self);
        self.writer.end(start);
    }

    fn sections(&mut self, sections: &OldSections) {
        for (name, options) in [
            ("net", &sections.net),
            ("disk", &sections.disk),
            ("syncer", &sections.syncer),
            ("startup", &sections.startup),
            ("proxy", &sections.proxy),
            ("handlers", &sections.handlers),
        ] {
            if !options.is_empty() {
                let start = format!("section name=\"{name}\"");
                self.element(&start, |out| {
                    options.iter().for_each(|option| out.option(option));
                });
            }
        }
    }

    fn option(&mut self, option: &Written) {
        let name = option.name;
        let line = match &option.value {
            Some(value) if name == "become-primary-on" => {
                format!("<option name=\"{name}\" value=\"{value}\"/>")
            }
            Some(value) => format!("<option name=\"{name}\" value=\"{}\"/>", self.escape(value)),
            None => format!("<option name=\"{name}\"/>"),
        };
        self.writer.line(&line);
    }

    fn resource(&mut self, at: usize) {
        let resource: &Resource = &self.view.config.resources[at];
        let sections = &self.view.resources[at];
        let start = format!("resource name=\"{}\"", self.escape(&resource.name));
        self.element(&with_protocol(&start, sections), |out| {
            for host in in_order(resource, out.view.era) {
                out.host(host);
            }
            out.sections(sections);
        });
    }

    fn host(&mut self, host: &Host) {
        let start = match host.kind {
            HostKind::Floating => "host floating=\"1\"".to_owned(),
            _ => format!("host name=\"{}\"", host.joined_names()),
        };
        self.element(&start, |out| {
            // No older series has volumes; those behind the first would be lost without element.
            for (at, volume) in host.volumes.iter().enumerate() {
                out.device(volume);
                out.disk(volume);
                if at == 0 {
                    out.address("address", host.address.as_ref());
                }
                out.meta(volume);
            }
            if let Some(proxy) = &host.proxy {
                out.proxy(proxy);
            }
        });
    }

    fn device(&mut self, volume: &Volume) {
        let line = if self.view.era == Era::V83 {
            let name = self.escape(volume.device.as_deref().unwrap_or_default());
            let minor = volume.minor.unwrap_or_default();
            format!("<device minor=\"{minor}\">{name}</device>")
        } else {
            let name = volume.device_name().unwrap_or_default();
            format!("<device>{}</device>", self.escape(&name))
        };
        self.writer.line(&line);
    }

    fn disk(&mut self, volume: &Volume) {
        let disk = self.escape(volume.disk.as_deref().unwrap_or_default());
        let line = format!("<disk>{disk}</disk>");
        self.writer.line(&line);
    }

    fn meta(&mut self, volume: &Volume) {
        let line = match &volume.meta {
            Some(MetaDisk::Internal) => "<meta-disk>internal</meta-disk>".to_owned(),
            Some(MetaDisk::Flexible(path)) => {
                let path = self.escape(path);
                format!("<flexible-meta-disk>{path}</flexible-meta-disk>")
            }
            Some(MetaDisk::Indexed { path, index }) => {
                let path = self.escape(path);
                format!("<meta-disk index=\"{index}\">{path}</meta-disk>")
            }
            None => return,
        };
        self.writer.line(&line);
    }

    fn address(&mut self, element: &str, address: Option<&Address>) {
        let Some(Address { family, host, port }) = address else {
            return;
        };
        let family = match self.view.era {
            Era::V07 | Era::V80 => String::new(),
            _ => format!("family=\"{}\" ", family.word()),
        };
        let line = format!("<{element} {family}port=\"{port}\">{host}</{element}>");
        self.writer.line(&line);
    }

    fn proxy(&mut self, proxy: &Proxy) {
        let start = format!("proxy hostname=\"{}\"", proxy.names.join(" "));
        self.element(&start, |out| {
            out.address("inside", proxy.inside.as_ref());
            out.address("outside", proxy.outside.as_ref());
        });
    }
}
