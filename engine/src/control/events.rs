//! Distributes notices to the clients that listen.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use drbd_control::FamilyId;
use drbd_core::effect::HelperSubject;
use tokio::sync::mpsc;

use super::notices::{self, Notice, Stream};
use super::view::View;
use crate::runtime::outside::Happening;

/// Notices that may wait for a client; one that does not read loses its connection, as a netlink
/// socket loses messages.
const QUEUE: usize = 4096;
/// The first number of each stream (spec 30 section 4.5).
const FIRST: u32 = 3;

/// Where a client's notices go.
type Listener = mpsc::Sender<Arc<[u8]>>;

/// A client's notices.
pub type Subscription = mpsc::Receiver<Arc<[u8]>>;

/// Where clients subscribe.
#[derive(Clone, Default)]
pub struct Hub {
    listeners: Arc<Mutex<Vec<Listener>>>,
}

impl Hub {
    /// From now on.
    pub fn subscribe(&self) -> Subscription {
        let (sender, receiver) = mpsc::channel(QUEUE);
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(sender);
        receiver
    }

    /// Sends to everybody; whoever is gone or too slow is forgotten.
    fn send(&self, bytes: &Arc<[u8]>) {
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|listener| listener.try_send(Arc::clone(bytes)).is_ok());
    }

    /// Turns what happens into notices, until nothing can happen any more.
    pub async fn run(self, mut happenings: mpsc::UnboundedReceiver<Happening>) {
        let mut teller = Teller {
            hub: self,
            known: HashMap::new(),
            classic: FIRST,
            fine: FIRST,
        };
        while let Some(happening) = happenings.recv().await {
            teller.tell(happening);
        }
    }
}

struct Teller {
    hub: Hub,
    /// The last view of each resource.
    known: HashMap<String, View>,
    classic: u32,
    fine: u32,
}

impl Teller {
    fn tell(&mut self, happening: Happening) {
        match happening {
            Happening::Changed(shared, status) => {
                let view = View::new(&shared, &status);
                let notices = notices::differences(self.known.get(&view.name), &view);
                self.known.insert(view.name.clone(), view);
                self.send(notices);
            }
            Happening::Helper(shared, about, name, status) => {
                let minor = match about {
                    HelperSubject::Minor(minor) => Some(minor),
                    HelperSubject::Resource => None,
                };
                if let Some(view) = self.known.get(&shared.name) {
                    let notices = notices::helper(view, minor, name, status);
                    self.send(notices);
                }
            }
            Happening::Gone(shared) => {
                if let Some(view) = self.known.remove(&shared.name) {
                    let notices = notices::gone(&view);
                    self.send(notices);
                }
            }
        }
    }

    fn send(&mut self, notices: Vec<Notice>) {
        for mut notice in notices {
            let counter = match notice.stream {
                Stream::Classic => &mut self.classic,
                Stream::Fine => &mut self.fine,
            };
            notice.message.seq = *counter;
            *counter = counter.wrapping_add(1);
            let bytes: Arc<[u8]> = notice.message.encode(FamilyId::ENGINE).into();
            self.hub.send(&bytes);
        }
    }
}
