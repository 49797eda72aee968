//! How far the runs of this process are.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use syncline_connect::clock::Clock;
use syncline_core::{counts::Counts, run::Phase};
use syncline_store::RunId;
use tokio::sync::watch;

use super::Progress;
use crate::progress::{Event, Observer};

/// Notes that are kept of a run.
const NOTES_MAX: usize = 100;

/// The runs of this process that are under way.
#[derive(Debug, Default)]
pub struct Live {
    runs: Mutex<BTreeMap<RunId, Running>>,
}

#[derive(Debug)]
struct Running {
    began: Duration,
    progress: Progress,
}

impl Live {
    /// How far a run is; `None`: it is not under way in this process.
    pub fn progress(&self, run: RunId, clock: &dyn Clock) -> Option<Progress> {
        let runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.get(&run).map(|running| running.at(clock.elapsed()))
    }

    /// How far all of them are, by number.
    pub fn all(&self, clock: &dyn Clock) -> Vec<Progress> {
        let runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.values().map(|running| running.at(clock.elapsed())).collect()
    }

    fn change(&self, run: RunId, change: impl FnOnce(&mut Progress)) {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = runs.get_mut(&run) {
            change(&mut running.progress);
        }
    }

    fn begin(&self, run: RunId, running: Running) {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).insert(run, running);
    }

    fn end(&self, run: RunId) {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).remove(&run);
    }
}

impl Running {
    fn at(&self, now: Duration) -> Progress {
        let seconds = now.saturating_sub(self.began).as_secs_f64();
        let read = self.progress.counts.read as f64;
        let rate = if seconds > 0.0 { read / seconds } else { 0.0 };
        let left = self.progress.total.map(|total| (total as f64 - read).max(0.0));
        let eta_seconds = left.filter(|_| rate > 0.0).map(|left| left / rate);
        Progress { seconds, rate, eta_seconds, ..self.progress.clone() }
    }
}

/// Watches one run: keeps its progress while it lives, and tells its number as soon as there is one.
pub struct Watcher {
    live: Arc<Live>,
    clock: Arc<dyn Clock>,
    run: watch::Sender<Option<RunId>>,
}

impl Watcher {
    /// Keeps the progress in `live`.
    pub fn new(live: Arc<Live>, clock: Arc<dyn Clock>) -> Self {
        Self { live, clock, run: watch::Sender::new(None) }
    }

    /// The number of the run, once it is open.
    pub fn number(&self) -> watch::Receiver<Option<RunId>> {
        self.run.subscribe()
    }

    fn change(&self, change: impl FnOnce(&mut Progress)) {
        if let Some(run) = *self.run.borrow() {
            self.live.change(run, change);
        }
    }
}

impl Observer for Watcher {
    fn event(&self, event: &Event) {
        match event {
            Event::Started { sync, run, total, .. } => {
                let progress = Progress {
                    sync: sync.clone(),
                    run: *run,
                    phase: Phase::Fetch,
                    total: *total,
                    counts: Counts::default(),
                    seconds: 0.0,
                    rate: 0.0,
                    eta_seconds: None,
                    notes: Vec::new(),
                };
                self.live.begin(*run, Running { began: self.clock.elapsed(), progress });
                self.run.send_replace(Some(*run));
            }
            Event::Phase { phase } => self.change(|progress| progress.phase = *phase),
            Event::Note { text } => self.change(|progress| {
                if progress.notes.len() < NOTES_MAX {
                    progress.notes.push(text.clone());
                }
            }),
            Event::Progress { counts } => self.change(|progress| progress.counts = *counts),
            Event::Finished { run, .. } => self.live.end(*run),
        }
    }
}

impl Drop for Watcher {
    /// A run that was dropped ends without a word.
    fn drop(&mut self) {
        if let Some(run) = *self.run.borrow() {
            self.live.end(run);
        }
    }
}
