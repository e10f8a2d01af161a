//! Running both programs on one file.

use std::{
    fs,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

pub struct Bench {
    directory: tempfile::TempDir,
    genuine: PathBuf,
    era: &'static str,
}

#[derive(PartialEq, Eq)]
struct Answer {
    status: i32,
    stdout: String,
    stderr: String,
}

impl Bench {
    /// The program of 8.4.
    pub fn new() -> Self {
        Self::of("drbdadm-84", "8.4")
    }

    /// The program of 8.3.
    pub fn of_83() -> Self {
        Self::of("drbdadm-83", "8.3")
    }

    fn of(program: &str, era: &'static str) -> Self {
        let oracle = std::env::var_os("DRBD_ORACLE")
            .map_or_else(|| PathBuf::from("/var/tmp/drbd-oracle"), PathBuf::from);
        let genuine = oracle.join("utils/lib/drbd").join(program);
        assert!(
            genuine.is_file(),
            "{} is missing: prepare the oracle (../shared/oracle/get) or set DRBD_ORACLE",
            genuine.display()
        );
        Self {
            directory: tempfile::tempdir().expect("a temporary directory"),
            genuine,
            era,
        }
    }

    /// The differences of one command on one configuration.
    pub fn compare(&self, text: &str, command: &str) -> Result<(), String> {
        let file = self.directory.path().join("t.conf");
        fs::write(&file, text).expect("the configuration can be written");
        let Some(theirs) = self.run(&self.genuine, command) else {
            // The genuine program crashed: no answer to compare with.
            return Ok(());
        };
        let ours = Path::new(env!("CARGO_BIN_EXE_drbdadm"));
        let ours = self
            .run(ours, command)
            .unwrap_or_else(|| panic!("ours was killed on {command}:\n{text}"));
        if theirs == ours {
            return Ok(());
        }
        let diff = |a: &str, b: &str| {
            similar::TextDiff::from_lines(a, b)
                .unified_diff()
                .header("genuine", "ours")
                .to_string()
        };
        Err(format!(
            "status {} and {}\n{}{}--- configuration\n{text}",
            theirs.status,
            ours.status,
            diff(&theirs.stdout, &ours.stdout),
            diff(&theirs.stderr, &ours.stderr)
        ))
    }

    /// The differences between a configuration and its conversion, as the genuine program dumps
    /// them.
    pub fn compare_converted(&self, text: &str) -> Result<(), String> {
        let file = self.directory.path().join("t.conf");
        let dump = |text: &str| {
            fs::write(&file, text).expect("the configuration can be written");
            let answer = self.run(&self.genuine, "dump")?;
            let lines = answer.stdout.lines();
            let shown: Vec<_> = lines.filter(|l| !l.starts_with("# defined at")).collect();
            Some(shown.join("\n"))
        };
        let Some(before) = dump(text) else {
            return Ok(());
        };
        let ours = Path::new(env!("CARGO_BIN_EXE_drbdadm"));
        let converted = self.run(ours, "convert").expect("an answer");
        let after = dump(&converted.stdout).unwrap_or_default();
        if before == after {
            return Ok(());
        }
        let diff = similar::TextDiff::from_lines(&before, &after);
        Err(format!(
            "{}--- converted\n{}--- configuration\n{text}",
            diff.unified_diff(),
            converted.stdout
        ))
    }

    fn run(&self, program: &Path, command: &str) -> Option<Answer> {
        let output = Command::new(program)
            .args(["-c", "t.conf"])
            .args(command.split(' '))
            .current_dir(self.directory.path())
            .env("__DRBD_NODE__", "alpha")
            .env("DRBD_DRIVER_VERSION_OVERRIDE", "8.4.11")
            .env("DRBD_DONT_WARN_ON_VERSION_MISMATCH", "1")
            .env("DRBD_ERA", self.era)
            .env("DRBD_RUN_DIR", self.directory.path())
            .stdin(Stdio::null())
            .output()
            .expect("the program can be started");
        if output.status.signal().is_some() {
            return None;
        }
        let directory = program.parent()?.display().to_string() + "/";
        // The only differences that are tolerated, see testdata/known-differences.md.
        let plain = |bytes: &[u8]| {
            String::from_utf8_lossy(bytes)
                .replace(&directory, "")
                .replace(" --use-bmbv=yes", "")
                .replace(" --use-bmbv=no", "")
                .replace("drbdsetup-84", "drbdsetup")
                .replace("drbdadm-84", "drbdadm")
                .replace("drbdsetup-83", "drbdsetup")
                .replace("drbdadm-83", "drbdadm")
        };
        Some(Answer {
            status: output.status.code()?,
            stdout: plain(&output.stdout),
            stderr: plain(&output.stderr),
        })
    }
}
