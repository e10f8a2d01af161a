//! Quoting (spec 10 section 7.1, spec 20 section 5.2).

use std::borrow::Cow;

use crate::config::{encode, foreign};

/// A value as a configuration shows it: quoted if it is no bare word of up to 80 characters.
pub fn quote(value: &str) -> Cow<'_, str> {
    let bare = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.' | b'_' | b'-');
    if !value.is_empty() && value.len() <= 80 && value.bytes().all(bare) {
        return Cow::Borrowed(value);
    }
    let mut quoted = String::with_capacity(value.len() + 2);
    quoted.push('"');
    for c in value.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    Cow::Owned(quoted)
}

/// A word of a command line as a shell reads it. Genuine: every byte of a character outside of
/// ASCII is escaped by itself.
pub fn shell(word: &str) -> Cow<'_, str> {
    let plain = |c: char| {
        c.is_ascii_alphanumeric()
            || matches!(c, '%' | '+' | '-' | '.' | '/' | ':' | '=' | '@' | '_')
    };
    if word.chars().all(plain) {
        return Cow::Borrowed(word);
    }
    let mut escaped = String::with_capacity(word.len() + 8);
    for c in word.chars() {
        if plain(c) {
            escaped.push(c);
        } else if c.is_ascii() {
            escaped.extend(['\\', c]);
        } else {
            for byte in encode(c.encode_utf8(&mut [0; 4])).iter() {
                escaped.push('\\');
                escaped.extend(foreign(*byte));
            }
        }
    }
    Cow::Owned(escaped)
}
