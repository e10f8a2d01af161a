//! Worked examples of spec 50 section 7.4, properties, hostile packets.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use drbd_types::BitNr;
use proptest::prelude::*;

use super::*;
use crate::packet::{Body, CompressedBitmap};
use crate::version::{Features, ProtocolVersion};

fn agreed(version: u32) -> Agreed {
    Agreed {
        version: ProtocolVersion(version),
        features: Features::empty(),
    }
}

/// A bitmap as plain as can be.
#[derive(Clone, PartialEq, Debug)]
struct Model {
    words: Vec<u64>,
    bits: u64,
}

impl Model {
    fn empty(bits: u64) -> Self {
        Self {
            words: vec![0; usize::try_from(bits.div_ceil(64)).unwrap()],
            bits,
        }
    }

    /// A bitmap made of runs, the first of which is clear.
    fn of_runs(runs: &[u64]) -> Self {
        let mut model = Self::empty(runs.iter().sum());
        let mut position = 0;
        for (i, run) in runs.iter().enumerate() {
            if i % 2 == 1 {
                model.set_bits(BitNr(position)..BitNr(position + run));
            }
            position += run;
        }
        model
    }
}

impl BitSink for Model {
    fn set_bits(&mut self, range: Range<BitNr>) {
        assert!(range.start < range.end && range.end.0 <= self.bits);
        for bit in range.start.0..range.end.0 {
            self.words[bit as usize / 64] |= 1 << (bit % 64);
        }
    }

    fn merge_words(&mut self, first: u64, words: &[u64]) {
        for (own, peer) in self.words[first as usize..].iter_mut().zip(words) {
            *own |= peer;
        }
    }
}

fn send(model: &Model, version: u32, use_rle: UseRle) -> (Vec<Body>, TransferStats) {
    let mut sender = BitmapSender::new(model.bits, agreed(version), use_rle);
    let packets = sender.packets(&model.words[..]).collect();
    (packets, *sender.stats())
}

/// Feeds packets into an empty bitmap; the transfer must end with the last of them.
fn receive(packets: &[Body], bits: u64, version: u32) -> (Model, TransferStats) {
    let mut receiver = BitmapReceiver::new(bits, agreed(version));
    let mut model = Model::empty(bits);
    let mut progress = Progress::More;
    for packet in packets {
        assert_eq!(progress, Progress::More, "packets after the last one");
        progress = match packet {
            Body::Bitmap(words) => receiver.plain(words, &mut model).unwrap(),
            Body::CompressedBitmap(code) => receiver.compressed(code, &mut model).unwrap(),
            other => panic!("no bitmap packet: {other:?}"),
        };
    }
    assert_eq!(progress, Progress::Complete);
    (model, *receiver.stats())
}

fn rle(bytes: &[u8]) -> Body {
    Body::CompressedBitmap(CompressedBitmap {
        encoding: bytes[0],
        code: bytes[1..].into(),
    })
}

#[test]
fn captured_compressed_packets_are_produced_and_understood_byte_for_byte() {
    let examples: [(&[u64], &[u8]); 5] = [
        (&[0, 16], &[0x92, 0x77]),
        (&[0, 8], &[0xb2, 0x1b]),
        (&[5, 1, 10], &[0x22, 0x83, 0x0b]),
        (
            &[0, 1, 4, 3, 92, 256, 1692, 64, 6079, 1],
            &[
                0xa2, 0x34, 0xdf, 0xca, 0xf7, 0xfc, 0xb3, 0x56, 0xbe, 0x87, 0x1f, 0x47, 0x0b,
            ],
        ),
        (
            &[0, 1, 4, 3, 92, 4, 1944, 2, 6141, 1],
            &[0x92, 0x34, 0xdf, 0x4a, 0x7f, 0xce, 0x8c, 0x3f, 0xcc, 0x16],
        ),
    ];
    for (runs, bytes) in examples {
        let model = Model::of_runs(runs);
        assert_eq!(send(&model, 101, UseRle::Yes).0, [rle(bytes)]);
        assert_eq!(receive(&[rle(bytes)], model.bits, 101).0, model);
    }
}

/// Set "multivol": five code bits for four plain bits.
#[test]
fn a_bitmap_that_compression_would_enlarge_goes_plain_with_a_terminator() {
    let model = Model::of_runs(&[0, 4]);
    let (packets, _) = send(&model, 101, UseRle::Yes);
    assert_eq!(packets, [Body::Bitmap(vec![0x0f]), Body::Bitmap(vec![])]);
    assert_eq!(receive(&packets, 4, 101).0, model);
}

/// Set "bigbitmap": an alternating region in the middle of 76800 bits.
#[test]
fn incompressible_stretches_go_plain_and_the_rest_compressed() {
    let mut model = Model::empty(76_800);
    for word in &mut model.words[10..900] {
        *word = 0xaaaa_aaaa_aaaa_aaaa;
    }
    let (packets, _) = send(&model, 101, UseRle::Yes);
    let sizes: Vec<_> = packets
        .iter()
        .map(|packet| match packet {
            Body::Bitmap(words) => words.len() * 8,
            Body::CompressedBitmap(code) => 1 + code.code.len(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(sizes, [4080, 4080, 5]);
    assert_eq!(packets[2], rle(&[0x32, 0x7f, 0xcf, 0x0b, 0x00]));
    assert_eq!(receive(&packets, model.bits, 101).0, model);
}

/// Sets "bigplain" and "bigplain86": 1200 words.
#[test]
fn plain_packets_are_as_long_as_the_header_form_leaves_room_for() {
    let model = Model::empty(76_800);
    for (version, expected) in [(101, [510, 510, 180, 0]), (86, [511, 511, 178, 0])] {
        let (packets, _) = send(&model, version, UseRle::No);
        let sizes: Vec<_> = packets
            .iter()
            .map(|packet| match packet {
                Body::Bitmap(words) => words.len(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(sizes, expected);
    }
    assert_eq!(
        send(&model, 89, UseRle::Yes).0,
        send(&model, 86, UseRle::No).0,
        "no run length code before 90"
    );
}

/// Spec 60 section 10.4: 8182 set bits, one compressed packet.
#[test]
fn statistics_read_as_in_the_kernels_log() {
    let (packets, stats) = send(&Model::of_runs(&[0, 8182]), 101, UseRle::Yes);
    assert_eq!(
        stats.log_line(Direction::Send).unwrap().to_string(),
        "send bitmap stats [Bytes(packets)]: plain 0(0), RLE 20(1), total 20; compression: 98.2%"
    );
    let (_, received) = receive(&packets, 8182, 101);
    assert_eq!(received, stats);
    assert_eq!(
        send(&Model::of_runs(&[0, 8182]), 101, UseRle::No)
            .1
            .log_line(Direction::Send),
        None,
        "nothing was saved"
    );
}

/// What a kernel 8.4.11 node with 393195 bits logged after it had sent a bitmap in five packets,
/// and received one in ten.
#[test]
fn compression_is_reckoned_as_the_kernel_does() {
    for (packets, bytes, direction, line) in [
        (
            5,
            19637,
            Direction::Send,
            "send bitmap stats [Bytes(packets)]: plain 0(0), RLE 19637(5), total 19637; \
             compression: 60.1%",
        ),
        (
            10,
            19723,
            Direction::Receive,
            "receive bitmap stats [Bytes(packets)]: plain 0(0), RLE 19723(10), total 19723; \
             compression: 60.0%",
        ),
    ] {
        let mut stats = TransferStats::new(393_195, agreed(101));
        stats.rle = Traffic { bytes, packets };
        assert_eq!(stats.log_line(direction).unwrap().to_string(), line);
    }
}

#[test]
fn every_class_of_run_lengths_has_the_width_of_the_table() {
    for (first, last, width) in [
        (1, 2, 2),
        (3, 4, 3),
        (5, 8, 5),
        (9, 16, 7),
        (17, 48, 10),
        (49, 304, 14),
        (305, 8496, 21),
        (8497, 2_105_648, 29),
        (2_105_649, 17_181_974_832, 42),
        (17_181_974_833, vli::MAX_RUN, 64),
    ] {
        assert_eq!(vli::CodeWord::encode(first).unwrap().width, width);
        assert_eq!(vli::CodeWord::encode(last).unwrap().width, width);
    }
    assert_eq!(vli::CodeWord::encode(0), None);
    assert_eq!(vli::CodeWord::encode(vli::MAX_RUN + 1), None);
}

#[test]
fn hostile_packets_are_refused() {
    let receive = |bits, packet: &[u8]| {
        let Body::CompressedBitmap(packet) = rle(packet) else {
            unreachable!("rle() makes nothing else")
        };
        BitmapReceiver::new(bits, agreed(101)).compressed(&packet, &mut Model::empty(bits))
    };
    assert_eq!(
        receive(15, &[0x92, 0x77]),
        Err(BitmapError::Overflow { last: 15 })
    );
    assert_eq!(
        receive(15, &[0x12, 0x77]),
        Err(BitmapError::Overflow { last: 15 }),
        "a clear run too"
    );
    assert_eq!(
        receive(16, &[0x91, 0x77]),
        Err(BitmapError::UnknownEncoding { encoding: 0x91 })
    );
    assert_eq!(receive(16, &[0x92]), Err(BitmapError::Incomplete));
    assert_eq!(
        receive(16, &[0xf2, 0x77]),
        Err(BitmapError::Incomplete),
        "one bit of a longer code word"
    );
    let longest = [&[0x82][..], &[0xff; 8]].concat();
    assert_eq!(
        receive(16, &longest),
        Err(BitmapError::Overflow {
            last: vli::MAX_RUN - 1
        })
    );
    let mut receiver = BitmapReceiver::new(64, agreed(101));
    let mut model = Model::empty(64);
    assert_eq!(
        receiver.plain(&[], &mut model),
        Err(BitmapError::PlainSize { want: 8, size: 0 })
    );
    assert_eq!(
        receiver.plain(&[1, 2], &mut model),
        Err(BitmapError::PlainSize { want: 8, size: 16 })
    );
    assert_eq!(receiver.plain(&[1], &mut model), Ok(Progress::More));
    assert_eq!(receiver.plain(&[], &mut model), Ok(Progress::Complete));
    assert_eq!(receiver.plain(&[], &mut model), Err(BitmapError::AfterEnd));
}

#[test]
fn bits_behind_the_end_of_the_bitmap_never_reach_the_sink() {
    let mut model = Model::empty(4);
    let mut receiver = BitmapReceiver::new(4, agreed(101));
    receiver.plain(&[u64::MAX], &mut model).unwrap();
    assert_eq!(model.words, [0x0f]);
}

fn bitmaps() -> impl Strategy<Value = Model> {
    // Short and long runs mixed, so that plain and compressed packets alternate.
    let run = prop_oneof![1u64..4, 1u64..40, 1u64..9_000];
    prop::collection::vec(run, 1..1500)
        .prop_filter("bounded", |runs| runs.iter().sum::<u64>() < 1_000_000)
        .prop_map(|runs| Model::of_runs(&runs))
}

proptest! {
    #[test]
    fn what_is_sent_is_what_is_received(
        model in bitmaps(),
        version in prop_oneof![Just(86u32), Just(90), Just(95), Just(101)],
        use_rle in prop_oneof![Just(UseRle::No), Just(UseRle::Yes)],
    ) {
        let (packets, sent) = send(&model, version, use_rle);
        let (copy, received) = receive(&packets, model.bits, version);
        prop_assert_eq!(copy, model);
        prop_assert_eq!(sent, received);
    }

    #[test]
    fn no_sequence_of_packets_makes_the_receiver_panic_or_leave_the_bitmap(
        bits in 0u64..300,
        packets in prop::collection::vec(prop_oneof![
            (any::<u8>(), prop::collection::vec(any::<u8>(), 0..12)).prop_map(
                |(encoding, code)| Body::CompressedBitmap(CompressedBitmap {
                    encoding: encoding & 0xf0 | 2,
                    code,
                })
            ),
            prop::collection::vec(any::<u64>(), 0..6).prop_map(Body::Bitmap),
        ], 0..12),
    ) {
        let mut receiver = BitmapReceiver::new(bits, agreed(101));
        let mut model = Model::empty(bits);
        for packet in &packets {
            // Errors are fine here; the model itself asserts that ranges stay inside.
            let _ = match packet {
                Body::Bitmap(words) => receiver.plain(words, &mut model),
                Body::CompressedBitmap(code) => receiver.compressed(code, &mut model),
                _ => unreachable!("the strategy makes no others"),
            };
        }
        if let Some(last) = model.words.last() && bits % 64 != 0 {
            prop_assert_eq!(last >> (bits % 64), 0);
        }
    }
}
