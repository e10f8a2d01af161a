//! See `bodies/activity_log.rs`.
#![no_main]

#[path = "../bodies/activity_log.rs"]
mod activity_log;

libfuzzer_sys::fuzz_target!(|data: &[u8]| activity_log::replay_all(data));
