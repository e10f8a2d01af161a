//! The file itself: `global`, `common`, `resource`, `skip`, `include`.

use crate::model::{Common, Place, UsageCount};

use crate::config::{
    cursor::{Parser, Tk},
    diagnostic::Abort,
    files,
    token::{Keyword as K, TokenKind},
};

const TOP: &str = "global | common | resource | skip | include";
const GLOBAL: &str = "dialog-refresh | minor-count | disable-ip-verification";

impl Parser<'_> {
    /// A whole file.
    pub(in crate::config) fn file(&mut self) -> Result<(), Abort> {
        loop {
            let token = self.next();
            let line = token.line;
            match token.kind {
                TokenKind::Eof => return Ok(()),
                TokenKind::Keyword(K::Global) => self.global(line)?,
                TokenKind::Keyword(K::Common) => self.common(line)?,
                TokenKind::Keyword(K::Resource) => self.resource(line)?,
                TokenKind::Keyword(K::Skip) => self.skip(line)?,
                TokenKind::Keyword(K::Include) => {
                    let pattern = self.expect_text()?;
                    self.expect_op(b';')?;
                    self.include(line, &pattern)?;
                }
                _ => return Err(self.unexpected(&token, TOP, Tk::Hidden)),
            }
        }
    }

    fn include(&mut self, line: u32, pattern: &str) -> Result<(), Abort> {
        if let Some(missing) = files::include(self.session, &self.file, pattern)? {
            self.invalid(line, &format!("Failed to open include file '{missing}'."));
        }
        Ok(())
    }

    fn global(&mut self, line: u32) -> Result<(), Abort> {
        self.unique("global section", "global".to_owned(), line)?;
        if !self.session.config.resources.is_empty() {
            let text = format!(
                "{}:{line}: You should put the global {{}} section\n\tin front of any resource {{}} section",
                self.shown
            );
            self.session.warn(text);
        }
        self.expect_op(b'{')?;
        loop {
            let token = self.next();
            let line = token.line;
            match token.kind {
                TokenKind::Op(b'}') => return Ok(()),
                TokenKind::Keyword(K::DisableIpVerification) => {
                    self.session.config.global.disable_ip_verification = true;
                }
                TokenKind::Keyword(K::UdevAlwaysUseVnr) => {
                    self.session.config.global.udev_always_use_vnr = true;
                }
                TokenKind::Keyword(K::UsageCount) => self.usage_count()?,
                TokenKind::Keyword(
                    K::MinorCount
                    | K::DialogRefresh
                    | K::CmdTimeoutShort
                    | K::CmdTimeoutMedium
                    | K::CmdTimeoutLong,
                ) => {
                    let value = self.global_number(token.raw, line)?;
                    let global = &mut self.session.config.global;
                    *match token.kind {
                        TokenKind::Keyword(K::MinorCount) => &mut global.minor_count,
                        TokenKind::Keyword(K::DialogRefresh) => &mut global.dialog_refresh,
                        TokenKind::Keyword(K::CmdTimeoutShort) => &mut global.timeout_short,
                        TokenKind::Keyword(K::CmdTimeoutMedium) => &mut global.timeout_medium,
                        _ => &mut global.timeout_long,
                    } = Some(value);
                }
                TokenKind::Text if self.is_tolerant() && self.legacy_global(&token)? => {}
                _ => return Err(self.unexpected(&token, GLOBAL, Tk::Hidden)),
            }
            self.expect_op(b';')?;
        }
    }

    fn usage_count(&mut self) -> Result<(), Abort> {
        let token = self.next();
        self.session.config.global.usage_count = match token.kind {
            TokenKind::Keyword(K::Yes) => UsageCount::Yes,
            TokenKind::Keyword(K::No) => UsageCount::No,
            TokenKind::Keyword(K::Ask) => UsageCount::Ask,
            _ => return Err(self.unexpected(&token, "yes | no | ask", Tk::Hidden)),
        };
        Ok(())
    }

    /// The number behind a global option; it counts with its leading digits only.
    pub(super) fn global_number(&mut self, name: &str, line: u32) -> Result<u32, Abort> {
        let text = self.expect_integer()?;
        self.check_range(drbd_options::Section::Global, name, text, line)?;
        Ok(leading_digits(text))
    }

    fn common(&mut self, line: u32) -> Result<(), Abort> {
        self.unique("resource section", "common".to_owned(), line)?;
        self.expect_op(b'{')?;
        let common = self.resource_body("common".to_owned(), self.place(line), Body::Common)?;
        self.session.config.common = Some(Common {
            sections: common.sections,
        });
        Ok(())
    }

    fn resource(&mut self, line: u32) -> Result<(), Abort> {
        let name = self.expect_text()?;
        if let Err(text) = check_name(&name) {
            return Err(self.session.fatal(text.to_owned(), 1));
        }
        self.unique("resource section", name.clone(), line)?;
        self.expect_op(b'{')?;
        let place = self.place(self.line);
        let resource = self.resource_body(name, place, Body::Resource)?;
        self.session.config.resources.push(resource);
        Ok(())
    }

    fn place(&self, line: u32) -> Place {
        Place {
            shown: self.shown.clone(),
            file: self.file.clone(),
            line,
        }
    }

    fn skip(&mut self, line: u32) -> Result<(), Abort> {
        let mut token = self.next();
        if self.is_tolerant() {
            // 0.7 took any text up to the brace.
            while !token.is_op(b'{') && token.kind != TokenKind::Eof {
                self.session.evidence.lenient = true;
                token = self.next();
            }
        }
        match token.kind {
            TokenKind::Op(b'{') => {}
            TokenKind::Text => {
                self.expect_op(b'{')?;
            }
            _ => return Err(self.unexpected(&token, "[ some_text ] {", Tk::Hidden)),
        }
        let mut open = 1_u32;
        while open > 0 {
            match self.next().kind {
                TokenKind::Op(b'{') => open += 1,
                TokenKind::Op(b'}') => open -= 1,
                TokenKind::Eof => {
                    return Err(self.fatal(line, "reached eof while parsing this skip block."));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// `skip` inside a resource, which only 0.7 allowed.
    pub(super) fn legacy_skip(&mut self, line: u32) -> Result<(), Abort> {
        self.session.evidence.lenient = true;
        self.skip(line)
    }
}

/// What a body belongs to: `common` may hold everything but hosts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Body {
    Common,
    Resource,
}

/// The value of the digits that a number begins with.
pub(super) fn leading_digits(text: &str) -> u32 {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    digits.parse().unwrap_or(u32::MAX)
}

/// Whether a resource may have this name; the same rule holds on the command line.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        Err("Resource name is empty.")
    } else if name.bytes().any(|b| b < 0x20 || b == 0x7f) {
        Err("Resource name is invalid - please don't use control characters.")
    } else {
        Ok(())
    }
}
