//! The demonstration on one machine: two hosts, one mirror.
#![forbid(unsafe_code)]
