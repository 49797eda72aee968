//! What is the story of this record? What the source says, what that should become, what was written, what waits.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use axum::{
    Extension, Router,
    extract::{Path, State},
    http::HeaderMap,
    response::Response,
    routing::get,
};
use jiff::Timestamp;
use serde_json::Value as Json;
use syncline_core::{identity::Identity, project::Project, sync::Sync};
use syncline_engine::{
    service::StartOptions,
    story::{Mapped, Story},
};
use syncline_store::{WriteKind, service::Subject};

use super::{
    Page, Shown, Ui,
    confirm::Confirm,
    fault::Fault,
    flash::{self, Done},
    form::{Asked, Form},
    layout::{Frame, Tab},
    needs,
    session::Visitor,
    show::{Mark, When, part, record_href as href},
};
use crate::{
    api::{decisions, records},
    auth::Scope,
};

/// Longest value that is shown whole, in characters.
const VALUE_CHARS_MAX: usize = 400;
/// Fields that are shown.
const FIELDS_MAX: usize = 300;

pub(crate) fn routes() -> Router<Ui> {
    Router::new()
        .route("/syncs/{sync}/record", get(show))
        .route("/syncs/{sync}/record/retry", needs(Scope::Write, get(ask_retry).post(retry)))
}

/// The page.
#[derive(Template)]
#[template(path = "record.html")]
struct Record {
    frame: Frame,
    sync: String,
    /// Where the form leads.
    action: String,
    /// The key, as it was typed.
    key: String,
    story: Option<Told>,
}

/// What is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    mark: Mark,
    /// `It agrees: the destination holds what was last written.`
    headline: String,
    identity: String,
    /// Field by field: of the source, and of the destination.
    source: Vec<(String, String)>,
    fields: Vec<Field>,
    /// What the last column of the fields holds.
    written: &'static str,
    /// Where people find it.
    link: Option<String>,
    place: Option<Place>,
    parked: Option<Parked>,
    held: Option<(String, When, u64)>,
    writes: Vec<Write>,
}

/// A field of the destination.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Field {
    name: String,
    /// What the definition makes of the source.
    wanted: Option<String>,
    /// What was last written, or what the table holds.
    there: Option<String>,
    /// Whether the two are known and differ.
    differs: bool,
}

/// Where it is, as the ledger has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    record: String,
    stream: String,
    version: Option<String>,
    gone: bool,
    drifted: bool,
    run: u64,
}

/// Its failure.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Parked {
    code: String,
    message: String,
    attempts: u32,
    first: When,
    retry: When,
    run: u64,
    /// Where it is tried again.
    again: String,
}

/// One write.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Write {
    what: &'static str,
    record: String,
    at: When,
    run: u64,
}

fn view(sync: &str, key: &str, story: Story, now: Timestamp) -> Told {
    let (mark, headline) = headline(&story);
    let source = story.source.iter().flatten().take(FIELDS_MAX);
    let loaded = story.row.is_some() || (story.ledger.is_none() && story.writes.is_empty());
    Told {
        mark,
        headline,
        identity: story.identity.stamp(),
        source: source.map(|(name, value)| (name.clone(), shown(value))).collect(),
        fields: fields(&story),
        written: if loaded { "The table holds" } else { "Last written" },
        link: story.link.filter(|link| link.starts_with("https://") || link.starts_with("http://")),
        place: story.ledger.map(|(entry, details)| Place {
            record: entry.record_id,
            stream: entry.stream.to_string(),
            version: entry.version,
            gone: entry.gone,
            drifted: entry.hash.is_none(),
            run: details.run,
        }),
        parked: story.parked.map(|parked| Parked {
            code: parked.code,
            message: parked.message,
            attempts: parked.attempts,
            first: When::of(parked.first_at, now),
            retry: When::of(parked.retry_at, now),
            run: parked.run,
            again: format!(
                "/syncs/{}/record/retry?identity={}&key={}",
                part(sync),
                story.identity.stamp(),
                part(key)
            ),
        }),
        held: story.held.map(|held| (held.reason, When::of(held.since, now), held.run)),
        writes: story
            .writes
            .into_iter()
            .map(|write| Write {
                what: what(write.kind),
                record: write.record_id,
                at: When::of(write.at, now),
                run: write.run,
            })
            .collect(),
    }
}

fn what(kind: WriteKind) -> &'static str {
    match kind {
        WriteKind::Create => "created",
        WriteKind::Update => "updated",
        WriteKind::Move => "moved",
        WriteKind::Delete => "deleted",
        WriteKind::Adopt => "adopted",
    }
}

/// The state in a word and a sentence, what needs a person first.
fn headline(story: &Story) -> (Mark, String) {
    let there = story.ledger.as_ref().map(|(entry, _)| entry);
    if story.parked.is_some() {
        return (Mark::bad("parked"), "It failed, and waits for its retry.".to_owned());
    }
    if story.held.is_some() {
        let said = "It is gone in the source; its delete waits for approval.";
        return (Mark::warn("held"), said.to_owned());
    }
    match (&story.mapped, there) {
        (Mapped::Refused(why), _) => (Mark::bad("refused"), format!("It cannot be written: {why}.")),
        (Mapped::LeftOut, None) => (Mark::off("left out"), "The sync's filter leaves it out.".to_owned()),
        (Mapped::LeftOut, Some(_)) => (
            Mark::warn("left out"),
            "The sync's filter leaves it out now; what was written is still there.".to_owned(),
        ),
        (Mapped::Absent, None) if story.writes.is_empty() => {
            (Mark::off("unknown"), "Neither the source nor the ledger knows such a record.".to_owned())
        }
        (Mapped::Absent, None) => {
            (Mark::off("gone"), "The source has no such record, and the destination no more.".to_owned())
        }
        (Mapped::Absent, Some(entry)) if entry.gone => (
            Mark::ok("gone"),
            "The source has no such record; it is marked as gone in the destination.".to_owned(),
        ),
        (Mapped::Absent, Some(_)) => (
            Mark::warn("gone"),
            "The source has no such record any more; the next full run decides about it.".to_owned(),
        ),
        (Mapped::Fields(..), _) => of_fields(story, there.is_some_and(|entry| entry.hash.is_none())),
    }
}

fn of_fields(story: &Story, drifted: bool) -> (Mark, String) {
    let unwritten = story.ledger.is_none() && story.row.is_none();
    let differs = fields(story).iter().filter(|field| field.differs).count();
    match (unwritten, drifted, differs) {
        (true, ..) => (Mark::warn("not there"), "The next run brings it to the destination.".to_owned()),
        (_, true, _) => (
            Mark::warn("drifted"),
            "It was changed in the destination; the next run writes it again.".to_owned(),
        ),
        (_, _, 0) => (Mark::ok("agrees"), "The destination holds what the source says.".to_owned()),
        (_, _, 1) => (Mark::warn("differs"), "1 field differs; the next run writes it.".to_owned()),
        (_, _, n) => (Mark::warn("differs"), format!("{n} fields differ; the next run writes them.")),
    }
}

fn fields(story: &Story) -> Vec<Field> {
    let none = BTreeMap::new();
    let wanted = match &story.mapped {
        Mapped::Fields(_, values) => values,
        Mapped::Absent | Mapped::LeftOut | Mapped::Refused(_) => &none,
    };
    let written = story.ledger.as_ref().map(|(_, details)| &details.fields);
    let there = story.row.as_ref().or(written).unwrap_or(&none);
    let names: BTreeSet<&String> = wanted.keys().chain(there.keys()).collect();
    let field = |name: &String| {
        let (wanted, there) = (wanted.get(name), there.get(name));
        // what only one side names is no difference: a table has columns of its own
        let differs = wanted.is_some() && there.is_some() && !same(wanted, there);
        Field { name: name.clone(), wanted: wanted.map(shown), there: there.map(shown), differs }
    };
    names.into_iter().take(FIELDS_MAX).map(field).collect()
}

/// Whether two values say the same: numbers are kept as text on one side and not on the other.
fn same(a: Option<&Json>, b: Option<&Json>) -> bool {
    if a == b {
        return true;
    }
    let number = |value: Option<&Json>| match value? {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => text.parse().ok(),
        _ => None,
    };
    matches!((number(a), number(b)), (Some(a), Some(b)) if a == b)
}

fn shown(value: &Json) -> String {
    let text = match value {
        Json::String(text) => text.clone(),
        Json::Null => "null".to_owned(),
        other => other.to_string(),
    };
    if text.chars().count() <= VALUE_CHARS_MAX {
        return text;
    }
    text.chars().take(VALUE_CHARS_MAX).chain(['…']).collect()
}

fn known<'p>(project: &'p Project, name: &str) -> Result<&'p Sync, Fault> {
    let names = project.syncs.iter().map(|sync| sync.name.as_str());
    let missing = || Fault::missing_of("sync", name, names, |near| format!("/syncs/{}/record", part(near)));
    project.sync(name).ok_or_else(missing)
}

async fn show(
    State(ui): State<Ui>,
    Extension(visitor): Extension<Visitor>,
    Path(sync): Path<String>,
    asked: Asked,
) -> Shown<Record> {
    let served = ui.api.control.served();
    let defined = known(&served.project, &sync)?;
    let place = format!("/syncs/{}", part(&sync));
    let frame = ui.frame(&visitor, Tab::None, "Record").await?;
    let frame = frame.crumb("Overview", "/").crumb(sync.clone(), place.clone()).done(asked.get("done"));
    let key = asked.get("key").unwrap_or_default().to_owned();
    let story = if key.is_empty() {
        None
    } else {
        // it asks the systems, as the API does
        if !visitor.may(Scope::Run) {
            return Err(Fault::forbidden(Scope::Run));
        }
        let story = Box::pin(records::tell(&ui.api, &served, defined, &key)).await?;
        Some(view(&sync, &key, story, ui.api.clock.now()))
    };
    Ok(Page(Record { frame, sync, action: format!("{place}/record"), key, story }))
}

/// The record that a form names.
fn identity(text: Option<&str>) -> Result<Identity, Fault> {
    let found = text.and_then(Identity::from_stamp);
    found.ok_or_else(|| Fault::bad("The form names no record."))
}

async fn ask_retry(
    State(ui): State<Ui>,
    Extension(visitor): Extension<Visitor>,
    Path(sync): Path<String>,
    asked: Asked,
) -> Shown<Confirm> {
    let identity = identity(asked.get("identity"))?;
    let key = asked.get("key").unwrap_or_default();
    let frame = ui.frame(&visitor, Tab::None, "Retry").await?;
    Ok(Page(Confirm {
        frame: frame.crumb(sync.clone(), format!("/syncs/{}", part(&sync))).crumb(key, href(&sync, key)),
        question: format!("Retry {key} of {sync} now?"),
        means: vec![
            "It becomes due, and a run that tries only parked records is asked for.".to_owned(),
            "Other parked records that are due are tried with it.".to_owned(),
        ],
        action: format!("/syncs/{}/record/retry", part(&sync)),
        hidden: vec![("identity", identity.stamp()), ("key", key.to_owned())],
        fields: Vec::new(),
        button: "Retry now",
        grave: false,
        back: href(&sync, key),
    }))
}

async fn retry(
    State(ui): State<Ui>,
    Extension(visitor): Extension<Visitor>,
    Path(sync): Path<String>,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, Fault> {
    let identity = identity(form.get("identity"))?;
    let by = &visitor.caller.name;
    decisions::retry(&ui.api, &sync, Some(&[identity]), by).await?;
    let options = StartOptions { only_parked: true, ..StartOptions::default() };
    ui.api.control.start(&Subject::sync(sync.clone()), &options, None, by).await?;
    Ok(flash::back(&headers, &href(&sync, form.get("key").unwrap_or_default()), Done::Retried))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use syncline_core::value::Value;
    use syncline_store::{Details, Entry};

    use super::*;

    fn values(pairs: &[(&str, Json)]) -> BTreeMap<String, Json> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }

    fn story(wanted: &[(&str, Json)], written: &[(&str, Json)]) -> Story {
        let key = vec![Value::Text("P-1".into())];
        let entry = Entry {
            seq: 1,
            stream: "s".into(),
            record_id: "7".to_owned(),
            version: None,
            hash: Some([0; 32]),
            gone: false,
        };
        Story {
            identity: Identity::of(&key, false).unwrap(),
            source: Some(values(wanted)),
            mapped: Mapped::Fields(None, values(wanted)),
            ledger: Some((entry, Details { key: key.clone(), fields: values(written), run: 3 })),
            key,
            link: Some("javascript:alert(1)".to_owned()),
            row: None,
            parked: None,
            held: None,
            writes: Vec::new(),
        }
    }

    #[test]
    fn fields_that_differ_are_counted_and_numbers_are_compared_as_numbers() {
        let wanted = [("Title", json!("<b>")), ("Budget", json!("12.50")), ("Status", json!("Active"))];
        let written = [("Title", json!("<b>")), ("Budget", json!(12.5)), ("Status", json!("Closed"))];
        let told = view("projects", "P-1", story(&wanted, &written), Timestamp::UNIX_EPOCH);
        assert_eq!(
            (told.mark.word, &*told.headline),
            ("differs", "1 field differs; the next run writes it.")
        );
        let differs: Vec<_> = told.fields.iter().filter(|f| f.differs).map(|f| f.name.as_str()).collect();
        assert_eq!(differs, ["Status"]);
        assert_eq!(told.link, None, "an address that is none of the web is not led to");
        let agreed = view("projects", "P-1", story(&wanted, &wanted), Timestamp::UNIX_EPOCH);
        assert_eq!(agreed.mark.word, "agrees");
    }

    #[test]
    fn values_stay_text() {
        let fields = [("<i>Title", json!("<script>alert(1)</script>"))];
        let told = view("projects", "<u>", story(&fields, &fields), Timestamp::UNIX_EPOCH);
        let frame = Frame::bare(None, Tab::None, "Record");
        let page = Record {
            frame,
            sync: "projects".to_owned(),
            action: "/".to_owned(),
            key: "\"><u>".to_owned(),
            story: Some(told),
        };
        let html = page.render().unwrap();
        assert!(!html.contains("<script>alert") && !html.contains("<i>") && !html.contains("<u>"), "{html}");
    }
}
