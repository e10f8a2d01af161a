//! `drbd-sim [--seed N] [--count N] [--story]`: lives so many lives and tells of those that fail.
//! Exit status: 0 all well, 1 liveness, 2 correctness.

use std::process::ExitCode;

use drbd_sim::schedule::{Failure, run};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let at = args.iter().position(|arg| arg == name)?;
        args.get(at + 1)?.parse::<u64>().ok()
    };
    let first = value("--seed").unwrap_or(0);
    let count = value("--count").unwrap_or(1);
    let story = args.iter().any(|arg| arg == "--story");
    let mut worst = 0;
    let (mut writes, mut crashes) = (0, 0);
    for seed in first..first + count {
        let life = run(seed, None);
        if story {
            for line in &life.story {
                println!("{line}");
            }
        }
        match life.result {
            Ok(summary) => {
                writes += summary.acknowledged;
                crashes += summary.crashes;
            }
            Err(failure) => {
                println!("seed {seed}: {failure:?}");
                worst = worst.max(match failure {
                    Failure::Liveness(_) => 1,
                    Failure::Correctness(_) => 2,
                });
            }
        }
    }
    println!("{count} schedules, {writes} acknowledged writes, {crashes} crashes");
    ExitCode::from(worst)
}
