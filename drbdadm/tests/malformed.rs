//! Malformed configurations and what the genuine drbdadm of 8.4 says to them: the captures of spec
//! 10 sections 6 and 10, in `testdata/drbdadm/malformed.txt`, proved on the genuine program and
//! then on ours.
//!
//! The addresses of the captures exist in a network namespace of the test's own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const ALPHA: &str = "device /dev/drbd0; disk /dev/a; address 10.9.9.1:7788; meta-disk internal;";
const BETA: &str = "device /dev/drbd0; disk /dev/a; address 10.9.9.2:7788; meta-disk internal;";

const EXPECTED: &[(&str, &str)] = &[
    ("TOP", "global | common | resource | skip | include"),
    (
        "GLOB",
        "dialog-refresh | minor-count | disable-ip-verification",
    ),
    (
        "RES",
        "protocol | on | disk | net | syncer | startup | handlers | ignore-on | stacked-on-top-of",
    ),
    (
        "HOST",
        "disk | device | address | meta-disk | flexible-meta-disk",
    ),
    ("ADDR", "ssocks | sdp | ipv4 | ipv6 | <ipv4 address> "),
    ("OPTKW", "an option keyword"),
    ("SYNKW", "a syncer option keyword"),
    ("VAL", "TK_STRING | TK_INTEGER"),
];

struct Case {
    /// Line of the table.
    line: usize,
    file: String,
    arguments: String,
    status: String,
    stderr: String,
}

fn cases(table: &str) -> Vec<Case> {
    let lines = table.lines().enumerate();
    lines
        .filter(|(_, line)| !line.starts_with('#') && !line.is_empty())
        .map(|(at, line)| case(at + 1, line))
        .collect()
}

fn case(at: usize, line: &str) -> Case {
    let (given, answer) = line.split_once("  ⇒ ").expect("an arrow");
    let (file, arguments) = match given.split_once(" {cmd: ") {
        Some((file, command)) => (file, command.trim_end_matches('}')),
        None => (given, "dump"),
    };
    let (status, stderr) = answer.split_once(' ').expect("a status and a text");
    Case {
        line: at,
        file: file_text(file),
        arguments: arguments.to_owned(),
        status: status.to_owned(),
        stderr: expand_answer(stderr),
    }
}

fn file_text(short: &str) -> String {
    let text = if let Some(more) = short.strip_prefix("B: ") {
        format!("resource r0 {{⏎  protocol C;⏎{more}⏎<H>}}")
    } else if let Some(content) = short.strip_prefix("HA: ") {
        format!("resource r0 {{⏎  protocol C;⏎  on alpha {{ {content} }}⏎<B>}}")
    } else {
        short.to_owned()
    };
    let text = match text.trim_end_matches('⏎') {
        "" => String::new(),
        text => format!("{text}⏎"),
    };
    text.replace("<R0>", "resource r0 {⏎  protocol C;⏎<H>}⏎")
        .replace("<H>", "<A><B>")
        .replace("<A>", "  on alpha { <a> }⏎")
        .replace("<B>", "  on beta { <b> }⏎")
        .replace("<a>", ALPHA)
        .replace("<b>", BETA)
        .replace('→', "\t")
        .replace('⏎', "\n")
}

fn expand_answer(short: &str) -> String {
    if short == "(no message)" {
        return String::new();
    }
    let parts = short.split(" ⏎ ").map(|part| {
        let part = part.replace('→', "\t");
        parse_error(&part)
            .or_else(|| conflict(&part))
            .unwrap_or(part)
    });
    let mut text = parts.collect::<Vec<_>>().join("\n");
    text.push('\n');
    text
}

/// `PEn[E | got G | TK k]`
fn parse_error(part: &str) -> Option<String> {
    let (line, rest) = part.strip_prefix("PE")?.split_once('[')?;
    let (expected, got) = rest.strip_suffix(']')?.rsplit_once(" | got ")?;
    let known = EXPECTED.iter().find(|(short, _)| *short == expected);
    let expected = known.map_or(expected, |(_, long)| long);
    let (got, number) = match got.split_once(" | TK ") {
        Some((got, number)) => (got, format!(" (TK {number})")),
        None => (got, String::new()),
    };
    Some(format!(
        "t.conf:{line}: Parse error: '{expected}' expected,\n\tbut got '{got}'{number}"
    ))
}

/// `CONFLICT w 'k' FIRST n`
fn conflict(part: &str) -> Option<String> {
    let (place, rest) = part.split_once(": CONFLICT ")?;
    let (what, first) = rest.rsplit_once(" FIRST ")?;
    Some(format!(
        "{place}: conflicting use of {what} ...\nt.conf:{first}: {what} first used here."
    ))
}

/// Runs a program on all cases, in one network namespace; status and stderr of each.
fn answers(program: &Path, cases: &[Case]) -> Vec<(String, String)> {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path().canonicalize().expect("its real name");
    for (at, case) in cases.iter().enumerate() {
        let place = root.join(at.to_string());
        fs::create_dir(&place).expect("a directory");
        fs::write(place.join("t.conf"), &case.file).expect("a file");
        fs::write(place.join("arguments"), &case.arguments).expect("a file");
    }
    let script = "ip link set lo up\n\
        for n in 1 2 3 4 5; do ip addr add 10.9.9.$n/32 dev lo; done\n\
        for place in *; do\n\
            (cd $place && \"$0\" -c t.conf $(cat arguments) >/dev/null 2>stderr </dev/null\n\
            echo $? >status)\n\
        done";
    let ended = Command::new("unshare")
        .args(["--map-root-user", "--net", "sh", "-c", script])
        .arg(program)
        .current_dir(&root)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("__DRBD_NODE__", "alpha")
        .env("DRBD_DRIVER_VERSION_OVERRIDE", "8.4.11")
        .env("DRBD_DONT_WARN_ON_VERSION_MISMATCH", "1")
        .env("DRBD_RUN_DIR", root.join("0/t.conf/run"))
        .env_remove("DRBD_ERA")
        .stdin(Stdio::null())
        .status()
        .expect("unshare runs");
    assert!(ended.success(), "{ended}");
    let answer = |at: usize| {
        let place = root.join(at.to_string());
        let read = |name| fs::read_to_string(place.join(name)).expect(name);
        // The first four lines say which node is played.
        let stderr: String = read("stderr").split_inclusive('\n').skip(4).collect();
        let stderr = stderr
            .replace(&place.display().to_string(), "/etc")
            .replace("drbdadm-84", "drbdadm");
        (read("status").trim().to_owned(), stderr)
    };
    (0..cases.len()).map(answer).collect()
}

/// Words of 0.7 and 8.3 that ours takes: known differences.
const TAKEN: &[&str] = &[
    "disable-io-hints",
    "incon-degr-cmd",
    "on-disconnect",
    "group 1",
    "delay-probe-volume",
];

fn compare(program: &Path, takes: impl Fn(&Case) -> bool) {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/drbdadm/malformed.txt");
    let cases = cases(&fs::read_to_string(data).expect("the table"));
    assert!(cases.len() >= 220, "{} cases", cases.len());
    let mut failures = Vec::new();
    for (case, (status, stderr)) in cases.iter().zip(answers(program, &cases)) {
        if takes(case) {
            assert_eq!(status, "0", "line {}: {stderr}", case.line);
            continue;
        }
        let expected = case.stderr.replace("drbdadm-84", "drbdadm");
        if status != case.status || stderr != expected {
            failures.push(format!(
                "line {}: [{status}]\n{stderr}--- expected [{}]\n{expected}",
                case.line, case.status
            ));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn the_genuine_program_answers_as_the_table_says() {
    let oracle = std::env::var_os("DRBD_ORACLE")
        .map_or_else(|| PathBuf::from("/var/tmp/drbd-oracle"), PathBuf::from);
    compare(&oracle.join("utils/lib/drbd/drbdadm-84"), |_| false);
}

#[test]
fn every_malformed_configuration_is_refused_in_the_genuine_words() {
    let taken = |case: &Case| TAKEN.iter().any(|word| case.file.contains(word));
    compare(Path::new(env!("CARGO_BIN_EXE_drbdadm")), taken);
}
