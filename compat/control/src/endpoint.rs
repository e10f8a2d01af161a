//! Addresses of connections: raw `sockaddr` bytes that only two functions look into.
//!
//! The engine compares addresses byte for byte (spec 30 section 5.1), so they stay bytes.

use crate::schema::ADDRESS_MAX;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// The address family number in the first two bytes (host byte order).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Family(pub u16);

impl Family {
    /// AF_INET
    pub const IPV4: Self = Self(2);
    /// AF_INET6
    pub const IPV6: Self = Self(10);
    /// Sockets direct protocol; addresses are those of IPv4.
    pub const SDP: Self = Self(27);
    /// The usual number of Dolphin's super sockets; addresses are those of IPv4. The real number
    /// is assigned when their module is loaded.
    pub const SSOCKS_FALLBACK: Self = Self(27);
}

/// A `sockaddr` of at most 128 bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Endpoint(Vec<u8>);

/// Longer than an address can be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooLong;

impl Endpoint {
    /// An address of the family; the numbers of `address` are laid out as its IP version demands.
    pub fn new(family: Family, address: SocketAddr) -> Self {
        let mut bytes = Vec::with_capacity(28);
        bytes.extend_from_slice(&family.0.to_ne_bytes());
        bytes.extend_from_slice(&address.port().to_be_bytes());
        match address {
            SocketAddr::V4(v4) => {
                bytes.extend_from_slice(&v4.ip().octets());
                bytes.extend_from_slice(&[0; 8]);
            }
            SocketAddr::V6(v6) => {
                bytes.extend_from_slice(&v6.flowinfo().to_ne_bytes());
                bytes.extend_from_slice(&v6.ip().octets());
                bytes.extend_from_slice(&v6.scope_id().to_ne_bytes());
            }
        }
        Self(bytes)
    }

    /// The bytes of a received attribute.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TooLong> {
        if bytes.len() > ADDRESS_MAX {
            return Err(TooLong);
        }
        Ok(Self(bytes.to_vec()))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The family number, if there are that many bytes.
    pub fn family(&self) -> Option<Family> {
        let bytes = self.0.first_chunk()?;
        Some(Family(u16::from_ne_bytes(*bytes)))
    }

    /// IP address and port; `None` if the bytes are too few.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        let port = u16::from_be_bytes(*self.0.get(2..)?.first_chunk()?);
        let chunk = |at: usize| self.0.get(at..)?.first_chunk::<4>().copied();
        if self.family()? == Family::IPV6 {
            let octets: [u8; 16] = *self.0.get(8..)?.first_chunk()?;
            let flow = u32::from_ne_bytes(chunk(4)?);
            let scope = u32::from_ne_bytes(chunk(24)?);
            let v6 = SocketAddrV6::new(Ipv6Addr::from(octets), port, flow, scope);
            return Some(SocketAddr::V6(v6));
        }
        Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::from(chunk(4)?)), port))
    }
}

impl fmt::Display for Endpoint {
    /// As `show` prints it: `ipv4 127.0.0.1:7789`, `ipv6 [::1]:98`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unknown = |f: &mut fmt::Formatter<'_>| {
            let family = self.family().map_or(0, |family| family.0);
            write!(f, "[unknown af={family}, len={}]", self.0.len())
        };
        let name = match self.family() {
            Some(Family::IPV4) => "ipv4",
            Some(Family::IPV6) => "ipv6",
            Some(Family::SDP) => "sdp",
            _ => return unknown(f),
        };
        match self.socket_addr() {
            Some(SocketAddr::V4(v4)) => write!(f, "{name} {v4}"),
            Some(SocketAddr::V6(v6)) => write!(f, "{name} [{}]:{}", v6.ip(), v6.port()),
            None => unknown(f),
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_address_has_the_captured_bytes() {
        let endpoint = Endpoint::new(Family::IPV4, "127.0.0.1:7788".parse().unwrap());
        // Spec 30 section 9.3.
        let captured = [2, 0, 0x1e, 0x6c, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(endpoint.as_bytes(), captured);
        assert_eq!(endpoint.to_string(), "ipv4 127.0.0.1:7788");
    }

    #[test]
    fn addresses_survive_the_way_through_bytes() {
        for text in ["10.1.1.31:7788", "[fe80::1%3]:98", "[::1]:65535"] {
            let address: SocketAddr = text.parse().unwrap();
            let family = if address.is_ipv4() {
                Family::IPV4
            } else {
                Family::IPV6
            };
            assert_eq!(Endpoint::new(family, address).socket_addr(), Some(address));
        }
    }

    #[test]
    fn addresses_that_cannot_be_understood_are_still_shown() {
        let odd = Endpoint::from_bytes(&[77, 0, 1]).unwrap();
        assert_eq!(odd.to_string(), "[unknown af=77, len=3]");
        let short = Endpoint::from_bytes(&[2, 0, 1, 2, 3]).unwrap();
        assert_eq!(short.to_string(), "[unknown af=2, len=5]");
        assert_eq!(
            Endpoint::from_bytes(&[]).unwrap().to_string(),
            "[unknown af=0, len=0]"
        );
    }
}
