//! The traffic between the nodes, recorded as it passes the bridge, and what an independent judge
//! says about it: tshark's DRBD dissector.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use drbd_demo::hosts::{Error, Network, Output, capture, succeed};

use crate::programs;

/// A running recording.
pub struct Capture {
    tshark: Child,
    file: PathBuf,
}

impl Capture {
    /// Records everything that passes `port` of the network.
    pub fn start(network: &Network, port: &str) -> Result<Self, Error> {
        let file = network.directory().join(format!("{port}.pcap"));
        let mut tshark = Command::new("ip")
            .args(["netns", "exec", network.name()])
            .args([
                "dumpcap", "-q", "-P", "-B", "256", "-i", port, "-f", "tcp", "-w",
            ])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(Error::io("starting dumpcap"))?;
        // It says "File: NAME" when the interface is open: before that packets would be missed.
        let mut said = String::new();
        let mut lines = BufReader::new(tshark.stderr.take().expect("started with a pipe"));
        while !said.contains("File: ") {
            if lines
                .read_line(&mut said)
                .map_err(Error::io("reading dumpcap"))?
                == 0
            {
                return Err(Error::Wrong(format!("dumpcap ended: {said}")));
            }
        }
        // Whatever it says later must not fill the pipe.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        Ok(Self { tshark, file })
    }

    /// Ends the recording and gives its file.
    pub fn finish(mut self) -> Result<PathBuf, Error> {
        succeed(Command::new("kill").args(["-INT", &self.tshark.id().to_string()]))?;
        self.tshark
            .wait()
            .map_err(Error::io("waiting for dumpcap"))?;
        Ok(std::mem::take(&mut self.file))
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.tshark.kill();
        let _ = self.tshark.wait();
    }
}

/// What `testdata/tshark-check.sh` says about a recording: status 0 when every packet of it is
/// well-formed DRBD.
pub fn judge(recording: &Path) -> Result<Output, Error> {
    let script = programs::repository().join("testdata/tshark-check.sh");
    capture(Command::new(script).arg(recording))
}
