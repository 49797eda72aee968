//! Runs of syncs.

use std::collections::BTreeMap;

use axum::{extract::State, http::HeaderMap, response::Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use syncline_core::{partition::Partition, run::Status};
use syncline_engine::service::{Progress, StartOptions};
use syncline_store::{
    Run,
    service::{OccurrenceId, RunFilter, Subject},
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Answer, Api,
    delegated::{self, Answered},
    extract::{Given, Id, Name, Path, Query},
    occurrences::{self, OccurrenceShown, accepted, idempotency_key},
    page::{List, Page, PageParams},
    problem::{Code, Problem, Sent},
    shown::{CountsShown, RunShown, word},
};
use crate::auth::Caller;

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(progress))
        .routes(routes!(start))
        .routes(routes!(retry))
        .routes(routes!(cancel))
}

/// Which runs.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// Of this sync.
    #[param(value_type = Option<String>, max_length = 200)]
    sync: Option<Name>,
    /// `queued`, `running`, `succeeded`, `partial`, `failed`, `cancelled` or `interrupted`.
    status: Option<String>,
}

/// How far a run is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProgressShown {
    /// The run.
    run: u64,
    /// The sync.
    sync: String,
    /// Where the run stands.
    #[schema(value_type = String)]
    status: Status,
    /// Whether this node runs it; of runs of other nodes, what they recorded last is shown.
    live: bool,
    /// `fetch`, `transform`, `plan`, `write` or `finish`.
    phase: Option<&'static str>,
    /// About how many records the source holds.
    total: Option<u64>,
    /// Totals so far.
    counts: CountsShown,
    /// Seconds since it began.
    seconds: f64,
    /// Records read per second.
    rate: Option<f64>,
    /// Seconds left, where the total is known.
    eta_seconds: Option<f64>,
    /// What it told.
    notes: Vec<String>,
}

/// What a run is to do.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RunWanted {
    /// `full` or `incremental`, where it is to differ from the sync's.
    mode: Option<String>,
    /// Only retry parked records.
    only_parked: bool,
    /// Replace the table as a whole (syncs into tables).
    prepurge: bool,
    /// Rebuild the table's indexes afterwards (syncs into tables).
    reindex: bool,
    /// Seconds that an incremental load looks back (syncs into tables).
    #[schema(maximum = 315360000)]
    lookback_seconds: Option<u32>,
    /// Values of the sync's parameters: it is run now for these, and the answer says how it ended.
    params: Option<BTreeMap<String, String>>,
    /// Values for the sync's series: it is run now for each of its partitions, and the answer names every one.
    each: Option<BTreeMap<String, String>>,
    /// With `params` or `each`: load it, however lately it was loaded.
    pub(super) insist: bool,
}

impl RunWanted {
    /// Whether its end is to be answered.
    fn waits(&self) -> bool {
        self.params.is_some() || self.each.is_some() || self.insist
    }

    /// Values of parameters, and those of a series.
    ///
    /// # Errors
    /// Both, or something beside them that is for runs which are not waited for.
    pub(super) fn values(self) -> Result<(Values, Option<Values>), Problem> {
        let Self { mode, only_parked, prepurge, reindex, lookback_seconds, params, each, insist: _ } = self;
        let others = mode.is_some() || only_parked || prepurge || reindex || lookback_seconds.is_some();
        if others || (params.is_some() && each.is_some()) {
            let detail = "a run for values takes either params or each, and insist; nothing else";
            return Err(Problem::new(Code::Unfit, detail));
        }
        Ok((params.unwrap_or_default(), each))
    }
}

/// Values of parameters by name.
type Values = BTreeMap<String, String>;

impl From<RunWanted> for StartOptions {
    fn from(wanted: RunWanted) -> Self {
        Self {
            mode: wanted.mode,
            only_parked: wanted.only_parked,
            prepurge: wanted.prepurge,
            reindex: wanted.reindex,
            lookback_seconds: wanted.lookback_seconds.map(u64::from),
            ..Self::default()
        }
    }
}

/// The history of runs, the newest first.
#[utoipa::path(get, path = "/runs", tag = "runs", params(PageParams, Which), security(("token" = ["read"])),
    responses((status = 200, description = "A page", body = List<RunShown>),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn list(
    State(api): State<Api>,
    axum::Extension(caller): axum::Extension<Caller>,
    page: Page,
    Query(which): Query<Which>,
) -> Result<Response, Problem> {
    let words = "queued, running, succeeded, partial, failed, cancelled, interrupted";
    let status = word("status", which.status.as_deref(), Status::parse, words)?;
    let filter = RunFilter { sync: which.sync.map(|name| name.0), status, before: page.before("runs")? };
    let found = api.store.page_runs(&filter, page.limit + 1).await?;
    Ok(page.answer("runs", found, |run| run.id, |run| RunShown::of(run, &caller)))
}

/// Everything that is known about a run.
#[utoipa::path(get, path = "/runs/{id}", tag = "runs", params(("id" = Id, Path)), security(("token" = ["read"])),
    responses((status = 200, description = "The run", body = RunShown),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn show(
    State(api): State<Api>,
    axum::Extension(caller): axum::Extension<Caller>,
    Path(id): Path<Id>,
) -> Answer<RunShown> {
    let run = api.store.run(id.0).await?;
    run.map(|run| axum::Json(RunShown::of(run, &caller))).ok_or_else(|| Problem::missing("run", id.0))
}

/// How far a run is, and when it will be done.
#[utoipa::path(get, path = "/runs/{id}/progress", tag = "runs", params(("id" = Id, Path)), security(("token" = ["read"])),
    responses((status = 200, description = "Phase, counts, time left", body = ProgressShown),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn progress(State(api): State<Api>, Path(id): Path<Id>) -> Answer<ProgressShown> {
    let live = api.control.progress(id.0);
    let run = api.store.run(id.0).await?.ok_or_else(|| Problem::missing("run", id.0))?;
    let until: Timestamp = run.finished_at.unwrap_or_else(|| api.clock.now());
    let recorded = ProgressShown {
        run: run.id,
        sync: Partition::sync_of(&run.sync).to_owned(),
        status: run.status,
        live: false,
        phase: None,
        total: None,
        counts: run.counts.into(),
        seconds: until.duration_since(run.started_at).as_secs_f64().max(0.0),
        rate: None,
        eta_seconds: None,
        notes: run.notes,
    };
    let Some(Progress { phase, total, counts, seconds, rate, eta_seconds, notes, .. }) = live else {
        return Ok(axum::Json(recorded));
    };
    Ok(axum::Json(ProgressShown {
        live: true,
        phase: Some(phase.as_str()),
        total,
        counts: counts.into(),
        seconds,
        rate: Some(rate),
        eta_seconds,
        notes,
        ..recorded
    }))
}

/// Asks for a run of a sync. With an idempotency key, asking twice within a day starts once. A sync with parameters is run at
/// once for the values that are given, and the answer says how it ended: users may do that with their own tokens.
#[utoipa::path(post, path = "/syncs/{sync}/runs", tag = "runs", security(("token" = ["run"]), ("user" = [])),
    params(("sync" = Name, Path), ("Idempotency-Key" = Option<String>, Header, description = "Asking twice starts once")),
    request_body(content = RunWanted, description = "May be left out"),
    responses((status = 200, description = "With values: how it ended", body = Answered),
              (status = 202, description = "Without values: it waits for a node", body = OccurrenceShown),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn start(
    State(api): State<Api>,
    axum::Extension(caller): axum::Extension<Caller>,
    Path(sync): Path<Name>,
    headers: HeaderMap,
    Given(wanted): Given<RunWanted>,
) -> Result<Response, Problem> {
    let key = idempotency_key(&headers)?;
    if wanted.waits() || caller.user.is_some() {
        return delegated::run(&api, &caller, sync.0, wanted).await;
    }
    let enqueued = api.control.start(&Subject::sync(sync.0), &wanted.into(), key, &caller.name).await?;
    accepted(&api, enqueued).await
}

/// Asks for an ended run to be tried again: what is parked of a partial run, all of a failed one.
#[utoipa::path(post, path = "/runs/{id}/retry", tag = "runs", security(("token" = ["run"])),
    params(("id" = Id, Path), ("Idempotency-Key" = Option<String>, Header, description = "Asking twice starts once")),
    responses((status = 202, description = "It waits for a node", body = OccurrenceShown),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn retry(
    State(api): State<Api>,
    axum::Extension(caller): axum::Extension<Caller>,
    Path(id): Path<Id>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let enqueued = api.control.retry_failed(id.0, idempotency_key(&headers)?, &caller.name).await?;
    accepted(&api, enqueued).await
}

/// Stops a run after the batch in hand.
#[utoipa::path(post, path = "/runs/{id}/cancel", tag = "runs", params(("id" = Id, Path)), security(("token" = ["run"])),
    responses((status = 202, description = "It will stop", body = OccurrenceShown),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn cancel(State(api): State<Api>, Path(id): Path<Id>) -> Result<Response, Problem> {
    let run = api.store.run(id.0).await?.ok_or_else(|| Problem::missing("run", id.0))?;
    let occurrence = carried_by(&api, &run).await?;
    occurrences::stop(&api, occurrence).await
}

/// Asks for a run to be stopped after the batch in hand.
///
/// # Errors
/// It has ended, or is not carried out on its own by the service.
pub(crate) async fn stop(api: &Api, run: &Run) -> Result<(), Problem> {
    let occurrence = carried_by(api, run).await?;
    occurrences::ask_to_stop(api, occurrence).await
}

/// The occurrence that carries out a run that has not ended.
async fn carried_by(api: &Api, run: &Run) -> Result<OccurrenceId, Problem> {
    if run.status.is_final() {
        return Err(Problem::new(Code::NotPossible, format!("run {} has ended", run.id)));
    }
    match occurrences::carrying(api, Subject::sync(Partition::sync_of(&run.sync)), run.id).await? {
        Some(occurrence) => Ok(occurrence),
        None => Err(Problem::new(Code::NotPossible, format!("run {} is not carried out on its own by the service", run.id))
            .hint("it is a step of a chain (cancel the chain's run) or was started from the command line (stop it there)")),
    }
}
