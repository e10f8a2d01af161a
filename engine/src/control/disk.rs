//! The commands about disk and role of a volume.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use drbd_control::{DiskConf, Message, Nest, ParamError, Request, RetCode, Settings};
use drbd_core::effect::Reply;
use drbd_core::input::{Admin, HeldOpen};
use drbd_core::state_rules::Fencing;
use drbd_types::{DiskState, Protocol, Role};
use drbdmeta::layout::Placement;
use rustix::io::Errno;
use tokio::sync::oneshot;

use super::command::{Volume, answer_of, change, check_resync_after, gone, reply_with};
use super::engine::Engine;
use super::options;
use crate::device;
use crate::log::About;
use crate::runtime::port::{Command, Gone};
use crate::store::{self, AttachError, Devices};
use drbd_core::effect::Level;

/// `attach`: the checks of spec 30 section 5.3 numbers 1 to 11 here, the rest in the core.
pub async fn attach(engine: &Arc<Engine>, request: &Request, about: Volume<'_>) -> Message {
    let Ok(status) = about.object.port.status().await else {
        return gone(request);
    };
    let volume = status.volumes.iter().find(|v| v.volume == about.volume);
    if volume.is_some_and(|v| v.state.disk != DiskState::Diskless) {
        return request.reply(RetCode::DiskConfigured);
    }
    let Some(params) = &request.params else {
        return request.reply_param_error(ParamError::Missing);
    };
    let given = match params.disk_conf() {
        Ok(given) => given,
        Err(error) => return request.reply_param_error(error),
    };
    let shown = DiskConf {
        settings: options::with_defaults(Nest::DiskConf, &given.settings),
        ..given
    };
    let Some(placement) = Placement::from_kernel_index(shown.meta_index.0) else {
        return request.reply(RetCode::MdIdxInvalid);
    };
    let options = options::disk(&shown.settings);
    let protocol = status.net.as_ref().map(|net| net.protocol);
    if options.fencing == Fencing::ResourceAndStonith && protocol == Some(Protocol::A) {
        return request.reply(RetCode::StonithAndProtA);
    }
    if let Err(code) = check_resync_after(&shown.settings) {
        return request.reply(code);
    }
    match open(about, &shown, placement).await {
        Ok((store, image)) => {
            let features = store.features;
            let disk = PathBuf::from(&shown.backing_dev);
            let (answer, receiver) = oneshot::channel();
            let command = Command::Attach {
                volume: about.volume,
                store: Box::new(store),
                image: Box::new(image),
                options,
                shown: Box::new(shown),
                answer,
            };
            match (about.object.port.send(command), receiver.await) {
                (Ok(()), Ok(reply)) => {
                    if answer_of(&reply).is_success() {
                        name_device(engine, about, features, &disk).await;
                    }
                    reply_with(request, &reply)
                }
                _ => gone(request),
            }
        }
        Err(error) => {
            let name = &about.object.shared.name;
            let prefix = About::Volume(name, about.volume, about.minor);
            engine.log().write(Level::Error, prefix, &error);
            request.reply(error.code)
        }
    }
}

/// Lets the block device know what its disk can do, and gives it the disk's name as well.
async fn name_device(engine: &Engine, about: Volume<'_>, features: device::Features, disk: &Path) {
    let paths = engine
        .device_paths(about.object, about.volume)
        .by_disk(disk);
    let frontend = {
        let mut config = about.object.shared.config();
        let Some(volume) = config.volumes.get_mut(&about.volume) else {
            return;
        };
        volume.features = features;
        Arc::clone(&volume.frontend)
    };
    // A missing link is a convenience lost; the device itself works.
    let _ = tokio::task::spawn_blocking(move || frontend.set_links(paths.links)).await;
}

async fn open(
    about: Volume<'_>,
    shown: &DiskConf,
    placement: Placement,
) -> Result<(store::Store, drbd_core::input::DiskImage), AttachError> {
    let volume = about.volume;
    let (answer, receiver) = oneshot::channel();
    let asked = Command::NextTransaction { volume, answer };
    let transaction = match about.object.port.send(asked) {
        Ok(()) => receiver.await.unwrap_or_default(),
        Err(Gone) => 0,
    };
    let devices = Devices {
        data: PathBuf::from(&shown.backing_dev),
        meta: PathBuf::from(&shown.meta_dev),
        placement,
    };
    let work = move || store::attach(&devices, transaction);
    let result = tokio::task::spawn_blocking(work).await;
    result.unwrap_or_else(|panic| {
        Err(AttachError {
            code: RetCode::IoMdDisk,
            log: panic.to_string(),
        })
    })
}

/// `disk-options`.
pub async fn disk_options(request: &Request, about: Volume<'_>) -> Message {
    let current: Option<Settings> = {
        let config = about.object.shared.config();
        let disk = config
            .volumes
            .get(&about.volume)
            .and_then(|v| v.disk.as_ref());
        disk.map(|disk| disk.settings.clone())
    };
    let Some(mut settings) = current else {
        return request.reply(RetCode::NoDisk);
    };
    let change = match change(request, Nest::DiskConf) {
        Ok(change) => change,
        Err(error) => return request.reply_param_error(error),
    };
    settings.apply(&change, request.unmentioned);
    if let Err(code) = check_resync_after(&settings) {
        return request.reply(code);
    }
    let admin = Admin::DiskOptions {
        volume: about.volume,
        options: options::disk(&settings),
    };
    let reply = match about.object.port.admin(admin).await {
        Ok(reply) => reply,
        Err(Gone) => return gone(request),
    };
    if answer_of(&reply).is_success() {
        let mut config = about.object.shared.config();
        let disk = config.volumes.get_mut(&about.volume);
        if let Some(disk) = disk.and_then(|v| v.disk.as_mut()) {
            disk.settings = settings;
        }
    }
    reply_with(request, &reply)
}

/// Makes a volume Secondary. The block device is closed first, which submits every write of the
/// page cache and finds out whether somebody holds it; if the core refuses, it is opened again.
pub async fn demote(about: Volume<'_>) -> Result<Reply, Gone> {
    let frontend = {
        let config = about.object.shared.config();
        let volume = config.volumes.get(&about.volume);
        volume.map(|v| Arc::clone(&v.frontend))
    };
    let closed = match &frontend {
        Some(frontend) => {
            let frontend = Arc::clone(frontend);
            let closed = tokio::task::spawn_blocking(move || frontend.close()).await;
            closed.unwrap_or_else(|panic| Err(std::io::Error::other(panic)))
        }
        None => Ok(()),
    };
    let held = match closed {
        Err(error) if error.raw_os_error() == Some(Errno::BUSY.raw_os_error()) => HeldOpen::Busy,
        _ => HeldOpen::Free,
    };
    let volume = about.volume;
    let reply = about
        .object
        .port
        .admin(Admin::Secondary { volume, held })
        .await?;
    let status = about.object.port.status().await?;
    let still_primary = status
        .volumes
        .iter()
        .any(|v| v.volume == volume && v.state.role == Role::Primary);
    if let (true, HeldOpen::Free, Some(frontend)) = (still_primary, held, frontend) {
        let open = move || frontend.open(device::Access::ReadWrite);
        // A device that cannot be opened again stays closed: its users were gone already.
        let _ = tokio::task::spawn_blocking(open).await;
    }
    Ok(reply)
}
