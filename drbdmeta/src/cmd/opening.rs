//! Opening the meta-data device with the retries, questions and refusals of the genuine tool
//! (spec 40 section 9.2).

use std::path::Path;

use super::console::{Answer, FAILED_USE, Failure};
use super::session::Session;
use super::store::{RangeCheck, Store, Writing};
use super::table::Effect;
use crate::device::{Caching, Claim, Kind, Medium, MetaDevice, OpenError};
use crate::layout::Placement;

const NO_BLOCK_SIZE: &str =
    "ioctl(md_fd, BLKSSZGET) returned -1, assuming hard_sect_size is 512 Byte";
/// Told of what has no size, and of an empty file.
pub(super) const NO_SIZE: &str = "ioctl(,BLKGETSIZE64,) failed: Inappropriate ioctl for device";

/// Where devices come from: the system, or the memory of a crash test.
pub trait Devices {
    /// Opens for reading and writing.
    fn open(
        &mut self,
        path: &Path,
        claim: Claim,
        caching: Caching,
    ) -> Result<Box<dyn Medium>, OpenError>;
}

/// The devices and files of this machine.
pub struct System;

impl Devices for System {
    fn open(
        &mut self,
        path: &Path,
        claim: Claim,
        caching: Caching,
    ) -> Result<Box<dyn Medium>, OpenError> {
        Ok(Box::new(MetaDevice::open(path, claim, caching)?))
    }
}

impl Session<'_> {
    /// Opens exclusively, with the retries and questions of the genuine tool.
    pub(super) fn open_store(&mut self) -> Result<Store, Failure> {
        let mut caching = Caching::Direct;
        let mut claim = match (self.call.placement, self.call.command.effect) {
            (Placement::Indexed(slot), Effect::Modifies) => Claim::Slot(slot),
            (Placement::Indexed(_), Effect::Reads) => Claim::Shared,
            (_, Effect::Modifies) => Claim::Modify,
            (_, Effect::Reads) => Claim::Inspect,
        };
        let device = loop {
            let path = self.call.path.clone();
            match self.devices.open(&path, claim, caching) {
                Ok(device) => break device,
                Err(OpenError::Locked { .. }) => return Err(self.configured()),
                Err(error @ OpenError::Kind { .. }) => return Err(self.wrong_kind(&error)),
                Err(error @ OpenError::Open { .. })
                    if caching == Caching::Direct && error.is_invalid_argument() =>
                {
                    self.con.warn(error);
                    self.con
                        .warn("could not open with O_DIRECT, retrying without");
                    caching = Caching::Cached;
                }
                Err(OpenError::Open { path, error }) => {
                    let busy = error.kind() == std::io::ErrorKind::ResourceBusy;
                    self.con.warn(OpenError::Open { path, error });
                    if !busy || claim == Claim::Shared {
                        return Err(Failure::silent(FAILED_USE));
                    }
                    self.confirm_sharing()?;
                    claim = Claim::Shared;
                }
            }
        };
        if claim == Claim::Shared && self.call.command.effect == Effect::Modifies {
            // `O_EXCL` was given up, but an engine that serves a volume from the device still
            // shows by its lock.
            device.lock(Claim::Modify).map_err(|_| self.configured())?;
        }
        self.check_kind(&*device)?;
        Ok(self.guard(device))
    }

    /// The device under the guard that the options ask for.
    pub(super) fn guard(&self, device: Box<dyn Medium>) -> Store {
        let writing = if self.call.options.dry_run {
            Writing::DryRun
        } else {
            Writing::Real
        };
        let check = if self.call.options.ignore_sanity_checks {
            RangeCheck::Ignored
        } else {
            RangeCheck::Strict
        };
        Store::new(device, writing, check)
    }

    fn confirm_sharing(&mut self) -> Result<(), Failure> {
        // A crashed node is brought up by scripts: apply-al never waits for an answer.
        let may_ask = self.call.command.name != "apply-al" || self.con.is_forced();
        let question = "Exclusive open failed. Do it anyways?";
        if may_ask && self.con.confirm(question) == Answer::Yes {
            return Ok(());
        }
        self.con.say("Operation canceled.");
        Err(Failure::silent(FAILED_USE))
    }

    fn check_kind(&mut self, device: &dyn Medium) -> Result<(), Failure> {
        if device.kind() == Kind::BlockDevice {
            if let Ok(bytes) = device.logical_block() {
                self.con
                    .trace(2, format_args!("hard_sect_size is {bytes} Byte"));
            }
            return Ok(());
        }
        if !self.con.is_forced() {
            let path = self.call.path.display();
            return Err(Failure::new(
                FAILED_USE,
                format_args!("'{path}' is not a block device!"),
            ));
        }
        self.con.warn(NO_BLOCK_SIZE);
        Ok(())
    }

    /// `--force` goes on until the size is missing.
    fn wrong_kind(&mut self, error: &OpenError) -> Failure {
        if !self.con.is_forced() {
            return Failure::new(FAILED_USE, error);
        }
        self.con.warn(NO_BLOCK_SIZE);
        Failure::new(FAILED_USE, NO_SIZE)
    }
}
