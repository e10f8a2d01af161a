//! The command `drbdmeta`, byte for byte the genuine one where scripts look (spec 40).
//!
//! ```text
//! words --args--> options + positional --table--> command
//!       --lock, in_use--> may it run? --session--> opened and judged meta-data
//!       --gi, dump, create, al, ...--> record --store--> guarded, ordered writes
//!                                      bitmap --bitmap_writer--> the same, several in flight
//! ```

mod al;
pub(crate) mod args;
mod bitmap_writer;
mod console;
mod conversion;
#[cfg(test)]
mod crash_tests;
mod create;
mod dump;
mod export;
mod gi;
#[cfg(test)]
mod hostile_tests;
mod in_use;
mod lkbd;
mod lock;
mod misc;
mod number;
mod opening;
mod probing;
mod report;
mod resize;
mod restore;
#[cfg(test)]
mod round_trip_tests;
#[cfg(test)]
mod scenes;
mod session;
mod store;
pub(crate) mod table;
#[cfg(test)]
mod testing;
mod v06;
mod verify;

use std::ffi::OsString;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use drbd_types::Minor;

use args::{ArgumentError, Parsed};
use console::{Console, FAILED_USE, Failure};
use session::{Environment, InUse, Invocation, Session};
use table::Effect;

use crate::layout::Placement;
use crate::record::Format;

/// Block major of DRBD devices.
const DRBD_MAJOR: u32 = 147;

/// The whole program: words of the command line, program name included, to exit status.
pub fn main(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut words = words.into_iter().map(|w| w.to_string_lossy().into_owned());
    let program = words
        .next()
        .and_then(|name| Some(Path::new(&name).file_name()?.to_str()?.to_owned()))
        .unwrap_or_else(|| "drbdmeta".to_owned());
    let words: Vec<String> = words.collect();
    let env = Environment {
        program,
        state_dir: std::env::var_os("DRBD_STATE_DIR")
            .map_or_else(|| PathBuf::from("/var/lib/drbd"), PathBuf::from),
        lock_dir: PathBuf::from("/var/lock"),
    };
    ExitCode::from(run(env, &words))
}

fn run(env: Environment, words: &[String]) -> u8 {
    let parsed = match args::parse(&env.program, words) {
        Ok(parsed) => parsed,
        Err(ArgumentError::Usage(complaint)) => {
            let mut con = Console::of_process(false, 0);
            if let Some(complaint) = complaint {
                con.warn(complaint);
            }
            let text = table::usage(&env.program);
            let printed = con.out().write_all(text.as_bytes());
            con.note(printed);
            return finish(con, Ok(table::USAGE_STATUS));
        }
        Err(ArgumentError::Value(failure)) => {
            return finish(Console::of_process(false, 0), Err(failure));
        }
    };
    let con = Console::of_process(parsed.options.force, parsed.options.verbosity);
    let call = match resolve(&env, parsed) {
        Ok(call) => call,
        Err(failure) => return finish(con, Err(failure)),
    };
    let mut session = Session {
        con,
        call,
        env,
        devices: Box::new(opening::System),
    };
    let result = execute(&mut session);
    finish(session.con, result)
}

/// Prints what is left to say; a stdout that failed turns success into failure.
fn finish(mut con: Console<'_>, result: Result<u8, Failure>) -> u8 {
    let status = match result {
        Ok(status) => status,
        Err(failure) => {
            if !failure.text.is_empty() {
                con.warn(failure.text);
            }
            failure.status
        }
    };
    match con.finish() {
        Ok(()) => status,
        Err(_) if status != 0 => status,
        Err(_) => 1,
    }
}

fn execute(session: &mut Session<'_>) -> Result<u8, Failure> {
    // Held until the process ends, as in the genuine tool.
    let _lock = session
        .call
        .minor
        .map(|minor| lock::take(&session.env.lock_dir, minor))
        .transpose()?;
    let in_use = session.call.minor.map_or(Ok(InUse::Free), in_use::check)?;
    if in_use == InUse::Attached && session.call.command.effect == Effect::Modifies {
        return Err(session.configured());
    }
    let status = dispatch(session);
    if in_use == InUse::Attached
        && let Some(minor) = session.call.minor
    {
        session.con.warn(format_args!(
            "# Output might be stale, since minor {minor} is attached"
        ));
    }
    status
}

/// The command, if format and options fit it.
fn dispatch(session: &mut Session<'_>) -> Result<u8, Failure> {
    let Session { con, call, .. } = session;
    table::check_options(con, call.command, call.format, &call.options)?;
    if call.format == Format::V09 {
        return Err(refuse_v09());
    }
    if call
        .command
        .max_args
        .is_some_and(|max| call.args.len() > max)
    {
        con.warn("Ignoring additional arguments");
    }
    (call.command.run)(session)
}

/// From words to an invocation, with the complaints of the genuine tool in its order.
fn resolve(env: &Environment, parsed: Parsed) -> Result<Invocation, Failure> {
    let wrong = |text: String| Failure::new(FAILED_USE, text);
    let mut words = parsed.positional.into_iter();
    let device = words
        .next()
        .ok_or_else(|| wrong("Format identifier missing".to_owned()))?;
    let name = words
        .next()
        .ok_or_else(|| wrong("Format identifier missing".to_owned()))?;
    let format =
        Format::from_name(&name).ok_or_else(|| wrong(format!("Unknown format '{name}'.")))?;
    let mut format_argument = || {
        words
            .next()
            .ok_or_else(|| wrong("Too few arguments for format".to_owned()))
    };
    let (path, placement) = if format == Format::V06 {
        let number = format_argument()?;
        let minor = small_number(&number)
            .ok_or_else(|| wrong(format!("'{number}' is not a valid minor number.")))?;
        let path = env.state_dir.join(format!("drbd{minor}"));
        (path, Placement::FlexExternal)
    } else {
        let path = PathBuf::from(format_argument()?);
        let index = format_argument()?;
        let placement = placement(format, &index)
            .ok_or_else(|| wrong(format!("'{index}' is not a valid index number.")))?;
        (path, placement)
    };
    let name = words
        .next()
        .ok_or_else(|| wrong("command missing".to_owned()))?;
    let command = table::find(&name).ok_or_else(|| wrong(format!("Unknown command '{name}'.")))?;
    Ok(Invocation {
        options: parsed.options,
        minor: minor_of(&device),
        device,
        format,
        path,
        placement,
        command,
        args: words.collect(),
        permuted: parsed.permuted,
    })
}

fn placement(format: Format, index: &str) -> Option<Placement> {
    match index {
        "internal" if format == Format::V07 => Some(Placement::FixedInternal),
        "internal" | "flex-internal" => Some(Placement::FlexInternal),
        "flex-external" => Some(Placement::FlexExternal),
        number => small_number(number).map(Placement::Indexed),
    }
}

/// 0 to 255 as strtol with base 0 reads it: decimal, 0x..., or octal with a leading 0.
fn small_number(text: &str) -> Option<u8> {
    let lower = text.trim_start().to_ascii_lowercase();
    let unsigned = lower.strip_prefix('+').unwrap_or(&lower);
    let value = if let Some(hex) = unsigned.strip_prefix("0x") {
        u8::from_str_radix(hex, 16)
    } else if unsigned.len() > 1 && unsigned.starts_with('0') {
        u8::from_str_radix(&unsigned[1..], 8)
    } else {
        unsigned.parse()
    };
    value.ok().filter(|_| !unsigned.starts_with('+'))
}

/// A number, `/dev/drbdN`, a block device of DRBD's major; anything else is no minor.
fn minor_of(device: &str) -> Option<Minor> {
    let number = device.strip_prefix("/dev/drbd").unwrap_or(device);
    // Without the sign that Rust would take.
    if number.starts_with(|c: char| c.is_ascii_digit())
        && let Ok(minor) = number.parse()
    {
        return Some(Minor(minor));
    }
    let metadata = std::fs::metadata(device).ok()?;
    let rdev = std::os::unix::fs::MetadataExt::rdev(&metadata);
    (metadata.file_type().is_block_device() && rustix::fs::major(rdev) == DRBD_MAJOR)
        .then(|| Minor(rustix::fs::minor(rdev)))
}

/// v09 is recognised, but belongs to another program.
fn refuse_v09() -> Failure {
    Failure::new(
        FAILED_USE,
        "This is DRBD 9 meta data (v09). This drbdmeta serves DRBD 0.6 to 8.4.\n\
         Use the drbdmeta of drbd-utils 9 for it, or convert meta data with a single peer\n\
         by \"drbdmeta MINOR v08 DEVICE INDEX create-md\".",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_are_read_with_the_base_of_their_prefix() {
        for (text, index) in [
            ("0", Some(0)),
            ("0x1", Some(1)),
            ("010", Some(8)),
            ("255", Some(255)),
            ("256", None),
            ("1k", None),
            ("", None),
        ] {
            assert_eq!(placement(Format::V08, text), index.map(Placement::Indexed));
        }
    }
}
