//! A node of the cluster under test, ours or the kernel's: scenarios are written for either.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use drbd_demo::f2;
use drbd_demo::hosts::{Error, Host, Network, Output};
use drbd_demo::status::Device;
use drbd_demo::wait;

use crate::kernel_peer::KernelPeer;
use crate::programs;

/// How long anything may take that the tests wait for.
pub const LIMIT: Duration = Duration::from_secs(90);

/// Where our engine writes its kernel-style messages.
const LOG: &str = "/run/drbd/log";

/// One of the two nodes of installation F2. Every method fails the test when the step fails.
pub trait Node: Sync {
    /// Its host name.
    fn name(&self) -> &str;
    /// Runs a command line of bash, whatever its end.
    fn try_sh(&self, script: &str) -> Output;
    /// The device as `/proc/drbd` shows it now.
    fn device(&self) -> Result<Device, String>;
    /// Where that file is inside the node.
    fn proc_file(&self) -> &'static str;
    /// The bytes of its `/dev/sdb1`.
    fn disk_image(&self) -> PathBuf;
    /// All kernel-style messages so far.
    fn log(&self) -> String;
    /// Kills what replicates (our engine; the whole kernel node), without any warning.
    fn kill(&self);

    /// Runs a command line that has to succeed; gives its standard output.
    fn sh(&self, script: &str) -> String {
        let output = self.try_sh(script);
        assert_eq!(
            output.status,
            0,
            "{}: {script}\n{}",
            self.name(),
            output.both()
        );
        output.stdout
    }

    /// Writes a file of the node.
    fn write(&self, path: &str, content: &str) {
        self.sh(&format!("cat > {path} <<'END'\n{content}END"));
    }

    /// Waits until `/proc/drbd` shows what is expected.
    fn wait(&self, what: &str, expected: &dyn Fn(&Device) -> bool) -> Device {
        let what = format!("{}: {what}", self.name());
        wait::until(&what, LIMIT, || self.device()?.expect(expected))
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// Waits until a new message (after the first `mark` bytes of the log) contains `text`.
    fn wait_for_message(&self, mark: usize, text: &str) -> String {
        let what = format!("{}: message {text:?}", self.name());
        let look = || {
            let log = self.log();
            let found = log
                .get(mark..)
                .unwrap_or(&log)
                .lines()
                .find(|line| line.contains(text))
                .map(str::to_owned);
            found.ok_or(log)
        };
        wait::until(&what, LIMIT, look).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Size of the mirrored device in bytes.
    fn device_size(&self) -> u64 {
        let text = self.sh(&format!("blockdev --getsize64 {}", f2::DEVICE));
        text.trim().parse().expect("blockdev prints a number")
    }
}

/// A host with our programs.
pub struct Ours<'net>(pub Host<'net>);

impl<'net> Ours<'net> {
    /// Starts the host that F2 calls `name`.
    pub fn start(network: &'net Network, name: &str, disk_mebibytes: u64) -> Self {
        let host = f2::host(network, name, disk_mebibytes, &programs::ours());
        Self(host.unwrap_or_else(|error| panic!("{error}")))
    }

    /// The same, with a copy of `image` as its disk.
    pub fn start_with_disk(network: &'net Network, name: &str, image: &Path) -> Self {
        let size = std::fs::metadata(image).expect("the image exists").len();
        let node = Self::start(network, name, size >> 20);
        std::fs::copy(image, node.disk_image()).expect("the disk takes the image");
        // What the loop device of the host has read before is not true any more.
        node.sh("blockdev --flushbufs /dev/sdb1");
        node
    }

    /// Whether the engine that `/run/drbd/engine.pid` names is alive.
    pub fn engine_runs(&self) -> bool {
        self.try_sh("kill -0 $(cat /run/drbd/engine.pid)").status == 0
    }
}

impl Node for Ours<'_> {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn try_sh(&self, script: &str) -> Output {
        done(self.0.try_sh(script))
    }

    fn device(&self) -> Result<Device, String> {
        Device::read(&self.0, f2::MINOR)
    }

    fn proc_file(&self) -> &'static str {
        drbd_demo::status::LIVE_FILE
    }

    fn disk_image(&self) -> PathBuf {
        self.0.disk_image(0).to_owned()
    }

    fn log(&self) -> String {
        self.0.read(LOG).unwrap_or_default()
    }

    fn kill(&self) {
        self.sh("kill -9 $(cat /run/drbd/engine.pid)");
        wait::until("the engine is gone", LIMIT, || {
            (!self.engine_runs())
                .then_some(())
                .ok_or_else(|| "alive".into())
        })
        .unwrap_or_else(|error| panic!("{error}"));
    }
}

impl Drop for Ours<'_> {
    /// A failed test is diagnosed from what the node says of itself.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let status = self
                .0
                .read(drbd_demo::status::LIVE_FILE)
                .unwrap_or_else(|error| error.to_string());
            eprintln!(
                "--- {}: proc/drbd\n{status}\n--- log\n{}",
                self.0.name(),
                tail(&self.log())
            );
        }
    }
}

impl Node for KernelPeer {
    fn name(&self) -> &str {
        self.host_name()
    }

    fn try_sh(&self, script: &str) -> Output {
        done(KernelPeer::try_run(self, script))
    }

    fn device(&self) -> Result<Device, String> {
        KernelPeer::read_device(self)
    }

    fn proc_file(&self) -> &'static str {
        "/proc/drbd"
    }

    fn disk_image(&self) -> PathBuf {
        KernelPeer::image(self)
    }

    fn log(&self) -> String {
        done(self.kernel_log())
    }

    fn kill(&self) {
        done(self.crash());
    }
}

fn done<T>(result: Result<T, Error>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

/// Fails unless the first `size` bytes of both disks are the same.
pub fn assert_same_data(one: &dyn Node, other: &dyn Node, size: u64) {
    let (mut left, mut right) = (open(&one.disk_image()), open(&other.disk_image()));
    const CHUNK: usize = 1 << 20;
    let (mut ours, mut theirs) = (vec![0; CHUNK], vec![0; CHUNK]);
    let mut at = 0;
    while at < size {
        let length = CHUNK.min(usize::try_from(size - at).unwrap_or(CHUNK));
        left.read_exact(&mut ours[..length])
            .expect("the disk is as large as the device");
        right
            .read_exact(&mut theirs[..length])
            .expect("the disk is as large as the device");
        if let Some(byte) = (0..length).find(|&byte| ours[byte] != theirs[byte]) {
            panic!(
                "{} and {} differ from byte {} on",
                one.name(),
                other.name(),
                at + byte as u64
            );
        }
        at += length as u64;
    }
}

fn open(image: &Path) -> File {
    File::open(image).unwrap_or_else(|error| panic!("{}: {error}", image.display()))
}
