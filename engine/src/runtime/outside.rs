//! The real surroundings of a resource's thread: tokio for the network and helpers, a thread for
//! calls that block, the log.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use drbd_core::effect::{Access, HelperSubject, Level, LinkDelay, Reply, Scope};
use drbd_core::input::{HelperRun, LinkId, TieBreaker};
use drbd_core::status::ResourceStatus;
use drbd_types::{SectorCount, VolumeNr};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use super::port::{Command, Port, Sockets};
use super::surroundings::{Configured, Surroundings};
use crate::control::object::{Net, Shared};
use crate::control::options;
use crate::device;
use crate::helper::Call;
use crate::log::{About, Log};
use crate::net::{self, Failure, ResolveConflicts, Severity};

/// What somebody who listens to events wants to hear of.
pub enum Happening {
    /// The observable state of a resource changed.
    Changed(Arc<Shared>, Box<ResourceStatus>),
    /// A helper is about to be called, or has returned with this wait status.
    Helper(Arc<Shared>, HelperSubject, &'static str, Option<i32>),
    /// The resource is gone.
    Gone(Arc<Shared>),
}

/// What a resource needs from the engine.
#[derive(Clone)]
pub struct Services {
    /// Where tasks run.
    pub tokio: Handle,
    /// The log.
    pub log: Log,
    /// The usermode helper.
    pub helper: PathBuf,
    /// Who hears of changes.
    pub events: mpsc::UnboundedSender<Happening>,
}

/// The surroundings of one resource.
pub struct Outside {
    shared: Arc<Shared>,
    port: Port,
    services: Services,
    devices: Sender<DeviceWork>,
    attempt: Option<AbortHandle>,
}

/// Work that may block for as long as the kernel flushes or sets up a device.
enum DeviceWork {
    Size(VolumeNr, SectorCount),
    Access(VolumeNr, Access),
    Reply(oneshot::Sender<Reply>, Reply),
}

impl Outside {
    /// Surroundings, and the thread for device work, which ends with them.
    pub fn new(
        shared: Arc<Shared>,
        port: Port,
        services: Services,
    ) -> io::Result<(Self, JoinHandle<()>)> {
        let (devices, work) = channel();
        let keeper = DeviceKeeper {
            shared: Arc::clone(&shared),
            log: services.log.clone(),
        };
        let thread = std::thread::Builder::new()
            .name(format!("drbd_d_{}", shared.name))
            .spawn(move || keeper.run(&work))?;
        let outside = Self {
            shared,
            port,
            services,
            devices,
            attempt: None,
        };
        Ok((outside, thread))
    }

    fn device_work(&self, work: DeviceWork) {
        // The thread ends only when this sender is dropped.
        let _ = self.devices.send(work);
    }
}

impl Surroundings for Outside {
    fn open_link(&mut self, link: LinkId, delay: LinkDelay) {
        let attempt = Attempt {
            link,
            shared: Arc::clone(&self.shared),
            port: self.port.clone(),
            log: self.services.log.clone(),
        };
        let task = self.services.tokio.spawn(attempt.run(delay));
        self.attempt = Some(task.abort_handle());
    }

    fn close_link(&mut self, _link: LinkId) {
        if let Some(task) = self.attempt.take() {
            task.abort();
        }
    }

    fn run_helper(&mut self, run: HelperRun, event: &'static str, about: HelperSubject) {
        let call = Call {
            program: self.services.helper.clone(),
            event,
            argument: match about {
                HelperSubject::Minor(minor) => format!("minor-{minor}"),
                HelperSubject::Resource => self.shared.name.clone(),
            },
            peer: self
                .shared
                .config()
                .net
                .as_ref()
                .map(|net| net.peer.clone()),
        };
        let shared = Arc::clone(&self.shared);
        let services = self.services.clone();
        let port = self.port.clone();
        self.services.tokio.spawn(async move {
            let volume = match about {
                HelperSubject::Minor(minor) => shared.volume_of(minor).map(|v| (v, minor)),
                HelperSubject::Resource => None,
            };
            let prefix = match volume {
                Some((volume, minor)) => About::Volume(&shared.name, volume, minor),
                None => About::Resource(&shared.name),
            };
            let tell = |status| {
                let happening = Happening::Helper(Arc::clone(&shared), about, event, status);
                // Nobody listens any more while the engine ends.
                let _ = services.events.send(happening);
            };
            let line = call.line();
            services
                .log
                .write(Level::Info, prefix, format_args!("helper command: {line}"));
            tell(None);
            let ended = call.run().await;
            let level = match ended.raw {
                0 => Level::Info,
                _ => Level::Warning,
            };
            let (exit, raw) = (ended.exit(), ended.raw);
            services.log.write(
                level,
                prefix,
                format_args!("helper command: {line} exit code {exit} (0x{raw:x})"),
            );
            tell(Some(raw));
            // The resource may have ended meanwhile.
            let _ = port.send(Command::HelperDone { run, exit });
        });
    }

    fn log(&mut self, level: Level, scope: Scope, text: String) {
        let about = match scope {
            Scope::Resource => About::Resource(&self.shared.name),
            Scope::Volume(volume, minor) => About::Volume(&self.shared.name, volume, minor),
        };
        self.services.log.write(level, about, text);
    }

    fn set_size(&mut self, volume: VolumeNr, size: SectorCount) {
        self.device_work(DeviceWork::Size(volume, size));
    }

    fn set_access(&mut self, volume: VolumeNr, access: Access) {
        self.device_work(DeviceWork::Access(volume, access));
    }

    fn reply(&mut self, answer: oneshot::Sender<Reply>, reply: Reply) {
        self.device_work(DeviceWork::Reply(answer, reply));
    }

    fn configure_net(&mut self, net: &Net) -> Configured {
        let mut config = self.shared.config();
        if config.net.is_some() {
            return Configured::Already;
        }
        config.net = Some(net.clone());
        Configured::Now
    }

    fn forget_net(&mut self) {
        self.shared.config().net = None;
    }

    fn show_disk(&mut self, volume: VolumeNr, shown: drbd_control::DiskConf) {
        if let Some(volume) = self.shared.config().volumes.get_mut(&volume) {
            volume.disk = Some(shown);
        }
    }

    fn changed(&mut self, status: ResourceStatus) {
        self.shared.config().follow(&status);
        let happening = Happening::Changed(Arc::clone(&self.shared), Box::new(status));
        // Nobody listens any more while the engine ends.
        let _ = self.services.events.send(happening);
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        if let Some(task) = self.attempt.take() {
            task.abort();
        }
    }
}

/// The search for the peer.
struct Attempt {
    link: LinkId,
    shared: Arc<Shared>,
    port: Port,
    log: Log,
}

impl Attempt {
    async fn run(self, delay: LinkDelay) {
        if delay == LinkDelay::AfterFailure {
            tokio::time::sleep(net::RETRY_PAUSE).await;
        }
        let link = self.link;
        let command = match self.search().await {
            Some(found) => Command::LinkUp {
                link,
                sockets: Sockets {
                    data: found.data.into(),
                    meta: found.meta.into(),
                },
                agreed: found.agreed,
                tie: match found.resolve_conflicts {
                    ResolveConflicts::Here => TieBreaker::Here,
                    ResolveConflicts::There => TieBreaker::There,
                },
            },
            None => Command::LinkRefused { link },
        };
        // The resource may have ended meanwhile; then the sockets are closed with the command.
        let _ = self.port.send(command);
    }

    async fn search(&self) -> Option<net::Established> {
        loop {
            // Read afresh each time: net-options may have changed it.
            let config = {
                let config = self.shared.config();
                let net = config.net.as_ref()?;
                options::connection(&net.mine, &net.peer, &net.settings).ok()?
            };
            let log = |event: net::Event| {
                let level = match event.severity() {
                    Severity::Error => Level::Error,
                    Severity::Warning => Level::Warning,
                    Severity::Info => Level::Info,
                };
                self.log
                    .write(level, About::Resource(&self.shared.name), event);
            };
            match net::establish(&config, log).await {
                Ok(found) => return Some(found),
                Err(Failure::Fatal) => return None,
                Err(Failure::Retry(_)) => tokio::time::sleep(net::RETRY_PAUSE).await,
            }
        }
    }
}

/// Carries out device work in order.
struct DeviceKeeper {
    shared: Arc<Shared>,
    log: Log,
}

impl DeviceKeeper {
    fn run(&self, work: &Receiver<DeviceWork>) {
        while let Ok(work) = work.recv() {
            match work {
                DeviceWork::Size(volume, size) => {
                    self.with(volume, "resize", |frontend| frontend.resize(size));
                }
                DeviceWork::Access(volume, Access::ReadWrite) => {
                    let features = self.features(volume);
                    self.with(volume, "open", |frontend| {
                        frontend.set_features(features);
                        frontend.open(device::Access::ReadWrite)
                    });
                }
                DeviceWork::Access(volume, Access::Closed) => {
                    self.with(volume, "close", |frontend| frontend.close());
                }
                DeviceWork::Reply(answer, reply) => {
                    // The client may have gone away.
                    let _ = answer.send(reply);
                }
            }
        }
    }

    fn features(&self, volume: VolumeNr) -> device::Features {
        let config = self.shared.config();
        (config.volumes.get(&volume)).map_or_else(Default::default, |v| v.features)
    }

    fn with(
        &self,
        volume: VolumeNr,
        what: &str,
        work: impl FnOnce(&dyn device::Frontend) -> io::Result<()>,
    ) {
        let found = {
            let config = self.shared.config();
            let found = config.volumes.get(&volume);
            found.map(|v| (Arc::clone(&v.frontend), v.minor))
        };
        let Some((frontend, minor)) = found else {
            return;
        };
        if let Err(error) = work(&*frontend) {
            let about = About::Volume(&self.shared.name, volume, minor);
            let text = format_args!("block device: {what} failed: {error}");
            self.log.write(Level::Error, about, text);
        }
    }
}
