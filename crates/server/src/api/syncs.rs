//! Syncs: what is defined, and where it stands.

use axum::{extract::State, response::Response};
use jiff::Timestamp;
use serde::Serialize;
use syncline_core::sync::{DeletePolicy, KeyColumns, Mode, Origin as FieldOrigin, Sync};
use syncline_engine::service::Origin;
use syncline_store::service::Subject;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Answer, Api,
    board::Standing,
    extract::{Name, Path},
    page::{List, Page, PageParams},
    problem::{Problem, Sent},
    shown::{HealthShown, RunShown},
};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show))
}

/// A sync and where it stands.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SyncShown {
    /// Its name.
    name: String,
    /// `file`, `applied` or `api`: where it is defined.
    #[schema(value_type = Option<String>)]
    origin: Option<Origin>,
    /// Connection and stream that are read.
    from: EndShown,
    /// Connection and stream that are written.
    to: EndShown,
    /// `full` or `incremental`.
    mode: &'static str,
    /// `append`, `upsert`, `mirror` or `replace`.
    write: &'static str,
    /// Labels of its schedules.
    schedules: Vec<String>,
    /// Labels of those that are paused.
    paused: Vec<String>,
    /// How it is.
    health: Option<HealthShown>,
    /// Its newest run.
    last_run: Option<RunShown>,
    /// End of the newest run that succeeded or was partial.
    last_success_at: Option<Timestamp>,
    /// Runs that failed since.
    failures: u64,
    /// Parked records.
    parked: u64,
    /// Records edited on both sides.
    conflicted: u64,
    /// Held deletes.
    held: u64,
}

/// One end of a sync.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EndShown {
    /// Connection.
    connection: String,
    /// Table, list or resource.
    stream: String,
}

/// A sync with its whole definition.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SyncDetail {
    /// The sync and where it stands.
    #[serde(flatten)]
    sync: SyncShown,
    /// What is read and written, and how.
    definition: Definition,
}

/// The definition of a sync as it is in force, variables filled in.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Definition {
    /// Which columns say "same record".
    key: KeyShown,
    /// Column that grows with every change.
    cursor: Option<String>,
    /// Only records for which this holds are synced.
    filter: Option<String>,
    /// What becomes of records that are gone: `ignore`, `soft` or `delete`.
    deletes: &'static str,
    /// Deletes are held above this many …
    guard_count: u64,
    /// … and this share, in percent.
    guard_percent: f64,
    /// Destination fields and where they come from.
    fields: Vec<FieldShown>,
    /// Rules by which records go to other streams; the first that matches.
    routes: Vec<RouteShown>,
    /// Natural keys by which existing records are paired at first contact.
    adopt: Option<Vec<String>>,
    /// Most operations between two checkpoints.
    batch: usize,
}

/// Which columns make the key.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyShown {
    /// `primary_key`, `unique`, `columns` or `hashed`.
    strategy: &'static str,
    /// The columns, or the constraint.
    columns: Vec<String>,
}

/// A mapped field.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FieldShown {
    /// Destination field.
    to: String,
    /// `column`, `cel` or `sql`.
    kind: &'static str,
    /// Column or expression.
    from: String,
}

/// A routing rule.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RouteShown {
    /// Condition.
    when: String,
    /// Stream.
    stream: String,
}

impl SyncShown {
    fn of(sync: &Sync, standing: &Standing) -> Self {
        let subject = Subject::sync(sync.name.clone());
        let summary = standing.summaries.get(&sync.name);
        Self {
            name: sync.name.clone(),
            origin: standing.served.origins.get(&subject).copied(),
            from: EndShown { connection: sync.from.connection.clone(), stream: sync.from.stream.clone() },
            to: EndShown { connection: sync.to.connection.clone(), stream: sync.to.stream.clone() },
            mode: match sync.mode {
                Mode::Full => "full",
                Mode::Incremental => "incremental",
            },
            write: sync.write.as_str(),
            schedules: sync.schedules.iter().map(syncline_core::schedule::Schedule::label).collect(),
            paused: standing.paused(&subject),
            health: standing.health(&subject).map(Into::into),
            last_run: summary.and_then(|s| s.last.clone()).map(Into::into),
            last_success_at: summary.and_then(|s| s.last_success_at),
            failures: summary.map_or(0, |s| s.failures),
            parked: summary.map_or(0, |s| s.parked),
            conflicted: summary.map_or(0, |s| s.conflicted),
            held: summary.map_or(0, |s| s.held),
        }
    }
}

impl From<&Sync> for Definition {
    fn from(sync: &Sync) -> Self {
        let (strategy, columns) = match &sync.from.key.columns {
            KeyColumns::PrimaryKey => ("primary_key", Vec::new()),
            KeyColumns::UniqueConstraint(name) => ("unique", vec![name.clone()]),
            KeyColumns::Columns(columns) => ("columns", columns.clone()),
            KeyColumns::Hashed(columns) => ("hashed", columns.clone()),
        };
        let fields = sync.fields.iter().map(|field| {
            let (kind, from) = match &field.from {
                FieldOrigin::Column(column) => ("column", column.clone()),
                FieldOrigin::Expression(expression) => ("cel", expression.text().to_owned()),
                FieldOrigin::Sql(sql) => ("sql", sql.clone()),
                FieldOrigin::Param(name) => ("param", name.clone()),
            };
            FieldShown { to: field.to.clone(), kind, from }
        });
        let routes = sync
            .routes
            .iter()
            .map(|r| RouteShown { when: r.when.text().to_owned(), stream: r.stream.clone() });
        Self {
            key: KeyShown { strategy, columns },
            cursor: sync.from.cursor.clone(),
            filter: sync.from.filter.as_ref().map(|filter| filter.text().to_owned()),
            deletes: match sync.deletes.policy {
                DeletePolicy::Ignore => "ignore",
                DeletePolicy::Soft { .. } => "soft",
                DeletePolicy::Delete => "delete",
            },
            guard_count: sync.deletes.guard_count,
            guard_percent: sync.deletes.guard_percent,
            fields: fields.collect(),
            routes: routes.collect(),
            adopt: sync.adopt.clone(),
            batch: sync.batch,
        }
    }
}

/// The syncs that are served, by name, each with its health.
#[utoipa::path(get, path = "/syncs", tag = "syncs", params(PageParams), security(("token" = ["read"])),
    responses((status = 200, description = "A page", body = List<SyncShown>),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn list(State(api): State<Api>, page: Page) -> Result<Response, Problem> {
    let standing = api.standing().await?;
    let mut syncs: Vec<&Sync> = standing.served.project.syncs.iter().collect();
    syncs.sort_by(|a, b| a.name.cmp(&b.name));
    page.by_name("syncs", syncs, |sync| sync.name.clone(), |sync| SyncShown::of(sync, &standing))
}

/// One sync: where it stands, and its definition.
#[utoipa::path(get, path = "/syncs/{sync}", tag = "syncs", params(("sync" = Name, Path)), security(("token" = ["read"])),
    responses((status = 200, description = "The sync", body = SyncDetail),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn show(State(api): State<Api>, Path(name): Path<Name>) -> Answer<SyncDetail> {
    let standing = api.standing().await?;
    let sync = standing.served.project.sync(&name.0);
    let sync = sync.ok_or_else(|| Problem::missing("sync", format!("{:?}", name.0)))?;
    Ok(axum::Json(SyncDetail { sync: SyncShown::of(sync, &standing), definition: sync.into() }))
}
