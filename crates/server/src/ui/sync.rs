//! One sync: where it stands, what it does, when, and how it went.

use askama::Template;
use axum::{
    Extension, Router,
    extract::{Path, State},
    routing::get,
};
use jiff::{Timestamp, tz::TimeZone};
use syncline_core::{
    calendar::Timing,
    run::Status,
    sync::{DeletePolicy, KeyColumns, Origin, Sync},
};
use syncline_engine::service::control::Upcoming;
use syncline_store::{
    Run,
    service::{Occurrence, OccurrenceFilter, RunFilter, Subject, Summary},
};

use super::{
    Page, Shown, Ui,
    chart::{Column, Svg, columns},
    fault::Fault,
    form::Asked,
    layout::{Frame, Tab},
    session::Visitor,
    show::{Mark, When, count, part, seconds, some, span},
    yaml,
};
use crate::api::{Standing, drift::DriftShown};

/// Runs of a page of the history.
const RUNS: usize = 25;
/// Runs in a chart.
const CHARTED: usize = 30;
/// Instants of a schedule.
const INSTANTS: usize = 5;
/// Occurrences among which the newest one that ended is looked for.
const NEWEST: usize = 5;
/// Findings of a verification that are listed.
const FINDINGS: usize = 20;
/// Fields of a mapping that are listed.
const FIELDS: usize = 400;

pub(crate) fn routes() -> Router<Ui> {
    Router::new().route("/syncs/{sync}", get(show)).route("/syncs/{sync}/definition", get(definition))
}

/// The page.
#[derive(Template)]
#[template(path = "sync.html")]
struct SyncPage {
    frame: Frame,
    name: String,
    /// The name as it stands in an address.
    encoded: String,
    /// Its address.
    at: String,
    mark: Mark,
    reason: String,
    fresh: Option<When>,
    running: Option<String>,
    parked: String,
    held: String,
    conflicts: String,
    cursor: String,
    paused: bool,
    /// Why the newest thing that was asked of it never became a run.
    refused: Option<(When, String)>,
    picture: Picture,
    fields: Vec<FieldRow>,
    more_fields: usize,
    schedules: Vec<ScheduleRow>,
    throughput: Svg,
    durations: Svg,
    history: History,
    drift: Option<Drift>,
}

/// Source, mapping, routes and destination, side by side.
struct Picture {
    from: String,
    stream: String,
    key: String,
    cursor: Option<String>,
    filter: Option<String>,
    mapped: String,
    mode: &'static str,
    write: &'static str,
    deletes: String,
    to: String,
    /// Condition and stream; the last one has none.
    routes: Vec<(Option<String>, String)>,
}

struct FieldRow {
    to: String,
    kind: &'static str,
    from: String,
    notes: String,
}

struct ScheduleRow {
    label: String,
    paused: Option<When>,
    enabled: bool,
    zone: String,
    /// In UTC, and by the clocks of its zone.
    next: Vec<(When, String)>,
}

/// Runs of the sync, the newest first.
struct History {
    rows: Vec<RunRow>,
    statuses: Vec<(&'static str, bool)>,
    next: Option<String>,
    filtered: bool,
}

pub(super) struct RunRow {
    pub(super) id: String,
    pub(super) href: String,
    pub(super) mark: Mark,
    pub(super) began: When,
    pub(super) took: String,
    pub(super) mode: String,
    pub(super) by: String,
    pub(super) read: String,
    pub(super) written: String,
    pub(super) waiting: String,
    pub(super) error: String,
}

/// What a verification found.
struct Drift {
    mark: Mark,
    at: When,
    totals: Vec<String>,
    findings: Vec<(String, String, String)>,
    error: Option<String>,
}

/// What the page is made from.
struct Facts<'a> {
    sync: &'a Sync,
    standing: &'a Standing,
    upcoming: &'a [Upcoming],
    /// The newest runs.
    recent: &'a [Run],
    /// Those of this page, with one more where there is another page.
    runs: Vec<Run>,
    status: Option<Status>,
    drift: Option<DriftShown>,
    /// The newest thing that was asked of it and is over.
    newest: Option<&'a Occurrence>,
}

fn view(frame: Frame, facts: Facts<'_>) -> SyncPage {
    let Facts { sync, standing, upcoming, recent, runs, status, drift, newest } = facts;
    let now = standing.at;
    let health = standing.health(&Subject::sync(sync.name.clone()));
    let summary = standing.summaries.get(&sync.name);
    let number = |of: fn(&Summary) -> u64| count(summary.map_or(0, of));
    let running = recent.iter().find(|run| run.status == Status::Running);
    SyncPage {
        frame,
        encoded: part(&sync.name),
        at: address(&sync.name),
        mark: health.map_or(Mark::off("unknown"), |health| Mark::level(health.level)),
        reason: health.map(|health| health.reason.clone()).unwrap_or_default(),
        fresh: summary.and_then(|s| s.last_success_at).map(|at| When::of(at, now)),
        running: running.map(|run| format!("/runs/{}", run.id)),
        parked: number(|s| s.parked),
        held: number(|s| s.held),
        conflicts: number(|s| s.conflicted),
        cursor: cursor(sync, summary),
        paused: upcoming.iter().any(|schedule| schedule.paused_at.is_some()),
        refused: newest.and_then(|occurrence| refused(occurrence, now)),
        picture: picture(sync),
        fields: sync.fields.iter().take(FIELDS).map(field).collect(),
        more_fields: sync.fields.len().saturating_sub(FIELDS),
        schedules: upcoming.iter().map(|schedule| schedule_row(schedule, now)).collect(),
        throughput: columns("Records read per second", &charted(recent, throughput)),
        durations: columns("Duration", &charted(recent, duration)),
        history: history(sync, runs, status, now),
        drift: drift.map(|drift| found(&drift, now)),
        name: sync.name.clone(),
    }
}

/// Why an occurrence never became a run, and when that was found out.
fn refused(occurrence: &Occurrence, now: Timestamp) -> Option<(When, String)> {
    let (_, message) = occurrence.error.as_ref().filter(|_| occurrence.run.is_none())?;
    let at = occurrence.finished_at.unwrap_or(occurrence.asked.due_at);
    Some((When::of(at, now), message.clone()))
}

/// Where a sync is shown.
pub(super) fn address(name: &str) -> String {
    format!("/syncs/{}", part(name))
}

fn cursor(sync: &Sync, summary: Option<&Summary>) -> String {
    let Some(column) = &sync.from.cursor else { return "none: every run reads everything".to_owned() };
    let position = summary.and_then(|s| s.cursor.as_ref()).and_then(|cursor| cursor.position.as_ref());
    match position {
        Some(position) => match position.cursor.to_json() {
            serde_json::Value::String(text) => format!("{column} up to {text}"),
            other => format!("{column} up to {other}"),
        },
        None => format!("{column}, not set here: a full run comes next, or the destination keeps it"),
    }
}

fn picture(sync: &Sync) -> Picture {
    let key = match &sync.from.key.columns {
        KeyColumns::PrimaryKey => "its primary key".to_owned(),
        KeyColumns::UniqueConstraint(name) => format!("unique {name}"),
        KeyColumns::Columns(columns) => columns.join(", "),
        KeyColumns::Hashed(columns) => format!("hash of {}", columns.join(", ")),
    };
    let deletes = match &sync.deletes.policy {
        DeletePolicy::Ignore => "stay".to_owned(),
        DeletePolicy::Delete => "are deleted".to_owned(),
        DeletePolicy::Soft { field } => format!("are marked in {field}"),
    };
    let routes = sync.routes.iter().map(|route| (Some(route.when.text().to_owned()), route.stream.clone()));
    Picture {
        from: sync.from.connection.clone(),
        stream: sync.from.stream.clone(),
        key,
        cursor: sync.from.cursor.clone(),
        filter: sync.from.filter.as_ref().map(|filter| filter.text().to_owned()),
        mapped: match sync.fields.len() as u64 {
            0 => "every field as it is".to_owned(),
            n => some(n, "field", "fields"),
        },
        mode: if sync.mode == syncline_core::sync::Mode::Full { "full" } else { "incremental" },
        write: sync.write.as_str(),
        deletes,
        to: sync.to.connection.clone(),
        routes: routes.chain([(None, sync.to.stream.clone())]).collect(),
    }
}

fn field(field: &syncline_core::sync::FieldMap) -> FieldRow {
    let (kind, from) = match &field.from {
        Origin::Column(column) => ("column", column.clone()),
        Origin::Expression(expression) => ("cel", expression.text().to_owned()),
        Origin::Sql(sql) => ("sql", sql.clone()),
        Origin::Param(name) => ("param", name.clone()),
    };
    let mut notes = Vec::new();
    if field.required {
        notes.push("required".to_owned());
    }
    if let Some(default) = &field.default {
        notes.push(format!("else {default}"));
    }
    FieldRow { to: field.to.clone(), kind, from, notes: notes.join(", ") }
}

fn schedule_row(upcoming: &Upcoming, now: Timestamp) -> ScheduleRow {
    let zone = Timing::of(&upcoming.schedule).map_or(TimeZone::UTC, |timing| timing.zone());
    let local = |at: Timestamp| at.to_zoned(zone.clone()).strftime("%a %Y-%m-%d %H:%M %Z").to_string();
    ScheduleRow {
        label: upcoming.schedule.label(),
        paused: upcoming.paused_at.map(|at| When::of(at, now)),
        enabled: upcoming.schedule.enabled,
        zone: upcoming.schedule.zone.clone().unwrap_or_else(|| "UTC".to_owned()),
        next: upcoming.instants.iter().map(|at| (When::of(*at, now), local(*at))).collect(),
    }
}

/// The runs that have ended, the oldest first, as columns.
fn charted(recent: &[Run], of: fn(&Run, f64) -> (f64, String)) -> Vec<Column> {
    let ended = recent.iter().rev().filter_map(|run| Some((run, run.finished_at?)));
    let column = |(run, finished): (&Run, Timestamp)| {
        let (value, text) = of(run, seconds(run.started_at, finished).max(0.001));
        Column { label: format!("run {}", run.id), value, text, failed: run.status == Status::Failed }
    };
    ended.map(column).collect()
}

fn throughput(run: &Run, took: f64) -> (f64, String) {
    let rate = run.counts.read as f64 / took;
    (rate, format!("{} records/s", count(rate.round() as u64)))
}

fn duration(_: &Run, took: f64) -> (f64, String) {
    (took, span(took))
}

fn history(sync: &Sync, mut runs: Vec<Run>, status: Option<Status>, now: Timestamp) -> History {
    let more = runs.len() > RUNS;
    runs.truncate(RUNS);
    let chosen = status.map_or("", Status::as_str);
    let next = runs.last().filter(|_| more);
    let next = next.map(|last| format!("{}?status={chosen}&before={}#history", address(&sync.name), last.id));
    let statuses = ["succeeded", "partial", "failed", "cancelled", "interrupted", "running"];
    History {
        rows: runs.iter().map(|run| run_row(run, now)).collect(),
        statuses: statuses.into_iter().map(|word| (word, word == chosen)).collect(),
        next,
        filtered: status.is_some(),
    }
}

pub(super) fn run_row(run: &Run, now: Timestamp) -> RunRow {
    let counts = &run.counts;
    let until = run.finished_at.unwrap_or(now);
    RunRow {
        id: run.id.to_string(),
        href: format!("/runs/{}", run.id),
        mark: Mark::run(run.status),
        began: When::of(run.started_at, now),
        took: span(seconds(run.started_at, until)),
        mode: run.mode.clone(),
        by: run.about.schedule.clone().unwrap_or_else(|| "asked for".to_owned()),
        read: count(counts.read),
        written: count(counts.written()),
        waiting: count(counts.parked + counts.held + counts.conflicted),
        error: run.error.as_ref().map(|(_, message)| message.clone()).unwrap_or_default(),
    }
}

fn found(drift: &DriftShown, now: Timestamp) -> Drift {
    let mark = match (drift.state, drift.totals.is_empty()) {
        ("running", _) => Mark::live("being compared"),
        ("failed", _) => Mark::bad("could not be compared"),
        (_, true) => Mark::ok("both sides agree"),
        (_, false) => Mark::warn("both sides differ"),
    };
    let findings = drift.findings.iter().take(FINDINGS);
    Drift {
        mark,
        at: When::of(drift.finished_at.unwrap_or(drift.started_at), now),
        totals: drift.totals.iter().map(|(kind, n)| format!("{} {kind}", count(*n))).collect(),
        findings: findings.map(|f| (f.kind.to_owned(), f.key.clone(), f.fields.join(", "))).collect(),
        error: drift.error.as_ref().map(|fault| fault.message.clone()),
    }
}

impl Ui {
    /// A sync that is served.
    ///
    /// # Errors
    /// There is none of this name; the page says which was meant.
    pub(crate) fn sync(&self, name: &str) -> Result<Sync, Fault> {
        let served = self.api.control.served();
        let known = served.project.syncs.iter().map(|sync| sync.name.as_str());
        let sync = served.project.sync(name).cloned();
        sync.ok_or_else(|| Fault::missing_of("sync", name, known, address))
    }
}

async fn show(
    State(ui): State<Ui>,
    Extension(visitor): Extension<Visitor>,
    Path(name): Path<String>,
    asked: Asked,
) -> Shown<SyncPage> {
    let sync = ui.sync(&name)?;
    let frame =
        ui.frame(&visitor, Tab::Overview, &name).await?.crumb("Overview", "/").done(asked.get("done"));
    let standing = ui.api.standing().await?;
    let status = asked.get("status").and_then(Status::parse);
    let before = asked.get("before").and_then(|before| before.parse().ok());
    let filter = |status, before| RunFilter { sync: Some(name.clone()), status, before };
    let recent = ui.api.store.page_runs(&filter(None, None), CHARTED).await?;
    let runs = ui.api.store.page_runs(&filter(status, before), RUNS + 1).await?;
    let upcoming = ui.api.control.next_instants(&Subject::sync(name.clone()), INSTANTS).await?;
    let asked_of = OccurrenceFilter { subject: Some(Subject::sync(name.clone())), ..Default::default() };
    let newest = ui.api.store.occurrences(&asked_of, NEWEST).await?;
    let facts = Facts {
        sync: &sync,
        standing: &standing,
        upcoming: &upcoming,
        recent: &recent,
        runs,
        status,
        drift: ui.api.last_verification(&name),
        newest: newest.iter().find(|occurrence| occurrence.finished_at.is_some()),
    };
    Ok(Page(view(frame, facts)))
}

/// The definition as YAML.
#[derive(Template)]
#[template(path = "definition.html")]
struct DefinitionPage {
    frame: Frame,
    name: String,
    origin: &'static str,
    yaml: String,
}

async fn definition(
    State(ui): State<Ui>,
    Extension(visitor): Extension<Visitor>,
    Path(name): Path<String>,
) -> Shown<DefinitionPage> {
    let sync = ui.sync(&name)?;
    let frame = ui.frame(&visitor, Tab::Overview, "Definition").await?;
    let frame = frame.crumb("Overview", "/").crumb(name.clone(), address(&name));
    let served = ui.api.control.served();
    let origin = match served.origins.get(&Subject::sync(name.clone())) {
        Some(syncline_engine::service::Origin::File) => "the project file of this node",
        Some(syncline_engine::service::Origin::Applied) => "a project stored by `syncline apply`",
        Some(syncline_engine::service::Origin::Api) => "the API",
        None => "an unknown place",
    };
    Ok(Page(DefinitionPage { frame, name, origin, yaml: yaml::of_sync(&sync) }))
}
