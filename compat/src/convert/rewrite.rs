//! What 8.4 writes differently (spec 10 sections 4.6, 9 and 11).

use drbd_options::{Era, Form, Kind, Match, Section, find};

use super::{
    Context, Fate, Note,
    tree::{Block, Item},
};
use crate::config::HALT;
use crate::era::text::quote;
use crate::model::Dialect;

pub(super) fn file(items: &mut [Item], context: &Context, notes: &mut Vec<Note>) {
    let mut rewriter = Rewriter {
        context,
        notes,
        halts: false,
    };
    for item in items {
        match item.keyword() {
            "global" => rewriter.global(item),
            "resource" | "common" => rewriter.resource(item),
            "skip" => name_skipped(item),
            _ => {}
        }
    }
}

/// `skip` takes one text in 8.4, any words in 0.7.
fn name_skipped(item: &mut Item) {
    if item.words.len() > 2 {
        let text: String = item.words[1..].join(" ");
        let text = text.replace(['"', '\\'], "");
        item.words.truncate(1);
        item.words.push(format!("\"{text}\""));
    }
}

struct Rewriter<'c> {
    context: &'c Context,
    notes: &'c mut Vec<Note>,
    /// Whether the resource needs a handler that halts the node.
    halts: bool,
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

impl Rewriter<'_> {
    fn note(&mut self, item: &Item, fate: Fate, why: &str) {
        self.notes.push(Note {
            line: item.line,
            what: item.words.join(" "),
            fate,
            why: why.to_owned(),
        });
    }

    fn global(&mut self, section: &mut Item) {
        let Some(block) = &mut section.block else {
            return;
        };
        block.items.retain_mut(|item| {
            let Some(word) = item.words.first_mut() else {
                return true;
            };
            if word.contains('_') {
                *word = word.replace('_', "-");
            }
            let kept = word != "disable-io-hints";
            if !kept {
                self.note(item, Fate::LeftOut, "it has had no effect since 8.0");
            }
            kept
        });
    }

    /// A resource or `common`: options go to the sections where 8.4 has them, in the order in
    /// which they were read, so that they mean the same.
    fn resource(&mut self, header: &mut Item) {
        let name = header
            .words
            .get(1)
            .map_or("", |word| word.trim_matches('"'));
        let before = self.context.resync_after.get(name).cloned();
        let Some(block) = &mut header.block else {
            return;
        };
        self.halts = false;
        let mut body = Body::default();
        for mut item in std::mem::take(&mut block.items) {
            let keyword = item.keyword().to_owned();
            let section = section_of(&keyword);
            match (keyword.as_str(), section, item.block.take()) {
                ("protocol", ..) => body.add(Section::Net, item),
                ("incon-degr-cmd", ..) => {
                    item.words[0] = "pri-on-incon-degr".to_owned();
                    body.add(Section::Handlers, item);
                }
                ("ignore-on", ..) => {
                    self.note(&item, Fate::LeftOut, "it has had no effect since 8.4");
                }
                ("skip", _, Some(inner)) => {
                    self.note(
                        &item,
                        Fate::Replaced,
                        "comments: 8.4 has no skip in a resource",
                    );
                    body.comments.append(&mut item.above);
                    let text = inner.verbatim.unwrap_or_default();
                    let text = format!("{} {{{text}}}", item.text());
                    body.comments.extend(text.lines().map(commented));
                }
                (_, Some(section), Some(inner)) => self.options(section, item, inner, &mut body),
                (_, _, inner) => {
                    item.block = inner;
                    self.statement(&mut item);
                    body.push(item);
                }
            }
        }
        if let Some(before) = &before {
            body.add(Section::Disk, Item::of(&["resync-after", &quote(before)]));
        }
        if self.halts {
            body.add(
                Section::Handlers,
                Item::of(&["local-io-error", &quote(HALT)]),
            );
        }
        block.items = body.items;
        block.tail.splice(..0, body.comments);
    }

    /// Distributes the options of a section.
    fn options(&mut self, section: Section, mut header: Item, inner: Block, body: &mut Body) {
        let mut above = std::mem::take(&mut header.above);
        above.extend(comment(&inner.opening));
        if section != Section::Syncer {
            body.section(section, std::mem::take(&mut above));
            body.indent(section, header.indent.take());
        }
        for mut item in inner.items {
            let Some(target) = self.modernise(section, &mut item) else {
                continue;
            };
            if target != section {
                item.indent = None;
            }
            let created = body.find(target).is_none();
            let (own, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut above)
                .into_iter()
                .partition(|line: &String| created && line.is_empty());
            item.above.splice(..0, rest);
            body.section(target, own).items.push(item);
        }
        let home = match section {
            Section::Syncer => Section::Disk,
            other => other,
        };
        let mut tail = inner.tail;
        tail.extend(comment(&header.beside));
        above.retain(|line| !line.is_empty());
        tail.splice(..0, above);
        if tail.iter().any(|line| !line.is_empty()) {
            body.section(home, Vec::new()).tail.extend(tail);
        }
    }

    /// Gives an option its modern form; the section where it belongs, or nothing if it is gone.
    fn modernise(&mut self, section: Section, item: &mut Item) -> Option<Section> {
        if item.words.last().is_some_and(|word| word == "_is_default") {
            item.words.pop();
        }
        let Some(Match { row, form }) = find(section, item.keyword()) else {
            return Some(section);
        };
        if row.until < Era::V84 {
            let why = match row.name {
                "group" => self.context.group_fate(),
                _ => (Fate::LeftOut, row.about),
            };
            self.note(item, why.0, why.1);
            return None;
        }
        if section == Section::Proxy {
            return Some(section);
        }
        self.value(row.name, item);
        if item.words[0] != row.name {
            item.words[0] = row.name.to_owned();
        }
        match (form, row.kind) {
            (Form::Negated, _) => item.words.push("no".to_owned()),
            // In 8.4 it still is the switch that means `yes`: written out where it was renamed.
            (Form::Same, Kind::Bool { .. }) if item.words.len() == 1 => {
                item.words.push("yes".to_owned());
            }
            _ => {}
        }
        Some(row.section)
    }

    /// Values that meant something else.
    fn value(&mut self, name: &str, item: &mut Item) {
        let Some(value) = item.words.get(1).cloned() else {
            return;
        };
        let bare = value.bytes().all(|b| b.is_ascii_digit());
        match (name, value.trim_matches('"')) {
            ("on-io-error", "panic") => {
                let why = "call-local-io-error with a handler that halts the node";
                self.note(item, Fate::Replaced, why);
                item.words[1] = "call-local-io-error".to_owned();
                self.halts = true;
            }
            ("size", "0") => {}
            ("size", _) if bare && self.context.dialect == Dialect::V07 => {
                item.words[1] = format!("{value}K");
            }
            ("size", _) if bare => {
                let why = "it is read as sectors of 512 bytes; up to 8.2.6 it meant KiB";
                self.note(item, Fate::Check, why);
            }
            _ => {}
        }
    }

    /// Statements of hosts and volumes.
    fn statement(&mut self, item: &mut Item) {
        match item.keyword() {
            "flexible-meta-disk" => item.words[0] = "meta-disk".to_owned(),
            "address" => address(&mut item.words),
            _ => {}
        }
        if let [_, device, word, index] = item.words.as_slice()
            && word == "meta-index"
        {
            let slot = format!("{device}[{index}]");
            item.words.truncate(1);
            item.words.push(slot);
        }
        let is_disk = item.keyword() == "disk";
        let Some(block) = &mut item.block else { return };
        if is_disk {
            let items = &mut block.items;
            items.retain_mut(|option| self.modernise(Section::Disk, option).is_some());
            return;
        }
        for inner in &mut block.items {
            self.statement(inner);
        }
    }
}

/// The families and forms of older series.
fn address(words: &mut Vec<String>) {
    if words.get(1).is_some_and(|family| family == "sci") {
        words[1] = "ssocks".to_owned();
    }
    if let [_, host, word, port] = words.as_slice()
        && word == "port"
    {
        let place = format!("{host}:{port}");
        words.truncate(1);
        words.push(place);
    }
}

fn comment(beside: &str) -> Option<String> {
    let text = beside.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn commented(line: &str) -> String {
    format!("# {}", line.trim()).trim_end().to_owned()
}

impl Item {
    fn of(words: &[&str]) -> Self {
        Self {
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            ..Self::default()
        }
    }
}

/// The new content of a resource.
#[derive(Default)]
struct Body {
    items: Vec<Item>,
    /// What became comments, until something comes behind them.
    comments: Vec<String>,
}

impl Body {
    fn push(&mut self, mut item: Item) {
        item.above.splice(..0, std::mem::take(&mut self.comments));
        self.items.push(item);
    }

    fn find(&self, section: Section) -> Option<usize> {
        let keyword = section.keyword();
        let is_it = |item: &Item| item.block.is_some() && item.words == [keyword];
        self.items.iter().position(is_it)
    }

    /// The block of a section, made where it is first needed.
    fn section(&mut self, section: Section, above: Vec<String>) -> &mut Block {
        let found = self.find(section);
        let at = found.unwrap_or_else(|| {
            self.push(Item {
                block: Some(Block::default()),
                ..Item::of(&[section.keyword()])
            });
            self.items.len() - 1
        });
        let item = &mut self.items[at];
        // An empty line belongs to the place where a section begins, not to one that joins it.
        let kept = |line: &String| found.is_none() || !line.is_empty();
        item.above.extend(above.into_iter().filter(kept));
        item.block.get_or_insert_default()
    }

    /// Indents a section as it was, unless another one has joined it that is.
    fn indent(&mut self, section: Section, indent: Option<String>) {
        if let Some(at) = self.find(section) {
            let own = &mut self.items[at].indent;
            *own = own.take().or(indent);
        }
    }

    fn add(&mut self, section: Section, mut item: Item) {
        item.indent = None;
        // Empty lines belong to the place that the statement leaves.
        let created = self.find(section).is_none();
        let blank = item.above.iter().take_while(|line| line.is_empty()).count();
        let blank: Vec<String> = item.above.drain(..blank).collect();
        let above = if created { blank } else { Vec::new() };
        self.section(section, above).items.push(item);
    }
}
