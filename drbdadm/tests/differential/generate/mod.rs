//! Valid configurations, of 8.3 and 8.4 style. Options and values come from the registry.
//!
//! * this file: what a configuration consists of, in which files.
//! * [`hosts`]: resources, their hosts, volumes, addresses, proxies.
//! * [`sections`]: options and their values.

mod hosts;
mod sections;

use drbd_options::{Era, Kind, Section, of_section};

use crate::random::Random;

/// The files of one configuration.
pub struct Case {
    /// The main file.
    pub main: String,
    /// Files that it includes: names relative to it, and texts.
    pub included: Vec<(String, String)>,
}

/// What reads the configuration.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// drbdadm of 8.4, which reads the older style, too.
    Of84,
    /// drbdadm of 8.3.
    Of83,
}

/// A resource that others can refer to.
struct Known {
    name: String,
    /// Numbers of its volumes; `None` if it has only the implicit one.
    volumes: Option<Vec<usize>>,
}

/// What has been handed out, so that nothing is used twice.
struct Generator<'r> {
    random: &'r mut Random,
    text: String,
    style: Era,
    reader: Reader,
    port: u32,
    minor: u32,
    known: Vec<Known>,
}

/// A configuration in the style of 8.3 or of 8.4, perhaps in several files.
pub fn configuration(random: &mut Random) -> Case {
    let style = *random.choose(&[Era::V83, Era::V84, Era::V84]);
    let parts = Generator::new(random, style, Reader::Of84).parts();
    distribute(random, parts, Reader::Of84)
}

/// A configuration in the style of 8.3, in one file, for the program of 8.4.
pub fn of_old_style(random: &mut Random) -> String {
    Generator::new(random, Era::V83, Reader::Of84)
        .parts()
        .concat()
}

/// Configurations that only say what 8.3 can say.
pub fn for_83(random: &mut Random) -> Case {
    let parts = Generator::new(random, Era::V83, Reader::Of83).parts();
    distribute(random, parts, Reader::Of83)
}

/// A file for `-t`: one resource, which may or may not be in conflict with the others.
pub fn on_top(random: &mut Random) -> String {
    let mut generator = Generator::new(random, Era::V84, Reader::Of84);
    if generator.random.percent(70) {
        (generator.port, generator.minor) = (9000, 200);
        generator.resource(77);
    } else {
        generator.resource(0);
    }
    generator.text
}

/// Puts some of the top-level sections into files of their own.
fn distribute(random: &mut Random, parts: Vec<String>, reader: Reader) -> Case {
    let mut case = Case {
        main: String::new(),
        included: Vec::new(),
    };
    if !random.percent(25) {
        case.main = parts.concat();
        return case;
    }
    let mut moved = Vec::new();
    for (at, part) in parts.into_iter().enumerate() {
        if random.percent(50) {
            moved.push((format!("d/{at}.res"), part));
        } else {
            case.main.push_str(&part);
        }
    }
    let statement = match random.below(5) {
        0 => {
            let names = moved.iter().map(|(name, _)| name.as_str());
            names.map(|name| format!("include {name};\n")).collect()
        }
        1 => "include \"d/[0-9]*.res\"; include \"d/nothing-*.conf\";\n".to_owned(),
        // drbdadm of 8.3 would read the files twice: a known difference.
        2 if reader == Reader::Of84 => {
            "include \"d/?.res\"; # once\ninclude \"./d/*\";\n".to_owned()
        }
        _ => "include \"d/*.res\";\n".to_owned(),
    };
    if random.percent(50) {
        case.main.push_str(&statement);
    } else {
        case.main.insert_str(0, &statement);
    }
    case.included = moved;
    case
}

impl<'r> Generator<'r> {
    fn new(random: &'r mut Random, style: Era, reader: Reader) -> Self {
        Self {
            random,
            text: String::new(),
            style,
            reader,
            port: 7000,
            minor: 0,
            known: Vec::new(),
        }
    }

    fn put(&mut self, words: &str) {
        self.text.push_str(words);
        let gap = match self.random.below(14) {
            0 => "\n\t",
            1 => "  ",
            2 => " # a comment { ;\n",
            3 => "\n\n",
            4 => "#\"\n",
            5 => "\r\n",
            _ => " ",
        };
        self.text.push_str(gap);
    }

    fn line(&mut self, words: &str) {
        self.put(words);
        if self.random.percent(70) {
            self.text.push('\n');
        }
    }

    /// The top-level sections, in order.
    fn parts(mut self) -> Vec<String> {
        let mut parts = Vec::new();
        let late = self.random.percent(4);
        let mut end = |generator: &mut Self| parts.push(std::mem::take(&mut generator.text));
        if !late && self.random.percent(60) {
            self.global();
            end(&mut self);
        }
        if self.random.percent(60) {
            self.line("common {");
            self.sections(30);
            self.line("}");
            end(&mut self);
        }
        for at in 0..=self.random.below(4) {
            if self.random.percent(8) {
                self.skip();
                end(&mut self);
            }
            self.resource(at);
            end(&mut self);
        }
        if self.random.percent(25) {
            self.stacked();
            end(&mut self);
        }
        if late {
            self.global();
            end(&mut self);
        }
        parts
    }

    fn skip(&mut self) {
        let text = *self.random.choose(&[
            "skip { anything { \"at all }\" } ; }",
            "skip \"for now\" { resource r0 { on ; } }",
            "skip resource-r0 { { { } } # }\n }",
        ]);
        self.line(text);
    }

    fn global(&mut self) {
        self.line("global {");
        for row in of_section(Section::Global) {
            let known = row.until == Era::V84 && (self.style == Era::V84 || row.since < Era::V84);
            if known && self.random.percent(35) {
                match row.kind {
                    Kind::Flag => self.line(&format!("{};", row.name)),
                    Kind::Enum(choice) => {
                        let word = self.random.choose(choice.words).0;
                        self.line(&format!("{} {word};", row.name));
                    }
                    _ => {
                        let number = 1 + self.random.below(255);
                        let zero = *self.random.choose(&["", "", "0"]);
                        self.line(&format!("{} {zero}{number};", row.name));
                    }
                }
            }
        }
        self.line("}");
    }
}
