//! Where the files of a configuration are: on the disk of this host, or in the memory of a test.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Component, Path, PathBuf},
};

/// A file system, as far as reading a configuration needs one.
pub trait Storage {
    /// The content of a file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The one name of a file or directory that has several; nothing if it does not exist.
    fn real(&self, path: &Path) -> Option<PathBuf>;

    /// The names in a directory, in any order.
    fn names(&self, directory: &Path) -> Vec<String>;

    /// Whether there is something of that name.
    fn exists(&self, path: &Path) -> bool;
}

/// The disk of this host.
#[derive(Clone, Copy, Debug)]
pub struct Disk;

impl Storage for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn real(&self, path: &Path) -> Option<PathBuf> {
        path.canonicalize().ok()
    }

    fn names(&self, directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).into_iter().flatten();
        entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect()
    }

    fn exists(&self, path: &Path) -> bool {
        path.symlink_metadata().is_ok()
    }
}

/// Files in memory, by their absolute names; without links.
#[derive(Clone, Debug, Default)]
pub struct Memory(pub BTreeMap<PathBuf, Vec<u8>>);

impl Storage for Memory {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let content = self.0.get(&plain(path));
        content
            .cloned()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn real(&self, path: &Path) -> Option<PathBuf> {
        self.exists(path).then(|| plain(path))
    }

    fn names(&self, directory: &Path) -> Vec<String> {
        let directory = plain(directory);
        let below = self
            .0
            .keys()
            .filter_map(|p| p.strip_prefix(&directory).ok());
        let first = below.filter_map(|rest| rest.components().next());
        let mut names: Vec<String> = first
            .map(|name| name.as_os_str().to_string_lossy().into_owned())
            .collect();
        names.dedup();
        names
    }

    fn exists(&self, path: &Path) -> bool {
        let path = plain(path);
        self.0.keys().any(|file| file.starts_with(&path))
    }
}

/// Without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}
