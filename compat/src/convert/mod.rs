//! Rewriting configurations of older series in the words of 8.4.
//!
//! [`tree`] cuts a file into statements and blocks that keep their comments, [`rewrite`] moves and
//! renames what 8.4 writes differently, [`print`] writes the result. Each file is converted on its
//! own, so that includes stay what they are.

mod print;
mod rewrite;
mod tree;

/// A converted file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Converted {
    /// The new text.
    pub text: String,
    /// What has no equivalent, and why.
    pub notes: Vec<Note>,
}

/// Something that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Where it stood.
    pub line: u32,
    /// The statement.
    pub what: String,
    /// Why it is gone, or what became of it.
    pub why: &'static str,
}

/// Converts a file that was read without complaint.
pub fn convert(text: &str) -> Converted {
    let mut items = tree::parse(text);
    let mut notes = Vec::new();
    rewrite::file(&mut items, &mut notes);
    Converted {
        text: print::file(&items),
        notes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_resource_becomes_a_modern_one_and_keeps_its_comments() {
        let converted = convert(
            "# our cluster\nresource r0 {\n  protocol C; # synchronous\n  incon-degr-cmd \"halt -f\";\n\
             \x20 syncer {\n    # the link has a gigabit\n    rate 10M;\n    group 1;\n    verify-alg sha1;\n  }\n\
             \x20 net { allow-two-primaries; }\n  disk { no-disk-barrier; use-bmbv; }\n\
             \x20 on a { device /dev/drbd0; flexible-meta-disk /dev/md; }\n}\n",
        );
        assert_eq!(
            converted.text,
            "# our cluster\nresource r0 {\n    net {\n        protocol C; # synchronous\n        \
             verify-alg sha1;\n        allow-two-primaries yes;\n    }\n    handlers {\n        \
             pri-on-incon-degr \"halt -f\";\n    }\n    disk {\n        # the link has a gigabit\n        \
             resync-rate 10M;\n        disk-barrier no;\n    }\n    on a {\n        device /dev/drbd0;\n        \
             meta-disk /dev/md;\n    }\n}\n"
        );
        let left_out: Vec<_> = converted
            .notes
            .iter()
            .map(|n| (n.line, n.what.as_str()))
            .collect();
        assert_eq!(left_out, [(8, "group 1"), (12, "use-bmbv")]);
    }

    #[test]
    fn a_modern_file_only_gets_its_indentation_straightened() {
        let modern = "resource r0 {\n    net {\n        protocol C;\n    }\n}\n";
        assert_eq!(convert(modern).text, modern);
    }
}
