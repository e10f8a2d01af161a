//! Walking over the tokens of a file, and the errors of doing so (spec 10 section 6.2).

use std::sync::Arc;

use super::{
    diagnostic::{Abort, About, Diagnostic, Label, Severity, SourceId},
    session::{Mode, Session, Table, excerpt},
    token::{Keyword, Token, TokenKind},
};

/// Whether a parse error names the token's number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tk {
    Shown,
    Hidden,
}

/// The parser of one file.
pub(super) struct Parser<'a> {
    pub session: &'a mut Session,
    pub tokens: &'a [Token<'a>],
    pub at: usize,
    /// Line of the token that was read last.
    pub line: u32,
    pub shown: Arc<str>,
    pub file: Arc<str>,
    pub source: SourceId,
    /// Name of the resource that is being read.
    pub resource: String,
    /// Line that messages about a host section name: its `{`, or that of the last option block
    /// inside it (spec 10 section 5.2).
    pub section_line: u32,
    /// Line of the last `stacked-on-top-of`, which messages about its devices name.
    pub stacked_line: u32,
}

impl<'a> Parser<'a> {
    /// The next token; at the end of the file again and again the end.
    pub fn next(&mut self) -> Token<'a> {
        let token = self.peek();
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
        self.line = token.line;
        token
    }

    /// The next token, without consuming it.
    pub fn peek(&self) -> Token<'a> {
        self.tokens[self.at]
    }

    pub fn is_tolerant(&self) -> bool {
        self.session.mode == Mode::Tolerant
    }

    /// The next token must be this operator.
    pub fn expect_op(&mut self, op: u8) -> Result<(), Abort> {
        self.expect_op_or(op, Tk::Shown)
    }

    /// As [`Self::expect_op`]; `tk` is for the refusal.
    pub fn expect_op_or(&mut self, op: u8, tk: Tk) -> Result<(), Abort> {
        let before = self.line;
        let token = self.peek();
        if token.is_op(op) {
            self.next();
            return Ok(());
        }
        if op == b';' && self.is_tolerant() && token.line > before {
            // 0.7 only complained about a missing semicolon at the end of a line.
            self.session.evidence.lenient = true;
            let text = format!("{}:{before}: missing ';'", self.shown);
            self.session.warn(text);
            return Ok(());
        }
        self.next();
        let expected = char::from(op).to_string();
        Err(self.unexpected(&token, &expected, tk))
    }

    /// The next token must be text; the genuine name of that is `TK_STRING`.
    pub fn expect_text(&mut self) -> Result<String, Abort> {
        let token = self.next();
        if token.kind == TokenKind::Text {
            return Ok(token.text());
        }
        self.refuse_overlong(&token)?;
        Err(self.unexpected(&token, "TK_STRING", Tk::Shown))
    }

    /// The next token must be a number; returns its text.
    pub fn expect_integer(&mut self) -> Result<&'a str, Abort> {
        let token = self.next();
        match token.kind {
            TokenKind::Integer => Ok(token.raw),
            _ => Err(self.unexpected(&token, "TK_INTEGER", Tk::Shown)),
        }
    }

    /// Texts that are too long or not terminated have errors of their own where one text is due.
    pub fn refuse_overlong(&mut self, token: &Token<'_>) -> Result<(), Abort> {
        let start: String = token.raw.chars().take(20).collect();
        let (shown, line) = (&self.shown, token.line);
        let text = match token.kind {
            TokenKind::TooLong => format!("{shown}:{line}: Token too long >>>{start}...<<<"),
            TokenKind::QuotedTooLong => {
                format!("{shown}:{line}: Double quoted string too long >>>{start}...<<<")
            }
            TokenKind::Unterminated => format!(
                "{shown}:{line}: Unterminated double quoted string\n  \
                 we don't allow embedded newlines\n  >>>{}...<<<",
                start
            ),
            _ => return Ok(()),
        };
        Err(self.fatal_at(token, text, "this text", None))
    }

    /// A parse error.
    pub fn unexpected(&mut self, token: &Token<'_>, expected: &str, tk: Tk) -> Abort {
        let help = super::advice::for_word(token, expected);
        self.unexpected_with(token, expected, tk, help)
    }

    /// A parse error with advice.
    pub fn unexpected_with(
        &mut self,
        token: &Token<'_>,
        expected: &str,
        tk: Tk,
        help: Option<String>,
    ) -> Abort {
        let number = match tk {
            Tk::Shown => format!(" (TK {})", token.number()),
            Tk::Hidden => String::new(),
        };
        let text = format!(
            "{}:{}: Parse error: '{expected}' expected,\n\tbut got '{}'{number}",
            self.shown,
            token.line,
            excerpt(token)
        );
        self.fatal_at(token, text, "not expected here", help)
    }

    fn fatal_at(
        &mut self,
        token: &Token<'_>,
        text: String,
        label: &str,
        help: Option<String>,
    ) -> Abort {
        let label = self.label_at(token, label);
        self.session.diagnostics.push(Diagnostic {
            text,
            severity: Severity::Error,
            about: About::Word,
            label: Some(label),
            help,
        });
        Abort::INVALID
    }

    /// A fatal remark at a line of this file.
    pub fn fatal(&mut self, line: u32, text: &str) -> Abort {
        let text = format!("{}:{line}: {text}", self.shown);
        self.session.fatal(text, 10)
    }

    /// A remark at a line of this file that makes the configuration unusable.
    pub fn invalid(&mut self, line: u32, text: &str) {
        self.session
            .invalid(format!("{}:{line}: {text}", self.shown));
        let token = self.tokens[self.at.saturating_sub(1)];
        let label = self.label_at(&token, "here");
        if let Some(diagnostic) = self.session.diagnostics.last_mut() {
            diagnostic.label = Some(label);
        }
    }

    /// As [`Self::invalid`], for what is missing.
    pub fn lacks(&mut self, line: u32, text: &str) {
        self.invalid(line, text);
        if let Some(diagnostic) = self.session.diagnostics.last_mut() {
            diagnostic.about = About::Absence;
        }
    }

    /// Something for a person at a terminal; the genuine programs are silent about it.
    pub fn advise(&mut self, token: &Token<'_>, text: String, help: String) {
        let label = self.label_at(token, "this value");
        self.session.advice.push(Diagnostic {
            text,
            severity: Severity::Warning,
            about: About::Value,
            label: Some(label),
            help: Some(help),
        });
    }

    fn label_at(&self, token: &Token<'_>, text: &str) -> Label {
        Label {
            source: self.source,
            offset: token.offset,
            length: token.raw.len(),
            text: text.to_owned(),
        }
    }

    /// Registers a name of the whole configuration.
    pub fn unique(&mut self, what: &str, key: String, line: u32) -> Result<(), Abort> {
        self.session
            .unique(Table::Whole, what, key, &self.shown, line)
    }

    /// Registers a statement or section of the resource that is being read.
    pub fn unique_here(&mut self, what: &str, key: &str, line: u32) -> Result<(), Abort> {
        let key = format!("{}:{key}", self.resource);
        self.session
            .unique(Table::Resource, what, key, &self.shown, line)
    }

    /// Whether the next token is this keyword; consumes it if so.
    pub fn eat(&mut self, keyword: Keyword) -> bool {
        let found = self.peek().is(keyword);
        if found {
            self.next();
        }
        found
    }
}
