//! See `fuzz::walk`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: fuzz::begin(fuzz::seeds::captures), |input: &[u8]| fuzz::walk::check(input));
