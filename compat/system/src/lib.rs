//! The files that an installation puts beside the programs: init script, Heartbeat script, systemd
//! unit, udev rules, module options and the two halves of a fresh `drbd.conf` (spec 70 sections 2,
//! 4.1, 5 and 7).
//!
//! The files live in `compat/system/root`, laid out as on the target machine, with the mode they
//! get there: `make install` copies that tree, and [`FILES`] embeds it for programs that install
//! into a root of their own (`drbdd demo`, the test bed). A test holds the two together.
#![forbid(unsafe_code)]

/// When a file may replace one that is already there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Policy {
    /// The package owns the file: every installation writes it.
    Always,
    /// The administrator owns the file: written only where there is none.
    IfAbsent,
}

/// One installed file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InstalledFile {
    /// Absolute path on the target machine.
    pub path: &'static str,
    /// Permission bits.
    pub mode: u32,
    /// Whether an existing file is kept.
    pub policy: Policy,
    /// The whole content.
    pub content: &'static str,
}

macro_rules! installed {
    ($($path:literal $mode:literal $policy:ident;)*) => {
        /// Every installed file, in the order of its path.
        pub const FILES: &[InstalledFile] = &[$(InstalledFile {
            path: $path,
            mode: $mode,
            policy: Policy::$policy,
            content: include_str!(concat!("../root", $path)),
        },)*];
    };
}

installed! {
    "/etc/drbd.conf" 0o644 IfAbsent;
    "/etc/drbd.d/global_common.conf" 0o644 IfAbsent;
    "/etc/ha.d/resource.d/drbddisk" 0o755 Always;
    "/etc/init.d/drbd" 0o755 Always;
    "/etc/modprobe.d/drbd.conf" 0o644 Always;
    "/lib/systemd/system/drbdd.service" 0o644 Always;
    "/lib/udev/rules.d/65-drbd.rules" 0o644 Always;
    "/usr/lib/tmpfiles.d/drbd.conf" 0o644 Always;
}

/// The file that gets installed at `path`.
pub fn file(path: &str) -> Option<&'static InstalledFile> {
    FILES.iter().find(|file| file.path == path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};

    fn tree(dir: &Path, into: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).expect("compat/system/root is part of the project") {
            let path = entry.expect("readable directory").path();
            if path.is_dir() {
                tree(&path, into)
            } else {
                into.push(path)
            }
        }
    }

    #[test]
    fn table_lists_exactly_the_files_of_the_tree_with_their_modes() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("root");
        let mut paths = Vec::new();
        tree(&root, &mut paths);
        let on_disk: BTreeMap<String, u32> = paths
            .iter()
            .map(|path| {
                let mode = path
                    .metadata()
                    .expect("listed a moment ago")
                    .permissions()
                    .mode()
                    & 0o7777;
                let relative = path.strip_prefix(&root).expect("found below root");
                (format!("/{}", relative.display()), mode & 0o755)
            })
            .collect();
        let in_table: BTreeMap<String, u32> = FILES
            .iter()
            .map(|file| (file.path.to_owned(), file.mode))
            .collect();
        assert_eq!(on_disk, in_table);
    }
}
