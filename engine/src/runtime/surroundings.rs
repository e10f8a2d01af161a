//! What a resource's thread asks of the rest of the engine; nothing of it may block.

use drbd_core::effect::{Access, HelperSubject, Level, LinkDelay, Reply, Scope};
use drbd_core::input::{HelperRun, LinkId};
use drbd_core::status::ResourceStatus;
use drbd_types::{SectorCount, VolumeNr};
use tokio::sync::oneshot;

use crate::control::object::Net;

/// Everything around the thread.
pub trait Surroundings: Send {
    /// Begin to look for the peer; ends in `Command::LinkUp` or `Command::LinkRefused`.
    fn open_link(&mut self, link: LinkId, delay: LinkDelay);
    /// Stop looking.
    fn close_link(&mut self, link: LinkId);
    /// Run a usermode helper; ends in `Command::HelperDone`.
    fn run_helper(&mut self, run: HelperRun, event: &'static str, about: HelperSubject);
    /// Write a line into the log.
    fn log(&mut self, level: Level, scope: Scope, text: String);
    /// The device has a new size. In order with the two below.
    fn set_size(&mut self, volume: VolumeNr, size: SectorCount);
    /// The device becomes usable, or unusable.
    fn set_access(&mut self, volume: VolumeNr, access: Access);
    /// Answer an administrator, once all changes of devices before it are done.
    fn reply(&mut self, answer: oneshot::Sender<Reply>, reply: Reply);
    /// Keep the addresses and options of a new connection, for `open_link` and `show`.
    fn configure_net(&mut self, net: &Net) -> Configured;
    /// The connection was refused.
    fn forget_net(&mut self);
    /// Keep the configuration of a disk for `show`, until it is gone.
    fn show_disk(&mut self, volume: VolumeNr, shown: drbd_control::DiskConf);
    /// Something observable changed; this is how it is now.
    fn changed(&mut self, status: ResourceStatus);
}

/// Whether a network configuration was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Configured {
    /// It is in force now.
    Now,
    /// There was one already, which stays.
    Already,
}
