//! Properties of the codec: what is encoded decodes to the same, under every agreement; hostile
//! bytes give errors with the kernel's texts, never a panic.

use drbd_types::{Sector, SectorCount, Uuid, UuidFlags, UuidSet, VolumeNr};
use drbd_wire::*;
use proptest::prelude::*;

fn agreements() -> impl Strategy<Value = Agreed> {
    (86u32..=101, 0u32..16).prop_map(|(version, features)| Agreed {
        version: ProtocolVersion(version),
        features: Features::from_bits_retain(features),
    })
}

fn names() -> impl Strategy<Value = AlgName> {
    "[a-z0-9()-]{0,63}".prop_map(|name| AlgName::new(&name).unwrap())
}

fn digests() -> impl Strategy<Value = Digest> {
    prop::collection::vec(any::<u8>(), 0..=64).prop_map(|bytes| Digest::new(&bytes).unwrap())
}

fn payload_sizes() -> impl Strategy<Value = ByteLen> {
    // Up to what one packet of the oldest versions carries.
    (0u32..=64).prop_map(|sectors| ByteLen(sectors * 512))
}

prop_compose! {
    fn writes()(sector: u64, id: u64, seq: u32, flags: u32, size in payload_sizes()) -> DataHeader {
        DataHeader {
            sector: Sector(sector),
            block_id: BlockId(id),
            seq: SeqNum(seq),
            flags: DataFlags::from_bits_retain(flags),
            size,
        }
    }
}

prop_compose! {
    fn replies()(sector: u64, id: u64, size in payload_sizes()) -> ReplyHeader {
        ReplyHeader { sector: Sector(sector), block_id: BlockId(id), size }
    }
}

prop_compose! {
    fn acks()(sector: u64, id: u64, size: u32, seq: u32) -> BlockAck {
        BlockAck {
            sector: Sector(sector),
            block_id: BlockId(id),
            size: ByteLen(size),
            seq: SeqNum(seq),
        }
    }
}

prop_compose! {
    fn requests()(sector: u64, id: u64, size: u32) -> BlockRequest {
        BlockRequest { sector: Sector(sector), block_id: BlockId(id), size: ByteLen(size) }
    }
}

fn descriptions() -> impl Strategy<Value = BlockDesc> {
    (any::<u64>(), any::<u32>()).prop_map(|(sector, size)| BlockDesc {
        sector: Sector(sector),
        size: ByteLen(size),
    })
}

fn changes() -> impl Strategy<Value = StateChange> {
    any::<(u32, u32)>().prop_map(|(mask, value)| StateChange { mask, value })
}

prop_compose! {
    fn protocols()(codes: [u32; 6], integrity_alg in names()) -> ProtocolParams {
        let [protocol, zero, one, two, flags, two_primaries] = codes;
        ProtocolParams {
            codes: ProtocolCodes {
                protocol,
                after_sb_0p: AfterSb(zero),
                after_sb_1p: AfterSb(one),
                after_sb_2p: AfterSb(two),
                conn_flags: ConnFlags::from_bits_retain(flags),
                two_primaries,
            },
            integrity_alg,
        }
    }
}

prop_compose! {
    fn sync_params()(rate: u32, verify_alg in names(), csums_alg in names(), c: [u32; 4]) -> SyncParam {
        SyncParam {
            rate,
            verify_alg,
            csums_alg,
            controller: Some(SyncController {
                plan_ahead: c[0],
                delay_target: c[1],
                fill_target: c[2],
                max_rate: c[3],
            }),
        }
    }
}

prop_compose! {
    fn sizes()(sectors: [u64; 3], max_bio: u32, flags: u16, q: [u32; 5], able: [u8; 3]) -> ReportSizes {
        ReportSizes {
            disk: SectorCount(sectors[0]),
            user: SectorCount(sectors[1]),
            current: SectorCount(sectors[2]),
            max_bio: ByteLen(max_bio),
            flags: SizesFlags::from_bits_retain(flags),
            limits: Some(QueueLimits {
                physical_block_size: q[0],
                logical_block_size: q[1],
                alignment_offset: q[2],
                io_min: q[3],
                io_opt: q[4],
                discard_enabled: able[0],
                discard_zeroes_data: able[1],
                write_same_capable: able[2],
            }),
        }
    }
}

prop_compose! {
    fn uuids()(slots: [u64; 4], bits_set: u64, flags: u64) -> ReportUuids {
        let [current, bitmap, one, two] = slots.map(Uuid);
        ReportUuids {
            uuids: UuidSet { current, bitmap, history: [one, two] },
            bits_set,
            flags: UuidFlags::from_bits_retain(flags),
        }
    }
}

fn data_bodies() -> impl Strategy<Value = Body> {
    prop_oneof![
        writes().prop_map(Body::Data),
        replies().prop_map(Body::DataReply),
        replies().prop_map(Body::RsDataReply),
        writes().prop_map(Body::Trim),
        writes().prop_map(Body::Zeroes),
        (writes(), payload_sizes()).prop_map(|(range, block)| Body::WriteSame { range, block }),
        any::<[u8; 4]>().prop_map(|bytes| Body::Barrier(BarrierId(bytes))),
        prop::collection::vec(any::<u64>(), 0..=510).prop_map(Body::Bitmap),
        (any::<u8>(), prop::collection::vec(any::<u8>(), 1..=4079)).prop_map(|(encoding, code)| {
            Body::CompressedBitmap(CompressedBitmap { encoding, code })
        }),
        requests().prop_map(Body::DataRequest),
        requests().prop_map(Body::RsDataRequest),
        requests().prop_map(Body::RsThinRequest),
        requests().prop_map(Body::OvRequest),
        (requests(), digests()).prop_map(|(block, digest)| Body::OvReply { block, digest }),
        (requests(), digests()).prop_map(|(block, digest)| Body::CsumRsRequest { block, digest }),
        descriptions().prop_map(Body::OutOfSync),
        descriptions().prop_map(Body::RsDeallocated),
    ]
}

fn ack_bodies() -> impl Strategy<Value = Body> {
    let kinds = [
        Body::RecvAck,
        Body::WriteAck,
        Body::RsWriteAck,
        Body::Superseded,
        Body::NegAck,
        Body::NegDReply,
        Body::NegRsDReply,
        Body::OvResult,
        Body::RsIsInSync,
        Body::RsCancel,
        Body::RetryWrite,
    ];
    prop_oneof![
        (acks(), prop::sample::select(kinds.to_vec())).prop_map(|(ack, kind)| kind(ack)),
        any::<([u8; 4], u32)>().prop_map(|(barrier, set_size)| Body::BarrierAck(BarrierAck {
            barrier: BarrierId(barrier),
            set_size,
        })),
    ]
}

fn control_bodies() -> impl Strategy<Value = Body> {
    let empty = [
        Body::UnplugRemote,
        Body::Ping,
        Body::PingAck,
        Body::InitialData,
        Body::InitialMeta,
    ];
    prop_oneof![
        prop::sample::select(empty.to_vec()),
        sync_params().prop_map(Body::SyncParam),
        protocols().prop_map(Body::Protocol),
        protocols().prop_map(Body::ProtocolUpdate),
        uuids().prop_map(Body::Uuids),
        sizes().prop_map(Body::Sizes),
        any::<u32>().prop_map(|word| Body::State(StateWord(word))),
        any::<u64>().prop_map(|uuid| Body::SyncUuid(Uuid(uuid))),
        prop::collection::vec(any::<u8>(), 0..=128).prop_map(Body::AuthChallenge),
        prop::collection::vec(any::<u8>(), 0..=64).prop_map(Body::AuthResponse),
        changes().prop_map(Body::StateChgReq),
        changes().prop_map(Body::ConnStateChgReq),
        any::<i32>().prop_map(|code| Body::StateChgReply(ReplyCode(code))),
        any::<i32>().prop_map(|code| Body::ConnStateChgReply(ReplyCode(code))),
        any::<(u32, u32)>()
            .prop_map(|(seq, offset_us)| Body::DelayProbe(DelayProbe { seq, offset_us })),
        any::<(u32, u32, u32)>().prop_map(|(protocol_min, features, protocol_max)| {
            Body::ConnectionFeatures(ConnectionFeatures {
                protocol_min,
                features: Features::from_bits_retain(features),
                protocol_max,
            })
        }),
    ]
}

fn bodies() -> impl Strategy<Value = Body> {
    prop_oneof![data_bodies(), ack_bodies(), control_bodies()]
}

/// What is left of a body after a version that does not transmit all of it.
fn as_transmitted(mut body: Body, agreed: Agreed) -> Body {
    let version = agreed.version.0;
    match &mut body {
        Body::Protocol(params) if version < 87 => params.integrity_alg = AlgName::NONE,
        Body::SyncParam(param) => {
            if version < 88 {
                param.verify_alg = AlgName::NONE;
            }
            if version < 89 {
                param.csums_alg = AlgName::NONE;
            }
            if version < 95 {
                param.controller = None;
            }
        }
        Body::Sizes(sizes) if !agreed.features.contains(Features::WRITE_SAME) => {
            sizes.limits = None;
        }
        _ => {}
    }
    body
}

fn socket_of(command: Command) -> Socket {
    match command.belongs_on(Socket::Meta) {
        true => Socket::Meta,
        false => Socket::Data,
    }
}

fn decode(codec: &Codec, socket: Socket, bytes: &[u8]) -> Result<(Packet, Digest), DecodeError> {
    let (head, body) = bytes.split_at(codec.header_size());
    let header = codec
        .decode_header(socket, head)
        .or_else(|error| codec.decode_establishing(head).map_err(|_| error))?;
    codec.decode_body(&header, &body[..codec.body_size(&header).min(body.len())])
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_the_same(
        agreed in agreements(),
        volume in any::<u16>(),
        body in bodies(),
        digest in digests(),
    ) {
        let command = body.command(agreed.version);
        let volume = VolumeNr(if agreed.version.0 >= 100 { volume } else { 0 });
        let packet = Packet { volume, body };
        let mut bytes = Vec::new();
        let encoded = Codec::new(agreed).encode(&packet, &digest, &mut bytes);
        prop_assert_eq!(encoded.is_ok(), command.is_agreed(agreed), "{:?}", encoded);
        let Ok(payload) = encoded else { return Ok(()) };
        prop_assert_eq!(payload, packet.body.payload_size());
        let has_payload = command.row().tail == table::Tail::Data;
        let digest = if has_payload { digest } else { Digest::EMPTY };
        let codec = Codec {
            agreed,
            peer_digest: ByteLen(digest.as_bytes().len() as u32),
        };
        let (decoded, decoded_digest) = decode(&codec, socket_of(command), &bytes).unwrap();
        prop_assert_eq!(decoded.body, as_transmitted(packet.body, agreed));
        prop_assert_eq!(decoded.volume, volume);
        prop_assert_eq!(decoded_digest, digest);
    }

    #[test]
    fn hostile_bytes_never_panic_and_never_announce_more_than_a_packet_buffer(
        agreed in agreements(),
        code in prop_oneof![0u16..0x40, 0xfff0u16..=0xffff, any::<u16>()],
        length in prop_oneof![0u32..200, 4000u32..4200, any::<u32>()],
        junk in prop::collection::vec(any::<u8>(), 0..5000),
        digest_size in 0u32..=64,
        meta: bool,
    ) {
        let codec = Codec { agreed, peer_digest: ByteLen(digest_size) };
        let mut head = match codec.header_size() {
            16 => [&0x8620_ec20u32.to_be_bytes()[..], &[0, 0]].concat(),
            _ => 0x835au16.to_be_bytes().to_vec(),
        };
        head.extend_from_slice(&code.to_be_bytes());
        head.extend_from_slice(&length.to_be_bytes());
        head.resize(codec.header_size(), 0);
        let socket = if meta { Socket::Meta } else { Socket::Data };
        for header in [codec.decode_header(socket, &head), codec.decode_establishing(&head)] {
            let Ok(header) = header else { continue };
            let size = codec.body_size(&header);
            prop_assert!(size <= 4096);
            prop_assert!(header.length as usize - size <= 1 << 20);
            let mut body = junk.clone();
            body.resize(size, 0);
            if let Ok((packet, _)) = codec.decode_body(&header, &body) {
                prop_assert_eq!(packet.body.payload_size().0 as usize, header.length as usize - size);
            }
            let _ = codec.decode_body(&header, &junk);
        }
        let _ = RawHeader::decode(agreed, &junk);
    }
}

/// A 16-byte header.
fn h100(code: u16, length: u32) -> Vec<u8> {
    let mut bytes = vec![0x86, 0x20, 0xec, 0x20, 0, 0];
    bytes.extend_from_slice(&code.to_be_bytes());
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes
}

/// Texts of spec 50 sections 3 and 4.2; the names of unknown numbers were asked from a kernel.
#[test]
fn refusals_read_as_in_the_kernels_log() {
    let mut padded = h100(0x0e, 4);
    padded[15] = 1;
    let h80 = [0x83, 0x74, 0x02, 0x67, 0, 0x0e, 0, 4];
    let cases: [(u32, Socket, &[u8], &str); 18] = [
        (
            101,
            Socket::Data,
            &[h80, h80].concat(),
            "Wrong magic value 0x83740267 in protocol version 101",
        ),
        (
            95,
            Socket::Meta,
            &h100(0x13, 0)[..8],
            "Wrong magic value 0x8620ec20 in protocol version 95",
        ),
        (101, Socket::Data, &padded, "Header padding is not zero"),
        (
            101,
            Socket::Data,
            &h100(0x0e, 3),
            "ReportState: unexpected packet size, expected:4 received:3",
        ),
        (
            101,
            Socket::Data,
            &h100(0x0e, 5),
            "No payload expected ReportState l:5",
        ),
        (
            101,
            Socket::Data,
            &h100(0x10, 64),
            "Unexpected data packet AuthChallenge (0x0010)",
        ),
        (
            101,
            Socket::Data,
            &h100(0x13, 0),
            "Unexpected data packet Ping (0x0013)",
        ),
        (
            101,
            Socket::Meta,
            &h100(0x16, 23),
            "Wrong packet size on meta (c: 22, l: 23)",
        ),
        (
            101,
            Socket::Meta,
            &h100(0x03, 8),
            "Unexpected meta packet Barrier (0x0003)",
        ),
        (
            101,
            Socket::Data,
            &h100(0x35, 0),
            "Unexpected data packet (null) (0x0035)",
        ),
        (
            101,
            Socket::Data,
            &h100(0x37, 0),
            "Unexpected data packet Unknown (0x0037)",
        ),
        (
            101,
            Socket::Meta,
            &h100(0x30, 0),
            "Unexpected meta packet (null) (0x0030)",
        ),
        (
            101,
            Socket::Data,
            &h100(0x23, 200),
            "SyncParam packet too long: received 200, expected <= 148 bytes",
        ),
        (
            101,
            Socket::Data,
            &h100(0x0b, 124),
            "error receiving ReportProtocol, e: -5 l: 100!",
        ),
        (
            101,
            Socket::Data,
            &h100(0x24, 4090),
            "ReportCBitmap packet too large",
        ),
        (
            101,
            Socket::Data,
            &h100(0x24, 1),
            "ReportCBitmap packet too small (l:1)",
        ),
        (
            101,
            Socket::Data,
            &h100(0x00, 535),
            "error receiving Data, e: -5 l: 511!",
        ),
        (
            101,
            Socket::Data,
            &h100(0x00, 1_049_112),
            "error receiving Data, e: -5 l: 1049088!",
        ),
    ];
    for (version, socket, bytes, text) in cases {
        let codec = Codec::new(Agreed {
            version: ProtocolVersion(version),
            features: Features::empty(),
        });
        let error = codec.decode_header(socket, bytes).unwrap_err();
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn a_refused_packet_has_the_consequence_that_its_socket_demands() {
    use drbd_types::ConnState;
    let codec = Codec::new(Agreed {
        version: ProtocolVersion(101),
        features: Features::empty(),
    });
    for (socket, bytes, consequence) in [
        (Socket::Data, h100(0x99, 0), ConnState::ProtocolError),
        (Socket::Meta, h100(0x99, 0), ConnState::Disconnecting),
        (Socket::Meta, h100(0x13, 1), ConnState::NetworkFailure),
        (Socket::Meta, vec![0; 16], ConnState::NetworkFailure),
    ] {
        let error = codec.decode_header(socket, &bytes).unwrap_err();
        assert_eq!(error.consequence(socket), consequence, "{error}");
    }
}

/// A kernel to which these were sent compared the names, and did not complain of the packets.
#[test]
fn malformed_names_are_left_to_the_comparison_of_the_settings() {
    let integrity_alg = |tail: &[u8]| {
        let mut packet = h100(0x0b, 24 + tail.len() as u32);
        packet.extend_from_slice(&[0; 24]);
        packet.extend_from_slice(tail);
        let codec = Codec::new(Agreed {
            version: ProtocolVersion(101),
            features: Features::empty(),
        });
        match decode(&codec, Socket::Data, &packet).unwrap().0.body {
            Body::Protocol(params) => params.integrity_alg.as_str().to_owned(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(integrity_alg(b"md5\0"), "md5");
    assert_eq!(integrity_alg(b"xyz"), "xy");
    assert_eq!(integrity_alg(b""), "");
    assert_eq!(integrity_alg(b"\xffoo\0"), "?oo");
    assert_eq!(integrity_alg(&[b'x'; 64]), "x".repeat(63));
}

/// 32768 bytes of data with h80 length 0x8018, as 8.3.9 sends it at version 95 (spec 50 section 3).
#[test]
fn lengths_of_old_headers_are_unsigned() {
    let codec = Codec::new(Agreed {
        version: ProtocolVersion(95),
        features: Features::empty(),
    });
    let head = [0x83, 0x74, 0x02, 0x67, 0x00, 0x00, 0x80, 0x18];
    let header = codec.decode_header(Socket::Data, &head).unwrap();
    let (packet, _) = codec.decode_body(&header, &[0; 24]).unwrap();
    assert_eq!(packet.body.payload_size(), ByteLen(32768));
}

#[test]
fn sequence_numbers_compare_modulo_their_circle() {
    let last = SeqNum(u32::MAX);
    assert_eq!(last.next(), SeqNum(0));
    assert!(last.next().is_after(last));
    assert!(!last.is_after(last.next()));
    assert!(!last.is_after(last));
    assert_eq!(last.latest(SeqNum(3)), SeqNum(3));
}
