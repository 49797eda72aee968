//! Parked records: those that failed and wait for their retry.

use axum::{extract::State, response::Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use syncline_core::identity::Identity;
use syncline_store::{IntentKind, Parked};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Answer, Api, decisions,
    extract::{Given, Json, Name, Path, Query},
    page::{List, Page, PageParams},
    problem::{Code, Problem, Sent},
    shown::Changed,
};
use crate::auth::Caller;

/// Most parked records that are walked; what is behind them is seen by naming a sync.
const WALKED_MAX: usize = 100_000;
/// Most records that one request names.
const NAMED_MAX: usize = 10_000;

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(retry)).routes(routes!(forget))
}

/// A record that failed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ParkedShown {
    /// The sync.
    sync: String,
    /// Who it is, in hexadecimal; for retrying or dropping it.
    identity: String,
    /// Its key, for people.
    key: String,
    /// `create`, `update`, `move` or `delete`, where it was known.
    kind: Option<&'static str>,
    /// Stable code of the failure.
    code: String,
    /// What happened.
    message: String,
    /// Failed attempts so far.
    attempts: u32,
    /// First failure.
    first_at: Timestamp,
    /// Last failure.
    last_at: Timestamp,
    /// Not retried before.
    retry_at: Timestamp,
    /// Run of the last failure.
    run: u64,
}

impl From<Parked> for ParkedShown {
    fn from(parked: Parked) -> Self {
        Self {
            sync: parked.sync,
            identity: parked.identity.stamp(),
            key: parked.label,
            kind: parked.kind.map(IntentKind::as_str),
            code: parked.code,
            message: parked.message,
            attempts: parked.attempts,
            first_at: parked.first_at,
            last_at: parked.last_at,
            retry_at: parked.retry_at,
            run: parked.run,
        }
    }
}

/// Which parked records.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// Of this sync.
    #[param(value_type = Option<String>, max_length = 200)]
    sync: Option<Name>,
}

/// Which records are meant.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Named {
    /// Identities as the list shows them; left out: all of the sync.
    #[schema(max_items = 10000)]
    identities: Option<Vec<String>>,
}

/// Which records are to be forgotten.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Dropped {
    /// Identities as the list shows them.
    #[schema(max_items = 10000)]
    #[serde(default)]
    identities: Option<Vec<String>>,
    /// Instead of identities: all of the sync.
    #[serde(default)]
    all: bool,
    /// Why; kept with the event `parked.dropped`.
    #[schema(max_length = 500)]
    #[serde(default)]
    reason: Option<String>,
}

/// Parked records, the oldest first.
#[utoipa::path(get, path = "/parked", tag = "parked", params(PageParams, Which), security(("token" = ["read"])),
    responses((status = 200, description = "A page", body = List<ParkedShown>),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn list(State(api): State<Api>, page: Page, Query(which): Query<Which>) -> Result<Response, Problem> {
    let after: Option<Place> = page.after("parked")?;
    let sync = which.sync.as_ref().map(|name| name.0.as_str());
    let most = if after.is_some() { WALKED_MAX } else { page.limit + 1 };
    let mut found = api.store.parked(sync, None, most).await?;
    found.retain(|parked| after.as_ref().is_none_or(|after| place(parked) > *after));
    Ok(page.answer("parked", found, place, ParkedShown::from))
}

/// Where a record stands in the list: by first failure, sync and identity.
type Place = (i64, String, String);

fn place(parked: &Parked) -> Place {
    (parked.first_at.as_microsecond(), parked.sync.clone(), parked.identity.stamp())
}

/// Makes parked records due now; the next run tries them, or one that retries parked records only.
#[utoipa::path(post, path = "/syncs/{sync}/parked/retry", tag = "parked", security(("token" = ["write"])), params(("sync" = Name, Path)),
    request_body(content = Named, description = "May be left out"),
    responses((status = 200, description = "They are due", body = Changed),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn retry(
    State(api): State<Api>,
    Path(sync): Path<Name>,
    axum::Extension(caller): axum::Extension<Caller>,
    Given(named): Given<Named>,
) -> Answer<Changed> {
    let identities = named.identities.as_deref().map(identities).transpose()?;
    let changed = decisions::retry(&api, &sync.0, identities.as_deref(), &caller.name).await?;
    Ok(axum::Json(Changed { changed }))
}

/// Forgets parked records. Source and destination are not touched.
#[utoipa::path(post, path = "/syncs/{sync}/parked/drop", tag = "parked", security(("token" = ["write"])), params(("sync" = Name, Path)),
    request_body = Dropped,
    responses((status = 200, description = "They are forgotten", body = Changed),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn forget(
    State(api): State<Api>,
    Path(sync): Path<Name>,
    axum::Extension(caller): axum::Extension<Caller>,
    Json(dropped): Json<Dropped>,
) -> Answer<Changed> {
    let identities = match (&dropped.identities, dropped.all) {
        (Some(named), false) => Some(identities(named)?),
        (None, true) => None,
        _ => return Err(Problem::new(Code::BadBody, "name identities, or say \"all\": true")),
    };
    let reason = dropped.reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty());
    let changed = decisions::forget(&api, &sync.0, identities.as_deref(), reason, &caller.name).await?;
    Ok(axum::Json(Changed { changed }))
}

/// That there is such a sync: one that left the definitions may still have records waiting.
///
/// # Errors
/// It was never heard of.
pub(crate) async fn known(api: &Api, sync: &str) -> Result<(), Problem> {
    let defined = api.served().project.sync(sync).is_some();
    if defined || !api.store.runs(Some(sync), None, 1).await?.is_empty() {
        return Ok(());
    }
    Err(Problem::missing("sync", format!("{sync:?}")))
}

fn identities(stamps: &[String]) -> Result<Vec<Identity>, Problem> {
    if stamps.len() > NAMED_MAX {
        return Err(Problem::new(Code::BadBody, format!("at most {NAMED_MAX} identities at once")));
    }
    let read = |stamp: &String| {
        let bad =
            || Problem::new(Code::BadBody, "an identity has 64 hexadecimal digits, as the list shows it");
        Identity::from_stamp(stamp).ok_or_else(bad)
    };
    stamps.iter().map(read).collect()
}
