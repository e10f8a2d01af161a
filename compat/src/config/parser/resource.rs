//! `resource NAME { }` and `common { }`.

use drbd_options::{Section, find};

use crate::model::{HostKind, Place, Resource, Settings};

use super::top::Body;
use crate::config::{
    cursor::{Parser, Tk},
    diagnostic::Abort,
    token::{Keyword as K, Token, TokenKind},
};

const RESOURCE: &str = "protocol | on | disk | net | syncer | startup | handlers | \
                        ignore-on | stacked-on-top-of";

impl Parser<'_> {
    /// What stands between the braces; a missing last brace is accepted.
    pub(super) fn resource_body(
        &mut self,
        name: String,
        place: Place,
        body: Body,
    ) -> Result<Resource, Abort> {
        self.session.forget_resource_names();
        self.resource.clone_from(&name);
        let mut resource = Resource::new(name, place);
        loop {
            let token = self.next();
            match token.kind {
                TokenKind::Eof | TokenKind::Op(b'}') => break,
                TokenKind::Keyword(keyword) => {
                    self.resource_statement(keyword, &token, body, &mut resource)?;
                }
                TokenKind::Option if token.raw == "protocol" => {
                    self.protocol_statement(token.line, &mut resource)?;
                }
                TokenKind::Text
                    if self.is_tolerant() && self.legacy_statement(&token, &mut resource)? => {}
                _ => return Err(self.unexpected(&token, RESOURCE, Tk::Shown)),
            }
        }
        if body == Body::Resource {
            self.compare_hosts(&resource);
        }
        Ok(resource)
    }

    fn resource_statement(
        &mut self,
        keyword: K,
        token: &Token<'_>,
        body: Body,
        resource: &mut Resource,
    ) -> Result<(), Abort> {
        let line = token.line;
        match keyword {
            K::On => self.host_on(body, resource),
            K::ThisHost => self.host_named(HostKind::ThisHost, token.raw, resource),
            K::RemoteHost => self.host_named(HostKind::RemoteHost, token.raw, resource),
            K::Floating => self.host_floating(line, body, resource),
            K::StackedOnTopOf => self.host_stacked(line, body, resource),
            K::IgnoreOn => self.ignore_on(line),
            K::Net => self.section(Section::Net, line, resource),
            K::Syncer => self.section(Section::Syncer, line, resource),
            K::Startup => self.section(Section::Startup, line, resource),
            K::Handlers => self.section(Section::Handlers, line, resource),
            K::Proxy => self.section(Section::Proxy, line, resource),
            K::Options => self.section(Section::Options, line, resource),
            K::Disk if self.peek().is_op(b'{') => self.section(Section::Disk, line, resource),
            K::Disk | K::MetaDisk | K::FlexibleMetaDisk => {
                self.resource_volume_statement(keyword, line, &mut resource.volumes)
            }
            K::Device => {
                self.unique_here("device statement", "device", line)?;
                self.resource_volume_statement(keyword, line, &mut resource.volumes)
            }
            K::Volume => self.resource_volume(line, &mut resource.volumes),
            K::Skip if self.is_tolerant() => self.legacy_skip(line),
            _ => Err(self.unexpected(token, RESOURCE, Tk::Shown)),
        }
    }

    fn section(
        &mut self,
        section: Section,
        line: u32,
        resource: &mut Resource,
    ) -> Result<(), Abort> {
        let keyword = section.keyword();
        if section == Section::Options {
            self.unique_here("resource options section", "res_options", line)?;
        } else {
            self.unique_here(&format!("{keyword} section"), keyword, line)?;
        }
        self.expect_op(b'{')?;
        self.option_section(section, &mut resource.sections)
    }

    fn protocol_statement(&mut self, line: u32, resource: &mut Resource) -> Result<(), Abort> {
        self.unique_here("protocol statement", " protocol", line)?;
        let value = self.expect_text()?;
        let value = self.protocol(&value);
        self.expect_op(b';')?;
        if let Some(found) = find(Section::Net, "protocol") {
            let row = found.row;
            self.set(
                Section::Net,
                row,
                row.name,
                Some(value),
                &mut resource.sections,
            );
        }
        Ok(())
    }

    fn ignore_on(&mut self, line: u32) -> Result<(), Abort> {
        self.expect_text()?;
        let text = format!(
            "{}:{line}: in resource {}, WARN: The 'ignore-on' keyword is deprecated.",
            self.shown, self.resource
        );
        self.session.warn(text);
        self.expect_op(b';')
    }

    /// The options of a volume's or host's own section.
    pub(super) fn own_options(
        &mut self,
        section: Section,
        into: &mut Settings,
    ) -> Result<(), Abort> {
        let mut sections = crate::model::Sections::default();
        self.option_section(section, &mut sections)?;
        if let Some(list) = sections.list_mut(section) {
            into.0.append(&mut list.0);
        }
        Ok(())
    }
}
