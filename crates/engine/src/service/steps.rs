//! Runs of chains: begins the steps that [`chain::advance`] names, and records where each stands.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use syncline_connect::registry::Caller;
use syncline_core::{
    chain::{Chain, ChainStatus, Step, StepKind, StepStatus},
    project::Project,
    run::Status,
};
use syncline_store::{
    About, RunId,
    service::{ChainEnd, ChainRun, Claim, NewChainRun, NewEvent, StepRecord},
};
use tokio::{sync::watch, task::JoinSet};
use tracing::Instrument;

use super::{
    Done, StartOptions, chain,
    control::ends,
    local::{Local, asked_to_stop, cancelled, failed, gone},
    once::{PartOf, SyncOrder},
    persist::{Lost, lost, persist},
    requirement, spans,
};
use crate::load::run::Options;

/// Steps of one chain at once.
const STEPS_MAX: usize = 16;
/// How long a sync that took too long may use to end the batch in hand.
const STOP_MAX: Duration = Duration::from_secs(30);

/// How a step ended.
pub(super) struct StepEnd {
    status: StepStatus,
    run: Option<RunId>,
    error: Option<(String, String)>,
    detail: Option<String>,
}

impl StepEnd {
    pub(super) fn done(detail: Option<String>) -> Self {
        Self { status: StepStatus::Succeeded, run: None, error: None, detail }
    }

    pub(super) fn failed(code: impl Into<String>, message: impl Into<String>) -> Self {
        let error = Some((code.into(), message.into()));
        Self { status: StepStatus::Failed, run: None, error, detail: None }
    }

    fn cancelled() -> Self {
        Self { status: StepStatus::Cancelled, run: None, error: None, detail: None }
    }
}

/// A chain under way.
struct Course<'a> {
    local: &'a Local,
    claim: &'a Claim,
    project: &'a Arc<Project>,
    chain: &'a Chain,
    run: u64,
    records: Vec<StepRecord>,
    /// Steps under way, by the connections they use.
    busy: BTreeMap<String, Vec<String>>,
}

impl Local {
    /// Carries out a run of a chain: a new one, one that is resumed, or the one that an earlier claim began.
    pub(super) async fn chain(
        &self,
        claim: &Claim,
        project: &Arc<Project>,
        cancel: watch::Receiver<bool>,
        stopping: &watch::Receiver<bool>,
    ) -> Done {
        let subject = &claim.asked.subject;
        let Some(chain) = project.chain(&subject.name) else { return gone(subject) };
        let resume = match StartOptions::read(&claim.asked.options) {
            Ok(options) => options.resume,
            Err(why) => return failed("options", why),
        };
        let lost = Done { status: Status::Interrupted, error: None };
        let record = match self.open_chain(claim, chain, claim.run.or(resume)).await {
            Ok(Some(record)) => record,
            Ok(None) => {
                return failed("unknown_run", "the run that was to be resumed is not there any more".into());
            }
            Err(Lost) => return lost,
        };
        let course = Course {
            local: self,
            claim,
            project,
            chain,
            run: record.id,
            records: record.steps,
            busy: BTreeMap::new(),
        };
        course.go(cancel, stopping).await.unwrap_or(lost)
    }

    /// The record of the run. One that ended is opened again; of one that was cut off, the steps that were under way wait
    /// again.
    async fn open_chain(
        &self,
        claim: &Claim,
        chain: &Chain,
        earlier: Option<u64>,
    ) -> Result<Option<ChainRun>, Lost> {
        let store = &self.control.store;
        let now = self.control.clock.now();
        let run = match earlier {
            Some(run) => {
                let Some(record) = persist!("reading a run of a chain", store.chain_run(run)) else {
                    return Ok(None);
                };
                if record.finished_at.is_some() {
                    let known = |step: &String| record.steps.iter().any(|known| known.step == *step);
                    let steps: Vec<String> =
                        chain::resume_set(chain, &record.steps).into_iter().filter(known).collect();
                    persist!("opening a run of a chain again", async {
                        lost(store.reopen_chain(&claim.id, run, &steps, now).await)
                    })?;
                }
                run
            }
            None => {
                let new = NewChainRun {
                    chain: chain.name.clone(),
                    steps: chain.steps.iter().map(|step| (step.name.clone(), step.required)).collect(),
                    schedule: claim.asked.schedule.clone(),
                    correlation: claim.asked.correlation.clone(),
                    at: now,
                };
                persist!("opening a run of a chain", async {
                    lost(store.start_chain(&claim.id, new.clone()).await)
                })?
            }
        };
        self.tell_chain(
            "chain.started",
            claim,
            chain,
            run,
            format!("run {run} of chain {:?} began", chain.name),
        )
        .await;
        let Some(mut record) = persist!("reading a run of a chain", store.chain_run(run)) else {
            return Ok(None);
        };
        for step in record.steps.iter_mut().filter(|step| step.status == StepStatus::Running) {
            step.status = StepStatus::Waiting;
        }
        Ok(Some(record))
    }

    async fn tell_chain(&self, kind: &str, claim: &Claim, chain: &Chain, run: u64, message: String) {
        let event = NewEvent {
            at: self.control.clock.now(),
            kind: kind.to_owned(),
            subject: Some(claim.asked.subject.clone()),
            run: None,
            correlation: Some(claim.asked.correlation.clone()),
            message,
            data: serde_json::json!({ "chain": chain.name, "chain_run": run }),
        };
        self.control.tell(event).await;
    }
}

impl Course<'_> {
    async fn go(
        mut self,
        mut cancel: watch::Receiver<bool>,
        stopping: &watch::Receiver<bool>,
    ) -> Result<Done, Lost> {
        let mut running: JoinSet<(String, StepEnd)> = JoinSet::new();
        let mut asked = false;
        loop {
            let next = chain::advance(self.chain, &self.records);
            for (step, because) in next.skip {
                let error =
                    Some(("needs".to_owned(), format!("step {because:?}, which it needs, did not succeed")));
                let end = StepEnd { status: StepStatus::Skipped, run: None, error, detail: None };
                self.ended(&step, end).await?;
            }
            if let Some(status) = next.ended {
                return self.finish(status).await;
            }
            asked = asked || *cancel.borrow();
            if !asked {
                for name in next.start {
                    if running.len() < STEPS_MAX {
                        self.begin(&name, &mut running, &cancel).await?;
                    }
                }
            }
            if running.is_empty() {
                // asked to stop, and the last step in hand has ended
                let node_stops = *stopping.borrow();
                if node_stops {
                    return Ok(Done { status: Status::Interrupted, error: None });
                }
                return self.finish(ChainStatus::Cancelled).await;
            }
            tokio::select! {
                Some(ended) = running.join_next() => {
                    // a step that panicked takes the chain with it, as a fault of ours
                    let (step, end) = ended.map_err(|_| Lost)?;
                    self.busy.remove(&step);
                    let cut_off = *stopping.borrow() && end.status == StepStatus::Cancelled;
                    if cut_off {
                        self.waits(&step).await?;
                    } else {
                        self.ended(&step, end).await?;
                    }
                }
                () = asked_to_stop(&mut cancel), if !asked => asked = true,
            }
        }
    }

    /// Begins a step, unless another one of this chain uses one of its connections that is limited: a chain counts once.
    async fn begin(
        &mut self,
        name: &str,
        running: &mut JoinSet<(String, StepEnd)>,
        cancel: &watch::Receiver<bool>,
    ) -> Result<(), Lost> {
        let Some(step) = self.chain.steps.iter().find(|step| step.name == name) else { return Ok(()) };
        let limits = &self.project.server.limits;
        let mut uses = uses(self.project, step);
        uses.retain(|connection| limits.contains_key(connection));
        if self.busy.values().flatten().any(|connection| uses.contains(connection)) {
            return Ok(());
        }
        let before = self.records.iter().find(|record| record.step == name);
        let record = StepRecord {
            step: name.to_owned(),
            required: step.required,
            status: StepStatus::Running,
            run: None,
            attempts: before.map_or(0, |record| record.attempts) + 1,
            started_at: Some(self.local.control.clock.now()),
            finished_at: None,
            error: None,
            detail: None,
        };
        self.record(record.clone()).await?;
        self.busy.insert(name.to_owned(), uses);
        let doing = Doing {
            local: self.local.clone(),
            project: Arc::clone(self.project),
            claim: self.claim.clone(),
            chain_run: self.run,
            record,
            step: step.clone(),
        };
        let cancel = cancel.clone();
        let name = name.to_owned();
        let span = spans::step(self.claim, self.run, &name);
        running.spawn(async move { (name, Box::pin(doing.go(cancel)).await) }.instrument(span));
        Ok(())
    }

    async fn ended(&mut self, name: &str, end: StepEnd) -> Result<(), Lost> {
        let required =
            self.chain.steps.iter().find(|step| step.name == name).is_none_or(|step| step.required);
        let before = self.records.iter().find(|record| record.step == name);
        let message = format!("step {name:?} of chain {:?}: {}", self.chain.name, end.status.as_str());
        let record = StepRecord {
            step: name.to_owned(),
            required,
            status: end.status,
            run: end.run,
            attempts: before.map_or(0, |record| record.attempts),
            started_at: before.and_then(|record| record.started_at),
            finished_at: Some(self.local.control.clock.now()),
            error: end.error,
            detail: end.detail,
        };
        self.record(record).await?;
        self.local.tell_chain("chain.step", self.claim, self.chain, self.run, message).await;
        Ok(())
    }

    /// A step that was cut off with the node waits for the next claim.
    async fn waits(&mut self, name: &str) -> Result<(), Lost> {
        let Some(record) = self.records.iter().find(|record| record.step == name).cloned() else {
            return Ok(());
        };
        self.record(StepRecord { status: StepStatus::Waiting, started_at: None, ..record }).await
    }

    async fn record(&mut self, record: StepRecord) -> Result<(), Lost> {
        let store = &self.local.control.store;
        persist!("recording a step", async {
            lost(store.record_step(&self.claim.id, self.run, &record).await)
        })?;
        match self.records.iter_mut().find(|known| known.step == record.step) {
            Some(known) => *known = record,
            None => self.records.push(record),
        }
        Ok(())
    }

    async fn finish(self, status: ChainStatus) -> Result<Done, Lost> {
        let step = |name: &str| self.records.iter().find(|record| record.step == *name);
        let records = self.chain.steps.iter().filter_map(|s| step(&s.name));
        let failed = records.filter(|record| record.status == StepStatus::Failed).max_by_key(|r| r.required);
        let error = failed.and_then(|record| {
            let (code, message) = record.error.as_ref()?;
            Some((code.clone(), format!("step {:?}: {message}", record.step)))
        });
        let error = error.filter(|_| status != ChainStatus::Completed);
        let end = ChainEnd { status, error: error.clone(), at: self.local.control.clock.now() };
        let store = &self.local.control.store;
        persist!("closing a run of a chain", async {
            lost(store.finish_chain(&self.claim.id, self.run, end.clone()).await)
        })?;
        let message = format!("run {} of chain {:?}: {}", self.run, self.chain.name, status.as_str());
        let kind = if status == ChainStatus::Failed { "chain.failed" } else { "chain.finished" };
        self.local.tell_chain(kind, self.claim, self.chain, self.run, message).await;
        let status = match status {
            ChainStatus::Completed => Status::Succeeded,
            ChainStatus::Partial => Status::Partial,
            ChainStatus::Failed => Status::Failed,
            ChainStatus::Cancelled | ChainStatus::Running => return Ok(cancelled()),
        };
        Ok(Done { status, error })
    }
}

/// One step under way.
struct Doing {
    local: Local,
    project: Arc<Project>,
    claim: Claim,
    chain_run: u64,
    record: StepRecord,
    step: Step,
}

impl Doing {
    /// Does the step: what it requires first, then what it is, all within its time. A step that is no sync is dropped where it
    /// stands when the chain is asked to stop: what it did not commit is undone.
    async fn go(self, mut cancel: watch::Receiver<bool>) -> StepEnd {
        let timeout = self.step.timeout;
        let too_late = || StepEnd::failed("timeout", format!("it took longer than {timeout:?}"));
        if let StepKind::Sync { .. } = self.step.kind {
            return self.sync(cancel).await;
        }
        tokio::select! {
            end = tokio::time::timeout(timeout, self.work()) => end.unwrap_or_else(|_| too_late()),
            () = asked_to_stop(&mut cancel) => StepEnd::cancelled(),
        }
    }

    /// A sync is asked to end the batch in hand when its time is over.
    async fn sync(&self, mut cancel: watch::Receiver<bool>) -> StepEnd {
        let timeout = self.step.timeout;
        let (stop, stops) = watch::channel(false);
        let mut work = Box::pin(async {
            match self.required().await {
                Err(end) => end,
                Ok(()) => self.run_sync(stops).await,
            }
        });
        let mut late = false;
        loop {
            let left = if late || *cancel.borrow() { STOP_MAX } else { timeout };
            tokio::select! {
                end = &mut work => {
                    let cut = late && end.status == StepStatus::Cancelled;
                    return if cut { StepEnd { run: end.run, ..self.too_late() } } else { end };
                }
                () = tokio::time::sleep(left) => {
                    if late {
                        return self.too_late();
                    }
                    late = true;
                    stop.send_replace(true);
                }
                () = asked_to_stop(&mut cancel), if !*stop.borrow() => { stop.send_replace(true); }
            }
        }
    }

    fn too_late(&self) -> StepEnd {
        StepEnd::failed("timeout", format!("it took longer than {:?}", self.step.timeout))
    }

    async fn required(&self) -> Result<(), StepEnd> {
        for requirement in &self.step.requires {
            requirement::holds(&self.local.control, &self.project, requirement, self.step.timeout)
                .await
                .map_err(|(code, message)| StepEnd::failed(code, message))?;
        }
        Ok(())
    }

    async fn work(&self) -> StepEnd {
        if let Err(end) = self.required().await {
            return end;
        }
        match self.done().await {
            Ok(end) => end,
            Err((code, message)) => StepEnd::failed(code, message),
        }
    }

    async fn done(&self) -> Result<StepEnd, (String, String)> {
        let Local { control, outside } = &self.local;
        let statements =
            async |connection: &str| requirement::statements(control, &self.project, connection).await;
        let line = match &self.step.kind {
            // runs apart, so that it can end the batch in hand
            StepKind::Sync { .. } => return Ok(self.run_sync(watch::channel(false).1).await),
            StepKind::Sql { connection, statements: list } => {
                let rows = statements(connection).await?.execute(list, self.step.timeout).await;
                let rows = rows.map_err(|error| requirement::of_connector(&error))?;
                format!("{} rows changed", rows.iter().sum::<u64>())
            }
            StepKind::Check(wanted) => {
                requirement::holds(control, &self.project, wanted, self.step.timeout).await?
            }
            StepKind::Http(call) => outside.http(call).await?,
            StepKind::Report { report } => {
                let report = self.project.report(report).ok_or_else(|| {
                    ("definition".to_owned(), format!("report {report:?} is not defined any more"))
                })?;
                let statements = statements(&report.connection).await?;
                outside.report(&self.project, report, &*statements, control.clock.now()).await?
            }
        };
        Ok(StepEnd::done(Some(line)))
    }

    async fn run_sync(&self, stops: watch::Receiver<bool>) -> StepEnd {
        let StepKind::Sync { sync: name, mode } = &self.step.kind else { return StepEnd::done(None) };
        let Some(sync) = self.project.sync(name) else {
            return StepEnd::failed("definition", format!("sync {name:?} is not defined any more"));
        };
        let about = About { correlation: Some(self.claim.asked.correlation.clone()), ..About::default() };
        let options = Options { mode: *mode, about, ..Options::default() };
        let caller = Caller { user: None, correlation: Some(self.claim.asked.correlation.clone()) };
        let order = SyncOrder {
            project: &self.project,
            sync,
            options,
            caller,
            patience: self.step.timeout,
            plan: None,
        };
        let part = PartOf::Step(&self.claim, self.chain_run, &self.record);
        let ended = self.local.control.run_sync(order, stops, part).await;
        let status = match ended.done.status {
            Status::Succeeded => StepStatus::Succeeded,
            Status::Partial => StepStatus::Partial,
            Status::Cancelled | Status::Interrupted => StepStatus::Cancelled,
            Status::Failed | Status::Queued | Status::Running => StepStatus::Failed,
        };
        StepEnd { status, run: ended.run, error: ended.done.error, detail: ended.detail }
    }
}

/// The connections that a step uses.
pub(super) fn uses(project: &Project, step: &Step) -> Vec<String> {
    match &step.kind {
        StepKind::Sync { sync, .. } => project.sync(sync).map(ends).unwrap_or_default(),
        StepKind::Sql { connection, .. } => vec![connection.clone()],
        StepKind::Report { report } => {
            project.report(report).map(|report| vec![report.connection.clone()]).unwrap_or_default()
        }
        StepKind::Check(_) | StepKind::Http(_) => Vec::new(),
    }
}
