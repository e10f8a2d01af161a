//! See `bodies/dump_text.rs`.
#![no_main]

#[path = "../bodies/dump_text.rs"]
mod dump_text;

libfuzzer_sys::fuzz_target!(|data: &[u8]| dump_text::read_write_read(data));
