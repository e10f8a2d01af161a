//! Small values that packets carry.

use alloc::string::String;
use core::fmt;

/// A length in bytes as packets state it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct ByteLen(pub u32);

/// The handle by which the sender of a request recognises the answer. The receiver copies it
/// and never interprets it; its number is the eight bytes read as big endian.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct BlockId(pub u64);

impl BlockId {
    /// Marks resync and verify traffic.
    pub const SYNCER: Self = Self(u64::MAX);
    /// In P_OV_RESULT: both nodes have the same data.
    pub const IN_SYNC: Self = Self(4711);
    /// In P_OV_RESULT: they differ.
    pub const OUT_OF_SYNC: Self = Self(4712);
}

/// Position in a volume's sequence of writes and acknowledgements (spec 50 section 6.9). Counts
/// modulo 2^32, therefore there is no `Ord`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct SeqNum(pub u32);

impl SeqNum {
    /// The following number.
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// Whether this number comes after `other`: less than half the circle ahead of it.
    pub const fn is_after(self, other: Self) -> bool {
        (self.0.wrapping_sub(other.0) as i32) > 0
    }

    /// The later one of both.
    pub const fn latest(self, other: Self) -> Self {
        if other.is_after(self) { other } else { self }
    }
}

/// The number of an epoch: four bytes that the receiver copies into its acknowledgement.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct BarrierId(pub [u8; 4]);

/// A message digest of at most 64 bytes (sha512), kept in place.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest {
    length: u8,
    bytes: [u8; Digest::MAX],
}

impl Digest {
    /// The longest digest.
    pub const MAX: usize = 64;
    /// No digest at all.
    pub const EMPTY: Self = Self {
        length: 0,
        bytes: [0; Self::MAX],
    };

    /// The digest with these bytes; `None` if there are more than 64.
    pub fn new(digest: &[u8]) -> Option<Self> {
        let mut bytes = [0; Self::MAX];
        bytes.get_mut(..digest.len())?.copy_from_slice(digest);
        Some(Self {
            length: u8::try_from(digest.len()).ok()?,
            bytes,
        })
    }

    /// Its bytes as on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(")?;
        self.as_bytes()
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

/// The name of a digest algorithm; empty means none is configured. At most 63 bytes, no NUL.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub struct AlgName(String);

impl AlgName {
    /// Bytes of the field that holds a name and its NUL.
    pub const FIELD: usize = 64;
    /// No algorithm.
    pub const NONE: Self = Self(String::new());

    /// The name, if it fits.
    pub fn new(name: &str) -> Option<Self> {
        (name.len() < Self::FIELD && !name.contains('\0')).then(|| Self(name.into()))
    }

    /// The name as text, empty for none.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether no algorithm is configured.
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for AlgName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
