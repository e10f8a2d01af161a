//! Log lines with names for generations: how scenarios state relations between random numbers.

use std::collections::BTreeMap;
use std::fmt;

/// What a repeated resync adds to the bitmap generation (spec 60 section 2.3).
const OFFSET: u64 = 0x0001_0000_0000_0000;

/// Which generation each name stands for, without bit 0.
#[derive(Default)]
pub struct Bindings {
    names: BTreeMap<char, u64>,
}

/// `$A++1`: name, offsets, bit 0 (`None` for `?`: either).
struct Token {
    name: char,
    offsets: u64,
    bit: Option<u64>,
}

enum Piece<'a> {
    Text(&'a str),
    Anything,
    Uuid(Token),
}

impl Bindings {
    /// Whether a line is as expected, with the names that are known.
    pub fn matches(&self, expected: &str, line: &str) -> bool {
        self.walk(expected, line).is_some()
    }

    /// Learns the names of a line that matches.
    pub fn bind(&mut self, expected: &str, line: &str) {
        if let Some(names) = self.walk(expected, line) {
            self.names = names;
        }
    }

    fn walk(&self, expected: &str, line: &str) -> Option<BTreeMap<char, u64>> {
        walk(&pieces(expected), line, self.names.clone())
    }
}

impl fmt::Display for Bindings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, uuid) in &self.names {
            write!(f, "{name}={uuid:016X} ")?;
        }
        Ok(())
    }
}

fn walk(
    pieces: &[Piece<'_>],
    line: &str,
    mut names: BTreeMap<char, u64>,
) -> Option<BTreeMap<char, u64>> {
    let Some((first, rest)) = pieces.split_first() else {
        return line.is_empty().then_some(names);
    };
    match first {
        Piece::Text(text) => walk(rest, line.strip_prefix(text)?, names),
        Piece::Anything => (0..=line.len())
            .filter(|&at| line.is_char_boundary(at))
            .find_map(|at| walk(rest, &line[at..], names.clone())),
        Piece::Uuid(token) => {
            let value = u64::from_str_radix(line.get(..16)?, 16).ok()?;
            let base = (value & !1).wrapping_sub(OFFSET.wrapping_mul(token.offsets));
            if token.bit.is_some_and(|bit| value & 1 != bit)
                || *names.entry(token.name).or_insert(base) != base
            {
                return None;
            }
            walk(rest, &line[16..], names)
        }
    }
}

fn pieces(expected: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = expected;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("...") {
            pieces.push(Piece::Anything);
            rest = after;
        } else if let Some((token, after)) = token(rest) {
            pieces.push(Piece::Uuid(token));
            rest = after;
        } else {
            let skip = usize::from(rest.starts_with(['$', '.']));
            let end = [rest[skip..].find('$'), rest[skip..].find("...")]
                .into_iter()
                .flatten()
                .min()
                .map_or(rest.len(), |at| at + skip);
            let (text, after) = rest.split_at(end);
            pieces.push(Piece::Text(text));
            rest = after;
        }
    }
    pieces
}

fn token(text: &str) -> Option<(Token, &str)> {
    let mut chars = text.strip_prefix('$')?.chars();
    let name = chars.next().filter(char::is_ascii_uppercase)?;
    let after = chars.as_str();
    let digit = after.trim_start_matches('+');
    let offsets = (after.len() - digit.len()) as u64;
    let bit = match digit.chars().next()? {
        '?' => None,
        bit => Some(u64::from(bit.to_digit(2)?)),
    };
    let token = Token { name, offsets, bit };
    Some((token, &digit[1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_the_generation_of_its_first_appearance() {
        let mut names = Bindings::default();
        let line = "0: new current UUID C8327BD9725F4EF1:D1CD7AF169D97361:0000000000000000";
        let expected = "0: new current UUID $A1:$B1:0000000000000000";
        assert!(names.matches(expected, line));
        names.bind(expected, line);
        assert!(names.matches("$A0", "C8327BD9725F4EF0"));
        assert!(names.matches("$B+1 ...", "D1CE7AF169D97361 and more"));
        assert!(!names.matches("$A0", "C8327BD9725F4EF1"), "bit 0 counts");
        assert!(!names.matches("$B1", "C8327BD9725F4EF1"), "another one");
        assert!(!names.matches("$B1", "D1CD7AF169D97361 "), "to the end");
    }
}
