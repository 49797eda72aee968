//! Access tokens (facts §5): of an application, or of one that acts for a user. Cached, fetched once for everybody who waits,
//! never shown.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use reqwest::header::HeaderValue;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use super::{
    client::guid,
    config::{Config, Grant},
    errors::Acts,
    grant::{self, Asked, Token},
    http::{bounded_body, transport},
    proof::Proof,
};
use crate::{
    Error,
    clock::Clock,
    error::Kind,
    registry::{Context, User},
};

/// A token answer is small.
const BODY_MAX: usize = 1 << 20;

/// Sources kept: as many users at once. The one that was used least recently makes room.
const SOURCES_MAX: usize = 1_000;

/// The access tokens of a process, for all connections to Microsoft Graph: give the same to each of its connectors, for tokens
/// cost quota to get. In memory only.
#[derive(Clone, Default)]
pub struct Tokens(Arc<Mutex<Sources>>);

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

/// By authority, tenant, application, scopes, credential and the user's token.
#[derive(Default)]
struct Sources {
    by_key: BTreeMap<[u8; 32], Kept>,
    uses: u64,
}

struct Kept {
    source: Arc<TokenSource>,
    used: u64,
}

impl Tokens {
    /// The source for this connection and, where it acts for a user, for this very token of the user; the files it names are
    /// read here.
    ///
    /// # Errors
    /// [`Kind::Definition`]: there is no user, or the credential cannot be read. [`Kind::UserTokenRefused`]: the user is of
    /// another tenant.
    pub(crate) fn get(&self, config: &Config, context: &Context) -> Result<Arc<TokenSource>, Error> {
        let user = user(config, context)?;
        let proof = Proof::load(&config.credential)?;
        let key = key(config, &proof, user.as_deref());
        let mut sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sources.uses += 1;
        let used = sources.uses;
        if let Some(kept) = sources.by_key.get_mut(&key) {
            kept.used = used;
            return Ok(Arc::clone(&kept.source));
        }
        let source = Arc::new(TokenSource::new(config, proof, user, context)?);
        sources.make_room(context.clock.elapsed());
        sources.by_key.insert(key, Kept { source: Arc::clone(&source), used });
        Ok(source)
    }
}

impl Sources {
    /// Forgets what nobody uses and has expired, and then the least recently used.
    fn make_room(&mut self, now: Duration) {
        self.by_key.retain(|_, kept| Arc::strong_count(&kept.source) > 1 || kept.source.lives(now));
        while self.by_key.len() >= SOURCES_MAX {
            let oldest = self.by_key.iter().min_by_key(|(_, kept)| kept.used).map(|(key, _)| *key);
            let Some(oldest) = oldest else { return };
            self.by_key.remove(&oldest);
        }
    }
}

/// The user a connection acts for; none where it is the application's own.
fn user(config: &Config, context: &Context) -> Result<Option<Arc<User>>, Error> {
    if config.grant == Grant::ClientCredentials {
        return Ok(None);
    }
    let Some(user) = &context.caller.user else {
        let message = "this connection acts for a signed-in user, and there is none";
        return Err(Error::new(Kind::Definition, message)
            .hint("run it through the API with that user's token, or `syncline run --user-token-file`"));
    };
    // A token of one tenant must not be handed to another's token service.
    if !user.tenant.eq_ignore_ascii_case(&config.tenant) {
        let message = "the user who asks is of another tenant than this connection";
        return Err(Error::new(Kind::UserTokenRefused, message)
            .hint("a connection that acts for users serves those of its own tenant; auth.tenant must be the tenant's id"));
    }
    Ok(Some(Arc::clone(user)))
}

fn key(config: &Config, proof: &Proof, user: Option<&User>) -> [u8; 32] {
    let mut key = Sha256::new();
    for part in [config.authority.as_str(), &config.tenant, &config.client_id, &config.scopes] {
        key.update((part.len() as u64).to_le_bytes());
        key.update(part);
    }
    if let Some(user) = user {
        key.update(Sha256::digest(user.assertion.expose_secret()));
    }
    proof.digest(&mut key);
    key.finalize().into()
}

/// Gets tokens for one application, one set of scopes and at most one token of a user.
pub(crate) struct TokenSource {
    endpoint: String,
    client_id: String,
    asked: Asked,
    proof: Proof,
    user: Option<Arc<User>>,
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

/// A token to send, and which one it is.
pub(crate) struct Bearer {
    pub(crate) header: HeaderValue,
    pub(crate) serial: u64,
}

impl TokenSource {
    fn new(config: &Config, proof: Proof, user: Option<Arc<User>>, context: &Context) -> Result<Self, Error> {
        let consent =
            format!("{}?client_id={}", config.below_authority(&["adminconsent"])?, config.client_id);
        let acts = if user.is_some() { Acts::User } else { Acts::Application };
        Ok(Self {
            endpoint: config.below_authority(&["oauth2", "v2.0", "token"])?.into(),
            client_id: config.client_id.clone(),
            asked: Asked { acts, scopes: config.scopes.clone(), consent },
            proof,
            user,
            clock: Arc::clone(&context.clock),
            random: Mutex::new(fastrand::Rng::with_seed(context.seed ^ 0x74_6f6b_656e)),
            state: tokio::sync::Mutex::default(),
        })
    }

    /// In whose name its tokens are.
    pub(crate) fn acts(&self) -> Acts {
        self.asked.acts
    }

    /// Whether it has a token that has not expired, or is getting one.
    fn lives(&self, now: Duration) -> bool {
        self.state.try_lock().map_or(true, |state| state.token.as_ref().is_some_and(|t| now < t.expires_at))
    }

    /// A token that is good for a while. `request` is the id under which it is asked for.
    ///
    /// # Errors
    /// [`Kind::Unauthenticated`] when the token service refuses the application, [`Kind::UserTokenRefused`],
    /// [`Kind::ConsentRequired`] and [`Kind::Challenged`] when it refuses to let it act for the user;
    /// [`Kind::Unreachable`] when it cannot be asked now. In each case the request the token is for was not sent.
    pub(crate) async fn bearer(&self, http: &reqwest::Client, request: &str) -> Result<Bearer, Error> {
        let mut state = self.state.lock().await;
        let now = self.clock.elapsed();
        if let Some(token) = state.token.as_ref().filter(|t| now < t.renew_at) {
            return Ok(Bearer { header: token.bearer.clone(), serial: state.serial });
        }
        match self.fetch(http, request).await {
            Ok(token) => {
                state.serial += 1;
                let header = token.bearer.clone();
                state.token = Some(token);
                Ok(Bearer { header, serial: state.serial })
            }
            Err(error) => match &state.token {
                // Early renewal is a courtesy: while the old token lives, a hiccup of the token service hurts nobody, nor
                // does the end of the user's token, which comes first.
                Some(token)
                    if matches!(error.kind, Kind::Unreachable | Kind::UserTokenRefused)
                        && self.clock.elapsed() < token.expires_at =>
                {
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

    async fn fetch(&self, http: &reqwest::Client, request: &str) -> Result<Token, Error> {
        let form = self.form()?;
        let asked = self.clock.elapsed();
        let ours = |e: Error| Error { request: e.request.or_else(|| Some(request.to_owned())), ..e };
        let not_sent = |e: Error| ours(Error { kind: Kind::Unreachable, ..e }.context("token service"));
        let sent = http.post(&self.endpoint).header("client-request-id", request).form(&form).send().await;
        let mut response = sent.map_err(|e| not_sent(transport(e)))?;
        let status = response.status().as_u16();
        let body = bounded_body(&mut response, BODY_MAX).await.map_err(not_sent)?;
        if status != 200 {
            return Err(ours(grant::refused(status, &body, &self.asked)));
        }
        grant::granted(&body, asked).map_err(ours)
    }

    fn form(&self) -> Result<Vec<(&'static str, String)>, Error> {
        let mut form = match &self.user {
            None => vec![("grant_type", "client_credentials".to_owned())],
            Some(user) => vec![
                ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer".to_owned()),
                ("requested_token_use", "on_behalf_of".to_owned()),
                ("assertion", user.assertion.expose_secret().to_owned()),
            ],
        };
        form.push(("client_id", self.client_id.clone()));
        form.push(("scope", self.asked.scopes.clone()));
        let jti = guid(&mut self.random.lock().unwrap_or_else(PoisonError::into_inner)).to_string();
        self.proof.fields(&self.endpoint, &self.client_id, self.clock.now(), jti, &mut form)?;
        Ok(form)
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;
    use serde_json::json;
    use syncline_core::connection::Connection;

    use super::*;
    use crate::{budget::Budgets, clock::SystemClock, registry::Caller};

    fn config(kind: &str) -> Config {
        let auth = json!({ "type": kind, "tenant": "t1", "client_id": "c", "client_secret": "s3cret" });
        let connection =
            Connection { name: "c".into(), kind: "teams_webinars".into(), options: json!({ "auth": auth }) };
        let workload =
            crate::graph::config::Defaults { workload: "teams", concurrency: 4, scopes: &["X.Read"] };
        Config::read(&connection, std::path::Path::new("/"), &workload).unwrap_or_else(|e| panic!("{e}"))
    }

    fn context(user: Option<(&str, &str)>) -> Context {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let user = user.map(|(tenant, assertion)| {
            let assertion = SecretString::from(assertion.to_owned());
            Arc::new(User { owner: "o".into(), tenant: tenant.into(), assertion })
        });
        Context {
            budgets: Arc::new(Budgets::new(Arc::clone(&clock))),
            clock,
            seed: 1,
            directory: "/".into(),
            caller: Caller { user, correlation: None },
        }
    }

    #[test]
    fn a_source_is_one_users() {
        let (tokens, config) = (Tokens::default(), config("on_behalf_of"));
        let of = |assertion| tokens.get(&config, &context(Some(("T1", assertion)))).map_err(|e| e.kind);
        let (ann, again, ben) = (of("ann").unwrap(), of("ann").unwrap(), of("ben").unwrap());
        assert!(Arc::ptr_eq(&ann, &again), "the same token of the same user");
        assert!(!Arc::ptr_eq(&ann, &ben), "two users");
        assert_eq!(tokens.get(&config, &context(None)).err().map(|e| e.kind), Some(Kind::Definition));
        let foreign = tokens.get(&config, &context(Some(("t2", "ann"))));
        assert_eq!(foreign.err().map(|e| e.kind), Some(Kind::UserTokenRefused));
    }

    #[test]
    fn sources_are_few() {
        let (tokens, config) = (Tokens::default(), config("on_behalf_of"));
        let held: Vec<_> = (0..SOURCES_MAX + 5)
            .map(|user| {
                tokens
                    .get(&config, &context(Some(("t1", &format!("token {user}")))))
                    .unwrap_or_else(|e| panic!("{e}"))
            })
            .collect();
        assert_eq!(tokens.0.lock().unwrap().by_key.len(), SOURCES_MAX);
        let last =
            tokens.get(&config, &context(Some(("t1", &format!("token {}", SOURCES_MAX + 4))))).unwrap();
        assert!(Arc::ptr_eq(&last, &held[SOURCES_MAX + 4]), "the latest is kept");
        drop((last, held));
        // None of them ever got a token: nothing is worth keeping once nobody holds them.
        tokens.get(&config, &context(Some(("t1", "one more")))).unwrap();
        assert_eq!(tokens.0.lock().unwrap().by_key.len(), 1);
    }

    #[test]
    fn nothing_of_a_token_is_shown() {
        let context = context(Some(("t1", "4ss3rtion")));
        let tokens = Tokens::default();
        tokens.get(&config("on_behalf_of"), &context).unwrap();
        assert!(!format!("{tokens:?} {:?}", context.caller).contains("4ss3rtion"));
    }
}
