//! Host sections.

use drbd_options::Section;

use crate::model::{Host, HostKind, MetaDisk, Origin, Resource, Volume};

use super::{top::Body, volume::insert_sorted};
use crate::config::{
    cursor::{Parser, Tk},
    diagnostic::Abort,
    token::{Keyword as K, Token, TokenKind},
};

const HOST: &str = "disk | device | address | meta-disk | flexible-meta-disk";
const STACKED: &str = "device | address | proxy";

impl Parser<'_> {
    /// `on NAMES { }`
    pub(super) fn host_on(&mut self, body: Body, resource: &mut Resource) -> Result<(), Abort> {
        let names = self.host_names()?;
        let line = self.line;
        for name in &names {
            self.unique_here("host section", &format!(" on {name}"), line)?;
        }
        let host = Host::new(HostKind::On, names, line);
        self.refuse_host_in_common(body);
        self.host_body(host, resource)
    }

    /// `_this_host { }` and `_remote_host { }`
    pub(super) fn host_named(
        &mut self,
        kind: HostKind,
        name: &str,
        resource: &mut Resource,
    ) -> Result<(), Abort> {
        self.expect_op(b'{')?;
        let host = Host::new(kind, vec![name.to_owned()], self.line);
        self.host_body(host, resource)
    }

    /// `floating ADDRESS;` or `floating ADDRESS { }`
    pub(super) fn host_floating(
        &mut self,
        line: u32,
        body: Body,
        resource: &mut Resource,
    ) -> Result<(), Abort> {
        let address = self.address(line)?;
        let endpoint = format!("{}:{}", address.host, address.port);
        self.unique("IP", endpoint, line)?;
        let name = match address.family {
            crate::model::Family::Ipv6 => address.statement(),
            _ => address.endpoint(),
        };
        let mut host = Host::new(HostKind::Floating, vec![name], line);
        host.address = Some(address);
        let token = self.next();
        match token.kind {
            TokenKind::Op(b'{') => {
                self.refuse_host_in_common(body);
                self.host_body(host, resource)
            }
            TokenKind::Op(b';') => {
                self.section_line = self.line;
                self.refuse_host_in_common(body);
                self.finish_host(host, resource)
            }
            _ => Err(self.unexpected(&token, "{ | ;", Tk::Shown)),
        }
    }

    /// `stacked-on-top-of RESOURCE { }`
    pub(super) fn host_stacked(
        &mut self,
        line: u32,
        body: Body,
        resource: &mut Resource,
    ) -> Result<(), Abort> {
        let lower = self.expect_text()?;
        self.unique("stacked-on-top-of", format!("stacked:{lower}"), line)?;
        self.stacked_line = line;
        self.expect_op(b'{')?;
        self.refuse_host_in_common(body);
        let host = Host::new(HostKind::Stacked { lower }, Vec::new(), 0);
        self.host_body(host, resource)
    }

    /// One or more names and the `{` behind them.
    pub(super) fn host_names(&mut self) -> Result<Vec<String>, Abort> {
        let mut names = Vec::new();
        loop {
            let token = self.next();
            match token.kind {
                TokenKind::Text => names.push(token.text()),
                TokenKind::Op(b'{') if !names.is_empty() => return Ok(names),
                TokenKind::Op(b'{') => {
                    return Err(self.unexpected(&token, "TK_STRING", Tk::Shown));
                }
                _ => return Err(self.unexpected(&token, "TK_STRING | '{'", Tk::Shown)),
            }
        }
    }

    fn refuse_host_in_common(&mut self, body: Body) {
        if body == Body::Common {
            self.invalid(
                self.line,
                "in the common section, there are no host sections allowed.",
            );
        }
    }

    fn host_body(&mut self, mut host: Host, resource: &mut Resource) -> Result<(), Abort> {
        self.section_line = match host.kind {
            HostKind::Stacked { .. } => self.stacked_line,
            _ => self.line,
        };
        loop {
            let token = self.next();
            match token.kind {
                TokenKind::Op(b'}') => break,
                TokenKind::Keyword(keyword) => match host.kind {
                    HostKind::Stacked { .. } => {
                        self.stacked_statement(keyword, &token, &mut host)?
                    }
                    _ => self.host_statement(keyword, &token, &mut host)?,
                },
                _ => {
                    let expected = expected_in(&host);
                    return Err(self.unexpected(&token, expected, Tk::Hidden));
                }
            }
        }
        self.finish_host(host, resource)
    }

    fn host_statement(
        &mut self,
        keyword: K,
        token: &Token<'_>,
        host: &mut Host,
    ) -> Result<(), Abort> {
        let line = token.line;
        match keyword {
            K::Disk | K::Device | K::MetaDisk | K::FlexibleMetaDisk => {
                let word = match keyword {
                    K::Disk => "disk",
                    K::Device => "device",
                    _ => "meta-disk",
                };
                self.unique_statement(host, word, line)?;
                let at = self.implicit_volume(&mut host.volumes);
                self.volume_statement(keyword, line, &mut host.volumes[at], &host.names)
            }
            K::Volume => {
                let at = self.host_volume(host)?;
                self.volume_body(line, &mut host.volumes[at], &host.names)
            }
            K::Options => {
                self.expect_op(b'{')?;
                self.own_options(Section::Options, &mut host.options)
            }
            _ => self.shared_statement(keyword, token, host),
        }
    }

    fn stacked_statement(
        &mut self,
        keyword: K,
        token: &Token<'_>,
        host: &mut Host,
    ) -> Result<(), Abort> {
        let line = token.line;
        match keyword {
            K::Device => {
                self.unique_statement(host, "device", line)?;
                let at = self.implicit_volume(&mut host.volumes);
                let device = self.device(self.stacked_line)?;
                // Registered for the hosts of the lower resource, once that is known.
                self.set_device(device, self.stacked_line, &mut host.volumes[at], &[])
            }
            K::Volume => {
                let at = self.host_volume(host)?;
                self.expect_op(b'{')?;
                let token = self.next();
                if !token.is(K::Device) {
                    return Err(self.unexpected(&token, "TK_DEVICE", Tk::Shown));
                }
                let device = self.device(self.stacked_line)?;
                self.set_device(device, self.stacked_line, &mut host.volumes[at], &[])?;
                self.expect_op(b'}')
            }
            _ => self.shared_statement(keyword, token, host),
        }
    }

    /// Statements of all kinds of host sections.
    fn shared_statement(
        &mut self,
        keyword: K,
        token: &Token<'_>,
        host: &mut Host,
    ) -> Result<(), Abort> {
        let line = token.line;
        match keyword {
            K::Address | K::AlternateLinkAddress if host.kind == HostKind::Floating => {
                let text = "address statement not allowed for floating {} host sections";
                Err(self.fatal(line, text))
            }
            K::Address | K::AlternateLinkAddress => {
                self.unique_statement(host, token.raw, line)?;
                let address = self.address(line)?;
                self.expect_op(b';')?;
                self.check_port(&address.port, line)?;
                self.unique_address(&address, &host.names, line)?;
                *match keyword {
                    K::Address => &mut host.address,
                    _ => &mut host.alternate,
                } = Some(address);
                Ok(())
            }
            K::Proxy => {
                host.proxy = Some(self.host_proxy(line, &host.names)?);
                Ok(())
            }
            _ => Err(self.unexpected(token, expected_in(host), Tk::Hidden)),
        }
    }

    /// Statements that may stand only once in a host section.
    fn unique_statement(&mut self, host: &Host, word: &str, line: u32) -> Result<(), Abort> {
        for name in &host.names {
            self.unique_here(
                &format!("{word} statement"),
                &format!("{name}:{word}"),
                line,
            )?;
        }
        Ok(())
    }

    fn host_volume(&mut self, host: &mut Host) -> Result<usize, Abort> {
        let number = super::top::leading_digits(self.expect_integer()?);
        let volume = Volume::new(number, Origin::Explicit);
        Ok(insert_sorted(&mut host.volumes, volume))
    }

    /// Takes over the resource's volumes, then checks that nothing is missing.
    fn finish_host(&mut self, mut host: Host, resource: &mut Resource) -> Result<(), Abort> {
        let inherited = inherit_volumes(&mut host, &resource.volumes);
        self.check_complete(&host);
        self.register_volumes(&host, &inherited)?;
        resource.hosts.push(host);
        Ok(())
    }

    fn check_complete(&mut self, host: &Host) {
        let missing = |parser: &mut Self, word: &str| {
            let text = format!(
                "in resource {}, on {} {{ ... }}: '{word}' keyword missing.",
                parser.resource,
                host.joined_names()
            );
            parser.lacks(parser.section_line, &text);
        };
        if matches!(host.kind, HostKind::ThisHost | HostKind::RemoteHost) {
            return;
        }
        if host.address.is_none() {
            missing(self, "address");
        }
        if host.lower().is_some() {
            return;
        }
        let mut last = None;
        for volume in &host.volumes {
            if last.replace(volume.number) >= Some(volume.number) {
                let text = format!(
                    "internal error: in {}: unsorted volumes list",
                    self.resource
                );
                self.session.warn(text);
            }
            if volume.minor.is_none() && volume.device.is_none() {
                missing(self, "device");
            }
            if volume.disk.is_none() {
                missing(self, "disk");
            }
            if volume.meta.is_none() {
                missing(self, "meta-disk");
                missing(self, "meta-index");
            }
        }
        let implicit = host.volumes.iter().any(|v| v.origin == Origin::Implicit);
        if implicit && host.volumes.iter().any(|v| v.number != 0) {
            let text = format!(
                "in resource {}: you must not mix implicit and explicit volumes",
                self.resource
            );
            self.invalid(self.line, &text);
        }
    }

    /// Registers external meta-data, and whatever came from the resource.
    fn register_volumes(&mut self, host: &Host, inherited: &[Inherited]) -> Result<(), Abort> {
        let line = self.line;
        for (volume, inherited) in host.volumes.iter().zip(inherited) {
            for name in &host.names {
                if let (true, Some(disk)) = (inherited.disk, &volume.disk) {
                    self.unique("disk", format!("disk:{name}:{disk}"), line)?;
                }
                if let (true, Some(minor)) = (inherited.minor, volume.minor) {
                    let key = format!("device-minor:{name}:{minor}");
                    self.unique("device-minor", key, line)?;
                }
                let slot = match &volume.meta {
                    Some(MetaDisk::Flexible(path)) => format!("{name}:{path}[flexible]"),
                    Some(MetaDisk::Indexed { path, index }) => format!("{name}:{path}[{index}]"),
                    Some(MetaDisk::Internal) | None => continue,
                };
                self.unique("meta-disk", slot, line)?;
            }
        }
        Ok(())
    }

    /// At the end of a resource: all hosts must have the volumes of the first one.
    pub(super) fn compare_hosts(&mut self, resource: &Resource) {
        let Some((first, others)) = resource.hosts.split_first() else {
            return;
        };
        for other in others {
            self.compare_two(first, other);
        }
    }

    fn compare_two(&mut self, first: &Host, other: &Host) {
        let (one, two) = (first.joined_names(), other.joined_names());
        let on = format!("in resource {}, on {one}", self.resource);
        let (mut a, mut b) = (
            first.volumes.iter().peekable(),
            other.volumes.iter().peekable(),
        );
        loop {
            let text = match (a.peek(), b.peek()) {
                (None, None) => return,
                (Some(va), vb) if vb.is_none_or(|vb| va.number < vb.number) => {
                    let number = va.number;
                    a.next();
                    format!("{on} {{ ... }}: volume {number} not defined on {two}")
                }
                (va, Some(vb)) if va.is_none_or(|va| vb.number < va.number) => {
                    let number = vb.number;
                    b.next();
                    format!("{on} {{ ... }}: volume {number} missing (present on {two})")
                }
                (Some(va), Some(vb)) => {
                    let (number, same) = (va.number, va.origin == vb.origin);
                    a.next();
                    b.next();
                    if same {
                        continue;
                    }
                    format!(
                        "{on} resp. {two}: volume {number} must not be implicit on one but not the other"
                    )
                }
                _ => return,
            };
            self.lacks(self.line, &text);
        }
    }
}

fn expected_in(host: &Host) -> &'static str {
    match host.kind {
        HostKind::Stacked { .. } => STACKED,
        _ => HOST,
    }
}

/// What of a volume came from the resource.
#[derive(Clone, Copy, Debug, Default)]
struct Inherited {
    disk: bool,
    minor: bool,
}

fn inherit_volumes(host: &mut Host, templates: &[Volume]) -> Vec<Inherited> {
    for template in templates {
        if host.volume(template.number).is_none() {
            insert_sorted(
                &mut host.volumes,
                Volume::new(template.number, template.origin),
            );
        }
    }
    let inherit = |volume: &mut Volume| {
        let mut inherited = Inherited::default();
        let Some(template) = templates.iter().find(|t| t.number == volume.number) else {
            return inherited;
        };
        if volume.disk.is_none() && template.disk.is_some() {
            volume.disk.clone_from(&template.disk);
            inherited.disk = true;
        }
        if volume.device.is_none() {
            volume.device.clone_from(&template.device);
        }
        if volume.minor.is_none() {
            volume.minor = template.minor;
            inherited.minor = template.minor.is_some();
        }
        if volume.meta.is_none() {
            volume.meta.clone_from(&template.meta);
        }
        inherited
    };
    host.volumes.iter_mut().map(inherit).collect()
}
