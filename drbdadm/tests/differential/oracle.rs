//! Running both programs on one file.

use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt as _, symlink},
        process::ExitStatusExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    commands::{From, Line},
    generate::Case,
};

/// A directory with the files of one case, and the genuine program.
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

/// Stands in for drbdsetup, drbdmeta and drbd-proxy-ctl: says how it was called, and ends with the
/// status that is part of its name.
const STAND_IN: &str = "#!/bin/sh\n\
    echo \"${0##*/} $*\"\n\
    echo \"complaint of ${0##*/}\" >&2\n\
    exit ${0##*[a-z]}\n";

/// The same, but it shows a running resource.
const RUNNING: &str = "#!/bin/sh\n\
    [ \"$1\" = show ] && exec cat d/running\n\
    exec ./setup${0##*[a-z]} \"$@\"\n";

const STAND_INS: &[&str] = &[
    "setup0", "setup5", "setup10", "setup11", "setup17", "setup20", "meta0", "meta1", "meta20",
    "proxy0",
];

impl Bench {
    /// The program of 8.4.
    pub fn of_84() -> Self {
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
        let bench = Self {
            directory: tempfile::tempdir().expect("a temporary directory"),
            genuine,
            era,
        };
        for (name, script) in [("stand-in", STAND_IN), ("running", RUNNING)] {
            bench.write(name, script);
            let executable = fs::Permissions::from_mode(0o755);
            fs::set_permissions(bench.path(name), executable).expect("permissions");
        }
        for name in STAND_INS {
            symlink("stand-in", bench.path(name)).expect("a link");
        }
        for status in ["0", "10", "17"] {
            symlink("running", bench.path(&format!("running{status}"))).expect("a link");
        }
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let written = fs::write(self.path(name), text);
        written.expect("the files of a case can be written");
    }

    /// Writes the files of a case in place of those of the last one.
    pub fn install(&self, case: &Case, on_top: &str) {
        let _ = fs::remove_dir_all(self.path("d"));
        fs::create_dir(self.path("d")).expect("a directory");
        self.write("t.conf", &case.main);
        self.write("on-top.conf", on_top);
        for (name, text) in &case.included {
            self.write(name, text);
        }
    }

    /// The files, for the report of a difference.
    fn files(&self) -> String {
        let names = ["t.conf", "on-top.conf"].map(str::to_owned).into_iter();
        let included = fs::read_dir(self.path("d")).into_iter().flatten().flatten();
        let included = included.map(|entry| format!("d/{}", entry.file_name().to_string_lossy()));
        names
            .chain(included)
            .map(|name| {
                let text = fs::read(self.path(&name)).unwrap_or_default();
                format!("--- {name}\n{}", String::from_utf8_lossy(&text))
            })
            .collect()
    }

    /// The differences of one command on the case that is installed.
    pub fn compare(&self, line: &Line) -> Result<(), String> {
        let Some(theirs) = self.run(&self.genuine, line) else {
            // The genuine program crashed: no answer to compare with.
            return Ok(());
        };
        let ours = Path::new(env!("CARGO_BIN_EXE_drbdadm"));
        let Some(ours) = self.run(ours, line) else {
            return Err(format!("ours was killed\n{}", self.files()));
        };
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
            "status {} and {}\n{}{}{}",
            theirs.status,
            ours.status,
            diff(&theirs.stdout, &ours.stdout),
            diff(&theirs.stderr, &ours.stderr),
            self.files()
        ))
    }

    /// The differences between a configuration and its conversion, as the genuine program dumps
    /// them.
    pub fn compare_converted(&self, text: &str) -> Result<(), String> {
        let dump = |text: &str| {
            self.write("t.conf", text);
            let answer = self.run(&self.genuine, &Line::new("dump"))?;
            let lines = answer.stdout.lines();
            let shown: Vec<_> = lines.filter(|l| !l.starts_with("# defined at")).collect();
            Some(shown.join("\n"))
        };
        let Some(before) = dump(text) else {
            return Ok(());
        };
        let ours = Path::new(env!("CARGO_BIN_EXE_drbdadm"));
        let converted = self.run(ours, &Line::new("convert")).expect("an answer");
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

    fn run(&self, program: &Path, line: &Line) -> Option<Answer> {
        let (config, stdin) = match line.from {
            From::File => ("t.conf", Stdio::null()),
            From::Stdin => {
                let file = fs::File::open(self.path("t.conf")).expect("the configuration");
                ("-", Stdio::from(file))
            }
        };
        let output = Command::new(program)
            .args(["-c", config])
            .args(&line.words)
            .current_dir(self.directory.path())
            .env("__DRBD_NODE__", "alpha")
            .env("DRBD_DRIVER_VERSION_OVERRIDE", "8.4.11")
            .env("DRBD_DONT_WARN_ON_VERSION_MISMATCH", "1")
            .env("DRBD_ERA", self.era)
            // Where the test bed looks is no business of handlers.
            .env_remove("DRBD_PROGRAMS")
            // Below a file there can be no engine, and none is started.
            .env("DRBD_RUN_DIR", self.path("stand-in").join("run"))
            .stdin(stdin)
            .output()
            .expect("the program can be started");
        if output.status.signal().is_some() {
            return None;
        }
        let directory = program.parent()?.display().to_string() + "/";
        // The only differences that are tolerated, see testdata/known-differences.md.
        let plain = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes)
                .replace(&directory, "")
                .replace(" --use-bmbv=yes", "")
                .replace(" --use-bmbv=no", "")
                .replace("drbdsetup-84", "drbdsetup")
                .replace("drbdadm-84", "drbdadm")
                .replace("drbdsetup-83", "drbdsetup")
                .replace("drbdadm-83", "drbdadm");
            let versions = ["Version: ", "GIT-hash: ", "_drbd_version="];
            let lines = text.split_inclusive('\n');
            lines
                .filter(|line| !versions.iter().any(|version| line.starts_with(version)))
                .collect::<String>()
        };
        Some(Answer {
            status: output.status.code()?,
            stdout: plain(&output.stdout),
            stderr: plain(&output.stderr),
        })
    }
}
