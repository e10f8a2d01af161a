//! What passes between a front end and the engine.

use std::io;
use std::path::PathBuf;

use drbd_types::{Minor, Sector, SectorCount};
use rustix::io::Errno;

use super::{Access, DeviceNumber, Features};
use crate::buffer::Buffer;

/// Names a request from its submission to its completion; unique among the requests in flight of
/// one front end. The front end chooses it, everybody else only hands it back.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct RequestId(pub u64);

/// Whether a write must be on stable storage when it completes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fua {
    /// A later flush makes it durable.
    Deferred,
    /// It is durable when it completes.
    Forced,
}

/// Whether zeroing may give back the space.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unmap {
    /// The blocks may be unmapped as long as they read as zeroes.
    Allowed,
    /// The blocks stay allocated.
    Forbidden,
}

/// What the block layer asks for. Lengths are in bytes, multiples of the logical block size, above
/// zero; a request never reaches past the end of the device.
#[derive(Debug)]
pub enum Operation {
    /// Read this many bytes, at most [`crate::buffer::MAX_LENGTH`].
    Read {
        /// Bytes.
        length: u32,
    },
    /// Write the bytes of the buffer, at most [`crate::buffer::MAX_LENGTH`].
    Write {
        /// The payload; the engine may keep and share it.
        data: Buffer,
        /// Durability asked for.
        fua: Fua,
    },
    /// Make every write that completed before this request durable. The sector is 0.
    Flush,
    /// The content may be forgotten; what is read afterwards is undefined.
    Discard {
        /// Bytes, at most [`super::Discard::Supported`]'s `largest`.
        length: u32,
    },
    /// Zero the range.
    WriteZeroes {
        /// Bytes, at most [`super::Discard::Supported`]'s `largest`.
        length: u32,
        /// Whether the space may go.
        unmap: Unmap,
    },
}

/// One request of the block layer.
#[derive(Debug)]
pub struct Request {
    /// Hand it back with the completion.
    pub id: RequestId,
    /// Where the range starts.
    pub sector: Sector,
    /// What to do.
    pub operation: Operation,
}

/// Where a front end puts what the block layer asked for; implemented by the runtime.
///
/// Called from the front end's own threads, several at a time; it queues and wakes, and never waits
/// for a completion. Overlapping requests in flight have no order among them.
pub trait RequestSink: Send + Sync {
    /// Takes over the request: exactly one [`Frontend::complete`] with its id follows, possibly from
    /// within this call.
    fn submit(&self, minor: Minor, request: Request);
}

/// The running front end of one minor.
///
/// [`Frontend::complete`] may be called from any thread, also the one that owns the resource. All
/// other calls block while the kernel flushes or sets up devices, which needs requests to be
/// completed meanwhile: never call them from the thread that completes requests.
///
/// Neither loop nor ublk tells its server who opens the device. So there is no callback for an open;
/// instead a closed device cannot be opened at all (`ENXIO` where kernel DRBD answers
/// `EMEDIUMTYPE` or `EROFS`), and [`Frontend::close`] finds out whether it is held open.
///
/// Dropping a front end takes the device away from under whoever still holds it: they get `EIO`.
pub trait Frontend: Send + Sync {
    /// Ends a request: `Ok(Some(bytes))` for a read (exactly the length asked for), `Ok(None)` for
    /// everything else, or the errno that the block layer is to see. An id that is not in flight
    /// is ignored.
    fn complete(&self, id: RequestId, result: Result<Option<Buffer>, Errno>);

    /// Makes the device usable, as on a Primary. Calling it again changes only the access.
    fn open(&self, access: Access) -> io::Result<()>;

    /// Makes the device unusable again, as on a Secondary; `EBUSY` (and nothing changed) while
    /// somebody holds it open. All writes of the page cache have been submitted and completed when
    /// this returns.
    fn close(&self) -> io::Result<()>;

    /// Whether somebody (a mount, swap, device mapper, an open file) holds the device open.
    fn is_held_open(&self) -> io::Result<bool>;

    /// Tells the block layer the new size.
    fn resize(&self, size: SectorCount) -> io::Result<()>;

    /// Sets what the device can do from its next opening on: known when a disk is attached and a
    /// peer connected.
    fn set_features(&self, features: Features);

    /// Replaces the symlinks to the node; relative to `/dev`, as [`super::DevicePaths`] makes them.
    fn set_links(&self, links: Vec<PathBuf>) -> io::Result<()>;

    /// The number behind `/dev/drbdN` while the device is open.
    fn device_number(&self) -> Option<DeviceNumber>;

    /// Closes the device, then removes the node, its links and everything that belongs to it;
    /// `EBUSY` (and nothing changed) while it is held open. Requests still in flight get `EIO`.
    fn stop(&self) -> io::Result<()>;
}

#[cfg(test)]
/// A front end for the tests of its users.
pub mod testing {
    use super::*;

    /// The front end of a device that nobody opens; completions go to the function.
    pub struct Unopened<F>(pub F);

    impl<F> Frontend for Unopened<F>
    where
        F: Fn(RequestId, Result<Option<Buffer>, Errno>) + Send + Sync,
    {
        fn complete(&self, id: RequestId, result: Result<Option<Buffer>, Errno>) {
            self.0(id, result);
        }
        fn open(&self, _: Access) -> io::Result<()> {
            Ok(())
        }
        fn close(&self) -> io::Result<()> {
            Ok(())
        }
        fn is_held_open(&self) -> io::Result<bool> {
            Ok(false)
        }
        fn resize(&self, _: SectorCount) -> io::Result<()> {
            Ok(())
        }
        fn set_features(&self, _: Features) {}
        fn set_links(&self, _: Vec<PathBuf>) -> io::Result<()> {
            Ok(())
        }
        fn device_number(&self) -> Option<DeviceNumber> {
            None
        }
        fn stop(&self) -> io::Result<()> {
            Ok(())
        }
    }
}
