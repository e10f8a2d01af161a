//! Resources: hosts, volumes, addresses, proxies.

use drbd_options::{Era, Section};

use super::{Generator, Known, Reader};

impl Generator<'_> {
    pub(super) fn resource(&mut self, at: usize) {
        let name = match self.random.below(20) {
            0 => format!("\"two words{at}\""),
            1 => format!("a-b.c_{at}"),
            2 => format!("\"net{at}\""),
            _ => format!("r{at}"),
        };
        self.line(&format!("resource {name} {{"));
        // Known from here on: a resource may wait for itself.
        self.known.push(Known {
            name,
            volumes: None,
        });
        if self.reader == Reader::Of83 {
            self.protocol();
        }
        let options_last = self.random.percent(30);
        if !options_last && self.random.percent(60) {
            self.sections(25);
        }
        if self.random.percent(4) {
            self.line("ignore-on gamma;");
        }
        let kinds = match (self.style, self.reader) {
            (Era::V84, _) => 5,
            (_, Reader::Of84) => 4,
            (_, Reader::Of83) => 3,
        };
        let volumes = match self.random.below(kinds) {
            0 => self.hosts_with_own_volumes(),
            1 => self.hosts_with_shared_volume(),
            2 => self.floating(),
            3 if self.style == Era::V83 => self.hosts_with_own_volumes(),
            _ => self.hosts_with_explicit_volumes(),
        };
        if let Some(known) = self.known.last_mut() {
            known.volumes = volumes;
        }
        if options_last {
            self.sections(25);
        }
        self.line("}");
    }

    fn device(&mut self) -> String {
        let minor = self.minor;
        self.minor += 1;
        match self.random.below(5) {
            0 => format!("device minor {minor};"),
            1 => format!("device drbd{minor};"),
            2 => format!("device /dev/drbd_x{minor} minor {minor};"),
            3 => format!("device /dev/drbd{minor} minor {minor};"),
            _ => format!("device /dev/drbd{minor};"),
        }
    }

    fn disk(&mut self) -> String {
        let minor = self.minor;
        match self.random.below(4) {
            0 => format!("disk \"/dev/vg {minor}/lv\";"),
            1 => format!("disk /dev/mapper/vg-{minor}_x.y;"),
            _ => format!("disk /dev/d{minor};"),
        }
    }

    /// Where the meta-data are: internal, indexed, or external of flexible size.
    fn meta(&mut self) -> String {
        let at = self.minor;
        match self.random.below(7) {
            0 => format!("meta-disk /dev/m{at}[{}];", self.random.below(4)),
            1 => format!("flexible-meta-disk /dev/f{at};"),
            2 if self.style == Era::V84 => format!("meta-disk /dev/f{at};"),
            3 => format!("meta-disk \"/dev/m {at}\" [ 07 ];"),
            4 => "flexible-meta-disk internal;".to_owned(),
            _ => "meta-disk internal;".to_owned(),
        }
    }

    fn next_port(&mut self) -> u32 {
        self.port += 1;
        self.port
    }

    /// An address of host 0, which is this one, or of another.
    fn address(&mut self, host: usize) -> String {
        let port = self.next_port();
        match (host, self.random.below(10)) {
            (0, 0) => format!("ipv6 [::1]:{port}"),
            (0, 1) => format!("sdp 127.0.0.1:{port}"),
            (0, 2) => format!("ssocks 10.9.8.1:{port}"),
            (0, 3) => format!("ipv4 127.0.0.1:{port}"),
            (0, 4) => format!("10.99.99.99:{port}"),
            (0, _) => format!("127.0.0.1:{port}"),
            (_, 0) => format!("ipv6 [fe80::{host}%eth0]:{port}"),
            (_, 1) => format!("ssocks 10.9.9.{host}:{port}"),
            (_, 2) => format!("ipv4 10.9.9.{host} : {port}"),
            (_, 3) => format!("sci 10.9.9.{host}:{port}"),
            (_, 4) => format!("ipv6 [fd00:0::{host}] : {port}"),
            (_, 5) => format!("sdp 10.9.9.{host}:{port}"),
            _ => format!("10.9.9.{host}:{port}"),
        }
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
            (1, 0) => "on beta beta2 {".to_owned(),
            (1, _) => "on beta {".to_owned(),
            _ => "on gamma {".to_owned(),
        }
    }

    fn host_count(&mut self) -> usize {
        *self.random.choose(&[2, 2, 2, 2, 2, 2, 2, 1, 3])
    }

    fn hosts(&mut self, mut content: impl FnMut(&mut Self, usize)) {
        let alternate = self.style == Era::V84 && self.random.percent(6);
        let proxy = self.random.percent(8);
        for host in 0..self.host_count() {
            let head = self.host_head(host);
            self.line(&head);
            let late = self.random.percent(20);
            if late {
                content(self, host);
            }
            let address = self.address(host);
            self.line(&format!("address {address};"));
            if alternate {
                let address = self.address(host);
                self.line(&format!("alternate-link-address {address};"));
            }
            if self.style == Era::V84 && self.random.percent(8) {
                self.line("options { cpu-mask 3; }");
            }
            if !late {
                content(self, host);
            }
            if proxy && !self.random.percent(4) {
                self.proxy(host);
            }
            self.line("}");
        }
    }

    fn proxy(&mut self, host: usize) {
        let name = match (host, self.random.below(4)) {
            (0, 0) => "proxyhost",
            (0, 1) => "alpha proxyhost",
            (0, _) => "alpha",
            (1, _) => "beta",
            _ => "gamma",
        };
        self.line(&format!("proxy on {name} {{"));
        let (inside, outside) = (self.next_port(), self.next_port());
        self.line(&format!("inside 127.0.0.1:{inside};"));
        let family = *self.random.choose(&["", "ipv4 "]);
        self.line(&format!("outside {family}10.7.7.{host}:{outside};"));
        if self.style == Era::V84 && self.random.percent(40) {
            self.line("options { memlimit 100M; plugin { zlib level 3; } }");
        }
        self.line("}");
    }

    fn volume_content(&mut self) {
        let device = self.device();
        self.line(&device);
        let disk = self.disk();
        self.line(&disk);
        let meta = self.meta();
        self.line(&meta);
    }

    fn hosts_with_own_volumes(&mut self) -> Option<Vec<usize>> {
        self.hosts(|generator, _| generator.volume_content());
        None
    }

    fn hosts_with_shared_volume(&mut self) -> Option<Vec<usize>> {
        self.volume_content();
        self.hosts(|generator, _| {
            if generator.random.percent(15) {
                let disk = generator.disk();
                generator.line(&disk);
            }
        });
        None
    }

    fn volume(&mut self, number: usize) {
        self.line(&format!("volume {number} {{"));
        self.volume_content();
        if self.random.percent(30) {
            self.section(Section::Disk);
        }
        self.line("}");
    }

    fn hosts_with_explicit_volumes(&mut self) -> Option<Vec<usize>> {
        let numbers: Vec<usize> = match self.random.below(4) {
            0 => vec![0],
            1 => vec![1, 0],
            2 => vec![0, 1],
            _ => vec![0, 2, 5],
        };
        let shared = self.random.percent(50);
        if shared {
            for number in &numbers {
                self.volume(*number);
            }
        }
        self.hosts(|generator, _| {
            if !shared {
                for number in &numbers {
                    generator.volume(*number);
                }
            } else if generator.random.percent(30) {
                let device = generator.device();
                generator.line(&format!("volume 0 {{ {device} }}"));
            }
        });
        Some(numbers)
    }

    fn floating(&mut self) -> Option<Vec<usize>> {
        self.volume_content();
        let (mine, other) = (self.next_port(), self.next_port());
        let address = match self.random.below(5) {
            0 => format!("ipv6 [::1]:{mine}"),
            1 => format!("ipv4 127.0.0.1:{mine}"),
            2 => format!("10.99.99.98:{mine}"),
            _ => format!("127.0.0.1:{mine}"),
        };
        match self.random.below(3) {
            0 => self.line(&format!("floating {address} {{ disk /dev/own; }}")),
            _ => self.line(&format!("floating {address};")),
        }
        match self.random.below(3) {
            0 => self.line(&format!(
                "floating ipv6 [fe80::2]:{other} {{ disk /dev/g; }}"
            )),
            _ => self.line(&format!("floating 10.9.9.2:{other};")),
        }
        None
    }

    /// A resource on top of another one.
    pub(super) fn stacked(&mut self) {
        let at = self.random.below(self.known.len());
        let known = &self.known[at];
        let (lower, volumes) = (known.name.clone(), known.volumes.clone());
        self.line("resource up {");
        if self.reader == Reader::Of83 {
            self.protocol();
        }
        self.sections(15);
        let address = self.address(0);
        self.line(&format!("stacked-on-top-of {lower} {{"));
        match &volumes {
            Some(numbers) => {
                for number in numbers {
                    let device = self.device();
                    self.line(&format!("volume {number} {{ {device} }}"));
                }
            }
            None => {
                let device = self.device();
                self.line(&device);
            }
        }
        self.line(&format!("address {address};"));
        self.line("}");
        let address = self.address(2);
        self.line(&format!("on gamma {{ address {address};"));
        match &volumes {
            Some(numbers) => numbers.iter().for_each(|number| self.volume(*number)),
            None => self.volume_content(),
        }
        self.line("}");
        self.line("}");
    }
}
