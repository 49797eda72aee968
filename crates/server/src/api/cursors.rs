//! Cursors: where the next incremental run begins.

use axum::extract::State;
use serde::Serialize;
use syncline_connect::registry::Caller;
use syncline_engine::{Flow, load::reset};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Answer, Api,
    extract::{Name, Path},
    problem::{Problem, Sent},
};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(show)).routes(routes!(reset_cursor))
}

/// Where a sync is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CursorShown {
    /// The sync.
    sync: String,
    /// Value of the cursor column up to which everything is done; none: the next run reads everything, or the destination
    /// keeps the cursor (loads into tables).
    value: serde_json::Value,
    /// Key of the last record at that value.
    key: Vec<serde_json::Value>,
    /// Fingerprint of key, mapping, routes and filter under which it was moved.
    fingerprint: Option<String>,
}

/// What came of a reset.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ResetDone {
    /// Whether there was a position.
    forgotten: bool,
}

/// Where a sync is, as far as the store knows.
#[utoipa::path(get, path = "/syncs/{sync}/cursor", tag = "cursors", security(("token" = ["read"])), params(("sync" = Name, Path)),
    responses((status = 200, description = "The cursor", body = CursorShown),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn show(State(api): State<Api>, Path(name): Path<Name>) -> Answer<CursorShown> {
    let served = api.served();
    served.project.sync(&name.0).ok_or_else(|| Problem::missing("sync", format!("{:?}", name.0)))?;
    let cursor = api.store.cursor(&name.0).await?;
    let fingerprint = cursor.as_ref().map(|cursor| cursor.fingerprint.clone());
    let position = cursor.and_then(|cursor| cursor.position);
    let (value, key) = position.map_or((serde_json::Value::Null, Vec::new()), |position| {
        (position.cursor.to_json(), position.key.iter().map(syncline_core::value::Value::to_json).collect())
    });
    Ok(axum::Json(CursorShown { sync: name.0, value, key, fingerprint }))
}

/// Forgets where a sync is: its next run reads everything. What is known about the records stays, so nothing is created
/// twice.
#[utoipa::path(post, path = "/syncs/{sync}/cursor/reset", tag = "cursors", security(("token" = ["write"])), params(("sync" = Name, Path)),
    responses((status = 200, description = "It is forgotten", body = ResetDone),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn reset_cursor(State(api): State<Api>, Path(name): Path<Name>) -> Answer<ResetDone> {
    Ok(axum::Json(ResetDone { forgotten: forget(&api, &name.0).await? }))
}

/// Forgets where a sync is; returns whether there was a position. Durable.
///
/// # Errors
/// There is no such sync, it is being run, or a system failed.
pub(crate) async fn forget(api: &Api, name: &str) -> Result<bool, Problem> {
    let served = api.served();
    let sync = served.project.sync(name).ok_or_else(|| Problem::missing("sync", format!("{name:?}")))?;
    let _place = api.look()?;
    // held until both are done: no run may begin between them
    let lease = api.store.claim(&sync.name, api.clock.now()).await?;
    let in_destination = match Box::pin(api.systems.open(&served.project, sync, &Caller::default())).await? {
        Flow::Load(table) => Box::pin(reset::reset(&api.systems.engine(), sync, &*table.database)).await?,
        Flow::Push(_) => false,
    };
    let in_store = api.store.reset(&lease).await?;
    Ok(in_store || in_destination)
}
