//! The keys the tenant signs its users' tokens with, and how it publishes them (facts §5.7).

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::answer::Reply;
use crate::error::Error;

/// Keys that are published at a time: the newest and the one before it.
const PUBLISHED: usize = 2;

/// An RSA key with the name it is published under.
pub(crate) struct SigningKey {
    kid: String,
    key: EncodingKey,
    public: Value,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Makes a new key pair. Its name is given, its numbers are the machine's chance.
    pub(crate) fn generate(kid: String) -> Result<Self, Error> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| Error::Certificate { source };
        let pair = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048)
            .map_err(|error| failed(error.into()))?;
        let key = EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes())
            .map_err(|error| failed(error.into()))?;
        let jwk = Jwk::from_encoding_key(&key, Algorithm::RS256).map_err(|error| failed(error.into()))?;
        let mut public = json!(jwk);
        public["use"] = "sig".into();
        public["kid"] = kid.as_str().into();
        Ok(Self { kid, key, public })
    }

    /// A compact RS256 token with these claims, which says it is signed by `kid`.
    fn sign_as(&self, kid: &str, claims: &Value) -> Result<String, Error> {
        let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::RS256) };
        jsonwebtoken::encode(&header, claims, &self.key)
            .map_err(|source| Error::Certificate { source: source.into() })
    }
}

/// Which key signs a minted token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MintKey {
    /// The newest published key.
    #[default]
    Newest,
    /// The published key before it; the newest while there was no roll-over.
    Previous,
    /// A key of someone else, under the name of the newest one: the signature is wrong.
    Forged,
    /// A key of someone else, under a name that is not published.
    Unpublished,
}

/// The tenant's keys, oldest first, made when they are first needed.
#[derive(Debug)]
pub(crate) struct SigningKeys {
    tenant: Uuid,
    keys: Vec<SigningKey>,
    made: u32,
    foreign: Option<SigningKey>,
}

impl SigningKeys {
    pub(crate) fn new(tenant: Uuid) -> Self {
        Self { tenant, keys: Vec::new(), made: 0, foreign: None }
    }

    /// Adds a key, which signs from now on, and returns its name. Only two stay published.
    pub(crate) fn roll_over(&mut self) -> Result<String, Error> {
        self.ensure()?;
        self.add()
    }

    fn ensure(&mut self) -> Result<(), Error> {
        if self.keys.is_empty() {
            self.add()?;
        }
        Ok(())
    }

    fn add(&mut self) -> Result<String, Error> {
        self.made += 1;
        let kid = format!("{}-{}", self.tenant.simple(), self.made);
        self.keys.push(SigningKey::generate(kid.clone())?);
        if self.keys.len() > PUBLISHED {
            self.keys.remove(0);
        }
        Ok(kid)
    }

    /// Signs claims with the chosen key.
    pub(crate) fn sign(&mut self, which: MintKey, claims: &Value) -> Result<String, Error> {
        self.ensure()?;
        let foreign = matches!(which, MintKey::Forged | MintKey::Unpublished);
        if foreign && self.foreign.is_none() {
            self.foreign = Some(SigningKey::generate(format!("{}-foreign", self.tenant.simple()))?);
        }
        let newest = self.keys.last();
        let key = match which {
            MintKey::Newest => newest,
            MintKey::Previous => self.keys.first(),
            MintKey::Forged | MintKey::Unpublished => self.foreign.as_ref(),
        };
        let named = if which == MintKey::Forged { newest } else { key };
        let (Some(key), Some(named)) = (key, named) else { return Err(Error::TooMany { what: "keys" }) };
        key.sign_as(&named.kid, claims)
    }

    /// The claims of a token that one of the published keys signed with RS256. Nothing else is checked.
    pub(crate) fn verified(&self, jwt: &str) -> Option<Value> {
        let header = jsonwebtoken::decode_header(jwt).ok()?;
        let signer = self.keys.iter().find(|key| Some(&key.kid) == header.kid.as_ref())?;
        let jwk: Jwk = serde_json::from_value(signer.public.clone()).ok()?;
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        jsonwebtoken::decode::<Value>(jwt, &key, &signature_only(Algorithm::RS256))
            .ok()
            .map(|data| data.claims)
    }

    /// `/{tenant}/discovery/v2.0/keys`.
    pub(crate) fn publish(&mut self) -> Reply {
        if let Err(error) = self.ensure() {
            tracing::warn!(%error, "no signing key could be made");
            return Reply::value(503, &json!({ "error": "temporarily_unavailable" }));
        }
        let keys: Vec<&Value> = self.keys.iter().map(|key| &key.public).collect();
        Reply::value(200, &json!({ "keys": keys }))
    }
}

/// Checks the signature alone: times and names are checked against the simulator's own clock and addresses.
pub(crate) fn signature_only(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}
