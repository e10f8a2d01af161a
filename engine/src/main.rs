//! `drbdd`: the replication engine.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use engine::daemon::{self, Options};
use engine::device::Choice;
use engine::procfs::Era;

/// Exit status of everything that goes wrong, as the old tools have it.
const FAILURE: u8 = 20;

/// Userspace replication engine: serves /dev/drbdN and replicates with DRBD 8.x peers.
#[derive(Parser)]
#[command(name = "drbdd", version)]
struct Arguments {
    #[command(flatten)]
    engine: EngineArguments,
    /// Tell readiness on the standard output and let go of the terminal (used by `start`).
    #[arg(long, hide = true)]
    ready_on_stdout: bool,
    #[command(subcommand)]
    command: Option<Verb>,
}

#[derive(clap::Args, Clone)]
struct EngineArguments {
    /// What makes the block devices: auto, ublk or fuse.
    #[arg(long, default_value_t, global = true)]
    frontend: Choice,
    /// The program that is called for events.
    #[arg(
        long,
        value_name = "PROGRAM",
        default_value = "/sbin/drbdadm",
        global = true
    )]
    usermode_helper: PathBuf,
    /// How many minors the 0.7 form of /proc/drbd shows.
    #[arg(long, value_name = "N", default_value_t = 32, global = true,
          value_parser = clap::value_parser!(u32).range(1..=255))]
    minor_count: u32,
    /// The form of /proc/drbd: 0.7, 8.0, 8.2, 8.3 or 8.4; auto is 8.4. Otherwise $DRBD_ERA decides.
    #[arg(long, value_parser = era, global = true)]
    era: Option<Era>,
}

#[derive(Subcommand)]
enum Verb {
    /// Run in the background; returns when the engine is ready.
    Start {
        /// Parameters of the kernel module, as modprobe hands them over: minor_count=64.
        #[arg(value_name = "PARAMETER=VALUE")]
        parameters: Vec<String>,
    },
    /// Bring every resource down and end the engine.
    Stop,
    /// Show two nodes on this machine.
    Demo,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Some(Verb::Demo) => return demo(),
        Some(Verb::Stop) => daemon::stop(&run_dir()),
        Some(Verb::Start { ref parameters }) => {
            match with_parameters(&arguments.engine, parameters) {
                Ok(engine) => daemon::start(&engine.options(), &engine.words()),
                Err(message) => return fail(&message),
            }
        }
        None => {
            let ready = move || {
                if arguments.ready_on_stdout {
                    daemon::detach();
                }
            };
            daemon::run(arguments.engine.options(), ready)
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error.to_string()),
    }
}

fn fail(message: &str) -> ExitCode {
    eprintln!("drbdd: {message}");
    ExitCode::from(FAILURE)
}

fn demo() -> ExitCode {
    ExitCode::from(u8::try_from(engine::demo::run()).unwrap_or(FAILURE))
}

fn run_dir() -> PathBuf {
    drbd_control::carrier::run_dir()
}

/// `auto` means that nothing older is asked for.
fn era(text: &str) -> Result<Era, String> {
    match text {
        "auto" => Ok(Era::V84),
        other => other.parse().map_err(|_| format!("no such era: {other}")),
    }
}

impl EngineArguments {
    fn options(&self) -> Options {
        let from_environment = || era(&std::env::var("DRBD_ERA").ok()?).ok();
        Options {
            run_dir: run_dir(),
            frontend: self.frontend,
            usermode_helper: self.usermode_helper.clone(),
            minor_count: self.minor_count,
            era: self.era.or_else(from_environment).unwrap_or(Era::V84),
        }
    }

    /// The command line that means the same.
    fn words(&self) -> Vec<String> {
        let options = self.options();
        vec![
            format!("--frontend={}", options.frontend),
            format!("--usermode-helper={}", options.usermode_helper.display()),
            format!("--minor-count={}", options.minor_count),
            format!("--era={}", options.era),
        ]
    }
}

/// Applies parameters of the kernel module. Unknown ones are ignored with a warning, as the kernel
/// does: old configurations carry parameters of debug builds.
fn with_parameters(
    engine: &EngineArguments,
    parameters: &[String],
) -> Result<EngineArguments, String> {
    let mut engine = engine.clone();
    for parameter in parameters {
        match parameter.split_once('=') {
            Some(("minor_count", value)) => {
                let count = value.parse().ok().filter(|n| (1..=255).contains(n));
                engine.minor_count = count.ok_or(format!("invalid minor_count ({value})"))?;
            }
            Some(("usermode_helper", value)) => engine.usermode_helper = value.into(),
            _ => eprintln!("drbdd: unknown parameter '{parameter}' ignored"),
        }
    }
    Ok(engine)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn parameters_of_the_module_become_options() {
        let engine = Arguments::parse_from(["drbdd", "start"]).engine;
        let given = [
            "minor_count=64".to_owned(),
            "usermode_helper=/bin/true".to_owned(),
        ];
        let engine = with_parameters(&engine, &given).unwrap();
        assert_eq!(engine.minor_count, 64);
        assert_eq!(engine.usermode_helper, PathBuf::from("/bin/true"));
        let refused = with_parameters(&engine, &["minor_count=0".to_owned()]);
        assert_eq!(refused.err().as_deref(), Some("invalid minor_count (0)"));
    }

    #[test]
    fn the_background_engine_gets_the_options_of_its_starter() {
        let given = [
            "drbdd",
            "start",
            "--frontend=fuse",
            "--minor-count=7",
            "--era=8.3",
        ];
        let engine = Arguments::parse_from(given).engine;
        let words = engine.words();
        let line = std::iter::once("drbdd").chain(words.iter().map(String::as_str));
        let again = Arguments::parse_from(line).engine.options();
        assert_eq!(format!("{again:?}"), format!("{:?}", engine.options()));
    }
}
