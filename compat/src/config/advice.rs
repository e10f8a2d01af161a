//! What to write instead: help under a parse error on a terminal.

use drbd_options::{ALL, Era, OptionRow, Section};

use super::token::Token;

/// Advice for a word that was not expected.
pub(super) fn for_word(token: &Token<'_>, expected: &str) -> Option<String> {
    let word = token.text();
    if word.is_empty() {
        return Some(format!("the file ends here; expected: {expected}"));
    }
    if let Some(text) = moved(&word) {
        return Some(text);
    }
    let near = nearest(&word)?;
    Some(format!("did you mean `{near}`?"))
}

/// Where an option that exists belongs.
fn moved(word: &str) -> Option<String> {
    let row = rows().find(|r| r.name == word)?;
    let section = row.section.keyword();
    (!section.is_empty()).then(|| format!("`{word}` belongs into `{section} {{ }}`"))
}

/// The known word with the fewest differences, if there are few.
fn nearest(word: &str) -> Option<&'static str> {
    const MOST: usize = 2;
    rows()
        .map(|row| (distance(word, row.name), row.name))
        .min()
        .filter(|(differences, _)| *differences <= MOST)
        .map(|(_, name)| name)
}

fn rows() -> impl Iterator<Item = &'static OptionRow> {
    ALL.iter()
        .flat_map(|table| table.iter())
        .filter(|r| r.until > Era::V07 && r.section != Section::CommandLine)
}

/// Edit distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelled_option_is_recognised() {
        assert_eq!(nearest("alow-two-primaries"), Some("allow-two-primaries"));
        assert_eq!(nearest("something-else"), None);
    }
}
