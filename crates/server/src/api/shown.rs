//! What several resources show.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use syncline_core::{counts::Counts, partition::Partition, run::Status};
use syncline_engine::service::{
    control::Refused,
    health::{Health, Level},
};
use syncline_store::{
    Run,
    service::{Subject, SubjectKind},
};
use utoipa::ToSchema;

use super::problem::{Code, Problem};
use crate::auth::{Caller, Scope};

/// What stopped something.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Fault {
    /// Stable word.
    pub(crate) code: String,
    /// What happened.
    pub(crate) message: String,
}

impl Fault {
    /// Of code and message.
    pub(crate) fn of(pair: Option<(String, String)>) -> Option<Self> {
        pair.map(|(code, message)| Self { code, message })
    }
}

/// How well something is.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct HealthShown {
    /// `healthy`, `degraded` or `unhealthy`.
    #[schema(value_type = String)]
    pub(crate) level: Level,
    /// Why, in one sentence.
    pub(crate) reason: String,
    /// Whether a schedule is late.
    pub(crate) late: bool,
}

impl From<&Health> for HealthShown {
    fn from(health: &Health) -> Self {
        Self { level: health.level, reason: health.reason.clone(), late: health.late }
    }
}

/// Records by outcome; `read` is the sum of the others.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub(crate) struct CountsShown {
    read: u64,
    created: u64,
    updated: u64,
    moved: u64,
    deleted: u64,
    unchanged: u64,
    skipped: u64,
    parked: u64,
    held: u64,
    conflicted: u64,
}

impl From<Counts> for CountsShown {
    fn from(counts: Counts) -> Self {
        let Counts { read, created, updated, moved, deleted, unchanged, skipped, parked, held, conflicted } =
            counts;
        Self { read, created, updated, moved, deleted, unchanged, skipped, parked, held, conflicted }
    }
}

/// A run of a sync.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct RunShown {
    /// Number; rises.
    id: u64,
    /// The sync.
    sync: String,
    /// `full` or `incremental`.
    mode: String,
    /// Why this mode.
    reason: Option<String>,
    /// `queued`, `running`, `succeeded`, `partial`, `failed`, `cancelled` or `interrupted`.
    #[schema(value_type = String)]
    status: Status,
    /// When it started.
    started_at: Timestamp,
    /// When it ended.
    finished_at: Option<Timestamp>,
    /// Seconds it took.
    seconds: Option<f64>,
    /// Totals.
    counts: CountsShown,
    /// Totals per destination stream.
    by_stream: BTreeMap<String, CountsShown>,
    /// What stopped it.
    error: Option<Fault>,
    /// What an operator should read.
    notes: Vec<String>,
    /// Connection that is read.
    source: Option<String>,
    /// Destination stream.
    table: Option<String>,
    /// Label of the schedule it ran by; none: somebody asked for it.
    schedule: Option<String>,
    /// Links log lines, events and runs.
    correlation: Option<String>,
    /// The run that this one retries.
    retry_of: Option<u64>,
    /// The user for whom it was made; shown with the scope admin only.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    /// Values of the sync's parameters; shown with the scope admin only.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    params: BTreeMap<String, String>,
}

impl RunShown {
    /// What `caller` may see of a run.
    pub(crate) fn of(run: Run, caller: &Caller) -> Self {
        let (owner, params) = match caller.may(Scope::Admin) {
            true => (run.about.owner.clone(), run.about.params.clone()),
            false => Default::default(),
        };
        Self { owner, params, ..run.into() }
    }
}

impl From<Run> for RunShown {
    fn from(run: Run) -> Self {
        let seconds = run.finished_at.map(|end| end.duration_since(run.started_at).as_secs_f64());
        Self {
            id: run.id,
            sync: Partition::sync_of(&run.sync).to_owned(),
            mode: run.mode,
            reason: run.reason,
            status: run.status,
            started_at: run.started_at,
            finished_at: run.finished_at,
            seconds,
            counts: run.counts.into(),
            by_stream: run.by_stream.into_iter().map(|(stream, counts)| (stream, counts.into())).collect(),
            error: Fault::of(run.error),
            notes: run.notes,
            source: run.about.source,
            table: run.about.table,
            schedule: run.about.schedule,
            correlation: run.about.correlation,
            retry_of: run.about.retry_of,
            owner: None,
            params: BTreeMap::new(),
        }
    }
}

/// A sync, chain or backfill.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct SubjectShown {
    /// `sync`, `chain` or `backfill`.
    #[schema(value_type = String)]
    kind: SubjectKind,
    /// Its name; of a backfill, its number.
    name: String,
}

impl From<Subject> for SubjectShown {
    fn from(subject: Subject) -> Self {
        Self { kind: subject.kind, name: subject.name }
    }
}

/// How many were changed.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub(crate) struct Changed {
    /// So many.
    pub(crate) changed: u64,
}

/// A word of a list that the caller may choose from.
///
/// # Errors
/// It is none of them.
pub(crate) fn word<T>(
    name: &str,
    text: Option<&str>,
    parse: impl Fn(&str) -> Option<T>,
    words: &str,
) -> Result<Option<T>, Problem> {
    let Some(text) = text else { return Ok(None) };
    match parse(text) {
        Some(value) => Ok(Some(value)),
        None => Err(Problem::new(Code::BadQuery, format!("{name} is one of {words}"))),
    }
}

/// It is worth asking again in a moment.
fn again(problem: Problem) -> Problem {
    Problem { retry: true, retry_after: Some(10), ..problem }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Unknown(detail) => Self::new(Code::NotFound, detail),
            Refused::Unfit(detail) => Self::new(Code::Unfit, detail),
            Refused::Conflict(detail) => Self::new(Code::NotPossible, detail),
            Refused::ParamsMissing(detail) => Self::new(Code::ParamsMissing, detail)
                .hint("send {\"params\": {NAME: VALUE}} with a value for each"),
            Refused::ParamsUnknown(detail) => Self::new(Code::ParamsUnknown, detail),
            Refused::Overloaded(detail) => again(Self::new(Code::Overloaded, detail)),
            Refused::Stopping => again(Self::new(Code::Interrupted, "the server stops; nothing was changed")),
            Refused::Store(error) => error.into(),
            Refused::Engine(error) => error.into(),
            other => Self::new(Code::Internal, other.to_string()),
        }
    }
}
