//! Backfills: a part of the past read again, piece by piece, beside the live cursor.

use std::{sync::Arc, time::Duration};

use syncline_connect::registry::Caller;
use syncline_core::{project::Project, run::Status};
use syncline_store::{
    About,
    service::{Backfill, BackfillProgress, Claim},
};
use tokio::sync::watch;

use super::{
    Done,
    local::{Local, failed, gone},
    once::{PartOf, SyncOrder},
    persist::{Lost, lost, persist},
};
use crate::load::{range::Range, run::Options};

/// About how many records are read between two records of progress. A live run waits for one piece at most.
const ROWS: u64 = 50_000;
/// Most pieces of one claim.
const PIECES_MAX: usize = 1_000_000;
/// How long a piece waits for the live sync.
const PATIENCE: Duration = Duration::from_secs(6 * 3600);

impl Local {
    /// Carries out a backfill from where it is. After each piece that is recorded; whoever claims it next goes on there.
    pub(super) async fn backfill(
        &self,
        claim: &Claim,
        project: &Arc<Project>,
        cancel: watch::Receiver<bool>,
        stopping: &watch::Receiver<bool>,
    ) -> Done {
        let store = &self.control.store;
        let unknown = || failed("unknown_backfill", format!("{} is not known", claim.asked.subject));
        let Ok(id) = claim.asked.subject.name.parse() else { return unknown() };
        let Some(backfill) = persist!("reading a backfill", store.backfill(id)) else { return unknown() };
        match self.pieces(claim, project, backfill, cancel, stopping).await {
            Ok(done) => done,
            Err(Lost) => Done { status: Status::Interrupted, error: None },
        }
    }

    async fn pieces(
        &self,
        claim: &Claim,
        project: &Project,
        backfill: Backfill,
        cancel: watch::Receiver<bool>,
        stopping: &watch::Receiver<bool>,
    ) -> Result<Done, Lost> {
        let asked = &backfill.asked;
        if matches!(backfill.progress.status, Status::Succeeded | Status::Partial) {
            return Ok(Done { status: backfill.progress.status, error: None });
        }
        let mut from = backfill.progress.done_until.clone().unwrap_or_else(|| asked.from.clone());
        let (mut last, mut whole) = (backfill.progress.run, Status::Succeeded);
        for _ in 0..PIECES_MAX {
            let Some(sync) = project.sync(&asked.sync) else {
                let done = gone(&claim.asked.subject);
                return self.recorded(claim, &backfill, &from, last, done).await;
            };
            let range = Range { from: from.clone(), to: asked.to.clone(), rows: ROWS };
            let about = About { correlation: Some(claim.asked.correlation.clone()), ..About::default() };
            let options = Options { range: Some(range), about, ..Options::default() };
            let caller = Caller { user: None, correlation: Some(claim.asked.correlation.clone()) };
            let order = SyncOrder { project, sync, options, caller, patience: PATIENCE, plan: None };
            let ended = self.control.run_sync(order, cancel.clone(), PartOf::Occurrence(claim)).await;
            last = ended.run.or(last);
            match ended.done.status {
                Status::Succeeded => {}
                Status::Partial => whole = Status::Partial,
                Status::Interrupted => return Ok(ended.done),
                Status::Cancelled if *stopping.borrow() => return Ok(ended.done),
                Status::Cancelled | Status::Failed | Status::Queued | Status::Running => {
                    return self.recorded(claim, &backfill, &from, last, ended.done).await;
                }
            }
            let Some(reached) = ended.reached else {
                let done = failed("range", "the source did not say how far it was read".into());
                return self.recorded(claim, &backfill, &from, last, done).await;
            };
            from = reached.until;
            if reached.complete {
                return self
                    .recorded(claim, &backfill, &from, last, Done { status: whole, error: None })
                    .await;
            }
            let going_on = Done { status: Status::Running, error: None };
            self.recorded(claim, &backfill, &from, last, going_on).await?;
        }
        let why = format!("more than {PIECES_MAX} pieces");
        self.recorded(claim, &backfill, &from, last, failed("too_long", why)).await
    }

    async fn recorded(
        &self,
        claim: &Claim,
        backfill: &Backfill,
        done_until: &str,
        run: Option<u64>,
        done: Done,
    ) -> Result<Done, Lost> {
        let progress = BackfillProgress {
            status: done.status,
            done_until: Some(done_until.to_owned()),
            run,
            error: done.error.clone(),
            at: self.control.clock.now(),
        };
        let store = &self.control.store;
        persist!("recording a backfill", async {
            lost(store.record_backfill(&claim.id, backfill.id, &progress).await)
        })?;
        Ok(done)
    }
}
