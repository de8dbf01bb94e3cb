//! The bare driver: what makes tables, and reads back what is in the store behind its back.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use scylla::{
    client::{
        execution_profile::ExecutionProfile, session::Session, session_builder::SessionBuilder,
    },
    errors::TranslationError,
    policies::address_translator::{AddressTranslator, UntranslatedPeer},
    response::query_result::QueryResult,
    statement::{Consistency, Statement},
};

use crate::Result;

/// Every node is where the contact point is.
#[derive(Debug)]
struct At(SocketAddr);

#[async_trait]
#[expect(elided_lifetimes_in_paths, reason = "the trait is written so, and would not match else")]
impl AddressTranslator for At {
    async fn translate_address(
        &self,
        _: &UntranslatedPeer,
    ) -> Result<SocketAddr, TranslationError> {
        Ok(self.0)
    }
}

/// A session of the bare driver on one server, or with `translated` on a server that tells clients
/// an address where they cannot find it. Requests that take longer than 20 s fail.
///
/// # Errors
/// What stood in the way.
pub async fn connect(
    server: SocketAddr,
    login: Option<(&str, &str)>,
    translated: bool,
) -> Result<Session> {
    let profile = ExecutionProfile::builder()
        .consistency(Consistency::LocalQuorum)
        .request_timeout(Some(Duration::from_secs(20)))
        .build();
    let mut builder = SessionBuilder::new()
        .known_node_addr(server)
        .default_execution_profile_handle(profile.into_handle());
    if let Some((user, password)) = login {
        builder = builder.user(user, password);
    }
    if translated {
        builder = builder.address_translator(Arc::new(At(server)));
    }
    Ok(builder.build().await?)
}

/// Runs a statement without values.
///
/// # Errors
/// What the server said.
pub async fn execute(session: &Session, statement: impl Into<Statement>) -> Result<QueryResult> {
    Ok(session.query_unpaged(statement, ()).await?)
}
