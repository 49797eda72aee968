//! Access tokens by client credentials (facts §5): cached, fetched once for everybody, never shown.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::header::HeaderValue;
use rustls_pki_types::{CertificateDer, pem::PemObject};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    client::guid,
    config::{Config, Credential},
    http::{bounded_body, transport},
};
use crate::{Error, clock::Clock, error::Kind, registry::Context};

/// Tokens are renewed this long before they expire; shorter ones at half their life.
const EARLY: Duration = Duration::from_secs(300);

/// A token is renewed after this, whatever it says: no service gives one for longer, and a number is not to be trusted.
const LIFE_MAX: Duration = Duration::from_secs(24 * 3600);

/// How long an assertion is good for (facts §5.3: 5 to 10 minutes).
const ASSERTION_LIFE: i64 = 300;

/// A token answer is small.
const BODY_MAX: usize = 1 << 20;

/// PEM files are small.
const PEM_MAX: u64 = 1 << 20;

/// Sources kept; more are made for each connection anew.
const SOURCES_MAX: usize = 64;

/// The token sources of a process, by authority, tenant, application, scope and credential.
#[derive(Default)]
pub(crate) struct Tokens(Mutex<BTreeMap<[u8; 32], Arc<TokenSource>>>);

impl Tokens {
    /// The source for this connection; the files it names are read here.
    pub(crate) fn get(&self, config: &Config, context: &Context) -> Result<Arc<TokenSource>, Error> {
        let proof = Proof::load(&config.credential)?;
        let mut key = Sha256::new();
        let fixed = [config.authority.as_str(), &config.tenant, &config.client_id, config.graph.as_str()];
        for part in fixed {
            key.update((part.len() as u64).to_le_bytes());
            key.update(part);
        }
        proof.digest(&mut key);
        let key: [u8; 32] = key.finalize().into();
        let mut sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(source) = sources.get(&key) {
            return Ok(Arc::clone(source));
        }
        if sources.len() >= SOURCES_MAX {
            sources.clear();
        }
        let source = Arc::new(TokenSource::new(config, proof, context)?);
        sources.insert(key, Arc::clone(&source));
        Ok(source)
    }
}

/// What proves the application.
enum Proof {
    Secret(SecretString),
    Certificate { key: Box<EncodingKey>, thumbprint: String },
}

impl Proof {
    fn load(credential: &Credential) -> Result<Self, Error> {
        match credential {
            Credential::Secret(secret) => Ok(Self::Secret(secret.clone())),
            Credential::Certificate { certificate, key } => {
                let unreadable = |what: &str, path: &std::path::Path, why: &dyn std::fmt::Display| {
                    Error::new(Kind::Definition, format!("{what} {}: {why}", path.display()))
                };
                let pem = read_small(certificate).map_err(|e| unreadable("certificate", certificate, &e))?;
                let der = CertificateDer::from_pem_slice(&pem)
                    .map_err(|_| unreadable("certificate", certificate, &"no certificate in PEM form"))?;
                let pem = read_small(key).map_err(|e| unreadable("private key", key, &e))?;
                let rsa = EncodingKey::from_rsa_pem(&pem)
                    .map_err(|_| unreadable("private key", key, &"no RSA key in PEM form"))?;
                let thumbprint = URL_SAFE_NO_PAD.encode(Sha256::digest(&der));
                Ok(Self::Certificate { key: Box::new(rsa), thumbprint })
            }
        }
    }

    fn digest(&self, into: &mut Sha256) {
        match self {
            Self::Secret(secret) => into.update(secret.expose_secret()),
            Self::Certificate { thumbprint, .. } => into.update(thumbprint),
        }
    }
}

fn read_small(path: &std::path::Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(PEM_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Gets tokens for one application and one Graph root.
pub(crate) struct TokenSource {
    endpoint: String,
    client_id: String,
    scope: String,
    proof: Proof,
    clock: Arc<dyn Clock>,
    random: Mutex<fastrand::Rng>,
    /// Held while a token is fetched, so that everybody else waits for that one.
    state: tokio::sync::Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    /// Counts tokens, so that an old refusal does not evict a new token.
    serial: u64,
}

pub(crate) struct Token {
    pub(crate) bearer: HeaderValue,
    pub(crate) renew_at: Duration,
    pub(crate) expires_at: Duration,
}

/// A token to send, and which one it is.
pub(crate) struct Bearer {
    pub(crate) header: HeaderValue,
    pub(crate) serial: u64,
}

impl TokenSource {
    fn new(config: &Config, proof: Proof, context: &Context) -> Result<Self, Error> {
        let mut endpoint = config.authority.clone();
        endpoint
            .path_segments_mut()
            .map_err(|()| Error::new(Kind::Definition, "option authority: cannot have a path"))?
            .pop_if_empty()
            .extend([config.tenant.as_str(), "oauth2", "v2.0", "token"]);
        Ok(Self {
            endpoint: endpoint.into(),
            client_id: config.client_id.clone(),
            scope: format!("{}/.default", config.graph.as_str().trim_end_matches('/')),
            proof,
            clock: Arc::clone(&context.clock),
            random: Mutex::new(fastrand::Rng::with_seed(context.seed ^ 0x74_6f6b_656e)),
            state: tokio::sync::Mutex::default(),
        })
    }

    /// A token that is good for a while.
    ///
    /// # Errors
    /// [`Kind::Unauthenticated`] when the token service refuses the application; [`Kind::Unreachable`] when it cannot be
    /// asked now. Either way the request the token is for was not sent.
    pub(crate) async fn bearer(&self, http: &reqwest::Client) -> Result<Bearer, Error> {
        let mut state = self.state.lock().await;
        let now = self.clock.elapsed();
        if let Some(token) = state.token.as_ref().filter(|t| now < t.renew_at) {
            return Ok(Bearer { header: token.bearer.clone(), serial: state.serial });
        }
        match self.fetch(http).await {
            Ok(token) => {
                state.serial += 1;
                let header = token.bearer.clone();
                state.token = Some(token);
                Ok(Bearer { header, serial: state.serial })
            }
            Err(error) => match &state.token {
                // Early renewal is a courtesy: while the old token lives, a hiccup of the token service hurts nobody.
                Some(token) if error.kind == Kind::Unreachable && self.clock.elapsed() < token.expires_at => {
                    tracing::warn!(error = %error, "token renewal failed; the old one still lives");
                    Ok(Bearer { header: token.bearer.clone(), serial: state.serial })
                }
                _ => {
                    state.token = None;
                    Err(error)
                }
            },
        }
    }

    /// Forgets the token that was refused, unless it has been replaced since.
    pub(crate) async fn evict(&self, serial: u64) {
        let mut state = self.state.lock().await;
        if state.serial == serial {
            state.token = None;
        }
    }

    async fn fetch(&self, http: &reqwest::Client) -> Result<Token, Error> {
        let form = self.form()?;
        let asked = self.clock.elapsed();
        let not_sent = |e: Error| Error { kind: Kind::Unreachable, ..e }.context("token service");
        let response = http.post(&self.endpoint).form(&form).send().await;
        let mut response = response.map_err(|e| not_sent(transport(e)))?;
        let status = response.status().as_u16();
        let body = bounded_body(&mut response, BODY_MAX).await.map_err(not_sent)?;
        if status != 200 {
            return Err(refused(status, &body));
        }
        granted(&body, asked)
    }

    fn form(&self) -> Result<Vec<(&'static str, String)>, Error> {
        let mut form = vec![
            ("grant_type", "client_credentials".to_owned()),
            ("client_id", self.client_id.clone()),
            ("scope", self.scope.clone()),
        ];
        match &self.proof {
            Proof::Secret(secret) => form.push(("client_secret", secret.expose_secret().to_owned())),
            Proof::Certificate { key, thumbprint } => {
                let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
                form.push(("client_assertion_type", kind.to_owned()));
                form.push(("client_assertion", self.assertion(key, thumbprint)?));
            }
        }
        Ok(form)
    }

    /// Facts §5.3: PS256 and the SHA-256 thumbprint; the older RS256 with SHA-1 is not sent.
    fn assertion(&self, key: &EncodingKey, thumbprint: &str) -> Result<String, Error> {
        #[derive(Serialize)]
        struct Claims<'a> {
            aud: &'a str,
            iss: &'a str,
            sub: &'a str,
            jti: String,
            nbf: i64,
            iat: i64,
            exp: i64,
        }
        let now = self.clock.now().as_second();
        let jti = guid(&mut self.random.lock().unwrap_or_else(PoisonError::into_inner)).to_string();
        let (aud, id) = (self.endpoint.as_str(), self.client_id.as_str());
        let claims = Claims { aud, iss: id, sub: id, jti, nbf: now, iat: now, exp: now + ASSERTION_LIFE };
        let header = Header { x5t_s256: Some(thumbprint.to_owned()), ..Header::new(Algorithm::PS256) };
        jsonwebtoken::encode(&header, &claims, key)
            .map_err(|e| Error::new(Kind::Definition, format!("the private key cannot sign: {e}")))
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    expires_in: Seconds,
}

/// A number; some clouds send it as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(u64),
    Text(String),
}

impl Seconds {
    fn seconds(&self) -> u64 {
        match self {
            Self::Number(seconds) => *seconds,
            Self::Text(text) => text.parse().unwrap_or(0),
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct TokenRefusal {
    error: String,
    error_description: String,
    error_codes: Vec<u64>,
}

/// The token in an answer to a request that was sent at `asked`. Pure.
pub(crate) fn granted(body: &[u8], asked: Duration) -> Result<Token, Error> {
    let unusable = |why: &str| Error::new(Kind::Unreachable, format!("token service: {why}"));
    let answer: TokenAnswer =
        serde_json::from_slice(body).map_err(|_| unusable("the answer is not the JSON of a token"))?;
    if answer.access_token.is_empty() {
        return Err(unusable("the answer holds no token"));
    }
    let mut bearer = HeaderValue::try_from(format!("Bearer {}", answer.access_token))
        .map_err(|_| unusable("the token cannot be sent in a header"))?;
    bearer.set_sensitive(true);
    let life = Duration::from_secs(answer.expires_in.seconds()).min(LIFE_MAX);
    let renew_after = if life > 2 * EARLY { life - EARLY } else { life / 2 };
    Ok(Token { bearer, renew_at: asked + renew_after, expires_at: asked + life })
}

/// Decides on `error` alone: the vendor warns against the `AADSTS` numbers, which are for people (facts §5.4).
pub(crate) fn refused(status: u16, body: &[u8]) -> Error {
    let refusal: TokenRefusal = serde_json::from_slice(body).unwrap_or_default();
    let code: String =
        refusal.error.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(64).collect();
    let number = refusal.error_codes.first().map(|n| format!(" (AADSTS{n})")).or_else(|| {
        let at = refusal.error_description.find("AADSTS")?;
        let digits: String =
            refusal.error_description[at + 6..].chars().take_while(char::is_ascii_digit).take(9).collect();
        Some(format!(" (AADSTS{digits})"))
    });
    let message = format!("token service answered {status} {code}{}", number.unwrap_or_default());
    let hint = match code.as_str() {
        "invalid_client" => {
            "the client secret or certificate is wrong or has expired: make a new one under App registrations > \
             Certificates & secrets and set it in the connection"
        }
        "unauthorized_client" => {
            "no application with this client_id in this tenant: check both, and that an administrator has consented"
        }
        "invalid_request" | "invalid_tenant" => "check the tenant and the client_id",
        "invalid_scope" | "invalid_resource" => {
            "this tenant does not know the Graph address: authority and graph must belong to the same cloud"
        }
        "invalid_grant" | "interaction_required" | "access_denied" => {
            "a policy of the tenant stops this application: ask its administrator"
        }
        "temporarily_unavailable" | "server_error" => return Error::new(Kind::Unreachable, message),
        _ if status == 429 || status >= 500 => return Error::new(Kind::Unreachable, message),
        _ => "check authority, tenant, client_id and the credential",
    };
    Error::new(Kind::Unauthenticated, message).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_say_what_to_do_and_nothing_secret() {
        let body = |error: &str| {
            format!(
                r#"{{"error":"{error}","error_description":"AADSTS7000215: Invalid client secret 's3cret'.\r\nTrace"}}"#
            )
        };
        for (status, error, kind) in [
            (401, "invalid_client", Kind::Unauthenticated),
            (400, "unauthorized_client", Kind::Unauthenticated),
            (400, "invalid_resource", Kind::Unauthenticated),
            (400, "anything_new", Kind::Unauthenticated),
            (400, "temporarily_unavailable", Kind::Unreachable),
            (503, "", Kind::Unreachable),
            (429, "", Kind::Unreachable),
        ] {
            let refused = refused(status, body(error).as_bytes());
            assert_eq!(refused.kind, kind, "{error}");
            assert!(refused.message.contains("AADSTS7000215"), "{}", refused.message);
            assert!(!refused.message.contains("s3cret"));
            assert_eq!(refused.hint.is_some(), kind == Kind::Unauthenticated);
        }
        assert_eq!(refused(502, b"<html>").kind, Kind::Unreachable);
    }
}
