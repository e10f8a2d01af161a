//! Packets of the peer: which part of the core takes which (spec 50 section 5).

use alloc::string::String;

use drbd_types::{ConnState, Sector, SectorCount};
use drbd_wire::{BarrierAck, BlockAck, BlockDesc, BlockId, Body, Packet, ReplyHeader, Socket};

use crate::connection::Ping;
use crate::effect::Level;
use crate::epoch::BadBarrierAck;
use crate::input::{LinkId, Payload};
use crate::machine::Resource;
use crate::peer_request::PeerKind;
use crate::request::{Kind, Stage};
use crate::slab::Key;

/// A packet that breaks the connection, with the line for the log.
#[derive(Debug)]
pub(crate) struct Malformed(pub(crate) String);

/// What kind of request an answer can belong to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Answer {
    Read,
    Write,
}

/// Why a packet ends the connection.
#[derive(Debug)]
pub(crate) enum Broken {
    /// Lost with this state; it is tried again.
    Lost(ConnState, String),
    /// Discard the network configuration.
    Fatal,
}

/// A peer that keeps this node writing meta-data is not read faster than the disk takes it.
const MOST_HELD: usize = 1024;

impl From<Malformed> for Broken {
    fn from(Malformed(text): Malformed) -> Self {
        Self::Lost(ConnState::ProtocolError, text)
    }
}

/// The packet in hand, for the complaint if it breaks the connection.
struct Unread {
    name: &'static str,
    bytes: u32,
}

impl Unread {
    /// `error receiving ReportState, e: -5 l: 0!`
    fn complaint(self) -> String {
        alloc::format!("error receiving {}, e: -5 l: {}!", self.name, self.bytes)
    }
}

impl<B: Payload> Resource<B> {
    /// A packet arrived. Those of the data socket may have to wait for their predecessors.
    pub(crate) fn packet(
        &mut self,
        link: LinkId,
        socket: Socket,
        packet: Packet,
        payload: Option<B>,
    ) {
        let now = self.now;
        let Some(current) = self.conn.link.as_mut().filter(|current| current.id == link) else {
            return;
        };
        let Some(up) = current.up.as_mut() else {
            return;
        };
        up.heard = now;
        if socket == Socket::Data
            && (current.receiver.hold.is_some() || !current.receiver.deferred.is_empty())
        {
            current.receiver.deferred.push_back((packet, payload));
            return;
        }
        self.process(socket, packet, payload);
    }

    /// Goes on with deferred packets as far as the receiver may.
    pub(crate) fn receive_deferred(&mut self) {
        loop {
            let Some(link) = self.conn.link.as_mut() else {
                return;
            };
            if link.receiver.hold.is_some() {
                return;
            }
            let Some((packet, payload)) = link.receiver.deferred.pop_front() else {
                return;
            };
            self.process(Socket::Data, packet, payload);
            self.run_worker();
        }
    }

    /// Whether the driver should go on reading the data socket.
    pub fn accepts_data(&self) -> bool {
        let limit = self.conn.net.as_ref().map_or(2048, |net| net.max_buffers);
        if self.outbox.held() > MOST_HELD {
            return false;
        }
        self.conn.link.as_ref().is_some_and(|link| {
            link.receiver.hold.is_none()
                && link.receiver.deferred.is_empty()
                && link.receiver.working < limit
        })
    }

    fn process(&mut self, socket: Socket, packet: Packet, payload: Option<B>) {
        let (result, unread) = match socket {
            Socket::Data => {
                let unread = self.unread(&packet, payload.as_ref());
                (self.data_packet(packet, payload), unread)
            }
            Socket::Meta => (self.meta_packet(packet), None),
        };
        if let Err(broken) = result {
            let complaint = unread.map(Unread::complaint).unwrap_or_default();
            self.break_off(broken, complaint);
        }
    }

    fn break_off(&mut self, broken: Broken, complaint: String) {
        match broken {
            Broken::Lost(cause, text) => {
                for text in [text, complaint] {
                    if !text.is_empty() {
                        self.log_resource(Level::Error, text);
                    }
                }
                self.connection_lost(cause);
            }
            Broken::Fatal => self.connection_fatal(complaint),
        }
    }

    /// What would be left unread if this packet broke the connection.
    fn unread(&self, packet: &Packet, payload: Option<&B>) -> Option<Unread> {
        let version = self.conn.agreed()?.version;
        Some(Unread {
            name: packet.body.command(version).log_name(),
            bytes: match &packet.body {
                // The name of the digest is the last thing to be read.
                Body::Protocol(params) => params.integrity_alg.as_str().len() as u32 + 1,
                _ => payload.map_or(0, Payload::size),
            },
        })
    }

    fn data_packet(&mut self, packet: Packet, payload: Option<B>) -> Result<(), Broken> {
        match packet.body {
            Body::Protocol(params) => return self.receive_protocol(&params),
            Body::ProtocolUpdate(params) => return self.receive_protocol_update(&params),
            Body::Barrier(barrier) => {
                self.receive_barrier(barrier);
                return Ok(());
            }
            Body::ConnStateChgReq(change) => return self.receive_connection_request(change),
            Body::UnplugRemote | Body::DelayProbe(_) => return Ok(()),
            _ => {}
        }
        let Some(v) = self.index(packet.volume) else {
            return self.unknown_volume(&packet);
        };
        match packet.body {
            Body::Data(header) => self.receive_write(v, PeerKind::Write, header, payload)?,
            Body::Trim(header) => self.receive_write(v, PeerKind::Discard, header, None)?,
            Body::Zeroes(header) => self.receive_write(v, PeerKind::WriteZeroes, header, None)?,
            Body::DataReply(header) => self.receive_read_reply(v, header, payload)?,
            Body::RsDataReply(header) => self.receive_resync_data(v, header, payload)?,
            Body::DataRequest(request) => self.receive_read(v, request)?,
            Body::RsDataRequest(request) | Body::RsThinRequest(request) => {
                self.receive_resync_request(v, request)?;
            }
            // Equal or not, sending the data is always a correct answer (spec 50 section 11.3).
            Body::CsumRsRequest { block, .. } => self.receive_resync_request(v, block)?,
            Body::SyncParam(params) => self.receive_sync_param(v, &params)?,
            Body::Sizes(sizes) => self.receive_sizes(v, &sizes)?,
            Body::Uuids(report) => self.receive_uuids(v, &report)?,
            Body::State(word) => self.receive_state(v, word)?,
            Body::SyncUuid(uuid) => self.receive_sync_uuid(v, uuid),
            Body::StateChgReq(change) => self.receive_state_request(v, change)?,
            Body::Bitmap(words) => self.receive_plain_bitmap(v, &words)?,
            Body::CompressedBitmap(code) => self.receive_compressed_bitmap(v, &code)?,
            Body::OutOfSync(desc) => self.receive_out_of_sync(v, desc)?,
            other => {
                let agreed = self.conn.agreed().map(|agreed| agreed.version);
                let name = agreed.map_or("", |version| other.command(version).log_name());
                return Err(Malformed(alloc::format!("Unexpected data packet {name}")).into());
            }
        }
        Ok(())
    }

    fn meta_packet(&mut self, packet: Packet) -> Result<(), Broken> {
        match packet.body {
            Body::Ping => {
                self.send_connection(Socket::Meta, Body::PingAck);
                return Ok(());
            }
            Body::PingAck => {
                self.ping_answered();
                return Ok(());
            }
            Body::BarrierAck(ack) => return self.receive_barrier_ack(ack),
            Body::ConnStateChgReply(code) => {
                self.cluster_answer(code);
                return Ok(());
            }
            Body::DelayProbe(_) => return Ok(()),
            _ => {}
        }
        let Some(v) = self.index(packet.volume) else {
            return self.unknown_volume(&packet);
        };
        match packet.body {
            Body::StateChgReply(code) => self.cluster_answer(code),
            Body::WriteAck(ack) | Body::RecvAck(ack) | Body::Superseded(ack) => {
                self.receive_ack(v, ack, Stage::empty())?;
            }
            Body::RsWriteAck(ack) if ack.block_id == BlockId::SYNCER => {
                self.receive_resync_ack(v, ack)?
            }
            Body::RsWriteAck(ack) => self.receive_ack(v, ack, Stage::IN_SYNC_ON_PEER)?,
            Body::NegAck(ack) => self.receive_neg_ack(v, ack)?,
            Body::NegDReply(ack) => self.receive_neg_read_reply(v, ack)?,
            Body::NegRsDReply(ack) => self.receive_resync_refusal(v, ack)?,
            Body::RsCancel(ack) => self.receive_resync_cancel(v, ack),
            Body::RsIsInSync(ack) => self.receive_is_in_sync(v, ack)?,
            other => {
                let agreed = self.conn.agreed().map(|agreed| agreed.version);
                let name = agreed.map_or("", |version| other.command(version).log_name());
                self.log_resource(
                    Level::Error,
                    alloc::format!("Unexpected meta packet {name}"),
                );
                return Err(Broken::Fatal);
            }
        }
        Ok(())
    }

    /// Parameters of a volume that is not configured here are ignored, other packets are not
    /// (spec 50 section 3).
    fn unknown_volume(&mut self, packet: &Packet) -> Result<(), Broken> {
        let version = self.conn.agreed().map(|agreed| agreed.version);
        let name = version.map_or("", |version| packet.body.command(version).log_name());
        let text = alloc::format!(
            "{name} packet received for volume {}, which is not configured locally",
            packet.volume
        );
        match packet.body {
            Body::SyncParam(_) | Body::Sizes(_) | Body::Uuids(_) | Body::State(_) => {
                self.log_resource(Level::Warning, text);
                Ok(())
            }
            _ => Err(Malformed(text).into()),
        }
    }

    // --- answers to this node's requests

    fn receive_ack(&mut self, v: usize, ack: BlockAck, extra: Stage) -> Result<(), Broken> {
        let key = self.find_request(v, Answer::Write, "got_BlockAck", ack.block_id, ack.sector)?;
        self.net_done(v, key, true, extra);
        Ok(())
    }

    fn receive_neg_ack(&mut self, v: usize, ack: BlockAck) -> Result<(), Broken> {
        let length = SectorCount(u64::from(ack.size.0) / 512);
        self.check_range(v, ack.sector, ack.size.0)?;
        if ack.block_id == BlockId::SYNCER {
            self.resync_failed_on_peer(v, ack.sector, length);
            return Ok(());
        }
        match self.find_request(v, Answer::Write, "got_NegAck", ack.block_id, ack.sector) {
            Ok(key) => self.net_done(v, key, false, Stage::empty()),
            // Protocols A and B: the request may be gone already.
            Err(_) => {
                self.mark_out_of_sync(v, ack.sector, length);
            }
        }
        Ok(())
    }

    fn receive_read_reply(
        &mut self,
        v: usize,
        header: ReplyHeader,
        payload: Option<B>,
    ) -> Result<(), Broken> {
        let key = self.find_request(
            v,
            Answer::Read,
            "receive_DataReply",
            header.block_id,
            header.sector,
        )?;
        let expected = self.requests.get(key).map_or(0, |request| request.size);
        let Some(data) = payload.filter(|data| data.size() == expected) else {
            return Err(Malformed(alloc::format!(
                "DataReply of wrong size, sector {}s",
                header.sector
            ))
            .into());
        };
        self.volumes[v].counters.net_receive.0 += u64::from(expected) / 512;
        self.volumes[v].counters.answered(1);
        self.stage(key, Stage::empty(), Stage::NET_PENDING);
        self.finish_read(v, key, Ok(Some(data)));
        Ok(())
    }

    fn receive_neg_read_reply(&mut self, v: usize, ack: BlockAck) -> Result<(), Broken> {
        let key = self.find_request(v, Answer::Read, "got_NegDReply", ack.block_id, ack.sector)?;
        let text = alloc::format!("Got NegDReply; Sector {}s, len {}.", ack.sector, ack.size.0);
        self.log_volume(v, Level::Error, text);
        self.volumes[v].counters.answered(1);
        self.stage(key, Stage::empty(), Stage::NET_PENDING);
        self.start_read(v, key);
        Ok(())
    }

    fn receive_barrier_ack(&mut self, ack: BarrierAck) -> Result<(), Broken> {
        let number = u32::from_le_bytes(ack.barrier.0);
        match self.conn.log.acknowledge(ack) {
            Ok(epoch) => {
                self.epoch_stable(epoch);
                Ok(())
            }
            Err(bad) => {
                let text = match bad {
                    BadBarrierAck::NoEpoch => {
                        alloc::format!("BAD! BarrierAck #{number} received, but no epoch in tl!?")
                    }
                    BadBarrierAck::Number { expected } => {
                        alloc::format!("BAD! BarrierAck #{number} received, expected #{expected}!")
                    }
                    BadBarrierAck::Count { expected } => alloc::format!(
                        "BAD! BarrierAck #{number} received with n_writes={}, expected n_writes={expected}!",
                        ack.set_size
                    ),
                };
                Err(Malformed(text).into())
            }
        }
    }

    /// The request that an answer names; an unknown one breaks the connection (spec 50 10.5).
    fn find_request(
        &self,
        v: usize,
        answer: Answer,
        who: &str,
        id: BlockId,
        sector: Sector,
    ) -> Result<Key, Broken> {
        let key = Key(id.0);
        let volume = self.volumes[v].nr;
        let awaited = |kind: Kind, stage: Stage| match (answer, kind) {
            (Answer::Read, Kind::Read) => stage.contains(Stage::NET_PENDING),
            (Answer::Read, _) | (Answer::Write, Kind::Read) => false,
            (Answer::Write, _) => stage.intersects(Stage::NET_PENDING | Stage::IN_LOG),
        };
        match self.requests.get(key) {
            Some(r) if r.volume == volume && r.sector == sector && awaited(r.kind, r.stage) => {
                Ok(key)
            }
            _ => Err(Broken::Lost(
                ConnState::NetworkFailure,
                alloc::format!(
                    "{who}: failed to find request 0x{:x}, sector {sector}s",
                    id.0
                ),
            )),
        }
    }

    fn receive_out_of_sync(&mut self, v: usize, desc: BlockDesc) -> Result<(), Broken> {
        self.check_range(v, desc.sector, desc.size.0)?;
        self.mark_out_of_sync(v, desc.sector, SectorCount(u64::from(desc.size.0) / 512));
        self.look_again(v, desc.sector.bit());
        Ok(())
    }

    // --- liveness

    pub(crate) fn send_ping(&mut self) {
        let now = self.now;
        let Some(up) = self.conn.up_mut() else { return };
        if up.ping == Ping::Idle {
            up.ping = Ping::Sent(now);
        }
        self.send_connection(Socket::Meta, Body::Ping);
    }

    fn ping_answered(&mut self) {
        let Some(up) = self.conn.up_mut() else { return };
        up.ping = Ping::Idle;
        for nr in core::mem::take(&mut up.on_ping_ack) {
            if let Some(v) = self.index(nr) {
                self.resync_ping_answered(v);
            }
        }
    }

    /// A socket failed or was closed.
    pub(crate) fn link_lost(
        &mut self,
        link: LinkId,
        socket: Socket,
        cause: ConnState,
        message: String,
    ) {
        let now = self.now;
        let Some(current) = self.conn.link.as_mut().filter(|current| current.id == link) else {
            return;
        };
        if socket == Socket::Data && self.conn.cluster.is_some() && current.data_closed.is_none() {
            // The answer to a disconnect request may still be in the meta socket.
            current.data_closed = Some(now);
            return;
        }
        let closed = message.is_empty();
        let text = match socket {
            _ if !closed => message,
            Socket::Data => String::from("sock was shut down by peer"),
            Socket::Meta => String::from("meta connection shut down by peer."),
        };
        self.log_resource(Level::Info, text);
        self.note_loss(cause);
        if closed
            && socket == Socket::Data
            && let Some(agreed) = self.conn.agreed()
        {
            let size = drbd_wire::Codec::new(agreed).header_size();
            let text = alloc::format!("short read (expected size {size})");
            self.log_resource(Level::Info, text);
        }
        self.close_link();
    }
}
