//! Drift: the destination is read again and compared with what was written. That takes as long as reading it takes, so a
//! verification is started, and asked about afterwards; this node keeps the last one of each sync.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde::Serialize;
use syncline_connect::registry::Caller;
use syncline_core::{plan::diff, sync::Sync};
use syncline_engine::{
    Flow,
    load::{compare::What, verify as tables},
    verify,
};
use syncline_store::{Drift, DriftKind};
use tokio::task::JoinSet;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Answer, Api, PREFIX,
    extract::{Name, Path},
    problem::{Code, Problem, Sent},
    shown::Fault,
};

/// Findings of each kind that are kept.
const FINDINGS_MAX: usize = 200;
/// Verifications that are remembered; the oldest is forgotten first.
const REMEMBERED_MAX: usize = 100;

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(start)).routes(routes!(show))
}

/// The last verification of each sync, and those under way. They end with it.
#[derive(Default)]
pub(crate) struct Verifications {
    known: Mutex<BTreeMap<String, DriftShown>>,
    running: Mutex<JoinSet<()>>,
}

/// A verification.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct DriftShown {
    /// The sync.
    pub(crate) sync: String,
    /// `running`, `done` or `failed`. Of a failed one nothing is known: that is no finding.
    pub(crate) state: &'static str,
    /// When it began.
    pub(crate) started_at: Timestamp,
    /// When it ended.
    pub(crate) finished_at: Option<Timestamp>,
    /// Records by kind of finding: `missing`, `edited`, `duplicate`, `orphan`, `stranger` in an API; `missing`, `extra`,
    /// `different`, `doubled`, `unreadable` in a table.
    pub(crate) totals: BTreeMap<&'static str, u64>,
    /// The first findings.
    pub(crate) findings: Vec<FindingShown>,
    /// What could not be looked at.
    pub(crate) notes: Vec<String>,
    /// What stopped it.
    pub(crate) error: Option<Fault>,
}

/// One record on which both sides do not agree.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct FindingShown {
    /// What is wrong.
    pub(crate) kind: &'static str,
    /// Its key, for people.
    pub(crate) key: String,
    /// Fields that differ.
    pub(crate) fields: Vec<String>,
    /// Destination stream, of an API.
    pub(crate) stream: Option<String>,
    /// Record there.
    pub(crate) record_id: Option<String>,
}

impl Verifications {
    fn get(&self, sync: &str) -> Option<DriftShown> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(sync).cloned()
    }

    /// Notes a new one; `false`: one is under way.
    fn begin(&self, sync: &str, at: Timestamp) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.get(sync).is_some_and(|last| last.state == "running") {
            return false;
        }
        let oldest = known.iter().filter(|(_, v)| v.state != "running").min_by_key(|(_, v)| v.started_at);
        if known.len() >= REMEMBERED_MAX
            && let Some(oldest) = oldest.map(|(name, _)| name.clone())
        {
            known.remove(&oldest);
        }
        known.insert(sync.to_owned(), DriftShown::begun(sync, at));
        true
    }

    fn end(&self, result: DriftShown) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(result.sync.clone(), result);
    }
}

impl DriftShown {
    fn begun(sync: &str, at: Timestamp) -> Self {
        Self {
            sync: sync.to_owned(),
            state: "running",
            started_at: at,
            finished_at: None,
            totals: BTreeMap::new(),
            findings: Vec::new(),
            notes: Vec::new(),
            error: None,
        }
    }
}

/// Begins a verification of a sync on this node. Writes nothing to the systems.
#[utoipa::path(post, path = "/syncs/{sync}/verify", tag = "drift", security(("token" = ["run"])), params(("sync" = Name, Path)),
    responses((status = 202, description = "It is under way; ask `/syncs/{sync}/drift`", body = DriftShown),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn start(State(api): State<Api>, Path(name): Path<Name>) -> Result<Response, Problem> {
    let begun = begin(&api, &name.0)?;
    // a name is put into a header as it is in a path
    let location = format!("{PREFIX}/syncs/{}/drift", percent(&name.0));
    let mut response = (StatusCode::ACCEPTED, axum::Json(begun)).into_response();
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Begins a verification of a sync in the background of this process.
///
/// # Errors
/// There is no such sync, it is being verified, or too much is being looked at.
pub(crate) fn begin(api: &Api, name: &str) -> Result<DriftShown, Problem> {
    let served = api.served();
    let sync = served.project.sync(name);
    let sync = sync.ok_or_else(|| Problem::missing("sync", format!("{name:?}")))?.clone();
    let place = api.look()?;
    let at = api.clock.now();
    if !api.verifications.begin(&sync.name, at) {
        return Err(Problem::new(Code::NotPossible, format!("sync {:?} is being verified", sync.name))
            .hint("ask for its drift until it is done"));
    }
    let begun = DriftShown::begun(&sync.name, at);
    let worker = api.clone();
    let work = async move {
        let _place = place;
        let result = Box::pin(run(&worker, &sync, at)).await;
        worker.verifications.end(result);
    };
    let mut running = api.verifications.running.lock().unwrap_or_else(PoisonError::into_inner);
    while running.try_join_next().is_some() {}
    running.spawn(work);
    Ok(begun)
}

impl Api {
    /// The last verification of a sync on this node.
    pub(crate) fn last_verification(&self, sync: &str) -> Option<DriftShown> {
        self.verifications.get(sync)
    }
}

/// The last verification of a sync on this node.
#[utoipa::path(get, path = "/syncs/{sync}/drift", tag = "drift", security(("token" = ["read"])), params(("sync" = Name, Path)),
    responses((status = 200, description = "What was found", body = DriftShown),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn show(State(api): State<Api>, Path(name): Path<Name>) -> Answer<DriftShown> {
    let known = api.verifications.get(&name.0);
    known.map(axum::Json).ok_or_else(|| {
        Problem::missing("verification of sync", format!("{:?} on this node", name.0))
            .hint("POST to /api/v1/syncs/NAME/verify begins one")
    })
}

async fn run(api: &Api, sync: &Sync, started_at: Timestamp) -> DriftShown {
    let begun = DriftShown::begun(&sync.name, started_at);
    let ended = Box::pin(look(api, sync)).await;
    let finished_at = Some(api.clock.now());
    match ended {
        Ok((totals, findings, notes)) => {
            DriftShown { state: "done", finished_at, totals, findings, notes, ..begun }
        }
        Err(error) => {
            let error = Some(Fault { code: error.code().to_owned(), message: Problem::from(error).detail });
            DriftShown { state: "failed", finished_at, error, ..begun }
        }
    }
}

type Found = (BTreeMap<&'static str, u64>, Vec<FindingShown>, Vec<String>);

async fn look(api: &Api, sync: &Sync) -> Result<Found, syncline_engine::Error> {
    let engine = api.systems.engine();
    match api.systems.open(&api.served().project, sync, &Caller::default()).await? {
        Flow::Push(bound) => {
            let comparison = verify::verify(&engine, &bound, FINDINGS_MAX).await?;
            let totals = comparison.totals.iter().map(|(kind, n)| (word(*kind), *n)).collect();
            Ok((totals, comparison.drift.iter().map(of_record).collect(), Vec::new()))
        }
        Flow::Load(table) => {
            let verified = tables::verify(&table, FINDINGS_MAX).await?;
            let found = &verified.findings;
            let totals = [
                ("missing", found.missing),
                ("extra", found.extra),
                ("different", found.different),
                ("doubled", found.doubled),
                ("unreadable", found.unreadable),
            ];
            let records = found.records.iter().take(FINDINGS_MAX).map(of_row).collect();
            let notes = verified
                .computed
                .iter()
                .map(|column| format!("{column:?} is computed on the way and not compared"));
            Ok((totals.into_iter().filter(|(_, n)| *n > 0).collect(), records, notes.collect()))
        }
    }
}

fn word(kind: DriftKind) -> &'static str {
    match kind {
        DriftKind::Missing => "missing",
        DriftKind::Edited => "edited",
        DriftKind::Duplicate => "duplicate",
        DriftKind::Orphan => "orphan",
        DriftKind::Stranger => "stranger",
    }
}

fn of_record(drift: &Drift) -> FindingShown {
    let fields = match drift.kind {
        DriftKind::Edited => {
            diff(&drift.expected, &drift.found).into_iter().map(|change| change.field).collect()
        }
        _ => Vec::new(),
    };
    FindingShown {
        kind: word(drift.kind),
        key: drift.label.clone(),
        fields,
        stream: Some(drift.stream.clone()),
        record_id: Some(drift.record_id.clone()),
    }
}

fn of_row(finding: &syncline_engine::load::compare::Finding) -> FindingShown {
    let (kind, fields) = match &finding.what {
        What::Missing => ("missing", Vec::new()),
        What::Extra => ("extra", Vec::new()),
        What::Different(columns) => ("different", columns.clone()),
    };
    let text = |value: &syncline_core::value::Value<'_>| match value.to_json() {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    let key = finding.key.iter().map(text).collect::<Vec<_>>().join(", ");
    FindingShown { kind, key, fields, stream: None, record_id: None }
}

fn percent(name: &str) -> String {
    name.bytes().fold(String::new(), |out, byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            out + &char::from(byte).to_string()
        }
        other => out + &format!("%{other:02X}"),
    })
}
