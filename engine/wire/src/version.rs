//! Protocol versions, feature flags, and what two nodes agreed on (spec 50 sections 1 and 4.1).

use core::fmt;

use crate::header::HeaderForm;
use crate::units::ByteLen;

/// A protocol version number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ProtocolVersion(pub u32);

impl ProtocolVersion {
    /// What both ends assume until they have agreed on a version: 8-byte headers.
    pub const BEFORE_AGREEMENT: Self = Self(80);
    /// The oldest version that any DRBD 8 speaks.
    pub const OLDEST: Self = Self(86);
    /// The newest version of DRBD 8.4.
    pub const NEWEST: Self = Self(101);
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

bitflags::bitflags! {
    /// Feature flags of the handshake; both nodes must announce a feature for it to be used.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
    pub struct Features: u32 {
        /// P_TRIM.
        const TRIM = 1;
        /// P_RS_THIN_REQ and P_RS_DEALLOCATED.
        const THIN_RESYNC = 2;
        /// P_WSAME, 24 more bytes in P_SIZES, 128 MiB discards, UUID rule 41.
        const WRITE_SAME = 4;
        /// P_ZEROES; P_TRIM then means "discard only".
        const WRITE_ZEROES = 8;
    }
}

/// The versions that a node is willing to speak.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct VersionRange {
    /// Oldest.
    pub min: ProtocolVersion,
    /// Newest.
    pub max: ProtocolVersion,
}

impl VersionRange {
    /// The range of DRBD 8.4.2 to 8.4.12.
    pub const DRBD_84: Self = Self {
        min: ProtocolVersion::OLDEST,
        max: ProtocolVersion::NEWEST,
    };

    /// The version that two nodes with these ranges use, if there is one.
    pub fn agree(self, peer: Self) -> Option<ProtocolVersion> {
        (self.max >= peer.min && self.min <= peer.max).then(|| self.max.min(peer.max))
    }
}

/// What both ends of a connection agreed on; decides header form and layouts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Agreed {
    /// Protocol version.
    pub version: ProtocolVersion,
    /// Features that both announced.
    pub features: Features,
}

impl Agreed {
    /// How the first packets are sent, before anything is agreed.
    pub const HANDSHAKE: Self = Self {
        version: ProtocolVersion::BEFORE_AGREEMENT,
        features: Features::empty(),
    };

    /// Bytes of every header on both sockets.
    pub const fn header_size(&self) -> usize {
        if self.version.0 >= 100 {
            HeaderForm::H100.size()
        } else {
            HeaderForm::H80.size()
        }
    }

    /// The header that a packet with so many bytes after the header is sent with.
    pub const fn header_form(&self, length: u32) -> HeaderForm {
        match self.version.0 {
            100.. => HeaderForm::H100,
            95..=99 if length > 0x8000 => HeaderForm::H95,
            _ => HeaderForm::H80,
        }
    }

    /// The largest data payload of one packet.
    pub const fn max_payload(&self) -> ByteLen {
        ByteLen(match self.version.0 {
            100.. => 1 << 20,
            95..=99 => 128 << 10,
            _ => 32 << 10,
        })
    }
}
