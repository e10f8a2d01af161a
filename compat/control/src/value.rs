//! How the values of Rust types travel in attributes.

use drbd_types::{ConnState, DiskState, MdFlags, Minor, Role, SectorCount, State, Uuid, UuidSet};

/// A value that has one fixed form as an attribute payload.
///
/// `parse` returns `None` for a payload that is too short or holds a code that does not exist.
/// Longer payloads are accepted as the kernel accepts them.
pub trait Payload: Sized {
    /// Appends the payload.
    fn write(&self, out: &mut Vec<u8>);
    /// Reads a payload.
    fn parse(payload: &[u8]) -> Option<Self>;
}

macro_rules! integers {
    ($($ty:ty),*) => {$(
        impl Payload for $ty {
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_ne_bytes());
            }
            fn parse(payload: &[u8]) -> Option<Self> {
                payload.first_chunk().map(|bytes| Self::from_ne_bytes(*bytes))
            }
        }
    )*};
}
integers!(u8, u32, i32, u64);

macro_rules! through {
    ($($ty:ty as $raw:ty: $into:expr, $from:expr;)*) => {$(
        impl Payload for $ty {
            fn write(&self, out: &mut Vec<u8>) {
                let into: fn(&$ty) -> $raw = $into;
                into(self).write(out);
            }
            fn parse(payload: &[u8]) -> Option<Self> {
                let from: fn($raw) -> Option<$ty> = $from;
                from(<$raw>::parse(payload)?)
            }
        }
    )*};
}
through! {
    bool as u8: |v| u8::from(*v), |raw| Some(raw != 0);
    SectorCount as u64: |v| v.0, |raw| Some(SectorCount(raw));
    Minor as u32: |v| v.0, |raw| Some(Minor(raw));
    Uuid as u64: |v| v.0, |raw| Some(Uuid(raw));
    Role as u32: |v| v.code(), Role::from_code;
    DiskState as u32: |v| v.code(), DiskState::from_code;
    ConnState as u32: |v| v.code(), ConnState::from_code;
    State as u32: State::pack, State::unpack;
    MdFlags as u32: |v| v.bits(), |raw| Some(MdFlags::from_bits_retain(raw));
}

impl Payload for UuidSet {
    fn write(&self, out: &mut Vec<u8>) {
        for uuid in [self.current, self.bitmap, self.history[0], self.history[1]] {
            uuid.write(out);
        }
    }

    fn parse(payload: &[u8]) -> Option<Self> {
        Some(Self {
            current: Uuid::parse(payload)?,
            bitmap: Uuid::parse(payload.get(8..)?)?,
            history: [
                Uuid::parse(payload.get(16..)?)?,
                Uuid::parse(payload.get(24..)?)?,
            ],
        })
    }
}

impl Payload for String {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
        out.push(0);
    }

    /// Up to the first NUL; bytes that are not UTF-8 are replaced.
    fn parse(payload: &[u8]) -> Option<Self> {
        let end = payload
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(payload.len());
        Some(Self::from_utf8_lossy(&payload[..end]).into_owned())
    }
}

impl Payload for Vec<u8> {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn parse(payload: &[u8]) -> Option<Self> {
        Some(payload.to_vec())
    }
}
