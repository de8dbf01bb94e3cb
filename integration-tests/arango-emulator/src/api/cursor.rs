//! `/_api/cursor`

use std::collections::BTreeMap;

use super::wrong_method;
use crate::{reply::Answer, request::Request, state::State};

/// Cursors that have more to give.
#[derive(Debug, Default)]
pub(crate) struct Cursors {
    all: BTreeMap<u64, ()>,
}

pub(crate) fn handle(_state: &mut State, _request: &Request, _rest: &[&str]) -> Answer {
    wrong_method()
}
