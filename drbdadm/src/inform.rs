//! Answers that the configuration alone gives (spec 20 section 14.1).

use compat::{
    config::Node,
    era::text::{quote, shell},
    model::{Config, Resource},
};

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
pub(crate) fn module_parameters(config: &Config) {
    let hosts = here(config).filter_map(Resource::my_host);
    let minors: usize = hosts.map(|h| h.volumes.len()).sum();
    let count = match config.global.minor_count {
        Some(count) => count.to_string(),
        None => minors.saturating_add(3).clamp(32, 255).to_string(),
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
pub(crate) fn lower_resource(resource: &Resource, node: &Node, stacked: bool) -> i32 {
    if !stacked {
        complain("sh-lower-resource only available in stacked mode");
        return 1;
    }
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
