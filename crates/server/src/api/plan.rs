//! Plans: what a run would do. Nothing is written.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use syncline_core::plan::{FieldChange, Planned};
use syncline_engine::{plan::Summary, service::StartOptions};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Answer, Api,
    extract::{Given, Name, Path},
    problem::{Code, Problem, Sent},
};

/// Records shown, unless said otherwise.
const LIMIT: u16 = 100;
/// Most records shown.
const LIMIT_MAX: u16 = 1000;

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(plan))
}

/// What is to be planned.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PlanWanted {
    /// `full` or `incremental`, where it is to differ from the sync's.
    mode: Option<String>,
    /// Plan replacing the table as a whole (syncs into tables).
    prepurge: bool,
    /// Most records shown; the totals are complete in any case.
    #[schema(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u16>,
}

/// What a run would do.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PlanShown {
    /// The sync.
    sync: String,
    /// `full` or `incremental`.
    mode: String,
    /// Why this mode, where it is not the configured one.
    reason: Option<String>,
    /// Totals.
    totals: Totals,
    /// The first records.
    records: Vec<RecordShown>,
}

/// How many records would have each outcome.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Totals {
    read: u64,
    create: u64,
    adopt: u64,
    update: u64,
    #[serde(rename = "move")]
    moves: u64,
    delete: u64,
    hold: u64,
    park: u64,
    ambiguous: u64,
    unchanged: u64,
}

/// What would be done about one record.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RecordShown {
    /// The key for people.
    key: String,
    /// `create`, `adopt`, `update`, `move`, `delete`, `hold`, `park`, `ambiguous` or `stranger`.
    action: &'static str,
    /// Destination stream.
    stream: String,
    /// Stream it is in now, where that is another one.
    from: Option<String>,
    /// Fields that change.
    fields: Vec<ChangeShown>,
    /// Why, where it is not obvious.
    note: Option<String>,
}

/// One field that changes.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChangeShown {
    /// Destination field.
    field: String,
    /// Value now, as far as Syncline knows.
    old: serde_json::Value,
    /// Value afterwards.
    new: serde_json::Value,
}

impl From<FieldChange> for ChangeShown {
    fn from(change: FieldChange) -> Self {
        Self { field: change.field, old: change.old, new: change.new }
    }
}

impl From<Planned> for RecordShown {
    fn from(planned: Planned) -> Self {
        Self {
            key: planned.key,
            action: planned.action.as_str(),
            stream: planned.stream,
            from: planned.from,
            fields: planned.fields.into_iter().map(Into::into).collect(),
            note: planned.note,
        }
    }
}

/// What a run of a sync would do. Reads the systems, and writes nothing.
#[utoipa::path(post, path = "/syncs/{sync}/plan", tag = "syncs", security(("token" = ["run"])), params(("sync" = Name, Path)),
    request_body(content = PlanWanted, description = "May be left out"),
    responses((status = 200, description = "The plan", body = PlanShown),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn plan(
    State(api): State<Api>,
    Path(sync): Path<Name>,
    Given(wanted): Given<PlanWanted>,
) -> Answer<PlanShown> {
    let limit = wanted.limit.unwrap_or(LIMIT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Problem::new(Code::BadBody, format!("limit is a number from 1 to {LIMIT_MAX}")));
    }
    let options = StartOptions { mode: wanted.mode, prepurge: wanted.prepurge, ..StartOptions::default() };
    let _place = api.look()?;
    let planning = Box::pin(api.control.plan(&sync.0, &options, usize::from(limit)));
    let (summary, mut planned) = planning.await?;
    planned.truncate(usize::from(limit));
    let totals = totals(&summary);
    let records = planned.into_iter().map(Into::into).collect();
    Ok(axum::Json(PlanShown { sync: sync.0, mode: summary.mode, reason: summary.reason, totals, records }))
}

fn totals(summary: &Summary) -> Totals {
    Totals {
        read: summary.read,
        create: summary.create,
        adopt: summary.adopt,
        update: summary.update,
        moves: summary.moves,
        delete: summary.delete,
        hold: summary.hold,
        park: summary.park,
        ambiguous: summary.ambiguous,
        unchanged: summary.unchanged,
    }
}
