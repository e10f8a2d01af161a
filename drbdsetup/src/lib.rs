//! `drbdsetup`: the control client.
//!
//! * [`command`]: the table of commands; [`usage`] and [`manual`] render its texts.
//! * [`getopt`], [`words`], [`parse`]: a command line becomes a [`parse::Call`], or the genuine
//!   complaint about it. [`world`] is what they need to know about the machine.
//! * [`legacy`]: command lines of 0.7 to 8.3 as command lines of 8.4.
//! * [`backend`]: the engine's socket or the kernel's netlink family; [`client`] converses over
//!   either. Messages are those of `drbd-control`.
//! * [`run`](mod@run): carries a call out; [`outcome`] has exit statuses and messages.
//! * [`show`], [`query`], [`status`], [`json`], [`events`], [`events2`]: answers as text, pure functions.
//! * [`wait`], [`check_resize`], [`lock`]: what the names say.
//!
//! Data flows one way: words, call, request, messages, text and exit status.
#![forbid(unsafe_code)]

pub mod backend;
pub mod check_resize;
pub mod client;
pub mod clock;
pub mod command;
pub mod events;
pub mod events2;
pub mod getopt;
pub mod json;
pub mod legacy;
pub mod lock;
pub mod manual;
pub mod outcome;
pub mod parse;
pub mod query;
pub mod run;
pub mod show;
pub mod status;
pub mod usage;
pub mod wait;
pub mod words;
pub mod words_of;
pub mod world;

use crate::client::Client;
use crate::legacy::Legacy;
use crate::outcome::{Exit, Stop};
use crate::parse::Asked;
use crate::run::{Carrier, Paths};
use crate::world::{Machine, World};
use std::io::{self, Write};
use std::process::ExitCode;

/// What a run of the program depends on, so that tests can replace it.
pub struct Surroundings<'a> {
    /// What parsing looks at.
    pub world: &'a dyn World,
    /// Opens a conversation.
    pub connect: &'a dyn Fn(Carrier) -> Result<Client, Stop>,
    /// Where things are kept.
    pub paths: Paths,
}

/// The whole program.
pub fn main() -> ExitCode {
    let mut words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let argv0 = words.next().unwrap_or_else(|| "drbdsetup".to_owned());
    let program = argv0.rsplit('/').next().unwrap_or(&argv0).to_owned();
    let words: Vec<String> = words.collect();
    let here = Surroundings {
        world: &Machine,
        connect: &run::connect,
        paths: Paths::of_machine(),
    };
    let exit = execute(
        &program,
        &words,
        &here,
        &mut io::stdout(),
        &mut io::stderr(),
    );
    ExitCode::from(exit.0)
}

/// Does what the words ask for; everything printed goes to `out` and `err`.
pub fn execute(
    program: &str,
    words: &[String],
    here: &Surroundings<'_>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Exit {
    let stop = match try_execute(program, words, here, out, err) {
        Ok(exit) => return exit,
        Err(stop) => stop,
    };
    // Whoever closed an output does not want to know more.
    let _ = err.write_all(stop.err.as_bytes());
    let _ = out.write_all(stop.out.as_bytes());
    let _ = out.flush();
    Exit(stop.exit)
}

fn try_execute(
    program: &str,
    words: &[String],
    here: &Surroundings<'_>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<Exit, Stop> {
    let (carrier, words) = take_carrier(words)?;
    if let Some(legacy) = legacy::recognise(words, here.world) {
        return run_legacy(program, carrier, &legacy, here, out, err);
    }
    match parse::find_command(program, words) {
        Asked::Text(stop) => Err(stop),
        Asked::Command(command, rest) => {
            let call = parse::parse(program, command, &rest, here.world)?;
            let _ = err.write_all(call.notes.as_bytes());
            let mut client = (here.connect)(carrier)?;
            run::run(program, &call, &mut client, &here.paths, out, err)
        }
    }
}

/// Carries out a command line of an older series.
fn run_legacy(
    program: &str,
    carrier: Carrier,
    legacy: &Legacy,
    here: &Surroundings<'_>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<Exit, Stop> {
    let mut client = (here.connect)(carrier)?;
    let known = run::known(&mut client, legacy.minor, &here.paths)?;
    let resource = std::env::var("DRBD_RESOURCE").ok();
    let plan = legacy::plan(legacy, &known, resource.as_deref(), here.world)?;
    for step in &plan.steps {
        let Asked::Command(command, rest) = parse::find_command(program, step) else {
            continue;
        };
        let mut call = parse::parse(program, command, &rest, here.world)?;
        // Messages name what was typed.
        call.word.clone_from(&legacy.word);
        match run::run(program, &call, &mut client, &here.paths, out, err) {
            Ok(Exit::OK) => {}
            Err(stop) if stop.exit == Exit::OK.0 && stop.err.is_empty() => {
                let _ = out.write_all(stop.out.as_bytes());
            }
            ended => return ended,
        }
    }
    if let Some(remember) = &plan.remember {
        here.paths.remember(legacy.minor, remember)?;
    }
    Ok(Exit::OK)
}

/// `--backend engine|kernel` in front of everything is ours; the genuine tool has no such word.
fn take_carrier(words: &[String]) -> Result<(Carrier, &[String]), Stop> {
    let (name, rest) = match words {
        [first, rest @ ..] if first.starts_with("--backend=") => {
            (&first["--backend=".len()..], rest)
        }
        [first, name, rest @ ..] if first == "--backend" => (name.as_str(), rest),
        _ => return Ok((Carrier::Engine, words)),
    };
    match name {
        "engine" => Ok((Carrier::Engine, rest)),
        "kernel" => Ok((Carrier::Kernel, rest)),
        _ => Err(Stop::error(format!(
            "Option --backend: invalid argument '{name}'\n"
        ))),
    }
}

/// The text of an error without the number that the standard library adds.
pub(crate) fn strerror(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}
