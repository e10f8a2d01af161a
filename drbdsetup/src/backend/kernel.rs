//! The kernel module, over generic netlink.

use super::{Backend, ConnectError, REPLY_TIMEOUT, Reading, wait_readable, wait_while_read};
use drbd_control::frame::{self, MessageFlags, NLMSG_ERROR, Outer};
use drbd_control::tlv::{AttrFlags, Attrs, Writer};
use drbd_control::{FamilyId, Request};
use netlink_sys::{Socket, SocketAddr};
use std::collections::VecDeque;
use std::io;
use std::time::Instant;

const NETLINK_GENERIC: isize = 16;

/// The family that tells about families.
mod nlctrl {
    pub const FAMILY: u16 = 16;
    pub const CMD_GETFAMILY: u8 = 3;
    pub const VERSION: u8 = 2;
    pub const ATTR_FAMILY_ID: u16 = 1;
    pub const ATTR_FAMILY_NAME: u16 = 2;
    pub const ATTR_VERSION: u16 = 3;
    pub const ATTR_HDRSIZE: u16 = 4;
    pub const ATTR_MCAST_GROUPS: u16 = 7;
    pub const ATTR_MCAST_GRP_NAME: u16 = 1;
    pub const ATTR_MCAST_GRP_ID: u16 = 2;
    /// Bytes of the generic header in front of the attributes.
    pub const HEADER: usize = 4;
}

/// What the kernel says about the family `drbd`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Family {
    id: u16,
    version: u32,
    header: u32,
    events: Option<u32>,
}

/// A netlink socket.
#[derive(Debug)]
pub struct Kernel {
    socket: Socket,
    port: u32,
    family: Family,
    /// Messages of a datagram that held several.
    queue: VecDeque<Vec<u8>>,
}

impl Kernel {
    /// Opens a socket and looks the family up; loads the module if there is no family yet.
    pub fn connect() -> Result<Self, ConnectError> {
        match Self::connect_to_loaded() {
            Err(ConnectError::NoFamily) => {
                load_module();
                Self::connect_to_loaded()
            }
            result => result,
        }
    }

    fn connect_to_loaded() -> Result<Self, ConnectError> {
        let mut socket = Socket::new(NETLINK_GENERIC)?;
        let port = socket.bind_auto()?.port_number();
        let mut kernel = Self {
            socket,
            port,
            family: Family::default(),
            queue: VecDeque::new(),
        };
        kernel.family = kernel.look_up()?;
        let Family {
            version, header, ..
        } = kernel.family;
        if version != u32::from(frame::VERSION) || header != 8 {
            return Err(ConnectError::ApiMismatch { version, header });
        }
        Ok(kernel)
    }

    fn look_up(&mut self) -> Result<Family, ConnectError> {
        let outer = Outer {
            kind: nlctrl::FAMILY,
            flags: MessageFlags::REQUEST,
            seq: 1,
            port: self.port,
        };
        let request = frame::finish(outer, |out| {
            out.extend_from_slice(&[nlctrl::CMD_GETFAMILY, nlctrl::VERSION, 0, 0]);
            Writer::new(out).put(nlctrl::ATTR_FAMILY_NAME, AttrFlags::empty(), b"drbd\0");
        });
        self.send(&request)?;
        let reply = self
            .receive(Some(Instant::now() + REPLY_TIMEOUT))?
            .ok_or(ConnectError::NoFamily)?;
        let (outer, body) = frame::split_outer(&reply).map_err(|_| ConnectError::NoFamily)?;
        if outer.kind == NLMSG_ERROR {
            return Err(ConnectError::NoFamily);
        }
        let attributes = body.get(nlctrl::HEADER..).ok_or(ConnectError::NoFamily)?;
        Ok(parse_family(attributes))
    }
}

/// Asks for the real module: `modprobe drbd` alone may be redirected to the engine. A failure
/// shows when the family is looked up again.
fn load_module() {
    let _ = std::process::Command::new("/sbin/modprobe")
        .args(["--ignore-install", "drbd"])
        .stdin(std::process::Stdio::null())
        .status();
}

fn parse_family(attributes: &[u8]) -> Family {
    let number = |payload: &[u8]| payload.first_chunk().map(|b| u32::from_ne_bytes(*b));
    let mut family = Family::default();
    for attr in Attrs::new(attributes).map_while(Result::ok) {
        match attr.number {
            nlctrl::ATTR_FAMILY_ID => {
                let id = attr.payload.first_chunk().map(|b| u16::from_ne_bytes(*b));
                family.id = id.unwrap_or_default();
            }
            nlctrl::ATTR_VERSION => family.version = number(attr.payload).unwrap_or_default(),
            nlctrl::ATTR_HDRSIZE => family.header = number(attr.payload).unwrap_or_default(),
            nlctrl::ATTR_MCAST_GROUPS => {
                family.events = Attrs::new(attr.payload)
                    .map_while(Result::ok)
                    .find_map(|group| events_group(group.payload));
            }
            _ => {}
        }
    }
    family
}

/// The number of a multicast group, if it is the one of events.
fn events_group(attributes: &[u8]) -> Option<u32> {
    let (mut is_events, mut id) = (false, None);
    for attr in Attrs::new(attributes).map_while(Result::ok) {
        match attr.number {
            nlctrl::ATTR_MCAST_GRP_NAME => is_events = attr.payload == b"events\0",
            nlctrl::ATTR_MCAST_GRP_ID => {
                id = attr.payload.first_chunk().map(|b| u32::from_ne_bytes(*b));
            }
            _ => {}
        }
    }
    id.filter(|_| is_events)
}

/// Splits a datagram into its messages; what cannot be split is passed on whole.
fn split(datagram: &[u8]) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    let mut rest = datagram;
    while let Ok((_, body)) = frame::split_outer(rest) {
        let length = 16 + body.len();
        messages.push(rest[..length].to_vec());
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    if messages.is_empty() {
        messages.push(datagram.to_vec());
    }
    messages
}

impl Backend for Kernel {
    fn family(&self) -> FamilyId {
        FamilyId(self.family.id)
    }

    fn port(&self) -> u32 {
        self.port
    }

    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.socket
            .send_to(message, &SocketAddr::new(0, 0), 0)
            .map(|_| ())
    }

    fn receive(&mut self, deadline: Option<Instant>) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(message) = self.queue.pop_front() {
                return Ok(Some(message));
            }
            if !wait_readable(&self.socket, deadline)? {
                return Ok(None);
            }
            let (datagram, from) = self.socket.recv_from_full()?;
            // Only the kernel may answer.
            if from.port_number() == 0 {
                self.queue.extend(split(&datagram));
            }
        }
    }

    fn wait_while_read(&mut self) -> io::Result<Reading> {
        if self.queue.is_empty() {
            wait_while_read(&self.socket)
        } else {
            Ok(Reading::Readable)
        }
    }

    fn subscribe(&mut self, request: Request) -> io::Result<Request> {
        let group = self
            .family
            .events
            .ok_or_else(|| io::Error::from(rustix::io::Errno::NOENT))?;
        self.socket.add_membership(group)?;
        Ok(request)
    }
}
