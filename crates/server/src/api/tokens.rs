//! Tokens.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use syncline_store::service::Token;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api,
    extract::{Id, Json, Name, Path},
    page::{List, Page, PageParams},
    problem::{Code, Problem, Sent},
};
use crate::auth::{self, Scope};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(revoke))
}

/// A token, without the token itself.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TokenShown {
    /// Number.
    id: u64,
    /// Its name.
    name: String,
    /// What it may do.
    scopes: Vec<String>,
    /// When it was made.
    created_at: Timestamp,
    /// When it stops working.
    expires_at: Option<Timestamp>,
    /// When it was revoked.
    revoked_at: Option<Timestamp>,
    /// When it was used last, to about a minute.
    used_at: Option<Timestamp>,
}

impl From<Token> for TokenShown {
    fn from(token: Token) -> Self {
        Self {
            id: token.id,
            name: token.token.name,
            scopes: token.token.scopes,
            created_at: token.token.created_at,
            expires_at: token.token.expires_at,
            revoked_at: token.revoked_at,
            used_at: token.used_at,
        }
    }
}

/// A token to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenWanted {
    /// A name for people; unique among those in force.
    #[schema(value_type = String, min_length = 1, max_length = 100)]
    name: Name,
    /// What it may do; each scope includes those before it.
    #[schema(min_items = 1, max_items = 4)]
    scopes: Vec<Scope>,
    /// When it stops working; left out: never.
    #[serde(default)]
    expires_at: Option<Timestamp>,
}

/// A new token.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Made {
    /// Number.
    id: u64,
    /// The token itself, shown this once.
    token: String,
}

/// The tokens, by number, revoked ones too.
#[utoipa::path(get, path = "/tokens", tag = "tokens", params(PageParams), security(("token" = ["admin"])),
    responses((status = 200, description = "A page", body = List<TokenShown>),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn list(State(api): State<Api>, page: Page) -> Result<Response, Problem> {
    let after = page.before("tokens")?.unwrap_or(0);
    let mut tokens = api.store.tokens().await?;
    tokens.retain(|token| token.id > after);
    tokens.truncate(page.limit + 1);
    Ok(page.answer("tokens", tokens, |token| token.id, TokenShown::from))
}

/// Makes a token. From the first one on, every request needs one.
#[utoipa::path(post, path = "/tokens", tag = "tokens", security(("token" = ["admin"])), request_body = TokenWanted,
    responses((status = 201, description = "The token, shown this once", body = Made),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn create(State(api): State<Api>, Json(wanted): Json<TokenWanted>) -> Result<Response, Problem> {
    let made =
        auth::create(&*api.store, &wanted.name.0, &wanted.scopes, wanted.expires_at, api.clock.now()).await?;
    let (id, token) = made.map_err(|why| Problem::new(Code::Unfit, why))?;
    Ok((StatusCode::CREATED, axum::Json(Made { id, token })).into_response())
}

/// Revokes a token, from the next request on.
#[utoipa::path(delete, path = "/tokens/{id}", tag = "tokens", params(("id" = Id, Path)), security(("token" = ["admin"])),
    responses((status = 204, description = "It is revoked"),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn revoke(State(api): State<Api>, Path(id): Path<Id>) -> Result<StatusCode, Problem> {
    if api.store.revoke_token(id.0, api.clock.now()).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::missing("token in force with the number", id.0))
    }
}
