//! `drbdd demo`, as a person at a terminal sees it.

use std::process::Command;

use drbd_demo::hosts::capture;
use testbed::programs;

#[test]
fn the_demonstration_ends_with_identical_disks_and_shows_the_sync_move() {
    let drbdd = programs::ours().join("drbdd");
    // script(1) gives it a terminal; without one there is no progress line.
    let line = format!("timeout 120 '{}' demo", drbdd.display());
    let output = capture(Command::new("script").args([
        "--quiet",
        "--return",
        "--command",
        &line,
        "/dev/null",
    ]))
    .unwrap();
    assert_eq!(output.status, 0, "{}", output.both());
    assert!(output.stdout.contains("\nidentical"), "{}", output.stdout);
    let moves = output.stdout.matches("sync'ed:").count();
    assert!(moves > 3, "the progress line moved {moves} times");
    assert!(
        output.stdout.contains("written on primarycentos"),
        "{}",
        output.stdout
    );
}
