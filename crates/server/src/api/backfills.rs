//! Backfills: a part of a sync's past, read again beside the live cursor.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use syncline_core::run::Status;
use syncline_store::service::{Backfill, OccurrenceFilter, OccurrenceState, Subject};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Answer, Api,
    extract::{Id, Json, Name, Path, Query},
    occurrences::{self, OccurrenceShown},
    page::{List, Page, PageParams},
    problem::{Code, Problem, Sent},
    shown::Fault,
};
use crate::auth::Caller;

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(create))
        .routes(routes!(cancel))
}

/// A backfill.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BackfillShown {
    /// Number; rises.
    id: u64,
    /// The sync.
    sync: String,
    /// Cursor value it starts at, inclusive.
    from: String,
    /// Cursor value it ends before.
    to: String,
    /// Who asked.
    requested_by: String,
    /// When.
    created_at: Timestamp,
    /// `queued`, `running`, `succeeded`, `partial`, `failed`, `cancelled` or `interrupted`.
    #[schema(value_type = String)]
    status: Status,
    /// Everything below this cursor value is done.
    done_until: Option<String>,
    /// The newest run made for it.
    run: Option<u64>,
    /// What stopped it.
    error: Option<Fault>,
    /// Last change.
    changed_at: Timestamp,
}

impl From<Backfill> for BackfillShown {
    fn from(backfill: Backfill) -> Self {
        let Backfill { id, asked, created_at, progress } = backfill;
        Self {
            id,
            sync: asked.sync,
            from: asked.from,
            to: asked.to,
            requested_by: asked.requested_by,
            created_at,
            status: progress.status,
            done_until: progress.done_until,
            run: progress.run,
            error: Fault::of(progress.error),
            changed_at: progress.at,
        }
    }
}

/// Which backfills.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// Of this sync.
    #[param(value_type = Option<String>, max_length = 200)]
    sync: Option<Name>,
}

/// What is to be read again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Range {
    /// Cursor value it starts at, inclusive, as text of the cursor's type.
    #[schema(value_type = String, max_length = 200)]
    from: Name,
    /// Cursor value it ends before.
    #[schema(value_type = String, max_length = 200)]
    to: Name,
}

/// Backfills, the newest first.
#[utoipa::path(get, path = "/backfills", tag = "backfills", params(PageParams, Which), security(("token" = ["read"])),
    responses((status = 200, description = "A page", body = List<BackfillShown>),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn list(State(api): State<Api>, page: Page, Query(which): Query<Which>) -> Result<Response, Problem> {
    let sync = which.sync.as_ref().map(|name| name.0.as_str());
    let found = api.store.backfills(sync, page.before("backfills")?, page.limit + 1).await?;
    Ok(page.answer("backfills", found, |backfill| backfill.id, BackfillShown::from))
}

/// One backfill.
#[utoipa::path(get, path = "/backfills/{id}", tag = "backfills", params(("id" = Id, Path)), security(("token" = ["read"])),
    responses((status = 200, description = "The backfill", body = BackfillShown),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn show(State(api): State<Api>, Path(id): Path<Id>) -> Answer<BackfillShown> {
    found(&api, id.0).await.map(axum::Json)
}

/// Asks for a part of a sync's past to be read again. The live cursor stays where it is.
#[utoipa::path(post, path = "/syncs/{sync}/backfills", tag = "backfills", security(("token" = ["run"])), params(("sync" = Name, Path)),
    request_body = Range,
    responses((status = 202, description = "It waits for a node", body = BackfillShown),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn create(
    State(api): State<Api>,
    axum::Extension(caller): axum::Extension<Caller>,
    Path(sync): Path<Name>,
    Json(range): Json<Range>,
) -> Result<Response, Problem> {
    let (id, _) = api.control.backfill(&sync.0, &range.from.0, &range.to.0, &caller.name).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(found(&api, id).await?)).into_response())
}

/// Stops a backfill after the part in hand.
#[utoipa::path(post, path = "/backfills/{id}/cancel", tag = "backfills", params(("id" = Id, Path)), security(("token" = ["run"])),
    responses((status = 202, description = "It will stop", body = OccurrenceShown),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn cancel(State(api): State<Api>, Path(id): Path<Id>) -> Result<Response, Problem> {
    found(&api, id.0).await?;
    let filter = OccurrenceFilter { subject: Some(Subject::backfill(id.0)), ..OccurrenceFilter::default() };
    let open = |state| matches!(state, OccurrenceState::Waiting | OccurrenceState::Claimed);
    let all = api.store.occurrences(&filter, 10).await?;
    match all.into_iter().find(|occurrence| open(occurrence.state)) {
        Some(occurrence) => occurrences::stop(&api, occurrence.id).await,
        None => Err(Problem::new(Code::NotPossible, format!("backfill {} is over", id.0))),
    }
}

async fn found(api: &Api, id: u64) -> Result<BackfillShown, Problem> {
    let backfill = api.store.backfill(id).await?;
    backfill.map(Into::into).ok_or_else(|| Problem::missing("backfill", id))
}
