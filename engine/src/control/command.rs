//! The administrative commands: what each does, and which reply it gets (spec 30 section 5).

use std::sync::Arc;

use drbd_control::settings::NO_MINOR;
use drbd_control::{
    Answer, Message, Nest, Op, ParamError, Params, Request, RetCode, Settings, TimeoutParms,
    TimeoutType,
};
use drbd_core::effect::{Outcome, Reply};
use drbd_core::input::{Admin, ClearBitmap, Force};
use drbd_core::status::WaitClass;
use drbd_types::{Minor, VolumeNr};

use super::engine::Engine;
use super::object::{Object, Target};
use super::{disk, network, options};
use crate::runtime::port::{Command, Gone};

/// Larger minors do not exist.
const MAX_MINOR: u32 = 1_048_575;

/// Carries out a request that is not a list and not GET_STATUS; `None` for one that this engine
/// does not have.
pub async fn execute(engine: &Arc<Engine>, request: &Request) -> Option<Message> {
    if request.op == Op::NewResource {
        return Some(new_resource(engine, request));
    }
    let target = match engine.registry.find(request) {
        Ok(target) => target,
        Err(refusal) => return Some(refusal),
    };
    let object = match &target {
        Target::Nothing => return None,
        Target::Resource(object) | Target::Volume(object, ..) => Arc::clone(object),
    };
    let _turn = object.turn.lock().await;
    Some(match target {
        Target::Nothing => return None,
        Target::Resource(object) => resource_command(engine, request, &object).await?,
        Target::Volume(object, volume, minor) => {
            let about = Volume {
                object: &object,
                volume,
                minor,
            };
            volume_command(engine, request, about).await?
        }
    })
}

/// A volume that a command is about.
#[derive(Clone, Copy)]
pub struct Volume<'a> {
    /// Its resource.
    pub object: &'a Arc<Object>,
    /// Its number.
    pub volume: VolumeNr,
    /// Its minor.
    pub minor: Minor,
}

async fn resource_command(
    engine: &Arc<Engine>,
    request: &Request,
    object: &Arc<Object>,
) -> Option<Message> {
    Some(match request.op {
        Op::NewMinor => new_minor(engine, request, object).await,
        Op::DelResource => delete_resource(engine, request, object).await,
        Op::ResourceOpts => resource_options(request, object).await,
        Op::Connect => network::connect(engine, request, object).await,
        Op::NetOpts => network::net_options(request, object).await,
        Op::Disconnect => network::disconnect(request, object).await,
        Op::Down => down(engine, request, object).await,
        _ => return None,
    })
}

async fn volume_command(
    engine: &Arc<Engine>,
    request: &Request,
    about: Volume<'_>,
) -> Option<Message> {
    let volume = about.volume;
    let plain = |admin| state_command(request, about.object, admin);
    Some(match request.op {
        Op::DelMinor => match delete_volume(about).await {
            Ok(answer) => request.reply(answer),
            Err(Gone) => gone(request),
        },
        Op::Attach => disk::attach(engine, request, about).await,
        Op::DiskOpts => disk::disk_options(request, about).await,
        Op::Detach => match flag(request, "force") {
            Ok(force) => plain(Admin::Detach { volume, force }).await,
            Err(error) => request.reply_param_error(error),
        },
        Op::Primary => match flag(request, "force") {
            Ok(force) => plain(Admin::Primary { volume, force }).await,
            Err(error) => request.reply_param_error(error),
        },
        Op::Secondary => match disk::demote(about).await {
            Ok(reply) => reply_with(request, &reply),
            Err(Gone) => gone(request),
        },
        Op::NewCurrentUuid => match flag(request, "clear-bitmap") {
            Ok(flag) => {
                let bitmap = match flag {
                    Force::Yes => ClearBitmap::Clear,
                    Force::No => ClearBitmap::Keep,
                };
                plain(Admin::NewCurrentUuid { volume, bitmap }).await
            }
            Err(error) => request.reply_param_error(error),
        },
        Op::Invalidate => plain(Admin::Invalidate { volume }).await,
        Op::InvalidatePeer => plain(Admin::InvalidateRemote { volume }).await,
        Op::PauseSync => plain(Admin::PauseSync { volume }).await,
        Op::ResumeSync => plain(Admin::ResumeSync { volume }).await,
        Op::SuspendIo => plain(Admin::SuspendIo { volume }).await,
        Op::ResumeIo => plain(Admin::ResumeIo { volume }).await,
        Op::Outdate => plain(Admin::Outdate { volume }).await,
        Op::GetTimeoutType => timeout_type(request, about).await,
        _ => return None,
    })
}

/// The reply for what the core answered.
pub fn reply_with(request: &Request, reply: &Reply) -> Message {
    let message = request.reply(answer_of(reply));
    reply
        .info
        .iter()
        .fold(message, |message, line| message.info(line.clone()))
}

/// The code for what the core answered.
pub fn answer_of(reply: &Reply) -> Answer {
    match reply.outcome {
        Outcome::Done => Answer::OK,
        Outcome::State(outcome) => outcome.into(),
        Outcome::Refused(refusal) => Answer::from_code(i32::from(refusal.code())),
    }
}

/// The reply when the resource's thread is gone: it cannot serve anybody any more.
pub fn gone(request: &Request) -> Message {
    request
        .reply(RetCode::NoMem)
        .info("the thread of the resource has ended, see the log")
}

/// A command that is one question to the core.
async fn state_command(request: &Request, object: &Object, admin: Admin) -> Message {
    match object.port.admin(admin).await {
        Ok(reply) => reply_with(request, &reply),
        Err(Gone) => gone(request),
    }
}

/// The options of a request that creates something; none is legal.
pub fn creation(request: &Request, nest: Nest) -> Result<Settings, ParamError> {
    match &request.params {
        Some(params) => params.creation(),
        None => Ok(Settings::new(nest)),
    }
}

/// The options of a request that changes something.
pub fn change(request: &Request, nest: Nest) -> Result<Settings, ParamError> {
    match &request.params {
        Some(params) => params.change(),
        None => Ok(Settings::new(nest)),
    }
}

/// A flag among the parameters.
pub fn flag(request: &Request, name: &str) -> Result<Force, ParamError> {
    let given = request.params.as_ref().map(Params::creation).transpose()?;
    let set = given.and_then(|settings| settings.switch(name));
    Ok(match set {
        Some(true) => Force::Yes,
        _ => Force::No,
    })
}

fn new_resource(engine: &Engine, request: &Request) -> Message {
    let name = request.context.as_ref().and_then(|c| c.resource.as_deref());
    let given = match creation(request, Nest::ResourceOpts) {
        Ok(given) => given,
        Err(error) => return request.reply_param_error(error),
    };
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        return request
            .reply(RetCode::MandatoryTag)
            .info("resource name missing");
    };
    if name.contains('/') {
        return request
            .reply(RetCode::InvalidRequest)
            .info("invalid resource name");
    }
    if engine.registry.by_name(name).is_some() {
        return request.reply(RetCode::NoError);
    }
    let settings = options::with_defaults(Nest::ResourceOpts, &given);
    match engine.add_resource(name, settings) {
        Ok(()) => request.reply(RetCode::NoError),
        Err(error) => request.reply(RetCode::NoMem).info(error.to_string()),
    }
}

async fn resource_options(request: &Request, object: &Object) -> Message {
    let change = match change(request, Nest::ResourceOpts) {
        Ok(change) => change,
        Err(error) => return request.reply_param_error(error),
    };
    let mut settings = object.shared.config().options.clone();
    settings.apply(&change, request.unmentioned);
    let admin = Admin::ResourceOptions(options::resource(&settings));
    match object.port.admin(admin).await {
        Ok(reply) => {
            object.shared.config().options = settings;
            reply_with(request, &reply)
        }
        Err(Gone) => gone(request),
    }
}

async fn new_minor(engine: &Arc<Engine>, request: &Request, object: &Arc<Object>) -> Message {
    let invalid = |text: &str| request.reply(RetCode::InvalidRequest).info(text);
    let Some(minor) = request.minor.filter(|minor| minor.0 <= MAX_MINOR) else {
        return invalid("requested minor out of range");
    };
    let volume = request.context.as_ref().and_then(|c| c.volume_nr());
    let Some(volume) = volume else {
        return invalid("requested volume id out of range");
    };
    if engine.registry.by_minor(minor).is_some() {
        // In this resource and as this volume: anything else was refused before.
        return request.reply(RetCode::NoError);
    }
    if object.shared.config().volumes.contains_key(&volume) {
        return request.reply(RetCode::MinorOrVolumeExists);
    }
    let made = {
        let (engine, object) = (Arc::clone(engine), Arc::clone(object));
        tokio::task::spawn_blocking(move || engine.make_device(&object, volume, minor)).await
    };
    let made = match made {
        Ok(Ok(made)) => made,
        Ok(Err(error)) => return request.reply(RetCode::NoMem).info(error.to_string()),
        Err(panic) => return request.reply(RetCode::NoMem).info(panic.to_string()),
    };
    let frontend = Arc::clone(&made.frontend);
    object.shared.config().volumes.insert(volume, made);
    let told = object.port.send(Command::Serve { volume, frontend });
    match (
        told,
        object.port.admin(Admin::NewVolume { volume, minor }).await,
    ) {
        (Ok(()), Ok(reply)) => {
            if !answer_of(&reply).is_success() {
                forget_volume(object, volume).await;
            }
            reply_with(request, &reply)
        }
        _ => gone(request),
    }
}

/// Deletes a volume and its block device.
pub async fn delete_volume(about: Volume<'_>) -> Result<Answer, Gone> {
    let admin = Admin::DeleteVolume {
        volume: about.volume,
    };
    let answer = answer_of(&about.object.port.admin(admin).await?);
    if answer.is_success() {
        forget_volume(about.object, about.volume).await;
    }
    Ok(answer)
}

async fn forget_volume(object: &Object, volume: VolumeNr) {
    let removed = object.shared.config().volumes.remove(&volume);
    if let Some(removed) = removed {
        // A Secondary's device is closed, so there is nobody who could hold it; if stopping fails
        // all the same, dropping the front end takes it away.
        let stop = move || removed.frontend.stop();
        let _ = tokio::task::spawn_blocking(stop).await;
    }
    let _ = object.port.send(Command::Forget { volume });
}

async fn delete_resource(engine: &Engine, request: &Request, object: &Object) -> Message {
    match object.port.admin(Admin::DeleteResource).await {
        Ok(reply) => {
            if answer_of(&reply).is_success() {
                engine.drop_resource(object);
            }
            reply_with(request, &reply)
        }
        Err(Gone) => {
            engine.drop_resource(object);
            request.reply(RetCode::NoError)
        }
    }
}

/// Everything that `down` takes apart, in its order.
async fn down(engine: &Engine, request: &Request, object: &Arc<Object>) -> Message {
    match take_down(engine, object).await {
        Ok(()) => request.reply(RetCode::NoError),
        Err((answer, text)) => request.reply(answer).info(text),
    }
}

/// Brings a resource down: the error is the failing step's answer and its text.
pub async fn take_down(
    engine: &Engine,
    object: &Arc<Object>,
) -> Result<(), (Answer, &'static str)> {
    let volumes: Vec<Volume<'_>> = {
        let config = object.shared.config();
        let all = config.volumes.iter().map(|(volume, v)| Volume {
            object,
            volume: *volume,
            minor: v.minor,
        });
        all.collect()
    };
    let step = |result: Result<Answer, Gone>, text| match result {
        Ok(answer) if answer.is_success() => Ok(()),
        Ok(answer) => Err((answer, text)),
        // Nobody is left to refuse.
        Err(Gone) => Ok(()),
    };
    for about in &volumes {
        let demoted = disk::demote(*about).await.map(|reply| answer_of(&reply));
        step(demoted, "failed to demote")?;
    }
    step(
        network::leave(object, Force::No).await,
        "failed to disconnect",
    )?;
    for about in &volumes {
        let admin = Admin::Detach {
            volume: about.volume,
            force: Force::No,
        };
        let detached = object.port.admin(admin).await;
        step(detached.map(|reply| answer_of(&reply)), "failed to detach")?;
    }
    for about in &volumes {
        step(delete_volume(*about).await, "failed to delete volume")?;
    }
    engine.drop_resource(object);
    Ok(())
}

async fn timeout_type(request: &Request, about: Volume<'_>) -> Message {
    let Ok(status) = about.object.port.status().await else {
        return gone(request);
    };
    let volume = status.volumes.iter().find(|v| v.volume == about.volume);
    let timeout_type = match volume.map(|v| v.wait_class) {
        Some(WaitClass::PeerOutdated) => TimeoutType::PEER_OUTDATED,
        Some(WaitClass::Degraded) => TimeoutType::DEGRADED,
        Some(WaitClass::Default) | None => TimeoutType::DEFAULT,
    };
    request
        .reply(RetCode::NoError)
        .with(TimeoutParms { timeout_type })
}

/// Whether the minor that `resync-after` names is one (spec 30 section 5.3 number 16).
pub fn check_resync_after(settings: &Settings) -> Result<(), RetCode> {
    match settings.number("resync-after") {
        None | Some(NO_MINOR) => Ok(()),
        Some(minor) if minor <= u64::from(MAX_MINOR) => Ok(()),
        Some(_) => Err(RetCode::ResyncAfter),
    }
}
