#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod handshake;
pub mod split_brain;
pub mod state_rules;
pub mod time;
pub mod uuid_rules;
