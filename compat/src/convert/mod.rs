//! Rewriting configurations of older series in the words of 8.4.
//!
//! `tree` cuts a file into statements and blocks that keep their comments and how they were
//! written, `rewrite` moves and renames what 8.4 writes differently, `print` puts the rest back as
//! it was. Each file is converted on its own, so that includes stay what they are; what one file
//! must know of the others is in the [`Context`].

mod print;
mod rewrite;
mod tree;

use std::collections::HashMap;

use crate::config::predecessors;
use crate::model::{Config, Dialect};

/// What the whole configuration says about each of its files.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// Whose words are spoken.
    pub dialect: Dialect,
    /// Of 0.7: the resource that another one waits for, from the groups of the syncer.
    pub resync_after: HashMap<String, String>,
}

impl Context {
    /// Of a configuration that was read. Unlike a command, a conversion is for all hosts: groups
    /// count on resources of other hosts, too.
    pub fn of(config: &Config) -> Self {
        let names = |at: usize| config.resources[at].name.clone();
        let pairs = match config.dialect {
            Dialect::V8 => Vec::new(),
            Dialect::V07 => predecessors(&config.resources, |_| true),
        };
        Self {
            dialect: config.dialect,
            resync_after: pairs
                .into_iter()
                .map(|(own, before)| (names(own), names(before)))
                .collect(),
        }
    }

    fn group_fate(&self) -> (Fate, &'static str) {
        if self.resync_after.is_empty() {
            (Fate::LeftOut, "all resources are in one group")
        } else {
            (
                Fate::Replaced,
                "resync-after the last resource of the next lower group",
            )
        }
    }
}

/// A converted file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Converted {
    /// The new text.
    pub text: String,
    /// What has no equivalent, and why.
    pub notes: Vec<Note>,
}

/// Something that is not simply written in other words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Where it stood.
    pub line: u32,
    /// The statement.
    pub what: String,
    /// What became of it.
    pub fate: Fate,
    /// Why it is gone, or what stands instead.
    pub why: String,
}

/// What became of a statement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It is gone.
    LeftOut,
    /// Something else stands for it.
    Replaced,
    /// It is as it was, and somebody should look at it.
    Check,
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { what, why, .. } = self;
        match self.fate {
            Fate::LeftOut => write!(f, "left out: {what} ({why})"),
            Fate::Replaced => write!(f, "replaced: {what} (by {why})"),
            Fate::Check => write!(f, "please check: {what} ({why})"),
        }
    }
}

/// Converts a file that was read without complaint.
pub fn convert(text: &str, context: &Context) -> Converted {
    let mut items = tree::parse(text, context.dialect);
    let mut notes = Vec::new();
    rewrite::file(&mut items, context, &mut notes);
    Converted {
        text: print::file(&items, &print::Style::of(text)),
        notes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(text: &str, dialect: Dialect) -> Converted {
        let context = Context {
            dialect,
            ..Context::default()
        };
        convert(text, &context)
    }

    #[test]
    fn an_old_resource_becomes_a_modern_one_and_keeps_its_comments() {
        let converted = converted(
            "# our cluster\nresource r0 {\n  protocol C; # synchronous\n  incon-degr-cmd \"halt -f\";\n\
             \x20 syncer { # the slow one\n    # the link has a gigabit\n    rate 10M;\n    group 1;\n\
             \x20   verify-alg sha1;\n  } # end\n\
             \x20 net { allow-two-primaries; }\n  disk { no-disk-barrier; use-bmbv; }\n\
             \x20 on a { device /dev/drbd0; flexible-meta-disk /dev/md; }\n}\n",
            Dialect::V07,
        );
        assert_eq!(
            converted.text,
            "# our cluster\nresource r0 {\n  net {\n    protocol C; # synchronous\n    \
             verify-alg sha1;\n    allow-two-primaries yes;\n  }\n  handlers {\n    \
             pri-on-incon-degr \"halt -f\";\n  }\n  disk {\n    # the slow one\n    \
             # the link has a gigabit\n    resync-rate 10M;\n    disk-barrier no;\n    # end\n  }\n  \
             on a {\n    device /dev/drbd0;\n    meta-disk /dev/md;\n  }\n}\n"
        );
        let notes: Vec<_> = converted
            .notes
            .iter()
            .map(|n| (n.line, n.what.as_str()))
            .collect();
        assert_eq!(notes, [(8, "group 1"), (12, "use-bmbv")]);
    }

    #[test]
    fn what_is_modern_already_stays_as_it_is_written() {
        let modern = "# a\n\nresource   r0 {\n\tnet {\n\t\tprotocol   C;\t# b\n\n\t\t# c\n\t}\n\t\
                      skip-me-not \"x  y\";\n}\n\nskip \"a { \" { x\n { # }\n } }\n# d\n";
        assert_eq!(converted(modern, Dialect::V8).text, modern);
    }

    /// Spec 10 sections 2.4 and 3.5.
    #[test]
    fn forms_that_only_0_7_had_become_those_of_today() {
        let old = "global { minor_count 5; disable_io_hints }\nskip a b { x }\nresource r {\n\
                   disk { on-io-error panic; size 1000 }\n skip the rest { on x { }\n y; }\n\
                   on a {\n device /dev/drbd0\n address 1.2.3.4 port 7788;\n\
                   meta-disk /dev/md meta-index 1;\n }\n}\n";
        let converted = converted(old, Dialect::V07);
        for line in [
            "minor-count 5;",
            "skip \"a b\" { x }",
            "on-io-error call-local-io-error;",
            "size 1000K;",
            "# skip the rest { on x { }",
            "# y; }",
            "device /dev/drbd0;",
            "address 1.2.3.4:7788;",
            "meta-disk /dev/md[1];",
            "local-io-error \"echo o > /proc/sysrq-trigger; halt -f\";",
        ] {
            let found = converted.text.lines().any(|l| l.trim() == line);
            assert!(found, "{line}:\n{}", converted.text);
        }
        let said: Vec<_> = converted.notes.iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), 3, "{said:?}");
    }
}
