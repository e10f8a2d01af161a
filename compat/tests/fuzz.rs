//! What the fuzz targets of `fuzz/` check, over seeds and random changes of them: so that CI does
//! it without a nightly compiler.

#[path = "../../fuzz/bodies/config.rs"]
mod config;
#[path = "../../fuzz/bodies/include.rs"]
mod include;

use std::{fs, sync::LazyLock};

use proptest::{collection::vec, prelude::*, sample::Index};

/// The samples of every series, and the five installations of the field.
static SEEDS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let samples = [
        include_str!("../../testdata/drbdadm/07.conf"),
        include_str!("../../testdata/drbdadm/83-style.conf"),
        include_str!("../../testdata/drbdadm/84-style.conf"),
        include_str!("../../testdata/drbdadm/commands.conf"),
        include_str!("../../testdata/drbdadm/quoting.conf"),
    ];
    let field = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/field");
    let field = fs::read_dir(field).expect("the field files are beside the repository");
    let field = field.filter_map(|entry| Some(entry.ok()?.path()));
    let field = field.filter(|path| path.extension().is_some_and(|e| e == "conf"));
    let field = field.map(|path| fs::read_to_string(path).expect("a field file"));
    samples
        .map(str::to_owned)
        .into_iter()
        .chain(field)
        .collect()
});

/// Words that lead into every part of the grammar.
const WORDS: &[&str] = &[
    "{",
    "}",
    ";",
    "[",
    "]",
    ":",
    "\"",
    "\\",
    "#",
    "\n",
    " ",
    "\0",
    "resource",
    "common",
    "global",
    "skip",
    "include",
    "\"*/../*\"",
    "*.res",
    "on",
    "floating",
    "stacked-on-top-of",
    "volume",
    "disk",
    "device",
    "minor",
    "meta-disk",
    "flexible-meta-disk",
    "internal",
    "address",
    "ipv6",
    "[fe80::1%eth0]:7788",
    "10.0.0.1:7788",
    "proxy",
    "inside",
    "outside",
    "plugin",
    "syncer",
    "group",
    "after",
    "net",
    "startup",
    "handlers",
    "options",
    "protocol",
    "C",
    "incon-degr-cmd",
    "on-io-error",
    "panic",
    "size",
    "1",
    "99999999999999999999",
    "-1s",
    "20000000000G",
    "yes",
    "_is_default",
    "port",
    "meta-index",
    "become-primary-on",
    "alpha",
    "é",
    "\u{ff}",
];

#[derive(Clone, Debug)]
enum Change {
    Remove(Index, u8),
    Repeat(Index, u8),
    Insert(Index, Index),
    Replace(Index, u8),
    Splice(Index, Index, Index),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, n)| Change::Remove(at, n)),
        (any::<Index>(), any::<u8>()).prop_map(|(at, n)| Change::Repeat(at, n)),
        (any::<Index>(), any::<Index>()).prop_map(|(at, word)| Change::Insert(at, word)),
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Replace(at, byte)),
        (any::<Index>(), any::<Index>(), any::<Index>())
            .prop_map(|(at, seed, from)| Change::Splice(at, seed, from)),
    ]
}

fn apply(mut text: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        if text.is_empty() {
            text.push(b'{');
        }
        match change {
            Change::Remove(at, n) => {
                let at = at.index(text.len());
                text.drain(at..text.len().min(at + usize::from(*n)));
            }
            Change::Repeat(at, n) => {
                let at = at.index(text.len());
                let piece = text[at..text.len().min(at + usize::from(*n))].to_vec();
                text.splice(at..at, piece);
            }
            Change::Insert(at, word) => {
                let at = at.index(text.len());
                let word = format!(" {} ", WORDS[word.index(WORDS.len())]);
                text.splice(at..at, word.into_bytes());
            }
            Change::Replace(at, byte) => {
                let at = at.index(text.len());
                text[at] = *byte;
            }
            Change::Splice(at, seed, from) => {
                let at = at.index(text.len());
                let other = SEEDS[seed.index(SEEDS.len())].as_bytes();
                text.splice(at.., other[from.index(other.len())..].iter().copied());
            }
        }
    }
    text
}

#[test]
fn every_seed_is_read_printed_and_read_again() {
    assert_eq!(SEEDS.len(), 10);
    for seed in SEEDS.iter() {
        config::read_print_read(seed.as_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_configuration_is_read_or_refused(
        seed in any::<Index>(),
        changes in vec(change(), 0..6),
    ) {
        let text = SEEDS[seed.index(SEEDS.len())].as_bytes().to_vec();
        config::read_print_read(&apply(text, &changes));
    }

    #[test]
    fn words_in_any_order_are_read_or_refused(words in vec(any::<Index>(), 0..60)) {
        let words: Vec<_> = words.iter().map(|word| WORDS[word.index(WORDS.len())]).collect();
        config::read_print_read(words.join(" ").as_bytes());
    }

    #[test]
    fn files_that_include_each_other_in_any_way_end(
        files in vec((any::<Index>(), vec(any::<Index>(), 0..4)), 1..6),
        rest in vec(change(), 0..3),
    ) {
        const PATTERNS: [&str; 8] = [
            "/etc/drbd.conf", "drbd.d/*.res", "*.res", "../*.conf", "sub/*", "*/../*", ".*", "d[[]1].conf",
        ];
        let text = files.iter().map(|(seed, patterns)| {
            let includes = patterns.iter().map(|p| {
                format!("include \"{}\";\n", PATTERNS[p.index(PATTERNS.len())])
            });
            includes.collect::<String>() + &SEEDS[seed.index(SEEDS.len())]
        });
        let text = text.collect::<Vec<_>>().join("\0");
        include::read_all(&apply(text.into_bytes(), &rest));
    }
}

#[test]
fn a_long_chain_of_includes_ends_with_a_clear_error() {
    use compat::config::{Input, Memory, Node, Storage, load_from};
    let files = (0..5000).map(|n| {
        let text = format!("include \"{}\";", n + 1);
        (format!("/c/{n}").into(), text.into_bytes())
    });
    let storage: std::rc::Rc<dyn Storage> = std::rc::Rc::new(Memory(files.collect()));
    let loaded = load_from(&storage, Input::Path("/c/0"), None, &Node::default()).unwrap();
    assert!(loaded.end.is_err());
    let text = &loaded.diagnostics.last().unwrap().text;
    assert!(text.contains("too deep"), "{text}");
}

/// Spec of issue 3: a megabyte of anything is read in the time and memory of a megabyte.
#[test]
fn a_megabyte_of_braces_ends() {
    for piece in [
        "{",
        "resource r {",
        "skip {",
        "a ",
        "\"",
        ";",
        "on a {",
        "[",
        "::",
        "include x;",
    ] {
        config::read_print_read(piece.repeat((1 << 20) / piece.len()).as_bytes());
    }
}
