//! One run of a sync in this process: its connections, the wait for others that run it, and what is told of it.

use std::{sync::Arc, time::Duration};

use syncline_connect::registry::Caller;
use syncline_core::{project::Project, run::Status, sync::Sync};
use syncline_store::{
    About, Error as StoreError, RunId,
    service::{Claim, NewEvent, StepRecord, Subject},
};
use tokio::sync::watch;

use super::{
    Done,
    control::{Control, Plan, ends},
    live::Watcher,
    local::{asked_to_stop, cancelled, failed},
    persist::{lost, persist},
    spans,
};
use crate::{
    Engine, Error, Flow,
    load::{range::Reached, run::Options},
    run::Report,
};

/// First wait for another process that runs the sync; doubles up to [`BUSY_WAIT_MAX`].
const BUSY_WAIT: Duration = Duration::from_millis(500);
const BUSY_WAIT_MAX: Duration = Duration::from_secs(10);

/// One run of a sync that is to be made.
pub(super) struct SyncOrder<'a> {
    pub(super) project: &'a Project,
    pub(super) sync: &'a Sync,
    pub(super) options: Options,
    /// For whom its connections are opened.
    pub(super) caller: Caller,
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
    /// Nothing that is stored: who asked waits for its end, and its place is taken already.
    Asked,
}

/// How a run of a sync ended, and its number, where it was opened.
pub(super) struct SyncDone {
    pub(super) run: Option<RunId>,
    pub(super) done: Done,
    /// What stopped it.
    pub(super) failure: Option<Error>,
    /// One line for people.
    pub(super) detail: Option<String>,
    /// See [`Report::reached`].
    pub(super) reached: Option<Reached>,
}

impl Control {
    /// A run is open. False: the claim was lost, and so is the run.
    async fn opened(&self, part: &PartOf<'_>, run: RunId) -> bool {
        spans::run(run);
        let store = &self.store;
        let recorded = persist!("naming the run", async {
            lost(match part {
                PartOf::Asked => Ok(()),
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
        let engine = self.systems.engine();
        let _place = (!matches!(part, PartOf::Asked)).then(|| self.asked.gate.enter(ends(order.sync)));
        let flow = tokio::select! {
            flow = self.systems.open(order.project, order.sync, &order.caller) => flow,
            () = asked_to_stop(&mut cancel) => return nothing(Error::Cancelled),
        };
        let flow = match flow {
            Ok(flow) => flow,
            Err(error) => {
                self.tell_refused(order.sync, &order.options.about, &error).await;
                return nothing(error);
            }
        };
        if let Some(wanted) = &order.plan {
            let agreed = tokio::select! {
                agreed = agrees(&engine, &flow, &order.options, wanted) => agreed,
                () = asked_to_stop(&mut cancel) => Err(Error::Cancelled),
            };
            if let Err(error) = agreed {
                self.tell_refused(order.sync, &order.options.about, &error).await;
                return nothing(error);
            }
        }
        let began = self.clock.elapsed();
        let mut wait = BUSY_WAIT;
        loop {
            let watcher = Watcher::new(Arc::clone(&self.live), Arc::clone(&self.clock));
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
                            return interrupted();
                        }
                    }
                }
            };
            match ended {
                Ok(report) => {
                    if goes_on.is_none() && !told.await {
                        return interrupted();
                    }
                    self.tell_ended(order.sync, &report, &order.options.about).await;
                    return by_report(report);
                }
                Err(Error::Store(StoreError::Busy { .. }))
                    if self.clock.elapsed().saturating_sub(began) < order.patience => {}
                Err(error) => {
                    self.tell_refused(order.sync, &order.options.about, &error).await;
                    return nothing(error);
                }
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => wait = (wait * 2).min(BUSY_WAIT_MAX),
                () = asked_to_stop(&mut cancel) => return nothing(Error::Cancelled),
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
    async fn tell_refused(&self, sync: &Sync, about: &About, error: &Error) {
        let code = error.code();
        let message = format!("sync {:?} could not be run ({code})", sync.name);
        let data = serde_json::json!({ "status": by_error(error).status, "code": code });
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
            at: self.clock.now(),
            kind: kind.to_owned(),
            subject: Some(Subject::sync(sync.name.clone())),
            run,
            correlation: about.correlation.clone(),
            message,
            data,
        };
        self.tell(event).await;
    }
}

/// No run was opened.
fn nothing(error: Error) -> SyncDone {
    SyncDone { run: None, done: by_error(&error), failure: Some(error), detail: None, reached: None }
}

/// The claim was lost, and the run is somebody else's.
fn interrupted() -> SyncDone {
    let done = Done { status: Status::Interrupted, error: None };
    SyncDone { run: None, done, failure: None, detail: None, reached: None }
}

fn by_error(error: &Error) -> Done {
    match error {
        Error::Cancelled => cancelled(),
        _ => failed(error.code(), with_hint(error)),
    }
}

fn by_report(report: Report) -> SyncDone {
    let error = report.error.as_ref().map(|error| (error.code().to_owned(), with_hint(error)));
    let counts = &report.counts;
    let detail = format!(
        "{} read, {} created, {} updated, {} deleted",
        counts.read, counts.created, counts.updated, counts.deleted
    );
    SyncDone {
        run: Some(report.run),
        done: Done { status: report.status, error },
        failure: report.error,
        detail: Some(detail),
        reached: report.reached,
    }
}

fn with_hint(error: &Error) -> String {
    match error.hint() {
        Some(hint) => format!("{}; {hint}", error.chain()),
        None => error.chain(),
    }
}

/// Whether a plan made now is the one that was looked at. Between it and the run, others can still change the systems.
async fn agrees(engine: &Engine, flow: &Flow, options: &Options, wanted: &str) -> Result<(), Error> {
    let plan = Box::pin(Plan::make(engine, flow, options, 0)).await?;
    if plan.digest == wanted { Ok(()) } else { Err(Error::PlanChanged) }
}
