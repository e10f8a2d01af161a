//! Files that nobody in his right mind writes: a megabyte of anything is read, or refused, within
//! 200 MB of memory; files that include each other without end are refused with a clear text.

use std::{
    fs,
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{Command, Output, Stdio},
};

const MEGABYTE: usize = 1 << 20;

/// All memory that the program may map, its own text and libraries included.
const MEMORY: &str = "--as=209715200";
/// Seconds of processor time, far above what is needed: a hang shall end.
const TIME: &str = "--cpu=60";

fn run(directory: &Path, arguments: &[&str]) -> Output {
    Command::new("prlimit")
        .args([MEMORY, TIME, env!("CARGO_BIN_EXE_drbdadm"), "-c", "t.conf"])
        .args(arguments)
        .current_dir(directory)
        .env("__DRBD_NODE__", "alpha")
        .env("DRBD_RUN_DIR", directory.join("t.conf/run"))
        .stdin(Stdio::null())
        .output()
        .expect("prlimit runs")
}

/// A piece of text, again and again.
fn repeated(piece: &str) -> String {
    piece.repeat(MEGABYTE / piece.len())
}

fn numbered(piece: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    let mut at = 0;
    while text.len() < MEGABYTE {
        text.push_str(&piece(at));
        at += 1;
    }
    text
}

#[test]
fn a_megabyte_of_anything_ends_within_the_memory_of_a_small_machine() {
    let inside = |text: String| format!("resource r0 {{ {text}");
    let files = [
        repeated("{"),
        repeated("}"),
        repeated(";"),
        repeated("["),
        repeated("\""),
        repeated("\\"),
        repeated("x"),
        repeated("1"),
        repeated(":"),
        repeated("1:"),
        repeated("1.1.1.1:"),
        repeated("\0"),
        repeated("\n"),
        repeated("# \n"),
        repeated("ü"),
        repeated("skip { "),
        repeated("include \"*\"; "),
        repeated("include nosuch; "),
        repeated("resource r { "),
        repeated("global { } "),
        inside(repeated("net { } ")),
        inside(format!("net {{ {}", repeated("timeout 5; "))),
        inside(format!("net {{ {}", repeated("timeout 0; "))),
        inside(format!("handlers {{ {}", repeated("split-brain \"a b\"; "))),
        inside(format!("proxy {{ plugin {{ {}", repeated("a b; "))),
        inside(format!("startup {{ become-primary-on {}", repeated("a "))),
        inside(format!("on {}", repeated("a "))),
        inside(repeated("ignore-on a; ")),
        inside(repeated("disk /dev/a; ")),
        inside(numbered(|at| {
            format!("volume {at} {{ device minor {at}; }} ")
        })),
        inside(numbered(|at| {
            format!("on h{at} {{ address 10.0.0.1:{at}; }} ")
        })),
        numbered(|at| format!("resource r{at} {{ }} ")),
        numbered(|at| {
            format!(
                "resource r{at} {{ stacked-on-top-of r{} {{ device minor {at}; }} }} ",
                at + 1
            )
        }),
    ];
    for (at, text) in files.iter().enumerate() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("t.conf"), text).expect("a file");
        for command in [&["dump"][..], &["-d", "up", "all"]] {
            let output = run(directory.path(), command);
            let head: String = text.chars().take(60).collect();
            let signal = output.status.signal();
            assert_eq!(signal, None, "file {at}, {command:?}: {head}");
            let status = output.status.code().unwrap_or(101);
            assert!(status <= 20, "file {at}, {command:?} gave {status}: {head}");
            if status != 0 {
                break;
            }
        }
    }
}

#[test]
fn a_file_that_includes_itself_is_read_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let text = "include t.conf;\ninclude \"./*.conf\";\ninclude \"./t.conf\";\nresource r0 { }\n";
    fs::write(directory.path().join("t.conf"), text).expect("a file");
    let output = run(directory.path(), &["dump"]);
    assert!(output.status.success(), "{output:?}");
    let shown = String::from_utf8_lossy(&output.stdout);
    assert_eq!(shown.matches("resource r0 {").count(), 1, "{shown}");
}

#[test]
fn files_that_include_each_other_without_end_are_refused_with_a_clear_text() {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| {
        fs::write(directory.path().join(name), text).expect("a file");
    };
    write("t.conf", "include f0;\n");
    for at in 0..2000 {
        write(&format!("f{at}"), &format!("include f{};\n", at + 1));
    }
    let output = run(directory.path(), &["dump"]);
    assert_eq!(output.status.code(), Some(10), "{output:?}");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        complaint.contains("files include each other, that is too deep"),
        "{complaint}"
    );
}

#[test]
fn a_configuration_of_ten_thousand_resources_fits_into_the_same_memory() {
    let directory = tempfile::tempdir().expect("a directory");
    let resource = |at: usize| {
        let (high, low) = (at / 250, at % 250 + 1);
        format!(
            "resource r{at} {{\n  device /dev/drbd{at}; disk /dev/vg/r{at}; meta-disk internal;\n  \
             on alpha {{ address 10.1.{high}.{low}:7788; }}\n  \
             on beta {{ address 10.2.{high}.{low}:7788; }}\n}}\n"
        )
    };
    let resources: String = (0..10_000).map(resource).collect();
    let text = format!("global {{ disable-ip-verification; }}\n{resources}");
    fs::write(directory.path().join("t.conf"), text).expect("a file");
    let output = run(directory.path(), &["dump"]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let shown = String::from_utf8_lossy(&output.stdout);
    assert_eq!(shown.matches("\nresource r").count(), 10_000);
}
