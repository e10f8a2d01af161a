//! The grammar of dumps (spec 40 section 16.2), those of 8.0 to 8.4 without the later keys
//! included. The head is parsed into [`Head`], the bitmap is handed out piece by piece.

use std::io::{self, BufRead};

use drbd_types::{MdFlags, Uuid, UuidSet};

use super::lexer::{Lexer, Token};
use crate::record::{Format, GenerationCounts};

/// Why a dump was not understood, in the words of the genuine tool.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// The grammar wants something else here.
    #[error("{}Parse error in line {line}: {expected}{}", complaint(.found), rejection(.found))]
    Unexpected {
        /// Where.
        line: u64,
        /// `keyword 'uuid' expected` and the like.
        expected: &'static str,
        /// What stands there.
        found: Token,
    },
    /// The dump is of another format.
    #[error("dump is '{found}' you requested '{wanted}'.")]
    Version {
        /// As in the dump.
        found: String,
        /// As on the command line.
        wanted: Format,
    },
    /// Another granularity.
    #[error("Invalid value for bm-byte-per-bit: value must be {}", granularity_rule(*.found))]
    BytesPerBit {
        /// As in the dump.
        found: u64,
    },
    /// A number does not fit its field.
    #[error("Parse error in line {line}: {key}: {found} is out of range")]
    Range {
        /// Where.
        line: u64,
        /// Which field.
        key: &'static str,
        /// As in the dump.
        found: u64,
    },
    /// The input failed.
    #[error("reading the dump failed: {0}")]
    Input(#[from] io::Error),
}

/// The genuine rule where it is broken, else ours: no driver of these formats has another one.
fn granularity_rule(found: u64) -> String {
    match found.is_power_of_two() && found >= 4096 {
        true => format!("4096, found {found}"),
        false => "a power-of-two multiple of 4096".to_owned(),
    }
}

/// A lexer's complaint comes on a line of its own before the parser's.
fn complaint(found: &Token) -> String {
    match found {
        Token::Malformed(text) => format!("{text}\n"),
        _ => String::new(),
    }
}

fn rejection(found: &Token) -> String {
    match found {
        Token::Keyword(_) | Token::Text(_) | Token::Operator('{' | '}' | ';') => {
            format!(", not '{found}'")
        }
        Token::Operator(c) => {
            format!(
                "; got token value {} (this should never happen!)",
                *c as u32
            )
        }
        Token::Hex64(_) | Token::Hex32(_) | Token::Number(_) => ", not some number".to_owned(),
        Token::Invalid(c) => {
            format!("; got invalid input character '\\x{:02x}' [{c}]", *c as u32)
        }
        Token::Malformed(_) => String::new(),
        Token::End => ", but end of file encountered".to_owned(),
    }
}

/// What identifies the data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ids {
    /// v07.
    Counts(GenerationCounts),
    /// v08.
    Uuids {
        /// The four slots.
        uuids: UuidSet,
        /// State of the data.
        flags: MdFlags,
    },
}

/// Everything before the bitmap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// What identifies the data.
    pub ids: Ids,
    /// Last agreed size in sectors.
    pub la_size_sect: u64,
    /// Identity of the device.
    pub device_uuid: u64,
    /// Last request size of the peer; dumps before 8.3.11 have none.
    pub la_peer_max_bio_size: u32,
    /// Stripes and blocks in a stripe; dumps before 8.4.3 have none.
    pub striping: Option<(u32, u32)>,
    /// Whether the dump says that its bitmap lacks what the log would add.
    pub mark: Mark,
}

/// The line that `--force dump-md` prints before unclean meta-data. It is no word of the grammar,
/// so that nobody restores such a dump of v08 by mistake. That of v07 is always marked, and has to
/// be accepted all the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mark {
    /// Not there.
    Clean,
    /// There.
    Unclean,
}

/// The marking line of `dump-md`, without its end.
pub const UNCLEAN_MARK: &str = "This_is_an_unclean_meta_data_dump._Don't_trust_the_bitmap.";

/// A piece of the bitmap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Words {
    /// How many.
    pub count: u64,
    /// All of them equal.
    pub word: u64,
}

/// Why the fast way through a bitmap ended early.
enum Stop<E> {
    Sink(E),
    Input(io::Error),
}

impl<E> From<io::Error> for Stop<E> {
    fn from(error: io::Error) -> Self {
        Self::Input(error)
    }
}

impl<E: From<DumpError>> Stop<E> {
    fn into_error(self) -> E {
        match self {
            Self::Sink(error) => error,
            Self::Input(error) => DumpError::Input(error).into(),
        }
    }
}

/// Reads a dump in the order of its text: version, head, bitmap, end.
pub struct Parser<R> {
    lexer: Lexer<R>,
    ahead: Option<Token>,
}

impl<R: BufRead> Parser<R> {
    /// At the first character.
    pub const fn new(input: R) -> Self {
        Self {
            lexer: Lexer::new(input),
            ahead: None,
        }
    }

    /// `version "v08";`
    pub fn version(&mut self, wanted: Format) -> Result<(), DumpError> {
        self.keyword("version", "keyword 'version' expected")?;
        let found = match self.next()? {
            Token::Text(text) => text,
            other => {
                return Err(self.unexpected(
                    other,
                    "short quoted string (\"..up to 20 characters, no newline..\") expected",
                ));
            }
        };
        if found != wanted.name() {
            return Err(DumpError::Version { found, wanted });
        }
        self.semicolon()
    }

    /// All that a dump of v06 has.
    pub fn v06(&mut self) -> Result<GenerationCounts, DumpError> {
        self.unclean_mark()?;
        let counts = self.counts()?;
        self.end()?;
        Ok(counts)
    }

    /// Everything up to the bitmap.
    pub fn head(&mut self, format: Format) -> Result<Head, DumpError> {
        let mark = if format <= Format::V07 {
            self.unclean_mark()?
        } else {
            Mark::Clean
        };
        let ids = if format <= Format::V07 {
            Ids::Counts(self.counts()?)
        } else {
            self.uuids()?
        };
        self.keyword("la-size-sect", "keyword 'la-size-sect' expected")?;
        let mut head = Head {
            ids,
            la_size_sect: self.number_line()?,
            device_uuid: 0,
            la_peer_max_bio_size: 0,
            striping: None,
            mark,
        };
        if format >= Format::V08 {
            self.tail(&mut head)?;
        }
        Ok(head)
    }

    /// The bitmap; `sink` gets it piece by piece.
    pub fn bitmap<E: From<DumpError>>(
        &mut self,
        mut sink: impl FnMut(Words) -> Result<(), E>,
    ) -> Result<(), E> {
        self.keyword("bm", "keyword 'bm' expected")?;
        self.brace('{', "opening brace ({) expected")?;
        loop {
            if self.ahead.is_none() {
                self.lexer
                    .plain_runs(|count, word| sink(Words { count, word }).map_err(Stop::Sink))
                    .map_err(Stop::into_error)?;
            }
            let words = match self.next().map_err(E::from)? {
                Token::Operator('}') => return Ok(()),
                Token::Hex64(word) => Words { count: 1, word },
                Token::Number(count) => {
                    self.keyword("times", "keyword 'times' expected")?;
                    let word = self.hex64()?;
                    Words { count, word }
                }
                other => {
                    return Err(E::from(self.unexpected(
                        other,
                        "repeat count, 16-digit hex number, or closing brace (}) expected",
                    )));
                }
            };
            self.semicolon()?;
            sink(words)?;
        }
    }

    /// Nothing may follow.
    pub fn end(&mut self) -> Result<(), DumpError> {
        match self.next()? {
            Token::End => Ok(()),
            other => Err(self.unexpected(other, "end of file expected")),
        }
    }

    fn counts(&mut self) -> Result<GenerationCounts, DumpError> {
        self.keyword("gc", "keyword 'gc' expected")?;
        self.brace('{', "opening brace ({) expected")?;
        let mut numbers = [0u32; 5];
        for number in &mut numbers {
            // Printed signed, and cut to the width of the field.
            *number = self.number_line()? as u32;
        }
        self.brace('}', "closing brace (}) expected")?;
        let [flags, counts @ ..] = numbers;
        Ok(GenerationCounts {
            flags: MdFlags::from_bits_retain(flags),
            counts,
        })
    }

    fn uuids(&mut self) -> Result<Ids, DumpError> {
        self.keyword("uuid", "keyword 'uuid' expected")?;
        self.brace('{', "opening brace ({) expected")?;
        let mut slots = [Uuid::EMPTY; 4];
        for slot in &mut slots {
            slot.0 = self.hex64()?;
            self.semicolon()?;
        }
        self.keyword("flags", "keyword 'flags' expected")?;
        let flags = match self.next()? {
            Token::Hex32(flags) => flags,
            other => return Err(self.unexpected(other, "an 8-digit hex number expected")),
        };
        self.semicolon()?;
        self.brace('}', "closing brace (}) expected")?;
        let [current, bitmap, younger, older] = slots;
        Ok(Ids::Uuids {
            uuids: UuidSet {
                current,
                bitmap,
                history: [younger, older],
            },
            flags: MdFlags::from_bits_retain(flags),
        })
    }

    /// The keys that grew over the years: all, or as many as the era of the dump had.
    fn tail(&mut self, head: &mut Head) -> Result<(), DumpError> {
        self.keyword("bm-byte-per-bit", "keyword 'bm-byte-per-bit' expected")?;
        let bytes_per_bit = self.number_line()?;
        if bytes_per_bit != 4096 {
            return Err(DumpError::BytesPerBit {
                found: bytes_per_bit,
            });
        }
        self.keyword("device-uuid", "keyword 'device-uuid' expected")?;
        head.device_uuid = self.hex64()?;
        self.semicolon()?;
        if self.is_bitmap_next()? {
            return Ok(());
        }
        // The genuine tool has no words for the three keys that follow.
        const NAMELESS: &str = " invalid/unexpected token!:";
        self.keyword("la-peer-max-bio-size", NAMELESS)?;
        // Printed signed, and cut to the width of the field.
        head.la_peer_max_bio_size = self.number_line()? as u32;
        if self.is_bitmap_next()? {
            return Ok(());
        }
        self.keyword("al-stripes", NAMELESS)?;
        let stripes = self.small_number_line("al-stripes")?;
        self.keyword("al-stripe-size-4k", NAMELESS)?;
        let blocks = self.small_number_line("al-stripe-size-4k")?;
        head.striping = Some((stripes, blocks));
        Ok(())
    }

    /// The mark is read as the words and stray characters that it is to the lexer.
    fn unclean_mark(&mut self) -> Result<Mark, DumpError> {
        let first = self.next()?;
        let is_part = |token: &Token, part: &str| match token {
            Token::Malformed(text) => text.ends_with(&format!(": {part} ...")),
            Token::Invalid(c) => part.chars().eq([*c]),
            _ => false,
        };
        let mut parts = UNCLEAN_MARK
            .split_inclusive(['.', '\''])
            .flat_map(|piece| piece.split_at_checked(piece.len() - 1))
            .flat_map(<[&str; 2]>::from);
        if !parts.next().is_some_and(|part| is_part(&first, part)) {
            self.ahead = Some(first);
            return Ok(Mark::Clean);
        }
        for part in parts {
            let token = self.next()?;
            if !is_part(&token, part) {
                return Err(self.unexpected(token, "keyword 'gc' expected"));
            }
        }
        Ok(Mark::Unclean)
    }

    fn is_bitmap_next(&mut self) -> Result<bool, DumpError> {
        let token = self.next()?;
        let is_bitmap = token == Token::Keyword("bm");
        self.ahead = Some(token);
        Ok(is_bitmap)
    }

    fn next(&mut self) -> Result<Token, DumpError> {
        match self.ahead.take() {
            Some(token) => Ok(token),
            None => Ok(self.lexer.token()?),
        }
    }

    fn unexpected(&self, found: Token, expected: &'static str) -> DumpError {
        DumpError::Unexpected {
            line: self.lexer.line(),
            expected,
            found,
        }
    }

    fn keyword(&mut self, word: &str, expected: &'static str) -> Result<(), DumpError> {
        match self.next()? {
            Token::Keyword(found) if found == word => Ok(()),
            other => Err(self.unexpected(other, expected)),
        }
    }

    fn brace(&mut self, brace: char, expected: &'static str) -> Result<(), DumpError> {
        match self.next()? {
            Token::Operator(found) if found == brace => Ok(()),
            other => Err(self.unexpected(other, expected)),
        }
    }

    fn semicolon(&mut self) -> Result<(), DumpError> {
        self.brace(';', "semicolon (;) expected")
    }

    fn hex64(&mut self) -> Result<u64, DumpError> {
        match self.next()? {
            Token::Hex64(value) => Ok(value),
            other => Err(self.unexpected(other, "a 16-digit hex number expected")),
        }
    }

    fn number_line(&mut self) -> Result<u64, DumpError> {
        let value = match self.next()? {
            Token::Number(value) => value,
            other => {
                return Err(self.unexpected(other, "number ([0-9], up to 20 digits) expected"));
            }
        };
        self.semicolon()?;
        Ok(value)
    }

    fn small_number_line(&mut self, key: &'static str) -> Result<u32, DumpError> {
        let found = self.number_line()?;
        u32::try_from(found).map_err(|_| DumpError::Range {
            line: self.lexer.line(),
            key,
            found,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The dump of spec 40 section 15.2, shortened.
    const DUMP: &str = "# comment\nversion \"v08\";\nuuid {\n 0x987375B2AFC96EB1; \
        0x3879BFDA9EAE551F; 0x0000000000000000; 0x0000000000000000;\n flags 0x00000093;\n}\n\
        la-size-sect 1048472;\nbm-byte-per-bit 4096;\ndevice-uuid 0x0000000000000000;\n\
        la-peer-max-bio-size 1048576;\nal-stripes 1;\nal-stripe-size-4k 8;\n\
        bm {\n # at 0kB\n 32 times 0x0000000000000000;\n 0x0000000000000001;\n}\n";

    fn parse(text: &str) -> Result<(Head, Vec<Words>), DumpError> {
        let mut parser = Parser::new(text.as_bytes());
        parser.version(Format::V08)?;
        let head = parser.head(Format::V08)?;
        let mut words = Vec::new();
        parser.bitmap(|w| {
            words.push(w);
            Ok::<_, DumpError>(())
        })?;
        parser.end()?;
        Ok((head, words))
    }

    #[test]
    fn a_dump_reads_back() {
        let (head, words) = parse(DUMP).unwrap();
        assert_eq!(head.la_size_sect, 1_048_472);
        assert_eq!(head.striping, Some((1, 8)));
        let Ids::Uuids { uuids, flags } = head.ids else {
            panic!("a v08 dump has UUIDs")
        };
        assert_eq!(uuids.bitmap, Uuid(0x3879_BFDA_9EAE_551F));
        assert_eq!(flags.bits(), 0x93);
        assert_eq!(
            words,
            [Words { count: 32, word: 0 }, Words { count: 1, word: 1 }]
        );
    }

    #[test]
    fn dumps_of_8_0_to_8_4_4_are_accepted_without_the_later_keys() {
        let older = DUMP.replace("al-stripes 1;\nal-stripe-size-4k 8;\n", "");
        assert_eq!(parse(&older).unwrap().0.striping, None);
        let oldest = older.replace("la-peer-max-bio-size 1048576;\n", "");
        assert_eq!(parse(&oldest).unwrap().0.la_peer_max_bio_size, 0);
    }

    #[test]
    fn errors_read_as_in_the_genuine_tool() {
        for (from, to, message) in [
            (
                "version",
                "uuid",
                "Parse error in line 2: keyword 'version' expected, not 'uuid'",
            ),
            ("\"v08\"", "\"v07\"", "dump is 'v07' you requested 'v08'."),
            (
                "flags 0x",
                "flags ",
                "Parse error in line 5: an 8-digit hex number expected, not some number",
            ),
            (
                "4096;",
                "4096]",
                "Parse error in line 8: semicolon (;) expected; got token value 93 (this should never happen!)",
            ),
            (
                "al-stripes",
                "hash",
                "Parse error in line 11:  invalid/unexpected token!:, not 'hash'",
            ),
            (
                "32 times",
                "32 * ",
                "Parse error in line 15: keyword 'times' expected; got invalid input character '\\x2a' [*]",
            ),
            (
                "}\n",
                "",
                "Parse error in line 6: closing brace (}) expected, not 'la-size-sect'",
            ),
            (
                "flags",
                "flag",
                "line 5: unknown token: flag ...\nParse error in line 5: keyword 'flags' expected",
            ),
        ] {
            let error = parse(&DUMP.replacen(from, to, 1)).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
        assert_eq!(
            parse("").unwrap_err().to_string(),
            "Parse error in line 1: keyword 'version' expected, but end of file encountered"
        );
    }

    proptest! {
        #[test]
        fn a_cut_or_spoilt_dump_is_refused_without_panic(
            cut in 0usize..600, at in 0usize..600, byte: u8,
        ) {
            let mut text = DUMP.as_bytes().to_vec();
            let place = at % text.len();
            text[place] = byte;
            text.truncate(cut);
            let _ = parse(&String::from_utf8_lossy(&text));
        }
    }
}
