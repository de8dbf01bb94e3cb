//! From a URL to a store: the one place that knows all backends.

use std::{env, sync::Arc};

use batch_core::{Error, ErrorKind, Result, Store};

#[cfg(any(feature = "memory", feature = "arango", feature = "cql"))]
use crate::Scheme;
use crate::StoreUrl;

/// The environment variable that holds the password of a URL without one.
const PASSWORD: &str = "UNIBATCH_PASSWORD";

/// Connects to the store that a URL names. [`StoreUrl`] has the forms.
///
/// A password that the URL does not give is taken from the environment variable
/// `UNIBATCH_PASSWORD`, if it is set.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let store = unibatch::connect("memory:?timeout=3s").await?;
/// assert_eq!(store.name(), "memory");
/// # Ok::<(), unibatch::Error>(())
/// # }).unwrap();
/// ```
///
/// # Errors
/// As [`StoreUrl::parse`] and [`StoreUrl::connect`].
pub async fn connect(url: &str) -> Result<Arc<dyn Store>> {
    StoreUrl::parse(url)?.connect().await
}

impl StoreUrl {
    /// Connects to the store, as [`connect`] does.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported), naming the feature, if the backend's feature is
    /// off; what stood in the way of the connection.
    pub async fn connect(&self) -> Result<Arc<dyn Store>> {
        if self.user().is_none() || self.password().is_some() {
            // Whatever the environment holds, it is not for this URL.
            return open(self).await;
        }
        let password = match env::var(PASSWORD) {
            Ok(password) => Some(password),
            Err(env::VarError::NotPresent) => None,
            // The variable's own error would print the value.
            Err(env::VarError::NotUnicode(_)) => {
                return Err(Error::new(
                    ErrorKind::InvalidOperation,
                    "the environment variable UNIBATCH_PASSWORD is not UTF-8; set it anew",
                ));
            }
        };
        open(&self.clone().or_password(password)).await
    }
}

/// The one `match` over backends.
#[cfg_attr(
    not(any(feature = "arango", feature = "cql")),
    expect(clippy::unused_async, reason = "only servers are connected to")
)]
async fn open(url: &StoreUrl) -> Result<Arc<dyn Store>> {
    match url.scheme() {
        #[cfg(feature = "memory")]
        Scheme::Memory => Ok(Arc::new(
            batch_memory::MemoryStore::builder().options(url.parameters().store_options()).build(),
        )),
        #[cfg(feature = "arango")]
        Scheme::Arango | Scheme::ArangoHttps => {
            Ok(Arc::new(arango::builder(url)?.connect().await?))
        }
        #[cfg(feature = "cql")]
        Scheme::Cql | Scheme::CqlTls => Ok(Arc::new(cql::builder(url)?.connect().await?)),
        #[cfg(not(all(feature = "memory", feature = "arango", feature = "cql")))]
        scheme => {
            let feature = scheme.feature();
            Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "this build cannot open a `{scheme}` store; build it with the feature `{feature}` of `unibatch`"
                ),
            ))
        }
    }
}

#[cfg(feature = "arango")]
mod arango;
#[cfg(feature = "cql")]
mod cql;

#[cfg(test)]
mod tests {
    use super::*;

    async fn refusal(url: &str) -> Error {
        connect(url).await.expect_err("no such store can be opened")
    }

    #[cfg(feature = "memory")]
    #[tokio::test]
    async fn a_memory_url_opens_an_empty_store_with_its_own_documents() {
        use batch_core::{BatchExt as _, BatchOptions, Operation, StoreExt as _};

        let [one, other] = [connect("memory:").await.unwrap(), connect("memory:").await.unwrap()];
        let mut batch = one.batch(BatchOptions::new()).unwrap();
        batch.queue(Operation::put("s").at("k").doc_text("{}")).unwrap();
        assert!(batch.commit().await.unwrap().is_success());
        assert!(one.get("s", "k").await.unwrap().is_some());
        assert!(other.get("s", "k").await.unwrap().is_none());
    }

    #[cfg(feature = "memory")]
    #[tokio::test]
    async fn the_limits_of_a_url_hold_in_its_store() {
        use batch_core::{BatchExt as _, BatchOptions, Operation};

        let store = connect("memory:?max_batch_operations=2&max_batch_bytes=40").await.unwrap();
        let mut batch = store.batch(BatchOptions::new()).unwrap();
        for key in ["a", "b", "c"] {
            batch.queue(Operation::put("s").at(key).doc_text("{}")).unwrap();
        }
        let sizes: Vec<_> =
            batch.plan().await.unwrap().chunks.iter().map(|c| c.operations.len()).collect();
        assert_eq!(sizes, [2, 1]);
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(40));
        let rejected = batch.queue(Operation::put("s").at("d").doc_text(&long)).unwrap_err();
        assert_eq!(rejected.error.kind(), ErrorKind::TooLarge);
    }

    #[cfg(feature = "arango")]
    #[tokio::test]
    async fn a_database_that_cannot_be_reached_is_named_without_the_password() {
        for parameters in ["", "?auth=jwt", "?protocol=http2&compression=gzip"] {
            let url = format!("arango://root:hunter2@127.0.0.1:1,[::1]:2/school{parameters}");
            let error = refusal(&url).await;
            assert_eq!(error.kind(), ErrorKind::Connection, "{url}: {error}");
            assert!(error.to_string().contains("cannot connect to"), "{url}: {error}");
            assert!(!format!("{error:?}{error}").contains("hunter2"), "{url}: {error:?}");
        }
    }

    #[cfg(feature = "cql")]
    #[tokio::test]
    async fn a_cluster_that_cannot_be_reached_is_named_without_the_password() {
        let error = refusal("cql://root:hunter2@127.0.0.1:1,[::1]:2/school").await;
        assert_eq!(error.kind(), ErrorKind::Connection, "{error}");
        assert!(error.to_string().contains("127.0.0.1:1, [::1]:2"), "{error}");
        assert!(!format!("{error:?}{error}").contains("hunter2"), "{error:?}");
    }

    #[cfg(all(feature = "cql", feature = "tls"))]
    #[tokio::test]
    async fn the_authorities_of_a_url_are_read_from_its_file() {
        let error = refusal("cql+tls://127.0.0.1:1?tls_ca=/nowhere/ca.pem").await;
        assert_eq!(error.kind(), ErrorKind::InvalidOperation, "{error}");
        assert!(error.to_string().contains("/nowhere/ca.pem"), "{error}");
    }

    #[cfg(all(feature = "arango", feature = "tls"))]
    #[tokio::test]
    async fn the_authorities_of_an_arango_url_are_read_from_its_file() {
        let error = refusal("arango+https://127.0.0.1:1?tls_ca=/nowhere/ca.pem").await;
        assert_eq!(error.kind(), ErrorKind::InvalidOperation, "{error}");
        assert!(error.to_string().contains("/nowhere/ca.pem"), "{error}");
    }

    #[cfg(all(any(feature = "arango", feature = "cql"), not(feature = "tls")))]
    #[tokio::test]
    async fn tls_that_is_off_is_named() {
        for url in [
            #[cfg(feature = "arango")]
            "arango+https://root:hunter2@127.0.0.1:1",
            #[cfg(feature = "cql")]
            "cql+tls://root:hunter2@127.0.0.1:1",
        ] {
            let error = refusal(url).await;
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains("feature `tls`"), "{error}");
        }
    }

    #[cfg(not(all(feature = "memory", feature = "arango", feature = "cql")))]
    #[tokio::test]
    async fn a_feature_that_is_off_is_named() {
        for (url, feature) in [
            #[cfg(not(feature = "memory"))]
            ("memory:", "memory"),
            #[cfg(not(feature = "arango"))]
            ("arango://root:hunter2@localhost/school", "arango"),
            #[cfg(not(feature = "cql"))]
            ("cql+tls://localhost", "cql"),
        ] {
            let error = refusal(url).await;
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{url}");
            assert!(error.to_string().contains(&format!("feature `{feature}`")), "{url}: {error}");
            assert!(!format!("{error:?}").contains("hunter2"), "{url}: {error:?}");
        }
    }

    #[tokio::test]
    async fn a_url_that_cannot_be_read_is_refused_before_anything_is_opened() {
        assert_eq!(refusal("mongo://h").await.kind(), ErrorKind::Unsupported);
        assert_eq!(refusal("cql://h?x=1").await.kind(), ErrorKind::InvalidOperation);
    }
}
