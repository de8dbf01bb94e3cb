//! Planning: the way that each operation travels, what it may share a request with, and what keeps it in order.

pub(crate) mod fold;
pub(crate) mod guard;
pub(crate) mod key;
pub(crate) mod position;
pub(crate) mod route;
pub(crate) mod size;
pub(crate) mod way;
