//! A configuration is read or refused; what was read can be printed for every series, and what is
//! printed for 8.4 is read again as the same.

use compat::{
    config::{Input, Loaded, Node, encode, load},
    era::{
        dump::{self, Detail},
        dump_old::{self, View},
        old::OldSections,
        xml,
    },
    model::Config,
};
use drbd_options::Era;

const NODE: &str = "alpha";

pub fn read_print_read(data: &[u8]) {
    let loaded = read(data);
    for source in &loaded.sources {
        assert_eq!(encode(&source.text), data, "the text is kept byte for byte");
    }
    for label in loaded.diagnostics.iter().filter_map(|d| d.label.as_ref()) {
        let text = &loaded.sources[label.source.0].text;
        let marked = text.get(label.offset..label.offset + label.length);
        assert!(marked.is_some(), "marked text lies in the source");
    }
    if loaded.end.is_err() {
        assert!(!loaded.diagnostics.is_empty(), "a refusal has a reason");
        return;
    }
    for era in Era::ALL.into_iter().filter(|era| *era < Era::V84) {
        print(&loaded.config, era);
    }
    xml::config(&loaded.config);
    let printed = dump::config(&loaded.config, NODE, Detail::Verbose);
    let again = read(&encode(&printed));
    // Names of hosts are printed without quotes, as the genuine programs print them; where one
    // needs quotes the print cannot be read. What is accepted must mean the same.
    if again.end.is_ok() {
        let twice = dump::config(&again.config, NODE, Detail::Verbose);
        let mut pairs = statements(&printed).zip(statements(&twice));
        let differing = pairs.find(|(once, twice)| once != twice);
        assert_eq!(differing, None, "{printed}\nis read as\n{twice}");
    } else if !data.contains(&b'"') {
        panic!("{}\nis refused: {:?}", printed, again.diagnostics);
    }
}

fn read(data: &[u8]) -> Loaded {
    let node = Node {
        name: NODE.to_owned(),
        ..Node::default()
    };
    load(Input::Stdin(data), None, &node).expect("nothing is opened")
}

fn print(config: &Config, era: Era) -> String {
    let common = config.common.as_ref();
    let common = common.map(|common| OldSections::of(&common.sections, era));
    let resources = config.resources.iter();
    let resources: Vec<_> = resources
        .map(|r| OldSections::of(&r.sections, era))
        .collect();
    dump_old::config(View {
        config,
        common: common.as_ref(),
        resources: &resources,
        era,
        node: NODE,
    })
}

/// Without remarks, which name lines, and without the time limits, of which the genuine programs do
/// not print those that equal the documented default although another one is in effect.
fn statements(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.starts_with('#') && !line.starts_with("cmd-timeout"));
    lines.chain(["the end"])
}
