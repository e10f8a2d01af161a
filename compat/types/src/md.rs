//! Flag bits of the meta-data superblock (spec 40 section 4.1, spec 60 section 1.3).

bitflags::bitflags! {
    /// The `flags` word of a v08 superblock.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
    pub struct MdFlags: u32 {
        /// The data is at least Consistent.
        const CONSISTENT = 1;
        /// The node was Primary (or the peer was, with the only data here).
        const PRIMARY_IND = 1 << 1;
        /// A connection was established.
        const CONNECTED_IND = 1 << 2;
        /// Set all bits at the next attach.
        const FULL_SYNC = 1 << 3;
        /// The disk was better than Outdated.
        const WAS_UP_TO_DATE = 1 << 4;
        /// The peer is known to be Outdated or worse.
        const PEER_OUT_DATED = 1 << 5;
        /// The node went down as Primary and nobody has looked since.
        const CRASHED_PRIMARY = 1 << 6;
        /// The activity log needs no replay.
        const AL_CLEAN = 1 << 7;
        /// Activity-log updates were off: after a crash everything is suspect.
        const AL_DISABLED = 1 << 8;
    }
}
