//! What a person reads in `/proc/drbd` (spec 70 section 1), for waiting and for showing progress.

use crate::hosts::{Error, Host};

/// The live file of a host with our engine.
pub const LIVE_FILE: &str = "/run/drbd/proc/drbd";

/// One device as `/proc/drbd` shows it.
#[derive(Clone, PartialEq, Debug)]
pub struct Device {
    /// `cs:`, the connection state.
    pub connection: String,
    /// `ro:`, both roles, own first.
    pub roles: String,
    /// `ds:`, both disk states, own first.
    pub disks: String,
    /// `oos:`, KiB out of sync.
    pub out_of_sync: u64,
    /// The bar and its percentage, during a resync.
    pub progress: Option<String>,
}

impl Device {
    /// The device with this minor, if the text has it configured.
    pub fn find(text: &str, minor: &str) -> Option<Self> {
        let start = format!("{minor}: cs:");
        let mut lines = text
            .lines()
            .skip_while(|line| !line.trim_start().starts_with(&start));
        let words = lines.next()?;
        let field = |line: &str, key: &str| {
            line.split_whitespace()
                .find_map(|word| Some(word.strip_prefix(key)?.to_owned()))
        };
        let counters = lines.next()?;
        Some(Self {
            connection: field(words, "cs:")?,
            roles: field(words, "ro:")?,
            disks: field(words, "ds:")?,
            out_of_sync: field(counters, "oos:")?.parse().ok()?,
            progress: lines
                .next()
                .filter(|line| line.contains("sync'ed:"))
                .map(|line| line.trim().to_owned()),
        })
    }

    /// The device with this minor on a host with our engine.
    pub fn read(host: &Host<'_>, minor: &str) -> Result<Self, String> {
        let text = host
            .read(LIVE_FILE)
            .map_err(|error: Error| error.to_string())?;
        Self::find(&text, minor).ok_or(text)
    }

    /// Connected, and both disks good.
    pub fn is_in_sync(&self) -> bool {
        self.connection == "Connected" && self.disks == "UpToDate/UpToDate"
    }

    /// Gives the device back when `expected` holds for it, what it is otherwise.
    pub fn expect(self, expected: impl FnOnce(&Self) -> bool) -> Result<Self, String> {
        if expected(&self) {
            Ok(self)
        } else {
            Err(format!("{self:?}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the documentation of installation F2.
    const F2: &str = "\
version: 8.4.2 (api:1/proto:86-101)
GIT-hash: 7ad5f850d711223713d6dcadc3dd48860321070c build by root@centos, 2013-02-03 23:38:49
 1: cs:SyncTarget ro:Secondary/Primary ds:Inconsistent/UpToDate C r-----
    ns:0 nr:46533632 dw:46533632 dr:0 al:0 bm:2840 lo:1 pe:4 ua:0 ap:0 ep:1 wo:f oos:5892828
\t[================>...] sync'ed: 88.8% (5752/51196)M
\tfinish: 0:01:00 speed: 97,024 (93,252) want: 69,120 K/sec
";

    #[test]
    fn the_device_of_f2_is_read_with_its_progress() {
        let device = Device::find(F2, "1").expect("minor 1 is there");
        assert_eq!(
            (device.connection.as_str(), device.disks.as_str()),
            ("SyncTarget", "Inconsistent/UpToDate")
        );
        assert_eq!(device.out_of_sync, 5_892_828);
        assert_eq!(
            device.progress.as_deref(),
            Some("[================>...] sync'ed: 88.8% (5752/51196)M")
        );
        assert!(!device.is_in_sync());
        assert_eq!(Device::find(F2, "0"), None);
        assert_eq!(
            Device::find("version: 8.4.2\n 1: cs:Unconfigured\n", "1"),
            None
        );
    }
}
