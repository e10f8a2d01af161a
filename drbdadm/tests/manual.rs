//! The manual pages of drbdadm and of its configuration say what the tables say.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use drbd_options::manual::refresh;
use drbdadm::manual;

const MAN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../man");

/// With `UPDATE_MANUAL` set the page is rewritten instead of compared.
fn check(name: &str, sections: &[(&str, String)]) {
    let path = format!("{MAN}/{name}");
    let page = std::fs::read_to_string(&path).unwrap();
    let fresh = refresh(&page, sections).unwrap();
    if std::env::var_os("UPDATE_MANUAL").is_some() {
        std::fs::write(path, fresh).unwrap();
    } else {
        assert!(
            page == fresh,
            "{name} is outdated: run with UPDATE_MANUAL=1"
        );
    }
}

#[test]
fn drbdadm_8_lists_every_command_and_option() {
    check("drbdadm.8", &manual::drbdadm());
}

#[test]
fn drbd_conf_5_lists_every_option() {
    check("drbd.conf.5", &manual::drbd_conf());
}

/// What groff and mandoc remark on, where they are installed.
#[test]
fn the_pages_are_clean_roff() {
    for entry in std::fs::read_dir(MAN).unwrap() {
        let path = entry.unwrap().path();
        for words in [
            ["groff", "-man", "-ww", "-z", "-Tutf8"].as_slice(),
            ["mandoc", "-T", "lint", "-W", "warning"].as_slice(),
        ] {
            let mut command = Command::new(words[0]);
            command.args(&words[1..]).arg(&path).stdin(Stdio::null());
            let Ok(output) = command.output() else {
                continue;
            };
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            assert_eq!(said, "", "{} {}", words[0], path.display());
        }
    }
}

/// The examples of drbd.conf(5), in the order of the page.
fn examples() -> Vec<String> {
    let page = std::fs::read_to_string(format!("{MAN}/drbd.conf.5")).unwrap();
    let (_, examples) = page.split_once("\n.SH EXAMPLES\n").unwrap();
    let (examples, _) = examples.split_once("\n.SH ").unwrap();
    let blocks = examples.split("\n.nf\n").skip(1);
    let blocks = blocks.filter_map(|block| Some(block.split_once("\n.fi")?.0));
    blocks
        .map(|block| block.replace("\\-", "-") + "\n")
        .collect()
}

fn status(program: &Path, text: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("drbd.conf");
    std::fs::write(&file, text).unwrap();
    let output = Command::new(program)
        .arg("-c")
        .arg(&file)
        .args(arguments)
        .env("__DRBD_NODE__", "alpha")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said)
}

#[test]
fn the_examples_are_configurations_of_their_series() {
    let examples = examples();
    assert_eq!(examples.len(), 6);
    let oracle = std::env::var_os("DRBD_ORACLE");
    let oracle = oracle.map_or_else(|| "/var/tmp/drbd-oracle".into(), PathBuf::from);
    let genuine = oracle.join("utils/lib/drbd/drbdadm-84");
    let ours = Path::new(env!("CARGO_BIN_EXE_drbdadm"));
    for (at, example) in examples.iter().enumerate() {
        // What lies on another resource needs that one.
        let text = match example.contains("stacked-on-top-of") {
            true => examples[at - 1].clone() + example,
            false => example.clone(),
        };
        let arguments = ["-d", "dump"];
        assert_eq!(status(ours, &text, &arguments).0, Some(0), "{text}");
        let theirs = status(&genuine, &text, &arguments);
        let is_07 = text.contains("incon-degr-cmd");
        assert_eq!(
            theirs.0,
            Some(if is_07 { 10 } else { 0 }),
            "{text}{}",
            theirs.1
        );
    }
}
