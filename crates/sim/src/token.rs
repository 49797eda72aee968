//! The token service: client credentials with a secret or a certificate (facts §5).

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use serde_json::json;

use crate::access::Token;
use crate::answer::Reply;
use crate::assertion;
use crate::clock;
use crate::state::State;

/// Length of an access token.
const TOKEN_LENGTH: usize = 160;

/// Tokens in force at a time; the oldest to expire go first.
const TOKENS_MAX: usize = 10_000;

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
}

impl TokenRefusal {
    pub(crate) fn new(error: &'static str, number: u32, message: impl Into<String>) -> Self {
        // 401 for `invalid_client` [O], 400 for the others (facts §5.4).
        let status = if error == "invalid_client" { 401 } else { 400 };
        Self { status, error, number, message: message.into() }
    }

    fn into_reply(self, state: &mut State) -> Reply {
        let (trace, correlation) = (state.chance.guid(), state.chance.guid());
        let stamp = clock::iso_utc(state.clock.now_ms()).replace('T', " ");
        let number = self.number;
        Reply::value(
            self.status,
            &json!({
                "error": self.error,
                "error_description": format!(
                    "AADSTS{number}: {} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {stamp}",
                    self.message
                ),
                "error_codes": [number],
                "timestamp": stamp,
                "trace_id": trace.to_string(),
                "correlation_id": correlation.to_string(),
            }),
        )
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

/// Answers `POST /{tenant}/oauth2/v2.0/token`.
pub(crate) fn grant(state: &mut State, request: &TokenRequest<'_>) -> Reply {
    match decide(state, request) {
        Ok(app) => {
            let now_ms = state.clock.now_ms();
            let life_ms = state.clock.simulated_ms(f64::from(state.token_expires_in));
            let token = state.chance.opaque(TOKEN_LENGTH);
            make_room(state, now_ms);
            state.tokens.insert(token.clone(), Token { app, expires_ms: now_ms.saturating_add(life_ms) });
            state.log.totals.tokens_issued += 1;
            Reply::value(
                200,
                &json!({
                    "token_type": "Bearer",
                    "expires_in": state.token_expires_in,
                    "ext_expires_in": state.token_expires_in,
                    "access_token": token,
                }),
            )
        }
        Err(refusal) => refusal.into_reply(state),
    }
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

fn decide(state: &State, request: &TokenRequest<'_>) -> Result<usize, TokenRefusal> {
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
    let mut form = parse_form(request.form);
    if let Some((id, secret)) = request.authorization.and_then(basic_credentials) {
        form.entry("client_id".into()).or_insert(id);
        form.entry("client_secret".into()).or_insert(secret);
    }
    let field = |name: &str| form.get(name).map(String::as_str).filter(|value| !value.is_empty());
    let missing = |name: &str| {
        TokenRefusal::new(
            "invalid_request",
            900_144,
            format!("The request body must contain the following parameter: '{name}'."),
        )
    };
    let grant_type = field("grant_type").ok_or_else(|| missing("grant_type"))?;
    if grant_type != "client_credentials" {
        return Err(TokenRefusal::new(
            "unsupported_grant_type",
            70_003,
            format!("The app requested an unsupported grant type '{grant_type}'."),
        ));
    }
    let client_id = field("client_id").ok_or_else(|| missing("client_id"))?;
    let app = state.apps.iter().position(|app| app.client_id.eq_ignore_ascii_case(client_id));
    let app = app.ok_or_else(|| {
        TokenRefusal::new(
            "unauthorized_client",
            700_016,
            format!(
                "Application with identifier '{client_id}' was not found in the directory '{}'.",
                state.tenant
            ),
        )
    })?;
    check_scope(field("scope").ok_or_else(|| missing("scope"))?, request.base)?;
    match (field("client_secret"), field("client_assertion")) {
        (_, Some(jwt)) => {
            let kind = field("client_assertion_type");
            if kind != Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer") {
                return Err(missing("client_assertion_type"));
            }
            assertion::check(state, app, request.base, jwt)?;
        }
        (Some(secret), None) => {
            if !state.apps[app].secrets.iter().any(|known| known == secret) {
                return Err(TokenRefusal::new(
                    "invalid_client",
                    7_000_215,
                    format!(
                        "Invalid client secret provided. Ensure the secret being sent in the request is the client secret \
                         value, not the client secret ID, for a secret added to app '{client_id}'."
                    ),
                ));
            }
        }
        (None, None) => {
            return Err(TokenRefusal::new(
                "invalid_client",
                7_000_218,
                "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
            ));
        }
    }
    Ok(app)
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
    let resource = resource.trim_end_matches('/');
    if resource == base || GRAPH_ROOTS.contains(&resource) {
        return Ok(());
    }
    Err(TokenRefusal::new(
        "invalid_resource",
        500_011,
        format!("The resource principal named '{resource}' was not found in the tenant."),
    ))
}

fn parse_form(body: &[u8]) -> HashMap<String, String> {
    let text = String::from_utf8_lossy(body);
    let decode = |part: &str| percent_decode_str(&part.replace('+', " ")).decode_utf8_lossy().into_owned();
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
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

/// `/{tenant}/v2.0/.well-known/openid-configuration` (facts §5.7).
pub(crate) fn openid_configuration(state: &State, base: &str, tenant: &str) -> Reply {
    if !is_tenant(state, tenant) && tenant != "common" && tenant != "organizations" {
        return Reply::value(400, &json!({ "error": "invalid_tenant" }));
    }
    let id = state.tenant_id;
    Reply::value(
        200,
        &json!({
            "issuer": format!("{base}/{id}/v2.0"),
            "token_endpoint": format!("{base}/{tenant}/oauth2/v2.0/token"),
            "authorization_endpoint": format!("{base}/{tenant}/oauth2/v2.0/authorize"),
            "device_authorization_endpoint": format!("{base}/{tenant}/oauth2/v2.0/devicecode"),
            "jwks_uri": format!("{base}/{tenant}/discovery/v2.0/keys"),
            "token_endpoint_auth_methods_supported":
                ["client_secret_post", "private_key_jwt", "client_secret_basic"],
            "response_modes_supported": ["query", "fragment", "form_post"],
            "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
        }),
    )
}

/// `/common/discovery/instance`: the simulator is just one more cloud (facts §1.1, §5.7).
pub(crate) fn instance_discovery(base: &str, tenant: &str) -> Reply {
    let host = base.split_once("://").map_or(base, |(_, host)| host);
    Reply::value(
        200,
        &json!({
            "tenant_discovery_endpoint": format!("{base}/{tenant}/v2.0/.well-known/openid-configuration"),
            "api-version": "1.1",
            "metadata": [{ "preferred_network": host, "preferred_cache": host, "aliases": [host] }],
        }),
    )
}
