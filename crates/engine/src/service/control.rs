//! What people ask of a service: through the API, and from the command line.
//!
//! Everything that is asked for becomes a fact of the store; whichever node is free carries it out.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use syncline_connect::{clock::Clock, registry::Caller};
use syncline_core::{
    calendar::Timing,
    partition::{OWNER, Partition},
    plan::{Digest, Planned},
    project::Project,
    run::Status,
    schedule::{Overlap, Schedule},
    sync::Sync,
};
use syncline_store::{
    RunId,
    service::{
        BackfillId, ChainRun, ChainRunId, Enqueued, NewBackfill, NewEvent, NewOccurrence, OccurrenceId,
        OccurrenceState, ServiceStore, Subject, SubjectKind,
    },
};
use tokio::sync::{Notify, watch};

use super::{Progress, Served, StartOptions, Systems, delegated::UnderWay, live::Live, steps};
use crate::{
    Engine, Error, Flow,
    load::{params::takes_values, run::Options},
    plan::Summary,
    progress::Silent,
    sample::{Sampled, sample},
};

/// Weight of what people ask for: before everything that is scheduled.
pub(super) const ASKED: i32 = 100;

/// Why something that was asked for is not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// There is no such thing.
    #[error("{0}")]
    Unknown(String),
    /// It cannot be done as it was asked for.
    #[error("{0}")]
    Unfit(String),
    /// It cannot be done in this state of things.
    #[error("{0}")]
    Conflict(String),
    /// A run needs values that were not given.
    #[error("{0}")]
    ParamsMissing(String),
    /// A run was given values of parameters that there are not.
    #[error("{0}")]
    ParamsUnknown(String),
    /// Too much is going on; it may be asked for again.
    #[error("{0}")]
    Overloaded(String),
    /// The service stops; it may be asked for again, of another node or later.
    #[error("the service stops")]
    Stopping,
    /// The store failed; nothing was recorded.
    #[error("the store failed")]
    Store(#[from] syncline_store::Error),
    /// A system failed, or the definition does not fit it.
    #[error(transparent)]
    Engine(#[from] Error),
}

/// When a schedule fires next.
#[derive(Debug, Clone, PartialEq)]
pub struct Upcoming {
    /// Whose.
    pub subject: Subject,
    /// The definition.
    pub schedule: Schedule,
    /// Since when it is paused; a paused schedule has no instants.
    pub paused_at: Option<Timestamp>,
    /// The next instants, before their jitter.
    pub instants: Vec<Timestamp>,
}

/// Records of a plan that are kept. Of a table, a digest covers as many of each kind; of an API, all.
pub const PLANNED_MAX: usize = 20_000;

/// What a run would do.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Totals.
    pub summary: Summary,
    /// The first records; fewer than there are where the totals say so.
    pub records: Vec<Planned>,
    /// Whether there are more records than are kept.
    pub cut: bool,
    /// What it says, in one word.
    pub digest: String,
}

impl Plan {
    /// Plans a run and keeps at most `keep` records. Writes nothing.
    ///
    /// # Errors
    /// A system or the store failed.
    pub(super) async fn make(
        engine: &Engine,
        flow: &Flow,
        options: &Options,
        keep: usize,
    ) -> Result<Self, Error> {
        let (mut records, mut cut, mut digest) = (Vec::new(), false, Digest::default());
        let mut each = |record: Planned| {
            digest.add(&record);
            if records.len() < keep {
                records.push(record);
            } else {
                cut = true;
            }
        };
        let summary = flow.plan(engine, options, PLANNED_MAX, &Silent, &mut each).await?;
        let digest = digest.word(&summary.totals());
        Ok(Self { summary, records, cut, digest })
    }
}

/// What people ask of a service. Cheap to clone.
#[derive(Clone)]
pub struct Control {
    pub(super) store: Arc<dyn ServiceStore>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) served: watch::Receiver<Arc<Served>>,
    pub(super) systems: Arc<dyn Systems>,
    pub(super) live: Arc<Live>,
    pub(super) woken: Arc<Notify>,
    /// Somebody was asked to stop.
    pub(super) cancelled: Arc<Notify>,
    /// What is under way because somebody waits for it.
    pub(super) asked: Arc<UnderWay>,
    random: Arc<Mutex<fastrand::Rng>>,
}

impl Control {
    /// Over a store, and over the definitions that are served.
    pub fn new(
        store: Arc<dyn ServiceStore>,
        clock: Arc<dyn Clock>,
        served: watch::Receiver<Arc<Served>>,
        systems: Arc<dyn Systems>,
    ) -> Self {
        let random = Arc::new(Mutex::new(fastrand::Rng::with_seed(systems.engine().seed)));
        let (live, woken, cancelled, asked) = Default::default();
        Self { store, clock, served, systems, live, woken, cancelled, asked, random }
    }

    /// The memory of the service.
    pub fn store(&self) -> &Arc<dyn ServiceStore> {
        &self.store
    }

    /// The definitions that are served now.
    pub fn served(&self) -> Arc<Served> {
        Arc::clone(&self.served.borrow())
    }

    fn project(&self) -> Arc<Project> {
        Arc::clone(&self.served.borrow().project)
    }

    /// Lets this process look for work at once.
    pub fn wake(&self) {
        self.woken.notify_one();
    }

    /// Records an event; one that cannot be recorded is only logged, for nothing depends on it.
    pub(super) async fn tell(&self, event: NewEvent) {
        let NewEvent { kind, message, correlation, .. } = &event;
        if kind.ends_with(".failed") {
            tracing::warn!(event = kind, correlation, "{message}");
        } else {
            tracing::info!(event = kind, correlation, "{message}");
        }
        if let Err(error) = self.store.append_events(&[event]).await {
            tracing::warn!(error = %error, "an event could not be recorded");
        }
    }

    /// A name that links log lines, events and runs; no two are alike.
    pub fn correlation(&self) -> String {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        format!("{:032x}", random.u128(..))
    }

    /// Asks for a run of a sync or of a chain. With an idempotency key, asking twice within a day starts once.
    ///
    /// # Errors
    /// There is no such sync or chain, or the options do not fit it.
    pub async fn start(
        &self,
        subject: &Subject,
        options: &StartOptions,
        idempotency_key: Option<String>,
        by: &str,
    ) -> Result<Enqueued, Refused> {
        let project = self.project();
        let sync = match subject.kind {
            SubjectKind::Sync => Some(whole(&project, &subject.name)?),
            SubjectKind::Chain if project.chain(&subject.name).is_some() => None,
            SubjectKind::Chain => {
                return Err(Refused::Unknown(format!("there is no chain {:?}", subject.name)));
            }
            SubjectKind::Backfill => {
                return Err(Refused::Unfit("a backfill is asked for with its range".into()));
            }
        };
        options.fit(subject, sync).map_err(Refused::Unfit)?;
        self.enqueue(subject.clone(), connections(&project, subject), options, idempotency_key, by).await
    }

    async fn enqueue(
        &self,
        subject: Subject,
        connections: Vec<String>,
        options: &StartOptions,
        idempotency_key: Option<String>,
        by: &str,
    ) -> Result<Enqueued, Refused> {
        let now = self.clock.now();
        let occurrence = NewOccurrence {
            subject,
            schedule: None,
            instant: now,
            due_at: now,
            overlap: Overlap::Queue,
            weight: ASKED,
            retry: false,
            options: serde_json::to_value(options).unwrap_or_default(),
            connections,
            requested_by: by.to_owned(),
            idempotency_key,
            correlation: self.correlation(),
        };
        let enqueued = self.store.enqueue(occurrence, now).await?;
        self.wake();
        Ok(enqueued)
    }

    /// The steps that resuming a run of a chain would begin again: exactly those that failed and those that were not run
    /// because of them.
    ///
    /// # Errors
    /// There is no such run.
    pub async fn resume_set(&self, run: ChainRunId) -> Result<Vec<String>, Refused> {
        let (_, record) = self.chain_run(run).await?;
        let project = self.project();
        let chain = project
            .chain(&record.chain)
            .ok_or_else(|| Refused::Unknown(format!("there is no chain {:?} any more", record.chain)))?;
        Ok(super::chain::resume_set(chain, &record.steps))
    }

    /// Asks for a run of a chain to go on from where it failed, on the same record.
    ///
    /// # Errors
    /// There is no such run, it has not ended, or nothing is left to be done.
    pub async fn resume_chain(
        &self,
        run: ChainRunId,
        idempotency_key: Option<String>,
        by: &str,
    ) -> Result<Enqueued, Refused> {
        let (subject, record) = self.chain_run(run).await?;
        if record.finished_at.is_none() {
            return Err(Refused::Conflict(format!("run {run} of chain {:?} has not ended", record.chain)));
        }
        if self.resume_set(run).await?.is_empty() {
            let why = format!("no step of run {run} failed or was stopped: there is nothing to resume");
            return Err(Refused::Conflict(why));
        }
        let options = StartOptions { resume: Some(run), ..StartOptions::default() };
        let connections = connections(&self.project(), &subject);
        self.enqueue(subject, connections, &options, idempotency_key, by).await
    }

    async fn chain_run(&self, run: ChainRunId) -> Result<(Subject, ChainRun), Refused> {
        let record = self.store.chain_run(run).await?;
        let record = record.ok_or_else(|| Refused::Unknown(format!("there is no run {run} of a chain")))?;
        Ok((Subject::chain(record.chain.clone()), record))
    }

    /// Asks for an ended run of a sync to be tried again: what is parked of a partial run, all of a failed one.
    ///
    /// # Errors
    /// There is no such run, or it left nothing to be retried.
    pub async fn retry_failed(
        &self,
        run: RunId,
        idempotency_key: Option<String>,
        by: &str,
    ) -> Result<Enqueued, Refused> {
        let record = self.store.run(run).await?;
        let record = record.ok_or_else(|| Refused::Unknown(format!("there is no run {run}")))?;
        if Partition::sync_of(&record.sync) != record.sync {
            let why = format!("run {run} was made for values of parameters: ask for it again with them");
            return Err(Refused::Conflict(why));
        }
        let only_parked = match record.status {
            Status::Partial => true,
            Status::Failed | Status::Cancelled | Status::Interrupted => false,
            Status::Queued | Status::Running => {
                return Err(Refused::Conflict(format!("run {run} has not ended")));
            }
            Status::Succeeded => {
                return Err(Refused::Conflict(format!("run {run} succeeded: there is nothing to retry")));
            }
        };
        let mode = Some(record.mode).filter(|_| !only_parked);
        let options = StartOptions { mode, only_parked, retry_of: Some(run), ..StartOptions::default() };
        self.start(&Subject::sync(record.sync), &options, idempotency_key, by).await
    }

    /// Asks for an occurrence to be stopped: a waiting one at once, a running one after the batch in hand. `None`: there is
    /// none, or it is over.
    ///
    /// # Errors
    /// The store failed.
    pub async fn cancel(&self, occurrence: OccurrenceId) -> Result<Option<OccurrenceState>, Refused> {
        let state = self.store.cancel(occurrence, self.clock.now()).await?;
        self.cancelled.notify_one();
        Ok(state)
    }

    /// What a run of a sync would do, and the first `limit` records of it. Writes nothing.
    ///
    /// # Errors
    /// There is no such sync, the options do not fit it, or a system failed.
    pub async fn plan(
        &self,
        sync: &str,
        options: &StartOptions,
        limit: usize,
    ) -> Result<(Summary, Vec<Planned>), Refused> {
        let project = self.project();
        let sync = whole(&project, sync)?;
        options.fit(&Subject::sync(sync.name.clone()), Some(sync)).map_err(Refused::Unfit)?;
        let run_options = options.run_options().map_err(Refused::Unfit)?;
        let engine = self.systems.engine();
        let flow = self.systems.open(&project, sync, &Caller::default()).await?;
        let mut planned = Vec::new();
        let mut each = |record: Planned| {
            if planned.len() < limit {
                planned.push(record);
            }
        };
        let summary = flow.plan(&engine, &run_options, limit, &Silent, &mut each).await?;
        Ok((summary, planned))
    }

    /// As [`Control::plan`], with at most [`PLANNED_MAX`] records, and the digest by which a run can be asked for that does
    /// exactly this ([`StartOptions::plan_digest`]).
    ///
    /// # Errors
    /// As [`Control::plan`].
    pub async fn plan_whole(&self, sync: &str, options: &StartOptions) -> Result<Plan, Refused> {
        let project = self.project();
        let sync = sync_of(&project, sync)?;
        options.fit(&Subject::sync(sync.name.clone()), Some(sync)).map_err(Refused::Unfit)?;
        let run_options = options.run_options().map_err(Refused::Unfit)?;
        let flow = self.systems.open(&project, sync, &Caller::default()).await?;
        Ok(Plan::make(&self.systems.engine(), &flow, &run_options, PLANNED_MAX).await?)
    }

    /// The first records of a sync's source and what becomes of them. Writes nothing.
    ///
    /// # Errors
    /// There is no such sync, or a system failed.
    pub async fn sample(&self, sync: &str, limit: usize) -> Result<Vec<Sampled>, Refused> {
        let project = self.project();
        let sync = sync_of(&project, sync)?;
        let flow = self.systems.open(&project, sync, &Caller::default()).await?;
        Ok(sample(&flow, limit).await?)
    }

    /// How far a run of this process is.
    pub fn progress(&self, run: RunId) -> Option<Progress> {
        self.live.progress(run, &*self.clock)
    }

    /// How far all runs of this process are.
    pub fn all_progress(&self) -> Vec<Progress> {
        self.live.all(&*self.clock)
    }

    /// When the schedules of a sync or chain fire next.
    ///
    /// # Errors
    /// There is no such sync or chain; the store failed.
    pub async fn next_instants(&self, subject: &Subject, n: usize) -> Result<Vec<Upcoming>, Refused> {
        let project = self.project();
        let schedules = schedules(&project, subject)?;
        let states = self.store.schedule_states().await?;
        let now = self.clock.now();
        let upcoming = schedules.iter().map(|schedule| {
            let label = schedule.label();
            let paused_at = states
                .iter()
                .find(|state| state.subject == *subject && state.schedule == label)
                .and_then(|state| state.paused_at);
            let timing = Timing::of(schedule).ok().filter(|_| schedule.enabled && paused_at.is_none());
            let instants = timing.map_or_else(Vec::new, |timing| timing.next(now, n));
            Upcoming { subject: subject.clone(), schedule: schedule.clone(), paused_at, instants }
        });
        Ok(upcoming.collect())
    }

    /// Pauses a schedule of a sync or chain, or all of it. Returns whether anything changed.
    ///
    /// # Errors
    /// There is no such sync, chain or schedule; the store failed.
    pub async fn pause(&self, subject: &Subject, schedule: Option<&str>) -> Result<bool, Refused> {
        self.known_schedule(subject, schedule)?;
        let changed = self.store.pause(subject, schedule, self.clock.now()).await?;
        self.wake();
        Ok(changed)
    }

    /// Resumes what was paused. Instants that passed meanwhile never fire.
    ///
    /// # Errors
    /// There is no such sync, chain or schedule; the store failed.
    pub async fn resume(&self, subject: &Subject, schedule: Option<&str>) -> Result<bool, Refused> {
        self.known_schedule(subject, schedule)?;
        let changed = self.store.resume(subject, schedule, self.clock.now()).await?;
        self.wake();
        Ok(changed)
    }

    fn known_schedule(&self, subject: &Subject, schedule: Option<&str>) -> Result<(), Refused> {
        let project = self.project();
        let schedules = schedules(&project, subject)?;
        match schedule {
            Some(label) if !schedules.iter().any(|s| s.label() == label) => {
                Err(Refused::Unknown(format!("{subject} has no schedule {label:?}")))
            }
            _ => Ok(()),
        }
    }

    /// Asks for a part of a sync's past to be read again, from cursor value `from` on and below `to`, beside the live cursor.
    ///
    /// # Errors
    /// There is no such sync, or it cannot be read by a range.
    pub async fn backfill(
        &self,
        sync: &str,
        from: &str,
        to: &str,
        by: &str,
    ) -> Result<(BackfillId, Enqueued), Refused> {
        let project = self.project();
        let sync = whole(&project, sync)?;
        if sync.from.cursor.is_none() {
            return Err(Refused::Unfit(format!(
                "sync {:?} has no cursor: it has no ranges to be read again",
                sync.name
            )));
        }
        let asked = NewBackfill {
            sync: sync.name.clone(),
            from: from.to_owned(),
            to: to.to_owned(),
            requested_by: by.to_owned(),
        };
        let id = self.store.create_backfill(asked, self.clock.now()).await?;
        let connections = connections(&project, &Subject::sync(sync.name.clone()));
        let subject = Subject::backfill(id);
        let enqueued = self.enqueue(subject, connections, &StartOptions::default(), None, by).await?;
        Ok((id, enqueued))
    }
}

pub(super) fn sync_of<'p>(project: &'p Project, name: &str) -> Result<&'p Sync, Refused> {
    project.sync(name).ok_or_else(|| Refused::Unknown(format!("there is no sync {name:?}")))
}

/// A sync that is run as a whole, without values of parameters.
fn whole<'p>(project: &'p Project, name: &str) -> Result<&'p Sync, Refused> {
    let sync = sync_of(project, name)?;
    if !takes_values(sync) {
        return Ok(sync);
    }
    let of = if sync.params.is_empty() { OWNER.to_owned() } else { sync.params.join(", ") };
    Err(Refused::ParamsMissing(format!("sync {name:?} is run for values of its parameters: {of}")))
}

fn schedules<'p>(project: &'p Project, subject: &Subject) -> Result<&'p [Schedule], Refused> {
    match subject.kind {
        SubjectKind::Sync => Ok(&sync_of(project, &subject.name)?.schedules),
        SubjectKind::Chain => match project.chain(&subject.name) {
            Some(chain) => Ok(&chain.schedules),
            None => Err(Refused::Unknown(format!("there is no chain {:?}", subject.name))),
        },
        SubjectKind::Backfill => Err(Refused::Unfit("a backfill has no schedule".into())),
    }
}

/// The connections that a subject uses, for the limits: each once, however many steps of a chain use it.
pub(super) fn connections(project: &Project, subject: &Subject) -> Vec<String> {
    let mut used = match subject.kind {
        SubjectKind::Sync => project.sync(&subject.name).map(ends).unwrap_or_default(),
        SubjectKind::Chain => project
            .chain(&subject.name)
            .map(|chain| chain.steps.iter().flat_map(|step| steps::uses(project, step)).collect())
            .unwrap_or_default(),
        SubjectKind::Backfill => Vec::new(),
    };
    used.sort_unstable();
    used.dedup();
    used
}

/// The two connections of a sync.
pub(super) fn ends(sync: &Sync) -> Vec<String> {
    vec![sync.from.connection.clone(), sync.to.connection.clone()]
}
