//! `wait-connect` and `wait-sync` (spec 30 section 2.12).

use crate::client::{Client, Trouble};
use crate::command::WaitFor;
use crate::outcome::{Exit, Stop};
use crate::parse::Call;
use crate::words;
use drbd_control::{Message, Op, Received, Request, SibReason, TimeoutType};
use drbd_types::{ConnState, Minor};
use std::io::Write;
use std::time::{Duration, Instant};

const MAX_SECONDS: i64 = 300_000;

/// The three timeouts in seconds; 0 is for ever.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    wfc: i64,
    degr: i64,
    outdated: i64,
}

impl Timeouts {
    /// As given on the command line.
    pub fn of_call(call: &Call) -> Result<Self, Stop> {
        let seconds = |name: &str| {
            let Some(Some(text)) = call.switch(name) else {
                return Ok(0);
            };
            let value = i64::from_ne_bytes(words::number(text)?.to_ne_bytes());
            if (0..=MAX_SECONDS).contains(&value) {
                return Ok(value);
            }
            let name = name.replace('-', "_");
            Err(Stop::error(format!(
                "{name} => {value} out of range [0..{MAX_SECONDS}]\n"
            )))
        };
        Ok(Self {
            wfc: seconds("wfc-timeout")?,
            degr: seconds("degr-wfc-timeout")?,
            outdated: seconds("outdated-wfc-timeout")?,
        })
    }

    /// Makes them consistent with each other; says on stderr what was changed.
    fn adjust(&mut self) -> String {
        let Self { wfc, .. } = *self;
        let mut notes = String::new();
        if wfc > 0 && (wfc < self.degr || self.degr == 0) {
            self.degr = wfc;
            notes.push_str(&format!(
                "degr-wfc-timeout has to be shorter than wfc-timeout\n\
                 degr-wfc-timeout implicitly set to wfc-timeout ({wfc}s)\n"
            ));
        }
        let degr = self.degr;
        if degr > 0 && (degr < self.outdated || self.outdated == 0) {
            // The genuine tool names one timeout and takes the other.
            self.outdated = wfc;
            notes.push_str(&format!(
                "outdated-wfc-timeout has to be shorter than degr-wfc-timeout\n\
                 outdated-wfc-timeout implicitly set to degr-wfc-timeout ({degr}s)\n"
            ));
        }
        notes
    }

    fn choose(&self, kind: TimeoutType) -> Option<Duration> {
        let seconds = match kind {
            TimeoutType::DEGRADED => self.degr,
            TimeoutType::PEER_OUTDATED => self.outdated,
            _ => self.wfc,
        };
        u64::try_from(seconds)
            .ok()
            .filter(|seconds| *seconds > 0)
            .map(Duration::from_secs)
    }
}

/// What a device that is StandAlone means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum AfterSplitBrain {
    GiveUp,
    GoOnWaiting,
}

/// Waits; the result is the exit status.
pub fn wait(
    client: &mut Client,
    call: &Call,
    minor: Minor,
    what: WaitFor,
    err: &mut dyn Write,
) -> Result<Exit, Stop> {
    let mut timeouts = Timeouts::of_call(call)?;
    let after_sb = match call.switch("wait-after-sb") {
        Some(None | Some("yes")) => AfterSplitBrain::GoOnWaiting,
        _ => AfterSplitBrain::GiveUp,
    };
    let notes = timeouts.adjust();
    // A closed stderr is no reason not to wait.
    let _ = err.write_all(notes.as_bytes());
    let timeout = timeouts.choose(timeout_type(client, minor)?);

    let request = Request::new(Op::GetStatus).for_minor(minor);
    let stop = |trouble: Trouble| trouble.of_query();
    client.subscribe(request).map_err(stop)?;
    loop {
        // Every message, of whatever device, starts the time anew, as in the genuine tool.
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        let message = match client.receive(deadline).map_err(stop)? {
            None => return Ok(Exit::TIMEOUT),
            Some(Received::Message(message)) => message,
            Some(Received::Error { code, .. }) => return Err(Trouble::Netlink(-code).of_query()),
            Some(Received::Done { .. }) => continue,
        };
        if message.minor != Some(minor) {
            continue;
        }
        if !message.answer.is_success() {
            return Err(crate::outcome::report(&call.word, &message));
        }
        if is_over(&message, what, after_sb, err) {
            return Ok(Exit::OK);
        }
    }
}

fn timeout_type(client: &mut Client, minor: Minor) -> Result<TimeoutType, Stop> {
    let reply = client
        .ask(Request::new(Op::GetTimeoutType).for_minor(minor))
        .map_err(|trouble| trouble.of_query())?;
    match reply.timeout_parms() {
        Some(parms) if reply.answer.is_success() => Ok(parms.timeout_type),
        _ => Err(Stop::error(
            "error determining which timeout to use: minor not available\n".to_owned(),
        )),
    }
}

fn is_over(
    message: &Message,
    what: WaitFor,
    after_sb: AfterSplitBrain,
    err: &mut dyn Write,
) -> bool {
    let Some(info) = message.state_info() else {
        return false;
    };
    if !matches!(info.reason, SibReason::GET_STATUS | SibReason::STATE_CHANGE) {
        return false;
    }
    let Some(state) = info.state.state() else {
        return false;
    };
    if state.conn < ConnState::Unconnected {
        if after_sb == AfterSplitBrain::GiveUp {
            return true;
        }
        if what == WaitFor::Connect {
            let context = message.context();
            let name = context
                .and_then(|c| c.resource.as_deref())
                .unwrap_or_default();
            let volume = context.and_then(|c| c.volume).unwrap_or_default();
            let minor = message.minor.unwrap_or_default();
            // A closed stderr is no reason not to wait.
            let _ = write!(
                err,
                "\ndrbd{minor} ({name}[{volume}]) is {}, but I'm configured to wait anways (--wait-after-sb)\n",
                state.conn
            );
        }
        return false;
    }
    match what {
        WaitFor::Connect => state.conn >= ConnState::Connected,
        WaitFor::Sync => state.conn == ConnState::Connected,
    }
}
