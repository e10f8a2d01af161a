//! A resource as it is configured and as it runs, with a few differences between the two: what
//! `adjust` has to find.

use std::fmt::Write as _;

use drbd_options::{Kind, OptionRow, Section, SetupCommand, of_command};

use crate::random::Random;

/// The two texts.
pub struct Pair {
    pub config: String,
    /// What `drbdsetup show` prints; empty if nothing runs.
    pub running: String,
}

#[derive(Clone)]
struct Volume {
    number: u32,
    minor: u32,
    disk: Option<String>,
    meta: String,
    options: Vec<(&'static OptionRow, String)>,
}

#[derive(Clone)]
struct Model {
    options: Vec<(&'static OptionRow, String)>,
    net: Vec<(&'static OptionRow, String)>,
    mine: String,
    /// `None` while nothing is connected.
    peer: Option<String>,
    volumes: Vec<Volume>,
}

pub fn pair(random: &mut Random) -> Pair {
    let configured = model(random);
    if random.percent(5) {
        return Pair {
            config: config(&configured),
            running: String::new(),
        };
    }
    let mut running = configured.clone();
    for _ in 0..random.below(4) {
        change(random, &mut running);
    }
    Pair {
        config: config(&configured),
        running: show(random, &running),
    }
}

fn model(random: &mut Random) -> Model {
    let count = 1 + random.below(3);
    let volumes = (0..count).map(|at| volume(random, at as u32)).collect();
    Model {
        options: settings(random, SetupCommand::ResourceOptions),
        net: settings(random, SetupCommand::NetOptions),
        mine: address(random, "127.0.0.1", "::1"),
        peer: Some(address(random, "10.9.9.2", "fd00::2")),
        volumes,
    }
}

fn address(random: &mut Random, v4: &str, v6: &str) -> String {
    let port = 7000 + random.below(3);
    match random.below(6) {
        0 => format!("ipv6 [{v6}]:{port}"),
        1 => format!("sdp {v4}:{port}"),
        2 => format!("ssocks {v4}:{port}"),
        _ => format!("ipv4 {v4}:{port}"),
    }
}

fn volume(random: &mut Random, number: u32) -> Volume {
    Volume {
        number,
        minor: number + 10,
        disk: Some(format!("/dev/d{number}")),
        meta: meta(random, number),
        options: settings(random, SetupCommand::Attach),
    }
}

fn meta(random: &mut Random, number: u32) -> String {
    match random.below(4) {
        0 => format!("/dev/m{number} [{}]", random.below(3)),
        1 => format!("/dev/f{number}"),
        _ => "internal".to_owned(),
    }
}

fn settings(random: &mut Random, command: SetupCommand) -> Vec<(&'static OptionRow, String)> {
    let mut found: Vec<(&OptionRow, String)> = Vec::new();
    for _ in 0..random.below(4) {
        if let Some(setting) = setting(random, command)
            && found.iter().all(|(row, _)| row.name != setting.0.name)
        {
            found.push(setting);
        }
    }
    found
}

/// An option and a value; often its default.
fn setting(random: &mut Random, command: SetupCommand) -> Option<(&'static OptionRow, String)> {
    let rows: Vec<_> = of_command(command)
        .filter(|row| row.attribute.is_some() && row.section != Section::CommandLine)
        .filter(|row| !matches!(row.kind, Kind::MinorOfResource(_) | Kind::Address))
        .collect();
    let row = *random.choose(&rows);
    let value = value(random, row);
    // The genuine program takes these for a change though they say nothing: a known difference.
    let says_nothing = matches!(row.name, "size" | "max-bio-bvecs") && value == "0";
    (!says_nothing).then_some((row, value))
}

fn value(random: &mut Random, row: &OptionRow) -> String {
    if random.percent(25) {
        let default = row.default_text(drbd_options::Era::V84);
        if !default.is_empty() {
            return default;
        }
    }
    match row.kind {
        Kind::Flag | Kind::Bool { .. } => (*random.choose(&["yes", "no"])).to_owned(),
        Kind::Number(limits) | Kind::MinorOfResource(limits) => {
            let span = (limits.max - limits.min).min(5000) as usize + 1;
            let n = limits.min.max(0) + random.below(span) as i64;
            n.min(limits.max).to_string()
        }
        Kind::Enum(choice) => random.choose(choice.words).0.to_owned(),
        _ => (*random.choose(&["sha1", "\"x y\"", "3", "md5"])).to_owned(),
    }
}

/// Something that an administrator, or the engine itself, did to what runs.
fn change(random: &mut Random, model: &mut Model) {
    let at = random.below(model.volumes.len().max(1));
    match random.below(14) {
        0 => alter(random, &mut model.net, SetupCommand::NetOptions),
        1 => alter(random, &mut model.options, SetupCommand::ResourceOptions),
        2 | 3 if !model.volumes.is_empty() => {
            alter(random, &mut model.volumes[at].options, SetupCommand::Attach);
        }
        4 => model.mine = address(random, "127.0.0.1", "::1"),
        5 => model.peer = Some(address(random, "10.9.9.2", "fd00::2")),
        6 => model.peer = None,
        7 if !model.volumes.is_empty() => model.volumes[at].disk = None,
        8 if !model.volumes.is_empty() => model.volumes[at].disk = Some("/dev/other".to_owned()),
        9 if !model.volumes.is_empty() => model.volumes[at].meta = meta(random, 7),
        10 if !model.volumes.is_empty() => model.volumes[at].minor += 20,
        11 if !model.volumes.is_empty() => {
            model.volumes.remove(at);
        }
        // Of several the genuine program removes the first: a known difference.
        12 if model.volumes.iter().all(|v| v.number != 5) => {
            let more = volume(random, 5);
            model.volumes.push(more);
        }
        _ => model.net.clear(),
    }
}

fn alter(random: &mut Random, list: &mut Vec<(&'static OptionRow, String)>, command: SetupCommand) {
    if !list.is_empty() && random.percent(60) {
        let at = random.below(list.len());
        if random.percent(50) {
            list.remove(at);
        } else {
            match list[at].0.name {
                "size" | "max-bio-bvecs" => list[at].1 = "7".to_owned(),
                _ => list[at].1 = value(random, list[at].0),
            }
        }
    } else if let Some((row, value)) = setting(random, command)
        && list.iter().all(|(known, _)| known.name != row.name)
    {
        list.push((row, value));
    }
}

fn config(model: &Model) -> String {
    let mut text = String::from("resource r0 {\n");
    for (section, list) in [("options", &model.options), ("net", &model.net)] {
        let _ = writeln!(text, "{section} {{ {} }}", statements(list));
    }
    for volume in &model.volumes {
        let _ = writeln!(
            text,
            "volume {} {{ device minor {}; disk {}; meta-disk {}; }}",
            volume.number,
            volume.minor,
            volume.disk.as_deref().unwrap_or("/dev/none"),
            volume.meta
        );
    }
    let _ = writeln!(text, "on alpha {{ address {};", model.mine);
    for volume in &model.volumes {
        let disk = statements(&volume.options);
        let _ = writeln!(text, "volume {} {{ disk {{ {disk} }} }}", volume.number);
    }
    let peer = model.peer.as_deref().unwrap_or("ipv4 10.9.9.2:7000");
    let _ = writeln!(text, "}}\non beta {{ address {peer}; }}\n}}");
    text
}

fn statements(list: &[(&OptionRow, String)]) -> String {
    let statements = list
        .iter()
        .map(|(row, value)| format!("{} {value};", row.name));
    statements.collect::<Vec<_>>().join(" ")
}

/// As drbdsetup shows it: without connection there are neither addresses nor options of the net.
fn show(random: &mut Random, model: &Model) -> String {
    let mut text = format!(
        "resource r0 {{\n    options {{ {} }}\n",
        shown(random, &model.options)
    );
    if let Some(peer) = &model.peer {
        let net = shown(random, &model.net);
        let _ = writeln!(
            text,
            "    net {{ {net} }}\n    _remote_host {{ address {peer}; }}"
        );
    }
    text.push_str("    _this_host {\n");
    if model.peer.is_some() {
        let _ = writeln!(text, "        address {};", model.mine);
    }
    for volume in &model.volumes {
        let _ = writeln!(text, "        volume {} {{", volume.number);
        let _ = writeln!(text, "            device minor {};", volume.minor);
        if let Some(disk) = &volume.disk {
            let options = shown(random, &volume.options);
            let _ = writeln!(
                text,
                "            disk \"{disk}\";\n            meta-disk {};\n            disk {{ {options} }}",
                volume.meta
            );
        }
        text.push_str("        }\n");
    }
    text.push_str("    }\n}\n");
    text
}

/// Defaults are mostly not shown; words are quoted, numbers have their unit.
fn shown(random: &mut Random, list: &[(&OptionRow, String)]) -> String {
    let mut text = String::new();
    for (row, value) in list {
        let default = row.default_text(drbd_options::Era::V84);
        if *value == default && random.percent(80) {
            continue;
        }
        match row.kind {
            Kind::Number(limits) => {
                let unit = limits.scale.suffix();
                let _ = writeln!(text, "{} {value}{unit}; # {}", row.name, limits.unit);
            }
            Kind::Text { .. } if !value.starts_with('"') => {
                let _ = writeln!(text, "{} \"{value}\";", row.name);
            }
            _ => {
                let _ = writeln!(text, "{} {value};", row.name);
            }
        }
    }
    text
}
