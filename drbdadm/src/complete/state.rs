//! Which resources a command makes sense for, by their present state: the completion of DRBD 8.3
//! and 8.4 offered only those (spec 70 section 6). It asked drbdadm once for each resource; here
//! one look into `proc/drbd` answers for all of them.

use std::collections::HashMap;

use compat::config::NamedResource;

/// A column of `/proc/drbd`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Column {
    Connection,
    Role,
    Disk,
}

/// Commands, and what a volume's own state must be.
const WANTED: &[(&[&str], Column, &[&str])] = &[
    (&["primary"], Column::Role, &["Secondary"]),
    (&["secondary"], Column::Role, &["Primary"]),
    (
        &["detach", "disk-options"],
        Column::Disk,
        &["UpToDate", "Inconsistent", "Outdated"],
    ),
    (&["outdate"], Column::Disk, &["UpToDate"]),
    (
        &["attach", "apply-al"],
        Column::Disk,
        &["Diskless", UNCONFIGURED],
    ),
    (
        &["connect"],
        Column::Connection,
        &["StandAlone", UNCONFIGURED],
    ),
    (
        &["disconnect", "net-options"],
        Column::Connection,
        &["Connected", "WFConnection", "VerifyT", "VerifyS"],
    ),
    (
        &["invalidate-remote", "verify"],
        Column::Connection,
        &["Connected"],
    ),
    (
        &["pause-sync"],
        Column::Connection,
        &["SyncSource", "SyncTarget"],
    ),
    (
        &["resume-sync"],
        Column::Connection,
        &["PausedSyncS", "PausedSyncT"],
    ),
];

const UNCONFIGURED: &str = "Unconfigured";

/// The resources that a command makes sense for. All of them where that cannot be told, and where
/// it would be none: somebody may know better.
pub fn sensible(
    command: &str,
    resources: Vec<NamedResource>,
    proc: Option<&str>,
) -> Vec<NamedResource> {
    let row = WANTED
        .iter()
        .find(|(commands, ..)| commands.contains(&command));
    let (Some((_, column, words)), Some(proc)) = (row, proc) else {
        return resources;
    };
    let states = states(proc, *column);
    let fits = |minor| words.contains(states.get(minor).unwrap_or(&UNCONFIGURED));
    let found: Vec<NamedResource> = resources
        .iter()
        .filter(|resource| resource.minors.iter().any(fits))
        .cloned()
        .collect();
    if found.is_empty() { resources } else { found }
}

/// One column of the lines of minors, this node's half.
fn states(proc: &str, column: Column) -> HashMap<u32, &str> {
    // `st` is what 0.7 to 8.2 called `ro`.
    let keys: &[&str] = match column {
        Column::Connection => &["cs"],
        Column::Role => &["ro", "st"],
        Column::Disk => &["ds", "ld"],
    };
    let line = |line| {
        let (minor, rest) = str::trim_start(line).split_once(':')?;
        let minor = minor.parse().ok()?;
        let pairs = rest
            .split_whitespace()
            .filter_map(|pair| pair.split_once(':'));
        let value = pairs
            .filter(|(key, _)| keys.contains(key))
            .map(|(_, value)| value)
            .next()?;
        Some((minor, value.split('/').next().unwrap_or(value)))
    };
    proc.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of spec 70 section 1 in the forms of 8.4 and 8.2.
    const PROC: &str = "version: 8.4.11 (api:1/proto:86-101)\n\
        \x20 0: cs:Connected ro:Primary/Secondary ds:UpToDate/UpToDate C r-----\n\
        \x20   ns:0 nr:0 dw:0 dr:0 al:0 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:0\n\
        \x20 1: cs:WFConnection st:Secondary/Unknown ds:Outdated/DUnknown C r---\n\
        \x20 2: cs:Unconfigured\n";

    fn offered(command: &str, proc: Option<&str>) -> String {
        let resources = ["a", "b", "c"]
            .iter()
            .enumerate()
            .map(|(minor, name)| NamedResource {
                name: (*name).to_owned(),
                volumes: Vec::new(),
                minors: vec![u32::try_from(minor).unwrap()],
            });
        let found = sensible(command, resources.collect(), proc);
        found.into_iter().map(|resource| resource.name).collect()
    }

    #[test]
    fn only_resources_in_a_fitting_state_are_offered() {
        for (command, expected) in [
            ("primary", "b"),
            ("secondary", "a"),
            ("detach", "ab"),
            ("outdate", "a"),
            ("attach", "c"),
            ("connect", "c"),
            ("disconnect", "ab"),
            ("verify", "a"),
            ("adjust", "abc"),
        ] {
            assert_eq!(offered(command, Some(PROC)), expected, "{command}");
        }
    }

    #[test]
    fn all_are_offered_where_nothing_is_known_or_nothing_fits() {
        assert_eq!(offered("primary", None), "abc");
        assert_eq!(offered("pause-sync", Some(PROC)), "abc");
    }
}
