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
        unit: &style.unit,
        text: String::new(),
    };
    out.items(items, &style.base);
    out.text
}

struct Printer<'s> {
    unit: &'s str,
    text: String,
}

impl Printer<'_> {
    fn line(&mut self, indent: &str, words: &str) {
        if !words.is_empty() {
            self.text.push_str(indent);
            self.text.push_str(words);
        }
        self.text.push('\n');
    }

    fn items(&mut self, items: &[Item], usual: &str) {
        for item in items {
            self.item(item, item.indent.as_deref().unwrap_or(usual));
        }
    }

    fn item(&mut self, item: &Item, indent: &str) {
        for comment in &item.above {
            self.line(indent, comment);
        }
        let (words, beside) = (item.text(), &item.beside);
        match &item.block {
            None if words.is_empty() => {}
            None => self.line(indent, &format!("{words};{beside}")),
            Some(Block {
                verbatim: Some(inner),
                ..
            }) => self.line(indent, &format!("{words} {{{inner}}}{beside}")),
            Some(block) => {
                self.line(indent, &format!("{words} {{{}", block.opening));
                // What is new is indented as what was there.
                let first = block.items.iter().find_map(|item| item.indent.clone());
                let inside = first.unwrap_or_else(|| format!("{indent}{}", self.unit));
                self.items(&block.items, &inside);
                for comment in &block.tail {
                    self.line(&inside, comment);
                }
                self.line(indent, &format!("}}{beside}"));
            }
        }
    }
}
