//! Single words of a command line: minors, names, addresses, option values (spec 30 section 2.2).

use crate::outcome::Stop;
use crate::world::{IpVersion, World, with_port};
use drbd_control::{Endpoint, Family, MetaIndex, Setting};
use drbd_options::{Kind, OptionRow, Scale};
use drbd_types::Minor;

const DEFAULT_PORT: u16 = 7788;

/// A number in plain units.
pub fn number(text: &str) -> Result<u64, Stop> {
    scaled(Scale::One, text)
}

fn scaled(scale: Scale, text: &str) -> Result<u64, Stop> {
    scale.parse(text).map_err(|error| Stop {
        exit: error.exit_status(),
        ..Stop::error(format!("{error}\n"))
    })
}

/// The low 32 bits, as the genuine tool stores minors and volumes.
pub fn low_half(n: u64) -> u32 {
    let [a, b, c, d, ..] = n.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// A device word: digits, `/dev/drbd` and digits, or the path of a node.
pub fn minor(word: &str, world: &dyn World) -> Option<Minor> {
    let digits = word.strip_prefix("/dev/drbd").unwrap_or(word);
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        return Scale::One.parse(digits).ok().map(|n| Minor(low_half(n)));
    }
    world.minor_of_node(word)
}

/// The same where nothing but a device will do.
pub fn needed_minor(word: &str, world: &dyn World) -> Result<Minor, Stop> {
    minor(word, world).ok_or_else(|| {
        Stop::error(format!(
            "Cannot determine minor device number of device '{word}'\n"
        ))
    })
}

/// A resource name that is fit to be sent.
pub fn resource(word: &str) -> Result<String, Stop> {
    let complaint = if word.is_empty() {
        "Resource name is empty.\n"
    } else if word.bytes().any(|b| b < 0x20 || b == 0x7f) {
        "Resource name is invalid - please don't use control characters.\n"
    } else {
        return Ok(word.to_owned());
    };
    Err(Stop {
        exit: 1,
        ..Stop::error(complaint.to_owned())
    })
}

/// Where meta-data is on its device.
pub fn meta_index(word: &str) -> Result<MetaIndex, Stop> {
    match word {
        "internal" => Ok(MetaIndex::INTERNAL),
        "flexible" => Ok(MetaIndex::FLEXIBLE),
        _ => {
            let [a, b, c, d] = low_half(number(word)?).to_le_bytes();
            Ok(MetaIndex(i32::from_le_bytes([a, b, c, d])))
        }
    }
}

/// An address with its notes for stderr.
pub struct Parsed {
    /// The address.
    pub endpoint: Endpoint,
    /// What the genuine tool says about old spellings.
    pub note: String,
}

/// `[AF:]HOST[:PORT]`
pub fn address(word: &str, world: &dyn World) -> Result<Parsed, Stop> {
    let mut note = String::new();
    let (family, text) = match word.split_once(':') {
        Some(("ipv4", text)) => (Family::IPV4, text),
        Some(("ipv6", text)) => (Family::IPV6, text),
        Some(("sdp", text)) => (Family::SDP, text),
        Some(("ssocks", text)) => {
            let family = world.ssocks_family().unwrap_or_else(|| {
                note.push_str("warning: super sockets are not loaded, address family 27 is used\n");
                Family::SSOCKS_FALLBACK
            });
            (family, text)
        }
        _ => (Family::IPV4, word),
    };
    let (host, port) = if family == Family::IPV6 {
        split_ipv6(text, &mut note)
    } else {
        match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    let port = match port {
        // Ports are cut to 16 bits, as the genuine tool does.
        Some(text) => {
            let [low, high, ..] = number(text)?.to_le_bytes();
            u16::from_le_bytes([low, high])
        }
        None => DEFAULT_PORT,
    };
    let found = if family == Family::IPV6 {
        world
            .resolve(host, IpVersion::V6)
            .map_err(|text| Stop::error(format!("getaddrinfo {host}: {text}\n")))?
    } else {
        world.resolve(host, IpVersion::V4).map_err(|text| {
            let text = resolver_text(&text);
            Stop::error(format!(
                "can not resolve the hostname: gethostbyname({host}): {text}\n"
            ))
        })?
    };
    Ok(Parsed {
        endpoint: Endpoint::new(family, with_port(found, port)),
        note,
    })
}

/// The words of gethostbyname for what getaddrinfo says.
fn resolver_text(text: &str) -> &str {
    match text {
        "Temporary failure in name resolution" => "Host name lookup failure",
        "Name or service not known" | "No address associated with hostname" => "Unknown host",
        _ => "Unknown server error",
    }
}

fn split_ipv6<'a>(text: &'a str, note: &mut String) -> (&'a str, Option<&'a str>) {
    if let Some((host, rest)) = text.strip_prefix('[').and_then(|t| t.split_once(']')) {
        return (host, rest.strip_prefix(':'));
    }
    match text.rsplit_once(':') {
        Some((host, port)) => {
            note.push_str(&format!(
                "interpreting ipv6:{host}:{port} as ipv6:[{host}]:{port}\n"
            ));
            (host, Some(port))
        }
        None => (text, None),
    }
}

/// The value of an option; `None` for a flag that is said not to be set.
pub fn setting(
    row: &OptionRow,
    value: Option<&str>,
    world: &dyn World,
) -> Result<Option<Setting>, Stop> {
    let text = value.unwrap_or_default();
    let invalid = || {
        Stop::error(format!(
            "Option --{}: invalid argument '{text}'\n",
            row.name
        ))
    };
    Ok(Some(match row.kind {
        Kind::Flag | Kind::Bool { .. } => match (row.kind, value) {
            (_, None | Some("yes")) => Setting::Switch(true),
            (Kind::Flag, Some("no")) => return Ok(None),
            (_, Some("no")) => Setting::Switch(false),
            _ => return Err(invalid()),
        },
        Kind::Number(n) | Kind::MinorOfResource(n) => Setting::Number(scaled(n.scale, text)?),
        Kind::Enum(choice) => Setting::Number(u64::from(choice.code(text).ok_or_else(invalid)?)),
        Kind::Text { .. } | Kind::Words => Setting::Text(text.to_owned()),
        Kind::Address => Setting::Address(address(text, world)?.endpoint.as_bytes().to_vec()),
    }))
}
