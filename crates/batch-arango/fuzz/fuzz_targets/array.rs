//! Any bytes, read as the answer to an array.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| batch_arango::fuzzing::any_array(data));
