//! Result codes of state change requests (spec 60 section 1.2): one table of code and text.

macro_rules! outcomes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        /// How a requested state change ended; positive codes are success.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
        #[repr(i32)]
        pub enum StateOutcome { $($(#[$doc])* $name = $code,)* }

        impl StateOutcome {
            /// Every outcome, for tables and tests.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The text that log and tools print.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The outcome with this number on the wire.
            pub const fn from_code(code: i32) -> Option<Self> {
                match code { $($code => Some(Self::$name),)* _ => None }
            }
        }
    };
}

outcomes! {
    /// The state changed by itself; no agreement was needed any more.
    CwNoNeed = 4, "";
    /// The peer agreed.
    CwSuccess = 3, "";
    /// The state is already as requested.
    NothingToDo = 2, "";
    /// Done.
    Success = 1, "";
    /// Not decided yet (internal).
    UnknownError = 0, "";
    /// Both would be Primary.
    TwoPrimaries = -1, "Multiple primaries not allowed by config";
    /// Nobody would have good data.
    NoUpToDateDisk = -2, "Need access to UpToDate data";
    /// A resync needs a disk here.
    NoLocalDisk = -4, "Can not resync without local disk";
    /// A resync needs a disk there.
    NoRemoteDisk = -5, "Can not resync without remote disk";
    /// A connected node cannot be Outdated.
    ConnectedOutdates = -6, "Refusing to be Outdated while Connected";
    /// Fencing first.
    PrimaryNop = -7, "Refusing to be Primary while peer is not outdated";
    /// One resync or verify at a time.
    ResyncRunning = -8, "Can not start OV/resync since it is already active";
    /// Nothing to disconnect.
    AlreadyStandalone = -9, "Can not disconnect a StandAlone device";
    /// The peer said no.
    CwFailedByPeer = -10, "State change was refused by peer node";
    /// There is no disk.
    IsDiskless = -11, "Device is diskless, the requested operation requires a disk";
    /// Somebody has the device open.
    DeviceInUse = -12, "Device is held open by someone";
    /// No network configuration.
    NoNetConfig = -13, "Have no net/connection configuration";
    /// No verify algorithm.
    NoVerifyAlg = -14, "Need a verify algorithm to start online verify";
    /// Not connected.
    NeedConnection = -15, "Need a connection to start verify or resync";
    /// The disk is already worse.
    LowerThanOutdated = -16, "Disk state is lower than outdated";
    /// The peer is too old.
    NotSupported = -17, "Peer does not support protocol";
    /// Try again after the next change.
    InTransientState = -18, "In transient state, retry after next state change";
    /// Two requests met.
    ConcurrentStateChange = -19, "Concurrent state changes detected and aborted";
    /// Another volume's peer is Primary.
    OtherVolumePeerPrimary = -20, "Other vol primary on peer not allowed by config";
    /// The link was lost meanwhile.
    OutdateWithoutConnection = -21, "Need a connection for a graceful disconnect/outdate peer";
}

impl StateOutcome {
    /// The number on the wire and in exit statuses.
    pub const fn code(self) -> i32 {
        self as i32
    }

    /// Whether the change happened or was not needed.
    pub const fn is_success(self) -> bool {
        self.code() >= Self::Success.code()
    }
}
