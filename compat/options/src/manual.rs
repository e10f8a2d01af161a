//! The parts of manual pages that are rendered from tables, in the man macros of roff.
//!
//! A page in `man/` is written by hand but for sections between `.\" generated: NAME` and
//! `.\" end of generated: NAME`; [`refresh`] replaces these. The texts of the tables are plain;
//! a word between backticks is something to be typed, and shown in bold.

use crate::{Era, Form, Kind, Number, OptionRow, Scale, Section, Spelling};

/// The page lacks a section that is generated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MissingSection(pub String);

impl std::fmt::Display for MissingSection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the page has no generated section '{}'", self.0)
    }
}

impl std::error::Error for MissingSection {}

/// The page with its generated sections as the tables have them now.
pub fn refresh(page: &str, sections: &[(&str, String)]) -> Result<String, MissingSection> {
    let mut page = page.to_owned();
    for (name, text) in sections {
        let begin = format!(".\\\" generated: {name}\n");
        let end = format!(".\\\" end of generated: {name}\n");
        let start = page.find(&begin).map(|at| at + begin.len());
        let range = start.and_then(|at| Some(at..at + page[at..].find(&end)?));
        let range = range.ok_or_else(|| MissingSection((*name).to_owned()))?;
        page.replace_range(range, text);
    }
    Ok(page)
}

/// Text of a table for roff: hyphens that can be copied, `words` in bold.
pub fn escape(text: &str) -> String {
    let plain = text.replace('\\', "\\e").replace('-', "\\-");
    let mut escaped = String::with_capacity(plain.len());
    for (at, piece) in plain.split('`').enumerate() {
        if at > 0 {
            escaped.push_str(if at % 2 == 1 { "\\fB" } else { "\\fR" });
        }
        escaped.push_str(piece);
    }
    escaped
}

/// An entry of a list: what is explained, already in roff, and the explanation, in plain text.
pub fn entry(tag: &str, text: &str) -> String {
    format!(".TP\n{tag}\n{}", paragraph(text))
}

/// Text as lines that editors like: each sentence begins a line, none is long.
fn paragraph(text: &str) -> String {
    const COLUMNS: usize = 78;
    let text = escape(text);
    let mut lines = String::with_capacity(text.len() + 16);
    for sentence in sentences(&text) {
        let mut column = 0;
        for word in sentence.split_whitespace() {
            if column > 0 && column + 1 + word.len() > COLUMNS {
                lines.push('\n');
                column = 0;
            } else if column > 0 {
                lines.push(' ');
                column += 1;
            }
            // A dot or quote at the beginning of a line would be a request.
            if column == 0 && word.starts_with(['.', '\'']) {
                lines.push_str("\\&");
            }
            column += word.len();
            lines.push_str(word);
        }
        lines.push('\n');
    }
    lines
}

fn sentences(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (sentence, after) = match rest.find(". ") {
            Some(at) => (&rest[..=at], &rest[at + 2..]),
            None => (rest, ""),
        };
        rest = after;
        Some(sentence)
    })
}

/// An option as `drbdsetup` takes it.
pub fn of_command_line(row: &OptionRow) -> String {
    let name = escape(row.name);
    let (value, text) = match row.kind {
        // drbdadm has put the minor number for the name.
        Kind::MinorOfResource(n) => {
            let numbers = format!("A minor number, {} is none.", n.default);
            ("minor", format!("{} {numbers}", sentence(row.about)))
        }
        _ => (value_name(row), meaning(row)),
    };
    let value = match value {
        "" => String::new(),
        value => format!("=\\fI{}\\fR", escape(value)),
    };
    entry(&format!("\\fB\\-\\-{name}\\fR{value}"), &text)
}

/// An option as a statement of drbd.conf(5), with what older series had instead.
pub fn of_configuration(row: &OptionRow) -> String {
    let name = escape(row.name);
    let value = match value_name(row) {
        "" => String::new(),
        "yes|no" => " [\\fByes\\fR | \\fBno\\fR]".to_owned(),
        value => format!(" \\fI{}\\fR", escape(value)),
    };
    let history = history(row);
    let mut text = meaning(row);
    if !history.is_empty() {
        text.push(' ');
        text.push_str(&history);
    }
    entry(&format!("\\fB{name}\\fR{value}\\fB;\\fR"), &text)
}

/// What stands for the value.
fn value_name(row: &OptionRow) -> &'static str {
    match row.kind {
        Kind::Flag => "",
        Kind::Bool { .. } => "yes|no",
        Kind::Number(_) => "number",
        Kind::MinorOfResource(_) => "resource",
        Kind::Enum(_) => "word",
        Kind::Text { .. } => "text",
        Kind::Words => "name ...",
        Kind::Address => "address",
    }
}

/// What the option does, its range and its default.
fn meaning(row: &OptionRow) -> String {
    let mut text = sentence(row.about);
    if !row.details.is_empty() {
        text.push(' ');
        text.push_str(row.details);
    }
    let limits = limits(row);
    if !limits.is_empty() {
        text.push(' ');
        text.push_str(&limits);
    }
    text
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(chars).chain(['.']).collect()
}

fn limits(row: &OptionRow) -> String {
    match row.kind {
        Kind::Number(n) if n.max == 0 => String::new(),
        Kind::Number(n) => format!("{}, by default {}.", range(n), amount(n, n.default)),
        Kind::Bool { .. } => format!("The default is `{}`.", row.default_text(Era::V84)),
        Kind::Enum(choice) => {
            let words: Vec<_> = choice.words.iter().map(|(w, _)| format!("`{w}`")).collect();
            let default = choice.default_word();
            format!("One of {}; the default is `{default}`.", words.join(", "))
        }
        Kind::Text { max, .. } => format!("At most {max} bytes."),
        Kind::Flag | Kind::MinorOfResource(_) | Kind::Words | Kind::Address => String::new(),
    }
}

/// `1k to 4194304k (KiB, bytes/second)`
fn range(n: Number) -> String {
    let unit = match (n.scale, n.unit) {
        (Scale::One, "") => String::new(),
        (Scale::One, unit) => format!(" ({unit})"),
        (Scale::Kib, "") => " (KiB)".to_owned(),
        (Scale::Kib, unit) => format!(" (KiB, {unit})"),
        (Scale::Sectors, _) => " (sectors of 512 bytes)".to_owned(),
    };
    format!("{} to {}{unit}", amount(n, n.min), amount(n, n.max))
}

fn amount(n: Number, value: i64) -> String {
    format!("{value}{}", n.scale.suffix())
}

/// How other series spelt the option, and what limits and default it had there.
fn history(row: &OptionRow) -> String {
    let mut text = Vec::new();
    match (row.since, row.until) {
        (_, Era::V07) => text.push("Only in 0.7.".to_owned()),
        (Era::V84, _) => text.push("New in 8.4.".to_owned()),
        (since, Era::V84) if since > Era::V07 => text.push(format!("Since {since}.")),
        (_, Era::V84) => {}
        (since, until) => text.push(format!("From {since} to {until}.")),
    }
    text.extend(row.older.iter().map(|spelling| other(spelling, row)));
    text.extend(older_limits(row));
    let mut from = row.since;
    for (until, word) in row.older_defaults {
        let series = series(from, *until);
        text.push(format!("{series} the default was `{word}`."));
        from = following(*until);
    }
    text.join(" ")
}

fn other(spelling: &Spelling, row: &OptionRow) -> String {
    let Spelling { name, from, to, .. } = *spelling;
    let place = match spelling.section {
        section if section == row.section => String::new(),
        Section::Resource => " as a statement of the resource".to_owned(),
        section => format!(" in `{}`", section.keyword()),
    };
    let value = match spelling.form {
        Form::Same => String::new(),
        Form::Negated => format!(", which means `{} no`", row.name),
    };
    if from > to {
        return format!("Also read as `{name}`.");
    }
    let written = if name == row.name {
        String::new()
    } else {
        format!(" written `{name}`")
    };
    format!("{}{written}{place}{value}.", series(from, to))
}

fn older_limits(row: &OptionRow) -> Vec<String> {
    let mut from = row.since;
    let mut texts = Vec::new();
    for (until, n) in row.older_limits {
        let series = series(from, *until);
        let default = amount(*n, n.default);
        // The minor of another device: what is written is the name of a resource.
        if !matches!(row.kind, Kind::MinorOfResource(_)) {
            texts.push(format!("{series}: {}, by default {default}.", range(*n)));
        }
        from = following(*until);
    }
    texts
}

fn following(era: Era) -> Era {
    let next = Era::ALL.into_iter().find(|other| *other > era);
    next.unwrap_or(era)
}

/// `In 0.7`, `Up to 8.3`, `From 8.2 to 8.3`
fn series(from: Era, to: Era) -> String {
    match (from, to) {
        (from, to) if from == to => format!("In {to}"),
        (Era::V07, to) => format!("Up to {to}"),
        (from, to) => format!("From {from} to {to}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ALL, find};

    fn rows() -> impl Iterator<Item = &'static OptionRow> {
        ALL.iter().flat_map(|table| table.iter())
    }

    #[test]
    fn a_page_keeps_what_is_written_by_hand() {
        let page = "a\n.\\\" generated: x\nold\n.\\\" end of generated: x\nb\n";
        let fresh = refresh(page, &[("x", "new\n".to_owned())]).unwrap();
        assert_eq!(fresh, page.replace("old", "new"));
        let missing = refresh(page, &[("y", String::new())]).unwrap_err();
        assert_eq!(missing, MissingSection("y".to_owned()));
    }

    #[test]
    fn text_becomes_roff_that_shows_the_same() {
        let text = "A `two words` and c-d. .dot \\ end.";
        assert_eq!(
            entry("\\fBx\\fR", text),
            ".TP\n\\fBx\\fR\nA \\fBtwo words\\fR and c\\-d.\n\\&.dot \\e end.\n"
        );
        let long = "`a` b ".repeat(40);
        assert!(entry("", &long).lines().all(|line| line.len() <= 78));
    }

    /// What administrators of every series look up: spec 10 sections 4.3 and 4.6.
    #[test]
    fn an_option_is_described_for_every_series() {
        let rate = find(Section::Syncer, "rate").unwrap().row;
        let text = of_configuration(rate);
        assert!(
            text.starts_with(".TP\n\\fBresync\\-rate\\fR \\fInumber\\fR\\fB;\\fR\n"),
            "{text}"
        );
        for fact in [
            "1k to 4194304k (KiB, bytes/second), by default 250k.",
            "Up to 8.3 written \\fBrate\\fR in \\fBsyncer\\fR.",
            "Up to 8.0: 1k to 700000k (KiB, bytes/second), by default 250k.",
        ] {
            assert!(text.replace('\n', " ").contains(fact), "{fact}: {text}");
        }
    }

    /// Spec 30 section 2.3: drbdsetup takes numbers only.
    #[test]
    fn the_resource_to_wait_for_is_a_name_in_the_configuration_and_a_minor_for_drbdsetup() {
        let after = find(Section::Disk, "resync-after").unwrap().row;
        let text = of_command_line(after);
        assert!(
            text.contains("=\\fIminor\\fR\n") && text.contains("\\-1 is none."),
            "{text}"
        );
        assert!(of_configuration(after).contains("\\fIresource\\fR"));
    }

    #[test]
    fn every_option_says_what_it_does_and_every_word_is_explained() {
        for row in rows() {
            assert!(!row.about.is_empty(), "{}", row.name);
            assert!(!row.about.ends_with('.'), "{}", row.name);
            let Kind::Enum(choice) = row.kind else {
                continue;
            };
            for (word, _) in choice.words {
                let explained = row.details.contains(&format!("`{word}`"));
                assert!(explained, "{} {word}", row.name);
            }
        }
    }

    #[test]
    fn every_bold_word_ends() {
        for row in rows() {
            assert_eq!(row.details.matches('`').count() % 2, 0, "{}", row.name);
            assert_eq!(row.about.matches('`').count() % 2, 0, "{}", row.name);
        }
    }
}
