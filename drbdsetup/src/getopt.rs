//! Options as GNU getopt_long reads them: permuting, abbreviated, with its messages.
//!
//! The genuine tool of 8.4 declares no short option, so every word that begins with one dash and
//! has more behind it is refused (spec 30 section 2.1 step 7). Those of older series do.

use std::fmt;

/// Whether an option takes a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Value {
    /// Never.
    None,
    /// After `=`, if at all.
    Optional,
    /// After `=` or as the next word.
    Required,
}

/// A long option.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Long<T> {
    /// Its name without dashes.
    pub name: &'static str,
    /// Its short form.
    pub short: Option<char>,
    /// Whether it takes a value.
    pub value: Value,
    /// What it stands for.
    pub means: T,
}

/// The words behind a command, sorted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Words<T> {
    /// Options in the order given.
    pub options: Vec<(T, Option<String>)>,
    /// Everything else in the order given.
    pub rest: Vec<String>,
}

/// getopt's complaints; the name of the command is put in front.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GetoptError {
    /// No option begins like this.
    Unrecognized(String),
    /// Several that differ in taking values begin like this.
    Ambiguous {
        /// The word without dashes.
        word: String,
        /// The candidates that getopt names.
        names: Vec<&'static str>,
    },
    /// It takes no value.
    NoArgument(&'static str),
    /// It needs a value.
    NeedsArgument(&'static str),
    /// A short option that does not exist.
    Short(char),
    /// A short option that needs a value.
    ShortNeedsArgument(char),
}

impl fmt::Display for GetoptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unrecognized(word) => write!(f, "unrecognized option '--{word}'"),
            Self::Ambiguous { word, names } => {
                write!(f, "option '--{word}' is ambiguous; possibilities:")?;
                names.iter().try_for_each(|name| write!(f, " '--{name}'"))
            }
            Self::NoArgument(name) => write!(f, "option '--{name}' doesn't allow an argument"),
            Self::NeedsArgument(name) => write!(f, "option '--{name}' requires an argument"),
            Self::Short(letter) => write!(f, "invalid option -- '{letter}'"),
            Self::ShortNeedsArgument(letter) => {
                write!(f, "option requires an argument -- '{letter}'")
            }
        }
    }
}

/// Sorts the words behind a command.
pub fn sort<T: Copy>(longs: &[Long<T>], words: &[String]) -> Result<Words<T>, GetoptError> {
    let mut sorted = Words {
        options: Vec::new(),
        rest: Vec::new(),
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--" {
            sorted.rest.extend(words.cloned());
            break;
        }
        if let Some(text) = word.strip_prefix("--") {
            let (name, value) = match text.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (text, None),
            };
            let long = resolve(longs, name, text)?;
            let value = match (long.value, value) {
                (Value::None, Some(_)) => return Err(GetoptError::NoArgument(long.name)),
                (Value::Required, None) => {
                    let next = words.next().cloned();
                    Some(next.ok_or(GetoptError::NeedsArgument(long.name))?)
                }
                (_, value) => value,
            };
            sorted.options.push((long.means, value));
        } else if let Some(cluster) = word.strip_prefix('-').filter(|s| !s.is_empty()) {
            take_cluster(longs, cluster, &mut words, &mut sorted.options)?;
        } else {
            sorted.rest.push(word.clone());
        }
    }
    Ok(sorted)
}

/// Takes the short options of one word. A value is the rest of the word, or the next word.
fn take_cluster<'a, T: Copy>(
    longs: &[Long<T>],
    cluster: &str,
    words: &mut impl Iterator<Item = &'a String>,
    options: &mut Vec<(T, Option<String>)>,
) -> Result<(), GetoptError> {
    let mut letters = cluster.chars();
    while let Some(letter) = letters.next() {
        let long = longs
            .iter()
            .find(|long| long.short == Some(letter))
            .ok_or(GetoptError::Short(letter))?;
        let rest = letters.as_str();
        let value = match long.value {
            Value::None => None,
            Value::Optional | Value::Required if !rest.is_empty() => {
                letters = "".chars();
                Some(rest.to_owned())
            }
            Value::Optional => None,
            Value::Required => {
                let next = words.next().cloned();
                Some(next.ok_or(GetoptError::ShortNeedsArgument(letter))?)
            }
        };
        options.push((long.means, value));
    }
    Ok(())
}

/// The option that `name` spells or abbreviates. An abbreviation of several options is only
/// ambiguous for getopt if they differ in taking values; otherwise the first one is meant.
fn resolve<'a, T>(
    longs: &'a [Long<T>],
    name: &str,
    word: &str,
) -> Result<&'a Long<T>, GetoptError> {
    if let Some(exact) = longs.iter().find(|long| long.name == name) {
        return Ok(exact);
    }
    let mut candidates = longs.iter().filter(|long| long.name.starts_with(name));
    let first = candidates
        .next()
        .ok_or_else(|| GetoptError::Unrecognized(word.to_owned()))?;
    let others: Vec<_> = candidates
        .filter(|long| long.value != first.value)
        .map(|long| long.name)
        .collect();
    if others.is_empty() {
        return Ok(first);
    }
    let mut names = vec![first.name];
    names.extend(others);
    Err(GetoptError::Ambiguous {
        word: word.to_owned(),
        names,
    })
}
