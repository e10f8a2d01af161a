//! Text to tokens: the pest grammar finds the runs, this file applies the genuine limits.

use pest::{Parser as _, iterators::Pair};
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
///
/// Blanks, comments, operators and plain words are cut here, byte by byte; the grammar is asked
/// for everything else. A test holds both to the same answers.
pub fn tokens(source: &str) -> Vec<Token<'_>> {
    let bytes = source.as_bytes();
    let mut tokens = Vec::with_capacity(source.len() / 6 + 1);
    let (mut at, mut line) = (0, 1);
    while let Some(byte) = bytes.get(at) {
        let (kind, length) = match byte {
            b'\n' => {
                line += 1;
                at += 1;
                continue;
            }
            b' ' | b'\t' | b'\r' => {
                at += 1;
                continue;
            }
            b'#' => {
                let rest = &bytes[at..];
                at += rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
                continue;
            }
            b'{' | b'}' | b';' | b'[' | b']' => (TokenKind::Op(*byte), 1),
            b'"' | b':' => by_grammar(&source[at..]),
            byte if is_bare(byte) => {
                let text = window(&source[at..]);
                word(text).unwrap_or_else(|| by_grammar(text))
            }
            _ => (TokenKind::Unknown, first_char(&source[at..])),
        };
        tokens.push(Token {
            kind,
            raw: &source[at..at + length],
            line,
            offset: at,
        });
        at += length;
    }
    tokens.push(Token {
        kind: TokenKind::Eof,
        raw: "",
        line,
        offset: source.len(),
    });
    tokens
}

/// As much of a text as any token can need: the time for a file grows with its length, whatever
/// is in it.
fn window(text: &str) -> &str {
    // Two characters of four bytes for each unit of a quoted text, and the quotes.
    const LONGEST: usize = 8 * QUOTED_MAX + 16;
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn is_bare(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'_' | b'-')
}

fn first_char(text: &str) -> usize {
    text.chars().next().map_or(0, char::len_utf8)
}

/// A bare word at the beginning of the text, unless a `:` makes it part of an address.
fn word(text: &str) -> Option<(TokenKind, usize)> {
    let bytes = text.as_bytes();
    let length = bytes.iter().position(|b| !is_bare(b));
    let length = length.unwrap_or(bytes.len());
    let plain = length > 0 && bytes.get(length) != Some(&b':');
    plain.then(|| run(&text[..length]))
}

fn by_grammar(text: &str) -> (TokenKind, usize) {
    let text = window(text);
    // The rule ends with any character, so it matches every text that is not empty.
    let pairs = Lexical::parse(Rule::token, text).ok();
    let pair = pairs.and_then(|mut pairs| pairs.next());
    pair.and_then(|pair| classify(&pair))
        .unwrap_or((TokenKind::Unknown, first_char(text)))
}

/// The kind and length in bytes of what the grammar matched; `None` at the end of the input.
fn classify(pair: &Pair<'_, Rule>) -> Option<(TokenKind, usize)> {
    let text = pair.as_str();
    let whole = |kind| Some((kind, text.len()));
    match pair.as_rule() {
        Rule::operator => whole(TokenKind::Op(text.as_bytes()[0])),
        Rule::run => Some(run(text)),
        Rule::ipv6 => whole(TokenKind::Ipv6),
        Rule::quoted | Rule::unterminated => match overlong(text) {
            Some(length) => Some((TokenKind::QuotedTooLong, length)),
            None if pair.as_rule() == Rule::quoted => whole(TokenKind::Text),
            None => whole(TokenKind::Unterminated),
        },
        // The text ends before the quotes do.
        Rule::endless => Some(match overlong(text) {
            Some(length) => (TokenKind::QuotedTooLong, length),
            None => (TokenKind::Unknown, 1),
        }),
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
            '\\' if chars.next()?.1 == '\n' => return None,
            _ => {}
        }
    }
    match chars.next()? {
        (_, '"' | '\n') => None,
        (at, c) => Some(at + c.len_utf8()),
    }
}

fn run(text: &str) -> (TokenKind, usize) {
    if text.len() > BARE_MAX {
        (TokenKind::TooLong, BARE_MAX + 1)
    } else {
        (run_kind(text), text.len())
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

    /// All tokens as the grammar alone finds them.
    fn grammar_alone(source: &str) -> Vec<(TokenKind, &str)> {
        let mut found = Vec::new();
        let mut from = 0;
        'again: loop {
            let file = Lexical::parse(Rule::file, &source[from..]).unwrap().next();
            for pair in file.unwrap().into_inner() {
                let Some((kind, length)) = classify(&pair) else {
                    break;
                };
                let start = from + pair.as_span().start();
                found.push((kind, &source[start..start + length]));
                if start + length < from + pair.as_span().end() {
                    from = start + length;
                    continue 'again;
                }
            }
            return found;
        }
    }

    proptest! {
        #[test]
        fn the_short_way_agrees_with_the_grammar(
            source in "([a-z0-9:./%{}; \n\"\\\\#é-]|ff|::|\"[a-z]{250,258}\"|[a-z]{126,131}){0,40}"
        ) {
            prop_assert_eq!(kinds(&source), grammar_alone(&source));
        }

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
