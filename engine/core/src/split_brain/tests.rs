use super::*;

const EVIDENCE: Evidence = Evidence {
    role: Role::Secondary,
    peer_role: Role::Secondary,
    was_primary: WasPrimary::Yes,
    peer_was_primary: WasPrimary::No,
    changes: 3,
    peer_changes: 5,
    tie: TieBreaker::Here,
};

fn mirrored(evidence: &Evidence) -> Evidence {
    Evidence {
        role: evidence.peer_role,
        peer_role: evidence.role,
        was_primary: evidence.peer_was_primary,
        peer_was_primary: evidence.was_primary,
        changes: evidence.peer_changes,
        peer_changes: evidence.changes,
        tie: match evidence.tie {
            TieBreaker::Here => TieBreaker::There,
            TieBreaker::There => TieBreaker::Here,
        },
    }
}

const fn policies(
    without_primary: AfterSb0Pri,
    with_one: AfterSb1Pri,
    with_two: AfterSb2Pri,
) -> Policies {
    Policies {
        without_primary,
        with_one,
        with_two,
    }
}

const fn zero(policy: AfterSb0Pri) -> Policies {
    policies(policy, AfterSb1Pri::Disconnect, AfterSb2Pri::Disconnect)
}

const OWN: Recovery = Recovery::Resolved(Survivor::Own);
const PEERS: Recovery = Recovery::Resolved(Survivor::Peers);

/// Scenario S7, node 0: the older Primary, 3 changes against 5.
#[test]
fn without_a_primary_each_policy_decides_as_captured() {
    for (policy, recovery) in [
        (AfterSb0Pri::Disconnect, Recovery::Unresolved),
        (AfterSb0Pri::DiscardYoungerPrimary, OWN),
        (AfterSb0Pri::DiscardOlderPrimary, PEERS),
        (AfterSb0Pri::DiscardZeroChanges, Recovery::Unresolved),
        (AfterSb0Pri::DiscardLeastChanges, PEERS),
        (AfterSb0Pri::DiscardLocal, PEERS),
        (AfterSb0Pri::DiscardRemote, OWN),
    ] {
        let outcome = recover(&zero(policy), &EVIDENCE);
        assert_eq!(outcome.recovery, recovery, "{}", policy.name());
        assert!(outcome.notes.is_empty());
    }
    let unchanged = Evidence {
        changes: 0,
        ..EVIDENCE
    };
    let outcome = recover(&zero(AfterSb0Pri::DiscardZeroChanges), &unchanged);
    assert_eq!(outcome.recovery, PEERS, "0/5");
}

#[test]
fn without_an_older_primary_the_changes_decide() {
    let equal = Evidence {
        peer_was_primary: WasPrimary::Yes,
        ..EVIDENCE
    };
    for policy in [
        AfterSb0Pri::DiscardYoungerPrimary,
        AfterSb0Pri::DiscardOlderPrimary,
    ] {
        let outcome = recover(&zero(policy), &equal);
        assert_eq!(outcome.recovery, PEERS);
        assert_eq!(
            outcome.notes,
            [
                "Discard younger/older primary did not find a decision",
                "Using discard-least-changes instead"
            ]
        );
    }
}

#[test]
fn equal_changes_are_decided_by_the_tie_breaker() {
    for changes in [0, 7] {
        let equal = Evidence {
            changes,
            peer_changes: changes,
            ..EVIDENCE
        };
        let policies = zero(AfterSb0Pri::DiscardLeastChanges);
        assert_eq!(recover(&policies, &equal).recovery, PEERS);
        assert_eq!(recover(&policies, &mirrored(&equal)).recovery, OWN);
    }
}

/// Scenario S7, node 0 is Primary; "Sync from peer node" would change the data under it.
#[test]
fn with_one_primary_each_policy_decides_as_captured() {
    let least = AfterSb0Pri::DiscardLeastChanges;
    let primary = Evidence {
        role: Role::Primary,
        ..EVIDENCE
    };
    let winning = Evidence {
        changes: 5,
        peer_changes: 3,
        ..primary
    };
    let at = |policy| policies(least, policy, AfterSb2Pri::Disconnect);
    for (policy, losing_primary, winning_primary) in [
        (
            AfterSb1Pri::Disconnect,
            Recovery::Unresolved,
            Recovery::Unresolved,
        ),
        (AfterSb1Pri::Consensus, Recovery::Unresolved, OWN),
        (AfterSb1Pri::ViolentlyAs0p, PEERS, OWN),
        (AfterSb1Pri::DiscardSecondary, OWN, OWN),
        (AfterSb1Pri::CallPriLost, Recovery::IfDemoted, OWN),
    ] {
        let name = policy.name();
        assert_eq!(
            recover(&at(policy), &primary).recovery,
            losing_primary,
            "{name}"
        );
        assert_eq!(
            recover(&at(policy), &winning).recovery,
            winning_primary,
            "{name}"
        );
    }
    let secondary = mirrored(&primary);
    let recovery = recover(&at(AfterSb1Pri::CallPriLost), &secondary).recovery;
    assert_eq!(recovery, OWN, "the Secondary goes ahead as source");
}

#[test]
fn with_two_primaries_only_the_loser_has_to_be_demoted() {
    let both = Evidence {
        role: Role::Primary,
        peer_role: Role::Primary,
        ..EVIDENCE
    };
    let least = AfterSb0Pri::DiscardLeastChanges;
    let at = |policy| policies(least, AfterSb1Pri::Disconnect, policy);
    let recovery = |policy| recover(&at(policy), &both).recovery;
    assert_eq!(recovery(AfterSb2Pri::Disconnect), Recovery::Unresolved);
    assert_eq!(recovery(AfterSb2Pri::ViolentlyAs0p), PEERS);
    assert_eq!(recovery(AfterSb2Pri::CallPriLost), Recovery::IfDemoted);
    let winner = recover(&at(AfterSb2Pri::CallPriLost), &mirrored(&both));
    assert_eq!(winner.recovery, OWN);
}

#[test]
fn policies_have_the_numbers_of_the_wire() {
    let codes = |codes: &[AfterSb]| codes.iter().map(|code| code.0).collect::<Vec<u32>>();
    let of_0pri: Vec<AfterSb> = AfterSb0Pri::ALL.iter().map(|p| p.code()).collect();
    let of_1pri: Vec<AfterSb> = AfterSb1Pri::ALL.iter().map(|p| p.code()).collect();
    let of_2pri: Vec<AfterSb> = AfterSb2Pri::ALL.iter().map(|p| p.code()).collect();
    assert_eq!(codes(&of_0pri), [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(codes(&of_1pri), [0, 7, 8, 9, 10]);
    assert_eq!(codes(&of_2pri), [0, 9, 10]);
    assert_eq!(AfterSb1Pri::from_code(AfterSb(1)), None);
    for &policy in AfterSb0Pri::ALL {
        assert_eq!(AfterSb0Pri::from_code(policy.code()), Some(policy));
    }
}

mod symmetry {
    use proptest::prelude::*;

    use super::*;

    fn evidence() -> impl Strategy<Value = Evidence> {
        let role = || prop_oneof![Just(Role::Primary), Just(Role::Secondary)];
        let was = || prop_oneof![Just(WasPrimary::Yes), Just(WasPrimary::No)];
        let tie = prop_oneof![Just(TieBreaker::Here), Just(TieBreaker::There)];
        (role(), role(), was(), was(), 0u64..3, 0u64..3, tie).prop_map(
            |(role, peer_role, was_primary, peer_was_primary, changes, peer_changes, tie)| {
                Evidence {
                    role,
                    peer_role,
                    was_primary,
                    peer_was_primary,
                    changes,
                    peer_changes,
                    tie,
                }
            },
        )
    }

    proptest! {
        /// Without asking each other both nodes name the same survivor. discard-local meets
        /// discard-remote; a loser that has to be demoted first is the peer of a winner.
        #[test]
        fn both_nodes_name_the_same_survivor(
            evidence in evidence(),
            p0 in 0..AfterSb0Pri::ALL.len(),
            p1 in 0..AfterSb1Pri::ALL.len(),
            p2 in 0..AfterSb2Pri::ALL.len(),
        ) {
            let here = policies(AfterSb0Pri::ALL[p0], AfterSb1Pri::ALL[p1], AfterSb2Pri::ALL[p2]);
            let peers_0p = AfterSb0Pri::from_code(here.without_primary.code().mirrored());
            let there = Policies {
                without_primary: peers_0p.expect("the mirror of a policy is a policy"),
                ..here
            };
            let mine = recover(&here, &evidence).recovery;
            let theirs = recover(&there, &mirrored(&evidence)).recovery;
            let expected = match mine {
                Recovery::Unresolved => Recovery::Unresolved,
                PEERS | Recovery::IfDemoted => OWN,
                Recovery::Resolved(Survivor::Own) => theirs,
            };
            prop_assert_eq!(theirs, expected);
            prop_assert!((mine == OWN) == matches!(theirs, PEERS | Recovery::IfDemoted));
        }
    }
}
