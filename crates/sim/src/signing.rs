//! The key the tenant publishes for checking what it signs (facts §5.7).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, PublicKeyData as _};
use serde_json::json;

use crate::answer::Reply;
use crate::state::State;

impl State {
    /// `/{tenant}/discovery/v2.0/keys`. App-only tokens are opaque, so one elliptic key, made on first use, is all
    /// there is to publish.
    pub(crate) fn signing_keys(&mut self) -> Reply {
        if self.signing_key.is_none() {
            self.signing_key = KeyPair::generate().ok();
        }
        let Some(key) = &self.signing_key else {
            return Reply::value(503, &json!({ "error": "temporarily_unavailable" }));
        };
        // An uncompressed point: one byte of form, then x and y of 32 bytes each.
        let point = key.der_bytes();
        let coordinate =
            |range: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(point.get(range).unwrap_or_default());
        Reply::value(
            200,
            &json!({ "keys": [{
                "kty": "EC", "crv": "P-256", "use": "sig", "kid": self.tenant_id.simple().to_string(),
                "x": coordinate(1..33), "y": coordinate(33..65),
            }] }),
        )
    }
}
