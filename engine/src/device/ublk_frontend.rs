//! The ublk front end: a disk of the kernel's ublk driver, made by [`Frontend::open`] and removed by
//! [`Frontend::close`].

use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use drbd_types::{Minor, SectorCount};
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::names::Names;
use super::ublk::{self, Device, Queue};
use super::{
    Access, DeviceError, DeviceNumber, DevicePaths, Features, Frontend, Geometry, RequestId,
    RequestSink, holders, loopdev,
};
use crate::buffer::{Buffer, Pool};

struct Ublk {
    minor: Minor,
    names: Names,
    pool: Pool,
    sink: Arc<dyn RequestSink>,
    state: Mutex<State>,
    /// The queue of the open device, for completions.
    queue: RwLock<Option<Arc<Queue>>>,
}

struct State {
    geometry: Geometry,
    access: Access,
    device: Option<Device>,
    stopped: bool,
}

/// Starts the front end: makes the closed node and the links.
pub fn start(
    minor: Minor,
    geometry: Geometry,
    paths: DevicePaths,
    pool: Pool,
    sink: Arc<dyn RequestSink>,
) -> Result<Box<dyn Frontend>, DeviceError> {
    ublk::clear_remains(minor).map_err(|e| DeviceError::setup("clear stale ublk devices", e))?;
    let names = Names::publish(minor, &paths)
        .map_err(|e| DeviceError::setup(paths.node(minor).display().to_string(), e))?;
    Ok(Box::new(Ublk {
        minor,
        names,
        pool,
        sink,
        state: Mutex::new(State {
            geometry,
            access: Access::ReadOnly,
            device: None,
            stopped: false,
        }),
        queue: RwLock::new(None),
    }))
}

impl Ublk {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current_queue(&self) -> Option<Arc<Queue>> {
        let queue = self.queue.read().unwrap_or_else(PoisonError::into_inner);
        queue.clone()
    }

    fn set_queue(&self, queue: Option<Arc<Queue>>) {
        *self.queue.write().unwrap_or_else(PoisonError::into_inner) = queue;
    }

    fn make_device(&self, geometry: Geometry, access: Access) -> io::Result<Device> {
        let queue = Arc::new(Queue::new(
            self.minor,
            self.pool.clone(),
            Arc::clone(&self.sink),
        )?);
        self.set_queue(Some(Arc::clone(&queue)));
        let device = Device::start(self.minor, geometry, queue).inspect_err(|_| {
            self.set_queue(None);
        })?;
        let finish = || {
            let disk = self.names.open(device.number(), OFlags::RDWR)?;
            loopdev::set_access(disk.as_fd(), access)?;
            self.names.set_number(device.number())
        };
        match finish() {
            Ok(()) => Ok(device),
            Err(e) => {
                self.remove(device)?;
                Err(e)
            }
        }
    }

    fn remove(&self, device: Device) -> io::Result<()> {
        device.remove()?;
        self.set_queue(None);
        Ok(())
    }

    /// Removes the device, or fails with `EBUSY`.
    fn close_locked(&self, state: &mut State) -> io::Result<()> {
        let Some(device) = state.device.take() else {
            return Ok(());
        };
        // First no way in, then the look at who is inside: nobody can come between.
        let held = (self.names.set_closed()).and_then(|()| self.holder(device.number()));
        if let Ok(None) = held {
            return self.remove(device);
        }
        self.names.set_number(device.number())?;
        state.device = Some(device);
        Err(held.err().unwrap_or(Errno::BUSY.into()))
    }

    fn holder(&self, number: DeviceNumber) -> io::Result<Option<holders::Holder>> {
        holders::find(number, || {
            self.names.open(number, OFlags::RDONLY | OFlags::EXCL)
        })
    }
}

impl Frontend for Ublk {
    fn complete(&self, id: RequestId, result: Result<Option<Buffer>, Errno>) {
        if let Some(queue) = self.current_queue() {
            queue.complete(id, result);
        }
    }

    fn open(&self, access: Access) -> io::Result<()> {
        let mut state = self.lock();
        if state.stopped {
            return Err(Errno::NODEV.into());
        }
        state.access = access;
        if let Some(device) = &state.device {
            let disk = self.names.open(device.number(), OFlags::RDONLY)?;
            return loopdev::set_access(disk.as_fd(), access);
        }
        state.device = Some(self.make_device(state.geometry, access)?);
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.close_locked(&mut self.lock())
    }

    fn is_held_open(&self) -> io::Result<bool> {
        match &self.lock().device {
            Some(device) => Ok(self.holder(device.number())?.is_some()),
            None => Ok(false),
        }
    }

    fn resize(&self, size: SectorCount) -> io::Result<()> {
        let mut state = self.lock();
        let bytes = size.checked_bytes().ok_or(Errno::FBIG)?;
        let Some(device) = &state.device else {
            state.geometry.size = size;
            return Ok(());
        };
        let updated = device.update_size(bytes);
        if updated.is_err() {
            // Before Linux 6.16 only a new device has a new size; while this one is held open it
            // keeps its size.
            self.close_locked(&mut state)?;
            let geometry = Geometry {
                size,
                ..state.geometry
            };
            state.device = Some(self.make_device(geometry, state.access)?);
        }
        state.geometry.size = size;
        Ok(())
    }

    fn set_features(&self, features: Features) {
        self.lock().geometry.features = features;
    }

    fn set_links(&self, links: Vec<PathBuf>) -> io::Result<()> {
        self.names.set_links(links)
    }

    fn device_number(&self) -> Option<DeviceNumber> {
        self.lock().device.as_ref().map(Device::number)
    }

    fn stop(&self) -> io::Result<()> {
        let mut state = self.lock();
        self.close_locked(&mut state)?;
        if !state.stopped {
            state.stopped = true;
            self.names.withdraw()?;
        }
        Ok(())
    }
}

impl Drop for Ublk {
    fn drop(&mut self) {
        if self.stop().is_ok() {
            return;
        }
        // Held open. Nobody is left to tell errors to.
        if let Some(queue) = self.current_queue() {
            queue.fail_everything();
        }
        let device = self.lock().device.take();
        let _ = device.map(|device| self.remove(device));
        let _ = self.names.withdraw();
    }
}
