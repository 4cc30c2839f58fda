#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| defender_feed::fuzzing::origin(data));
