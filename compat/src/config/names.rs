//! The names of resources without understanding the rest: what completion needs while somebody
//! types, also when the configuration is broken elsewhere.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use super::{files, glob, storage::Disk};

/// What a configuration calls something by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedResource {
    /// The resource.
    pub name: String,
    /// Numbers of the volumes that are written out.
    pub volumes: Vec<String>,
    /// The minor numbers of its devices, on any host.
    pub minors: Vec<u32>,
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
        let mut keyword = "";
        for piece in (Pieces { rest: &text }) {
            match piece {
                Piece::Open => depth += 1,
                Piece::Close => depth = depth.saturating_sub(1),
                Piece::Other => {}
                Piece::Word(word) | Piece::Quoted(word) => {
                    self.name(keyword, word, piece, depth, directory);
                }
            }
            keyword = match piece {
                Piece::Word(word) => word,
                _ => "",
            };
        }
    }

    /// A word behind a keyword.
    fn name(&mut self, keyword: &str, word: &str, piece: Piece<'_>, depth: usize, from: &Path) {
        let text = match piece {
            Piece::Quoted(_) => unescaped(word),
            _ => word.to_owned(),
        };
        match (keyword, depth) {
            ("resource", 0) => self.found.push(NamedResource {
                name: text,
                volumes: Vec::new(),
                minors: Vec::new(),
            }),
            ("volume", 1..) => {
                if let Some(resource) = self.found.last_mut()
                    && !resource.volumes.contains(&text)
                {
                    resource.volumes.push(text);
                }
            }
            ("device", 1..) => {
                self.minor(word.rsplit('/').next().and_then(|n| n.strip_prefix("drbd")))
            }
            ("minor", 1..) => self.minor(Some(word)),
            ("include", 0) => {
                let found = glob::expand(&Disk, from, &text);
                for name in found.unwrap_or_default() {
                    self.file(&from.join(name));
                }
            }
            _ => {}
        }
    }
}

impl Scan {
    fn minor(&mut self, digits: Option<&str>) {
        let number = digits.and_then(|digits| digits.parse().ok());
        if let (Some(resource), Some(number)) = (self.found.last_mut(), number)
            && !resource.minors.contains(&number)
        {
            resource.minors.push(number);
        }
    }
}

/// What matters here of a token. Ten thousand resources are read while somebody waits for an
/// answer, so that nothing is looked at twice.
#[derive(Clone, Copy)]
enum Piece<'t> {
    Open,
    Close,
    Word(&'t str),
    /// Without its quotes, with its backslashes.
    Quoted(&'t str),
    Other,
}

struct Pieces<'t> {
    rest: &'t str,
}

impl<'t> Iterator for Pieces<'t> {
    type Item = Piece<'t>;

    fn next(&mut self) -> Option<Piece<'t>> {
        loop {
            self.rest = self.rest.trim_ascii_start();
            match self.rest.strip_prefix('#') {
                Some(comment) => {
                    self.rest = &comment[comment.find('\n').unwrap_or(comment.len())..]
                }
                None => break,
            }
        }
        let bytes = self.rest.as_bytes();
        let (piece, length) = match bytes.first()? {
            b'{' => (Piece::Open, 1),
            b'}' => (Piece::Close, 1),
            b'"' => {
                let end = quoted_length(&bytes[1..]);
                (Piece::Quoted(&self.rest[1..=end]), end + 2)
            }
            byte if is_bare(byte) => {
                let end = bytes.iter().position(|byte| !is_bare(byte));
                let word = &self.rest[..end.unwrap_or(bytes.len())];
                (Piece::Word(word), word.len())
            }
            _ => (
                Piece::Other,
                self.rest.chars().next().map_or(1, char::len_utf8),
            ),
        };
        self.rest = self.rest.get(length..).unwrap_or("");
        Some(piece)
    }
}

fn is_bare(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'_' | b'-')
}

/// Length of quoted text up to its closing quote, or up to the end of the line.
fn quoted_length(text: &[u8]) -> usize {
    let mut escaped = false;
    let end = text.iter().position(|byte| {
        let ends = matches!(byte, b'"' | b'\n') && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    end.unwrap_or(text.len())
}

fn unescaped(text: &str) -> String {
    let mut chars = text.chars();
    let mut plain = String::with_capacity(text.len());
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_through_includes_and_in_broken_files() {
        let directory = tempfile::tempdir().unwrap();
        let main = directory.path().join("drbd.conf");
        std::fs::write(&main, "include \"*.res\"; resource last { bogus").unwrap();
        let res = "include \"drbd.conf\"; resource \"a b\" { volume 1 { } \
                   on x { volume 1 { device minor 5; } volume 2 { device drbd6; } } }";
        std::fs::write(directory.path().join("a.res"), res).unwrap();
        let names = resource_names(&main);
        assert_eq!(names.len(), 2);
        assert_eq!(
            (names[0].name.as_str(), names[1].name.as_str()),
            ("a b", "last")
        );
        assert_eq!(names[0].volumes, ["1", "2"]);
        assert_eq!(names[0].minors, [5, 6]);
    }

    #[test]
    fn any_text_is_searched_to_its_end() {
        for text in [
            "\"",
            "resource \"a",
            "resource \"\\",
            "#",
            "resource é {",
            "volume 1",
            "}}resource a",
            "resource r { volume\n# x\n 1 { } }",
        ] {
            let directory = tempfile::tempdir().unwrap();
            let file = directory.path().join("drbd.conf");
            std::fs::write(&file, text).unwrap();
            let names = resource_names(&file);
            assert!(names.len() <= 1, "{text}");
        }
    }

    /// A comment between them does not part a keyword and its name.
    #[test]
    fn names_stand_behind_comments_and_in_quotes() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("drbd.conf");
        let text =
            "resource # x\n \"a \\\" b\" { } # resource c\nskip \"resource d\" { resource e { } }";
        std::fs::write(&file, text).unwrap();
        let names: Vec<_> = resource_names(&file).into_iter().map(|r| r.name).collect();
        assert_eq!(names, ["a \" b"]);
    }
}
