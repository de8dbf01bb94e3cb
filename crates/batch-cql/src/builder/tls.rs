//! Connections that nobody listens to, with servers that prove who they are.

use std::{fmt, path::PathBuf, sync::Arc};

use batch_core::{Error, ErrorKind, Result};
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};

/// Who is trusted to say which server it is.
#[derive(Clone)]
pub(super) enum Trust {
    /// Settings of the user's own.
    Given(Arc<ClientConfig>),
    /// The authorities that this machine trusts.
    Native,
    /// The authorities in a file.
    File(PathBuf),
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(_) => f.write_str("given"),
            Self::Native => f.write_str("the machine's authorities"),
            Self::File(path) => fmt::Debug::fmt(path, f),
        }
    }
}

/// The settings that connections are made with. Without a `name`, a server's certificate is to
/// name the address that it was reached by.
pub(super) fn config(trust: &Trust, name: Option<&str>) -> Result<Arc<ClientConfig>> {
    let roots = match trust {
        Trust::Given(config) if name.is_none() => return Ok(Arc::clone(config)),
        Trust::Given(_) => {
            return Err(invalid(
                "a server's name cannot be set on TLS settings of your own; let their verifier check it".to_owned(),
            ));
        }
        Trust::Native => native_roots()?,
        Trust::File(path) => roots_in(path)?,
    };
    // Said by name: a program may hold several, and rustls would not know which one to take.
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid(format!("TLS cannot be set up: {error}")))?;
    let config = match name {
        None => builder.with_root_certificates(roots).with_no_client_auth(),
        Some(name) => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Named::new(roots, name, provider)?))
            .with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

fn native_roots() -> Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Machines have certificates that are too old or too odd to be read; those prove nothing.
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map_or_else(String::new, |error| format!(" ({error})"));
        return Err(invalid(format!(
            "this machine has no certificates of authorities{why}; give a file with those that signed the servers'"
        )));
    }
    Ok(roots)
}

fn roots_in(path: &PathBuf) -> Result<RootCertStore> {
    let wrong = |why: String| {
        invalid(format!(
            "the certificates of authorities in {} cannot be read: {why}; give a PEM file",
            path.display()
        ))
    };
    let mut roots = RootCertStore::empty();
    let found = CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
    for certificate in found {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() { Err(wrong("there is none in it".to_owned())) } else { Ok(roots) }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

/// Checks certificates for one name, whatever address the server was reached by: the driver knows
/// nodes by their addresses alone, and certificates seldom name those.
#[derive(Debug)]
struct Named {
    name: ServerName<'static>,
    verifier: Arc<WebPkiServerVerifier>,
}

impl Named {
    fn new(roots: RootCertStore, name: &str, provider: Arc<CryptoProvider>) -> Result<Self> {
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| invalid(format!("TLS cannot be set up: {error}")))?;
        let name = ServerName::try_from(name.to_owned()).map_err(|_| {
            invalid(format!("`{name}` cannot be a server's name; give a host's name"))
        })?;
        Ok(Self { name, verifier })
    }
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _reached_by: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verifier.verify_server_cert(end_entity, intermediates, &self.name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused_and_named() {
        for path in [concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"), "/nowhere/ca.pem"] {
            let error = config(&Trust::File(path.into()), None).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidOperation);
            assert!(error.to_string().contains(path), "{error}");
        }
    }
}
