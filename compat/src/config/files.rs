//! Files: their names, their text, and `include` (spec 10 sections 1.2 and 1.3).

use std::{
    borrow::Cow,
    io,
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
};

use super::{
    cursor::Parser,
    diagnostic::{Abort, Source, SourceId},
    glob, lexer,
    session::Session,
    storage::Storage,
};

/// A file's names and text.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub shown: Arc<str>,
    pub file: Arc<str>,
    pub text: Arc<str>,
}

/// The most text that one configuration may consist of, included files counted each time: a
/// defence against include storms, far above any real cluster.
const MAX_BYTES: usize = 1 << 30;

/// How deep files may include each other: the genuine programs run out of file descriptors.
const MAX_DEPTH: u32 = 200;

/// Parses one file into the session. `base` is the line before its first one.
pub(super) fn parse(session: &mut Session, mut file: File, base: u32) -> Result<(), Abort> {
    if let Some(text) = session.instead.get(&file.file) {
        file.text = Arc::clone(text);
    }
    let source = SourceId(session.sources.len());
    session.sources.push(Source {
        shown: Arc::clone(&file.shown),
        file: Arc::clone(&file.file),
        text: Arc::clone(&file.text),
    });
    let mut tokens = lexer::tokens(&file.text);
    for token in &mut tokens {
        token.line += base;
    }
    let last = tokens.last().map_or(1, |t| t.line);
    let shown = Arc::clone(&file.shown);
    let result = Parser {
        session,
        tokens: &tokens,
        at: 0,
        line: base + 1,
        shown: file.shown,
        file: file.file,
        source,
        resource: String::new(),
        section_line: 0,
        stacked_line: 0,
    }
    .file();
    session.last_line = last;
    session.last_shown = shown;
    result
}

/// Reads and parses the files that a pattern names, relative to the directory of the file that
/// contains the statement. `Some` names a file that is missing.
pub(super) fn include(
    session: &mut Session,
    from: &str,
    pattern: &str,
) -> Result<Option<String>, Abort> {
    let Some(directory) = Path::new(from).parent().filter(|_| from.starts_with('/')) else {
        let text = format!("chdir(\"{from}\") failed: No such file or directory");
        return Err(session.fatal(text, 1));
    };
    if session.depth >= MAX_DEPTH {
        let text = format!("{from}: {MAX_DEPTH} files include each other, that is too deep");
        return Err(session.fatal(text, 10));
    }
    let storage = Rc::clone(&session.storage);
    let Ok(found) = glob::expand(&*storage, directory, pattern) else {
        let text = format!("{pattern}: the pattern matches too many names");
        return Err(session.fatal(text, 10));
    };
    if found.is_empty() && !pattern.contains(['?', '*', '[']) {
        return Ok(Some(pattern.to_owned()));
    }
    let mut missing = None;
    for name in found {
        let path = directory.join(&name);
        let real = storage.real(&path).unwrap_or_else(|| path.clone());
        if !session.seen.insert(real) {
            continue;
        }
        match read(&*storage, &path) {
            Ok(text) => {
                let total: usize = session.sources.iter().map(|s| s.text.len()).sum();
                if total.saturating_add(text.len()) > MAX_BYTES {
                    let text = format!("{name}: the included files are too large together");
                    return Err(session.fatal(text, 10));
                }
                let file = File {
                    shown: Arc::from(name.as_str()),
                    file: Arc::from(absolute(&*storage, &path)),
                    text,
                };
                session.depth += 1;
                let result = parse(session, file, 0);
                session.depth -= 1;
                result?;
            }
            Err(_) => missing = Some(name),
        }
    }
    Ok(missing)
}

/// The text of a file. Bytes that are no UTF-8 survive as private characters.
pub(super) fn read(storage: &dyn Storage, path: &Path) -> io::Result<Arc<str>> {
    storage.read(path).map(|bytes| Arc::from(decode(bytes)))
}

/// First of the 128 characters that stand for bytes which are no UTF-8.
const FOREIGN: u32 = 0x0010_FF00;

/// The first byte of these characters in UTF-8.
const FOREIGN_LEAD: u8 = 0xF4;

/// Bytes to text, without loss. A character that stands for a byte, if a file has one, is itself
/// taken byte by byte.
pub(super) fn decode(bytes: Vec<u8>) -> String {
    let bytes = match String::from_utf8(bytes) {
        Ok(text) if !text.as_bytes().contains(&FOREIGN_LEAD) => return text,
        Ok(text) => text.into_bytes(),
        Err(error) => error.into_bytes(),
    };
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match u32::from(c) >= FOREIGN {
                true => text.extend(c.encode_utf8(&mut [0; 4]).bytes().filter_map(foreign)),
                false => text.push(c),
            }
        }
        text.extend(chunk.invalid().iter().filter_map(|b| foreign(*b)));
    }
    text
}

/// The character that stands for a byte outside of ASCII; [`encode`] makes the byte of it.
pub(crate) fn foreign(byte: u8) -> Option<char> {
    char::from_u32(FOREIGN + u32::from(byte))
}

/// Text to the bytes it was read from.
pub fn encode(text: &str) -> Cow<'_, [u8]> {
    if text.is_ascii() {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        match u32::from(c)
            .checked_sub(FOREIGN)
            .and_then(|b| u8::try_from(b).ok())
        {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Cow::Owned(bytes)
}

/// The absolute name: symbolic links of the directory are resolved, the last component is kept.
pub(super) fn absolute(storage: &dyn Storage, path: &Path) -> String {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let directory = storage.real(&directory).unwrap_or(directory);
    let name = path.file_name().unwrap_or(path.as_os_str());
    decode(directory.join(name).into_os_string().into_encoded_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Found by fuzzing.
    #[test]
    fn a_character_that_stands_for_a_byte_survives_itself() {
        for c in ['\u{10FF00}', '\u{10FFA6}', '\u{10FFFF}', '\u{10FEFF}'] {
            let bytes = format!("a{c}b").into_bytes();
            assert_eq!(*encode(&decode(bytes.clone())), bytes);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_survive_reading_and_writing(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let text = decode(bytes.clone());
            prop_assert_eq!(encode(&text).into_owned(), bytes);
        }
    }
}
