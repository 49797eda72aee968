//! The last runs of syncs, as bars. What has ended does not change, so it is read once.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use syncline_core::run::Status;
use syncline_store::{Run, RunId, service::RunFilter};

use super::{
    Ui,
    chart::{BARS, Bar},
    fault::Fault,
};

/// Syncs whose bars are kept.
const KEPT_MAX: usize = 2000;

/// Bars by sync, with the newest run that they show.
#[derive(Default)]
pub(crate) struct Recent(Mutex<BTreeMap<String, Kept>>);

/// The newest run, how it stood, and the bars.
type Kept = (RunId, Status, Arc<[Bar]>);

impl Ui {
    /// The last runs of a sync whose newest one is `newest`, the oldest first.
    ///
    /// # Errors
    /// The store failed.
    pub(crate) async fn bars(&self, sync: &str, newest: Option<&Run>) -> Result<Arc<[Bar]>, Fault> {
        let Some(newest) = newest else { return Ok(Arc::from([])) };
        if let Some((run, status, bars)) = self.recent.lock().get(sync)
            && (*run, *status) == (newest.id, newest.status)
            && status.is_final()
        {
            return Ok(Arc::clone(bars));
        }
        let filter = RunFilter { sync: Some(sync.to_owned()), ..RunFilter::default() };
        let runs = self.api.store.page_runs(&filter, BARS).await?;
        let bars: Arc<[Bar]> = runs.iter().rev().map(bar).collect();
        if let Some(first) = runs.first() {
            let mut kept = self.recent.lock();
            if kept.len() >= KEPT_MAX {
                kept.clear();
            }
            kept.insert(sync.to_owned(), (first.id, first.status, Arc::clone(&bars)));
        }
        Ok(bars)
    }
}

impl Recent {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A run as a bar.
pub(crate) fn bar(run: &Run) -> Bar {
    let counts = &run.counts;
    Bar {
        written: counts.written(),
        quiet: counts.unchanged + counts.skipped,
        waiting: counts.parked + counts.held + counts.conflicted,
        failed: run.status == Status::Failed,
    }
}
