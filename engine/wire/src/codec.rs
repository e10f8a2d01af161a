//! Packets to bytes and back under one agreement.

use alloc::string::String;
use alloc::vec::Vec;

use crate::error::{DecodeError, EncodeError};
use crate::fields::{Field, Reader};
use crate::header::{Header, RawHeader};
use crate::packet::{Body, CompressedBitmap, Packet};
use crate::params::{ProtocolParams, QueueLimits, ReportSizes, SyncController, SyncParam};
use crate::table::{Command, Place, Socket, Tail};
use crate::units::{AlgName, ByteLen, Digest};
use crate::version::Agreed;
use crate::wire;

/// Encodes and decodes the packets of one connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Codec {
    /// Decides headers and layouts.
    pub agreed: Agreed,
    /// Bytes of the digest in front of every received data payload: the digest size of the
    /// peer's data-integrity-alg, 0 without one.
    pub peer_digest: ByteLen,
}

/// No version has larger payloads (spec 50 section 1).
const MAX_PAYLOAD: u32 = 1 << 20;

impl Codec {
    /// For the packets before anything is agreed.
    pub const HANDSHAKE: Self = Self::new(Agreed::HANDSHAKE);

    /// A codec for connections without data-integrity-alg.
    pub const fn new(agreed: Agreed) -> Self {
        Self {
            agreed,
            peer_digest: ByteLen(0),
        }
    }

    /// Bytes to read before [`Self::decode_header`].
    pub const fn header_size(&self) -> usize {
        self.agreed.header_size()
    }

    /// Appends everything of the packet but its payload, and says how many payload bytes have
    /// to follow; after an error nothing was appended. `digest` stands in front of the payload of
    /// packets that have one; pass [`Digest::EMPTY`] without data-integrity-alg.
    pub fn encode(
        &self,
        packet: &Packet,
        digest: &Digest,
        out: &mut Vec<u8>,
    ) -> Result<ByteLen, EncodeError> {
        let command = packet.body.command(self.agreed.version);
        if !command.is_agreed(self.agreed) {
            return Err(EncodeError::NotAgreed {
                command,
                version: self.agreed.version,
            });
        }
        let start = out.len();
        out.resize(start + self.header_size(), 0);
        self.put_body(&packet.body, out);
        if command.row().tail == Tail::Data {
            out.extend_from_slice(digest.as_bytes());
        }
        let payload = packet.body.payload_size();
        let body = out.len() - start - self.header_size();
        let length = body as u64 + u64::from(payload.0);
        let fitting = u32::try_from(length).ok().and_then(|length| {
            let form = self.agreed.header_form(length);
            (length <= form.max_length()).then_some((form, length))
        });
        let Some((form, length)) = fitting else {
            out.truncate(start);
            return Err(EncodeError::TooLong { command, length });
        };
        let header = RawHeader {
            volume: packet.volume,
            code: command.code(),
            length,
        };
        header.write(form, &mut out[start..]);
        Ok(payload)
    }

    /// Reads and checks a header on an established connection.
    pub fn decode_header(&self, socket: Socket, bytes: &[u8]) -> Result<Header, DecodeError> {
        let raw = RawHeader::decode(self.agreed, bytes)?;
        match Command::from_code(raw.code) {
            Some(command) if command.belongs_on(socket) => self.check(socket, command, raw),
            _ => Err(DecodeError::UnexpectedCommand {
                socket,
                code: raw.code,
            }),
        }
    }

    /// As [`Self::decode_header`], for the packets that only the establishment knows.
    pub fn decode_establishing(&self, bytes: &[u8]) -> Result<Header, DecodeError> {
        let raw = RawHeader::decode(self.agreed, bytes)?;
        match Command::from_code(raw.code) {
            Some(command) if command.row().place == Place::Establishing => {
                self.check(Socket::Data, command, raw)
            }
            _ => Err(DecodeError::UnexpectedCommand {
                socket: Socket::Data,
                code: raw.code,
            }),
        }
    }

    fn check(
        &self,
        socket: Socket,
        command: Command,
        raw: RawHeader,
    ) -> Result<Header, DecodeError> {
        let length = raw.length;
        let fixed = command.fixed_size(self.agreed);
        let header = Header {
            volume: raw.volume,
            command,
            length,
        };
        if command == Command::CompressedBitmap && length < 2 {
            return Err(DecodeError::BitmapTooSmall { length });
        }
        let Some(tail) = (length as usize).checked_sub(fixed) else {
            return Err(match socket {
                Socket::Data => DecodeError::UnexpectedSize {
                    command,
                    expected: fixed,
                    received: length,
                },
                Socket::Meta => DecodeError::WrongMetaSize { command, length },
            });
        };
        match command.row().tail {
            Tail::Data => self.check_payload(header)?,
            Tail::None if tail > 0 => return Err(too_long_without_tail(socket, header, fixed)),
            _ if tail > command.tail_limit(self.agreed) => {
                return Err(DecodeError::TooLong {
                    command,
                    limit: fixed + command.tail_limit(self.agreed),
                    received: length,
                });
            }
            _ => {}
        }
        Ok(header)
    }

    fn check_payload(&self, header: Header) -> Result<(), DecodeError> {
        let command = header.command;
        let before = self.data_offset(command);
        let Some(size) = header.length.checked_sub(before as u32) else {
            return Err(DecodeError::UnexpectedSize {
                command,
                expected: before,
                received: header.length,
            });
        };
        if size > MAX_PAYLOAD || !size.is_multiple_of(512) {
            return Err(DecodeError::BadPayload { command, size });
        }
        Ok(())
    }

    /// Bytes between the header and the payload of a packet that has one.
    fn data_offset(&self, command: Command) -> usize {
        command.fixed_size(self.agreed) + self.peer_digest.0 as usize
    }

    /// Bytes to read before [`Self::decode_body`]: everything but the payload.
    pub fn body_size(&self, header: &Header) -> usize {
        match header.command.row().tail {
            Tail::Data => self.data_offset(header.command),
            _ => header.length as usize,
        }
    }

    /// Decodes what follows the header; the digest is that of the payload which is still to be
    /// read (empty for packets without).
    pub fn decode_body(
        &self,
        header: &Header,
        bytes: &[u8],
    ) -> Result<(Packet, Digest), DecodeError> {
        let too_short = DecodeError::UnexpectedSize {
            command: header.command,
            expected: self.body_size(header),
            received: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        };
        if bytes.len() != self.body_size(header) {
            return Err(too_short);
        }
        let input = &mut Reader(bytes);
        let body = self.take_body(header, input).ok_or(too_short)?;
        let digest = match header.command.row().tail {
            Tail::Data => Digest::new(input.rest()).ok_or(too_short)?,
            _ => Digest::EMPTY,
        };
        let packet = Packet {
            volume: header.volume,
            body,
        };
        Ok((packet, digest))
    }

    fn put_body(&self, body: &Body, out: &mut Vec<u8>) {
        match body {
            Body::Data(data) => wire::Write::from(data).put(out),
            Body::DataReply(reply) | Body::RsDataReply(reply) => wire::Reply::from(reply).put(out),
            Body::Trim(data) | Body::Zeroes(data) => wire::Range::from(data).put(out),
            Body::WriteSame { range, .. } => wire::Range::from(range).put(out),
            Body::Barrier(barrier) => wire::Barrier { barrier: *barrier }.put(out),
            Body::Bitmap(words) => words
                .iter()
                .for_each(|word| out.extend_from_slice(&word.to_le_bytes())),
            Body::UnplugRemote
            | Body::Ping
            | Body::PingAck
            | Body::InitialData
            | Body::InitialMeta => {}
            Body::DataRequest(block)
            | Body::RsDataRequest(block)
            | Body::RsThinRequest(block)
            | Body::OvRequest(block) => block.put(out),
            Body::OvReply { block, digest } | Body::CsumRsRequest { block, digest } => {
                block.put(out);
                out.extend_from_slice(digest.as_bytes());
            }
            Body::SyncParam(param) => self.put_sync_param(param, out),
            Body::Protocol(params) | Body::ProtocolUpdate(params) => {
                params.codes.put(out);
                if self.agreed.version.0 >= 87 {
                    put_name(&params.integrity_alg, out);
                }
            }
            Body::Uuids(uuids) => uuids.put(out),
            Body::Sizes(sizes) => self.put_sizes(sizes, out),
            Body::State(word) => word.put(out),
            Body::SyncUuid(uuid) => uuid.put(out),
            Body::AuthChallenge(bytes) | Body::AuthResponse(bytes) => out.extend_from_slice(bytes),
            Body::StateChgReq(change) | Body::ConnStateChgReq(change) => change.put(out),
            Body::StateChgReply(code) | Body::ConnStateChgReply(code) => code.put(out),
            Body::RecvAck(ack)
            | Body::WriteAck(ack)
            | Body::RsWriteAck(ack)
            | Body::Superseded(ack)
            | Body::NegAck(ack)
            | Body::NegDReply(ack)
            | Body::NegRsDReply(ack)
            | Body::OvResult(ack)
            | Body::RsIsInSync(ack)
            | Body::RsCancel(ack)
            | Body::RetryWrite(ack) => ack.put(out),
            Body::BarrierAck(ack) => ack.put(out),
            Body::CompressedBitmap(bitmap) => {
                bitmap.encoding.put(out);
                out.extend_from_slice(&bitmap.code);
            }
            Body::DelayProbe(probe) => probe.put(out),
            Body::OutOfSync(block) | Body::RsDeallocated(block) => block.put(out),
            Body::ConnectionFeatures(features) => features.put(out),
        }
    }

    fn put_sync_param(&self, param: &SyncParam, out: &mut Vec<u8>) {
        param.rate.put(out);
        match self.agreed.version.0 {
            ..88 => {}
            88 => put_name(&param.verify_alg, out),
            89.. => {
                put_name_field(&param.verify_alg, out);
                put_name_field(&param.csums_alg, out);
            }
        }
        if self.agreed.version.0 >= 95 {
            param.controller.unwrap_or(SyncController::DEFAULT).put(out);
        }
    }

    fn put_sizes(&self, sizes: &ReportSizes, out: &mut Vec<u8>) {
        wire::sizes_head(sizes).put(out);
        if self.has_queue_limits() {
            sizes.limits.unwrap_or(QueueLimits::PLAIN).put(out);
        }
    }

    fn has_queue_limits(&self) -> bool {
        self.agreed
            .features
            .contains(crate::version::Features::WRITE_SAME)
    }

    /// `None` if the input is too short.
    fn take_body(&self, header: &Header, input: &mut Reader<'_>) -> Option<Body> {
        let version = self.agreed.version.0;
        Some(match header.command {
            Command::SyncParam => Body::SyncParam(SyncParam {
                rate: u32::take(input)?,
                verify_alg: name_since(88, version, input),
                csums_alg: AlgName::NONE,
                controller: None,
            }),
            Command::SyncParam89 => Body::SyncParam(SyncParam {
                rate: u32::take(input)?,
                verify_alg: take_name(&input.array::<{ AlgName::FIELD }>()?),
                csums_alg: take_name(&input.array::<{ AlgName::FIELD }>()?),
                controller: SyncController::take(input),
            }),
            Command::Protocol => Body::Protocol(ProtocolParams {
                codes: Field::take(input)?,
                integrity_alg: name_since(87, version, input),
            }),
            Command::ProtocolUpdate => Body::ProtocolUpdate(ProtocolParams {
                codes: Field::take(input)?,
                integrity_alg: name_since(87, version, input),
            }),
            _ => return self.take_plain(header, input),
        })
    }

    /// The packets without names in them; `None` if the input is too short.
    fn take_plain(&self, header: &Header, input: &mut Reader<'_>) -> Option<Body> {
        let payload = || {
            ByteLen(
                header
                    .length
                    .saturating_sub(self.data_offset(header.command) as u32),
            )
        };
        Some(match header.command {
            Command::Data => Body::Data(wire::Write::take(input)?.header(payload())),
            Command::DataReply => Body::DataReply(wire::Reply::take(input)?.header(payload())),
            Command::RsDataReply => Body::RsDataReply(wire::Reply::take(input)?.header(payload())),
            Command::Barrier => Body::Barrier(wire::Barrier::take(input)?.barrier),
            Command::Bitmap => Body::Bitmap(take_words(input.rest())?),
            Command::UnplugRemote => Body::UnplugRemote,
            Command::DataRequest => Body::DataRequest(Field::take(input)?),
            Command::RsDataRequest => Body::RsDataRequest(Field::take(input)?),
            Command::Uuids => Body::Uuids(Field::take(input)?),
            Command::Sizes => Body::Sizes(wire::take_sizes(input, self.has_queue_limits())?),
            Command::State => Body::State(Field::take(input)?),
            Command::SyncUuid => Body::SyncUuid(Field::take(input)?),
            Command::AuthChallenge => Body::AuthChallenge(input.rest().into()),
            Command::AuthResponse => Body::AuthResponse(input.rest().into()),
            Command::StateChgReq => Body::StateChgReq(Field::take(input)?),
            Command::Ping => Body::Ping,
            Command::PingAck => Body::PingAck,
            Command::RecvAck => Body::RecvAck(Field::take(input)?),
            Command::WriteAck => Body::WriteAck(Field::take(input)?),
            Command::RsWriteAck => Body::RsWriteAck(Field::take(input)?),
            Command::Superseded => Body::Superseded(Field::take(input)?),
            Command::NegAck => Body::NegAck(Field::take(input)?),
            Command::NegDReply => Body::NegDReply(Field::take(input)?),
            Command::NegRsDReply => Body::NegRsDReply(Field::take(input)?),
            Command::BarrierAck => Body::BarrierAck(Field::take(input)?),
            Command::StateChgReply => Body::StateChgReply(Field::take(input)?),
            Command::OvRequest => Body::OvRequest(Field::take(input)?),
            Command::OvReply => Body::OvReply {
                block: Field::take(input)?,
                digest: Digest::new(input.rest())?,
            },
            Command::OvResult => Body::OvResult(Field::take(input)?),
            Command::CsumRsRequest => Body::CsumRsRequest {
                block: Field::take(input)?,
                digest: Digest::new(input.rest())?,
            },
            Command::RsIsInSync => Body::RsIsInSync(Field::take(input)?),
            Command::CompressedBitmap => Body::CompressedBitmap(CompressedBitmap {
                encoding: u8::take(input)?,
                code: input.rest().into(),
            }),
            Command::DelayProbe => Body::DelayProbe(Field::take(input)?),
            Command::OutOfSync => Body::OutOfSync(Field::take(input)?),
            Command::RsCancel => Body::RsCancel(Field::take(input)?),
            Command::ConnStateChgReq => Body::ConnStateChgReq(Field::take(input)?),
            Command::ConnStateChgReply => Body::ConnStateChgReply(Field::take(input)?),
            Command::RetryWrite => Body::RetryWrite(Field::take(input)?),
            Command::Trim => Body::Trim(wire::Range::take(input)?.into()),
            Command::RsThinRequest => Body::RsThinRequest(Field::take(input)?),
            Command::RsDeallocated => Body::RsDeallocated(Field::take(input)?),
            Command::WriteSame => Body::WriteSame {
                range: wire::Range::take(input)?.into(),
                block: payload(),
            },
            Command::Zeroes => Body::Zeroes(wire::Range::take(input)?.into()),
            Command::InitialMeta => Body::InitialMeta,
            Command::InitialData => Body::InitialData,
            Command::ConnectionFeatures => Body::ConnectionFeatures(Field::take(input)?),
            Command::BecomeSyncTarget
            | Command::BecomeSyncSource
            | Command::SyncParam
            | Command::SyncParam89
            | Command::Protocol
            | Command::ProtocolUpdate => return None,
        })
    }
}

/// What the kernel says of extra bytes behind a fixed structure.
fn too_long_without_tail(socket: Socket, header: Header, fixed: usize) -> DecodeError {
    let Header {
        command, length, ..
    } = header;
    match (socket, command) {
        (Socket::Meta, _) => DecodeError::WrongMetaSize { command, length },
        (Socket::Data, Command::SyncParam89) => DecodeError::TooLong {
            command,
            limit: fixed,
            received: length,
        },
        (Socket::Data, _) => DecodeError::NoPayloadExpected { command, length },
    }
}

fn put_name(name: &AlgName, out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_str().as_bytes());
    out.push(0);
}

fn put_name_field(name: &AlgName, out: &mut Vec<u8>) {
    let end = out.len() + AlgName::FIELD;
    out.extend_from_slice(name.as_str().as_bytes());
    out.resize(end, 0);
}

/// The name at the end of a packet, which older versions do not transmit.
fn name_since(first: u32, version: u32, input: &mut Reader<'_>) -> AlgName {
    let bytes = input.rest();
    if version >= first {
        take_name(bytes)
    } else {
        AlgName::NONE
    }
}

/// A name up to its NUL. As in the kernel, a field without NUL loses its last byte, and a missing
/// field means no name: the comparison of the settings then decides, not the decoder. Bytes that
/// no name has become `?`, which equals nothing.
fn take_name(bytes: &[u8]) -> AlgName {
    let room = bytes.len().saturating_sub(1).min(AlgName::FIELD - 1);
    let name: String = bytes
        .iter()
        .take(room)
        .take_while(|&&byte| byte != 0)
        .map(|&byte| {
            if byte.is_ascii() {
                char::from(byte)
            } else {
                '?'
            }
        })
        .collect();
    AlgName::new(&name).unwrap_or_default()
}

/// The bitmap is a stream of little-endian 64-bit words.
fn take_words(bytes: &[u8]) -> Option<Vec<u64>> {
    let (words, rest) = bytes.as_chunks::<8>();
    rest.is_empty()
        .then(|| words.iter().copied().map(u64::from_le_bytes).collect())
}
