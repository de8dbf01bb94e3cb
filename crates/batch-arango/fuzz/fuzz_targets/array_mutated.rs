//! An array's answer whose elements are known, damaged.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| batch_arango::fuzzing::mutated_array(data));
