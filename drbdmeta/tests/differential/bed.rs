//! Two sides, ours and the genuine program, each with its own disk image, state directory and
//! lock directory (bind-mounted in a private mount namespace: the genuine program has its paths
//! built in). Every command runs on both; exit status, stdout, stderr and image must be equal.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The genuine program; a missing oracle is a failure, never a skip.
pub fn oracle() -> PathBuf {
    let root = std::env::var_os("DRBD_ORACLE")
        .map_or_else(|| PathBuf::from("/var/tmp/drbd-oracle"), PathBuf::from);
    let program = root.join("utils/sbin/drbdmeta");
    assert!(
        program.exists(),
        "the genuine drbdmeta is missing at {}: run `../shared/oracle/get`, or set DRBD_ORACLE",
        program.display()
    );
    program
}

/// What one run left behind.
#[derive(PartialEq, Eq, Debug, Clone)]
pub struct Outcome {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

pub struct Side {
    program: PathBuf,
    dir: tempfile::TempDir,
    loop_device: Option<LoopDevice>,
}

/// A loop device over the disk of a side, detached at the end.
struct LoopDevice(String);

impl LoopDevice {
    fn attach(disk: &Path, options: &[&str]) -> Self {
        let output = Command::new("losetup")
            .args(["--find", "--show", "--direct-io=off"])
            .args(options)
            .arg(disk)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "this test needs a free loop device: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Self(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        // A device that stays attached disturbs nothing but the list of loop devices.
        let _ = Command::new("losetup").args(["-d", &self.0]).status();
    }
}

impl Side {
    fn new(program: PathBuf, size: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for sub in ["lib/drbd", "lock", "bin", "work"] {
            fs::create_dir_all(dir.path().join(sub)).unwrap();
        }
        File::create(dir.path().join("work/disk"))
            .unwrap()
            .set_len(size)
            .unwrap();
        Self {
            program,
            dir,
            loop_device: None,
        }
    }

    /// The name of the loop device, if the disk is served by one.
    pub fn device(&self) -> Option<&str> {
        self.loop_device.as_ref().map(|l| l.0.as_str())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn disk(&self) -> File {
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.path("work/disk"))
            .unwrap()
    }

    /// Runs under a pseudo-terminal on which `typed` is typed; both streams come as one.
    fn run_typed(&self, words: &[&str], typed: &str) -> Outcome {
        let script =
            "mount --bind \"$0/lib\" /var/lib && mount --bind \"$0/lock\" /var/lock || exit 99
            cd \"$0/work\" && PATH=/usr/sbin:/usr/bin:/sbin:/bin && export PATH
            exec script -q -e -E never -c \"$*\" /dev/null";
        let mut child = Command::new("unshare")
            .args(["-m", "--propagation", "private", "sh", "-c", script])
            .arg(self.dir.path())
            .arg(&self.program)
            .args(words.iter().map(|word| match (*word, self.device()) {
                ("DEV", Some(device)) => device,
                (word, _) => word,
            }))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(typed.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        let screen = String::from_utf8_lossy(&output.stdout).into_owned();
        Outcome {
            status: output.status.code(),
            stdout: screen.replace(self.device().unwrap_or("DEV"), "DEV"),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    fn run(&self, words: &[&str], stdin: Option<&str>) -> Outcome {
        let script = "mount --bind \"$0/lib\" /var/lib && mount --bind \"$0/lock\" /var/lock || exit 99
            cd \"$0/work\" && shift 0 && PATH=\"$0/bin:/usr/sbin:/usr/bin:/sbin:/bin\" && export PATH
            prog=$1; shift; exec \"$prog\" \"$@\"";
        let mut command = Command::new("unshare");
        command
            .args(["-m", "--propagation", "private", "sh", "-c", script])
            .arg(self.dir.path())
            .arg(&self.program)
            .args(words.iter().map(|word| match (*word, self.device()) {
                ("DEV", Some(device)) => device,
                (word, _) => word,
            }))
            .env_remove("DRBD_STATE_DIR")
            .env("TZ", "Europe/Vienna")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        match stdin {
            Some(name) => command.stdin(File::open(self.path("work").join(name)).unwrap()),
            None => command.stdin(Stdio::null()),
        };
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            match self.device() {
                Some(device) => text.replace(device, "DEV"),
                None => text,
            }
        };
        let outcome = Outcome {
            status: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        };
        assert_ne!(
            outcome.status,
            Some(99),
            "this test needs root for its mount namespace: {}",
            outcome.stderr
        );
        outcome
    }
}

pub struct Pair {
    pub ours: Side,
    pub theirs: Side,
}

impl Pair {
    /// Two empty disks.
    pub fn new(size: u64) -> Self {
        Self {
            ours: Side::new(PathBuf::from(env!("CARGO_BIN_EXE_drbdmeta")), size),
            theirs: Side::new(oracle(), size),
        }
    }

    /// Two loop devices over empty disks: `DEV` in a command line stands for them.
    pub fn on_loops(size: u64, options: &[&str]) -> Self {
        let mut pair = Self::new(size);
        for side in [&mut pair.ours, &mut pair.theirs] {
            let disk = side.path("work/disk");
            side.loop_device = Some(LoopDevice::attach(&disk, options));
        }
        pair
    }

    pub fn sides(&self) -> [&Side; 2] {
        [&self.ours, &self.theirs]
    }

    /// The same bytes on both disks.
    pub fn patch(&self, at: u64, bytes: &[u8]) {
        for side in self.sides() {
            side.disk().write_all_at(bytes, at).unwrap();
        }
    }

    pub fn resize(&self, size: u64) {
        for side in self.sides() {
            side.disk().set_len(size).unwrap();
        }
    }

    /// The same file in both working directories.
    pub fn file(&self, name: &str, content: &str) {
        for side in self.sides() {
            let mut file = File::create(side.path("work").join(name)).unwrap();
            file.write_all(content.as_bytes()).unwrap();
        }
    }

    /// Runs on both and compares everything; returns the common outcome (ours, normalised).
    #[track_caller]
    pub fn same(&self, line: &str) -> Outcome {
        self.same_with(line, None)
    }

    #[track_caller]
    pub fn same_with(&self, line: &str, stdin: Option<&str>) -> Outcome {
        let words: Vec<&str> = line.split_whitespace().collect();
        self.same_words(&words, stdin)
    }

    #[track_caller]
    pub fn same_words(&self, words: &[&str], stdin: Option<&str>) -> Outcome {
        let [ours, theirs] = self.sides().map(|side| normalised(side.run(words, stdin)));
        let line = words.join(" ");
        assert!(
            ours == theirs,
            "drbdmeta {line}\nstatus: ours {:?}, genuine {:?}\n{}{}",
            ours.status,
            theirs.status,
            difference("stdout", &theirs.stdout, &ours.stdout),
            difference("stderr", &theirs.stderr, &ours.stderr),
        );
        self.same_images(&line);
        ours
    }

    /// Runs on both; the outcomes, normalised.
    pub fn outcomes(&self, line: &str) -> [Outcome; 2] {
        let words: Vec<&str> = line.split_whitespace().collect();
        self.sides().map(|side| normalised(side.run(&words, None)))
    }

    /// Runs on both with a person at the terminal; status, screen and disks must be equal.
    #[track_caller]
    pub fn same_typed(&self, line: &str, typed: &str) -> Outcome {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [ours, theirs] = self.sides().map(|side| side.run_typed(&words, typed));
        assert!(
            ours == theirs,
            "drbdmeta {line}, typed {typed:?}: ours {:?}, genuine {:?}\n{}",
            ours.status,
            theirs.status,
            difference("screen", &theirs.stdout, &ours.stdout),
        );
        self.same_images(line);
        ours
    }

    /// Runs the genuine program alone.
    pub fn only_theirs(&self, line: &str) -> Outcome {
        let words: Vec<&str> = line.split_whitespace().collect();
        self.theirs.run(&words, None)
    }

    /// Runs ours alone.
    pub fn only_ours(&self, line: &str) -> Outcome {
        let words: Vec<&str> = line.split_whitespace().collect();
        self.ours.run(&words, None)
    }

    #[track_caller]
    pub fn same_images(&self, context: &str) {
        let [ours, theirs] = self.sides().map(Side::disk);
        if let Some(at) = first_difference(ours, theirs) {
            panic!("drbdmeta {context}: disks differ at byte {at} ({at:#x})");
        }
        for name in ["drbd-minor-0.lkbd", "drbd-minor--1.lkbd"] {
            let [ours, theirs] = self.sides().map(|side| {
                let text = fs::read_to_string(side.path("lib/drbd").join(name)).ok()?;
                Some(match side.device() {
                    Some(device) => text.replace(device, "DEV"),
                    None => text,
                })
            });
            assert_eq!(ours, theirs, "drbdmeta {context}: {name}");
        }
    }
}

/// Compares what either file holds; in the holes of both there is nothing to compare.
fn first_difference(ours: File, theirs: File) -> Option<u64> {
    assert_eq!(
        ours.metadata().unwrap().len(),
        theirs.metadata().unwrap().len()
    );
    let mut ranges = data_ranges(&ours);
    ranges.extend(data_ranges(&theirs));
    for (start, end) in ranges {
        let mut a = vec![0; (end - start) as usize];
        let mut b = a.clone();
        ours.read_exact_at(&mut a, start).unwrap();
        theirs.read_exact_at(&mut b, start).unwrap();
        if a != b {
            let i = a.iter().zip(&b).position(|(x, y)| x != y);
            return Some(start + i.map_or(0, |i| i as u64));
        }
    }
    None
}

fn data_ranges(file: &File) -> Vec<(u64, u64)> {
    use rustix::fs::{SeekFrom, seek};
    let mut ranges = Vec::new();
    let mut at = 0;
    while let Ok(start) = seek(file, SeekFrom::Data(at)) {
        let end = seek(file, SeekFrom::Hole(start)).unwrap();
        ranges.push((start, end));
        at = end;
    }
    ranges
}

fn difference(name: &str, theirs: &str, ours: &str) -> String {
    if theirs == ours {
        return String::new();
    }
    let diff = similar::TextDiff::from_lines(theirs, ours);
    format!("{name} (- genuine, + ours):\n{}", diff.unified_diff())
}

/// Takes out what differs by design or by chance: the seconds of the dump header, the flags of a
/// dump (the genuine 8.9-9.32 always print 0), file descriptor numbers in traces.
fn normalised(outcome: Outcome) -> Outcome {
    let mut after_title = false;
    let stdout = outcome
        .stdout
        .split_inclusive('\n')
        .map(|line| {
            let is_date = after_title;
            after_title = line == "# DRBD meta data dump\n";
            match line {
                _ if is_date => date_shape(line),
                _ if line.starts_with("    flags 0x") => "    flags 0x........;\n".to_owned(),
                _ => line.to_owned(),
            }
        })
        .collect();
    // Progress in per cent, which the genuine program shows even where no terminal is.
    let is_progress = |line: &&str| line.starts_with('\r') && line.ends_with('%');
    let stderr = outcome
        .stderr
        .split_inclusive('\n')
        .filter(|line| !is_progress(&line.trim_end_matches('\n')))
        .collect();
    Outcome {
        stdout,
        stderr,
        ..outcome
    }
}

/// `# 2026-11-21 09:34:09 +0000 [1795253649]` with every digit but those of the zone masked.
fn date_shape(line: &str) -> String {
    line.split_inclusive(' ')
        .map(
            |word| match word.starts_with('+') || word.starts_with('-') {
                true => word.to_owned(),
                false => word.replace(|c: char| c.is_ascii_digit(), "9"),
            },
        )
        .collect()
}

pub fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
