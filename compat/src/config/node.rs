//! This node, as far as the choice of host sections needs it (spec 10 section 5.4).

use std::{
    collections::HashSet,
    net::{Ipv4Addr, Ipv6Addr},
};

use crate::model::{Address, Family};

/// By which names a node finds its section.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Identity {
    /// The names behind `on`.
    #[default]
    Host,
    /// The names behind `proxy on`.
    Proxy,
}

/// Name and addresses of this node.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// `uname -n`, or what replaces it.
    pub name: String,
    /// The addresses of interfaces that are up.
    pub addresses: LocalAddresses,
    /// How it is found.
    pub identity: Identity,
}

/// The addresses of interfaces that are up.
#[derive(Clone, Debug, Default)]
pub struct LocalAddresses {
    /// IPv4
    pub v4: HashSet<Ipv4Addr>,
    /// IPv6
    pub v6: HashSet<Ipv6Addr>,
}

impl LocalAddresses {
    /// Whether an address is one of this node. Families without an interface list always are.
    pub fn contain(&self, address: &Address) -> bool {
        match address.family {
            Family::Ipv4 => parse_v4(&address.host).is_some_and(|a| self.v4.contains(&a)),
            Family::Ipv6 => {
                let host = address.host.split('%').next().unwrap_or("");
                host.parse().is_ok_and(|a| self.v6.contains(&a))
            }
            Family::Sdp | Family::Ssocks => true,
        }
    }
}

/// Like `inet_addr`, which takes leading zeros for octal; the scanner lets only digits through.
fn parse_v4(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0_u8; 4];
    let mut groups = text.split('.');
    for octet in &mut octets {
        let group = groups.next()?;
        let radix = if group.len() > 1 && group.starts_with('0') {
            8
        } else {
            10
        };
        *octet = u8::from_str_radix(group, radix).ok()?;
    }
    groups.next().is_none().then(|| octets.into())
}
