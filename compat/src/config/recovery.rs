//! What else is wrong behind the first parse error. The genuine programs stop there; a person at a
//! terminal is shown the rest, too.
//!
//! The statement that was refused is blanked out and everything is read again. Only remarks about
//! words and values are taken from such a reading: that something is missing may be the blank.

use std::{
    collections::{HashMap, HashSet},
    rc::Rc,
    sync::Arc,
};

use crate::model::Dialect;

use super::{
    Input, Loaded, Node, attempt,
    diagnostic::{About, Diagnostic, Severity, Source},
    lexer, open,
    session::Mode,
    storage::{Disk, Storage},
    token::{Token, TokenKind},
};

/// The most errors that are looked for.
const MOST: usize = 10;
/// The most text for which it is done: everything is read once for each error.
const MOST_BYTES: usize = 4 << 20;

/// An error behind the first one.
#[derive(Clone, Debug)]
pub struct Further {
    /// The error.
    pub diagnostic: Diagnostic,
    /// The file, as it is.
    pub source: Source,
}

/// The errors behind the one that ended the first reading of the same files.
pub fn further_errors(
    input: Input<'_>,
    on_top: Option<&str>,
    node: &Node,
    first: &Loaded,
) -> Vec<Further> {
    let size: usize = first.sources.iter().map(|s| s.text.len()).sum();
    let disk: Rc<dyn Storage> = Rc::new(Disk);
    let opened = open(&*disk, input).and_then(|main| {
        let extra = on_top.map(|name| open(&*disk, Input::Path(name)));
        Ok((main, extra.transpose()?))
    });
    let Ok((main, extra)) = opened else {
        return Vec::new();
    };
    if size > MOST_BYTES {
        return Vec::new();
    }
    let mode = match first.config.dialect {
        Dialect::V07 => Mode::Tolerant,
        Dialect::V8 => Mode::Strict,
    };
    let mut search = Search::default();
    search.take(first);
    let mut further = Vec::new();
    while let Some((source, offset)) = search.refused.take() {
        if further.len() >= MOST || !search.blank(&source, offset) {
            break;
        }
        let texts = search.texts.clone();
        let again = attempt(&disk, mode, &main, extra.as_ref(), node, texts);
        further.append(&mut search.take(&again.loaded));
    }
    further.truncate(MOST);
    further
}

#[derive(Default)]
struct Search {
    /// Text of the files with blanks in it, and as it was.
    texts: HashMap<Arc<str>, Arc<str>>,
    originals: HashMap<Arc<str>, Arc<str>>,
    /// File and offset of what is known.
    known: HashSet<(Arc<str>, usize, String)>,
    /// Where the last reading ended.
    refused: Option<(Source, usize)>,
}

impl Search {
    /// What a reading found that is new.
    fn take(&mut self, loaded: &Loaded) -> Vec<Further> {
        let mut found = Vec::new();
        for diagnostic in &loaded.diagnostics {
            let Some(label) = &diagnostic.label else {
                continue;
            };
            let (Some(source), Severity::Error) =
                (loaded.sources.get(label.source.0), diagnostic.severity)
            else {
                continue;
            };
            if diagnostic.about == About::Absence {
                continue;
            }
            let key = (
                Arc::clone(&source.file),
                label.offset,
                diagnostic.text.clone(),
            );
            if !self.known.insert(key) {
                continue;
            }
            // Behind the end of a file there is nothing to find.
            if diagnostic.about == About::Word && label.length > 0 {
                self.refused = Some((source.clone(), label.offset));
            }
            let original = self.originals.get(&source.file).unwrap_or(&source.text);
            found.push(Further {
                diagnostic: diagnostic.clone(),
                source: Source {
                    text: Arc::clone(original),
                    ..source.clone()
                },
            });
        }
        found
    }

    /// Blanks the statement around an offset; `false` if nothing would change.
    fn blank(&mut self, source: &Source, offset: usize) -> bool {
        let Some(text) = without_statement(&source.text, offset) else {
            return false;
        };
        self.originals
            .entry(Arc::clone(&source.file))
            .or_insert_with(|| Arc::clone(&source.text));
        self.texts.insert(Arc::clone(&source.file), Arc::from(text));
        true
    }
}

/// The text with blanks in place of the statement that contains the token at `offset`; nothing
/// moves. `None` at the end of the text.
fn without_statement(text: &str, offset: usize) -> Option<String> {
    let tokens = lexer::tokens(text);
    let at = tokens.iter().position(|token| token.offset == offset)?;
    let ends = |token: &Token<'_>| matches!(token.kind, TokenKind::Op(b';' | b'{' | b'}'));
    let begin = tokens[..at]
        .iter()
        .rposition(ends)
        .map_or(0, |last| last + 1);
    let end = end_of_statement(&tokens, begin, at)?;
    let from = tokens[begin].offset;
    let mut bytes = text.as_bytes().to_vec();
    for byte in &mut bytes[from..end] {
        if *byte != b'\n' {
            *byte = b' ';
        }
    }
    String::from_utf8(bytes).ok()
}

/// Where the statement that begins at `begin` and has a wrong token at `at` ends.
fn end_of_statement(tokens: &[Token<'_>], begin: usize, at: usize) -> Option<usize> {
    let mut open = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(at) {
        let behind = token.offset + token.raw.len();
        match token.kind {
            TokenKind::Eof => return (index > begin).then_some(token.offset),
            TokenKind::Op(b'{') => open += 1,
            TokenKind::Op(b'}') if open > 1 => open -= 1,
            TokenKind::Op(b'}') if open == 1 => return Some(behind),
            // The end of the section around it; if that is all there is, it is one too many.
            TokenKind::Op(b'}') if index > begin => return Some(token.offset),
            TokenKind::Op(b'}') => return Some(behind),
            TokenKind::Op(b';') if open == 0 => return Some(behind),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;

    fn errors(text: &str) -> Vec<String> {
        let node = Node::default();
        let input = Input::Stdin(text.as_bytes());
        let first = load(input, None, &node).unwrap();
        let further = further_errors(input, None, &node, &first);
        let first = first.diagnostics.into_iter().map(|d| d.text);
        let all = first.chain(further.into_iter().map(|f| f.diagnostic.text));
        all.map(|text| text.replace("\n\t", " ")).collect()
    }

    #[test]
    fn errors_behind_the_first_one_are_found() {
        let text = "resource r0 {\n  net { timeoot 5; ping-int 500; }\n  disk { no-tcp-cork; }\n\
                    \x20 on alpha { address 10.9.9.1; device /dev/drbd0; disk /dev/a; }\n}\n";
        let found = errors(text);
        let starts = |at: usize, text: &str| assert!(found[at].starts_with(text), "{found:?}");
        starts(0, "STDIN:2: Parse error: 'an option keyword' expected");
        starts(1, "STDIN:2: ping-int 500 => 500 out of range [1..120].");
        starts(2, "STDIN:3: Parse error: 'an option keyword' expected");
        starts(3, "STDIN:4: Parse error: ':' expected");
        // That meta-disk and address are missing may come from the blanks.
        assert_eq!(found.len(), 4, "{found:?}");
    }

    #[test]
    fn a_good_configuration_and_one_that_only_ends_early_have_no_further_errors() {
        assert_eq!(errors("resource r0 { }\n").len(), 0);
        assert_eq!(errors("resource r0 { net { timeout").len(), 1);
        assert_eq!(errors("}").len(), 1);
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_search_fail(text in "[a-z{};\\[\\]: \n\"#0-9.]{0,80}") {
            let found = errors(&text);
            proptest::prop_assert!(found.len() <= 2 * MOST);
        }
    }
}
