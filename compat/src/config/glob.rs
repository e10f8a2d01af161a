//! File name patterns as libc's `glob` without flags expands them: `*`, `?`, `[...]`, backslash;
//! a leading dot must be matched by a dot; results sorted.

use std::path::Path;

use super::storage::Storage;

/// The most names that a pattern may match: `*/../*/../*` multiplies a few files to any number.
const MAX_NAMES: usize = 1 << 16;

/// A pattern matched more names than any configuration consists of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TooMany;

/// The names that match, relative to `directory` unless the pattern is absolute.
pub(super) fn expand(
    storage: &dyn Storage,
    directory: &Path,
    pattern: &str,
) -> Result<Vec<String>, TooMany> {
    let (mut found, rest) = match pattern.strip_prefix('/') {
        Some(rest) => (vec!["/".to_owned()], rest),
        None => (vec![String::new()], pattern),
    };
    let mut components = rest.split('/').peekable();
    while let Some(component) = components.next() {
        let more = components.peek().is_some();
        found = found
            .iter()
            .flat_map(|prefix| step(storage, directory, prefix, component))
            .map(|name| if more { format!("{name}/") } else { name })
            .take(MAX_NAMES + 1)
            .collect();
        if found.len() > MAX_NAMES {
            return Err(TooMany);
        }
    }
    found.retain(|name| storage.exists(&directory.join(name)));
    found.sort_unstable();
    Ok(found)
}

/// The names that one component matches behind a prefix.
fn step(storage: &dyn Storage, directory: &Path, prefix: &str, component: &str) -> Vec<String> {
    if !component.contains(['*', '?', '[']) {
        return vec![format!("{prefix}{}", unescape(component))];
    }
    let pattern: Vec<char> = component.chars().collect();
    let names = storage.names(&directory.join(prefix)).into_iter();
    names
        .filter(|name| !name.starts_with('.') || pattern.first() == Some(&'.'))
        .filter(|name| matches(&pattern, &name.chars().collect::<Vec<_>>()))
        .map(|name| format!("{prefix}{name}"))
        .collect()
}

fn unescape(component: &str) -> String {
    let mut chars = component.chars();
    let mut text = String::new();
    while let Some(c) = chars.next() {
        text.push(if c == '\\' {
            chars.next().unwrap_or(c)
        } else {
            c
        });
    }
    text
}

/// Whether a name matches. Only the last `*` is ever retried, so the time is at most quadratic.
fn matches(pattern: &[char], name: &[char]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p + 1, n));
                p += 1;
                continue;
            }
            Some(_) => {
                if let Some(width) = matches_one(&pattern[p..], name[n]) {
                    p += width;
                    n += 1;
                    continue;
                }
            }
            None => {}
        }
        match star {
            Some((after, at)) => {
                star = Some((after, at + 1));
                (p, n) = (after, at + 1);
            }
            None => return false,
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// How much of the pattern matches this character; `None` if it does not.
fn matches_one(pattern: &[char], c: char) -> Option<usize> {
    match pattern {
        ['?', ..] => Some(1),
        ['[', rest @ ..] => match class(rest, c) {
            Some((hit, length)) => hit.then_some(length + 1),
            None => (c == '[').then_some(1),
        },
        ['\\', escaped, ..] => (*escaped == c).then_some(2),
        [plain, ..] => (*plain == c).then_some(1),
        [] => None,
    }
}

/// A bracket expression behind its `[`: whether it contains the character, and its length.
fn class(pattern: &[char], c: char) -> Option<(bool, usize)> {
    let negated = matches!(pattern.first(), Some('!' | '^'));
    let start = usize::from(negated);
    let mut at = start;
    let mut hit = false;
    loop {
        let low = *pattern.get(at)?;
        if low == ']' && at > start {
            return Some((hit != negated, at + 1));
        }
        match (pattern.get(at + 1), pattern.get(at + 2)) {
            (Some('-'), Some(high)) if *high != ']' => {
                hit |= (low..=*high).contains(&c);
                at += 3;
            }
            _ => {
                hit |= low == c;
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::storage::{Disk, Memory};
    use super::*;
    use std::fs;

    fn hit(pattern: &str, name: &str) -> bool {
        matches(
            &pattern.chars().collect::<Vec<_>>(),
            &name.chars().collect::<Vec<_>>(),
        )
    }

    #[test]
    fn patterns_match_as_in_the_shell() {
        assert!(hit("*.res", "a.res"));
        assert!(hit("a*b*c", "aXbYbZc"));
        assert!(!hit("a*b*c", "aXbY"));
        assert!(hit("[a-c]?", "bx"));
        assert!(hit("[!a-c]", "d"));
        assert!(!hit("[!a-c]", "a"));
        assert!(hit("[]x]", "]"));
        assert!(hit("\\*", "*"));
        assert!(hit("[", "["));
    }

    #[test]
    fn results_are_sorted_and_hidden_files_need_a_dot() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.res", "a.res", ".c.res", "x.conf"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(
            expand(&Disk, dir.path(), "*.res").unwrap(),
            ["a.res", "b.res"]
        );
        assert_eq!(expand(&Disk, dir.path(), ".*.res").unwrap(), [".c.res"]);
        assert_eq!(expand(&Disk, dir.path(), "x.conf").unwrap(), ["x.conf"]);
        assert!(expand(&Disk, dir.path(), "y.conf").unwrap().is_empty());
        let absolute = format!("{}/?.res", dir.path().display());
        assert_eq!(expand(&Disk, Path::new("/"), &absolute).unwrap().len(), 2);
    }

    #[test]
    fn a_pattern_that_multiplies_itself_is_refused() {
        let files = (0..64).map(|n| (format!("/d/{n}/x").into(), Vec::new()));
        let memory = Memory(files.collect());
        let found = |pattern: &str| expand(&memory, Path::new("/d"), pattern);
        assert_eq!(found("*/../*/x").unwrap().len(), 64 * 64);
        assert_eq!(found("*/../*/../*/x"), Err(TooMany));
    }
}
