//! A command line taken apart, in the order in which the genuine tool finds fault with it:
//! object, addresses, option values, arguments, surplus words (spec 30 section 2.1).

use crate::command::{self, Action, Arg, Command, EXTENSIONS, Endpoints, Extension};
use crate::getopt::{self, Long, Value};
use crate::outcome::{self, Stop};
use crate::usage;
use crate::words;
use crate::world::{DeviceTrouble, World};
use drbd_control::{Context, DiskConf, Endpoint, MetaIndex, Nest, Params, Settings, Unmentioned};
use drbd_options::{Kind, OptionRow};
use drbd_types::Minor;

/// What a command is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Object {
    /// Nothing by itself.
    None,
    /// A device.
    Minor(Minor),
    /// A resource.
    Resource(String),
    /// Everything.
    All,
}

/// A command line that is in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    /// The command.
    pub command: &'static Command,
    /// Its object.
    pub object: Object,
    /// The object as typed, for messages.
    pub word: String,
    /// Minor in the header of the request.
    pub minor: Option<Minor>,
    /// Context of the request.
    pub context: Option<Context>,
    /// Parameters of the request.
    pub params: Option<Params>,
    /// What happens to unmentioned options.
    pub unmentioned: Unmentioned,
    /// Options of commands that change nothing, in the order given.
    pub switches: Vec<(&'static str, Option<String>)>,
    /// Notes for stderr that do not stop the command.
    pub notes: String,
}

impl Call {
    /// The value of a switch, if it was given; the last one counts.
    pub fn switch(&self, name: &str) -> Option<Option<&str>> {
        self.switches
            .iter()
            .rev()
            .find(|(n, _)| *n == name)
            .map(|(_, value)| value.as_deref())
    }

    /// Whether a switch was given.
    pub fn has(&self, name: &str) -> bool {
        self.switch(name).is_some()
    }
}

/// What `argv` asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Asked {
    /// A text, and nothing else.
    Text(Stop),
    /// A command with these words behind it.
    Command(&'static Command, Vec<String>),
}

/// Finds the command; `words` are those behind the program's name. Object and command may be
/// swapped.
pub fn find_command(program: &str, words: &[String]) -> Asked {
    let is_help = |word: &str| matches!(word, "--help" | "-h");
    let mut words = words.to_vec();
    if words.len() > 1 && is_help(&words[1]) {
        words.swap(0, 1);
    }
    let fail = |complaint| {
        Asked::Text(Stop::error(String::new()).usage(usage::general(program, complaint)))
    };
    let Some(first) = words.first() else {
        return fail(None);
    };
    if matches!(first.as_str(), "help" | "xml-help") || is_help(first) {
        let Some(name) = words.get(1) else {
            return fail(None);
        };
        let Some(command) = command::find(name) else {
            return fail(Some("unknown command"));
        };
        let text = if first == "xml-help" {
            usage::xml(command)
        } else {
            usage::of_command(program, command)
        };
        return Asked::Text(Stop {
            out: text,
            err: String::new(),
            exit: 0,
        });
    }
    if command::find(first).is_none() && words.get(1).is_some_and(|w| command::find(w).is_some()) {
        words.swap(0, 1);
    }
    match command::find(&words[0]) {
        Some(command) => Asked::Command(command, words.split_off(1)),
        None => fail(Some("invalid command")),
    }
}

/// Takes the words behind a command apart.
pub fn parse(
    program: &str,
    command: &'static Command,
    words: &[String],
    world: &dyn World,
) -> Result<Call, Stop> {
    let sorted = getopt::sort(&longs(command), words).map_err(|error| {
        Stop::error(format!("{}: {error}\n", command.name)).usage(usage::general(program, None))
    })?;
    let mut rest = sorted.rest.into_iter();
    let mut call = Call {
        command,
        object: Object::None,
        word: "??".to_owned(),
        minor: None,
        context: None,
        params: None,
        unmentioned: Unmentioned::Keep,
        switches: Vec::new(),
        notes: String::new(),
    };
    call.take_object(program, &mut rest, world)?;
    call.take_endpoints(program, &mut rest, world)?;
    let settings = call.take_options(program, &sorted.options, world)?;
    call.take_args(program, settings, &mut rest, world)?;
    let mut surplus: Vec<_> = rest.collect();
    if surplus.is_empty() {
        return Ok(call);
    }
    let mut exit = outcome::Exit::FAILED.0;
    // The genuine `down` swallows the first of several surplus words, and ends differently.
    if command.action == Action::Down && surplus.len() > 1 {
        surplus.remove(0);
        exit = 132;
    }
    Err(Stop {
        out: "\n".to_owned(),
        err: format!("Excess arguments: {}", surplus.join(" ")),
        exit,
    })
}

/// What a long option stands for.
#[derive(Clone, Copy)]
enum Means {
    Row(&'static OptionRow),
    Extension(&'static Extension),
}

fn longs(command: &Command) -> Vec<Long<Means>> {
    let value = |row: &OptionRow| match row.kind {
        Kind::Flag if row.attribute.is_none() => Value::None,
        Kind::Flag | Kind::Bool { .. } => Value::Optional,
        // The only enumeration of a command that changes nothing is the colour.
        Kind::Enum(_) if !command.is_config() => Value::Optional,
        _ => Value::Required,
    };
    let mut longs = Vec::new();
    for row in command.option_rows() {
        for name in std::iter::once(row.name).chain(row.aliases.iter().copied()) {
            longs.push(Long {
                name,
                short: None,
                value: value(row),
                means: Means::Row(row),
            });
        }
    }
    let extensions = EXTENSIONS.iter().filter(|e| e.command == command.name);
    longs.extend(extensions.map(|extension| Long {
        name: extension.name,
        short: None,
        value: Value::None,
        means: Means::Extension(extension),
    }));
    longs
}

impl Call {
    fn usage(&self, program: &str) -> String {
        usage::of_command(program, self.command)
    }

    fn take_object(
        &mut self,
        program: &str,
        rest: &mut impl Iterator<Item = String>,
        world: &dyn World,
    ) -> Result<(), Stop> {
        let takes = self.command.takes;
        if !takes.minor() && !takes.resource() {
            return Ok(());
        }
        let word = match rest.next() {
            Some(word) => word,
            None if takes.all() => "all".to_owned(),
            None => {
                return Err(
                    Stop::error("Missing first argument\n".to_owned()).usage(self.usage(program))
                );
            }
        };
        if word == "all" {
            if !takes.all() {
                let complaint = Some("command does not accept argument 'all'");
                return Err(Stop::error(String::new()).usage(usage::general(program, complaint)));
            }
            self.object = Object::All;
        } else {
            self.object = self.object_of(&word, world)?;
        }
        match &self.object {
            Object::Minor(minor) => self.minor = Some(*minor),
            Object::Resource(name) => self.context = Some(Context::resource(name)),
            Object::None | Object::All => {}
        }
        self.word = word;
        Ok(())
    }

    fn object_of(&self, word: &str, world: &dyn World) -> Result<Object, Stop> {
        // An empty word is a bad name, also where a device is wanted.
        let name = words::resource(word)?;
        let takes = self.command.takes;
        if !takes.minor() {
            return Ok(Object::Resource(name));
        }
        match words::minor(word, world) {
            Some(minor) => Ok(Object::Minor(minor)),
            None if takes.resource() => Ok(Object::Resource(name)),
            None => words::needed_minor(word, world).map(Object::Minor),
        }
    }

    fn take_endpoints(
        &mut self,
        program: &str,
        rest: &mut impl Iterator<Item = String>,
        world: &dyn World,
    ) -> Result<(), Stop> {
        if self.command.endpoints == Endpoints::None {
            return Ok(());
        }
        let (Some(local), Some(remote)) = (rest.next(), rest.next()) else {
            return Err(
                Stop::error("Missing connection endpoint argument\n".to_owned())
                    .usage(self.usage(program)),
            );
        };
        let local = self.endpoint(&local, world)?;
        let remote = self.endpoint(&remote, world)?;
        let context = self.context.take().unwrap_or_default();
        self.context = Some(context.with_addresses(local, remote));
        Ok(())
    }

    fn endpoint(&mut self, word: &str, world: &dyn World) -> Result<Endpoint, Stop> {
        let parsed = words::address(word, world)?;
        self.notes.push_str(&parsed.note);
        Ok(parsed.endpoint)
    }

    fn take_options(
        &mut self,
        program: &str,
        options: &[(Means, Option<String>)],
        world: &dyn World,
    ) -> Result<Option<Settings>, Stop> {
        let mut settings: Option<Settings> = None;
        for (means, value) in options {
            let row = match means {
                Means::Row(row) => row,
                Means::Extension(extension) => {
                    self.switches.push((extension.name, None));
                    continue;
                }
            };
            let Some(attribute) = row.attribute.filter(|_| self.command.is_config()) else {
                self.take_switch(program, row, value.as_deref())?;
                continue;
            };
            if let Some(setting) = words::setting(row, value.as_deref(), world)? {
                settings
                    .get_or_insert_with(|| Settings::new(Nest::from(attribute.nest)))
                    .set(row, setting);
            }
        }
        Ok(settings)
    }

    fn take_switch(
        &mut self,
        program: &str,
        row: &'static OptionRow,
        value: Option<&str>,
    ) -> Result<(), Stop> {
        if let (Kind::Enum(choice), Some(word)) = (row.kind, value)
            && choice.code(word).is_none()
        {
            let complaint = format!("unknown --{} argument", row.name);
            return Err(Stop::error(String::new()).usage(usage::general(program, Some(&complaint))));
        }
        if row.name == "set-defaults" {
            self.unmentioned = Unmentioned::Reset;
        } else {
            self.switches.push((row.name, value.map(str::to_owned)));
        }
        Ok(())
    }

    fn take_args(
        &mut self,
        program: &str,
        settings: Option<Settings>,
        rest: &mut impl Iterator<Item = String>,
        world: &dyn World,
    ) -> Result<(), Stop> {
        let mut devices = Vec::new();
        let mut index = MetaIndex::INTERNAL;
        for arg in self.command.args {
            let Some(word) = rest.next() else {
                let message = format!("Missing argument '{}'\n", arg.name());
                return Err(Stop::error(message).usage(self.usage(program)));
            };
            match arg {
                Arg::Resource => self.context = Some(Context::resource(words::resource(&word)?)),
                Arg::Minor => self.minor = Some(words::needed_minor(&word, world)?),
                Arg::Volume => {
                    let volume = words::low_half(words::number(&word)?);
                    let context = self.context.get_or_insert_default();
                    context.volume = Some(volume);
                }
                Arg::LowerDev | Arg::MetaDev => {
                    check_device(&word, world)?;
                    devices.push(word);
                }
                Arg::MetaIndex => index = words::meta_index(&word)?,
            }
        }
        self.params = match <[String; 2]>::try_from(devices) {
            Ok([backing_dev, meta_dev]) => Some(Params::attach(&DiskConf {
                backing_dev,
                meta_dev,
                meta_index: index,
                settings: settings.unwrap_or_else(|| Settings::new(Nest::DiskConf)),
            })),
            Err(_) => settings.as_ref().map(Params::settings_of),
        };
        Ok(())
    }
}

fn check_device(word: &str, world: &dyn World) -> Result<(), Stop> {
    world.check_device(word).map_err(|trouble| {
        Stop::error(match trouble {
            DeviceTrouble::Open(error) => {
                format!(
                    "Can not open device '{word}': {}\n",
                    crate::strerror(&error)
                )
            }
            DeviceTrouble::NotBlock => format!("{word} is not a block device!\n"),
        })
    })
}
