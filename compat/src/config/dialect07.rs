//! What a 0.7 configuration means today (spec 10 section 11).

use std::collections::BTreeMap;

use drbd_options::{Section, find};

use crate::model::{Config, Resource, Sections, Setting};

/// Handler that does what `on-io-error panic` did: the node must not go on.
pub const HALT: &str = "echo o > /proc/sysrq-trigger; halt -f";

/// Replaces what 0.7 said by what has the same effect, keeping the original for its own form.
pub(super) fn adapt(config: &mut Config) {
    for resource in &mut config.resources {
        let sections = &mut resource.sections;
        count_size_in_kib(sections);
        replace_panic(sections);
    }
    order_by_group(config);
}

/// A bare `size` counts KiB in 0.7 and sectors today.
fn count_size_in_kib(sections: &mut Sections) {
    for setting in sections.disk.0.iter_mut().filter(|s| s.name() == "size") {
        if setting.value().bytes().all(|b| b.is_ascii_digit()) {
            sections.legacy.push(setting.clone());
            setting.value = Some(format!("{}K", setting.value()));
        }
    }
}

fn replace_panic(sections: &mut Sections) {
    let panics = |s: &&mut Setting| s.name() == "on-io-error" && s.value() == "panic";
    let Some(setting) = sections.disk.0.iter_mut().find(panics) else {
        return;
    };
    sections.legacy.push(setting.clone());
    setting.value = Some("call-local-io-error".to_owned());
    if let Some(found) = find(Section::Handlers, "local-io-error") {
        sections.handlers.push(Setting {
            row: found.row,
            name: found.row.name,
            value: Some(HALT.to_owned()),
            rank: u32::MAX,
        });
    }
}

/// `group N` ordered the resyncs: lower groups first, equal ones in parallel. Today a resource
/// waits for one of the next lower group.
fn order_by_group(config: &mut Config) {
    let Some(found) = find(Section::Disk, "resync-after") else {
        return;
    };
    for (own, before) in predecessors(&config.resources, |resource| !resource.is_ignored()) {
        let name = config.resources[before].name.clone();
        config.resources[own].sections.disk.push(Setting {
            row: found.row,
            name: found.row.name,
            value: Some(name),
            rank: u32::MAX,
        });
    }
}

/// Of each resource of a higher group, by index: the last one of the highest lower group, which
/// the others before it precede.
pub fn predecessors(
    resources: &[Resource],
    counts: impl Fn(&Resource) -> bool,
) -> Vec<(usize, usize)> {
    let groups: Vec<Option<u32>> = resources
        .iter()
        .map(|resource| counts(resource).then(|| group(resource))?)
        .collect();
    // Later ones replace earlier ones, so that the last one of each group is left.
    let last: BTreeMap<u32, usize> = (0..groups.len())
        .filter_map(|at| Some((groups[at]?, at)))
        .collect();
    (0..groups.len())
        .filter_map(|own| Some((own, *last.range(..groups[own]?).next_back()?.1)))
        .collect()
}

/// The group of a resource; those without a word are in group 0.
fn group(resource: &Resource) -> Option<u32> {
    let text = resource.sections.legacy.value("group").unwrap_or("0");
    text.parse().ok()
}
