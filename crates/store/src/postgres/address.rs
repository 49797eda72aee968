//! The address of a store, and TLS as it asks for it.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Shown with every complaint about the address.
const FORM: &str = "write postgres://user:password@host:5432/database?sslmode=require, with special characters of the password \
                    percent-encoded (@ is %40, / is %2F)";

/// Where the store is and how to get there. No `Debug`: the login is in it.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) login: tokio_postgres::Config,
    pub(super) tls: MakeRustlsConnect,
    /// `postgres://host:port/database`, for messages: no user, no password.
    pub(super) place: String,
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// What is wrong with it, never with the address in it.
    pub(super) fn of(url: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("{what}; {FORM}");
        let (rest, parameters) = Parameters::taken_from(url);
        let mut login: tokio_postgres::Config =
            rest.parse().map_err(|_| wrong("this is not a PostgreSQL address"))?;
        if login.get_hosts().is_empty() {
            return Err(wrong("the address names no host"));
        }
        let (mode, trust) = trust(&parameters)
            .ok_or_else(|| wrong("sslmode must be disable, prefer, require, verify-ca or verify-full"))?;
        login.ssl_mode(mode);
        if login.get_application_name().is_none() {
            login.application_name("syncline store");
        }
        let place = place(&login);
        Ok(Self { login, tls: connector(&trust)?, place })
    }
}

fn place(login: &tokio_postgres::Config) -> String {
    let ports = login.get_ports();
    let hosts = login.get_hosts().iter().enumerate().map(|(at, host)| {
        let port = ports.get(at).or(ports.first()).copied().unwrap_or(5432);
        match host {
            Host::Tcp(name) => format!("{name}:{port}"),
            Host::Unix(path) => format!("{}:{port}", path.display()),
        }
    });
    let hosts = hosts.collect::<Vec<_>>().join(",");
    format!("postgres://{hosts}/{}", login.get_dbname().unwrap_or_default())
}

/// What of an address the driver does not know.
#[derive(Default)]
struct Parameters {
    mode: Option<String>,
    root_certificate: Option<PathBuf>,
}

impl Parameters {
    /// The address without them, and them.
    fn taken_from(url: &str) -> (String, Self) {
        // The password may hold a raw question mark; parameters come after the host.
        let host = url.rfind('@').unwrap_or(0);
        let Some(query) = url[host..].find('?').map(|at| host + at) else {
            return (url.to_owned(), Self::default());
        };
        let (mut parameters, mut kept) = (Self::default(), Vec::new());
        for pair in url[query + 1..].split('&') {
            match pair.split_once('=') {
                Some(("sslmode", value)) => parameters.mode = Some(value.to_owned()),
                Some(("sslrootcert", value)) => {
                    let path = percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned();
                    parameters.root_certificate = Some(path.into());
                }
                _ => kept.push(pair),
            }
        }
        let mut rest = url[..query].to_owned();
        if !kept.is_empty() {
            rest = format!("{rest}?{}", kept.join("&"));
        }
        (rest, parameters)
    }
}

/// How far the server must prove who it is.
#[derive(Debug, PartialEq, Eq)]
enum Trust {
    /// Encrypted where the server can, whoever it is: what `sslmode=prefer` means everywhere.
    Anyone,
    /// Certificate and host name are checked against the system's authorities.
    System,
    /// Certificate and host name are checked against the authorities of this PEM file.
    File(PathBuf),
}

/// The same rules as those of a `postgres` connection: `require` is as strict as `verify-full` elsewhere, and a file of
/// authorities without a mode means `require`.
fn trust(parameters: &Parameters) -> Option<(SslMode, Trust)> {
    let strict = |file: Option<PathBuf>| file.map_or(Trust::System, Trust::File);
    Some(match (parameters.mode.as_deref(), parameters.root_certificate.clone()) {
        (Some("disable"), _) => (SslMode::Disable, Trust::Anyone),
        (Some("require" | "verify-ca" | "verify-full"), file) => (SslMode::Require, strict(file)),
        (Some("prefer" | "allow") | None, None) => (SslMode::Prefer, Trust::Anyone),
        (Some("prefer"), file) => (SslMode::Prefer, strict(file)),
        (None, file) => (SslMode::Require, strict(file)),
        (Some(_), _) => return None,
    })
}

fn connector(trust: &Trust) -> Result<MakeRustlsConnect, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?;
    let config = match trust {
        Trust::Anyone => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyServer(provider)))
            .with_no_client_auth(),
        Trust::System => builder.with_root_certificates(system()?).with_no_client_auth(),
        Trust::File(path) => builder.with_root_certificates(file(path)?).with_no_client_auth(),
    };
    Ok(MakeRustlsConnect::new(config))
}

fn system() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err("this machine has no certificate authorities: install the package ca-certificates, or name a PEM file \
                    with sslrootcert"
            .to_owned());
    }
    Ok(roots)
}

fn file(path: &std::path::Path) -> Result<RootCertStore, String> {
    let unusable = |why: String| format!("sslrootcert {}: {why}", path.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))? {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unusable("holds no certificate".to_owned()));
    }
    Ok(roots)
}

/// Accepts every certificate, for `sslmode=prefer`: a listener on the wire reads nothing, a man in the middle could.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_no_login() {
        let address =
            Address::of("postgresql://me:p%40ss@db.example:6543/sync?sslmode=disable&connect_timeout=3");
        let address = address.unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(address.place, "postgres://db.example:6543/sync");
        assert_eq!(address.login.get_password(), Some("p@ss".as_bytes()));
        assert_eq!(address.login.get_ssl_mode(), SslMode::Disable);
    }

    #[test]
    fn a_bad_address_is_not_repeated() {
        for url in [
            "postgres://u:hunter2@h:port/d",
            "postgres://u:hunter2@h/d?sslmode=maybe",
            "mysql://u:hunter2@h/d",
            "hunter2",
            "postgres:///d",
        ] {
            let Err(why) = Address::of(url) else { panic!("{url} was accepted") };
            assert!(!why.contains("hunter2"), "{why}");
        }
    }

    #[test]
    fn sslmode_decides_what_is_checked() {
        let of = |query: &str| trust(&Parameters::taken_from(&format!("postgres://u@h/d{query}")).1);
        let ca = || Trust::File("ca.pem".into());
        assert_eq!(of(""), Some((SslMode::Prefer, Trust::Anyone)));
        assert_eq!(of("?sslmode=require"), Some((SslMode::Require, Trust::System)));
        assert_eq!(of("?sslrootcert=ca.pem"), Some((SslMode::Require, ca())));
        assert_eq!(of("?sslmode=prefer&sslrootcert=ca.pem"), Some((SslMode::Prefer, ca())));
        assert_eq!(of("?sslmode=never"), None);
    }
}
