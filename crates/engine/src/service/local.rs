//! The executor that is built in: runs the engine in this process.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use syncline_connect::registry::Caller;
use syncline_core::{precedence, project::Project, run::Status, sync::Sync};
use syncline_store::{
    About, Error as StoreError, Run, RunId,
    service::{Claim, NewEvent, StepRecord, Subject, SubjectKind},
};
use tokio::sync::watch;

use super::{
    Done, Executor, Order, Outside, StartOptions,
    control::{Control, Plan},
    live::Watcher,
    options,
    persist::{lost, persist},
    spans,
};
use crate::{
    Engine, Error, Flow,
    load::{range::Reached, run::Options},
    run::Report,
};

/// How long a run waits for another process that runs the same sync.
const BUSY_MAX: Duration = Duration::from_secs(90);
/// Newest runs of a sync among which that of an earlier claim is looked for.
const LOOKED_BACK: usize = 10;
/// First wait for it; doubles up to [`BUSY_WAIT_MAX`].
const BUSY_WAIT: Duration = Duration::from_millis(500);
const BUSY_WAIT_MAX: Duration = Duration::from_secs(10);

/// Runs the engine in this process. Cheap to clone.
#[derive(Clone)]
pub struct Local {
    pub(super) control: Control,
    pub(super) outside: Arc<dyn Outside>,
}

/// One run of a sync that is to be made.
pub(super) struct SyncOrder<'a> {
    pub(super) project: &'a Project,
    pub(super) sync: &'a Sync,
    pub(super) options: Options,
    /// How long to wait for another process that runs it.
    pub(super) patience: Duration,
    /// Digest of the plan that it has to agree with.
    pub(super) plan: Option<String>,
}

/// What a run of a sync is part of.
pub(super) enum PartOf<'a> {
    /// Its own occurrence.
    Occurrence(&'a Claim),
    /// A step of a run of a chain, as it stands.
    Step(&'a Claim, u64, &'a StepRecord),
}

/// How a run of a sync ended, and its number, where it was opened.
pub(super) struct SyncDone {
    pub(super) run: Option<RunId>,
    pub(super) done: Done,
    /// One line for people.
    pub(super) detail: Option<String>,
    /// See [`Report::reached`].
    pub(super) reached: Option<Reached>,
}

#[async_trait]
impl Executor for Local {
    async fn execute(&self, order: Order, cancel: watch::Receiver<bool>) -> Done {
        let Order { claim, project, stopping } = order;
        let done = match claim.asked.subject.kind {
            SubjectKind::Sync => Box::pin(self.sync(&claim, &project, cancel)).await,
            SubjectKind::Chain => Box::pin(self.chain(&claim, &project, cancel, &stopping)).await,
            SubjectKind::Backfill => Box::pin(self.backfill(&claim, &project, cancel, &stopping)).await,
        };
        match done.status {
            Status::Cancelled if *stopping.borrow() => Done { status: Status::Interrupted, ..done },
            _ => done,
        }
    }
}

impl Local {
    /// Over the control of its service; `outside`: what steps do beyond databases.
    pub fn new(control: Control, outside: Arc<dyn Outside>) -> Self {
        Self { control, outside }
    }

    async fn sync(&self, claim: &Claim, project: &Arc<Project>, cancel: watch::Receiver<bool>) -> Done {
        let Some(sync) = project.sync(&claim.asked.subject.name) else { return gone(&claim.asked.subject) };
        if let Some(done) = self.done_before(claim).await {
            return done;
        }
        let options = match self.options(claim, sync).await {
            Ok(options) => options,
            Err(why) => return failed("options", why),
        };
        let plan = StartOptions::read(&claim.asked.options).ok().and_then(|options| options.plan_digest);
        let order = SyncOrder { project, sync, options, patience: BUSY_MAX, plan };
        self.run_sync(order, cancel, PartOf::Occurrence(claim)).await.done
    }

    /// How a run ended that an earlier claim of the same occurrence made whole, without living to say so: it is not made
    /// again.
    async fn done_before(&self, claim: &Claim) -> Option<Done> {
        if claim.attempts < 2 {
            return None;
        }
        let sync = &claim.asked.subject.name;
        let runs = persist!(
            "looking for an earlier claim's run",
            self.control.store.runs(Some(sync), None, LOOKED_BACK)
        );
        let whole = |run: &&Run| matches!(run.status, Status::Succeeded | Status::Partial);
        let ours = |run: &&Run| run.about.correlation.as_ref() == Some(&claim.asked.correlation);
        let run = runs.iter().filter(whole).find(ours)?;
        Some(Done { status: run.status, error: run.error.clone() })
    }

    /// What is stored with the occurrence; a sync that never succeeded runs by the heaviest of its schedules.
    async fn options(&self, claim: &Claim, sync: &Sync) -> Result<Options, String> {
        let asked = &claim.asked;
        let stored = StartOptions::read(&asked.options)?;
        let mut schedule = asked.schedule.clone();
        let mut options = stored.run_options()?;
        let due: Vec<usize> = (0..sync.schedules.len()).collect();
        if schedule.is_some() && sync.schedules.len() > 1 && !self.succeeded(&sync.name).await {
            let choice = precedence::choose(sync, &due, false, self.control.clock.now());
            if let Some(heaviest) = choice.and_then(|choice| sync.schedules.get(choice.run)) {
                options = options::by_schedule(heaviest, Options::default());
                schedule = Some(heaviest.label());
            }
        }
        let about = About {
            schedule,
            correlation: Some(asked.correlation.clone()),
            retry_of: stored.retry_of,
            ..About::default()
        };
        Ok(Options { about, ..options })
    }

    async fn succeeded(&self, sync: &str) -> bool {
        for status in [Status::Succeeded, Status::Partial] {
            let runs =
                persist!("reading the last success", self.control.store.runs(Some(sync), Some(status), 1));
            if !runs.is_empty() {
                return true;
            }
        }
        false
    }

    /// A run is open. False: the claim was lost, and so is the run.
    async fn opened(&self, part: &PartOf<'_>, run: RunId) -> bool {
        spans::run(run);
        let store = &self.control.store;
        let recorded = persist!("naming the run", async {
            lost(match part {
                PartOf::Occurrence(claim) => store.link(&claim.id, run).await,
                PartOf::Step(claim, chain_run, record) => {
                    let record = StepRecord { run: Some(run), ..(*record).clone() };
                    store.record_step(&claim.id, *chain_run, &record).await
                }
            })
        });
        recorded.is_ok()
    }

    /// Runs a sync once; waits for another process that runs it. `opened` is told the run's number while it runs, and
    /// answers whether it may go on.
    pub(super) async fn run_sync(
        &self,
        order: SyncOrder<'_>,
        mut cancel: watch::Receiver<bool>,
        part: PartOf<'_>,
    ) -> SyncDone {
        let engine = self.control.systems.engine();
        let caller = Caller { user: None, correlation: order.options.about.correlation.clone() };
        let flow = tokio::select! {
            flow = self.control.systems.open(order.project, order.sync, &caller) => flow,
            () = asked_to_stop(&mut cancel) => return nothing(cancelled()),
        };
        let flow = match flow {
            Ok(flow) => flow,
            Err(error) => {
                let done = by_error(&error);
                self.tell_refused(order.sync, &order.options.about, &done).await;
                return nothing(done);
            }
        };
        if let Some(wanted) = &order.plan {
            let agreed = tokio::select! {
                agreed = agrees(&engine, &flow, &order.options, wanted) => agreed,
                () = asked_to_stop(&mut cancel) => Err(cancelled()),
            };
            if let Err(done) = agreed {
                self.tell_refused(order.sync, &order.options.about, &done).await;
                return nothing(done);
            }
        }
        let began = self.control.clock.elapsed();
        let mut wait = BUSY_WAIT;
        loop {
            let watcher = Watcher::new(Arc::clone(&self.control.live), Arc::clone(&self.control.clock));
            let mut number = watcher.number();
            let mut run = Box::pin(flow.run(&engine, &order.options, &watcher, cancel.clone()));
            let mut told = Box::pin(async {
                let Ok(run) = number.wait_for(Option::is_some).await.map(|run| run.unwrap_or_default())
                else {
                    return true;
                };
                self.tell_started(order.sync, run, &order.options.about).await;
                self.opened(&part, run).await
            });
            let mut goes_on = None;
            let ended = loop {
                tokio::select! {
                    ended = &mut run => break ended,
                    on = &mut told, if goes_on.is_none() => {
                        goes_on = Some(on);
                        if !on {
                            return nothing(Done { status: Status::Interrupted, error: None });
                        }
                    }
                }
            };
            match ended {
                Ok(report) => {
                    if goes_on.is_none() && !told.await {
                        return nothing(Done { status: Status::Interrupted, error: None });
                    }
                    self.tell_ended(order.sync, &report, &order.options.about).await;
                    return by_report(&report);
                }
                Err(Error::Store(StoreError::Busy { .. }))
                    if self.control.clock.elapsed().saturating_sub(began) < order.patience => {}
                Err(error) => {
                    let done = by_error(&error);
                    self.tell_refused(order.sync, &order.options.about, &done).await;
                    return nothing(done);
                }
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => wait = (wait * 2).min(BUSY_WAIT_MAX),
                () = asked_to_stop(&mut cancel) => return nothing(cancelled()),
            }
        }
    }

    async fn tell_started(&self, sync: &Sync, run: RunId, about: &About) {
        let by = about.schedule.as_ref().map_or_else(String::new, |label| format!(" by schedule {label:?}"));
        let message = format!("run {run} of sync {:?} began{by}", sync.name);
        self.tell_run("run.started", sync, Some(run), about, message, serde_json::json!({})).await;
    }

    async fn tell_ended(&self, sync: &Sync, report: &Report, about: &About) {
        let kind = if report.status == Status::Failed { "run.failed" } else { "run.finished" };
        let message = format!("run {} of sync {:?}: {}", report.run, sync.name, report.status.as_str());
        let data = serde_json::json!({
            "status": report.status,
            "counts": report.counts,
            "code": report.error.as_ref().map(Error::code),
        });
        self.tell_run(kind, sync, Some(report.run), about, message, data).await;
    }

    /// A run could not be opened.
    async fn tell_refused(&self, sync: &Sync, about: &About, done: &Done) {
        let code = done.error.as_ref().map(|(code, _)| code.clone()).unwrap_or_default();
        let message = format!("sync {:?} could not be run ({code})", sync.name);
        let data = serde_json::json!({ "status": done.status, "code": code });
        self.tell_run("run.failed", sync, None, about, message, data).await;
    }

    async fn tell_run(
        &self,
        kind: &str,
        sync: &Sync,
        run: Option<RunId>,
        about: &About,
        message: String,
        data: serde_json::Value,
    ) {
        let event = NewEvent {
            at: self.control.clock.now(),
            kind: kind.to_owned(),
            subject: Some(Subject::sync(sync.name.clone())),
            run,
            correlation: about.correlation.clone(),
            message,
            data,
        };
        self.control.tell(event).await;
    }
}

/// Waits until somebody asks to stop; nobody left to ask means never.
pub(super) async fn asked_to_stop(cancel: &mut watch::Receiver<bool>) {
    if cancel.wait_for(|cancel| *cancel).await.is_err() {
        std::future::pending::<()>().await;
    }
}

pub(super) fn failed(code: &str, message: String) -> Done {
    Done { status: Status::Failed, error: Some((code.to_owned(), message)) }
}

pub(super) fn cancelled() -> Done {
    Done { status: Status::Cancelled, error: Some(("cancelled".to_owned(), "cancelled".to_owned())) }
}

pub(super) fn gone(subject: &Subject) -> Done {
    failed("definition", format!("{subject} is not defined any more"))
}

/// Whether a plan made now is the one that was looked at. Between it and the run, others can still change the systems.
async fn agrees(engine: &Engine, flow: &Flow, options: &Options, wanted: &str) -> Result<(), Done> {
    let plan = Box::pin(Plan::make(engine, flow, options, 0)).await.map_err(|error| by_error(&error))?;
    if plan.digest == wanted {
        return Ok(());
    }
    let message = "the plan is not the one that was looked at: the source or the destination changed meanwhile; nothing \
                   was written; make a new plan and look at it";
    Err(failed("plan_changed", message.to_owned()))
}

fn nothing(done: Done) -> SyncDone {
    SyncDone { run: None, done, detail: None, reached: None }
}

pub(super) fn by_error(error: &Error) -> Done {
    match error {
        Error::Cancelled => cancelled(),
        _ => failed(error.code(), with_hint(error)),
    }
}

fn by_report(report: &Report) -> SyncDone {
    let error = report.error.as_ref().map(|error| (error.code().to_owned(), with_hint(error)));
    let counts = &report.counts;
    let detail = format!(
        "{} read, {} created, {} updated, {} deleted",
        counts.read, counts.created, counts.updated, counts.deleted
    );
    SyncDone {
        run: Some(report.run),
        done: Done { status: report.status, error },
        detail: Some(detail),
        reached: report.reached.clone(),
    }
}

fn with_hint(error: &Error) -> String {
    match error.hint() {
        Some(hint) => format!("{}; {hint}", error.chain()),
        None => error.chain(),
    }
}
