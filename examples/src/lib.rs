//! Compiles and runs the code of the README. The examples are the programs beside `src`.

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
