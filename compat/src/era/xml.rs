//! `drbdadm dump-xml` of 8.4 (spec 10 section 7.3).

use crate::model::{
    Address, Config, Global, Host, HostKind, MetaDisk, Proxy, Resource, Sections, Settings, Volume,
};

/// The whole configuration.
pub fn config(config: &Config) -> String {
    let mut out = Writer::default();
    out.open(
        &format!("config file=\"{}\"", escape(&config.file)),
        |out| {
            out.global(&config.global);
            if let Some(common) = &config.common {
                out.open("common", |out| out.sections(&common.sections));
            }
            for resource in &config.resources {
                out.resource(resource);
            }
        },
    );
    out.text
}

/// One resource.
pub fn resource(resource: &Resource) -> String {
    let mut out = Writer::default();
    out.resource(resource);
    out.text
}

pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\'' => escaped.push_str("&apos;"),
            '"' => escaped.push_str("&quot;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Elements, indented.
#[derive(Default)]
pub(super) struct Writer {
    pub text: String,
    level: usize,
}

impl Writer {
    pub fn line(&mut self, line: &str) {
        for _ in 0..self.level {
            self.text.push_str("    ");
        }
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// An element with content; `start` is its name with the attributes.
    pub fn open(&mut self, start: &str, content: impl FnOnce(&mut Self)) {
        self.begin(start);
        content(self);
        self.end(start);
    }

    pub fn begin(&mut self, start: &str) {
        self.line(&format!("<{start}>"));
        self.level += 1;
    }

    pub fn end(&mut self, start: &str) {
        self.level -= 1;
        let name = start.split(' ').next().unwrap_or(start);
        self.line(&format!("</{name}>"));
    }

    pub fn global(&mut self, global: &Global) {
        let refresh = global.dialog_refresh.filter(|seconds| *seconds != 1);
        if global.minor_count.is_none() && !global.disable_ip_verification && refresh.is_none() {
            return;
        }
        self.open("global", |out| {
            if global.disable_ip_verification {
                out.line("<disable-ip-verification/>");
            }
            if let Some(count) = global.minor_count {
                out.line(&format!("<minor-count count=\"{count}\"/>"));
            }
            if let Some(seconds) = refresh {
                out.line(&format!("<dialog-refresh refresh=\"{seconds}\"/>"));
            }
        });
    }

    fn sections(&mut self, sections: &Sections) {
        self.section("options", &sections.options);
        self.section("net", &sections.net);
        self.section("disk", &sections.disk);
        let primaries = &sections.become_primary_on;
        if !sections.startup.is_empty() || sections.stacked_timeouts || !primaries.is_empty() {
            self.open("section name=\"startup\"", |out| {
                out.options(&sections.startup);
                if sections.stacked_timeouts {
                    out.line("<option name=\"stacked-timeouts\"/>");
                }
                if !primaries.is_empty() {
                    let names = primaries.join(" ");
                    out.line(&format!(
                        "<option name=\"become-primary-on\" value=\"{names}\"/>"
                    ));
                }
            });
        }
        if !sections.proxy.is_empty() || !sections.plugins.is_empty() {
            self.open("section name=\"proxy\"", |out| {
                out.proxy_options(&sections.proxy, &sections.plugins);
            });
        }
        self.section("handlers", &sections.handlers);
    }

    fn section(&mut self, name: &str, settings: &Settings) {
        if !settings.is_empty() {
            self.open(&format!("section name=\"{name}\""), |out| {
                out.options(settings)
            });
        }
    }

    fn options(&mut self, settings: &Settings) {
        for setting in settings.iter() {
            let name = setting.name();
            match &setting.value {
                Some(value) => self.line(&format!(
                    "<option name=\"{name}\" value=\"{}\"/>",
                    escape(value)
                )),
                None => self.line(&format!("<option name=\"{name}\"/>")),
            }
        }
    }

    fn proxy_options(&mut self, options: &Settings, plugins: &[String]) {
        self.options(options);
        if !plugins.is_empty() {
            self.open("section name=\"plugin\"", |out| {
                for plugin in plugins {
                    out.line(&format!("<option name=\"{plugin}\"/>"));
                }
            });
        }
    }

    fn resource(&mut self, resource: &Resource) {
        let start = format!(
            "resource name=\"{}\" conf-file-line=\"{}:{}\"",
            escape(&resource.name),
            escape(&resource.place.file),
            resource.place.line
        );
        self.open(&start, |out| {
            for host in &resource.hosts {
                out.host(host);
            }
            out.sections(&resource.sections);
        });
    }

    fn host(&mut self, host: &Host) {
        let start = match host.kind {
            HostKind::Floating => "host floating=\"1\"".to_owned(),
            _ => format!("host name=\"{}\"", host.joined_names()),
        };
        self.open(&start, |out| {
            out.section("options", &host.options);
            for volume in &host.volumes {
                out.volume(volume);
            }
            out.address("address", host.address.as_ref());
            if let Some(proxy) = &host.proxy {
                out.proxy(proxy);
            }
        });
    }

    fn address(&mut self, element: &str, address: Option<&Address>) {
        if let Some(Address { family, host, port }) = address {
            self.line(&format!(
                "<{element} family=\"{}\" port=\"{port}\">{host}</{element}>",
                family.word()
            ));
        }
    }

    fn proxy(&mut self, proxy: &Proxy) {
        let start = format!("proxy hostname=\"{}\"", proxy.names.join(" "));
        self.open(&start, |out| {
            out.address("inside", proxy.inside.as_ref());
            out.address("outside", proxy.outside.as_ref());
            if !proxy.options.is_empty() || !proxy.plugins.is_empty() {
                out.open("section name=\"options\"", |out| {
                    out.proxy_options(&proxy.options, &proxy.plugins);
                });
            }
        });
    }

    fn volume(&mut self, volume: &Volume) {
        self.open(&format!("volume vnr=\"{}\"", volume.number), |out| {
            out.section("disk", &volume.disk_options);
            let device = escape(volume.device.as_deref().unwrap_or_default());
            let minor = volume.minor.unwrap_or_default();
            out.line(&format!("<device minor=\"{minor}\">{device}</device>"));
            let disk = escape(volume.disk.as_deref().unwrap_or_default());
            out.line(&format!("<disk>{disk}</disk>"));
            match &volume.meta {
                Some(MetaDisk::Internal) => out.line("<meta-disk>internal</meta-disk>"),
                Some(MetaDisk::Flexible(path)) => {
                    out.line(&format!("<meta-disk>{}</meta-disk>", escape(path)));
                }
                Some(MetaDisk::Indexed { path, index }) => out.line(&format!(
                    "<meta-disk index=\"{index}\">{}</meta-disk>",
                    escape(path)
                )),
                None => {}
            }
        });
    }
}
