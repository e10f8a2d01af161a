//! The status of a resource for whoever renders it.

use drbd_types::{ByteCount, ConnState, DiskState};

use crate::input::Payload;
use crate::machine::Resource;
use crate::status::{AlSuspended, ResourceStatus, VolumeStatus, WaitClass};
use crate::time::Instant;
use crate::volume::{Mark, Volume};

impl<B: Payload> Resource<B> {
    /// Everything that the status commands show, at this moment.
    pub fn status(&self, now: Instant) -> ResourceStatus {
        ResourceStatus {
            options: self.conf,
            connection: self.conn.state,
            net: self.conn.net.clone(),
            volumes: self
                .volumes
                .iter()
                .map(|volume| self.volume_status(now, volume))
                .collect(),
        }
    }

    fn volume_status(&self, now: Instant, volume: &Volume<B>) -> VolumeStatus {
        let mut counters = volume.counters;
        counters.epochs = self.conn.log.epochs();
        let configured = volume.state.conn > ConnState::StandAlone;
        VolumeStatus {
            volume: volume.nr,
            minor: volume.minor,
            state: volume.state,
            size: volume.size,
            disk: volume.disk.as_ref().map(|disk| disk.conf),
            md: volume.disk.as_ref().map(|disk| (disk.uuids, disk.flags)),
            exposed_uuid: volume.exposed_uuid,
            protocol: self
                .conn
                .net
                .as_ref()
                .filter(|_| configured)
                .map(|net| net.protocol),
            counters,
            ordering: self.write_ordering(),
            al_suspended: if volume.marks.contains(Mark::AL_SUSPENDED) {
                AlSuspended::Yes
            } else {
                AlSuspended::No
            },
            progress: volume
                .resync
                .figures(now, volume.state, volume.out_of_sync()),
            out_of_sync: ByteCount(volume.out_of_sync() * 4096),
            wait_class: wait_class(volume),
        }
    }
}

fn wait_class<B>(volume: &Volume<B>) -> WaitClass {
    if volume.state.pdsk == DiskState::Outdated {
        WaitClass::PeerOutdated
    } else if volume.marks.contains(Mark::DEGRADED) {
        WaitClass::Degraded
    } else {
        WaitClass::Default
    }
}
