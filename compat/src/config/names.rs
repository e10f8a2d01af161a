//! The names of resources without understanding the rest: what completion needs while somebody
//! types, also when the configuration is broken elsewhere.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use super::{
    files, glob, lexer,
    storage::Disk,
    token::{Keyword as K, Token, TokenKind},
};

/// What a configuration calls something by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedResource {
    /// The resource.
    pub name: String,
    /// Numbers of the volumes that are written out.
    pub volumes: Vec<String>,
}

/// The resources of a file and of what it includes, in order.
pub fn resource_names(file: &Path) -> Vec<NamedResource> {
    let mut scan = Scan::default();
    scan.file(file);
    scan.found
}

#[derive(Default)]
struct Scan {
    found: Vec<NamedResource>,
    seen: HashSet<PathBuf>,
}

impl Scan {
    fn file(&mut self, path: &Path) {
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if !self.seen.insert(real) {
            return;
        }
        let Ok(text) = files::read(&Disk, path) else {
            return;
        };
        let directory = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        let directory = directory.unwrap_or(Path::new("."));
        let mut depth = 0_usize;
        for pair in lexer::tokens(&text).windows(2) {
            let (word, next) = (pair[0], pair[1]);
            match word.kind {
                TokenKind::Op(b'{') => depth += 1,
                TokenKind::Op(b'}') => depth = depth.saturating_sub(1),
                TokenKind::Keyword(keyword) => self.keyword(keyword, next, depth, directory),
                _ => {}
            }
        }
    }

    fn keyword(&mut self, keyword: K, next: Token<'_>, depth: usize, directory: &Path) {
        match (keyword, next.kind) {
            (K::Resource, TokenKind::Text) if depth == 0 => self.found.push(NamedResource {
                name: next.text(),
                volumes: Vec::new(),
            }),
            (K::Volume, TokenKind::Integer) if depth > 0 => {
                let volume = next.raw.to_owned();
                if let Some(resource) = self.found.last_mut()
                    && !resource.volumes.contains(&volume)
                {
                    resource.volumes.push(volume);
                }
            }
            (K::Include, TokenKind::Text) if depth == 0 => {
                let found = glob::expand(&Disk, directory, &next.text());
                for name in found.unwrap_or_default() {
                    self.file(&directory.join(name));
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_through_includes_and_in_broken_files() {
        let directory = tempfile::tempdir().unwrap();
        let main = directory.path().join("drbd.conf");
        std::fs::write(&main, "include \"*.res\"; resource last { bogus").unwrap();
        let res = "include \"drbd.conf\"; resource \"a b\" { volume 1 { } on x { volume 1 { } volume 2 { } } }";
        std::fs::write(directory.path().join("a.res"), res).unwrap();
        let names = resource_names(&main);
        assert_eq!(names.len(), 2);
        assert_eq!(
            (names[0].name.as_str(), names[1].name.as_str()),
            ("a b", "last")
        );
        assert_eq!(names[0].volumes, ["1", "2"]);
    }
}
