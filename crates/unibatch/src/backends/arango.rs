//! What a URL says, as settings of an ArangoDB store.

use batch_arango::{ArangoBuilder, ArangoStore, Auth};
use batch_core::Result;
#[cfg(not(feature = "tls"))]
use batch_core::{Error, ErrorKind};

use crate::{Scheme, StoreUrl};

/// The settings of a URL's store.
pub(super) fn builder(url: &StoreUrl) -> Result<ArangoBuilder> {
    let parameters = url.parameters();
    let protocol = if url.scheme() == Scheme::Arango { "http" } else { "https" };
    let mut builder = ArangoStore::builder()
        .servers(url.hosts().iter().map(|host| format!("{protocol}://{host}")))
        .options(parameters.store_options())
        .http2(parameters.protocol == Some("http2"))
        .compression(parameters.compression.is_some())
        .accept_sharded_transactions(parameters.sharded_transactions.is_some());
    if let Some(database) = url.path() {
        builder = builder.database(database);
    }
    if let Some(user) = url.user() {
        builder = builder.credentials(user, url.password().unwrap_or_default());
    }
    if parameters.auth == Some("jwt") {
        builder = builder.auth(Auth::Jwt);
    }
    if url.scheme() == Scheme::ArangoHttps { with_tls(url, builder) } else { Ok(builder) }
}

#[cfg(feature = "tls")]
#[expect(clippy::unnecessary_wraps, reason = "a build without TLS refuses")]
fn with_tls(url: &StoreUrl, builder: ArangoBuilder) -> Result<ArangoBuilder> {
    Ok(match &url.parameters().tls_ca {
        Some(path) => builder.tls_with_ca_file(path),
        None => builder,
    })
}

#[cfg(not(feature = "tls"))]
fn with_tls(_url: &StoreUrl, _builder: ArangoBuilder) -> Result<ArangoBuilder> {
    Err(Error::new(
        ErrorKind::Unsupported,
        "this build cannot open an `arango+https` store; build it with the feature `tls` of `unibatch`",
    ))
}
