//! Text to tokens: the pest grammar finds the runs, this file applies the genuine limits.

use pest::{Parser, iterators::Pair};
use pest_derive::Parser;

use super::token::{Token, TokenKind, reserved};

#[derive(Parser)]
#[grammar = "config/lexical.pest"]
struct Lexical;

/// Longest bare word.
const BARE_MAX: usize = 128;
/// Most characters between quotes; an escaped one counts once.
const QUOTED_MAX: usize = 255;

/// Splits a file into tokens; the last one is [`TokenKind::Eof`].
pub fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut lexer = Lexer {
        source,
        tokens: Vec::with_capacity(source.len() / 8 + 1),
        line: 1,
        counted: 0,
    };
    let mut from = 0;
    while let Some(resume) = lexer.scan(from) {
        from = resume;
    }
    lexer.count_lines(source.len());
    lexer.tokens.push(Token {
        kind: TokenKind::Eof,
        raw: "",
        line: lexer.line,
        offset: source.len(),
    });
    lexer.tokens
}

struct Lexer<'s> {
    source: &'s str,
    tokens: Vec<Token<'s>>,
    line: u32,
    /// Newlines before this offset are in `line`.
    counted: usize,
}

impl<'s> Lexer<'s> {
    /// Scans from an offset to the end; `Some` tells where to go on after an overlong token,
    /// which ends in the middle of what the grammar took for one.
    fn scan(&mut self, from: usize) -> Option<usize> {
        // The grammar ends with a rule for any character, so it matches every text.
        let mut pairs = Lexical::parse(Rule::file, &self.source[from..]).ok()?;
        for pair in pairs.next()?.into_inner() {
            let start = from + pair.as_span().start();
            let end = from + pair.as_span().end();
            let (kind, length) = classify(&pair)?;
            self.count_lines(start);
            self.tokens.push(Token {
                kind,
                raw: &self.source[start..start + length],
                line: self.line,
                offset: start,
            });
            if kind == TokenKind::Unterminated {
                // The newline that ended it is part of the token and never counted.
                self.counted = end;
            }
            if start + length < end {
                return Some(start + length);
            }
        }
        None
    }

    fn count_lines(&mut self, to: usize) {
        if let Some(skipped) = self.source.as_bytes().get(self.counted..to) {
            let newlines = skipped.iter().filter(|b| **b == b'\n').count();
            self.line = self
                .line
                .saturating_add(u32::try_from(newlines).unwrap_or(u32::MAX));
            self.counted = to;
        }
    }
}

/// The kind and length in bytes of what the grammar matched; `None` at the end of the input.
fn classify(pair: &Pair<'_, Rule>) -> Option<(TokenKind, usize)> {
    let text = pair.as_str();
    let whole = |kind| Some((kind, text.len()));
    match pair.as_rule() {
        Rule::operator => whole(TokenKind::Op(text.as_bytes()[0])),
        Rule::run if text.len() > BARE_MAX => Some((TokenKind::TooLong, BARE_MAX + 1)),
        Rule::run => whole(run_kind(text)),
        Rule::ipv6 => whole(TokenKind::Ipv6),
        Rule::quoted | Rule::unterminated => match overlong(text) {
            Some(length) => Some((TokenKind::QuotedTooLong, length)),
            None if pair.as_rule() == Rule::quoted => whole(TokenKind::Text),
            None => whole(TokenKind::Unterminated),
        },
        Rule::unknown if text == ":" => whole(TokenKind::Op(b':')),
        Rule::unknown => whole(TokenKind::Unknown),
        _ => None,
    }
}

/// Where quoted text exceeds the limit: behind the quote, the allowed units and one more char.
fn overlong(text: &str) -> Option<usize> {
    let mut chars = text.char_indices().skip(1);
    for _ in 0..QUOTED_MAX {
        match chars.next()?.1 {
            '"' | '\n' => return None,
            '\\' => {
                chars.next()?;
            }
            _ => {}
        }
    }
    match chars.next()? {
        (_, '"' | '\n') => None,
        (at, c) => Some(at + c.len_utf8()),
    }
}

fn run_kind(run: &str) -> TokenKind {
    if is_integer(run) {
        TokenKind::Integer
    } else if is_ipv4(run) {
        TokenKind::Ipv4
    } else {
        reserved(run).unwrap_or(TokenKind::Text)
    }
}

fn is_integer(run: &str) -> bool {
    let digits = run.strip_suffix(['M', 'K', 'G', 's']).unwrap_or(run);
    (1..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
}

fn is_ipv4(run: &str) -> bool {
    let mut groups = 0;
    run.split('.').all(|group| {
        groups += 1;
        (1..=3).contains(&group.len()) && group.bytes().all(|b| b.is_ascii_digit())
    }) && groups == 4
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kinds(source: &str) -> Vec<(TokenKind, &str)> {
        let mut all: Vec<_> = tokens(source).iter().map(|t| (t.kind, t.raw)).collect();
        all.pop();
        all
    }

    /// Spec 10 section 2.1, "Consequences of longest match".
    #[test]
    fn the_longest_match_wins() {
        use TokenKind::{Integer, Ipv4, Ipv6, Op, Option, Text};
        assert_eq!(kinds("10.9.9.1/24"), [(Text, "10.9.9.1/24")]);
        assert_eq!(kinds("10.9.9.1.5"), [(Text, "10.9.9.1.5")]);
        assert_eq!(kinds("on-io-error"), [(Option, "on-io-error")]);
        assert_eq!(kinds("10M"), [(Integer, "10M")]);
        assert_eq!(kinds("10X"), [(Text, "10X")]);
        assert_eq!(kinds("10k"), [(Text, "10k")]);
        assert_eq!(kinds("123456789"), [(Text, "123456789")]);
        assert_eq!(kinds("1:2:3"), [(Ipv6, "1:2:3")]);
        assert_eq!(
            kinds("[fd00::1]:7788"),
            [
                (Op(b'['), "["),
                (Ipv6, "fd00::1"),
                (Op(b']'), "]"),
                (Op(b':'), ":"),
                (Integer, "7788")
            ]
        );
        assert_eq!(kinds("fd00::1:7788"), [(Ipv6, "fd00::1:7788")]);
        assert_eq!(kinds("fe80::1%eth0"), [(Ipv6, "fe80::1%eth0")]);
        assert_eq!(kinds("a.b#c"), [(Text, "a.b")]);
        assert_eq!(
            kinds("10.9.9.1:7788"),
            [(Ipv4, "10.9.9.1"), (Op(b':'), ":"), (Integer, "7788")]
        );
        assert_eq!(kinds("::ffff:10.9.9.1"), [(Ipv6, "::ffff:10.9.9.1")]);
    }

    #[test]
    fn overlong_words_end_where_the_genuine_scanner_ends_them() {
        let long = "x".repeat(130);
        assert_eq!(
            kinds(&long),
            [(TokenKind::TooLong, &long[..129]), (TokenKind::Text, "x")]
        );
        let quoted = format!("\"{}\"", "y".repeat(255));
        assert_eq!(kinds(&quoted), [(TokenKind::Text, quoted.as_str())]);
        let quoted = format!("\"{}\" z", "y".repeat(256));
        assert_eq!(
            kinds(&quoted)[0],
            (TokenKind::QuotedTooLong, &quoted[..257])
        );
    }

    #[test]
    fn the_newline_of_an_unterminated_text_is_not_counted() {
        let all = tokens("device \"/dev/drbd0;\n}\n;");
        let lines: Vec<_> = all.iter().map(|t| t.line).collect();
        assert_eq!(lines, [1, 1, 1, 2, 2]);
        assert_eq!(all[1].kind, TokenKind::Unterminated);
    }

    /// Spec 10 section 12.
    #[test]
    fn tokens_carry_the_genuine_numbers() {
        for (word, number) in [
            ("rate", 8478),
            ("verify-alg", 8481),
            ("cpu-mask", 8518),
            ("use-rle", 8479),
            ("sndbuf-size", 12577),
            ("memlimit", 12594),
            ("on-io-error", 286),
            ("incon-degr-cmd", 282),
            ("wait-after-sb", 292),
            ("fence-peer", 295),
            ("no-tcp-cork", 288),
            ("delay-probe-volume", 321),
        ] {
            assert_eq!(tokens(word)[0].number(), number, "{word}");
        }
    }

    proptest! {
        #[test]
        fn every_text_becomes_tokens_in_order(source in ".{0,200}") {
            let all = tokens(&source);
            for pair in all.windows(2) {
                prop_assert!(pair[0].offset + pair[0].raw.len() <= pair[1].offset);
                prop_assert!(pair[0].line <= pair[1].line);
            }
        }
    }
}
