//! The proof that the pure crates are pure: they and everything they are linked with are `no_std`,
//! so there is no file, socket, clock, thread or random source that they could reach; and ours
//! among them hold no `unsafe` by which they could get at one.

use std::fs;

use testbed::repository::{Crates, relative};

/// The crates that decide and never do.
const PURE: [&str; 3] = ["drbd-types", "drbd-wire", "drbd-core"];

#[test]
fn pure_crates_are_linked_with_no_std_crates_only() {
    let crates = Crates::resolve();
    for pure in PURE {
        for (package, features) in crates.closure(pure) {
            let root = package
                .library
                .as_ref()
                .expect("only libraries are in a closure");
            let text = fs::read_to_string(root).expect("cargo says it is there");
            assert!(
                is_no_std(&text, package.ours, &features),
                "{pure} is linked with {}, which is not no_std",
                package.name
            );
        }
    }
}

#[test]
fn pure_crates_forbid_unsafe_code_and_do_not_ask_for_std() {
    let crates = Crates::resolve();
    for package in crates
        .ours()
        .filter(|package| PURE.contains(&package.name.as_str()))
    {
        let root = package
            .library
            .as_ref()
            .expect("the pure crates are libraries");
        let text = fs::read_to_string(root).expect("cargo says it is there");
        assert!(
            text.contains("#![forbid(unsafe_code)]"),
            "{}",
            relative(root)
        );
        let outside_tests = |line: &&str| line.trim_start().starts_with("extern crate std");
        let position = text.lines().position(|line| outside_tests(&line));
        if let Some(position) = position {
            let before = text
                .lines()
                .nth(position.wrapping_sub(1))
                .unwrap_or_default();
            assert_eq!(
                before.trim(),
                "#[cfg(test)]",
                "{} asks for std outside of its tests",
                relative(root)
            );
        }
    }
}

/// Ours must be `no_std` without condition (tests aside); another crate may make it depend on a
/// feature that it is not built with here.
fn is_no_std(root: &str, ours: bool, features: &[String]) -> bool {
    let joined = root.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut attributes = joined
        .split("#![")
        .skip(1)
        .filter_map(|rest| rest.split(']').next());
    attributes.any(|attribute| {
        let always = attribute == "no_std" || attribute == "cfg_attr(not(test), no_std)";
        let by_feature = attribute.starts_with("cfg_attr(") && attribute.contains("no_std");
        always || (!ours && by_feature && !features.iter().any(|feature| feature == "std"))
    })
}

#[test]
fn a_crate_with_std_is_told_from_one_without() {
    let by_feature = "#![cfg_attr(not(feature = \"std\"), no_std)]";
    assert!(is_no_std("//! Words\n#![no_std]\n", true, &[]));
    assert!(!is_no_std(
        "//! no_std in words only\nfn main() {}",
        true,
        &[]
    ));
    assert!(is_no_std(by_feature, false, &[]));
    assert!(!is_no_std(by_feature, false, &["std".to_owned()]));
    assert!(!is_no_std(by_feature, true, &[]));
}
