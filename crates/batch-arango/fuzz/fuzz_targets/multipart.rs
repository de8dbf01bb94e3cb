//! Any bytes, read as a multipart answer.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| batch_arango::fuzzing::any_multipart(data));
