//! The control socket: accepts clients, decodes their requests, sends the answers.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use drbd_control::frame::MAX_MESSAGE;
use drbd_control::{
    Caller, Connection, Errno, Events, FamilyId, Listener, Message, Op, Privilege, Request,
    RetCode, Wanted,
};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::Semaphore;

use super::command;
use super::engine::Engine;
use super::events::{Hub, Subscription};
use super::notices;
use super::view::{Secrets, View};

/// Clients at the same time; more wait in the listener's queue.
const MAX_CLIENTS: usize = 256;

/// Serves clients until the task is dropped.
pub async fn serve(engine: Arc<Engine>, hub: Hub, listener: Listener) -> io::Result<()> {
    let readiness = Readiness::of(&listener)?;
    let places = Arc::new(Semaphore::new(MAX_CLIENTS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return Ok(());
        };
        match readiness
            .when(Interest::READABLE, || listener.accept())
            .await
        {
            Ok(connection) => {
                let client = Client::new(Arc::clone(&engine), hub.clone(), connection);
                tokio::spawn(async move {
                    // A client that breaks the rules or goes away ends only its own connection.
                    if let Ok(client) = client {
                        let _ = client.run().await;
                    }
                    drop(place);
                });
            }
            // Descriptors are short, or the client is gone already: the next one may succeed.
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

/// Tells when a socket is ready. Tokio's own types know stream sockets only, but readiness is a
/// matter of the descriptor, not of its type.
struct Readiness(UnixStream);

impl Readiness {
    fn of(socket: impl AsFd) -> io::Result<Self> {
        let duplicate = socket.as_fd().try_clone_to_owned()?;
        UnixStream::from_std(duplicate.into()).map(Self)
    }

    /// Waits until `work` does not have to wait any more.
    async fn when<T>(
        &self,
        interest: Interest,
        mut work: impl FnMut() -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            self.0.ready(interest).await?;
            match self.0.try_io(interest, &mut work) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
    }
}

struct Client {
    engine: Arc<Engine>,
    hub: Hub,
    connection: Connection,
    readiness: Readiness,
    caller: Caller,
}

impl Client {
    fn new(engine: Arc<Engine>, hub: Hub, connection: Connection) -> io::Result<Self> {
        let caller = connection.caller()?;
        Ok(Self {
            engine,
            hub,
            readiness: Readiness::of(&connection)?,
            connection,
            caller,
        })
    }

    async fn run(self) -> io::Result<()> {
        let mut buffer = Vec::with_capacity(MAX_MESSAGE);
        let mut notices: Option<Subscription> = None;
        loop {
            let received = tokio::select! {
                received = self.receive(&mut buffer) => received?,
                notice = next_notice(&mut notices) => {
                    match notice {
                        Some(bytes) => self.send(&bytes).await?,
                        // It did not read for too long: as netlink, drop what cannot be told.
                        None => return Ok(()),
                    }
                    continue;
                }
            };
            let Some(bytes) = received else {
                return Ok(());
            };
            match Request::decode(&bytes, FamilyId::ENGINE) {
                Ok(request) => {
                    if request.events == Events::Join && notices.is_none() {
                        notices = Some(self.hub.subscribe());
                    }
                    self.answer(&request).await?;
                }
                Err(refusal) => match refusal.encode() {
                    Some(bytes) => self.send(&bytes).await?,
                    None => return Ok(()),
                },
            }
        }
    }

    async fn receive(&self, buffer: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
        let receive = || Ok(self.connection.recv(buffer)?.map(<[u8]>::to_vec));
        self.readiness.when(Interest::READABLE, receive).await
    }

    async fn send(&self, message: &[u8]) -> io::Result<()> {
        let send = || self.connection.send(message);
        self.readiness.when(Interest::WRITABLE, send).await
    }

    async fn send_message(&self, message: &Message) -> io::Result<()> {
        self.send(&message.encode(FamilyId::ENGINE)).await
    }

    async fn answer(&self, request: &Request) -> io::Result<()> {
        let denied = request.op.privilege() == Privilege::Admin && self.caller != Caller::Admin;
        if denied {
            return self
                .send(&request.error(FamilyId::ENGINE, Errno::Perm))
                .await;
        }
        match (request.op, request.wanted) {
            (Op::GetInitialState, _) => self.initial_state(request).await,
            (_, Wanted::List) => self.list(request).await,
            (Op::GetStatus, Wanted::One) => self.status(request).await,
            _ => match command::execute(&self.engine, request).await {
                Some(reply) => self.send_message(&reply).await,
                None => {
                    let error = request.error(FamilyId::ENGINE, Errno::OpNotSupp);
                    self.send(&error).await
                }
            },
        }
    }

    const fn secrets(&self) -> Secrets {
        match self.caller {
            Caller::Admin => Secrets::Shown,
            Caller::Other => Secrets::Hidden,
        }
    }

    /// GET_STATUS about one minor.
    async fn status(&self, request: &Request) -> io::Result<()> {
        let found = request.minor.and_then(|m| self.engine.registry.by_minor(m));
        let Some((object, volume)) = found else {
            let reply = request.reply(RetCode::MinorInvalid).info("unknown minor");
            return self.send_message(&reply).await;
        };
        let Ok(status) = object.port.status().await else {
            return self.send_message(&command::gone(request)).await;
        };
        let view = View::new(&object.shared, &status);
        let seen = view.volumes.iter().find(|v| v.status.volume == volume);
        let reply = match seen {
            Some(seen) => view.status_item(request.item(request.minor), seen, self.secrets()),
            None => request.reply(RetCode::MinorInvalid).info("unknown minor"),
        };
        self.send_message(&reply).await
    }

    /// Every kind of list but the initial state.
    async fn list(&self, request: &Request) -> io::Result<()> {
        let filter = request.context.as_ref().and_then(|c| c.resource.as_deref());
        let objects = match filter {
            // This one list knows no filter.
            Some(_) if request.op == Op::GetResources => self.engine.registry.all(),
            Some(name) => match self.engine.registry.by_name(name) {
                Some(object) => vec![object],
                None => return self.unknown_filter(request).await,
            },
            None if request.op == Op::GetStatus && request.context.is_some() => {
                return self.send(&request.done(Err(Errno::Inval))).await;
            }
            None => self.engine.registry.all(),
        };
        for object in objects {
            let Ok(status) = object.port.status().await else {
                continue;
            };
            let view = View::new(&object.shared, &status);
            for item in view.list_items(request, self.secrets()) {
                self.send_message(&item).await?;
            }
        }
        self.send(&request.done(Ok(()))).await
    }

    /// Spec 30 section 4.4: the kernel repeats the code without end; once is enough.
    async fn unknown_filter(&self, request: &Request) -> io::Result<()> {
        if request.op == Op::GetStatus {
            return self.send(&request.done(Err(Errno::NoDev))).await;
        }
        let mut item = request.item(None);
        item.answer = RetCode::ResNotKnown.into();
        self.send_message(&item).await?;
        self.send(&request.done(Ok(()))).await
    }

    async fn initial_state(&self, request: &Request) -> io::Result<()> {
        for object in self.engine.registry.all() {
            let Ok(status) = object.port.status().await else {
                continue;
            };
            let view = View::new(&object.shared, &status);
            for item in notices::initial(request, &view) {
                self.send_message(&item).await?;
            }
        }
        self.send_message(&notices::initial_done(request)).await?;
        self.send(&request.done(Ok(()))).await
    }
}

/// The next notice of a subscription; never, without one.
async fn next_notice(subscription: &mut Option<Subscription>) -> Option<Arc<[u8]>> {
    match subscription {
        Some(subscription) => subscription.recv().await,
        None => std::future::pending().await,
    }
}
