//! Files that include each other in any way: reading them ends, and no file is read twice.

use std::{collections::BTreeSet, rc::Rc};

use compat::config::{Input, Memory, Node, Storage, load_from};

/// The files; the first one is read, and the input is cut at zero bytes into their contents.
const NAMES: [&str; 6] = [
    "/etc/drbd.conf",
    "/etc/drbd.d/a.res",
    "/etc/drbd.d/b.res",
    "/etc/drbd.d/.hidden.res",
    "/etc/drbd.d/sub/c.res",
    "/etc/d[1].conf",
];

pub fn read_all(data: &[u8]) {
    let contents = data.split(|byte| *byte == 0).map(<[u8]>::to_vec);
    let files = NAMES.iter().map(Into::into).zip(contents);
    let storage: Rc<dyn Storage> = Rc::new(Memory(files.collect()));
    let node = Node {
        name: "alpha".to_owned(),
        ..Node::default()
    };
    let loaded = load_from(&storage, Input::Path(NAMES[0]), None, &node);
    let loaded = loaded.expect("the first file always exists");
    let read: BTreeSet<&str> = loaded.sources.iter().map(|source| &*source.file).collect();
    assert_eq!(read.len(), loaded.sources.len(), "a file was read twice");
    assert!(loaded.end.is_ok() || !loaded.diagnostics.is_empty());
}
