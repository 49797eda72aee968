//! How an application proves itself to the token service: a secret, or an assertion signed with its key (facts §5.3).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::config::Credential;
use crate::{Error, error::Kind};

/// How long an assertion is good for (facts §5.3: 5 to 10 minutes).
const ASSERTION_LIFE: i64 = 300;

/// PEM files are small.
const PEM_MAX: u64 = 1 << 20;

/// What proves the application.
pub(super) enum Proof {
    Secret(SecretString),
    Certificate { key: Box<EncodingKey>, thumbprint: String },
}

impl Proof {
    /// Reads the files that a certificate is in.
    ///
    /// # Errors
    /// [`Kind::Definition`], naming the file.
    pub(super) fn load(credential: &Credential) -> Result<Self, Error> {
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

    /// Takes up what tells one credential from another.
    pub(super) fn digest(&self, into: &mut Sha256) {
        match self {
            Self::Secret(secret) => into.update(secret.expose_secret()),
            Self::Certificate { thumbprint, .. } => into.update(thumbprint),
        }
    }

    /// Adds the fields of a token request that prove the application `client_id` to `endpoint`; `jti` is a new id.
    pub(super) fn fields(
        &self,
        endpoint: &str,
        client_id: &str,
        now: Timestamp,
        jti: String,
        form: &mut Vec<(&'static str, String)>,
    ) -> Result<(), Error> {
        match self {
            Self::Secret(secret) => form.push(("client_secret", secret.expose_secret().to_owned())),
            Self::Certificate { key, thumbprint } => {
                let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
                form.push(("client_assertion_type", kind.to_owned()));
                let now = now.as_second();
                let claims = Claims {
                    aud: endpoint,
                    iss: client_id,
                    sub: client_id,
                    jti,
                    nbf: now,
                    iat: now,
                    exp: now + ASSERTION_LIFE,
                };
                // PS256 and the SHA-256 thumbprint; the older RS256 with SHA-1 is not sent.
                let header = Header { x5t_s256: Some(thumbprint.clone()), ..Header::new(Algorithm::PS256) };
                let signed = jsonwebtoken::encode(&header, &claims, key)
                    .map_err(|e| Error::new(Kind::Definition, format!("the private key cannot sign: {e}")))?;
                form.push(("client_assertion", signed));
            }
        }
        Ok(())
    }
}

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

fn read_small(path: &std::path::Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(PEM_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}
