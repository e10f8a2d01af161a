//! The DRBD series that differ in syntax and output.

use std::{fmt, str::FromStr};

/// A DRBD series; the order is the order of release.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Era {
    /// 0.7.x
    V07,
    /// 8.0.x
    V80,
    /// 8.2.x
    V82,
    /// 8.3.x
    V83,
    /// 8.4.x
    V84,
}

impl Era {
    /// Every era, oldest first.
    pub const ALL: [Self; 5] = [Self::V07, Self::V80, Self::V82, Self::V83, Self::V84];

    /// The name that `--era` and `$DRBD_ERA` take.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V07 => "0.7",
            Self::V80 => "8.0",
            Self::V82 => "8.2",
            Self::V83 => "8.3",
            Self::V84 => "8.4",
        }
    }
}

impl fmt::Display for Era {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The text was not the name of an era.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnknownEra;

impl fmt::Display for UnknownEra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected one of 0.7, 8.0, 8.2, 8.3, 8.4")
    }
}

impl std::error::Error for UnknownEra {}

impl FromStr for Era {
    type Err = UnknownEra;

    fn from_str(text: &str) -> Result<Self, UnknownEra> {
        Self::ALL
            .into_iter()
            .find(|era| era.name() == text)
            .ok_or(UnknownEra)
    }
}
