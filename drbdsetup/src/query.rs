//! One line about a device: role, states, generations (spec 30 section 2.6); and `sh-status`
//! (section 2.8).

use crate::command::Query;
use crate::outcome::Stop;
use drbd_control::{Message, StateInfo};
use drbd_types::{ConnState, DiskState, GenerationIds, Minor, Role, State};
use std::fmt::{self, Write};

/// The output of a query for the answer to GET_STATUS.
pub fn query(program: &str, query: Query, message: &Message) -> Stop {
    let Some((info, state)) = state_of(message) else {
        return Stop::error("error receiving config reply\n".to_owned());
    };
    let mut stop = match query {
        Query::ShowGi | Query::GetGi => return generations(query, info, state),
        Query::State | Query::Role => pair(state.role.name(), state.peer.name()),
        Query::Cstate => format!("{}\n", state.conn),
        Query::Dstate => pair(state.disk.name(), state.pdsk.name()),
    };
    if is_unconfigured(&state) {
        stop = "Unconfigured\n".to_owned();
    }
    let note = format!("'{program} ... state' is deprecated, use '{program} ... role' instead.\n");
    Stop {
        out: stop,
        // The genuine tool says it twice.
        err: if query == Query::State {
            note.repeat(2)
        } else {
            String::new()
        },
        exit: 0,
    }
}

fn pair(own: &str, peer: &str) -> String {
    format!("{own}/{peer}\n")
}

fn state_of(message: &Message) -> Option<(&StateInfo, State)> {
    let info = message.state_info()?;
    Some((info, info.state.state()?))
}

fn is_unconfigured(state: &State) -> bool {
    state.conn == ConnState::StandAlone && state.disk == DiskState::Diskless
}

fn generations(query: Query, info: &StateInfo, state: State) -> Stop {
    let fail = |text: &str| Stop {
        exit: 1,
        ..Stop::error(format!("{text}\n"))
    };
    if is_unconfigured(&state) {
        return fail("Device is unconfigured");
    }
    let (Some(uuids), Some(flags)) = (info.uuids, info.disk_flags) else {
        return fail("Device has no disk");
    };
    if state.disk == DiskState::Diskless {
        return fail("Device has no disk");
    }
    let generation = GenerationIds { uuids, flags };
    let out = match query {
        Query::ShowGi => generation.table().to_string(),
        _ => format!("{generation}\n"),
    };
    Stop {
        out,
        err: String::new(),
        exit: 0,
    }
}

/// Shell assignments for the answers to GET_STATUS.
pub fn sh_status(messages: &[Message]) -> String {
    let mut out = String::new();
    for message in messages {
        // Writing to a String does not fail.
        let _ = sh_block(&mut out, message);
    }
    out
}

/// The block of a minor that does not exist.
pub fn sh_status_unknown(minor: Minor) -> String {
    let mut out = String::new();
    let _ = write!(out, "_minor={minor}\n_res_name=\n_volume=-1\n");
    out.push_str(SH_UNAVAILABLE);
    out.push_str(SH_UNCONFIGURED);
    out
}

const SH_UNAVAILABLE: &str = "_known=NA # not available or not yet created\n\n";
const SH_UNCONFIGURED: &str = "_cstate=Unconfigured\n_role=\n_peer=\n_disk=\n_pdsk=\n\
    _flags_susp=\n_flags_aftr_isp=\n_flags_peer_isp=\n_flags_user_isp=\n_resynced_percent=\n\n\
    _sh_status_process\n\n\n";

fn sh_block(out: &mut String, message: &Message) -> fmt::Result {
    let context = message.context();
    let name = context
        .and_then(|c| c.resource.as_deref())
        .unwrap_or_default();
    let minor = message.minor.map_or(u32::MAX, |minor| minor.0);
    writeln!(out, "_minor={minor}\n_res_name={}", escaped(name))?;
    match context.and_then(|c| c.volume) {
        Some(volume) => writeln!(out, "_volume={volume}")?,
        None => writeln!(out, "_volume=-1")?,
    }
    let Some((info, state)) = state_of(message) else {
        out.push_str(SH_UNAVAILABLE);
        out.push_str(SH_UNCONFIGURED);
        return Ok(());
    };
    if is_unconfigured(&state) && state.role != Role::Primary {
        out.push_str("_known=Unconfigured\n\n");
        out.push_str(SH_UNCONFIGURED);
        return Ok(());
    }
    let flag = |set: bool| if set { "1" } else { "" };
    writeln!(out, "_known=Configured\n")?;
    writeln!(
        out,
        "_cstate={}\n_role={}\n_peer={}",
        state.conn, state.role, state.peer
    )?;
    writeln!(out, "_disk={}\n_pdsk={}\n", state.disk, state.pdsk)?;
    writeln!(out, "_flags_susp={}", flag(state.susp))?;
    writeln!(out, "_flags_aftr_isp={}", flag(state.aftr_isp))?;
    writeln!(out, "_flags_peer_isp={}", flag(state.peer_isp))?;
    writeln!(out, "_flags_user_isp={}\n", flag(state.user_isp))?;
    let percent = resynced_percent(info).unwrap_or_default();
    writeln!(out, "_resynced_percent={percent}\n\n_sh_status_process\n\n")
}

/// How much of a resync is done, from the counters of a status message; `None` while there is
/// nothing to do.
pub fn resynced_percent(info: &StateInfo) -> Option<String> {
    info.bits_rs_total.map(|total| percent_done(info, total))
}

/// The same for the mark of a resync: the last one comes without a total.
pub fn progress_percent(info: &StateInfo) -> String {
    percent_done(info, info.bits_rs_total.unwrap_or_default())
}

fn percent_done(info: &StateInfo, total: u64) -> String {
    let shift = if total >= 1 << 32 { 16 } else { 10 };
    let oos = info.bits_oos.unwrap_or_default();
    let left = oos.saturating_sub(info.bits_rs_failed.unwrap_or_default()) >> shift;
    let done = 1000_u64.saturating_sub(left.saturating_mul(1000) / (1 + (total >> shift)));
    format!("{}.{}", done / 10, done % 10)
}

/// A name that a shell reads as one word.
fn escaped(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        if !(c.is_ascii_alphanumeric() || "%+-./:=@_".contains(c)) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
