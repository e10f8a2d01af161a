//! Which resource and volume a word of the command line means (spec 20 section 2.4).

use compat::{
    config::check_name,
    model::{Config, Origin, Resource},
};
use drbd_options::Scale;

use crate::command::{Command, Scope};

/// A resource of the configuration, perhaps one of its volumes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target {
    /// Index of the resource.
    pub resource: usize,
    /// The only volume that is meant.
    pub volume: Option<u32>,
    /// Named by its minor: stacked resources are then found without `-S`.
    pub by_minor: bool,
}

/// A word of the command line was refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// For stderr.
    pub text: String,
    /// Exit status.
    pub status: u8,
    /// Whether the names behind it are still looked at.
    pub then: Then,
}

/// What follows a refusal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Then {
    /// Nothing.
    End,
    /// The next name.
    Next,
}

impl Refusal {
    fn usage(text: String) -> Self {
        Self {
            text,
            status: 1,
            then: Then::End,
        }
    }
}

/// Finds what a word names; only resources of this host can be found.
pub fn find(config: &Config, word: &str) -> Result<Target, Refusal> {
    check_name(word).map_err(|text| Refusal::usage(text.to_owned()))?;
    let (name, volume) = match word.split_once('/') {
        None => (word, None),
        Some((name, number)) => {
            let number = Scale::One.parse(number).map_err(|error| Refusal {
                text: error.to_string(),
                status: error.exit_status(),
                then: Then::End,
            })?;
            (name, Some(u32::try_from(number).unwrap_or(u32::MAX)))
        }
    };
    let unknown = || {
        Refusal::usage(format!(
            "'{word}' not defined in your config (for this host)."
        ))
    };
    let by_name = config.position(name).filter(|at| {
        let resource = &config.resources[*at];
        !resource.is_ignored() && volume.is_none_or(|v| has_volume(resource, v))
    });
    if let Some(resource) = by_name {
        return Ok(Target {
            resource,
            volume,
            by_minor: false,
        });
    }
    let minor = word.strip_prefix("minor-").and_then(|n| n.parse().ok());
    minor
        .and_then(|minor| by_minor(config, minor))
        .ok_or_else(unknown)
}

/// The same in the words of the series before 8.4, which also found what is ignored here.
pub fn find_old(
    config: &Config,
    command: &Command,
    node: &str,
    word: &str,
) -> Result<Target, Refusal> {
    let at = config.position(word);
    let ignored = at.filter(|at| config.resources[*at].is_ignored());
    match ignored {
        Some(resource) if command.is_dump() => Ok(Target {
            resource,
            volume: None,
            by_minor: false,
        }),
        Some(_) => Err(Refusal {
            text: format!(
                "'{word}' ignored, since this host ({node}) is not mentioned with an 'on' keyword."
            ),
            status: 1,
            then: Then::Next,
        }),
        None => find(config, word).map_err(|refusal| Refusal {
            text: refusal.text.replace(" (for this host).", "."),
            ..refusal
        }),
    }
}

fn has_volume(resource: &Resource, number: u32) -> bool {
    resource
        .my_host()
        .is_some_and(|host| host.volume(number).is_some())
}

fn by_minor(config: &Config, minor: u32) -> Option<Target> {
    config
        .resources
        .iter()
        .enumerate()
        .find_map(|(at, resource)| {
            let volumes = &resource.my_host()?.volumes;
            let volume = volumes.iter().find(|v| v.minor == Some(minor))?;
            Some(Target {
                resource: at,
                volume: Some(volume.number),
                by_minor: true,
            })
        })
}

/// Whether the command may be given this target, and with which volume.
pub fn narrow(command: &Command, resource: &Resource, target: Target) -> Result<Target, Refusal> {
    let volumes = resource.my_host().map_or(&[][..], |host| &host.volumes);
    let implicit = |number: u32| {
        volumes
            .iter()
            .any(|v| v.number == number && v.origin == Origin::Implicit)
    };
    match (command.scope, target.volume) {
        (Scope::WholeResource, Some(number)) if !implicit(number) => Err(Refusal::usage(format!(
            "{} operates on whole resources, but you specified a specific volume!",
            command.name
        ))),
        (Scope::WholeResource, Some(_)) => Ok(Target {
            volume: None,
            ..target
        }),
        (Scope::OneVolume, None) => match volumes.first() {
            Some(volume) if volume.origin == Origin::Implicit => Ok(Target {
                volume: Some(volume.number),
                ..target
            }),
            _ => Err(Refusal::usage(format!(
                "{0} requires a specific volume id, but none is specified.\n\
                 Try '{0} minor-<minor_number>' or '{0} {1}/<vnr>'",
                command.name, resource.name
            ))),
        },
        _ => Ok(target),
    }
}
