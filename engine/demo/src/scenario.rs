//! The demonstration: what an administrator of installation F2 does on the first day.
//!
//! Every command is shown as he types it, with what it prints; nothing is shown that did not run.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::f2;
use crate::hosts::{Error, Host, succeed};
use crate::status::{Device, LIVE_FILE};
use crate::wait;

/// Size of each disk: large enough to watch the first sync at F2's default rate, small enough to
/// end soon.
const DISK_MIB: u64 = 96;

/// How long any single step may take.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs the demonstration with the programs of the directory that this program lies in; gives the
/// exit status for `main`.
pub fn run() -> i32 {
    let begin = Instant::now();
    let told = std::env::current_exe()
        .map_err(Error::io("finding my own path"))
        .and_then(|program| {
            let programs = program.parent().unwrap_or(Path::new("/sbin")).to_owned();
            demonstrate(&programs)
        });
    match told {
        Ok(()) => {
            println!(
                "\nThe demonstration took {:.0} s; its hosts are gone.",
                begin.elapsed().as_secs_f32()
            );
            0
        }
        Err(error) => {
            eprintln!("drbdd demo: {error}");
            1
        }
    }
}

/// The whole story, with the programs of this directory.
pub fn demonstrate(programs: &Path) -> Result<(), Error> {
    chapter("Two hosts on this machine, installation F2, one empty 96 MiB disk each");
    let network = f2::network()?;
    let first = f2::host(&network, f2::FIRST, DISK_MIB, programs)?;
    let second = f2::host(&network, f2::SECOND, DISK_MIB, programs)?;
    show(&first, "cat /etc/drbd.d/r0.res")?;

    chapter("Meta-data on both disks, then the init script on both");
    show(&first, "drbdadm create-md r0")?;
    show(&second, "drbdadm create-md r0")?;
    start_both(&first, &second)?;

    chapter("One side has the good data: the first sync");
    show(&first, "drbdadm -- --overwrite-data-of-peer primary r0")?;
    watch_sync(&first, &second)?;

    chapter("A file system on the mirror");
    show(
        &first,
        "mkfs.ext4 -q /dev/drbd1 && mkdir -p /mnt/data && mount /dev/drbd1 /mnt/data",
    )?;
    show(&first, "df -h /mnt/data")?;
    show(
        &first,
        "echo 'written on '$(uname -n) > /mnt/data/hello && cp /etc/passwd /mnt/data && sync",
    )?;

    chapter("Failover");
    show(&first, "umount /mnt/data && drbdadm secondary r0")?;
    show(
        &second,
        "drbdadm primary r0 && mkdir -p /mnt/data && mount /dev/drbd1 /mnt/data",
    )?;
    show(
        &second,
        "cat /mnt/data/hello && cmp /etc/passwd /mnt/data/passwd && umount /mnt/data",
    )?;

    chapter("Both nodes at the end");
    for host in [&first, &second] {
        show(host, &format!("cat {LIVE_FILE}"))?;
    }
    let size = second.sh(&format!("blockdev --getsize64 {}", f2::DEVICE))?;
    for host in [&first, &second] {
        show(host, "service drbd stop")?;
    }
    compare(&first, &second, size.trim())
}

fn chapter(title: &str) {
    println!("\n--- {title}");
}

/// Shows a command line, runs it, shows what it printed.
fn show(host: &Host<'_>, line: &str) -> Result<(), Error> {
    prompt(host, line);
    let output = host.try_sh(&line.replace("service drbd", "/etc/init.d/drbd"))?;
    print!("{}", output.both());
    if output.status == 0 {
        return Ok(());
    }
    Err(Error::Failed {
        command: line.to_owned(),
        status: output.status,
        output: log_of(host),
    })
}

fn prompt(host: &Host<'_>, line: &str) {
    println!("{}# {line}", host.name());
}

/// The init script on both at once, as at boot: each waits for the other.
fn start_both(first: &Host<'_>, second: &Host<'_>) -> Result<(), Error> {
    const LINE: &str = "/etc/init.d/drbd start";
    let outputs = thread::scope(|scope| {
        let other = scope.spawn(|| second.try_sh(LINE));
        let one = first.try_sh(LINE);
        [(first, Some(one)), (second, other.join().ok())]
    });
    for (host, output) in outputs {
        prompt(host, "service drbd start");
        let output = output
            .ok_or_else(|| Error::Wrong("starting a host's service panicked".to_owned()))??;
        print!("{}", output.stdout);
        if output.status != 0 {
            return Err(Error::Failed {
                command: LINE.to_owned(),
                status: output.status,
                output: output.stderr,
            });
        }
    }
    Ok(())
}

/// Waits for the end of the sync; a terminal sees the progress line move.
fn watch_sync(source: &Host<'_>, target: &Host<'_>) -> Result<(), Error> {
    let live = io::stdout().is_terminal();
    let begin = Instant::now();
    let mut first_look = None;
    wait::until("the first sync", LIMIT, || {
        let device = Device::read(source, f2::MINOR)?;
        first_look.get_or_insert(device.out_of_sync);
        if let (true, Some(progress)) = (live, &device.progress) {
            print!("\r\x1b[K{progress}");
            io::stdout().flush().map_err(|error| error.to_string())?;
        }
        device.expect(Device::is_in_sync)
    })?;
    wait::until("the other side of the first sync", LIMIT, || {
        Device::read(target, f2::MINOR)?.expect(Device::is_in_sync)
    })?;
    if live {
        print!("\r\x1b[K");
    }
    println!(
        "in sync: {} KiB in {:.1} s",
        first_look.unwrap_or(0),
        begin.elapsed().as_secs_f32()
    );
    Ok(())
}

/// The data areas of both disks, by checksum; different ones are an error.
fn compare(first: &Host<'_>, second: &Host<'_>, size: &str) -> Result<(), Error> {
    println!("sha256 of the first {size} bytes of both disks:");
    let mut sums = Vec::new();
    for host in [first, second] {
        let line = format!(
            "head -c {size} '{}' | sha256sum",
            host.disk_image(0).display()
        );
        let sum = succeed(Command::new("bash").args(["-c", &line]))?;
        let sum = sum.split_whitespace().next().unwrap_or_default().to_owned();
        println!("{sum}  {}:/dev/sdb1", host.name());
        sums.push(sum);
    }
    if sums[0] == sums[1] {
        println!("identical");
        return Ok(());
    }
    Err(Error::Wrong("the disks differ".to_owned()))
}

/// The end of the engine's log: why a command failed.
fn log_of(host: &Host<'_>) -> String {
    let log = host.read("/run/drbd/log").unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
