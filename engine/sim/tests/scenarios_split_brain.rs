//! Conformance scenario S7 of spec 60 section 11: split brain and its policies.

mod common;

use drbd_core::effect::Outcome;
use drbd_core::input::{ConnectOnce, Force};
use drbd_core::split_brain::{AfterSb0Pri, AfterSb1Pri, AfterSb2Pri};
use drbd_sim::pair::{Pair, primary};
use drbd_sim::setup::Setup;
use drbd_types::ConnState;

#[derive(Clone, Copy)]
enum Roles {
    BothSecondary,
    FirstPrimary,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// Both StandAlone.
    Unresolved,
    /// This node's data wins.
    Source(usize),
    /// Node 0 would lose but is Primary: it is StandAlone, node 1 waits.
    PrimaryRefuses,
}

struct Case {
    policies: [(AfterSb0Pri, AfterSb1Pri, AfterSb2Pri); 2],
    roles: Roles,
    changes: [u64; 2],
    end: End,
}

fn same(
    policies: (AfterSb0Pri, AfterSb1Pri, AfterSb2Pri),
    roles: Roles,
    changes: [u64; 2],
    end: End,
) -> Case {
    Case {
        policies: [policies; 2],
        roles,
        changes,
        end,
    }
}

fn without_primary(policy: AfterSb0Pri, changes: [u64; 2], end: End) -> Case {
    let policies = (policy, AfterSb1Pri::Disconnect, AfterSb2Pri::Disconnect);
    same(policies, Roles::BothSecondary, changes, end)
}

fn with_one(policy: AfterSb1Pri, changes: [u64; 2], end: End) -> Case {
    let least = AfterSb0Pri::DiscardLeastChanges;
    let policies = (least, policy, AfterSb2Pri::Disconnect);
    same(policies, Roles::FirstPrimary, changes, end)
}

/// Both nodes were Primary without each other; nobody is connected.
fn split(changes: [u64; 2], roles: Roles) -> Pair {
    let mut pair = Pair::synced(Setup::default());
    pair.promote(0);
    pair.expect_uuids(0, "$A1:...");
    pair.disconnect(1);
    pair.write(0, 10, changes[0]);
    pair.disconnect(0);
    pair.force_primary(1);
    pair.write(1, 100, changes[1]);
    pair.demote(1);
    if let Roles::BothSecondary = roles {
        pair.demote(0);
    }
    pair.forget_log();
    pair
}

fn meet(pair: &mut Pair, case: &Case) {
    for node in 0..2 {
        let net = &mut pair.world.nodes[node].setup.net;
        (net.after_sb_0pri, net.after_sb_1pri, net.after_sb_2pri) = case.policies[node];
        pair.connect(node);
    }
    pair.drive();
}

fn check(number: usize, case: &Case) {
    let mut pair = split(case.changes, case.roles);
    meet(&mut pair, case);
    for node in 0..2 {
        pair.expect_log(
            &"N: uuid_compare()=100 by rule 90
              rN: helper command: <helper> initial-split-brain minor-N"
                .replace('N', &node.to_string()),
        );
    }
    let states = [0, 1].map(|node| pair.status(node).state.conn);
    match case.end {
        End::Unresolved => {
            assert_eq!(states, [ConnState::StandAlone; 2], "case {number}");
            for node in 0..2 {
                pair.expect_log(
                    &"N: Split-Brain detected but unresolved, dropping connection!
                      rN: helper command: <helper> split-brain minor-N"
                        .replace('N', &node.to_string()),
                );
                pair.expect_log(
                    &"rN: conn( WFReportParams -> Disconnecting )
                      rN: error receiving ReportState, e: -5 l: 0!"
                        .replace('N', &node.to_string()),
                );
            }
        }
        End::Source(source) => {
            assert_eq!(states, [ConnState::Connected; 2], "case {number}");
            let primaries = match case.roles {
                Roles::BothSecondary => 0,
                Roles::FirstPrimary => 1,
            };
            let target = 1 - source;
            pair.expect_log(&format!(
                "{source}: Split-Brain detected, {primaries} primaries, automatically solved. Sync from this node
                 {target}: Split-Brain detected, {primaries} primaries, automatically solved. Sync from peer node"
            ));
            let uuids = pair.uuids(source).to_string();
            pair.expect_uuids(source, "$W?:0000000000000000:$A+?:$A?");
            assert_eq!(uuids[17..33], pair.uuids(target).to_string()[17..33]);
            pair.expect_uuids(target, "$W?:0000000000000000:$A+?:$A?");
            for block in (10..20).chain(100..110) {
                let [a, b] = [0, 1].map(|node| pair.world.nodes[node].disk.sector(block * 8));
                assert_eq!(a, b, "case {number}, block {block}");
            }
        }
        End::PrimaryRefuses => {
            assert_eq!(
                states,
                [ConnState::StandAlone, ConnState::WfConnection],
                "case {number}\n{}",
                pair.story()
            );
        }
    }
}

#[test]
fn s7_policies_decide_who_wins() {
    use AfterSb0Pri as P0;
    use AfterSb1Pri as P1;
    let nobody = (P1::Disconnect, AfterSb2Pri::Disconnect);
    let cases = [
        without_primary(P0::Disconnect, [3, 5], End::Unresolved),
        without_primary(P0::DiscardYoungerPrimary, [3, 5], End::Source(0)),
        without_primary(P0::DiscardOlderPrimary, [3, 5], End::Source(1)),
        without_primary(P0::DiscardZeroChanges, [3, 5], End::Unresolved),
        without_primary(P0::DiscardZeroChanges, [0, 5], End::Source(1)),
        without_primary(P0::DiscardLeastChanges, [3, 5], End::Source(1)),
        Case {
            policies: [
                (P0::DiscardLocal, nobody.0, nobody.1),
                (P0::DiscardRemote, nobody.0, nobody.1),
            ],
            roles: Roles::BothSecondary,
            changes: [3, 5],
            end: End::Source(1),
        },
        with_one(P1::Disconnect, [3, 5], End::Unresolved),
        with_one(P1::Consensus, [3, 5], End::Unresolved),
        with_one(P1::Consensus, [5, 3], End::Source(0)),
        with_one(P1::ViolentlyAs0p, [5, 3], End::Source(0)),
        with_one(P1::ViolentlyAs0p, [3, 5], End::PrimaryRefuses),
        with_one(P1::DiscardSecondary, [3, 5], End::Source(0)),
        with_one(P1::CallPriLost, [3, 5], End::PrimaryRefuses),
    ];
    for (number, case) in cases.iter().enumerate() {
        check(number, case);
    }
}

#[test]
fn s7_a_primary_that_would_lose_says_so() {
    let case = with_one(AfterSb1Pri::ViolentlyAs0p, [3, 5], End::PrimaryRefuses);
    let mut pair = split(case.changes, case.roles);
    meet(&mut pair, &case);
    pair.expect_log(
        "0: Split-Brain detected, 1 primaries, automatically solved. Sync from peer node
         0: I shall become SyncTarget, but I am primary!
         1: sock was shut down by peer"
            .replace("1: sock", "r1: sock")
            .as_str(),
    );
    let case = with_one(AfterSb1Pri::CallPriLost, [3, 5], End::PrimaryRefuses);
    let mut pair = split(case.changes, case.roles);
    meet(&mut pair, &case);
    pair.expect_log(
        "r0: helper command: <helper> pri-lost-after-sb minor-0
         r0: helper command: <helper> split-brain minor-0",
    );
}

#[test]
fn s7_discard_my_data_solves_it_by_hand() {
    let mut pair = split([3, 5], Roles::BothSecondary);
    pair.connect_once(0, ConnectOnce::DISCARD_MY_DATA);
    pair.connect(1);
    pair.drive();
    pair.expect_log(
        "1: peer ... flags:1
         1: Split-Brain detected, manually solved. Sync from this node",
    );
    assert_eq!(pair.status(0).state.conn, ConnState::Connected);
    pair.expect_log("0: Began resync as SyncTarget...");
}

#[test]
fn s7_tentative_only_tells() {
    let mut pair = split([3, 5], Roles::BothSecondary);
    for node in 0..2 {
        pair.world.nodes[node].setup.net.after_sb_0pri = AfterSb0Pri::DiscardLeastChanges;
    }
    pair.connect_once(0, ConnectOnce::TENTATIVE);
    pair.connect(1);
    pair.drive();
    pair.expect_log(
        "0: Split-Brain detected, 0 primaries, automatically solved. Sync from peer node
         0: dry-run connect: Would become SyncTarget, doing a bit-map based resync.
         1: dry-run connect: Would become SyncSource, doing a bit-map based resync.
         r1: conn( WFReportParams -> ProtocolError )",
    );
    assert_eq!(pair.status(0).state.conn, ConnState::StandAlone);
    assert_eq!(pair.status(1).state.conn, ConnState::WfConnection);
}

#[test]
fn a_forced_primary_without_a_peer_has_a_generation_of_its_own() {
    let mut pair = split([0, 0], Roles::BothSecondary);
    let again = pair.ask(1, primary(Force::No));
    assert!(matches!(again, Outcome::State(outcome) if outcome.is_success()));
}
