//! The token service: grants, credentials and refusals (facts §5).

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use serde_json::json;

use crate::access::{Delegation, Token};
use crate::answer::Reply;
use crate::state::State;
use crate::throttle::Window;
use crate::{assertion, clock, on_behalf};

/// Length of an access token.
const TOKEN_LENGTH: usize = 160;

/// Tokens in force at a time; the oldest to expire go first.
const TOKENS_MAX: usize = 10_000;

/// The window in which identical requests are counted (\[X\]).
const LOOP_WINDOW_MS: i64 = 300_000;

/// Graph roots whose scopes are accepted besides the simulator's own address (facts §1.1).
const GRAPH_ROOTS: [&str; 5] = [
    "https://graph.microsoft.com",
    "https://graph.microsoft.us",
    "https://dod-graph.microsoft.us",
    "https://microsoftgraph.chinacloudapi.cn",
    "00000003-0000-0000-c000-000000000000",
];

/// A refusal in the shape of facts §5.4.
#[derive(Debug)]
pub(crate) struct TokenRefusal {
    status: u16,
    error: &'static str,
    number: u32,
    message: String,
    suberror: Option<&'static str>,
    claims: Option<String>,
    retry_after_s: Option<u64>,
}

impl TokenRefusal {
    pub(crate) fn new(error: &'static str, number: u32, message: impl Into<String>) -> Self {
        // 401 for `invalid_client` [O], 400 for the others (facts §5.4).
        let status = if error == "invalid_client" { 401 } else { 400 };
        let message = message.into();
        Self { status, error, number, message, suberror: None, claims: None, retry_after_s: None }
    }

    /// 429 with `Retry-After`. What the body of such an answer says is \[X\].
    pub(crate) fn throttled(message: &str, retry_after_s: u64) -> Self {
        let refusal = Self::new("temporarily_unavailable", 90_033, message);
        Self { status: 429, retry_after_s: Some(retry_after_s), ..refusal }
    }

    pub(crate) fn with_suberror(self, suberror: &'static str) -> Self {
        Self { suberror: Some(suberror), ..self }
    }

    pub(crate) fn with_claims(self, claims: String) -> Self {
        Self { claims: Some(claims), ..self }
    }

    fn into_reply(self, state: &mut State) -> Reply {
        let (trace, correlation) = (state.chance.guid(), state.chance.guid());
        let stamp = clock::iso_utc(state.clock.now_ms()).replace('T', " ");
        let number = self.number;
        let mut body = json!({
            "error": self.error,
            "error_description": format!(
                "AADSTS{number}: {}\r\nTrace ID: {trace}\r\nCorrelation ID: {correlation}\r\nTimestamp: {stamp}",
                self.message
            ),
            "error_codes": [number],
            "timestamp": stamp,
            "trace_id": trace.to_string(),
            "correlation_id": correlation.to_string(),
        });
        if let Some(suberror) = self.suberror {
            body["suberror"] = suberror.into();
        }
        if let Some(claims) = self.claims {
            body["claims"] = claims.into();
        }
        let reply = Reply::value(self.status, &body);
        match self.retry_after_s {
            Some(seconds) => reply.with_header("Retry-After", seconds.to_string()),
            None => reply,
        }
    }
}

/// A request to the token endpoint.
pub(crate) struct TokenRequest<'a> {
    /// Tenant of the path.
    pub(crate) tenant: &'a str,
    /// Scheme and host as the caller used them.
    pub(crate) base: &'a str,
    pub(crate) authorization: Option<&'a str>,
    pub(crate) form: &'a [u8],
}

/// What is granted: an application's own access, or a user's through it.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) app: usize,
    /// Scopes as the answer names them; client credentials have none (facts §5.2).
    pub(crate) scope: Option<String>,
    pub(crate) user: Option<Arc<Delegation>>,
    /// Only where `offline_access` was asked for (facts §5.2).
    pub(crate) refresh_token: Option<RefreshToken>,
}

/// A refresh token in force.
#[derive(Debug)]
pub(crate) struct RefreshToken {
    pub(crate) app: usize,
    pub(crate) oid: String,
    pub(crate) expires_ms: i64,
}

/// Answers `POST /{tenant}/oauth2/v2.0/token`.
pub(crate) fn grant(state: &mut State, request: &TokenRequest<'_>) -> Reply {
    match decide(state, request) {
        Ok(grant) => issue(state, grant),
        Err(refusal) => refusal.into_reply(state),
    }
}

fn issue(state: &mut State, grant: Grant) -> Reply {
    let now_ms = state.clock.now_ms();
    let life_ms = state.clock.simulated_ms(f64::from(state.token_expires_in));
    let token = state.chance.opaque(TOKEN_LENGTH);
    make_room(state, now_ms);
    let expires_ms = now_ms.saturating_add(life_ms);
    state.tokens.insert(token.clone(), Token { app: grant.app, user: grant.user, expires_ms });
    state.log.totals.tokens_issued += 1;
    let mut body = json!({
        "token_type": "Bearer",
        "expires_in": state.token_expires_in,
        "ext_expires_in": state.token_expires_in,
        "access_token": token,
    });
    if let Some(scope) = grant.scope {
        body["scope"] = scope.into();
    }
    if let Some(refresh) = grant.refresh_token {
        let text = state.chance.opaque(TOKEN_LENGTH);
        if state.refresh_tokens.len() >= TOKENS_MAX {
            state.refresh_tokens.clear();
        }
        state.refresh_tokens.insert(text.clone(), refresh);
        body["refresh_token"] = text.into();
    }
    Reply::value(200, &body)
}

fn make_room(state: &mut State, now_ms: i64) {
    if state.tokens.len() < TOKENS_MAX {
        return;
    }
    state.tokens.retain(|_, token| token.expires_ms > now_ms);
    if state.tokens.len() >= TOKENS_MAX
        && let Some(oldest) =
            state.tokens.iter().min_by_key(|(_, token)| token.expires_ms).map(|(text, _)| text.clone())
    {
        state.tokens.remove(&oldest);
    }
}

/// Whether the tenant of a path is this one, by domain or id.
pub(crate) fn is_tenant(state: &State, tenant: &str) -> bool {
    tenant.eq_ignore_ascii_case(&state.tenant)
        || tenant.parse::<uuid::Uuid>().is_ok_and(|id| id == state.tenant_id)
}

fn decide(state: &mut State, request: &TokenRequest<'_>) -> Result<Grant, TokenRefusal> {
    if !is_tenant(state, request.tenant) {
        return Err(TokenRefusal::new(
            "invalid_request",
            90_002,
            format!(
                "Tenant '{}' not found. Check to make sure you have the correct tenant ID.",
                request.tenant
            ),
        ));
    }
    let mut form = Form::parse(request.form);
    if let Some((id, secret)) = request.authorization.and_then(basic_credentials) {
        form.0.entry("client_id".into()).or_insert(id);
        form.0.entry("client_secret".into()).or_insert(secret);
    }
    let kind = GrantKind::parse(form.required("grant_type")?)?;
    state.log.totals.count_route(kind.name());
    let app = known_app(state, form.required("client_id")?)?;
    check_credential(state, app, &form, request.base)?;
    guard_loops(state, &form)?;
    match kind {
        GrantKind::ClientCredentials => {
            check_scope(form.required("scope")?, request.base)?;
            Ok(Grant { app, scope: None, user: None, refresh_token: None })
        }
        GrantKind::OnBehalfOf => on_behalf::exchange(state, app, &form, request.base),
        GrantKind::Refresh => on_behalf::refresh(state, app, &form, request.base),
    }
}

/// The grants of facts §5.1.
#[derive(Debug, Clone, Copy)]
enum GrantKind {
    ClientCredentials,
    OnBehalfOf,
    Refresh,
}

impl GrantKind {
    fn parse(name: &str) -> Result<Self, TokenRefusal> {
        match name {
            "client_credentials" => Ok(Self::ClientCredentials),
            "urn:ietf:params:oauth:grant-type:jwt-bearer" => Ok(Self::OnBehalfOf),
            "refresh_token" => Ok(Self::Refresh),
            _ => Err(TokenRefusal::new(
                "unsupported_grant_type",
                70_003,
                format!("The app requested an unsupported grant type '{name}'."),
            )),
        }
    }

    /// The name it is counted under.
    fn name(self) -> &'static str {
        match self {
            Self::ClientCredentials => "token.client_credentials",
            Self::OnBehalfOf => "token.on_behalf_of",
            Self::Refresh => "token.refresh",
        }
    }
}

fn known_app(state: &State, client_id: &str) -> Result<usize, TokenRefusal> {
    let app = state.apps.iter().position(|app| app.client_id.eq_ignore_ascii_case(client_id));
    app.ok_or_else(|| {
        TokenRefusal::new(
            "unauthorized_client",
            700_016,
            format!(
                "Application with identifier '{client_id}' was not found in the directory '{}'.",
                state.tenant
            ),
        )
    })
}

/// A secret, from the form or HTTP Basic, or an assertion signed with a certificate (facts §5.1).
fn check_credential(state: &State, app: usize, form: &Form, base: &str) -> Result<(), TokenRefusal> {
    match (form.field("client_secret"), form.field("client_assertion")) {
        (_, Some(jwt)) => {
            let kind = form.required("client_assertion_type")?;
            if kind != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
                return Err(missing("client_assertion_type"));
            }
            assertion::check(state, app, base, jwt)
        }
        (Some(secret), None) if state.apps[app].secrets.iter().any(|known| known == secret) => Ok(()),
        (Some(_), None) => Err(TokenRefusal::new(
            "invalid_client",
            7_000_215,
            format!(
                "Invalid client secret provided. Ensure the secret being sent in the request is the client secret \
                 value, not the client secret ID, for a secret added to app '{}'.",
                state.apps[app].client_id
            ),
        )),
        (None, None) => Err(TokenRefusal::new(
            "invalid_client",
            7_000_218,
            "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
        )),
    }
}

/// Identical requests in a short time are a broken cache (facts §5.4), under a switch.
fn guard_loops(state: &mut State, form: &Form) -> Result<(), TokenRefusal> {
    let Some(limit) = state.rules.token_loop_guard else { return Ok(()) };
    let identity = ["client_id", "grant_type", "scope", "assertion", "refresh_token"];
    let identity = identity.map(|name| form.field(name).unwrap_or("")).join("\n");
    let now_ms = state.clock.now_ms();
    if state.token_loops.len() >= TOKENS_MAX {
        state.token_loops.clear();
    }
    let kind = state.rules.throttle_window;
    let window =
        state.token_loops.entry(identity).or_insert_with(|| Window::new(LOOP_WINDOW_MS, limit, kind));
    match window.take(now_ms) {
        None => Ok(()),
        Some(_) => Err(TokenRefusal::new(
            "invalid_grant",
            50_196,
            "The server terminated an operation because it encountered a loop while processing a request.",
        )),
    }
}

/// `{graph root}/.default`, and nothing else, for client credentials (facts §5.1).
fn check_scope(scope: &str, base: &str) -> Result<(), TokenRefusal> {
    let mut resources = scope.split_whitespace().map(|scope| scope.strip_suffix("/.default"));
    let (Some(Some(resource)), None) = (resources.next(), resources.next()) else {
        return Err(TokenRefusal::new(
            "invalid_scope",
            70_011,
            format!(
                "The provided request must include a 'scope' input parameter. The scope '{scope}' is not valid."
            ),
        ));
    };
    resource_of(resource, base).map(|_| ())
}

/// The resource, when it is Graph.
pub(crate) fn resource_of<'a>(resource: &'a str, base: &str) -> Result<&'a str, TokenRefusal> {
    let resource = resource.trim_end_matches('/');
    if resource == base || GRAPH_ROOTS.contains(&resource) {
        return Ok(resource);
    }
    Err(TokenRefusal::new(
        "invalid_resource",
        500_011,
        format!("The resource principal named '{resource}' was not found in the tenant."),
    ))
}

fn missing(name: &str) -> TokenRefusal {
    TokenRefusal::new(
        "invalid_request",
        900_144,
        format!("The request body must contain the following parameter: '{name}'."),
    )
}

/// The fields of a token request. Unknown ones are ignored (facts §5.1 \[L\]).
#[derive(Debug)]
pub(crate) struct Form(HashMap<String, String>);

impl Form {
    fn parse(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let decode =
            |part: &str| percent_decode_str(&part.replace('+', " ")).decode_utf8_lossy().into_owned();
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Self(pairs.map(|(name, value)| (decode(name), decode(value))).collect())
    }

    /// A field that is there and not empty.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub(crate) fn required(&self, name: &str) -> Result<&str, TokenRefusal> {
        self.field(name).ok_or_else(|| missing(name))
    }
}

/// HTTP Basic, whose parts are form-encoded.
fn basic_credentials(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    let decode = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
    Some((decode(id), decode(secret)))
}
