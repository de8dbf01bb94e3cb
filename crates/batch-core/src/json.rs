//! Text in JSON, borrowed where nothing in it is escaped: serde makes a `String` of each `Cow` that it
//! is not told to borrow.

use std::borrow::Cow;

use serde::Deserialize;

/// A string.
#[derive(Deserialize)]
#[serde(transparent)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);
