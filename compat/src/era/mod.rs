//! What differs between the series when something is printed.
//!
//! * [`text`] quotes.
//! * [`dump`] prints `drbdadm dump` of 8.4.
//! * [`old`] writes options in the words of 0.7 to 8.3, [`dump_old`] whole configurations.
//! * [`xml`] prints `drbdadm dump-xml` of 8.4, [`xml_old`] that of 8.0 to 8.3.

pub mod dump;
pub mod dump_old;
pub mod old;
pub mod text;
mod writer;
pub mod xml;
pub mod xml_old;
