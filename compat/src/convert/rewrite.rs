//! What 8.4 writes differently (spec 10 sections 4.6, 9 and 11).

use drbd_options::{Era, Form, Kind, Match, Section, find};

use super::{
    Note,
    tree::{Block, Item},
};

pub(super) fn file(items: &mut [Item], notes: &mut Vec<Note>) {
    for item in items.iter_mut() {
        let keyword = item.words.first().map(String::as_str).unwrap_or_default();
        match (keyword, &mut item.block) {
            ("global", Some(block)) => global(block, notes),
            ("resource" | "common", Some(block)) => resource(block, notes),
            _ => {}
        }
    }
}

fn note(notes: &mut Vec<Note>, item: &Item, why: &'static str) {
    notes.push(Note {
        line: item.line,
        what: item.words.join(" "),
        why,
    });
}

fn global(block: &mut Block, notes: &mut Vec<Note>) {
    block.items.retain_mut(|item| {
        let Some(word) = item.words.first_mut() else {
            return true;
        };
        *word = word.replace('_', "-");
        let kept = word != "disable-io-hints";
        if !kept {
            note(notes, item, "it has had no effect since 8.0");
        }
        kept
    });
}

const SECTIONS: [Section; 7] = [
    Section::Net,
    Section::Disk,
    Section::Syncer,
    Section::Startup,
    Section::Handlers,
    Section::Options,
    Section::Proxy,
];

fn section_of(word: &str) -> Option<Section> {
    SECTIONS
        .into_iter()
        .find(|section| section.keyword() == word)
}

/// A resource or `common`: options go to the sections where 8.4 has them, in the order in which
/// they were read, so that they mean the same.
fn resource(block: &mut Block, notes: &mut Vec<Note>) {
    let old = std::mem::take(&mut block.items);
    let mut new = Vec::with_capacity(old.len());
    for mut item in old {
        let keyword = item.words.first().cloned().unwrap_or_default();
        let section = section_of(&keyword);
        match (keyword.as_str(), section, item.block.take()) {
            ("protocol", ..) => add(&mut new, Section::Net, item),
            ("incon-degr-cmd", ..) => {
                item.words[0] = "pri-on-incon-degr".to_owned();
                add(&mut new, Section::Handlers, item);
            }
            ("ignore-on", ..) => note(notes, &item, "it has had no effect since 8.4"),
            (_, Some(section), Some(inner)) => {
                options(section, &item, inner, &mut new, notes);
            }
            (_, _, inner) => {
                item.block = inner;
                statement(&mut item, notes);
                new.push(item);
            }
        }
    }
    block.items = new;
}

/// Distributes the options of a section.
fn options(
    section: Section,
    header: &Item,
    inner: Block,
    new: &mut Vec<Item>,
    notes: &mut Vec<Note>,
) {
    let mut above = header.above.clone();
    if section != Section::Syncer {
        place(new, section, std::mem::take(&mut above));
    }
    for mut item in inner.items {
        let word = item.words.first().cloned().unwrap_or_default();
        let found = find(section, &word);
        let Some(target) = modernise(section, found, &mut item, notes) else {
            continue;
        };
        item.above.splice(..0, std::mem::take(&mut above));
        add(new, target, item);
    }
    let home = match section {
        Section::Syncer => Section::Disk,
        other => other,
    };
    if !inner.tail.is_empty() {
        place(new, home, Vec::new()).tail.extend(inner.tail);
    }
}

/// Gives an option its modern form; the section where it belongs, or nothing if it is gone.
fn modernise(
    section: Section,
    found: Option<Match>,
    item: &mut Item,
    notes: &mut Vec<Note>,
) -> Option<Section> {
    let Some(Match { row, form }) = found else {
        return Some(section);
    };
    if row.until < Era::V84 {
        note(notes, item, row.about);
        return None;
    }
    if section == Section::Proxy {
        return Some(section);
    }
    if row.name == "on-io-error" && item.words.get(1).is_some_and(|w| w == "panic") {
        note(
            notes,
            item,
            "call-local-io-error with a handler that halts the node does the same",
        );
        item.words[1] = "call-local-io-error".to_owned();
    }
    item.words[0] = row.name.to_owned();
    match (form, row.kind) {
        (Form::Negated, _) => item.words.push("no".to_owned()),
        (Form::Same, Kind::Bool { .. }) if item.words.len() == 1 => {
            item.words.push("yes".to_owned());
        }
        _ => {}
    }
    Some(row.section)
}

/// Statements of hosts and volumes.
fn statement(item: &mut Item, notes: &mut Vec<Note>) {
    if let Some(word) = item.words.first_mut()
        && word == "flexible-meta-disk"
    {
        *word = "meta-disk".to_owned();
    }
    let Some(block) = &mut item.block else { return };
    let header = item.words.first().map(String::as_str).unwrap_or_default();
    if header == "disk" {
        block.items.retain_mut(|option| {
            let word = option.words.first().cloned().unwrap_or_default();
            let found = find(Section::Disk, &word);
            modernise(Section::Disk, found, option, notes).is_some()
        });
        return;
    }
    for inner in &mut block.items {
        statement(inner, notes);
    }
}

/// The block of a section, made where it is first needed.
fn place(new: &mut Vec<Item>, section: Section, above: Vec<String>) -> &mut Block {
    let keyword = section.keyword();
    let is_it = |item: &Item| item.block.is_some() && item.words == [keyword];
    let at = match new.iter().position(is_it) {
        Some(at) => {
            new[at].above.extend(above);
            at
        }
        None => {
            new.push(Item {
                above,
                words: vec![keyword.to_owned()],
                line: 0,
                block: Some(Block::default()),
                beside: None,
            });
            new.len() - 1
        }
    };
    new[at].block.get_or_insert_default()
}

fn add(new: &mut Vec<Item>, section: Section, item: Item) {
    place(new, section, Vec::new()).items.push(item);
}
