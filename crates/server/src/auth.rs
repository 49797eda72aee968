//! Who may do what: tokens, their scopes, and where none is needed.
//!
//! A token is `syn_` and 32 random bytes. The store holds its SHA-256: whoever reads the store cannot use it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use syncline_connect::registry::User;
use syncline_store::{
    Error,
    service::{NewToken, ServiceStore, Token, TokenId},
};
use utoipa::ToSchema;

/// What every token begins with, so that one that leaked is found by a search.
const PREFIX: &str = "syn_";
/// Random bytes of a token.
const SECRET_BYTES: usize = 32;
/// How often the use of a token is noted.
const TOUCH: Duration = Duration::from_secs(60);
/// Longest name of a token.
const NAME_CHARS_MAX: usize = 100;

/// What a token may do; each scope includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Look at everything that is shown: definitions, runs, parked records, health, metrics.
    Read,
    /// Start, retry, resume, plan and cancel.
    Run,
    /// Change definitions and settings, decide about parked records and held deletes, pause, reset.
    Write,
    /// Make and revoke tokens.
    Admin,
}

impl Scope {
    /// Every scope, the smallest first.
    pub const ALL: [Self; 4] = [Self::Read, Self::Run, Self::Write, Self::Admin];

    /// The word that is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Run => "run",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }

    /// Reads [`Scope::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == text)
    }
}

/// Who asks.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Name of the token; `local` where none is needed, `user` where a user's own was sent.
    pub name: String,
    /// The highest scope; none: the token may do nothing.
    pub scope: Option<Scope>,
    /// The user whose own token was sent. Such a caller has no scope, and may only do what users may.
    pub user: Option<Arc<User>>,
}

impl PartialEq for Caller {
    /// Two tokens of one user are the same caller.
    fn eq(&self, other: &Self) -> bool {
        let user = |caller: &Self| caller.user.as_ref().map(|user| (user.tenant.clone(), user.owner.clone()));
        (&self.name, self.scope, user(self)) == (&other.name, other.scope, user(other))
    }
}

impl Eq for Caller {}

impl Caller {
    /// Somebody on this machine, while nobody has made a token.
    pub fn local() -> Self {
        Self { name: "local".to_owned(), scope: Some(Scope::Admin), user: None }
    }

    /// A user of the identity provider.
    pub fn user(user: User) -> Self {
        Self { name: "user".to_owned(), scope: None, user: Some(Arc::new(user)) }
    }

    /// Whether it may do what needs `scope`.
    pub fn may(&self, scope: Scope) -> bool {
        self.scope.is_some_and(|own| own >= scope)
    }
}

/// Whether requests without a token are let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// While the store has no token: only ever on a loopback address.
    Open,
    /// Never.
    Tokens,
}

impl Access {
    /// What holds for a server that listens on `bind`.
    ///
    /// # Errors
    /// An address that others can reach, without TLS or without a token: the sentence says what to do.
    pub fn decide(bind: SocketAddr, tls: bool, tokens: usize) -> Result<Self, String> {
        if bind.ip().is_loopback() {
            return Ok(Self::Open);
        }
        if !tls {
            return Err(format!(
                "{bind} can be reached by others: give `server.tls` a certificate and a key, or bind to 127.0.0.1 and \
                 let a proxy do TLS"
            ));
        }
        if tokens == 0 {
            return Err(format!(
                "{bind} can be reached by others and there is no token: `syncline tokens create NAME --scope read` makes one"
            ));
        }
        Ok(Self::Tokens)
    }
}

/// Whether a secret is written like a token of ours; others are a user's.
pub fn is_ours(secret: &str) -> bool {
    secret.starts_with(PREFIX)
}

/// Makes a token and stores its hash. Returns its number and the token itself, which nobody can tell again. Durable.
///
/// # Errors
/// A sentence when name, scopes or expiry cannot be; the store's own error otherwise.
pub async fn create(
    store: &dyn ServiceStore,
    name: &str,
    scopes: &[Scope],
    expires_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<Result<(TokenId, String), String>, Error> {
    if name.trim().is_empty() || name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control) {
        return Ok(Err(format!(
            "a name has 1 to {NAME_CHARS_MAX} characters, none of them a control character"
        )));
    }
    if scopes.is_empty() {
        return Ok(Err("a token needs a scope: read, run, write or admin".to_owned()));
    }
    if expires_at.is_some_and(|at| at <= now) {
        return Ok(Err("the expiry is over already".to_owned()));
    }
    let known = store.tokens().await?;
    if known.iter().any(|token| token.token.name == name && in_force(token, now)) {
        return Ok(Err(format!("there is a token {name:?} already; revoke it first, or take another name")));
    }
    let Some(secret) = secret() else { return Ok(Err("this machine gives no random numbers".to_owned())) };
    let mut scopes: Vec<Scope> = scopes.to_vec();
    scopes.sort();
    scopes.dedup();
    let token = NewToken {
        name: name.to_owned(),
        hash: hash(&secret),
        scopes: scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
        created_at: now,
        expires_at,
    };
    let id = store.add_token(token).await?;
    Ok(Ok((id, secret)))
}

/// Who carries this token; `None`: nobody, any more.
///
/// # Errors
/// The store failed.
pub async fn caller(store: &dyn ServiceStore, secret: &str, now: Timestamp) -> Result<Option<Caller>, Error> {
    match hash_of(secret) {
        Some(hash) => caller_by_hash(store, &hash, now).await,
        None => Ok(None),
    }
}

/// What the store knows a token by; `None`: it is none.
pub(crate) fn hash_of(secret: &str) -> Option<[u8; 32]> {
    well_formed(secret).then(|| hash(secret))
}

/// As [`caller`], by [`hash_of`] the token.
pub(crate) async fn caller_by_hash(
    store: &dyn ServiceStore,
    hash: &[u8; 32],
    now: Timestamp,
) -> Result<Option<Caller>, Error> {
    let Some(token) = store.token_by_hash(hash).await? else { return Ok(None) };
    let same = aws_lc_rs::constant_time::verify_slices_are_equal(&token.token.hash, hash).is_ok();
    if !same || !in_force(&token, now) {
        return Ok(None);
    }
    if token.used_at.is_none_or(|used| {
        now.duration_since(used) >= jiff::SignedDuration::try_from(TOUCH).unwrap_or_default()
    }) {
        // a note for people: a store that cannot take it must not stop the request
        if let Err(error) = store.touch_token(token.id, now).await {
            tracing::debug!(%error, "the use of a token was not noted");
        }
    }
    let scope = token.token.scopes.iter().filter_map(|scope| Scope::parse(scope)).max();
    Ok(Some(Caller { name: token.token.name, scope, user: None }))
}

/// Whether a token works at `now`.
pub fn in_force(token: &Token, now: Timestamp) -> bool {
    token.revoked_at.is_none() && token.token.expires_at.is_none_or(|at| now < at)
}

fn secret() -> Option<String> {
    let mut bytes = [0; SECRET_BYTES];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
}

/// Whether it can be a token at all; spares the store a question.
fn well_formed(secret: &str) -> bool {
    let random = secret.strip_prefix(PREFIX).and_then(|rest| URL_SAFE_NO_PAD.decode(rest).ok());
    random.is_some_and(|bytes| bytes.len() == SECRET_BYTES)
}

fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_are_recognised() {
        let (one, two) = (secret().expect("random"), secret().expect("random"));
        assert_ne!(one, two);
        assert!(well_formed(&one) && one.len() == 4 + 43, "{one}");
        for bad in ["", "syn_", "Bearer x", &one[4..], &one[..46], &format!("{one}A")] {
            assert!(!well_formed(bad), "{bad}");
        }
    }

    #[test]
    fn only_loopback_is_open() {
        let at = |text: &str| -> SocketAddr { text.parse().expect("an address") };
        assert_eq!(Access::decide(at("127.0.0.1:1"), false, 0), Ok(Access::Open));
        assert_eq!(Access::decide(at("[::1]:1"), false, 3), Ok(Access::Open));
        assert_eq!(Access::decide(at("0.0.0.0:1"), true, 1), Ok(Access::Tokens));
        assert!(Access::decide(at("0.0.0.0:1"), false, 1).is_err_and(|e| e.contains("server.tls")));
        assert!(Access::decide(at("10.0.0.7:1"), true, 0).is_err_and(|e| e.contains("tokens create")));
        assert!(
            Access::decide(at("[::ffff:127.0.0.1]:1"), false, 0).is_err(),
            "a mapped address is not taken for loopback"
        );
    }

    #[test]
    fn a_scope_includes_those_before_it() {
        let run = Caller { name: "x".into(), scope: Some(Scope::Run), user: None };
        let may: Vec<bool> = Scope::ALL.into_iter().map(|scope| run.may(scope)).collect();
        assert_eq!(may, [true, true, false, false]);
        assert!(!Caller { name: "x".into(), scope: None, user: None }.may(Scope::Read));
    }
}
