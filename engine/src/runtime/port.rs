//! The way into a resource's thread: a queue that wakes it.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};

use drbd_core::config::{DiskConf, NetConf};
use drbd_core::effect::Reply;
use drbd_core::input::{Admin, ConnectOnce, DiskImage, HelperRun, LinkId, TieBreaker};
use drbd_core::status::ResourceStatus;
use drbd_types::{Minor, VolumeNr};
use drbd_wire::Agreed;
use rustix::event::{EventfdFlags, eventfd};
use tokio::sync::oneshot;

use crate::control::object::Net;
use crate::device::{Frontend, Request, RequestSink};
use crate::store::Store;

/// What a resource's thread is told.
pub enum Command {
    /// An administrator's request.
    Admin {
        /// What.
        request: Admin,
        /// Gets the answer.
        answer: oneshot::Sender<Reply>,
    },
    /// `attach`, with the opened and checked disk.
    Attach {
        /// Which volume.
        volume: VolumeNr,
        /// The disk.
        store: Box<Store>,
        /// What was found on it.
        image: Box<DiskImage>,
        /// Options.
        options: DiskConf,
        /// The request as `show` prints it while the disk is attached.
        shown: Box<drbd_control::DiskConf>,
        /// Gets the answer.
        answer: oneshot::Sender<Reply>,
    },
    /// `connect`.
    Connect {
        /// Addresses and options.
        net: Box<Net>,
        /// What the core needs of them.
        options: Box<NetConf>,
        /// Options of this one command.
        once: ConnectOnce,
        /// Gets the answer.
        answer: oneshot::Sender<Reply>,
    },
    /// This front end serves the volume now.
    Serve {
        /// Which volume.
        volume: VolumeNr,
        /// Its front end.
        frontend: Arc<dyn Frontend>,
    },
    /// The volume is gone.
    Forget {
        /// Which volume.
        volume: VolumeNr,
    },
    /// A request of the block device.
    Io {
        /// Which volume.
        volume: VolumeNr,
        /// What.
        request: Request,
    },
    /// A peer was found and authenticated.
    LinkUp {
        /// Which attempt.
        link: LinkId,
        /// The sockets.
        sockets: Sockets,
        /// What was agreed on.
        agreed: Agreed,
        /// Who breaks ties.
        tie: TieBreaker,
    },
    /// The attempt ended for good.
    LinkRefused {
        /// Which attempt.
        link: LinkId,
    },
    /// A usermode helper ended.
    HelperDone {
        /// Which.
        run: HelperRun,
        /// Exit status.
        exit: u8,
    },
    /// How are you?
    Status(Box<dyn FnOnce(ResourceStatus) + Send>),
    /// Number of the next activity-log transaction of a volume.
    NextTransaction {
        /// Which volume.
        volume: VolumeNr,
        /// Gets the number.
        answer: oneshot::Sender<u32>,
    },
    /// End the thread.
    Stop,
}

/// The two connections of a peer.
pub struct Sockets {
    /// The data socket.
    pub data: OwnedFd,
    /// The meta socket.
    pub meta: OwnedFd,
}

/// The sending end; clones lead to the same thread.
#[derive(Clone)]
pub struct Port {
    queue: Sender<Command>,
    bell: Arc<Bell>,
}

/// The receiving end.
pub struct Inbox {
    queue: Receiver<Command>,
    bell: Arc<Bell>,
}

struct Bell {
    event: Arc<OwnedFd>,
    /// Whether the thread is about to wait, so that ringing has a purpose.
    asleep: AtomicBool,
}

/// Both ends of a new queue.
pub fn port() -> io::Result<(Port, Inbox)> {
    let (sender, receiver) = mpsc::channel();
    let bell = Arc::new(Bell {
        event: Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?),
        asleep: AtomicBool::new(false),
    });
    let inbox = Inbox {
        queue: receiver,
        bell: Arc::clone(&bell),
    };
    Ok((
        Port {
            queue: sender,
            bell,
        },
        inbox,
    ))
}

/// The thread has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the resource is gone")]
pub struct Gone;

impl Port {
    /// Queues a command and wakes the thread if it sleeps.
    pub fn send(&self, command: Command) -> Result<(), Gone> {
        self.queue.send(command).map_err(|_| Gone)?;
        // SeqCst on both sides: either the thread sees the command when it looks after having
        // announced its sleep, or the announcement is seen here.
        if self.bell.asleep.swap(false, Ordering::SeqCst) {
            // Fails only when the counter is full, and then the bell rings already.
            let _ = rustix::io::write(&*self.bell.event, &1u64.to_ne_bytes());
        }
        Ok(())
    }

    /// Asks for the state and waits for the answer.
    pub async fn status(&self) -> Result<ResourceStatus, Gone> {
        let (sender, receiver) = oneshot::channel();
        let answer = Box::new(|status| {
            // The asker may have gone away.
            let _ = sender.send(status);
        });
        self.send(Command::Status(answer))?;
        receiver.await.map_err(|_| Gone)
    }

    /// Puts an administrator's request and waits for the answer.
    pub async fn admin(&self, request: Admin) -> Result<Reply, Gone> {
        let (answer, receiver) = oneshot::channel();
        self.send(Command::Admin { request, answer })?;
        receiver.await.map_err(|_| Gone)
    }
}

impl Inbox {
    /// The next command, if there is one.
    pub fn try_next(&self) -> Option<Command> {
        self.queue.try_recv().ok()
    }

    /// What becomes readable when the bell rings.
    pub fn bell(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.bell.event)
    }

    /// Announces that the thread is about to wait; look into the queue once more afterwards.
    pub fn fall_asleep(&self) {
        self.bell.asleep.store(true, Ordering::SeqCst);
    }

    /// The thread is awake again.
    pub fn wake_up(&self) {
        self.bell.asleep.store(false, Ordering::SeqCst);
    }

    /// Makes the bell silent after it rang.
    pub fn quiet(&self) {
        // Not readable any more is just as good.
        let _ = rustix::io::read(&*self.bell.event, &mut [0u8; 8]);
    }
}

/// Lets a front end put requests into the queue of its volume.
pub struct VolumeSink {
    /// The resource's queue.
    pub port: Port,
    /// Which of its volumes.
    pub volume: VolumeNr,
}

impl RequestSink for VolumeSink {
    fn submit(&self, _minor: Minor, request: Request) {
        // A resource ends only after its front ends were stopped; then nobody waits any more.
        let _ = self.port.send(Command::Io {
            volume: self.volume,
            request,
        });
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Port")
    }
}
