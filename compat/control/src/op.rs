//! The operations of the family: one table (spec 30 section 4.2).

use crate::schema::Nest;

/// What an operation is about: which part of the context it needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// A device, by the minor in the header.
    Minor,
    /// A resource, by name.
    Resource,
    /// A resource by name, a volume, and an unused minor in the header.
    NewMinor,
    /// A resource by name and both addresses of a new connection.
    NewConnection,
    /// An existing connection, by its two addresses and without a resource name.
    Connection,
}

/// How an operation is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// One request, one answer.
    Do,
    /// One request, one answer or a list of them.
    DoOrDump,
    /// One request, a list of answers.
    Dump,
    /// Never asked for: only sent to the members of the group `events`.
    Notice,
}

/// Who may ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Privilege {
    /// Everybody who can reach the carrier; secrets are left out for callers without rights.
    Anyone,
    /// The administrator: CAP_SYS_ADMIN.
    Admin,
}

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal, $style:ident, $needs:ident, $nest:expr;)*) => {
        /// An operation; the discriminant is its number.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum Op { $($(#[$doc])* $name = $code,)* }

        impl Op {
            /// Every operation, ascending.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The operation with this number.
            pub const fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$name),)* _ => None }
            }

            /// The name without the prefix `DRBD_ADM_` or `DRBD_`, for logs.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// How it is asked for.
            pub const fn style(self) -> Style {
                match self { $(Self::$name => Style::$style,)* }
            }

            /// What it is about.
            pub const fn needs(self) -> Needs {
                match self { $(Self::$name => Needs::$needs,)* }
            }

            /// The attribute set of its request that carries the parameters.
            pub const fn payload(self) -> Option<Nest> {
                match self { $(Self::$name => $nest,)* }
            }
        }
    };
}

operations! {
    /// The classic event: a state change, helper call or progress mark of a device.
    Event = 1, "EVENT", Notice, Nothing, None;
    /// Everything about one device, or about all devices.
    GetStatus = 2, "GET_STATUS", DoOrDump, Nothing, None;
    /// Creates a device in a resource.
    NewMinor = 5, "NEW_MINOR", Do, NewMinor, Some(Nest::CfgContext);
    /// Removes a device without disk.
    DelMinor = 6, "DEL_MINOR", Do, Minor, None;
    /// Creates a resource.
    NewResource = 7, "NEW_RESOURCE", Do, Resource, Some(Nest::ResourceOpts);
    /// Removes an empty resource.
    DelResource = 8, "DEL_RESOURCE", Do, Resource, None;
    /// Changes options of a resource.
    ResourceOpts = 9, "RESOURCE_OPTS", Do, Resource, Some(Nest::ResourceOpts);
    /// Configures the connection of a resource and lets it connect.
    Connect = 10, "CONNECT", Do, NewConnection, Some(Nest::NetConf);
    /// Disconnects and forgets the network configuration.
    Disconnect = 11, "DISCONNECT", Do, Connection, Some(Nest::DisconnectParms);
    /// Gives a device its backing disk.
    Attach = 12, "ATTACH", Do, Minor, Some(Nest::DiskConf);
    /// Adapts to a new size.
    Resize = 13, "RESIZE", Do, Minor, Some(Nest::ResizeParms);
    /// Makes the resource of a device Primary.
    Primary = 14, "PRIMARY", Do, Minor, Some(Nest::SetRoleParms);
    /// Makes it Secondary.
    Secondary = 15, "SECONDARY", Do, Minor, Some(Nest::SetRoleParms);
    /// Starts a new data generation.
    NewCurrentUuid = 16, "NEW_C_UUID", Do, Minor, Some(Nest::NewCUuidParms);
    /// Starts an online verify.
    StartVerify = 17, "START_OV", Do, Minor, Some(Nest::StartOvParms);
    /// Takes the backing disk away.
    Detach = 18, "DETACH", Do, Minor, Some(Nest::DetachParms);
    /// Full resync from the peer.
    Invalidate = 19, "INVALIDATE", Do, Minor, None;
    /// Full resync to the peer.
    InvalidatePeer = 20, "INVAL_PEER", Do, Minor, None;
    /// Pauses resync.
    PauseSync = 21, "PAUSE_SYNC", Do, Minor, None;
    /// Resumes resync.
    ResumeSync = 22, "RESUME_SYNC", Do, Minor, None;
    /// Holds application I/O back.
    SuspendIo = 23, "SUSPEND_IO", Do, Minor, None;
    /// Lets it go on.
    ResumeIo = 24, "RESUME_IO", Do, Minor, None;
    /// Marks the own data as old.
    Outdate = 25, "OUTDATE", Do, Minor, None;
    /// Which of the start-up timeouts counts.
    GetTimeoutType = 26, "GET_TIMEOUT_TYPE", Do, Minor, None;
    /// Unconfigures a resource completely.
    Down = 27, "DOWN", Do, Resource, None;
    /// Changes options of a disk.
    DiskOpts = 28, "CHG_DISK_OPTS", Do, Minor, Some(Nest::DiskConf);
    /// Changes options of a connection.
    NetOpts = 29, "CHG_NET_OPTS", Do, Connection, Some(Nest::NetConf);
    /// Lists resources.
    GetResources = 30, "GET_RESOURCES", Dump, Nothing, None;
    /// Lists devices.
    GetDevices = 31, "GET_DEVICES", Dump, Nothing, None;
    /// Lists connections.
    GetConnections = 32, "GET_CONNECTIONS", Dump, Nothing, None;
    /// Lists the devices of peers.
    GetPeerDevices = 33, "GET_PEER_DEVICES", Dump, Nothing, None;
    /// A resource changed.
    ResourceState = 34, "RESOURCE_STATE", Notice, Nothing, None;
    /// A device changed.
    DeviceState = 35, "DEVICE_STATE", Notice, Nothing, None;
    /// A connection changed.
    ConnectionState = 36, "CONNECTION_STATE", Notice, Nothing, None;
    /// A device of a peer changed.
    PeerDeviceState = 37, "PEER_DEVICE_STATE", Notice, Nothing, None;
    /// Everything that exists, as notices.
    GetInitialState = 38, "GET_INITIAL_STATE", Dump, Nothing, None;
    /// A helper program is called or has returned.
    Helper = 40, "HELPER", Notice, Nothing, None;
    /// The end of the answer to GET_INITIAL_STATE.
    InitialStateDone = 41, "INITIAL_STATE_DONE", Notice, Nothing, None;
}

impl Op {
    /// Its number.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Who may ask for it.
    pub const fn privilege(self) -> Privilege {
        match self {
            Self::GetStatus => Privilege::Anyone,
            _ => Privilege::Admin,
        }
    }

    /// Whether a request may ask for a list.
    pub const fn can_dump(self) -> bool {
        matches!(self.style(), Style::Dump | Style::DoOrDump)
    }

    /// Whether a request may ask for one answer.
    pub const fn can_do(self) -> bool {
        matches!(self.style(), Style::Do | Style::DoOrDump)
    }
}
