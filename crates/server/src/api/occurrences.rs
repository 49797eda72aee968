//! Occurrences: what is to be done once, is being done, or was done.

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use syncline_core::run::Status;
use syncline_store::service::{
    Enqueued, Occurrence, OccurrenceFilter, OccurrenceId, OccurrenceState, Subject,
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Answer, Api, PREFIX,
    extract::{Id, Name, Path, Query, header_text},
    page::{List, Page, PageParams},
    problem::{Code, Problem, Sent},
    shown::{Fault, SubjectShown, word},
};

/// Header by which asking twice starts once.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Longest idempotency key.
const KEY_BYTES_MAX: usize = 200;

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show)).routes(routes!(cancel))
}

/// Something that is done once.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct OccurrenceShown {
    /// Number; rises.
    id: u64,
    /// What it is about.
    subject: SubjectShown,
    /// Label of its schedule; none: somebody asked for it.
    schedule: Option<String>,
    /// Instant of the schedule, or when it was asked for.
    instant: Timestamp,
    /// When it may start.
    due_at: Timestamp,
    /// `waiting`, `claimed`, `done`, `skipped` or `cancelled`.
    #[schema(value_type = String)]
    state: OccurrenceState,
    /// Why it was skipped.
    reason: Option<String>,
    /// Who asked.
    requested_by: String,
    /// What was asked for.
    #[schema(value_type = Object)]
    options: serde_json::Value,
    /// Links log lines, events and runs.
    correlation: String,
    /// Claims so far; above 1, an earlier one was cut off.
    attempts: u32,
    /// Node that claimed it last.
    node: Option<String>,
    /// When it was claimed last.
    claimed_at: Option<Timestamp>,
    /// Whether somebody asked to stop it.
    cancel_requested: bool,
    /// The run of the sync, or of the chain, that carries it out.
    run: Option<u64>,
    /// How it ended.
    #[schema(value_type = Option<String>)]
    status: Option<Status>,
    /// What stopped it.
    error: Option<Fault>,
    /// When it ended.
    finished_at: Option<Timestamp>,
}

impl From<Occurrence> for OccurrenceShown {
    fn from(occurrence: Occurrence) -> Self {
        let asked = occurrence.asked;
        Self {
            id: occurrence.id,
            subject: asked.subject.into(),
            schedule: asked.schedule,
            instant: asked.instant,
            due_at: asked.due_at,
            state: occurrence.state,
            reason: occurrence.reason,
            requested_by: asked.requested_by,
            options: asked.options,
            correlation: asked.correlation,
            attempts: occurrence.attempts,
            node: occurrence.node,
            claimed_at: occurrence.claimed_at,
            cancel_requested: occurrence.cancel_requested,
            run: occurrence.run,
            status: occurrence.status,
            error: Fault::of(occurrence.error),
            finished_at: occurrence.finished_at,
        }
    }
}

/// Which occurrences.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// Of this sync.
    #[param(value_type = Option<String>, max_length = 200)]
    sync: Option<Name>,
    /// Of this chain.
    #[param(value_type = Option<String>, max_length = 200)]
    chain: Option<Name>,
    /// `waiting`, `claimed`, `done`, `skipped` or `cancelled`.
    state: Option<String>,
}

/// What is to be done, is being done, and was done; the newest first.
#[utoipa::path(get, path = "/occurrences", tag = "occurrences", params(PageParams, Which), security(("token" = ["read"])),
    responses((status = 200, description = "A page", body = List<OccurrenceShown>),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn list(State(api): State<Api>, page: Page, Query(which): Query<Which>) -> Result<Response, Problem> {
    let state = word(
        "state",
        which.state.as_deref(),
        OccurrenceState::parse,
        "waiting, claimed, done, skipped, cancelled",
    )?;
    let subject = match (which.sync, which.chain) {
        (Some(_), Some(_)) => return Err(Problem::new(Code::BadQuery, "either sync or chain, not both")),
        (Some(sync), None) => Some(Subject::sync(sync.0)),
        (None, chain) => chain.map(|chain| Subject::chain(chain.0)),
    };
    let filter = OccurrenceFilter { subject, state, before: page.before("occurrences")? };
    let found = api.store.occurrences(&filter, page.limit + 1).await?;
    Ok(page.answer("occurrences", found, |o| o.id, OccurrenceShown::from))
}

/// One occurrence.
#[utoipa::path(get, path = "/occurrences/{id}", tag = "occurrences", params(("id" = Id, Path)), security(("token" = ["read"])),
    responses((status = 200, description = "The occurrence", body = OccurrenceShown),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn show(State(api): State<Api>, Path(id): Path<Id>) -> Answer<OccurrenceShown> {
    shown(&api, id.0).await.map(axum::Json)
}

/// Stops an occurrence: a waiting one at once, one under way after the batch in hand.
#[utoipa::path(post, path = "/occurrences/{id}/cancel", tag = "occurrences", params(("id" = Id, Path)), security(("token" = ["run"])),
    responses((status = 202, description = "It is cancelled, or will be", body = OccurrenceShown),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn cancel(State(api): State<Api>, Path(id): Path<Id>) -> Result<Response, Problem> {
    shown(&api, id.0).await?;
    stop(&api, id.0).await
}

/// Asks for an occurrence to be stopped.
///
/// # Errors
/// It is over.
pub(crate) async fn stop(api: &Api, id: OccurrenceId) -> Result<Response, Problem> {
    ask_to_stop(api, id).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(shown(api, id).await?)).into_response())
}

/// As [`stop`], without an answer.
pub(crate) async fn ask_to_stop(api: &Api, id: OccurrenceId) -> Result<(), Problem> {
    match api.control.cancel(id).await? {
        Some(_) => Ok(()),
        None => Err(Problem::new(Code::NotPossible, format!("occurrence {id} is over"))),
    }
}

/// The occurrence that carries out a run of this subject; `None`: nothing of the service does.
pub(crate) async fn carrying(api: &Api, subject: Subject, run: u64) -> Result<Option<OccurrenceId>, Problem> {
    let filter = OccurrenceFilter {
        subject: Some(subject),
        state: Some(OccurrenceState::Claimed),
        ..OccurrenceFilter::default()
    };
    let claimed = api.store.occurrences(&filter, 10).await?;
    Ok(claimed.into_iter().find(|occurrence| occurrence.run == Some(run)).map(|occurrence| occurrence.id))
}

async fn shown(api: &Api, id: OccurrenceId) -> Result<OccurrenceShown, Problem> {
    let found = api.store.occurrence(id).await?;
    found.map(Into::into).ok_or_else(|| Problem::missing("occurrence", id))
}

/// The idempotency key of a request.
///
/// # Errors
/// It is empty, too long, or not ASCII.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    Ok(header_text(headers, IDEMPOTENCY_KEY, KEY_BYTES_MAX)?.map(str::to_owned))
}

/// What is answered when something was asked for: 202, and where to look.
pub(crate) async fn accepted(api: &Api, enqueued: Enqueued) -> Result<Response, Problem> {
    let id = asked_for(&enqueued)?;
    let mut response = (StatusCode::ACCEPTED, axum::Json(shown(api, id).await?)).into_response();
    if let Ok(location) = HeaderValue::try_from(format!("{PREFIX}/occurrences/{id}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// What was asked for.
///
/// # Errors
/// It was refused: the key was used before, or too many wait.
pub(crate) fn asked_for(enqueued: &Enqueued) -> Result<OccurrenceId, Problem> {
    match enqueued {
        Enqueued::New(id) | Enqueued::Existing(id) => Ok(*id),
        Enqueued::KeyReused => {
            Err(Problem::new(Code::KeyReused, "this idempotency key was used for something else")
                .hint("take a new key for each thing that you ask for"))
        }
        Enqueued::Full => Err(Problem::new(Code::QueueFull, "too many requests for this wait already")
            .hint("wait until some of them are done, or cancel them")),
    }
}
