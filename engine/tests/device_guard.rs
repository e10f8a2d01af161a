//! The protections of a process that serves block devices; needs root.

use std::fs;
use std::process::Command;

use engine::device::guard;
use rustix::process::Pid;

#[test]
fn a_protected_process_is_an_io_flusher_with_locked_memory_and_its_children_are_killable() {
    assert!(
        rustix::process::geteuid().is_root(),
        "this test locks memory and lowers its out-of-memory score: run it as root"
    );
    let failed = guard::protect_process();
    assert!(failed.is_empty(), "{failed:?}");
    assert!(rustix::process::is_io_flusher().unwrap());
    let inherited = std::thread::spawn(rustix::process::is_io_flusher);
    assert!(inherited.join().unwrap().unwrap());
    let score = |pid: &str| fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap();
    assert_eq!(score("self").trim(), "-1000");
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let locked = status.lines().find_map(|line| line.strip_prefix("VmLck:"));
    assert_ne!(locked.unwrap().trim(), "0 kB");

    let mut child = Command::new("cat")
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    guard::expose_child(Pid::from_child(&child)).unwrap();
    assert_eq!(score(&child.id().to_string()).trim(), "0");
    drop(child.stdin.take());
    child.wait().unwrap();
}
