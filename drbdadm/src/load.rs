//! Which configuration is read (spec 10 section 1, spec 20 section 16).

use std::io::Read as _;

use compat::config::{self, Input, Loaded, Node};

use crate::{
    app::End,
    cli::Invocation,
    command::{Action, Command},
    environment,
    plan::call::Entry,
    report,
    run::{Registry, complain},
};

/// Where 8.4 looks for its configuration.
pub(crate) const CANDIDATES: [&str; 5] = [
    "/etc/drbd-84.conf",
    "/etc/drbd-83.conf",
    "/etc/drbd-82.conf",
    "/etc/drbd-08.conf",
    "/etc/drbd.conf",
];

/// What must hold before anything is read.
pub(crate) fn check_invocation(command: &Command, invocation: &Invocation) -> Result<(), End> {
    let may_test = command.is_dump() || command.action == Action::ShNop;
    if invocation.config_to_test.is_some() && !may_test {
        complain(
            "The --config-to-test (-t) option is only allowed with the dump and sh-nop commands",
        );
        return Err(End(1));
    }
    if !command.takes_resources() && !invocation.names.is_empty() {
        complain("This command will ignore resource names!");
    }
    if command.uses_registry() && invocation.names.len() > 1 {
        complain("You should not use this command with multiple resources!");
    }
    let programs = [
        &invocation.drbdsetup,
        &invocation.drbdmeta,
        &invocation.proxy_ctl,
    ];
    for path in programs.into_iter().flatten() {
        if rustix::fs::access(path.as_str(), rustix::fs::Access::EXEC_OK).is_err() {
            complain("Can not find command (drbdsetup/drbdmeta)");
            return Err(End(20));
        }
    }
    Ok(())
}

/// Reads the configuration of an invocation.
pub(crate) fn read(command: &Command, invocation: &Invocation, node: &Node) -> Result<Loaded, End> {
    let on_top = invocation.config_to_test.as_deref();
    let given = invocation.config_file.as_deref();
    if let Some(name) = on_top
        && std::fs::File::open(name).is_err()
    {
        // Genuine: only missed when the other file has been read without error.
        let single = Invocation {
            config_to_test: None,
            ..invocation.clone()
        };
        let loaded = read(command, &single, node)?;
        if loaded.end.is_err() {
            return Ok(loaded);
        }
        let remarks = loaded.diagnostics.iter();
        remarks.for_each(|remark| complain(&remark.text));
        return Err(cannot_open(name));
    }
    if given == Some("-") {
        let mut bytes = Vec::new();
        let read = std::io::stdin().read_to_end(&mut bytes);
        let loaded = read.and_then(|_| load(Input::Stdin(&bytes), on_top, node));
        return loaded.map_err(|_| cannot_open("STDIN"));
    }
    if let Some(name) = given {
        return load(Input::Path(name), on_top, node).map_err(|error| match error.kind() {
            std::io::ErrorKind::IsADirectory => {
                complain("input in flex scanner failed");
                End(2)
            }
            _ => cannot_open(name),
        });
    }
    if command.uses_registry()
        && let Some(name) = registered(invocation)
        && let Ok(loaded) = load(Input::Path(&name), on_top, node)
    {
        return Ok(loaded);
    }
    for name in CANDIDATES {
        if std::fs::File::open(name).is_ok() {
            return load(Input::Path(name), on_top, node).map_err(|_| cannot_open(name));
        }
    }
    let last = CANDIDATES[CANDIDATES.len() - 1];
    let reason = match std::fs::File::open(last) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => "Permission denied",
        _ => "No such file or directory",
    };
    complain(&format!("Can not open '{last}': {reason}"));
    Err(End(10))
}

/// Reads, and where somebody looks at the errors also searches for more of them.
fn load(input: Input<'_>, on_top: Option<&str>, node: &Node) -> std::io::Result<Loaded> {
    let mut loaded = config::load(input, on_top, node)?;
    if loaded.end.is_err() && report::is_wanted() {
        loaded.further = config::further_errors(input, on_top, node, &loaded);
    }
    Ok(loaded)
}

fn cannot_open(name: &str) -> End {
    // Genuine: a lone dot follows, without a newline.
    complain(&format!("Can not open '{name}'."));
    eprint!(".");
    End(20)
}

/// The configuration with which the resource or minor was started last.
fn registered(invocation: &Invocation) -> Option<String> {
    let name = invocation.names.first()?;
    let (entry, what) = match name.strip_prefix("minor-").map(str::parse) {
        Some(Ok(minor)) => (Entry::Minor(minor), format!("minor {minor}")),
        _ => (Entry::Resource(name.clone()), format!("resource {name}")),
    };
    let link = Registry::link(&environment::run_directory(), &entry);
    match std::fs::read_link(link) {
        Ok(target) => Some(target.to_string_lossy().into_owned()),
        Err(_) => {
            complain(&format!(
                "Don't know which config file belongs to {what}, trying default ones..."
            ));
            None
        }
    }
}
