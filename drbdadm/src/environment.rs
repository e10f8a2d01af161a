//! The machine: name, addresses, terminals, run directory.

use std::{fs, io::IsTerminal, net::Ipv4Addr, net::Ipv6Addr, path::PathBuf};

use compat::config::LocalAddresses;
use drbd_options::Era;

/// `uname -n`, or `$__DRBD_NODE__`, which is announced.
pub fn node_name() -> (String, Option<String>) {
    match std::env::var("__DRBD_NODE__") {
        Ok(name) if !name.is_empty() => {
            let notice = format!(
                "\n   found __DRBD_NODE__ in environment\n   PRETENDING that I am >>{name}<<\n"
            );
            (name, Some(notice))
        }
        _ => {
            let uname = rustix::system::uname();
            (uname.nodename().to_string_lossy().into_owned(), None)
        }
    }
}

/// The addresses of interfaces that are up, from the kernel's tables.
pub fn local_addresses() -> LocalAddresses {
    LocalAddresses {
        v4: fs::read_to_string("/proc/net/fib_trie")
            .map(|text| local_v4(&text).collect())
            .unwrap_or_default(),
        v6: fs::read_to_string("/proc/net/if_inet6")
            .map(|text| text.lines().filter_map(local_v6).collect())
            .unwrap_or_default(),
    }
}

/// The host routes of the local table are the own addresses.
fn local_v4(trie: &str) -> impl Iterator<Item = Ipv4Addr> + '_ {
    let mut leaf = None;
    trie.lines().filter_map(move |line| {
        let line = line.trim_start();
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse().ok();
            return None;
        }
        line.starts_with("/32 host LOCAL").then_some(leaf).flatten()
    })
}

fn local_v6(line: &str) -> Option<Ipv6Addr> {
    let digits = line.split_whitespace().next()?;
    u128::from_str_radix(digits, 16).ok().map(Ipv6Addr::from)
}

/// Whether both standard input and output are terminals.
pub fn is_interactive() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// `$DRBD_ERA`, or what `/etc/default/drbd` says; nothing for `auto`.
pub fn era() -> Option<Era> {
    if let Ok(era) = std::env::var("DRBD_ERA") {
        return era.parse().ok();
    }
    let defaults = fs::read_to_string("/etc/default/drbd").ok()?;
    let mut values = defaults.lines().rev().filter_map(|line| {
        let value = line.trim().strip_prefix("DRBD_ERA=")?;
        Some(value.trim_matches(['"', '\'']).to_owned())
    });
    values.next()?.parse().ok()
}

/// Where the engine keeps its socket, and drbdadm the registry of last used files.
pub fn run_directory() -> PathBuf {
    std::env::var_os("DRBD_RUN_DIR").map_or_else(|| PathBuf::from("/run/drbd"), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_addresses_are_the_host_routes_of_the_local_table() {
        let trie = "Local:\n  +-- 0.0.0.0/0 3 0 5\n     +-- 10.0.0.0/24 2 0 2\n        \
                    |-- 10.0.0.0\n           /24 link UNICAST\n        |-- 10.0.0.5\n           \
                    /32 host LOCAL\n        |-- 10.0.0.255\n           /32 link BROADCAST\n";
        let own: Vec<_> = local_v4(trie).collect();
        assert_eq!(own, [Ipv4Addr::new(10, 0, 0, 5)]);
    }

    #[test]
    fn the_ipv6_table_of_the_kernel_is_understood() {
        let line = "00000000000000000000000000000001 01 80 10 80       lo";
        assert_eq!(local_v6(line), Some(Ipv6Addr::LOCALHOST));
    }
}
