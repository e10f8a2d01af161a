//! Requests and their answers over a backend.

use crate::backend::{Backend, REPLY_TIMEOUT, Reading};
use crate::outcome::{Exit, Stop};
use drbd_control::{Errno, Message, Received, Request, Wanted};
use std::io;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use thiserror::Error;

/// A request had no proper answer.
#[derive(Debug, Error)]
pub enum Trouble {
    /// It could not be sent.
    #[error("error sending config command")]
    Send(#[source] io::Error),
    /// Nothing could be received.
    #[error("error receiving config reply")]
    Receive(#[source] io::Error),
    /// What came made no sense.
    #[error("error receiving config reply")]
    Malformed,
    /// It was refused at the level of the transport; the number is positive.
    #[error("{}", strerror_of(*.0))]
    Netlink(i32),
    /// Nobody reads what is printed any more.
    #[error("output closed")]
    OutputClosed,
    /// No answer in time.
    #[error("Timer expired")]
    Timeout,
}

/// The text of a Linux error number.
pub fn strerror_of(number: i32) -> String {
    crate::strerror(&io::Error::from_raw_os_error(number))
}

/// One conversation with whoever does the work.
pub struct Client {
    backend: Box<dyn Backend>,
    seq: u32,
}

impl Client {
    /// Talks over this backend. Numbers of requests begin with the time, as those of the genuine
    /// tool do: they show in the output of `events`.
    pub fn new(backend: Box<dyn Backend>) -> Self {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        Self {
            backend,
            seq: crate::words::low_half(now),
        }
    }

    /// Sends a request.
    pub fn send(&mut self, request: Request) -> Result<u32, Trouble> {
        self.seq = self.seq.wrapping_add(1);
        let request = request.numbered(self.seq, self.backend.port());
        self.backend
            .send(&request.encode(self.backend.family()))
            .map_err(Trouble::Send)?;
        Ok(self.seq)
    }

    /// Sends a request whose connection is to receive all later notices as well.
    pub fn subscribe(&mut self, request: Request) -> Result<u32, Trouble> {
        let request = self.backend.subscribe(request).map_err(Trouble::Send)?;
        self.send(request)
    }

    /// Receives the next message; `None` when the deadline passes first.
    pub fn receive(&mut self, deadline: Option<Instant>) -> Result<Option<Received>, Trouble> {
        let Some(bytes) = self.backend.receive(deadline).map_err(Trouble::Receive)? else {
            return Ok(None);
        };
        Received::decode(&bytes, self.backend.family())
            .map(Some)
            .map_err(|_| Trouble::Malformed)
    }

    /// Receives the next message, however long it takes, as long as somebody reads what is
    /// printed.
    pub fn receive_while_read(&mut self) -> Result<Received, Trouble> {
        match self.backend.wait_while_read() {
            Ok(Reading::Readable) => {}
            Ok(Reading::OutputClosed) => return Err(Trouble::OutputClosed),
            Err(error) => return Err(Trouble::Receive(error)),
        }
        // Somebody else's datagram may have been dropped meanwhile: then this waits on.
        self.receive(None)?.ok_or(Trouble::Timeout)
    }

    fn answer(&mut self) -> Result<Received, Trouble> {
        self.receive(Some(Instant::now() + REPLY_TIMEOUT))?
            .ok_or(Trouble::Timeout)
    }

    /// Sends a request and waits for its one answer.
    pub fn ask(&mut self, request: Request) -> Result<Message, Trouble> {
        let seq = self.send(request)?;
        loop {
            match self.answer()? {
                Received::Message(message) if message.seq == seq => return Ok(*message),
                Received::Error { seq: to, code } if to == seq => {
                    return Err(Trouble::Netlink(-code));
                }
                // Answers to earlier requests, and notices.
                Received::Message(_) | Received::Error { .. } | Received::Done { .. } => {}
            }
        }
    }

    /// Sends a request and collects the list that answers it.
    ///
    /// A list stops at the first item that says "no such resource": the genuine kernel repeats
    /// it for ever (spec 30 section 4.4).
    pub fn list(&mut self, mut request: Request) -> Result<Vec<Message>, Trouble> {
        request.wanted = Wanted::List;
        let seq = self.send(request)?;
        let mut items = Vec::new();
        loop {
            match self.answer()? {
                Received::Message(message) if message.seq == seq => {
                    if !message.answer.is_success() {
                        return Err(Trouble::Netlink(Errno::NoDev as i32));
                    }
                    items.push(*message);
                }
                Received::Done { seq: to, code: 0 } if to == seq => return Ok(items),
                Received::Done { seq: to, code } | Received::Error { seq: to, code }
                    if to == seq =>
                {
                    return Err(Trouble::Netlink(-code));
                }
                Received::Message(_) | Received::Error { .. } | Received::Done { .. } => {}
            }
        }
    }
}

impl Trouble {
    /// How a command that changes something ends with this trouble.
    pub fn of_config(&self, object: &str) -> Stop {
        Stop::error(format!("{object}: {self}\n"))
    }

    /// How a command that only asks ends with this trouble.
    pub fn of_query(&self) -> Stop {
        match self {
            Self::Netlink(number) => Stop::error(format!(
                "received netlink error reply: {}\n",
                strerror_of(*number)
            )),
            Self::Timeout => Stop {
                exit: Exit::TIMEOUT.0,
                ..Stop::error(String::new())
            },
            Self::Send(_) | Self::Receive(_) | Self::Malformed | Self::OutputClosed => {
                Stop::error(format!("{self}\n"))
            }
        }
    }
}
