//! The suites that need more than one crate: the contract's cases on every store, in `tests`.
