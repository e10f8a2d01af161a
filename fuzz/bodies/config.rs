//! A configuration is read or refused; what was read can be printed for every series, and what is
//! printed for 8.4 is read again as the same. Converted, it means the same, too.

use compat::{
    config::{Input, Loaded, Node, encode, further_errors, load},
    convert::{Context, convert},
    era::{
        dump::{self, Detail},
        dump_old::{self, View},
        old::OldSections,
        xml,
    },
    model::{Config, Dialect},
};
use drbd_options::Era;

const NODE: &str = "alpha";

pub fn read_print_read(data: &[u8]) {
    let (node, loaded) = (node(), read(data));
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
        for further in further_errors(Input::Stdin(data), None, &node, &loaded) {
            let label = further
                .diagnostic
                .label
                .expect("a further error has its place");
            let marked = further
                .source
                .text
                .get(label.offset..label.offset + label.length);
            assert!(marked.is_some(), "marked text lies in the source");
        }
        return;
    }
    for era in Era::ALL.into_iter().filter(|era| *era < Era::V84) {
        print(&loaded.config, era);
    }
    xml::config(&loaded.config);
    let printed = dump::config(&loaded.config, NODE, Detail::Verbose);
    convert_twice(&loaded, &printed);
    let again = read(&encode(&printed));
    // Names of hosts are printed without quotes, as the genuine programs print them; where one
    // needs quotes the print cannot be read. What is accepted must mean the same.
    if again.end.is_ok() {
        let twice = dump::config(&again.config, NODE, Detail::Verbose);
        assert_same(&printed, &twice);
    } else if !data.contains(&b'"') {
        panic!("{}\nis refused: {:?}", printed, again.diagnostics);
    }
}

/// The conversion is read by 8.4, says the same unless it tells otherwise, and is final.
fn convert_twice(loaded: &Loaded, printed: &str) {
    let [source] = loaded.sources.as_slice() else {
        return;
    };
    let converted = convert(&source.text, &Context::of(&loaded.config));
    let new = read(&encode(&converted.text));
    assert!(new.end.is_ok(), "{}\n{:?}", converted.text, new.diagnostics);
    assert_eq!(new.config.dialect, Dialect::V8);
    if converted.notes.is_empty() {
        let again = dump::config(&new.config, NODE, Detail::Verbose);
        assert_same(printed, &again);
    }
    let twice = convert(&converted.text, &Context::of(&new.config));
    assert_eq!(twice.text, converted.text);
}

fn assert_same(one: &str, other: &str) {
    let mut pairs = statements(one).zip(statements(other));
    let differing = pairs.find(|(one, other)| one != other);
    assert_eq!(differing, None, "{one}\nis read as\n{other}");
}

fn node() -> Node {
    Node {
        name: NODE.to_owned(),
        ..Node::default()
    }
}

fn read(data: &[u8]) -> Loaded {
    load(Input::Stdin(data), None, &node()).expect("nothing is opened")
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
