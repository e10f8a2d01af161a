//! Taking away what a killed owner left: names of network namespaces, their processes, loop
//! devices over files in our directory, and that directory.
//!
//! Everything is named after the process that owns it, so a sweep touches only what nobody owns.
//! All steps are best effort: a leftover that resists must not keep a new network from working.

use std::fs;
use std::path::Path;
use std::process;

use super::command::outside;

/// Where disks live: in memory, so that the figures do not depend on this machine's disk.
pub(super) const DIRECTORY: &str = "/dev/shm";

const PREFIX: &str = "drbdhosts-";

/// The name of network number `number` of this process.
pub(super) fn owned_name(number: u32) -> String {
    format!("{PREFIX}{}-{number}", process::id())
}

/// Removes every network whose owner is gone.
pub(super) fn sweep() {
    for directory in [DIRECTORY, "/run/netns"] {
        let Ok(entries) = fs::read_dir(directory) else {
            continue;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if let Some(name) = name
                .to_str()
                .filter(|name| owner(name).is_some_and(is_gone))
            {
                remove(name);
            }
        }
    }
}

/// Removes one network and everything in it.
pub(super) fn remove(name: &str) {
    if Path::new("/run/netns").join(name).exists() {
        let pids = outside("ip", &["netns", "pids", name]).unwrap_or_default();
        for pid in pids.split_whitespace() {
            let _ = outside("kill", &["-9", pid]);
        }
        let _ = outside("ip", &["netns", "delete", name]);
    }
    let directory = Path::new(DIRECTORY).join(name);
    detach_loops_over(&directory);
    let _ = fs::remove_dir_all(directory);
}

fn detach_loops_over(directory: &Path) {
    let Ok(devices) = fs::read_dir("/sys/block") else {
        return;
    };
    for device in devices.flatten() {
        let Ok(backing) = fs::read_to_string(device.path().join("loop/backing_file")) else {
            continue;
        };
        if let Some(node) = device
            .file_name()
            .to_str()
            .filter(|_| Path::new(backing.trim()).starts_with(directory))
        {
            let _ = outside("losetup", &["--detach", &format!("/dev/{node}")]);
        }
    }
}

fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()
}

fn is_gone(pid: u32) -> bool {
    !Path::new("/proc").join(pid.to_string()).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_names_belong_to_a_living_owner_and_foreign_names_to_nobody() {
        assert_eq!(owner(&owned_name(3)), Some(process::id()));
        assert!(!is_gone(process::id()));
        assert_eq!(owner("drbdhosts-x-1"), None);
        assert_eq!(owner("cni-1234"), None);
    }
}
