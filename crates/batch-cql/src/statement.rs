//! Native statements: what their text says, what the server says of them, and their values as bytes.

mod cache;
mod cells;
mod checks;
mod facts;
mod lexer;
mod native;
mod parser;
#[cfg(test)]
mod tests;
mod text;
mod typed;
mod values;

pub(crate) use cache::{StatementCache, as_json, as_typed};
pub(crate) use cells::{Cells, WireRow};
pub(crate) use facts::Facts;
pub(crate) use native::Native;
pub(crate) use text::{Kind, Text};
pub use typed::CqlStatement;
pub(crate) use typed::Typed;
pub(crate) use values::encode_values;
