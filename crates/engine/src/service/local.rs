//! The executor that is built in: runs the engine in this process.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use syncline_connect::registry::Caller;
use syncline_core::{precedence, project::Project, run::Status, sync::Sync};
use syncline_store::{
    About, Run,
    service::{Claim, Subject, SubjectKind},
};
use tokio::sync::watch;

use super::{
    Done, Executor, Order, Outside, StartOptions,
    control::Control,
    once::{PartOf, SyncOrder},
    options,
    persist::persist,
};
use crate::load::run::Options;

/// How long a run waits for another process that runs the same sync.
pub(super) const BUSY_MAX: Duration = Duration::from_secs(90);
/// Newest runs of a sync among which that of an earlier claim is looked for.
const LOOKED_BACK: usize = 10;

/// Runs the engine in this process. Cheap to clone.
#[derive(Clone)]
pub struct Local {
    pub(super) control: Control,
    pub(super) outside: Arc<dyn Outside>,
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
        let caller = Caller { user: None, correlation: Some(claim.asked.correlation.clone()) };
        let order = SyncOrder { project, sync, options, caller, patience: BUSY_MAX, plan };
        self.control.run_sync(order, cancel, PartOf::Occurrence(claim)).await.done
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
