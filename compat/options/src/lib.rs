//! The option registry: every option of every DRBD series, one row each.
//!
//! * [`era`]: the five series whose spellings and limits differ.
//! * [`number`]: numbers with units, and how the tools convert and check them.
//! * [`row`]: what a row says (name, section, kind, limits, older spellings, control attribute).
//! * [`table`]: the rows.
//! * [`lookup`]: finding rows by name, section, era or `drbdsetup` command.
//! * [`manual`]: rows as entries of manual pages.
//!
//! Parser, range check, dump, dry-run command lines, `drbdsetup` option parsing and `show`, help,
//! man page tables and completion all read these rows; nothing else in the project lists options.
//! The crate is data and pure functions; it opens nothing.
//!
//! Sources: spec 10 section 4, spec 30 sections 2.3, 2.4, 4.3 and 7.2.
#![forbid(unsafe_code)]

pub mod era;
pub mod lookup;
pub mod manual;
pub mod number;
pub mod row;
pub mod table;

pub use era::Era;
pub use lookup::{Match, by_name, find, of_command, of_section};
pub use number::{Number, NumberError, RangeError, Scale};
pub use row::{
    Attribute, Check, Choice, Form, Kind, Nest, OptionRow, Section, SetupCommand, Spelling,
};
pub use table::ALL;
