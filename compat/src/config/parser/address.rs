//! Addresses, and the proxies between two of them.

use drbd_options::{Number, RangeError, Scale, Section};

use crate::model::{Address, Family, Proxy, Sections, Settings};

use crate::config::{
    cursor::{Parser, Tk},
    diagnostic::Abort,
    token::{Keyword as K, TokenKind},
};

// The blank at the end is genuine.
const ADDRESS: &str = "ssocks | sdp | ipv4 | ipv6 | <ipv4 address> ";

const PORT: Number = Number {
    scale: Scale::One,
    min: 1,
    max: 65535,
    default: 7788,
    unit: "",
};

impl Parser<'_> {
    /// An address; `line` is what messages about its port name.
    pub(super) fn address(&mut self, line: u32) -> Result<Address, Abort> {
        let token = self.next();
        let (family, host) = match token.kind {
            TokenKind::Ipv4 => (Family::Ipv4, token.raw.to_owned()),
            TokenKind::Keyword(K::Ipv4) => (Family::Ipv4, self.expect_ipv4()?),
            TokenKind::Keyword(K::Sdp) => (Family::Sdp, self.expect_ipv4()?),
            TokenKind::Keyword(K::Ssocks | K::Sci) => (Family::Ssocks, self.expect_ipv4()?),
            TokenKind::Keyword(K::Ipv6) => (Family::Ipv6, self.expect_ipv6()?),
            _ => return Err(self.unexpected(&token, ADDRESS, Tk::Hidden)),
        };
        if self.is_tolerant() && self.peek().raw == "port" {
            self.next();
            self.session.saw_07();
        } else {
            self.expect_op(b':')?;
        }
        let port = self.expect_integer()?.to_owned();
        self.check_port(&port, line)?;
        Ok(Address { family, host, port })
    }

    pub(super) fn check_port(&mut self, port: &str, line: u32) -> Result<(), Abort> {
        match PORT.check("port", port) {
            Ok(_) => Ok(()),
            Err(RangeError::Number(error)) => {
                Err(self.session.fatal(error.to_string(), error.exit_status()))
            }
            Err(range) => {
                self.invalid(line, &range.to_string());
                Ok(())
            }
        }
    }

    fn expect_ipv4(&mut self) -> Result<String, Abort> {
        let token = self.next();
        match token.kind {
            TokenKind::Ipv4 => Ok(token.raw.to_owned()),
            _ => Err(self.unexpected(&token, "TK_IPADDR", Tk::Shown)),
        }
    }

    fn expect_ipv6(&mut self) -> Result<String, Abort> {
        self.expect_op(b'[')?;
        let token = self.next();
        if token.kind != TokenKind::Ipv6 {
            return Err(self.unexpected(&token, "TK_IPADDR6", Tk::Shown));
        }
        self.expect_op(b']')?;
        Ok(token.raw.to_owned())
    }

    /// Registers an address; a loopback address may be used once on each of the hosts.
    pub(super) fn unique_address(
        &mut self,
        address: &Address,
        hosts: &[String],
        line: u32,
    ) -> Result<(), Abort> {
        let endpoint = format!("{}:{}", address.host, address.port);
        if !is_loopback(&address.host) {
            return self.unique("IP", endpoint, line);
        }
        for host in hosts {
            self.unique("IP", format!("{host}:{endpoint}"), line)?;
        }
        Ok(())
    }

    /// `proxy on NAMES { }`, behind the word `proxy`.
    pub(super) fn host_proxy(&mut self, line: u32, hosts: &[String]) -> Result<Proxy, Abort> {
        let on = self.next();
        if !on.is(K::On) {
            return Err(self.unexpected(&on, "TK_ON", Tk::Shown));
        }
        let names = self.host_names()?;
        let mut proxy = Proxy {
            names,
            inside: None,
            outside: None,
            options: Settings::default(),
            plugins: Vec::new(),
        };
        loop {
            let token = self.next();
            match token.kind {
                TokenKind::Op(b'}') => break,
                TokenKind::Keyword(K::Inside) => {
                    proxy.inside = Some(self.proxy_address(line, &proxy.names)?);
                }
                TokenKind::Keyword(K::Outside) => {
                    proxy.outside = Some(self.proxy_address(line, &proxy.names)?);
                }
                TokenKind::Keyword(K::Options) => {
                    self.expect_op(b'{')?;
                    let mut sections = Sections::default();
                    self.option_section(Section::Proxy, &mut sections)?;
                    proxy.options.0.append(&mut sections.proxy.0);
                    proxy.plugins.append(&mut sections.plugins);
                }
                _ => return Err(self.unexpected(&token, "inside | outside", Tk::Hidden)),
            }
        }
        for (missing, word) in [(&proxy.inside, "inside"), (&proxy.outside, "outside")] {
            if missing.is_none() {
                let text = format!(
                    "in section: on {} {{ proxy on {} {{ ... }} }}: '{word}' keyword missing.",
                    shown_names(hosts),
                    proxy.names.join(" ")
                );
                self.lacks(self.section_line, &text);
            }
        }
        Ok(proxy)
    }

    fn proxy_address(&mut self, line: u32, names: &[String]) -> Result<Address, Abort> {
        let address = self.address(line)?;
        self.expect_op(b';')?;
        self.unique_address(&address, names, line)?;
        Ok(address)
    }
}

fn shown_names(hosts: &[String]) -> String {
    if hosts.is_empty() {
        "UNKNOWN".to_owned()
    } else {
        hosts.join(" ")
    }
}

/// 127.0.0.0/8 and ::1.
pub(crate) fn is_loopback(host: &str) -> bool {
    host.starts_with("127.") || host == "::1"
}
