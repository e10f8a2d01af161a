//! Attach and detach (spec 60 sections 4.1, 4.2 and 4.4, spec 30 section 5.3).

use alloc::boxed::Box;

use drbd_types::{
    ConnState, DiskState, MdFlags, Role, SectorCount, StateMask, StateOutcome, VolumeNr,
};

use crate::activity_log::ActivityLog;
use crate::admin::{Job, Waiting};
use crate::bitmap::{Bitmap, WriteOut};
use crate::change::{Asked, Check};
use crate::config::{AlUpdates, DiskConf};
use crate::effect::{DiskIo, Effect, Level, MetaIo, MetaOrder, Outcome, Refusal};
use crate::input::{Admin, DiskImage, Force, Payload, Ticket};
use crate::machine::{DiskPurpose, MetaPurpose, Resource};
use crate::size::{self, SizeInputs};
use crate::state_rules::Fencing;
use crate::volume::{Disk, DiskNr, Mark};

/// What becomes of the device's size with this disk.
struct NewSize {
    size: SectorCount,
    /// The superblock has another size: log and bitmap are written anew.
    initialise: bool,
}

impl<B: Payload> Resource<B> {
    /// Attaches a disk. Hands it back if the request has to wait for a state change.
    pub(crate) fn attach(
        &mut self,
        ticket: Ticket,
        v: usize,
        image: Box<DiskImage>,
        options: DiskConf,
    ) -> Option<Box<DiskImage>> {
        if self.state(v).disk != DiskState::Diskless {
            self.reply(ticket, Outcome::Refused(Refusal::AlreadyAttached));
            return None;
        }
        if let Some(refusal) = self.attach_refusal(v, &image, &options) {
            self.refuse_attach(ticket, v, Outcome::Refused(refusal));
            return None;
        }
        let attaching = StateMask {
            disk: Some(DiskState::Attaching),
            ..StateMask::NOTHING
        };
        match self.change(v, attaching, Check::Soft) {
            StateOutcome::InTransientState => return Some(image),
            outcome if !outcome.is_success() => {
                self.refuse_attach(ticket, v, Outcome::State(outcome));
                return None;
            }
            _ => {}
        }
        self.volumes[v]
            .marks
            .remove(Mark::WAS_IO_ERROR | Mark::WAS_READ_ERROR | Mark::GOING_DISKLESS);
        match self.attach_size(v, &image, &options) {
            Err((refusal, info)) => {
                self.force_diskless(v);
                self.reply_with(ticket, Outcome::Refused(refusal), Self::info(&info));
            }
            Ok(new_size) => self.adopt_disk(ticket, v, *image, options, &new_size),
        }
        None
    }

    fn refuse_attach(&mut self, ticket: Ticket, v: usize, outcome: Outcome) {
        let volume = self.volumes[v].nr;
        self.outbox.push(Effect::CloseDisk { volume });
        self.reply(ticket, outcome);
    }

    fn attach_refusal(
        &mut self,
        v: usize,
        image: &DiskImage,
        options: &DiskConf,
    ) -> Option<Refusal> {
        let volume = &self.volumes[v];
        let usable = image.capacity.min(image.bitmap_capacity);
        let protocol_a = self
            .conn
            .net
            .as_ref()
            .is_some_and(|net| net.protocol == drbd_types::Protocol::A);
        if options.fencing == Fencing::ResourceAndStonith && protocol_a {
            return Some(Refusal::StonithAndProtocolA);
        }
        if options.size > usable || usable < volume.size {
            return Some(Refusal::DiskTooSmall);
        }
        let state = volume.state;
        let primary = state.role == Role::Primary || state.peer == Role::Primary;
        if state.pdsk != DiskState::UpToDate
            && !volume.exposed_uuid.is_empty()
            && primary
            && !volume.exposed_uuid.same_generation(image.uuids.current)
        {
            let text = alloc::format!(
                "Can only attach to data with current UUID={}",
                volume.exposed_uuid
            );
            self.log_volume(v, Level::Error, text);
            return Some(Refusal::DataNotCurrent);
        }
        None
    }

    fn attach_size(
        &mut self,
        v: usize,
        image: &DiskImage,
        options: &DiskConf,
    ) -> Result<NewSize, (Refusal, alloc::string::String)> {
        let volume = &self.volumes[v];
        let new = size::effective(&SizeInputs {
            own: image.capacity.min(image.bitmap_capacity),
            peer: volume.peer_capacity,
            last_agreed: image.last_agreed,
            user: options.size,
        });
        if new < image.last_agreed && image.flags.contains(MdFlags::CONSISTENT) {
            if options.size != SectorCount(0) && new == options.size {
                let text = alloc::format!(
                    "truncating a consistent device during attach ({new} < {})",
                    image.last_agreed
                );
                self.log_volume(v, Level::Warning, text);
            } else {
                let text = alloc::format!(
                    "refusing to truncate a consistent device ({new} < {})",
                    image.last_agreed
                );
                self.log_volume(v, Level::Error, text);
                let info = alloc::format!(
                    "To-be-attached device has last effective > current size, and is consistent\n({} > {new} sectors). Refusing to attach.",
                    image.last_agreed
                );
                return Err((Refusal::ImplicitShrink, info));
            }
        }
        if new.0 == 0 {
            return Err((Refusal::NoMemory, alloc::string::String::new()));
        }
        Ok(NewSize {
            size: new,
            initialise: new != image.last_agreed,
        })
    }

    fn adopt_disk(
        &mut self,
        ticket: Ticket,
        v: usize,
        image: DiskImage,
        options: DiskConf,
        new: &NewSize,
    ) {
        let conf = DiskConf {
            al_extents: options.al_extents.clamp(67, image.al_slots_max.max(67)),
            c_plan_ahead: options.c_plan_ahead.min(300),
            ..options
        };
        let grown = image.last_agreed.0 != 0 && new.size > image.last_agreed;
        let mut bitmap = Bitmap::from_stored(image.last_agreed, image.bitmap);
        if new.initialise {
            bitmap.resize(new.size);
        }
        let nr = DiskNr(self.volumes[v].last_disk.0 + 1);
        self.volumes[v].last_disk = nr;
        self.volumes[v].disk = Some(Disk {
            nr,
            conf,
            name: image.name,
            capacity: image.capacity,
            bitmap_capacity: image.bitmap_capacity,
            uuids: image.uuids,
            flags: image.flags,
            last_agreed: new.size,
            bitmap,
            log: ActivityLog::new(conf.al_extents),
            al_slots_max: image.al_slots_max,
            max_io: image.max_io,
            peer_max_bio: image.peer_max_bio,
            discard: image.discard,
            references: 0,
        });
        let word = self.write_ordering().word();
        self.log_resource(
            Level::Info,
            alloc::format!("Method to ensure write ordering: {word}"),
        );
        self.note_crash(v, image.flags);
        self.volumes[v].marks.set(Mark::RESYNC_AFTER_NEG, grown);
        let disk_writes = self.volumes[v].counters.application;
        self.volumes[v].counters = crate::status::Counters {
            application: disk_writes,
            ..Default::default()
        };
        self.take_size(v, new.size);
        if new.initialise {
            self.initialise_meta_data(v);
        }
        self.decide_bitmap(v, image.flags);
        self.decide_disk_state(ticket, v, image.flags);
    }

    /// Was this node Primary when it went down? (spec 60 section 4.1 steps 14 and 16)
    fn note_crash(&mut self, v: usize, flags: MdFlags) {
        let state = self.state(v);
        let frozen_primary = state.role == Role::Primary && state.susp_nod;
        let crashed = flags.contains(MdFlags::CRASHED_PRIMARY)
            || (flags.contains(MdFlags::PRIMARY_IND) && !frozen_primary);
        let degraded = state.role != Role::Primary
            && flags.contains(MdFlags::PRIMARY_IND)
            && !flags.contains(MdFlags::CONNECTED_IND);
        self.volumes[v].marks.set(Mark::CRASHED_PRIMARY, crashed);
        self.volumes[v].marks.set(Mark::DEGRADED, degraded);
    }

    /// The device takes this size; log lines as the kernel prints them.
    pub(crate) fn take_size(&mut self, v: usize, new: SectorCount) {
        if self.volumes[v].size == new {
            return;
        }
        self.volumes[v].size = new;
        let bits = new.bits();
        let words = bits.div_ceil(64);
        let pages = (words * 8).div_ceil(4096);
        self.log_volume(
            v,
            Level::Info,
            alloc::format!("drbd_bm_resize called with capacity == {new}"),
        );
        let text = alloc::format!("resync bitmap: bits={bits} words={words} pages={pages}");
        self.log_volume(v, Level::Info, text);
        let text = alloc::format!("size = {} ({} KB)", size::human_kib(new.kib()), new.kib());
        self.log_volume(v, Level::Info, text);
        let volume = self.volumes[v].nr;
        self.outbox.push(Effect::SetSize { volume, size: new });
    }

    /// A first attach, or another size: until bitmap and log are written, a crash means full sync
    /// (spec 60 section 5.2).
    pub(crate) fn initialise_meta_data(&mut self, v: usize) {
        let Some(disk) = self.volumes[v].disk.as_mut() else {
            return;
        };
        let flags = disk.flags;
        disk.flags |= MdFlags::FULL_SYNC | MdFlags::AL_DISABLED;
        self.write_superblock(v);
        let (purpose, order) = (MetaPurpose::Gate, MetaOrder::AfterDataFlush);
        self.meta_io(v, purpose, order, MetaIo::InitialiseActivityLog);
        self.volumes[v].counters.al_transactions += 8;
        self.log_volume(v, Level::Info, "Writing the whole bitmap, size changed");
        self.write_whole_bitmap(v);
        if let Some(disk) = self.volumes[v].disk.as_mut() {
            disk.flags = flags;
        }
        self.write_superblock(v);
    }

    fn decide_bitmap(&mut self, v: usize, flags: MdFlags) {
        let crashed = self.volumes[v].marks.contains(Mark::CRASHED_PRIMARY);
        if flags.contains(MdFlags::FULL_SYNC) || (crashed && flags.contains(MdFlags::AL_DISABLED)) {
            self.log_volume(
                v,
                Level::Info,
                "Assuming that all blocks are out of sync (aka FullSync)",
            );
            self.set_all_out_of_sync(v);
        } else {
            self.log_out_of_sync(v);
        }
        let volume = &mut self.volumes[v];
        let Some(disk) = volume.disk.as_mut() else {
            return;
        };
        disk.flags.set(
            MdFlags::AL_DISABLED,
            disk.conf.al_updates == AlUpdates::Omitted,
        );
        disk.flags.remove(MdFlags::FULL_SYNC);
        // While connected a resync may begin at any moment, and it relies on the references that
        // application writes hold in the log.
        let alone = volume.state.conn < ConnState::Connected;
        if alone && disk.bitmap.weight() == volume.size.bits() {
            volume.marks |= Mark::AL_SUSPENDED;
            self.log_volume(v, Level::Info, "Suspended AL updates");
        }
    }

    fn decide_disk_state(&mut self, ticket: Ticket, v: usize, flags: MdFlags) {
        let fencing = self.volumes[v]
            .disk
            .as_ref()
            .map_or(Fencing::DontCare, |disk| disk.conf.fencing);
        let state = self.state(v);
        let pdsk = if flags.contains(MdFlags::PEER_OUT_DATED) {
            DiskState::Outdated
        } else {
            state.pdsk
        };
        let disk = match (
            flags.contains(MdFlags::CONSISTENT),
            flags.contains(MdFlags::WAS_UP_TO_DATE),
        ) {
            (false, _) => DiskState::Inconsistent,
            (true, false) => DiskState::Outdated,
            (true, true) if pdsk == DiskState::Outdated || fencing == Fencing::DontCare => {
                DiskState::UpToDate
            }
            (true, true) => DiskState::Consistent,
        };
        let mask = if state.conn == ConnState::Connected {
            self.volumes[v].postponed = Some((disk, pdsk));
            self.volumes[v].peer_uuids = None;
            StateMask {
                disk: Some(DiskState::Negotiating),
                ..StateMask::NOTHING
            }
        } else {
            StateMask {
                disk: Some(disk),
                pdsk: Some(pdsk),
                ..StateMask::NOTHING
            }
        };
        let outcome = self.change(v, mask, Check::Soft);
        if !outcome.is_success() {
            self.force_diskless(v);
            return self.reply(ticket, Outcome::State(outcome));
        }
        self.adopt_role_bit(v);
        self.volumes[v].marks |= Mark::MD_DIRTY;
        self.sync_superblock(v);
        self.reply(ticket, Outcome::Done);
    }

    fn force_diskless(&mut self, v: usize) {
        let mask = StateMask {
            disk: Some(DiskState::Diskless),
            ..StateMask::NOTHING
        };
        self.change(v, mask, Check::Hard);
        self.run_worker();
        self.volumes[v].disk = None;
        self.volumes[v].postponed = None;
    }

    // --- detach

    pub(crate) fn detach(&mut self, ticket: Ticket, v: usize, force: Force) {
        let volume = self.volumes[v].nr;
        if self.state(v).disk == DiskState::Diskless {
            return self.reply(ticket, Outcome::State(StateOutcome::NothingToDo));
        }
        let mask = StateMask {
            disk: Some(DiskState::Failed),
            ..StateMask::NOTHING
        };
        if force == Force::Yes {
            self.change(v, mask, Check::Hard);
            return self.reply(ticket, Outcome::State(StateOutcome::Success));
        }
        match self.request_change(v, mask, Check::Soft, Job::Detach { ticket, volume }) {
            Asked::Waiting => {}
            Asked::Done(outcome) => self.detach_answered(ticket, volume, outcome),
        }
    }

    pub(crate) fn detach_answered(
        &mut self,
        ticket: Ticket,
        volume: VolumeNr,
        outcome: StateOutcome,
    ) {
        match outcome {
            StateOutcome::InTransientState => {
                self.wait(
                    ticket,
                    Waiting::Request(Admin::Detach {
                        volume,
                        force: Force::No,
                    }),
                );
            }
            outcome if outcome.is_success() => self.await_diskless(ticket, volume),
            outcome => self.reply(ticket, Outcome::State(outcome)),
        }
    }

    /// Answers a detach when the disk is really gone.
    pub(crate) fn await_diskless(&mut self, ticket: Ticket, volume: VolumeNr) {
        let gone = self
            .index(volume)
            .is_none_or(|v| self.state(v).disk == DiskState::Diskless);
        if gone {
            self.reply(ticket, Outcome::State(StateOutcome::Success));
        } else {
            self.wait(ticket, Waiting::Diskless(volume));
        }
    }

    /// The disk is Failed: what waits for it goes on without it.
    pub(crate) fn disk_failed(&mut self, v: usize) {
        self.abort_resync_io(v);
        self.volumes[v].marks |= Mark::MD_DIRTY;
        self.sync_superblock(v);
        self.release_cold(v);
        self.maybe_go_diskless(v);
    }

    /// When the last user of a failed disk is gone: flush it, write the bitmap, then let go. What
    /// the peer was told to be on this disk must not be lost with its write cache, since nobody
    /// can flush it any more.
    pub(crate) fn maybe_go_diskless(&mut self, v: usize) {
        let volume = &mut self.volumes[v];
        let idle = volume
            .disk
            .as_ref()
            .is_some_and(|disk| disk.references == 0);
        if volume.state.disk != DiskState::Failed
            || !idle
            || volume.marks.contains(Mark::GOING_DISKLESS)
        {
            return;
        }
        volume.marks |= Mark::GOING_DISKLESS;
        self.disk_io(v, DiskPurpose::DetachFlush, DiskIo::Flush);
    }

    /// A disk that failed cannot be trusted to take flush or bitmap; they are tried all the same.
    pub(crate) fn detach_flushed(&mut self, v: usize) {
        self.log_out_of_sync(v);
        self.write_bitmap(v, WriteOut::Changed, MetaPurpose::Detach);
        let pending = self.volumes[v]
            .disk
            .as_ref()
            .is_some_and(|disk| disk.references > 0);
        if !pending {
            self.detach_written(v);
        }
    }

    pub(crate) fn detach_written(&mut self, v: usize) {
        if self.state(v).disk != DiskState::Failed {
            return;
        }
        let mask = StateMask {
            disk: Some(DiskState::Diskless),
            ..StateMask::NOTHING
        };
        self.change(v, mask, Check::Hard);
        self.run_worker();
        self.volumes[v].disk = None;
        self.volumes[v].postponed = None;
        self.forget_activity(v);
        self.volumes[v]
            .marks
            .remove(Mark::GOING_DISKLESS | Mark::AL_SUSPENDED);
    }
}
