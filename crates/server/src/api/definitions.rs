//! Definitions that are kept in the store: made, replaced and removed through the API, every version kept.
//!
//! One place for each: what a project file defines is changed there.

use async_trait::async_trait;
use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use syncline_engine::service::Origin;
use syncline_store::service::{Definition, DefinitionKind, NewDefinition, NewEvent, Subject};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Answer, Api,
    extract::{Id, Name, Path, Query, Text, header_text},
    page::{List, Page, PageParams},
    problem::{Code, Problem, Sent},
};
use crate::auth::Caller;

/// Knows whether a definition fits the others. The binary implements it over its loader of project files.
#[async_trait]
pub trait Definitions: Send + Sync {
    /// What would be wrong with the whole, were this definition in it (`None`: were it not); one line per problem.
    /// Nothing changes.
    ///
    /// # Errors
    /// Every problem, for people.
    async fn check(&self, kind: DefinitionKind, name: &str, body: Option<&str>) -> Result<(), Vec<String>>;

    /// Says that the store holds new definitions, so that they are taken over at once.
    fn changed(&self);
}

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(put_sync, delete_sync))
        .routes(routes!(sync_versions))
        .routes(routes!(sync_version))
        .routes(routes!(sync_diff))
        .routes(routes!(put_chain, delete_chain))
        .routes(routes!(chain_versions))
        .routes(routes!(chain_version))
        .routes(routes!(chain_diff))
}

/// A version of a definition.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VersionShown {
    /// 1, 2, 3 …
    version: u64,
    /// Its text, variables not filled in; none: it was removed.
    body: Option<String>,
    /// Who stored it.
    by: String,
    /// When.
    at: Timestamp,
}

impl From<Definition> for VersionShown {
    fn from(definition: Definition) -> Self {
        let NewDefinition { body, by, at, .. } = definition.stored;
        Self { version: definition.version, body, by, at }
    }
}

/// What is different between two versions.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DiffShown {
    /// The earlier one.
    from: u64,
    /// The later one.
    to: u64,
    /// The difference, line by line, in the unified form; empty: none.
    diff: String,
}

/// Which versions are compared.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Between {
    /// The earlier one; the one before `to` unless it is given. 0: nothing.
    #[param(value_type = Option<u64>, minimum = 0, maximum = 9_223_372_036_854_775_807_i64)]
    from: Option<Id>,
    /// The later one; the newest unless it is given.
    #[param(value_type = Option<u64>, minimum = 0, maximum = 9_223_372_036_854_775_807_i64)]
    to: Option<Id>,
}

/// Makes or replaces a sync.
///
/// The body is what stands below its name in a project file. `If-None-Match: *` makes one, `If-Match: "VERSION"` replaces
/// that version.
#[utoipa::path(put, path = "/syncs/{sync}", tag = "definitions", security(("token" = ["write"])),
    params(("sync" = Name, Path),
           ("If-Match" = Option<String>, Header, description = "The version that is replaced, in quotes"),
           ("If-None-Match" = Option<String>, Header, description = "`*`: there is none yet")),
    request_body(content((serde_json::Value = "application/json"), (String = "application/yaml")), description = "The definition"),
    responses((status = 200, description = "It is stored", body = VersionShown), (status = 201, description = "It is made", body = VersionShown),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn put_sync(
    State(api): State<Api>,
    axum::Extension(caller): axum::Extension<Caller>,
    Path(name): Path<Name>,
    headers: HeaderMap,
    Text(body): Text,
) -> Result<Response, Problem> {
    put(&api, DefinitionKind::Sync, name.0, Some(body), &headers, caller).await
}

/// Removes a sync that was made through the API. Its runs, ledger and versions stay.
#[utoipa::path(delete, path = "/syncs/{sync}", tag = "definitions", security(("token" = ["write"])),
    params(("sync" = Name, Path), ("If-Match" = Option<String>, Header, description = "The version that is removed, in quotes")),
    responses((status = 200, description = "It is removed", body = VersionShown),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn delete_sync(
    State(api): State<Api>,
    axum::Extension(caller): axum::Extension<Caller>,
    Path(name): Path<Name>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    put(&api, DefinitionKind::Sync, name.0, None, &headers, caller).await
}

/// Versions of a sync that was made through the API, the newest first.
#[utoipa::path(get, path = "/syncs/{sync}/versions", tag = "definitions", security(("token" = ["read"])),
    params(("sync" = Name, Path), PageParams),
    responses((status = 200, description = "A page", body = List<VersionShown>),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn sync_versions(
    State(api): State<Api>,
    Path(name): Path<Name>,
    page: Page,
) -> Result<Response, Problem> {
    versions(&api, DefinitionKind::Sync, &name.0, &page).await
}

/// One version of a sync.
#[utoipa::path(get, path = "/syncs/{sync}/versions/{version}", tag = "definitions", security(("token" = ["read"])),
    params(("sync" = Name, Path), ("version" = Id, Path)),
    responses((status = 200, description = "The version", body = VersionShown),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn sync_version(State(api): State<Api>, Path((name, id)): Path<(Name, Id)>) -> Answer<VersionShown> {
    Ok(axum::Json(version(&api, DefinitionKind::Sync, &name.0, id.0).await?.into()))
}

/// What is different between two versions of a sync.
#[utoipa::path(get, path = "/syncs/{sync}/diff", tag = "definitions", security(("token" = ["read"])),
    params(("sync" = Name, Path), Between),
    responses((status = 200, description = "The difference", body = DiffShown),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn sync_diff(
    State(api): State<Api>,
    Path(name): Path<Name>,
    Query(between): Query<Between>,
) -> Answer<DiffShown> {
    diff(&api, DefinitionKind::Sync, &name.0, &between).await
}

/// Makes or replaces a chain.
///
/// The body is what stands below its name in a project file. `If-None-Match: *` makes one, `If-Match: "VERSION"` replaces
/// that version.
#[utoipa::path(put, path = "/chains/{chain}", tag = "definitions", security(("token" = ["write"])),
    params(("chain" = Name, Path),
           ("If-Match" = Option<String>, Header, description = "The version that is replaced, in quotes"),
           ("If-None-Match" = Option<String>, Header, description = "`*`: there is none yet")),
    request_body(content((serde_json::Value = "application/json"), (String = "application/yaml")), description = "The definition"),
    responses((status = 200, description = "It is stored", body = VersionShown), (status = 201, description = "It is made", body = VersionShown),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn put_chain(
    State(api): State<Api>,
    axum::Extension(caller): axum::Extension<Caller>,
    Path(name): Path<Name>,
    headers: HeaderMap,
    Text(body): Text,
) -> Result<Response, Problem> {
    put(&api, DefinitionKind::Chain, name.0, Some(body), &headers, caller).await
}

/// Removes a chain that was made through the API. Its runs and versions stay.
#[utoipa::path(delete, path = "/chains/{chain}", tag = "definitions", security(("token" = ["write"])),
    params(("chain" = Name, Path), ("If-Match" = Option<String>, Header, description = "The version that is removed, in quotes")),
    responses((status = 200, description = "It is removed", body = VersionShown),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn delete_chain(
    State(api): State<Api>,
    axum::Extension(caller): axum::Extension<Caller>,
    Path(name): Path<Name>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    put(&api, DefinitionKind::Chain, name.0, None, &headers, caller).await
}

/// Versions of a chain that was made through the API, the newest first.
#[utoipa::path(get, path = "/chains/{chain}/versions", tag = "definitions", security(("token" = ["read"])),
    params(("chain" = Name, Path), PageParams),
    responses((status = 200, description = "A page", body = List<VersionShown>),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn chain_versions(
    State(api): State<Api>,
    Path(name): Path<Name>,
    page: Page,
) -> Result<Response, Problem> {
    versions(&api, DefinitionKind::Chain, &name.0, &page).await
}

/// One version of a chain.
#[utoipa::path(get, path = "/chains/{chain}/versions/{version}", tag = "definitions", security(("token" = ["read"])),
    params(("chain" = Name, Path), ("version" = Id, Path)),
    responses((status = 200, description = "The version", body = VersionShown),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn chain_version(State(api): State<Api>, Path((name, id)): Path<(Name, Id)>) -> Answer<VersionShown> {
    Ok(axum::Json(version(&api, DefinitionKind::Chain, &name.0, id.0).await?.into()))
}

/// What is different between two versions of a chain.
#[utoipa::path(get, path = "/chains/{chain}/diff", tag = "definitions", security(("token" = ["read"])),
    params(("chain" = Name, Path), Between),
    responses((status = 200, description = "The difference", body = DiffShown),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn chain_diff(
    State(api): State<Api>,
    Path(name): Path<Name>,
    Query(between): Query<Between>,
) -> Answer<DiffShown> {
    diff(&api, DefinitionKind::Chain, &name.0, &between).await
}

async fn put(
    api: &Api,
    kind: DefinitionKind,
    name: String,
    body: Option<String>,
    headers: &HeaderMap,
    caller: Caller,
) -> Result<Response, Problem> {
    let subject = subject(kind, &name);
    if let Some(origin @ (Origin::File | Origin::Applied)) = api.served().origins.get(&subject) {
        let place = if *origin == Origin::File { "the project file" } else { "the applied project" };
        return Err(Problem::new(Code::DefinedElsewhere, format!("{subject} is defined in {place}"))
            .hint("change it there: each definition has one place"));
    }
    let expected = expected(headers)?;
    let newest = api.store.definition_versions(kind, &name, None, 1).await?.into_iter().next();
    let there = newest.as_ref().is_some_and(|definition| definition.stored.body.is_some());
    if body.is_none() && !there {
        return Err(Problem::missing(kind.as_str(), format!("{name:?}")));
    }
    if let Err(faults) = api.definitions.check(kind, &name, body.as_deref()).await {
        return Err(Problem::new(
            Code::InvalidDefinition,
            format!("{subject} would have problems; nothing was stored"),
        )
        .faults(faults));
    }
    let at = api.clock.now();
    let (removed, by) = (body.is_none(), caller.name);
    let stored = NewDefinition { kind, name, body, by, at };
    let shown = stored.clone();
    let Some(version) = api.store.put_definition(stored, Some(expected)).await? else {
        return Err(Problem::new(
            Code::VersionConflict,
            format!("{subject} has another version than you say"),
        )
        .hint("read it again, and send its version in If-Match"));
    };
    api.definitions.changed();
    tell(api, subject, version, removed, &shown).await?;
    let status = if there { StatusCode::OK } else { StatusCode::CREATED };
    let shown = VersionShown::from(Definition { version, stored: shown });
    Ok((status, etag(version), axum::Json(shown)).into_response())
}

async fn tell(
    api: &Api,
    subject: Subject,
    version: u64,
    removed: bool,
    stored: &NewDefinition,
) -> Result<(), Problem> {
    let what = if removed { "removed" } else { "stored" };
    let event = NewEvent {
        at: stored.at,
        kind: "definition.stored".to_owned(),
        message: format!("{subject} was {what} through the API by {:?}, version {version}", stored.by),
        subject: Some(subject),
        run: None,
        correlation: None,
        data: serde_json::json!({ "version": version, "by": stored.by, "removed": removed }),
    };
    api.store.append_events(&[event]).await?;
    Ok(())
}

/// The version that the caller means to change; 0: there is none yet.
fn expected(headers: &HeaderMap) -> Result<u64, Problem> {
    if let Some(value) = header_text(headers, "if-none-match", 100)? {
        let bad = || Problem::new(Code::BadHeader, "If-None-Match can only be *");
        return (value.trim() == "*").then_some(0).ok_or_else(bad);
    }
    let Some(value) = header_text(headers, "if-match", 100)? else {
        return Err(Problem::new(Code::VersionRequired, "say which version you change")
            .hint("If-Match: \"VERSION\" for one that exists, If-None-Match: * for a new one"));
    };
    let number =
        value.trim().strip_prefix('"').and_then(|v| v.strip_suffix('"')).and_then(|v| v.parse().ok());
    let fits = number.filter(|n: &u64| *n > 0 && i64::try_from(*n).is_ok());
    fits.ok_or_else(|| Problem::new(Code::BadHeader, "If-Match is a version in quotes: \"3\""))
}

fn etag(version: u64) -> [(header::HeaderName, HeaderValue); 1] {
    let value =
        HeaderValue::try_from(format!("\"{version}\"")).unwrap_or_else(|_| HeaderValue::from_static("\"\""));
    [(header::ETAG, value)]
}

fn subject(kind: DefinitionKind, name: &str) -> Subject {
    match kind {
        DefinitionKind::Chain => Subject::chain(name),
        DefinitionKind::Sync | DefinitionKind::Project => Subject::sync(name),
    }
}

async fn versions(api: &Api, kind: DefinitionKind, name: &str, page: &Page) -> Result<Response, Problem> {
    let before = page.before("versions")?;
    let found = api.store.definition_versions(kind, name, before, page.limit + 1).await?;
    if found.is_empty() && before.is_none() {
        return Err(no_versions(api, kind, name));
    }
    Ok(page.answer("versions", found, |definition| definition.version, VersionShown::from))
}

fn no_versions(api: &Api, kind: DefinitionKind, name: &str) -> Problem {
    let known = api.served().origins.contains_key(&subject(kind, name));
    let problem = Problem::missing(kind.as_str(), format!("{name:?} that was stored through the API"));
    if known { problem.hint("it is defined in a project file, which has its own history") } else { problem }
}

async fn version(api: &Api, kind: DefinitionKind, name: &str, version: u64) -> Result<Definition, Problem> {
    let found = api.store.definition_versions(kind, name, version.checked_add(1), 1).await?;
    let found = found.into_iter().find(|definition| definition.version == version);
    found.ok_or_else(|| Problem::missing("version", format!("{version} of {} {name:?}", kind.as_str())))
}

async fn diff(api: &Api, kind: DefinitionKind, name: &str, between: &Between) -> Answer<DiffShown> {
    let to = match &between.to {
        Some(to) => version(api, kind, name, to.0).await?,
        None => {
            let newest = api.store.definition_versions(kind, name, None, 1).await?.into_iter().next();
            newest.ok_or_else(|| no_versions(api, kind, name))?
        }
    };
    let from = between.from.map_or(to.version.saturating_sub(1), |from| from.0);
    let old = match from {
        0 => None,
        number => version(api, kind, name, number).await?.stored.body,
    };
    let new = to.stored.body.unwrap_or_default();
    let diff = syncline_spec::diff(&old.unwrap_or_default(), &new);
    Ok(axum::Json(DiffShown { from, to: to.version, diff }))
}
