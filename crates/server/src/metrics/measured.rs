//! Counting what is executed.

use std::sync::Arc;

use async_trait::async_trait;
use syncline_connect::clock::Clock;
use syncline_core::partition::Partition;
use syncline_engine::service::{Done, Executor, Order};
use syncline_store::{
    Error, RunId,
    service::{ServiceStore, SubjectKind},
};
use tokio::sync::watch;

use super::Metrics;

/// An executor that counts what another one does.
pub struct Measured {
    inner: Arc<dyn Executor>,
    store: Arc<dyn ServiceStore>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

impl Measured {
    /// Counts what `inner` does.
    pub fn new(
        inner: Arc<dyn Executor>,
        store: Arc<dyn ServiceStore>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { inner, store, clock, metrics }
    }

    /// The records of the runs that carried an order out. Runs of a chain's earlier stretches were counted then.
    async fn count(&self, order: &Order, began: jiff::Timestamp) -> Result<(), Error> {
        let Some(occurrence) = self.store.occurrence(order.claim.id.occurrence).await? else { return Ok(()) };
        let Some(run) = occurrence.run.or(order.claim.run) else { return Ok(()) };
        let runs: Vec<RunId> = match order.claim.asked.subject.kind {
            SubjectKind::Sync | SubjectKind::Backfill => vec![run],
            SubjectKind::Chain => {
                let steps = self.store.chain_run(run).await?.map(|run| run.steps).unwrap_or_default();
                let fresh = steps.into_iter().filter(|step| step.started_at.is_some_and(|at| at >= began));
                fresh.filter_map(|step| step.run).collect()
            }
        };
        for run in runs {
            if let Some(run) = self.store.run(run).await? {
                self.metrics.records(Partition::sync_of(&run.sync), run.counts);
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Executor for Measured {
    async fn execute(&self, order: Order, cancel: watch::Receiver<bool>) -> Done {
        let kind = order.claim.asked.subject.kind;
        let (began, at) = (self.clock.elapsed(), self.clock.now());
        self.metrics.operation_started(kind);
        let done = self.inner.execute(order.clone(), cancel).await;
        self.metrics.operation_ended(kind, done.status, self.clock.elapsed().saturating_sub(began));
        if let Err(error) = self.count(&order, at).await {
            tracing::debug!(%error, "the records of an operation were not counted");
        }
        done
    }
}
