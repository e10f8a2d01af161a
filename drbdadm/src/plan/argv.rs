//! The words of each call (spec 20 sections 6 and 7).

use compat::model::{Address, Host, MetaDisk, Resource, Setting, Settings, Volume};
use drbd_options::{Era, SetupCommand, of_command};

use super::call::{Call, Program};
use crate::command::Limit;

/// What all calls for one resource share.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// The resource.
    pub resource: &'a Resource,
    /// This node's section.
    pub me: &'a Host,
    /// Words from the command line.
    pub backend: &'a [String],
    /// Whether an unknown peer is printed as `N/A`.
    pub dry_run: bool,
}

/// `--name=value`, or `--name`.
fn option(setting: &Setting) -> String {
    match &setting.value {
        Some(value) => format!("--{}={value}", setting.name()),
        None => format!("--{}", setting.name()),
    }
}

/// What drbdsetup takes. `use-bmbv` is shown in dumps, but no drbdsetup of 8.4 accepts it: with
/// the genuine programs such a resource cannot be attached.
fn options(settings: &Settings) -> impl Iterator<Item = String> + '_ {
    let known = settings.iter().filter(|s| s.row.until == Era::V84);
    known.map(option)
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.into_iter().map(str::to_owned).collect()
}

fn minor(volume: &Volume) -> String {
    volume.minor.unwrap_or_default().to_string()
}

impl<'a> Scene<'a> {
    fn setup(&self, words: Vec<String>, limit: Limit) -> Call {
        Call::new(Program::Drbdsetup, words, limit)
    }

    fn with_backend(&self, mut words: Vec<String>) -> Vec<String> {
        words.extend_from_slice(self.backend);
        words
    }

    /// `drbdsetup COMMAND MINOR`
    pub fn of_minor(&self, command: &str, volume: &Volume, limit: Limit) -> Call {
        let words = self.with_backend(words([command, &minor(volume)]));
        self.setup(words, limit)
    }

    /// `drbdsetup COMMAND RESOURCE`
    pub fn of_resource(&self, command: &str, limit: Limit) -> Call {
        let words = self.with_backend(words([command, &self.resource.name]));
        self.setup(words, limit)
    }

    /// `drbdmeta MINOR v08 DEVICE INDEX COMMAND`, without words from the command line.
    fn meta_words(&self, command: &str, volume: &Volume) -> Vec<String> {
        let index = match &volume.meta {
            Some(MetaDisk::Internal) | None => "internal",
            Some(MetaDisk::Flexible(_)) => "flex-external",
            Some(MetaDisk::Indexed { index, .. }) => index,
        };
        let device = volume.meta_device().unwrap_or_default();
        words([&minor(volume), "v08", device, index, command])
    }

    /// `drbdmeta MINOR v08 DEVICE INDEX COMMAND`
    pub fn meta(&self, command: &str, volume: &Volume, limit: Limit) -> Call {
        let words = self.with_backend(self.meta_words(command, volume));
        Call::new(Program::Drbdmeta, words, limit)
    }

    /// The call that gives new meta-data an identity; the identity itself comes last.
    pub fn write_dev_uuid(&self, volume: &Volume) -> Call {
        let words = self.meta_words("write-dev-uuid", volume);
        Call::new(Program::Drbdmeta, words, Limit::Short)
    }

    /// `drbdsetup new-resource`
    pub fn new_resource(&self) -> Call {
        let mut words = words(["new-resource", &self.resource.name]);
        words.extend(options(&self.resource.sections.options));
        self.setup(self.with_backend(words), Limit::Short)
    }

    /// `drbdsetup new-minor`
    pub fn new_minor(&self, volume: &Volume) -> Call {
        let number = volume.number.to_string();
        let words = words(["new-minor", &self.resource.name, &minor(volume), &number]);
        self.setup(words, Limit::Short)
    }

    /// The activity log is applied, then the disk attached.
    pub fn attach(&self, volume: &Volume) -> Vec<Call> {
        let disk = volume.disk.as_deref().unwrap_or_default();
        let index = match &volume.meta {
            Some(MetaDisk::Internal) | None => "internal",
            Some(MetaDisk::Flexible(_)) => "flexible",
            Some(MetaDisk::Indexed { index, .. }) => index,
        };
        let device = volume.meta_device().unwrap_or_default();
        let mut words = words(["attach", &minor(volume), disk, device, index]);
        words.extend(options(&volume.disk_options));
        vec![
            self.meta("apply-al", volume, Limit::Long),
            self.setup(self.with_backend(words), Limit::Medium),
        ]
    }

    /// `drbdsetup disk-options --set-defaults` with everything that may change at run time.
    pub fn reset_disk_options(&self, volume: &Volume) -> Call {
        let changeable = |s: &&Setting| s.row.is_for(SetupCommand::DiskOptions);
        let mut words = words(["disk-options", &minor(volume), "--set-defaults"]);
        words.extend(volume.disk_options.iter().filter(changeable).map(option));
        self.setup(self.with_backend(words), Limit::Medium)
    }

    /// `drbdsetup resource-options --set-defaults`
    pub fn reset_resource_options(&self) -> Call {
        let mut words = words(["resource-options", &self.resource.name, "--set-defaults"]);
        words.extend(options(&self.resource.sections.options));
        self.setup(self.with_backend(words), Limit::Short)
    }

    /// `drbdsetup net-options --set-defaults`
    pub fn reset_net_options(&self) -> Option<Call> {
        let (local, remote) = self.endpoints()?;
        let mut words = words(["net-options", &local, &remote, "--set-defaults"]);
        words.extend(options(&self.resource.sections.net));
        Some(self.setup(self.with_backend(words), Limit::Short))
    }

    /// `drbdsetup resize`, and the check behind it.
    pub fn resize(&self, volume: &Volume) -> (Call, Call) {
        let mut resize = words(["resize", &minor(volume)]);
        resize.extend(volume.disk_option("size").map(option));
        let check = words(["check-resize", &minor(volume)]);
        (
            self.setup(self.with_backend(resize), Limit::Short),
            self.setup(check, Limit::Short),
        )
    }

    /// The own address and that of the peer, or of the proxy between; `None` if not known.
    pub fn endpoints(&self) -> Option<(String, String)> {
        let local = self.me.address.as_ref()?.to_string();
        let remote = match self.peer_address() {
            Some(address) => address.to_string(),
            None if self.dry_run => "N/A".to_owned(),
            None => return None,
        };
        Some((local, remote))
    }

    /// Where the connection leads.
    pub fn peer_address(&self) -> Option<&'a Address> {
        let inside = self.me.proxy.as_ref().and_then(|p| p.inside.as_ref());
        inside.or_else(|| self.resource.peer_host()?.address.as_ref())
    }

    /// `drbdsetup connect`
    pub fn connect(&self) -> Option<Call> {
        let (local, remote) = self.endpoints()?;
        let mut words = words(["connect", &self.resource.name, &local, &remote]);
        let peer = self.resource.peer_host();
        let alternates = (
            self.me.alternate.as_ref(),
            peer.and_then(|p| p.alternate.as_ref()),
        );
        if let (Some(mine), Some(theirs)) = alternates {
            words.extend(["--alternate-address".to_owned(), mine.to_string()]);
            words.extend(["--alternate-peer-address".to_owned(), theirs.to_string()]);
        }
        words.extend(options(&self.resource.sections.net));
        Some(self.setup(self.with_backend(words), Limit::Short))
    }

    /// `drbdsetup net-options` or `disconnect`
    pub fn of_connection(&self, command: &str) -> Option<Call> {
        let (local, remote) = self.endpoints()?;
        let words = self.with_backend(words([command, &local, &remote]));
        Some(self.setup(words, Limit::Short))
    }

    /// `drbdsetup wait-connect`
    pub fn wait_connect(&self, volume: &Volume) -> Call {
        if !self.resource.is_stacked() || self.resource.sections.stacked_timeouts {
            return self.wait_as_configured(volume);
        }
        let seconds = self.stacked_timeout();
        let words = words(["wait-connect", &minor(volume), "--wfc-timeout", &seconds]);
        self.setup(words, Limit::Forever)
    }

    /// How long a stacked resource waits for its peer, in seconds. Not the timeouts of the
    /// configuration: the lower resource has already waited.
    pub fn stacked_timeout(&self) -> String {
        let interval = self.resource.sections.net.value("connect-int");
        interval.map_or("20".to_owned(), |text| {
            text.parse::<u64>()
                .map_or_else(|_| text.to_owned(), |n| n.saturating_mul(2).to_string())
        })
    }

    /// `drbdsetup wait-connect` with the timeouts of the configuration. Genuine: the wait at boot
    /// uses these for stacked resources, too.
    pub fn wait_as_configured(&self, volume: &Volume) -> Call {
        let mut words = words(["wait-connect", &minor(volume)]);
        let known: Vec<_> = of_command(SetupCommand::WaitConnect).collect();
        let startup = self.resource.sections.startup.iter();
        words.extend(startup.filter(|s| known.contains(&s.row)).map(option));
        self.setup(words, Limit::Forever)
    }
}
