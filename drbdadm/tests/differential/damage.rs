//! What people and editors do to configurations.

use crate::{generate::Case, random::Random};

const JUNK: &[&str] = &[
    "{",
    "}",
    ";",
    "[",
    "]",
    ":",
    "on",
    "net",
    "disk",
    "resource",
    "global",
    "common",
    "volume",
    "device",
    "minor",
    "address",
    "meta-disk",
    "internal",
    "no",
    "yes",
    "\"\"",
    "\"open",
    "=",
    "99999999",
    "123456789",
    "-1",
    "5x",
    "10M",
    "1T",
    "10.9.9.1",
    "fd00::1",
    "include",
    "skip",
    "proxy",
    "options",
    "startup",
    "handlers",
    "syncer",
    "floating",
    "flexible-meta-disk",
    "timeout",
    "rate",
    "resync-rate",
    "al-extents",
    "size",
    "max-buffers",
    "fencing",
    "inside",
    "become-primary-on",
    "plugin",
    "usage-count",
    "minor-count",
    "0",
    "alpha",
    "beta",
    "'",
    "stacked-on-top-of",
    "ignore-on",
    "protocol",
    "D",
    "_this_host",
    "discard-my-data",
    "\\",
    "65536",
    "drbdX",
    "/dev/sda",
    "ipv6 [",
    "sdp",
    "resync-after",
    // Bare, it is a known difference.
    "\"ü\"",
    "\u{1}",
    "\"\u{7f}\"",
    "alternate-link-address",
    "\"unterminated\n\"",
    "99999999999999999999",
    "4000000000G",
    "a-bare-word-of-more-than-one-hundred-and-twenty-eight-characters-which-no-scanner-\
     of-any-series-takes-for-a-word-since-words-have-their-limits",
];

/// One or two changes in one of the files.
pub fn damage_one_file(random: &mut Random, case: &mut Case) {
    let files = case.included.iter_mut().map(|(_, text)| text);
    let mut files: Vec<&mut String> = files.chain([&mut case.main]).collect();
    let at = random.below(files.len());
    *files[at] = damage(random, files[at]);
}

fn damage(random: &mut Random, text: &str) -> String {
    let mut text = text.to_owned();
    for _ in 0..=random.below(2) {
        text = change(random, &text);
    }
    text
}

fn change(random: &mut Random, text: &str) -> String {
    let mut words: Vec<&str> = text.split_inclusive([' ', '\n']).collect();
    if words.len() < 2 {
        return text.to_owned();
    }
    let at = random.below(words.len());
    let junk = format!("{} ", random.choose(JUNK));
    match random.below(9) {
        0 => {
            words.remove(at);
        }
        1 => words.insert(at, words[at]),
        2 => words.insert(at, &junk),
        3 | 4 => words[at] = &junk,
        5 => {
            let other = random.below(words.len());
            words.swap(at, other);
        }
        6 => words.truncate(at),
        7 => {
            // A character less.
            let chars: Vec<char> = text.chars().collect();
            let at = random.below(chars.len());
            return chars
                .iter()
                .enumerate()
                .filter(|(i, _)| *i != at)
                .map(|(_, c)| c)
                .collect();
        }
        _ => return text.replacen(';', "", 1 + random.below(2)),
    }
    words.concat()
}
