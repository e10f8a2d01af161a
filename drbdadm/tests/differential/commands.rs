//! Command lines that both programs are given: every command in every way it can be called. They
//! are derived from drbdadm's own table, so that no command can be forgotten.

use drbd_options::{Kind, OptionRow, of_command};
use drbdadm::command::{Action, COMMANDS, Command, Listing, RENAMED, Scope};

/// Where a program reads the configuration from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum From {
    /// `-c t.conf`
    File,
    /// `-c -`: nothing is registered, so that commands may really be run.
    Stdin,
}

/// One command line, without the option for the configuration.
#[derive(Clone, Debug)]
pub struct Line {
    pub from: From,
    pub words: Vec<String>,
}

impl Line {
    pub fn new(text: &str) -> Self {
        Self {
            from: From::File,
            words: text.split(' ').map(str::to_owned).collect(),
        }
    }

    pub fn stdin(text: &str) -> Self {
        Self {
            from: From::Stdin,
            ..Self::new(text)
        }
    }

    pub fn shown(&self) -> String {
        let config = match self.from {
            From::File => "t.conf",
            From::Stdin => "-",
        };
        format!("-c {config} {}", self.words.join(" "))
    }
}

/// Names that are given to commands that take some: of resources, volumes, and of nothing.
const NAMES: &[&str] = &[
    "all", "r0", "r1/0", "r0/1", "minor-0", "minor-3", "up", "r1 r0", "r2/5", "nosuch", "r0 all",
];

/// Command lines that show something that no single command does.
const SPECIAL: &[&str] = &[
    "-d",
    "-d nosuchcmd r0",
    "-d syncer all",
    "-d -- --foo primary r0",
    "-d -- -o connect r0",
    "-d primary r0 -- --force",
    "-d -W--foo primary all",
    "-d -W --foo connect r0",
    "-d --setup-option=--start=0 verify all",
    "--setup-option=--start=0 -W--stop=5 -d verify r0/0",
    "-d connect --force all",
    "-d resize --size=1G all",
    "-d primary --force=no all",
    "-d create-md --force all",
    "-d create-md --peer-max-bio-size=1 r0",
    "-d connect --max-buf=5 all",
    "-d --dry up all",
    "--dry-run --stacked down all",
    "-dSv up all",
    "-Sd connect all",
    "-d connect --timeout r0",
    "-d connect --stacked=yes r0",
    "-d -x up all",
    "-d --no-such-option up all",
    "-n",
    "-d -n VAR up all",
    "-d -n bad-name up all",
    "-d --sh-varname=res adjust all",
    "-n VAR -d outdate all",
    "-d -P beta up all",
    "-d -P gamma connect all",
    "-d -P alpha connect all",
    "-d -P nosuch adjust all",
    "-d -d up all",
    "-d -d connect all",
    "-d -d -P beta connect all",
    "-d -d adjust r0 r1",
    "-d -d -S up all",
    "-s /bin/cat -d up all",
    "-s /no/such/program -d up all",
    "-m /bin/cat -d create-md all",
    "--drbdmeta=/bin/cat --drbdsetup /bin/cat -d up all",
    "-m /no/such/program dump",
    "-p /bin/cat -d proxy-up all",
    "-t on-top.conf dump",
    "-t on-top.conf dump-xml",
    "-t on-top.conf -v dump",
    "-t on-top.conf sh-nop",
    "-t on-top.conf -d up all",
    "-t no-such.conf dump",
    "-c no-such.conf dump",
    "-c . dump",
    "-v dump",
    "-v dump-xml",
    "-d dump",
    "-d dump-xml",
    "-S dump",
    "dump all",
    "dump r0 r1",
    "dump r1/0",
    "dump up",
    "dump-xml all",
    "dump-xml r0 up",
    "-v dump r0",
    "-d dump minor-1",
    "-d state r0",
    "sh-dev minor-1 minor-2",
    "primary",
    "help",
    "help up",
    "help sh-b-pri",
    "help nosuch",
    "up -h",
    "attach --help",
    "-h",
    "hidden-commands",
    "sh-nop r0",
    "sh-resources r0",
    "-d sh-status all",
    "sh-udev minor-0 minor-1",
    "-S sh-resources",
    "-S sh-dev all",
    "-S sh-udev minor-0",
];

/// Everything for drbdadm of 8.4.
pub fn of_84() -> Vec<Line> {
    let mut lines: Vec<Line> = SPECIAL.iter().map(|text| Line::new(text)).collect();
    for command in COMMANDS {
        match command.listing {
            Listing::Ours | Listing::Old => {}
            _ => lines.extend(of_command_row(command)),
        }
    }
    for (old, _) in RENAMED {
        lines.push(Line::new(&format!("-d {old} all")));
        lines.push(Line::new(&format!("-d {old} minor-0")));
    }
    lines
}

fn of_command_row(command: &Command) -> Vec<Line> {
    let name = command.name;
    let mut lines = Vec::new();
    let mut line = |text: String| lines.push(Line::new(&text));
    if command.scope == Scope::Global {
        line(format!("-d {name}"));
        line(format!("-d -S {name}"));
        line(format!("-d {name} r0"));
        return lines;
    }
    line(format!("-d {name}"));
    line(format!("-d -S {name} all"));
    line(format!("-d -S {name} up"));
    line(format!("-d -d {name} r0"));
    line(format!("-d -n VAR -P beta {name} all"));
    line(format!("-d -- --word=1 {name} all"));
    line(format!("-S -d {name} r0"));
    line(format!("-S -d {name} minor-0"));
    for names in NAMES {
        line(format!("-d {name} {names}"));
        if answers(command) {
            line(format!("{name} {names}"));
        }
    }
    let mut before = false;
    for row in command.options.into_iter().flat_map(of_command) {
        // The others are drbdsetup's own.
        if row.attribute.is_some() {
            before = !before;
            let option = with_value(row);
            line(match before {
                true => format!("-d --{option} {name} r0"),
                false => format!("-d {name} --{option} all"),
            });
        }
    }
    if runs(command) {
        lines.extend(real_runs(command));
    }
    lines
}

/// Commands that answer from the configuration, or run a handler of the configuration.
fn answers(command: &Command) -> bool {
    matches!(
        command.action,
        Action::Lookup(_) | Action::Dump | Action::DumpXml | Action::Handler
    )
}

/// Commands that can be run with stand-ins for drbdsetup and drbdmeta.
fn runs(command: &Command) -> bool {
    !matches!(
        command.action,
        // Opens the disk; reads the running state; asks drbd-proxy-ctl.
        Action::CreateMd | Action::Adjust | Action::AdjustWithProgress
        // Without a peer: a known difference.
        | Action::Disconnect
    )
}

/// Statuses of the stand-ins for drbdsetup and drbdmeta: success, the final ones, others.
const STATUSES: &[(u32, u32)] = &[(0, 0), (5, 0), (5, 1), (10, 0), (11, 1), (17, 0), (20, 20)];

fn real_runs(command: &Command) -> Vec<Line> {
    let name = command.name;
    let statuses = match command.action {
        // A failure is tried again, with pauses.
        Action::BecomePrimary => &[(0, 0), (0, 0)],
        _ => STATUSES,
    };
    // Each command meets half of them; all commands of a kind together meet all.
    let half = name.len() % 2;
    let some = statuses.iter().skip(half).step_by(2);
    let lines = some.map(|(setup, meta)| {
        let verbose = if setup == &5 { "-v " } else { "" };
        let programs = format!("-s ./setup{setup} -m ./meta{meta} -p ./proxy0");
        Line::stdin(&format!("{verbose}{programs} {name} all"))
    });
    lines.collect()
}

fn with_value(row: &OptionRow) -> String {
    let name = row.name;
    match row.kind {
        Kind::Flag => name.to_owned(),
        Kind::Bool { .. } => format!("{name}=no"),
        Kind::Number(limits) | Kind::MinorOfResource(limits) => {
            format!("{name}={}", limits.max)
        }
        Kind::Enum(choice) => format!("{name}={}", choice.words[0].0),
        Kind::Text { .. } | Kind::Words | Kind::Address => format!("{name}=a'b"),
    }
}

/// What the commands of 8.3 are given (spec 20 section 8.1).
const NAMES_83: &[&str] = &["all", "r0", "minor-0", "r1 r0", "nosuch"];

const COMMANDS_83: &[&str] = &[
    "attach",
    "detach",
    "connect",
    "disconnect",
    "up",
    "down",
    "primary",
    "secondary",
    "invalidate",
    "invalidate-remote",
    "outdate",
    "verify",
    "syncer",
    "adjust",
    "role",
    "cstate",
    "dstate",
    "resize",
    "check-resize",
    "create-md",
    "dump-md",
    "wipe-md",
    "show-gi",
    "get-gi",
    "set-gi",
    "new-current-uuid",
    "pause-sync",
    "resume-sync",
    "suspend-io",
    "resume-io",
    "wait-connect",
];

const SPECIAL_83: &[&str] = &[
    "dump",
    "dump r0",
    "-v dump",
    "-v dump r1",
    "dump-xml",
    "-v dump-xml",
    "dump-xml r0",
    "-d -- --overwrite-data-of-peer primary all",
    "-d -- -o primary r0",
    "-d -- --discard-my-data connect all",
    "-d -- -r 5M syncer all",
    "-d -- --assume-clean resize all",
    "-d -n VAR up all",
    "-d status",
    "-d sh-status",
    "-d -S up all",
    "-d -S status",
    "-d sh-b-pri all",
    "-d proxy-up all",
    "-d proxy-down all",
    "sh-udev minor-0",
    "-S sh-lr-of up",
    "-d -S wait-connect all",
    "-d split-brain minor-0",
    "-d fence-peer minor-1",
    "sh-resources",
    "-S sh-resources",
    "sh-mod-parms",
    "sh-nop",
];

const LOOKUPS_83: &[&str] = &[
    "sh-resource",
    "sh-dev",
    "sh-minor",
    "sh-ll-dev",
    "sh-md-dev",
    "sh-md-idx",
    "sh-ip",
];

/// Everything for drbdadm of 8.3.
pub fn of_83() -> Vec<Line> {
    let mut lines: Vec<Line> = SPECIAL_83.iter().map(|text| Line::new(text)).collect();
    for names in NAMES_83 {
        for command in COMMANDS_83 {
            lines.push(Line::new(&format!("-d {command} {names}")));
        }
        for command in LOOKUPS_83 {
            lines.push(Line::new(&format!("{command} {names}")));
        }
    }
    lines
}
