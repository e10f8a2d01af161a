//! Numbers of the command line, as the C library reads them.

use super::console::{FAILED_USE, Failure};

/// As the C function: leading blanks, a sign, the prefix of hexadecimal numbers, as many digits as
/// there are. Radix 0 takes the radix from the prefix: `0x`, `0` or none. The value (`None` when it
/// exceeds 64 bits) and what follows the digits.
pub fn strtoull(text: &str, radix: u32) -> (Option<u64>, &str) {
    let trimmed = text.trim_start();
    let (negative, trimmed) = match trimmed.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, trimmed.strip_prefix('+').unwrap_or(trimmed)),
    };
    let hexadecimal = trimmed
        .strip_prefix("0x")
        .or(trimmed.strip_prefix("0X"))
        .filter(|rest| rest.starts_with(|c: char| c.is_ascii_hexdigit()));
    let (radix, digits) = match (radix, hexadecimal) {
        (0 | 16, Some(digits)) => (16, digits),
        (0, None) if trimmed.starts_with('0') => (8, trimmed),
        (0, None) => (10, trimmed),
        _ => (radix, trimmed),
    };
    let end = digits
        .find(|c: char| !c.is_digit(radix))
        .unwrap_or(digits.len());
    if end == 0 {
        return (Some(0), text);
    }
    let rest = &digits[end..];
    let value = u64::from_str_radix(&digits[..end], radix).ok();
    (
        value.map(|v| if negative { v.wrapping_neg() } else { v }),
        rest,
    )
}

/// What a number without a unit letter counts, and what the result counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// Pieces, bytes.
    One = 0,
    /// KiB.
    Kibi = 10,
}

/// A decimal number and perhaps a unit letter, in the given unit. A letter for less than the unit
/// rounds up. Too many digits count as the largest number, which no option accepts.
pub fn with_unit(text: &str, unit: Unit) -> Result<u64, Failure> {
    let invalid = || Failure::new(FAILED_USE, format_args!("{text} is not a valid number"));
    let Some((at, last)) = text.char_indices().last() else {
        return Err(Failure::new(100, "missing number argument"));
    };
    let own = unit as i32;
    let (number, exponent) = match last {
        '0'..='9' => (text, own),
        's' => (&text[..at], 9),
        'k' | 'K' => (&text[..at], 10),
        'm' | 'M' => (&text[..at], 20),
        'g' | 'G' => (&text[..at], 30),
        _ => return Err(invalid()),
    };
    let value = match strtoull(number, 10) {
        _ if number.is_empty() => return Err(invalid()),
        (value, "") => value.unwrap_or(u64::MAX),
        _ => return Err(invalid()),
    };
    let shift = exponent - own;
    if shift < 0 {
        return Ok(value.div_ceil(1 << -shift));
    }
    value
        .checked_mul(1 << shift)
        .ok_or_else(|| Failure::new(FAILED_USE, format_args!("{text}: out of range")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_by_the_genuine_program() {
        // Captured from 9.22.
        for (text, unit, value) in [
            ("4k", Unit::One, 4096),
            ("2s", Unit::One, 1024),
            (" +4", Unit::One, 4),
            ("-0", Unit::One, 0),
            ("-18446744073709551615", Unit::One, 1),
            ("-1", Unit::One, u64::MAX),
            ("18446744073709551616", Unit::One, u64::MAX),
            ("18014398509481983k", Unit::One, u64::MAX - 1023),
            ("32", Unit::Kibi, 32),
            ("63s", Unit::Kibi, 32),
            ("62s", Unit::Kibi, 31),
            ("1m", Unit::Kibi, 1024),
            ("18446744073709551615", Unit::Kibi, u64::MAX),
        ] {
            assert_eq!(with_unit(text, unit), Ok(value), "{text}");
        }
        for (text, unit, status, complaint) in [
            ("", Unit::One, 100, "missing number argument"),
            ("k", Unit::One, 20, "k is not a valid number"),
            ("4 ", Unit::One, 20, "4  is not a valid number"),
            ("0x10", Unit::One, 20, "0x10 is not a valid number"),
            ("1kk", Unit::One, 20, "1kk is not a valid number"),
            ("-4k", Unit::One, 20, "-4k: out of range"),
            (
                "18014398509481984k",
                Unit::One,
                20,
                "18014398509481984k: out of range",
            ),
            (
                "17592186044416g",
                Unit::Kibi,
                20,
                "17592186044416g: out of range",
            ),
        ] {
            let failure = Failure::new(status, complaint);
            assert_eq!(with_unit(text, unit), Err(failure), "{text:?}");
        }
    }
}
