//! States and requests as the other node sees them (spec 60 section 1.8, spec 50 section 8.3).

use drbd_types::{ConnState, State, StateMask};

/// A request of one node in the view of the other.
pub fn mirrored(request: StateMask) -> StateMask {
    let pauses = [request.aftr_isp, request.user_isp];
    StateMask {
        role: request.peer,
        peer: request.role,
        conn: request.conn.map(mirrored_conn),
        disk: request.pdsk,
        pdsk: request.disk,
        peer_isp: pauses.into_iter().flatten().reduce(|a, b| a || b),
        ..request
    }
}

/// A state of one node in the view of the other.
pub fn peer_state_view(state: &State) -> State {
    State {
        role: state.peer,
        peer: state.role,
        conn: mirrored_conn(state.conn),
        disk: state.pdsk,
        pdsk: state.disk,
        peer_isp: state.aftr_isp || state.user_isp,
        ..*state
    }
}

/// Only these connection states mean something to the peer; what is not among them arrives as 0.
const fn mirrored_conn(conn: ConnState) -> ConnState {
    match conn {
        ConnState::WfReportParams => ConnState::WfReportParams,
        ConnState::Connected => ConnState::Connected,
        ConnState::StartingSyncS => ConnState::StartingSyncT,
        ConnState::StartingSyncT => ConnState::StartingSyncS,
        ConnState::Disconnecting => ConnState::TearDown,
        ConnState::VerifyS => ConnState::VerifyT,
        _ => ConnState::StandAlone,
    }
}
