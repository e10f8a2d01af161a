//! Whether the minor is attached: asked from drbdsetup, as the genuine tool does
//! (spec 40 section 9.1).

use std::process::{Command, Stdio};

use drbd_types::{DiskState, Minor};

use super::console::{FAILED_USE, Failure};
use super::session::InUse;

/// Asks `drbdsetup MINOR dstate`, found by `PATH`. Without a drbdsetup nothing can be attached.
pub fn check(minor: Minor) -> Result<InUse, Failure> {
    let output = Command::new("drbdsetup")
        .args([&minor.to_string(), "dstate"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    let Ok(output) = output else {
        return Ok(InUse::Free);
    };
    if matches!(output.status.code(), Some(10 | 20)) {
        return Ok(InUse::Free);
    }
    judge(&String::from_utf8_lossy(&output.stdout))
}

fn judge(text: &str) -> Result<InUse, Failure> {
    let local = text.trim_end().split('/').next().unwrap_or_default();
    if matches!(local, "" | "Unconfigured") {
        return Ok(InUse::Free);
    }
    match DiskState::ALL.iter().find(|s| s.name() == local) {
        Some(DiskState::Diskless) => Ok(InUse::Free),
        Some(_) => Ok(InUse::Attached),
        None => Err(Failure::new(
            FAILED_USE,
            format_args!("Unexpected output from drbdsetup >{}<", text.trim_end()),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_disk_state_but_diskless_means_attached() {
        for (text, expected) in [
            ("UpToDate/UpToDate\n", InUse::Attached),
            ("Inconsistent/DUnknown\n", InUse::Attached),
            ("Attaching\n", InUse::Attached),
            ("Diskless/UpToDate\n", InUse::Free),
            ("Unconfigured\n", InUse::Free),
            ("", InUse::Free),
        ] {
            assert_eq!(judge(text), Ok(expected), "{text:?}");
        }
        assert_eq!(
            judge("hello\n").unwrap_err().text,
            "Unexpected output from drbdsetup >hello<"
        );
    }
}
