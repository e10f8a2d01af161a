//! The state tuple of a volume and its packed 32-bit form (spec 60 section 1.1).

use core::fmt;

macro_rules! coded_enum {
    ($(#[$outer:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $code:literal, $text:literal;)* }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum $name { $($(#[$doc])* $variant = $code,)* }

        impl $name {
            /// Every value in ascending order of its code.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name that logs, `/proc/drbd` and the tools print.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The value with this code, if there is one.
            pub const fn from_code(code: u32) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)* _ => None }
            }

            /// The number used on the wire.
            pub const fn code(self) -> u32 {
                self as u32
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

coded_enum! {
    /// Who may write.
    #[derive(Default)]
    Role {
        /// Not known: the peer's role while there is no connection.
        #[default]
        Unknown = 0, "Unknown";
        /// May be opened for writing.
        Primary = 1, "Primary";
        /// Only receives.
        Secondary = 2, "Secondary";
    }
}

coded_enum! {
    /// How good the data of a node is; the order of the codes is an order of quality.
    DiskState {
        /// No disk.
        Diskless = 0, "Diskless";
        /// Reading meta-data.
        Attaching = 1, "Attaching";
        /// Going away after an error or on request.
        Failed = 2, "Failed";
        /// Attached while connected; the handshake decides what it is worth.
        Negotiating = 3, "Negotiating";
        /// A mixture of generations.
        Inconsistent = 4, "Inconsistent";
        /// Consistent but known to be old.
        Outdated = 5, "Outdated";
        /// The peer's disk while nobody can ask.
        DUnknown = 6, "DUnknown";
        /// Consistent; whether it is the newest is not known yet.
        Consistent = 7, "Consistent";
        /// The newest data.
        UpToDate = 8, "UpToDate";
    }
}

coded_enum! {
    /// The state of the connection; the order of the codes matters (spec 60 section 1.1).
    ConnState {
        /// No network configuration active.
        StandAlone = 0, "StandAlone";
        /// On the way to StandAlone.
        Disconnecting = 1, "Disconnecting";
        /// Configured, about to try.
        Unconnected = 2, "Unconnected";
        /// Lost: the peer did not answer in time.
        Timeout = 3, "Timeout";
        /// Lost: the socket was closed.
        BrokenPipe = 4, "BrokenPipe";
        /// Lost: ping or meta socket.
        NetworkFailure = 5, "NetworkFailure";
        /// Lost: the peer sent nonsense.
        ProtocolError = 6, "ProtocolError";
        /// The peer asked to disconnect.
        TearDown = 7, "TearDown";
        /// Waiting for the peer.
        WfConnection = 8, "WFConnection";
        /// Sockets up, handshake running.
        WfReportParams = 9, "WFReportParams";
        /// Mirroring.
        Connected = 10, "Connected";
        /// invalidate-remote is running.
        StartingSyncS = 11, "StartingSyncS";
        /// invalidate is running.
        StartingSyncT = 12, "StartingSyncT";
        /// Exchanging bitmaps, source side.
        WfBitMapS = 13, "WFBitMapS";
        /// Exchanging bitmaps, target side.
        WfBitMapT = 14, "WFBitMapT";
        /// The target waits for the sync UUID.
        WfSyncUuid = 15, "WFSyncUUID";
        /// Resync runs, this is the good side.
        SyncSource = 16, "SyncSource";
        /// Resync runs, this is the bad side.
        SyncTarget = 17, "SyncTarget";
        /// Online verify, asking side.
        VerifyS = 18, "VerifyS";
        /// Online verify, answering side.
        VerifyT = 19, "VerifyT";
        /// Resync paused, source.
        PausedSyncS = 20, "PausedSyncS";
        /// Resync paused, target.
        PausedSyncT = 21, "PausedSyncT";
        /// Congested: only out-of-sync notices are sent.
        Ahead = 22, "Ahead";
        /// The peer is Ahead.
        Behind = 23, "Behind";
    }
}

/// When a write counts as done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[repr(u8)]
pub enum Protocol {
    /// When it is handed to TCP.
    A = 1,
    /// When the peer has received it.
    B = 2,
    /// When the peer has written it.
    C = 3,
}

impl Protocol {
    /// The protocol with this number on the wire.
    pub const fn from_code(code: u32) -> Option<Self> {
        match code {
            1 => Some(Self::A),
            2 => Some(Self::B),
            3 => Some(Self::C),
            _ => None,
        }
    }

    /// `A`, `B` or `C`.
    pub const fn letter(self) -> char {
        match self {
            Self::A => 'A',
            Self::B => 'B',
            Self::C => 'C',
        }
    }
}

/// The whole state of one volume as one node sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct State {
    /// Own role.
    pub role: Role,
    /// The peer's role.
    pub peer: Role,
    /// The connection.
    pub conn: ConnState,
    /// Own disk.
    pub disk: DiskState,
    /// The peer's disk.
    pub pdsk: DiskState,
    /// I/O suspended by the administrator.
    pub susp: bool,
    /// Resync paused by a resync-after dependency.
    pub aftr_isp: bool,
    /// Resync paused by the peer.
    pub peer_isp: bool,
    /// Resync paused by the administrator here.
    pub user_isp: bool,
    /// I/O suspended: no data accessible.
    pub susp_nod: bool,
    /// I/O suspended: fencing is under way.
    pub susp_fen: bool,
}

impl State {
    /// The state of a new minor.
    pub const INITIAL: Self = Self {
        role: Role::Secondary,
        peer: Role::Unknown,
        conn: ConnState::StandAlone,
        disk: DiskState::Diskless,
        pdsk: DiskState::DUnknown,
        susp: false,
        aftr_isp: false,
        peer_isp: false,
        user_isp: false,
        susp_nod: false,
        susp_fen: false,
    };

    /// Whether application I/O is held back, for whatever reason.
    pub const fn suspended(&self) -> bool {
        self.susp || self.susp_nod || self.susp_fen
    }

    /// The packed form; bit 0 is the least significant.
    pub const fn pack(&self) -> u32 {
        self.role as u32
            | (self.peer as u32) << 2
            | (self.conn as u32) << 4
            | (self.disk as u32) << 9
            | (self.pdsk as u32) << 13
            | (self.susp as u32) << 17
            | (self.aftr_isp as u32) << 18
            | (self.peer_isp as u32) << 19
            | (self.user_isp as u32) << 20
            | (self.susp_nod as u32) << 21
            | (self.susp_fen as u32) << 22
    }

    /// The state behind a packed word; `None` if a field holds a code that no state has.
    pub fn unpack(word: u32) -> Option<Self> {
        Some(Self {
            role: Role::from_code(word & 3)?,
            peer: Role::from_code(word >> 2 & 3)?,
            conn: ConnState::from_code(word >> 4 & 31)?,
            disk: DiskState::from_code(word >> 9 & 15)?,
            pdsk: DiskState::from_code(word >> 13 & 15)?,
            susp: word >> 17 & 1 != 0,
            aftr_isp: word >> 18 & 1 != 0,
            peer_isp: word >> 19 & 1 != 0,
            user_isp: word >> 20 & 1 != 0,
            susp_nod: word >> 21 & 1 != 0,
            susp_fen: word >> 22 & 1 != 0,
        })
    }
}

/// A requested change: the fields that are set are to take these values (spec 60 section 1.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub struct StateMask {
    /// New own role.
    pub role: Option<Role>,
    /// New role of the peer.
    pub peer: Option<Role>,
    /// New connection state.
    pub conn: Option<ConnState>,
    /// New own disk state.
    pub disk: Option<DiskState>,
    /// New disk state of the peer.
    pub pdsk: Option<DiskState>,
    /// Suspend or resume by the administrator.
    pub susp: Option<bool>,
    /// Dependency pause.
    pub aftr_isp: Option<bool>,
    /// The peer's pause.
    pub peer_isp: Option<bool>,
    /// Own pause.
    pub user_isp: Option<bool>,
    /// Suspended without data.
    pub susp_nod: Option<bool>,
    /// Suspended for fencing.
    pub susp_fen: Option<bool>,
}

impl StateMask {
    /// A request that changes nothing.
    pub const NOTHING: Self = Self {
        role: None,
        peer: None,
        conn: None,
        disk: None,
        pdsk: None,
        susp: None,
        aftr_isp: None,
        peer_isp: None,
        user_isp: None,
        susp_nod: None,
        susp_fen: None,
    };

    /// The state after this change.
    pub fn apply(&self, old: State) -> State {
        State {
            role: self.role.unwrap_or(old.role),
            peer: self.peer.unwrap_or(old.peer),
            conn: self.conn.unwrap_or(old.conn),
            disk: self.disk.unwrap_or(old.disk),
            pdsk: self.pdsk.unwrap_or(old.pdsk),
            susp: self.susp.unwrap_or(old.susp),
            aftr_isp: self.aftr_isp.unwrap_or(old.aftr_isp),
            peer_isp: self.peer_isp.unwrap_or(old.peer_isp),
            user_isp: self.user_isp.unwrap_or(old.user_isp),
            susp_nod: self.susp_nod.unwrap_or(old.susp_nod),
            susp_fen: self.susp_fen.unwrap_or(old.susp_fen),
        }
    }

    /// The (mask, value) pair of words that StateChgRequest carries.
    pub fn pack(&self) -> (u32, u32) {
        let (mut mask, mut value) = (0, 0);
        let mut field = |code: Option<u32>, width_mask: u32, shift: u32| {
            if let Some(code) = code {
                mask |= width_mask << shift;
                value |= code << shift;
            }
        };
        field(self.role.map(Role::code), 3, 0);
        field(self.peer.map(Role::code), 3, 2);
        field(self.conn.map(ConnState::code), 31, 4);
        field(self.disk.map(DiskState::code), 15, 9);
        field(self.pdsk.map(DiskState::code), 15, 13);
        for (flag, shift) in [
            (self.susp, 17),
            (self.aftr_isp, 18),
            (self.peer_isp, 19),
            (self.user_isp, 20),
            (self.susp_nod, 21),
            (self.susp_fen, 22),
        ] {
            field(flag.map(u32::from), 1, shift);
        }
        (mask, value)
    }

    /// The request behind a (mask, value) pair; `None` if a masked field holds an unknown code
    /// or only part of a field is masked.
    pub fn unpack(mask: u32, value: u32) -> Option<Self> {
        let field = |width_mask: u32, shift: u32| match mask >> shift & width_mask {
            0 => Some(None),
            m if m == width_mask => Some(Some(value >> shift & width_mask)),
            _ => None,
        };
        let flag = |shift: u32| Some(field(1, shift)?.map(|v| v != 0));
        fn known<T>(code: Option<u32>, from: impl Fn(u32) -> Option<T>) -> Option<Option<T>> {
            match code {
                None => Some(None),
                Some(code) => from(code).map(Some),
            }
        }
        Some(Self {
            role: known(field(3, 0)?, Role::from_code)?,
            peer: known(field(3, 2)?, Role::from_code)?,
            conn: known(field(31, 4)?, ConnState::from_code)?,
            disk: known(field(15, 9)?, DiskState::from_code)?,
            pdsk: known(field(15, 13)?, DiskState::from_code)?,
            susp: flag(17)?,
            aftr_isp: flag(18)?,
            peer_isp: flag(19)?,
            user_isp: flag(20)?,
            susp_nod: flag(21)?,
            susp_fen: flag(22)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Captured words of spec 50 section 8.1.
    #[test]
    fn captured_state_words_unpack_to_the_states_they_were_seen_in() {
        let s = State::unpack(0x0000_c882).unwrap();
        assert_eq!(
            (s.role, s.peer, s.conn, s.disk, s.pdsk),
            (
                Role::Secondary,
                Role::Unknown,
                ConnState::WfConnection,
                DiskState::Inconsistent,
                DiskState::DUnknown
            )
        );
        let s = State::unpack(0x0011_00a9).unwrap();
        assert_eq!(
            (s.disk, s.pdsk, s.user_isp),
            (DiskState::Diskless, DiskState::UpToDate, true)
        );
        for word in [
            0x0000_c882,
            0x0000_88aa,
            0x0001_10a9,
            0x0001_08e6,
            0x0011_00a9,
            0x0000_f169,
        ] {
            assert_eq!(State::unpack(word).unwrap().pack(), word);
        }
    }

    #[test]
    fn a_captured_forced_primary_request_unpacks_to_role_and_disk() {
        let m = StateMask::unpack(0x1e03, 0x1001).unwrap();
        assert_eq!(
            m,
            StateMask {
                role: Some(Role::Primary),
                disk: Some(DiskState::UpToDate),
                ..StateMask::NOTHING
            }
        );
        assert_eq!(m.pack(), (0x1e03, 0x1001));
        assert_eq!(StateMask::unpack(0x10, 0x10), None, "half a field");
    }
}
