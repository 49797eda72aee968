//! What the token service answers, and what that means (facts §5.2, §5.4). Pure.

use std::time::Duration;

use reqwest::header::HeaderValue;
use serde::Deserialize;

use super::errors::{Acts, SIGN_IN_AGAIN};
use crate::{Error, error::Kind};

/// Tokens are renewed this long before they expire; shorter ones at half their life.
const EARLY: Duration = Duration::from_secs(300);

/// A token is renewed after this, whatever it says: no service gives one for longer, and a number is not to be trusted.
const LIFE_MAX: Duration = Duration::from_secs(24 * 3600);

/// Longer claims are not handed on.
const CLAIMS_MAX: usize = 8 << 10;

/// A token that was granted.
pub(crate) struct Token {
    pub(crate) bearer: HeaderValue,
    /// By the clock's elapsed time.
    pub(crate) renew_at: Duration,
    pub(crate) expires_at: Duration,
}

/// What was asked of the token service, as far as its refusals mean something else by it.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) acts: Acts,
    /// Separated by blanks.
    pub(crate) scopes: String,
    /// Where an administrator consents.
    pub(crate) consent: String,
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
    suberror: String,
    error_description: String,
    error_codes: Vec<u64>,
    claims: Option<String>,
    trace_id: Option<String>,
}

/// The token in an answer to a request that was sent at `asked`.
///
/// # Errors
/// [`Kind::Unreachable`]: there is none that can be used.
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

/// The error for an answer that is no token. Decides on `error`, `suberror` and the presence of claims: the vendor warns
/// against the `AADSTS` numbers, which are for people (facts §5.4).
pub(crate) fn refused(status: u16, body: &[u8], asked: &Asked) -> Error {
    let refusal: TokenRefusal = serde_json::from_slice(body).unwrap_or_default();
    let code: String =
        refusal.error.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(64).collect();
    let number = number(&refusal);
    let said = number.map(|n| format!(" (AADSTS{n})")).unwrap_or_default();
    let mut error =
        Error::new(Kind::Unauthenticated, format!("token service answered {status} {code}{said}"));
    error.request =
        refusal.trace_id.as_deref().and_then(|id| uuid::Uuid::try_parse(id).ok()).map(|id| id.to_string());
    if matches!(code.as_str(), "temporarily_unavailable" | "server_error") || status == 429 || status >= 500 {
        return Error { kind: Kind::Unreachable, ..error };
    }
    match asked.acts {
        Acts::Application => error.hint(of_application(&code)),
        Acts::User => of_user(&code, number, refusal, error, asked),
    }
}

fn of_application(code: &str) -> &'static str {
    match code {
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
        _ => "check authority, tenant, client_id and the credential",
    }
}

/// On behalf of a user, who may be at fault as well as the application.
fn of_user(code: &str, number: Option<u64>, refusal: TokenRefusal, error: Error, asked: &Asked) -> Error {
    let is_json = |claims: &String| {
        claims.len() <= CLAIMS_MAX && serde_json::from_str::<serde::de::IgnoredAny>(claims).is_ok()
    };
    let claims = refusal.claims.filter(|claims| !claims.is_empty());
    // The number only where the answer has no word for it: else a user without consent would sign in again and again.
    let consent = refusal.suberror == "consent_required"
        || code == "consent_required"
        || (refusal.suberror.is_empty() && number == Some(65_001));
    if code == "interaction_required" || claims.is_some() {
        let error = Error { kind: Kind::Challenged, claims: claims.filter(is_json), ..error };
        return error.hint(SIGN_IN_AGAIN);
    }
    if consent {
        let hint = format!("an administrator must consent to {} at {}", asked.scopes, asked.consent);
        return Error { kind: Kind::ConsentRequired, ..error }.hint(hint);
    }
    if code == "invalid_grant" {
        return Error { kind: Kind::UserTokenRefused, ..error }.hint(
            "the user's token has expired or was not issued for this application: ask with a fresh one",
        );
    }
    error.hint(of_application(code))
}

/// The number of the refusal, for people.
fn number(refusal: &TokenRefusal) -> Option<u64> {
    refusal.error_codes.first().copied().or_else(|| {
        let at = refusal.error_description.find("AADSTS")?;
        let digits = refusal.error_description[at + 6..].chars().take_while(char::is_ascii_digit).take(9);
        digits.collect::<String>().parse().ok()
    })
}

/// An id of the far side in a header, if it looks like one.
pub(super) fn plain_id(id: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (!id.is_empty() && id.len() <= 64 && id.chars().all(plain)).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(acts: Acts) -> Asked {
        Asked {
            acts,
            scopes: "https://graph.microsoft.com/VirtualEvent.Read".into(),
            consent: "https://login.example/t/adminconsent?client_id=c".into(),
        }
    }

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
            for acts in [Acts::Application, Acts::User] {
                let refused = refused(status, body(error).as_bytes(), &asked(acts));
                assert_eq!(refused.kind, kind, "{error}");
                assert!(refused.message.contains("AADSTS7000215"), "{}", refused.message);
                assert!(!refused.message.contains("s3cret"));
                assert_eq!(refused.hint.is_some(), kind == Kind::Unauthenticated);
            }
        }
        assert_eq!(refused(502, b"<html>", &asked(Acts::User)).kind, Kind::Unreachable);
    }

    #[test]
    fn what_a_user_is_refused_for() {
        let claims = r#"{\"access_token\":{\"polids\":{\"essential\":true}}}"#;
        for (body, kind) in [
            (r#"{"error":"invalid_grant","error_codes":[500133]}"#.to_owned(), Kind::UserTokenRefused),
            (
                r#"{"error":"invalid_grant","error_codes":[50013],"suberror":"bad_token"}"#.into(),
                Kind::UserTokenRefused,
            ),
            (r#"{"error":"invalid_grant","suberror":"consent_required"}"#.into(), Kind::ConsentRequired),
            (r#"{"error":"invalid_grant","error_codes":[65001]}"#.into(), Kind::ConsentRequired),
            (r#"{"error":"interaction_required","error_codes":[50079]}"#.into(), Kind::Challenged),
            (format!(r#"{{"error":"interaction_required","claims":"{claims}"}}"#), Kind::Challenged),
            (format!(r#"{{"error":"invalid_grant","claims":"{claims}"}}"#), Kind::Challenged),
            (r#"{"error":"invalid_client"}"#.into(), Kind::Unauthenticated),
        ] {
            let error = refused(400, body.as_bytes(), &asked(Acts::User));
            assert_eq!(error.kind, kind, "{body}");
            let expected = r#"{"access_token":{"polids":{"essential":true}}}"#;
            assert_eq!(error.claims.as_deref(), body.contains("claims").then_some(expected), "{body}");
        }
        let consent = refused(400, br#"{"error":"consent_required"}"#, &asked(Acts::User));
        assert_eq!(
            consent.hint.as_deref(),
            Some(
                "an administrator must consent to https://graph.microsoft.com/VirtualEvent.Read at \
                 https://login.example/t/adminconsent?client_id=c"
            )
        );
        let not_json = refused(400, br#"{"error":"interaction_required","claims":"{"}"#, &asked(Acts::User));
        assert_eq!((not_json.kind, not_json.claims), (Kind::Challenged, None));
    }
}
