//! See `bodies/superblock.rs`.
#![no_main]

#[path = "../bodies/superblock.rs"]
mod superblock;

libfuzzer_sys::fuzz_target!(|data: &[u8]| superblock::parse_judge_encode(data));
