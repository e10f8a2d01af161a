//! Wireshark's dissector as the judge of our encoder: the captured conversations, every byte of
//! a header or body encoded by us, as capture files.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

use drbd_wire::Codec;

use crate::set::Stream;
use crate::{Captured, everything};

/// The port that the captured nodes used.
const PORT: u16 = 7788;

/// Segments of one direction: each with its sequence number.
type Segments<'a> = Vec<(u32, &'a [u8])>;

/// Writes a capture file of raw IPv4 packets.
struct Pcap {
    bytes: Vec<u8>,
}

impl Pcap {
    fn new() -> Self {
        // pcap 2.4, little endian, link type 101 (raw IP).
        let mut bytes = 0xa1b2_c3d4u32.to_le_bytes().to_vec();
        bytes.extend_from_slice(&[2, 0, 4, 0]);
        for word in [0u32, 0, 262_144, 101] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        Self { bytes }
    }

    /// One direction of a TCP connection, from its SYN on.
    fn stream(&mut self, connection: u32, from_r0: bool, content: &[u8]) {
        self.disturbed(connection, from_r0, content, |_| {});
    }

    /// The same, but `disturb` may move or remove the segments.
    fn disturbed(
        &mut self,
        connection: u32,
        from_r0: bool,
        content: &[u8],
        disturb: impl FnOnce(&mut Segments<'_>),
    ) {
        // The clients' ports tell connections apart; r1 is always the listening side here.
        let client = 40_000 + u16::try_from(connection).unwrap();
        let (ports, hosts) = match from_r0 {
            true => ([client, PORT], [1, 2]),
            false => ([PORT, client], [2, 1]),
        };
        let syn = if from_r0 { 0x02 } else { 0x12 };
        self.segment(ports, hosts, 0, syn, &[]);
        let mut segments = (1..).step_by(1448).zip(content.chunks(1448)).collect();
        disturb(&mut segments);
        for (sequence, chunk) in segments {
            self.segment(ports, hosts, sequence, 0x18, chunk);
        }
    }

    fn segment(&mut self, ports: [u16; 2], hosts: [u8; 2], sequence: u32, flags: u8, data: &[u8]) {
        let length = 40 + data.len();
        for word in [0, 0, length as u32, length as u32] {
            self.bytes.extend_from_slice(&word.to_le_bytes());
        }
        let [high, low] = (length as u16).to_be_bytes();
        self.bytes
            .extend_from_slice(&[0x45, 0, high, low, 0, 0, 0, 0, 64, 6, 0, 0]);
        for host in hosts {
            self.bytes.extend_from_slice(&[10, 9, 9, host]);
        }
        for port in ports {
            self.bytes.extend_from_slice(&port.to_be_bytes());
        }
        self.bytes.extend_from_slice(&sequence.to_be_bytes());
        self.bytes
            .extend_from_slice(&[0, 0, 0, 1, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        self.bytes.extend_from_slice(data);
    }

    fn check(&self) -> Output {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&self.bytes).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/tshark-check.sh");
        Command::new(script)
            .arg(file.path())
            .arg(PORT.to_string())
            .output()
            .expect("testdata/tshark-check.sh can be run")
    }
}

/// The stream as we would have sent it.
fn encoded(packets: &[Captured]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for captured in packets {
        Codec::new(captured.agreed)
            .encode(&captured.packet, &captured.digest, &mut bytes)
            .unwrap();
        bytes.extend_from_slice(&captured.payload);
    }
    bytes
}

fn add(pcap: &mut Pcap, connection: u32, stream: &Stream, content: &[u8]) {
    pcap.stream(connection, stream.sender == "r0", content);
}

#[test]
fn tshark_understands_every_packet_that_we_encode() {
    // All sets in one file: each connection gets a number of its own.
    let mut pcap = Pcap::new();
    let mut connection = 0;
    let mut last = (String::new(), 0);
    for (set, stream, packets) in everything() {
        if last != (set.clone(), stream.connection) {
            last = (set, stream.connection);
            connection += 1;
        }
        add(&mut pcap, connection, &stream, &encoded(&packets));
    }
    let output = pcap.check();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let packets = text
        .split(": ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    let packets: u32 = packets.unwrap().parse().unwrap();
    assert!(packets > 1300, "{text}");
}

/// The judge would notice: a judge that never objects proves nothing.
#[test]
fn tshark_objects_to_packets_that_are_not_drbd() {
    let (_, stream, packets) = everything()
        .find(|(set, stream, _)| set == "basic" && stream.sender == "r0" && !stream.meta)
        .unwrap();
    let good = encoded(&packets);
    let unknown = [&[0x86, 0x20, 0xec, 0x20, 0, 0, 0, 0x55][..], &[0; 8]].concat();
    let short = [
        &[0x86, 0x20, 0xec, 0x20, 0, 0, 0, 0x0e, 0, 0, 0, 2][..],
        &[0; 6],
    ]
    .concat();
    for (bytes, objection) in [
        (&unknown[..], "unknown command"),
        (&short[..], "malformed"),
        (b"this is no packet at all"[..].into(), "bytes of no packet"),
    ] {
        let mut pcap = Pcap::new();
        // Behind P_CONNECTION_FEATURES.
        let content = [&good[..80], bytes, &good[80..]].concat();
        add(&mut pcap, 1, &stream, &content);
        let output = pcap.check();
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(objection), "{text}");
    }
}

/// A bridge with two processors may pass segments in another order, and so may any network.
#[test]
fn tshark_takes_segments_in_any_order_but_misses_none_in_silence() {
    let (_, _, packets) = everything()
        .find(|(set, stream, _)| set == "basic" && stream.sender == "r0" && !stream.meta)
        .unwrap();
    let good = encoded(&packets);
    let judge = |disturb: &dyn Fn(&mut Segments<'_>)| {
        let mut pcap = Pcap::new();
        pcap.disturbed(1, true, &good, disturb);
        let output = pcap.check();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), text)
    };
    let seen = |text: &str| text.split(": ").nth(1).map(str::to_owned);

    let (status, whole) = judge(&|_| {});
    assert_eq!(status, Some(0), "{whole}");
    let orders: [&dyn Fn(&mut Segments<'_>); 2] = [&|segments| segments.swap(3, 4), &|segments| {
        segments[2..].reverse()
    }];
    for order in orders {
        let (status, text) = judge(order);
        assert_eq!(status, Some(0), "{text}");
        assert_eq!(seen(&text), seen(&whole), "every packet is still there");
    }
    for lost in [2..3, 3..5, 10..11] {
        let (status, text) = judge(&|segments| {
            segments.drain(lost.clone());
        });
        assert_eq!(status, Some(1), "{text}");
    }
}
