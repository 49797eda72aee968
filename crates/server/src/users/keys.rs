//! The keys of an identity provider: fetched once for everybody, kept, and fetched again when a token names another one.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse},
};
use reqwest::Url;
use serde::{Deserialize, de::DeserializeOwned};
use syncline_connect::clock::Clock;
use syncline_core::project::Users as Options;

use crate::outside::http;

/// How long keys are taken for the provider's without asking, and how long if it does not answer.
const KEPT: Duration = Duration::from_secs(3600);
const KEPT_MAX: Duration = Duration::from_secs(24 * 3600);
/// Keys are fetched at most so often, whatever tokens name.
const REFRESH: Duration = Duration::from_secs(60);
/// The same after a fetch that failed.
const AGAIN: Duration = Duration::from_secs(5);
/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer, and most keys of it.
const BYTES_MAX: usize = 256 * 1024;
const KEYS_MAX: usize = 100;

/// A key, and the ways of signing that it is for.
pub(super) struct Key {
    pub(super) key: DecodingKey,
    pub(super) algorithms: Vec<Algorithm>,
}

/// The keys of one provider.
pub(super) struct Keys {
    issuer: String,
    /// Where they are; none: the provider's configuration says so.
    address: Option<Url>,
    client: reqwest::Client,
    clock: Arc<dyn Clock>,
    known: RwLock<Known>,
    /// Held while they are fetched, so that everybody else waits for that.
    fetching: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Known {
    keys: BTreeMap<String, Arc<Key>>,
    /// By our clock; none: never yet.
    fetched_at: Option<Duration>,
    /// Before this nothing is fetched.
    next: Duration,
}

/// What is to be done about a key.
enum Look {
    Found(Arc<Key>),
    Fetch,
    /// There is none of this name, and it was looked for lately.
    None,
    /// None was ever had, or too long ago.
    Unknown,
}

impl Known {
    /// Pure: `now` by our clock.
    fn look(&self, name: &str, now: Duration) -> Look {
        let age = self.fetched_at.map(|at| now.saturating_sub(at));
        let key = self.keys.get(name).filter(|_| age.is_some_and(|age| age < KEPT_MAX));
        match key {
            Some(key) if age.is_some_and(|age| age < KEPT) => Look::Found(Arc::clone(key)),
            _ if now >= self.next => Look::Fetch,
            Some(key) => Look::Found(Arc::clone(key)),
            None if age.is_some_and(|age| age < KEPT_MAX) => Look::None,
            None => Look::Unknown,
        }
    }
}

impl Keys {
    pub(super) fn new(options: &Options, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let unsafe_address =
            |what: &str| format!("server.users.{what} is not an address that is safe to ask");
        let address = options.jwks.as_deref().map(|text| address(text).ok_or_else(|| unsafe_address("jwks")));
        address_of_configuration(&options.issuer).ok_or_else(|| unsafe_address("issuer"))?;
        Ok(Self {
            issuer: options.issuer.clone(),
            address: address.transpose()?,
            client: http::client().map_err(|failure| failure.message)?,
            clock,
            known: RwLock::default(),
            fetching: tokio::sync::Mutex::default(),
        })
    }

    /// The key of this name; `None`: the provider has none.
    ///
    /// # Errors
    /// The provider cannot be asked; a sentence for the log.
    pub(super) async fn find(&self, name: &str) -> Result<Option<Arc<Key>>, String> {
        let unknown = || Err("the keys could not be fetched; it is tried again soon".to_owned());
        if let Look::Found(key) = self.look(name) {
            return Ok(Some(key));
        }
        // whoever fetches is waited for, whatever is known till then
        let _alone = self.fetching.lock().await;
        // somebody may have fetched them meanwhile
        if matches!(self.look(name), Look::Fetch) {
            // a request that goes away in the middle must not let the next one ask at once
            self.next_in(AGAIN);
            match self.fetch().await {
                Ok(keys) => self.learned(keys),
                Err(why) => {
                    tracing::warn!(issuer = self.issuer, why, "the keys of users' tokens cannot be fetched");
                    self.next_in(AGAIN);
                }
            }
        }
        match self.look(name) {
            Look::Found(key) => Ok(Some(key)),
            Look::None => Ok(None),
            Look::Fetch | Look::Unknown => unknown(),
        }
    }

    fn look(&self, name: &str) -> Look {
        self.known.read().unwrap_or_else(PoisonError::into_inner).look(name, self.clock.elapsed())
    }

    fn next_in(&self, wait: Duration) {
        let next = self.clock.elapsed() + wait;
        self.known.write().unwrap_or_else(PoisonError::into_inner).next = next;
    }

    fn learned(&self, keys: BTreeMap<String, Arc<Key>>) {
        let now = self.clock.elapsed();
        let known = Known { keys, fetched_at: Some(now), next: now + REFRESH };
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
    }

    async fn fetch(&self) -> Result<BTreeMap<String, Arc<Key>>, String> {
        let url = match &self.address {
            Some(url) => url.clone(),
            None => self.configured().await?,
        };
        let set: Set = self.get(url).await?;
        let keys: BTreeMap<_, _> = set.keys.into_iter().take(KEYS_MAX).filter_map(key).collect();
        if keys.is_empty() { Err("there is no key for signatures among them".to_owned()) } else { Ok(keys) }
    }

    /// Where the provider's configuration says that its keys are.
    async fn configured(&self) -> Result<Url, String> {
        let url = address_of_configuration(&self.issuer).ok_or("the issuer is not an address")?;
        let configuration: Configuration = self.get(url).await?;
        if configuration.issuer != self.issuer {
            return Err("the configuration at the issuer's address is another issuer's".to_owned());
        }
        address(&configuration.jwks_uri)
            .ok_or_else(|| "the configuration names no safe address of keys".to_owned())
    }

    async fn get<T: DeserializeOwned>(&self, url: Url) -> Result<T, String> {
        let failed = |error: reqwest::Error| format!("asking the issuer failed: {}", error.without_url());
        let mut answer = self.client.get(url).timeout(TIMEOUT).send().await.map_err(failed)?;
        if !answer.status().is_success() {
            return Err(format!("the issuer answered {}", answer.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            body.extend_from_slice(&chunk);
            if body.len() > BYTES_MAX {
                return Err("the issuer's answer is too large".to_owned());
            }
        }
        serde_json::from_slice(&body).map_err(|error| format!("the issuer's answer cannot be read: {error}"))
    }
}

#[derive(Deserialize)]
struct Configuration {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<serde_json::Value>,
}

/// A key that signatures can be checked with; others of the set are not for us.
fn key(value: serde_json::Value) -> Option<(String, Arc<Key>)> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    let for_signatures = matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature));
    let mut algorithms = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => vec![Algorithm::RS256, Algorithm::PS256],
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
            vec![Algorithm::ES256]
        }
        _ => return None,
    };
    if let Some(only) = jwk.common.key_algorithm {
        let only = match only {
            KeyAlgorithm::RS256 => Algorithm::RS256,
            KeyAlgorithm::PS256 => Algorithm::PS256,
            KeyAlgorithm::ES256 => Algorithm::ES256,
            _ => return None,
        };
        algorithms.retain(|algorithm| *algorithm == only);
    }
    let name = jwk.common.key_id.clone().filter(|_| for_signatures && !algorithms.is_empty())?;
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    Some((name, Arc::new(Key { key, algorithms })))
}

/// An address of the web that nobody on the way can answer for: HTTPS, or this machine.
fn address(text: &str) -> Option<Url> {
    let url: Url = text.parse().ok()?;
    let here = match url.host_str()? {
        "localhost" => true,
        host => {
            host.trim_matches(['[', ']']).parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
        }
    };
    (url.scheme() == "https" || (url.scheme() == "http" && here)).then_some(url)
}

fn address_of_configuration(issuer: &str) -> Option<Url> {
    address(&format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn known(next: Duration) -> Known {
        let key = Key { key: DecodingKey::from_secret(b"x"), algorithms: Vec::new() };
        Known { keys: [("a".to_owned(), Arc::new(key))].into(), fetched_at: Some(Duration::ZERO), next }
    }

    #[test]
    fn keys_are_fetched_when_they_are_old_or_another_is_named_but_not_too_often() {
        let known = known(REFRESH);
        assert!(matches!(known.look("a", KEPT - SECOND), Look::Found(_)));
        assert!(matches!(known.look("b", REFRESH - SECOND), Look::None), "at most once a minute");
        assert!(matches!(known.look("b", REFRESH), Look::Fetch));
        assert!(matches!(known.look("a", KEPT), Look::Fetch));
    }

    #[test]
    fn keys_are_kept_for_a_day_while_the_provider_does_not_answer() {
        let known = known(2 * KEPT_MAX);
        assert!(matches!(known.look("a", KEPT_MAX - SECOND), Look::Found(_)));
        assert!(matches!(known.look("a", KEPT_MAX), Look::Unknown));
        assert!(matches!(Known::default().look("a", SECOND), Look::Fetch));
        assert!(matches!(Known { next: AGAIN, ..Known::default() }.look("a", SECOND), Look::Unknown));
    }

    #[test]
    fn only_https_and_this_machine_are_asked() {
        for good in
            ["https://login.example/keys", "http://127.0.0.1:1/k", "http://[::1]/k", "http://localhost:2"]
        {
            assert!(address(good).is_some(), "{good}");
        }
        for bad in
            ["http://login.example/keys", "ftp://localhost", "file:///k", "", "http://localhost.example"]
        {
            assert!(address(bad).is_none(), "{bad}");
        }
    }
}
