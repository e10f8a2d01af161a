//! The protections of a process that serves block devices; needs root. Where even root lacks the
//! capability that two of them need (a container), those two must be reported and the third must hold;
//! all three are held to account in the QEMU machine (testdata/vm/jobs/ublk.sh).

use std::fs;
use std::process::{Command, Stdio};

use engine::device::guard;
use rustix::process::Pid;
use rustix::thread::{CapabilitySet, capabilities};

#[test]
fn a_protected_process_is_an_io_flusher_with_locked_memory_and_its_children_are_killable() {
    assert!(
        rustix::process::geteuid().is_root(),
        "this test locks memory and lowers its out-of-memory score: run it as root"
    );
    let capable = capabilities(None)
        .unwrap()
        .effective
        .contains(CapabilitySet::SYS_RESOURCE);
    let failed: Vec<_> = guard::protect_process()
        .into_iter()
        .map(|failure| failure.what)
        .collect();
    let score = |pid: &str| fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap();
    if capable {
        assert!(failed.is_empty(), "{failed:?}");
        assert!(rustix::process::is_io_flusher().unwrap());
        let inherited = std::thread::spawn(rustix::process::is_io_flusher);
        assert!(inherited.join().unwrap().unwrap());
        assert_eq!(score("self").trim(), "-1000");
    } else {
        let expected = [
            "mark the process as an I/O flusher",
            "lower the out-of-memory score",
        ];
        assert_eq!(failed, expected);
    }
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let locked = status.lines().find_map(|line| line.strip_prefix("VmLck:"));
    assert_ne!(locked.unwrap().trim(), "0 kB");

    let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    guard::expose_child(Pid::from_child(&child)).unwrap();
    assert_eq!(score(&child.id().to_string()).trim(), "0");
    drop(child.stdin.take());
    child.wait().unwrap();
}
