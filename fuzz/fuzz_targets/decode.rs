//! See `fuzz::packet`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: fuzz::begin(fuzz::seeds::frames), |input: &[u8]| fuzz::packet::check(input));
