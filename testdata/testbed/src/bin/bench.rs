//! `make bench`: our pair of nodes beside a pair of kernel nodes, on the same disks (in memory) and
//! the same bridge, one measurement of each in turn so that both see the same machine.
//!
//! Prints the median of every figure for both and the ratio ours / theirs.
#![forbid(unsafe_code)]

use drbd_demo::f2;
use drbd_demo::hosts::Error;
use testbed::kernel_peer::KernelPeer;
use testbed::node::{Node, Ours};
use testbed::scenario::first_day;

const DISK_MIB: u64 = 512;
const ROUNDS: usize = 5;

/// F2 with the resync let loose: the figure is what the nodes can do, not what the default rate allows.
const FAST_RESYNC: &str =
    "resource r0 {\ndisk {\nc-plan-ahead 0;\nresync-rate 4000M;\n}\nnet {\nmax-buffers 8000;\n}\n";

/// One figure: how it is taken from the Primary and its unit.
struct Figure {
    name: &'static str,
    unit: &'static str,
    measure: fn(&dyn Node, &dyn Node) -> f64,
}

const FIGURES: [Figure; 5] = [
    Figure {
        name: "full resync",
        unit: "MB/s",
        measure: resync,
    },
    Figure {
        name: "1 MiB sequential writes, depth 4",
        unit: "MB/s",
        measure: |one, _| fio(one, "write", "1M", 4) / 1e6,
    },
    Figure {
        name: "4 KiB random writes, depth 1",
        unit: "/s",
        measure: |one, _| fio(one, "randwrite", "4k", 1) / 4096.0,
    },
    Figure {
        name: "4 KiB random writes, depth 16",
        unit: "/s",
        measure: |one, _| fio(one, "randwrite", "4k", 16) / 4096.0,
    },
    Figure {
        name: "4 KiB random reads, depth 16",
        unit: "/s",
        measure: |one, _| fio(one, "randread", "4k", 16) / 4096.0,
    },
];

fn main() -> Result<(), Error> {
    let (our_network, their_network) = (f2::network()?, f2::network()?);
    let ours = [f2::FIRST, f2::SECOND].map(|name| Ours::start(&our_network, name, DISK_MIB));
    let theirs = [
        KernelPeer::start(&their_network, f2::FIRST, DISK_MIB)?,
        KernelPeer::start(&their_network, f2::SECOND, DISK_MIB)?,
    ];
    let pairs: [[&dyn Node; 2]; 2] = [[&ours[0], &ours[1]], [&theirs[0], &theirs[1]]];
    for [first, second] in pairs {
        for node in [first, second] {
            node.write(
                "/etc/drbd.d/r0.res",
                &f2::RESOURCE.replacen("resource r0 {\n", FAST_RESYNC, 1),
            );
        }
        first_day(first, second);
    }

    println!(
        "{DISK_MIB} MiB disks in memory, protocol C, medians of {ROUNDS} rounds taken in turn\n"
    );
    println!("{:<34} {:>10} {:>10} {:>7}", "", "ours", "kernel", "ratio");
    for figure in &FIGURES {
        let mut samples = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for (pair, taken) in pairs.iter().zip(&mut samples) {
                taken.push((figure.measure)(pair[0], pair[1]));
            }
        }
        let [ours, theirs] = samples.map(median);
        println!(
            "{:<34} {ours:>10.0} {theirs:>10.0} {:>7.2}  {}",
            figure.name,
            ours / theirs,
            figure.unit
        );
    }
    Ok(())
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

/// Bytes a second of one fio job of three seconds on the Primary's device.
fn fio(primary: &dyn Node, pattern: &str, block: &str, depth: u32) -> f64 {
    let line = primary.sh(&format!(
        "cd /tmp && fio --name=bench --filename={} --direct=1 --ioengine=libaio --rw={pattern} --bs={block} \
         --iodepth={depth} --size=256m --runtime=3 --time_based --minimal",
        f2::DEVICE
    ));
    // fio's terse format 3: bandwidth in KiB/s of the reads is field 7, of the writes field 48.
    let fields: Vec<&str> = line.split(';').collect();
    let field = if pattern == "randread" { 6 } else { 47 };
    let kib: f64 = fields
        .get(field)
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| panic!("not fio's: {line}"));
    kib * 1024.0
}

/// Megabytes a second of a resync of the whole device, timed inside the target.
fn resync(source: &dyn Node, target: &dyn Node) -> f64 {
    let proc = target.proc_file();
    let line = target.sh(&format!(
        "now() {{ cut -d' ' -f1 /proc/uptime; }}; a=$(now); drbdadm invalidate r0; \
         until grep -q 'cs:Connected.*UpToDate/UpToDate' {proc}; do sleep 0.01; done; echo $a $(now)"
    ));
    let times: Vec<f64> = line
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let [begin, end] = times[..] else {
        panic!("not two times: {line}")
    };
    source.device_size() as f64 / 1e6 / (end - begin)
}
