//! What to write instead: help under a parse error on a terminal.

use drbd_options::{ALL, Choice, Era, Form, OptionRow, Section, Spelling};

use super::token::{Token, TokenKind};

/// Advice for a word that was not expected; `expected` lists what was, with bars between.
pub(super) fn for_word(token: &Token<'_>, expected: &str) -> Option<String> {
    let word = token.text();
    if token.kind == TokenKind::Eof {
        return Some(format!("the file ends here; expected: {expected}"));
    }
    let words = expected.split(" | ").filter(|word| is_word(word));
    today(&word, None).or_else(|| did_you_mean(&word, words))
}

/// Advice for a word that is no option of a section.
pub(super) fn for_option(token: &Token<'_>, section: Section) -> Option<String> {
    let word = token.text();
    let allowed = allowed_in(section);
    let first = match token.kind {
        TokenKind::Eof => Some("the file ends here: a `}` is missing".to_owned()),
        _ => {
            let near = || did_you_mean(&word, allowed.iter().copied());
            today(&word, Some(section)).or_else(near)
        }
    };
    let list = format!(
        "allowed in `{} {{ }}`: {}",
        section.keyword(),
        allowed.join(", ")
    );
    Some(match first {
        Some(first) => format!("{first}\n{list}"),
        None => list,
    })
}

/// Advice for a value that is none of the words of an option.
pub(super) fn for_value(choice: Choice, value: &str) -> Option<String> {
    if choice.code(value).is_some() || value.starts_with("discard-node-") {
        return None;
    }
    let words: Vec<&str> = choice.words.iter().map(|(word, _)| *word).collect();
    let list = format!("allowed: {}", words.join(", "));
    Some(match did_you_mean(value, words.into_iter()) {
        Some(near) => format!("{near}\n{list}"),
        None => list,
    })
}

fn is_word(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_lowercase() || c == '-') && text.len() > 1
}

/// The options that a section takes today; `syncer` those that it took.
fn allowed_in(section: Section) -> Vec<&'static str> {
    let era = match section {
        Section::Syncer => Era::V83,
        _ => Era::V84,
    };
    let spellings = rows().filter_map(|row| row.spelling(era));
    let here = spellings.filter(|spelling| spelling.section == section);
    here.map(|spelling| spelling.name).collect()
}

/// How and where a known word is written today, if that is not in this section.
fn today(word: &str, section: Option<Section>) -> Option<String> {
    if let Some(row) = rows().find(|r| r.name == word && Some(r.section) != section) {
        let keyword = row.section.keyword();
        return (!keyword.is_empty()).then(|| format!("`{word}` belongs into `{keyword} {{ }}`"));
    }
    let spelled = |row: &&OptionRow| row.older.iter().any(|s| s.name == word);
    if let Some(row) = rows().find(spelled) {
        let form = row.older.iter().find(|s| s.name == word).map(new_form);
        let new = form.unwrap_or_default();
        let keyword = row.section.keyword();
        return Some(format!(
            "`{word}` is an older word: write `{}{new}` in `{keyword} {{ }}` today",
            row.name
        ));
    }
    let gone = |row: &&OptionRow| row.name == word && row.until < Era::V84;
    let row = ALL.iter().flat_map(|table| table.iter()).find(gone)?;
    Some(format!(
        "`{word}` is a word of {} and has no effect today: leave it out",
        row.until.name()
    ))
}

fn new_form(spelling: &Spelling) -> &'static str {
    match spelling.form {
        Form::Same => "",
        Form::Negated => " no",
    }
}

/// The allowed word with the fewest differences, if there are few.
fn did_you_mean<'w>(word: &str, allowed: impl Iterator<Item = &'w str>) -> Option<String> {
    const MOST: usize = 2;
    let (differences, near) = allowed.map(|other| (distance(word, other), other)).min()?;
    // Short words are close to each other by chance.
    let few = differences > 0 && differences <= MOST && differences < near.len() / 2;
    few.then(|| format!("did you mean `{near}`?"))
}

fn rows() -> impl Iterator<Item = &'static OptionRow> {
    ALL.iter()
        .flat_map(|table| table.iter())
        .filter(|r| r.until == Era::V84 && r.section != Section::CommandLine)
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

    fn option(word: &str, section: Section) -> String {
        let token = Token {
            kind: TokenKind::Text,
            raw: word,
            line: 1,
            offset: 0,
        };
        for_option(&token, section).unwrap()
    }

    #[test]
    fn a_misspelled_option_is_recognised_and_the_allowed_words_are_listed() {
        let help = option("alow-two-primaries", Section::Net);
        assert!(help.starts_with("did you mean `allow-two-primaries`?\nallowed in `net { }`: "));
        assert!(help.contains("max-buffers") && !help.contains("resync-rate"));
        assert!(option("something-else", Section::Net).starts_with("allowed in"));
    }

    #[test]
    fn an_older_word_is_named_with_what_is_written_today() {
        let starts = |help: String, text: &str| assert!(help.starts_with(text), "{help}");
        starts(
            option("rate", Section::Disk),
            "`rate` is an older word: write `resync-rate` in `disk { }` today",
        );
        starts(
            option("no-disk-barrier", Section::Net),
            "`no-disk-barrier` is an older word: write `disk-barrier no` in `disk { }` today",
        );
        starts(
            option("verify-alg", Section::Disk),
            "`verify-alg` belongs into `net { }`",
        );
        starts(
            option("use-bmbv", Section::Net),
            "`use-bmbv` is a word of 8.3 and has no effect today: leave it out",
        );
    }

    #[test]
    fn an_unknown_value_is_answered_with_the_known_ones() {
        let row = rows().find(|row| row.name == "fencing").unwrap();
        let drbd_options::Kind::Enum(choice) = row.kind else {
            panic!("fencing has words");
        };
        assert_eq!(for_value(choice, "resource-only"), None);
        assert_eq!(
            for_value(choice, "resource_only").as_deref(),
            Some(
                "did you mean `resource-only`?\n\
                 allowed: dont-care, resource-only, resource-and-stonith"
            )
        );
    }
}
