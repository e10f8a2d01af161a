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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::request::testing::Unopened;
    use crate::runtime::port::port;
    use drbd_control::{Answer, Family, Nest, Op};

    fn address(text: &str) -> Endpoint {
        Endpoint::new(Family::IPV4, text.parse().unwrap())
    }

    /// r0 with minor 0 and a connection, r1 with minor 1.
    fn registry() -> Registry {
        let registry = Registry::default();
        for (name, minor) in [("r0", 0), ("r1", 1)] {
            let options = Settings::defaults(Nest::ResourceOpts);
            let shared = Shared::new(name.to_owned(), options);
            let volume = Volume {
                minor: Minor(minor),
                disk: None,
                features: Features::default(),
                frontend: Arc::new(Unopened(|_, _| ())),
            };
            shared.config().volumes.insert(VolumeNr(0), volume);
            if minor == 0 {
                shared.config().net = Some(Net {
                    mine: address("10.0.0.1:7788"),
                    peer: address("10.0.0.2:7788"),
                    settings: Settings::defaults(Nest::NetConf),
                });
            }
            registry.add(Arc::new(Object {
                shared: Arc::new(shared),
                port: port().unwrap().0,
                turn: tokio::sync::Mutex::new(()),
            }));
        }
        registry
    }

    fn refusal(request: &Request) -> (i32, String) {
        match registry().find(request) {
            Ok(_) => (Answer::OK.code(), String::new()),
            Err(message) => {
                let text = message.infos().collect::<Vec<_>>().join("|");
                (message.answer.code(), text)
            }
        }
    }

    /// Spec 30 section 5.1, number by number.
    #[test]
    fn objects_are_looked_up_in_the_order_of_the_kernel() {
        let named = |op, name: &str| Request::new(op).for_context(Context::resource(name));
        let volume = |name: &str, nr| Context::volume(name, VolumeNr(nr));
        let new_minor = |context, minor| {
            let request = Request::new(Op::NewMinor).for_context(context);
            request.for_minor(Minor(minor))
        };
        let ends = |mine: &str, peer: &str| {
            Context::default().with_addresses(address(mine), address(peer))
        };
        let disconnect = |context| Request::new(Op::Disconnect).for_context(context);
        let (mine, peer) = ("10.0.0.1:7788", "10.0.0.2:7788");
        let cases = [
            (
                Request::new(Op::Primary).for_minor(Minor(9)),
                127,
                "unknown minor",
            ),
            (Request::new(Op::Primary), 127, "unknown minor"),
            (Request::new(Op::Primary).for_minor(Minor(1)), 101, ""),
            (named(Op::Down, "r9"), 158, "unknown resource"),
            (Request::new(Op::Down), 162, "unknown resource"),
            (named(Op::Down, "r0"), 101, ""),
            (disconnect(ends(mine, peer)), 101, ""),
            (disconnect(ends(peer, mine)), 162, "unknown connection"),
            (
                disconnect(Context::resource("r0")),
                162,
                "no resource name expected",
            ),
            (
                disconnect(ends(mine, peer)).for_minor(Minor(0)),
                162,
                "no minor number expected",
            ),
            (
                new_minor(volume("r1", 1), 0),
                162,
                "minor exists in different resource",
            ),
            (
                new_minor(volume("r0", 1), 0),
                162,
                "minor exists as different volume",
            ),
            (new_minor(volume("r0", 1), 5), 101, ""),
        ];
        for (request, code, text) in cases {
            assert_eq!(refusal(&request), (code, text.to_owned()), "{request:?}");
        }
    }

    #[test]
    fn an_address_belongs_to_one_connection_only() {
        let registry = registry();
        let conflict =
            |mine: &str, peer: &str| registry.address_conflict(&address(mine), &address(peer));
        let other = "10.0.0.3:1";
        assert_eq!(conflict("10.0.0.1:7788", other), Some(RetCode::LocalAddr));
        assert_eq!(conflict(other, "10.0.0.2:7788"), Some(RetCode::PeerAddr));
        assert_eq!(conflict("10.0.0.1:7789", other), None);
        // Both at once: the own address is looked at first.
        let both = conflict("10.0.0.1:7788", "10.0.0.2:7788");
        assert_eq!(both, Some(RetCode::LocalAddr));
    }
}
