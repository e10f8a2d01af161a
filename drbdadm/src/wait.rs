//! `wait-con-int`: the boot waits for the peers, and somebody at the console may end that
//! (spec 20 section 13.2).

use std::{
    fs::{File, OpenOptions},
    io::{IsTerminal as _, Read as _, Write as _},
    os::fd::OwnedFd,
    process::Child,
    time::{Duration, Instant},
};

use compat::model::{Config, Resource};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open},
};

use crate::{
    command::Limit,
    plan::{Call, argv::Scene},
    run::{Runner, complain, print},
};

/// How long the wait is silent.
const SILENT: Duration = Duration::from_secs(10);

/// Waits for the connections of all resources of one kind.
pub fn wait_con_int(config: &Config, stacked: bool, runner: &Runner, dry_run: bool) {
    let resources = || {
        let here = config.resources.iter().filter(|r| !r.is_ignored());
        here.filter(|r| r.is_stacked() == stacked)
    };
    let calls: Vec<(&str, Call)> = resources().flat_map(calls_of).collect();
    let console = Console::open();
    if dry_run {
        for (resource, call) in &calls {
            runner.announce(resource, call);
        }
        return;
    }
    let spawned = calls
        .iter()
        .filter_map(|(resource, call)| Waiting::start(runner, resource, call));
    let mut waiting: Vec<Waiting> = spawned.collect();
    if wait_silently(&mut waiting) {
        return;
    }
    print(&banner(config.resources.first()));
    match console {
        Some(console) => ask(
            &mut waiting,
            console,
            config.global.dialog_refresh.unwrap_or(1),
        ),
        None => {
            print(&format!(
                " To abort waiting for DRBD connections, kill this process: kill {}\n",
                std::process::id()
            ));
            for one in &mut waiting {
                let _ = one.child.wait();
            }
        }
    }
}

fn calls_of(resource: &Resource) -> impl Iterator<Item = (&str, Call)> {
    let me = resource.my_host();
    let volumes = me.map_or(&[][..], |host| &host.volumes);
    volumes.iter().filter_map(move |volume| {
        let scene = Scene {
            resource,
            me: me?,
            backend: &[],
            dry_run: false,
        };
        let call = scene.wait_as_configured(volume);
        debug_assert_eq!(call.limit, Limit::Forever);
        Some((resource.name.as_str(), call))
    })
}

/// A drbdsetup that waits.
struct Waiting {
    child: Child,
    handle: OwnedFd,
}

impl Waiting {
    fn start(runner: &Runner, resource: &str, call: &Call) -> Option<Self> {
        let child = runner.spawn(resource, call).ok()?;
        let handle = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).ok()?;
        Some(Self { child, handle })
    }
}

fn reap(waiting: &mut Vec<Waiting>) {
    waiting.retain_mut(|one| !matches!(one.child.try_wait(), Ok(Some(_))));
}

/// Waits until a child ends, `input` has something, or the time comes.
fn wait_until(waiting: &[Waiting], input: Option<&File>, deadline: Option<Instant>) -> bool {
    let handles = waiting
        .iter()
        .map(|w| PollFd::new(&w.handle, PollFlags::IN));
    let mut handles: Vec<_> = handles.collect();
    handles.extend(input.map(|file| PollFd::new(file, PollFlags::IN)));
    let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
    let left = left.and_then(|left| Timespec::try_from(left).ok());
    // Interrupted: the caller looks again.
    let _ = poll(&mut handles, left.as_ref());
    input.is_some() && handles.last().is_some_and(|h| !h.revents().is_empty())
}

/// The first seconds; `true` if all connections are there.
fn wait_silently(waiting: &mut Vec<Waiting>) -> bool {
    let start = Instant::now();
    let mut dots = 0;
    loop {
        reap(waiting);
        if waiting.is_empty() {
            return true;
        }
        let elapsed = start.elapsed();
        while dots < elapsed.as_secs().min(SILENT.as_secs()) {
            print(".");
            dots += 1;
        }
        if elapsed >= SILENT {
            return false;
        }
        wait_until(waiting, None, Some(start + Duration::from_secs(dots + 1)));
    }
}

fn banner(first: Option<&Resource>) -> String {
    let value = |name: &str| {
        first
            .and_then(|r| r.sections.startup.value(name))
            .unwrap_or("0")
    };
    let name = first.map_or("", |r| r.name.as_str());
    format!(
        "\n***************************************************************\n\
         \x20DRBD's startup script waits for the peer node(s) to appear.\n\
         \x20- If this node was already a degraded cluster before the\n\
         \x20  reboot, the timeout is {} seconds. [degr-wfc-timeout]\n\
         \x20- If the peer was available before the reboot, the timeout\n\
         \x20  is {} seconds. [wfc-timeout]\n\
         \x20  (These values are for resource '{name}'; 0 sec -> wait forever)\n",
        value("degr-wfc-timeout"),
        value("wfc-timeout")
    )
}

/// Where somebody may type.
struct Console {
    input: File,
    output: File,
}

impl Console {
    fn open() -> Option<Self> {
        let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        let path = if terminal {
            "/dev/stdin"
        } else {
            let text = "WARN: stdin/stdout is not a TTY; using /dev/console";
            eprint!("{text}");
            print(text);
            "/dev/console"
        };
        let input = File::open(path).ok().filter(|file| file.is_terminal())?;
        let output = match terminal {
            true => "/dev/stdout",
            false => path,
        };
        let output = OpenOptions::new().write(true).open(output).ok()?;
        Some(Self { input, output })
    }

    fn say(&mut self, text: &str) {
        let _ = self.output.write_all(text.as_bytes());
        let _ = self.output.flush();
    }
}

/// Shows the time, and ends the wait when somebody types `yes`.
fn ask(waiting: &mut Vec<Waiting>, mut console: Console, refresh: u32) {
    const PROMPT: &str = " To abort waiting enter 'yes' [ -- ]:";
    // The silent seconds count.
    let start = Instant::now()
        .checked_sub(SILENT)
        .unwrap_or_else(Instant::now);
    let mut line = String::new();
    let mut next = Instant::now();
    console.say(&format!("{PROMPT} "));
    loop {
        reap(waiting);
        if waiting.is_empty() {
            break;
        }
        if Instant::now() >= next {
            let seconds = start.elapsed().as_secs();
            console.say(&format!("\x1b[s\x1b[31G[{seconds:4}]:\x1b[u"));
            let pause = if refresh == 0 { u32::MAX } else { refresh };
            next += Duration::from_secs(u64::from(pause));
        }
        if !wait_until(waiting, Some(&console.input), Some(next)) {
            continue;
        }
        let mut byte = [0];
        match console.input.read(&mut byte) {
            Ok(1) if byte[0] != b'\n' => {
                line.push(char::from(byte[0]));
                continue;
            }
            Ok(1) => {}
            _ => break,
        }
        if line.trim_end_matches('\r') == "yes" {
            for one in waiting.iter() {
                let _ = kill_process(Pid::from_child(&one.child), Signal::INT);
            }
            break;
        }
        line.clear();
        console.say(PROMPT);
    }
    for one in waiting.iter_mut() {
        if one.child.wait().is_err() {
            complain("wait failed");
        }
    }
    console.say("\n");
}
