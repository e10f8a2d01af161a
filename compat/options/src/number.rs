//! Numbers with units, converted and range-checked as the genuine tools do it
//! (spec 10 section 2.1, spec 30 section 2.2).

use std::fmt;

/// The unit in which an option counts, and of a number written without a suffix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scale {
    /// Plain numbers: seconds, tenths of seconds, bytes, counts.
    One,
    /// KiB.
    Kib,
    /// Sectors of 512 bytes.
    Sectors,
}

impl Scale {
    /// The suffix that `show` and range messages print.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::One => "",
            Self::Kib => "k",
            Self::Sectors => "s",
        }
    }

    const fn bits(self) -> u32 {
        match self {
            Self::One => 0,
            Self::Kib => 10,
            Self::Sectors => 9,
        }
    }

    /// Converts `text` to this scale. A suffix of another size is converted, rounding up; a
    /// leading `-` wraps to 2^64 - n; digits that exceed 64 bits count as 2^64 - 1.
    pub fn parse(self, text: &str) -> Result<u64, NumberError> {
        if text.is_empty() {
            return Err(NumberError::Missing);
        }
        let invalid = || NumberError::Invalid(text.to_owned());
        let body = text.trim_start_matches(|c: char| c == ' ' || ('\t'..='\r').contains(&c));
        let (negative, body) = match body.as_bytes().first() {
            Some(b'-') => (true, &body[1..]),
            Some(b'+') => (false, &body[1..]),
            _ => (false, body),
        };
        let end = body
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(body.len());
        if end == 0 {
            return Err(invalid());
        }
        // Only overflow can fail here: everything before `end` is a digit.
        let (magnitude, overflowed) = match body[..end].parse::<u64>() {
            Ok(n) => (n, false),
            Err(_) => (u64::MAX, true),
        };
        let value = if negative && !overflowed {
            magnitude.wrapping_neg()
        } else {
            magnitude
        };
        let unit_bits = match &body[end..] {
            "" => self.bits(),
            "k" | "K" => 10,
            "m" | "M" => 20,
            "g" | "G" => 30,
            "s" => 9,
            _ => return Err(invalid()),
        };
        if let Some(up) = unit_bits.checked_sub(self.bits()) {
            if value.leading_zeros() < up {
                return Err(NumberError::Overflow(text.to_owned()));
            }
            Ok(value << up)
        } else {
            let down = self.bits() - unit_bits;
            Ok((value >> down) + u64::from(value & ((1 << down) - 1) != 0))
        }
    }
}

/// The text could not be converted at all; the messages are the genuine ones.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NumberError {
    /// Empty text.
    Missing,
    /// No digits, or something behind them that is no unit.
    Invalid(String),
    /// Does not fit 64 bits after scaling.
    Overflow(String),
}

impl NumberError {
    /// Exit status of the tool that meets this error.
    pub const fn exit_status(&self) -> u8 {
        match self {
            Self::Missing => 100,
            Self::Invalid(_) | Self::Overflow(_) => 20,
        }
    }
}

impl fmt::Display for NumberError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("missing number argument"),
            Self::Invalid(text) => write!(f, "{text} is not a valid number"),
            Self::Overflow(text) => write!(f, "{text}: out of range"),
        }
    }
}

impl std::error::Error for NumberError {}

/// What a numeric option allows, in its own scale.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Number {
    /// Unit of a bare number, and of `min`, `max` and `default`.
    pub scale: Scale,
    /// Smallest value; negative only for minors, where -1 means none.
    pub min: i64,
    /// Largest value.
    pub max: i64,
    /// The value when the option is absent.
    pub default: i64,
    /// What the number counts, as `show` and help name it (`bytes/second`); may be empty.
    pub unit: &'static str,
}

impl Number {
    /// Converts and checks a value; `name` is only used for the message.
    pub fn check(&self, name: &str, text: &str) -> Result<u64, RangeError> {
        let value = self.scale.parse(text).map_err(RangeError::Number)?;
        let inside = i64::try_from(value).is_ok_and(|v| v >= self.min.max(0) && v <= self.max);
        if inside {
            return Ok(value);
        }
        Err(RangeError::OutOfRange {
            name: name.to_owned(),
            text: text.to_owned(),
            value,
            limits: *self,
        })
    }
}

/// A number was refused; the text is the genuine one, without position.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RangeError {
    /// Not a number.
    Number(NumberError),
    /// A number outside the limits.
    OutOfRange {
        /// The option.
        name: String,
        /// The value as written.
        text: String,
        /// The value in the option's scale.
        value: u64,
        /// The limits that it breaks.
        limits: Number,
    },
}

impl fmt::Display for RangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(error) => error.fmt(f),
            Self::OutOfRange {
                name,
                text,
                value,
                limits,
            } => {
                let unit = limits.scale.suffix();
                let Number { min, max, .. } = limits;
                write!(
                    f,
                    "{name} {text} => {value}{unit} out of range [{min}..{max}]{unit}."
                )
            }
        }
    }
}

impl std::error::Error for RangeError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn invalid(text: &str) -> Result<u64, NumberError> {
        Err(NumberError::Invalid(text.to_owned()))
    }

    /// Spec 10 section 2.1.
    #[test]
    fn units_scale_to_the_unit_of_the_option_and_round_up() {
        assert_eq!(Scale::Kib.parse("1s"), Ok(1));
        assert_eq!(Scale::Kib.parse("4M"), Ok(4096));
        assert_eq!(Scale::Kib.parse("4096k"), Ok(4096));
        assert_eq!(Scale::Sectors.parse("11G"), Ok(23_068_672));
        assert_eq!(
            Scale::Sectors.parse("4000000000G"),
            Ok(8_388_608_000_000_000)
        );
        assert_eq!(Scale::One.parse("1G"), Ok(1_073_741_824));
        assert_eq!(Scale::One.parse("010"), Ok(10));
        assert_eq!(Scale::One.parse("-1"), Ok(u64::MAX));
        assert_eq!(Scale::One.parse("99999999999999999999"), Ok(u64::MAX));
    }

    #[test]
    fn what_is_no_number_is_refused_with_the_genuine_text() {
        for text in ["5x", "128kb", "1T", "1Q", "k", "-", "1 "] {
            assert_eq!(Scale::One.parse(text), invalid(text));
        }
        assert_eq!(Scale::One.parse(""), Err(NumberError::Missing));
        assert_eq!(
            Scale::One.parse("20000000000G").unwrap_err().to_string(),
            "20000000000G: out of range"
        );
        assert!(
            Scale::Kib.parse("-1s").is_ok(),
            "scaled down, only a range error"
        );
    }

    #[test]
    fn a_number_outside_its_limits_is_reported_as_the_genuine_parser_does() {
        let limits = Number {
            scale: Scale::Sectors,
            min: 0,
            max: 20_971_520,
            default: 0,
            unit: "bytes",
        };
        assert_eq!(
            limits
                .check("congestion-fill", "11G")
                .unwrap_err()
                .to_string(),
            "congestion-fill 11G => 23068672s out of range [0..20971520]s."
        );
        assert_eq!(limits.check("congestion-fill", "20971520"), Ok(20_971_520));
    }
}
