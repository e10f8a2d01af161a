//! Words of a dump (spec 40 section 16.1). Streams: no more than one word is in memory.

use std::fmt;
use std::io::{self, BufRead};

/// Longer words are cut: they are no tokens anyway.
const LONGEST_WORD: usize = 1024;
/// Characters between the quotes of a string.
const LONGEST_STRING: usize = 20;

/// Every keyword of every format.
const KEYWORDS: &[&str] = &[
    "gc",
    "bm",
    "uuid",
    "version",
    "la-size-sect",
    "bm-byte-per-bit",
    "device-uuid",
    "times",
    "flags",
    "la-peer-max-bio-size",
    "al-stripes",
    "al-stripe-size-4k",
    "node-id",
    "current-uuid",
    "bitmap",
    "bitmap-uuid",
    "bitmap-dagtag",
    "history-uuids",
    "peer",
    "hash",
    "max-peers",
    "bitmap-index",
];

/// One word.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Token {
    /// One of the keywords.
    Keyword(&'static str),
    /// A string, without its quotes.
    Text(String),
    /// `0x` and 16 digits.
    Hex64(u64),
    /// `0x` and 8 digits.
    Hex32(u32),
    /// A decimal number; negative ones wrap.
    Number(u64),
    /// `{`, `}`, `;`, `[` or `]`.
    Operator(char),
    /// A character that nothing starts with.
    Invalid(char),
    /// A malformed word, with the complaint about it.
    Malformed(String),
    /// The end.
    End,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keyword(word) => f.write_str(word),
            Self::Text(text) => f.write_str(text),
            Self::Hex64(n) => write!(f, "0x{n:016X}"),
            Self::Hex32(n) => write!(f, "0x{n:08X}"),
            Self::Number(n) => write!(f, "{n}"),
            Self::Operator(c) | Self::Invalid(c) => write!(f, "{c}"),
            Self::Malformed(text) => f.write_str(text),
            Self::End => Ok(()),
        }
    }
}

/// Splits the input.
pub struct Lexer<R> {
    input: R,
    line: u64,
}

impl<R: BufRead> Lexer<R> {
    /// Starts at line 1.
    pub const fn new(input: R) -> Self {
        Self { input, line: 1 }
    }

    /// The line of the last token.
    pub const fn line(&self) -> u64 {
        self.line
    }

    /// The next word.
    pub fn token(&mut self) -> io::Result<Token> {
        loop {
            let Some(byte) = self.peek()? else {
                return Ok(Token::End);
            };
            match byte {
                b'\n' => {
                    self.line += 1;
                    self.input.consume(1);
                }
                b' ' | b'\t' | b'\r' => self.input.consume(1),
                b'#' => self.skip_comment()?,
                b'{' | b'}' | b';' | b'[' | b']' => {
                    self.input.consume(1);
                    return Ok(Token::Operator(byte as char));
                }
                b'"' => return self.string(),
                _ if is_word(byte) => return self.word(),
                other => {
                    self.input.consume(1);
                    return Ok(Token::Invalid(other as char));
                }
            }
        }
    }

    /// The fast way through a bitmap: hands out words `0x0123456789ABCDEF;` and runs of them,
    /// `8 times 0x0123456789ABCDEF;`, as long as whole ones are in the buffer, and stops before
    /// anything else. [`Lexer::token`] goes on from there.
    pub fn plain_runs<E: From<io::Error>>(
        &mut self,
        mut sink: impl FnMut(u64, u64) -> Result<(), E>,
    ) -> Result<(), E> {
        let buffer = self.input.fill_buf()?;
        let mut rest = buffer;
        let result = loop {
            let mut ahead = rest;
            while let [b' ' | b'\n', behind @ ..] = ahead {
                ahead = behind;
            }
            let Some((count, word, behind)) = plain_run(ahead) else {
                break Ok(());
            };
            let blank = &rest[..rest.len() - ahead.len()];
            self.line += blank.iter().filter(|b| **b == b'\n').count() as u64;
            rest = behind;
            if let Err(error) = sink(count, word) {
                break Err(error);
            }
        };
        let done = buffer.len() - rest.len();
        self.input.consume(done);
        result
    }

    fn peek(&mut self) -> io::Result<Option<u8>> {
        Ok(self.input.fill_buf()?.first().copied())
    }

    fn skip_comment(&mut self) -> io::Result<()> {
        loop {
            let buffer = self.input.fill_buf()?;
            if buffer.is_empty() {
                return Ok(());
            }
            match buffer.iter().position(|&b| b == b'\n') {
                Some(end) => {
                    self.input.consume(end);
                    return Ok(());
                }
                None => {
                    let all = buffer.len();
                    self.input.consume(all);
                }
            }
        }
    }

    fn string(&mut self) -> io::Result<Token> {
        self.input.consume(1);
        let mut text = String::new();
        while let Some(byte) = self.peek()? {
            match byte {
                b'"' if text.is_empty() => {
                    self.input.consume(1);
                    return Ok(self.malformed("invalid string", "\"\""));
                }
                b'"' => {
                    self.input.consume(1);
                    return Ok(Token::Text(text));
                }
                b'\r' | b'\n' => break,
                _ if text.chars().count() == LONGEST_STRING => break,
                other => {
                    self.input.consume(1);
                    text.push(other as char);
                }
            }
        }
        Ok(self.malformed("invalid string", &format!("\"{text}")))
    }

    fn word(&mut self) -> io::Result<Token> {
        let mut word = String::new();
        while let Some(byte) = self.peek()?.filter(|&b| is_word(b)) {
            self.input.consume(1);
            if word.len() < LONGEST_WORD {
                word.push(byte as char);
            }
        }
        Ok(self.classify(&word))
    }

    fn classify(&self, word: &str) -> Token {
        if let Some(keyword) = KEYWORDS.iter().find(|k| **k == word) {
            return Token::Keyword(keyword);
        }
        if let Some(hex) = word.strip_prefix("0x")
            && hex.bytes().all(|b| b.is_ascii_hexdigit())
        {
            let parsed = match hex.len() {
                16 => u64::from_str_radix(hex, 16).ok().map(Token::Hex64),
                8 => u32::from_str_radix(hex, 16).ok().map(Token::Hex32),
                _ => None,
            };
            let complaint = "invalid hex number (only 8 or 16 hex digits accepted)";
            return match parsed {
                Some(token) => token,
                None if hex.len() <= 17 => self.malformed(complaint, word),
                None => self.malformed("unknown token", word),
            };
        }
        let digits = word.strip_prefix('-').unwrap_or(word);
        if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
            match digits.len() {
                // Nineteen digits stay below 2^64.
                ..=19 => {
                    let magnitude: u64 = digits.parse().unwrap_or(0);
                    return Token::Number(match word.starts_with('-') {
                        true => magnitude.wrapping_neg(),
                        false => magnitude,
                    });
                }
                20 => return self.malformed("number too big", word),
                _ => {}
            }
        }
        self.malformed("unknown token", word)
    }

    fn malformed(&self, complaint: &str, text: &str) -> Token {
        Token::Malformed(format!("line {}: {complaint}: {text} ...", self.line))
    }
}

/// Count, word, and what follows them.
fn plain_run(text: &[u8]) -> Option<(u64, u64, &[u8])> {
    if let Some((word, rest)) = plain_word(text) {
        return Some((1, word, rest));
    }
    let mut count = 0;
    let mut rest = text;
    // Fewer digits than could overflow.
    while let ([digit @ b'0'..=b'9', behind @ ..], 0..=0xff_ffff_ffff) = (rest, count) {
        count = count * 10 + u64::from(digit - b'0');
        rest = behind;
    }
    let (word, rest) = plain_word(rest.strip_prefix(b" times ")?)?;
    Some((count, word, rest))
}

/// `0x`, 16 digits and a semicolon.
fn plain_word(text: &[u8]) -> Option<(u64, &[u8])> {
    let (word, rest) = text.split_first_chunk::<19>()?;
    let [b'0', b'x', digits @ .., b';'] = word else {
        return None;
    };
    let (high, low) = digits.split_first_chunk::<8>()?;
    let (high, low) = (hex_digits(*high)?, hex_digits(*low.as_array()?)?);
    Some((u64::from(high) << 32 | u64::from(low), rest))
}

/// Eight hexadecimal digits. All of them at once, as the bytes of a number: a bitmap of scattered
/// words is hundreds of megabytes of them.
fn hex_digits(digits: [u8; 8]) -> Option<u32> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x80 * ONES;
    let text = u64::from_be_bytes(digits);
    // Of ASCII characters no sum below carries into the next byte; it has the top bit where the
    // character is not below the limit.
    let reaches = |text: u64, limit: u8| text + u64::from(0x80 - limit) * ONES;
    if text & TOPS != 0 {
        return None;
    }
    let digit = reaches(text, b'0') & !reaches(text, b'9' + 1);
    let lower = text | (0x20 * ONES);
    let letter = reaches(lower, b'a') & !reaches(lower, b'f' + 1);
    if (digit | letter) & TOPS != TOPS {
        return None;
    }
    // A letter is nine more than its low four bits.
    let mut joined = (text & (0x0f * ONES)) + 9 * (text >> 6 & ONES);
    for (shift, mask) in [
        (4, 0x00ff_00ff_00ff_00ff),
        (8, 0x0000_ffff_0000_ffff),
        (16, 0x0000_0000_ffff_ffff),
    ] {
        joined = (joined | joined >> shift) & mask;
    }
    Some(joined as u32)
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tokens(text: &str) -> Vec<Token> {
        let mut lexer = Lexer::new(text.as_bytes());
        let mut tokens = Vec::new();
        loop {
            match lexer.token().unwrap() {
                Token::End => return tokens,
                token => tokens.push(token),
            }
        }
    }

    #[test]
    fn words_are_told_apart_as_the_spec_says() {
        assert_eq!(
            tokens("bm { 3 times 0x00000000000000FF; } # no\n-1 0x00000004 \"v08\"*"),
            [
                Token::Keyword("bm"),
                Token::Operator('{'),
                Token::Number(3),
                Token::Keyword("times"),
                Token::Hex64(255),
                Token::Operator(';'),
                Token::Operator('}'),
                Token::Number(u64::MAX),
                Token::Hex32(4),
                Token::Text("v08".to_owned()),
                Token::Invalid('*'),
            ]
        );
    }

    #[test]
    fn malformed_words_get_the_complaints_of_the_genuine_tool() {
        for (text, complaint) in [
            (
                "\n0x4",
                "line 2: invalid hex number (only 8 or 16 hex digits accepted): 0x4 ...",
            ),
            (
                "12345678901234567890",
                "line 1: number too big: 12345678901234567890 ...",
            ),
            ("foo", "line 1: unknown token: foo ..."),
            ("0X12345678", "line 1: unknown token: 0X12345678 ..."),
            ("-", "line 1: unknown token: - ..."),
            ("\"\"", "line 1: invalid string: \"\" ..."),
            ("\"abc", "line 1: invalid string: \"abc ..."),
        ] {
            assert_eq!(
                tokens(text),
                [Token::Malformed(complaint.to_owned())],
                "{text:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn the_fast_way_sees_what_the_tokens_say(
            pieces in prop::collection::vec(
                prop::sample::select(vec![
                    " ", "\n", "0x00000000000000FF;", "0x0123456789abCDEF;", "3 times ",
                    "12345678901234567 times ", "40 times 0xFFFFFFFFFFFFFFFF;", "7",
                    "0x00000000000000F;", "0x00000000000000FF ;", "0X00000000000000FF;", "}", "#",
                    "0x00000000000000FG;", "0x`/:@[~00000000000;", "0x0/:@G`gaz000000000;",
                    "0x/000000000000000;", "0x000000000000000:;", "0x00000000@0000000;",
                    "0x00000\u{e9}000000000;", "0xFEDCBA9876543210;",
                ]),
                0..30,
            ),
            buffer in 1usize..80,
        ) {
            let text = pieces.concat();
            let slow = tokens(&text);
            let mut fast = Vec::new();
            let mut lexer = Lexer::new(std::io::BufReader::with_capacity(buffer, text.as_bytes()));
            loop {
                lexer.plain_runs(|count, word| {
                    if count != 1 {
                        fast.extend([Token::Number(count), Token::Keyword("times")]);
                    }
                    fast.extend([Token::Hex64(word), Token::Operator(';')]);
                    Ok::<_, io::Error>(())
                }).unwrap();
                match lexer.token().unwrap() {
                    Token::End => break,
                    token => fast.push(token),
                }
            }
            prop_assert_eq!(fast, slow);
            let lines = text.lines().count().max(1) as u64;
            prop_assert!(lexer.line() == lines || lexer.line() == lines + 1);
        }

        #[test]
        fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
            let mut lexer = Lexer::new(bytes.as_slice());
            while lexer.token().unwrap() != Token::End {}
        }
    }
}
