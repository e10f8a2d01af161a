//! Command lines of 0.7 to 8.3, `DEVICE COMMAND ARGS OPTIONS` (spec 30 sections 7.1, 7.2, 8.1),
//! as command lines of 8.4.
//!
//! Those series have no resources: a device is configured by `disk`, `net` and `syncer`. Here a
//! device belongs to the resource that `$DRBD_RESOURCE` names, or to one named after it.
//! `syncer` may come before `disk` and `net`: what it sets is remembered and added to them.
//!
//! Pure: [`recognise`] and [`plan`] turn words into words; `run_legacy` in the library's root
//! carries the plan out.

use crate::getopt::{self, Long, Value};
use crate::outcome::Stop;
use crate::words;
use crate::world::World;
use drbd_options::{
    Era, Form, Kind, Nest, OptionRow, RangeError, Section, SetupCommand, of_command,
};
use drbd_types::Minor;

/// A command line in the old form.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Legacy {
    /// The device as typed.
    pub word: String,
    /// The device.
    pub minor: Minor,
    /// What is to be done.
    pub command: &'static Old,
    /// The words behind the command.
    pub rest: Vec<String>,
}

/// What the running configuration says about the device.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Known {
    /// The resource that it belongs to, if it exists.
    pub resource: Option<String>,
    /// Both addresses as words, if its connection is configured.
    pub addresses: Option<[String; 2]>,
    /// Whether it has a disk.
    pub disk: Disk,
    /// Whether it is the only device of its resource.
    pub siblings: Siblings,
    /// Words of earlier `syncer` commands, as options of 8.4.
    pub remembered: Vec<String>,
}

/// Whether a device has a disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Disk {
    /// It has none.
    #[default]
    Absent,
    /// It has one.
    Attached,
}

/// Whether a device shares its resource.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Siblings {
    /// It does not.
    #[default]
    None,
    /// It does.
    Some,
}

/// What an old command line comes to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// Command lines of 8.4, to be carried out until one fails.
    pub steps: Vec<Vec<String>>,
    /// What is to be remembered from now on; `None` leaves it as it is.
    pub remember: Option<Vec<String>>,
}

/// What an old command does in 8.4.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Means {
    Disk,
    Net,
    Syncer,
    Down,
    Disconnect,
    /// The 8.4 command of this name on the minor.
    Minor(&'static str, Option<SetupCommand>),
}

/// An old command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Old {
    name: &'static str,
    args: usize,
    means: Means,
}

const fn old(name: &'static str, args: usize, means: Means) -> Old {
    Old { name, args, means }
}

const fn same(name: &'static str, options: Option<SetupCommand>) -> Old {
    old(name, 0, Means::Minor(name, options))
}

/// Commands whose meaning or options differ from those of 8.4.
static COMMANDS: &[Old] = &[
    old("disk", 3, Means::Disk),
    old("net", 3, Means::Net),
    old("syncer", 0, Means::Syncer),
    old("down", 0, Means::Down),
    old("disconnect", 0, Means::Disconnect),
    old(
        "wait_connect",
        0,
        Means::Minor("wait-connect", Some(SetupCommand::WaitConnect)),
    ),
    old(
        "wait_sync",
        0,
        Means::Minor("wait-sync", Some(SetupCommand::WaitSync)),
    ),
    old(
        "invalidate_remote",
        0,
        Means::Minor("invalidate-remote", None),
    ),
    same("primary", Some(SetupCommand::Primary)),
    same("detach", Some(SetupCommand::Detach)),
    same("resize", Some(SetupCommand::Resize)),
    same("verify", Some(SetupCommand::Verify)),
    same("new-current-uuid", Some(SetupCommand::NewCurrentUuid)),
    same("wait-connect", Some(SetupCommand::WaitConnect)),
    same("wait-sync", Some(SetupCommand::WaitSync)),
];

/// Long options that only older series have.
const OLD_WORDS: [&str; 4] = [
    "--create-device",
    "--do-what-I-say",
    "--human",
    "--timeout-expired",
];

/// Finds out whether a command line has the old form. Words that both forms share are left to
/// the new one, which means the same by them.
pub fn recognise(words: &[String], world: &dyn World) -> Option<Legacy> {
    let [device, name, rest @ ..] = words else {
        return None;
    };
    let command = COMMANDS.iter().find(|command| command.name == name)?;
    let minor = words::minor(device, world)?;
    let is_old_word = |word: &String| {
        let is_short = word.starts_with('-') && !word.starts_with("--");
        is_short || OLD_WORDS.contains(&word.as_str())
    };
    let is_old = match command.means {
        Means::Minor(new, _) => new != name || rest.iter().any(is_old_word),
        _ => true,
    };
    is_old.then(|| Legacy {
        word: device.clone(),
        minor,
        command,
        rest: rest.to_vec(),
    })
}

/// An option of an old command.
#[derive(Clone, Copy)]
enum Given {
    Row(&'static OptionRow, Form),
    SetDefaults,
    CreateDevice,
    /// Accepted without effect.
    Nothing,
}

/// The command lines of 8.4 that do what is asked.
pub fn plan(
    legacy: &Legacy,
    known: &Known,
    resource: Option<&str>,
    world: &dyn World,
) -> Result<Plan, Stop> {
    let Legacy { minor, command, .. } = legacy;
    let args = legacy
        .rest
        .get(..command.args)
        .ok_or_else(|| Stop::error(format!("{}: too few arguments\n", command.name)))?;
    let sorted = getopt::sort(&longs(command), &legacy.rest[command.args..])
        .map_err(|error| Stop::error(format!("{}: {error}\n", command.name)))?;
    if !sorted.rest.is_empty() {
        let surplus = sorted.rest.join(" ");
        return Err(Stop {
            out: "\n".to_owned(),
            ..Stop::error(format!("Excess arguments: {surplus}"))
        });
    }
    let (mut options, mut create, mut reset) = (Vec::new(), false, false);
    for (given, value) in &sorted.options {
        match given {
            Given::Row(row, form) => options.push(Option84 {
                row,
                word: option_word(row, *form, value.as_deref(), world)?,
            }),
            Given::SetDefaults => reset = true,
            Given::CreateDevice => create = true,
            Given::Nothing => {}
        }
    }
    let name = known
        .resource
        .clone()
        .or_else(|| resource.map(str::to_owned))
        .unwrap_or_else(|| format!("drbd{minor}"));
    let mut plan = Plan::default();
    if create && known.resource.is_none() {
        plan.step(["new-resource", &name]);
        plan.step(["new-minor", &name, &minor.to_string(), "0"]);
    }
    plan.main(legacy, known, &name, args, &options, Reset(reset));
    Ok(plan)
}

/// Whether `--set-defaults` was given.
#[derive(Clone, Copy)]
struct Reset(bool);

/// An option in 8.4 form.
#[derive(Clone)]
struct Option84 {
    row: &'static OptionRow,
    word: String,
}

impl Plan {
    fn step<'a>(&mut self, words: impl IntoIterator<Item = &'a str>) {
        self.steps
            .push(words.into_iter().map(str::to_owned).collect());
    }

    fn main(
        &mut self,
        legacy: &Legacy,
        known: &Known,
        name: &str,
        args: &[String],
        options: &[Option84],
        reset: Reset,
    ) {
        let minor = legacy.minor.to_string();
        let given = || options.iter().map(|option| option.word.as_str());
        // What `syncer` set before comes first: the words of this command override it.
        let remembered = |nest| {
            known
                .remembered
                .iter()
                .filter(move |w| is_of(w, nest))
                .map(String::as_str)
        };
        let args = args.iter().map(String::as_str);
        match legacy.command.means {
            Means::Disk => {
                // 0.7 says -1 for what is internal since.
                let args = args.map(|arg| if arg == "-1" { "internal" } else { arg });
                let words = ["attach", &minor].into_iter().chain(args);
                self.step(words.chain(remembered(Nest::DiskConf)).chain(given()));
            }
            Means::Net => {
                let mut args = args;
                let addresses = args.by_ref().take(2).collect::<Vec<_>>();
                let protocol = args
                    .next()
                    .map(|p| format!("--protocol={p}"))
                    .unwrap_or_default();
                let words = ["connect", name].into_iter().chain(addresses);
                let options = remembered(Nest::NetConf).chain(given());
                self.step(words.chain([protocol.as_str()]).chain(options));
            }
            Means::Syncer => self.syncer(known, name, &minor, options, reset),
            Means::Down => match (&known.resource, known.siblings) {
                // A device that does not exist is down.
                (None, _) => {}
                (Some(resource), Siblings::None) => {
                    self.step(["down", resource]);
                    self.remember = Some(Vec::new());
                }
                (Some(_), Siblings::Some) => {
                    self.step(["secondary", &minor]);
                    self.step(["detach", &minor]);
                    self.step(["del-minor", &minor]);
                    self.remember = Some(Vec::new());
                }
            },
            Means::Disconnect => {
                if let Some([local, remote]) = &known.addresses {
                    self.step(["disconnect", local, remote].into_iter().chain(given()));
                }
            }
            Means::Minor(new, _) => self.step([new, &minor].into_iter().chain(given())),
        }
    }

    fn syncer(
        &mut self,
        known: &Known,
        name: &str,
        minor: &str,
        options: &[Option84],
        reset: Reset,
    ) {
        let of = |nest: Nest| {
            options
                .iter()
                .filter(move |option| option.row.attribute.is_some_and(|a| a.nest == nest))
                .map(|option| option.word.as_str())
        };
        let reset_word = reset.0.then_some("--set-defaults");
        let mut step = |head: &[&str], nest: Nest| {
            let words: Vec<_> = of(nest).collect();
            if !words.is_empty() {
                self.step(head.iter().copied().chain(reset_word).chain(words));
            }
        };
        step(&["resource-options", name], Nest::ResourceOpts);
        if known.disk == Disk::Attached {
            step(&["disk-options", minor], Nest::DiskConf);
        }
        if let Some([local, remote]) = &known.addresses {
            step(&["net-options", local, remote], Nest::NetConf);
        }
        let mut remember = if reset.0 {
            Vec::new()
        } else {
            known.remembered.clone()
        };
        for option in options {
            let name = option_name(&option.word);
            remember.retain(|word| option_name(word) != name);
            remember.push(option.word.clone());
        }
        self.remember = Some(remember);
    }
}

fn option_name(word: &str) -> &str {
    word.split_once('=').map_or(word, |(name, _)| name)
}

/// Whether a remembered word is an option of this set.
fn is_of(word: &str, nest: Nest) -> bool {
    let name = option_name(word).trim_start_matches('-');
    drbd_options::by_name(name).any(|row| row.attribute.is_some_and(|a| a.nest == nest))
}

/// The options of an old command.
fn longs(command: &Old) -> Vec<Long<Given>> {
    let mut longs = vec![
        plain("set-defaults", Given::SetDefaults),
        plain("create-device", Given::CreateDevice),
    ];
    let mut add = |name, row: &'static OptionRow, form| {
        longs.push(Long {
            name,
            short: row.short,
            value: match row.kind {
                Kind::Flag | Kind::Bool { .. } => Value::None,
                _ => Value::Required,
            },
            means: if row.attribute.is_some() || row.commands.contains(&SetupCommand::WaitSync) {
                Given::Row(row, form)
            } else {
                Given::Nothing
            },
        });
    };
    match command.means {
        Means::Disk => of_old_section(Section::Disk, &mut add),
        Means::Net => {
            of_old_section(Section::Net, &mut add);
            for row in of_command(SetupCommand::Connect) {
                if row.section == Section::CommandLine && row.short.is_some() {
                    let name = row.aliases.first().copied().unwrap_or(row.name);
                    add(name, row, Form::Same);
                }
            }
        }
        Means::Syncer => of_old_section(Section::Syncer, &mut add),
        Means::Disconnect => {
            of_command(SetupCommand::Disconnect).for_each(|row| add(row.name, row, Form::Same))
        }
        Means::Minor(_, Some(new)) => {
            for row in of_command(new) {
                add(row.name, row, Form::Same);
                for alias in row.aliases {
                    add(alias, row, Form::Same);
                }
            }
        }
        Means::Down | Means::Minor(_, None) => {}
    }
    if let Some(force) = of_command(SetupCommand::Primary).next()
        && command.name == "primary"
    {
        // 8.3 has two letters for it; 0.7 a phrase, and two words about who asks.
        longs.push(Long {
            name: "do-what-I-say",
            short: Some('o'),
            value: Value::None,
            means: Given::Row(force, Form::Same),
        });
        longs.push(plain("human", Given::Nothing));
        longs.push(Long {
            short: Some('t'),
            ..plain("timeout-expired", Given::Nothing)
        });
    }
    longs
}

const fn plain(name: &'static str, means: Given) -> Long<Given> {
    Long {
        name,
        short: None,
        value: Value::None,
        means,
    }
}

/// Passes every option that 8.3 (or, where it is gone by then, 0.7) writes in a section.
fn of_old_section(section: Section, add: &mut impl FnMut(&'static str, &'static OptionRow, Form)) {
    for row in drbd_options::ALL.iter().flat_map(|table| table.iter()) {
        let spelling = [Era::V83, Era::V07]
            .into_iter()
            .find_map(|era| row.spelling(era));
        if let Some(spelling) = spelling.filter(|spelling| spelling.section == section) {
            add(spelling.name, row, spelling.form);
        }
    }
}

/// An option in 8.4 form, checked as 8.3 does it.
fn option_word(
    row: &OptionRow,
    form: Form,
    value: Option<&str>,
    world: &dyn World,
) -> Result<String, Stop> {
    let text = value.unwrap_or_default();
    let value = match (row.kind, form) {
        (Kind::Flag | Kind::Bool { .. }, Form::Same) => "yes".to_owned(),
        (Kind::Flag | Kind::Bool { .. }, Form::Negated) => "no".to_owned(),
        (Kind::Number(_), _) => number(row, text)?,
        _ => {
            words::setting(row, value, world)?;
            text.to_owned()
        }
    };
    Ok(format!("--{}={value}", row.name))
}

/// A number in the unit of 8.3, checked against its limits.
fn number(row: &OptionRow, text: &str) -> Result<String, Stop> {
    let Some(limits) = row.limits(Era::V83) else {
        return Ok(text.to_owned());
    };
    let unit = limits.scale.suffix();
    match limits.check(row.name, text) {
        Ok(value) => Ok(format!("{value}{unit}")),
        Err(RangeError::Number(error)) => Err(Stop {
            exit: error.exit_status(),
            ..Stop::error(format!("{error}\n"))
        }),
        Err(RangeError::OutOfRange { value, .. }) => {
            let name = row
                .spelling(Era::V83)
                .map_or(row.name, |spelling| spelling.name);
            Err(Stop::error(format!(
                "{name} {text} => {value}{unit} out of range [{}..{}]{unit}\n",
                limits.min, limits.max
            )))
        }
    }
}
