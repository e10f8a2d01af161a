//! What a person at a terminal sees: the genuine lines first, then reports with the marked places.
//! `script` of util-linux plays the terminal.

use std::{
    fs,
    process::{Command, Stdio},
};

const FILE: &str = "resource r0 {
  net { alow-two-primaries; ping-int 500; }
  disk { no-tcp-cork; fencing resource_only; }
  on alpha { device /dev/drbd0; disk /dev/a; address 10.9.9.1; meta-disk internal; }
}
";

fn drbdadm(terminal: bool) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("t.conf"), FILE).expect("a file");
    let line = format!("{} -c t.conf dump", env!("CARGO_BIN_EXE_drbdadm"));
    let mut command = match terminal {
        true => {
            let mut command = Command::new("script");
            command.args(["-q", "-e", "-c", &line, "/dev/null"]);
            command
        }
        false => {
            let mut command = Command::new("sh");
            command.args(["-c", &line]);
            command
        }
    };
    let output = command
        .current_dir(directory.path())
        .env("__DRBD_NODE__", "alpha")
        .env("TERM", "dumb")
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .output()
        .expect("the command runs");
    assert_eq!(output.status.code(), Some(10), "{output:?}");
    let bytes = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(bytes).expect("text").replace('\r', "");
    // The first four lines say which node is played.
    text.split_inclusive('\n').skip(4).collect()
}

const GENUINE: &str = "t.conf:2: Parse error: 'an option keyword' expected,
\tbut got 'alow-two-primaries'
";

#[test]
fn a_script_gets_the_genuine_lines_and_nothing_else() {
    assert_eq!(drbdadm(false), GENUINE);
}

#[test]
fn a_terminal_shows_the_genuine_lines_first_and_then_every_error_with_its_place_and_advice() {
    let text = drbdadm(true);
    assert!(text.starts_with(GENUINE), "{text}");
    let mut rest = text.as_str();
    // In the order of the file.
    for part in [
        "alow-two-primaries; ping-int 500",
        "did you mean `allow-two-primaries`?",
        "allowed in `net { }`",
        "ping-int 500 => 500 out of range [1..120].",
        "`no-tcp-cork` is an older word: write `tcp-cork no` in `net { }` today",
        "t.conf:4: Parse error: ':' expected",
    ] {
        let at = rest.find(part);
        let at = at.unwrap_or_else(|| panic!("`{part}` is missing or too early:\n{text}"));
        rest = &rest[at..];
    }
}
