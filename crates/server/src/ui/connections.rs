//! Does every system answer, and how much of each quota is left?

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use askama::Template;
use axum::{
    Extension, Router,
    extract::{Path, State},
    http::HeaderMap,
    response::Response,
    routing::get,
};
use jiff::{Timestamp, ToSpan, tz::TimeZone};
use syncline_store::service::{Event, EventFilter, EventSearch, SubjectKind};

use super::{
    Page, Shown, Ui,
    confirm::Confirm,
    fault::Fault,
    flash,
    form::{Asked, Form},
    layout::{Frame, Tab},
    needs,
    session::Visitor,
    show::{Link, Mark, When, count, part, some, span},
};
use crate::{
    api::{
        Standing,
        connections::{Tested, tested},
    },
    auth::Scope,
};

/// Connections of a page.
const ROWS: usize = 50;
/// Syncs of a connection that are named.
const NAMED: usize = 8;
/// Failures that are looked at, the newest first.
const FAILURES: usize = 200;
/// Quotas of a page.
const QUOTAS: usize = 50;

/// Codes of failures that say something about the connection rather than about one record.
const OF_THE_CONNECTION: &[&str] = &[
    "unreachable",
    "unanswered",
    "throttled",
    "unauthenticated",
    "forbidden",
    "consent_required",
    "challenged",
    "user_token_refused",
    "licence_required",
    "locked",
    "protocol",
];

pub(crate) fn routes() -> Router<Ui> {
    Router::new()
        .route("/connections", get(show))
        .route("/connections/{connection}/test", needs(Scope::Run, get(ask_test).post(test)))
}

/// What came of the last test of each connection, by name; in memory, for as long as the process lives.
#[derive(Default)]
pub(crate) struct Tests(Mutex<BTreeMap<String, (Timestamp, Tested)>>);

impl Tests {
    fn put(&self, name: &str, at: Timestamp, tested: Tested, known: &dyn Fn(&str) -> bool) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|name, _| known(name));
        all.insert(name.to_owned(), (at, tested));
    }

    fn of(&self, name: &str) -> Option<(Timestamp, Tested)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}

/// The page.
#[derive(Template)]
#[template(path = "connections.html")]
struct Connections {
    frame: Frame,
    headline: String,
    rows: Vec<Row>,
    quotas: Vec<Quota>,
    page: usize,
    pages: usize,
}

/// One connection.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    name: String,
    part: String,
    kind: String,
    mark: Mark,
    /// Why, in one line.
    reason: String,
    /// What the last run that failed by it said.
    error: Option<Failure>,
    reads: Vec<Link>,
    writes: Vec<Link>,
    /// Syncs that are not named.
    rest: usize,
    tested: Option<Test>,
}

/// A failure of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Failure {
    code: String,
    message: String,
    at: When,
    href: String,
    sync: String,
}

/// A test that somebody made here.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Test {
    mark: Mark,
    at: When,
    took: String,
    error: Option<String>,
    hint: Option<String>,
}

/// A quota of an account, as this process knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Quota {
    name: String,
    windows: Vec<Window>,
    /// Units spent since midnight, UTC.
    today: String,
    throttled: String,
}

/// So many units in so long a time.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Window {
    used: u64,
    units: u64,
    /// `120 of 1,250 in 1 min 00 s`.
    words: String,
}

/// The newest failure of a sync that says something about its connections.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Failed {
    sync: String,
    at: Timestamp,
    code: String,
    message: String,
    run: Option<u64>,
}

/// What the syncs of a connection say about it.
#[derive(Default)]
struct Uses<'a> {
    reads: Vec<&'a str>,
    writes: Vec<&'a str>,
    /// The newest failure by the connection.
    failed: Option<&'a Failed>,
    /// The end of the newest run that succeeded.
    succeeded: Option<Timestamp>,
}

/// The newest failure of each sync; `events` are the newest first. What the run itself said says more than its event.
fn failures(events: Vec<Event>, standing: &Standing) -> BTreeMap<String, Failed> {
    let mut found = BTreeMap::new();
    for Event { event, .. } in events {
        let Some(subject) = event.subject.filter(|subject| subject.kind == SubjectKind::Sync) else {
            continue;
        };
        let code = event.data["code"].as_str().unwrap_or_default().to_owned();
        if !OF_THE_CONNECTION.contains(&code.as_str()) || found.contains_key(&subject.name) {
            continue;
        }
        let run = standing.summaries.get(&subject.name).and_then(|summary| summary.last.as_ref());
        let said = run.filter(|run| event.run == Some(run.id)).and_then(|run| run.error.clone());
        let message = said.map_or(event.message, |(_, message)| message);
        let failed = Failed { sync: subject.name.clone(), at: event.at, code, message, run: event.run };
        found.insert(subject.name, failed);
    }
    found
}

fn uses<'a>(standing: &'a Standing, failures: &'a BTreeMap<String, Failed>) -> BTreeMap<&'a str, Uses<'a>> {
    let mut found: BTreeMap<&str, Uses<'_>> = BTreeMap::new();
    for sync in &standing.served.project.syncs {
        let summary = standing.summaries.get(&sync.name);
        let failed = failures.get(&sync.name);
        for (connection, reads) in [(&sync.from.connection, true), (&sync.to.connection, false)] {
            let uses = found.entry(connection).or_default();
            if reads { &mut uses.reads } else { &mut uses.writes }.push(&sync.name);
            uses.succeeded = uses.succeeded.max(summary.and_then(|summary| summary.last_success_at));
            // errors of connectors name what they talked to; where one names neither, both are suspected
            let by = |failed: &&Failed| {
                failed.message.contains(&format!("{connection:?}")) || !failed.message.contains("connection")
            };
            if let Some(failed) = failed.filter(by)
                && uses.failed.is_none_or(|before| before.at < failed.at)
            {
                uses.failed = Some(failed);
            }
        }
    }
    found
}

fn row(
    standing: &Standing,
    name: &str,
    kind: &str,
    uses: &Uses<'_>,
    test: Option<(Timestamp, Tested)>,
) -> Row {
    let now = standing.at;
    let failed_at = uses.failed.map(|failed| failed.at);
    let test_failed = test.as_ref().is_some_and(|(_, tested)| !tested.ok);
    let still = failed_at.filter(|at| uses.succeeded.is_none_or(|succeeded| succeeded < *at));
    let answered_since =
        test.as_ref().is_some_and(|(at, tested)| tested.ok && still.is_none_or(|failed| failed < *at));
    let (mark, reason) = match (still, uses.succeeded) {
        _ if test_failed => (Mark::bad("no answer"), "the last test failed".to_owned()),
        (Some(_), _) if !answered_since => {
            (Mark::bad("failing"), "the newest try to use it failed".to_owned())
        }
        (_, Some(at)) => {
            (Mark::ok("answers"), format!("used by a run that succeeded {}", When::of(at, now).words))
        }
        _ if answered_since => (Mark::ok("answers"), "the last test succeeded".to_owned()),
        _ => (Mark::off("not used"), "no run has used it yet".to_owned()),
    };
    let link = |sync: &&str| Link { text: (*sync).to_owned(), href: format!("/syncs/{}", part(sync)) };
    let failure = |failed: &Failed| Failure {
        code: failed.code.clone(),
        message: failed.message.clone(),
        at: When::of(failed.at, now),
        href: failed
            .run
            .map_or_else(|| format!("/syncs/{}", part(&failed.sync)), |run| format!("/runs/{run}")),
        sync: failed.sync.clone(),
    };
    Row {
        name: name.to_owned(),
        part: part(name),
        kind: kind.to_owned(),
        mark,
        reason,
        error: uses.failed.filter(|_| still.is_some()).map(failure),
        reads: uses.reads.iter().take(NAMED).map(link).collect(),
        writes: uses.writes.iter().take(NAMED).map(link).collect(),
        rest: uses.reads.len().saturating_sub(NAMED) + uses.writes.len().saturating_sub(NAMED),
        tested: test.map(|(at, tested)| test_row(at, tested, now)),
    }
}

fn test_row(at: Timestamp, tested: Tested, now: Timestamp) -> Test {
    Test {
        mark: if tested.ok { Mark::ok("answered") } else { Mark::bad("failed") },
        at: When::of(at, now),
        took: span(tested.seconds),
        error: tested.error.map(|fault| format!("{}: {}", fault.code, fault.message)),
        hint: tested.hint,
    }
}

fn headline(failing: usize, all: usize) -> String {
    match (all, failing) {
        (0, _) => "No connection is defined.".to_owned(),
        (1, 0) => "The one connection is well.".to_owned(),
        (all, 0) => format!("All {all} connections are well."),
        (all, failing) => {
            format!("{failing} of {} failing.", some(all as u64, "connection is", "connections are"))
        }
    }
}

fn window(limit: syncline_core::budget::Limit, used: u64) -> Window {
    let words = format!("{} of {} in {}", count(used), count(limit.units), span(limit.window.as_secs_f64()));
    Window { used, units: limit.units, words }
}

async fn quotas(ui: &Ui, now: Timestamp) -> Result<Vec<Quota>, Fault> {
    let midnight = now.to_zoned(TimeZone::UTC).start_of_day().map(|day| day.timestamp());
    let midnight = midnight.unwrap_or_else(|_| now.saturating_sub(24.hours()).unwrap_or(now));
    let mut found = Vec::new();
    for budget in ui.api.systems.engine().budgets.all().into_iter().take(QUOTAS) {
        let spent = ui.api.store.spent(budget.name(), midnight).await?;
        found.push(Quota {
            name: budget.name().to_owned(),
            windows: budget.windows().into_iter().map(|(limit, used)| window(limit, used)).collect(),
            today: count(spent.iter().map(|(_, units)| units).sum()),
            throttled: count(budget.usage().throttled),
        });
    }
    Ok(found)
}

async fn show(
    State(ui): State<Ui>,
    Extension(visitor): Extension<Visitor>,
    asked: Asked,
) -> Shown<Connections> {
    let frame = ui.frame(&visitor, Tab::Connections, "Connections").await?;
    let standing = ui.api.standing().await?;
    let filter = EventFilter { kind: Some("run.failed".to_owned()), ..EventFilter::default() };
    let search = EventSearch { filter, ..EventSearch::default() };
    let (events, _) = ui.api.store.search_events(&search, FAILURES).await?;
    let failures = failures(events, &standing);
    let uses = uses(&standing, &failures);
    let none = Uses::default();
    let all = &standing.served.project.connections;
    let mut rows: Vec<Row> = all
        .iter()
        .map(|connection| {
            let uses = uses.get(connection.name.as_str()).unwrap_or(&none);
            row(&standing, &connection.name, &connection.kind, uses, ui.tests.of(&connection.name))
        })
        .collect();
    rows.sort_by(|a, b| ((a.mark.class != "bad"), &a.name).cmp(&((b.mark.class != "bad"), &b.name)));
    let failing = rows.iter().filter(|row| row.mark.class == "bad").count();
    let pages = rows.len().div_ceil(ROWS).max(1);
    let page = asked.get("page").and_then(|page| page.parse().ok()).unwrap_or(1).clamp(1, pages);
    let headline = headline(failing, rows.len());
    let rows = rows.into_iter().skip((page - 1) * ROWS).take(ROWS).collect();
    Ok(Page(Connections { frame, headline, rows, quotas: quotas(&ui, standing.at).await?, page, pages }))
}

fn known(ui: &Ui, name: &str) -> Result<(), Fault> {
    let served = ui.api.control.served();
    if served.project.connection(name).is_some() {
        return Ok(());
    }
    let names = served.project.connections.iter().map(|connection| connection.name.as_str());
    Err(Fault::missing_of("connection", name, names, |near| format!("/connections#{}", part(near))))
}

async fn ask_test(
    State(ui): State<Ui>,
    Extension(visitor): Extension<Visitor>,
    Path(name): Path<String>,
) -> Shown<Confirm> {
    known(&ui, &name)?;
    Ok(Page(Confirm {
        frame: ui.frame(&visitor, Tab::Connections, "Test").await?.crumb("Connections", "/connections"),
        question: format!("Test {name}?"),
        means: vec![
            "Syncline connects and signs in, and does nothing else. It takes a minute at most.".to_owned(),
        ],
        action: format!("/connections/{}/test", part(&name)),
        hidden: Vec::new(),
        fields: Vec::new(),
        button: "Test it",
        grave: false,
        back: "/connections".to_owned(),
    }))
}

async fn test(
    State(ui): State<Ui>,
    Path(name): Path<String>,
    headers: HeaderMap,
    _: Form,
) -> Result<Response, Fault> {
    known(&ui, &name)?;
    let found = tested(&ui.api, &name).await?;
    let served = ui.api.control.served();
    ui.tests.put(&name, ui.api.clock.now(), found, &|name| served.project.connection(name).is_some());
    Ok(flash::go(&headers, &format!("/connections#{}", part(&name))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headline_answers_the_question() {
        let said = [(0, 0), (0, 1), (0, 3), (1, 3), (1, 1)].map(|(failing, all)| headline(failing, all));
        assert_eq!(
            said,
            [
                "No connection is defined.",
                "The one connection is well.",
                "All 3 connections are well.",
                "1 of 3 connections are failing.",
                "1 of 1 connection is failing.",
            ]
        );
    }

    #[test]
    fn the_last_test_is_kept_of_connections_that_are_defined() {
        let tests = Tests::default();
        let tested = |ok| Tested { ok, seconds: 0.5, error: None, hint: None };
        tests.put("gone", Timestamp::UNIX_EPOCH, tested(true), &|_| true);
        tests.put("erp", Timestamp::UNIX_EPOCH, tested(false), &|name| name == "erp");
        assert!(tests.of("gone").is_none());
        assert!(tests.of("erp").is_some_and(|(_, tested)| !tested.ok));
    }
}
