//! Incoming bytes of one socket, cut into packets.
//!
//! Small packets are read in batches into a window; the payload of a large one is received
//! straight into the page-aligned buffer from which it is later written to disk. While the kernel
//! fills a piece of memory, that memory is not here: the intake cannot touch it by construction.

use std::ops::Range;

use drbd_core::input::Payload as _;
use drbd_wire::{Codec, DecodeError, Digest, Header, Packet, Socket};

use super::uring::Amount;
use crate::buffer::{Buffer, Pool};

/// Bytes read at once when packets are small.
const WINDOW_BYTES: usize = 64 << 10;
/// After a payload of this size the next read takes only a header, so that the following payload
/// needs no copy either.
const LARGE_PAYLOAD: usize = 16 << 10;

/// The receiving half of one socket.
pub struct Intake {
    socket: Socket,
    codec: Codec,
    pool: Pool,
    window: Window,
    awaiting: Awaiting,
    /// How many bytes the next read into the window may take.
    reach: usize,
    /// Whether the kernel has a piece of our memory.
    lent: bool,
}

/// Received bytes that have not been looked at.
struct Window {
    /// `None` while the kernel fills it.
    memory: Option<Buffer>,
    held: Range<usize>,
}

/// Where in a packet the next byte belongs.
#[allow(
    clippy::large_enum_variant,
    reason = "there is one of it, and it must not allocate"
)]
enum Awaiting {
    Header,
    Body(Header),
    Payload {
        packet: Packet,
        digest: Digest,
        /// `None` while the kernel fills it, and before there is memory for it.
        memory: Option<Buffer>,
        have: usize,
        size: usize,
    },
}

/// A packet that is complete.
#[derive(Debug)]
pub struct Arrival {
    /// Header and fixed part.
    pub packet: Packet,
    /// The data that followed.
    pub payload: Option<Buffer>,
    /// The digest in front of it, where data-integrity-alg is used.
    pub digest: Digest,
}

/// What the intake can do next.
#[derive(Debug)]
pub enum Step {
    /// A packet arrived.
    Arrived(Arrival),
    /// More bytes are needed: receive them as [`Intake::request`] says.
    Starved,
    /// The pool has no memory for a payload now.
    OutOfMemory,
}

/// A piece of memory for the kernel to fill.
pub struct Request {
    /// Memory that nobody shares.
    pub buffer: Buffer,
    /// Which part of it.
    pub range: Range<usize>,
    /// Whether all of it is needed before there is anything to do.
    pub amount: Amount,
}

impl Intake {
    /// An intake for a socket on which nothing was read yet; `None` without memory.
    pub fn new(socket: Socket, codec: Codec, pool: Pool) -> Option<Self> {
        let window = pool.allocate(WINDOW_BYTES)?;
        Some(Self {
            socket,
            codec,
            pool,
            window: Window {
                memory: Some(window),
                held: 0..0,
            },
            awaiting: Awaiting::Header,
            reach: WINDOW_BYTES,
            lent: false,
        })
    }

    /// The next packet from the bytes at hand.
    pub fn step(&mut self) -> Result<Step, DecodeError> {
        if self.lent {
            return Ok(Step::Starved);
        }
        loop {
            match &mut self.awaiting {
                Awaiting::Header => {
                    let Some(bytes) = self.window.take(self.codec.header_size()) else {
                        return Ok(Step::Starved);
                    };
                    let header = self.codec.decode_header(self.socket, bytes)?;
                    self.awaiting = Awaiting::Body(header);
                }
                Awaiting::Body(header) => {
                    let Some(bytes) = self.window.take(self.codec.body_size(header)) else {
                        return Ok(Step::Starved);
                    };
                    let (packet, digest) = self.codec.decode_body(header, bytes)?;
                    let size = packet.body.payload_size().0 as usize;
                    if size == 0 {
                        self.awaiting = Awaiting::Header;
                        return Ok(Step::Arrived(Arrival {
                            packet,
                            payload: None,
                            digest,
                        }));
                    }
                    self.awaiting = Awaiting::Payload {
                        packet,
                        digest,
                        memory: None,
                        have: 0,
                        size,
                    };
                }
                Awaiting::Payload { .. } => return Ok(self.payload_step()),
            }
        }
    }

    fn payload_step(&mut self) -> Step {
        let Awaiting::Payload {
            memory, have, size, ..
        } = &mut self.awaiting
        else {
            return Step::Starved;
        };
        if memory.is_none() {
            *memory = self.pool.allocate(*size);
            if memory.is_none() {
                return Step::OutOfMemory;
            }
        }
        let Some(buffer) = memory else {
            return Step::Starved;
        };
        if *have < *size {
            let part = self.window.take_up_to(*size - *have);
            let to = buffer
                .unique_mut()
                .expect("nobody else has seen this buffer yet");
            to[*have..*have + part.len()].copy_from_slice(part);
            *have += part.len();
        }
        if *have < *size {
            return Step::Starved;
        }
        self.reach = match *size >= LARGE_PAYLOAD {
            true => 0,
            false => WINDOW_BYTES,
        };
        let done = std::mem::replace(&mut self.awaiting, Awaiting::Header);
        match done {
            Awaiting::Payload {
                packet,
                digest,
                memory,
                ..
            } => Step::Arrived(Arrival {
                packet,
                payload: memory,
                digest,
            }),
            Awaiting::Header | Awaiting::Body(_) => Step::Starved,
        }
    }

    /// What to receive next, after [`Step::Starved`]; `None` until [`Self::received`] is called
    /// for the last request.
    pub fn request(&mut self) -> Option<Request> {
        if self.lent {
            return None;
        }
        if let Awaiting::Payload {
            memory, have, size, ..
        } = &mut self.awaiting
        {
            let buffer = memory.take()?;
            self.lent = true;
            return Some(Request {
                buffer,
                range: *have..*size,
                amount: Amount::All,
            });
        }
        let missing = match &self.awaiting {
            Awaiting::Header => self.codec.header_size() + DATA_HEADER_BYTES,
            Awaiting::Body(header) => self.codec.body_size(header),
            Awaiting::Payload { .. } => 0,
        };
        let mut memory = self.window.memory.take()?;
        self.lent = true;
        self.window.make_room(&mut memory);
        let start = self.window.held.end;
        let end = (start + self.reach.max(missing)).min(memory.len());
        Some(Request {
            buffer: memory,
            range: start..end,
            amount: Amount::Some,
        })
    }

    /// Forgets everything that has arrived; the packets behind it make no sense any more.
    pub fn clear(&mut self) {
        if self.lent {
            return;
        }
        self.window.held = 0..0;
        self.awaiting = Awaiting::Header;
        self.reach = WINDOW_BYTES;
    }

    /// The kernel gave the memory back with so many more bytes in it.
    pub fn received(&mut self, buffer: Buffer, bytes: usize) {
        self.lent = false;
        if let Awaiting::Payload { memory, have, .. } = &mut self.awaiting
            && self.window.memory.is_some()
        {
            *memory = Some(buffer);
            *have += bytes;
            return;
        }
        self.window.memory = Some(buffer);
        self.window.held.end += bytes;
    }
}

/// Structure of the packets that carry data, and some room for a digest.
const DATA_HEADER_BYTES: usize = 24;

impl Window {
    /// The next so many bytes, if they are all there.
    fn take(&mut self, count: usize) -> Option<&[u8]> {
        let memory = self.memory.as_ref()?;
        let bytes = memory[self.held.clone()].get(..count)?;
        self.held.start += count;
        Some(bytes)
    }

    /// As many of the next bytes as are there.
    fn take_up_to(&mut self, count: usize) -> &[u8] {
        let count = count.min(self.held.len());
        self.take(count).unwrap_or(&[])
    }

    /// Moves what is held to the front.
    fn make_room(&mut self, memory: &mut Buffer) {
        if self.held.start == 0 {
            return;
        }
        let bytes = memory
            .unique_mut()
            .expect("payloads are copied out of the window");
        bytes.copy_within(self.held.clone(), 0);
        self.held = 0..self.held.len();
    }
}

impl Arrival {
    /// Bytes of data that came with the packet.
    pub fn payload_size(&self) -> u32 {
        self.payload.as_ref().map_or(0, |p| p.size())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drbd_types::{ByteCount, Sector, VolumeNr};
    use drbd_wire::{
        Agreed, BlockId, Body, ByteLen, DataFlags, DataHeader, Features, ProtocolVersion, SeqNum,
    };
    use proptest::prelude::*;

    fn codec() -> Codec {
        Codec::new(Agreed {
            version: ProtocolVersion::NEWEST,
            features: Features::empty(),
        })
    }

    fn data(n: u8, size: usize) -> (Packet, Vec<u8>) {
        let body = match size {
            0 => Body::UnplugRemote,
            _ => Body::Data(DataHeader {
                sector: Sector(u64::from(n)),
                block_id: BlockId(u64::from(n)),
                seq: SeqNum(u32::from(n)),
                flags: DataFlags::empty(),
                size: ByteLen(size as u32),
            }),
        };
        let packet = Packet {
            volume: VolumeNr(0),
            body,
        };
        (packet, vec![n; size])
    }

    proptest! {
        #[test]
        fn packets_come_out_as_they_went_in_however_the_stream_is_cut(
            sizes in proptest::collection::vec(
                prop_oneof![Just(0usize), Just(512), Just(4096), Just(65536), Just(131_072)], 1..12),
            cuts in proptest::collection::vec(1usize..100_000, 1..40),
        ) {
            let pool = Pool::new(ByteCount(8 << 20));
            let packets: Vec<_> = sizes.iter().zip(0u8..).map(|(s, n)| data(n, *s)).collect();
            let mut stream = Vec::new();
            for (packet, payload) in &packets {
                codec().encode(packet, &Digest::EMPTY, &mut stream).unwrap();
                stream.extend_from_slice(payload);
            }
            let mut intake = Intake::new(Socket::Data, codec(), pool.clone()).unwrap();
            let mut rest = &stream[..];
            let mut cuts = cuts.into_iter().cycle();
            let mut arrived = Vec::new();
            while arrived.len() < packets.len() {
                match intake.step().unwrap() {
                    Step::Arrived(a) => arrived.push(a),
                    Step::OutOfMemory => prop_assert!(false, "memory suffices"),
                    Step::Starved => {
                        let mut request = intake.request().unwrap();
                        prop_assert!(!request.range.is_empty());
                        let count = request.range.len().min(rest.len()).min(cuts.next().unwrap());
                        let start = request.range.start;
                        let to = request.buffer.unique_mut().unwrap();
                        to[start..start + count].copy_from_slice(&rest[..count]);
                        rest = &rest[count..];
                        intake.received(request.buffer, count);
                    }
                }
            }
            for (arrival, (packet, payload)) in arrived.iter().zip(&packets) {
                prop_assert_eq!(&arrival.packet, packet);
                prop_assert_eq!(arrival.payload.as_deref().unwrap_or(&[]), &payload[..]);
            }
        }

        #[test]
        fn hostile_bytes_are_an_error_or_a_wait_but_never_a_panic(bytes: Vec<u8>) {
            let pool = Pool::new(ByteCount(4 << 20));
            let mut intake = Intake::new(Socket::Meta, codec(), pool).unwrap();
            let mut request = intake.request().unwrap();
            let count = bytes.len().min(request.range.len());
            request.buffer.unique_mut().unwrap()[..count].copy_from_slice(&bytes[..count]);
            intake.received(request.buffer, count);
            while let Ok(Step::Arrived(_)) = intake.step() {}
        }
    }

    #[test]
    fn the_rest_of_a_large_payload_is_received_in_place() {
        let pool = Pool::new(ByteCount(8 << 20));
        let mut intake = Intake::new(Socket::Data, codec(), pool).unwrap();
        let (packet, payload) = data(3, 1 << 20);
        let mut head = Vec::new();
        codec().encode(&packet, &Digest::EMPTY, &mut head).unwrap();
        let mut first = intake.request().unwrap();
        first.buffer.unique_mut().unwrap()[..head.len()].copy_from_slice(&head);
        intake.received(first.buffer, head.len());
        assert!(matches!(intake.step(), Ok(Step::Starved)));
        let mut rest = intake.request().unwrap();
        assert_eq!((rest.range.clone(), rest.amount), (0..1 << 20, Amount::All));
        rest.buffer.unique_mut().unwrap().copy_from_slice(&payload);
        let address = rest.buffer.start();
        intake.received(rest.buffer, payload.len());
        let Ok(Step::Arrived(arrival)) = intake.step() else {
            panic!("the packet is complete");
        };
        assert_eq!(arrival.payload.unwrap().start(), address);
        // Then only a header is asked for, so that the next payload is in place from its first byte.
        assert!(matches!(intake.step(), Ok(Step::Starved)));
        assert_eq!(intake.request().unwrap().range, 0..40);
    }
}
