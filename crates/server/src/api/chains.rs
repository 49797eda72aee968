//! Chains and their runs.

use axum::{extract::State, http::HeaderMap, response::Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use syncline_core::chain::{Chain, ChainStatus, Requirement, Step, StepKind, StepStatus};
use syncline_engine::service::{Origin, StartOptions};
use syncline_store::service::{ChainFilter, ChainRun, StepRecord, Subject};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Answer, Api,
    board::Standing,
    extract::{Id, Name, Path, Query},
    occurrences::{self, OccurrenceShown, accepted, idempotency_key},
    page::{List, Page, PageParams},
    problem::{Code, Problem, Sent},
    shown::{Fault, HealthShown, word},
};
use crate::auth::Caller;

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(start))
        .routes(routes!(list_runs))
        .routes(routes!(show_run))
        .routes(routes!(resume_set))
        .routes(routes!(resume))
        .routes(routes!(cancel))
}

/// A chain.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChainShown {
    /// Its name.
    name: String,
    /// `file`, `applied` or `api`: where it is defined.
    #[schema(value_type = Option<String>)]
    origin: Option<Origin>,
    /// How it is.
    health: Option<HealthShown>,
    /// Labels of its schedules.
    schedules: Vec<String>,
    /// Labels of those that are paused.
    paused: Vec<String>,
    /// Its steps, in the order of the definition.
    steps: Vec<StepShown>,
}

/// A step as it is defined.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StepShown {
    /// Unique in the chain.
    name: String,
    /// Steps that must have succeeded first.
    needs: Vec<String>,
    /// Whether the chain fails with it.
    required: bool,
    /// `sync`, `sql`, `check`, `http` or `report`.
    kind: &'static str,
    /// The sync, connection or report it is about.
    about: Option<String>,
    /// What must hold before it starts: `rows`, `fresh`, `synced`.
    requires: Vec<&'static str>,
    /// Seconds that it may take.
    timeout_seconds: f64,
}

impl From<&Step> for StepShown {
    fn from(step: &Step) -> Self {
        let (kind, about) = match &step.kind {
            StepKind::Sync { sync, .. } => ("sync", Some(sync.clone())),
            StepKind::Sql { connection, .. } => ("sql", Some(connection.clone())),
            StepKind::Check(Requirement::Synced { sync, .. }) => ("check", Some(sync.clone())),
            StepKind::Check(Requirement::Rows { connection, .. } | Requirement::Fresh { connection, .. }) => {
                ("check", Some(connection.clone()))
            }
            // its address may hold a secret
            StepKind::Http(_) => ("http", None),
            StepKind::Report { report } => ("report", Some(report.clone())),
        };
        let requirement = |requirement: &Requirement| match requirement {
            Requirement::Rows { .. } => "rows",
            Requirement::Fresh { .. } => "fresh",
            Requirement::Synced { .. } => "synced",
        };
        Self {
            name: step.name.clone(),
            needs: step.needs.clone(),
            required: step.required,
            kind,
            about,
            requires: step.requires.iter().map(requirement).collect(),
            timeout_seconds: step.timeout.as_secs_f64(),
        }
    }
}

impl ChainShown {
    fn of(chain: &Chain, standing: &Standing) -> Self {
        let subject = Subject::chain(chain.name.clone());
        Self {
            name: chain.name.clone(),
            origin: standing.served.origins.get(&subject).copied(),
            health: standing.health(&subject).map(Into::into),
            schedules: chain.schedules.iter().map(syncline_core::schedule::Schedule::label).collect(),
            paused: standing.paused(&subject),
            steps: chain.steps.iter().map(Into::into).collect(),
        }
    }
}

/// A run of a chain.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChainRunShown {
    /// Number; rises.
    id: u64,
    /// The chain.
    chain: String,
    /// `running`, `completed`, `partial`, `failed` or `cancelled`.
    #[schema(value_type = String)]
    status: ChainStatus,
    /// Label of the schedule; none: somebody asked for it.
    schedule: Option<String>,
    /// Links log lines, events and runs.
    correlation: String,
    /// When it began first.
    started_at: Timestamp,
    /// When it began last.
    resumed_at: Option<Timestamp>,
    /// When it ended.
    finished_at: Option<Timestamp>,
    /// Seconds it worked, the time before it was resumed left out.
    seconds: f64,
    /// Steps that are under way.
    current: Vec<String>,
    /// Steps that ended well.
    completed: usize,
    /// Steps in all.
    total: usize,
    /// What failed it.
    error: Option<Fault>,
    /// Its steps.
    steps: Vec<StepRunShown>,
}

/// A step of a chain's run.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StepRunShown {
    /// Its name.
    step: String,
    /// Whether the chain fails with it.
    required: bool,
    /// `waiting`, `running`, `succeeded`, `partial`, `failed`, `skipped` or `cancelled`.
    #[schema(value_type = String)]
    status: StepStatus,
    /// Run of the sync, where it is one.
    run: Option<u64>,
    /// Times it was begun.
    attempts: u32,
    /// When it began last.
    started_at: Option<Timestamp>,
    /// When it ended.
    finished_at: Option<Timestamp>,
    /// Why it failed or was skipped.
    error: Option<Fault>,
    /// One line for people.
    detail: Option<String>,
}

impl From<StepRecord> for StepRunShown {
    fn from(record: StepRecord) -> Self {
        Self {
            step: record.step,
            required: record.required,
            status: record.status,
            run: record.run,
            attempts: record.attempts,
            started_at: record.started_at,
            finished_at: record.finished_at,
            error: Fault::of(record.error),
            detail: record.detail,
        }
    }
}

impl ChainRunShown {
    fn of(run: ChainRun, now: Timestamp) -> Self {
        let since = run.resumed_at.unwrap_or(run.started_at);
        let stretch =
            if run.finished_at.is_none() { now.duration_since(since).as_secs_f64().max(0.0) } else { 0.0 };
        let current = run.steps.iter().filter(|step| step.status == StepStatus::Running);
        let well = |step: &&StepRecord| matches!(step.status, StepStatus::Succeeded | StepStatus::Partial);
        Self {
            id: run.id,
            chain: run.chain,
            status: run.status,
            schedule: run.schedule,
            correlation: run.correlation,
            started_at: run.started_at,
            resumed_at: run.resumed_at,
            finished_at: run.finished_at,
            seconds: run.worked_ms as f64 / 1000.0 + stretch,
            current: current.map(|step| step.step.clone()).collect(),
            completed: run.steps.iter().filter(well).count(),
            total: run.steps.len(),
            error: Fault::of(run.error),
            steps: run.steps.into_iter().map(Into::into).collect(),
        }
    }
}

/// Steps that would be begun again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ResumeSet {
    /// Their names.
    steps: Vec<String>,
}

/// Which runs of chains.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// Of this chain.
    #[param(value_type = Option<String>, max_length = 200)]
    chain: Option<Name>,
    /// `running`, `completed`, `partial`, `failed` or `cancelled`.
    status: Option<String>,
}

/// The chains, by name.
#[utoipa::path(get, path = "/chains", tag = "chains", params(PageParams), security(("token" = ["read"])),
    responses((status = 200, description = "A page", body = List<ChainShown>),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn list(State(api): State<Api>, page: Page) -> Result<Response, Problem> {
    let standing = api.standing().await?;
    let mut chains: Vec<&Chain> = standing.served.project.chains.iter().collect();
    chains.sort_by(|a, b| a.name.cmp(&b.name));
    page.by_name("chains", chains, |chain| chain.name.clone(), |chain| ChainShown::of(chain, &standing))
}

/// One chain, with its steps.
#[utoipa::path(get, path = "/chains/{chain}", tag = "chains", params(("chain" = Name, Path)), security(("token" = ["read"])),
    responses((status = 200, description = "The chain", body = ChainShown),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn show(State(api): State<Api>, Path(name): Path<Name>) -> Answer<ChainShown> {
    let standing = api.standing().await?;
    let chain = standing.served.project.chain(&name.0);
    let chain = chain.ok_or_else(|| Problem::missing("chain", format!("{:?}", name.0)))?;
    Ok(axum::Json(ChainShown::of(chain, &standing)))
}

/// Asks for a run of a chain.
#[utoipa::path(post, path = "/chains/{chain}/runs", tag = "chains", security(("token" = ["run"])),
    params(("chain" = Name, Path), ("Idempotency-Key" = Option<String>, Header, description = "Asking twice starts once")),
    responses((status = 202, description = "It waits for a node", body = OccurrenceShown),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn start(
    State(api): State<Api>,
    axum::Extension(caller): axum::Extension<Caller>,
    Path(chain): Path<Name>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let key = idempotency_key(&headers)?;
    let options = StartOptions::default();
    let enqueued = api.control.start(&Subject::chain(chain.0), &options, key, &caller.name).await?;
    accepted(&api, enqueued).await
}

/// Runs of chains, the newest first.
#[utoipa::path(get, path = "/chain-runs", tag = "chains", params(PageParams, Which), security(("token" = ["read"])),
    responses((status = 200, description = "A page", body = List<ChainRunShown>),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn list_runs(
    State(api): State<Api>,
    page: Page,
    Query(which): Query<Which>,
) -> Result<Response, Problem> {
    let words = "running, completed, partial, failed, cancelled";
    let status = word("status", which.status.as_deref(), ChainStatus::parse, words)?;
    let filter =
        ChainFilter { chain: which.chain.map(|name| name.0), status, before: page.before("chain-runs")? };
    let found = api.store.chain_runs(&filter, page.limit + 1).await?;
    let now = api.clock.now();
    Ok(page.answer("chain-runs", found, |run| run.id, |run| ChainRunShown::of(run, now)))
}

/// One run of a chain, with its steps.
#[utoipa::path(get, path = "/chain-runs/{id}", tag = "chains", params(("id" = Id, Path)), security(("token" = ["read"])),
    responses((status = 200, description = "The run", body = ChainRunShown),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn show_run(State(api): State<Api>, Path(id): Path<Id>) -> Answer<ChainRunShown> {
    let run = api.store.chain_run(id.0).await?.ok_or_else(|| Problem::missing("run of a chain", id.0))?;
    Ok(axum::Json(ChainRunShown::of(run, api.clock.now())))
}

/// The steps that resuming would begin again: those that failed, and what was not run because of them.
#[utoipa::path(get, path = "/chain-runs/{id}/resume-set", tag = "chains", params(("id" = Id, Path)), security(("token" = ["read"])),
    responses((status = 200, description = "The steps", body = ResumeSet),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn resume_set(State(api): State<Api>, Path(id): Path<Id>) -> Answer<ResumeSet> {
    Ok(axum::Json(ResumeSet { steps: api.control.resume_set(id.0).await? }))
}

/// Asks for a run to go on from where it failed, on the same record.
#[utoipa::path(post, path = "/chain-runs/{id}/resume", tag = "chains", security(("token" = ["run"])),
    params(("id" = Id, Path), ("Idempotency-Key" = Option<String>, Header, description = "Asking twice starts once")),
    responses((status = 202, description = "It waits for a node", body = OccurrenceShown),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn resume(
    State(api): State<Api>,
    axum::Extension(caller): axum::Extension<Caller>,
    Path(id): Path<Id>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let enqueued = api.control.resume_chain(id.0, idempotency_key(&headers)?, &caller.name).await?;
    accepted(&api, enqueued).await
}

/// Stops a run of a chain: the steps under way end after the batch in hand, the others are not begun.
#[utoipa::path(post, path = "/chain-runs/{id}/cancel", tag = "chains", params(("id" = Id, Path)), security(("token" = ["run"])),
    responses((status = 202, description = "It will stop", body = OccurrenceShown),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn cancel(State(api): State<Api>, Path(id): Path<Id>) -> Result<Response, Problem> {
    let run = api.store.chain_run(id.0).await?.ok_or_else(|| Problem::missing("run of a chain", id.0))?;
    match occurrences::carrying(&api, Subject::chain(run.chain), run.id).await? {
        Some(occurrence) => occurrences::stop(&api, occurrence).await,
        None => Err(Problem::new(Code::NotPossible, format!("run {} of the chain is not under way", run.id))),
    }
}
