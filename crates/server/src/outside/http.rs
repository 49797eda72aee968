//! Calls of web services: always with time-outs, never to another host than the one that was asked for, and with answers of which a
//! bounded part is read.

use std::{sync::Arc, time::Duration};

use reqwest::{Method, Url, redirect};
use syncline_connect::clock::Clock;
use syncline_core::chain::HttpCall;

use super::Failure;

/// How long a call may take; the step that makes it may allow less.
const TIMEOUT: Duration = Duration::from_secs(600);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of an answer is read.
const ANSWER_MAX: usize = 64 << 10;
/// Redirects that are followed, on the same host.
const REDIRECTS_MAX: usize = 5;

/// The client of the process. It follows redirects on the same host only, and does not use the machine's proxy.
pub(crate) fn client() -> Result<reqwest::Client, Failure> {
    let mut roots = rustls::RootCertStore::empty();
    // some machines hold authorities that cannot be read; the rest will do
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| Failure::new("definition", format!("TLS: {e}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("syncline/", env!("CARGO_PKG_VERSION")))
        .timeout(TIMEOUT)
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(redirect::Policy::custom(on_the_same_host))
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy()
        .build()
        .map_err(|e| Failure::new("definition", format!("HTTP client: {}", e.without_url())))
}

/// Headers and bodies hold secrets: they go nowhere else.
fn on_the_same_host(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let same = attempt.previous().first().is_some_and(|first| {
        let next = attempt.url();
        (next.scheme(), next.host_str(), next.port_or_known_default())
            == (first.scheme(), first.host_str(), first.port_or_known_default())
    });
    if same && attempt.previous().len() <= REDIRECTS_MAX { attempt.follow() } else { attempt.stop() }
}

/// Calls a service; `200 OK in 35 ms`.
pub(super) async fn call(
    client: &reqwest::Client,
    clock: &dyn Clock,
    call: &HttpCall,
) -> Result<String, Failure> {
    let began = clock.elapsed();
    let url = address(&call.url)?;
    let shown = shown(&url);
    let method = Method::from_bytes(call.method.as_bytes())
        .map_err(|_| Failure::new("definition", "the method is not one of HTTP"))?;
    let mut request = client.request(method, url);
    for (name, value) in &call.headers {
        request = request.header(name, value);
    }
    if let Some(body) = &call.body {
        request = request.body(body.clone());
    }
    let status = send(request, &shown).await?;
    let expected = match call.expect.as_slice() {
        [] => status.is_success(),
        expect => expect.contains(&status.as_u16()),
    };
    let took = clock.elapsed().saturating_sub(began).as_millis();
    match (expected, status.is_redirection()) {
        (true, _) => Ok(format!("{status} in {took} ms")),
        (false, true) => {
            Err(Failure::new("refused", format!("{shown} answered {status}: a redirect to another host")))
        }
        (false, false) => Err(Failure::new("refused", format!("{shown} answered {status}"))),
    }
}

/// Sends a request, reads what is allowed of the answer, and returns its status.
pub(super) async fn send(
    request: reqwest::RequestBuilder,
    shown: &str,
) -> Result<reqwest::StatusCode, Failure> {
    let failed = |error: reqwest::Error| {
        let (code, what) = match &error {
            e if e.is_timeout() && !e.is_connect() => ("timeout", "did not answer in time"),
            e if e.is_connect() => ("unreachable", "cannot be reached"),
            e if e.is_builder() => ("definition", "cannot be called: a header or the address is not valid"),
            _ => ("unreachable", "broke the connection"),
        };
        Failure::new(code, format!("{shown} {what}"))
    };
    let mut answer = request.send().await.map_err(failed)?;
    let mut read = 0;
    while read < ANSWER_MAX {
        match answer.chunk().await.map_err(failed)? {
            Some(chunk) => read += chunk.len(),
            None => break,
        }
    }
    Ok(answer.status())
}

pub(super) fn address(url: &str) -> Result<Url, Failure> {
    let url: Url = url.parse().map_err(|_| Failure::new("definition", "the url is not an address"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(Failure::new("definition", "the url is not an address of the web"));
    }
    Ok(url)
}

/// An address without user, password and query, which may be secrets.
fn shown(url: &Url) -> String {
    format!("{}{}", host(url), url.path())
}

/// Scheme, host and port.
pub(super) fn host(url: &Url) -> String {
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_without_secrets() {
        let url =
            address("https://user:hunter2@api.example:8443/v1/start?token=hunter2#x").expect("an address");
        assert_eq!(shown(&url), "https://api.example:8443/v1/start");
        assert_eq!(host(&url), "https://api.example:8443");
        for wrong in ["file:///etc/passwd", "api.example", "", "mailto:a@example.com"] {
            assert_eq!(address(wrong).expect_err("no address").code, "definition", "{wrong}");
        }
    }
}
