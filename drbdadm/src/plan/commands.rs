//! What a command does to a resource or to one of its volumes.

use compat::model::{MetaDisk, Origin, Resource, Volume};

use super::{
    argv::Scene,
    call::{Call, Entry, Job, Program, Stage, Staged, Stderr},
};
use crate::command::{Action, Command, Limit, Lookup};

/// The job of a command that works on volumes.
pub fn on_volume(command: &Command, scene: Scene<'_>, volume: &Volume) -> Job {
    match command.action {
        Action::Attach => Job::Sequence(scene.attach(volume)),
        Action::NewMinor => new_minor(scene, volume),
        Action::Either => {
            let setup = scene.of_minor(command.name, volume, command.limit);
            Job::Either {
                setup: setup.stderr(Stderr::Captured),
                meta: scene.meta(command.name, volume, command.limit),
            }
        }
        Action::Outdate => {
            let setup = scene.of_minor(command.name, volume, command.limit);
            Job::Outdate {
                setup: setup.stderr(Stderr::Suppressed),
                meta: scene.meta(command.name, volume, command.limit),
            }
        }
        Action::Resize => {
            let (resize, check) = scene.resize(volume);
            Job::Resize { resize, check }
        }
        Action::CheckResize => {
            let (resize, check) = scene.resize(volume);
            Job::CheckResize {
                resize: resize.stderr(Stderr::Suppressed),
                check: check.stderr(Stderr::Suppressed),
                meta: scene.meta("check-resize", volume, Limit::Short),
            }
        }
        Action::Meta => one(scene.meta(command.name, volume, command.limit)),
        Action::CreateMd => Job::CreateMd {
            read_id: scene.meta("read-dev-uuid", volume, Limit::Short),
            create: scene.meta(command.name, volume, command.limit),
            write_id: scene.write_dev_uuid(volume),
        },
        Action::WaitConnect => one(scene.wait_connect(volume)),
        Action::BecomePrimary => Job::Insist(scene.of_minor("primary", volume, Limit::Medium)),
        Action::Lookup(what) => lookup(what, scene, volume),
        _ => one(scene.of_minor(command.name, volume, command.limit)),
    }
}

fn one(call: Call) -> Job {
    Job::Sequence(vec![call])
}

fn new_minor(scene: Scene<'_>, volume: &Volume) -> Job {
    Job::Register {
        call: scene.new_minor(volume),
        entry: Entry::Minor(volume.minor.unwrap_or_default()),
    }
}

fn new_resource(scene: Scene<'_>) -> Job {
    Job::Register {
        call: scene.new_resource(),
        entry: Entry::Resource(scene.resource.name.clone()),
    }
}

fn no_peer(resource: &Resource) -> Job {
    Job::Refuse {
        text: format!(
            "resource {}: cannot configure network without knowing my peer.",
            resource.name
        ),
        status: 20,
    }
}

/// The job of a command that works on the resource as a whole.
pub fn on_resource(command: &Command, scene: Scene<'_>) -> Job {
    let call = match command.action {
        Action::Connect => scene.connect(),
        Action::NetOptions | Action::Disconnect => scene.of_connection(command.name),
        Action::NewResource => return new_resource(scene),
        _ => Some(scene.of_resource(command.name, command.limit)),
    };
    call.map_or_else(|| no_peer(scene.resource), one)
}

/// `up`: everything for later (spec 20 section 9).
pub fn up(scene: Scene<'_>, only: Option<u32>) -> Vec<Staged> {
    let staged = |stage, what, job| Staged {
        stage,
        resource: scene.resource.name.clone(),
        what,
        job,
    };
    let chosen = |v: &&Volume| only.is_none_or(|number| v.number == number);
    let volumes = || scene.me.volumes.iter().filter(chosen);
    let mut jobs = vec![staged(
        Stage::Prerequisite,
        "new-resource",
        new_resource(scene),
    )];
    jobs.extend(volumes().map(|v| staged(Stage::Prerequisite, "new-minor", new_minor(scene, v))));
    jobs.extend(volumes().map(|v| staged(Stage::Disk, "attach", Job::Sequence(scene.attach(v)))));
    let connect = scene.connect().map_or_else(|| no_peer(scene.resource), one);
    jobs.push(staged(Stage::Net, "connect", connect));
    jobs
}

fn lookup(what: Lookup, scene: Scene<'_>, volume: &Volume) -> Job {
    let answer = match what {
        Lookup::Device => volume.device_name(),
        Lookup::Minor => volume.minor.map(|minor| minor.to_string()),
        Lookup::LowerDevice => volume.disk.clone(),
        Lookup::MetaDevice => volume.meta_device().map(str::to_owned),
        Lookup::MetaIndex => volume.meta.as_ref().map(|meta| match meta {
            MetaDisk::Internal => "internal".to_owned(),
            MetaDisk::Flexible(_) => "flexible".to_owned(),
            MetaDisk::Indexed { index, .. } => index.clone(),
        }),
        Lookup::Ip => scene.me.address.as_ref().map(|a| a.host.clone()),
        Lookup::Resource | Lookup::Udev | Lookup::LowerResource => None,
    };
    Job::Print(answer.unwrap_or_default())
}

/// `sh-udev`
pub fn udev(resource: &Resource, volume: &Volume, always_volume: bool) -> Job {
    let without_dev = |path: &str| path.strip_prefix("/dev/").unwrap_or(path).to_owned();
    let name = if volume.origin == Origin::Explicit || always_volume {
        format!("{}/{}", resource.name, volume.number)
    } else {
        resource.name.clone()
    };
    let device = match &volume.device {
        Some(device) if device.starts_with("/dev/drbd") => without_dev(device),
        _ => format!("drbd{}", volume.minor.unwrap_or_default()),
    };
    let disk = without_dev(volume.disk.as_deref().unwrap_or_default());
    Job::Print(format!("RESOURCE={name}\nDEVICE={device}\nDISK={disk}"))
}

/// A handler's script.
pub fn handler(script: &str) -> Job {
    let words = vec!["-c".to_owned(), script.to_owned()];
    one(Call::new(Program::Shell, words, Limit::Long))
}
