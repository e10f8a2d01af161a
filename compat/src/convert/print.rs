//! Items to text, indented as the file was.

use super::tree::{Block, Item};

/// How a file is indented.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Style {
    /// Before everything.
    base: String,
    /// Each level more.
    unit: String,
}

impl Style {
    /// The style of the first lines that show it.
    pub fn of(text: &str) -> Self {
        let lines = text.lines().filter(|line| {
            let word = line.trim_start();
            !word.is_empty() && !word.starts_with('#')
        });
        let mut indents = lines.map(|line| &line[..line.len() - line.trim_start().len()]);
        let base = indents.next().unwrap_or("");
        let deeper = indents.filter_map(|indent| indent.strip_prefix(base));
        let unit = deeper.into_iter().find(|rest| !rest.is_empty());
        Self {
            base: base.to_owned(),
            unit: unit.unwrap_or("    ").to_owned(),
        }
    }
}

pub(super) fn file(items: &[Item], style: &Style) -> String {
    let mut out = Printer {
        style,
        text: String::new(),
    };
    for item in items {
        out.item(item, 0);
    }
    out.text
}

struct Printer<'s> {
    style: &'s Style,
    text: String,
}

impl Printer<'_> {
    fn line(&mut self, level: usize, words: &str) {
        if !words.is_empty() {
            self.text.push_str(&self.style.base);
            self.text.push_str(&self.style.unit.repeat(level));
            self.text.push_str(words);
        }
        self.text.push('\n');
    }

    fn item(&mut self, item: &Item, level: usize) {
        for comment in &item.above {
            self.line(level, comment);
        }
        let (words, beside) = (item.text(), &item.beside);
        match &item.block {
            None if words.is_empty() => {}
            None => self.line(level, &format!("{words};{beside}")),
            Some(Block {
                verbatim: Some(inner),
                ..
            }) => self.line(level, &format!("{words} {{{inner}}}{beside}")),
            Some(block) => {
                self.line(level, &format!("{words} {{{}", block.opening));
                for inner in &block.items {
                    self.item(inner, level + 1);
                }
                for comment in &block.tail {
                    self.line(level + 1, comment);
                }
                self.line(level, &format!("}}{beside}"));
            }
        }
    }
}
