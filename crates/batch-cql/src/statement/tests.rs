//! Native statements on a real server.

mod facts_on_server;
mod in_store;
