//! The page of one chain: where its newest run stands, or another one that was chosen, and its history.

use askama::Template;
use axum::{
    Extension,
    extract::{Path, State},
};
use jiff::Timestamp;
use syncline_core::chain::{Chain, ChainStatus, Step, StepKind, StepStatus};
use syncline_engine::service::control::Upcoming;
use syncline_store::service::{
    ChainFilter, ChainRun, OccurrenceFilter, OccurrenceState, StepRecord, Subject,
};

use super::{
    super::{
        Page, Shown, Ui,
        fault::Fault,
        form::Asked,
        layout::{Frame, Tab},
        session::Visitor,
        show::{Link, Mark, When, part, span},
    },
    graph::{self, Graph},
    mark_of_run, mark_of_step, took, worked,
};

/// Runs of a page of the history.
const RUNS: usize = 20;
/// Next instants that are named, per schedule.
const INSTANTS: usize = 5;

/// The page.
#[derive(Template)]
#[template(path = "chain.html")]
pub(crate) struct ChainPage {
    frame: Frame,
    name: String,
    href: String,
    health: Option<(Mark, String)>,
    now: Now,
    upcoming: Vec<Next>,
    history: Vec<Past>,
    /// Where older runs are.
    older: Option<String>,
}

/// What changes while a run is under way; served by itself too.
#[derive(Template)]
#[template(path = "chain_now.html")]
pub(crate) struct Now {
    /// Where this part is served.
    part: String,
    /// Seconds until it is asked for again.
    every: u32,
    /// The run that is shown.
    run: Option<Shape>,
    /// Whether one waits for a node.
    waits: bool,
    graph: Option<Graph>,
    steps: Vec<StepRow>,
    may_run: bool,
}

/// It is HTML already, in the page as by itself.
impl askama::filters::HtmlSafe for Now {}

/// The run that is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shape {
    id: u64,
    mark: Mark,
    began: When,
    ended: Option<When>,
    took: String,
    /// `7 of 9 steps done`.
    done: String,
    error: Option<(String, String)>,
    running: bool,
    /// Whether something is left that resuming would do.
    resumable: bool,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
struct StepRow {
    name: String,
    kind: &'static str,
    about: Option<Link>,
    needs: String,
    required: bool,
    mark: Mark,
    took: Option<String>,
    attempts: u32,
    run: Option<u64>,
    /// Why it failed or was skipped, or what it did.
    line: Option<String>,
}

/// A schedule and its next instants.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Next {
    label: String,
    paused: bool,
    instants: Vec<When>,
}

/// A run of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Past {
    id: u64,
    href: String,
    mark: Mark,
    began: When,
    took: String,
    by: String,
    error: Option<String>,
}

/// The changing part from facts. `stay`: the run was chosen, and a newer one does not take its place.
fn view_now(
    chain: &Chain,
    run: Option<&ChainRun>,
    stay: bool,
    waits: bool,
    may_run: bool,
    now: Timestamp,
) -> Now {
    let record = |step: &Step| run.and_then(|run| run.steps.iter().find(|record| record.step == step.name));
    let state = |step: &Step| match record(step) {
        Some(record) => (mark_of_step(record.status), took(record, now).map(span)),
        None => (Mark::off("not run"), None),
    };
    let place = match run {
        Some(run) if stay => format!("/ui/chains/{}?run={}", part(&chain.name), run.id),
        _ => format!("/ui/chains/{}", part(&chain.name)),
    };
    let running = run.is_some_and(|run| run.status == ChainStatus::Running);
    Now {
        part: place,
        every: if running || waits { 2 } else { 15 },
        run: run.map(|run| shape(chain, run, now)),
        waits,
        graph: graph::graph(chain, state),
        steps: chain.steps.iter().map(|step| step_row(step, record(step), now)).collect(),
        may_run,
    }
}

fn shape(chain: &Chain, run: &ChainRun, now: Timestamp) -> Shape {
    let well = |step: &&StepRecord| matches!(step.status, StepStatus::Succeeded | StepStatus::Partial);
    let running = run.status == ChainStatus::Running;
    Shape {
        id: run.id,
        mark: mark_of_run(run.status),
        began: When::of(run.started_at, now),
        ended: run.finished_at.map(|at| When::of(at, now)),
        took: span(worked(run, now)),
        done: format!("{} of {} steps done", run.steps.iter().filter(well).count(), run.steps.len()),
        error: run.error.clone(),
        running,
        resumable: !running && !syncline_engine::service::chain::resume_set(chain, &run.steps).is_empty(),
    }
}

fn step_row(step: &Step, record: Option<&StepRecord>, now: Timestamp) -> StepRow {
    let sync = |sync: &str| Link { text: sync.to_owned(), href: format!("/syncs/{}", part(sync)) };
    let about = match &step.kind {
        StepKind::Sync { sync: name, .. } => Some(sync(name)),
        StepKind::Sql { connection, .. } => {
            Some(Link { text: connection.clone(), href: format!("/connections#{}", part(connection)) })
        }
        // their addresses and queries may hold secrets
        StepKind::Check(_) | StepKind::Http(_) | StepKind::Report { .. } => None,
    };
    let line = record.and_then(|record| {
        let failed = record.error.as_ref().map(|(code, message)| format!("{code}: {message}"));
        failed.or_else(|| record.detail.clone())
    });
    StepRow {
        name: step.name.clone(),
        kind: graph::kind(step),
        about,
        needs: step.needs.join(", "),
        required: step.required,
        mark: record.map_or(Mark::off("not run"), |record| mark_of_step(record.status)),
        took: record.and_then(|record| took(record, now)).map(span),
        attempts: record.map_or(0, |record| record.attempts),
        run: record.and_then(|record| record.run),
        line,
    }
}

fn next(upcoming: Upcoming, now: Timestamp) -> Next {
    Next {
        label: upcoming.schedule.label(),
        paused: upcoming.paused_at.is_some(),
        instants: upcoming.instants.into_iter().map(|at| When::of(at, now)).collect(),
    }
}

fn past(run: &ChainRun, now: Timestamp) -> Past {
    Past {
        id: run.id,
        href: format!("/chains/{}?run={}", part(&run.chain), run.id),
        mark: mark_of_run(run.status),
        began: When::of(run.started_at, now),
        took: span(worked(run, now)),
        by: run.schedule.clone().unwrap_or_else(|| "somebody".to_owned()),
        error: run.error.as_ref().map(|(code, message)| format!("{code}: {message}")),
    }
}

fn chain<'a>(project: &'a syncline_core::project::Project, name: &str) -> Result<&'a Chain, Fault> {
    let known = project.chains.iter().map(|chain| chain.name.as_str());
    let missing = || Fault::missing_of("chain", name, known, |near| format!("/chains/{}", part(near)));
    project.chain(name).ok_or_else(missing)
}

/// The run that is asked for, or the newest.
async fn run_of(ui: &Ui, chain: &Chain, asked: &Asked) -> Result<Option<ChainRun>, Fault> {
    if let Some(text) = asked.get("run") {
        let id: Option<u64> = text.parse().ok().filter(|id| i64::try_from(*id).is_ok());
        let found = match id {
            Some(id) => ui.api.store.chain_run(id).await?,
            None => None,
        };
        let ours = found.filter(|run| run.chain == chain.name);
        return ours.map(Some).ok_or_else(|| Fault::missing("run of this chain", text));
    }
    let filter = ChainFilter { chain: Some(chain.name.clone()), ..ChainFilter::default() };
    Ok(ui.api.store.chain_runs(&filter, 1).await?.pop())
}

async fn waits(ui: &Ui, chain: &Chain) -> Result<bool, Fault> {
    let filter = OccurrenceFilter {
        subject: Some(Subject::chain(chain.name.clone())),
        state: Some(OccurrenceState::Waiting),
        before: None,
    };
    let now = ui.api.clock.now();
    Ok(ui.api.store.occurrences(&filter, 10).await?.iter().any(|one| one.asked.due_at <= now))
}

pub(super) async fn show(
    State(ui): State<Ui>,
    Extension(visitor): Extension<Visitor>,
    Path(name): Path<String>,
    asked: Asked,
) -> Shown<ChainPage> {
    let standing = ui.api.standing().await?;
    let chain = chain(&standing.served.project, &name)?;
    let frame =
        ui.frame(&visitor, Tab::Chains, &name).await?.crumb("Chains", "/chains").done(asked.get("done"));
    let subject = Subject::chain(name.clone());
    let at = ui.api.clock.now();
    let run = run_of(&ui, chain, &asked).await?;
    let now = view_now(
        chain,
        run.as_ref(),
        asked.get("run").is_some(),
        waits(&ui, chain).await?,
        frame.may_run,
        at,
    );
    let before = asked.get("before").and_then(|before| before.parse().ok());
    let filter = ChainFilter { chain: Some(name.clone()), status: None, before };
    let mut runs = ui.api.store.chain_runs(&filter, RUNS + 1).await?;
    let more = runs.len() > RUNS;
    runs.truncate(RUNS);
    let older =
        runs.last().filter(|_| more).map(|last| format!("/chains/{}?before={}", part(&name), last.id));
    let upcoming = ui.api.control.next_instants(&subject, INSTANTS).await?;
    Ok(Page(ChainPage {
        frame,
        href: format!("/chains/{}", part(&name)),
        health: standing.health(&subject).map(|health| (Mark::level(health.level), health.reason.clone())),
        name,
        now,
        upcoming: upcoming.into_iter().map(|upcoming| next(upcoming, at)).collect(),
        history: runs.iter().map(|run| past(run, at)).collect(),
        older,
    }))
}

/// The part that changes.
pub(super) async fn part_of(
    State(ui): State<Ui>,
    Extension(visitor): Extension<Visitor>,
    Path(name): Path<String>,
    asked: Asked,
) -> Shown<Now> {
    let served = ui.api.control.served();
    let chain = chain(&served.project, &name)?;
    let waits = waits(&ui, chain).await?;
    let run = run_of(&ui, chain, &asked).await?;
    let may_run = visitor.may(crate::auth::Scope::Run);
    let stay = asked.get("run").is_some();
    Ok(Page(view_now(chain, run.as_ref(), stay, waits, may_run, ui.api.clock.now())))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use syncline_core::chain::HttpCall;

    use super::*;

    fn step(name: &str, needs: &[&str]) -> Step {
        let call = HttpCall {
            method: "GET".to_owned(),
            url: "https://example.com/?key=s3cret".to_owned(),
            headers: Vec::new(),
            body: None,
            expect: Vec::new(),
        };
        Step {
            name: name.to_owned(),
            needs: needs.iter().map(|&name| name.to_owned()).collect(),
            required: true,
            requires: Vec::new(),
            timeout: Duration::from_secs(1),
            kind: StepKind::Http(call),
        }
    }

    fn record(step: &str, status: StepStatus, end: Option<i64>) -> StepRecord {
        StepRecord {
            step: step.to_owned(),
            required: true,
            status,
            run: None,
            attempts: 1,
            started_at: Some(Timestamp::from_second(100).unwrap()),
            finished_at: end.map(|end| Timestamp::from_second(end).unwrap()),
            error: (status == StepStatus::Failed).then(|| ("http".to_owned(), "<b>502</b>".to_owned())),
            detail: None,
        }
    }

    #[test]
    fn a_run_is_shown_with_every_step_of_the_definition() {
        let steps = vec![step("one", &[]), step("two", &["one"]), step("new", &[])];
        let chain = Chain { name: "night ly".to_owned(), schedules: Vec::new(), steps };
        let run = ChainRun {
            id: 7,
            chain: "night ly".to_owned(),
            status: ChainStatus::Failed,
            schedule: None,
            correlation: "c".to_owned(),
            started_at: Timestamp::from_second(100).unwrap(),
            resumed_at: None,
            finished_at: Some(Timestamp::from_second(112).unwrap()),
            worked_ms: 12_000,
            error: Some(("http".to_owned(), "step two failed".to_owned())),
            steps: vec![
                record("one", StepStatus::Succeeded, Some(104)),
                record("two", StepStatus::Failed, Some(112)),
            ],
        };
        let now = view_now(&chain, Some(&run), true, false, true, Timestamp::from_second(200).unwrap());
        assert_eq!((&*now.part, now.every), ("/ui/chains/night%20ly?run=7", 15));
        let shape = now.run.clone().unwrap();
        assert_eq!((&*shape.done, &*shape.took, shape.resumable), ("1 of 2 steps done", "12 s", true));
        let words: Vec<_> = now.steps.iter().map(|step| (step.mark.word, step.took.as_deref())).collect();
        assert_eq!(words, [("succeeded", Some("4.0 s")), ("failed", Some("12 s")), ("not run", None)]);
        let html = now.render().unwrap();
        assert!(!html.contains("s3cret") && !html.contains("<b>502"), "{html}");
        assert!(html.contains("tier 1: one succeeded, new not run; tier 2: two failed"), "{html}");
    }
}
