//! The bitmap exchange: both nodes learn what either misses (spec 50 section 7).

use alloc::string::ToString;

use drbd_types::{ConnState, StateMask};
use drbd_wire::bitmap_code::{
    BitmapReceiver, BitmapSender, Direction, Progress, TransferStats, UseRle,
};
use drbd_wire::{CompressedBitmap, Socket};

use crate::change::Check;
use crate::config::BitmapCode;
use crate::effect::Level;
use crate::handshake::SyncExtent;
use crate::input::Payload;
use crate::machine::Resource;
use crate::receive::{Broken, Malformed};

impl<B: Payload> Resource<B> {
    /// The handshake decided how much has to be synced.
    pub(crate) fn prepare_extent(&mut self, v: usize, extent: SyncExtent) {
        if extent == SyncExtent::Full {
            self.set_all_out_of_sync(v);
        }
    }

    /// Sends this node's bitmap.
    pub(crate) fn begin_bitmap_transfer(&mut self, v: usize) {
        let Some(agreed) = self.conn.agreed() else {
            return;
        };
        let use_rle = match self.conn.net.as_ref().map(|net| net.bitmap_code) {
            Some(BitmapCode::Plain) => UseRle::No,
            _ => UseRle::Yes,
        };
        let bits = self.volumes[v].size.bits();
        let mut sender = BitmapSender::new(bits, agreed, use_rle);
        loop {
            let Some(disk) = &self.volumes[v].disk else {
                return;
            };
            let Some(body) = sender.next_packet(&disk.bitmap) else {
                break;
            };
            self.send(v, Socket::Data, body, None);
        }
        self.log_transfer(v, *sender.stats(), Direction::Send);
    }

    fn log_transfer(&mut self, v: usize, stats: TransferStats, direction: Direction) {
        if let Some(line) = stats.log_line(direction) {
            self.log_volume(v, Level::Info, line.to_string());
        }
    }

    /// P_BITMAP.
    pub(crate) fn receive_plain_bitmap(&mut self, v: usize, words: &[u64]) -> Result<(), Broken> {
        self.receive_bitmap(v, |receiver, bitmap| receiver.plain(words, bitmap))
    }

    /// P_COMPRESSED_BITMAP.
    pub(crate) fn receive_compressed_bitmap(
        &mut self,
        v: usize,
        code: &CompressedBitmap,
    ) -> Result<(), Broken> {
        self.receive_bitmap(v, |receiver, bitmap| receiver.compressed(code, bitmap))
    }

    fn receive_bitmap(
        &mut self,
        v: usize,
        take: impl FnOnce(
            &mut BitmapReceiver,
            &mut crate::bitmap::Bitmap,
        ) -> Result<Progress, drbd_wire::bitmap_code::BitmapError>,
    ) -> Result<(), Broken> {
        let state = self.state(v);
        if !matches!(state.conn, ConnState::WfBitMapS | ConnState::WfBitMapT) {
            let text = alloc::format!("unexpected cstate ({}) in receive_bitmap", state.conn);
            return Err(Malformed(text).into());
        }
        let Some(agreed) = self.conn.agreed() else {
            return Ok(());
        };
        let volume = &mut self.volumes[v];
        let bits = volume.size.bits();
        let Some(disk) = volume.disk.as_mut() else {
            return Ok(());
        };
        let receiver = volume
            .resync
            .incoming
            .get_or_insert_with(|| BitmapReceiver::new(bits, agreed));
        match take(receiver, &mut disk.bitmap) {
            Err(error) => Err(Malformed(error.to_string()).into()),
            Ok(Progress::More) => Ok(()),
            Ok(Progress::Complete) => {
                let stats = *receiver.stats();
                volume.resync.incoming = None;
                self.log_transfer(v, stats, Direction::Receive);
                self.bitmap_received(v, state.conn);
                Ok(())
            }
        }
    }

    fn bitmap_received(&mut self, v: usize, conn: ConnState) {
        if conn == ConnState::WfBitMapT {
            self.begin_bitmap_transfer(v);
            let mask = StateMask {
                conn: Some(ConnState::WfSyncUuid),
                ..StateMask::NOTHING
            };
            self.change(v, mask, Check::Soft);
        } else {
            self.start_resync(v, ConnState::SyncSource);
        }
    }
}
