//! The commands about a resource's connection (spec 30 section 5.5).

use std::sync::Arc;

use drbd_control::{Answer, Message, Nest, Request, RetCode, Settings};
use drbd_core::effect::{Outcome, Reply};
use drbd_core::input::{Admin, ConnectOnce, Force};
use drbd_types::{ConnState, Protocol, StateOutcome};
use tokio::sync::oneshot;

use super::command::{answer_of, change, creation, flag, gone, reply_with};
use super::engine::Engine;
use super::object::{Net, Object};
use super::options::{self, NetRefusal};
use crate::runtime::port::{Command, Gone};

/// `connect`.
pub async fn connect(engine: &Engine, request: &Request, object: &Arc<Object>) -> Message {
    let endpoints = request
        .context
        .as_ref()
        .and_then(|c| Some((c.my_addr.clone()?, c.peer_addr.clone()?)));
    let Some((mine, peer)) = endpoints else {
        return request
            .reply(RetCode::InvalidRequest)
            .info("connection endpoint(s) missing");
    };
    if let Some(code) = engine.registry.address_conflict(&mine, &peer) {
        return request.reply(code);
    }
    let Ok(status) = object.port.status().await else {
        return gone(request);
    };
    if status.connection > ConnState::StandAlone {
        return request.reply(RetCode::NetConfigured);
    }
    let given = match creation(request, Nest::NetConf) {
        Ok(given) => given,
        Err(error) => return request.reply_param_error(error),
    };
    let settings = options::with_defaults(Nest::NetConf, &given);
    if let Err(code) = check_congestion(&settings) {
        return request.reply(code);
    }
    match options::connection(&mine, &peer, &settings) {
        Ok(_) => {}
        Err(NetRefusal::Code(code)) => return request.reply(code),
        Err(NetRefusal::Address) => {
            return request
                .reply(RetCode::InvalidRequest)
                .info("address family not supported");
        }
    }
    let mut once = ConnectOnce::empty();
    let is_on = |name| settings.switch(name).unwrap_or_default();
    once.set(ConnectOnce::DISCARD_MY_DATA, is_on("discard-my-data"));
    once.set(ConnectOnce::TENTATIVE, is_on("tentative"));
    let options = Box::new(options::net(&settings));
    let (answer, receiver) = oneshot::channel();
    let command = Command::Connect {
        net: Box::new(Net {
            mine,
            peer,
            settings,
        }),
        options,
        once,
        answer,
    };
    match (object.port.send(command), receiver.await) {
        (Ok(()), Ok(reply)) => reply_with(request, &as_state_change(reply)),
        _ => gone(request),
    }
}

/// A connect that was accepted answers with the result of its state change.
fn as_state_change(reply: Reply) -> Reply {
    match reply.outcome {
        Outcome::Done => Reply {
            outcome: Outcome::State(StateOutcome::Success),
            ..reply
        },
        _ => reply,
    }
}

/// Only protocol A can run ahead (spec 30 section 5.5 check e).
fn check_congestion(settings: &Settings) -> Result<(), RetCode> {
    let protocol_a = settings.number("protocol") == Some(u64::from(Protocol::A as u8));
    let blocks = matches!(settings.number("on-congestion"), None | Some(0));
    match blocks || protocol_a {
        true => Ok(()),
        false => Err(RetCode::CongNotProtoA),
    }
}

/// `net-options`.
pub async fn net_options(request: &Request, object: &Object) -> Message {
    let current = object.shared.config().net.clone();
    let Some(mut net) = current else {
        return request
            .reply(RetCode::InvalidRequest)
            .info("net conf missing, try connect");
    };
    let change = match change(request, Nest::NetConf) {
        Ok(change) => change,
        Err(error) => return request.reply_param_error(error),
    };
    net.settings.apply(&change, request.unmentioned);
    if let Err(code) = check_congestion(&net.settings) {
        return request.reply(code);
    }
    if let Err(code) = options::check_algorithms(&net.settings) {
        return request.reply(code);
    }
    let admin = Admin::NetOptions(Box::new(options::net(&net.settings)));
    let reply = match object.port.admin(admin).await {
        Ok(reply) => reply,
        Err(Gone) => return gone(request),
    };
    if answer_of(&reply).is_success()
        && let Some(current) = &mut object.shared.config().net
    {
        current.settings = net.settings;
    }
    reply_with(request, &reply)
}

/// `disconnect`.
pub async fn disconnect(request: &Request, object: &Object) -> Message {
    let force = match flag(request, "force") {
        Ok(force) => force,
        Err(error) => return request.reply_param_error(error),
    };
    match leave(object, force).await {
        Ok(answer) => request.reply(answer),
        Err(Gone) => gone(request),
    }
}

/// Disconnects; success is always NO_ERROR, whatever the state change was called.
pub async fn leave(object: &Object, force: Force) -> Result<Answer, Gone> {
    let reply = object.port.admin(Admin::Disconnect { force }).await?;
    Ok(match answer_of(&reply) {
        answer if answer.is_success() => Answer::OK,
        Answer::State(StateOutcome::AlreadyStandalone) => Answer::OK,
        answer => answer,
    })
}
