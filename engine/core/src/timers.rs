//! Everything that happens because time passes: liveness, request timeouts, resync turns,
//! promotions that wait (spec 60 section 8.12).

use alloc::vec::Vec;

use drbd_types::ConnState;

use crate::admin::Waiting;
use crate::connection::Liveness;
use crate::effect::Level;
use crate::input::{LinkId, Payload};
use crate::machine::{HelperPurpose, Resource};
use crate::request::Stage;
use crate::slab::Key;
use crate::time::{Duration, Instant};

/// How often requests are checked for their age.
const REQUEST_CHECK: Duration = Duration::from_secs(1);

impl<B: Payload> Resource<B> {
    pub(crate) fn expire_timers(&mut self) {
        self.check_liveness();
        self.check_request_age();
        for v in 0..self.volumes.len() {
            self.resync_turn(v);
        }
        if self
            .waiting
            .iter()
            .any(|pending| matches!(pending.what, Waiting::Promote(_)))
        {
            self.retry_waiting();
        }
    }

    /// When `handle_timeout` has something to do, at the earliest.
    pub fn next_timeout(&self) -> Option<Instant> {
        let resync = self
            .volumes
            .iter()
            .filter_map(|volume| volume.resync.next_turn);
        let promotion = self
            .waiting
            .iter()
            .filter_map(|pending| match &pending.what {
                Waiting::Promote(promotion) => promotion.not_before(),
                _ => None,
            });
        [self.liveness_deadline(), self.oldest_request_deadline()]
            .into_iter()
            .flatten()
            .chain(resync)
            .chain(promotion)
            .min()
    }

    fn liveness_deadline(&self) -> Option<Instant> {
        let (ping_int, ping_timeout) = self.ping_times()?;
        let link = self.conn.link.as_ref()?;
        if let Some(at) = link.data_closed {
            return Some(at + ping_timeout);
        }
        let up = link.up.as_ref()?;
        match up.liveness(self.now, ping_int, ping_timeout) {
            Liveness::Fine(at) => Some(at),
            Liveness::PingNow | Liveness::Dead => Some(self.now),
        }
    }

    fn patience(&self) -> Option<Duration> {
        let net = self.conn.net.as_ref()?;
        (net.ko_count > 0).then(|| net.timeout.saturating_mul(net.ko_count))
    }

    fn oldest_request_deadline(&self) -> Option<Instant> {
        self.conn.up()?;
        let patience = self.patience()?;
        let oldest = self.oldest_unanswered()?;
        // Not before the next whole check: requests come and go much faster than they expire.
        Some((oldest + patience).max(self.now + REQUEST_CHECK))
    }

    fn oldest_unanswered(&self) -> Option<Instant> {
        let barrier = self.conn.log.oldest_barrier();
        let write = self.conn.log.oldest().and_then(|key| {
            let request = self.requests.get(key)?;
            request
                .stage
                .contains(Stage::NET_PENDING)
                .then_some(request.sent_at)
                .flatten()
        });
        [barrier, write].into_iter().flatten().min()
    }

    /// A peer that answers pings but does not finish writes is as good as dead.
    fn check_request_age(&mut self) {
        let Some(patience) = self.patience() else {
            return;
        };
        if self.conn.up().is_none() {
            return;
        }
        let Some(oldest) = self.oldest_unanswered() else {
            return;
        };
        if self.now.since(oldest) < patience {
            return;
        }
        let net = self.conn.net.as_ref();
        let (ko, timeout) = net.map_or((0, 0), |net| (net.ko_count, net.timeout.as_millis() / 100));
        let text = alloc::format!(
            "Remote failed to finish a request within {}ms > ko-count ({ko}) * timeout ({timeout} * 0.1s)",
            self.now.since(oldest).as_millis()
        );
        self.log_resource(Level::Warning, text);
        self.connection_lost(ConnState::Timeout);
    }

    /// Packets were handed to TCP: protocol A writes are done with that.
    pub(crate) fn sent(&mut self, link: LinkId, packets: u32) {
        if self
            .conn
            .link
            .as_ref()
            .is_none_or(|current| current.id != link)
        {
            return;
        }
        self.data_packets_confirmed += u64::from(packets);
        let mut done: Vec<Key> = Vec::new();
        while let Some(&(number, key)) = self.unsent.front() {
            if number > self.data_packets_confirmed {
                break;
            }
            self.unsent.pop_front();
            done.push(key);
        }
        for key in done {
            let Some(request) = self.requests.get(key) else {
                continue;
            };
            let nr = request.volume;
            if let Some(v) = self.index(nr) {
                self.net_done(v, key, true, Stage::empty());
            }
        }
    }

    /// The packet just queued carries a protocol A write.
    pub(crate) fn await_sent(&mut self, key: Key) {
        self.unsent.push_back((self.data_packets_sent, key));
    }

    pub(crate) fn helper_done(&mut self, run: crate::input::HelperRun, exit: u8) {
        let Some(purpose) = self.helpers.remove(Key(run.0)) else {
            return;
        };
        match purpose {
            HelperPurpose::Notify => {}
            HelperPurpose::BeforeResyncTarget(nr) | HelperPurpose::BeforeResyncSource(nr) => {
                if let Some(v) = self.index(nr) {
                    self.before_resync_returned(v, exit);
                }
            }
            HelperPurpose::AfterResyncTarget(nr) => {
                if let Some(v) = self.index(nr)
                    && self.is_connected(v)
                {
                    self.send_state(v);
                }
            }
            HelperPurpose::FencePeer(purpose) => self.fence_peer_returned(purpose, exit),
        }
    }
}
