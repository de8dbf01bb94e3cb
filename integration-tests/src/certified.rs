//! A certificate for a server of a test, and files with the authority that signed it and with
//! another one.

use std::{fs, path::PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use crate::Result;

/// What proves who a server is. Its files go when it is dropped.
#[derive(Debug)]
pub struct Certified {
    files: TempDir,
    certificate: String,
    key: String,
}

impl Certified {
    /// The file of the authority that signed the certificate.
    pub const OURS: &str = "ca.pem";
    /// The file of one that did not.
    pub const OTHER: &str = "other.pem";

    /// Makes a certificate for a server of this name, or address.
    ///
    /// # Errors
    /// What the system says.
    pub fn new(name: &str) -> Result<Self> {
        let files = tempfile::Builder::new().prefix("unibatch-tls-").tempdir()?;
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new([name.to_owned()])?;
        let ours = authority(&files, Self::OURS)?;
        let certificate = certificate.signed_by(&key, &ours)?;
        authority(&files, Self::OTHER)?;
        Ok(Self { files, certificate: certificate.pem(), key: key.serialize_pem() })
    }

    /// As PEM.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// As PEM.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The path of a file beside those of the authorities.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }
}

fn authority(files: &TempDir, name: &str) -> Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = CertificateParams::new([])?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    fs::write(files.path().join(name), authority.pem())?;
    Ok(authority)
}
