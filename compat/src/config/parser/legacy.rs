//! What only 0.7 wrote (spec 10 sections 3.5 and 11). Read in tolerant mode, and mapped to its
//! effect; each of these also marks the configuration as one of 0.7.

use drbd_options::{Section, find};

use crate::model::{Resource, Sections};

use super::top::leading_digits;
use crate::config::{
    cursor::Parser,
    diagnostic::Abort,
    token::{Token, TokenKind},
};

impl Parser<'_> {
    /// Words of `global` with the other spelling; `false` if it is none of them.
    pub(super) fn legacy_global(&mut self, token: &Token<'_>) -> Result<bool, Abort> {
        match token.raw.replace('_', "-").as_str() {
            "minor-count" => {
                let value = self.global_number("minor-count", token.line)?;
                self.session.config.global.minor_count = Some(value);
            }
            "disable-io-hints" => {
                let text = format!(
                    "{}:{}: in global section, useless use of no longer available option \
                     \"disable_io_hints\".",
                    self.shown, token.line
                );
                self.session.warn(text);
            }
            _ => return Ok(false),
        }
        self.session.saw_07();
        Ok(true)
    }

    /// `incon-degr-cmd`: the handler for the same event.
    pub(super) fn legacy_statement(
        &mut self,
        token: &Token<'_>,
        resource: &mut Resource,
    ) -> Result<bool, Abort> {
        if token.raw != "incon-degr-cmd" {
            return Ok(false);
        }
        self.session.saw_07();
        let command = self.expect_text()?;
        self.expect_op(b';')?;
        if let Some(found) = find(Section::Handlers, "pri-on-incon-degr") {
            let sections = &mut resource.sections;
            let row = found.row;
            self.set(Section::Handlers, row, row.name, Some(command), sections);
        }
        Ok(true)
    }

    /// `group` and `on-disconnect`.
    pub(super) fn legacy_option(
        &mut self,
        section: Section,
        token: &Token<'_>,
        into: &mut Sections,
    ) -> Result<bool, Abort> {
        let Some(found) = find(section, token.raw) else {
            return Ok(false);
        };
        self.session.saw_07();
        let value = self.next();
        if !matches!(value.kind, TokenKind::Text | TokenKind::Integer) {
            return Err(self.unexpected(
                &value,
                "TK_STRING | TK_INTEGER",
                super::super::cursor::Tk::Shown,
            ));
        }
        if found.row.limits(drbd_options::Era::V07).is_some() {
            self.check_range(section, token.raw, value.raw, token.line)?;
        }
        self.expect_op(b';')?;
        let rank = self.session.rank;
        self.session.rank = rank.saturating_add(1);
        into.legacy.push(crate::model::Setting {
            row: found.row,
            name: found.row.name,
            value: Some(value.text()),
            rank,
        });
        Ok(true)
    }

    /// `meta-disk DEVICE meta-index N`, the form before `DEVICE[N]`.
    pub(super) fn legacy_meta_index(&mut self) -> Result<Option<String>, Abort> {
        if !self.is_tolerant() || self.peek().raw != "meta-index" {
            return Ok(None);
        }
        self.next();
        self.session.saw_07();
        Ok(Some(leading_digits(self.expect_integer()?).to_string()))
    }
}
