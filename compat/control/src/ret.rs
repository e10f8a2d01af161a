//! The return code of a reply: one table of numbers and texts (spec 30 chapter 3).

use drbd_types::StateOutcome;
use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        /// A code from 101 on: the request was carried out, or refused before any state change.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
        #[repr(i32)]
        pub enum RetCode { $($(#[$doc])* $name = $code,)* }

        impl RetCode {
            /// Every code, ascending.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The text that the tools print.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The code with this number.
            pub const fn from_code(code: i32) -> Option<Self> {
                match code { $($code => Some(Self::$name),)* _ => None }
            }
        }
    };
}

codes! {
    /// Done.
    NoError = 101, "No further Information available.";
    /// Another connection uses my address.
    LocalAddr = 102, "Local address(port) already in use.";
    /// Another connection uses the peer's address.
    PeerAddr = 103, "Remote address(port) already in use.";
    /// The backing device cannot be opened exclusively.
    OpenDisk = 104, "Can not open backing device.";
    /// The meta-data device cannot be opened.
    OpenMdDisk = 105, "Can not open meta device.";
    /// No longer used by 8.4.
    DiskInUse = 106, "Lower device already in use.";
    /// Not a block device.
    DiskNotBdev = 107, "Lower device is not a block device.";
    /// Not a block device.
    MdNotBdev = 108, "Meta device is not a block device.";
    /// No longer used by 8.4.
    DiskOpenFailed = 109, "Open of lower device failed.";
    /// No longer used by 8.4.
    MdOpenFailed = 110, "Open of meta device failed.";
    /// The backing device is too small.
    DiskTooSmall = 111, "Low.dev. smaller than requested DRBD-dev. size.";
    /// The meta-data device is too small.
    MdDiskTooSmall = 112, "Meta device too small.";
    /// No longer used by 8.4.
    DiskFirst = 113, "You have to use the disk command first.";
    /// Somebody else holds the backing device.
    BdclaimDisk = 114, "Lower device is already claimed. This usually means it is mounted.";
    /// Somebody else holds the meta-data device.
    BdclaimMdDisk = 115, "Meta device is already claimed. This usually means it is mounted.";
    /// This index does not go with these devices.
    MdIdxInvalid = 116, "Lower device / meta device / index combination invalid.";
    /// No longer used by 8.4.
    TooBig = 117, "Currently we only support devices up to 3.998TB.\n(up to 2TB in case you do not \
        have CONFIG_LBD set)\nContact office@linbit.com, if you need more.";
    /// The meta-data cannot be read.
    IoMdDisk = 118, "IO error(s) occurred during initial access to meta-data.\n";
    /// There is no meta-data.
    MdInvalid = 119, "No valid meta-data signature found.\n\n\t==> Use 'drbdadm create-md res' to \
        initialize meta-data area. <==\n";
    /// Unknown algorithm for authentication.
    AuthAlg = 120, "The 'cram-hmac-alg' you specified is not known in the kernel. (Maybe you need \
        to modprobe it, or modprobe hmac?)";
    /// Not a digest.
    AuthAlgNd = 121, "The 'cram-hmac-alg' you specified is not a digest.";
    /// No memory.
    NoMem = 122, "kmalloc() failed. Out of memory?";
    /// A Primary cannot discard its data.
    DiscardImpossible = 123, "--discard-my-data not allowed when primary.";
    /// There is a disk already.
    DiskConfigured = 124, "Device is attached to a disk (use detach first)";
    /// There is a connection already.
    NetConfigured = 125, "Device has a net-config (use disconnect first)";
    /// The payload is not acceptable; an info text says why.
    MandatoryTag = 126, "UnknownMandatoryTag";
    /// No such device.
    MinorInvalid = 127, "Device minor not allocated";
    /// No longer used by 8.4.
    StateInvalid = 128, "Resulting device state would be invalid";
    /// A signal came first.
    Intr = 129, "Interrupted by Signal";
    /// Not now.
    ResizeResync = 130, "Resize not allowed during resync.";
    /// Somebody must be Primary.
    NoPrimary = 131, "Need one Primary node to resize.";
    /// No such minor can be waited for.
    ResyncAfter = 132, "The resync-after minor number is invalid";
    /// A cycle.
    ResyncAfterCycle = 133, "This would cause a resync-after dependency cycle";
    /// Paused already.
    PauseIsSet = 134, "Sync-pause flag is already set";
    /// Not paused.
    PauseIsClear = 135, "Sync-pause flag is already cleared";
    /// No longer used by 8.4.
    DiskLower = 136, "Disk state is lower than outdated";
    /// Unknown request.
    PacketNr = 137, "Kernel does not know how to handle your request.\nMaybe API_VERSION mismatch?";
    /// No disk.
    NoDisk = 138, "Device does not have a disk-config";
    /// Two primaries go with protocol C only.
    NotProtoC = 139, "Protocol C required";
    /// No memory for the bitmap.
    NoMemBitmap = 140, "vmalloc() failed. Out of memory?";
    /// Unknown algorithm for data integrity.
    IntegrityAlg = 141, "The 'data-integrity-alg' you specified is not known in the kernel. (Maybe \
        you need to modprobe it, or modprobe hmac?)";
    /// Not a digest.
    IntegrityAlgNd = 142, "The 'data-integrity-alg' you specified is not a digest.";
    /// Not a CPU mask.
    CpuMaskParse = 143, "Invalid cpu-mask.";
    /// Unknown algorithm for checksum based resync.
    CsumsAlg = 144, "CSUMSAlgNotAvail";
    /// Not a digest.
    CsumsAlgNd = 145, "CSUMSAlgNotDigest";
    /// Unknown algorithm for online verify.
    VerifyAlg = 146, "VERIFYAlgNotAvail";
    /// Not a digest.
    VerifyAlgNd = 147, "VERIFYAlgNotDigest";
    /// Not now.
    CsumsResyncRunning = 148, "Can not change csums-alg while resync is in progress";
    /// Not now.
    VerifyRunning = 149, "Can not change verify-alg while online verify runs";
    /// These are not the data that were there last.
    DataNotCurrent = 150, "Can only attach to the data we lost last (see kernel log).";
    /// Not while connected.
    Connected = 151, "Need to be StandAlone";
    /// Not allowed.
    Perm = 152, "Permission denied. CAP_SYS_ADMIN necessary";
    /// The peer is too old.
    NeedApv93 = 153, "Protocol version 93 required to use --assume-clean";
    /// Stonith needs acknowledgements.
    StonithAndProtA = 154, "Fencing policy resource-and-stonith only with prot B or C allowed";
    /// Pulling ahead needs protocol A.
    CongNotProtoA = 155, "on-congestion policy pull-ahead only with prot A allowed";
    /// Still paused by a dependency.
    PicAfterDep = 156, "Sync-pause flag is already cleared.\nNote: Resync pause caused by a local \
        resync-after dependency.";
    /// Still paused by the peer.
    PicPeerDep = 157, "Sync-pause flag is already cleared.\nNote: Resync pause caused by the peer node.";
    /// No such resource.
    ResNotKnown = 158, "Unknown resource";
    /// It has devices.
    ResInUse = 159, "Resource still in use (delete all minors first)";
    /// It has a disk or is Primary.
    MinorConfigured = 160, "Minor still configured (down it first)";
    /// Taken.
    MinorOrVolumeExists = 161, "Minor or volume exists already (delete it first)";
    /// Contradictory; an info text says why.
    InvalidRequest = 162, "Invalid configuration request";
    /// The peer is too old.
    NeedApv100 = 163, "Prot version 100 required in order to change\nthese network options while connected";
    /// There are two.
    NeedAllowTwoPri = 164, "Can not clear allow_two_primaries as long as\nthere a primaries on both sides";
    /// The activity log must be applied first.
    MdUnclean = 165, "Unclean meta-data found.\nYou need to 'drbdadm apply-al res'\n";
    /// Both must change.
    MdLayoutConnected = 166, "DRBD need to be connected for online MD layout change\n";
    /// Too big.
    MdLayoutTooBig = 167, "Resulting AL area too big\n";
    /// Too small.
    MdLayoutTooSmall = 168, "Resulting AL are too small\n";
    /// No room.
    MdLayoutNoFit = 169, "Resulting AL does not fit into available meta data space\n";
    /// It would lose data.
    ImplicitShrink = 170, "Implicit device shrinking not allowed. See kernel log.\n";
}

impl RetCode {
    /// The number on the wire.
    pub const fn code(self) -> i32 {
        self as i32
    }
}

/// What the header of a reply says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Answer {
    /// From the tables of the family.
    Ret(RetCode),
    /// The result of a requested state change.
    State(StateOutcome),
    /// A number that neither table has: from a newer peer.
    Other(i32),
}

impl Answer {
    /// Plain success.
    pub const OK: Self = Self::Ret(RetCode::NoError);

    /// The answer with this number.
    pub fn from_code(code: i32) -> Self {
        if let Some(ret) = RetCode::from_code(code) {
            Self::Ret(ret)
        } else if let Some(outcome) = StateOutcome::from_code(code) {
            Self::State(outcome)
        } else {
            Self::Other(code)
        }
    }

    /// The number on the wire.
    pub const fn code(self) -> i32 {
        match self {
            Self::Ret(ret) => ret.code(),
            Self::State(outcome) => outcome.code(),
            Self::Other(code) => code,
        }
    }

    /// Whether the request was carried out or there was nothing to do.
    pub const fn is_success(self) -> bool {
        match self {
            Self::Ret(ret) => matches!(ret, RetCode::NoError),
            Self::State(outcome) => outcome.is_success(),
            Self::Other(_) => false,
        }
    }
}

impl From<RetCode> for Answer {
    fn from(ret: RetCode) -> Self {
        Self::Ret(ret)
    }
}

impl From<StateOutcome> for Answer {
    fn from(outcome: StateOutcome) -> Self {
        Self::State(outcome)
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ret(ret) => f.write_str(ret.text()),
            Self::State(outcome) => f.write_str(outcome.text()),
            Self::Other(code) => write!(f, "Error code {code} unknown."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_the_numbers_101_to_170_without_a_gap() {
        let codes: Vec<_> = RetCode::ALL.iter().map(|ret| ret.code()).collect();
        assert_eq!(codes, (101..=170).collect::<Vec<_>>());
    }

    #[test]
    fn every_number_survives_the_way_through_an_answer() {
        for code in -30..=200 {
            assert_eq!(Answer::from_code(code).code(), code);
        }
        assert_eq!(Answer::from_code(-3), Answer::Other(-3), "no such outcome");
        assert_eq!(Answer::from_code(100), Answer::Other(100));
    }
}
