//! Answers that the configuration alone gives (spec 20 section 14.1).

use compat::{
    config::Node,
    era::text::{quote, shell},
    model::{Config, Resource},
};
use drbd_options::Era;

use crate::{
    plan::{Job, status},
    run::{Runner, complain, print, print_line},
    usage,
};

fn here(config: &Config) -> impl Iterator<Item = &Resource> {
    config.resources.iter().filter(|r| !r.is_ignored())
}

/// `sh-resources`: all names on one line.
pub(crate) fn resources(config: &Config, stacked: bool) {
    let names: Vec<_> = here(config)
        .filter(|r| r.is_stacked() == stacked)
        .map(|r| quote(&r.name))
        .collect();
    if !names.is_empty() {
        print_line(&names.join(" "));
    }
}

/// `sh-mod-parms`: parameters of the module, which the engine takes, too.
pub(crate) fn module_parameters(config: &Config, era: Era) {
    let volumes = || {
        here(config)
            .filter_map(Resource::my_host)
            .flat_map(|h| &h.volumes)
    };
    let highest = volumes().filter_map(|v| v.minor).max().unwrap_or_default();
    let configured = config.global.minor_count;
    let count = match era {
        Era::V07 => configured.unwrap_or(highest.saturating_add(1)),
        Era::V80 | Era::V82 => configured.unwrap_or(highest.saturating_add(11)).max(32),
        Era::V83 => configured.unwrap_or(highest.saturating_add(11).clamp(32, 256)),
        Era::V84 => configured.unwrap_or_else(|| {
            let count = u32::try_from(volumes().count()).unwrap_or(u32::MAX);
            count.saturating_add(3).clamp(32, 255)
        }),
    };
    print_line(&format!("minor_count={count}"));
}

/// `sh-status`: assignments for shells, most of them from drbdsetup.
pub(crate) fn status(config: &Config, runner: &mut Runner, dry_run: bool) -> i32 {
    if !dry_run {
        print(&format!(
            "_drbd_version={}\n_drbd_api=1\n_config_file={}\n\n\n",
            usage::VERSION,
            shell(&config.file)
        ));
    }
    for resource in here(config) {
        for (text, call) in status::sh_status(config, resource) {
            print(&text);
            let status = runner.job(&resource.name, &Job::Sequence(vec![call]));
            if status != 0 {
                return status;
            }
        }
    }
    0
}

/// `sh-lr-of`: the resource below.
pub(crate) fn lower_resource(resource: &Resource, node: &Node) -> i32 {
    match resource.my_host().and_then(|host| host.lower()) {
        Some(lower) => {
            print_line(lower);
            0
        }
        None => {
            complain(&format!(
                "'{}' is not stacked on this host ({})",
                resource.name, node.name
            ));
            1
        }
    }
}
