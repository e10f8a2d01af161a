//! How large a volume is (spec 60 section 5).

use alloc::format;
use alloc::string::String;

use core::fmt;

use drbd_types::units::AL_EXTENT_SECTORS;
use drbd_types::{ConnState, DiskState, Role, SectorCount, State};

/// The largest volume: extents of the activity log have 32-bit numbers on disk, and the highest
/// number says "free".
pub const LARGEST: SectorCount = SectorCount(u32::MAX as u64 * AL_EXTENT_SECTORS);

/// What the size depends on; zero stands for "not known" or "not given".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SizeInputs {
    /// Usable capacity of the own disk.
    pub own: SectorCount,
    /// The peer's backing size.
    pub peer: SectorCount,
    /// Last agreed size, from the superblock.
    pub last_agreed: SectorCount,
    /// Size asked for.
    pub user: SectorCount,
}

impl SizeInputs {
    /// `--assume-peer-has-space` while not connected: the peer counts as equally large.
    pub const fn assuming_peer_has_space(self) -> Self {
        Self {
            peer: self.own,
            ..self
        }
    }

    /// The size without regard to the size asked for. An unconnected node keeps the last agreed
    /// size, even if its disk grew.
    fn available(&self) -> SectorCount {
        let known = |size: SectorCount| (size.0 != 0).then_some(size);
        let both = known(self.own).zip(known(self.peer));
        let limits = [known(self.own), known(self.peer)];
        let smallest = limits.into_iter().flatten().min();
        let size = match (both, known(self.last_agreed)) {
            (Some((own, peer)), _) => own.min(peer),
            (None, Some(agreed)) => smallest.map_or(agreed, |limit| agreed.min(limit)),
            (None, None) => smallest.unwrap_or(SectorCount(0)),
        };
        size.min(LARGEST)
    }
}

/// The effective size (section 5.1); zero if neither node has a disk.
pub fn effective(inputs: &SizeInputs) -> SectorCount {
    let available = inputs.available();
    if inputs.user.0 != 0 && inputs.user <= available {
        inputs.user
    } else {
        available
    }
}

/// The line for the log if the result of [`effective`] is not what was asked for.
pub fn complaint(inputs: &SizeInputs) -> Option<String> {
    let available = inputs.available();
    if available.0 == 0 {
        Some(String::from("Both nodes diskless!"))
    } else if inputs.user > available {
        let (wanted, possible) = (inputs.user.kib(), available.kib());
        Some(format!(
            "Requested disk size is too big ({wanted} > {possible})"
        ))
    } else {
        None
    }
}

/// The size asked for when two nodes meet: the smaller one of those that are given.
pub fn user_size_of_pair(own: SectorCount, peer: SectorCount) -> SectorCount {
    match (own.0, peer.0) {
        (0, _) => peer,
        (_, 0) => own,
        _ => own.min(peer),
    }
}

/// Whether two sizes differ by more than an eighth, which is worth a warning.
pub const fn considerably_different(a: SectorCount, b: SectorCount) -> bool {
    let difference = a.0.abs_diff(b.0);
    a.0 != 0 && b.0 != 0 && (difference > a.0 >> 3 || difference > b.0 >> 3)
}

/// Whether going from `current` to `new` would cut off data that the peer cannot have agreed to
/// lose (section 5.3).
pub fn truncates_data(state: &State, current: SectorCount, new: SectorCount) -> bool {
    new < current
        && state.disk >= DiskState::Outdated
        && (state.conn < ConnState::Connected || state.pdsk == DiskState::Diskless)
}

/// The sizes in the peer's report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReportedSizes {
    /// Its backing size.
    pub disk: SectorCount,
    /// The size it was asked for.
    pub user: SectorCount,
    /// The size its device has.
    pub current: SectorCount,
}

/// What a node without disk makes of the peer's sizes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DisklessSize {
    /// Nothing new.
    Keep,
    /// The peer has no disk either: `Ignored diskless peer device size`.
    IgnorePeer(SectorCount),
    /// A Primary must not shrink: `The peer's device size is too small!`, disconnect.
    TooSmall(SectorCount),
    /// Take it.
    Adopt(SectorCount),
}

/// Decides the size of a node without disk (section 5.3).
pub fn without_disk(role: Role, own: SectorCount, peer: &ReportedSizes) -> DisklessSize {
    let offers = [peer.current, peer.user, peer.disk];
    let Some(offer) = offers.into_iter().find(|size| size.0 != 0) else {
        return DisklessSize::Keep;
    };
    if offer == own {
        DisklessSize::Keep
    } else if own.0 != 0 && peer.disk.0 == 0 {
        DisklessSize::IgnorePeer(offer)
    } else if offer < own && role == Role::Primary {
        DisklessSize::TooSmall(offer)
    } else {
        DisklessSize::Adopt(offer)
    }
}

/// A size in KiB as log lines show it: at most four digits and a unit.
pub const fn human_kib(kib: u64) -> HumanSize {
    HumanSize(kib)
}

/// Displays as `32 MB`; made by [`human_kib`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HumanSize(u64);

impl fmt::Display for HumanSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut size = self.0;
        let mut units = "KMGTPE".chars();
        let mut unit = units.next().unwrap_or('K');
        while size >= 10_000
            && let Some(next) = units.next()
        {
            size = size / 1024 + (size % 1024) / 512;
            unit = next;
        }
        write!(f, "{size} {unit}B")
    }
}

#[cfg(test)]
mod tests;
