//! Option sections.

use drbd_options::{Era, Form, Kind, Number, OptionRow, Scale, Section};

use super::{Generator, Reader};

const TEXTS: &[&str] = &[
    "sha1",
    "\"two words\"",
    "\"\"",
    "\"a\\\"b\\\\c\"",
    "x_y.z/1-2",
    "\"<&'>\"",
    "f0",
    "on",
    "\"$HOME `id` * ?\"",
    "\"tab\\\there\"",
    "1.2.3",
    "\"grüße\"",
    "123456789",
];

/// Handlers are run by some commands: these show with what.
const SCRIPTS: &[&str] = &[
    "\"env | grep ^DRBD_ | grep -v -e VERSION -e ERA -e RUN_DIR | sort\"",
    "\"echo handler; exit 5\"",
    "\"exit 20\"",
    "\"kill -9 $$\"",
    "\"echo error >&2; exit 1\"",
    "true",
    "\"no-such-program-at-all\"",
];

impl Generator<'_> {
    /// Option sections, each with some probability.
    pub(super) fn sections(&mut self, percent: usize) {
        if self.reader == Reader::Of84 && self.random.percent(60) {
            self.protocol();
        }
        let mut all = vec![
            Section::Net,
            Section::Disk,
            Section::Startup,
            Section::Handlers,
            match self.style {
                Era::V84 => Section::Options,
                _ => Section::Syncer,
            },
            Section::Proxy,
        ];
        if self.reader == Reader::Of83 && self.known.is_empty() {
            // Inside of XML drbdadm of 8.3 shows it as plain text: a known difference.
            all.pop();
        }
        let first = self.random.below(all.len());
        all.rotate_left(first);
        for section in all {
            if self.random.percent(percent) {
                self.section(section);
            }
        }
    }

    pub(super) fn protocol(&mut self) {
        let letter = match self.reader {
            // In what case drbdadm of 8.3 shows it is a known difference.
            Reader::Of83 => *self.random.choose(&["A", "B", "C"]),
            Reader::Of84 => *self.random.choose(&["A", "B", "C", "c", "\"C\""]),
        };
        self.line(&format!("protocol {letter};"));
    }

    pub(super) fn section(&mut self, section: Section) {
        self.line(&format!("{} {{", section.keyword()));
        for _ in 0..self.random.below(6) {
            self.option(section);
        }
        if section == Section::Startup && self.random.percent(25) {
            let hosts = *self
                .random
                .choose(&["alpha", "beta alpha", "both", "\"beta\""]);
            self.line(&format!("become-primary-on {hosts};"));
        }
        if section == Section::Proxy && self.random.percent(30) {
            self.line("plugin { zlib level 9; lzma contexts 1; net on \"x y\"; }");
        }
        self.line("}");
    }

    /// An option in the spelling of the style, if that has any in this section.
    fn option(&mut self, section: Section) {
        let style = self.style;
        let candidates: Vec<(&OptionRow, &str, Form)> = drbd_options::ALL
            .iter()
            .flat_map(|table| table.iter())
            .filter(|row| row.name != "protocol" && row.until >= Era::V83)
            .filter_map(|row| {
                let spelling = row.spelling(style)?;
                let fits = spelling.section == section && row.section != Section::Syncer;
                fits.then_some((row, spelling.name, spelling.form))
            })
            .collect();
        let (row, name, form) = *self.random.choose(&candidates);
        let statement = match (row.kind, form) {
            (_, Form::Negated) => format!("{name};"),
            (Kind::Flag | Kind::Bool { .. }, _) => match self.random.below(3) {
                1 if style == Era::V84 && row.name != "stacked-timeouts" => format!("{name} yes;"),
                2 if style == Era::V84 && row.name != "stacked-timeouts" => format!("{name} no;"),
                _ => format!("{name};"),
            },
            (Kind::Number(limits), _) => {
                // What drbdadm of 8.4 refuses is refused in all eras: a known difference.
                let then = row.limits(style).unwrap_or(limits);
                let limits = match self.reader {
                    Reader::Of84 => then,
                    Reader::Of83 => Number {
                        min: limits.min.max(then.min),
                        max: limits.max.min(then.max),
                        ..then
                    },
                };
                format!("{name} {};", self.number(limits))
            }
            (Kind::MinorOfResource(_), _) => format!("{name} {};", self.target()),
            (Kind::Enum(choice), _) => {
                let word = self.random.choose(choice.words).0;
                format!("{name} {word};")
            }
            (Kind::Words, _) => format!("{name} alpha beta;"),
            _ if section == Section::Handlers => format!("{name} {};", self.random.choose(SCRIPTS)),
            (Kind::Text { .. } | Kind::Address, _) => {
                format!("{name} {};", self.random.choose(TEXTS))
            }
        };
        self.line(&statement);
    }

    /// A resource to wait for.
    fn target(&mut self) -> String {
        if self.known.is_empty() || self.random.percent(5) {
            return "nosuch".to_owned();
        }
        let at = self.random.below(self.known.len());
        let known = &self.known[at];
        let name = known.name.clone();
        match &known.volumes {
            Some(numbers) if self.random.percent(90) => {
                let number = numbers[self.random.below(numbers.len())];
                format!("\"{}/{number}\"", name.trim_matches('"'))
            }
            _ => name,
        }
    }

    /// A number within the limits, in one of its spellings.
    fn number(&mut self, limits: Number) -> String {
        let span = limits.max - limits.min + 1;
        // Small numbers are as likely as large ones.
        let bits = self.random.below(63);
        let offset = i64::try_from(self.random.next() >> (63 - bits) >> 1).unwrap_or(0) % span;
        let n = (limits.min.max(0) + offset).min(limits.max);
        let kib = match limits.scale {
            Scale::One => None,
            Scale::Kib => Some(n),
            Scale::Sectors => Some(n / 2),
        };
        let fits = |value: i64| value >= limits.min;
        match (kib, self.random.below(8)) {
            (Some(kib), 0) if fits(kib) => format!("{kib}k"),
            (Some(kib), 1) if fits(kib) => format!("{kib}K"),
            (Some(kib), 2) if fits(kib / 1024 * 1024) => format!("{}M", kib / 1024),
            (Some(kib), 3) if fits(kib >> 20 << 20) => format!("{}G", kib >> 20),
            (_, 4) => format!("0{n}"),
            (_, 5) => format!("\"{n}\""),
            _ => n.to_string(),
        }
    }
}
