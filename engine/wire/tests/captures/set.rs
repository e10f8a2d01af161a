//! Reads a capture set: `<set>.timeline.txt` and the raw streams it describes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The captures of the wire protocol specification, beside the repository.
pub fn directory() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/spec/captures");
    assert!(
        path.is_dir(),
        "captures not found: {} must exist (the shared directory belongs beside the repository)",
        path.display()
    );
    path
}

/// The names of all sets.
pub fn names() -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory())
        .unwrap()
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            name.strip_suffix(".timeline.txt").map(str::to_owned)
        })
        .collect();
    names.sort();
    assert!(names.len() >= 25, "capture sets are missing: {names:?}");
    names
}

/// One packet as the timeline describes it.
#[derive(Clone, Debug)]
pub struct Line {
    pub name: String,
    pub volume: u16,
    pub offset: usize,
    pub header: usize,
    pub length: usize,
}

/// One direction of one TCP connection.
#[derive(Debug)]
pub struct Stream {
    /// Connection number, in the order of their establishment.
    pub connection: u32,
    pub meta: bool,
    /// `r0` or `r1`.
    pub sender: String,
    pub lines: Vec<Line>,
    pub bytes: Vec<u8>,
}

/// All streams of a set, ordered by connection and sender.
pub fn load(set: &str) -> Vec<Stream> {
    let text = fs::read_to_string(directory().join(format!("{set}.timeline.txt"))).unwrap();
    let mut lines: BTreeMap<(u32, String, String), Vec<Line>> = BTreeMap::new();
    for words in text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
    {
        let [_, connection, socket, sender, name, rest @ ..] = words.as_slice() else {
            continue;
        };
        if !name.starts_with("P_") {
            continue;
        }
        let number = |key: &str| -> usize {
            let value = rest.iter().find_map(|word| word.strip_prefix(key));
            value
                .unwrap_or_else(|| panic!("{set}: no {key} in {words:?}"))
                .parse()
                .unwrap()
        };
        let connection = connection.strip_prefix('c').unwrap().parse().unwrap();
        lines
            .entry((connection, (*sender).to_owned(), (*socket).to_owned()))
            .or_default()
            .push(Line {
                name: (*name).to_owned(),
                volume: number("vol=").try_into().unwrap(),
                offset: number("off="),
                header: number("hdr="),
                length: number("len="),
            });
    }
    lines
        .into_iter()
        .map(|((connection, sender, socket), lines)| {
            let file = format!("{set}-c{connection}-{socket}-from-{sender}.bin");
            Stream {
                connection,
                meta: socket == "meta",
                sender,
                lines,
                bytes: fs::read(directory().join(file)).unwrap(),
            }
        })
        .collect()
}
