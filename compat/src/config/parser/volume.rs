//! `volume N { }` and the statements that may stand in one.

use drbd_options::Section;

use crate::model::{MetaDisk, Origin, Volume};

use super::top::leading_digits;
use crate::config::{
    cursor::{Parser, Tk},
    devices,
    diagnostic::Abort,
    token::{Keyword as K, TokenKind},
};

const DISK: &str = "TK_STRING | {";
const VOLUME: &str = "device | disk | meta-disk | flex-meta-disk | }";

/// What a `device` statement says.
#[derive(Clone, Debug, Default)]
pub(super) struct Device {
    name: Option<String>,
    minor: Option<u32>,
}

impl Parser<'_> {
    /// `device`, `disk PATH`, `meta-disk` directly in a resource.
    pub(super) fn resource_volume_statement(
        &mut self,
        keyword: K,
        line: u32,
        volumes: &mut Vec<Volume>,
    ) -> Result<(), Abort> {
        if keyword == K::Disk && !matches!(self.peek().kind, TokenKind::Text) {
            // Refused before anything is said about volumes.
            let token = self.next();
            self.refuse_overlong(&token)?;
            return Err(self.unexpected(&token, DISK, Tk::Shown));
        }
        let at = self.implicit_volume(volumes);
        self.volume_statement(keyword, line, &mut volumes[at], &[])
    }

    /// The index of the volume that statements outside of `volume N { }` are about.
    pub(super) fn implicit_volume(&mut self, volumes: &mut Vec<Volume>) -> usize {
        match volumes.first() {
            None => volumes.push(Volume::new(0, Origin::Implicit)),
            Some(first) if first.origin == Origin::Explicit => {
                self.invalid(
                    self.line,
                    "mixing explicit and implicit volumes is not allowed",
                );
            }
            Some(_) => {}
        }
        0
    }

    /// `volume N { }` directly in a resource: a second one of the same number continues it.
    pub(super) fn resource_volume(
        &mut self,
        line: u32,
        volumes: &mut Vec<Volume>,
    ) -> Result<(), Abort> {
        let number = leading_digits(self.expect_integer()?);
        let at = match volumes.iter().position(|v| v.number == number) {
            Some(at) => at,
            None => insert_sorted(volumes, Volume::new(number, Origin::Explicit)),
        };
        self.volume_body(line, &mut volumes[at], &[])
    }

    /// The statements of `volume N { }`, from its `{`. Genuine: messages about them name the line
    /// of the word `volume`.
    pub(super) fn volume_body(
        &mut self,
        line: u32,
        volume: &mut Volume,
        hosts: &[String],
    ) -> Result<(), Abort> {
        self.expect_op(b'{')?;
        loop {
            let token = self.next();
            match token.kind {
                TokenKind::Op(b'}') => return Ok(()),
                TokenKind::Keyword(
                    keyword @ (K::Device | K::Disk | K::MetaDisk | K::FlexibleMetaDisk),
                ) => self.volume_statement(keyword, line, volume, hosts)?,
                _ => return Err(self.unexpected(&token, VOLUME, Tk::Shown)),
            }
        }
    }

    /// One statement of a volume, behind its keyword; `hosts` are those it is registered for.
    pub(super) fn volume_statement(
        &mut self,
        keyword: K,
        line: u32,
        volume: &mut Volume,
        hosts: &[String],
    ) -> Result<(), Abort> {
        match keyword {
            K::Device => {
                let device = self.device(line)?;
                self.set_device(device, line, volume, hosts)
            }
            K::Disk => self.disk(volume),
            K::MetaDisk => {
                volume.meta = Some(self.meta_disk()?);
                Ok(())
            }
            _ => {
                let path = self.expect_text()?;
                volume.meta = Some(match path.as_str() {
                    "internal" => MetaDisk::Internal,
                    _ => MetaDisk::Flexible(path),
                });
                self.expect_op(b';')
            }
        }
    }

    fn disk(&mut self, volume: &mut Volume) -> Result<(), Abort> {
        let token = self.next();
        match token.kind {
            TokenKind::Op(b'{') => self.own_options(Section::Disk, &mut volume.disk_options),
            TokenKind::Text => {
                volume.disk = Some(token.text());
                self.expect_op(b';')
            }
            _ => {
                self.refuse_overlong(&token)?;
                Err(self.unexpected(&token, DISK, Tk::Shown))
            }
        }
    }

    fn meta_disk(&mut self) -> Result<MetaDisk, Abort> {
        let path = self.expect_text()?;
        if path == "internal" {
            self.expect_op(b';')?;
            return Ok(MetaDisk::Internal);
        }
        if let Some(index) = self.legacy_meta_index()? {
            self.expect_op(b';')?;
            return Ok(MetaDisk::Indexed { path, index });
        }
        let token = self.next();
        match token.kind {
            TokenKind::Op(b'[') => {
                let index = self.expect_integer()?.to_owned();
                self.expect_op(b']')?;
                self.expect_op(b';')?;
                Ok(MetaDisk::Indexed { path, index })
            }
            TokenKind::Op(b';') => Ok(MetaDisk::Flexible(path)),
            _ => Err(self.unexpected(&token, "[ | ;", Tk::Hidden)),
        }
    }

    /// A `device` statement, behind the word.
    pub(super) fn device(&mut self, line: u32) -> Result<Device, Abort> {
        let mut device = Device::default();
        let token = self.next();
        match token.kind {
            TokenKind::Text => {
                let name = token.text();
                let name = match name.strip_prefix("drbd") {
                    Some(_) => format!("/dev/{name}"),
                    None => name,
                };
                if !name.starts_with("/dev/drbd") {
                    self.invalid(
                        line,
                        "device name must start with /dev/drbd\n\t\
                         (/dev/ is optional, but drbd is required)",
                    );
                }
                device.name = Some(name);
                let token = self.next();
                match token.kind {
                    TokenKind::Keyword(K::Minor) => {}
                    TokenKind::Op(b';') => {
                        self.minor_of_name(&mut device, line);
                        return Ok(device);
                    }
                    _ => return Err(self.unexpected(&token, "minor | ;", Tk::Hidden)),
                }
            }
            TokenKind::Keyword(K::Minor) => {}
            // Genuine: anything else is swallowed, and no `;` is read.
            _ => return Ok(device),
        }
        device.minor = Some(leading_digits(self.expect_integer()?));
        self.expect_op(b';')?;
        self.check_name_and_minor(&device, line);
        Ok(device)
    }

    fn minor_of_name(&mut self, device: &mut Device, line: u32) {
        let Some(name) = &device.name else { return };
        let digits = name.strip_prefix("/dev/drbd").filter(|d| all_digits(d));
        device.minor = match digits {
            Some(digits) => Some(digits.parse().unwrap_or(u32::MAX)),
            None => devices::drbd_minor(name),
        };
        if device.minor.is_none() {
            self.invalid(
                line,
                "no minor given nor device name contains a minor number",
            );
        }
    }

    fn check_name_and_minor(&mut self, device: &Device, line: u32) {
        let (Some(name), Some(minor)) = (&device.name, device.minor) else {
            return;
        };
        // Genuine: whatever the first nine characters are.
        let rest = name.get(9..).unwrap_or("");
        if all_digits(rest) {
            if rest.parse() != Ok(minor) {
                let text = format!(
                    "explicit minor number must match with device name\n\t\
                     Try \"device /dev/drbd{minor} minor {minor};\",\n\t\
                     or leave off either device name or explicit minor.\n\t\
                     Arbitrary device names must start with /dev/drbd_\n\t\
                     mind the '_'! (/dev/ is optional, but drbd_ is required)"
                );
                self.invalid(line, &text);
            }
        } else if !rest.starts_with('_') {
            self.invalid(
                line,
                "arbitrary device name must start with /dev/drbd_\n\t\
                 mind the '_'! (/dev/ is optional, but drbd_ is required)",
            );
        }
    }

    /// Stores a device and registers its minor and name for each host.
    pub(super) fn set_device(
        &mut self,
        device: Device,
        line: u32,
        volume: &mut Volume,
        hosts: &[String],
    ) -> Result<(), Abort> {
        // Genuine: a statement without minor registers the one that the volume already has.
        let minor = device.minor.or(volume.minor);
        for host in hosts {
            if let Some(minor) = minor {
                let key = format!("device-minor:{host}:{minor}");
                self.unique("device-minor", key, line)?;
            }
            if let Some(name) = &device.name {
                self.unique("device", format!("device:{host}:{name}"), line)?;
            }
        }
        if device.name.is_some() || device.minor.is_some() {
            volume.device = device.name;
            volume.minor = device.minor;
        }
        Ok(())
    }
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Keeps the list ascending; equal numbers in order of arrival. Returns the new one's index.
pub(super) fn insert_sorted(volumes: &mut Vec<Volume>, volume: Volume) -> usize {
    let at = volumes.partition_point(|v| v.number <= volume.number);
    volumes.insert(at, volume);
    at
}
