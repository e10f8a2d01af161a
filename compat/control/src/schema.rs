//! The attribute sets, and what is fixed about the attributes in them (spec 30 section 4.3).
//!
//! Sets that carry options are described by the registry `drbd-options`; this module adds only
//! what the registry does not say: the width of an attribute, whether it is mandatory, and the
//! order in which the kernel sends a complete set.

use drbd_options::{Kind, OptionRow, SetupCommand};

macro_rules! nests {
    ($($(#[$doc:meta])* $name:ident = $number:literal;)*) => {
        /// A top-level attribute; all of them are sets.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u16)]
        pub enum Nest { $($(#[$doc])* $name = $number,)* }

        impl Nest {
            /// Every set, ascending.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The set with this number.
            pub const fn from_number(number: u16) -> Option<Self> {
                match number { $($number => Some(Self::$name),)* _ => None }
            }
        }
    };
}

nests! {
    /// Info texts of a reply.
    CfgReply = 1;
    /// What a message is about.
    CfgContext = 2;
    /// Backing devices and disk options.
    DiskConf = 3;
    /// Resource options.
    ResourceOpts = 4;
    /// Network options.
    NetConf = 5;
    /// Force, of `primary`.
    SetRoleParms = 6;
    /// Parameters of `resize`.
    ResizeParms = 7;
    /// The state of a device.
    StateInfo = 8;
    /// Parameters of `verify`.
    StartOvParms = 9;
    /// Parameters of `new-current-uuid`.
    NewCUuidParms = 10;
    /// The answer to GET_TIMEOUT_TYPE.
    TimeoutParms = 11;
    /// Force, of `disconnect`.
    DisconnectParms = 12;
    /// Force, of `detach`.
    DetachParms = 13;
    /// State of a resource.
    ResourceInfo = 15;
    /// State of a device.
    DeviceInfo = 16;
    /// State of a connection.
    ConnectionInfo = 17;
    /// State of a device of a peer.
    PeerDeviceInfo = 18;
    /// Counters of a resource.
    ResourceStatistics = 19;
    /// Counters of a device.
    DeviceStatistics = 20;
    /// Counters of a connection.
    ConnectionStatistics = 21;
    /// Counters of a device of a peer.
    PeerDeviceStatistics = 22;
    /// What kind of notice this is.
    NotificationHeader = 23;
    /// A helper program.
    Helper = 24;
}

impl Nest {
    /// Its number.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// Whether the engine marks it as nested in what it sends. Requests always do.
    pub const fn is_marked_nested(self) -> bool {
        !matches!(self, Self::CfgReply | Self::CfgContext | Self::StateInfo)
    }

    /// Whether the engine marks the mandatory attributes in it as such.
    pub const fn is_marked_mandatory(self) -> bool {
        matches!(self, Self::CfgReply | Self::CfgContext | Self::StateInfo)
    }
}

impl From<drbd_options::Nest> for Nest {
    fn from(nest: drbd_options::Nest) -> Self {
        use drbd_options::Nest as Of;
        match nest {
            Of::DiskConf => Self::DiskConf,
            Of::ResourceOpts => Self::ResourceOpts,
            Of::NetConf => Self::NetConf,
            Of::SetRoleParms => Self::SetRoleParms,
            Of::ResizeParms => Self::ResizeParms,
            Of::StartOvParms => Self::StartOvParms,
            Of::NewCUuidParms => Self::NewCUuidParms,
            Of::DisconnectParms => Self::DisconnectParms,
            Of::DetachParms => Self::DetachParms,
        }
    }
}

/// How wide the value of an option is in its attribute.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Width {
    /// One byte: yes or no.
    U8,
    /// Four bytes.
    U32,
    /// Eight bytes.
    U64,
    /// NUL-terminated, at most this many bytes without the NUL.
    Text(usize),
    /// Raw bytes, at most this many.
    Bytes(usize),
}

/// Longest address in an attribute.
pub const ADDRESS_MAX: usize = 128;
/// Longest resource name, and device path, without the NUL.
pub const NAME_MAX: usize = 127;
/// Longest helper name, without the NUL.
pub const HELPER_MAX: usize = 31;

/// Attributes of DISK_CONF that are arguments, not options.
pub mod disk_conf {
    /// Path of the backing device.
    pub const BACKING_DEV: u16 = 1;
    /// Path of the meta-data device.
    pub const META_DEV: u16 = 2;
    /// Where on it: see [`crate::MetaIndex`].
    pub const META_DEV_IDX: u16 = 3;
}

/// The width of an option's attribute: numbers that can exceed 32 bits have 64.
pub fn width(row: &OptionRow) -> Width {
    match row.kind {
        Kind::Flag | Kind::Bool { .. } => Width::U8,
        Kind::Number(number) if number.max > i64::from(u32::MAX) => Width::U64,
        Kind::Number(_) | Kind::MinorOfResource(_) | Kind::Enum(_) => Width::U32,
        Kind::Text { max, .. } => Width::Text(max),
        Kind::Words => Width::Text(NAME_MAX),
        Kind::Address => Width::Bytes(ADDRESS_MAX),
    }
}

/// Attributes that came after the first release of the family: they are sent without the
/// mandatory bit, so that an older receiver ignores them.
const ADDED_LATER: &[(Nest, &[u16])] = &[
    (Nest::DiskConf, &[21, 23, 24, 25, 26]),
    (Nest::NetConf, &[33, 34, 35, 36]),
    (Nest::ResizeParms, &[4, 5]),
];

/// Whether a request marks this attribute as mandatory.
pub fn is_mandatory(nest: Nest, number: u16) -> bool {
    let is_argument = nest == Nest::DiskConf && number <= disk_conf::META_DEV_IDX;
    !is_argument
        && !ADDED_LATER
            .iter()
            .any(|(of, numbers)| *of == nest && numbers.contains(&number))
}

/// Whether the option is fixed once the disk is attached or the connection configured.
pub fn is_invariant(row: &OptionRow) -> bool {
    let creates = row.is_for(SetupCommand::Attach) || row.is_for(SetupCommand::Connect);
    let changes = row.is_for(SetupCommand::DiskOptions) || row.is_for(SetupCommand::NetOptions);
    creates && !changes
}

/// The options of a set in the order in which the kernel sends them: by number, but the
/// one-byte attributes of DISK_CONF behind all others.
pub fn options_of(nest: Nest) -> Vec<&'static OptionRow> {
    let mut rows: Vec<(&OptionRow, u16)> = drbd_options::ALL
        .iter()
        .flat_map(|table| table.iter())
        .filter_map(|row| {
            let attribute = row.attribute?;
            (Nest::from(attribute.nest) == nest).then_some((row, attribute.number))
        })
        .collect();
    rows.sort_by_key(|(row, number)| {
        let is_byte = nest == Nest::DiskConf && width(row) == Width::U8;
        (is_byte, *number)
    });
    rows.into_iter().map(|(row, _)| row).collect()
}

/// The option with this attribute number.
pub fn option(nest: Nest, number: u16) -> Option<&'static OptionRow> {
    drbd_options::ALL
        .iter()
        .flat_map(|table| table.iter())
        .find(|row| {
            row.attribute
                .is_some_and(|a| Nest::from(a.nest) == nest && a.number == number)
        })
}

/// The largest attribute number that a set has; mandatory numbers above it are refused.
pub fn max_number(nest: Nest) -> u16 {
    match nest {
        Nest::CfgReply | Nest::TimeoutParms | Nest::NotificationHeader => 1,
        Nest::CfgContext => 4,
        Nest::StateInfo => 23,
        Nest::ResourceInfo => 4,
        Nest::DeviceInfo | Nest::ConnectionStatistics | Nest::ResourceStatistics => 1,
        Nest::ConnectionInfo | Nest::Helper => 2,
        Nest::PeerDeviceInfo => 5,
        Nest::DeviceStatistics => 14,
        Nest::PeerDeviceStatistics => 9,
        Nest::DiskConf
        | Nest::ResourceOpts
        | Nest::NetConf
        | Nest::SetRoleParms
        | Nest::ResizeParms
        | Nest::StartOvParms
        | Nest::NewCUuidParms
        | Nest::DisconnectParms
        | Nest::DetachParms => options_of(nest)
            .iter()
            .filter_map(|row| row.attribute)
            .map(|attribute| attribute.number)
            .max()
            .unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(nest: Nest) -> Vec<u16> {
        options_of(nest)
            .iter()
            .filter_map(|row| row.attribute)
            .map(|a| a.number)
            .collect()
    }

    /// The attribute order of the captured GET_STATUS answer (spec 30 section 9.4), behind the
    /// three arguments.
    #[test]
    fn the_registry_yields_the_captured_order_of_a_disk_configuration() {
        assert_eq!(
            numbers(Nest::DiskConf),
            [
                4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 20, 21, 25, 16, 17, 18, 19, 23, 24, 26
            ]
        );
    }

    #[test]
    fn widths_agree_with_the_captured_attributes() {
        let u64s: Vec<_> = Nest::ALL
            .iter()
            .flat_map(|nest| options_of(*nest).into_iter().map(move |row| (*nest, row)))
            .filter(|(_, row)| width(row) == Width::U64)
            .map(|(nest, row)| (nest, row.name))
            .collect();
        assert_eq!(
            u64s,
            [
                (Nest::DiskConf, "size"),
                (Nest::ResizeParms, "size"),
                (Nest::StartOvParms, "start"),
                (Nest::StartOvParms, "stop"),
            ]
        );
    }

    #[test]
    fn what_only_attach_and_connect_take_is_invariant() {
        let invariant: Vec<_> = [Nest::DiskConf, Nest::NetConf]
            .into_iter()
            .flat_map(options_of)
            .filter(|row| is_invariant(row))
            .map(|row| row.name)
            .filter(|name| !name.starts_with("alternate-"))
            .collect();
        assert_eq!(
            invariant,
            ["size", "max-bio-bvecs", "discard-my-data", "tentative"]
        );
    }
}
