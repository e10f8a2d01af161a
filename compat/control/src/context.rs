//! What a message is about.

use crate::endpoint::Endpoint;
use crate::schema::{NAME_MAX, Nest};
use crate::settings::Direction;
use crate::tlv::{AttrFlags, Attrs, Writer};
use crate::value::Payload;
use drbd_types::VolumeNr;

const VOLUME: u16 = 1;
const RESOURCE: u16 = 2;
const MY_ADDR: u16 = 3;
const PEER_ADDR: u16 = 4;

/// The set CFG_CONTEXT: each part is there when the message is about one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Context {
    /// Volume number, 0 to 65535 in a valid request.
    pub volume: Option<u32>,
    /// Resource name.
    pub resource: Option<String>,
    /// Own address of the connection.
    pub my_addr: Option<Endpoint>,
    /// The peer's address.
    pub peer_addr: Option<Endpoint>,
}

impl Context {
    /// About a resource.
    pub fn resource(name: impl Into<String>) -> Self {
        Self {
            resource: Some(name.into()),
            ..Self::default()
        }
    }

    /// About a volume of a resource.
    pub fn volume(name: impl Into<String>, volume: VolumeNr) -> Self {
        Self {
            volume: Some(u32::from(volume.0)),
            ..Self::resource(name)
        }
    }

    /// The same with the addresses of a connection.
    #[must_use]
    pub fn with_addresses(mut self, my_addr: Endpoint, peer_addr: Endpoint) -> Self {
        self.my_addr = Some(my_addr);
        self.peer_addr = Some(peer_addr);
        self
    }

    /// The volume number, if there is one and it is in range.
    pub fn volume_nr(&self) -> Option<VolumeNr> {
        u16::try_from(self.volume?).ok().map(VolumeNr)
    }

    pub(crate) fn write(&self, direction: Direction, writer: &mut Writer<'_>) {
        let put = |writer: &mut Writer<'_>, number, payload: &[u8]| {
            writer.put(number, AttrFlags::MANDATORY, payload);
        };
        let volume = |writer: &mut Writer<'_>| {
            if let Some(volume) = self.volume {
                put(writer, VOLUME, &volume.to_ne_bytes());
            }
        };
        // The kernel names the volume first, the genuine client last but for the addresses.
        if direction == Direction::Answer {
            volume(writer);
        }
        if let Some(name) = &self.resource {
            let mut payload = Vec::new();
            name.write(&mut payload);
            put(writer, RESOURCE, &payload);
        }
        if direction == Direction::Request {
            volume(writer);
        }
        for (number, address) in [(MY_ADDR, &self.my_addr), (PEER_ADDR, &self.peer_addr)] {
            if let Some(address) = address {
                put(writer, number, address.as_bytes());
            }
        }
    }

    pub(crate) fn parse(list: &[u8]) -> Result<Self, ContextError> {
        let mut context = Self::default();
        for attr in Attrs::new(list) {
            let attr = attr.map_err(|_| ContextError::Malformed)?;
            let address =
                || Endpoint::from_bytes(attr.payload).map_err(|_| ContextError::AddressTooLong);
            match attr.number {
                VOLUME => {
                    let volume = u32::parse(attr.payload).ok_or(ContextError::Malformed)?;
                    context.volume = Some(volume);
                }
                RESOURCE => {
                    let name = String::parse(attr.payload).ok_or(ContextError::Malformed)?;
                    if name.len() > NAME_MAX {
                        return Err(ContextError::Malformed);
                    }
                    context.resource = Some(name);
                }
                MY_ADDR => context.my_addr = Some(address()?),
                PEER_ADDR => context.peer_addr = Some(address()?),
                _ if attr.flags.contains(AttrFlags::MANDATORY) => {
                    return Err(ContextError::UnknownMandatory);
                }
                _ => {}
            }
        }
        Ok(context)
    }

    /// The set of a request as a reply repeats it: same order, bit 14 cleared (spec 30
    /// section 4.1).
    pub(crate) fn echo(list: &[u8], nest_flags: AttrFlags) -> Vec<u8> {
        let mut out = Vec::with_capacity(list.len() + 4);
        let kept = nest_flags & AttrFlags::NESTED;
        Writer::new(&mut out).nest(Nest::CfgContext.number(), kept, |writer| {
            for attr in Attrs::new(list).map_while(Result::ok) {
                writer.put(attr.number, attr.flags & AttrFlags::NESTED, attr.payload);
            }
        });
        out
    }
}

/// A context that cannot be understood: answered at the transport level.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ContextError {
    /// Framing, or a value too short or long.
    Malformed,
    /// An address of more than 128 bytes.
    AddressTooLong,
    /// A mandatory attribute of the future.
    UnknownMandatory,
}
