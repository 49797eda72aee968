//! Client assertions: a JWT signed with the key of a registered certificate (facts §5.3).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;

use crate::signing::signature_only;
use crate::state::State;
use crate::token::TokenRefusal;

/// Clocks of honest callers differ by no more than this.
const LEEWAY_S: i64 = 300;

fn refused(number: u32, why: &str) -> TokenRefusal {
    TokenRefusal::new("invalid_client", number, why)
}

/// Verifies signature, audience, times, issuer and subject.
pub(crate) fn check(state: &State, app: usize, base: &str, jwt: &str) -> Result<(), TokenRefusal> {
    let malformed = || refused(50_027, "JWT token is invalid or malformed.");
    let header = jwt.split('.').next().ok_or_else(malformed)?;
    let header: Value = URL_SAFE_NO_PAD
        .decode(header)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .ok_or_else(malformed)?;
    let text = |key: &str| header.get(key).and_then(Value::as_str);
    let algorithm = match text("alg") {
        Some("PS256") => Algorithm::PS256,
        Some("RS256") => Algorithm::RS256,
        _ => return Err(refused(50_027, "The signature algorithm of the assertion is not supported.")),
    };
    let app = &state.apps[app];
    let known = app.certificates.iter().find(|certificate| match (text("x5t#S256"), text("x5t")) {
        (Some(thumbprint), _) => certificate.sha256 == thumbprint.trim_end_matches('='),
        (None, Some(thumbprint)) => certificate.sha1 == thumbprint.trim_end_matches('='),
        (None, None) => false,
    });
    let bad_signature = || {
        refused(
            700_027,
            "The certificate with identifier used to sign the client assertion is not registered on application, or the \
             signature is not valid.",
        )
    };
    let known = known.ok_or_else(bad_signature)?;
    let key = DecodingKey::from_rsa_pem(known.pem.as_bytes()).map_err(|_| bad_signature())?;
    let claims = jsonwebtoken::decode::<Value>(jwt, &key, &signature_only(algorithm))
        .map_err(|_| bad_signature())?
        .claims;
    check_claims(state, &app.client_id, base, &claims)
}

fn check_claims(state: &State, client_id: &str, base: &str, claims: &Value) -> Result<(), TokenRefusal> {
    let text = |key: &str| claims.get(key).and_then(Value::as_str).unwrap_or("");
    let tenants = [state.tenant.clone(), state.tenant_id.to_string()];
    let audiences = tenants
        .iter()
        .flat_map(|tenant| [format!("{base}/{tenant}/oauth2/v2.0/token"), format!("{base}/{tenant}/v2.0")]);
    if !audiences.into_iter().any(|audience| audience == text("aud")) {
        return Err(refused(700_023, "Client assertion audience claim does not match Realm issuer."));
    }
    if text("iss") != client_id || text("sub") != client_id {
        return Err(refused(
            700_021,
            "Client assertion application identifier doesn't match 'client_id' parameter.",
        ));
    }
    if text("jti").is_empty() {
        return Err(refused(50_027, "The assertion has no 'jti' claim."));
    }
    let now = state.clock.caller_now_s();
    let second = |key: &str| claims.get(key).and_then(Value::as_i64);
    let expires = second("exp");
    if expires.is_none_or(|exp| exp + LEEWAY_S < now) {
        return Err(refused(700_024, "Client assertion is not within its valid time range."));
    }
    if second("nbf").is_some_and(|nbf| nbf - LEEWAY_S > now) {
        return Err(refused(700_024, "Client assertion is not within its valid time range."));
    }
    Ok(())
}
