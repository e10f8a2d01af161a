//! How fast and how big `drbdadm dump` is: `cargo bench -p drbdadm --bench front`.
//!
//! Ten thousand resources of two hosts against the limits of 0.25 s and 300 MB, half and twice as
//! many to show that time and memory grow with the file, and 430 resources against the genuine
//! drbdadm of 8.4 in the same run, alternately; the genuine program gives up a little above that.
//! Ends with status 1 if a limit is missed. What counts is the time on a processor, which on a calm
//! machine is the time that passes; on a busy one the latter says little.

use std::{
    fmt::Write as _,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

const ROUNDS: usize = 15;
const LIMIT: Duration = Duration::from_millis(250);
const LIMIT_MB: f64 = 300.0;

/// One run.
struct Sample {
    /// On a processor.
    time: Duration,
    /// From the start to the end of the output.
    passed: Duration,
    /// Most memory, while the output is being written.
    megabytes: f64,
}

fn main() -> ExitCode {
    // Under `cargo test --benches` the program is only built.
    if std::env::args().all(|argument| argument != "--bench") {
        return ExitCode::SUCCESS;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let file = |count: usize| {
        let path = directory.path().join(format!("{count}.conf"));
        fs::write(&path, configuration(count)).expect("a file");
        path
    };
    let ours = Path::new(env!("CARGO_BIN_EXE_drbdadm"));
    println!("drbdadm dump, medians of {ROUNDS} rounds");
    let sizes = [5_000, 10_000, 20_000].map(|count| (count, median(ours, &file(count))));
    for (count, sample) in &sizes {
        println!(
            "{count:>6} resources: {:>7.1} ms, {:>6.1} MB ({:.1} ms passed)",
            milliseconds(sample.time),
            sample.megabytes,
            milliseconds(sample.passed)
        );
    }
    let [small, ten_thousand, large] = &sizes.map(|(_, sample)| sample);
    let growth = large.time.as_secs_f64() / small.time.as_secs_f64();
    println!("four times the file takes {growth:.2} times as long");
    let ratio = against_genuine(ours, &file(430));
    let ok = ten_thousand.time <= LIMIT
        && ten_thousand.megabytes <= LIMIT_MB
        && growth < 6.0
        && ratio.is_none_or(|ratio| ratio <= 1.0);
    println!(
        "{}",
        if ok {
            "within the limits"
        } else {
            "a limit is missed"
        }
    );
    ExitCode::from(u8::from(!ok))
}

/// Ours over theirs, by time; nothing without the genuine program.
fn against_genuine(ours: &Path, file: &Path) -> Option<f64> {
    let oracle = std::env::var_os("DRBD_ORACLE")
        .map_or_else(|| PathBuf::from("/var/tmp/drbd-oracle"), PathBuf::from);
    let genuine = oracle.join("utils/lib/drbd/drbdadm-84");
    if !genuine.is_file() {
        println!("no genuine drbdadm at {}", genuine.display());
        return None;
    }
    let (mut mine, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        mine.push(dump(ours, file));
        theirs.push(dump(&genuine, file));
    }
    let (mine, theirs) = (middle(mine), middle(theirs));
    let ratio = mine.time.as_secs_f64() / theirs.time.as_secs_f64();
    println!(
        "   430 resources: {:>7.1} ms, {:>6.1} MB; genuine {:.1} ms, {:.1} MB; ratio {ratio:.2}",
        milliseconds(mine.time),
        mine.megabytes,
        milliseconds(theirs.time),
        theirs.megabytes
    );
    Some(ratio)
}

fn median(program: &Path, file: &Path) -> Sample {
    middle((0..ROUNDS).map(|_| dump(program, file)).collect())
}

fn middle(mut samples: Vec<Sample>) -> Sample {
    samples.sort_by_key(|sample| sample.time);
    samples.swap_remove(samples.len() / 2)
}

/// One dump. The memory is read while the program waits for its output to be taken.
fn dump(program: &Path, file: &Path) -> Sample {
    let start = Instant::now();
    let mut child = Command::new(program)
        .arg("-c")
        .arg(file)
        .arg("dump")
        .env("__DRBD_NODE__", "alpha")
        .env("DRBD_DRIVER_VERSION_OVERRIDE", "8.4.11")
        .env("DRBD_DONT_WARN_ON_VERSION_MISMATCH", "1")
        .env_remove("DRBD_ERA")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut output = child.stdout.take().expect("a pipe");
    let mut bytes = vec![0; 1 << 16];
    let mut total = output.read(&mut bytes).expect("output");
    let megabytes = peak(child.id());
    loop {
        match output.read(&mut bytes).expect("output") {
            0 => break,
            more => total += more,
        }
    }
    let passed = start.elapsed();
    let time = on_processor(child.id());
    let status = child.wait().expect("an end");
    assert!(
        status.success() && total > 0,
        "{}: {status}",
        program.display()
    );
    Sample {
        time,
        passed,
        megabytes,
    }
}

/// Of a process that has ended, or is about to, but was not waited for.
fn on_processor(process: u32) -> Duration {
    let text = fs::read_to_string(format!("/proc/{process}/schedstat")).unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|first| first.parse().ok());
    Duration::from_nanos(nanoseconds.expect("the kernel counts"))
}

fn peak(process: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or_default() / 1024.0
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn configuration(count: usize) -> String {
    let mut text = String::from(
        "global { usage-count no; disable-ip-verification; }\n\
         common { net { protocol C; max-buffers 4000; } disk { resync-rate 40M; } }\n",
    );
    for at in 0..count {
        let (high, low) = (at / 200, at % 200 + 1);
        let _ = writeln!(
            text,
            "resource r{at} {{\n    net {{ cram-hmac-alg sha1; shared-secret \"secret {at}\"; }}"
        );
        for (host, network) in [("alpha", 1), ("beta", 2)] {
            let _ = writeln!(
                text,
                "    on {host} {{\n        device /dev/drbd{at};\n        disk /dev/vg0/r{at};\n        \
                 address 10.{network}.{high}.{low}:7788;\n        meta-disk internal;\n    }}"
            );
        }
        text.push_str("}\n");
    }
    text
}
