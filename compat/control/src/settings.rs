//! Values of options, in the sets in which they travel.

use crate::schema::{self, Nest, Width};
use crate::tlv::{AttrFlags, Attrs, Writer};
use crate::value::Payload;
use drbd_options::{Kind, OptionRow};
use drbd_types::Minor;
use std::fmt;
use thiserror::Error;

/// The value of one option, in the option's own unit.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub enum Setting {
    /// Of a flag or a boolean.
    Switch(bool),
    /// Of a number, or the code of an enumeration's word. -1 is 0xffffffff.
    Number(u64),
    /// Of a text.
    Text(String),
    /// Of an address: raw bytes.
    Address(Vec<u8>),
}

impl Setting {
    /// The value that counts when the option is absent.
    pub fn default_of(row: &OptionRow) -> Self {
        match row.kind {
            Kind::Flag => Self::Switch(false),
            Kind::Bool { default } => Self::Switch(default),
            // Negative defaults exist only for minors, where -1 means none.
            Kind::Number(number) | Kind::MinorOfResource(number) => {
                Self::Number(u64::try_from(number.default).unwrap_or(NO_MINOR))
            }
            Kind::Enum(choice) => Self::Number(u64::from(
                choice.words.get(choice.default).map_or(0, |w| w.1),
            )),
            Kind::Text { .. } | Kind::Words => Self::Text(String::new()),
            Kind::Address => Self::Address(Vec::new()),
        }
    }

    /// A number that does not fit its attribute keeps its low bits, as in the genuine client.
    fn write(&self, width: Width, out: &mut Vec<u8>) {
        match (self, width) {
            (Self::Number(n), Width::U64) => n.write(out),
            (Self::Number(n), _) => out.extend_from_slice(&low_half(*n).to_ne_bytes()),
            (Self::Switch(on), _) => on.write(out),
            (Self::Text(text), _) => text.write(out),
            (Self::Address(bytes), _) => out.extend_from_slice(bytes),
        }
    }

    fn parse(width: Width, payload: &[u8]) -> Option<Self> {
        let text_length = payload.iter().position(|b| *b == 0);
        match width {
            Width::U8 => bool::parse(payload).map(Self::Switch),
            Width::U32 => u32::parse(payload).map(|n| Self::Number(u64::from(n))),
            Width::U64 => u64::parse(payload).map(Self::Number),
            Width::Text(max) if text_length.unwrap_or(payload.len()) > max => None,
            Width::Text(_) => String::parse(payload).map(Self::Text),
            Width::Bytes(max) => (payload.len() <= max).then(|| Self::Address(payload.to_vec())),
        }
    }
}

/// The number of "no minor" in `resync-after`.
pub const NO_MINOR: u64 = u32::MAX as u64;

/// The low 32 bits.
fn low_half(n: u64) -> u32 {
    let [a, b, c, d, ..] = n.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// What a change does to the options that it does not mention.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub enum Unmentioned {
    /// They stay.
    #[default]
    Keep,
    /// They get their default first (`--set-defaults`), invariant ones excepted.
    Reset,
}

/// Some or all options of one set.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    nest: Nest,
    values: Vec<(&'static OptionRow, Setting)>,
}

impl Settings {
    /// No option yet.
    pub const fn new(nest: Nest) -> Self {
        Self {
            nest,
            values: Vec::new(),
        }
    }

    /// Every option of the set with its default, in the order in which the kernel sends them.
    /// Options that the kernel never reports (addresses) are left out.
    pub fn defaults(nest: Nest) -> Self {
        let values = schema::options_of(nest)
            .into_iter()
            .filter(|row| row.kind != Kind::Address)
            .map(|row| (row, Setting::default_of(row)))
            .collect();
        Self { nest, values }
    }

    /// The set.
    pub const fn nest(&self) -> Nest {
        self.nest
    }

    /// Sets an option; a value set before is replaced in its place.
    pub fn set(&mut self, row: &'static OptionRow, value: Setting) {
        match self
            .values
            .iter_mut()
            .find(|(r, _)| r.attribute == row.attribute)
        {
            Some((_, old)) => *old = value,
            None => self.values.push((row, value)),
        }
    }

    /// The given options in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static OptionRow, &Setting)> {
        self.values.iter().map(|(row, value)| (*row, value))
    }

    /// Whether nothing is given.
    pub const fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The value given for an option.
    pub fn given(&self, name: &str) -> Option<&Setting> {
        self.values
            .iter()
            .find(|(row, _)| row.name == name)
            .map(|(_, value)| value)
    }

    /// The value given for an option, or its default; `None` if the set has no such option.
    pub fn value(&self, name: &str) -> Option<Setting> {
        if let Some(given) = self.given(name) {
            return Some(given.clone());
        }
        schema::options_of(self.nest)
            .into_iter()
            .find(|row| row.name == name)
            .map(Setting::default_of)
    }

    /// The value or default of a number or enumeration (its code).
    pub fn number(&self, name: &str) -> Option<u64> {
        match self.value(name)? {
            Setting::Number(n) => Some(n),
            _ => None,
        }
    }

    /// The value or default of a flag or boolean.
    pub fn switch(&self, name: &str) -> Option<bool> {
        match self.value(name)? {
            Setting::Switch(on) => Some(on),
            _ => None,
        }
    }

    /// The value or default of a text.
    pub fn text(&self, name: &str) -> Option<String> {
        match self.value(name)? {
            Setting::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The minor that an option names; `None` if it names none.
    pub fn minor(&self, name: &str) -> Option<Minor> {
        let number = self.number(name)?;
        // -1 is "none"; more negative numbers are refused by whoever applies them.
        (number != NO_MINOR).then(|| Minor(low_half(number)))
    }

    /// Applies the options of a change request.
    pub fn apply(&mut self, change: &Self, unmentioned: Unmentioned) {
        if unmentioned == Unmentioned::Reset {
            for (row, value) in &mut self.values {
                if !schema::is_invariant(row) {
                    *value = Setting::default_of(row);
                }
            }
        }
        for (row, value) in &change.values {
            self.set(row, value.clone());
        }
    }

    /// Leaves out what only the administrator may see.
    #[must_use]
    pub fn without_secrets(mut self) -> Self {
        self.values
            .retain(|(row, _)| !matches!(row.kind, Kind::Text { secret: true, .. }));
        self
    }

    /// Appends the attributes, without the frame of the set.
    pub(crate) fn write(&self, direction: Direction, writer: &mut Writer<'_>) {
        let mut payload = Vec::new();
        for (row, value) in &self.values {
            let Some(attribute) = row.attribute else {
                continue;
            };
            payload.clear();
            value.write(schema::width(row), &mut payload);
            let flags = direction.flags(self.nest, attribute.number);
            writer.put(attribute.number, flags, &payload);
        }
    }

    /// Reads the attributes of a set; those that are no options are passed to `other`, which
    /// says whether it knows them.
    pub(crate) fn parse(
        nest: Nest,
        list: &[u8],
        mut other: impl FnMut(u16, &[u8]) -> Result<(), ParamError>,
    ) -> Result<Self, ParamError> {
        let max = schema::max_number(nest);
        let mut settings = Self::new(nest);
        for attr in Attrs::new(list) {
            let attr = attr.map_err(|_| ParamError::Invalid)?;
            if attr.number > max && attr.flags.contains(AttrFlags::MANDATORY) {
                return Err(ParamError::UnknownMandatory);
            }
            match schema::option(nest, attr.number) {
                Some(row) => {
                    let value = Setting::parse(schema::width(row), attr.payload);
                    settings.set(row, value.ok_or(ParamError::Invalid)?);
                }
                None => other(attr.number, attr.payload)?,
            }
        }
        Ok(settings)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (row, value) in &self.values {
            match row.kind {
                Kind::Text { secret: true, .. } => map.entry(&row.name, &"(secret)"),
                _ => map.entry(&row.name, value),
            };
        }
        map.finish()
    }
}

/// Who writes a message: the two sides set the flag bits of attributes differently.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    /// Client to engine.
    Request,
    /// Engine to client.
    Answer,
}

impl Direction {
    /// Flags of an attribute inside a set.
    pub(crate) fn flags(self, nest: Nest, number: u16) -> AttrFlags {
        let marked = self == Self::Request || nest.is_marked_mandatory();
        if marked && schema::is_mandatory(nest, number) {
            AttrFlags::MANDATORY
        } else {
            AttrFlags::empty()
        }
    }

    /// Flags of a set.
    pub(crate) fn nest_flags(self, nest: Nest) -> AttrFlags {
        if self == Self::Request || nest.is_marked_nested() {
            AttrFlags::NESTED
        } else {
            AttrFlags::empty()
        }
    }
}

/// The parameters of a request are not acceptable: return code 126 and this text as info.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ParamError {
    /// Something is missing.
    #[error("required attribute missing")]
    Missing,
    /// Something is mandatory and unknown.
    #[error("unknown mandatory attribute")]
    UnknownMandatory,
    /// Something cannot be changed any more.
    #[error("can not change invariant setting")]
    Invariant,
    /// Something is too short, too long or not well formed.
    #[error("invalid attribute value")]
    Invalid,
}
