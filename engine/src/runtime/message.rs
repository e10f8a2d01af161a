//! Outgoing packets gathered into one message: heads in one piece of memory, payloads by handle.

use std::collections::VecDeque;
use std::ops::Range;

use crate::buffer::Buffer;

/// Most pieces that one `sendmsg` gathers (UIO_MAXIOV); the rest goes with the next one.
const MAX_PIECES: usize = 1024;

/// Packets on their way to one socket, in order.
#[derive(Default, Debug)]
pub struct Message {
    heads: Vec<u8>,
    pieces: VecDeque<Piece>,
    /// Stream positions at which the packets end.
    ends: VecDeque<u64>,
    queued: u64,
    sent: u64,
}

#[derive(Debug)]
enum Piece {
    Head(Range<usize>),
    Payload(Buffer, usize),
}

impl Message {
    /// Appends a packet: `encode` appends its head to the given bytes. If it cannot, nothing is
    /// sent of the packet.
    pub fn push<E>(
        &mut self,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
        payload: Option<Buffer>,
    ) -> Result<(), E> {
        let start = self.heads.len();
        if let Err(error) = encode(&mut self.heads) {
            self.heads.truncate(start);
            return Err(error);
        }
        let end = self.heads.len();
        self.queued += (end - start) as u64;
        // Neighbouring heads become one piece.
        match self.pieces.back_mut() {
            Some(Piece::Head(last)) => last.end = end,
            _ => self.pieces.push_back(Piece::Head(start..end)),
        }
        if let Some(payload) = payload.filter(|p| !p.is_empty()) {
            self.queued += payload.len() as u64;
            self.pieces.push_back(Piece::Payload(payload, 0));
        }
        self.ends.push_back(self.queued);
        Ok(())
    }

    /// Whether there is nothing left to send.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The bytes to be sent next, in order: not more pieces than one system call takes.
    pub fn unsent(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces
            .iter()
            .take(MAX_PIECES)
            .map(|piece| match piece {
                Piece::Head(range) => &self.heads[range.clone()],
                Piece::Payload(buffer, from) => &buffer[*from..],
            })
    }

    /// Notes that so many bytes went out; returns how many packets that completed.
    pub fn advance(&mut self, bytes: u64) -> u32 {
        self.sent += bytes;
        let mut rest = usize::try_from(bytes).unwrap_or(usize::MAX);
        while rest > 0 {
            let Some(piece) = self.pieces.front_mut() else {
                break;
            };
            let length = match piece {
                Piece::Head(range) => range.len(),
                Piece::Payload(buffer, from) => buffer.len() - *from,
            };
            if length <= rest {
                rest -= length;
                self.pieces.pop_front();
                continue;
            }
            match piece {
                Piece::Head(range) => range.start += rest,
                Piece::Payload(_, from) => *from += rest,
            }
            rest = 0;
        }
        let mut packets = 0;
        while self.ends.front().is_some_and(|end| *end <= self.sent) {
            self.ends.pop_front();
            packets += 1;
        }
        if self.pieces.is_empty() {
            self.heads.clear();
            (self.queued, self.sent) = (0, 0);
        }
        packets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::Pool;
    use drbd_types::ByteCount;
    use proptest::prelude::*;

    fn payload(pool: &Pool, byte: u8, length: usize) -> Option<Buffer> {
        let mut buffer = pool.allocate(length)?;
        buffer.unique_mut()?.fill(byte);
        Some(buffer)
    }

    proptest! {
        #[test]
        fn any_split_of_the_stream_sends_every_byte_once_and_counts_every_packet(
            packets in proptest::collection::vec((1usize..40, 0usize..5000), 1..20),
            steps in proptest::collection::vec(1u64..6000, 1..60),
        ) {
            let pool = Pool::new(ByteCount(1 << 20));
            let mut message = Message::default();
            let mut expected = Vec::new();
            for (n, (head, body)) in packets.iter().enumerate() {
                let n = n as u8;
                let encode = |heads: &mut Vec<u8>| {
                    heads.extend(std::iter::repeat_n(n, *head));
                    Ok::<(), ()>(())
                };
                message.push(encode, payload(&pool, n ^ 0xff, *body)).unwrap();
                expected.extend(std::iter::repeat_n(n, *head));
                expected.extend(std::iter::repeat_n(n ^ 0xff, *body));
            }
            let (mut stream, mut completed) = (Vec::new(), 0);
            for step in steps.into_iter().cycle() {
                let bytes: Vec<u8> = message.unsent().flatten().copied().collect();
                if bytes.is_empty() {
                    break;
                }
                let now = bytes.len().min(step as usize);
                stream.extend_from_slice(&bytes[..now]);
                completed += message.advance(now as u64);
            }
            prop_assert_eq!(stream, expected);
            prop_assert_eq!(completed as usize, packets.len());
            prop_assert!(message.is_empty());
            prop_assert_eq!(pool.in_use(), ByteCount(0));
        }
    }
}
