//! Automatic recovery from a split brain (spec 60 section 2.9).
//!
//! Both nodes evaluate these rules independently. All inputs are mirror images of each other, the
//! tie breaker included, so the results are as well: no further packet is needed.

use alloc::vec::Vec;

use drbd_types::Role;
use drbd_wire::AfterSb;

use crate::input::TieBreaker;

macro_rules! policies {
    ($(#[$outer:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $code:literal, $text:literal;)* }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// Every policy that this option knows.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The number on the wire (spec 50 section 4.3).
            pub const fn code(self) -> AfterSb {
                AfterSb(match self { $(Self::$variant => $code,)* })
            }

            /// The policy with this number, if it means something for this option.
            pub const fn from_code(code: AfterSb) -> Option<Self> {
                match code.0 { $($code => Some(Self::$variant),)* _ => None }
            }

            /// The word in the configuration.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

policies! {
    /// after-sb-0pri: no node is Primary.
    AfterSb0Pri {
        /// No automatic recovery.
        Disconnect = 0, "disconnect";
        /// The node that was Primary before the other wins.
        DiscardYoungerPrimary = 1, "discard-younger-primary";
        /// The node that was Primary last wins.
        DiscardOlderPrimary = 2, "discard-older-primary";
        /// Only if one node was not written at all.
        DiscardZeroChanges = 3, "discard-zero-changes";
        /// The node with more changes wins.
        DiscardLeastChanges = 4, "discard-least-changes";
        /// The peer wins.
        DiscardLocal = 5, "discard-local";
        /// This node wins.
        DiscardRemote = 6, "discard-remote";
    }
}

policies! {
    /// after-sb-1pri: one node is Primary.
    AfterSb1Pri {
        /// No automatic recovery.
        Disconnect = 0, "disconnect";
        /// Only if after-sb-0pri would discard the Secondary.
        Consensus = 7, "consensus";
        /// The Primary wins.
        DiscardSecondary = 8, "discard-secondary";
        /// As after-sb-0pri; a Primary that loses is demoted.
        CallPriLost = 9, "call-pri-lost-after-sb";
        /// As after-sb-0pri, even if the data changes under a Primary.
        ViolentlyAs0p = 10, "violently-as0p";
    }
}

policies! {
    /// after-sb-2pri: both nodes are Primary.
    AfterSb2Pri {
        /// No automatic recovery.
        Disconnect = 0, "disconnect";
        /// As after-sb-0pri; a Primary that loses is demoted.
        CallPriLost = 9, "call-pri-lost-after-sb";
        /// As after-sb-0pri, even if the data changes under a Primary.
        ViolentlyAs0p = 10, "violently-as0p";
    }
}

/// rr-conflict: what a Primary does that should become sync target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RrConflict {
    /// Drop the connection.
    Disconnect,
    /// Call the handler, then drop the connection.
    CallPriLost,
    /// Become sync target all the same.
    Violently,
}

/// The policies of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policies {
    /// after-sb-0pri.
    pub without_primary: AfterSb0Pri,
    /// after-sb-1pri.
    pub with_one: AfterSb1Pri,
    /// after-sb-2pri.
    pub with_two: AfterSb2Pri,
}

/// What the rules look at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Evidence {
    /// Own role.
    pub role: Role,
    /// The peer's role.
    pub peer_role: Role,
    /// Whether this node was Primary when its bitmap generation began.
    pub was_primary: WasPrimary,
    /// The same of the peer.
    pub peer_was_primary: WasPrimary,
    /// Bits that this node reported.
    pub changes: u64,
    /// Bits that the peer reported.
    pub peer_changes: u64,
    /// Who breaks ties.
    pub tie: TieBreaker,
}

impl Evidence {
    /// How many nodes are Primary.
    pub fn primaries(&self) -> u32 {
        [self.role, self.peer_role]
            .into_iter()
            .filter(|&role| role == Role::Primary)
            .count() as u32
    }
}

/// Bit 0 of a bitmap UUID.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WasPrimary {
    /// The node was Secondary when contact was lost, and promoted later.
    No,
    /// The node was Primary when contact was lost.
    Yes,
}

/// Whose data survives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Survivor {
    /// This node's (1).
    Own,
    /// The peer's (-1).
    Peers,
}

/// What the policies say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Recovery {
    /// Nothing (-100).
    Unresolved,
    /// The decision.
    Resolved(Survivor),
    /// The peer's data survives if this node can be demoted.
    IfDemoted,
}

/// The decision, and lines for the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The decision.
    pub recovery: Recovery,
    /// Informational lines.
    pub notes: Vec<&'static str>,
}

/// Applies the policy for the number of Primaries there are.
pub fn recover(policies: &Policies, evidence: &Evidence) -> Outcome {
    let mut notes = Vec::new();
    let survivor = without_primary(policies.without_primary, evidence, &mut notes);
    let as_0p = survivor.map_or(Recovery::Unresolved, Recovery::Resolved);
    let (recovery, asked_0p) = match evidence.primaries() {
        0 => (as_0p, true),
        1 => with_one(policies.with_one, evidence, as_0p),
        _ => with_two(policies.with_two, evidence, as_0p),
    };
    if !asked_0p {
        notes.clear();
    }
    Outcome { recovery, notes }
}

fn without_primary(
    policy: AfterSb0Pri,
    evidence: &Evidence,
    notes: &mut Vec<&'static str>,
) -> Option<Survivor> {
    let older = older_primary(evidence);
    match policy {
        AfterSb0Pri::Disconnect => None,
        AfterSb0Pri::DiscardYoungerPrimary if older.is_some() => older,
        AfterSb0Pri::DiscardOlderPrimary if older.is_some() => older.map(Survivor::other),
        AfterSb0Pri::DiscardYoungerPrimary | AfterSb0Pri::DiscardOlderPrimary => {
            notes.push("Discard younger/older primary did not find a decision");
            notes.push("Using discard-least-changes instead");
            zero_changes(evidence).or_else(|| Some(least_changes(evidence)))
        }
        AfterSb0Pri::DiscardZeroChanges => zero_changes(evidence),
        AfterSb0Pri::DiscardLeastChanges => Some(least_changes(evidence)),
        AfterSb0Pri::DiscardLocal => Some(Survivor::Peers),
        AfterSb0Pri::DiscardRemote => Some(Survivor::Own),
    }
}

/// Who was Primary when contact was lost; `None` if both were or neither was.
const fn older_primary(evidence: &Evidence) -> Option<Survivor> {
    match (evidence.was_primary, evidence.peer_was_primary) {
        (WasPrimary::Yes, WasPrimary::No) => Some(Survivor::Own),
        (WasPrimary::No, WasPrimary::Yes) => Some(Survivor::Peers),
        _ => None,
    }
}

const fn zero_changes(evidence: &Evidence) -> Option<Survivor> {
    match (evidence.changes, evidence.peer_changes) {
        (0, 0) => Some(tie_broken(evidence.tie)),
        (_, 0) => Some(Survivor::Own),
        (0, _) => Some(Survivor::Peers),
        _ => None,
    }
}

fn least_changes(evidence: &Evidence) -> Survivor {
    match evidence.changes.cmp(&evidence.peer_changes) {
        core::cmp::Ordering::Less => Survivor::Peers,
        core::cmp::Ordering::Greater => Survivor::Own,
        core::cmp::Ordering::Equal => tie_broken(evidence.tie),
    }
}

const fn tie_broken(tie: TieBreaker) -> Survivor {
    match tie {
        TieBreaker::Here => Survivor::Peers,
        TieBreaker::There => Survivor::Own,
    }
}

/// The decision, and whether after-sb-0pri was asked for it.
fn with_one(policy: AfterSb1Pri, evidence: &Evidence, as_0p: Recovery) -> (Recovery, bool) {
    let primary_survives = if evidence.role == Role::Primary {
        Survivor::Own
    } else {
        Survivor::Peers
    };
    match policy {
        AfterSb1Pri::Disconnect => (Recovery::Unresolved, false),
        AfterSb1Pri::Consensus if as_0p == Recovery::Resolved(primary_survives) => (as_0p, true),
        AfterSb1Pri::Consensus => (Recovery::Unresolved, true),
        AfterSb1Pri::DiscardSecondary => (Recovery::Resolved(primary_survives), false),
        AfterSb1Pri::CallPriLost => (demote_loser(evidence, as_0p), true),
        AfterSb1Pri::ViolentlyAs0p => (as_0p, true),
    }
}

fn with_two(policy: AfterSb2Pri, evidence: &Evidence, as_0p: Recovery) -> (Recovery, bool) {
    match policy {
        AfterSb2Pri::Disconnect => (Recovery::Unresolved, false),
        AfterSb2Pri::CallPriLost => (demote_loser(evidence, as_0p), true),
        AfterSb2Pri::ViolentlyAs0p => (as_0p, true),
    }
}

fn demote_loser(evidence: &Evidence, as_0p: Recovery) -> Recovery {
    let loses = as_0p == Recovery::Resolved(Survivor::Peers);
    if loses && evidence.role == Role::Primary {
        Recovery::IfDemoted
    } else {
        as_0p
    }
}

impl Survivor {
    const fn other(self) -> Self {
        match self {
            Self::Own => Self::Peers,
            Self::Peers => Self::Own,
        }
    }
}

#[cfg(test)]
mod tests;
