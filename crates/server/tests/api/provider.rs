//! An identity provider for tests: real keys, real signatures, over real HTTP.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};
use serde_json::{Value, json};
use syncline_core::project::Users;
use tokio::{net::TcpListener, task::JoinSet};

pub(crate) const AUDIENCE: &str = "api://syncline";
pub(crate) const TENANT: &str = "11111111-0000-0000-0000-000000000001";
pub(crate) const SCOPE: &str = "access_as_user";

/// A key with its name.
#[derive(Clone)]
pub(crate) struct SigningKey {
    name: String,
    algorithm: Algorithm,
    key: EncodingKey,
    /// As PEM: the public half.
    pub(crate) public: String,
}

impl SigningKey {
    pub(crate) fn rsa(name: &str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_RSA_SHA256).expect("a key");
        let key = EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).expect("a key");
        Self { name: name.into(), algorithm: Algorithm::RS256, key, public: pair.public_key_pem() }
    }

    pub(crate) fn elliptic(name: &str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        let key = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).expect("a key");
        Self { name: name.into(), algorithm: Algorithm::ES256, key, public: pair.public_key_pem() }
    }

    /// The same key, which signs in another way.
    pub(crate) fn by(&self, algorithm: Algorithm) -> Self {
        Self { algorithm, ..self.clone() }
    }

    /// The same key under another name.
    pub(crate) fn named(&self, name: &str) -> Self {
        Self { name: name.into(), ..self.clone() }
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.name.clone()), ..Header::new(self.algorithm) };
        jsonwebtoken::encode(&header, claims, &self.key).expect("a token")
    }

    /// As providers publish them: without `alg`, with `use`.
    fn published(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).expect("a key");
        jwk.common.key_algorithm = None;
        jwk.common.key_id = Some(self.name.clone());
        let mut value = serde_json::to_value(jwk).expect("JSON");
        value["use"] = json!("sig");
        value
    }
}

#[derive(Default)]
struct Shown {
    keys: Vec<Value>,
    asked: usize,
    down: bool,
}

/// A running provider; it ends with its owner.
pub(crate) struct Provider {
    address: SocketAddr,
    shown: Arc<Mutex<Shown>>,
    _serving: JoinSet<()>,
}

impl Provider {
    pub(crate) async fn start(keys: &[&SigningKey]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shown = Arc::new(Mutex::new(Shown::default()));
        let issuer = issuer(address);
        let configuration = json!({ "issuer": issuer, "jwks_uri": format!("http://{address}/keys") });
        let router = Router::new()
            .route("/t1/v2.0/.well-known/openid-configuration", get(|| async { Json(configuration) }))
            .route("/keys", get(keys_of))
            .with_state(Arc::clone(&shown));
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        let provider = Self { address, shown, _serving: serving };
        provider.publish(keys);
        provider
    }

    /// What a project says of it.
    pub(crate) fn users(&self) -> Users {
        Users {
            issuer: issuer(self.address),
            audience: vec![AUDIENCE.into()],
            jwks: None,
            tenant: Some(TENANT.into()),
            clock_skew: Duration::from_secs(60),
            required_scope: Some(SCOPE.into()),
        }
    }

    pub(crate) fn publish(&self, keys: &[&SigningKey]) {
        self.shown.lock().expect("not poisoned").keys = keys.iter().map(|key| key.published()).collect();
    }

    pub(crate) fn set_down(&self, down: bool) {
        self.shown.lock().expect("not poisoned").down = down;
    }

    /// How often the keys were fetched.
    pub(crate) fn asked(&self) -> usize {
        self.shown.lock().expect("not poisoned").asked
    }

    /// What a good token says of a user; `at`: seconds since 1970.
    pub(crate) fn claims(&self, owner: &str, at: i64) -> Value {
        json!({
            "iss": issuer(self.address), "aud": AUDIENCE, "oid": owner, "tid": TENANT, "scp": SCOPE,
            "iat": at, "nbf": at, "exp": at + 3600, "ver": "2.0", "name": "hidden-name",
        })
    }
}

fn issuer(address: SocketAddr) -> String {
    format!("http://{address}/t1/v2.0")
}

async fn keys_of(State(shown): State<Arc<Mutex<Shown>>>) -> axum::response::Response {
    let mut shown = shown.lock().expect("not poisoned");
    shown.asked += 1;
    if shown.down {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    Json(json!({ "keys": shown.keys })).into_response()
}
