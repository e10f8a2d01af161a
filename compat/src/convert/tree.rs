//! A file as statements and blocks with their comments, and back to text.

use crate::config::lexer::tokens;
use crate::config::token::{Token, TokenKind};
use crate::model::Dialect;

/// A statement or block.
#[derive(Clone, Debug, Default)]
pub(super) struct Item {
    /// Comment lines and empty lines above it.
    pub above: Vec<String>,
    /// Its words as written, without `;` or `{`.
    pub words: Vec<String>,
    /// The words as read, and how they stood in the file: what is not changed keeps its form.
    pub written: Option<(Vec<String>, String)>,
    /// Line of the first word.
    pub line: u32,
    /// The blanks before it, if it begins a line and stays where it is.
    pub indent: Option<String>,
    /// What a block holds.
    pub block: Option<Block>,
    /// The comment behind it on the same line, with the blanks before it.
    pub beside: String,
}

/// What stands between braces.
#[derive(Clone, Debug, Default)]
pub(super) struct Block {
    /// The comment behind the opening brace, with the blanks before it.
    pub opening: String,
    pub items: Vec<Item>,
    /// Comments before the closing brace.
    pub tail: Vec<String>,
    /// Kept as it is: the text of a `skip` block.
    pub verbatim: Option<String>,
}

impl Item {
    /// The first word.
    pub fn keyword(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// How it is shown and printed.
    pub fn text(&self) -> String {
        match &self.written {
            Some((words, text)) if *words == self.words => text.clone(),
            _ => self.words.join(" "),
        }
    }
}

/// The items of a file; the last one may be comments only.
pub(super) fn parse(text: &str, dialect: Dialect) -> Vec<Item> {
    let tokens = tokens(text);
    let mut reader = Reader {
        text,
        tokens: &tokens,
        at: 0,
        dialect,
        opening: Opening::Block,
    };
    let mut items = Vec::new();
    loop {
        let mut block = reader.block();
        items.append(&mut block.items);
        if !reader.peek().is_op(b'}') {
            if !block.tail.is_empty() {
                items.push(Item {
                    above: block.tail,
                    ..Item::default()
                });
            }
            return items;
        }
        // A brace too many: no file that was read without complaint has one.
        reader.at += 1;
    }
}

struct Reader<'t> {
    text: &'t str,
    tokens: &'t [Token<'t>],
    at: usize,
    dialect: Dialect,
    opening: Opening,
}

/// What an opening brace is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opening {
    /// The beginning of a block.
    Block,
    /// A word: the statements of a plugin are taken up to their semicolons.
    Word,
}

impl<'t> Reader<'t> {
    fn peek(&self) -> Token<'t> {
        self.tokens[self.at]
    }

    /// The token before the next one.
    fn last(&self) -> Option<Token<'t>> {
        self.at.checked_sub(1).map(|last| self.tokens[last])
    }

    /// The text between the last token and the next one.
    fn gap(&self) -> &'t str {
        let start = self.last().map_or(0, |last| last.offset + last.raw.len());
        &self.text[start..self.peek().offset]
    }

    /// The comments before the next token: the one on the line of the last token, and the lines
    /// in between.
    fn comments(&self) -> (String, Vec<String>) {
        let mut lines: Vec<&str> = self.gap().split('\n').collect();
        let beside = match self.last() {
            Some(_) => lines.remove(0).trim_end(),
            None => "",
        };
        // The last piece is what stands before the next token, on its own line.
        if self.peek().kind != TokenKind::Eof || lines.last().is_some_and(|l| l.trim().is_empty()) {
            lines.pop();
        }
        let above = lines.iter().map(|line| line.trim().to_owned()).collect();
        (beside.to_owned(), above)
    }

    /// Up to a closing brace, which is left, or the end.
    fn block(&mut self) -> Block {
        let mut block = Block::default();
        loop {
            let (beside, above) = self.comments();
            match block.items.last_mut() {
                Some(last) => last.beside = beside,
                None => block.opening = beside,
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

    fn plugin(&mut self) -> Block {
        self.opening = Opening::Word;
        let block = self.block();
        self.opening = Opening::Block;
        block
    }

    fn item(&mut self, above: Vec<String>) -> Item {
        let first = self.peek();
        let before = &self.text[..first.offset];
        let indent = &before[before.rfind('\n').map_or(0, |at| at + 1)..];
        let mut item = Item {
            above,
            line: first.line,
            indent: indent.trim().is_empty().then(|| indent.to_owned()),
            ..Item::default()
        };
        loop {
            let token = self.peek();
            if !item.words.is_empty() {
                item.above.extend(self.comments_inside());
            }
            match token.kind {
                TokenKind::Op(b';') => {
                    self.remember(&mut item, first);
                    self.at += 1;
                    return item;
                }
                TokenKind::Op(b'{') if self.opening == Opening::Block => {
                    self.remember(&mut item, first);
                    self.at += 1;
                    item.block = Some(match item.keyword() {
                        "skip" => self.skipped(),
                        "plugin" => self.plugin(),
                        _ => self.block(),
                    });
                    if self.peek().is_op(b'}') {
                        self.at += 1;
                    }
                    return item;
                }
                TokenKind::Op(b'}') | TokenKind::Eof => {
                    self.remember(&mut item, first);
                    return item;
                }
                _ if self.is_ended_by_its_line(&item, token) => {
                    self.remember(&mut item, first);
                    return item;
                }
                _ => {
                    let apart = !self.gap().is_empty();
                    match item.words.last_mut() {
                        Some(last) if !apart => last.push_str(token.raw),
                        _ => item.words.push(token.raw.to_owned()),
                    }
                    self.at += 1;
                }
            }
        }
    }

    /// Comments between the words of a statement.
    fn comments_inside(&self) -> impl Iterator<Item = String> + use<'t> {
        let lines = self.gap().split('\n').map(str::trim);
        lines.filter(|l| l.starts_with('#')).map(str::to_owned)
    }

    /// Keeps how a statement was written if that is one line.
    fn remember(&self, item: &mut Item, first: Token<'t>) {
        let Some(last) = self.last().filter(|_| !item.words.is_empty()) else {
            return;
        };
        let text = &self.text[first.offset..last.offset + last.raw.len()];
        if !text.contains('\n') {
            item.written = Some((item.words.clone(), text.to_owned()));
        }
    }

    /// 0.7 forgave a missing `;` at the end of a line.
    fn is_ended_by_its_line(&self, item: &Item, next: Token<'_>) -> bool {
        let new_line = self.last().is_some_and(|last| next.line > last.line);
        let complete = item.words.len() > 1 || item.keyword().starts_with("disable");
        self.dialect == Dialect::V07
            && new_line
            && complete
            && !matches!(next.raw, "port" | "meta-index")
    }

    fn skipped(&mut self) -> Block {
        let start = self
            .last()
            .map_or(0, |brace| brace.offset + brace.raw.len());
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
            verbatim: Some(self.text[start..self.peek().offset].to_owned()),
            ..Block::default()
        }
    }
}
