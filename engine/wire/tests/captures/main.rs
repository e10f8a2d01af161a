//! Everything that two kernels said to each other decodes, means what the timeline says, and
//! encodes to the same bytes (spec/captures, protocol 86 to 101).

mod set;
mod tshark;

use drbd_wire::bitmap_code::{BitSink, BitmapReceiver, BitmapSender, Direction, Progress, UseRle};
use drbd_wire::{Agreed, Body, ByteLen, Codec, Command, Digest, Features, Header, Packet, Socket};
use set::Stream;

/// A decoded packet and where it stood.
struct Captured {
    agreed: Agreed,
    header: Header,
    packet: Packet,
    digest: Digest,
    /// Header and body without payload.
    bytes: Vec<u8>,
    payload: Vec<u8>,
}

/// Walks through a stream with our own framing. A stream that was cut by the recorder ends with
/// the last packet that is complete.
fn decode(stream: &Stream, agreed: Agreed) -> Vec<Captured> {
    let mut codec = Codec::HANDSHAKE;
    let mut rest = &stream.bytes[..];
    let mut packets = Vec::new();
    while let Some(captured) = decode_one(&codec, stream.meta, rest) {
        rest = &rest[captured.bytes.len() + captured.payload.len()..];
        match &captured.packet.body {
            // A meta stream without initial packet was accepted by its sender.
            Body::InitialMeta | Body::ConnectionFeatures(_) => codec = Codec::new(agreed),
            Body::Protocol(params) => {
                codec.peer_digest = match params.integrity_alg.as_str() {
                    "" => ByteLen(0),
                    "crc32c" => ByteLen(4),
                    other => panic!("no capture has {other}"),
                };
            }
            _ => {}
        }
        packets.push(captured);
    }
    packets
}

fn decode_one(codec: &Codec, meta: bool, bytes: &[u8]) -> Option<Captured> {
    let codec = match bytes {
        // Only initial packets and features have the oldest header among newer ones.
        [0x83, 0x74, 0x02, 0x67, 0xff, ..] => &Codec::HANDSHAKE,
        _ => codec,
    };
    let (head, rest) = bytes.split_at_checked(codec.header_size())?;
    let socket = if meta { Socket::Meta } else { Socket::Data };
    let header = match codec.decode_establishing(head) {
        Ok(header) => header,
        Err(_) => codec.decode_header(socket, head).unwrap(),
    };
    let body_size = codec.body_size(&header);
    let (body, rest) = rest.split_at_checked(body_size)?;
    let (packet, digest) = codec.decode_body(&header, body).unwrap();
    let (payload, _) = rest.split_at_checked(packet.body.payload_size().0 as usize)?;
    Some(Captured {
        agreed: codec.agreed,
        header,
        packet,
        digest,
        bytes: bytes[..head.len() + body.len()].to_vec(),
        payload: payload.to_vec(),
    })
}

/// What the first two feature packets of a set amount to.
fn agreement(streams: &[Stream]) -> Agreed {
    let mut announced = streams
        .iter()
        .filter(|stream| !stream.meta)
        .filter_map(|stream| {
            let line = stream
                .lines
                .iter()
                .find(|line| line.name == "P_CONNECTION_FEATURES")?;
            match decode_one(&Codec::HANDSHAKE, false, &stream.bytes[line.offset..])?
                .packet
                .body
            {
                Body::ConnectionFeatures(features) => Some(features),
                other => panic!("{other:?}"),
            }
        });
    let (one, other) = (announced.next().unwrap(), announced.next().unwrap());
    Agreed {
        version: one.range().agree(other.range()).unwrap(),
        features: one.features & other.features,
    }
}

/// Every stream of every set, decoded.
fn everything() -> impl Iterator<Item = (String, Stream, Vec<Captured>)> {
    set::names().into_iter().flat_map(|name| {
        let streams = set::load(&name);
        let agreed = agreement(&streams);
        streams.into_iter().map(move |stream| {
            let mut packets = decode_meta_or_data(&stream, agreed);
            packets.shrink_to_fit();
            (name.clone(), stream, packets)
        })
    })
}

fn decode_meta_or_data(stream: &Stream, agreed: Agreed) -> Vec<Captured> {
    if stream.meta
        && stream
            .lines
            .first()
            .is_some_and(|line| line.name != "P_INITIAL_META")
    {
        let mut rest = &stream.bytes[..];
        let codec = Codec::new(agreed);
        return std::iter::from_fn(|| {
            let captured = decode_one(&codec, true, rest)?;
            rest = &rest[captured.bytes.len()..];
            Some(captured)
        })
        .collect();
    }
    decode(stream, agreed)
}

#[test]
fn every_stream_falls_into_the_packets_of_its_timeline() {
    for (set, stream, packets) in everything() {
        let at = format!("{set} c{} from {}", stream.connection, stream.sender);
        let complete = stream
            .lines
            .iter()
            .filter(|line| line.offset + line.header + line.length <= stream.bytes.len());
        let mut offset = 0;
        let mut seen = packets.iter();
        for line in complete {
            let captured = seen
                .next()
                .unwrap_or_else(|| panic!("{at}: no {}", line.name));
            let header = captured.header;
            assert_eq!(
                (
                    offset,
                    header.command.name(),
                    header.volume.0,
                    captured.agreed.header_size(),
                    header.length as usize
                ),
                (
                    line.offset,
                    &*line.name,
                    line.volume,
                    line.header,
                    line.length
                ),
                "{at}"
            );
            offset += captured.bytes.len() + captured.payload.len();
        }
        assert_eq!(seen.count(), 0, "{at}: more packets than in the timeline");
    }
}

/// Which bytes of a packet are garbage, counted from its header (spec 50 section 6.2): the pad
/// words of 8.4's requests and block descriptions.
fn garbage(command: Command) -> std::ops::Range<usize> {
    match command {
        Command::DataRequest
        | Command::RsDataRequest
        | Command::RsThinRequest
        | Command::OvRequest
        | Command::OvReply
        | Command::CsumRsRequest => 20..24,
        Command::OutOfSync | Command::RsDeallocated => 12..16,
        _ => 0..0,
    }
}

#[test]
fn every_packet_encodes_to_the_bytes_it_was_decoded_from() {
    let mut count = 0;
    for (set, _, packets) in everything() {
        for mut captured in packets {
            let mut bytes = Vec::new();
            let payload = Codec::new(captured.agreed)
                .encode(&captured.packet, &captured.digest, &mut bytes)
                .unwrap();
            assert_eq!(payload.0 as usize, captured.payload.len());
            let header = captured.agreed.header_size();
            let pad = garbage(captured.header.command);
            captured.bytes[header + pad.start..header + pad.end].fill(0);
            assert_eq!(bytes, captured.bytes, "{set}: {:?}", captured.packet);
            count += 1;
        }
    }
    assert!(count > 1300, "only {count} packets");
}

#[test]
fn digests_in_front_of_payloads_are_those_of_the_payload() {
    let mut count = 0;
    for (_, _, packets) in everything() {
        for captured in packets
            .iter()
            .filter(|captured| captured.digest != Digest::EMPTY)
        {
            let crc = crc32c::crc32c(&captured.payload).to_le_bytes();
            assert_eq!(captured.digest.as_bytes(), crc);
            count += 1;
        }
    }
    assert!(count >= 5, "only {count} digests");
}

#[test]
fn every_state_word_and_request_names_known_states() {
    for (set, _, packets) in everything() {
        for captured in packets {
            match captured.packet.body {
                Body::State(word) => assert!(word.unpack().is_some(), "{set}: {word:?}"),
                Body::StateChgReq(change) | Body::ConnStateChgReq(change) => {
                    assert!(change.unpack().is_some(), "{set}: {change:?}");
                }
                Body::StateChgReply(code) | Body::ConnStateChgReply(code) => {
                    assert!(code.outcome().is_some(), "{set}: {code:?}");
                }
                _ => {}
            }
        }
    }
}

struct Words(Vec<u64>);

impl BitSink for Words {
    fn set_bits(&mut self, range: std::ops::Range<drbd_types::BitNr>) {
        for bit in range.start.0..range.end.0 {
            self.0[bit as usize / 64] |= 1 << (bit % 64);
        }
    }
    fn merge_words(&mut self, first: u64, words: &[u64]) {
        for (own, peer) in self.0[first as usize..].iter_mut().zip(words) {
            *own |= peer;
        }
    }
}

/// The bitmap packets of a stream, one group per transfer: other packets stand between them.
fn transfers(packets: &[Captured]) -> Vec<(u64, Agreed, Vec<&Body>)> {
    let mut transfers: Vec<(u64, Agreed, Vec<&Body>)> = Vec::new();
    let mut device_bits = 0;
    let mut continues = false;
    for captured in packets {
        let body = &captured.packet.body;
        if let Body::Sizes(sizes) = body {
            // A resize announces the new size as the user's wish, with current size 0.
            let size = [sizes.current, sizes.user, sizes.disk]
                .into_iter()
                .find(|size| size.0 != 0);
            device_bits = size.map_or(0, |size| size.bits());
        }
        let is_bitmap = matches!(body, Body::Bitmap(_) | Body::CompressedBitmap(_));
        match transfers.last_mut() {
            Some((.., bodies)) if is_bitmap && continues => bodies.push(body),
            _ if is_bitmap => transfers.push((device_bits, captured.agreed, vec![body])),
            _ => {}
        }
        continues = is_bitmap;
    }
    transfers
}

/// The kernel's bitmaps decode, and our encoder makes the kernel's packets out of the same bits.
#[test]
fn every_bitmap_transfer_is_reproduced_packet_by_packet() {
    let mut count = 0;
    for (set, _, packets) in everything().filter(|(set, ..)| set != "multivol") {
        let use_rle = match set.contains("plain") {
            true => UseRle::No,
            false => UseRle::Yes,
        };
        for (bits, agreed, bodies) in transfers(&packets) {
            let mut words = Words(vec![0; bits.div_ceil(64) as usize]);
            let mut receiver = BitmapReceiver::new(bits, agreed);
            let mut progress = Progress::More;
            for body in &bodies {
                progress = match body {
                    Body::Bitmap(plain) => receiver.plain(plain, &mut words),
                    Body::CompressedBitmap(code) => receiver.compressed(code, &mut words),
                    other => panic!("{other:?}"),
                }
                .unwrap();
            }
            assert_eq!(progress, Progress::Complete, "{set}");
            let mut sender = BitmapSender::new(bits, agreed, use_rle);
            let sent: Vec<_> = sender.packets(&words.0[..]).collect();
            assert_eq!(sent.iter().collect::<Vec<_>>(), bodies, "{set}");
            assert_eq!(
                sender.stats().log_line(Direction::Send).is_some(),
                receiver.stats().log_line(Direction::Receive).is_some()
            );
            count += 1;
        }
    }
    assert!(count >= 20, "only {count} transfers");
}

#[test]
fn forced_versions_agree_on_what_their_set_is_named_after() {
    for set in set::names() {
        let agreed = agreement(&set::load(&set));
        let expected = match set.as_str() {
            "bigplain86" => 86,
            name => name
                .strip_prefix('p')
                .and_then(|n| n.parse().ok())
                .unwrap_or(101),
        };
        assert_eq!(agreed.version.0, expected, "{set}");
        if set == "trimonly" {
            assert_eq!(agreed.features, Features::TRIM);
        }
    }
}
