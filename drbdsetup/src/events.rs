//! `events`: classic events, one line each (spec 30 section 2.10).

use crate::client::{Client, Trouble};
use crate::outcome::{Exit, Stop};
use crate::parse::{Call, Object};
use crate::query;
use drbd_control::{Message, Op, Received, Request, SibReason, StateInfo, Wanted, Word};
use drbd_types::State;
use std::io::Write;

/// Prints events until nobody reads them or the engine goes away.
pub fn events(call: &Call, client: &mut Client, out: &mut dyn Write) -> Result<Exit, Stop> {
    let request = Request {
        wanted: match call.minor {
            Some(_) => Wanted::One,
            None => Wanted::List,
        },
        minor: call.minor,
        context: call.context.clone(),
        ..Request::new(Op::GetStatus)
    };
    client
        .subscribe(request)
        .map_err(|trouble| trouble.of_query())?;
    loop {
        match client.receive_while_read() {
            Ok(Received::Message(message)) if concerns(call, &message) => {
                let lines = lines(&message);
                if out
                    .write_all(lines.as_bytes())
                    .and_then(|()| out.flush())
                    .is_err()
                {
                    return Ok(Exit::OK);
                }
            }
            // What ends the answer does not end the command.
            Ok(Received::Message(_) | Received::Done { .. }) => {}
            Ok(Received::Error { code, .. }) => return Err(Trouble::Netlink(-code).of_query()),
            Err(Trouble::OutputClosed | Trouble::Receive(_)) => return Ok(Exit::OK),
            Err(trouble) => return Err(trouble.of_query()),
        }
    }
}

/// Whether the command asked for events of this object. A refusal is no event: the object may
/// be created later.
pub fn concerns(call: &Call, message: &Message) -> bool {
    if !message.answer.is_success() {
        return false;
    }
    match &call.object {
        Object::Minor(minor) => message.minor == Some(*minor),
        Object::Resource(name) => {
            let of = message.context().and_then(|c| c.resource.as_deref());
            of == Some(name.as_str())
        }
        Object::All | Object::None => true,
    }
}

/// The lines for a message; none for what is not shown.
pub fn lines(message: &Message) -> String {
    let seq = message.seq;
    let Some(context) = message.context() else {
        return message
            .infos()
            .map(|text| format!("{seq} # {}\n", text.replace('\n', "_")))
            .collect();
    };
    let name = context.resource.as_deref().unwrap_or_default();
    let Some(info) = message.state_info() else {
        return format!("{seq} R - {name}\n");
    };
    let minor = message.minor.map_or(u32::MAX, |minor| minor.0);
    let volume = context.volume.unwrap_or_default();
    let device = format!("{minor},{name}[{volume}]");
    let state = |what: &str, word: Word| format!("{seq} {what} {device} {}\n", state_text(word));
    match info.reason {
        SibReason::GET_STATUS => state("ST", info.state),
        SibReason::STATE_CHANGE => {
            let mut out = String::new();
            out.extend(info.prev_state.map(|word| state("ST-prev", word)));
            out.extend(info.new_state.map(|word| state("ST-new", word)));
            out.push_str(&state("ST", info.state));
            out
        }
        SibReason::HELPER_PRE => format!("{seq} UH {device} {}\n", helper(info)),
        SibReason::HELPER_POST => format!(
            "{seq} UH-post {device} {} 0x{:04x}\n",
            helper(info),
            info.helper_exit_code.unwrap_or_default()
        ),
        SibReason::SYNC_PROGRESS => {
            format!("{seq} SP {device} {}\n", query::progress_percent(info))
        }
        SibReason(reason) => {
            format!("{seq} ?? {device} <other message, state info broadcast reason:{reason}>\n")
        }
    }
}

fn helper(info: &StateInfo) -> &str {
    info.helper.as_deref().unwrap_or_default()
}

fn state_text(word: Word) -> String {
    let Some(state) = word.state() else {
        return format!("{{ 0x{:08x} }}", word.0);
    };
    let State {
        conn,
        role,
        peer,
        disk,
        pdsk,
        ..
    } = state;
    let flag = |set: bool, letter: char| if set { letter } else { '-' };
    let flags: String = [
        if state.susp { 's' } else { 'r' },
        flag(state.aftr_isp, 'a'),
        flag(state.peer_isp, 'p'),
        flag(state.user_isp, 'u'),
    ]
    .iter()
    .collect();
    format!("{{ cs:{conn} ro:{role}/{peer} ds:{disk}/{pdsk} {flags} }}")
}
