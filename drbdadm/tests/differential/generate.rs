//! Valid configurations of 8.3 and 8.4 style. Options and values come from the registry.

use std::fmt::Write as _;

use drbd_options::{Era, Form, Kind, OptionRow, Section, of_section};

use crate::random::Random;

/// What has been handed out, so that nothing is used twice.
struct Generator<'r> {
    random: &'r mut Random,
    text: String,
    style: Era,
    port: u32,
    minor: u32,
    names: Vec<String>,
}

pub fn configuration(random: &mut Random) -> String {
    let style = *random.choose(&[Era::V83, Era::V84, Era::V84]);
    in_style(random, style)
}

pub fn in_style(random: &mut Random, style: Era) -> String {
    let mut generator = Generator {
        random,
        text: String::new(),
        style,
        port: 7000,
        minor: 0,
        names: Vec::new(),
    };
    generator.file();
    generator.text
}

/// Configurations that only say what 8.3 can say: a protocol in each resource, two hosts.
pub fn plain_83(random: &mut Random) -> String {
    let mut generator = Generator {
        random,
        text: String::new(),
        style: Era::V83,
        port: 7000,
        minor: 0,
        names: Vec::new(),
    };
    generator.file_83();
    generator.text
}

impl Generator<'_> {
    fn file_83(&mut self) {
        if self.random.percent(50) {
            self.line("common {");
            for section in [
                Section::Net,
                Section::Disk,
                Section::Syncer,
                Section::Startup,
            ] {
                if self.random.percent(50) {
                    self.section(section);
                }
            }
            self.line("}");
        }
        for at in 0..=self.random.below(3) {
            self.line(&format!("resource r{at} {{"));
            let letter = *self.random.choose(&["A", "B", "C"]);
            self.line(&format!("protocol {letter};"));
            for section in [
                Section::Net,
                Section::Disk,
                Section::Syncer,
                Section::Handlers,
            ] {
                if self.random.percent(40) {
                    self.section(section);
                }
            }
            self.names.push(format!("r{at}"));
            for (name, address) in [("alpha", "127.0.0.1"), ("beta", "10.9.9.1")] {
                let device = self.device();
                let (port, minor) = (self.port, self.minor);
                self.port += 1;
                self.line(&format!(
                    "on {name} {{ {device} disk /dev/d{minor}; address {address}:{port};"
                ));
                let meta = self.meta(minor);
                self.line(&meta);
                self.line("}");
            }
            self.line("}");
        }
    }

    fn put(&mut self, words: &str) {
        self.text.push_str(words);
        let gap = match self.random.below(12) {
            0 => "\n\t",
            1 => "  ",
            2 => " # a comment { ;\n",
            3 => "\n\n",
            _ => " ",
        };
        self.text.push_str(gap);
    }

    fn line(&mut self, words: &str) {
        self.put(words);
        if self.random.percent(70) {
            self.text.push('\n');
        }
    }

    fn file(&mut self) {
        if self.random.percent(60) {
            self.global();
        }
        if self.random.percent(60) {
            self.line("common {");
            self.sections(30);
            self.line("}");
        }
        for at in 0..=self.random.below(4) {
            if self.random.percent(8) {
                self.line("skip { anything { \"at all }\" } ; }");
            }
            self.resource(at);
        }
        if self.random.percent(25) {
            self.stacked();
        }
    }

    fn global(&mut self) {
        self.line("global {");
        for row in of_section(Section::Global) {
            let known = row.until == Era::V84 && (self.style == Era::V84 || row.since < Era::V84);
            if known && self.random.percent(35) {
                match row.kind {
                    Kind::Flag => self.line(&format!("{};", row.name)),
                    Kind::Enum(choice) => {
                        let word = self.random.choose(choice.words).0;
                        self.line(&format!("{} {word};", row.name));
                    }
                    _ => {
                        let number = 1 + self.random.below(255);
                        self.line(&format!("{} {number};", row.name));
                    }
                }
            }
        }
        self.line("}");
    }

    /// Option sections, each with some probability.
    fn sections(&mut self, percent: usize) {
        if self.random.percent(60) {
            let letter = *self.random.choose(&["A", "B", "C", "c"]);
            self.line(&format!("protocol {letter};"));
        }
        let mut all = vec![
            Section::Net,
            Section::Disk,
            Section::Startup,
            Section::Handlers,
        ];
        all.push(match self.style {
            Era::V84 => Section::Options,
            _ => Section::Syncer,
        });
        all.push(Section::Proxy);
        for section in all {
            if self.random.percent(percent) {
                self.section(section);
            }
        }
    }

    fn section(&mut self, section: Section) {
        self.line(&format!("{} {{", section.keyword()));
        for _ in 0..self.random.below(5) {
            self.option(section);
        }
        if section == Section::Startup && self.random.percent(20) {
            self.line("become-primary-on alpha;");
        }
        if section == Section::Proxy && self.random.percent(30) {
            self.line("plugin { zlib level 9; lzma contexts 1; }");
        }
        self.line("}");
    }

    /// An option in the spelling of the style, if that has any in this section.
    fn option(&mut self, section: Section) {
        let style = self.style;
        let candidates: Vec<(&OptionRow, &str, Form)> = drbd_options::ALL
            .iter()
            .flat_map(|table| table.iter())
            .filter(|row| row.name != "protocol" && row.until >= Era::V83)
            .filter_map(|row| {
                let spelling = row.spelling(style)?;
                let fits = spelling.section == section && row.section != Section::Syncer;
                fits.then_some((row, spelling.name, spelling.form))
            })
            .collect();
        let (row, name, form) = *self.random.choose(&candidates);
        let statement = match (row.kind, form) {
            (_, Form::Negated) => format!("{name};"),
            (Kind::Flag | Kind::Bool { .. }, _) => match self.random.below(3) {
                1 if style == Era::V84 && row.name != "stacked-timeouts" => format!("{name} yes;"),
                2 if style == Era::V84 && row.name != "stacked-timeouts" => format!("{name} no;"),
                _ => format!("{name};"),
            },
            (Kind::Number(limits), _) => {
                let limits = row.limits(style).unwrap_or(limits);
                let span = limits.max - limits.min + 1;
                let offset = i64::try_from(self.random.next() >> 2).unwrap_or(0) % span;
                format!(
                    "{name} {};",
                    (limits.min.max(0) + offset).min(99_999_999).min(limits.max)
                )
            }
            (Kind::MinorOfResource(_), _) => {
                let target = match self.names.len() {
                    0 => "nosuch".to_owned(),
                    n => self.names[self.random.below(n)].clone(),
                };
                format!("{name} {target};")
            }
            (Kind::Enum(choice), _) => {
                let word = self.random.choose(choice.words).0;
                format!("{name} {word};")
            }
            (Kind::Words, _) => format!("{name} alpha beta;"),
            (Kind::Text { .. } | Kind::Address, _) => {
                let value = *self.random.choose(&[
                    "sha1",
                    "\"two words\"",
                    "\"\"",
                    "\"a\\\"b\\\\c\"",
                    "x_y.z/1-2",
                    "\"<&'>\"",
                    "f0",
                ]);
                format!("{name} {value};")
            }
        };
        self.line(&statement);
    }

    fn device(&mut self) -> String {
        let minor = self.minor;
        self.minor += 1;
        match self.random.below(4) {
            0 => format!("device minor {minor};"),
            1 => format!("device drbd{minor};"),
            2 => format!("device /dev/drbd_x{minor} minor {minor};"),
            _ => format!("device /dev/drbd{minor};"),
        }
    }

    fn meta(&mut self, at: u32) -> String {
        match self.random.below(5) {
            0 => format!("meta-disk /dev/m{at}[{}];", self.random.below(4)),
            1 => format!("flexible-meta-disk /dev/f{at};"),
            2 if self.style == Era::V84 => format!("meta-disk /dev/f{at};"),
            3 => format!("meta-disk \"/dev/m {at}\" [ 07 ];"),
            _ => "meta-disk internal;".to_owned(),
        }
    }

    fn address(&mut self, host: usize) -> String {
        let port = self.port;
        self.port += 1;
        match (host, self.random.below(8)) {
            (0, 0) => format!("ipv6 [::1]:{port}"),
            (0, 1) => format!("sdp 127.0.0.1:{port}"),
            (0, _) => format!("127.0.0.1:{port}"),
            (_, 0) => format!("ipv6 [fe80::{host}%eth0]:{port}"),
            (_, 1) => format!("ssocks 10.9.9.{host}:{port}"),
            (_, 2) => format!("ipv4 10.9.9.{host} : {port}"),
            _ => format!("10.9.9.{host}:{port}"),
        }
    }

    fn resource(&mut self, at: usize) {
        let name = if self.random.percent(10) {
            format!("\"two words{at}\"")
        } else {
            format!("r{at}")
        };
        self.line(&format!("resource {name} {{"));
        self.names.push(name);
        if self.random.percent(50) {
            self.sections(25);
        }
        match self
            .random
            .below(if self.style == Era::V84 { 4 } else { 2 })
        {
            0 => self.hosts_with_own_volumes(),
            1 => self.hosts_with_shared_volume(),
            2 => self.hosts_with_explicit_volumes(),
            _ => self.floating(),
        }
        if self.random.percent(40) {
            // Only those that cannot be repeated are missing: they may have come before.
            let _ = writeln!(self.text, "# the end");
        }
        self.line("}");
    }

    fn host_head(&mut self, host: usize) -> String {
        let mine = if self.random.percent(90) {
            "alpha"
        } else {
            "delta"
        };
        match (host, self.random.below(6)) {
            (0, 0) => format!("on {mine} other {{"),
            (0, 1) => format!("on \"{mine}\" {{"),
            (0, _) => format!("on {mine} {{"),
            (1, _) => "on beta {".to_owned(),
            _ => "on gamma {".to_owned(),
        }
    }

    fn host_count(&mut self) -> usize {
        *self.random.choose(&[2, 2, 2, 2, 2, 2, 1, 3])
    }

    fn hosts_with_own_volumes(&mut self) {
        for host in 0..self.host_count() {
            let head = self.host_head(host);
            self.line(&head);
            let address = self.address(host);
            self.line(&format!("address {address};"));
            let device = self.device();
            self.line(&device);
            let minor = self.minor;
            self.line(&format!("disk /dev/d{minor};"));
            let meta = self.meta(minor);
            self.line(&meta);
            self.host_extras(host);
            self.line("}");
        }
    }

    fn host_extras(&mut self, host: usize) {
        if self.style == Era::V84 && self.random.percent(8) {
            self.line("options { cpu-mask 3; }");
        }
        if self.style == Era::V84 && self.random.percent(5) {
            let address = self.address(host);
            self.line(&format!("alternate-link-address {address};"));
        }
    }

    fn hosts_with_shared_volume(&mut self) {
        let device = self.device();
        self.line(&device);
        let minor = self.minor;
        self.line(&format!("disk /dev/d{minor};"));
        let meta = self.meta(minor);
        self.line(&meta);
        for host in 0..self.host_count() {
            let head = self.host_head(host);
            self.line(&head);
            let address = self.address(host);
            self.line(&format!("address {address};"));
            self.line("}");
        }
    }

    fn volume(&mut self, number: usize, device: &str) {
        self.line(&format!("volume {number} {{"));
        self.line(device);
        let minor = self.minor;
        self.line(&format!("disk /dev/d{minor};"));
        let meta = self.meta(minor);
        self.line(&meta);
        if self.random.percent(30) {
            self.section(Section::Disk);
        }
        self.line("}");
    }

    fn hosts_with_explicit_volumes(&mut self) {
        let numbers: Vec<usize> = match self.random.below(3) {
            0 => vec![0],
            1 => vec![1, 0],
            _ => vec![0, 2, 5],
        };
        let shared = self.random.percent(50);
        if shared {
            for number in &numbers {
                let device = self.device();
                self.volume(*number, &device);
            }
        }
        for host in 0..self.host_count() {
            let head = self.host_head(host);
            self.line(&head);
            let address = self.address(host);
            self.line(&format!("address {address};"));
            if !shared {
                for number in &numbers {
                    let device = self.device();
                    self.volume(*number, &device);
                }
            } else if self.random.percent(30) {
                let device = self.device();
                self.line(&format!("volume 0 {{ {device} }}"));
            }
            self.line("}");
        }
    }

    fn floating(&mut self) {
        let device = self.device();
        self.line(&device);
        let minor = self.minor;
        self.line(&format!("disk /dev/d{minor}; meta-disk internal;"));
        let port = self.port;
        self.port += 2;
        self.line(&format!("floating 127.0.0.1:{port};"));
        let next = port + 1;
        match self.random.below(3) {
            0 => self.line(&format!(
                "floating ipv6 [fe80::2]:{next} {{ disk /dev/g; }}"
            )),
            _ => self.line(&format!("floating 10.9.9.2:{next};")),
        }
    }

    fn stacked(&mut self) {
        let lower = self.names[self.random.below(self.names.len())].clone();
        let (one, two) = (self.address(0), self.address(2));
        let device = self.device();
        let other = self.device();
        self.line("resource up {");
        self.sections(15);
        self.line(&format!(
            "stacked-on-top-of {lower} {{ {device} address {one}; }}"
        ));
        self.line(&format!(
            "on gamma {{ {other} disk /dev/up; meta-disk internal; address {two}; }}"
        ));
        self.line("}");
    }
}
