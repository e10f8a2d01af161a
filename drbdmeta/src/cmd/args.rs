//! The command line, with the rules and messages of GNU getopt_long that the genuine tool shows:
//! options anywhere, unique prefixes, short forms bundled (spec 40 section 8).

use super::console::{FAILED_IO, Failure};
use super::number::{Unit, with_unit};

/// What an option takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Argument {
    /// Nothing.
    None,
    /// A value, with the name that help shows.
    Value(&'static str),
}

/// Which option.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OptionId {
    /// Answer every confirmation with yes.
    Force,
    /// Say more.
    Verbose,
    /// Override refusals.
    IgnoreSanityChecks,
    /// Write nothing.
    DryRun,
    /// Value for the superblock.
    PeerMaxBioSize,
    /// Peer of v09 meta-data.
    NodeId,
    /// Stripes of the activity log.
    AlStripes,
    /// Size of a stripe.
    AlStripeSize,
    /// How create-md zeroes the bitmap.
    InitializeBitmap,
    /// Machine-readable output (new).
    Json,
}

/// One row of the table of options, from which parser, help and manual derive.
pub struct OptionRow {
    /// Which option.
    pub id: OptionId,
    /// Long name.
    pub long: &'static str,
    /// Short name.
    pub short: Option<char>,
    /// What it takes.
    pub argument: Argument,
    /// One sentence.
    pub help: &'static str,
}

/// Every option, in the order in which getopt lists ambiguous ones.
pub const OPTIONS: &[OptionRow] = &[
    OptionRow {
        id: OptionId::IgnoreSanityChecks,
        long: "ignore-sanity-checks",
        short: None,
        argument: Argument::None,
        help: "Override some refusals, and the check that writes lie inside of the meta-data area.",
    },
    OptionRow {
        id: OptionId::DryRun,
        long: "dry-run",
        short: None,
        argument: Argument::None,
        help: "Announce every write on stderr instead of doing it.",
    },
    OptionRow {
        id: OptionId::Force,
        long: "force",
        short: Some('f'),
        argument: Argument::None,
        help: "Answer every confirmation with yes; accept a plain file as meta-data device; dump unclean meta-data.",
    },
    OptionRow {
        id: OptionId::Verbose,
        long: "verbose",
        short: Some('v'),
        argument: Argument::None,
        help: "Say more; repeatable: 2 traces I/O, 4 shows the superblock (3 one that is not valid), 10 lists the activity log in dump-md.",
    },
    OptionRow {
        id: OptionId::PeerMaxBioSize,
        long: "peer-max-bio-size",
        short: Some('p'),
        argument: Argument::Value("BYTES"),
        help: "create-md: the largest request that the peer accepts, 0 to 1M.",
    },
    OptionRow {
        id: OptionId::NodeId,
        long: "node-id",
        short: Some('i'),
        argument: Argument::Value("NODE"),
        help: "Peer slot of v09 meta-data; accepted and ignored for the older formats.",
    },
    OptionRow {
        id: OptionId::AlStripes,
        long: "al-stripes",
        short: Some('s'),
        argument: Argument::Value("N"),
        help: "create-md, restore-md: number of stripes of the activity log (1).",
    },
    OptionRow {
        id: OptionId::AlStripeSize,
        long: "al-stripe-size-kB",
        short: Some('z'),
        argument: Argument::Value("KIB"),
        help: "create-md, restore-md: size of a stripe (32).",
    },
    OptionRow {
        id: OptionId::InitializeBitmap,
        long: "initialize-bitmap",
        short: Some('b'),
        argument: Argument::Value("MODE"),
        help: "create-md: automatic, zeroout, pwrite or skip.",
    },
    OptionRow {
        id: OptionId::Json,
        long: "json",
        short: None,
        argument: Argument::None,
        help: "export, show-gi: print JSON.",
    },
];

/// How create-md zeroes the bitmap.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum BitmapMode {
    /// The fast way of the device, else by writing.
    #[default]
    Automatic,
    /// The fast way or not at all.
    ZeroOut,
    /// By writing.
    Pwrite,
    /// Leave it as it is.
    Skip,
}

impl BitmapMode {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "automatic" => Some(Self::Automatic),
            "zeroout" => Some(Self::ZeroOut),
            "pwrite" => Some(Self::Pwrite),
            "skip" => Some(Self::Skip),
            _ => None,
        }
    }
}

/// The options with their values.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// `--force`
    pub force: bool,
    /// How often `--verbose`.
    pub verbosity: u8,
    /// `--ignore-sanity-checks`
    pub ignore_sanity_checks: bool,
    /// `--dry-run`
    pub dry_run: bool,
    /// `--peer-max-bio-size`, bytes.
    pub peer_max_bio_size: Option<u32>,
    /// `--node-id`
    pub node_id: Option<u8>,
    /// `--al-stripes`
    pub al_stripes: Option<u64>,
    /// `--al-stripe-size-kB`, in 4 KiB blocks.
    pub al_stripe_blocks: Option<u64>,
    /// `--initialize-bitmap`
    pub bitmap_mode: BitmapMode,
    /// `--json`
    pub json: bool,
}

/// The command line, taken apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Parsed {
    /// Options.
    pub options: Options,
    /// Everything that is no option.
    pub positional: Vec<String>,
    /// All words in the order that getopt leaves behind: options first. The dump header shows it.
    pub permuted: Vec<String>,
}

/// Why the command line was not understood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ArgumentError {
    /// Print this line (if any) on stderr, the usage on stdout, exit 20.
    Usage(Option<String>),
    /// An option's value is wrong.
    Value(Failure),
}

/// Parses the words after the program name; `program` is for getopt's messages.
pub fn parse(program: &str, words: &[String]) -> Result<Parsed, ArgumentError> {
    // The genuine tool counts words before it looks at any of them.
    if words.len() < 3 {
        return Err(ArgumentError::Usage(None));
    }
    let mut parser = Parser {
        program,
        words: words.iter(),
        parsed: Parsed {
            options: Options::default(),
            positional: Vec::new(),
            permuted: Vec::new(),
        },
    };
    while let Some(word) = parser.words.next() {
        if word == "--" {
            parser.parsed.permuted.push(word.clone());
            parser
                .parsed
                .positional
                .extend(parser.words.by_ref().cloned());
        } else if let Some(long) = word.strip_prefix("--") {
            parser.parsed.permuted.push(word.clone());
            parser.long(long)?;
        } else if word.len() > 1 && word.starts_with('-') {
            parser.parsed.permuted.push(word.clone());
            parser.short(&word[1..])?;
        } else {
            parser.parsed.positional.push(word.clone());
        }
    }
    let mut parsed = parser.parsed;
    parsed.permuted.extend_from_slice(&parsed.positional);
    Ok(parsed)
}

struct Parser<'a> {
    program: &'a str,
    words: std::slice::Iter<'a, String>,
    parsed: Parsed,
}

impl Parser<'_> {
    fn usage(&self, complaint: impl std::fmt::Display) -> ArgumentError {
        ArgumentError::Usage(Some(format!("{}: {complaint}", self.program)))
    }

    fn long(&mut self, text: &str) -> Result<(), ArgumentError> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        let row = self.find_long(name, text)?;
        let value = match (row.argument, value) {
            (Argument::None, Some(_)) => {
                let long = row.long;
                return Err(self.usage(format_args!("option '--{long}' doesn't allow an argument")));
            }
            (Argument::None, None) => String::new(),
            (Argument::Value(_), Some(value)) => value,
            (Argument::Value(_), None) => {
                let long = row.long;
                let complaint = format!("option '--{long}' requires an argument");
                self.next_word().ok_or_else(|| self.usage(complaint))?
            }
        };
        apply(&mut self.parsed.options, row.id, &value).map_err(ArgumentError::Value)
    }

    /// The row of a long option, by its name or a prefix; complaints show the whole word, a value
    /// behind `=` included.
    fn find_long(&self, name: &str, word: &str) -> Result<&'static OptionRow, ArgumentError> {
        if let Some(exact) = OPTIONS.iter().find(|row| row.long == name) {
            return Ok(exact);
        }
        let matches: Vec<_> = OPTIONS
            .iter()
            .filter(|row| row.long.starts_with(name))
            .collect();
        match matches[..] {
            [one] => Ok(one),
            [] => Err(self.usage(format_args!("unrecognized option '--{word}'"))),
            _ => {
                let list: String = matches.iter().map(|r| format!(" '--{}'", r.long)).collect();
                Err(self.usage(format_args!(
                    "option '--{word}' is ambiguous; possibilities:{list}"
                )))
            }
        }
    }

    fn short(&mut self, letters: &str) -> Result<(), ArgumentError> {
        for (at, letter) in letters.char_indices() {
            let row = OPTIONS
                .iter()
                .find(|row| row.short == Some(letter))
                .ok_or_else(|| self.usage(format_args!("invalid option -- '{letter}'")))?;
            if row.argument == Argument::None {
                apply(&mut self.parsed.options, row.id, "").map_err(ArgumentError::Value)?;
                continue;
            }
            let rest = &letters[at + letter.len_utf8()..];
            let value = if rest.is_empty() {
                let complaint = format!("option requires an argument -- '{letter}'");
                self.next_word().ok_or_else(|| self.usage(complaint))?
            } else {
                rest.to_owned()
            };
            return apply(&mut self.parsed.options, row.id, &value).map_err(ArgumentError::Value);
        }
        Ok(())
    }

    fn next_word(&mut self) -> Option<String> {
        let word = self.words.next()?.clone();
        self.parsed.permuted.push(word.clone());
        Some(word)
    }
}

fn apply(options: &mut Options, id: OptionId, value: &str) -> Result<(), Failure> {
    match id {
        OptionId::Force => options.force = true,
        OptionId::Verbose => options.verbosity = options.verbosity.saturating_add(1),
        OptionId::IgnoreSanityChecks => options.ignore_sanity_checks = true,
        OptionId::DryRun => options.dry_run = true,
        OptionId::Json => options.json = true,
        OptionId::PeerMaxBioSize => {
            let bytes = with_unit(value, Unit::One)?;
            let small = u32::try_from(bytes).ok().filter(|&b| b <= 1 << 20);
            options.peer_max_bio_size = Some(small.ok_or_else(|| {
                Failure::new(FAILED_IO, "peer-max-bio-size out of range (0...1M)")
            })?);
        }
        OptionId::NodeId => {
            let node = with_unit(value, Unit::One)?;
            let small = u8::try_from(node).ok().filter(|&n| n <= 31);
            options.node_id = Some(
                small.ok_or_else(|| Failure::new(FAILED_IO, "node-id out of range (0...31)"))?,
            );
        }
        OptionId::AlStripes => options.al_stripes = Some(with_unit(value, Unit::One)?),
        OptionId::AlStripeSize => {
            options.al_stripe_blocks = Some(with_unit(value, Unit::Kibi)? / 4)
        }
        OptionId::InitializeBitmap => {
            options.bitmap_mode = BitmapMode::parse(value).ok_or_else(|| {
                Failure::new(
                    FAILED_IO,
                    format_args!(
                        "invalid initialize-bitmap-mode \"{value}\", \
                         should be one of automatic|zeroout|pwrite|skip"
                    ),
                )
            })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn options_stand_anywhere_and_move_to_the_front() {
        let parsed = parse(
            "drbdmeta",
            &words("0 v08 x internal create-md --force -p 4k"),
        )
        .unwrap();
        assert!(parsed.options.force);
        assert_eq!(parsed.options.peer_max_bio_size, Some(4096));
        assert_eq!(parsed.positional, words("0 v08 x internal create-md"));
        assert_eq!(
            parsed.permuted,
            words("--force -p 4k 0 v08 x internal create-md")
        );
    }

    #[test]
    fn getopt_complains_in_its_own_words() {
        // Captured: spec 40 section 8.
        for (line, message) in [
            ("--foo a b", "drbdmeta: unrecognized option '--foo'"),
            ("-7 a b", "drbdmeta: invalid option -- '7'"),
            ("a b -p", "drbdmeta: option requires an argument -- 'p'"),
            (
                "--al a b",
                "drbdmeta: option '--al' is ambiguous; possibilities: '--al-stripes' '--al-stripe-size-kB'",
            ),
            (
                "--force=1 a b",
                "drbdmeta: option '--force' doesn't allow an argument",
            ),
        ] {
            assert_eq!(
                parse("drbdmeta", &words(line)),
                Err(ArgumentError::Usage(Some(message.to_owned()))),
            );
        }
        assert_eq!(
            parse("drbdmeta", &words("--foo a")),
            Err(ArgumentError::Usage(None))
        );
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for (line, status, text) in [
            ("-p 1x a b", 20, "1x is not a valid number"),
            ("-p 2M a b", 10, "peer-max-bio-size out of range (0...1M)"),
            ("-i 32 a b", 10, "node-id out of range (0...31)"),
        ] {
            assert_eq!(
                parse("drbdmeta", &words(line)),
                Err(ArgumentError::Value(Failure::new(status, text)))
            );
        }
    }

    proptest! {
        #[test]
        fn no_command_line_panics(words: Vec<String>) {
            let _ = parse("drbdmeta", &words);
        }
    }
}
