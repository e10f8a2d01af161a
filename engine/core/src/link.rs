//! From two connected sockets to Connected, and the ways back (spec 50 sections 4 and 14,
//! spec 60 section 9).

use alloc::string::String;
use alloc::vec::Vec;

use drbd_types::{ConnState, DiskState, StateMask, StateOutcome};
use drbd_wire::{
    Agreed, AlgName, Body, ByteLen, ConnFlags, ProtocolCodes, ProtocolParams, QueueLimits,
    ReportSizes, ReportUuids, SizesFlags, Socket, StateWord, SyncController, SyncParam,
};

use crate::change::Check;
use crate::config::NetConf;
use crate::connection::{Hold, Link, LinkUp, Liveness, Ping};
use crate::effect::{Effect, Level, LinkDelay};
use crate::input::{ConnectOnce, DiscardSupport, LinkId, Payload, TieBreaker};
use crate::machine::Resource;
use crate::receive::{Broken, Malformed};
use crate::state_rules::TwoPrimaries;
use crate::volume::Mark;
use drbd_types::UuidFlags;

impl<B: Payload> Resource<B> {
    /// Unconnected -> WFConnection: begin to look for the peer.
    pub(crate) fn open_link(&mut self, delay: LinkDelay) {
        self.conn.last_link += 1;
        let id = LinkId(self.conn.last_link);
        self.conn.link = Some(Link::new(id));
        let mask = StateMask {
            conn: Some(ConnState::WfConnection),
            ..StateMask::NOTHING
        };
        self.change_connection(mask, Check::Hard);
        self.outbox.push(Effect::OpenLink { link: id, delay });
    }

    /// Sockets, features and authentication are done: report everything about this node.
    pub(crate) fn link_up(&mut self, id: LinkId, agreed: Agreed, tie: TieBreaker) {
        let now = self.now;
        let Some(link) = self.conn.link.as_mut().filter(|link| link.id == id) else {
            return;
        };
        link.up = Some(LinkUp {
            agreed,
            tie,
            heard: now,
            ping: Ping::Idle,
            on_ping_ack: Vec::new(),
        });
        self.data_packets_sent = 0;
        self.data_packets_confirmed = 0;
        self.unsent.clear();
        let Some(net) = self.conn.net.clone() else {
            return;
        };
        self.send_protocol(&net);
        for v in 0..self.volumes.len() {
            let volume = &mut self.volumes[v];
            volume.seq = drbd_wire::SeqNum(0);
            volume.peer_uuids = None;
            volume
                .marks
                .remove(Mark::HANDSHAKE_DONE | Mark::PEER_SETTLED);
            self.send_sync_param(v);
            self.send_sizes(v, SizesFlags::empty());
            if self.volumes[v].state.disk >= DiskState::Negotiating {
                self.send_uuids(v, UuidFlags::empty());
            }
            self.send_state(v);
        }
        let mask = StateMask {
            conn: Some(ConnState::WfReportParams),
            ..StateMask::NOTHING
        };
        self.change_connection(mask, Check::Hard);
    }

    // --- reports

    fn send_protocol(&mut self, net: &NetConf) {
        let mut flags = ConnFlags::empty();
        flags.set(
            ConnFlags::DISCARD_MY_DATA,
            self.conn.once.contains(ConnectOnce::DISCARD_MY_DATA),
        );
        flags.set(
            ConnFlags::DRY_RUN,
            self.conn.once.contains(ConnectOnce::TENTATIVE),
        );
        let params = ProtocolParams {
            codes: protocol_codes(net, flags),
            integrity_alg: AlgName::NONE,
        };
        self.send_connection(Socket::Data, Body::Protocol(params));
    }

    /// Options changed while connected (version 100).
    pub(crate) fn send_protocol_update(&mut self) {
        let Some(net) = self.conn.net.clone() else {
            return;
        };
        let params = ProtocolParams {
            codes: protocol_codes(&net, ConnFlags::empty()),
            integrity_alg: AlgName::NONE,
        };
        self.send_connection(Socket::Data, Body::ProtocolUpdate(params));
    }

    pub(crate) fn send_sync_param(&mut self, v: usize) {
        let Some(net) = &self.conn.net else { return };
        let name = |text: &str| AlgName::new(text).unwrap_or_default();
        let (verify_alg, csums_alg) = (name(&net.verify_alg), name(&net.csums_alg));
        let (rate, controller) = match &self.volumes[v].disk {
            Some(disk) => (
                disk.conf.resync_rate,
                SyncController {
                    plan_ahead: disk.conf.c_plan_ahead,
                    delay_target: disk.conf.c_delay_target,
                    fill_target: disk.conf.c_fill_target,
                    max_rate: disk.conf.c_max_rate,
                },
            ),
            None => (250, SyncController::DEFAULT),
        };
        let params = SyncParam {
            rate,
            verify_alg,
            csums_alg,
            controller: Some(controller),
        };
        self.send(v, Socket::Data, Body::SyncParam(params), None);
    }

    pub(crate) fn send_sizes(&mut self, v: usize, flags: SizesFlags) {
        let Some(agreed) = self.conn.agreed() else {
            return;
        };
        let volume = &self.volumes[v];
        let disk = volume
            .disk
            .as_ref()
            .filter(|_| volume.state.disk >= DiskState::Negotiating);
        let max_io = disk.map_or(1 << 20, |disk| disk.max_io);
        let limits = agreed
            .features
            .contains(drbd_wire::Features::WRITE_SAME)
            .then(|| QueueLimits {
                discard_enabled: u8::from(
                    disk.is_some_and(|disk| disk.discard != DiscardSupport::None),
                ),
                discard_zeroes_data: u8::from(
                    disk.is_some_and(|disk| disk.discard == DiscardSupport::Zeroes),
                ),
                ..QueueLimits::PLAIN
            });
        let sizes = ReportSizes {
            disk: disk.map_or_else(Default::default, |disk| {
                disk.capacity.min(disk.bitmap_capacity)
            }),
            user: disk.map_or_else(Default::default, |disk| disk.conf.size),
            current: volume.size,
            max_bio: ByteLen(max_io.min(agreed.max_payload().0)),
            flags,
            limits,
        };
        self.send(v, Socket::Data, Body::Sizes(sizes), None);
    }

    pub(crate) fn send_uuids(&mut self, v: usize, extra: UuidFlags) {
        let discard = self.conn.once.contains(ConnectOnce::DISCARD_MY_DATA);
        let volume = &mut self.volumes[v];
        let Some(disk) = &volume.disk else { return };
        let mut flags = extra;
        flags.set(UuidFlags::DISCARD_MY_DATA, discard);
        flags.set(
            UuidFlags::CRASHED_PRIMARY,
            volume.marks.contains(Mark::CRASHED_PRIMARY),
        );
        let future_inconsistent = volume
            .postponed
            .is_some_and(|(disk, _)| disk == DiskState::Inconsistent);
        flags.set(UuidFlags::INCONSISTENT, future_inconsistent);
        let bits = disk.bitmap.weight();
        volume.bits_told = bits;
        let report = ReportUuids {
            uuids: disk.uuids,
            bits_set: bits,
            flags,
        };
        self.send(v, Socket::Data, Body::Uuids(report), None);
    }

    pub(crate) fn send_state(&mut self, v: usize) {
        let word = StateWord::from(self.state(v));
        self.send(v, Socket::Data, Body::State(word), None);
    }

    // --- what the peer reports about the connection

    /// P_PROTOCOL: the first difference decides (spec 50 section 4.3).
    pub(crate) fn receive_protocol(&mut self, peer: &ProtocolParams) -> Result<(), Broken> {
        let Some(net) = self.conn.net.clone() else {
            return Ok(());
        };
        let discard = self.conn.once.contains(ConnectOnce::DISCARD_MY_DATA);
        let own = protocol_codes(&net, ConnFlags::empty());
        let codes = &peer.codes;
        let different = [
            (own.protocol != codes.protocol, "protocol"),
            (
                own.after_sb_0p != codes.after_sb_0p.mirrored(),
                "after-sb-0pri",
            ),
            (
                own.after_sb_1p != codes.after_sb_1p.mirrored(),
                "after-sb-1pri",
            ),
            (
                own.after_sb_2p != codes.after_sb_2p.mirrored(),
                "after-sb-2pri",
            ),
            (
                discard && codes.conn_flags.contains(ConnFlags::DISCARD_MY_DATA),
                "discard-my-data",
            ),
            (
                own.two_primaries != codes.two_primaries,
                "allow-two-primaries",
            ),
            (!peer.integrity_alg.is_none(), "data-integrity-alg"),
        ];
        if let Some((_, name)) = different.iter().find(|(different, _)| *different) {
            self.log_resource(Level::Error, alloc::format!("incompatible {name} settings"));
            return Err(Broken::Fatal);
        }
        if codes.conn_flags.contains(ConnFlags::DRY_RUN)
            && let Some(link) = self.conn.link.as_mut()
        {
            link.peer_once = ConnectOnce::TENTATIVE;
        }
        Ok(())
    }

    /// P_PROTOCOL_UPDATE: adopted without comparison.
    pub(crate) fn receive_protocol_update(&mut self, peer: &ProtocolParams) -> Result<(), Broken> {
        let Some(protocol) = drbd_types::Protocol::from_code(peer.codes.protocol) else {
            return Err(
                Malformed(alloc::format!("protocol {} unknown", peer.codes.protocol)).into(),
            );
        };
        if !peer.integrity_alg.is_none() {
            return Err(Malformed("data-integrity-alg is not available here".into()).into());
        }
        if let Some(net) = self.conn.net.as_mut() {
            net.protocol = protocol;
            net.two_primaries = if peer.codes.two_primaries == 0 {
                TwoPrimaries::Refused
            } else {
                TwoPrimaries::Allowed
            };
        }
        Ok(())
    }

    /// P_SYNC_PARAM: names are compared during the handshake and adopted later; the rates always.
    pub(crate) fn receive_sync_param(&mut self, v: usize, peer: &SyncParam) -> Result<(), Broken> {
        let handshake = self.volumes[v].state.conn <= ConnState::WfReportParams;
        if let Some(net) = self.conn.net.as_mut() {
            if handshake {
                let pairs = [
                    (
                        "verify-alg",
                        net.verify_alg.clone(),
                        peer.verify_alg.as_str(),
                    ),
                    ("csums-alg", net.csums_alg.clone(), peer.csums_alg.as_str()),
                ];
                for (what, own, theirs) in pairs {
                    if own != theirs {
                        let text = alloc::format!(
                            "Different {what} settings. me=\"{own}\" peer=\"{theirs}\""
                        );
                        self.log_resource(Level::Error, text);
                        return Err(Broken::Fatal);
                    }
                }
            } else {
                net.verify_alg = peer.verify_alg.as_str().into();
                net.csums_alg = peer.csums_alg.as_str().into();
            }
        }
        if let Some(disk) = self.volumes[v].disk.as_mut() {
            disk.conf.resync_rate = peer.rate;
            if let Some(controller) = peer.controller {
                disk.conf.c_plan_ahead = controller.plan_ahead.min(300);
                disk.conf.c_delay_target = controller.delay_target;
                disk.conf.c_fill_target = controller.fill_target;
                disk.conf.c_max_rate = controller.max_rate;
            }
        }
        Ok(())
    }

    // --- the end of a link

    /// The link broke: everything that depended on the peer is settled, then it is tried again.
    pub(crate) fn connection_lost(&mut self, cause: ConnState) {
        self.note_loss(cause);
        self.close_link();
    }

    /// The state after the loss; [`Self::close_link`] has to follow.
    pub(crate) fn note_loss(&mut self, cause: ConnState) {
        let state = self.conn.state;
        if state > ConnState::TearDown || state == ConnState::Unconnected {
            let mask = StateMask {
                conn: Some(cause),
                ..StateMask::NOTHING
            };
            self.change_connection(mask, Check::Hard);
        }
    }

    /// The peers do not fit: discard the network configuration.
    pub(crate) fn connection_fatal(&mut self, complaint: String) {
        let mask = StateMask {
            conn: Some(ConnState::Disconnecting),
            ..StateMask::NOTHING
        };
        self.change_connection(mask, Check::Hard);
        if !complaint.is_empty() {
            self.log_resource(Level::Error, complaint);
        }
        self.close_link();
    }

    /// The attempt must not be repeated: dialects, authentication, local address.
    pub(crate) fn link_refused(&mut self, id: LinkId) {
        if self.conn.link.as_ref().is_some_and(|link| link.id == id) {
            self.log_resource(Level::Error, "Discarding network configuration.");
            self.connection_fatal(String::new());
        }
    }

    /// Settles what the link leaves behind and goes on to the state after it.
    pub(crate) fn close_link(&mut self) {
        let established = self
            .volumes
            .iter()
            .any(|volume| volume.marks.contains(Mark::HANDSHAKE_DONE));
        let delay = if established {
            LinkDelay::None
        } else {
            LinkDelay::AfterFailure
        };
        // Actions of the state change come first: a new data generation must be on its way to
        // the disk before any write is completed without the peer.
        self.run_worker();
        let Some(link) = self.conn.link.take() else {
            self.after_link(delay);
            return;
        };
        self.outbox.push(Effect::CloseLink { link: link.id });
        self.unsent.clear();
        let abandoned = self.conn.cluster.take();
        for v in 0..self.volumes.len() {
            self.abort_resync_io(v);
        }
        let suspended = self.volumes.iter().any(|volume| volume.state.suspended());
        if suspended {
            self.retry_remote_reads();
        } else {
            self.clear_transfer_log();
        }
        for v in 0..self.volumes.len() {
            self.volumes[v].marks.remove(Mark::HANDSHAKE_DONE);
            self.write_dirty_bitmap(v);
            self.sync_superblock(v);
        }
        self.log_resource(Level::Info, "Connection closed");
        self.after_link(delay);
        if let Some(change) = abandoned {
            // What the peer cannot answer any more is decided by the state as it is now.
            self.resume_job(change.job, StateOutcome::CwFailedByPeer);
        }
    }

    fn after_link(&mut self, delay: LinkDelay) {
        if self.conn.state == ConnState::Disconnecting {
            let mask = StateMask {
                conn: Some(ConnState::StandAlone),
                ..StateMask::NOTHING
            };
            self.change_connection(mask, Check::Hard);
            self.conn.net = None;
            self.conn.once = ConnectOnce::empty();
            return;
        }
        if self.conn.state == ConnState::StandAlone {
            return;
        }
        let mask = StateMask {
            conn: Some(ConnState::Unconnected),
            ..StateMask::NOTHING
        };
        self.change_connection(mask, Check::Hard);
        self.fence_after_loss();
        self.open_link(delay);
    }

    /// Watches whether the peer is alive.
    pub(crate) fn check_liveness(&mut self) {
        let now = self.now;
        let Some((ping_int, ping_timeout)) = self.ping_times() else {
            return;
        };
        let waited = self.conn.link.as_ref().and_then(|link| link.data_closed);
        if waited.is_some_and(|at| now >= at + ping_timeout) {
            self.log_resource(Level::Info, "sock was shut down by peer");
            self.connection_lost(ConnState::BrokenPipe);
            return;
        }
        let Some(up) = self.conn.up() else { return };
        match up.liveness(now, ping_int, ping_timeout) {
            Liveness::Fine(_) => {}
            Liveness::PingNow => self.send_ping(),
            Liveness::Dead => {
                self.log_resource(Level::Error, "PingAck did not arrive in time.");
                self.connection_lost(ConnState::NetworkFailure);
            }
        }
    }

    pub(crate) fn ping_times(&self) -> Option<(core::time::Duration, core::time::Duration)> {
        let net = self.conn.net.as_ref()?;
        Some((net.ping_int, net.ping_timeout))
    }

    /// Whether a helper's verdict is awaited before the receiver goes on.
    pub(crate) fn release_receiver(&mut self) {
        if let Some(link) = self.conn.link.as_mut()
            && link.receiver.hold == Some(Hold::Helper)
        {
            link.receiver.hold = None;
        }
    }

    pub(crate) fn hold_receiver(&mut self) {
        if let Some(link) = self.conn.link.as_mut() {
            link.receiver.hold = Some(Hold::Helper);
        }
    }

    /// A peer that asked gracefully: TearDown, or this node's own Disconnecting.
    pub(crate) fn leave(&mut self, to: ConnState, extra: StateMask, check: Check) -> StateOutcome {
        let outcome = self.change_connection(
            StateMask {
                conn: Some(to),
                ..extra
            },
            check,
        );
        if outcome.is_success() {
            self.close_link();
        }
        outcome
    }
}

fn protocol_codes(net: &NetConf, conn_flags: ConnFlags) -> ProtocolCodes {
    ProtocolCodes {
        protocol: net.protocol as u32,
        after_sb_0p: net.after_sb_0pri.code(),
        after_sb_1p: net.after_sb_1pri.code(),
        after_sb_2p: net.after_sb_2pri.code(),
        conn_flags,
        two_primaries: u32::from(net.two_primaries == TwoPrimaries::Allowed),
    }
}
