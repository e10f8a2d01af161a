//! Ours against captured answers of the genuine programs: `testdata/drbdadm`.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/drbdadm")
}

fn text(name: &str) -> String {
    std::fs::read_to_string(data().join(name)).expect(name)
}

/// The answer to a line of `commands.list`, in the form of `golden.txt`.
fn answer(line: &str, era: Option<&str>) -> String {
    let (file, arguments) = line.split_once(' ').expect("a file and its arguments");
    let mut command = Command::new(env!("CARGO_BIN_EXE_drbdadm"));
    command
        .args(["-c", file])
        .args(arguments.split(' '))
        .current_dir(data())
        .env("__DRBD_NODE__", "alpha")
        // Below a file there can be no engine, and none is started.
        .env("DRBD_RUN_DIR", data().join("README.md/run"))
        .env_remove("DRBD_ERA")
        .stdin(Stdio::null());
    command.envs(era.map(|era| ("DRBD_ERA", era)));
    let output = command.output().expect("drbdadm runs");
    let mut answer = String::from_utf8(output.stdout).expect("text");
    let complaints = String::from_utf8(output.stderr).expect("text");
    for line in complaints.lines().skip(4) {
        answer.push_str(&format!("! {line}\n"));
    }
    let status = output.status.code().expect("a status");
    answer.push_str(&format!("[{status}]\n"));
    let directory = data().canonicalize().expect("testdata");
    answer.replace(&format!("{}/", directory.display()), "/etc/")
}

fn assert_same(expected: &str, got: &str) {
    let diff = similar::TextDiff::from_lines(expected, got);
    assert!(
        expected == got,
        "{}",
        diff.unified_diff().header("genuine", "ours")
    );
}

#[test]
fn every_captured_answer_is_given() {
    let list = text("commands.list");
    let got: String = list
        .lines()
        .map(|line| format!("$ {line}\n{}", answer(line, None)))
        .collect();
    assert_same(&text("golden.txt"), &got);
}

#[test]
fn a_file_of_07_is_dumped_as_07_did() {
    let got = answer("07.conf dump", Some("0.7"));
    let (dump, _) = got.split_once('!').unwrap_or((&got, ""));
    assert_same(&text("07.dump"), dump.trim_end_matches("[0]\n"));
}
