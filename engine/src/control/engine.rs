//! The engine as a whole: what it was started with, and how resources come and go.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use drbd_control::Settings;
use drbd_core::Resource;
use drbd_core::effect::Level;
use drbd_types::{ByteCount, Minor, SectorCount, VolumeNr};

use super::object::{Object, Registry, Shared, Volume};
use super::options;
use crate::buffer::Pool;
use crate::device::{self, DeviceError, DevicePaths, Features, Geometry};
use crate::log::{About, Log};
use crate::runtime::driver::Driver;
use crate::runtime::outside::{Outside, Services};
use crate::runtime::port::{Command, VolumeSink, port};

/// Memory for data in flight between network and disk, for each resource.
const RESOURCE_POOL: ByteCount = ByteCount(256 << 20);
/// Memory for data that applications write, for each volume.
const DEVICE_POOL: ByteCount = ByteCount(64 << 20);
/// Buffers that exist from the start, so that the first requests need no allocator.
const READY: &[(usize, usize)] = &[(4 << 10, 256), (64 << 10, 8), (128 << 10, 16), (1 << 20, 4)];

/// What the engine was started with.
#[derive(Clone, Debug)]
pub struct EngineConf {
    /// `$DRBD_RUN_DIR`.
    pub run_dir: PathBuf,
    /// Who makes block devices.
    pub frontend: device::Choice,
}

/// The engine.
pub struct Engine {
    /// What it was started with.
    pub conf: EngineConf,
    /// What resources need.
    pub services: Services,
    /// What is configured.
    pub registry: Arc<Registry>,
}

impl Engine {
    /// An engine without resources.
    pub fn new(conf: EngineConf, services: Services) -> Self {
        Self {
            conf,
            services,
            registry: Arc::default(),
        }
    }

    /// The log.
    pub fn log(&self) -> &Log {
        &self.services.log
    }

    /// Creates a resource with its thread.
    pub fn add_resource(&self, name: &str, settings: Settings) -> io::Result<()> {
        let (port, inbox) = port()?;
        let seed = random_seed()?;
        let pool = ready_pool(RESOURCE_POOL);
        let shared = Arc::new(Shared::new(name.to_owned(), settings));
        let conf = options::resource(&shared.config().options);
        let (outside, _keeper) =
            Outside::new(Arc::clone(&shared), port.clone(), self.services.clone())?;
        let core = Resource::new(conf, seed);
        let log = self.log().clone();
        let (started, ready) = sync_channel(1);
        let resource = name.to_owned();
        std::thread::Builder::new()
            .name(format!("drbd_{name}"))
            .spawn(move || {
                // The ring belongs to the thread that makes it.
                let driver = match Driver::new(core, inbox, pool, outside) {
                    Ok(driver) => driver,
                    Err(error) => {
                        let _ = started.send(Err(error));
                        return;
                    }
                };
                let _ = started.send(Ok(()));
                if let Err(error) = driver.run() {
                    let about = About::Resource(&resource);
                    let text = format_args!("the kernel refuses io_uring: {error}");
                    log.write(Level::Alert, about, text);
                }
            })?;
        let started = ready.recv();
        started.unwrap_or_else(|_| Err(io::Error::other("the thread did not start")))?;
        self.registry.add(Arc::new(Object {
            shared,
            port,
            turn: tokio::sync::Mutex::new(()),
        }));
        Ok(())
    }

    /// Forgets a resource that has nothing left, and ends its thread.
    pub fn drop_resource(&self, object: &Object) {
        self.registry.remove(&object.shared.name);
        // It may have ended by itself.
        let _ = object.port.send(Command::Stop);
        let gone = crate::runtime::outside::Happening::Gone(Arc::clone(&object.shared));
        // Nobody listens any more while the engine ends.
        let _ = self.services.events.send(gone);
    }

    /// Makes the block device of a new volume. Blocks.
    pub fn make_device(
        &self,
        object: &Object,
        volume: VolumeNr,
        minor: Minor,
    ) -> Result<Volume, DeviceError> {
        let paths = self.device_paths(object, volume);
        let sink = VolumeSink {
            port: object.port.clone(),
            volume,
        };
        let frontend = device::start(
            self.conf.frontend,
            minor,
            Geometry::new(SectorCount(0)),
            paths,
            ready_pool(DEVICE_POOL),
            Arc::new(sink),
        )?;
        Ok(Volume {
            minor,
            disk: None,
            features: Features::default(),
            frontend: Arc::from(frontend),
        })
    }

    /// The names of a volume's block device while it has no disk.
    pub fn device_paths(&self, object: &Object, volume: VolumeNr) -> DevicePaths {
        let explicit = (volume.0 != 0).then_some(volume);
        DevicePaths::new(&self.conf.run_dir).by_resource(&object.shared.name, explicit)
    }
}

fn ready_pool(limit: ByteCount) -> Pool {
    let pool = Pool::new(limit);
    for (length, count) in READY {
        pool.prepare(*length, *count);
    }
    pool
}

fn random_seed() -> io::Result<u64> {
    let mut seed = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut seed)?;
    Ok(u64::from_ne_bytes(seed))
}
