//! Items to text.

use super::tree::{Block, Item};

pub(super) fn file(items: &[Item]) -> String {
    let mut text = String::new();
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            text.push('\n');
        }
        print(&mut text, item, 0);
    }
    text
}

fn line(text: &mut String, level: usize, words: &str) {
    text.push_str(&"    ".repeat(level));
    text.push_str(words);
    text.push('\n');
}

fn print(text: &mut String, item: &Item, level: usize) {
    for comment in &item.above {
        line(text, level, comment);
    }
    let beside = item
        .beside
        .as_ref()
        .map_or_else(String::new, |c| format!(" {c}"));
    let words = item.words.join(" ");
    match &item.block {
        None if words.is_empty() => {}
        None => line(text, level, &format!("{words};{beside}")),
        Some(Block {
            verbatim: Some(inner),
            ..
        }) => line(text, level, &format!("{words} {{ {inner} }}{beside}")),
        Some(block) => {
            line(text, level, &format!("{words} {{"));
            for inner in &block.items {
                print(text, inner, level + 1);
            }
            for comment in &block.tail {
                line(text, level + 1, comment);
            }
            line(text, level, &format!("}}{beside}"));
        }
    }
}
