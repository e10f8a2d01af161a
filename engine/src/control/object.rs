//! What is configured: resources, their volumes, connections, and how requests name them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use drbd_control::{Context, DiskConf, Endpoint, Message, Needs, Request, RetCode, Settings};
use drbd_core::status::ResourceStatus;
use drbd_types::{Minor, VolumeNr};

use crate::device::{Features, Frontend};
use crate::runtime::port::Port;

/// A configured resource.
pub struct Object {
    /// What other threads may look at.
    pub shared: Arc<Shared>,
    /// The way into its thread.
    pub port: Port,
    /// Commands on one resource are carried out one after the other.
    pub turn: tokio::sync::Mutex<()>,
}

/// Name and configuration of a resource.
pub struct Shared {
    /// The name.
    pub name: String,
    config: Mutex<Config>,
}

/// The configuration as it was given.
pub struct Config {
    /// Resource options.
    pub options: Settings,
    /// The volumes.
    pub volumes: BTreeMap<VolumeNr, Volume>,
    /// The connection, while one is configured.
    pub net: Option<Net>,
}

impl Config {
    /// Forgets what the core has given up: the configuration of a lost disk or connection.
    pub fn follow(&mut self, status: &ResourceStatus) {
        if status.net.is_none() {
            self.net = None;
        }
        for volume in status.volumes.iter().filter(|v| v.disk.is_none()) {
            if let Some(config) = self.volumes.get_mut(&volume.volume) {
                config.disk = None;
            }
        }
    }
}

/// A configured volume.
pub struct Volume {
    /// Its minor.
    pub minor: Minor,
    /// Its disk, while one is attached.
    pub disk: Option<DiskConf>,
    /// What its disk can do: counts when the device is next opened.
    pub features: Features,
    /// Who serves the block device.
    pub frontend: Arc<dyn Frontend>,
}

/// A configured connection.
#[derive(Clone, Debug)]
pub struct Net {
    /// Own address.
    pub mine: Endpoint,
    /// The peer's address.
    pub peer: Endpoint,
    /// All options.
    pub settings: Settings,
}

impl Shared {
    /// A resource without volumes and connection.
    pub fn new(name: String, options: Settings) -> Self {
        Self {
            name,
            config: Mutex::new(Config {
                options,
                volumes: BTreeMap::new(),
                net: None,
            }),
        }
    }

    /// The configuration. Held only to look or to change a value, never across a wait.
    pub fn config(&self) -> MutexGuard<'_, Config> {
        // Values are replaced whole, so a panic elsewhere leaves nothing half changed.
        self.config.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The volume with this minor.
    pub fn volume_of(&self, minor: Minor) -> Option<VolumeNr> {
        let config = self.config();
        let found = config.volumes.iter().find(|(_, v)| v.minor == minor);
        found.map(|(number, _)| *number)
    }
}

/// What a request is about, once found.
#[derive(Clone)]
pub enum Target {
    /// Nothing that exists.
    Nothing,
    /// A resource.
    Resource(Arc<Object>),
    /// A volume.
    Volume(Arc<Object>, VolumeNr, Minor),
}

/// All resources, in the order of their creation.
#[derive(Default)]
pub struct Registry {
    objects: Mutex<Vec<Arc<Object>>>,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Object>>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<Object>> {
        self.lock().clone()
    }

    /// The one with this name.
    pub fn by_name(&self, name: &str) -> Option<Arc<Object>> {
        let all = self.lock();
        all.iter().find(|o| o.shared.name == name).cloned()
    }

    /// The one with this minor.
    pub fn by_minor(&self, minor: Minor) -> Option<(Arc<Object>, VolumeNr)> {
        let all = self.lock();
        all.iter().find_map(|object| {
            let volume = object.shared.volume_of(minor)?;
            Some((Arc::clone(object), volume))
        })
    }

    /// Adds a resource.
    pub fn add(&self, object: Arc<Object>) {
        self.lock().push(object);
    }

    /// Forgets a resource.
    pub fn remove(&self, name: &str) {
        self.lock().retain(|o| o.shared.name != name);
    }

    /// Whether any connection uses one of the addresses: first mine, then the peer's, connection
    /// by connection (spec 30 section 5.5).
    pub fn address_conflict(&self, mine: &Endpoint, peer: &Endpoint) -> Option<RetCode> {
        for object in self.all() {
            let config = object.shared.config();
            let Some(net) = &config.net else { continue };
            if net.mine == *mine {
                return Some(RetCode::LocalAddr);
            }
            if net.peer == *peer {
                return Some(RetCode::PeerAddr);
            }
        }
        None
    }

    /// The one with this connection: both addresses must match byte for byte.
    fn by_addresses(&self, context: &Context) -> Option<Arc<Object>> {
        let (mine, peer) = (context.my_addr.as_ref()?, context.peer_addr.as_ref()?);
        self.all().into_iter().find(|object| {
            let config = object.shared.config();
            (config.net.as_ref()).is_some_and(|net| net.mine == *mine && net.peer == *peer)
        })
    }

    /// Finds what a request is about, in the order of spec 30 section 5.1; the error is the reply.
    #[allow(clippy::result_large_err, reason = "the error is the message to send")]
    pub fn find(&self, request: &Request) -> Result<Target, Message> {
        let empty = Context::default();
        let context = request.context.as_ref().unwrap_or(&empty);
        let device = request.minor.and_then(|minor| self.by_minor(minor));
        let named = context.resource.as_deref().and_then(|n| self.by_name(n));
        let needs = request.op.needs();
        let invalid = |text: &str| request.reply(RetCode::InvalidRequest).info(text);
        if needs == Needs::Minor && device.is_none() {
            return Err(request.reply(RetCode::MinorInvalid).info("unknown minor"));
        }
        let needs_resource = matches!(
            needs,
            Needs::Resource | Needs::NewMinor | Needs::NewConnection
        );
        if needs_resource && named.is_none() {
            let code = match context.resource {
                Some(_) => RetCode::ResNotKnown,
                None => RetCode::InvalidRequest,
            };
            return Err(request.reply(code).info("unknown resource"));
        }
        if needs == Needs::Connection {
            if named.is_some() {
                return Err(invalid("no resource name expected"));
            }
            if device.is_some() {
                return Err(invalid("no minor number expected"));
            }
            let found = self.by_addresses(context);
            return found
                .map(Target::Resource)
                .ok_or_else(|| invalid("unknown connection"));
        }
        if let (Some((owner, _)), Some(resource)) = (&device, &named)
            && !Arc::ptr_eq(owner, resource)
        {
            return Err(invalid("minor exists in different resource"));
        }
        if let (Some((_, volume)), Some(given)) = (&device, context.volume)
            && u32::from(volume.0) != given
        {
            return Err(invalid("minor exists as different volume"));
        }
        Ok(match (needs, device, named) {
            (Needs::Minor, Some((object, volume)), _) => {
                let minor = request.minor.unwrap_or_default();
                Target::Volume(object, volume, minor)
            }
            (_, _, Some(object)) if needs_resource => Target::Resource(object),
            _ => Target::Nothing,
        })
    }
}
