//! The form of the project: what a reviewer would otherwise have to look for.

use testbed::repository::{Crates, Source, relative, sources};

const LINE_LIMIT: usize = 120;
const FILE_LIMIT: usize = 600;

/// Files (by the beginning of their path) with lines over the limit, each with the reason.
const LONG_LINES: &[(&str, &str)] = &[
    ("engine/wire/src/table.rs", "a packet is a row of its table"),
    (
        "engine/sim/tests/scenarios_",
        "log lines as the kernel wrote them",
    ),
];

/// Where `unsafe` may stand: the edges to the kernel.
const UNSAFE_PLACES: &[&str] = &[
    "engine/src/device/",
    "engine/src/store/",
    "engine/src/buffer.rs",
    "engine/src/runtime/uring.rs",
];

/// The only crate that may hold `unsafe` at all.
const UNSAFE_CRATE: &str = "engine";

/// Which crate of ours may be linked with which others of ours (design section 3).
const LAYERS: &[(&str, &[&str])] = &[
    ("drbd-types", &[]),
    ("drbd-options", &["drbd-types"]),
    ("drbd-control", &["drbd-types", "drbd-options"]),
    ("drbd-proc", &["drbd-types", "drbd-options"]),
    ("drbd-system", &[]),
    (
        "compat",
        &[
            "drbd-types",
            "drbd-options",
            "drbd-control",
            "drbd-proc",
            "drbd-system",
        ],
    ),
    ("drbdmeta", &["drbd-types", "drbd-options", "compat"]),
    (
        "drbdsetup",
        &[
            "drbd-types",
            "drbd-options",
            "drbd-control",
            "drbd-proc",
            "compat",
        ],
    ),
    (
        "drbdadm",
        &[
            "drbd-types",
            "drbd-options",
            "drbd-control",
            "compat",
            "drbdsetup",
        ],
    ),
    ("drbd-wire", &["drbd-types"]),
    ("drbd-core", &["drbd-types", "drbd-wire"]),
    ("drbd-sim", &["drbd-types", "drbd-wire", "drbd-core"]),
    ("drbd-demo", &["drbd-system"]),
    (
        "engine",
        &[
            "drbd-types",
            "drbd-options",
            "drbd-control",
            "drbd-proc",
            "compat",
            "drbdmeta",
            "drbd-wire",
            "drbd-core",
            "drbd-demo",
        ],
    ),
    ("testbed", &["drbd-demo", "drbd-system"]),
];

fn offences(files: &[Source], offends: impl Fn(&str, &str) -> bool) -> String {
    let lines = files.iter().flat_map(|file| {
        let numbered = file
            .text
            .lines()
            .enumerate()
            .filter(|(_, line)| offends(&file.path, line));
        numbered.map(|(number, line)| format!("{}:{}: {}", file.path, number + 1, line.trim()))
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The columns of a line without its quoted text: what a program prints cannot be wrapped.
fn code_columns(line: &str) -> usize {
    let quoted = line
        .find('"')
        .zip(line.rfind('"'))
        .map_or(0, |(from, to)| line[from..to].chars().count());
    line.chars().count() - quoted
}

#[test]
fn lines_fit_on_a_screen() {
    let found = offences(&sources(&[".rs"]), |path, line| {
        code_columns(line) > LINE_LIMIT
            && !LONG_LINES.iter().any(|(long, _)| path.starts_with(long))
    });
    assert!(
        found.is_empty(),
        "lines over {LINE_LIMIT} columns:\n{found}"
    );
}

#[test]
fn files_are_short() {
    let judge = |file: &Source| {
        let lines = file.text.lines().count();
        (lines > FILE_LIMIT).then(|| {
            format!(
                "{} has {lines} lines, {FILE_LIMIT} are allowed: split it",
                file.path
            )
        })
    };
    let found: Vec<String> = sources(&[".rs"]).iter().filter_map(judge).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn nothing_unfinished_is_left_in_the_source() {
    // Spelt in two halves, so that this list is not found by itself.
    let banned = [
        ["TO", "DO"],
        ["FIX", "ME"],
        ["XX", "X"],
        ["unimple", "mented!"],
        ["to", "do!("],
        ["db", "g!("],
    ];
    let banned: Vec<String> = banned
        .iter()
        .map(|halves| halves.concat())
        .chain([["#[ig", "nore"].concat()])
        .collect();
    let found = offences(&sources(&[".rs", ".sh", "Makefile"]), |_, line| {
        banned.iter().any(|word| line.contains(word))
    });
    assert!(found.is_empty(), "unfinished:\n{found}");
}

#[test]
fn unsafe_stands_only_at_the_edges_to_the_kernel() {
    let words = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"];
    let found = offences(&sources(&[".rs"]), |path, line| {
        words
            .iter()
            .any(|word| line.contains(word) && !line.contains('"'))
            && !UNSAFE_PLACES.iter().any(|place| path.starts_with(place))
    });
    assert!(
        found.is_empty(),
        "unsafe outside of {UNSAFE_PLACES:?}:\n{found}"
    );
}

#[test]
fn every_crate_but_the_engine_forbids_unsafe_code() {
    for package in Crates::resolve()
        .ours()
        .filter(|package| package.name != UNSAFE_CRATE)
    {
        for root in package.library.iter() {
            let text = std::fs::read_to_string(root).expect("cargo says it is there");
            assert!(
                text.contains("#![forbid(unsafe_code)]"),
                "{}: no forbid(unsafe_code)",
                relative(root)
            );
        }
    }
}

#[test]
fn every_crate_begins_with_what_it_is() {
    for package in Crates::resolve().ours() {
        for root in &package.roots {
            let text = std::fs::read_to_string(root).expect("cargo says it is there");
            assert!(
                text.starts_with("//!"),
                "{}: no module documentation",
                relative(root)
            );
        }
    }
}

#[test]
fn arrows_between_crates_point_one_way() {
    let crates = Crates::resolve();
    for package in crates.ours() {
        let allowed = LAYERS.iter().find(|(name, _)| *name == package.name);
        let (_, allowed) =
            allowed.unwrap_or_else(|| panic!("crate {} has no place in the layers", package.name));
        for link in crates.our_links(package) {
            assert!(
                allowed.contains(&link),
                "{} must not know {link}",
                package.name
            );
        }
    }
}

#[test]
fn scripts_are_valid_bash() {
    for script in sources(&[
        ".sh",
        "init.d/drbd",
        "resource.d/drbddisk",
        ".ci/run",
        ".ci/setup",
        ".ci/check",
    ]) {
        let path = testbed::programs::repository().join(&script.path);
        let output = std::process::Command::new("bash")
            .arg("-n")
            .arg(path)
            .output()
            .expect("bash can be run");
        assert!(
            output.status.success(),
            "{}: {}",
            script.path,
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
