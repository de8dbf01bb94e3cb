//! Native statements: what their text says, what the server says of them, and their values as bytes.

mod cells;
mod checks;
#[cfg(test)]
mod in_store;
mod lexer;
mod parser;
mod prepared;
#[cfg(test)]
mod server;
mod text;
mod typed;
mod values;

pub(crate) use cells::{Cells, WireRow};
pub(crate) use prepared::Prepared;
pub(crate) use text::{Kind, Text};
pub use typed::CqlStatement;
pub(crate) use typed::Typed;
pub(crate) use values::encode_values;
