//! The two hosts of installation F2, for looking around by hand: prints how to enter them and keeps
//! them until its standard input ends.
#![forbid(unsafe_code)]

use std::io::Read;

use drbd_demo::f2;
use drbd_demo::hosts::Error;
use testbed::programs;

const DISK_MIB: u64 = 64;

fn main() -> Result<(), Error> {
    let network = f2::network()?;
    let hosts = [
        f2::host(&network, f2::FIRST, DISK_MIB, &programs::ours())?,
        f2::host(&network, f2::SECOND, DISK_MIB, &programs::ours())?,
    ];
    for host in &hosts {
        let words: Vec<String> = host
            .command(&["bash"])
            .get_args()
            .map(|word| word.to_string_lossy().into_owned())
            .take_while(|word| word != "timeout")
            .collect();
        println!("{}: nsenter {} bash", host.name(), words.join(" "));
    }
    let mut ignored = Vec::new();
    std::io::stdin()
        .read_to_end(&mut ignored)
        .map(drop)
        .map_err(Error::io("waiting for the end of standard input"))
}
