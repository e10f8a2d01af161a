#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod state_rules;
pub mod time;
pub mod uuid_rules;
