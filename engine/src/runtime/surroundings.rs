//! What a resource's thread asks of the rest of the engine; nothing of it may block.

use drbd_core::{Access, HelperRun, HelperSubject, Level, LinkDelay, LinkId, Reply, Scope};
use drbd_types::{SectorCount, VolumeNr};
use tokio::sync::oneshot;

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
    /// Something observable changed.
    fn changed(&mut self);
}
