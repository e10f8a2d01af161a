//! The sync handshake: from two UUID sets to "who learns what from whom" (spec 60 section 2.8).
//!
//! [`decide`] is a pure function. It returns the steps to carry out in order (log lines, and
//! handlers that the machine waits for, ignoring how they end) and the [`Verdict`]. One verdict is
//! a question: a Primary that lost a split brain is to be demoted first. The machine tries, and
//! asks [`decide_after_demotion`] for the rest.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use drbd_types::{DiskState, Role, UuidFlags, UuidSet};

use crate::config::AlwaysAsbp;
use crate::effect::Level;
use crate::input::ConnectOnce;
use crate::split_brain::{self, Evidence, Policies, Recovery, RrConflict, Survivor, WasPrimary};
use crate::uuid_rules::{Comparison, Context, Correction, PeerReport, Relation, compare};

/// Everything that the handshake looks at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Inputs {
    /// Own generation UUIDs.
    pub uuids: UuidSet,
    /// Bits told to the peer in the last ReportUUIDs.
    pub bits_told: u64,
    /// Bits set now.
    pub bits_set: u64,
    /// The peer's last ReportUUIDs.
    pub peer: PeerReport,
    /// Roles, crash, connection.
    pub context: Context,
    /// Own disk state; Negotiating during an attach.
    pub disk: DiskState,
    /// What the own disk will be after the handshake, while it is Negotiating.
    pub postponed_disk: Option<DiskState>,
    /// The peer's disk state as in its packet; Negotiating during an attach.
    pub peer_disk: DiskState,
    /// Split-brain policies.
    pub policies: Policies,
    /// always-asbp.
    pub always_asbp: AlwaysAsbp,
    /// rr-conflict.
    pub rr_conflict: RrConflict,
    /// Options of the own connect command.
    pub once: ConnectOnce,
    /// Options of the peer's connect command, as in its ReportProtocol.
    pub peer_once: ConnectOnce,
}

/// What happens on the way to the verdict.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// A line about the volume.
    Log(Level, String),
    /// A usermode helper for the minor: wait for it, ignore how it ends.
    Helper(&'static str),
}

/// What a resync covers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SyncExtent {
    /// The blocks of the bitmaps.
    Bitmap,
    /// Everything: all bits are set and written first.
    Full,
}

/// How it ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// No resync: Connected.
    Connected,
    /// WFBitMapS.
    BecomeSource(SyncExtent),
    /// WFBitMapT.
    BecomeTarget(SyncExtent),
    /// Try to become Secondary, then ask [`decide_after_demotion`].
    Demote,
    /// No common way.
    Abort(Abort),
}

/// What an aborted handshake leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Abort {
    /// The attach here fails: own disk to Failed, the connection stays.
    FailOwnDisk,
    /// The attach of the peer fails: its disk counts as Diskless.
    PeerDiskless,
    /// The peer only wanted to know: drop the connection and try again.
    Retry,
    /// Disconnecting.
    Disconnect,
}

/// How an attempted demotion ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Demotion {
    /// This node is Secondary now.
    Succeeded,
    /// It still is Primary.
    Refused,
}

/// Steps and verdict.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    /// To be carried out in this order, before the verdict.
    pub steps: Vec<Step>,
    /// A UUID set that missed an event: write the own one, or replace the stored copy of the
    /// peer's. It holds whatever the verdict is.
    pub correction: Option<Correction>,
    /// The result.
    pub verdict: Verdict,
}

/// Runs the handshake.
pub fn decide(inputs: &Inputs) -> Decision {
    run(inputs, None)
}

/// The rest of a handshake whose verdict was [`Verdict::Demote`]; `inputs` are the same as before.
pub fn decide_after_demotion(inputs: &Inputs, demotion: Demotion) -> Decision {
    let done = run(inputs, None).steps.len();
    let mut decision = run(inputs, Some(demotion));
    decision.steps.drain(..done.min(decision.steps.len()));
    decision
}

/// What a peer's disk is worth that is still Negotiating (section 2.6).
pub const fn real_peer_disk(reported: DiskState, flags: UuidFlags) -> DiskState {
    match reported {
        DiskState::Negotiating if flags.contains(UuidFlags::INCONSISTENT) => {
            DiskState::Inconsistent
        }
        DiskState::Negotiating => DiskState::Consistent,
        disk => disk,
    }
}

fn run(inputs: &Inputs, demotion: Option<Demotion>) -> Decision {
    let mut course = Course {
        inputs,
        role: inputs.context.role,
        steps: Vec::new(),
    };
    let comparison = course.compare();
    let verdict = match course.verdict(comparison.relation, demotion) {
        Ok(verdict) => verdict,
        Err(Stop::Abort) => Verdict::Abort(course.abort()),
        Err(Stop::Demote) => Verdict::Demote,
    };
    Decision {
        steps: course.steps,
        correction: comparison.correction,
        verdict,
    }
}

/// A relation that both nodes can act upon.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Plan {
    Nothing,
    Source(SyncExtent),
    Target(SyncExtent),
}

/// A relation that needs a decision.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Plan(Plan),
    SplitBrain,
    Ambiguous,
}

/// Why the handshake does not go on.
enum Stop {
    Abort,
    Demote,
}

struct Course<'a> {
    inputs: &'a Inputs,
    /// Own role; a successful demotion changes it.
    role: Role,
    steps: Vec<Step>,
}

impl Course<'_> {
    fn log(&mut self, level: Level, text: impl Into<String>) {
        self.steps.push(Step::Log(level, text.into()));
    }

    /// Steps 1 and 2.
    fn compare(&mut self) -> Comparison {
        let inputs = self.inputs;
        let peer = &inputs.peer;
        self.log(Level::Info, "drbd_sync_handshake:");
        self.dump("self", &inputs.uuids, inputs.bits_told, 0);
        self.dump("peer", &peer.uuids, peer.bits, peer.flags.bits());
        let comparison = compare(&inputs.uuids, peer, &inputs.context);
        for note in &comparison.notes {
            self.log(Level::Info, *note);
        }
        match &comparison.correction {
            Some(Correction::Own(set)) => self.dump("self", set, inputs.bits_set, 0),
            Some(Correction::Peer(set)) => self.dump("peer", set, peer.bits, peer.flags.bits()),
            None => {}
        }
        let (code, rule) = (comparison.relation.code(), comparison.rule);
        self.log(Level::Info, format!("uuid_compare()={code} by rule {rule}"));
        comparison
    }

    fn dump(&mut self, whose: &str, set: &UuidSet, bits: u64, flags: u64) {
        self.log(
            Level::Info,
            format!("{whose} {set} bits:{bits} flags:{flags:X}"),
        );
    }

    fn verdict(&mut self, relation: Relation, demotion: Option<Demotion>) -> Result<Verdict, Stop> {
        let found = self.comparable(relation)?;
        let found = self.prefer_better_disk(found);
        let plan = self.resolve(found, demotion)?;
        self.check_source(plan)?;
        self.check_primary_target(plan)?;
        self.check_dry_run(plan)?;
        Ok(self.conclude(plan))
    }

    /// Step 3: relations that nobody can act upon.
    fn comparable(&mut self, relation: Relation) -> Result<Found, Stop> {
        let plan = match relation {
            Relation::Same => Plan::Nothing,
            Relation::SourceBitmap => Plan::Source(SyncExtent::Bitmap),
            Relation::SourceFull => Plan::Source(SyncExtent::Full),
            Relation::TargetBitmap => Plan::Target(SyncExtent::Bitmap),
            Relation::TargetFull => Plan::Target(SyncExtent::Full),
            Relation::SplitBrain => return Ok(Found::SplitBrain),
            Relation::SplitBrainAmbiguous => return Ok(Found::Ambiguous),
            Relation::Unrelated => {
                self.log(Level::Alert, "Unrelated data, aborting!");
                return Err(Stop::Abort);
            }
            Relation::NeedsProtocol(version) => {
                let text = format!(
                    "To resolve this both sides have to support at least protocol {version}"
                );
                self.log(Level::Alert, text);
                return Err(Stop::Abort);
            }
            Relation::NeedsFeatures(version, features) => {
                let text = format!(
                    "To resolve this both sides have to support at least protocol {version} \
                     and feature flags 0x{:x}",
                    features.bits()
                );
                self.log(Level::Alert, text);
                return Err(Stop::Abort);
            }
        };
        Ok(Found::Plan(plan))
    }

    /// Step 4: better data beats every history.
    fn prefer_better_disk(&mut self, found: Found) -> Found {
        let (own, peers) = (self.own_disk(), self.peer_disk());
        let one_is_better = own == DiskState::Inconsistent && peers > DiskState::Inconsistent
            || peers == DiskState::Inconsistent && own > DiskState::Inconsistent;
        if !one_is_better {
            return found;
        }
        let extent = match found {
            Found::Ambiguous
            | Found::Plan(Plan::Source(SyncExtent::Full) | Plan::Target(SyncExtent::Full)) => {
                SyncExtent::Full
            }
            Found::SplitBrain | Found::Plan(_) => SyncExtent::Bitmap,
        };
        let (side, plan) = if own > DiskState::Inconsistent {
            ("source", Plan::Source(extent))
        } else {
            ("target", Plan::Target(extent))
        };
        self.log(
            Level::Info,
            format!("Becoming sync {side} due to disk states."),
        );
        Found::Plan(plan)
    }

    /// Steps 5 to 8: a split brain has to be resolved.
    fn resolve(&mut self, found: Found, demotion: Option<Demotion>) -> Result<Plan, Stop> {
        let extent = match found {
            Found::Plan(plan) => return Ok(plan),
            Found::SplitBrain => SyncExtent::Bitmap,
            Found::Ambiguous => SyncExtent::Full,
        };
        self.steps.push(Step::Helper("initial-split-brain"));
        let try_policies = found == Found::SplitBrain || self.inputs.always_asbp == AlwaysAsbp::Yes;
        if try_policies && let Some(survivor) = self.automatic(demotion)? {
            let count = self.evidence().primaries();
            let text = format!(
                "Split-Brain detected, {count} primaries, automatically solved. Sync from {} node",
                survivor.word()
            );
            self.log(Level::Warning, text);
            if extent == SyncExtent::Full {
                let text = "Doing a full sync, since UUIDs where ambiguous.";
                self.log(Level::Warning, text);
            }
            return Ok(survivor.plan(extent));
        }
        if let Some(survivor) = self.manual() {
            let text = format!(
                "Split-Brain detected, manually solved. Sync from {} node",
                survivor.word()
            );
            self.log(Level::Warning, text);
            return Ok(survivor.plan(SyncExtent::Bitmap));
        }
        let text = "Split-Brain detected but unresolved, dropping connection!";
        self.log(Level::Alert, text);
        self.steps.push(Step::Helper("split-brain"));
        Err(Stop::Abort)
    }

    fn automatic(&mut self, demotion: Option<Demotion>) -> Result<Option<Survivor>, Stop> {
        let outcome = split_brain::recover(&self.inputs.policies, &self.evidence());
        for note in outcome.notes {
            self.log(Level::Warning, note);
        }
        match (outcome.recovery, demotion) {
            (Recovery::Unresolved, _) => Ok(None),
            (Recovery::Resolved(survivor), _) => Ok(Some(survivor)),
            (Recovery::IfDemoted, None) => Err(Stop::Demote),
            (Recovery::IfDemoted, Some(Demotion::Succeeded)) => {
                self.log(Level::Warning, "Successfully gave up primary role.");
                self.role = Role::Secondary;
                Ok(Some(Survivor::Peers))
            }
            (Recovery::IfDemoted, Some(Demotion::Refused)) => {
                self.steps.push(Step::Helper("pri-lost-after-sb"));
                Ok(None)
            }
        }
    }

    fn evidence(&self) -> Evidence {
        let inputs = self.inputs;
        let was_primary = |set: &UuidSet| {
            if set.bitmap.primary_bit() {
                WasPrimary::Yes
            } else {
                WasPrimary::No
            }
        };
        Evidence {
            role: inputs.context.role,
            peer_role: inputs.context.peer_role,
            was_primary: was_primary(&inputs.uuids),
            peer_was_primary: was_primary(&inputs.peer.uuids),
            changes: inputs.bits_told,
            peer_changes: inputs.peer.bits,
            tie: inputs.context.tie,
        }
    }

    /// Step 7: exactly one node offered its data for sacrifice.
    const fn manual(&self) -> Option<Survivor> {
        let own = self.inputs.once.contains(ConnectOnce::DISCARD_MY_DATA);
        let peers = self.inputs.peer.flags.contains(UuidFlags::DISCARD_MY_DATA);
        match (own, peers) {
            (true, false) => Some(Survivor::Peers),
            (false, true) => Some(Survivor::Own),
            _ => None,
        }
    }

    /// Step 9.
    fn check_source(&mut self, plan: Plan) -> Result<(), Stop> {
        if matches!(plan, Plan::Source(_)) && self.own_disk() <= DiskState::Inconsistent {
            let text = "I shall become SyncSource, but I am inconsistent!";
            self.log(Level::Error, text);
            return Err(Stop::Abort);
        }
        Ok(())
    }

    /// Step 10: the data under a mounted file system must not change.
    fn check_primary_target(&mut self, plan: Plan) -> Result<(), Stop> {
        let conflict = matches!(plan, Plan::Target(_))
            && self.role == Role::Primary
            && self.inputs.disk >= DiskState::Consistent;
        if !conflict {
            return Ok(());
        }
        match self.inputs.rr_conflict {
            RrConflict::Violently => {
                let text = "Becoming SyncTarget, violating the stable-dataassumption";
                self.log(Level::Warning, text);
                return Ok(());
            }
            RrConflict::CallPriLost => self.steps.push(Step::Helper("pri-lost")),
            RrConflict::Disconnect => {}
        }
        let text = "I shall become SyncTarget, but I am primary!";
        self.log(Level::Error, text);
        Err(Stop::Abort)
    }

    /// Step 11.
    fn check_dry_run(&mut self, plan: Plan) -> Result<(), Stop> {
        let tentative = ConnectOnce::TENTATIVE;
        if !(self.inputs.once | self.inputs.peer_once).contains(tentative) {
            return Ok(());
        }
        let would = |side: &str, extent: SyncExtent| {
            let what = match extent {
                SyncExtent::Full => "full",
                SyncExtent::Bitmap => "bit-map based",
            };
            format!("dry-run connect: Would become {side}, doing a {what} resync.")
        };
        let text = match plan {
            Plan::Nothing => {
                String::from("dry-run connect: No resync, would become Connected immediately.")
            }
            Plan::Source(extent) => would("SyncSource", extent),
            Plan::Target(extent) => would("SyncTarget", extent),
        };
        self.log(Level::Info, text);
        Err(Stop::Abort)
    }

    /// Steps 12 and 13.
    fn conclude(&mut self, plan: Plan) -> Verdict {
        if matches!(
            plan,
            Plan::Source(SyncExtent::Full) | Plan::Target(SyncExtent::Full)
        ) {
            let text = "Writing the whole bitmap, full sync required after drbd_sync_handshake.";
            self.log(Level::Info, text);
        }
        match plan {
            Plan::Source(extent) => Verdict::BecomeSource(extent),
            Plan::Target(extent) => Verdict::BecomeTarget(extent),
            Plan::Nothing => {
                let bits = self.inputs.bits_set;
                if bits != 0 {
                    let text = format!("No resync, but {bits} bits in bitmap!");
                    self.log(Level::Info, text);
                }
                Verdict::Connected
            }
        }
    }

    fn abort(&mut self) -> Abort {
        if self.inputs.disk == DiskState::Negotiating {
            Abort::FailOwnDisk
        } else if self.inputs.peer_disk == DiskState::Negotiating {
            let text = "Disk attach process on the peer node was aborted.";
            self.log(Level::Error, text);
            Abort::PeerDiskless
        } else if self.inputs.peer_once.contains(ConnectOnce::TENTATIVE) {
            Abort::Retry
        } else {
            Abort::Disconnect
        }
    }

    /// Own disk, looking through a postponed attach.
    fn own_disk(&self) -> DiskState {
        match self.inputs.disk {
            DiskState::Negotiating => self.inputs.postponed_disk.unwrap_or(DiskState::Negotiating),
            disk => disk,
        }
    }

    const fn peer_disk(&self) -> DiskState {
        real_peer_disk(self.inputs.peer_disk, self.inputs.peer.flags)
    }
}

impl Survivor {
    const fn word(self) -> &'static str {
        match self {
            Self::Own => "this",
            Self::Peers => "peer",
        }
    }

    const fn plan(self, extent: SyncExtent) -> Plan {
        match self {
            Self::Own => Plan::Source(extent),
            Self::Peers => Plan::Target(extent),
        }
    }
}

#[cfg(test)]
mod tests;
