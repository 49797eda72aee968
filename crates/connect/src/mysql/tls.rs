//! TLS as the settings ask for it.

use mysql_async::SslOpts;
use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, pem::PemObject};

use super::config::Trust;
use crate::{Error, error::Kind};

/// The TLS side of a connection.
///
/// # Errors
/// [`Kind::Definition`] when the file of authorities cannot be used, or the system has none.
pub(super) fn options(trust: &Trust) -> Result<SslOpts, Error> {
    let options = SslOpts::default();
    Ok(match trust {
        // A listener on the wire reads nothing, a man in the middle could. Without TLS, which `PREFERRED` allows as
        // well, both could.
        Trust::Anyone => options.with_danger_accept_invalid_certs(true),
        Trust::System => only(options, system()?),
        Trust::File(path) => only(options, file(path)?),
    })
}

/// Trusts these authorities and not those that are built into the driver.
fn only(options: SslOpts, authorities: Vec<CertificateDer<'static>>) -> SslOpts {
    let authorities = authorities.into_iter().map(|c| c.to_vec().into());
    options.with_disable_built_in_roots(true).with_root_certs(authorities.collect())
}

fn system() -> Result<Vec<CertificateDer<'static>>, Error> {
    let mut authorities = rustls_native_certs::load_native_certs().certs;
    // the driver gives up at the first that it cannot read
    authorities.retain(|c| RootCertStore::empty().add(c.clone()).is_ok());
    if authorities.is_empty() {
        return Err(Error::new(Kind::Definition, "this machine has no certificate authorities")
            .hint("install the package ca-certificates, or name a PEM file in ca_file"));
    }
    Ok(authorities)
}

fn file(path: &std::path::Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let unusable = |why: String| {
        Error::new(Kind::Definition, format!("ca_file {}: {why}", path.display()))
            .hint("name a PEM file with at least one certificate")
    };
    let mut authorities = Vec::new();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|e| unusable(e.to_string()))? {
        let certificate = certificate.map_err(|e| unusable(e.to_string()))?;
        RootCertStore::empty().add(certificate.clone()).map_err(|e| unusable(e.to_string()))?;
        authorities.push(certificate);
    }
    if authorities.is_empty() {
        return Err(unusable("holds no certificate".into()));
    }
    Ok(authorities)
}
