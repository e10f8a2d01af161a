//! Drives the pure core with real sockets, disks and clocks: one thread a resource.
//!
//! ```text
//! front ends, control, net, helpers --Command--> port -> driver --Input--> core
//!                                     sockets <--> uring  ^   <--Effect--
//!                                     disks   <----'      '-> surroundings (never blocks)
//! ```
//!
//! * [`driver`]: the loop of the thread; [`traffic`] is its part about sockets.
//! * [`port`]: the queue into the thread.
//! * [`surroundings`]: what the thread asks of the rest of the engine; [`outside`] is the real one.
//! * [`disk`]: data and meta-data operations of a volume.
//! * [`link`]: the two sockets of a connection; [`intake`] cuts packets out of received bytes,
//!   [`message`] gathers packets to send.
//! * [`uring`]: the only unsafe code: io_uring with memory that operations own.
//!
//! A payload lives in one [`Buffer`] from the socket or the front end to the disk and to the other
//! socket; only handles move.

pub mod disk;
pub mod driver;
pub mod intake;
pub mod link;
pub mod message;
pub mod outside;
pub mod port;
pub mod surroundings;
#[cfg(test)]
mod tests;
mod traffic;
pub mod uring;

use crate::buffer::Buffer;

impl drbd_core::input::Payload for Buffer {
    fn size(&self) -> u32 {
        // A buffer has at most 1 MiB.
        self.len() as u32
    }
}
