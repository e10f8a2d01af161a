//! Option sections (spec 10 sections 3.1 and 4).

use drbd_options::{Era, Form, Kind, Match, OptionRow, RangeError, Section, find};

use crate::model::{Sections, Setting};

use crate::config::{
    advice,
    cursor::{Parser, Tk},
    diagnostic::Abort,
    session::Uniqueness,
    token::{Keyword as K, Token, TokenKind},
};

impl Parser<'_> {
    /// The options of a section, behind its `{`, up to and including its `}`.
    pub(super) fn option_section(
        &mut self,
        section: Section,
        into: &mut Sections,
    ) -> Result<(), Abort> {
        self.section_line = self.line;
        loop {
            let token = self.next();
            match token.kind {
                TokenKind::Op(b'}') => return Ok(()),
                TokenKind::Keyword(_) if self.keyword_option(section, &token, into)? => {}
                TokenKind::Option => self.option(section, &token, into)?,
                TokenKind::Text
                    if self.is_tolerant() && self.legacy_option(section, &token, into)? => {}
                _ => return Err(self.no_option(section, &token)),
            }
        }
    }

    fn no_option(&mut self, section: Section, token: &Token<'_>) -> Abort {
        let expected = match (section, token.kind) {
            (Section::Syncer, _) => "a syncer option keyword",
            (_, TokenKind::Eof) => "an option",
            _ => "an option keyword",
        };
        let help = advice::for_option(token, section);
        self.unexpected_with(token, expected, Tk::Hidden, help)
    }

    /// Options that are keywords of their own; `false` if the word has no place here.
    fn keyword_option(
        &mut self,
        section: Section,
        token: &Token<'_>,
        into: &mut Sections,
    ) -> Result<bool, Abort> {
        match (section, token.kind) {
            (Section::Startup, TokenKind::Keyword(K::BecomePrimaryOn)) => {
                into.become_primary_on = self.words_until_semicolon()?;
            }
            (Section::Startup, TokenKind::Keyword(K::StackedTimeouts)) => {
                into.stacked_timeouts = true;
                self.expect_op(b';')?;
            }
            (Section::Proxy, TokenKind::Keyword(K::Plugin)) => {
                self.plugins(token.line, &mut into.plugins)?;
            }
            (Section::Net, TokenKind::Keyword(K::DiscardMyData))
                if self.session.uniqueness == Uniqueness::Ignored =>
            {
                self.yes_or_no(section)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn words_until_semicolon(&mut self) -> Result<Vec<String>, Abort> {
        let mut words = Vec::new();
        loop {
            let token = self.next();
            match token.kind {
                TokenKind::Text => words.push(token.text()),
                TokenKind::Op(b';') if !words.is_empty() => return Ok(words),
                TokenKind::Op(b';') => {
                    return Err(self.unexpected(&token, "TK_STRING", Tk::Shown));
                }
                _ => return Err(self.unexpected(&token, "TK_STRING | ';'", Tk::Shown)),
            }
        }
    }

    /// The lines behind the word `plugin`, whose line all complaints name.
    fn plugins(&mut self, line: u32, lines: &mut Vec<String>) -> Result<(), Abort> {
        let open = self.next();
        if !open.is_op(b'{') {
            return Err(self.fatal(line, "expected \"{\" after \"proxy\" keyword"));
        }
        let mut words: Vec<String> = Vec::new();
        loop {
            let token = self.next();
            match token.kind {
                TokenKind::Op(b';') => {
                    if !words.is_empty() {
                        lines.push(std::mem::take(&mut words).join(" "));
                    }
                }
                TokenKind::Op(b'}') if words.is_empty() => return Ok(()),
                TokenKind::Op(b'}') => {
                    return Err(self.fatal(line, "Missing \";\" before  \"}\""));
                }
                TokenKind::Eof => return Err(self.fatal(line, "Unexpected end-of-file")),
                _ => words.push(token.text()),
            }
        }
    }

    fn option(
        &mut self,
        section: Section,
        token: &Token<'_>,
        into: &mut Sections,
    ) -> Result<(), Abort> {
        let Some(found) = self.option_of(section, token.raw) else {
            return Err(self.no_option(section, token));
        };
        let row = found.row;
        if row.section == Section::Syncer {
            // Read and dropped by every program that knows them.
            self.session.evidence.older_8 |= section == Section::Syncer;
            self.value()?;
            return self.expect_end(section);
        }
        let value = match (row.kind, found.form) {
            (_, Form::Negated) => {
                self.expect_end(section)?;
                Some("no".to_owned())
            }
            (Kind::Bool { .. }, _) if section == Section::Syncer => self.syncer_flag()?,
            (Kind::Bool { .. } | Kind::Flag, _) => Some(self.yes_or_no(section)?),
            _ => Some(self.checked_value(section, row, token.line)?),
        };
        let target = match section {
            Section::Syncer => row.section,
            other => other,
        };
        let name = match section {
            // Genuine: the proxy takes the words of the syncer, and keeps them.
            Section::Proxy => spelling_of(row, token.raw),
            _ => row.name,
        };
        self.set(target, row, name, value, into);
        Ok(())
    }

    /// The option that a word means here, if it means one.
    fn option_of(&self, section: Section, word: &str) -> Option<Match> {
        let deprecated = |m: &Match| m.row.section == Section::Syncer;
        match section {
            Section::Syncer => find(section, word).filter(|m| self.is_tolerant() || !deprecated(m)),
            Section::Proxy => find(section, word).or_else(|| find(Section::Syncer, word)),
            _ => find(section, word).or_else(|| find(Section::Syncer, word).filter(deprecated)),
        }
    }

    pub(super) fn set(
        &mut self,
        section: Section,
        row: &'static OptionRow,
        name: &'static str,
        value: Option<String>,
        into: &mut Sections,
    ) {
        let rank = self.session.rank;
        self.session.rank = rank.saturating_add(1);
        if let Some(list) = into.list_mut(section) {
            list.push(Setting {
                row,
                name,
                value,
                rank,
            });
        }
    }

    /// A value that takes its `;` with it.
    fn checked_value(
        &mut self,
        section: Section,
        row: &'static OptionRow,
        line: u32,
    ) -> Result<String, Abort> {
        let token = self.peek();
        let mut value = self.value()?;
        if let Kind::Enum(choice) = row.kind
            && let Some(help) = advice::for_value(choice, &value)
        {
            let text = format!("{} has no value `{value}`", row.name);
            self.advise(&token, text, help);
        }
        if row.is_checked(Era::V84) {
            self.check_row(row, &value, line)?;
        }
        if let Kind::Enum(choice) = row.kind
            && choice.ignore_case
        {
            value = self.protocol(&value);
        }
        self.expect_end(section)?;
        Ok(value)
    }

    /// A protocol letter in its proper form.
    pub(super) fn protocol(&mut self, value: &str) -> String {
        let proper = value.to_ascii_uppercase();
        if !matches!(proper.as_str(), "A" | "B" | "C") {
            let text = format!("unknown protocol '{value}', should be one of A,B,C");
            self.session.invalid(text);
        }
        proper
    }

    fn value(&mut self) -> Result<String, Abort> {
        let token = self.next();
        match token.kind {
            TokenKind::Text | TokenKind::Integer | TokenKind::Keyword(K::On) => Ok(token.text()),
            _ => {
                self.refuse_overlong(&token)?;
                Err(self.unexpected(&token, "TK_STRING | TK_INTEGER", Tk::Shown))
            }
        }
    }

    /// `yes`, `no` or nothing, with the `;`.
    fn yes_or_no(&mut self, section: Section) -> Result<String, Abort> {
        let token = self.peek();
        let word = match token.kind {
            TokenKind::Op(b';') => {
                self.next();
                return Ok("yes".to_owned());
            }
            TokenKind::Keyword(K::Yes) => "yes",
            TokenKind::Keyword(K::No) => "no",
            _ if self.is_tolerant() => {
                self.expect_end(section)?;
                return Ok("yes".to_owned());
            }
            _ => {
                self.next();
                return Err(self.unexpected(&token, "yes | no | ;", Tk::Hidden));
            }
        };
        self.next();
        self.expect_end(section)?;
        Ok(word.to_owned())
    }

    /// As [`Self::yes_or_no`], but with the error of the syncer section.
    fn syncer_flag(&mut self) -> Result<Option<String>, Abort> {
        let word = if self.eat(K::No) {
            "no"
        } else {
            self.eat(K::Yes);
            "yes"
        };
        self.expect_end(Section::Syncer)?;
        Ok(Some(word.to_owned()))
    }

    /// The `;` of an option; the output of older drbdsetup puts `_is_default` before it.
    fn expect_end(&mut self, section: Section) -> Result<(), Abort> {
        if self.is_tolerant() && self.peek().raw == "_is_default" {
            self.session.evidence.older_8 = true;
            self.next();
        }
        let tk = match section {
            Section::Syncer => Tk::Hidden,
            _ => Tk::Shown,
        };
        self.expect_op_or(b';', tk)
    }

    /// Checks a number against the limits of an option that is found by name.
    pub(super) fn check_range(
        &mut self,
        section: Section,
        name: &str,
        text: &str,
        line: u32,
    ) -> Result<(), Abort> {
        match find(section, name) {
            Some(found) => self.check_row(found.row, text, line),
            None => Ok(()),
        }
    }

    fn check_row(&mut self, row: &OptionRow, text: &str, line: u32) -> Result<(), Abort> {
        let Some(limits) = row.limits(Era::V84) else {
            return Ok(());
        };
        match limits.check(row.name, text) {
            Ok(_) => Ok(()),
            Err(RangeError::Number(error)) => {
                Err(self.session.fatal(error.to_string(), error.exit_status()))
            }
            Err(range) => {
                self.invalid(line, &range.to_string());
                Ok(())
            }
        }
    }
}

/// The spelling of an option that was read.
fn spelling_of(row: &'static OptionRow, word: &str) -> &'static str {
    let older = row.older.iter().find(|s| s.name == word);
    older.map_or(row.name, |s| s.name)
}
