//! The parameters of a request: options, and for `attach` the devices.

use crate::schema::{self, NAME_MAX, Nest, disk_conf};
use crate::settings::{Direction, ParamError, Settings};
use crate::tlv::{AttrFlags, Writer};
use crate::value::Payload;

/// Where the meta-data is on its device.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct MetaIndex(pub i32);

impl MetaIndex {
    /// At the end of the data device itself.
    pub const INTERNAL: Self = Self(-3);
    /// Alone on a device of its own.
    pub const FLEXIBLE: Self = Self(-2);
    /// Internal, in the layout of 0.7.
    pub const OLD_INTERNAL: Self = Self(-1);

    /// Whether the meta-data is on the data device.
    pub const fn is_internal(self) -> bool {
        matches!(self, Self::INTERNAL | Self::OLD_INTERNAL)
    }
}

/// Backing devices and disk options.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DiskConf {
    /// Path of the backing device.
    pub backing_dev: String,
    /// Path of the meta-data device.
    pub meta_dev: String,
    /// Where on it.
    pub meta_index: MetaIndex,
    /// The options ([`Nest::DiskConf`]).
    pub settings: Settings,
}

impl DiskConf {
    pub(crate) fn write(&self, direction: Direction, writer: &mut Writer<'_>) {
        // The genuine client writes options first, the kernel the devices.
        if direction == Direction::Request {
            self.settings.write(direction, writer);
        }
        let mut put = |number, value: &dyn Fn(&mut Vec<u8>)| {
            let mut payload = Vec::new();
            value(&mut payload);
            writer.put(number, AttrFlags::empty(), &payload);
        };
        put(disk_conf::BACKING_DEV, &|out| self.backing_dev.write(out));
        put(disk_conf::META_DEV, &|out| self.meta_dev.write(out));
        put(disk_conf::META_DEV_IDX, &|out| self.meta_index.0.write(out));
        if direction == Direction::Answer {
            self.settings.write(direction, writer);
        }
    }

    pub(crate) fn parse(list: &[u8]) -> Result<Self, ParamError> {
        let (mut backing_dev, mut meta_dev, mut meta_index) = (None, None, None);
        let settings = Settings::parse(Nest::DiskConf, list, |number, payload| {
            match number {
                disk_conf::BACKING_DEV => backing_dev = Some(path(payload)?),
                disk_conf::META_DEV => meta_dev = Some(path(payload)?),
                disk_conf::META_DEV_IDX => {
                    let index = i32::parse(payload).ok_or(ParamError::Invalid)?;
                    meta_index = Some(MetaIndex(index));
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(Self {
            backing_dev: backing_dev.ok_or(ParamError::Missing)?,
            meta_dev: meta_dev.ok_or(ParamError::Missing)?,
            meta_index: meta_index.ok_or(ParamError::Missing)?,
            settings,
        })
    }
}

fn path(payload: &[u8]) -> Result<String, ParamError> {
    let text = String::parse(payload).ok_or(ParamError::Invalid)?;
    if text.len() > NAME_MAX {
        return Err(ParamError::Invalid);
    }
    Ok(text)
}

/// The parameter set of a request, not yet looked into: the engine looks for the device or
/// resource first and finds fault with the parameters later (spec 30 section 5.1).
#[derive(Clone, PartialEq, Eq)]
pub struct Params {
    nest: Nest,
    list: Vec<u8>,
}

impl std::fmt::Debug for Params {
    /// Without the contents, which may hold the shared secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Params({:?}, {} bytes)", self.nest, self.list.len())
    }
}

impl Params {
    pub(crate) const fn received(nest: Nest, list: Vec<u8>) -> Self {
        Self { nest, list }
    }

    /// Parameters that consist of options only.
    pub fn settings_of(settings: &Settings) -> Self {
        let mut list = Vec::new();
        settings.write(Direction::Request, &mut Writer::new(&mut list));
        Self {
            nest: settings.nest(),
            list,
        }
    }

    /// Parameters of `attach`.
    pub fn attach(conf: &DiskConf) -> Self {
        let mut list = Vec::new();
        conf.write(Direction::Request, &mut Writer::new(&mut list));
        Self {
            nest: Nest::DiskConf,
            list,
        }
    }

    /// The set.
    pub const fn nest(&self) -> Nest {
        self.nest
    }

    /// The attributes, without the frame of the set.
    pub(crate) fn list(&self) -> &[u8] {
        &self.list
    }

    /// The options of a request that creates something.
    pub fn creation(&self) -> Result<Settings, ParamError> {
        Settings::parse(self.nest, &self.list, |_, _| Ok(()))
    }

    /// The options of a request that changes something that exists.
    pub fn change(&self) -> Result<Settings, ParamError> {
        let is_argument = |number| self.nest == Nest::DiskConf && number <= disk_conf::META_DEV_IDX;
        let settings = Settings::parse(self.nest, &self.list, |number, _| {
            if is_argument(number) {
                Err(ParamError::Invariant)
            } else {
                Ok(())
            }
        })?;
        if settings.iter().any(|(row, _)| schema::is_invariant(row)) {
            return Err(ParamError::Invariant);
        }
        Ok(settings)
    }

    /// The parameters of `attach`.
    pub fn disk_conf(&self) -> Result<DiskConf, ParamError> {
        DiskConf::parse(&self.list)
    }
}
