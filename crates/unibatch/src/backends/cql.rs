//! What a URL says, as settings of a CQL store.

use batch_core::{Error, ErrorKind, Result};
use batch_cql::{Compression, Consistency, CqlBuilder, CqlStore, SerialConsistency, Translate};

use crate::{Scheme, StoreUrl};

/// The settings of a URL's store.
pub(super) fn builder(url: &StoreUrl) -> Result<CqlBuilder> {
    let parameters = url.parameters();
    let mut builder = CqlStore::builder()
        .contact_points(url.hosts().iter().map(ToString::to_string))
        .options(parameters.store_options());
    if let Some(keyspace) = url.path() {
        builder = builder.keyspace(keyspace);
    }
    if let Some(user) = url.user() {
        builder = builder.credentials(user, url.password().unwrap_or_default());
    }
    if let Some(name) = parameters.consistency {
        builder = builder.consistency(consistency(name)?);
    }
    if let Some(name) = parameters.serial_consistency {
        builder = builder.serial_consistency(match name {
            "serial" => SerialConsistency::Serial,
            _ => SerialConsistency::LocalSerial,
        });
    }
    if let Some(name) = &parameters.local_dc {
        builder = builder.local_datacenter(name);
    }
    if parameters.translate.is_some() {
        builder = builder.translate(Translate::ContactPoints);
    }
    if let Some(name) = parameters.compression {
        builder = builder.compression(match name {
            "lz4" => Compression::Lz4,
            _ => Compression::Snappy,
        });
    }
    if url.scheme() == Scheme::CqlTls { with_tls(url, builder) } else { Ok(builder) }
}

fn consistency(name: &str) -> Result<Consistency> {
    Ok(match name {
        "any" => Consistency::Any,
        "one" => Consistency::One,
        "two" => Consistency::Two,
        "three" => Consistency::Three,
        "quorum" => Consistency::Quorum,
        "all" => Consistency::All,
        "local_quorum" => Consistency::LocalQuorum,
        "each_quorum" => Consistency::EachQuorum,
        "local_one" => Consistency::LocalOne,
        other => {
            let message = format!("there is no consistency `{other}`; correct it");
            return Err(Error::new(ErrorKind::InvalidOperation, message));
        }
    })
}

#[cfg(feature = "tls")]
fn with_tls(url: &StoreUrl, builder: CqlBuilder) -> Result<CqlBuilder> {
    let parameters = url.parameters();
    let builder = match &parameters.tls_ca {
        Some(path) => builder.tls_with_ca_file(path),
        None => builder.tls_with_native_roots(),
    };
    Ok(match &parameters.tls_name {
        Some(name) => builder.tls_server_name(name),
        None => builder,
    })
}

#[cfg(not(feature = "tls"))]
fn with_tls(_url: &StoreUrl, _builder: CqlBuilder) -> Result<CqlBuilder> {
    Err(Error::new(
        ErrorKind::Unsupported,
        "this build cannot open a `cql+tls` store; build it with the feature `tls` of `unibatch`",
    ))
}
