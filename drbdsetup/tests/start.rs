//! The engine is started when a command needs it: with the real program and a stand-in for
//! `drbdd`.

use drbd_control::{FamilyId, Listener, Request, RetCode};
use rustix::event::{PollFd, PollFlags, poll};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A program cannot be executed while it is open for writing, and a child of another test may
/// have inherited the descriptor: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn drbdsetup(run_dir: &Path, path: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_drbdsetup"))
        .args(words)
        .env("DRBD_RUN_DIR", run_dir)
        .env("PATH", path)
        .output()
        .unwrap()
}

/// Puts a program named `drbdd` into a directory.
fn stand_in(dir: &Path, script: &str) {
    let path = dir.join("drbdd");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

const NO_ENGINE: &str = "Could not stat /proc/drbd: No such file or directory
Make sure that the DRBD kernel module is installed and can be loaded!
";

#[test]
fn without_an_engine_and_a_way_to_start_one_the_genuine_message_is_printed() {
    // Beside the program under test there may be a drbdd: only a copy elsewhere is alone.
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("drbdsetup");
    std::fs::copy(env!("CARGO_BIN_EXE_drbdsetup"), &program).unwrap();
    let bin = dir.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let run = |words: &[&str]| {
        Command::new(&program)
            .args(words)
            .env("DRBD_RUN_DIR", dir.path().join("run"))
            .env("PATH", &bin)
            .output()
            .unwrap()
    };
    let output = run(&["role", "0"]);
    assert_eq!(
        (text(&output.stderr), output.status.code()),
        (NO_ENGINE, Some(20))
    );

    stand_in(&bin, "echo no disk space >&2; exit 1");
    let output = run(&["role", "0"]);
    let expected = format!("no disk space\n{NO_ENGINE}");
    assert_eq!(
        (text(&output.stderr), output.status.code()),
        (expected.as_str(), Some(20)),
        "what the engine says comes first"
    );
}

#[test]
fn the_engine_is_started_once_and_then_asked() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("drbdsetup");
    std::fs::copy(env!("CARGO_BIN_EXE_drbdsetup"), &program).unwrap();
    let run_dir = dir.path().join("run");
    // The stand-in tells this test that it was called, and returns when the test is ready.
    let fifo = |name: &str| {
        let path = dir.path().join(name);
        assert!(
            Command::new("mkfifo")
                .arg(&path)
                .status()
                .unwrap()
                .success()
        );
        path
    };
    let (called, ready) = (fifo("called"), fifo("ready"));
    let script = format!(
        "echo \"$*\" > {}; read -r word < {}",
        called.display(),
        ready.display()
    );
    stand_in(dir.path(), &script);

    let engine_dir = run_dir.clone();
    let engine = std::thread::spawn(move || {
        let mut words = String::new();
        std::fs::File::open(&called)
            .unwrap()
            .read_to_string(&mut words)
            .unwrap();
        let listener = Listener::bind(&engine_dir).unwrap();
        std::fs::write(&ready, "go\n").unwrap();
        let mut ops = Vec::new();
        for _ in 0..2 {
            poll(&mut [PollFd::new(&listener, PollFlags::IN)], None).unwrap();
            let client = listener.accept().unwrap();
            poll(&mut [PollFd::new(&client, PollFlags::IN)], None).unwrap();
            let mut buffer = Vec::new();
            let bytes = client.recv(&mut buffer).unwrap().unwrap();
            let request = Request::decode(bytes, FamilyId::ENGINE).unwrap();
            ops.push(request.op);
            let reply = request.reply(RetCode::MinorInvalid).info("unknown minor");
            client.send(&reply.encode(FamilyId::ENGINE)).unwrap();
        }
        (words, ops)
    });
    let run = || {
        Command::new(&program)
            .args(["cstate", "7"])
            .env("DRBD_RUN_DIR", &run_dir)
            .output()
            .unwrap()
    };
    for _ in 0..2 {
        let output = run();
        assert_eq!(
            text(&output.stderr),
            "7: Failure: (127) Device minor not allocated\nadditional info from kernel:\nunknown minor\n"
        );
        assert_eq!(output.status.code(), Some(10));
    }
    let (words, ops) = engine.join().unwrap();
    assert_eq!(words, "start\n", "called once");
    assert_eq!(ops.len(), 2);
}

#[test]
fn help_starts_nothing() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let output = drbdsetup(&dir.path().join("run"), dir.path(), &["help", "role"]);
    assert_eq!(text(&output.stdout), "USAGE:\n drbdsetup role {minor}\n");
    assert!(!dir.path().join("run").exists());
}
