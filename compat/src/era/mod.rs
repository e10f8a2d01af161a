//! What differs between the series when something is printed.
//!
//! * [`text`] quotes.
//! * [`dump`] prints `drbdadm dump` of 8.4.
//! * [`xml`] prints `drbdadm dump-xml` of 8.4.

pub mod dump;
pub mod text;
pub mod xml;
