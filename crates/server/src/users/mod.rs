//! Whose users may ask in their own name: access tokens of an identity provider, checked by the keys it publishes.
//!
//! The signature comes first (`keys`), then what the token says (`claims`). Nothing of a token is stored, logged or told; it
//! lives as long as what was asked for with it.

mod claims;
mod keys;

use std::sync::Arc;

use jsonwebtoken::{Algorithm, Validation};
use syncline_connect::{clock::Clock, registry::User};
use syncline_core::project::Users as Options;

use self::{claims::Claims, keys::Keys};

/// Longest token: those with many groups in them have several kB.
pub(crate) const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// Longest name of a key.
const KEY_CHARS_MAX: usize = 512;
/// How tokens may be signed. Shared secrets are not among them: a public key would be taken for one.
const ALGORITHMS: [Algorithm; 3] = [Algorithm::RS256, Algorithm::PS256, Algorithm::ES256];

/// Why a token names no user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// It is not good; the reason, without anything of the token.
    Token(&'static str),
    /// The provider's keys cannot be had at the moment; why, for the log.
    Unavailable(String),
}

/// The users of one identity provider. Keeps its keys.
#[derive(Debug)]
pub struct Users {
    options: Options,
    keys: Keys,
    clock: Arc<dyn Clock>,
}

impl Users {
    /// The users that the project names. Nothing is fetched yet.
    ///
    /// # Errors
    /// An address that keys cannot be fetched from safely; one sentence.
    pub fn new(options: Options, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let keys = Keys::new(&options, Arc::clone(&clock))?;
        Ok(Self { options, keys, clock })
    }

    /// The user whom a token names, with the token. Asks the provider for its keys where they are not known.
    ///
    /// # Errors
    /// The token is not good, or nobody can tell.
    pub async fn of(&self, token: &str) -> Result<User, Refused> {
        let claims = self.signed(token).await?;
        let named = claims.judge(&self.options, self.clock.now()).map_err(Refused::Token)?;
        let assertion = token.to_owned().into();
        Ok(User { owner: named.owner, tenant: named.tenant, assertion })
    }

    /// What the token says, if the provider said it.
    async fn signed(&self, token: &str) -> Result<Claims, Refused> {
        const NO_TOKEN: Refused = Refused::Token("it is not a signed token");
        const NOT_THEIRS: Refused = Refused::Token("its signature is not the issuer's");
        if token.len() > TOKEN_BYTES_MAX {
            return Err(NO_TOKEN);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| NO_TOKEN)?;
        // an extension that must be understood is one that we do not understand
        if !ALGORITHMS.contains(&header.alg) || header.crit.is_some() {
            return Err(Refused::Token("it is signed in a way that is not accepted"));
        }
        let name = header.kid.filter(|name| name.len() <= KEY_CHARS_MAX).ok_or(NOT_THEIRS)?;
        let key = self.keys.find(&name).await.map_err(Refused::Unavailable)?.ok_or(NOT_THEIRS)?;
        if !key.algorithms.contains(&header.alg) {
            return Err(Refused::Token("it is signed in a way that is not accepted"));
        }
        let claims = jsonwebtoken::decode::<Claims>(token, &key.key, &signature_only(header.alg));
        claims.map(|token| token.claims).map_err(|_| NOT_THEIRS)
    }
}

/// What the token says is judged by our own clock afterwards.
fn signature_only(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}
