//! The HTTP client under everything: always with time-outs, bounded answers, and no redirect followed.

use std::{fmt::Display, sync::Arc, time::Duration};

use reqwest::{
    Response,
    header::{ACCEPT, HeaderMap, HeaderValue, USER_AGENT},
};
use rustls_pki_types::{CertificateDer, pem::PemObject};

use super::config::Config;
use crate::{Error, error::Kind};

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// What a failed exchange means: [`Kind::Unreachable`] only when no connection came about, for then nothing was sent.
pub(crate) fn transport(error: reqwest::Error) -> Error {
    // The path may hold an item's id or a tenant; the host and the causes say what matters.
    let host = error.url().and_then(|url| url.host_str()).unwrap_or("the service").to_owned();
    let error = error.without_url();
    let (kind, what) = if error.is_connect() {
        (Kind::Unreachable, format!("no connection to {host}"))
    } else if error.is_builder() {
        (Kind::Definition, "the request cannot be built".to_owned())
    } else if error.is_timeout() {
        (Kind::Unanswered, "no answer in time".to_owned())
    } else {
        (Kind::Unanswered, "the connection broke before the answer was there".to_owned())
    };
    let mut message = what.clone();
    let mut cause = std::error::Error::source(&error);
    while let Some(why) = cause {
        cause = why.source();
        if cause.is_none() {
            message = format!("{what}: {why}");
        }
    }
    Error::new(kind, message)
}

/// Reads a body of at most `max` bytes, unpacked.
pub(crate) async fn bounded_body(response: &mut Response, max: usize) -> Result<Vec<u8>, Error> {
    let announced = usize::try_from(response.content_length().unwrap_or(0)).unwrap_or(0);
    let mut body = Vec::with_capacity(announced.min(1 << 20));
    while let Some(chunk) = response.chunk().await.map_err(transport)? {
        if body.len() + chunk.len() > max {
            return Err(Error::new(Kind::Unanswered, format!("the answer is larger than {max} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The one place that builds HTTP clients: always with time-outs, never following redirects or the machine's proxy.
pub(super) fn client(config: &Config) -> Result<reqwest::Client, Error> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    let agent = HeaderValue::try_from(config.user_agent.as_str())
        .map_err(|_| Error::new(Kind::Definition, "option user_agent: cannot be sent"))?;
    headers.insert(USER_AGENT, agent);
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls(config)?)
        .default_headers(headers)
        .timeout(config.timeout)
        .connect_timeout(config.timeout.min(CONNECT_TIMEOUT))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .tcp_nodelay(true)
        .no_proxy();
    if let Some(proxy) = &config.proxy {
        let proxy = reqwest::Proxy::all(proxy.clone())
            .map_err(|_| Error::new(Kind::Definition, "option proxy: not an address of a proxy"))?;
        builder = builder.proxy(proxy);
    }
    builder.build().map_err(|e| Error::new(Kind::Definition, format!("HTTP client: {}", e.without_url())))
}

/// The machine's certificate authorities and those of `ca_file`. They are not loaded where nothing speaks TLS.
fn tls(config: &Config) -> Result<rustls::ClientConfig, Error> {
    let mut roots = rustls::RootCertStore::empty();
    if let Some(file) = &config.ca_file {
        let wrong = |why: &dyn Display| {
            Error::new(Kind::Definition, format!("option ca_file: {}: {why}", file.display()))
        };
        let certificates = CertificateDer::pem_file_iter(file).map_err(|e| wrong(&e))?;
        for certificate in certificates {
            roots.add(certificate.map_err(|e| wrong(&e))?).map_err(|e| wrong(&e))?;
        }
        if roots.is_empty() {
            return Err(wrong(&"no certificate in PEM form"));
        }
    }
    if [&config.graph, &config.authority].iter().any(|url| url.scheme() == "https") {
        // Some machines hold authorities that cannot be read; the rest will do.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::new(Kind::Definition, format!("TLS: {e}")))?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
