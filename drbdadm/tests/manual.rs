//! The manual pages of drbdadm and of its configuration say what the tables say.

use std::process::{Command, Stdio};

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
