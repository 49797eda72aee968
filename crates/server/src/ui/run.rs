//! One run: how far it is while it is under way, what became of every record, and what stopped it.

use std::collections::BTreeMap;

use askama::Template;
use axum::{
    Extension, Router,
    extract::{Path, State},
    http::HeaderMap,
    response::Response,
    routing::get,
};
use jiff::Timestamp;
use syncline_core::{counts::Counts, partition::Partition, run::Status};
use syncline_engine::service::Progress;
use syncline_store::{
    Parked, Run,
    service::{Event, EventFilter},
};

use super::{
    Page, Shown, Ui,
    confirm::Confirm,
    fault::Fault,
    flash::{self, Done},
    form::{Asked, Form},
    layout::{Frame, Tab},
    live, needs,
    session::Visitor,
    show::{Link, Mark, When, count, seconds, span},
    sync::address,
};
use crate::{
    api::{occurrences, runs},
    auth::Scope,
};

/// Events of the timeline.
const EVENTS: usize = 100;
/// Parked records among which causes are looked for.
const PARKED: usize = 1000;
/// Examples of a cause.
const EXAMPLES: usize = 3;
/// Streams that are listed.
const STREAMS: usize = 100;
/// Notes that are listed.
const NOTES: usize = 50;

pub(crate) fn routes() -> Router<Ui> {
    Router::new()
        .route("/runs/{id}", get(show))
        .route("/runs/{id}/retry", needs(Scope::Run, get(ask_retry).post(retry)))
        .route("/runs/{id}/cancel", needs(Scope::Run, get(ask_cancel).post(cancel)))
        .route("/ui/runs/{id}", get(part))
        .route("/ui/runs/{id}/stream", get(live::stream))
}

/// The page.
#[derive(Template)]
#[template(path = "run.html")]
struct RunPage {
    frame: Frame,
    id: u64,
    sync: Link,
    /// Whether it is under way: then the page follows it.
    open: bool,
    may_retry: bool,
    part: RunPart,
    mode: String,
    reason: Option<String>,
    by: String,
    retry_of: Option<Link>,
    correlation: Option<String>,
    causes: Vec<Cause>,
    timeline: Vec<Entry>,
}

/// What changes while it is under way.
#[derive(Template)]
#[template(path = "run_part.html")]
pub(super) struct RunPart {
    mark: Mark,
    began: When,
    ended: Option<When>,
    took: String,
    phases: Vec<(&'static str, PhaseState)>,
    read: String,
    /// Outcome, its class, and its number; together they make `read`.
    outcomes: Vec<(&'static str, String)>,
    closed: bool,
    total: Option<String>,
    /// Of a hundred.
    percent: Option<u64>,
    rate: Option<String>,
    eta: Option<String>,
    error: Option<(String, String)>,
    streams: Vec<(String, [String; 4])>,
    notes: Vec<String>,
    elsewhere: bool,
}

/// Where a phase stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PhaseState {
    Done,
    Now,
    Ahead,
}

/// Records that failed for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cause {
    code: String,
    number: String,
    examples: Vec<(String, String)>,
}

/// Something that happened.
struct Entry {
    at: When,
    kind: String,
    message: String,
}

/// The phases that a run reports, in their order.
const PHASES: [&str; 3] = ["fetch", "write", "finish"];

impl RunPart {
    /// From what is recorded and, while this node runs it, from how far it is.
    pub(super) fn of(run: &Run, live: Option<&Progress>, now: Timestamp) -> Self {
        let counts = live.map_or(run.counts, |live| live.counts);
        let total = live.and_then(|live| live.total).filter(|total| *total > 0);
        let open = !run.status.is_final();
        let until = run.finished_at.unwrap_or(now);
        let took = seconds(run.started_at, until);
        let rate =
            live.map(|live| live.rate).or_else(|| (!open && took > 0.0).then(|| counts.read as f64 / took));
        let notes = live.map_or(&run.notes, |live| &live.notes);
        Self {
            mark: Mark::run(run.status),
            began: When::of(run.started_at, now),
            ended: run.finished_at.map(|at| When::of(at, now)),
            took: span(took),
            phases: phases(run.status, live.map(|live| live.phase.as_str())),
            read: count(counts.read),
            outcomes: outcomes(&counts),
            closed: counts.closed(),
            percent: total.map(|total| (counts.read.saturating_mul(100) / total).min(100)),
            total: total.map(count),
            rate: rate.map(|rate| count(rate.round() as u64)),
            eta: live.and_then(|live| live.eta_seconds).map(span),
            error: run.error.clone(),
            streams: run.by_stream.iter().take(STREAMS).map(stream).collect(),
            notes: notes.iter().take(NOTES).cloned().collect(),
            elsewhere: open && live.is_none(),
        }
    }
}

fn phases(status: Status, now: Option<&str>) -> Vec<(&'static str, PhaseState)> {
    let at = now.map(|now| match now {
        "fetch" => 0,
        "finish" => 2,
        _ => 1,
    });
    let state = |index: usize| match (status, at) {
        (Status::Succeeded | Status::Partial, _) => PhaseState::Done,
        (_, Some(at)) if index < at => PhaseState::Done,
        (_, Some(at)) if index == at => PhaseState::Now,
        _ => PhaseState::Ahead,
    };
    PHASES.into_iter().enumerate().map(|(index, phase)| (phase, state(index))).collect()
}

fn outcomes(counts: &Counts) -> Vec<(&'static str, String)> {
    [
        ("created", counts.created),
        ("updated", counts.updated),
        ("moved", counts.moved),
        ("deleted", counts.deleted),
        ("unchanged", counts.unchanged),
        ("skipped", counts.skipped),
        ("parked", counts.parked),
        ("held", counts.held),
        ("conflicted", counts.conflicted),
    ]
    .into_iter()
    .map(|(word, n)| (word, count(n)))
    .collect()
}

fn stream((name, counts): (&String, &Counts)) -> (String, [String; 4]) {
    let waiting = counts.parked + counts.held + counts.conflicted;
    (name.clone(), [counts.written(), counts.unchanged, counts.skipped, waiting].map(count))
}

/// Parked records by what keeps them, the commonest first.
fn causes(run: u64, parked: &[Parked]) -> Vec<Cause> {
    let mut by_code: BTreeMap<&str, Vec<&Parked>> = BTreeMap::new();
    for record in parked.iter().filter(|record| record.run == run) {
        by_code.entry(&record.code).or_default().push(record);
    }
    let mut causes: Vec<(&str, Vec<&Parked>)> = by_code.into_iter().collect();
    causes.sort_by_key(|(_, records)| std::cmp::Reverse(records.len()));
    let cause = |(code, records): (&str, Vec<&Parked>)| Cause {
        code: code.to_owned(),
        number: count(records.len() as u64),
        examples: records.iter().take(EXAMPLES).map(|r| (r.label.clone(), r.message.clone())).collect(),
    };
    causes.into_iter().map(cause).collect()
}

/// What the page is made from.
struct Facts<'a> {
    run: &'a Run,
    live: Option<&'a Progress>,
    parked: &'a [Parked],
    events: &'a [Event],
    now: Timestamp,
}

fn view(frame: Frame, facts: &Facts<'_>) -> RunPage {
    let Facts { run, live, parked, events, now } = *facts;
    let entry = |event: &Event| Entry {
        at: When::of(event.event.at, now),
        kind: event.event.kind.clone(),
        message: event.event.message.clone(),
    };
    RunPage {
        id: run.id,
        sync: Link { text: run.sync.clone(), href: address(Partition::sync_of(&run.sync)) },
        open: !run.status.is_final(),
        may_retry: frame.may_run && run.status.is_final() && run.status != Status::Succeeded,
        part: RunPart::of(run, live, now),
        mode: run.mode.clone(),
        reason: run.reason.clone(),
        by: run
            .about
            .schedule
            .as_ref()
            .map_or("somebody asked for it".to_owned(), |label| format!("schedule {label}")),
        retry_of: run
            .about
            .retry_of
            .map(|id| Link { text: format!("run {id}"), href: format!("/runs/{id}") }),
        correlation: run.about.correlation.clone(),
        causes: causes(run.id, parked),
        timeline: events.iter().map(entry).collect(),
        frame,
    }
}

impl Ui {
    /// A run.
    ///
    /// # Errors
    /// There is none of this number.
    pub(crate) async fn run(&self, id: &str) -> Result<Run, Fault> {
        let number = id.parse().ok().filter(|id: &u64| i64::try_from(*id).is_ok());
        let number = number.ok_or_else(|| Fault::missing("run", id))?;
        self.api.store.run(number).await?.ok_or_else(|| Fault::missing("run", id))
    }
}

async fn show(
    State(ui): State<Ui>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
    asked: Asked,
) -> Shown<RunPage> {
    let run = ui.run(&id).await?;
    let frame = ui.frame(&visitor, Tab::Overview, &format!("Run {id}")).await?;
    let frame = frame
        .crumb("Overview", "/")
        .crumb(run.sync.clone(), address(Partition::sync_of(&run.sync)))
        .done(asked.get("done"));
    let parked = match run.counts.parked + run.counts.conflicted {
        0 => Vec::new(),
        _ => ui.api.store.parked(Some(&run.sync), None, PARKED).await?,
    };
    let filter = EventFilter { run: Some(run.id), ..EventFilter::default() };
    let events = ui.api.store.events(&filter, 0, EVENTS).await?;
    let live = ui.api.control.progress(run.id);
    let facts =
        Facts { run: &run, live: live.as_ref(), parked: &parked, events: &events, now: ui.api.clock.now() };
    Ok(Page(view(frame, &facts)))
}

async fn part(State(ui): State<Ui>, Path(id): Path<String>) -> Shown<RunPart> {
    let run = ui.run(&id).await?;
    let live = ui.api.control.progress(run.id);
    Ok(Page(RunPart::of(&run, live.as_ref(), ui.api.clock.now())))
}

async fn asking(ui: &Ui, visitor: &Visitor, id: &str, verb: &'static str) -> Result<Confirm, Fault> {
    let run = ui.run(id).await?;
    let (at, frame) = (format!("/runs/{}", run.id), ui.frame(visitor, Tab::Overview, verb).await?);
    Ok(Confirm {
        frame: frame
            .crumb("Overview", "/")
            .crumb(run.sync.clone(), address(Partition::sync_of(&run.sync)))
            .crumb(format!("Run {id}"), at.clone()),
        question: format!("{verb} run {id} of {}?", run.sync),
        means: Vec::new(),
        action: format!("{at}/{}", verb.to_lowercase()),
        hidden: Vec::new(),
        fields: Vec::new(),
        button: verb,
        grave: false,
        back: at,
    })
}

async fn ask_retry(
    State(ui): State<Ui>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
) -> Shown<Confirm> {
    let confirm = asking(&ui, &visitor, &id, "Retry").await?;
    let means = vec![
        "Of a partial run, what is parked is tried again; of one that failed or was stopped, all of it."
            .to_owned(),
    ];
    Ok(Page(Confirm { means, ..confirm }))
}

async fn retry(
    State(ui): State<Ui>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
    headers: HeaderMap,
    _form: Form,
) -> Result<Response, Fault> {
    let run = ui.run(&id).await?;
    let enqueued = ui.api.control.retry_failed(run.id, None, &visitor.caller.name).await?;
    occurrences::asked_for(&enqueued)?;
    Ok(flash::back(&headers, &address(Partition::sync_of(&run.sync)), Done::Retried))
}

async fn ask_cancel(
    State(ui): State<Ui>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
) -> Shown<Confirm> {
    let confirm = asking(&ui, &visitor, &id, "Cancel").await?;
    let means = vec![
        "It stops after the batch in hand. What it has written stays, and the next run goes on from there."
            .to_owned(),
    ];
    Ok(Page(Confirm { means, grave: true, ..confirm }))
}

async fn cancel(
    State(ui): State<Ui>,
    Path(id): Path<String>,
    headers: HeaderMap,
    _form: Form,
) -> Result<Response, Fault> {
    let run = ui.run(&id).await?;
    let at = format!("/runs/{}", run.id);
    runs::stop(&ui.api, &run).await?;
    Ok(flash::back(&headers, &at, Done::Cancelled))
}

#[cfg(test)]
mod tests {
    use syncline_core::{identity::Identity, run::Phase};
    use syncline_store::About;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn run(status: Status) -> Run {
        Run {
            id: 7,
            sync: "people".to_owned(),
            mode: "full".to_owned(),
            reason: None,
            about: About::default(),
            status,
            started_at: at("2026-08-22T14:00:00Z"),
            finished_at: status.is_final().then(|| at("2026-08-22T14:01:40Z")),
            counts: Counts { read: 1000, created: 400, unchanged: 600, ..Counts::default() },
            by_stream: BTreeMap::new(),
            error: None,
            notes: Vec::new(),
        }
    }

    fn parked(label: &str, code: &str, run: u64) -> Parked {
        let now = at("2026-08-22T14:00:00Z");
        Parked {
            sync: "people".to_owned(),
            identity: Identity::of_keyless(label, &[]),
            key: None,
            label: label.to_owned(),
            kind: None,
            code: code.to_owned(),
            message: format!("{label} is not right"),
            attempts: 1,
            first_at: now,
            last_at: now,
            retry_at: now,
            run,
        }
    }

    #[test]
    fn an_ended_run_has_an_account_that_adds_up() {
        let part = RunPart::of(&run(Status::Succeeded), None, at("2026-08-22T15:00:00Z"));
        assert!(part.closed && part.percent.is_none() && part.eta.is_none() && !part.elsewhere);
        assert_eq!((&*part.read, &*part.took, part.rate.as_deref()), ("1,000", "1 min 40 s", Some("10")));
        assert_eq!(part.outcomes[0], ("created", "400".to_owned()));
        assert!(part.phases.iter().all(|(_, state)| *state == PhaseState::Done));
    }

    #[test]
    fn a_run_under_way_says_how_far_it_is() {
        let live = Progress {
            sync: "people".to_owned(),
            run: 7,
            phase: Phase::Write,
            total: Some(4000),
            counts: Counts { read: 3000, created: 2500, ..Counts::default() },
            seconds: 10.0,
            rate: 300.0,
            eta_seconds: Some(3.3),
            notes: vec!["a note".to_owned()],
        };
        let part = RunPart::of(&run(Status::Running), Some(&live), at("2026-08-22T14:00:10Z"));
        assert_eq!(
            (part.percent, part.total.as_deref(), part.eta.as_deref()),
            (Some(75), Some("4,000"), Some("3.3 s"))
        );
        let states: Vec<PhaseState> = part.phases.iter().map(|(_, state)| *state).collect();
        assert_eq!(states, [PhaseState::Done, PhaseState::Now, PhaseState::Ahead]);
        let elsewhere = RunPart::of(&run(Status::Running), None, at("2026-08-22T14:00:10Z"));
        assert!(elsewhere.elsewhere && elsewhere.rate.is_none());
    }

    #[test]
    fn causes_are_those_of_the_run_and_the_commonest_comes_first() {
        let all: Vec<Parked> = [("a", "x", 7), ("b", "y", 7), ("c", "y", 7), ("d", "y", 6)]
            .into_iter()
            .map(|(label, code, run)| parked(label, code, run))
            .collect();
        let found = causes(7, &all);
        let said: Vec<(&str, &str)> = found.iter().map(|cause| (&*cause.code, &*cause.number)).collect();
        assert_eq!(said, [("y", "2"), ("x", "1")]);
        assert_eq!(found[0].examples[0], ("b".to_owned(), "b is not right".to_owned()));
    }
}
