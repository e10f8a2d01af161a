//! Usermode helpers: the handlers that an administrator hooks to events (spec 60 section 10.2).

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use drbd_control::{Endpoint, Family};
use rustix::process::Pid;
use tokio::process::Command;

use crate::device::guard;

/// What tells several nodes on one machine apart (design section 2): the helper must find the
/// engine that called it.
const NODE_VARIABLES: &[&str] = &["__DRBD_NODE__", "DRBD_RUN_DIR", "DRBD_STATE_DIR"];

/// The environment that the kernel gives to its helpers.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("HOME", "/"),
    ("TERM", "linux"),
    ("PATH", "/sbin:/usr/sbin:/bin:/usr/bin"),
];

/// One call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    /// The program.
    pub program: PathBuf,
    /// The event.
    pub event: &'static str,
    /// `minor-N` or the resource name.
    pub argument: String,
    /// The peer, when a connection is configured.
    pub peer: Option<Endpoint>,
}

/// How a call ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ended {
    /// The wait status, as `waitpid` tells it.
    pub raw: i32,
}

impl Ended {
    /// The exit status that decides: as the kernel computes it from the wait status.
    pub const fn exit(self) -> u8 {
        (self.raw >> 8) as u8
    }
}

impl Call {
    /// Runs it to its end. A program that cannot be executed counts as exit status 0.
    pub async fn run(&self) -> Ended {
        let mut command = Command::new(&self.program);
        command
            .arg(self.event)
            .arg(&self.argument)
            .env_clear()
            .envs(self.environment())
            .current_dir("/")
            .stdin(Stdio::null());
        let Ok(mut child) = command.spawn() else {
            return Ended { raw: 0 };
        };
        let pid = child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            // It may have ended already; and only root could have been protected.
            let _ = guard::expose_child(pid);
        }
        let status = child.wait().await;
        Ended {
            raw: status.map_or(0, ExitStatus::into_raw),
        }
    }

    fn environment(&self) -> Vec<(String, OsString)> {
        let fixed = ENVIRONMENT
            .iter()
            .map(|(name, value)| ((*name).to_owned(), OsString::from(value)));
        let node = NODE_VARIABLES
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), std::env::var_os(name)?)));
        fixed.chain(node).chain(self.peer_environment()).collect()
    }

    fn peer_environment(&self) -> Vec<(String, OsString)> {
        let Some((peer, address)) = self
            .peer
            .as_ref()
            .and_then(|peer| Some((peer, peer.socket_addr()?)))
        else {
            return Vec::new();
        };
        let (family, text) = match (peer.family(), address.ip()) {
            (Some(Family::IPV6), std::net::IpAddr::V6(ip)) => ("ipv6", uncompressed(ip)),
            (Some(Family::IPV4), ip) => ("ipv4", ip.to_string()),
            (_, ip) => ("ssocks", ip.to_string()),
        };
        vec![
            ("DRBD_PEER_AF".to_owned(), family.into()),
            ("DRBD_PEER_ADDRESS".to_owned(), text.into()),
        ]
    }

    /// The command line as the log shows it.
    pub fn line(&self) -> String {
        format!(
            "{} {} {}",
            self.program.display(),
            self.event,
            self.argument
        )
    }
}

/// As the kernel's `%pI6` prints it: no run of zeroes is left out.
fn uncompressed(ip: std::net::Ipv6Addr) -> String {
    let words: Vec<String> = ip.segments().iter().map(|w| format!("{w:04x}")).collect();
    words.join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(program: &str, peer: Option<&str>) -> Call {
        let peer = peer.map(|text| {
            let address: std::net::SocketAddr = text.parse().unwrap();
            let family = match address.is_ipv4() {
                true => Family::IPV4,
                false => Family::IPV6,
            };
            Endpoint::new(family, address)
        });
        Call {
            program: program.into(),
            event: "before-resync-target",
            argument: "minor-7".into(),
            peer,
        }
    }

    #[tokio::test]
    async fn the_exit_status_is_that_of_the_program_and_0_when_there_is_none() {
        assert_eq!(call("/bin/false", None).run().await.exit(), 1);
        assert_eq!(call("/nonexistent", None).run().await.exit(), 0);
    }

    #[tokio::test]
    async fn the_helper_sees_exactly_the_environment_of_the_kernel() {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("helper");
        let out = dir.path().join("out");
        let text = format!(
            "#!/bin/sh\necho \"$@\" > {0}\n/usr/bin/env >> {0}\n",
            out.display()
        );
        std::fs::write(&script, text).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&script, mode).unwrap();
        let call = call(script.to_str().unwrap(), Some("10.1.1.32:7789"));
        assert_eq!(call.run().await.raw, 0);
        let seen = std::fs::read_to_string(&out).unwrap();
        let ours = |line: &&str| !line.starts_with("PWD=") && !line.starts_with("_=");
        let mut lines: Vec<&str> = seen.lines().filter(ours).collect();
        lines.retain(|line| !NODE_VARIABLES.iter().any(|name| line.starts_with(name)));
        lines.retain(|line| !line.starts_with("OLDPWD=") && !line.starts_with("SHLVL="));
        lines[1..].sort_unstable();
        assert_eq!(
            lines,
            [
                "before-resync-target minor-7",
                "DRBD_PEER_ADDRESS=10.1.1.32",
                "DRBD_PEER_AF=ipv4",
                "HOME=/",
                "PATH=/sbin:/usr/sbin:/bin:/usr/bin",
                "TERM=linux",
            ]
        );
    }

    #[test]
    fn an_ipv6_peer_is_written_without_compression() {
        let call = call("x", Some("[fe80::1]:7789"));
        let environment = call.peer_environment();
        assert_eq!(environment[1].1, "fe80:0000:0000:0000:0000:0000:0000:0001");
    }
}
