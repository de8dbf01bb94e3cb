//! Native statements: what their text says, what the server says of them, and their values as bytes.

mod cache;
mod cells;
mod checks;
mod lexer;
mod native;
mod parser;
mod prepared;
#[cfg(test)]
mod tests;
mod text;
mod typed;
mod values;

pub(crate) use cache::{StatementCache, as_json, as_typed};
pub(crate) use cells::{Cells, WireRow};
pub(crate) use native::Native;
pub(crate) use prepared::Prepared;
pub(crate) use text::{Kind, Text};
pub use typed::CqlStatement;
pub(crate) use typed::Typed;
pub(crate) use values::encode_values;
