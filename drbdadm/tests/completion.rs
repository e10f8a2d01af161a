//! What the shells are answered when somebody presses Tab.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../completions");

/// Three resources in two files, one of them with volumes, one stacked.
fn configuration() -> TempDir {
    let directory = TempDir::new().expect("a directory");
    let write = |name: &str, text: &str| {
        fs::write(directory.path().join(name), text).expect("a file");
    };
    write(
        "drbd.conf",
        "include \"*.res\";\nresource r0 { on a { } }\n",
    );
    write(
        "web.res",
        "resource web { volume 0 { } volume 1 { } }\nresource \"r 1\" { }\n",
    );
    directory
}

fn output(command: &mut Command) -> Output {
    let programs = Path::new(env!("CARGO_BIN_EXE_drbdadm"))
        .parent()
        .expect("a directory");
    let path = std::env::var("PATH").unwrap_or_default();
    let output = command
        .env("PATH", format!("{}:{path}", programs.display()))
        .env("DRBD_RUN_DIR", "run")
        .stdin(Stdio::null())
        .output();
    let output = output.expect("the shell runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

fn lines(output: Output) -> Vec<String> {
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(str::to_owned).collect()
}

/// What bash has in COMPREPLY for these words, of which the last one is not finished.
fn bash(directory: &Path, words: &[&str]) -> Vec<String> {
    const ASK: &str = r#"
        source "$SCRIPTS/drbdadm.bash"
        complete=$(complete -p drbdadm) || exit 9
        function=${complete##*-F }
        function=${function%% *}
        COMP_WORDS=("$@")
        COMP_CWORD=$(($# - 1))
        COMP_TYPE=9
        "$function" drbdadm "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        ((${#COMPREPLY[@]})) && printf '%s\n' "${COMPREPLY[@]}"
        exit 0
    "#;
    lines(output(
        Command::new("bash")
            .args(["-c", ASK, "bash"])
            .args(words)
            .env("SCRIPTS", SCRIPTS)
            .current_dir(directory),
    ))
}

/// What the program answers another shell.
fn asked_by(shell: &str, directory: &Path, words: &[&str]) -> Vec<String> {
    lines(output(
        Command::new(env!("CARGO_BIN_EXE_drbdadm"))
            .arg("--")
            .args(words)
            .env("DRBDADM_COMPLETE", shell)
            .env("_CLAP_IFS", "\n")
            .env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string())
            .current_dir(directory),
    ))
}

#[test]
fn bash_completes_resources_and_volumes_from_the_configuration() {
    let directory = configuration();
    let bash = |words: &[&str]| bash(directory.path(), words);
    let up = ["drbdadm", "-c", "drbd.conf", "up"];
    let with = |word| [&up[..], &[word]].concat();
    assert_eq!(
        bash(&with("")),
        ["all", "web", "web/0", "web/1", "r 1", "r0"]
    );
    assert_eq!(bash(&with("web/")), ["web/0", "web/1"]);
    assert_eq!(
        bash(&[&up[..], &["r0", "we"]].concat()),
        ["web", "web/0", "web/1"]
    );
    let long = [
        "drbdadm",
        "--config-file",
        "=",
        "drbd.conf",
        "-d",
        "primary",
        "r0",
    ];
    assert_eq!(bash(&long), ["r0"]);
}

#[test]
fn commands_for_whole_resources_are_offered_no_volumes() {
    let directory = configuration();
    let words = ["drbdadm", "-c", "drbd.conf", "down", "w"];
    assert_eq!(bash(directory.path(), &words), ["web"]);
}

#[test]
fn bash_completes_commands_and_options() {
    let directory = configuration();
    let bash = |words: &[&str]| bash(directory.path(), words);
    assert_eq!(
        bash(&["drbdadm", "adj"]),
        ["adjust", "adjust-with-progress"]
    );
    assert_eq!(bash(&["drbdadm", "--dry"]), ["--dry-run"]);
    assert_eq!(bash(&["drbdadm", "help", "disc"]), ["disconnect"]);
    assert_eq!(
        bash(&["drbdadm", "convert", "--d"]),
        [
            "--diff",
            "--dry-run",
            "--drbdsetup",
            "--drbdmeta",
            "--drbd-proxy-ctl"
        ]
    );
    let eras = bash(&["drbdadm", "--era", "=", "8."]);
    assert_eq!(eras, ["8.0", "8.2", "8.3", "8.4"]);
    let policies = bash(&["drbdadm", "connect", "--after-sb-1pri", "d"]);
    assert_eq!(policies, ["disconnect", "discard-secondary"]);
    let commands = bash(&["drbdadm", ""]);
    for command in ["attach", "create-md", "wait-con-int", "convert", "help"] {
        assert!(
            commands.iter().any(|c| c == command),
            "{command}: {commands:?}"
        );
    }
    assert!(!commands.iter().any(|c| c == "syncer"), "{commands:?}");
}

/// The form of scripts of every series: words for the backend between `--` and the command.
#[test]
fn bash_completes_around_words_for_the_backend() {
    let directory = configuration();
    let bash = |words: &[&str]| bash(directory.path(), words);
    assert_eq!(
        bash(&["drbdadm", "--", "--over"]),
        ["--overwrite-data-of-peer"]
    );
    assert_eq!(
        bash(&["drbdadm", "--", "--discard-my-data", "conn"]),
        ["connect"]
    );
    let resource = ["drbdadm", "-c", "drbd.conf", "--", "-o", "primary", "r0"];
    assert_eq!(bash(&resource), ["r0"]);
}

/// As the completion of 8.3 and 8.4 did: spec 70 section 6.
#[test]
fn resources_are_offered_to_commands_that_their_state_allows() {
    let directory = configuration();
    let state =
        "resource up { on a { device /dev/drbd7; } }\nresource gone { on a { device minor 8; } }\n";
    fs::write(directory.path().join("state.res"), state).expect("a file");
    let complete = |command| {
        bash(
            directory.path(),
            &["drbdadm", "-c", "drbd.conf", command, ""],
        )
    };
    let everything = complete("primary");
    assert!(everything.len() > 5, "{everything:?}");

    fs::create_dir_all(directory.path().join("run/proc")).expect("a directory");
    let proc = " 7: cs:Connected ro:Secondary/Primary ds:UpToDate/UpToDate C r-----\n";
    fs::write(directory.path().join("run/proc/drbd"), proc).expect("a file");
    assert_eq!(complete("primary"), ["all", "up"]);
    assert_eq!(complete("attach"), ["all", "gone"]);
    assert_eq!(
        complete("dump").len(),
        complete("up").len() - 2,
        "without the two volumes"
    );
}

#[test]
fn files_are_offered_where_a_file_is_meant() {
    let directory = configuration();
    assert_eq!(
        bash(directory.path(), &["drbdadm", "-c", "dr"]),
        ["drbd.conf"]
    );
}

#[test]
fn zsh_and_fish_get_the_same_words_with_descriptions() {
    let directory = configuration();
    let fish = asked_by("fish", directory.path(), &["drbdadm", "wait-co"]);
    assert_eq!(fish.len(), 2);
    assert!(fish[0].starts_with("wait-connect\tWait until"), "{fish:?}");
    let words = ["drbdadm", "-c", "drbd.conf", "up", "we"];
    assert_eq!(
        asked_by("fish", directory.path(), &words),
        ["web", "web/0", "web/1"]
    );
    assert_eq!(
        asked_by("zsh", directory.path(), &words),
        ["web", "web/0", "web/1"]
    );
    let zsh = asked_by("zsh", directory.path(), &["drbdadm", "wait-connec"]);
    assert!(zsh[0].starts_with("wait-connect:Wait until"), "{zsh:?}");
}

/// Where the shells are installed, their scripts must at least load.
#[test]
fn the_scripts_load_in_their_shells() {
    for (shell, script, load) in [
        ("bash", "drbdadm.bash", "source \"$0\""),
        ("fish", "drbdadm.fish", "source $argv[1]"),
    ] {
        let found = Command::new(shell).arg("--version").output().is_ok();
        if found {
            let script = format!("{SCRIPTS}/{script}");
            let loaded = output(Command::new(shell).args(["-c", load, &script]));
            assert!(loaded.stderr.is_empty(), "{shell}");
        }
    }
}

#[test]
fn nothing_is_answered_unless_a_shell_asks() {
    let output = output(
        Command::new(env!("CARGO_BIN_EXE_drbdadm"))
            .arg("help")
            .env("COMPLETE", "bash"),
    );
    assert!(lines(output)[1].starts_with("USAGE: drbdadm"));
}
