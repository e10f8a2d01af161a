//! A genuine kernel-DRBD 8.4.11 node on the same network, run by the oracle's `kernel-peer`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use drbd_demo::f2;
use drbd_demo::hosts::{Error, Network, Output, capture, succeed};
use drbd_demo::status::Device;

use crate::programs;

/// The DRBD device and the disk are named here as F2 names them.
const PREPARE: &str = "mknod /dev/sdb1 b 98 0; mkdir -p /mnt";

/// A kernel node of installation F2; dropping it is pulling its plug.
#[derive(Debug)]
pub struct KernelPeer {
    name: String,
    oracle: PathBuf,
}

impl KernelPeer {
    /// Boots the node that F2 calls `name`, with an empty disk of this size and F2's configuration.
    pub fn start(network: &Network, name: &str, disk_mebibytes: u64) -> Result<Self, Error> {
        let peer = Self::not_started(network, name)?;
        peer.boot(network, disk_mebibytes)?;
        Ok(peer)
    }

    /// The same, with a copy of `image` as its disk.
    pub fn start_with_disk(network: &Network, name: &str, image: &Path) -> Result<Self, Error> {
        let peer = Self::not_started(network, name)?;
        let context = Error::io("giving a kernel peer its disk");
        fs::create_dir_all(peer.directory())
            .and_then(|()| fs::copy(image, peer.image()))
            .map_err(context)?;
        peer.boot(network, 0)?;
        Ok(peer)
    }

    fn not_started(network: &Network, name: &str) -> Result<Self, Error> {
        Ok(Self {
            name: name.to_owned(),
            oracle: private_oracle(network)?,
        })
    }

    /// `disk_mebibytes` counts where there is no disk yet.
    fn boot(&self, network: &Network, disk_mebibytes: u64) -> Result<(), Error> {
        let Self { name, .. } = self;
        let address = format!("{}/24", f2::address(name));
        let size = disk_mebibytes.to_string();
        let options = [
            "--netns",
            network.name(),
            "--ip",
            &address,
            "--disk-mb",
            &size,
        ];
        // The node keeps the standard streams of who starts it: they must not be ours.
        let log = self.oracle.join(format!("start-{name}"));
        let output = fs::File::create(&log).map_err(Error::io("starting a kernel peer"))?;
        let errors = output
            .try_clone()
            .map_err(Error::io("starting a kernel peer"))?;
        let status = self
            .script("start")
            .args(options)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .status();
        if !status
            .map_err(Error::io("starting a kernel peer"))?
            .success()
        {
            let said = fs::read_to_string(&log).unwrap_or_default();
            return Err(Error::Wrong(format!(
                "kernel peer {name} did not start: {said}"
            )));
        }
        self.run(PREPARE)?;
        for (file, content) in [
            ("global_common.conf", f2::GLOBAL_COMMON),
            ("r0.res", f2::RESOURCE),
        ] {
            self.run(&format!("cat > /etc/drbd.d/{file} <<'END'\n{content}END"))?;
        }
        Ok(())
    }

    /// Its host name.
    pub fn host_name(&self) -> &str {
        &self.name
    }

    /// Runs a command line of bash in the node; gives its output, fails unless it succeeds.
    pub fn run(&self, script: &str) -> Result<String, Error> {
        let output = self.try_run(script)?;
        if output.status == 0 {
            return Ok(output.stdout);
        }
        Err(Error::Failed {
            command: script.to_owned(),
            status: output.status,
            output: output.stdout,
        })
    }

    /// Runs a command line of bash in the node, whatever its end.
    pub fn try_run(&self, script: &str) -> Result<Output, Error> {
        // The node's shell gives one stream: the other and the status follow behind marks.
        const ERRORS: &str = "kernel-peer-errors=";
        const STATUS: &str = "kernel-peer-status=";
        let line = format!(
            "e=/tmp/errors.$$; ( {script}\n) </dev/null 2>$e; s=$?; echo {ERRORS}; cat $e; rm -f $e; echo {STATUS}$s"
        );
        let text = succeed(&mut self.script_with("exec", &[&line]))?;
        let parts = text.rsplit_once(STATUS).and_then(|(streams, status)| {
            let (stdout, stderr) = streams.rsplit_once(ERRORS)?;
            Some(Output {
                status: status.trim().parse().ok()?,
                stdout: stdout.to_owned(),
                stderr: stderr.strip_prefix('\n')?.to_owned(),
            })
        });
        parts.ok_or_else(|| {
            Error::Wrong(format!(
                "kernel peer {}: {script}: no end in {text:?}",
                self.name
            ))
        })
    }

    /// The device of F2 as the node's `/proc/drbd` shows it.
    pub fn read_device(&self) -> Result<Device, String> {
        let text = self
            .run("cat /proc/drbd")
            .map_err(|error| error.to_string())?;
        Device::find(&text, f2::MINOR).ok_or(text)
    }

    /// The node's kernel log about DRBD.
    pub fn kernel_log(&self) -> Result<String, Error> {
        self.run("dmesg | grep -i drbd || true")
    }

    /// The file behind its `/dev/sdb1`.
    pub fn image(&self) -> PathBuf {
        self.directory().join("ubda.img")
    }

    /// Kills the node: a power failure.
    pub fn crash(&self) -> Result<(), Error> {
        succeed(&mut self.script("crash")).map(drop)
    }

    fn directory(&self) -> PathBuf {
        self.oracle.join("run").join(&self.name)
    }

    fn script(&self, action: &str) -> Command {
        let mut command = Command::new("timeout");
        command
            .args(["--kill-after=5", "180"])
            .arg(programs::oracle_script("kernel-peer"));
        command
            .args([action, &self.name])
            .env("DRBD_ORACLE", &self.oracle);
        command
    }

    fn script_with(&self, action: &str, arguments: &[&str]) -> Command {
        let mut command = self.script(action);
        command.args(arguments);
        command
    }
}

impl Drop for KernelPeer {
    fn drop(&mut self) {
        let _ = capture(&mut self.script("crash"));
    }
}

/// The oracle with a `run` directory of this network's own (in memory, and swept with it), so that
/// peers of tests that run side by side do not meet.
fn private_oracle(network: &Network) -> Result<PathBuf, Error> {
    let directory = network.directory().join("oracle");
    fs::create_dir_all(directory.join("run"))
        .map_err(Error::io("making a directory for kernel peers"))?;
    let uml = directory.join("uml");
    if !Path::new(&uml).exists() {
        symlink(programs::oracle().join("uml"), &uml).map_err(Error::io("linking the oracle"))?;
    }
    Ok(directory)
}
