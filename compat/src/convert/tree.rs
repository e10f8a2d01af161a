//! A file as statements and blocks with their comments.

use crate::config::lexer::tokens;
use crate::config::token::{Token, TokenKind};

/// A statement or block.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// Comment lines above it; empty strings stand for empty lines.
    pub above: Vec<String>,
    /// Its words as written, without `;` or `{`.
    pub words: Vec<String>,
    /// Line of the first word.
    pub line: u32,
    /// What a block holds.
    pub block: Option<Block>,
    /// The comment behind it on the same line.
    pub beside: Option<String>,
}

/// What stands between braces.
#[derive(Clone, Debug, Default)]
pub(super) struct Block {
    pub items: Vec<Item>,
    /// Comments before the closing brace.
    pub tail: Vec<String>,
    /// Kept as it is: the text of a `skip` block.
    pub verbatim: Option<String>,
}

/// The items of a file; the last one may be comments only.
pub(super) fn parse(text: &str) -> Vec<Item> {
    let tokens = tokens(text);
    let mut reader = Reader {
        text,
        tokens: &tokens,
        at: 0,
    };
    let mut block = reader.block();
    if !block.tail.is_empty() {
        block.items.push(Item {
            above: block.tail,
            words: Vec::new(),
            line: 0,
            block: None,
            beside: None,
        });
    }
    block.items
}

struct Reader<'t> {
    text: &'t str,
    tokens: &'t [Token<'t>],
    at: usize,
}

impl<'t> Reader<'t> {
    fn peek(&self) -> Token<'t> {
        self.tokens[self.at]
    }

    /// The comments before the next token: those on the line of the last one, and the others.
    fn gap(&self) -> (Option<String>, Vec<String>) {
        let start = match self.at.checked_sub(1) {
            Some(last) => self.tokens[last].offset + self.tokens[last].raw.len(),
            None => 0,
        };
        let gap = &self.text[start..self.peek().offset];
        let mut lines = gap.split('\n').map(str::trim);
        let first = lines.next().filter(|_| self.at > 0).unwrap_or("");
        let beside = first.starts_with('#').then(|| first.to_owned());
        let rest = if self.at > 0 {
            lines.collect()
        } else {
            gap.split('\n').map(str::trim).collect()
        };
        (beside, comments(rest))
    }

    fn block(&mut self) -> Block {
        let mut block = Block::default();
        loop {
            let (beside, above) = self.gap();
            if let (Some(comment), Some(last)) = (beside, block.items.last_mut()) {
                last.beside = Some(comment);
            }
            match self.peek().kind {
                TokenKind::Eof | TokenKind::Op(b'}') => {
                    block.tail = above;
                    return block;
                }
                _ => block.items.push(self.item(above)),
            }
        }
    }

    fn item(&mut self, above: Vec<String>) -> Item {
        let mut item = Item {
            above,
            words: Vec::new(),
            line: self.peek().line,
            block: None,
            beside: None,
        };
        loop {
            let token = self.peek();
            match token.kind {
                TokenKind::Op(b';') => {
                    self.at += 1;
                    return item;
                }
                TokenKind::Op(b'{') => {
                    self.at += 1;
                    let skips = item.words.first().is_some_and(|w| w == "skip");
                    item.block = Some(if skips { self.skipped() } else { self.block() });
                    if self.peek().is_op(b'}') {
                        self.at += 1;
                    }
                    return item;
                }
                TokenKind::Op(b'}') | TokenKind::Eof => return item,
                _ => {
                    self.at += 1;
                    self.word(&mut item.words, token);
                }
            }
        }
    }

    /// Adds a word, or a piece of one: what was written without a blank stays together.
    fn word(&self, words: &mut Vec<String>, token: Token<'_>) {
        let touches = self.at >= 2 && {
            let before = &self.tokens[self.at - 2];
            before.offset + before.raw.len() == token.offset
        };
        match words.last_mut() {
            Some(last) if touches => last.push_str(token.raw),
            _ => words.push(token.raw.to_owned()),
        }
    }

    fn skipped(&mut self) -> Block {
        let start = self.peek().offset;
        let mut depth = 0_u32;
        loop {
            match self.peek().kind {
                TokenKind::Op(b'{') => depth += 1,
                TokenKind::Op(b'}') if depth == 0 => break,
                TokenKind::Op(b'}') => depth -= 1,
                TokenKind::Eof => break,
                _ => {}
            }
            self.at += 1;
        }
        Block {
            verbatim: Some(self.text[start..self.peek().offset].trim().to_owned()),
            ..Block::default()
        }
    }
}

/// Comment lines, with at most one empty line between them and none at the end.
fn comments(lines: Vec<&str>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for line in lines {
        if line.starts_with('#') {
            kept.push(line.to_owned());
        }
    }
    kept
}
