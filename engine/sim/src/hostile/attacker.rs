//! What the attacker says: correct answers, plausible ones, and anything.

use drbd_core::input::Payload;
use drbd_core::time::Instant;
use drbd_types::{ConnState, DiskState, Role, Sector, SectorCount, State, Uuid, UuidFlags};
use drbd_wire::{
    AlgName, BarrierAck, BarrierId, BlockAck, BlockDesc, BlockId, BlockRequest, Body, ByteLen,
    CompressedBitmap, DataFlags, DataHeader, Packet, QueueLimits, ReplyCode, ReplyHeader,
    ReportSizes, ReportUuids, SeqNum, SizesFlags, Socket, StateChange, StateWord, SyncController,
    SyncParam,
};

use super::{SIZE, Victim, through_the_codec};
use crate::block::Block;

impl Victim {
    pub(super) fn lie(&mut self) {
        let (socket, body) = self.invent();
        if let Some((socket, body)) = through_the_codec(socket, body, self.random.chance(20)) {
            self.deliver(socket, body);
        }
    }

    fn invent(&mut self) -> (Socket, Body) {
        let (sector, block_id, size) = self.place();
        let size = ByteLen(size);
        let request = BlockRequest {
            sector,
            block_id,
            size,
        };
        let ack = BlockAck {
            sector,
            block_id,
            size,
            seq: SeqNum(self.random.next() as u32),
        };
        let header = DataHeader {
            sector,
            block_id,
            seq: SeqNum(self.random.next() as u32),
            flags: DataFlags::from_bits_truncate(self.random.next() as u32),
            size,
        };
        let reply = ReplyHeader {
            sector,
            block_id,
            size,
        };
        let change = StateChange {
            mask: (self.random.next() & self.random.next()) as u32,
            value: self.random.next() as u32,
        };
        let code = ReplyCode(self.random.between(0, 40) as i32 - 24);
        let meta = [
            Body::Ping,
            Body::PingAck,
            Body::RecvAck(ack),
            Body::WriteAck(ack),
            Body::RsWriteAck(ack),
            Body::Superseded(ack),
            Body::NegAck(ack),
            Body::NegDReply(ack),
            Body::NegRsDReply(ack),
            Body::RsIsInSync(ack),
            Body::RsCancel(ack),
            Body::RetryWrite(ack),
            Body::StateChgReply(code),
            Body::ConnStateChgReply(code),
            Body::BarrierAck(BarrierAck {
                barrier: BarrierId((self.random.below(40) as u32).to_le_bytes()),
                set_size: self.random.below(6) as u32,
            }),
        ];
        if self.random.chance(400) {
            let at = self.random.below(meta.len() as u64) as usize;
            return (Socket::Meta, meta[at].clone());
        }
        let words = self.random.below(300) as usize;
        let code_bytes = self.random.below(60) as usize;
        let data = [
            Body::Data(header),
            Body::Trim(header),
            Body::Zeroes(header),
            Body::DataReply(reply),
            Body::RsDataReply(reply),
            Body::DataRequest(request),
            Body::RsDataRequest(request),
            Body::RsThinRequest(request),
            Body::OutOfSync(BlockDesc { sector, size }),
            Body::RsDeallocated(BlockDesc { sector, size }),
            Body::Barrier(BarrierId((self.random.next() as u32).to_le_bytes())),
            Body::SyncUuid(Uuid(self.random.next())),
            Body::Bitmap((0..words).map(|_| self.random.next()).collect()),
            Body::CompressedBitmap(CompressedBitmap {
                encoding: self.random.next() as u8,
                code: (0..code_bytes).map(|_| self.random.next() as u8).collect(),
            }),
            Body::StateChgReq(change),
            Body::StateChgReq(change),
            Body::ConnStateChgReq(change),
            Body::State(StateWord(self.plausible_state())),
            Body::State(StateWord(self.plausible_state())),
            Body::State(StateWord(self.plausible_state())),
            Body::Uuids(self.plausible_uuids()),
            Body::Sizes(self.plausible_sizes()),
            Body::SyncParam(self.plausible_rates()),
        ];
        let at = self.random.below(data.len() as u64) as usize;
        (Socket::Data, data[at].clone())
    }

    /// Mostly a place that the victim named; at times the edges of everything.
    fn place(&mut self) -> (Sector, BlockId, u32) {
        let named = self.ids.len() as u64;
        if named > 0 && self.random.chance(600) {
            let (sector, id, size) = self.ids[self.random.below(named) as usize];
            let id = if self.random.chance(100) {
                BlockId(id.0 ^ 1 << self.random.below(64))
            } else {
                id
            };
            return (sector, id, size);
        }
        let sectors = [
            0,
            8,
            SIZE.0 - 8,
            SIZE.0,
            u64::MAX,
            u64::MAX - 7,
            self.random.next(),
            self.random.below(SIZE.0),
            self.random.below(SIZE.0 / 8) * 8,
        ];
        let sizes = [
            0,
            1,
            512,
            4096,
            32768,
            1 << 20,
            (1 << 20) + 512,
            u32::MAX,
            4096,
            4096,
        ];
        let sector = sectors[self.random.below(sectors.len() as u64) as usize];
        let size = sizes[self.random.below(sizes.len() as u64) as usize];
        let id = if self.random.chance(500) {
            BlockId::SYNCER
        } else {
            BlockId(self.random.next())
        };
        (Sector(sector), id, size)
    }

    fn plausible_state(&mut self) -> u32 {
        let mut word = self.state_word();
        for _ in 0..self.random.below(3) {
            word ^= 1 << self.random.below(22);
        }
        word
    }

    fn plausible_uuids(&mut self) -> ReportUuids {
        let own = self.core.as_ref().and_then(|core| {
            let status = core.status(Instant::from_nanos(self.now));
            status.volumes.first().and_then(|v| v.md)
        });
        let mut uuids = own.map_or_else(Default::default, |(uuids, _)| uuids);
        match self.random.below(5) {
            0 => uuids.current = Uuid(self.random.next()),
            1 => uuids.bitmap = Uuid(self.random.next()),
            2 => uuids.history[0] = Uuid(self.random.next()),
            3 => std::mem::swap(&mut uuids.current, &mut uuids.bitmap),
            _ => {}
        }
        ReportUuids {
            uuids,
            bits_set: self.random.next() >> self.random.below(64),
            flags: UuidFlags::from_bits_truncate(self.random.next() as _),
        }
    }

    fn plausible_sizes(&mut self) -> ReportSizes {
        let mut size = || match self.random.below(5) {
            0 => SectorCount(0),
            1 => SectorCount(self.random.next()),
            2 => SectorCount(self.random.below(SIZE.0)),
            _ => SIZE,
        };
        ReportSizes {
            disk: size(),
            user: size(),
            current: size(),
            max_bio: ByteLen(self.random.next() as u32),
            flags: SizesFlags::from_bits_truncate(self.random.next() as u16),
            limits: Some(QueueLimits::PLAIN),
        }
    }

    fn plausible_rates(&mut self) -> SyncParam {
        let mut number = || match self.random.below(4) {
            0 => 0,
            1 => u32::MAX,
            _ => self.random.next() as u32 >> self.random.below(32),
        };
        SyncParam {
            rate: number(),
            verify_alg: AlgName::NONE,
            csums_alg: AlgName::NONE,
            controller: Some(SyncController {
                plan_ahead: number(),
                delay_target: number(),
                fill_target: number(),
                max_rate: number(),
            }),
        }
    }

    /// What an honest peer in the same situation would answer.
    pub(super) fn answer(&mut self, socket: Socket, packet: &Packet, payload: Option<&Block>) {
        let mut say = |socket, body| {
            if self.answers.len() < 500 {
                self.answers.push_back((socket, body));
            }
        };
        let ack = |header: &DataHeader| BlockAck {
            sector: header.sector,
            block_id: header.block_id,
            size: header.size,
            seq: header.seq,
        };
        match &packet.body {
            Body::State(word) => {
                let peer = word.unpack().map_or(word.0, honest_peer);
                say(socket, Body::State(StateWord(peer)));
            }
            body @ (Body::Protocol(_)
            | Body::SyncParam(_)
            | Body::Sizes(_)
            | Body::Uuids(_)
            | Body::Bitmap(_)
            | Body::CompressedBitmap(_)) => say(socket, body.clone()),
            Body::Data(header) | Body::Trim(header) | Body::Zeroes(header) => {
                self.writes_in_epoch += 1;
                say(Socket::Meta, Body::WriteAck(ack(header)));
                self.ids
                    .push((header.sector, header.block_id, header.size.0));
            }
            Body::Barrier(barrier) => {
                let barrier = *barrier;
                let set_size = std::mem::take(&mut self.writes_in_epoch);
                say(
                    Socket::Meta,
                    Body::BarrierAck(BarrierAck { barrier, set_size }),
                );
            }
            Body::DataRequest(request) => {
                self.ids
                    .push((request.sector, request.block_id, request.size.0));
                say(socket, Body::DataReply(reply_to(request)));
            }
            Body::RsDataRequest(request) => {
                self.ids
                    .push((request.sector, request.block_id, request.size.0));
                say(socket, Body::RsDataReply(reply_to(request)));
            }
            Body::RsDataReply(header) => say(
                Socket::Meta,
                Body::RsWriteAck(BlockAck {
                    sector: header.sector,
                    block_id: BlockId::SYNCER,
                    size: header.size,
                    seq: SeqNum(0),
                }),
            ),
            Body::Ping => say(Socket::Meta, Body::PingAck),
            Body::StateChgReq(_) => say(Socket::Meta, Body::StateChgReply(ReplyCode(1))),
            Body::ConnStateChgReq(_) => say(Socket::Meta, Body::ConnStateChgReply(ReplyCode(1))),
            _ => {}
        }
        debug_assert_eq!(
            payload.map_or(0, Payload::size),
            packet.body.payload_size().0
        );
        if self.ids.len() > 64 {
            self.ids.remove(0);
        }
    }
}

/// The state of a peer that is as good as this node and in the way of nobody.
pub(super) fn honest_peer(own: State) -> u32 {
    let conn = match own.conn {
        ConnState::SyncSource => ConnState::SyncTarget,
        ConnState::SyncTarget => ConnState::SyncSource,
        ConnState::WfBitMapS => ConnState::WfBitMapT,
        ConnState::WfBitMapT => ConnState::WfBitMapS,
        other => other,
    };
    let disk = if own.pdsk == DiskState::DUnknown {
        own.disk
    } else {
        own.pdsk
    };
    let peer = State {
        role: Role::Secondary,
        peer: own.role,
        conn,
        disk,
        pdsk: own.disk,
        ..State::INITIAL
    };
    peer.pack()
}

fn reply_to(request: &BlockRequest) -> ReplyHeader {
    ReplyHeader {
        sector: request.sector,
        block_id: request.block_id,
        size: request.size,
    }
}
