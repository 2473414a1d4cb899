//! See `fuzz::recording`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: fuzz::begin(fuzz::seeds::events), |input: &[u8]| fuzz::recording::check(input));
