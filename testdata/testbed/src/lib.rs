//! The test bed.
#![forbid(unsafe_code)]
