//! See `bodies/include.rs`.
#![no_main]

#[path = "../bodies/include.rs"]
mod include;

libfuzzer_sys::fuzz_target!(|data: &[u8]| include::read_all(data));
