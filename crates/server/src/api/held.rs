//! Held deletes: those that wait for a person.

use axum::{extract::State, response::Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use syncline_store::Held;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Answer, Api, decisions,
    extract::{Id, Json, Name, Path, Query},
    page::{List, Page, PageParams},
    problem::{Problem, Sent},
    shown::Changed,
};
use crate::auth::Caller;

/// Most held deletes that are walked; what is behind them is seen by naming a sync.
const WALKED_MAX: usize = 100_000;

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(approve)).routes(routes!(reject))
}

/// A delete that waits for approval.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HeldShown {
    /// The sync.
    sync: String,
    /// Who it is, in hexadecimal.
    identity: String,
    /// Its key, for people.
    key: String,
    /// Destination stream.
    stream: String,
    /// Destination record.
    record_id: String,
    /// Why it is held.
    reason: String,
    /// Since when.
    since: Timestamp,
    /// Run that held it.
    run: u64,
}

impl From<Held> for HeldShown {
    fn from(held: Held) -> Self {
        Self {
            sync: held.sync,
            identity: held.identity.stamp(),
            key: held.label,
            stream: held.stream,
            record_id: held.record_id,
            reason: held.reason,
            since: held.since,
            run: held.run,
        }
    }
}

/// Which held deletes.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// Of this sync.
    #[param(value_type = Option<String>, max_length = 200)]
    sync: Option<Name>,
}

/// How far an approval goes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Approval {
    /// Most records that the next full run may delete; if more are gone by then, they are held again.
    #[schema(value_type = u64, minimum = 1, maximum = 9_223_372_036_854_775_807_i64)]
    max: Id,
}

/// A standing approval.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Approved {
    /// Most records that the next full run may delete.
    approved: u64,
}

/// Held deletes, by sync, the oldest first.
#[utoipa::path(get, path = "/held", tag = "held", params(PageParams, Which), security(("token" = ["read"])),
    responses((status = 200, description = "A page", body = List<HeldShown>),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn list(State(api): State<Api>, page: Page, Query(which): Query<Which>) -> Result<Response, Problem> {
    let after: Option<Place> = page.after("held")?;
    let sync = which.sync.as_ref().map(|name| name.0.as_str());
    let most = if after.is_some() { WALKED_MAX } else { page.limit + 1 };
    let mut found = api.store.held(sync, most).await?;
    found.retain(|held| after.as_ref().is_none_or(|after| place(held) > *after));
    Ok(page.answer("held", found, place, HeldShown::from))
}

/// Where a delete stands in the list.
type Place = (String, i64, String, String);

fn place(held: &Held) -> Place {
    (held.sync.clone(), held.since.as_microsecond(), held.label.clone(), held.identity.stamp())
}

/// Lets the next full run delete.
#[utoipa::path(post, path = "/syncs/{sync}/held/approve", tag = "held", security(("token" = ["write"])), params(("sync" = Name, Path)),
    request_body = Approval,
    responses((status = 200, description = "It is approved", body = Approved),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn approve(
    State(api): State<Api>,
    Path(sync): Path<Name>,
    axum::Extension(caller): axum::Extension<Caller>,
    Json(approval): Json<Approval>,
) -> Answer<Approved> {
    decisions::approve(&api, &sync.0, approval.max.0, &caller.name).await?;
    Ok(axum::Json(Approved { approved: approval.max.0 }))
}

/// Keeps the records: they leave the ledger and Syncline never touches them again.
#[utoipa::path(post, path = "/syncs/{sync}/held/reject", tag = "held", security(("token" = ["write"])), params(("sync" = Name, Path)),
    responses((status = 200, description = "They stay", body = Changed),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn reject(
    State(api): State<Api>,
    Path(sync): Path<Name>,
    axum::Extension(caller): axum::Extension<Caller>,
) -> Answer<Changed> {
    let changed = decisions::reject(&api, &sync.0, &caller.name).await?;
    Ok(axum::Json(Changed { changed }))
}
