//! One record: everything that is known of it. Asks source and destination; writes nothing.

use std::collections::BTreeMap;

use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use syncline_connect::{Source, error::Kind, registry::Caller};
use syncline_core::{sync::Sync, value::Value};
use syncline_engine::{
    Flow,
    service::Served,
    story::{self, Mapped, Story},
};
use syncline_store::Write;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Answer, Api,
    extract::{Name, Path, Query},
    held::HeldShown,
    parked::ParkedShown,
    problem::{Code, Problem, Sent},
};

/// Longest key that is looked for.
const KEY_CHARS_MAX: usize = 4_000;

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(record))
}

/// Which record.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// Its key as the source has it. Of a key with several columns a JSON list: `["PRJ-001","2026"]`.
    #[param(min_length = 1, max_length = 4000)]
    key: String,
}

/// What is known of a record.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StoryShown {
    /// The sync.
    sync: String,
    /// Who it is, in hexadecimal.
    identity: String,
    /// Values of its key.
    key: Vec<serde_json::Value>,
    /// What the sync reads of it, as the source holds it now; null: the source has no such record.
    source: Option<BTreeMap<String, serde_json::Value>>,
    /// What the definition makes of that.
    mapped: MappedShown,
    /// Where it is in the destination, and what was written last; null for syncs into tables, which keep no ledger.
    ledger: Option<LedgerShown>,
    /// Where people find it, where the destination has such an address.
    link: Option<String>,
    /// The row of the destination's table.
    row: Option<BTreeMap<String, serde_json::Value>>,
    /// Its failure that waits for a retry.
    parked: Option<ParkedShown>,
    /// Its delete that waits for approval.
    held: Option<HeldShown>,
    /// What was written to it, the newest first; as long as its runs are kept. None for syncs into tables.
    writes: Vec<WriteShown>,
}

/// What becomes of a record.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MappedShown {
    /// `fields`, `left_out` (by the filter), `refused` (it cannot be written) or `absent` (there is no record).
    outcome: &'static str,
    /// Destination stream, of an API.
    stream: Option<String>,
    /// What the destination should hold.
    fields: Option<BTreeMap<String, serde_json::Value>>,
    /// Why it cannot be written.
    problem: Option<String>,
}

/// What the ledger knows of a record.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LedgerShown {
    /// Id of the destination stream.
    stream: String,
    /// Id of the destination record.
    record_id: String,
    /// Its version when it was last seen.
    version: Option<String>,
    /// Whether it is marked as gone.
    gone: bool,
    /// Whether it is known to hold something else, and is to be written again.
    drifted: bool,
    /// What was last written.
    fields: BTreeMap<String, serde_json::Value>,
    /// The run that last wrote it.
    run: u64,
}

/// A write to a record.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WriteShown {
    /// The run that recorded it.
    run: u64,
    /// `create`, `update`, `move`, `delete` or `adopt`.
    kind: &'static str,
    /// Id of the destination stream.
    stream: String,
    /// Id of the destination record.
    record_id: String,
    /// When it was recorded.
    at: Timestamp,
}

impl From<Write> for WriteShown {
    fn from(write: Write) -> Self {
        let Write { run, kind, stream, record_id, at } = write;
        Self { run, kind: kind.as_str(), stream, record_id, at }
    }
}

impl From<Mapped> for MappedShown {
    fn from(mapped: Mapped) -> Self {
        let shown = |outcome| Self { outcome, stream: None, fields: None, problem: None };
        match mapped {
            Mapped::Absent => shown("absent"),
            Mapped::LeftOut => shown("left_out"),
            Mapped::Refused(problem) => Self { problem: Some(problem), ..shown("refused") },
            Mapped::Fields(stream, fields) => Self { stream, fields: Some(fields), ..shown("fields") },
        }
    }
}

impl StoryShown {
    fn of(sync: &Sync, story: Story) -> Self {
        Self {
            sync: sync.name.clone(),
            identity: story.identity.stamp(),
            key: story.key.iter().map(Value::to_json).collect(),
            source: story.source,
            mapped: story.mapped.into(),
            ledger: story.ledger.map(|(entry, details)| LedgerShown {
                stream: entry.stream.to_string(),
                record_id: entry.record_id,
                version: entry.version,
                gone: entry.gone,
                drifted: entry.hash.is_none(),
                fields: details.fields,
                run: details.run,
            }),
            link: story.link,
            row: story.row,
            parked: story.parked.map(Into::into),
            held: story.held.map(Into::into),
            writes: story.writes.into_iter().map(Into::into).collect(),
        }
    }
}

/// Everything that is known of one record: what the source says now, what that should become, what was written, what waits.
#[utoipa::path(get, path = "/syncs/{sync}/records", tag = "syncs", security(("token" = ["run"])), params(("sync" = Name, Path), Which),
    responses((status = 200, description = "What is known; also of a record that nobody knows", body = StoryShown),
              (status = "default", description = "A problem", body = Sent, content_type = "application/problem+json")))]
async fn record(
    State(api): State<Api>,
    Path(name): Path<Name>,
    Query(which): Query<Which>,
) -> Answer<StoryShown> {
    let served = api.served();
    let sync = served.project.sync(&name.0);
    let sync = sync.ok_or_else(|| Problem::missing("sync", format!("{:?}", name.0)))?;
    let story = Box::pin(tell(&api, &served, sync, &which.key)).await?;
    Ok(axum::Json(StoryShown::of(sync, story)))
}

/// The story of the record with this key, for the API and the web UI alike.
///
/// # Errors
/// The key cannot be read, too many look at the systems already, or one of them failed.
pub(crate) async fn tell(api: &Api, served: &Served, sync: &Sync, key: &str) -> Result<Story, Problem> {
    let texts = texts(key).map_err(|why| Problem::new(Code::BadQuery, why))?;
    let _place = api.look()?;
    let caller = Caller::default();
    let flow = Box::pin(api.systems.open(&served.project, sync, &caller)).await?;
    let key =
        story::key_of(&flow, &texts).map_err(|why| Problem::new(Code::BadQuery, format!("key: {why}")))?;
    let rows = match (&flow, served.project.connection(&sync.to.connection)) {
        (Flow::Load(_), Some(connection)) => match api.systems.source(connection, &caller).await {
            Ok(source) => Some(source),
            // Not every destination can be read.
            Err(error) if error.kind == Kind::Definition => None,
            Err(error) => return Err(error.into()),
        },
        _ => None,
    };
    let rows: Option<&dyn Source> = rows.as_deref();
    Ok(Box::pin(story::story(&api.systems.engine(), &flow, key, rows)).await?)
}

/// The values of a key as it was asked for: a text, or a JSON list of them.
fn texts(key: &str) -> Result<Vec<String>, String> {
    if key.is_empty() || key.chars().count() > KEY_CHARS_MAX {
        return Err(format!("key has 1 to {KEY_CHARS_MAX} characters"));
    }
    if !key.starts_with('[') {
        return Ok(vec![key.to_owned()]);
    }
    let values: Vec<serde_json::Value> =
        serde_json::from_str(key).map_err(|_| "key begins like a JSON list and is none".to_owned())?;
    let text = |value| match value {
        serde_json::Value::String(text) => Ok(text),
        serde_json::Value::Number(_) | serde_json::Value::Bool(_) => Ok(value.to_string()),
        _ => Err("key is a list of texts, numbers and booleans".to_owned()),
    };
    values.into_iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::texts;

    #[test]
    fn keys_as_people_write_them() {
        let of = |key: &str| texts(key).ok();
        let list = |texts: &[&str]| Some(texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>());
        assert_eq!(of("PRJ-001"), list(&["PRJ-001"]));
        assert_eq!(of("a, b"), list(&["a, b"]));
        assert_eq!(of(r#"["a", 7, true]"#), list(&["a", "7", "true"]));
        assert_eq!(of(r#"["[1]"]"#), list(&["[1]"]), "a text that begins with a bracket goes into a list");
        for bad in ["", "[1", "[null]", "[[1]]", &"x".repeat(4_001)] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
