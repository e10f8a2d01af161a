//! The log texts of changes and refusals (spec 60 section 1.3).

use alloc::format;
use alloc::string::String;
use core::fmt::{self, Write};

use drbd_types::State;

/// Every part that changed, each followed by one blank: `role( A -> B ) disk( A -> B ) `. Empty
/// when only the suspension changed.
pub fn describe_change(old: State, new: State) -> String {
    let mut text = String::new();
    part(&mut text, "role", old.role, new.role);
    part(&mut text, "peer", old.peer, new.peer);
    part(&mut text, "conn", old.conn, new.conn);
    part(&mut text, "disk", old.disk, new.disk);
    part(&mut text, "pdsk", old.pdsk, new.pdsk);
    flag(&mut text, "aftr_isp", old.aftr_isp, new.aftr_isp);
    flag(&mut text, "peer_isp", old.peer_isp, new.peer_isp);
    flag(&mut text, "user_isp", old.user_isp, new.user_isp);
    text
}

/// `susp( 0 -> 1 ) ` when I/O gets suspended or resumed; it belongs to the connection.
pub fn describe_suspension(old: State, new: State) -> String {
    let mut text = String::new();
    flag(&mut text, "susp", old.suspended(), new.suspended());
    text
}

fn flag(text: &mut String, name: &str, old: bool, new: bool) {
    part(text, name, u8::from(old), u8::from(new));
}

fn part<T: PartialEq + fmt::Display>(text: &mut String, name: &str, old: T, new: T) {
    if old != new {
        // Writing to a String cannot fail.
        let _ = write!(text, "{name}( {old} -> {new} ) ");
    }
}

/// A whole state, as the two lines under a refusal show it:
/// `{ cs:Connected ro:Secondary/Primary ds:UpToDate/UpToDate r----- }`.
pub fn describe_state(state: State) -> String {
    let letter = |set: bool, letter: char| if set { letter } else { '-' };
    format!(
        "{{ cs:{} ro:{}/{} ds:{}/{} {}{}{}{}{}{} }}",
        state.conn,
        state.role,
        state.peer,
        state.disk,
        state.pdsk,
        if state.suspended() { 's' } else { 'r' },
        letter(state.aftr_isp, 'a'),
        letter(state.peer_isp, 'p'),
        letter(state.user_isp, 'u'),
        letter(state.susp_fen, 'F'),
        letter(state.susp_nod, 'N'),
    )
}
