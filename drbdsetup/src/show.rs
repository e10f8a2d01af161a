//! `show`: the configuration as text (spec 30 section 2.7).

use crate::command;
use drbd_control::{Message, MetaIndex, Setting, Settings};
use drbd_options::{Kind, OptionRow, Scale};
use std::fmt::{self, Write};

/// Which options are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Defaults {
    /// Those that differ from their default.
    Hidden,
    /// All.
    Shown,
}

/// Renders the answers to GET_STATUS.
pub fn show(messages: &[Message], defaults: Defaults) -> String {
    let mut out = Output {
        text: String::new(),
        level: 0,
        defaults,
    };
    // Writing to a String does not fail.
    let _ = out.all(messages);
    out.text
}

struct Output {
    text: String,
    level: usize,
    defaults: Defaults,
}

impl Output {
    fn all(&mut self, messages: &[Message]) -> fmt::Result {
        let mut current: Option<&str> = None;
        for message in messages {
            let name = message
                .context()
                .and_then(|context| context.resource.as_deref())
                .unwrap_or_default();
            if current != Some(name) {
                if current.is_some() {
                    self.close()?;
                    self.close()?;
                    writeln!(self.text)?;
                }
                current = Some(name);
                self.open(&format!("resource {name}"))?;
                self.resource(message)?;
                self.open("_this_host")?;
                self.address(message.context().and_then(|c| c.my_addr.as_ref()))?;
            }
            self.volume(message)?;
        }
        if current.is_some() {
            self.close()?;
            self.close()?;
        }
        Ok(())
    }

    fn line(&mut self, text: &str) -> fmt::Result {
        writeln!(self.text, "{:indent$}{text}", "", indent = self.level * 4)
    }

    fn open(&mut self, name: &str) -> fmt::Result {
        self.line(&format!("{name} {{"))?;
        self.level += 1;
        Ok(())
    }

    fn close(&mut self) -> fmt::Result {
        self.level -= 1;
        self.line("}")
    }

    fn resource(&mut self, message: &Message) -> fmt::Result {
        if let Some(settings) = message.resource_opts() {
            self.section("options", "new-resource", settings)?;
        }
        if let Some(settings) = message.net_conf() {
            self.section("net", "connect", settings)?;
        }
        let peer = message.context().and_then(|c| c.peer_addr.as_ref());
        if peer.is_some() {
            self.open("_remote_host")?;
            self.address(peer)?;
            self.close()?;
        }
        Ok(())
    }

    fn address(&mut self, address: Option<&drbd_control::Endpoint>) -> fmt::Result {
        match address {
            Some(address) => self.line(&format!("address\t\t\t{address};")),
            None => Ok(()),
        }
    }

    fn volume(&mut self, message: &Message) -> fmt::Result {
        let Some(volume) = message.context().and_then(|context| context.volume) else {
            return Ok(());
        };
        self.open(&format!("volume {volume}"))?;
        if let Some(minor) = message.minor {
            self.line(&format!("device\t\t\tminor {minor};"))?;
        }
        if let Some(conf) = message.disk_conf() {
            if !conf.backing_dev.is_empty() {
                self.line(&format!("disk\t\t\t{};", quoted(&conf.backing_dev)))?;
                let place = match conf.meta_index {
                    index if index.is_internal() => "internal".to_owned(),
                    MetaIndex::FLEXIBLE => quoted(&conf.meta_dev),
                    MetaIndex(index) => format!("{} [ {index} ]", quoted(&conf.meta_dev)),
                };
                self.line(&format!("meta-disk\t\t\t{place};"))?;
            }
            self.section("disk", "attach", &conf.settings)?;
        }
        self.close()
    }

    /// The options of a set in the order of the command that creates it.
    fn section(&mut self, name: &str, creator: &str, settings: &Settings) -> fmt::Result {
        if settings.is_empty() {
            return Ok(());
        }
        self.open(name)?;
        let rows = command::find(creator).map(command::Command::option_rows);
        for row in rows.unwrap_or_default() {
            // Flags are about the moment of the command, not about the configuration.
            if row.kind == Kind::Flag {
                continue;
            }
            let given = settings.iter().find(|(r, _)| r.attribute == row.attribute);
            let Some((_, value)) = given else {
                continue;
            };
            let is_default = *value == Setting::default_of(row);
            if !is_default || self.defaults == Defaults::Shown {
                let comment = comment(row, is_default);
                let value = value_text(row, value);
                self.line(&format!("{:<16}\t{value};{comment}", row.name))?;
            }
        }
        self.close()
    }
}

fn comment(row: &OptionRow, is_default: bool) -> String {
    let unit = match row.kind {
        Kind::Number(n) | Kind::MinorOfResource(n) => n.unit,
        _ => "",
    };
    match (unit, is_default) {
        ("", false) => String::new(),
        ("", true) => " # default".to_owned(),
        (unit, false) => format!(" # {unit}"),
        (unit, true) => format!(" # {unit}, default"),
    }
}

fn value_text(row: &OptionRow, value: &Setting) -> String {
    match (row.kind, value) {
        (_, Setting::Switch(on)) => if *on { "yes" } else { "no" }.to_owned(),
        (Kind::Enum(choice), Setting::Number(code)) => u32::try_from(*code)
            .ok()
            .and_then(|code| choice.word(code))
            .unwrap_or("(null)")
            .to_owned(),
        (Kind::MinorOfResource(_), Setting::Number(n)) => {
            let [a, b, c, d, ..] = n.to_le_bytes();
            i32::from_le_bytes([a, b, c, d]).to_string()
        }
        (Kind::Number(number), Setting::Number(n)) => {
            let suffix = match number.scale {
                Scale::One => "",
                scale => scale.suffix(),
            };
            format!("{n}{suffix}")
        }
        (_, Setting::Number(n)) => n.to_string(),
        (_, Setting::Text(text)) => quoted(text),
        (_, Setting::Address(bytes)) => drbd_control::Endpoint::from_bytes(bytes)
            .map(|endpoint| endpoint.to_string())
            .unwrap_or_default(),
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}
