//! The compliance suite: what the genuine programs answer, ours have to answer.
//!
//! `COMPLIANCE=theirs` proves the cases on the genuine programs, `COMPLIANCE=ours` ours on the
//! cases; without it both. `COMPLIANCE=record` writes the answers of the genuine programs into the
//! case files: the only way by which an expectation gets there.

use std::fs;

use drbd_demo::f2;
use testbed::compliance::{Bench, Case, Driver, Side, case_files};
use testbed::repository::relative;

fn asked_for(word: &str) -> bool {
    std::env::var("COMPLIANCE").map_or(word != "record", |asked| asked == word)
}

fn prove(side: Side, driver: Driver) {
    let network = f2::network().unwrap();
    let bench = Bench::new(&network, side, driver).unwrap();
    let mut wrong = Vec::new();
    let files: Vec<_> = case_files()
        .into_iter()
        .filter(|file| Driver::of(file) == driver)
        .collect();
    assert!(!files.is_empty(), "no cases");
    for file in &files {
        let name = relative(file);
        let case = Case::parse(&fs::read_to_string(file).unwrap())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let answer = bench
            .answer(&case)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        if let Some(difference) = case.expected.difference(&answer) {
            wrong.push(format!("{name}\n{difference}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{side:?}: {} of {} cases differ\n{}",
        wrong.len(),
        files.len(),
        wrong.join("\n")
    );
}

#[test]
fn the_genuine_programs_answer_as_the_cases_say() {
    if asked_for("theirs") {
        prove(Side::Theirs, Driver::None);
    }
}

#[test]
fn the_genuine_programs_on_a_kernel_node_answer_as_the_live_cases_say() {
    if asked_for("theirs") {
        prove(Side::Theirs, Driver::Live);
    }
}

#[test]
fn our_programs_answer_as_the_cases_say() {
    if asked_for("ours") {
        prove(Side::Ours, Driver::None);
    }
}

#[test]
fn our_programs_on_our_engine_answer_as_the_live_cases_say() {
    if asked_for("ours") {
        prove(Side::Ours, Driver::Live);
    }
}

#[test]
fn cases_are_recorded_from_the_genuine_programs_when_asked_for() {
    if !asked_for("record") {
        return;
    }
    let network = f2::network().unwrap();
    for driver in [Driver::None, Driver::Live] {
        let bench = Bench::new(&network, Side::Theirs, driver).unwrap();
        for file in case_files()
            .into_iter()
            .filter(|file| Driver::of(file) == driver)
        {
            let case = Case::parse(&fs::read_to_string(&file).unwrap()).unwrap();
            let answer = bench.answer(&case).unwrap();
            fs::write(&file, case.render(&answer)).unwrap();
        }
    }
}
