//! See `fuzz::rows`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: fuzz::begin(fuzz::seeds::rows), |input: &[u8]| fuzz::rows::check(input));
