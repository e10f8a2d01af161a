//! One host: see the module for what it is made of.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::command::outside;
use super::{Error, Network, Output, capture, succeed};

/// The programs that a host gets from the build.
const PROGRAMS: [&str; 4] = ["drbdadm", "drbdsetup", "drbdmeta", "drbdd"];

/// Seconds after which a command in a host is killed (status 124, as timeout(1) says): nothing that
/// hangs may hang its caller.
const COMMAND_LIMIT: &str = "180";

/// A disk that a host is to have.
#[derive(Clone, Copy, Debug)]
pub struct Disk<'a> {
    /// Name below `/dev`.
    pub name: &'a str,
    /// Size in MiB.
    pub mebibytes: u64,
}

/// What a host is to be.
#[derive(Clone, Copy, Debug)]
pub struct HostSpec<'a> {
    /// The node name (`uname -n`).
    pub name: &'a str,
    /// Address of `eth0`, with a prefix of 24 bits.
    pub address: Ipv4Addr,
    /// Its disks, all of them new and empty.
    pub disks: &'a [Disk<'a>],
    /// Where the built programs are.
    pub programs: &'a Path,
}

/// A running host; dropping it is pulling its plug.
#[derive(Debug)]
pub struct Host<'net> {
    network: &'net Network,
    name: String,
    port: String,
    first_process: Child,
    loops: Vec<String>,
    images: Vec<PathBuf>,
}

impl<'net> Host<'net> {
    /// Starts a host on `network`: installed files in place, disks there, link up, no configuration.
    pub fn start(network: &'net Network, spec: &HostSpec<'_>) -> Result<Self, Error> {
        let first_process = start_first_process(spec)?;
        let mut host = Self {
            network,
            name: spec.name.to_owned(),
            port: format!("p{}", u32::from(spec.address) & 0xff),
            first_process,
            loops: Vec::new(),
            images: Vec::new(),
        };
        host.await_ready()?;
        network.plug_in(&host.port, host.pid())?;
        host.sh(&format!(
            "ip addr add {}/24 dev eth0 && ip link set eth0 up",
            spec.address
        ))?;
        for disk in spec.disks {
            host.add_disk(disk)?;
        }
        for file in drbd_system::FILES {
            host.install(file.path, file.content, file.mode)?;
        }
        Ok(host)
    }

    /// The node name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs a command line of bash in the host; gives its standard output, fails unless it succeeds.
    pub fn sh(&self, script: &str) -> Result<String, Error> {
        succeed(&mut self.command(&["bash", "-c", script]))
    }

    /// Runs a command line of bash in the host, whatever its end.
    pub fn try_sh(&self, script: &str) -> Result<Output, Error> {
        capture(&mut self.command(&["bash", "-c", script]))
    }

    /// A command to be run in the host, with an environment as init gives it.
    pub fn command(&self, argv: &[&str]) -> Command {
        let process = format!("/proc/{}", self.pid());
        let mut command = Command::new("nsenter");
        command
            .env_clear()
            .envs([
                ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
                ("HOME", "/root"),
                ("LC_ALL", "C"),
                ("TERM", "linux"),
            ])
            .args([
                "--target",
                &self.pid().to_string(),
                "--mount",
                "--uts",
                "--ipc",
                "--net",
            ])
            .arg(format!("--pid={process}/ns/pid_for_children"))
            .args(["--wd=/", "--", "timeout", "--kill-after=5", COMMAND_LIMIT])
            .args(argv);
        command
    }

    /// A path of the host, as seen from outside (readable without starting a process in it).
    pub fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.pid()))
    }

    /// Reads a file of the host.
    pub fn read(&self, inside: &str) -> Result<String, Error> {
        fs::read_to_string(self.path(inside))
            .map_err(Error::io(format!("{}: reading {inside}", self.name)))
    }

    /// Writes a file of the host, with its directories.
    pub fn install(&self, inside: &str, content: &str, mode: u32) -> Result<(), Error> {
        let path = self.path(inside);
        let fail = || format!("{}: writing {inside}", self.name);
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(Error::io(fail()))?;
        }
        fs::write(&path, content).map_err(Error::io(fail()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).map_err(Error::io(fail()))
    }

    /// The file behind disk number `index`: the bytes that a person would see on the platters.
    pub fn disk_image(&self, index: usize) -> &Path {
        &self.images[index]
    }

    /// Pulls the network cable.
    pub fn unplug(&self) -> Result<(), Error> {
        self.network.set_link(&self.port, "down")
    }

    /// Puts the network cable back.
    pub fn plug(&self) -> Result<(), Error> {
        self.network.set_link(&self.port, "up")
    }

    /// Name of the bridge port that this host hangs on, for a capture of its traffic.
    pub fn port(&self) -> &str {
        &self.port
    }

    fn add_disk(&mut self, disk: &Disk<'_>) -> Result<(), Error> {
        let image = self
            .network
            .directory()
            .join(format!("{}-{}", self.name, disk.name));
        let file =
            fs::File::create(&image).map_err(Error::io(format!("making {}", image.display())))?;
        file.set_len(disk.mebibytes << 20)
            .map_err(Error::io(format!("sizing {}", image.display())))?;
        let node = outside("losetup", &["--find", "--show", &image.to_string_lossy()])?
            .trim()
            .to_owned();
        let number = fs::metadata(&node)
            .map_err(Error::io(format!("looking at {node}")))?
            .rdev()
            & 0xff;
        self.loops.push(node);
        self.images.push(image);
        self.sh(&format!("mknod -m 660 /dev/{} b 7 {number}", disk.name))
            .map(drop)
    }

    fn await_ready(&mut self) -> Result<(), Error> {
        let output = self
            .first_process
            .stdout
            .take()
            .expect("started with a pipe");
        let mut line = String::new();
        BufReader::new(output)
            .read_line(&mut line)
            .map_err(Error::io("starting a host"))?;
        if line == "ready\n" {
            return Ok(());
        }
        let mut said = String::new();
        if let Some(mut errors) = self.first_process.stderr.take() {
            errors
                .read_to_string(&mut said)
                .map_err(Error::io("starting a host"))?;
        }
        Err(Error::Wrong(format!(
            "host {} did not start: {said}",
            self.name
        )))
    }

    fn pid(&self) -> u32 {
        self.first_process.id()
    }
}

impl Drop for Host<'_> {
    fn drop(&mut self) {
        // Its standard input closes: the first process ends and takes the host with it.
        drop(self.first_process.stdin.take());
        let _ = self.first_process.wait();
        for node in &self.loops {
            let _ = outside("losetup", &["--detach", node]);
        }
    }
}

fn start_first_process(spec: &HostSpec<'_>) -> Result<Child, Error> {
    for program in PROGRAMS {
        let path = spec.programs.join(program);
        if !path.is_file() {
            let hint = "build the programs first (cargo build --release, or make build)";
            return Err(Error::MissingProgram {
                path: path.display().to_string(),
                hint,
            });
        }
    }
    let mut child = Command::new("unshare")
        .args([
            "--mount",
            "--uts",
            "--ipc",
            "--net",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ])
        .args(["--propagation", "private", "bash", "-s", spec.name])
        .arg(spec.programs)
        .arg(PROGRAMS.join(" "))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Error::io("starting a host (unshare)"))?;
    let script = include_bytes!("setup.sh");
    child
        .stdin
        .as_mut()
        .expect("started with a pipe")
        .write_all(script)
        .map_err(Error::io("starting a host"))?;
    Ok(child)
}
