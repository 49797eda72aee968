//! Tokens for a user: on-behalf-of and refresh (facts §5.1, §5.4).

use std::sync::Arc;

use serde_json::Value;

use crate::access::Delegation;
use crate::people::known_scope;
use crate::state::State;
use crate::throttle::Window;
use crate::token::{Form, Grant, RefreshToken, TokenRefusal, resource_of};

/// The window of "50 delegation token requests per 5 minutes per user" (facts §3.2 \[D\]).
const DELEGATION_WINDOW_MS: i64 = 300_000;

/// Life of a refresh token: 90 days (facts §5.5 \[D\]).
const REFRESH_LIFE_MS: i64 = 90 * 86_400_000;

/// Users whose requests are counted at a time.
const COUNTED_MAX: usize = 10_000;

/// Scopes of the sign-in itself, which buy no access to Graph.
const SIGN_IN_SCOPES: [&str; 4] = ["openid", "profile", "email", "offline_access"];

fn invalid_grant(number: u32, message: impl Into<String>) -> TokenRefusal {
    TokenRefusal::new("invalid_grant", number, message)
}

/// Exchanges a user's token for this application against one for Graph.
pub(crate) fn exchange(
    state: &mut State,
    app: usize,
    form: &Form,
    base: &str,
) -> Result<Grant, TokenRefusal> {
    let assertion = form.required("assertion")?;
    if form.required("requested_token_use")? != "on_behalf_of" {
        return Err(TokenRefusal::new(
            "invalid_request",
            90_014,
            "The requested_token_use is not supported.",
        ));
    }
    let wanted = Wanted::parse(form.required("scope")?, base)?;
    let oid = user_of(state, app, assertion, base)?;
    state.log.totals.obo_requests += 1;
    count(state, &oid)?;
    delegate(state, app, &oid, &wanted, form)
}

/// Exchanges a refresh token. It is not used up by that (facts §5.5).
pub(crate) fn refresh(state: &mut State, app: usize, form: &Form, base: &str) -> Result<Grant, TokenRefusal> {
    let text = form.required("refresh_token")?;
    let wanted = Wanted::parse(form.required("scope")?, base)?;
    let now_ms = state.clock.now_ms();
    let known = state.refresh_tokens.get(text).filter(|known| known.app == app && known.expires_ms > now_ms);
    let oid = known.map(|known| known.oid.clone());
    let oid =
        oid.ok_or_else(|| invalid_grant(700_082, "The refresh token has expired due to inactivity."))?;
    delegate(state, app, &oid, &wanted, form)
}

/// The user an assertion speaks for, once all of it is verified.
fn user_of(state: &State, app: usize, assertion: &str, base: &str) -> Result<String, TokenRefusal> {
    let invalid = |why: &str| invalid_grant(50_013, format!("Assertion failed validation. {why}"));
    let claims = state.keys.verified(assertion).ok_or_else(|| {
        invalid("The assertion is malformed, or its signature is not that of a key of the tenant.")
    })?;
    let text = |key: &str| claims.get(key).and_then(Value::as_str).unwrap_or("");
    let tenant = state.tenant_id.to_string();
    let issuers = [base, state.base.as_str()].map(|base| format!("{base}/{tenant}/v2.0"));
    if !issuers.iter().any(|issuer| issuer == text("iss")) || text("tid") != tenant {
        return Err(invalid("The issuer of the assertion is not the tenant."));
    }
    let client_id = &state.apps[app].client_id;
    let audience = text("aud");
    if audience != client_id && audience.strip_prefix("api://") != Some(client_id) {
        // The number of this one is [K].
        return Err(invalid_grant(
            500_131,
            format!(
                "Assertion audience does not match the Client app presenting the assertion: '{audience}'."
            ),
        ));
    }
    let now_s = state.clock.caller_now_s();
    let second = |key: &str| claims.get(key).and_then(Value::as_i64);
    if second("exp").is_none_or(|exp| exp <= now_s) || second("nbf").is_some_and(|nbf| nbf > now_s) {
        return Err(invalid_grant(500_133, "Assertion is not within its valid time range."));
    }
    if text("scp").is_empty() || text("idtyp") == "app" {
        // App-only assertions are refused (facts §5.1 [D]); the number is [K].
        return Err(invalid_grant(
            7_000_114,
            "Application is not allowed to make application on-behalf-of calls.",
        ));
    }
    let user = state.people.user(text("oid"));
    let user =
        user.ok_or_else(|| invalid_grant(50_034, "The user account does not exist in the directory."))?;
    Ok(user.oid.clone())
}

/// Counts a request for a user under the switch (facts §3.2).
fn count(state: &mut State, oid: &str) -> Result<(), TokenRefusal> {
    let Some(limit) = state.rules.delegation_requests_per_user else { return Ok(()) };
    let now_ms = state.clock.now_ms();
    if state.delegations.len() >= COUNTED_MAX {
        state.delegations.clear();
    }
    let kind = state.rules.throttle_window;
    let window = state
        .delegations
        .entry(oid.to_ascii_lowercase())
        .or_insert_with(|| Window::new(DELEGATION_WINDOW_MS, limit, kind));
    match window.take(now_ms) {
        None => Ok(()),
        Some(wait_ms) => {
            let seconds = (state.clock.caller_seconds(wait_ms).ceil() as u64).max(1);
            Err(TokenRefusal::throttled("Too many delegation token requests for this user.", seconds))
        }
    }
}

/// What a `scope` parameter asks of Graph.
struct Wanted {
    /// As the caller wrote it, for the answer.
    resource: String,
    /// `None` for `.default`: everything consented to.
    scopes: Option<Vec<&'static str>>,
    offline: bool,
}

impl Wanted {
    /// All scopes are of one resource, and it is Graph (facts §5.1).
    fn parse(scope: &str, base: &str) -> Result<Self, TokenRefusal> {
        let invalid = || {
            TokenRefusal::new(
                "invalid_scope",
                70_011,
                format!("The provided value for the input parameter 'scope' is not valid: '{scope}'."),
            )
        };
        let mut wanted = Self { resource: String::new(), scopes: Some(Vec::new()), offline: false };
        for part in scope.split_whitespace() {
            if SIGN_IN_SCOPES.contains(&part) {
                wanted.offline |= part == "offline_access";
                continue;
            }
            // A scope without a resource is one of Graph [K].
            let (resource, name) = part.rsplit_once('/').unwrap_or(("https://graph.microsoft.com", part));
            let resource = resource_of(resource, base)?;
            if !wanted.resource.is_empty() && wanted.resource != resource {
                return Err(invalid());
            }
            resource.clone_into(&mut wanted.resource);
            match (&mut wanted.scopes, name) {
                (Some(named), ".default") if named.is_empty() => wanted.scopes = None,
                (Some(named), name) => named.push(known_scope(name).ok_or_else(invalid)?),
                (None, _) => return Err(invalid()),
            }
        }
        if wanted.resource.is_empty() { Err(invalid()) } else { Ok(wanted) }
    }
}

/// A delegated grant, when the user passed every check and consent covers what is wanted.
fn delegate(
    state: &mut State,
    app: usize,
    oid: &str,
    wanted: &Wanted,
    form: &Form,
) -> Result<Grant, TokenRefusal> {
    let State { people, apps, .. } = state;
    let client_id = &apps[app].client_id;
    if let Some(user) = people.user(oid)
        && let Some(claims) = &user.mfa_required
    {
        return Err(interaction_required(claims, user.mfa_enrolment));
    }
    let consented = people.consented(client_id, oid);
    let scopes: Vec<String> = match &wanted.scopes {
        Some(named) if named.iter().all(|scope| consented.contains(scope)) => {
            named.iter().map(|scope| (*scope).to_owned()).collect()
        }
        None if !consented.is_empty() => consented.into_iter().map(str::to_owned).collect(),
        _ => {
            let why = format!(
                "The user or administrator has not consented to use the application with ID '{client_id}'. Send an \
                 interactive authorization request for this user and resource."
            );
            return Err(invalid_grant(65_001, why).with_suberror("consent_required"));
        }
    };
    let scope =
        scopes.iter().map(|scope| format!("{}/{scope}", wanted.resource)).collect::<Vec<_>>().join(" ");
    let knows_challenges = form.field("claims").is_some_and(|claims| claims.contains("cp1"));
    let refresh_token = wanted.offline.then(|| {
        let expires_ms = state.clock.now_ms().saturating_add(REFRESH_LIFE_MS);
        RefreshToken { app, oid: oid.to_owned(), expires_ms }
    });
    let user = Delegation { oid: oid.to_owned(), scopes, knows_challenges };
    Ok(Grant { app, scope: Some(scope), user: Some(Arc::new(user)), refresh_token })
}

/// The claims are JSON inside JSON (facts §5.4).
fn interaction_required(claims: &Value, enrolment: bool) -> TokenRefusal {
    let (number, what) = if enrolment { (50_079, "enroll in") } else { (50_076, "use") };
    let why = format!(
        "Due to a configuration change made by your administrator, or because you moved to a new location, you must \
         {what} multi-factor authentication to access the resource."
    );
    TokenRefusal::new("interaction_required", number, why)
        .with_suberror("basic_action")
        .with_claims(claims.to_string())
}
