//! The three header forms (spec 50 section 3).

use drbd_types::VolumeNr;

use crate::error::DecodeError;
use crate::fields::{Field, Reader};
use crate::table::Command;
use crate::version::Agreed;

const MAGIC: u32 = 0x8374_0267;
const MAGIC_BIG: u16 = 0x835a;
const MAGIC_100: u32 = 0x8620_ec20;

/// How a header is laid out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeaderForm {
    /// 8 bytes, lengths up to 65535.
    H80,
    /// 8 bytes, longer packets at versions 95 to 99.
    H95,
    /// 16 bytes with volume number, since version 100.
    H100,
}

impl HeaderForm {
    /// Its bytes.
    pub const fn size(self) -> usize {
        match self {
            Self::H80 | Self::H95 => 8,
            Self::H100 => 16,
        }
    }

    /// The largest length that it can state.
    pub const fn max_length(self) -> u32 {
        match self {
            Self::H80 => u16::MAX as u32,
            // Senders keep to 24 bits.
            Self::H95 => 0x00ff_ffff,
            Self::H100 => u32::MAX,
        }
    }
}

/// A header whose command has not been looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RawHeader {
    /// Volume; 0 in 8-byte headers.
    pub volume: VolumeNr,
    /// Number of the command.
    pub code: u16,
    /// Bytes after the header.
    pub length: u32,
}

/// A header of a known packet whose length is plausible.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Volume.
    pub volume: VolumeNr,
    /// What follows.
    pub command: Command,
    /// Bytes after the header, payload included.
    pub length: u32,
}

impl RawHeader {
    /// Reads a header from the first bytes of `bytes`, which must be at least
    /// [`Agreed::header_size`] long.
    pub fn decode(agreed: Agreed, bytes: &[u8]) -> Result<Self, DecodeError> {
        let wrong_magic = DecodeError::WrongMagic {
            magic: u32::take(&mut Reader(bytes)).unwrap_or(0),
            version: agreed.version,
        };
        let decoded = match agreed.header_form(0) {
            HeaderForm::H100 => Self::decode_100(bytes)?,
            HeaderForm::H80 | HeaderForm::H95 => Self::decode_8_bytes(bytes),
        };
        decoded.ok_or(wrong_magic)
    }

    fn decode_8_bytes(bytes: &[u8]) -> Option<Self> {
        let input = &mut Reader(bytes);
        let (magic, code, length) = (u32::take(input)?, u16::take(input)?, u16::take(input)?);
        if magic == MAGIC {
            return Some(Self {
                volume: VolumeNr(0),
                code,
                length: length.into(),
            });
        }
        let input = &mut Reader(bytes);
        let (magic, code, length) = (u16::take(input)?, u16::take(input)?, u32::take(input)?);
        (magic == MAGIC_BIG).then_some(Self {
            volume: VolumeNr(0),
            code,
            length,
        })
    }

    fn decode_100(bytes: &[u8]) -> Result<Option<Self>, DecodeError> {
        let input = &mut Reader(bytes);
        let fields = || -> Option<(u32, Self, u32)> {
            let magic = u32::take(input)?;
            let header = Self {
                volume: VolumeNr(u16::take(input)?),
                code: u16::take(input)?,
                length: u32::take(input)?,
            };
            Some((magic, header, u32::take(input)?))
        };
        match { fields }() {
            Some((MAGIC_100, header, 0)) => Ok(Some(header)),
            Some((MAGIC_100, _, _)) => Err(DecodeError::HeaderPadding),
            _ => Ok(None),
        }
    }

    /// Writes the header over the first bytes of these; the length must fit the form.
    pub(crate) fn write(self, form: HeaderForm, bytes: &mut [u8]) {
        let volume = self.volume.0.to_be_bytes();
        let code = self.code.to_be_bytes();
        let length = self.length.to_be_bytes();
        let fields: &[&[u8]] = match form {
            HeaderForm::H80 => &[&MAGIC.to_be_bytes(), &code, &length[2..]],
            HeaderForm::H95 => &[&MAGIC_BIG.to_be_bytes(), &code, &length],
            HeaderForm::H100 => &[&MAGIC_100.to_be_bytes(), &volume, &code, &length, &[0; 4]],
        };
        let mut start = 0;
        for field in fields {
            bytes[start..start + field.len()].copy_from_slice(field);
            start += field.len();
        }
    }
}
